//! From a spec to a job that runs, in the best tier that the host gives: found by trying.

use std::ffi::{CString, OsStr, OsString};
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::{Instant, SystemTime};

use nix::unistd::geteuid;
use terrarium_core::{CpuSet, JobId, Tier};
use terrarium_sys::fds::Channel;
use terrarium_sys::process::{
    Command, Forked, Namespaces, WaitStatus, allowed_cpus, clone_process, exit_now, signal_one, user,
    wait_for,
};
use terrarium_sys::signals::{Inherited, SignalFd};
use terrarium_sys::step::{Interpreter, Planned, Step};
use terrarium_sys::{Errno, landlock, signals, trace};

use crate::cgroup::{Context, Groups, Wanted};
use crate::error::JailError;
use crate::host::{Host, Mount};
use crate::init::{Init, Role};
use crate::only;
use crate::own_tmp::OwnTmp;
use crate::parent::Parent;
use crate::plan::{Found, Plan, identity_steps, wanted};
use crate::running::Running;
use crate::share::{self, Holder, Joined, Met, Part};
use crate::shared;
use crate::spec::{JailSpec, Shm};
use crate::track::{Tracked, view_with};
use crate::view::{self, RealFiles};

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
    let failed = match clone_process(namespaces) {
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
        Tier::Ptrace if !spec.view.only.is_empty() && landlock::abi() < landlock::ABI_TRUNCATE => Some(
            "--only needs Landlock of ABI 3 there, which this kernel lacks (Linux 6.2) or has switched off"
                .to_owned(),
        ),
        Tier::Root | Tier::Ptrace => None,
    }
}

