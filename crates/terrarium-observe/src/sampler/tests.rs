//! The sampler over a /proc and cgroups of files.

use std::fs;

use super::*;

struct Fake {
    name: &'static str,
    state: char,
    parent: u32,
    threads: u64,
    start: u64,
    ticks: u64,
    faults: u64,
    anonymous: u64,
    shared: u64,
    high_water: u64,
    switches: u64,
    io: Option<u64>,
}

const FAKE: Fake = Fake {
    name: "python3",
    state: 'S',
    parent: 2,
    threads: 1,
    start: 100,
    ticks: 0,
    faults: 0,
    anonymous: 0,
    shared: 0,
    high_water: 0,
    switches: 0,
    io: None,
};

fn write(root: &Path, pid: u32, p: &Fake) {
    let dir = root.join(pid.to_string());
    fs::create_dir_all(dir.join("task")).unwrap();
    let stat = format!(
        "{pid} ({}) {} {} 1 1 0 -1 0 {} 0 0 0 {} 0 0 0 20 0 {} 0 {} 0 0 {}3 0 0\n",
        p.name,
        p.state,
        p.parent,
        p.faults,
        p.ticks,
        p.threads,
        p.start,
        "0 ".repeat(14)
    );
    fs::write(dir.join("stat"), stat).unwrap();
    let status = format!(
        "Name:\t{}\nVmHWM:\t{} kB\nRssAnon:\t{} kB\nRssShmem:\t{} kB\nvoluntary_ctxt_switches:\t{}\n\
         nonvoluntary_ctxt_switches:\t1\n",
        p.name.replace('\n', "\\n"),
        p.high_water,
        p.anonymous,
        p.shared,
        p.switches
    );
    fs::write(dir.join("status"), status).unwrap();
    match p.io {
        Some(n) => fs::write(dir.join("io"), format!("rchar: {n}\nwchar: {}\n", n * 2)).unwrap(),
        None => drop(fs::remove_file(dir.join("io"))),
    }
    for i in 0..p.threads {
        let task = dir.join(format!("task/{}", u64::from(pid) * 1000 + i));
        fs::create_dir_all(&task).unwrap();
        fs::write(task.join("stat"), format!("{pid} (a) b) {} 1 1", p.state)).unwrap();
    }
}

fn end(root: &Path, pid: u32) {
    // A kept file goes on showing what it held; a process's does not.
    for name in ["stat", "status", "io"] {
        let _ = fs::write(root.join(format!("{pid}/{name}")), "");
    }
    fs::remove_dir_all(root.join(pid.to_string())).unwrap();
}

fn job(root: &Path) -> Processes<'_> {
    Processes { proc: root, pids: None, init: 1, main: Some(2) }
}

fn at(seconds: u64) -> Now {
    Now { time_ms: seconds as i64 * 1000, elapsed: Duration::from_secs(seconds) }
}

fn look(sampler: &mut Sampler, root: &Path, seconds: u64) -> Option<Sample> {
    sampler.rest_until = Duration::ZERO;
    sampler.look(Some(&job(root)), &Cgroups::default(), at(seconds))
}

const INIT: Fake = Fake { name: "terrarium-init", parent: 0, anonymous: 999, ..FAKE };

#[test]
fn nothing_is_no_data() {
    let dir = tempfile::tempdir().unwrap();
    let mut sampler = Sampler::new(2, 1024);
    assert_eq!(look(&mut sampler, dir.path(), 1), None);
    write(dir.path(), 1, &INIT);
    assert_eq!(look(&mut sampler, dir.path(), 2), None, "init is not the job");
    assert_eq!(sampler.seen, Seen::default());
}

