"""After chroot or setuid the process goes on, imports and forks: elsewhere.py chroot|setuid DIRECTORY."""
import os
import sys

if sys.argv[1] == "chroot":
    os.chroot(sys.argv[2])
    os.chdir("/")
    sys.path[:] = ["/"]
else:
    sys.path.insert(0, sys.argv[2])
    os.setgid(65534)
    os.setuid(65534)
import after_one
pid = os.fork()
if pid == 0:
    import after_two
    os._exit(8)
print(os.getpid(), pid, os.WEXITSTATUS(os.waitpid(pid, 0)[1]))
