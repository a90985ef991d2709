"""The payload in a sub-interpreter. Endings that such a one may not do are the main one's, while it lives."""

import os
import sys

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, here)
import payload

INSIDE = "normal os_exit sigkill abort importing".split()

ending = os.environ["PROBE_ENDING"]
inside = ending in INSIDE
code = "import sys; sys.path.insert(0, %r); import payload; payload.load(); payload.tell()" % here
if inside:
    code += "; payload.end(%r)" % ending

if sys.version_info >= (3, 13):
    import _interpreters
    identity = _interpreters.create()
    failed = _interpreters.exec(identity, code)
    if failed is not None:
        raise SystemExit("sub-interpreter: %s" % failed.formatted)
else:
    import _xxsubinterpreters
    identity = _xxsubinterpreters.create()
    _xxsubinterpreters.run_string(identity, code)
if not inside:
    payload.end(ending)
