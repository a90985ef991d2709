//! A cgroup with a memory limit, for processes that are to be killed by it. One for the whole test run.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

const LIMIT: &str = "67108864";

fn kept() -> &'static Option<PathBuf> {
    static KEPT: OnceLock<Option<PathBuf>> = OnceLock::new();
    KEPT.get_or_init(make)
}

/// Its directory; `None` where none can be made.
pub(crate) fn limited() -> Option<&'static Path> {
    kept().as_deref()
}

fn make() -> Option<PathBuf> {
    let text = fs::read_to_string("/proc/self/cgroup").ok()?;
    let name = format!("terrarium-hook-test-{}", std::process::id());
    let v1 = text.lines().find_map(|line| line.split_once(":memory:"));
    let (parent, file) = match v1 {
        Some((_, path)) => (format!("/sys/fs/cgroup/memory{path}"), "memory.limit_in_bytes"),
        None => (
            format!("/sys/fs/cgroup{}", text.lines().find_map(|line| line.strip_prefix("0::"))?),
            "memory.max",
        ),
    };
    let directory = Path::new(&parent).join(name);
    fs::create_dir(&directory).ok()?;
    let limited = fs::write(directory.join(file), LIMIT);
    let _ = fs::write(directory.join("memory.swap.max"), "0");
    let entered = fs::OpenOptions::new().write(true).open(directory.join("cgroup.procs"));
    if limited.is_err() || entered.is_err() {
        let _ = fs::remove_dir(&directory);
        return None;
    }
    // What was killed in it may take a moment to go.
    let path = directory.display();
    crate::support::afterwards(&format!("for i in 1 2 3 4 5; do rmdir {path} && break; sleep 1; done"));
    Some(directory)
}
