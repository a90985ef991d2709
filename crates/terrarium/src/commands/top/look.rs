//! Looks at the runs of this node and makes figures of what was seen in two looks.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use clap::Parser;
use terrarium_core::{Bytes, JobId, Tier};
use terrarium_jail::host::Host;
use terrarium_jail::live::{Finder, Found, Job, Table, arguments, hidden};
use terrarium_observe::sampler::parse;

use crate::cli::top::Which;
use crate::cli::{Cli, Command as Verb};

/// Clock ticks of /proc a second: the same on every Linux that we run on.
const TICKS: f64 = 100.0;

/// Values kept for the curves.
pub(crate) const KEPT: usize = 150;

/// What tells a run from all others in a look: its name may be claimed by another user.
pub(crate) type Key = (JobId, u32);

/// Memory, with what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Memory {
    pub(crate) bytes: Bytes,
    /// Added up over processes: what they share counts more than once.
    pub(crate) at_most: bool,
}

/// A run in numbers. `None` is "not known".
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) key: Key,
    pub(crate) inside: Option<JobId>,
    pub(crate) user: String,
    pub(crate) uid: Option<u32>,
    pub(crate) tier: Option<Tier>,
    pub(crate) ranks: Option<usize>,
    pub(crate) main: Option<u32>,
    pub(crate) command: Vec<String>,
    /// CPUs in use since the look before.
    pub(crate) cpu: Option<f64>,
    pub(crate) memory: Option<Memory>,
    pub(crate) limit: Option<Bytes>,
    pub(crate) processes: usize,
    pub(crate) threads: u64,
    pub(crate) elapsed: Option<Duration>,
    pub(crate) left: Option<Duration>,
    /// Of the run that is looked into; of others none.
    pub(crate) parts: Vec<Part>,
    /// CPU use and memory of the looks so far, oldest first.
    pub(crate) past: VecDeque<(Option<f64>, Option<Bytes>)>,
}

/// A process of a run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Part {
    pub(crate) pid: u32,
    pub(crate) name: String,
    pub(crate) state: char,
    pub(crate) cpu: Option<f64>,
    /// Anonymous and shared.
    pub(crate) memory: Option<Bytes>,
    pub(crate) threads: u64,
    pub(crate) elapsed: Option<Duration>,
}

/// All that a look gave.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct View {
    pub(crate) host: String,
    pub(crate) cpus: usize,
    pub(crate) node_memory: u64,
    pub(crate) rows: Vec<Row>,
    /// /proc does not show everything.
    pub(crate) partly: bool,
    /// Runs of which only a cgroup is seen.
    pub(crate) hidden: usize,
}

/// What is remembered of a run from look to look.
struct Track {
    /// CPU time up to the last look, and whether a cgroup counted it.
    cpu: (Duration, bool),
    at: Instant,
    time: Option<Duration>,
    command: Vec<String>,
    past: VecDeque<(Option<f64>, Option<Bytes>)>,
}

/// Looks again and again.
pub(crate) struct Looker {
    host: Host,
    finder: Finder,
    tracks: BTreeMap<Key, Track>,
    before: Option<(Table, Instant)>,
    users: BTreeMap<u32, String>,
    uid: Option<u32>,
    which: Option<Which>,
    hidden: Option<usize>,
}

impl Looker {
    pub(crate) fn new(host: Host, uid: Option<u32>, which: Option<Which>) -> Looker {
        let (finder, tracks, users) = Default::default();
        Looker { host, finder, tracks, before: None, users, uid, which, hidden: None }
    }

    /// One look; the processes of `into` are listed, or of every run with `all`.
    pub(crate) fn look(&mut self, into: Option<Key>, all: bool) -> View {
        let found = self.finder.look(&self.host);
        let now = Instant::now();
        let uptime =
            self.host.read("/proc/uptime").ok().and_then(|t| t.split(' ').next()?.parse::<f64>().ok());
        // Walks all cgroups: once is enough to say that something is hidden.
        let hidden = match self.hidden {
            _ if !found.partly => 0,
            Some(n) => n,
            None => *self.hidden.insert(hidden(&self.host, &found)),
        };
        let wanted = |job: &&Job| {
            let named = match self.which {
                None => true,
                Some(Which::Id(id)) => id == job.id,
                Some(Which::Pid(pid)) => pid == job.supervisor || job.inits.contains(&pid),
            };
            named && (self.uid.is_none() || self.uid == job.uid)
        };
        let jobs: Vec<Job> = found.jobs.iter().filter(wanted).cloned().collect();
        let rows = jobs
            .iter()
            .map(|job| {
                let listed = all || into == Some((job.id, job.supervisor));
                self.row(job, &found, now, uptime, listed)
            })
            .collect();
        self.tracks.retain(|_, track| track.at == now);
        let partly = found.partly;
        self.before = Some((found.table, now));
        View {
            host: terrarium_sys::process::host_name(),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            node_memory: terrarium_sys::process::memory_total(),
            rows,
            partly,
            hidden,
        }
    }

