//! From a spec to a job that runs, in the best tier that the host gives: found by trying.

use std::ffi::{CString, OsString};
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::time::{Instant, SystemTime};

use nix::unistd::geteuid;
use terrarium_core::{JobId, Tier};
use terrarium_sys::fds::Channel;
use terrarium_sys::process::{
    Command, Forked, Namespaces, WaitStatus, clone_process, exit_now, signal_one, user, wait_for,
};
use terrarium_sys::step::{Interpreter, Planned, Step};
use terrarium_sys::{Errno, landlock, signals, trace};

use crate::cgroup::{Context, Groups, Wanted};
use crate::error::JailError;
use crate::host::{Host, Mount};
use crate::init::Init;
use crate::only;
use crate::parent::Parent;
use crate::plan::{Found, Plan, identity_steps, wanted};
use crate::running::Running;
use crate::shared;
use crate::spec::{JailSpec, Shm};
use crate::view;

/// Where programs look for a directory for temporary files.
const TMP_VARIABLES: [&str; 3] = ["TMPDIR", "TMP", "TEMP"];

/// The tiers that may be possible here, best first.
fn tiers() -> Vec<Tier> {
    let all = [Tier::Root, Tier::Userns, Tier::Ptrace];
    all.into_iter().filter(|t| *t != Tier::Root || geteuid().is_root()).collect()
}

/// Says why a clone into new namespaces failed, with what could be done.
fn explain_clone(tier: Tier, errno: Errno) -> String {
    match (tier, errno) {
        (Tier::Root, Errno::EPERM) => {
            "not permitted (root without CAP_SYS_ADMIN, as in a container)".to_owned()
        }
        (_, Errno::EPERM) => "user namespaces are switched off (kernel.unprivileged_userns_clone, \
                              kernel.apparmor_restrict_unprivileged_userns), or this is a chroot"
            .to_owned(),
        (_, Errno::ENOSPC) => "user namespaces are switched off (user.max_user_namespaces=0), \
                               or none is left (user.max_pid_namespaces)"
            .to_owned(),
        (_, errno) => errno.desc().to_owned(),
    }
}

pub(crate) fn explain_seize(errno: Errno) -> String {
    match errno {
        Errno::EPERM => "ptrace is not permitted (kernel.yama.ptrace_scope, SELinux's deny_ptrace), \
                         or this is a run in a run that is held by ptrace"
            .to_owned(),
        errno => errno.desc().to_owned(),
    }
}

/// Why a new user namespace would be of no use, though one can be made: Ubuntu's AppArmor rule lets users make
/// them and gives no rights inside, and a process that Landlock holds may not mount.
fn powerless(host: &Host, spec: &JailSpec) -> Option<String> {
    let restricted = host
        .read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
        .is_ok_and(|text| text.trim() != "0");
    if !restricted && !spec.nested {
        return None;
    }
    let namespaces = Namespaces { user: true, mount: true, ..Namespaces::default() };
    let mut steps: Vec<Planned> = identity_steps().into();
    steps.push(Step::DetachMounts.into());
    let failed = match clone_process(namespaces, None) {
        Ok(Forked::Child) => exit_now(i32::from(Interpreter::new().run(&steps).is_err())),
        Ok(Forked::Parent(pid)) => {
            wait_for(pid, true).ok().flatten().is_some_and(|w| w.status != WaitStatus::Exited(0))
        }
        // Said when it is tried.
        Err(_) => false,
    };
    let rule = "a user namespace gives no rights here (kernel.apparmor_restrict_unprivileged_userns)";
    let landlock = "mounting is not permitted (a run in a run with --only)";
    failed.then(|| if restricted { rule } else { landlock }.to_owned())
}

/// What stands against a tier, before anything is made. A trial shows it where that is cheaper than failing later.
fn stands_against(host: &Host, spec: &JailSpec, tier: Tier) -> Option<String> {
    match tier {
        Tier::Userns => powerless(host, spec),
        Tier::Ptrace if !spec.view.only.is_empty() && landlock::abi() == 0 => Some(
            "--only needs Landlock there, which this kernel lacks (Linux 5.13) or has switched off"
                .to_owned(),
        ),
        Tier::Root | Tier::Ptrace => None,
    }
}

/// Whether this process may trace its children.
fn try_ptrace() -> Result<(), Errno> {
    match clone_process(Namespaces::default(), None)? {
        Forked::Child => loop {
            std::thread::park();
        },
        Forked::Parent(pid) => {
            let seized = trace::seize(pid);
            let _ = signal_one(pid, 9);
            let _ = wait_for(pid, true);
            seized
        }
    }
}

