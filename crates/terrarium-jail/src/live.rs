//! The runs of this node that are alive, found from outside, without their supervisors' help.
//!
//! A run is found by its init, a process with a name of its own whose parent is the supervisor. Every orphan of a run becomes a child of its
//! init, so what descends from it is the job. This needs nothing but /proc/PID/stat, which everybody may read. What
//! only the owner and root may read (the mark) tells more: which ranks share a jail, and what a run in a run is called.
//!
//! Names can be forged: a process that calls itself what an init is called is shown as a run of its owner. It
//! cannot get into a run of another user.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use terrarium_core::{Bytes, JobId, Tier};

use crate::cgroup::{hierarchies, job_of, read_key, read_number};
use crate::host::{Host, Stat, parse_memberships};
use crate::{init, reap};

/// All processes that /proc shows, by PID.
pub type Table = BTreeMap<u32, Stat>;

/// Directories of a run's cgroups, as far as it has any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// The one that counts memory.
    pub memory: Option<PathBuf>,
    /// The one that counts CPU time.
    pub cpu: Option<PathBuf>,
}

/// What a run's cgroups say at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// CPU time of all that ever ran in it.
    pub cpu: Option<Duration>,
    /// Memory without file pages that were not used lately.
    pub working_set: Option<Bytes>,
    /// Most memory that it may have.
    pub memory_limit: Option<Bytes>,
}

impl Places {
    /// Reads them.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        if let Some(place) = &self.cpu {
            let v1 = || read_number(&place.join("cpuacct.usage")).map(Duration::from_nanos);
            let v2 = || read_key(&place.join("cpu.stat"), "usage_usec").map(Duration::from_micros);
            counts.cpu = v1().or_else(v2);
        }
        if let Some(place) = &self.memory {
            let number = |name: &str| read_number(&place.join(name));
            let idle = |key: &str| read_key(&place.join("memory.stat"), key);
            let (used, idle, limit) = match number("memory.current") {
                None => {
                    (number("memory.usage_in_bytes"), idle("total_inactive_file"), "memory.limit_in_bytes")
                }
                used => (used, idle("inactive_file"), "memory.max"),
            };
            counts.working_set = used.zip(idle).map(|(used, idle)| Bytes(used.saturating_sub(idle)));
            // v1 has no word for "none", only a number that no machine reaches.
            counts.memory_limit = number(limit).filter(|n| *n < 1 << 62).map(Bytes);
        }
        counts
    }
}

/// A run that is alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its name. Where its mark may not be read, a run in another PID namespace goes by its PID here.
    pub id: JobId,
    /// Its supervisor's PID; of ranks, the holder's.
    pub supervisor: u32,
    /// Its inits: one, or of ranks one for each and the holder's.
    pub inits: Vec<u32>,
    /// Real user ID of the supervisor; `None` if /proc hides it.
    pub uid: Option<u32>,
    /// Clock ticks from boot to the start of the supervisor.
    pub start_ticks: u64,
    /// What holds it, as far as it can be told.
    pub tier: Option<Tier>,
    /// The main process; of ranks the first.
    pub main: Option<u32>,
    /// All its processes but the inits, by PID. A run in the run belongs to it.
    pub members: Vec<u32>,
    /// The run that it runs in.
    pub inside: Option<JobId>,
    /// Its cgroups.
    pub places: Places,
    /// What the supervisor (of ranks: the first rank) was started with.
    pub arguments: Vec<String>,
}

/// What was found in one look.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The runs, by name.
    pub jobs: Vec<Job>,
    /// All processes.
    pub table: Table,
    /// /proc does not show everything (hidepid).
    pub partly: bool,
}

/// What does not change while a run lives.
#[derive(Clone, Debug)]
struct Known {
    uid: Option<u32>,
    tier: Option<Tier>,
    arguments: Vec<String>,
    /// Told by a process of the run: known only once there is one.
    told: Option<(Option<JobId>, Places)>,
}

