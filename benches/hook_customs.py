"""A sitecustomize.py for Customs: at the end the names of all libraries of hook_libraries.py that were loaded are
written to a file in CUSTOMS_OUT.
"""

import os
import pathlib

import customs
from customs.reporters import JSONFileReporter

libraries = os.environ["CUSTOMS_LIBRARIES"].split(",")
out = pathlib.Path(os.environ["CUSTOMS_OUT"]) / f"{os.getpid()}.json"
customs.register_exit_hook(libraries, JSONFileReporter, out)
