//! Series for tests, as jobs would make them.

use terrarium_core::report::{End, Enforcer, Limit, Measured, RunReport, SCHEMA};
use terrarium_core::sample::{Metric, SERIES_SCHEMA, Sample, SeriesStart};
use terrarium_core::{Bytes, Finding, Tier};
use terrarium_observe::series::Series;

const GIB: f64 = 1024.0 * 1024.0 * 1024.0;

/// A command that tries everything.
pub(super) const HOSTILE: &str =
    "</title><script>alert(1)</script>\"' onload=x \u{1b}[31m\u{202e}&amp; ]]>--><!--";

/// 1970 and some: 2026-11-22 06:13:20 UTC.
const START: f64 = 1_795_328_000.0;

/// A run of which nothing is known but that it began.
pub(super) fn empty() -> Series {
    Series {
        start: SeriesStart {
            schema: SERIES_SCHEMA.to_owned(),
            job: "4711-183402-4026531836".parse().unwrap(),
            command: ["python3", "train.py", "--epochs", "3"].map(str::to_owned).to_vec(),
            directory: "/home/ada/work".to_owned(),
            host: "node017".to_owned(),
            started: START,
            interval_ms: 1000,
            cpus: 8,
            node_memory: Bytes::mib(256 * 1024),
            memory_limit: None,
            memory_by_cgroup: true,
        },
        samples: vec![],
        report: None,
        damage: None,
    }
}

