//! Which runs count, for what, and why the others do not.

use terrarium_core::Bytes;
use terrarium_core::report::{End, Enforcer, Measured, RunReport, Source};

/// Of its time a run may wait this much for memory and still be one that had enough.
const PRESSURE_ALLOWED: f64 = 0.01;

/// Ten years, a pebibyte, and more CPUs and GPUs than a node has: see [`impossible`].
const LONGEST_SECONDS: f64 = 10.0 * 366.0 * 86_400.0;
const LARGEST_MEMORY: Bytes = Bytes::mib(1 << 30);
const LARGEST_CPUS: u64 = 1 << 16;
const LARGEST_GPUS: u32 = 1 << 10;

/// What a run says of memory.
#[derive(Clone, Debug, PartialEq)]
pub enum Memory {
    /// It had all that it wanted; this was its peak.
    Peak(Peak),
    /// It wanted more than this.
    OutOfMemory(Bytes),
    /// Nothing to learn from.
    LeftOut {
        /// Why.
        why: String,
        /// What it had used, at least.
        at_least: Option<Bytes>,
    },
}

/// A peak to learn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peak {
    /// The peak.
    pub bytes: Bytes,
    /// Added up over processes: what they share counts several times.
    pub upper_bound: bool,
    /// Seen in samples.
    pub spikes_may_be_missing: bool,
    /// The cgroup's own peak met the limit by page cache, so that anonymous and shared memory stands for it.
    pub instead_of_cache: bool,
}

impl Peak {
    fn of(measured: Measured<Bytes>) -> Self {
        Peak {
            bytes: measured.value,
            upper_bound: measured.source == Source::SampledSum,
            spikes_may_be_missing: matches!(measured.source, Source::Sampled | Source::SampledSum),
            instead_of_cache: false,
        }
    }
}

/// Whether a run was ended before its time.
pub fn was_cut(report: &RunReport) -> bool {
    matches!(report.end, End::TimeLimit | End::Terminated | End::InitKilled | End::Survivors)
}

/// Whether a run came to its end by itself, and well.
pub fn was_whole(report: &RunReport) -> bool {
    report.end == End::Exited { code: 0 }
}

/// What a run says of memory.
pub fn memory(report: &RunReport) -> Memory {
    let usage = &report.usage;
    let measured = usage.memory_peak.filter(|m| m.value > Bytes(0));
    let peak = measured.map(|m| m.value);
    let left_out = |why: &str| left_out(report, why);
    match report.end {
        // What it may have had is known only if the limit was ours; what it had is known always.
        End::OutOfMemory => {
            let limit = limit(report).max(peak);
            return limit.map_or_else(
                || left_out("it ran out of memory, nobody knows at how much"),
                Memory::OutOfMemory,
            );
        }
        End::TimeLimit => return left_out("its time was over"),
        End::Terminated | End::InitKilled | End::Survivors => return left_out("it was ended from outside"),
        End::Signaled { signal } => return left_out(&format!("signal {signal} killed it")),
        End::Exited { code: 0 } => {}
        End::Exited { code } => return left_out(&format!("it failed with status {code}")),
    }
    let Some(measured) = measured else {
        return left_out("its memory was not measured");
    };
    // Under a limit for each process alone a program that gets no memory may go on with less.
    if !usage.memory_saturated {
        return Memory::Peak(Peak::of(measured));
    }
    match (waited_for_memory(report), usage.memory_anonymous_shared_peak) {
        (Some(true), _) => left_out("it met its limit and waited for memory"),
        (None, _) => left_out("it met its limit, and nobody knows whether it waited for memory"),
        (Some(false), None) => left_out("it met its limit by page cache, and nothing else was measured"),
        (Some(false), Some(own)) if own.value.0 / 9 >= measured.value.0 / 10 => {
            left_out("it met its limit, and not by page cache alone")
        }
        (Some(false), Some(own)) => {
            Memory::Peak(Peak { spikes_may_be_missing: true, instead_of_cache: true, ..Peak::of(own) })
        }
    }
}

/// A run that is not learnt from, with what it surely used: not page cache that met a limit, and no upper bound.
fn left_out(report: &RunReport, why: &str) -> Memory {
    let usage = &report.usage;
    let used = if usage.memory_saturated { usage.memory_anonymous_shared_peak } else { usage.memory_peak };
    let one_process = usage.processes_peak.is_some_and(|n| n.value <= 1);
    match used.filter(|m| m.value > Bytes(0)) {
        Some(sum) if sum.source == Source::SampledSum && !one_process => Memory::LeftOut {
            why: format!("{why} (its processes added up to {}, an upper bound)", sum.value),
            at_least: None,
        },
        used => Memory::LeftOut { why: why.to_owned(), at_least: used.map(|m| m.value) },
    }
}

