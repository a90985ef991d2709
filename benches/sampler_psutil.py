# sampler_psutil.py PID: looks at a process and all below it once a second by psutil, as a monitor written in Python does.
import sys
import time

import psutil

root = psutil.Process(int(sys.argv[1]))
while True:
    for process in [root, *root.children(recursive=True)]:
        try:
            with process.oneshot():
                process.cpu_times(), process.memory_info(), process.num_threads()
        except psutil.Error:
            pass
    time.sleep(1)
