//! From a [`JailSpec`] to a [`Plan`]: everything that will be done, as data.

use std::ffi::CString;
use std::fmt;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::unistd::{getegid, geteuid};
use terrarium_core::report::{Enforcer, Limit, Limits};
use terrarium_core::{Finding, JobId, Tier};
use terrarium_sys::caps;
use terrarium_sys::landlock::{self, Access, Landlock, Rule};
use terrarium_sys::process::Namespaces;
use terrarium_sys::seccomp::Filter;
use terrarium_sys::step::{Planned, Step, When, rlimit};

use crate::affinity::mask;
use crate::cgroup::{Groups, Wanted};
use crate::error::JailError;
use crate::host::{Host, Mount};
use crate::only;
use crate::share::{Joined, NAMESPACES, Welcome};
use crate::spec::{JailSpec, Shm, View};
use crate::view::{self, RealFiles, note};

/// What will be done for one run.
#[derive(Debug)]
pub struct Plan {
    /// Name of the run.
    pub job: JobId,
    /// What holds it.
    pub tier: Tier,
    /// The namespaces it gets.
    pub namespaces: Namespaces,
    /// What its init does before anything else.
    pub init_steps: Vec<Planned>,
    /// What its main process does before exec.
    pub main_steps: Vec<Planned>,
    /// The limits, and what enforces each.
    pub limits: Limits,
    /// Directories that hold the limits.
    pub cgroups: Vec<PathBuf>,
    /// What the user should know.
    pub findings: Vec<Finding>,
    /// Another rank of the job says it.
    pub is_told: bool,
}

/// What was found and made on the host for a plan.
#[derive(Clone, Copy)]
pub(crate) struct Found<'a> {
    pub(crate) host: &'a Host,
    pub(crate) mounts: &'a [Mount],
    pub(crate) groups: &'a Groups,
    /// The job's own directory for temporary files, where it cannot have a /tmp of its own.
    pub(crate) tmp: Option<&'a Path>,
}

impl Plan {
    pub(crate) fn make(
        spec: &JailSpec,
        tier: Tier,
        job: JobId,
        found: &Found<'_>,
    ) -> Result<Plan, JailError> {
        let &Found { host, mounts, groups, tmp } = found;
        let mut findings = Vec::new();
        let limits = limits(spec, tier, groups, &mut findings);
        let memory_enforcer = limits.memory.as_ref().and_then(|l| l.enforced_by);
        if spec.require_memory && memory_enforcer == Some(Enforcer::RlimitData) {
            return Err(JailError::MemoryNotHeld {
                why: groups.why_not("memory").unwrap_or("none is mounted").to_owned(),
            });
        }
        let mut init_steps: Vec<Planned> = vec![Step::DieWithParent.into()];
        if tier == Tier::Userns {
            init_steps.extend(identity_steps());
        }
        if tier == Tier::Ptrace {
            init_steps.push(Step::AdoptOrphans.into());
            findings.extend(open_in_ptrace(&spec.view));
            findings.extend(spec.ranks.as_ref().map(|_| ranks_apart()));
        } else {
            init_steps.extend(view::steps(&spec.view, tier, &groups.covers(mounts), mounts, &RealFiles)?);
        }
        if limits.pids.as_ref().and_then(|l| l.enforced_by) == Some(Enforcer::RlimitNproc) {
            init_steps.push(Planned::noting(Step::ProbeNproc, note::NPROC));
        }
        init_steps.push(Step::Name { name: c(Path::new(crate::init::NAME)) }.into());
        init_steps.push(Step::Undumpable.into());
        let counts_user = |l: &Limit<u64>| l.enforced_by == Some(Enforcer::RlimitNprocUser);
        let users_tasks =
            if limits.pids.as_ref().is_some_and(counts_user) { host.tasks_of(geteuid().as_raw()) } else { 0 };
        let own = tier != Tier::Ptrace;
        Ok(Plan {
            job,
            tier,
            namespaces: Namespaces {
                user: tier == Tier::Userns,
                pid: own,
                mount: own,
                ipc: own && matches!(spec.view.shm, Shm::Private(_)),
                net: own && spec.view.no_network,
            },
            init_steps,
            main_steps: main_steps(spec, tier, &limits, &Cgroups::of(groups), Traced { users_tasks, tmp })?,
            limits,
            cgroups: groups.paths().into_iter().map(Path::to_owned).collect(),
            findings,
            is_told: false,
        })
    }