/// Whether this process may trace its children.
fn try_ptrace() -> Result<(), Errno> {
    match clone_process(Namespaces::default())? {
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
    view::check(&spec.view, &RealFiles)?;
    let job = job_id(host)?;
    let with = |track| view_with(&spec.view, track, &job, &RealFiles).ok().flatten();
    let of_tracked = spec.track.as_ref().and_then(with).map(|view| JailSpec { view, ..spec.clone() });
    let asked = spec;
    let spec = of_tracked.as_ref().unwrap_or(spec);
    let mounts = read_mounts(host, spec)?;
    let mut tried = Vec::new();
    for tier in tiers() {
        refuse_weaker(spec, tier, &tried)?;
        if let Some(why) = stands_against(host, spec, tier) {
            tried.push((tier, why));
            continue;
        }
        if tier == Tier::Ptrace {
            refuse_without_mounts(asked, &tried)?;
            match try_ptrace() {
                Ok(()) => {
                    return Plan::make(
                        spec,
                        tier,
                        job,
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
        match clone_process(namespaces) {
            Ok(Forked::Child) => exit_now(0),
            Ok(Forked::Parent(pid)) => {
                let _ = wait_for(pid, true);
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

fn strings(
    spec: &JailSpec,
    job: &JobId,
    tmp: Option<&OwnTmp>,
    tracked: &Tracked,
) -> Result<Command, JailError> {
    let string = |s: &OsString| CString::new(s.as_bytes()).map_err(|_| JailError::Nul);
    let args = spec.command.iter().map(string).collect::<Result<Vec<_>, _>>()?;
    let own = tracked.variables(spec, job);
    let mut env = Vec::with_capacity(spec.env.len() + own.len() + 1);
    let kept = spec.env.iter().filter(|(name, _)| own.iter().all(|(own, _)| name != own));
    let all = kept.map(|(name, value)| (name.as_os_str(), value));
    for (name, value) in all.chain(own.iter().map(|(name, value)| (OsStr::new(name), value))) {
        let value = tmp.and_then(|tmp| tmp.value_of(name)).unwrap_or(value);
        let mut entry = name.as_bytes().to_vec();
        entry.push(b'=');
        entry.extend_from_slice(value.as_bytes());
        env.push(string(&OsString::from_vec(entry))?);
    }
    env.push(string(&format!("TERRARIUM_JOB={job}").into())?);
    for entry in
        tmp.map(|tmp| tmp.missing(|v| spec.env.iter().any(|(name, _)| name == v))).into_iter().flatten()
    {
        env.push(string(&entry.into())?);
    }
    Ok(Command::new(args, env))
}

/// What was started.
pub enum Started {
    /// A job, or one rank of it.
    Job(Running),
    /// This process is a copy that was made to hold the jail of a parallel job, and ends with it. Nobody waits for it.
    Holder(Running),
}

/// Starts a job in the best tier that this host gives.
///
/// The process must have one thread only, and this may be called once: signals are taken over, and standard
/// input and output are given to the job and closed here.
pub fn start(host: &Host, spec: &JailSpec) -> Result<Started, JailError> {
    view::check(&spec.view, &RealFiles)?;
    let parent = Parent::watch(spec.with_parent)?;
    let (inherited, signals) = signals::take_over().map_err(system("taking over signals"))?;
    let taken = Taken { inherited, signals, parent };
    let Some(ranks) = &spec.ranks else {
        return start_alone(host, spec, taken, None).map(Started::Job);
    };
    if !can_have_namespaces(host, spec)? {
        return start_alone(host, spec, taken, None).map(Started::Job);
    }
    // A holder that ends just now turns nobody away: then there is a new one.
    for _ in 0..10 {
        match share::find_holder(ranks, host.pid_namespace().unwrap_or_default())? {
            Met::Member(channel) => {
                if let Some(joined) = share::join(&channel, spec)? {
                    return start_rank(host, spec, taken, channel, &joined).map(Started::Job);
                }
            }
            Met::Holder(listener) => {
                let holder = Holder::new(listener, spec);
                // The ranks watch their own parents.
                let taken = Taken { parent: Parent::NotWatched, ..taken };
                return match start_alone(host, spec, taken, Some(holder)) {
                    Ok(running) => Ok(Started::Holder(running)),
                    // Nobody waits for this copy, and the ranks were told.
                    Err(_) => exit_now(1),
                };
            }
        }
    }
    Err(JailError::NotJoined { why: "its holder has ended again and again".to_owned() })
}

/// What a supervisor has taken over from its caller.
struct Taken {
    inherited: Inherited,
    signals: SignalFd,
    parent: Parent,
}

fn system(what: &'static str) -> impl Fn(Errno) -> JailError {
    move |errno| JailError::System { what, errno }
}

/// Whether a trial in one of the tiers with namespaces works. All ranks must come to the same answer, so one that has
/// failed for a reason that may be gone for the next rank is an error.
fn can_have_namespaces(host: &Host, spec: &JailSpec) -> Result<bool, JailError> {
    let max = host.read("/proc/sys/user/max_user_namespaces").unwrap_or_default();
    let switched_off = max.trim() == "0";
    for tier in tiers().into_iter().filter(|tier| *tier != Tier::Ptrace) {
        if stands_against(host, spec, tier).is_some() {
            continue;
        }
        let namespaces =
            Namespaces { user: tier == Tier::Userns, pid: true, mount: true, ..Namespaces::default() };
        match clone_process(namespaces) {
            Ok(Forked::Child) => exit_now(0),
            Ok(Forked::Parent(pid)) => return Ok(wait_for(pid, true).is_ok()),
            Err(Errno::EPERM) => {}
            Err(Errno::ENOSPC) if switched_off => {}
            Err(errno) => return Err(JailError::NotJoined { why: explain_clone(tier, errno) }),
        }
    }
    Ok(false)
}

/// Starts one rank in the jail of its job.
fn start_rank(
    host: &Host,
    spec: &JailSpec,
    taken: Taken,
    holder: Channel,
    joined: &Joined,
) -> Result<Running, JailError> {
    let mut own = spec.clone();
    if let Some(cpus) = &spec.limits.cpus {
        // Where its launcher has bound it to.
        let allowed = allowed_cpus().unwrap_or_default();
        let bound: CpuSet = allowed.into_iter().filter(|cpu| cpus.contains(*cpu)).collect();
        own.limits.cpus = Some(if bound.is_empty() { cpus.clone() } else { bound });
    }
    let plan = Plan::rank(&own, joined)?;
    let tracked = Tracked::join(spec, &plan.job);
    let command = strings(spec, &plan.job, None, &tracked)?;
    let (ours, theirs) = Channel::pair().map_err(system("making a socket"))?;
    let clock = (Instant::now(), SystemTime::now());
    match clone_process(Namespaces::default()).map_err(system("starting a process"))? {
        Forked::Child => {
            drop(ours);
            crate::init::run(&Init {
                role: Role::Rank,
                notes: joined.welcome.notes,
                steps: &plan.init_steps,
                job_steps: &plan.main_steps,
                command: &command,
                inherited: &taken.inherited,
                signals: &taken.signals,
                channel: theirs,
                cgroup: joined.v2.as_ref().map(AsFd::as_fd),
                cgroup_procs: joined.v2_procs.as_ref().map(AsFd::as_fd),
                cpus: spec.limits.cpus.as_ref(),
                end_orphans: None,
            })
        }
        Forked::Parent(init) => {
            let mut running = Running::new(host, spec, plan, init, ours, taken.signals, taken.parent, clock);
            // The holder has the clock.
            running.time_limit = None;
            running.part = Part::Member(holder);
            running.tracked = tracked;
            Ok(running)
        }
    }
}

/// Starts a job, or the jail of a parallel one, in the best tier that this host gives.
fn start_alone(
    host: &Host,
    spec: &JailSpec,
    taken: Taken,
    holder: Option<Holder>,
) -> Result<Running, JailError> {
    let result = try_tiers(host, spec, taken, holder.is_some());
    match (result, holder) {
        (Ok(mut running), Some(holder)) => {
            running.part = Part::Holder(Box::new(holder));
            Ok(running)
        }
        // The ranks are told, who can say it.
        (Err(error), Some(holder)) => {
            holder.refuse_all(&error);
            Err(error)
        }
        (result, None) => result,
    }
}

fn try_tiers(host: &Host, spec: &JailSpec, taken: Taken, holds: bool) -> Result<Running, JailError> {
    let job = job_id(host)?;
    let (mut tracked, view) = Tracked::make(spec, &job, &RealFiles);
    let of_tracked = view.map(|view| JailSpec { view, ..spec.clone() });
    let asked = spec;
    let spec = of_tracked.as_ref().unwrap_or(spec);
    let mounts = read_mounts(host, spec)?;
    let Taken { inherited, signals, parent } = taken;
    let mut tried = Vec::new();
    for tier in tiers() {
        refuse_weaker(spec, tier, &tried)?;
        if let Some(why) = stands_against(host, spec, tier) {
            tried.push((tier, why));
            continue;
        }
        let traces = tier == Tier::Ptrace;
        // A jail that others enter is a namespace; and a rank that has none is held by ptrace (see `start`).
        if traces && holds || !traces && spec.ranks.is_some() && !holds {
            continue;
        }
        let role = match (traces, holds) {
            (true, _) => Role::Tracer,
            (_, true) => Role::Jail,
            _ => Role::Namespace,
        };
        let mut others = Vec::new();
        if traces {
            refuse_without_mounts(asked, &tried)?;
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
        let command = strings(spec, &job, tmp.as_ref(), &tracked)?;
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
        match clone_process(plan.namespaces) {
            Ok(Forked::Child) => {
                drop(ours);
                crate::init::run(&Init {
                    role,
                    notes: 0,
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
                let clock = (started, started_at);
                let mut running = Running::new(host, spec, plan, init, ours, signals, parent, clock);
                running.groups = groups;
                running.tried = tried;
                running.others = others;
                running.shared_before = shared_before;
                running.tmp = tmp;
                running.tracked = std::mem::take(&mut tracked);
                return Ok(running);
            }
            Err(errno) => {
                groups.remove();
                tried.push((tier, explain_clone(tier, errno)));
            }
        }
    }
    Err(not_contained(spec, tried))
}
