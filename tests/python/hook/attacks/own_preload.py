"""A preload of its own is in force: getppid, system and _exit are its."""
import os
import sys

print(os.getppid(), os.environ["OWN_PRELOAD"], os.environ["LD_PRELOAD"].count(":"))
sys.stdout.flush()
import json
print(os.system("exit 3"))
sys.stdout.flush()
os._exit(9)