/// Makes the plan for the best tier that this host gives, proving by a trial that it does. Starts nothing; cgroups
/// that the plan speaks of are made and removed again.
pub fn preview(host: &Host, spec: &JailSpec) -> Result<Plan, JailError> {
    view::check(&spec.view, &view::RealFiles)?;
    let mounts = read_mounts(host, spec)?;
    let mut tried = Vec::new();
    for tier in tiers() {
        refuse_weaker(spec, tier, &tried)?;
        if let Some(why) = stands_against(host, spec, tier) {
            tried.push((tier, why));
            continue;
        }
        if tier == Tier::Ptrace {
            refuse_without_mounts(spec, &tried)?;
            match try_ptrace() {
                Ok(()) => {
                    return Plan::make(
                        spec,
                        tier,
                        job_id(host)?,
                        &Found { host, mounts: &mounts, groups: &Groups::none(), tmp: None },
                    );
                }
                Err(errno) => tried.push((tier, explain_seize(errno))),
            }
            continue;
        }
        let namespaces = Namespaces {
            user: tier == Tier::Userns,
            pid: true,
            mount: true,
            ipc: true,
            ..Namespaces::default()
        };
        match clone_process(namespaces, None) {
            Ok(Forked::Child) => exit_now(0),
            Ok(Forked::Parent(pid)) => {
                let _ = wait_for(pid, true);
                let job = job_id(host)?;
                let mut groups = make_groups(host, &mounts, spec, tier, &job);
                let found = Found { host, mounts: &mounts, groups: &groups, tmp: None };
                let plan = Plan::make(spec, tier, job, &found);
                groups.remove();
                return plan;
            }
            Err(errno) => tried.push((tier, explain_clone(tier, errno))),
        }
    }
    Err(not_contained(spec, tried))
}

/// The host's mounts, if anything needs them: reading them takes as long as making a namespace.
fn read_mounts(host: &Host, spec: &JailSpec) -> Result<Vec<Mount>, JailError> {
    let root = geteuid().is_root();
    // An ordinary user gets v1 cgroups for limits only; v2 is worth a look, for exact peaks.
    let limited = wanted(spec) != Wanted::default();
    let v2 = || host.path("/sys/fs/cgroup/cgroup.controllers").exists();
    if !(root || limited || view::needs_mounts(&spec.view) || v2()) {
        return Ok(Vec::new());
    }
    host.mounts().map_err(|source| JailError::Host { what: "/proc/self/mountinfo".to_owned(), source })
}

fn job_id(host: &Host) -> Result<JobId, JailError> {
    host.job_id(std::process::id()).ok_or_else(|| JailError::Host {
        what: "/proc/self".to_owned(),
        source: std::io::ErrorKind::NotFound.into(),
    })
}

/// cgroups for the run; none without mounts to look in.
fn make_groups(host: &Host, mounts: &[Mount], spec: &JailSpec, tier: Tier, job: &JobId) -> Groups {
    // Without mounts of its own nothing keeps a job from moving itself to another cgroup of its user's.
    if mounts.is_empty() || tier == Tier::Ptrace {
        return Groups::none();
    }
    // The variable alone could be inherited by something outside; PID 1 cannot.
    let nested = spec.nested && host.stat(1).is_some_and(|s| s.name == crate::init::NAME);
    let context = Context { root: tier == Tier::Root, nested };
    Groups::make(host, mounts, job, &wanted(spec), context)
}

fn refuse_weaker(spec: &JailSpec, tier: Tier, tried: &[(Tier, String)]) -> Result<(), JailError> {
    match spec.require {
        Some(required) if tier < required => {
            let mut tried = tried.to_vec();
            if tried.is_empty() {
                tried.push((required, "needs root".to_owned()));
            }
            Err(JailError::TierRefused { required, tried })
        }
        _ => Ok(()),
    }
}

/// What only mounts and namespaces can give is refused where there are none.
fn refuse_without_mounts(spec: &JailSpec, tried: &[(Tier, String)]) -> Result<(), JailError> {
    let view = &spec.view;
    let wishes = [
        (!view.hidden.is_empty(), "--hide"),
        (!view.read_only.is_empty(), "--ro"),
        (!view.binds.is_empty(), "--bind"),
        (view.private_tmp, "--private-tmp"),
        (view.no_network, "--net none"),
        (view.shm_asked && view.shm != Shm::Host, "--shm SIZE"),
        // Landlock's rules only add up.
        (only::read_only_below_writable(view), "--only PATH:ro below another --only"),
    ];
    let flags: Vec<&str> = wishes.iter().filter(|(asked, _)| *asked).map(|(_, flag)| *flag).collect();
    if flags.is_empty() {
        return Ok(());
    }
    Err(JailError::NeedsMounts { flags: flags.join(", "), tried: tried.to_vec() })
}

fn not_contained(spec: &JailSpec, tried: Vec<(Tier, String)>) -> JailError {
    match spec.require {
        Some(required) => JailError::TierRefused { required, tried },
        None => JailError::NotContained { tried },
    }
}

/// A directory for temporary files, for a job that cannot have a /tmp of its own; gone with this.
pub(crate) struct OwnTmp {
    path: PathBuf,
}

impl OwnTmp {
    fn make(job: &JobId) -> Result<OwnTmp, JailError> {
        let path = PathBuf::from(format!("/tmp/terrarium-{job}"));
        match std::fs::DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => Ok(OwnTmp { path }),
            Err(source) => Err(JailError::Host { what: path.display().to_string(), source }),
        }
    }
}