/// Looks for runs, and remembers what it need not read again.
#[derive(Debug, Default)]
pub struct Finder {
    known: BTreeMap<(u32, u64), Known>,
}

impl Finder {
    /// Looks.
    pub fn look(&mut self, host: &Host) -> Found {
        let table: Table = host.pids().into_iter().filter_map(|pid| Some((pid, host.stat(pid)?))).collect();
        let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for (pid, stat) in &table {
            children.entry(stat.parent).or_default().push(*pid);
        }
        let namespace = host.pid_namespace().unwrap_or(0);
        let mut jobs: BTreeMap<(JobId, Option<u32>), Job> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for (&init, stat) in table.iter().filter(|(_, s)| s.name == init::NAME && !s.is_dead()) {
            // A main process has its init's name until it executes the command.
            let Some(supervisor) = table.get(&stat.parent).filter(|s| s.name != init::NAME) else { continue };
            let main = first(&table, children.get(&init));
            let key = (init, stat.start_ticks);
            seen.insert(key);
            let known = self.known.entry(key).or_insert_with(|| know(host, stat.parent, init));
            if known.told.is_none()
                && let Some(main) = main.filter(|m| table.get(m).is_some_and(|s| s.name != init::NAME))
            {
                known.told = Some(told(host, main));
            }
            let here =
                JobId { pid: stat.parent, start_ticks: supervisor.start_ticks, pid_namespace: namespace };
            let (mark, places) = known.told.clone().unwrap_or_default();
            // Nobody gets into the run of another user by taking its mark.
            let fits = |mark: &JobId| {
                mark.pid_namespace != namespace
                    || *mark == here
                    || (lives(&table, mark) && known.uid.is_some() && user_of(host, mark.pid) == known.uid)
            };
            let id = mark.filter(fits).unwrap_or(here);
            let is_holder = id == here || !jobs.contains_key(&(id, known.uid));
            let job = jobs.entry((id, known.uid)).or_insert_with(|| Job {
                id,
                supervisor: stat.parent,
                inits: Vec::new(),
                uid: known.uid,
                start_ticks: supervisor.start_ticks,
                tier: known.tier,
                main,
                members: Vec::new(),
                inside: None,
                places: Places::default(),
                arguments: known.arguments.clone(),
            });
            if is_holder {
                (job.supervisor, job.tier) = (stat.parent, known.tier);
            }
            job.start_ticks = job.start_ticks.min(supervisor.start_ticks);
            job.inits.push(init);
            job.main = job.main.or(main);
            if job.places == Places::default() {
                job.places = places;
            }
        }
        self.known.retain(|key, _| seen.contains(key));
        let mut jobs: Vec<Job> = jobs.into_values().collect();
        for job in &mut jobs {
            job.members = below(&children, &job.inits);
        }
        nest(&mut jobs, &table);
        Found { jobs, partly: !table.contains_key(&1), table }
    }
}

/// How many runs have cgroups here but are not among `found`: of users whose processes /proc hides, or left by runs that
/// have ended.
pub fn hidden(host: &Host, found: &Found) -> usize {
    let ids: BTreeSet<JobId> = reap::groups(host).into_iter().map(|g| g.job).collect();
    ids.iter().filter(|id| !found.jobs.iter().any(|j| j.id == **id)).count()
}

fn lives(table: &Table, id: &JobId) -> bool {
    table.get(&id.pid).is_some_and(|s| s.start_ticks == id.start_ticks && !s.is_dead())
}

/// The oldest of some processes: of an init's children, main.
fn first(table: &Table, pids: Option<&Vec<u32>>) -> Option<u32> {
    pids?.iter().copied().min_by_key(|pid| (table.get(pid).map(|s| s.start_ticks), *pid))
}

fn below(children: &BTreeMap<u32, Vec<u32>>, inits: &[u32]) -> Vec<u32> {
    let mut found = BTreeSet::new();
    let mut open = inits.to_vec();
    while let Some(pid) = open.pop() {
        for child in children.get(&pid).into_iter().flatten() {
            // The table was not read in one moment: what looks like a circle must not hold us.
            if found.insert(*child) {
                open.push(*child);
            }
        }
    }
    found.into_iter().filter(|pid| !inits.contains(pid)).collect()
}

