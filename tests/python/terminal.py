"""Plays a person at a terminal: a shell with job control, Ctrl-C, Ctrl-Z and fg.

usage: terminal.py TERRARIUM SIGCOUNT TIOCSTI; ends with 1 and says what it saw if anything differs from a plain run.
"""

import os
import pty
import re
import select
import signal
import sys
import time

TERRARIUM, SIGCOUNT, TIOCSTI = sys.argv[1:4]


class Terminal:
    """A bash with job control on a pseudo-terminal."""

    def __init__(self):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            # A person's shell hears of a lost terminal, also where these tests were started by nohup.
            signal.signal(signal.SIGHUP, signal.SIG_DFL)
            os.environ["PS1"] = "PROMPT> "
            os.execvp("bash", ["bash", "--norc", "--noprofile", "--noediting", "-i"])
        self.text = ""
        self.expect("PROMPT> ")

    def read(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            ready, _, _ = select.select([self.fd], [], [], 0.05)
            if ready:
                try:
                    data = os.read(self.fd, 65536)
                except OSError:
                    return
                self.text += data.decode(errors="replace")
                return

    def expect(self, pattern, seconds=25):
        """Waits for a pattern, less long than the test waits for this script; what came before it is used up."""
        end = time.monotonic() + seconds
        while True:
            found = re.search(pattern, self.text)
            if found:
                seen, self.text = self.text[: found.end()], self.text[found.end() :]
                return seen
            if time.monotonic() > end:
                sys.exit(f"waited in vain for {pattern!r}; seen:\n{self.text}")
            self.read(0.5)

    def send(self, text):
        os.write(self.fd, text.encode())

    def line(self, text):
        self.send(text + "\n")
        self.expect(re.escape(text) + r"\r?\n")

    def run(self, text):
        """A command to its end; what it printed."""
        self.line(text)
        return self.expect("PROMPT> ")


def ctrl_c_ends_a_plain_job(t):
    t.line(f"{TERRARIUM} run -q sleep 60")
    time.sleep(0.5)
    t.send("\x03")
    t.expect("PROMPT> ")
    assert "130" in t.run("echo status $?"), "status of an interrupted job"


def ctrl_z_and_fg(t):
    t.line(f"{TERRARIUM} run -q sh -c 'echo begun; sleep 1; echo over; exit 7'")
    t.expect("begun")
    # dash starts `sleep` by vfork: stopped in the middle of that, it would wait for ever, also without us.
    time.sleep(0.3)
    t.send("\x1a")
    t.expect("Stopped")
    t.expect("PROMPT> ")
    assert "Stopped" in t.run("jobs")
    time.sleep(1.5)
    seen = t.run("")
    assert "over" not in seen, "a stopped job went on"
    t.line("fg")
    t.expect("over")
    t.expect("PROMPT> ")
    assert "status 7" in t.run("echo status $?")


def background_and_kill(t):
    t.run(f"{TERRARIUM} run -q sleep 60 &")
    assert "Running" in t.run("jobs")
    t.run("kill %1")
    t.line("wait %1; echo status $?")
    t.expect(r"status 143")
    t.expect("PROMPT> ")


def reads_from_the_terminal(t):
    t.line(f"{TERRARIUM} run -q cat")
    time.sleep(0.3)
    t.send("typed\n")
    t.expect("typed\r\ntyped")
    t.send("\x04")
    t.expect("PROMPT> ")


def a_pipeline_keeps_the_terminal(t):
    # `cat` beside it in the pipeline must still be able to read the keyboard.
    t.line(f"{TERRARIUM} run -q sleep 1 | cat - /dev/tty")
    t.send("keyboard\n")
    t.expect("keyboard\r\nkeyboard")
    t.send("\x04")
    t.expect("PROMPT> ")


def a_shell_inside(t):
    t.line(f"{TERRARIUM} run -q bash --norc --noprofile --noediting -i")
    t.expect("PROMPT> ")
    t.line("sleep 60")
    time.sleep(0.3)
    t.send("\x1a")
    t.expect("Stopped")
    t.expect("PROMPT> ")
    # After `jobs`, bash exits without a word about what is stopped.
    assert "Stopped" in t.run("jobs")
    t.line("exit 3")
    t.expect("PROMPT> ")
    assert "status 3" in t.run("echo status $?")
    # The terminal is back with this shell: a command can read it.
    t.line("cat")
    t.send("again\n")
    t.expect("again\r\nagain")
    t.send("\x04")
    t.expect("PROMPT> ")


def after_a_shell_in_a_script(t):
    # A script has no job control: it is terrarium that has to give the terminal back.
    t.line(f"sh -c '{TERRARIUM} run -q bash --norc --noprofile --noediting -i; head -1'")
    t.expect("PROMPT> ")
    t.line("exit")
    time.sleep(0.5)
    t.send("back\n")
    t.expect("back\r\nback")
    t.expect("PROMPT> ")


def characters_cannot_be_pushed(t):
    seen = t.run(f"{TERRARIUM} run -q {TIOCSTI}")
    assert "tiocsti: ok" not in seen, seen


def window_size(t):
    t.line(f"{TERRARIUM} run -q {SIGCOUNT} 20")
    t.expect("ready")
    import fcntl, struct, termios
    fcntl.ioctl(t.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 90, 0, 0))
    t.expect("WINCH 1")
    time.sleep(0.2)
    t.read(0.2)
    assert "WINCH 2" not in t.text
    t.send("\x1a")
    t.expect("Stopped")
    t.expect("PROMPT> ")
    t.run("kill -KILL %1")


def hang_up():
    t = Terminal()
    t.run(f"{TERRARIUM} run -q sleep 4711 &")
    t.line(f"{TERRARIUM} run -q sleep 4712")
    time.sleep(0.5)
    os.close(t.fd)
    os.waitpid(t.pid, 0)
    end = time.monotonic() + 20
    while os.popen("pgrep -u $(id -u) -f '^sleep 471[12]$'").read().strip():
        assert time.monotonic() < end, "a job survived its terminal"
        time.sleep(0.05)


terminal = Terminal()
for play in [
    ctrl_c_ends_a_plain_job,
    ctrl_z_and_fg,
    background_and_kill,
    reads_from_the_terminal,
    a_pipeline_keeps_the_terminal,
    a_shell_inside,
    after_a_shell_in_a_script,
    characters_cannot_be_pushed,
    window_size,
]:
    play(terminal)
    print("fine:", play.__name__, flush=True)
    terminal.text = ""

# sigcount handles INT, so this one needs a terminal to throw away.
other = Terminal()
other.line(f"{TERRARIUM} run -q {SIGCOUNT} 20")
other.expect("ready")
for n in (1, 2):
    other.send("\x03")
    other.expect(f"INT {n}")
    time.sleep(0.3)
other.read(0.3)
assert "INT 3" not in other.text, "Ctrl-C came twice"
other.send("\x1c")
other.expect("QUIT 1")
print("fine: ctrl_c_reaches_the_job_once", flush=True)
os.close(other.fd)

hang_up()
print("fine: hang_up", flush=True)