    /// Of one rank, which enters the jail of its job.
    pub(crate) fn rank(spec: &JailSpec, joined: &Joined) -> Result<Plan, JailError> {
        let Welcome { job, tier, limits, findings, .. } = &joined.welcome;
        let enter = |name: &str| {
            let of_kind = joined.namespaces.iter().find(|(kind, _)| NAMESPACES.get(*kind) == Some(&name));
            of_kind.map(|(kind, fd)| {
                Planned::from(Step::JoinNamespace { fd: fd.as_raw_fd(), kind: NAMESPACES[*kind] })
            })
        };
        // The user namespace first, whose rights the others need. Entering it gives new rights, which takes back
        // the wish to die with the parent.
        let user = if *tier == Tier::Userns { enter("user") } else { None };
        let init_steps: Vec<Planned> = user
            .into_iter()
            .chain(enter("pid"))
            .chain([
                Step::DieWithParent.into(),
                Step::Name { name: c(Path::new(crate::init::NAME)) }.into(),
                Step::Undumpable.into(),
            ])
            .collect();
        let cgroups = Cgroups { v1_procs: joined.v1_procs(), any: joined.has_cgroups() };
        // Of the host's own there is nothing to enter, and no right to.
        let ipc = matches!(spec.view.shm, Shm::Private(_)).then(|| enter("ipc")).flatten();
        let net = spec.view.no_network.then(|| enter("net")).flatten();
        let mut steps: Vec<Planned> = ipc.into_iter().chain(net).chain(enter("mnt")).collect();
        let traced = Traced { users_tasks: 0, tmp: None };
        steps.extend(main_steps(spec, *tier, limits, &cgroups, traced)?);
        steps.push(Step::DieWithParent.into());
        Ok(Plan {
            job: *job,
            tier: *tier,
            namespaces: Namespaces::default(),
            init_steps,
            main_steps: steps,
            limits: limits.clone(),
            cgroups: Vec::new(),
            findings: findings.clone(),
            is_told: !joined.welcome.is_first,
        })
    }

    /// The memory limit, if each process has its own.
    pub fn memory_is_per_process(&self) -> bool {
        self.limits.memory.as_ref().and_then(|l| l.enforced_by) == Some(Enforcer::RlimitData)
    }
}

/// A Landlock domain of the job's own, from which no process outside can be traced or written to, nor signalled where
/// Landlock has scopes. Before that, a domain has to have a rule on files: one that allows everything.
fn own_domain() -> Landlock {
    let everything = Rule { path: c(Path::new("/")), access: Access::Write };
    let scopes = landlock::abi() >= landlock::ABI_SCOPES;
    let files = if scopes { None } else { Some(vec![everything]) };
    // With ABI 1 no file could be moved between directories.
    Landlock { files, signals: true, least_abi: 2, ..Landlock::default() }
}

/// Each rank is held by itself: said, because it is not what was asked for.
fn ranks_apart() -> Finding {
    Finding::new(
        "ranks-apart",
        "the ranks of this job share no jail (user namespaces are not to be had): each is held by ptrace, without a PID namespace, and limits hold for each rank alone",
    )
}

/// What a namespace would close and ptrace does not.
fn open_in_ptrace(view: &View) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !view.sockets.is_empty() {
        let names: Vec<String> = view.sockets.iter().map(|s| s.display().to_string()).collect();
        findings.push(Finding::new(
            "socket-open",
            format!(
                "without namespaces the job could have processes started outside, through {}",
                names.join(", ")
            ),
        ));
    }
    if landlock::abi() < 2 {
        findings.push(Finding::new(
            "processes-open",
            "without namespaces and without Landlock (Linux 5.19) the job could change other processes of this user, and have them start something outside",
        ));
    }
    if !view.denied_devices.is_empty() {
        findings.push(Finding::new(
            "gpus-open",
            "without namespaces --gpus only sets variables: the job could open the other GPUs",
        ));
    }
    findings
}

