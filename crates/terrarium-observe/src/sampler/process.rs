//! The processes of a job, from look to look.

use std::collections::HashMap;
use std::fs;

use super::Processes;
use super::file::{Kept, Reader};
use super::parse::{self, RunTime, Stat, Status};

/// What did not run since the look before is read in full less often the more processes there are: at every
/// look up to this many, at every second one up to twice as many …
const READ_AT_ONCE: usize = 64;
/// … but at the latest after this many looks.
const UNREAD_AT_MOST: u64 = 10;
/// What did run is read in full at every look up to this many processes, and in turn beyond.
const READ_RUNNING_AT_ONCE: usize = 256;

/// After so many looks at which it had not run, only the file that tells so stays open, and is read in turn if there
/// are many such.
const SLEPT_LONG: u64 = 4;
const ASKED_AT_ONCE: usize = 256;

/// What only grows. Of a process with its waited-for children, or of the whole job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) ticks: u64,
    pub(super) faults_minor: u64,
    pub(super) faults_major: u64,
    pub(super) read: u64,
    pub(super) written: u64,
}

impl Counts {
    fn of(stat: &Stat) -> Self {
        Counts {
            ticks: stat.ticks,
            faults_minor: stat.faults_minor,
            faults_major: stat.faults_major,
            ..Counts::default()
        }
    }

    fn add(&mut self, other: &Counts) {
        self.ticks = self.ticks.saturating_add(other.ticks);
        self.faults_minor = self.faults_minor.saturating_add(other.faults_minor);
        self.faults_major = self.faults_major.saturating_add(other.faults_major);
        self.add_io(other);
    }

    fn add_io(&mut self, other: &Counts) {
        self.read = self.read.saturating_add(other.read);
        self.written = self.written.saturating_add(other.written);
    }

    fn max(&self, other: &Counts) -> Counts {
        Counts {
            ticks: self.ticks.max(other.ticks),
            faults_minor: self.faults_minor.max(other.faults_minor),
            faults_major: self.faults_major.max(other.faults_major),
            read: self.read.max(other.read),
            written: self.written.max(other.written),
        }
    }
}

/// What is read of a process. The last costs least, and tells of a process with one thread whether it ran at all: if not, the
/// others say what they said before.
const FILES: [&str; 4] = ["stat", "status", "io", "schedstat"];
const STAT: usize = 0;
const STATUS: usize = 1;
const IO: usize = 2;
const SCHEDSTAT: usize = 3;

/// What was last read of a process, and its files.
#[derive(Debug, Default)]
struct Process {
    stat: Stat,
    status: Status,
    io: Option<(u64, u64)>,
    /// It seems to do nothing, and has one thread.
    sleeps: bool,
    /// For so many looks.
    slept: u64,
    /// Just before it was last read in full, if it slept then.
    ran: Option<RunTime>,
    files: [Kept; FILES.len()],
    /// The look at which it was there.
    seen: u64,
    /// The look at which it was read in full.
    read: u64,
}

impl Process {
    fn counts(&self) -> Counts {
        let (read, written) = self.io.unwrap_or_default();
        Counts { read, written, ..Counts::of(&self.stat) }
    }
}

/// What one look found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) processes: u64,
    pub(super) threads: u64,
    /// Anonymous memory of all.
    pub(super) anonymous: u64,
    /// The largest shared memory of one.
    pub(super) shared: u64,
    /// The most that one has ever had resident.
    pub(super) high_water: u64,
    pub(super) main_cpu: Option<u64>,
}

/// Threads that want to run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Running {
    pub(super) threads: u64,
    /// Processes with more than one of them.
    pub(super) processes: u64,
    /// All threads were looked at.
    pub(super) is_whole: bool,
}

/// All processes that are known.
#[derive(Debug, Default)]
pub(super) struct Table {
    known: HashMap<u32, Process>,
    pids: Vec<u32>,
    look: u64,
    /// Of those that have ended and were waited for where it cannot be seen.
    lost: Counts,
    /// Of the whole job; never less than before.
    pub(super) counts: Counts,
    pub(super) voluntary: u64,
    pub(super) involuntary: u64,
    /// The I/O of some process could be read.
    pub(super) has_io: bool,
}