/// Tells of every run which one it runs in: that of the nearest ancestor that is an init.
fn nest(jobs: &mut [Job], table: &Table) {
    let owners: BTreeMap<u32, JobId> =
        jobs.iter().flat_map(|job| job.inits.iter().map(|init| (*init, job.id))).collect();
    for job in jobs {
        let mut pid = job.supervisor;
        for _ in 0..1000 {
            let Some(stat) = table.get(&pid) else { break };
            if let Some(owner) = owners.get(&stat.parent).filter(|owner| **owner != job.id) {
                job.inside = Some(*owner);
                break;
            }
            pid = stat.parent;
        }
    }
}

fn status_field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|l| l.strip_prefix(name))
}

fn uid_in(status: &str) -> Option<u32> {
    status_field(status, "Uid:")?.split_ascii_whitespace().next()?.parse().ok()
}

fn user_of(host: &Host, pid: u32) -> Option<u32> {
    uid_in(&host.read(format!("/proc/{pid}/status")).ok()?)
}

fn know(host: &Host, supervisor: u32, init: u32) -> Known {
    let status = |pid: u32| host.read(format!("/proc/{pid}/status")).unwrap_or_default();
    let (own, inits) = (status(supervisor), status(init));
    let depth = |s: &str| status_field(s, "NSpid:").map(|l| l.split_ascii_whitespace().count());
    let map = |pid: u32| host.read(format!("/proc/{pid}/uid_map")).ok();
    let tier = match (depth(&own), depth(&inits)) {
        (Some(a), Some(b)) if a == b => Some(Tier::Ptrace),
        (Some(_), Some(_)) => match (map(supervisor), map(init)) {
            (Some(a), Some(b)) if a == b => Some(Tier::Root),
            (Some(_), Some(_)) => Some(Tier::Userns),
            _ => None,
        },
        _ => None,
    };
    let uid = uid_in(&own);
    Known { uid, tier, arguments: arguments(host, supervisor), told: None }
}

/// What a process was started with; empty if that cannot be read.
pub fn arguments(host: &Host, pid: u32) -> Vec<String> {
    let text = host.read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    text.strip_suffix('\0')
        .unwrap_or(&text)
        .split('\0')
        .filter(|_| !text.is_empty())
        .map(str::to_owned)
        .collect()
}

