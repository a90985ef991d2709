"""Plays a Jupyter client: kernels in a jail are interrupted, restarted, shut down, killed and lost.

usage: jupyter.py TERRARIUM CASE; run by a Python that has jupyter_client and ipykernel. Ends with 1 and says what it saw
if anything differs from what is promised. Where it is cheap, the same is done with a plain kernel first, which must differ:
otherwise the case would show nothing.
"""

import atexit
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HOME = os.environ.get("TERRARIUM_TEST_HOME")
if not HOME:
    HOME = tempfile.mkdtemp(prefix="terrarium-jupyter-")
    atexit.register(shutil.rmtree, HOME, ignore_errors=True)
# Connection files, too, lie there: a client that is killed leaves its own.
os.environ["TERRARIUM_TEST_HOME"] = os.environ["HOME"] = os.environ["TMPDIR"] = tempfile.tempdir = HOME
os.environ["IPYTHONDIR"] = os.path.join(HOME, "ipython")
for name in ["JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_PATH", "XDG_DATA_HOME"]:
    os.environ.pop(name, None)

from jupyter_client.manager import KernelManager  # noqa: E402

TERRARIUM, CASE = sys.argv[1:3]
MARK = os.environ.get("TERRARIUM_TEST_MARK", "none")
GRACE = 2.0
PATIENCE = 60.0
NAMES = {}


def check(condition, *what):
    if not condition:
        sys.exit("not so: " + " ".join(str(w) for w in what))


def until(what, condition, seconds=PATIENCE):
    end = time.monotonic() + seconds
    while True:
        got = condition()
        if got:
            return got
        check(time.monotonic() < end, "waited in vain for", what)
        time.sleep(0.05)


def stat(pid):
    """(name, state, parent, start) of a process, None if there is none."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            text = file.read()
    except OSError:
        return None
    fields = text[text.rindex(")") + 2 :].split()
    return text[text.index("(") + 1 : text.rindex(")")], fields[0], int(fields[1]), int(fields[19])


def processes():
    """All living ones: {(pid, start): (name, parent)}."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        got = stat(pid)
        if got and got[1] not in "ZX":
            found[int(pid), got[3]] = got[0], got[2]
            NAMES[int(pid), got[3]] = got[0]
    return found


def below(pid):
    """This process and all that descends from it, as {(pid, start)}."""
    everything = processes()
    pids, grown = {pid}, True
    while grown:
        more = {p for (p, _), (_, parent) in everything.items() if parent in pids} - pids
        pids |= more
        grown = bool(more)
    return {key for key in everything if key[0] in pids}


def names(keys):
    return [NAMES.get(key) for key in keys]


def alive(keys):
    now = processes()
    return {key for key in keys if key in now}