/// A number from 0 to 1 that looks like chance.
fn noise(i: u64) -> f64 {
    let mixed = i.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (i << 17);
    ((mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40) as f64 / f64::from(1 << 24)
}

fn look(series: &mut Series, at: f64, values: &[(Metric, f64)]) {
    let mut sample = Sample::at(((START + at) * 1e3) as i64);
    for (metric, value) in values {
        sample.set(*metric, value.is_finite().then_some(*value as i64));
    }
    series.samples.push(sample);
}

fn common(i: u64, cpus: f64, memory: f64) -> Vec<(Metric, f64)> {
    vec![
        (Metric::Cpu, cpus * 1000.0),
        (Metric::MemoryWorkingSet, memory * GIB),
        (Metric::MemoryAnonymousShared, memory * 0.9 * GIB),
        (Metric::MainCpu, (noise(i * 7) * 8.0).floor()),
        (Metric::SwitchesVoluntary, 300.0 + 200.0 * noise(i + 3)),
        (Metric::SwitchesInvoluntary, 50.0 * cpus * noise(i + 5)),
        (Metric::FaultsMinor, 4000.0 * noise(i + 9)),
        (Metric::FaultsMajor, 0.0),
    ]
}

pub(super) fn report(series: &Series, seconds: f64, end: End) -> RunReport {
    RunReport {
        schema: SCHEMA.to_owned(),
        terrarium: "0.1.0".to_owned(),
        job: series.start.job,
        command: series.start.command.clone(),
        directory: series.start.directory.clone(),
        host: series.start.host.clone(),
        uid: 1000,
        started: series.start.started,
        wall_seconds: seconds,
        end,
        exit_status: 0,
        tier: Tier::Userns,
        ranks: None,
        limits: terrarium_core::report::Limits::default(),
        cpus: Some(series.start.cpus),
        executable: None,
        usage: terrarium_core::report::Usage::default(),
        left_behind: terrarium_core::report::LeftBehind::default(),
        orphans_ended: 0,
        survivors: vec![],
        tracking: None,
        findings: vec![],
    }
}

/// Four of eight CPUs for ten minutes.
pub(super) fn steady() -> Series {
    let mut series = empty();
    for i in 1..=600u64 {
        let mut values = common(i, 3.9 + 0.1 * noise(i), 1.5 + 0.02 * noise(i + 1));
        values.extend([
            (Metric::Processes, 1.0),
            (Metric::Threads, 5.0),
            (Metric::Read, if i % 60 == 5 { 2e8 } else { 1e4 * noise(i) }),
            (Metric::Written, 4e6 * noise(i + 2)),
            (Metric::MemoryPeak, (1.55 + 0.3 * (i as f64 / 60.0).floor() / 10.0) * GIB),
        ]);
        look(&mut series, i as f64, &values);
    }
    series.report = Some(report(&series, 600.4, End::Exited { code: 0 }));
    series
}

/// A pool that works, waits and works again; CPU and I/O pressure.
pub(super) fn pool() -> Series {
    let mut series = empty();
    series.start.command = vec!["python3".to_owned(), "pool.py".to_owned()];
    for i in 1..=5400u64 {
        let working = (i / 600) % 2 == 0;
        let cpus = if working { 7.6 + 0.4 * noise(i) } else { 0.9 + 0.1 * noise(i) };
        let mut values = common(i, cpus, if working { 11.0 } else { 3.0 } + noise(i / 40));
        values.extend([
            (Metric::Processes, if working { 9.0 } else { 1.0 }),
            (Metric::Threads, if working { 9.0 + 8.0 * (noise(i / 20) * 3.0).floor() } else { 2.0 }),
            (Metric::ThreadsRunning, if i % 10 == 0 { cpus.round() } else { f64::NAN }),
            (Metric::CpuPressure, if working { 300.0 + 400.0 * noise(i + 4) } else { 10.0 }),
            (Metric::MemoryPressure, 0.0),
            (Metric::IoPressure, 60.0 * noise(i + 8)),
            (Metric::Read, if working { 3e6 } else { 9e7 * noise(i) }),
            (Metric::Written, if working { 0.0 } else { 2e7 }),
        ]);
        look(&mut series, i as f64, &values);
    }
    series.report = Some(report(&series, 5400.2, End::Exited { code: 3 }));
    series
}

/// Memory that grows until it meets the limit; the command is a hostile one.
pub(super) fn leak() -> Series {
    let mut series = empty();
    series.start.command = vec!["python3".to_owned(), HOSTILE.to_owned()];
    series.start.memory_limit = Some(Bytes::mib(4096));
    for i in 1..=1500u64 {
        let memory = (0.3 + i as f64 / 1500.0 * 3.7).min(4.0);
        let mut values = common(i, 0.98, memory);
        values.extend([
            (Metric::MemoryPeak, memory * GIB),
            (Metric::Processes, 1.0),
            (Metric::Threads, 1.0),
            (Metric::Read, 1e6),
            (Metric::Written, 0.0),
        ]);
        look(&mut series, i as f64, &values);
    }
    let mut report = report(&series, 1500.5, End::OutOfMemory);
    report.exit_status = 123;
    report.usage.memory_saturated = true;
    report.usage.cpu_seconds = Some(Measured::cgroup(1470.0));
    report.usage.memory_peak = Some(Measured::cgroup(Bytes::mib(4096)));
    report.limits.memory = Some(Limit { value: Bytes::mib(4096), enforced_by: Some(Enforcer::CgroupV2) });
    report.findings.push(Finding::new("x", format!("a <b>finding</b> {HOSTILE}")).hint("a & hint"));
    series.report = Some(report);
    series
}

/// A GPU that waits for two CPUs.
pub(super) fn starved() -> Series {
    let mut series = empty();
    series.start.cpus = 2;
    for i in 1..=1800u64 {
        let mut values = common(i, 1.9 + 0.1 * noise(i), 6.0);
        values.extend([
            (Metric::Processes, 5.0),
            (Metric::Threads, 41.0),
            (Metric::CpuPressure, 900.0 + 90.0 * noise(i)),
            (Metric::MemoryPressure, 0.0),
            (Metric::IoPressure, 5.0),
            (Metric::GpuUse, if i % 9 < 2 { 70.0 + 30.0 * noise(i) } else { 4.0 * noise(i) }),
            (Metric::GpuMemory, if i < 20 { 0.0 } else { 30.0 * GIB }),
        ]);
        look(&mut series, i as f64, &values);
    }
    series.report = Some(report(&series, 1800.1, End::TimeLimit));
    series
}

/// Looks are missing, and some values; no end.
pub(super) fn gaps() -> Series {
    let mut series = empty();
    series.damage = Some("the last record is cut off".to_owned());
    for i in 1..=300u64 {
        if (60..110).contains(&i) || i == 250 {
            continue;
        }
        let mut values = common(i, 2.0 + noise(i / 3), 2.0);
        if (180..220).contains(&i) {
            values.retain(|(metric, _)| *metric != Metric::MemoryWorkingSet);
        }
        values.extend([(Metric::Processes, 2.0), (Metric::Threads, 4.0)]);
        look(&mut series, i as f64, &values);
    }
    series
}

/// A day, and one second in which it needed ten times the memory.
pub(super) fn day() -> Series {
    let mut series = empty();
    for i in 1..=86_400u64 {
        let mut values =
            common(i, 4.0 + 3.5 * noise(i), if i == 40_000 { 40.0 } else { 4.0 + noise(i / 900) });
        values.extend([(Metric::Processes, 3.0), (Metric::Threads, 12.0)]);
        values.extend([(Metric::Read, 1e8 * noise(i + 1)), (Metric::Written, 1e7 * noise(i + 2))]);
        look(&mut series, i as f64, &values);
    }
    series.report = Some(report(&series, 86_400.3, End::Signaled { signal: 11 }));
    series
}

/// Five looks in less than an interval.
pub(super) fn moment() -> Series {
    let mut series = empty();
    for (i, at) in [0.04, 0.08, 0.16, 0.32, 0.64].into_iter().enumerate() {
        let mut values = common(i as u64, 0.0, 0.05 + 0.01 * i as f64);
        values.extend([
            (Metric::Cpu, at * 450.0),
            (Metric::Processes, 1.0),
            (Metric::Threads, 1.0 + i as f64),
        ]);
        look(&mut series, at, &values);
    }
    series.report = Some(report(&series, 0.7, End::Exited { code: 0 }));
    series
}

/// All, by name.
pub(super) fn all() -> Vec<(&'static str, Series)> {
    let mut unseen = empty();
    let mut unseen_report = report(&unseen, 0.02, End::Exited { code: 0 });
    unseen_report.usage.cpu_seconds = Some(Measured::wait4(0.012));
    unseen.report = Some(unseen_report);
    vec![
        ("steady", steady()),
        ("pool", pool()),
        ("leak", leak()),
        ("starved", starved()),
        ("gaps", gaps()),
        ("day", day()),
        ("moment", moment()),
        ("unseen", unseen),
        ("empty", empty()),
    ]
}