/// What a process of a run tells: the mark in its environment, or else in the name of its cgroup; and the cgroups.
fn told(host: &Host, main: u32) -> (Option<JobId>, Places) {
    let memberships = host.read(format!("/proc/{main}/cgroup")).unwrap_or_default();
    let memberships = parse_memberships(&memberships);
    let in_names = || {
        let mut paths = memberships.iter().flat_map(|m| m.path.ancestors());
        paths.find_map(job_of)
    };
    let mark = reap::mark(host, main).or_else(in_names);
    let mut places = Places::default();
    let Some(id) = mark else { return (None, places) };
    for hierarchy in hierarchies(&host.mounts().unwrap_or_default(), &memberships) {
        let own = hierarchy.own.ancestors().find(|path| job_of(path) == Some(id)).map(|p| host.path(p));
        let Some(own) = own else { continue };
        let counts = |v1: &str, v2: &str| match hierarchy.controllers.is_empty() {
            true => own.join(v2).exists(),
            false => hierarchy.controllers.iter().any(|c| c == v1),
        };
        if counts("memory", "memory.current") {
            places.memory = Some(own.clone());
        }
        if counts("cpuacct", "cpu.stat") && (!hierarchy.controllers.is_empty() || places.cpu.is_none()) {
            places.cpu = Some(own.clone());
        }
    }
    (mark, places)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    struct Fake(tempfile::TempDir);

    impl Fake {
        fn new() -> Fake {
            let fake = Fake(tempfile::tempdir().unwrap());
            fs::create_dir_all(fake.0.path().join("proc/self/ns")).unwrap();
            symlink("pid:[5]", fake.0.path().join("proc/self/ns/pid")).unwrap();
            fake.write(
                "proc/self/mountinfo",
                "1 1 0:1 / /cg/memory rw - cgroup c rw,memory\n2 1 0:2 / /cg/u rw - cgroup2 c rw\n",
            );
            fake.process(1, "systemd", 0, "");
            fake
        }

        fn write(&self, path: &str, text: &str) {
            let path = self.0.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        /// Starts at its PID × 10 ticks.
        fn process(&self, pid: u32, name: &str, parent: u32, environment: &str) {
            let start = pid * 10;
            self.write(
                &format!("proc/{pid}/stat"),
                &format!("{pid} ({name}) S {parent} 1 1 0 -1 0 0 0 0 0 3 4 5 6 20 0 2 0 {start} 0 0"),
            );
            self.write(&format!("proc/{pid}/environ"), environment);
            self.write(&format!("proc/{pid}/status"), "Uid:\t7\t7\t7\t7\nNSpid:\t1\n");
        }

        fn run(&self, supervisor: u32, parent: u32, mark: &str) {
            self.process(supervisor, "terrarium", parent, "");
            self.process(supervisor + 1, init::NAME, supervisor, "");
            self.process(supervisor + 2, "main", supervisor + 1, &format!("TERRARIUM_JOB={mark}\0"));
            self.write(&format!("proc/{}/status", supervisor + 1), "Uid:\t7\nNSpid:\t1\t1\n");
        }

        fn look(&self) -> Found {
            Finder::default().look(&Host::at(self.0.path()))
        }
    }

    #[test]
    fn a_run_is_its_init_and_what_descends_from_it() {
        let fake = Fake::new();
        fake.run(100, 1, "100-1000-5");
        fake.process(110, "child", 102, "");
        fake.process(111, "orphan", 101, "");
        fake.process(112, "stranger", 1, "TERRARIUM_JOB=100-1000-5\0");
        fake.write("proc/100/cmdline", "terrarium\0run\0--\0main\0");
        fake.write("proc/100/uid_map", "0 0 4294967295\n");
        fake.write("proc/101/uid_map", "0 1000 1\n");
        let found = fake.look();
        assert!(!found.partly);
        let [job] = &found.jobs[..] else { panic!("{found:?}") };
        assert_eq!(job.id, "100-1000-5".parse().unwrap());
        assert_eq!((job.supervisor, &job.inits[..], job.main), (100, &[101][..], Some(102)));
        assert_eq!(job.members, [102, 110, 111]);
        assert_eq!((job.uid, job.start_ticks, job.tier), (Some(7), 1000, Some(Tier::Userns)));
        assert_eq!(job.arguments, ["terrarium", "run", "--", "main"]);
        let main = &found.table[&102];
        assert_eq!((main.own_ticks, main.waited_ticks, main.threads), (7, 11, 2));
    }

    #[test]
    fn cgroups_are_those_that_bear_the_name_of_the_run() {
        let fake = Fake::new();
        fake.run(100, 1, "100-1000-5");
        fake.write(
            "proc/102/cgroup",
            "4:memory:/a/terrarium-100-1000-5/box\n3:pids:/x\n0::/terrarium-9-9-5/box/terrarium-100-1000-5/box\n",
        );
        let root = fake.0.path().join("cg");
        let v2 = "cg/u/terrarium-9-9-5/box/terrarium-100-1000-5";
        fake.write(&format!("{v2}/cpu.stat"), "usage_usec 1\n");
        let places = fake.look().jobs[0].places.clone();
        assert_eq!(places.memory, Some(root.join("memory/a/terrarium-100-1000-5")));
        assert_eq!(places.cpu, Some(fake.0.path().join(v2)));
        // An amount that is not known is none, also if a part of it is.
        fake.write("cg/memory/a/terrarium-100-1000-5/memory.usage_in_bytes", "5000\n");
        let cpu = Some(Duration::from_micros(1));
        assert_eq!(places.counts(), Counts { cpu, ..Counts::default() });
        fake.write(
            "cg/memory/a/terrarium-100-1000-5/memory.stat",
            "inactive_file 1\ntotal_inactive_file 2000\n",
        );
        fake.write("cg/memory/a/terrarium-100-1000-5/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(places.counts(), Counts { cpu, working_set: Some(Bytes(3000)), memory_limit: None });
        fake.write("cg/memory/a/terrarium-100-1000-5/memory.limit_in_bytes", "9000\n");
        assert_eq!(places.counts().memory_limit, Some(Bytes(9000)));
        // That of the run around it is not its own.
        fake.write("proc/102/cgroup", "4:memory:/a/terrarium-9-9-5/box\n");
        assert_eq!(fake.look().jobs[0].places, Places::default());
    }

    #[test]
    fn a_run_in_a_run_is_told_from_it_and_belongs_to_it() {
        let fake = Fake::new();
        fake.run(100, 1, "100-1000-5");
        fake.run(200, 102, "3-2000-77");
        let found = fake.look();
        let [inner, outer] = &found.jobs[..] else { panic!("{found:?}") };
        assert_eq!(inner.id, "3-2000-77".parse().unwrap());
        assert_eq!((inner.inside, outer.inside), (Some(outer.id), None));
        assert_eq!(inner.members, [202]);
        assert_eq!(outer.members, [102, 200, 201, 202]);
    }

    #[test]
    fn ranks_are_one_run_and_a_forged_mark_of_another_user_is_not_in_it() {
        let fake = Fake::new();
        // The holder, whose jail is empty to begin with, and two ranks.
        fake.process(100, "terrarium", 1, "");
        fake.process(101, init::NAME, 100, "");
        fake.run(110, 1, "100-1000-5");
        fake.run(120, 1, "100-1000-5");
        fake.run(130, 1, "100-1000-5");
        fake.write("proc/130/status", "Uid:\t8\nNSpid:\t130\n");
        let found = fake.look();
        let [ranks, forged] = &found.jobs[..] else { panic!("{found:?}") };
        assert_eq!((ranks.supervisor, &ranks.inits[..]), (100, &[101, 111, 121][..]));
        assert_eq!((&ranks.members[..], ranks.main), (&[112, 122][..], Some(112)));
        assert_eq!((forged.uid, &forged.members[..]), (Some(8), &[132][..]));
        assert_eq!(forged.id, "130-1300-5".parse().unwrap());
    }

    #[test]
    fn what_is_no_run_is_not_taken_for_one() {
        let fake = Fake::new();
        // No parent; a main process that has not executed its command yet; nothing but a mark.
        fake.process(50, init::NAME, 0, "");
        fake.process(60, "terrarium", 1, "");
        fake.process(61, init::NAME, 60, "");
        fake.process(62, init::NAME, 61, "");
        fake.process(70, "at", 1, "TERRARIUM_JOB=1-2-5\0");
        let found = fake.look();
        assert_eq!(found.jobs.iter().map(|j| j.supervisor).collect::<Vec<_>>(), [60]);
        assert_eq!(found.jobs[0].members, [62]);
    }

    #[test]
    fn what_proc_hides_is_counted_by_its_cgroups() {
        let fake = Fake::new();
        fs::remove_dir_all(fake.0.path().join("proc/1")).unwrap();
        fake.run(100, 1, "100-1000-5");
        for name in ["memory/terrarium-100-1000-5", "memory/terrarium-9-9-5/box", "u/x/terrarium-9-9-5"] {
            fs::create_dir_all(fake.0.path().join("cg").join(name)).unwrap();
        }
        let found = fake.look();
        assert!(found.partly);
        assert_eq!(hidden(&Host::at(fake.0.path()), &found), 1);
    }
}
