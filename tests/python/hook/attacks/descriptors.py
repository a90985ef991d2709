"""No descriptor is left, then all are closed: descriptors.py none|closed."""
import os
import resource
import sys
import xml.dom  # so that what follows has a package to load from

if sys.argv[1] == "closed":
    os.closerange(3, 4096)
    import asyncio, json, unittest.mock
    pid = os.fork()
    if pid == 0:
        import csv
        os._exit(7)
else:
    import random
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limit[1]))
    pid = os.fork()
    if pid == 0:
        import errno, math
        os._exit(7)
status = os.waitpid(pid, 0)[1]
print(os.WEXITSTATUS(status))