impl Table {
    /// Looks at all processes; `None` if there is none but init.
    pub(super) fn look(&mut self, job: &Processes<'_>, reader: &mut Reader) -> Option<Found> {
        self.look += 1;
        let mut pids = std::mem::take(&mut self.pids);
        pids.clear();
        match job.pids {
            Some(these) => pids.extend(these.iter().chain([&job.init])),
            None => pids.extend(
                fs::read_dir(job.proc)
                    .into_iter()
                    .flatten()
                    .flatten()
                    .filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok()),
            ),
        }
        for &pid in &pids {
            self.read(job, pid, pids.len(), reader);
        }
        self.pids = pids;
        self.retire(job.init, reader);
        let mut found = Found::default();
        let mut now = self.lost;
        for (&pid, process) in &self.known {
            now.add(&process.counts());
            if pid == job.init || process.stat.is_dead() {
                continue;
            }
            found.processes += 1;
            found.threads += process.stat.threads;
            found.anonymous = found.anonymous.saturating_add(process.status.anonymous);
            found.shared = found.shared.max(process.status.shared);
            found.high_water = found.high_water.max(process.status.high_water);
            if Some(pid) == job.main {
                found.main_cpu = Some(process.stat.cpu);
            }
        }
        // What ended and was waited for by nobody (its parent ignores SIGCHLD) is missing from the sum.
        self.counts = self.counts.max(&now);
        (found.processes > 0).then_some(found)
    }

    fn read(&mut self, job: &Processes<'_>, pid: u32, all: usize, reader: &mut Reader) {
        let path = |file: usize| move || format!("{}/{pid}/{}", job.proc.display(), FILES[file]);
        let process = self.known.entry(pid).or_default();
        if process.slept >= SLEPT_LONG {
            let turns = (1 + all / ASKED_AT_ONCE) as u64;
            if !(self.look + u64::from(pid)).is_multiple_of(turns.min(UNREAD_AT_MOST)) {
                process.seen = self.look;
                return;
            }
        }
        let before = std::mem::take(&mut process.ran);
        let is_first = process.seen == 0;
        if process.sleeps || is_first {
            // Before all else is read: what it does meanwhile is seen at the next look.
            let ran = reader.read(&mut process.files[SCHEDSTAT], path(SCHEDSTAT));
            process.ran = ran.ok().and_then(parse::run_time);
            if process.ran.is_some() && process.ran == before && !is_first {
                process.seen = self.look;
                process.slept += 1;
                if process.slept == SLEPT_LONG {
                    process.files[..SCHEDSTAT].iter_mut().for_each(|file| reader.close(file));
                }
                return;
            }
            process.slept = 0;
        }
        let stat = reader.read(&mut process.files[STAT], path(STAT));
        let Some(stat) = stat.ok().and_then(parse::stat) else { return };
        let is_new = process.seen == 0 || process.stat.start != stat.start;
        if is_new {
            if process.seen != 0 {
                // Another process, with the number of one that has ended.
                self.lost.add(&unseen(process));
            }
            process.files[STATUS..SCHEDSTAT].iter_mut().for_each(|file| reader.close(file));
            if !is_first {
                reader.close(&mut process.files[SCHEDSTAT]);
                process.ran = None;
            }
            (process.status, process.io) = (Status::default(), None);
        }
        let ran = stat.state == b'R' || Counts::of(&stat) != Counts::of(&process.stat);
        let every = 1 + (all / if ran { READ_RUNNING_AT_ONCE } else { READ_AT_ONCE }) as u64;
        let is_due = is_new || self.look - process.read >= every.min(UNREAD_AT_MOST);
        process.seen = self.look;
        process.stat = stat;
        process.sleeps = (is_new || !ran) && stat.threads <= 1 && stat.state == b'S';
        if !is_due {
            process.ran = None;
        }
        if !is_due {
            return;
        }
        process.read = self.look;
        // Init's own switches are none of the job's.
        if pid != job.init {
            let status = reader.read(&mut process.files[STATUS], path(STATUS)).ok().and_then(parse::status);
            if let Some(status) = status {
                self.voluntary += status.voluntary.saturating_sub(process.status.voluntary);
                self.involuntary += status.involuntary.saturating_sub(process.status.involuntary);
                process.status = status;
            } else {
                // It has no memory any more.
                (process.status.anonymous, process.status.shared) = (0, 0);
            }
        }
        // The one file that the kernel writes under a lock of the process's own; a process that holds it for longer
        // (it executes a program, and waits for memory that another holds) is in this state.
        if stat.state != b'D'
            && let Some(io) = reader.read(&mut process.files[IO], path(IO)).ok().and_then(parse::io)
        {
            process.io = Some(io);
            self.has_io = true;
        }
        if is_first && process.sleeps {
            // Most of many processes do nothing from then on.
            process.files[..SCHEDSTAT].iter_mut().for_each(|file| reader.close(file));
        }
    }

    /// Forgets those that have ended. The kernel has added what they used to the process that waited for them.
    fn retire(&mut self, init: u32, reader: &mut Reader) {
        if self.known.values().all(|p| p.seen == self.look) {
            return;
        }
        let look = self.look;
        let is_there = |known: &HashMap<u32, Process>, pid| {
            known.get(&pid).filter(|p| p.seen == look).map(|p| p.io.is_some())
        };
        let init_shows_io = is_there(&self.known, init) == Some(true);
        let gone: Vec<u32> = self.known.iter().filter(|(_, p)| p.seen != look).map(|(pid, _)| *pid).collect();
        for pid in &gone {
            let Some(process) = self.known.get(pid) else { continue };
            let parent = process.stat.parent;
            if parent == 0 && *pid != init {
                self.lost.add(&process.counts());
            } else if !init_shows_io && (parent == init || is_there(&self.known, parent).is_none()) {
                // Init may be closed to us.
                self.lost.add_io(&process.counts());
            }
        }
        for pid in gone {
            if let Some(mut process) = self.known.remove(&pid) {
                process.files.iter_mut().for_each(|file| reader.close(file));
            }
        }
    }

    /// Threads that want to run, over at most `most` threads.
    pub(super) fn running(&self, job: &Processes<'_>, most: usize, reader: &mut Reader) -> Running {
        let mut all = Running { is_whole: true, ..Running::default() };
        let mut left = most;
        for (&pid, process) in &self.known {
            if pid == job.init || process.stat.is_dead() {
                continue;
            }
            let here = if process.stat.threads <= 1 {
                u64::from(process.stat.state == b'R')
            } else {
                all.is_whole &= process.stat.threads <= left as u64;
                let tasks =
                    fs::read_dir(job.proc.join(format!("{pid}/task"))).into_iter().flatten().flatten();
                let mut running = 0;
                for task in tasks.take(left) {
                    left -= 1;
                    let state = reader.read_once(&task.path().join("stat")).ok().and_then(parse::state);
                    running += u64::from(state == Some(b'R'));
                }
                running
            };
            all.threads += here;
            all.processes += u64::from(here > 1);
        }
        all
    }
}

/// What is known of a process that ended between two looks at its number, and may not be counted anywhere else.
fn unseen(process: &Process) -> Counts {
    if process.stat.parent == 0 { process.counts() } else { Counts::default() }
}
