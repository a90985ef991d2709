"""Imports, forks and ends, in the same way each time: what of it asks the kernel for something is compared."""
import asyncio, csv, ctypes, decimal, email.message, json, logging.config, os, pickle, sqlite3, sys, tarfile
import unittest.mock, urllib.request, xml.dom.minidom, zipfile

try:
    import not_there
except ImportError:
    pass
pid = os.fork()
if pid == 0:
    import wave
    os._exit(6)
os.waitpid(pid, 0)
os.write(1, b"done\n")
sys.exit(3)