#[test]
fn sums_peaks_and_deltas() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let mut sampler = Sampler::new(2, 1024);
    write(root, 1, &INIT);
    let main = Fake {
        name: "a\nb) R 9",
        parent: 1,
        ticks: 50,
        faults: 7,
        anonymous: 100,
        shared: 10,
        high_water: 120,
        switches: 4,
        io: Some(30),
        ..FAKE
    };
    write(root, 2, &main);
    write(root, 3, &Fake { threads: 3, ticks: 10, anonymous: 50, shared: 30, ..FAKE });
    let first = look(&mut sampler, root, 1).unwrap();
    for (metric, value) in [
        (Metric::Cpu, 600),
        (Metric::Processes, 2),
        (Metric::Threads, 4),
        (Metric::MemoryAnonymousShared, 180 << 10),
        (Metric::MainCpu, 3),
        (Metric::Read, 30),
        (Metric::Written, 60),
        (Metric::SwitchesVoluntary, 4),
        (Metric::SwitchesInvoluntary, 2),
        (Metric::FaultsMinor, 7),
        (Metric::FaultsMajor, 0),
    ] {
        assert_eq!(first.get(metric), Some(value), "{metric:?}");
    }
    for metric in [Metric::MemoryPeak, Metric::MemoryWorkingSet, Metric::CpuPressure, Metric::GpuUse] {
        assert_eq!(first.get(metric), None);
    }
    // The child has ended, and the main process has waited for it: nothing counts twice, and nothing is lost.
    end(root, 3);
    write(root, 2, &Fake { ticks: 65, anonymous: 90, high_water: 500, io: Some(31), ..main });
    let second = look(&mut sampler, root, 2).unwrap();
    assert_eq!(second.get(Metric::Cpu), Some(50));
    assert_eq!(second.get(Metric::Read), Some(1));
    assert_eq!(second.get(Metric::Processes), Some(1));
    assert_eq!(second.get(Metric::MemoryAnonymousShared), Some(100 << 10));
    let seen = &sampler.seen;
    assert_eq!((seen.samples, seen.processes_peak, seen.threads_peak), (2, Some(2), Some(4)));
    assert_eq!(seen.anonymous_shared_sum_peak, Some(Bytes(180 << 10)));
    assert_eq!(seen.memory_sum_peak, Some(Bytes(500 << 10)), "a spike between two looks");
}

#[test]
fn totals_never_shrink() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let mut sampler = Sampler::new(2, 1024);
    write(root, 1, &INIT);
    write(root, 2, &Fake { parent: 1, ..FAKE });
    // Waited for by init, whose I/O is closed to us; and by nobody at all.
    write(root, 3, &Fake { parent: 1, ticks: 100, io: Some(500), ..FAKE });
    look(&mut sampler, root, 1).unwrap();
    end(root, 3);
    let sample = look(&mut sampler, root, 2).unwrap();
    assert_eq!((sample.get(Metric::Cpu), sample.get(Metric::Read)), (Some(0), Some(0)));
    assert_eq!((sampler.seen.cpu, sampler.seen.read), (Some(1_000_000), Some(500)));
}

#[test]
fn a_number_may_come_again() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let mut sampler = Sampler::new(2, 1024);
    write(root, 2, &Fake { parent: 1, switches: 90, ..FAKE });
    look(&mut sampler, root, 1).unwrap();
    write(root, 2, &Fake { parent: 1, switches: 5, start: 200, ..FAKE });
    let sample = look(&mut sampler, root, 2).unwrap();
    assert_eq!(sample.get(Metric::SwitchesVoluntary), Some(5));
}

#[test]
fn the_dead_count_for_cpu_time_alone() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let mut sampler = Sampler::new(2, 1024);
    write(root, 2, &Fake { parent: 1, ..FAKE });
    write(root, 3, &Fake { state: 'Z', ticks: 7, ..FAKE });
    let sample = look(&mut sampler, root, 1).unwrap();
    assert_eq!((sample.get(Metric::Processes), sample.get(Metric::Cpu)), (Some(1), Some(70)));
}