/// What cannot be true of a run on any machine there is, if something of it cannot: a foreign hand wrote it, or a fault.
pub fn impossible(report: &RunReport) -> Option<&'static str> {
    let usage = &report.usage;
    let sizes = [usage.memory_peak, usage.memory_anonymous_shared_peak, usage.memory_working_set_peak];
    let limit = report.limits.memory.as_ref().map(|l| l.value);
    let is_large = |size: Bytes| size > LARGEST_MEMORY;
    let cpus = report.cpus.unwrap_or(1);
    let most = LARGEST_CPUS as f64 * report.wall_seconds.max(1.0);
    match () {
        () if !(0.0..=LONGEST_SECONDS).contains(&report.wall_seconds) => Some("its time cannot be true"),
        () if sizes.iter().flatten().any(|m| is_large(m.value)) || limit.is_some_and(is_large) => {
            Some("its memory cannot be true")
        }
        () if cpus > LARGEST_CPUS => Some("its CPUs cannot be true"),
        () if usage.cpu_seconds.is_some_and(|c| !(0.0..=most).contains(&c.value)) => {
            Some("its CPU time cannot be true")
        }
        () if usage.gpu.is_some_and(|g| g.used > g.devices || g.devices > LARGEST_GPUS) => {
            Some("its GPUs cannot be true")
        }
        () => None,
    }
}

/// The limit on the job as a whole.
fn limit(report: &RunReport) -> Option<Bytes> {
    let limit = report.limits.memory.as_ref()?;
    matches!(limit.enforced_by, Some(Enforcer::CgroupV1 | Enforcer::CgroupV2)).then_some(limit.value)
}

