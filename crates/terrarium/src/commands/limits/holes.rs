//! What was not stopped, in words, and what to do instead.

use serde::Serialize;
use terrarium_core::report::Enforcer;

use super::cell::Verdict;
use super::{CountCell, Measured};

/// A limit that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Hole {
    /// The column.
    pub(super) limit: String,
    /// What it did not stop.
    pub(super) ways: Vec<String>,
    pub(super) message: String,
    /// What to do.
    pub(super) instead: String,
}

fn is_hole(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::NotStopped { .. } | Verdict::Late)
}

fn about_memory(limit: &str, enforcer: Option<Enforcer>, stopped: usize) -> (String, String) {
    let has_cgroup = matches!(enforcer, Some(Enforcer::CgroupV1 | Enforcer::CgroupV2));
    let otherwise =
        if has_cgroup { "use --mem" } else { "a memory cgroup, which --mem uses where it is to be had" };
    let (message, instead) = match (limit, enforcer) {
        ("m", _) if stopped == 0 => ("stops nothing: Linux has ignored it since 2.4.30", otherwise),
        ("d", _) => ("counts private memory, and each process alone", otherwise),
        ("v", _) => (
            "counts what is mapped, and each process alone; and also what is reserved and never used, as GPU libraries do",
            otherwise,
        ),
        ("mem", Some(Enforcer::RlimitData)) => (
            "is RLIMIT_DATA here, for want of a memory cgroup: it counts private memory, and each process alone",
            "--require-mem refuses to start like this; `systemd-run --user --scope -p Delegate=yes terrarium run …` may give a cgroup",
        ),
        ("mem", None) => ("is not enforced here", "ask for a memory cgroup"),
        _ => ("did not stop all", "tell those who look after this node, or terrarium's authors"),
    };
    (message.to_owned(), instead.to_owned())
}

/// What the limits that were tried do not stop.
pub(super) fn holes(measured: &Measured) -> Vec<Hole> {
    let mut holes = Vec::new();
    for limit in ["m", "d", "v", "mem"] {
        // Page cache is no harm: the kernel drops it where memory is short.
        let column = || measured.memory.iter().filter(|c| c.limit == limit && c.way != "file");
        let ways: Vec<String> = column().filter(|c| is_hole(&c.verdict)).map(|c| c.way.clone()).collect();
        if ways.is_empty() {
            continue;
        }
        let stopped = column().filter(|c| matches!(c.verdict, Verdict::Stopped | Verdict::Killed)).count();
        let (message, instead) = about_memory(limit, measured.mem_enforced_by, stopped);
        holes.push(Hole { limit: limit.to_owned(), ways, message, instead });
    }
    holes.extend(counted(
        &measured.cpus,
        "OMP_NUM_THREADS=1",
        "is a request to some libraries: processes do not heed it",
        "use --cpus",
    ));
    holes.extend(counted(
        &measured.cpus,
        "taskset",
        "is undone by whoever asks for other CPUs",
        "use --cpus",
    ));
    holes.extend(counted(
        &measured.cpus,
        "--cpus 1",
        "does not hold here",
        "see the notes of `terrarium run --cpus 1 true`",
    ));
    let root = "does not hold for root";
    let user = "does not hold here";
    let message = if measured.uid == 0 { root } else { user };
    holes.extend(counted(&measured.pids, "ulimit -u", message, "use --pids"));
    holes.extend(counted(
        &measured.pids,
        "--pids",
        "does not hold here",
        "see the notes of `terrarium run --pids 8 true`",
    ));
    holes
}

fn counted(cells: &[CountCell], limit: &str, message: &str, instead: &str) -> Option<Hole> {
    let of_it = cells.iter().filter(|c| c.limit == limit && is_hole(&c.verdict));
    let ways: Vec<String> = of_it.map(|c| c.way.to_owned()).collect();
    let (limit, message, instead) = (limit.to_owned(), message.to_owned(), instead.to_owned());
    (!ways.is_empty()).then_some(Hole { limit, ways, message, instead })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_limit_does_not_stop() {
        let text = |limit, enforcer, stopped| about_memory(limit, enforcer, stopped).0;
        assert!(text("m", None, 0).contains("ignored"));
        assert!(!text("m", None, 1).contains("ignored"));
        assert!(text("mem", Some(Enforcer::RlimitData), 3).contains("RLIMIT_DATA"));
        assert!(text("mem", Some(Enforcer::CgroupV2), 3).contains("did not stop all"));
        assert!(text("mem", None, 3).contains("not enforced"));
    }

    #[test]
    fn counted_cells_make_one_hole_a_limit() {
        let cell = |way, limit, verdict| CountCell { way, limit, allowed: 1, asked: 2, had: 2, verdict };
        let cells = [
            cell("as-started", "taskset", Verdict::Stopped),
            cell("asking-for-more", "taskset", Verdict::NotStopped { count: 2 }),
            cell("asking-for-more", "--cpus 1", Verdict::Stopped),
        ];
        assert_eq!(counted(&cells, "taskset", "x", "y").unwrap().ways, ["asking-for-more"]);
        assert_eq!(counted(&cells, "--cpus 1", "x", "y"), None);
    }
}