#[test]
fn a_cgroup_counts_where_there_is_one() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("proc");
    write(&root, 2, &Fake { parent: 1, ticks: 100, anonymous: 100, ..FAKE });
    let file = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    file("cpu.stat", "usage_usec 5500\n");
    file("memory.peak", "900\n");
    file("memory.current", "800\n");
    file("memory.stat", "anon 100\nshmem 50\ninactive_file 300\n");
    file("memory.pressure", "some avg10=0.00 total=4000\n");
    let groups = Cgroups { v2: Some(dir.path()), ..Cgroups::default() };
    let mut sampler = Sampler::new(2, 1024);
    let sample = sampler.look(Some(&job(&root)), &groups, at(1)).unwrap();
    let values = [
        Metric::Cpu,
        Metric::MemoryPeak,
        Metric::MemoryWorkingSet,
        Metric::MemoryAnonymousShared,
        Metric::MemoryPressure,
    ];
    assert_eq!(values.map(|m| sample.get(m)), [Some(5), Some(900), Some(500), Some(150), Some(4)]);
    file("cpu.stat", "usage_usec 9900\n");
    let last = sampler.last_look(&groups, at(2)).unwrap();
    assert_eq!((last.get(Metric::Cpu), last.get(Metric::Processes)), (Some(4), None));
    let seen = &sampler.seen;
    assert_eq!((seen.cpu, seen.memory_pressure, seen.samples), (Some(9900), Some(4000), 2));
    assert_eq!((seen.working_set_peak, seen.anonymous_shared_peak), (Some(Bytes(500)), Some(Bytes(150))));
}

#[test]
fn a_crowd_is_looked_for_only_where_there_may_be_one() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let mut sampler = Sampler::new(2, 1024);
    for pid in [2, 3] {
        write(root, pid, &Fake { parent: 1, state: 'R', threads: 2, ticks: 100, ..FAKE });
    }
    let sample = look(&mut sampler, root, 1).unwrap();
    assert_eq!(sample.get(Metric::ThreadsRunning), Some(4));
    assert_eq!((sampler.seen.crowd_looks, sampler.seen.crowded, sampler.seen.crowded_processes), (1, 1, 2));
    let sample = look(&mut sampler, root, 2).unwrap();
    assert_eq!(sample.get(Metric::ThreadsRunning), None, "nothing ran");
    assert_eq!((sampler.seen.crowd_looks, sampler.seen.crowded), (2, 1));
    for seconds in 3..60 {
        look(&mut sampler, root, seconds);
    }
    assert_eq!(sampler.seen.crowd_looks, CROWD_LOOKS + 5);
}

#[test]
fn too_many_processes_are_not_looked_at_all_the_time() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 2, &Fake { parent: 1, ..FAKE });
    let mut sampler = Sampler::new(2, 1024);
    sampler.rest_until = Duration::from_secs(5);
    assert_eq!(sampler.look(Some(&job(dir.path())), &Cgroups::default(), at(4)), None);
    assert!(sampler.look(Some(&job(dir.path())), &Cgroups::default(), at(5)).is_some());
    assert!(sampler.rest_until > Duration::from_secs(5));
}

#[test]
fn chosen_processes_alone_count() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    for pid in [10, 11, 12] {
        write(root, pid, &Fake { parent: 1, ticks: 1, ..FAKE });
    }
    let mut sampler = Sampler::new(2, 0);
    let job = Processes { proc: root, pids: Some(&[11, 99]), init: 10, main: Some(11) };
    let sample = sampler.look(Some(&job), &Cgroups::default(), at(1)).unwrap();
    assert_eq!((sample.get(Metric::Processes), sample.get(Metric::Cpu)), (Some(1), Some(20)));
}

#[test]
fn what_sleeps_is_read_again_when_it_has_run() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let mut sampler = Sampler::new(2, 1024);
    let ran = |text: &str| fs::write(root.join("2/schedstat"), text).unwrap();
    write(root, 2, &Fake { parent: 1, ..FAKE });
    ran("100 0 1\n");
    for seconds in 1..4 {
        look(&mut sampler, root, seconds).unwrap();
    }
    write(root, 2, &Fake { parent: 1, anonymous: 50, ..FAKE });
    let sample = look(&mut sampler, root, 4).unwrap();
    assert_eq!(sample.get(Metric::MemoryAnonymousShared), Some(0), "it cannot have changed without running");
    ran("200 0 2\n");
    let sample = look(&mut sampler, root, 5).unwrap();
    assert_eq!(sample.get(Metric::MemoryAnonymousShared), Some(50 << 10));
    assert_eq!(sample.get(Metric::Processes), Some(1));
}
