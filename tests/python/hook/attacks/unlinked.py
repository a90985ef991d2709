"""Takes its own record away while it is mapped, goes on, and forks."""
import os
import sys

spool = os.environ["TERRARIUM_SPOOL"]
for name in os.listdir(spool):
    os.unlink(spool + "/" + name)
import asyncio, email.message, json, unittest.mock, xml.dom.minidom
pid = os.fork()
if pid == 0:
    import sqlite3
    sys.exit(0)
print("child", os.waitpid(pid, 0)[1], len(os.listdir(spool)))
