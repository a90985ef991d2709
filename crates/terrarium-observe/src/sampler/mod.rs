//! Looks at a job: one [`Sample`] each, and what was highest over all of them.
//!
//! What is counted for the job as a whole (its cgroups) is read there; the rest is added up over processes. CPU time, page
//! faults and I/O of those that have ended are not missing: the kernel adds them to the process that waited for them,
//! in the end init, which is looked at for this alone.
//!
//! Cost is what decides how: files stay open and are read again, a process that did not run is read less often, threads are counted
//! but not looked at, and all of it stops for a while when it has taken too long.

mod cgroup;
mod file;
pub mod parse;
mod process;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use terrarium_core::Bytes;
use terrarium_core::sample::{Metric, Sample};

pub use cgroup::Cgroups;
use cgroup::{Files, Reading};
use file::Reader;
use process::{Found, Running, Table};

/// Thread states are read for this many threads in one look: enough to see whether too many want to
/// run, at a cost (2 to 4 µs each) that stays small for any job …
const THREADS_LOOKED_AT: usize = 256;
/// … at these many looks, not closer than this …
const CROWD_LOOKS: u64 = 8;
const CROWD_PAUSE: Duration = Duration::from_millis(200);
/// … and afterwards only so often.
const CROWD_EVERY: Duration = Duration::from_secs(10);

/// Looking at processes takes at most this part of one CPU's time: a fork bomb is not worth more.
const PART: u32 = 50;
/// But they are looked at again after this long.
const REST_AT_MOST: Duration = Duration::from_secs(10);

/// µs in a tick: the kernel shows times to programs in hundredths of a second, whatever it counts in.
const TICK: u64 = 10_000;

/// Most files that are kept open: each costs the kernel some kilobytes.
const OPEN_AT_MOST: u64 = 3072;

/// The processes of a job.
#[derive(Clone, Copy, Debug)]
pub struct Processes<'a> {
    /// A /proc that shows them. The PIDs here are those in it.
    pub proc: &'a Path,
    /// Those of the job; `None`: all that it shows but init.
    pub pids: Option<&'a [u32]>,
    /// Init, which waits for orphans.
    pub init: u32,
    /// The main process.
    pub main: Option<u32>,
}

/// When a look is taken.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Milliseconds since 1970 UTC.
    pub time_ms: i64,
    /// Since the job started.
    pub elapsed: Duration,
}

/// What was seen so far. `None`: no data.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// Looks taken.
    pub samples: u64,
    /// Looks at which there were processes to be seen.
    pub samples_of_processes: u64,
    /// Most processes at once.
    pub processes_peak: Option<u64>,
    /// Most threads at once.
    pub threads_peak: Option<u64>,
    /// Largest sum of anonymous memory, with the largest shared memory of one process on top, or
    /// the most that one process ever had, if that is more: what several processes share copy-on-write counts several
    /// times, and short peaks are seen only of processes that live on.
    pub memory_sum_peak: Option<Bytes>,
    /// Largest sum alone.
    pub anonymous_shared_sum_peak: Option<Bytes>,
    /// Largest memory of the cgroup at a look, for kernels whose cgroups keep no peak.
    pub memory_now_peak: Option<Bytes>,
    /// Largest working set of the cgroup.
    pub working_set_peak: Option<Bytes>,
    /// Largest anonymous and shared memory of the cgroup.
    pub anonymous_shared_peak: Option<Bytes>,
    /// Time in which some thread waited for memory, µs.
    pub memory_pressure: Option<u64>,
    /// Bytes read by read(2) and its kin.
    pub read: Option<u64>,
    /// Bytes written by write(2) and its kin.
    pub written: Option<u64>,
    /// Page faults that needed no I/O.
    pub faults_minor: Option<u64>,
    /// Page faults that waited for I/O.
    pub faults_major: Option<u64>,
    /// CPU time, µs.
    pub cpu: Option<u64>,
    /// Looks at which it was clear whether more threads wanted to run than there are CPUs.
    pub crowd_looks: u64,
    /// Of these, those at which more wanted to than 1.5 times the CPUs.
    pub crowded: u64,
    /// Most processes that had more than one thread running at once, over the crowded looks.
    pub crowded_processes: u64,
    /// The program of the main process, the last that was seen in the first looks.
    pub executable: Option<PathBuf>,
}

/// After so many looks the main process is what it will be.
const LOOKS_FOR_EXECUTABLE: u64 = 10;

