"""Imports that fail, are tried again, go on elsewhere, or are begun by code that has no frame; argv: a directory for modules, and
one with shared objects that are no modules and one that imports."""
import _ctypes, ctypes, os, runpy, sys

where, native = sys.argv[1:]
modules = {
    "out_again": "import out_switch\nif not out_switch.on: raise ImportError('not yet')\n",
    "out_switch": "on = False\n",
    "out_never": "import out_part\nraise ImportError('never')\n",
    "out_part": "x = 1\n",
    "out_holder": "try:\n    import out_never\nexcept ImportError:\n    pass\n",
    "out_loader": "def load(name):\n    return __import__(name)\n",
    "out_outer": "import out_loader\nout_loader.load('out_inner')\n",
    "out_inner": "x = 1\n",
    "out_of_string": "x = 1\n",
    "out_later": "x = 1\n",
    "out_script": "import out_of_script\n",
    "out_of_script": "x = 1\n",
}
for name, text in modules.items():
    with open(os.path.join(where, name + ".py"), "w") as file:
        file.write(text)

try:
    import out_later
except ImportError:
    pass
pid = os.fork()
if pid:
    os.waitpid(pid, 0)
sys.path.insert(0, where)
if not pid:
    import out_later
    os._exit(0)

import out_switch
for _ in range(3):
    try:
        import out_again
    except ImportError:
        out_switch.on = True
import out_holder
import out_loader
out_loader.load("out_outer")
exec("import out_of_string", {})
runpy.run_path(os.path.join(where, "out_script.py"))

sys.path.insert(0, native)
# With the parent's name known, what stands for the extension's own code is the import system's.
import probe_imports

for _ in range(5000):
    exec(compile("import json, out_part", os.path.join(where, "own.py"), "exec"))
    sys.modules.pop("out_never", None)
    try:
        import out_never
    except ImportError:
        pass
os.chdir(native)
# Unloaded, seen to be so, and loaded again.
_ctypes.dlclose(ctypes.CDLL("./not_a_module.so")._handle)
ctypes.CDLL("./nor_this.so")
ctypes.CDLL("./not_a_module.so")
