"""200 children at once, each of which imports."""
import os
import sys

children = []
for number in range(200):
    pid = os.fork()
    if pid == 0:
        import json
        os._exit(0)
    children.append(pid)
print(sum(os.waitpid(pid, 0)[1] for pid in children))