impl Drop for OwnTmp {
    fn drop(&mut self) {
        // What cannot be removed is found by `reap`.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

fn strings(spec: &JailSpec, job: &JobId, tmp: Option<&OwnTmp>) -> Result<Command, JailError> {
    let string = |s: &OsString| CString::new(s.as_bytes()).map_err(|_| JailError::Nul);
    let args = spec.command.iter().map(string).collect::<Result<Vec<_>, _>>()?;
    let mut env = Vec::with_capacity(spec.env.len() + 1);
    for (name, value) in &spec.env {
        let value = match tmp {
            Some(tmp) if TMP_VARIABLES.iter().any(|v| name == v) => tmp.path.as_os_str(),
            _ => value,
        };
        let mut entry = name.as_bytes().to_vec();
        entry.push(b'=');
        entry.extend_from_slice(value.as_bytes());
        env.push(string(&OsString::from_vec(entry))?);
    }
    env.push(string(&format!("TERRARIUM_JOB={job}").into())?);
    for name in TMP_VARIABLES.iter().filter(|v| !spec.env.iter().any(|(name, _)| name == *v)) {
        if let Some(tmp) = tmp {
            env.push(string(&format!("{name}={}", tmp.path.display()).into())?);
        }
    }
    Ok(Command::new(args, env))
}

/// Starts a job in the best tier that this host gives.
///
/// The process must have one thread only, and this may be called once: signals are taken over, and standard
/// input and output are given to the job and closed here.
pub fn start(host: &Host, spec: &JailSpec) -> Result<Running, JailError> {
    view::check(&spec.view, &view::RealFiles)?;
    let mounts = read_mounts(host, spec)?;
    let system = |what| move |errno| JailError::System { what, errno };
    let job = job_id(host)?;
    let parent = Parent::watch(spec.with_parent)?;
    let (inherited, signals) = signals::take_over().map_err(system("taking over signals"))?;
    let mut tried = Vec::new();
    for tier in tiers() {
        refuse_weaker(spec, tier, &tried)?;
        if let Some(why) = stands_against(host, spec, tier) {
            tried.push((tier, why));
            continue;
        }
        let traces = tier == Tier::Ptrace;
        let mut others = Vec::new();
        if traces {
            refuse_without_mounts(spec, &tried)?;
            // Whoever executed this program may have had children: they are ours now, and not the job's.
            others = host.children(std::process::id());
            trace::adopt_orphans().map_err(system("becoming the parent of orphans"))?;
            // The job sees this process, and is of the same user.
            trace::set_dumpable(false);
        }
        let shares_memory = traces || spec.view.shm == Shm::Host;
        let shared_before = shares_memory.then(|| shared::snapshot(host, user()));
        // Before the cgroups, which would stay if this failed.
        let (ours, theirs) = Channel::pair().map_err(system("making a socket"))?;
        let mut groups = make_groups(host, &mounts, spec, tier, &job);
        let tmp = match traces && !view::private_tmps(&spec.view).is_empty() {
            true => Some(OwnTmp::make(&job)?),
            false => None,
        };
        let command = strings(spec, &job, tmp.as_ref())?;
        let found =
            Found { host, mounts: &mounts, groups: &groups, tmp: tmp.as_ref().map(|tmp| tmp.path.as_path()) };
        let plan = match Plan::make(spec, tier, job, &found) {
            Ok(plan) => plan,
            Err(error) => {
                groups.remove();
                return Err(error);
            }
        };
        let started = Instant::now();
        let started_at = SystemTime::now();
        match clone_process(plan.namespaces, None) {
            Ok(Forked::Child) => {
                drop(ours);
                crate::init::run(&Init {
                    traces,
                    steps: &plan.init_steps,
                    job_steps: &plan.main_steps,
                    command: &command,
                    inherited: &inherited,
                    signals: &signals,
                    channel: theirs,
                    cgroup: groups.v2_directory(),
                    cgroup_procs: groups.v2_procs().map(AsFd::as_fd),
                    cpus: spec.limits.cpus.as_ref(),
                    end_orphans: spec.end_orphans.then_some(spec.grace),
                })
            }
            Ok(Forked::Parent(init)) => {
                drop(theirs);
                let path = spec.env.iter().find(|(name, _)| name == "PATH");
                return Ok(Running {
                    host: host.clone(),
                    plan,
                    spec_grace: spec.grace,
                    kill_wait: spec.kill_wait,
                    time_limit: spec.limits.time,
                    init,
                    init_stopped: false,
                    channel: ours,
                    signals,
                    groups,
                    tried,
                    others,
                    shared_before,
                    _tmp: tmp,
                    command: spec
                        .command
                        .first()
                        .map(|c| c.to_string_lossy().into_owned())
                        .unwrap_or_default(),
                    keep: spec.keep.clone(),
                    path: path.map(|(_, v)| v.clone()).unwrap_or_default(),
                    started,
                    started_at,
                    terminal: None,
                    parent,
                    end_orphans: spec.end_orphans,
                });
            }
            Err(errno) => {
                groups.remove();
                tried.push((tier, explain_clone(tier, errno)));
            }
        }
    }
    Err(not_contained(spec, tried))
}