/// The user in the new user namespace is the same as outside; nobody else exists there.
pub(crate) fn identity_steps() -> [Planned; 3] {
    let write = |path: &str, data: String| -> Planned {
        Step::WriteFile { path: c(Path::new(path)), data: data.into_bytes() }.into()
    };
    let (uid, gid) = (geteuid(), getegid());
    [
        // The kernel wants this first: else dropping a group could gain access.
        write("/proc/self/setgroups", "deny".to_owned()),
        write("/proc/self/uid_map", format!("{uid} {uid} 1")),
        write("/proc/self/gid_map", format!("{gid} {gid} 1")),
    ]
}

/// For paths that come from the kernel or from literals: they cannot hold a NUL.
fn c(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap_or_default()
}

/// What is asked of cgroups.
pub(crate) fn wanted(spec: &JailSpec) -> Wanted {
    Wanted {
        memory: spec.limits.memory,
        swap: spec.limits.swap,
        cpus: spec.limits.cpus.clone(),
        pids: spec.limits.pids,
    }
}

fn limits(spec: &JailSpec, tier: Tier, groups: &Groups, findings: &mut Vec<Finding>) -> Limits {
    let held = groups.held;
    let why = |controller| match groups.why_not(controller) {
        Some(reason) => format!(" ({reason})"),
        None => String::new(),
    };
    let memory = spec.limits.memory.map(|value| {
        if held.memory.is_none() {
            findings.push(
                Finding::new(
                    "mem-per-process",
                    format!(
                        "--mem {} holds for each process alone (RLIMIT_DATA), not for the job: no memory cgroup is to be had{}. \
                         It does not stop shared mappings, memfd, files in /dev/shm, or many processes together; \
                         and it counts memory that was never touched, such as thread stacks",
                        value.as_argument(),
                        why("memory")
                    ),
                )
                .hint(
                    "for a limit on the whole job start it as `systemd-run --user --scope -p Delegate=yes terrarium run …`, \
                     or ask for it from the batch system; --require-mem refuses to start without",
                ),
            );
        }
        Limit { value, enforced_by: held.memory.or(Some(Enforcer::RlimitData)) }
    });
    let swap = spec.limits.swap.map(|value| {
        // Without a cgroup the missing memory limit is the finding; one is enough.
        if held.swap.is_none() && held.memory.is_some() {
            findings.push(
                Finding::new(
                    "swap-not-limited",
                    "--swap is not enforced: this kernel does not account swap by cgroup",
                )
                .hint("boot with swapaccount=1, or turn swap off on the node"),
            );
        }
        Limit { value, enforced_by: held.swap }
    });
    let cpus = spec
        .limits
        .cpus
        .as_ref()
        .map(|set| Limit { value: set.to_string(), enforced_by: held.cpus.or(Some(Enforcer::Seccomp)) });
    let pids = spec.limits.pids.map(|value| {
        let rlimit = match tier {
            Tier::Userns => Some(Enforcer::RlimitNproc),
            // Root is exempt from it.
            Tier::Ptrace if !geteuid().is_root() => Some(Enforcer::RlimitNprocUser),
            _ => None,
        };
        if held.pids.or(rlimit).is_none() {
            findings.push(Finding::new(
                "pids-not-limited",
                format!("--pids is not enforced: no pids cgroup is to be had{}", why("pids")),
            ));
        } else if rlimit == Some(Enforcer::RlimitNprocUser) {
            findings.push(Finding::new(
                "pids-of-user",
                format!("--pids {value} is {value} more than all processes and threads that you have on this node now: the kernel counts them together"),
            ));
        }
        Limit { value, enforced_by: held.pids.or(rlimit) }
    });
    let time_seconds =
        spec.limits.time.map(|t| Limit { value: t.as_secs_f64(), enforced_by: Some(Enforcer::Timer) });
    Limits { memory, swap, cpus, pids, time_seconds }
}

/// What the main process joins.
struct Cgroups {
    v1_procs: Vec<(RawFd, String)>,
    any: bool,
}

impl Cgroups {
    fn of(groups: &Groups) -> Cgroups {
        let v1 = groups.v1_procs().map(|(procs, path)| (procs.as_raw_fd(), path.display().to_string()));
        Cgroups { v1_procs: v1.collect(), any: !groups.is_empty() }
    }
}

/// What only a job that is held by ptrace needs.
struct Traced<'a> {
    users_tasks: u64,
    tmp: Option<&'a Path>,
}