/// Takes samples of one job.
#[derive(Debug)]
pub struct Sampler {
    /// What was seen so far.
    pub seen: Seen,
    cpus: usize,
    reader: Reader,
    groups: Option<Files>,
    table: Table,
    totals: Totals,
    elapsed: Duration,
    crowd_due: Duration,
    rest_until: Duration,
}

/// Of all that only grows, what was told up to now, in the unit of its metric.
#[derive(Debug, Default)]
struct Totals([u64; Metric::ALL.len()]);

impl Totals {
    fn set(&mut self, sample: &mut Sample, metric: Metric, total: Option<u64>) {
        let last = &mut self.0[metric as usize];
        let delta = total.map(|total| {
            let delta = total.saturating_sub(*last);
            *last = total.max(*last);
            i64::try_from(delta).unwrap_or(i64::MAX)
        });
        sample.set(metric, delta);
    }
}

fn gauge(sample: &mut Sample, metric: Metric, value: Option<u64>) {
    sample.set(metric, value.map(|v| i64::try_from(v).unwrap_or(i64::MAX)));
}

fn raise(peak: &mut Option<Bytes>, value: Option<u64>) {
    *peak = (*peak).max(value.map(Bytes));
}

impl Sampler {
    /// For a job on so many CPUs, in a process that may have so many files open.
    pub fn new(cpus: usize, open_files: u64) -> Self {
        // The rest of this process needs few.
        let room = (open_files.saturating_sub(128) / 2).min(OPEN_AT_MOST) as usize;
        Sampler {
            seen: Seen::default(),
            cpus,
            reader: Reader::new(room),
            groups: None,
            table: Table::default(),
            totals: Totals::default(),
            elapsed: Duration::ZERO,
            crowd_due: Duration::ZERO,
            rest_until: Duration::ZERO,
        }
    }

    /// Looks at a job. `None` if there is nothing to see.
    pub fn look(&mut self, job: Option<&Processes<'_>>, groups: &Cgroups<'_>, now: Now) -> Option<Sample> {
        let mut sample = Sample::at(now.time_ms);
        let reading = self.read_groups(groups, &mut sample);
        let found = job.filter(|_| now.elapsed >= self.rest_until).and_then(|job| {
            let begin = Instant::now();
            let found = self.table.look(job, &mut self.reader);
            self.rest_until = now.elapsed + (begin.elapsed() * PART).min(REST_AT_MOST);
            self.find_executable(job);
            found
        });
        if let Some(found) = &found {
            self.tell_processes(found, &reading, &mut sample);
        }
        let before = self.seen.cpu;
        self.tell_cpu(&reading, found.is_some(), &mut sample);
        if let (Some(job), Some(found)) = (job, &found) {
            let since = now.elapsed.saturating_sub(self.elapsed);
            let cpu = self.seen.cpu.map(|cpu| cpu - before.unwrap_or(0));
            self.look_for_crowd(job, found, now.elapsed, (since, cpu), &mut sample);
        }
        self.elapsed = now.elapsed;
        let is_empty = Metric::ALL.iter().all(|m| sample.get(*m).is_none());
        if is_empty {
            return None;
        }
        self.seen.samples += 1;
        self.seen.samples_of_processes += u64::from(found.is_some());
        Some(sample)
    }

    /// When no process is left: what the cgroups counted up to the end.
    pub fn last_look(&mut self, groups: &Cgroups<'_>, now: Now) -> Option<Sample> {
        let mut sample = self.look(None, groups, now)?;
        // What is left in the cgroup is not the job's any more.
        sample.set(Metric::MemoryWorkingSet, None);
        sample.set(Metric::MemoryAnonymousShared, None);
        Some(sample)
    }

    fn read_groups(&mut self, groups: &Cgroups<'_>, sample: &mut Sample) -> Reading {
        let files = self.groups.get_or_insert_with(|| Files::new(groups));
        let reading = files.read(&mut self.reader);
        let seen = &mut self.seen;
        raise(&mut seen.memory_now_peak, reading.current);
        raise(&mut seen.working_set_peak, reading.working_set);
        raise(&mut seen.anonymous_shared_peak, reading.anonymous_shared);
        seen.memory_pressure = seen.memory_pressure.max(reading.memory_pressure);
        gauge(sample, Metric::MemoryPeak, reading.peak);
        gauge(sample, Metric::MemoryWorkingSet, reading.working_set);
        gauge(sample, Metric::MemoryAnonymousShared, reading.anonymous_shared);
        let ms = |us: Option<u64>| us.map(|us| us / 1000);
        self.totals.set(sample, Metric::CpuPressure, ms(reading.cpu_pressure));
        self.totals.set(sample, Metric::MemoryPressure, ms(reading.memory_pressure));
        self.totals.set(sample, Metric::IoPressure, ms(reading.io_pressure));
        reading
    }

