//! What is alive, by a mark in the environment: it is inherited by everything that a contender and its job start, and no
//! tool is asked.

use std::io::Read;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The variable that holds the mark.
pub(super) const VARIABLE: &str = "TERRARIUM_COMPARE_MARK";

/// How long killing may take: programs that outrun it end by themselves after 20 s.
const PATIENCE: Duration = Duration::from_secs(30);

/// Living processes with exactly this mark. Those of `first` are looked at first: the quickest answer to how many of them
/// are alive at this moment. A zombie has no environment: it is dead.
pub(super) fn marked(mark: &str, first: &[u32]) -> Vec<u32> {
    let wanted = format!("{VARIABLE}={mark}");
    having(first, |variable| variable == wanted.as_bytes())
}

/// Kills everything whose mark begins like this, by PID, until nothing is left; whether that succeeded.
pub(super) fn sweep(prefix: &str) -> bool {
    let wanted = format!("{VARIABLE}={prefix}");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = having(&[], |variable| variable.starts_with(wanted.as_bytes()));
        if left.is_empty() || Instant::now() > deadline {
            return left.is_empty();
        }
        for pid in left {
            let _ = kill(Pid::from_raw(pid as i32), Signal::SIGKILL);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn having(first: &[u32], wanted: impl Fn(&[u8]) -> bool) -> Vec<u32> {
    let has = |pid: &u32| {
        std::fs::read(format!("/proc/{pid}/environ"))
            .is_ok_and(|text| text.split(|byte| *byte == 0).any(&wanted))
    };
    let mut found: Vec<u32> = first.iter().copied().filter(has).collect();
    let others = std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let own = std::process::id();
    found.extend(others.filter(|pid| *pid != own && !first.contains(pid) && has(pid)));
    found
}

/// Waits for the end of its standard input, which is the end of who started it, and sweeps.
pub(super) fn sweep_at_end_of_input(prefix: &str) {
    let mut nothing = Vec::new();
    let _ = std::io::stdin().read_to_end(&mut nothing);
    sweep(prefix);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn what_is_marked_is_found_and_ended() {
        let mark = format!("test-{}", std::process::id());
        let mut child = Command::new("sleep").arg("60").env(VARIABLE, &mark).spawn().unwrap();
        // It has its environment a moment after it was made.
        while marked(&mark, &[]).is_empty() && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        assert_eq!(marked(&mark, &[]), [child.id()]);
        assert_eq!(marked(&mark, &[child.id()]), [child.id()]);
        assert!(marked(&mark[..mark.len() - 1], &[]).is_empty());
        assert!(sweep(&mark));
        assert!(!child.wait().unwrap().success());
        assert!(marked(&mark, &[child.id()]).is_empty());
    }
}