def kill(keys):
    for pid, _ in alive(keys):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def sleepers(number):
    """Living processes `sleep NUMBER`, whoever started them, if they are this test's."""
    found = set()
    for key in processes():
        try:
            with open(f"/proc/{key[0]}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
            with open(f"/proc/{key[0]}/environ", "rb") as file:
                ours = f"TERRARIUM_TEST_MARK={MARK}".encode() in file.read()
        except OSError:
            continue
        if ours and words[:2] == [b"sleep", str(number).encode()]:
            found.add(key)
    return found


def terrarium(*words, ok=True):
    got = subprocess.run([TERRARIUM, *words], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    check((got.returncode == 0) == ok, words, got.returncode, got.stdout, got.stderr)
    return got.stdout + got.stderr


def install(name, *options):
    words = ["--name", name, "--python", sys.executable, "--grace", f"{int(GRACE)}s", *options]
    return terrarium("kernel", "install", *words)


class Kernel:
    """A kernel with a client; what it and terrarium write goes to a log, as Jupyter's does."""

    def __init__(self, name):
        self.log_path = tempfile.mktemp(prefix="log-", dir=HOME)
        self.log_file = open(self.log_path, "wb")
        self.manager = KernelManager(kernel_name=name)
        self.manager.start_kernel(stdout=self.log_file, stderr=self.log_file, stdin=subprocess.DEVNULL)
        self.connect()

    def connect(self):
        self.client = self.manager.client()
        self.client.start_channels()
        try:
            self.client.wait_for_ready(timeout=PATIENCE)
        except RuntimeError as error:
            sys.exit(f"{error}\n{self.log()}")

    @property
    def pid(self):
        return self.manager.provisioner.process.pid

    def log(self):
        with open(self.log_path, errors="replace") as file:
            return file.read()

    def all(self):
        return below(self.pid)

    def ports(self):
        return [value for key, value in self.manager.get_connection_info().items() if key.endswith("_port")]

    def begin(self, code):
        """Starts a cell, and returns when it has printed `ready`."""
        message = self.client.execute(code)
        self.text = ""
        self.read_until(message, lambda: "ready" in self.text)
        time.sleep(0.3)
        return message

    def end(self, message):
        self.read_until(message, lambda: False)
        return self.text

    def read_until(self, message, enough):
        deadline = time.monotonic() + PATIENCE
        while not enough():
            check(time.monotonic() < deadline, "the cell goes on and on:", self.text, self.log())
            try:
                got = self.client.get_iopub_msg(timeout=1)
            except Exception:
                check(self.manager.is_alive(), "the kernel died:", self.log())
                continue
            if got["parent_header"].get("msg_id") != message:
                continue
            kind, content = got["msg_type"], got["content"]
            if kind == "stream":
                self.text += content["text"]
            elif kind == "error":
                self.text += "\n".join([content["ename"], content["evalue"]])
            elif kind == "status" and content["execution_state"] == "idle":
                return

    def run(self, code):
        self.text = ""
        return self.end(self.client.execute(code))

    def stop(self, **how):
        self.client.stop_channels()
        self.manager.shutdown_kernel(**how)
        self.manager.cleanup_resources()


def nothing_left(what, keys, ports=()):
    until(f"the end of all processes after {what}", lambda: not alive(keys), GRACE + 10)
    for port in ports:
        # The kernel takes a dying process's memory, by which it is found here, before its files.
        until(f"the end of port {port} after {what}", lambda: is_closed(port), GRACE + 10)


def is_closed(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def interrupt():
    cell = """
import time
hits, end = 0, time.time() + 2
print('ready', flush=True)
while time.time() < end:
    try:
        while time.time() < end:
            time.sleep(0.02)
    except KeyboardInterrupt:
        hits += 1
print('hits', hits)
"""
    install("jail")
    kernel = Kernel("jail")
    first = kernel.run("import os; print(os.getpid())")
    for _ in range(3):
        message = kernel.begin(cell)
        kernel.manager.interrupt_kernel()
        text = kernel.end(message)
        check(text.endswith("hits 1\n"), "not one interrupt:", text)
    # And one that the cell does not catch.
    message = kernel.begin("print('ready', flush=True); time.sleep(60)")
    kernel.manager.interrupt_kernel()
    check("KeyboardInterrupt" in kernel.end(message), kernel.text)
    check(kernel.run("import os; print(os.getpid())") == first, "another kernel")
    check(kernel.run("print(os.environ['JPY_PARENT_PID'])") == "1\n", kernel.text)
    check("ipython kernel" not in kernel.log(), "it thinks that nobody started it:", kernel.log())
    # Its own watch over its parent would have ended it within a second.
    time.sleep(2)
    check(kernel.run("import os; print(os.getpid())") == first, "another kernel")
    everything, ports = kernel.all(), kernel.ports()
    check(len(everything) >= 3, everything)
    kernel.stop()
    nothing_left("shutdown", everything, ports)
    check(re.search(r"terrarium: ended with status 0 after [^\n]*: cpu [^\n]*\n", kernel.log()), kernel.log())


# The paper's case: what runs the pool dies by Ctrl-C, and its workers do not notice: they ignore SIGINT, as the
# documentation of many programs recommends, and hold the pipe that they read from open themselves.
POOL = """
import multiprocessing, os, signal, sys, time
def ignore():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGINT, signal.SIG_DFL)
if __name__ == '__main__':
    pool = multiprocessing.get_context('fork').Pool(2, ignore)
    print('ready', *[p.pid for p in pool._pool], flush=True)
    pool.map(time.sleep, [600] * 4)
"""
POOL_CELL = f"""
import os, subprocess, sys
path = {HOME!r} + '/pool.py'
open(path, 'w').write({POOL!r})
job = subprocess.Popen([sys.executable, path], stdout=subprocess.PIPE, text=True)
print(job.stdout.readline(), flush=True)
print('ended with', job.wait())
"""


def interrupted_pool(kernel):
    """Interrupts a pool in a cell; returns its orphaned workers."""
    bystander = "import subprocess; child = subprocess.Popen(['sleep', '7001'], start_new_session=True)"
    kernel.run(bystander)
    before = kernel.all()
    message = kernel.begin(POOL_CELL)
    workers = until("the workers", lambda: len(kernel.all() - before) == 3 and kernel.all() - before)
    kernel.manager.interrupt_kernel()
    text = kernel.end(message)
    check("KeyboardInterrupt" in text, text)
    workers = until("the pool to die", lambda: len(alive(workers)) == 2 and alive(workers))
    return before, workers


def pool():
    kernel = Kernel("python3")
    _, workers = interrupted_pool(kernel)
    time.sleep(GRACE + 2)
    plain = alive(workers)
    kernel.stop()
    kill(plain | sleepers(7001))
    check(len(plain) == 2, "the workers end without terrarium as well: this shows nothing")

    install("jail")
    kernel = Kernel("jail")
    before, workers = interrupted_pool(kernel)
    time.sleep(GRACE / 2)
    check(len(alive(workers)) == 2, "ended before the grace was over")
    until("the end of the workers", lambda: not alive(workers), GRACE + 5)
    until("a note", lambda: "ended 2 processes whose parent had died: python" in kernel.log(), 5)
    check(alive(before) == before, "others were ended as well", names(before - alive(before)), kernel.log())
    check(kernel.run("print(child.poll())") == "None\n", kernel.text)
    everything, ports = kernel.all(), kernel.ports()
    kernel.stop()
    nothing_left("shutdown", everything, ports)


def keep():
    install("keeping", "--orphans", "keep")
    kernel = Kernel("keeping")
    _, workers = interrupted_pool(kernel)
    time.sleep(GRACE + 2)
    check(len(alive(workers)) == 2, "ended in spite of --orphans keep", kernel.log())
    everything = kernel.all()
    check(workers <= everything, "they are not below terrarium")
    kernel.stop()
    nothing_left("shutdown", everything)
    check("whose parent had died" not in kernel.log(), kernel.log())


def background():
    install("jail")
    kernel = Kernel("jail")
    check("not supported" in kernel.run("!sleep 7000 &"), kernel.text)
    kernel.run("import subprocess; a = subprocess.Popen(['sleep', '7001'])")
    kernel.run("%%bash --bg\nsleep 7002")
    # The shell ends, and what it started in the background stays, with nobody to wait for it.
    kernel.run("import os; b = os.system('sleep 7003 & exec sleep 0.1')")
    kernel.run("%%bash\nsleep 7004 >/dev/null 2>&1 &")
    # IPython runs this on a terminal of its own, and hangs up.
    kernel.run("!(sleep 7005 &)")
    until("them all", lambda: all(sleepers(n) for n in [7001, 7002, 7003, 7004]))
    until("the orphans' end", lambda: not any(sleepers(n) for n in [7003, 7004, 7005]), GRACE + 8)
    check(sleepers(7001) and sleepers(7002), "one whose parent lives was ended", kernel.log())
    until("a note", lambda: "whose parent had died: sleep" in kernel.log(), 5)
    # A cell that waits for its orphan, which holds its output open, goes on when that is ended.
    began = time.monotonic()
    kernel.run("%%bash\nsleep 7006 &")
    check(time.monotonic() - began < 60, "the cell waited for its orphan")
    # For long enough that the grace would be over for them too.
    time.sleep(GRACE + 2)
    check(sleepers(7001) and sleepers(7002), "one whose parent lives was ended", kernel.log())
    everything = kernel.all()
    kernel.stop()
    nothing_left("shutdown", everything)


LOADER = """
import multiprocessing, os, sys, time
context = multiprocessing.get_context('fork')
def work(tasks, results):
    while True:
        results.put(tasks.get() ** 2)
def start(daemon):
    global tasks, results, workers
    tasks, results = context.Queue(), context.Queue()
    workers = [context.Process(target=work, args=(tasks, results), daemon=daemon) for _ in range(2)]
    for worker in workers:
        worker.start()
"""


def loader():
    install("jail")
    kernel = Kernel("jail")
    kernel.run(LOADER)
    kernel.run("start(True)")
    workers = until("workers", lambda: (k := kernel.all()) and len(k) >= 5 and k)
    time.sleep(GRACE + 3)
    check(alive(workers) == workers, "workers of the living kernel were ended", kernel.log())
    got = kernel.run("for i in range(4): tasks.put(i)\nprint(sorted(results.get() for i in range(4)))")
    check(got == "[0, 1, 4, 9]\n", got)
    # The same below a process that is killed.
    before = kernel.all()
    script = LOADER + "start(True)\ntime.sleep(600)\n"
    kernel.run(f"import subprocess, sys; job = subprocess.Popen([sys.executable, '-c', {script!r}])")
    new = until("the other workers", lambda: len(kernel.all() - before) >= 3 and kernel.all() - before)
    kernel.run("job.kill(); job.wait()")
    left = alive(new)
    check(len(left) == 2, "they end by themselves: this shows nothing", left)
    until("their end", lambda: not alive(left), GRACE + 5)
    check(alive(before) == before, "others were ended as well", names(before - alive(before)), kernel.log())
    until("a note", lambda: "ended 2 processes whose parent had died: python" in kernel.log(), 5)
    everything = kernel.all()
    kernel.stop()
    nothing_left("shutdown", everything)


# A daemon that leaves its session and ignores SIGTERM, and workers.
DAEMONS = """
import multiprocessing, subprocess, time
subprocess.run(['sh', '-c', 'trap "" TERM; setsid sleep 7010 & exit 0'])
children = [multiprocessing.get_context('fork').Process(target=time.sleep, args=(600,)) for _ in range(2)]
for child in children:
    child.start()
print('started')
"""


def with_daemons(name):
    kernel = Kernel(name)
    check(kernel.run(DAEMONS) == "started\n", kernel.text, kernel.log())
    until("the daemon", lambda: sleepers(7010))
    return kernel, kernel.all() | sleepers(7010), kernel.ports()


def shutdown():
    kernel, everything, _ = with_daemons("python3")
    kernel.stop()
    until("the kernel's end", lambda: len(alive(everything)) <= 1)
    plain = alive(everything)
    kill(plain)
    check(plain, "nothing stays without terrarium either: this shows nothing")

    install("jail")
    kernel, everything, ports = with_daemons("jail")
    check(len(everything) >= 6, everything)
    kernel.stop()
    nothing_left("shutdown", everything, ports)
    kernel, everything, ports = with_daemons("jail")
    kernel.stop(now=True)
    nothing_left("an immediate shutdown", everything, ports)


def restart():
    install("jail")
    kernel, everything, _ = with_daemons("jail")
    kernel.client.stop_channels()
    kernel.manager.restart_kernel()
    nothing_left("restart", everything)
    kernel.connect()
    check(kernel.run("print('children' in globals())") == "False\n", kernel.text)
    second, ports = kernel.all(), kernel.ports()
    kernel.stop()
    nothing_left("shutdown after restart", second, ports)


def killed():
    install("jail")
    # terrarium itself.
    kernel, everything, ports = with_daemons("jail")
    os.kill(kernel.pid, signal.SIGKILL)
    nothing_left("SIGKILL to terrarium", everything, ports)
    kernel.stop(now=True)
    # The kernel: a child of terrarium's init, the one that listens.
    kernel, everything, ports = with_daemons("jail")
    kernel.run("import ctypes, os")
    pid = next(p for (p, _), (name, parent) in processes().items() if stat(parent) and stat(parent)[2] == kernel.pid)
    os.kill(pid, signal.SIGKILL)
    nothing_left("SIGKILL to the kernel", everything, ports)
    until("Jupyter to see it", lambda: not kernel.manager.is_alive())
    check("was killed by SIGKILL" in kernel.log(), kernel.log())
    kernel.stop(now=True)
    # By itself.
    kernel, everything, ports = with_daemons("jail")
    kernel.client.execute("import os; os._exit(3)")
    nothing_left("the kernel's own end", everything, ports)
    check("ended with status 3" in kernel.log(), kernel.log())
    kernel.stop(now=True)


def client():
    """Is killed by lost_client()."""
    kernel, everything, ports = with_daemons(sys.argv[3])
    print(json.dumps([sorted(everything), ports, kernel.log_path]), flush=True)
    time.sleep(600)


def lose_client(name):
    words = [sys.executable, __file__, TERRARIUM, "client", name]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
    line = process.stdout.readline()
    check(line, "the client failed")
    everything, ports, log = json.loads(line)
    process.kill()
    process.wait()
    return {tuple(key) for key in everything}, ports, log


def lost_client():
    everything, _, _ = lose_client("python3")
    until("the kernel's own end", lambda: len(alive(everything)) <= 3)
    time.sleep(2)
    plain = alive(everything)
    kill(plain)
    check(plain, "nothing stays without terrarium either: this shows nothing")

    install("jail")
    everything, ports, log = lose_client("jail")
    nothing_left("the client's SIGKILL", everything, ports)
    with open(log) as file:
        text = file.read()
    check("the process that started it has ended: ending the job" in text, text)


def hidden():
    """Options that hide where the connection file is."""
    check("TCP" in terrarium("kernel", "install", "--net", "none", ok=False))
    own = os.path.join(HOME, ".local")
    os.makedirs(own, exist_ok=True)
    # A Python that the options hide is refused when the kernel is installed, not when it is started.
    if sys.prefix.startswith("/tmp/"):
        said = terrarium("kernel", "install", "--python", sys.executable, "--private-tmp", ok=False)
        check("does not start with these options" in said, said)
    for options, path in [
        (["--hide", own], own + "/share/jupyter/kernels"),
        (["--private-tmp", "--bind", sys.prefix, "--bind", HOME + "/ipython"], HOME + "/.local"),
    ]:
        os.makedirs(HOME + "/ipython", exist_ok=True)
        install("hidden", *options)
        kernel = Kernel("hidden")
        check(kernel.run(f"import os; print(os.path.exists({path!r}))") == "False\n", kernel.text)
        everything, ports = kernel.all(), kernel.ports()
        kernel.stop()
        nothing_left("shutdown", everything, ports)


def debugger():
    """The debugger's adapter makes an orphan of itself, and belongs to the kernel all the same."""

    def adapters():
        found = set()
        for key in kernel.all():
            try:
                with open(f"/proc/{key[0]}/cmdline", "rb") as file:
                    if b"debugpy/adapter" in file.read():
                        found.add(key)
            except OSError:
                pass
        return found

    install("jail")
    kernel = Kernel("jail")
    arguments = {"clientID": "test", "adapterID": "", "pathFormat": "path", "linesStartAt1": True}
    content = {"type": "request", "seq": 1, "command": "initialize", "arguments": arguments}
    message = kernel.client.session.msg("debug_request", content)
    kernel.client.control_channel.send(message)
    reply = kernel.client.get_control_msg(timeout=PATIENCE)
    check(reply["content"].get("success"), reply["content"], kernel.log())
    adapter = until("the debugger's adapter", adapters)
    time.sleep(GRACE + 3)
    check(alive(adapter) == adapter, "the debugger's adapter was ended", kernel.log())
    # Another orphan beside it is ended.
    kernel.run("import os; b = os.system('sleep 7003 & exec sleep 0.1')")
    until("the orphan", lambda: sleepers(7003))
    until("the orphan's end", lambda: not sleepers(7003), GRACE + 8)
    check(alive(adapter) == adapter, "the debugger's adapter was ended", kernel.log())
    everything, ports = kernel.all(), kernel.ports()
    kernel.stop()
    nothing_left("shutdown", everything, ports)


def only():
    """The connection file is not in what --only names, and shown all the same."""
    project = os.path.join(HOME, "project")
    os.makedirs(project)
    os.chdir(project)
    # The Python that the environment was made from lies in /usr.
    os.makedirs(HOME + "/ipython")
    install("only", "--only", ".", "--only", sys.prefix + ":ro", "--only", HOME + "/ipython")
    kernel = Kernel("only")
    check(kernel.run("import os; print(os.getcwd())") == f"{project}\n", kernel.text)
    seen = kernel.run(f"print(os.listdir({HOME!r} + '/.local/share'))")
    check("FileNotFoundError" in seen or "PermissionError" in seen, seen)
    everything, ports = kernel.all(), kernel.ports()
    kernel.stop()
    nothing_left("shutdown", everything, ports)


def specs():
    """Only terrarium's own kernel specs are written over, listed and removed."""
    kernels = os.path.join(HOME, ".local/share/jupyter/kernels")
    os.makedirs(kernels + "/other")
    other = kernels + "/other/kernel.json"
    with open(other, "w") as file:
        json.dump({"argv": ["x"], "display_name": "X", "language": "x"}, file)
    check("is not terrarium's" in terrarium("kernel", "install", "--name", "other", "--python", sys.executable, ok=False))
    check("left alone" in terrarium("kernel", "remove", "other", ok=False))
    check("no kernel spec" in terrarium("kernel", "remove", "nowhere", ok=False))
    # Debian has an ipykernel as well, which may be installed.
    if subprocess.run(["/usr/bin/python3", "-c", "import ipykernel"], capture_output=True).returncode != 0:
        check("no ipykernel" in terrarium("kernel", "install", "--python", "/usr/bin/python3", ok=False))
    check("cannot be the name" in terrarium("kernel", "install", "--name", "../x", ok=False))
    install("b", "--mem", "8G", "--display-name", "Büro")
    install("A")
    install("a")
    prefix = os.path.join(HOME, "prefix")
    install("c", "--prefix", prefix)
    found = json.loads(terrarium("kernel", "list", "--json"))["kernels"]
    check([k["name"] for k in found] == ["a", "b"], found)
    check(found[1]["display_name"] == "Büro" and found[1]["problem"] is None, found)
    check(["--mem", "8G"] == found[1]["argv"][2:4], found)
    check("c" in terrarium("kernel", "list", "--prefix", prefix))
    with open(other) as file:
        check(json.load(file)["argv"] == ["x"], "it was written over")
    install("other", "--replace")
    for words in [["a"], ["b"], ["other"], ["c", "--prefix", prefix]]:
        terrarium("kernel", "remove", *words)
    check(os.listdir(kernels) == [], os.listdir(kernels))


CASES = [interrupt, only, specs, pool, keep, background, loader, debugger, shutdown, restart, killed, lost_client, hidden, client]
{case.__name__: case for case in CASES}[CASE]()
