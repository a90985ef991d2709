"""Has an audit hook of its own: it sees what it would see alone, and what it forbids does not happen."""
import sys

events = []


def hook(name, arguments):
    if name == "import":
        events.append((name, arguments[0]))
        if arguments[0] == "wave":
            raise RuntimeError("not here")
    else:
        events.append((name,))


sys.addaudithook(hook)
import json, decimal, sqlite3
try:
    import wave
except RuntimeError as error:
    print("forbidden:", error)
print("wave" in sys.modules, eval(compile("1", "x", "eval")))
events, seen = [], events
for event in seen:
    print(*event)