fn main_steps(
    spec: &JailSpec,
    tier: Tier,
    limits: &Limits,
    cgroups: &Cgroups,
    traced: Traced<'_>,
) -> Result<Vec<Planned>, JailError> {
    let mut steps: Vec<Planned> = Vec::new();
    for (fd, path) in &cgroups.v1_procs {
        steps.push(Step::WriteFd { fd: *fd, data: b"0", label: format!("join {path}") }.into());
    }
    if cgroups.any {
        steps.push(Planned::noting(Step::CgroupNamespace, note::CGROUP));
    }
    if let Some(limit) = limits.memory.as_ref().filter(|l| l.enforced_by == Some(Enforcer::RlimitData)) {
        steps.push(Step::Rlimit { name: "RLIMIT_DATA", resource: rlimit::DATA, limit: limit.value.0 }.into());
    }
    if let Some(limit) = limits.pids.as_ref().filter(|l| l.enforced_by == Some(Enforcer::RlimitNproc)) {
        // Init counts as well, and one for each rank.
        let inits = 1 + spec.ranks.as_ref().map_or(0, |r| u64::from(r.expected.unwrap_or(1)));
        let step = Step::Rlimit { name: "RLIMIT_NPROC", resource: rlimit::NPROC, limit: limit.value + inits };
        steps.push(Planned { step, note: None, when: When::NotNoted(note::NPROC) });
    }
    if let Some(limit) = limits.pids.as_ref().filter(|l| l.enforced_by == Some(Enforcer::RlimitNprocUser)) {
        // Init's two threads come on top.
        let limit = limit.value + traced.users_tasks + 2;
        steps.push(Step::Rlimit { name: "RLIMIT_NPROC", resource: rlimit::NPROC, limit }.into());
    }
    if let Some(cpus) = &spec.limits.cpus {
        steps.push(Step::Affinity { mask: mask(cpus) }.into());
    }
    if tier != Tier::Root || spec.no_new_privileges {
        steps.push(Step::NoNewPrivileges.into());
    }
    // Characters can be pushed only into the session's own terminal, except by root.
    if spec.has_terminal || tier == Tier::Root {
        steps.push(Step::Seccomp(Filter::terminal()).into());
    }
    if tier == Tier::Ptrace {
        steps.push(Step::Seccomp(Filter::traced()).into());
        // A process outside that belongs to the user could be made to do what the job may not: Landlock, where it has
        // scopes (Linux 6.12), keeps it from being signalled, traced and written to.
        // Ranks have a tracer each, and read each other's memory.
        if spec.ranks.is_none() {
            steps.push(Step::Landlock(own_domain()).into());
        }
    }
    if limits.cpus.as_ref().is_some_and(|l| l.enforced_by == Some(Enforcer::Seccomp)) {
        // There can be one such supervisor only: in a run in a run, the outer one's CPUs hold.
        steps.push(Planned::noting(Step::Seccomp(Filter::affinity()), note::AFFINITY));
    }
    if tier == Tier::Userns && geteuid().is_root() {
        // Anybody else loses the capabilities of the new namespace by exec.
        steps.push(Step::DropCapabilities.into());
    }
    if let Some(directory) = &spec.directory {
        let path = CString::new(directory.as_os_str().as_bytes())
            .map_err(|_| view::ViewError::Nul { path: directory.clone() })?;
        steps.push(Step::ChangeDir { path }.into());
    }
    if !spec.view.only.is_empty() {
        if tier == Tier::Root {
            // What is mounted is part of file systems that hold more: by number root could open the rest.
            let (name, number) = ("CAP_DAC_READ_SEARCH", caps::DAC_READ_SEARCH);
            steps.push(Step::DropCapability { name, number }.into());
        }
        // Last: it stops more than the steps before it need.
        match tier {
            Tier::Ptrace => steps.push(only::landlock_step(&spec.view, traced.tmp, &RealFiles)?),
            // Each rank would be in a domain of its own, and could not read the others' memory.
            _ if spec.ranks.is_some() => {}
            _ => steps.push(only::landlock_in_addition(&spec.view, &RealFiles)?),
        }
    }
    Ok(steps)
}

