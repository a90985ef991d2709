"""A Jupyter kernel for each ending in $PROBE_ENDINGS, whose only cell is the payload.

Prints a line `ENDING PID STATUS` for each."""

import concurrent.futures
import os
import sys
import time

from jupyter_client.manager import KernelManager

here = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(here, "payload.py")) as file:
    text = file.read()


def run(ending):
    manager = KernelManager(kernel_cmd=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"])
    environment = dict(os.environ, PROBE_ENDING=ending)
    manager.start_kernel(env=environment, stdout=open(os.devnull, "w"), stderr=open(os.devnull, "w"))
    process = manager.provisioner.process
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        client.execute(text)
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            try:
                message = client.get_shell_msg(timeout=0.2)
            except Exception:
                continue
            if message["msg_type"] == "execute_reply":
                # It lives on, as a kernel does after an exception.
                client.shutdown()
                break
        process.wait(60)
    finally:
        client.stop_channels()
        manager.cleanup_resources()
    return ending, process.pid, process.returncode


with concurrent.futures.ThreadPoolExecutor(3) as pool:
    for result in pool.map(run, os.environ["PROBE_ENDINGS"].split()):
        print(*result, flush=True)
