"""Plays a person at `terrarium top`: opens the screen, looks into a job, sorts, resizes, and leaves in every way.

usage: top.py TERRARIUM; ends with 1 and says what it saw if anything is wrong.
"""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

TERRARIUM = sys.argv[1]
ENTER, LEAVE = "\x1b[?1049h", "\x1b[?1049l"


class Top:
    """A terminal that outlives the program in it, as a real one does."""

    def __init__(self, *flags, columns=100, lines=30):
        self.fd, self.other = pty.openpty()
        self.resize(columns, lines)
        self.modes = termios.tcgetattr(self.other)
        self.text = ""
        environment = dict(os.environ, TERM="xterm-256color", LC_ALL="C.UTF-8")
        self.process = subprocess.Popen(
            [TERRARIUM, "top", "--interval", "200ms", *flags],
            stdin=self.other,
            stdout=self.other,
            stderr=self.other,
            env=environment,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )

    def resize(self, columns, lines):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def read(self, seconds):
        if select.select([self.fd], [], [], seconds)[0]:
            self.text += os.read(self.fd, 65536).decode(errors="replace")
            # How it looks is not looked at here.
            self.text = re.sub("\x1b\\[[0-9;]*m", "", self.text)

    def expect(self, pattern, seconds=25):
        """Waits for a pattern; what came before it is used up."""
        end = time.monotonic() + seconds
        while not (found := re.search(pattern, self.text, re.S)):
            if time.monotonic() > end:
                sys.exit(f"waited in vain for {pattern!r}; seen:\n{self.text[-6000:]!r}")
            self.read(0.2)
        seen, self.text = self.text[: found.end()], self.text[found.end() :]
        return seen

    def send(self, text):
        self.text = ""
        os.write(self.fd, text.encode())

    def is_raw(self):
        return not termios.tcgetattr(self.other)[3] & (termios.ICANON | termios.ECHO)

    def ended(self, status):
        """It has ended with this status, and the terminal is as it was."""
        end = time.monotonic() + 25
        while self.process.poll() is None:
            if time.monotonic() > end:
                sys.exit(f"it does not end; seen:\n{self.text[-6000:]!r}")
            self.read(0.05)
        while select.select([self.fd], [], [], 0)[0]:
            self.read(0)
        assert self.process.returncode == status, (self.process.returncode, self.text)
        modes = termios.tcgetattr(self.other)
        assert modes == self.modes, (modes, self.modes)
        assert self.text.rstrip().endswith(LEAVE), self.text[-200:]
        assert "\x1b[?25h" in self.text and "\x1b[?7h" in self.text, self.text[-200:]
        os.close(self.fd)
        os.close(self.other)


def keys(job):
    top = Top()
    top.expect(re.escape(ENTER))
    top.expect(r"CPU↓.*COMMAND")
    top.expect("the-job")
    assert top.is_raw()
    # Whatever else runs here is out of the way.
    top.send("/the-job\r")
    top.expect("filter: the-job")
    top.send("\r")
    top.expect(rf"job {job}-\d+-\d+  user.*PID S  CPU%.*\(main\)")
    top.send("m")
    top.expect("MEM↓")
    top.send("\x7f")
    top.expect("MEM↓.*COMMAND")
    top.send("r")
    top.expect("MEM↑")
    top.send("?")
    top.expect("choose a job")
    top.send("x")
    top.expect("COMMAND")
    top.resize(40, 10)
    top.send("")
    # Drawn anew, without what has no room.
    seen = top.expect(r"JOB[^\n]*?COMMAND")
    assert "LEFT" not in seen, seen
    top.resize(3, 1)
    time.sleep(0.5)
    top.resize(100, 30)
    top.expect("LEFT.*COMMAND")
    # A hostile name is shown, but what is in it does not reach the terminal.
    top.send("\x1b")
    top.expect("evil")
    for _ in range(5):
        top.read(0.2)
    assert "\x1b]0;" not in top.text and "\x07" not in top.text, top.text
    top.send(" ")
    top.expect("paused")
    top.send("q")
    top.ended(0)


def ends_by_key(text):
    top = Top()
    top.expect("COMMAND")
    top.send(text)
    top.ended(0)


def ends_by_signal(number):
    top = Top()
    top.expect("COMMAND")
    top.process.send_signal(number)
    top.ended(128 + number)


def stops_and_goes_on():
    top = Top()
    top.expect("COMMAND")
    top.send("\x1a")
    # Given back while it is stopped.
    top.expect(re.escape(LEAVE))
    end = time.monotonic() + 20
    while open(f"/proc/{top.process.pid}/stat").read().rsplit(")", 1)[1].split()[0] != "T":
        assert time.monotonic() < end, "not stopped"
        time.sleep(0.01)
    assert not top.is_raw()
    top.process.send_signal(signal.SIGCONT)
    top.expect(re.escape(ENTER) + ".*COMMAND")
    assert top.is_raw()
    top.send("q")
    top.ended(0)


def hang_up():
    top = Top()
    top.expect("COMMAND")
    os.close(top.fd)
    assert top.process.wait(25) == 128 + signal.SIGHUP, top.process.returncode
    os.close(top.other)


def idles():
    """It sleeps between looks: no busy loop."""
    top = Top()
    top.expect("COMMAND")
    top.send(" ")
    top.expect("paused")
    fields = lambda: open(f"/proc/{top.process.pid}/stat").read().rsplit(")", 1)[1].split()
    before = int(fields()[11]) + int(fields()[12])
    time.sleep(1)
    after = int(fields()[11]) + int(fields()[12])
    assert after - before <= 5, f"{after - before} ticks in a second"
    top.send("q")
    top.ended(0)


evil = "'evil \x1b]0;owned\x07 \x1b[2J'; import time; time.sleep(600)"
jobs = [
    subprocess.Popen([TERRARIUM, "run", "-q", "--time", "1h", "--", *command], stdin=subprocess.DEVNULL)
    for command in (["sh", "-c", "sleep 600; : the-job"], ["/usr/bin/python3", "-c", evil])
]
try:
    for play, *arguments in [
        (keys, jobs[0].pid),
        (ends_by_key, "\x03"),
        (ends_by_key, "\x1b"),
        (ends_by_signal, signal.SIGTERM),
        (ends_by_signal, signal.SIGHUP),
        (stops_and_goes_on,),
        (hang_up,),
        (idles,),
    ]:
        play(*arguments)
        print("fine:", play.__name__, *arguments, flush=True)
finally:
    for job in jobs:
        job.kill()
        job.wait()