    fn tell_cpu(&mut self, reading: &Reading, saw_processes: bool, sample: &mut Sample) {
        // One or the other over the whole run: the two differ by some ticks.
        let by_group = self.groups.as_ref().is_some_and(Files::count_cpu);
        let cpu = match by_group {
            true => reading.cpu,
            false => saw_processes.then(|| self.table.counts.ticks.saturating_mul(TICK)),
        };
        self.totals.set(sample, Metric::Cpu, cpu.map(|us| us / 1000));
        self.seen.cpu = self.seen.cpu.max(cpu);
    }

    fn tell_processes(&mut self, found: &Found, reading: &Reading, sample: &mut Sample) {
        let seen = &mut self.seen;
        let counts = &self.table.counts;
        let sum = found.anonymous.saturating_add(found.shared);
        seen.processes_peak = seen.processes_peak.max(Some(found.processes));
        seen.threads_peak = seen.threads_peak.max(Some(found.threads));
        raise(&mut seen.anonymous_shared_sum_peak, Some(sum));
        raise(&mut seen.memory_sum_peak, Some(sum.max(found.high_water)));
        let io = |n: u64| self.table.has_io.then_some(n);
        (seen.read, seen.written) = (io(counts.read), io(counts.written));
        (seen.faults_minor, seen.faults_major) = (Some(counts.faults_minor), Some(counts.faults_major));
        gauge(sample, Metric::Processes, Some(found.processes));
        gauge(sample, Metric::Threads, Some(found.threads));
        gauge(sample, Metric::MainCpu, found.main_cpu);
        if reading.anonymous_shared.is_none() {
            gauge(sample, Metric::MemoryAnonymousShared, Some(sum));
        }
        for (metric, total) in [
            (Metric::Read, seen.read),
            (Metric::Written, seen.written),
            (Metric::FaultsMinor, seen.faults_minor),
            (Metric::FaultsMajor, seen.faults_major),
            (Metric::SwitchesVoluntary, Some(self.table.voluntary)),
            (Metric::SwitchesInvoluntary, Some(self.table.involuntary)),
        ] {
            self.totals.set(sample, metric, total);
        }
    }

    fn look_for_crowd(
        &mut self,
        job: &Processes<'_>,
        found: &Found,
        elapsed: Duration,
        (since, cpu): (Duration, Option<u64>),
        sample: &mut Sample,
    ) {
        if elapsed < self.crowd_due {
            return;
        }
        self.seen.crowd_looks += 1;
        let pause = if self.seen.crowd_looks < CROWD_LOOKS { CROWD_PAUSE } else { CROWD_EVERY };
        self.crowd_due = elapsed + pause;
        // On a busy node a crowd gets little of its CPUs; what does nothing at all is no crowd.
        let least = since.as_micros() * self.cpus as u128 / 8;
        let is_busy = cpu.is_none_or(|cpu| u128::from(cpu) >= least);
        if found.threads * 2 <= self.cpus as u64 * 3 || !is_busy {
            return;
        }
        let running: Running = self.table.running(job, THREADS_LOOKED_AT, &mut self.reader);
        if running.is_whole {
            gauge(sample, Metric::ThreadsRunning, Some(running.threads));
        }
        if running.threads * 2 > self.cpus as u64 * 3 {
            self.seen.crowded += 1;
            self.seen.crowded_processes = self.seen.crowded_processes.max(running.processes);
        }
    }

    /// Until it has executed its program, the main process still runs ours; and what it executes first is often not what does
    /// the work (`env`, a shim of pyenv, a shell that ends in `exec`).
    fn find_executable(&mut self, job: &Processes<'_>) {
        let Some(main) = job.main.filter(|_| self.seen.samples < LOOKS_FOR_EXECUTABLE) else { return };
        let found = fs::read_link(job.proc.join(format!("{main}/exe"))).ok();
        if found.is_some()
            && (self.seen.executable.is_none() || found != fs::read_link("/proc/self/exe").ok())
        {
            self.seen.executable = found;
        }
    }
}
