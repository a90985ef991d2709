//! How a process of the matrix ends, and what its parent then sees.

use crate::pythons::Python;
use crate::ways::Way;

/// One ending: its name in tests/python/hook/payload.py, and what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    /// What `wait` tells of a plain script: the exit status, or the signal as a negative number.
    status: i32,
}

pub(crate) const ENDINGS: [Ending; 16] = [
    Ending { name: "normal", what: "the script ends", status: 0 },
    Ending { name: "sys_exit", what: "`sys.exit(3)`", status: 3 },
    Ending { name: "exception", what: "an exception that nobody catches", status: 1 },
    Ending { name: "thread_exit", what: "`SystemExit` in a thread, then the end of the script", status: 0 },
    Ending { name: "os_exit", what: "`os._exit(4)`", status: 4 },
    Ending { name: "sigterm", what: "SIGTERM", status: -15 },
    Ending { name: "sigint", what: "SIGINT: `KeyboardInterrupt`", status: -2 },
    Ending { name: "sigkill", what: "SIGKILL", status: -9 },
    Ending { name: "sigsegv", what: "SIGSEGV: a null pointer is read by ctypes", status: -11 },
    Ending { name: "abort", what: "`os.abort()`", status: -6 },
    Ending { name: "memory", what: "`MemoryError` at an address space limit", status: 1 },
    Ending { name: "memory_kill", what: "killed by a cgroup's memory limit", status: -9 },
    Ending { name: "exec", what: "`os.execv` of another program", status: 7 },
    Ending { name: "importing", what: "SIGKILL while a module is imported", status: -9 },
    Ending { name: "daemons", what: "`Py_Finalize` while three daemon threads import", status: 0 },
    Ending { name: "overflow", what: "the C stack overflows", status: -11 },
];

impl Ending {
    /// What `wait` tells in this way to start.
    pub(crate) fn status(self, way: Way) -> i32 {
        match (self.name, way) {
            // `KeyboardInterrupt` is an exception like others there.
            ("sigint", Way::Embedded | Way::EmbeddedPrivate | Way::Fork | Way::Spawn | Way::ForkServer) => 1,
            // A kernel reports what its cell raised, and goes on until it is told to end.
            ("sys_exit" | "exception" | "sigint" | "memory", Way::Jupyter) => 0,
            _ => self.status,
        }
    }

    /// Why there is no such end of such a process, if so.
    pub(crate) fn cannot(self, python: &Python, way: Way) -> Option<&'static str> {
        match self.is("daemons") {
            true if python.free_threaded => Some("CPython hangs there by itself from time to time"),
            // Without the hook as with it: memory is freed that the threads still use.
            true if way == Way::SubInterpreter => {
                Some("CPython crashes there by itself, once in a thousand times")
            }
            _ => None,
        }
    }

    pub(crate) fn is(self, name: &str) -> bool {
        self.name == name
    }
}
