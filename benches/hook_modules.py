"""usage: hook_modules.py DIR: imports all packages of DIR and prints how many ns a module took."""

import gc
import os
import sys
import time

sys.path.insert(0, sys.argv[1])
names = sorted(name for name in os.listdir(sys.argv[1]) if name.startswith("package"))
gc.disable()
before, begin = len(sys.modules), time.perf_counter_ns()
for name in names:
    __import__(name)
took = time.perf_counter_ns() - begin
print(took / (len(sys.modules) - before))
