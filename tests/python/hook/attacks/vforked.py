"""Children that share our memory and end before they execute anything: what they do is not ours."""
import os
import signal
import subprocess

for _ in range(3):
    try:
        subprocess.run(["/nonexistent/program"], close_fds=True)
    except FileNotFoundError:
        pass
    try:
        os.posix_spawn("/nonexistent/program", ["program"], {})
    except FileNotFoundError:
        pass
import json
print("after", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