    fn row(&mut self, job: &Job, found: &Found, now: Instant, uptime: Option<f64>, listed: bool) -> Row {
        let key = (job.id, job.supervisor);
        let counts = job.places.counts();
        let elapsed = |start_ticks: u64| {
            uptime.map(|up| Duration::from_secs_f64((up - start_ticks as f64 / TICKS).max(0.0)))
        };
        let mut added = Added::default();
        let mut parts = Vec::new();
        for &pid in &job.members {
            let Some(stat) = found.table.get(&pid) else { continue };
            added.threads += stat.threads;
            let memory = (listed || counts.working_set.is_none()).then(|| self.memory_of(pid)).flatten();
            added.take(memory);
            if listed {
                let seen = self.before.as_ref().and_then(|(table, at)| Some((table.get(&pid)?, at)));
                let cpu = seen.filter(|(s, _)| s.start_ticks == stat.start_ticks).map(|(s, at)| {
                    let seconds = now.duration_since(*at).as_secs_f64();
                    stat.own_ticks.saturating_sub(s.own_ticks) as f64 / TICKS / seconds
                });
                let memory = memory.map(|(anonymous, shared)| Bytes(anonymous.0 + shared.0));
                let (name, state, threads) = (stat.name.clone(), stat.state, stat.threads);
                parts.push(Part {
                    pid,
                    name,
                    state,
                    cpu,
                    memory,
                    threads,
                    elapsed: elapsed(stat.start_ticks),
                });
            }
        }
        let memory = match counts.working_set {
            Some(bytes) => Some(Memory { bytes, at_most: false }),
            None => added.memory(),
        };
        let used = match counts.cpu {
            Some(used) => (used, true),
            None => (ticks_of(job, &found.table), false),
        };
        let track = self.tracks.entry(key).or_insert_with(|| {
            let (time, command) = asked(&job.arguments);
            Track { cpu: used, at: now, time, command, past: VecDeque::new() }
        });
        if track.command.is_empty() {
            track.command = job.main.map(|main| arguments(&self.host, main)).unwrap_or_default();
        }
        let seconds = now.duration_since(track.at).as_secs_f64();
        // Processes are not read in one moment, so the sum of their times may seem to go back.
        let used = if used.1 == track.cpu.1 { (used.0.max(track.cpu.0), used.1) } else { used };
        let cpu =
            (seconds > 0.0 && used.1 == track.cpu.1).then(|| (used.0 - track.cpu.0).as_secs_f64() / seconds);
        (track.cpu, track.at) = (used, now);
        if track.past.len() == KEPT {
            track.past.pop_front();
        }
        track.past.push_back((cpu, memory.map(|m| m.bytes)));
        let (time, command, past) = (track.time, track.command.clone(), track.past.clone());
        let elapsed = elapsed(job.start_ticks);
        Row {
            key,
            inside: job.inside,
            user: self.user(job.uid),
            uid: job.uid,
            tier: job.tier,
            ranks: (job.inits.len() > 1).then(|| job.inits.len() - 1),
            main: job.main,
            command,
            cpu,
            memory,
            limit: counts.memory_limit,
            processes: job.members.len(),
            threads: added.threads,
            elapsed,
            left: time.zip(elapsed).map(|(time, elapsed)| time.saturating_sub(elapsed)),
            parts,
            past,
        }
    }

    fn memory_of(&self, pid: u32) -> Option<(Bytes, Bytes)> {
        let status = parse::status(self.host.read(format!("/proc/{pid}/status")).ok()?.as_bytes())?;
        Some((Bytes(status.anonymous), Bytes(status.shared)))
    }

    /// The name of a user: asked for once.
    fn user(&mut self, uid: Option<u32>) -> String {
        let Some(uid) = uid else { return "?".to_owned() };
        let host = &self.host;
        self.users.entry(uid).or_insert_with(|| crate::people::name_of(host, uid)).clone()
    }
}

#[derive(Default)]
struct Added {
    anonymous: u64,
    shared: Bytes,
    any: bool,
    threads: u64,
}

