"""A job whose output, errors and status are the same every time, and whose record needs more than one chunk."""
import argparse, asyncio, collections, csv, ctypes, decimal, difflib, email.message, fractions, html.parser
import http.client, json, logging.config, multiprocessing.pool, os, pickle, random, sqlite3, statistics
import subprocess, sys, tarfile, tempfile, threading, unittest.mock, urllib.request, uuid, xml.dom.minidom, zipfile

pid = os.fork()
if pid == 0:
    import xml.sax.handler
    os._exit(6)
print("child", os.WEXITSTATUS(os.waitpid(pid, 0)[1]))
print(subprocess.run([sys.executable, "-c", "import json; print(json.dumps([1]))"], capture_output=True))
print(sorted(name for name in sys.modules if name.startswith("xml"))[-3:], len(sys.modules))
print(sorted(set(os.environ) - {"LD_PRELOAD", "TERRARIUM_SPOOL"}))
print("to stderr", file=sys.stderr)
sys.exit(5)