/// Whether the kernel had to take back memory that was in use. By PSI, or, where the kernel has none, by page faults that
/// waited for I/O: a job whose programs and mapped files are taken away reads them again and again. With swap the second
/// shows nothing that can be told from a normal start, and nothing is said.
fn waited_for_memory(report: &RunReport) -> Option<bool> {
    let wall = report.wall_seconds.max(1.0);
    if let Some(seconds) = report.usage.memory_pressure_seconds {
        return Some(seconds > wall * PRESSURE_ALLOWED);
    }
    let has_swap = report.limits.swap.as_ref().is_none_or(|swap| swap.value > Bytes(0));
    let own = report.usage.memory_anonymous_shared_peak?.value;
    let faults = report.usage.faults_major?.value as f64;
    let limit = limit(report)?;
    // Near the limit a spike between two looks would have been at it.
    (!has_swap && own.0 < limit.0 / 10 * 9).then_some(faults > 200.0 + 10.0 * wall)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use terrarium_core::Tier;
    use terrarium_core::report::{LeftBehind, Limit, Limits, SCHEMA, Usage};

    pub(crate) fn report(mib: u64) -> RunReport {
        RunReport {
            schema: SCHEMA.to_owned(),
            terrarium: "0".to_owned(),
            job: "1-2-3".parse().unwrap(),
            command: vec!["python3".to_owned(), "x.py".to_owned()],
            directory: "/home/a".to_owned(),
            host: "n".to_owned(),
            uid: 1,
            started: 0.0,
            wall_seconds: 100.0,
            end: End::Exited { code: 0 },
            exit_status: 0,
            tier: Tier::Userns,
            ranks: None,
            limits: Limits::default(),
            cpus: Some(4),
            executable: None,
            usage: Usage {
                memory_peak: Some(Measured::cgroup(Bytes::mib(mib))),
                memory_anonymous_shared_peak: Some(Measured::sampled(Bytes::mib(mib))),
                cpu_seconds: Some(Measured::cgroup(100.0)),
                ..Usage::default()
            },
            left_behind: LeftBehind::default(),
            orphans_ended: 0,
            survivors: vec![],
            tracking: None,
            findings: vec![],
        }
    }

    pub(crate) fn limited(mib: u64, limit: u64) -> RunReport {
        let mut report = report(mib);
        let enforced_by = Some(Enforcer::CgroupV2);
        report.limits.memory = Some(Limit { value: Bytes::mib(limit), enforced_by });
        report.limits.swap = Some(Limit { value: Bytes(0), enforced_by });
        report.usage.memory_saturated = mib * 100 >= limit * 99;
        report
    }

    fn why(report: &RunReport) -> String {
        match memory(report) {
            Memory::LeftOut { why, .. } => why,
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn only_whole_runs_are_learnt_from() {
        assert!(
            matches!(memory(&report(100)), Memory::Peak(p) if p.bytes == Bytes::mib(100) && !p.upper_bound)
        );
        for (end, part) in [
            (End::TimeLimit, "time was over"),
            (End::Terminated, "ended from outside"),
            (End::Signaled { signal: 11 }, "signal 11"),
            (End::Exited { code: 3 }, "status 3"),
        ] {
            let report = RunReport { end, ..report(100) };
            assert!(why(&report).contains(part), "{}", why(&report));
        }
        let mut nothing = report(1);
        nothing.usage.memory_peak = None;
        assert!(why(&nothing).contains("not measured"));
    }

    #[test]
    fn out_of_memory_is_known_by_the_limit() {
        let end = End::OutOfMemory;
        assert_eq!(memory(&RunReport { end, ..limited(99, 100) }), Memory::OutOfMemory(Bytes::mib(100)));
        assert_eq!(memory(&RunReport { end, ..report(70) }), Memory::OutOfMemory(Bytes::mib(70)));
    }

    #[test]
    fn page_cache_at_the_limit_is_told_from_want() {
        let mut run = limited(256, 256);
        assert!(why(&run).contains("nobody knows"), "no pressure figure is not a pressure of 0");
        run.usage.memory_anonymous_shared_peak = Some(Measured::sampled(Bytes::mib(40)));
        run.usage.memory_pressure_seconds = Some(0.1);
        let Memory::Peak(peak) = memory(&run) else { panic!("{}", why(&run)) };
        assert_eq!(
            (peak.bytes, peak.spikes_may_be_missing, peak.instead_of_cache),
            (Bytes::mib(40), true, true)
        );
        run.usage.memory_anonymous_shared_peak = Some(Measured::sampled(Bytes::mib(255)));
        assert!(why(&run).contains("not by page cache"), "{}", why(&run));
        run.usage.memory_anonymous_shared_peak = Some(Measured::sampled(Bytes::mib(40)));
        run.usage.memory_pressure_seconds = Some(30.0);
        assert!(why(&run).contains("waited"));
        run.usage.memory_pressure_seconds = None;
        run.usage.faults_major = Some(Measured::cgroup(20));
        assert!(matches!(memory(&run), Memory::Peak(_)));
        run.usage.faults_major = Some(Measured::cgroup(50_000));
        assert!(why(&run).contains("waited"));
        run.limits.swap = None;
        assert!(why(&run).contains("nobody knows"));
    }

    #[test]
    fn sums_over_processes_are_upper_bounds() {
        let mut run = report(100);
        run.usage.memory_peak = Some(Measured::sampled_sum(Bytes::mib(100)));
        assert!(matches!(memory(&run), Memory::Peak(p) if p.upper_bound && p.spikes_may_be_missing));
    }

    #[test]
    fn a_lower_bound_is_what_was_surely_used() {
        let at_least = |report: &RunReport| match memory(report) {
            Memory::LeftOut { at_least, .. } => at_least,
            other => panic!("{other:?}"),
        };
        let mut cut = RunReport { end: End::TimeLimit, ..report(100) };
        assert_eq!(at_least(&cut), Some(Bytes::mib(100)));
        cut.usage.memory_peak = Some(Measured::sampled_sum(Bytes::mib(100)));
        assert_eq!(at_least(&cut), None, "shared memory counted several times");
        cut.usage.processes_peak = Some(Measured::sampled(1));
        assert_eq!(at_least(&cut), Some(Bytes::mib(100)));
        let mut cached = limited(256, 256);
        cached.usage.memory_anonymous_shared_peak = Some(Measured::sampled(Bytes::mib(40)));
        assert_eq!(at_least(&cached), Some(Bytes::mib(40)), "the cache is not needed");
        let mut nothing = report(0);
        assert!(why(&nothing).contains("not measured"), "0 is no peak");
        nothing.end = End::TimeLimit;
        assert_eq!(at_least(&nothing), None);
    }

    #[test]
    fn figures_that_cannot_be_true_are_known() {
        assert_eq!(impossible(&report(100)), None);
        let changes: [fn(&mut RunReport); 7] = [
            |r| r.wall_seconds = -1.0,
            |r| r.wall_seconds = 1e300,
            |r| r.wall_seconds = f64::NAN,
            |r| r.usage.memory_peak = Some(Measured::cgroup(Bytes(u64::MAX))),
            |r| r.cpus = Some(u64::MAX),
            |r| r.usage.cpu_seconds = Some(Measured::cgroup(1e30)),
            |r| r.usage.cpu_seconds = Some(Measured::cgroup(-1.0)),
        ];
        for change in changes {
            let mut run = report(100);
            change(&mut run);
            assert!(impossible(&run).is_some(), "{run:?}");
        }
    }
}
