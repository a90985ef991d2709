//! What the hook never does, compared with the same program without it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::pythons;
use crate::support::{self, directory, hook, numbered, requires, run, scripts};

fn plain(program: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", "/nonexistent")
        .env("LC_ALL", "C.UTF-8")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PYTHONHASHSEED", "0")
        .stdin(Stdio::null())
        .current_dir("/");
    command
}

/// Environment, signal handlers and masks, descriptors, limits, threads: all that a process sees of itself.
#[test]
fn a_process_is_the_same_to_itself() {
    requires!(hook().is_some(), "there is no hook: make build");
    let empty = numbered(directory(), "empty").join("empty.so");
    let source = empty.with_extension("c");
    fs::write(&source, "").unwrap();
    let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&empty, &source]).status().unwrap();
    assert!(built.success());
    let spool = support::spool();
    for python in pythons::watched().filter(|python| python.root.is_none() && !python.has_kernel) {
        let with = |preload: &Path| {
            let mut command = plain(&python.executable);
            command.arg(scripts().join("attacks/state.py"));
            let done = run(command.env("LD_PRELOAD", preload).env("TERRARIUM_SPOOL", &spool));
            assert_eq!((done.status, done.err.as_str()), (0, ""), "{}", python.label());
            done.out.replace(preload.to_str().unwrap(), "PRELOAD")
        };
        let (hooked, alone) = (with(hook().unwrap()), with(&empty));
        assert!(alone.lines().count() > 60 && alone.contains("SigCgt"), "{alone}");
        assert_eq!(hooked, alone, "{}", python.label());
    }
    assert!(fs::read_dir(&spool).unwrap().count() > 0, "the hook was there");
}

/// System calls of a run, by what matters of them.
#[derive(Default)]
struct Trace {
    /// How often each was called.
    calls: BTreeMap<String, usize>,
    /// Paths that were opened or asked for, in any way.
    paths: BTreeSet<String>,
    /// What was written to standard output and error.
    written: Vec<String>,
    /// Handlers that were set, without addresses.
    handlers: Vec<String>,
}

fn trace(python: &Path, spool: Option<&Path>) -> Trace {
    let file = numbered(directory(), "trace").join("trace");
    let mut command = plain(Path::new("strace"));
    command.args(["-f", "-qq", "-s", "300", "-o"]).arg(&file);
    if let Some(spool) = spool {
        command.args(["-E", &format!("LD_PRELOAD={}", hook().unwrap().display())]);
        command.args(["-E", &format!("TERRARIUM_SPOOL={}", spool.display())]);
    }
    let done = run(command.arg(python).arg(scripts().join("attacks/imports.py")));
    assert_eq!((done.status, done.out.as_str(), done.err.as_str()), (3, "done\n", ""));
    let mut trace = Trace::default();
    for line in fs::read_to_string(&file).unwrap().lines() {
        let Some((name, arguments)) =
            line.split_once(' ').and_then(|(_, call)| call.trim_start().split_once('('))
        else {
            continue;
        };
        if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            continue;
        }
        *trace.calls.entry(name.to_owned()).or_default() += 1;
        match name {
            "write" | "writev" | "pwrite64" if arguments.starts_with("1,") || arguments.starts_with("2,") => {
                trace.written.push(arguments.to_owned());
            }
            "rt_sigaction" if !arguments.contains(", NULL, ") => {
                let signal = arguments.split(',').next().unwrap_or_default();
                let handler = arguments.split("sa_handler=").nth(1).and_then(|rest| rest.split(',').next());
                let handler = handler.map(|h| if h.starts_with("0x") { "set" } else { h });
                trace.handlers.push(format!("{signal} {handler:?}"));
            }
            _ => {}
        }
        // The first text in quotes that is a path.
        trace
            .paths
            .extend(arguments.split('"').nth(1).filter(|text| text.starts_with('/')).map(str::to_owned));
    }
    trace
}

#[test]
fn nothing_is_asked_of_the_kernel_but_the_spool_and_proc() {
    requires!(hook().is_some(), "there is no hook: make build");
    requires!(Command::new("strace").arg("-V").output().is_ok(), "there is no strace");
    for python in pythons::watched().filter(|python| python.root.is_none() && !python.has_kernel) {
        let spool = support::spool();
        let (with, alone) = (trace(&python.executable, Some(&spool)), trace(&python.executable, None));
        assert!(alone.paths.len() > 200, "the trace is read");
        assert_eq!(fs::read_dir(&spool).unwrap().count(), 2, "the hook was there");

        let spool = spool.to_str().unwrap();
        let hook = hook().unwrap().to_str().unwrap();
        let allowed =
            |path: &&String| path.starts_with(spool) || path.starts_with("/proc/") || **path == hook;
        let others: Vec<&String> =
            with.paths.difference(&alone.paths).filter(|path| !allowed(path)).collect();
        assert!(others.is_empty(), "{}: {others:?}", python.label());
        assert_eq!(with.written, alone.written, "{}", python.label());
        assert_eq!(with.handlers, alone.handlers, "{}", python.label());

        // Which calls it makes at all, and none that waits, starts something or changes the process.
        let ours = "openat open close read pread64 pwrite64 fallocate fstat newfstatat fstatfs mmap munmap mprotect \
                    readlink readlinkat getrlimit prlimit64 uname getpid getppid getuid gettid clock_gettime brk";
        for (name, count) in &with.calls {
            let before = alone.calls.get(name).copied().unwrap_or(0);
            // Its allocator gives memory back as time passes.
            let is_its_own = python.free_threaded && name == "madvise";
            let is_ours = is_its_own || ours.split_whitespace().any(|known| known == name);
            assert!(*count <= before || is_ours, "{}: {name} {count} times, not {before}", python.label());
        }
    }
}