/// What failed optional steps mean for the user, and for the limits.
pub(crate) fn heed_notes(notes: u64, limits: &mut Limits, findings: &mut Vec<Finding>) {
    let has = |note: u8| notes >> note & 1 == 1;
    if has(note::PROC) {
        findings.push(Finding::new(
            "proc-of-host",
            "the job sees the host's /proc: this kernel does not let it mount its own here (something covers a part of /proc)",
        ));
    }
    if has(note::AFFINITY)
        && let Some(cpus) = &mut limits.cpus
    {
        cpus.enforced_by = Some(Enforcer::Affinity);
        findings.push(Finding::new(
            "cpus-can-widen",
            format!(
                "--cpus {} is where the job starts, but it can widen its CPUs up to those of the run around it",
                cpus.value
            ),
        ));
    }
    if has(note::NPROC)
        && let Some(pids) = &mut limits.pids
    {
        pids.enforced_by = None;
        findings.push(Finding::new(
            "pids-not-limited",
            "--pids is not enforced: no pids cgroup is to be had, and this kernel counts RLIMIT_NPROC over all of the user's processes",
        ));
    }
    if has(note::SOCKET) {
        findings.push(Finding::new(
            "socket-open",
            "a service manager's socket could not be covered: the job could have processes started outside",
        ));
    }
    if has(note::LANDLOCK) {
        findings.push(Finding::new(
            "landlock-missing",
            "--only is held by mounts alone: Landlock's rules could not be added to them",
        ));
    }
    if has(note::CGROUP) {
        findings.push(Finding::new(
            "cgroup-view",
            "the job sees all of /sys/fs/cgroup: its own part could not be put over it",
        ));
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "job: {}", self.job)?;
        writeln!(f, "tier: {}", self.tier.describe())?;
        let ns = self.namespaces;
        let names: Vec<&str> =
            [(ns.user, "user"), (ns.pid, "pid"), (ns.mount, "mount"), (ns.ipc, "ipc"), (ns.net, "net")]
                .into_iter()
                .filter_map(|(on, name)| on.then_some(name))
                .collect();
        writeln!(f, "namespaces: {}", if names.is_empty() { "none".to_owned() } else { names.join(", ") })?;
        for cgroup in &self.cgroups {
            writeln!(f, "cgroup: {}", cgroup.display())?;
        }
        writeln!(f, "limits:")?;
        let by =
            |e: Option<Enforcer>| e.map_or("not enforced".to_owned(), |e| format!("by {}", enforcer_name(e)));
        let l = &self.limits;
        let lines = [
            l.memory.as_ref().map(|x| format!("memory {} {}", x.value, by(x.enforced_by))),
            l.swap.as_ref().map(|x| format!("swap {} {}", x.value, by(x.enforced_by))),
            l.cpus.as_ref().map(|x| format!("cpus {} {}", x.value, by(x.enforced_by))),
            l.pids.as_ref().map(|x| format!("pids {} {}", x.value, by(x.enforced_by))),
            l.time_seconds.as_ref().map(|x| format!("time {} s {}", x.value, by(x.enforced_by))),
        ];
        let mut any = false;
        for line in lines.into_iter().flatten() {
            writeln!(f, "  {line}")?;
            any = true;
        }
        if !any {
            writeln!(f, "  none")?;
        }
        for (title, steps) in [("init", &self.init_steps), ("main process", &self.main_steps)] {
            writeln!(f, "{title}:")?;
            for planned in steps {
                let optional = match (planned.when, planned.note) {
                    (When::Noted(note::CHROOT), _) => " (in a chroot)",
                    (When::Noted(note::PROC), _) => " (if /proc could not be mounted)",
                    (When::Noted(note::ONE_BY_ONE), _) => " (before Linux 5.12)",
                    (_, Some(_)) => " (if it can)",
                    _ => "",
                };
                writeln!(f, "  {}{optional}", planned.step)?;
            }
        }
        Ok(())
    }
}

/// How an enforcer is called in texts.
pub fn enforcer_name(enforcer: Enforcer) -> &'static str {
    match enforcer {
        Enforcer::CgroupV2 => "cgroup v2",
        Enforcer::CgroupV1 => "cgroup v1",
        Enforcer::RlimitData => "RLIMIT_DATA, each process alone",
        Enforcer::RlimitNproc => "RLIMIT_NPROC in the job's user namespace",
        Enforcer::RlimitNprocUser => "RLIMIT_NPROC of the user",
        Enforcer::Seccomp => "seccomp",
        Enforcer::Affinity => "affinity only",
        Enforcer::Timer => "timer",
    }
}