impl Added {
    fn take(&mut self, memory: Option<(Bytes, Bytes)>) {
        if let Some((anonymous, shared)) = memory {
            self.anonymous += anonymous.0;
            self.shared = self.shared.max(shared);
            self.any = true;
        }
    }

    fn memory(&self) -> Option<Memory> {
        self.any.then(|| Memory { bytes: Bytes(self.anonymous + self.shared.0), at_most: true })
    }
}

/// CPU time of a run without a cgroup: of its living processes, and of those that they and the inits, whom all orphans
/// come to, have waited for.
fn ticks_of(job: &Job, table: &Table) -> Duration {
    let of = |pids: &[u32], own: bool| -> u64 {
        let stats = pids.iter().filter_map(|pid| table.get(pid));
        stats.map(|s| s.waited_ticks + if own { s.own_ticks } else { 0 }).sum()
    };
    Duration::from_secs_f64((of(&job.members, true) + of(&job.inits, false)) as f64 / TICKS)
}

/// What the supervisor was asked for: `--time`, and the command; nothing if that is not plain.
fn asked(arguments: &[String]) -> (Option<Duration>, Vec<String>) {
    match Cli::try_parse_from(arguments).map(|cli| cli.command) {
        Ok(Verb::Run(run)) => {
            let command = run.command.iter().map(|word| word.to_string_lossy().into_owned()).collect();
            (run.options.time, command)
        }
        _ => (None, Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn what_was_asked_for_is_read_from_the_command_line() {
        let (time, command) = asked(&words("/opt/terrarium run --time 1h --mem 4G -- python3 x.py -q"));
        assert_eq!((time, command), (Some(Duration::from_secs(3600)), words("python3 x.py -q")));
        for other in ["terrarium reap", "python3 x.py", "terrarium run --time rubbish -- x", ""] {
            assert_eq!(asked(&words(other)), (None, Vec::new()), "{other}");
        }
    }

    #[test]
    fn cpu_time_and_memory_without_cgroups() {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let process = |pid: u32, name: &str, parent: u32, times: &str| {
            let stat = format!("{pid} ({name}) S {parent} 1 1 0 -1 0 0 0 0 0 {times} 20 0 3 0 100 0 0");
            write(&format!("proc/{pid}/stat"), &stat);
            let status = "Uid:\t4711\nThreads:\t3\nRssAnon:\t100 kB\nRssShmem:\t50 kB\n";
            write(&format!("proc/{pid}/status"), status);
        };
        write("proc/uptime", "61.00 1.00\n");
        write("etc/passwd", "root:x:0:0::/:/bin/sh\nada:x:4711:4711::/:/bin/sh\n");
        write("proc/50/cmdline", "terrarium\0run\0--time\09m\0--\0work\0");
        process(1, "systemd", 0, "0 0 0 0");
        process(50, "terrarium", 1, "9 9 9 9");
        process(51, "terrarium-init", 50, "9 9 10 10");
        process(52, "work", 51, "100 50 0 0");
        process(53, "more", 52, "0 0 7 0");
        let mut looker = Looker::new(Host::at(dir.path()), None, None);
        let first = looker.look(None, false);
        let [row] = &first.rows[..] else { panic!("{first:?}") };
        assert_eq!((row.cpu, row.processes, row.threads), (None, 2, 6));
        assert_eq!((row.user.as_str(), row.command.join(" ").as_str()), ("ada", "work"));
        let memory = Memory { bytes: Bytes(250 << 10), at_most: true };
        assert_eq!((row.memory, row.limit, row.parts.len()), (Some(memory), None, 0));
        assert_eq!(row.elapsed, Some(Duration::from_secs(60)));
        assert_eq!(row.left, Some(Duration::from_secs(480)));
        assert_eq!(looker.tracks[&row.key].cpu.0, Duration::from_millis(1770));
        // One has ended, and its parent has waited for it: the time is not lost, and seems to go back by nothing.
        std::fs::remove_dir_all(dir.path().join("proc/53")).unwrap();
        process(52, "work", 51, "100 50 0 0");
        let key = row.key;
        let second = looker.look(Some(key), false);
        assert_eq!(second.rows[0].cpu, Some(0.0));
        assert_eq!(second.rows[0].parts.len(), 1);
        process(52, "work", 51, "600 50 7 0");
        let third = looker.look(Some(key), false);
        assert!(third.rows[0].cpu.unwrap() > 0.0 && third.rows[0].parts[0].cpu.unwrap() > 0.0);
        let other = Looker::new(Host::at(dir.path()), Some(1), None).look(None, false);
        assert!(other.rows.is_empty());
    }
}
