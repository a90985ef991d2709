//! The supervisor: watches, and proves that nothing is left.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use terrarium_core::report::{End, Limits, Survivor};
use terrarium_core::{Finding, JobId, Tier};
use terrarium_sys::Errno;
use terrarium_sys::fds::{
    Channel, Incoming, close_from, controlling_terminal, is_group_empty, let_go_of_standard_files,
    take_terminal, terminal_foreground,
};
use terrarium_sys::process::{WaitStatus, ended_child, signal_one, wait_for};
use terrarium_sys::signals::{SignalFd, stop_self};

use crate::cgroup::{Counted, Groups};
use crate::error::JailError;
use crate::host::{Host, parse_stat};
use crate::own_tmp::OwnTmp;
use crate::parent::Parent;
use crate::plan::{Plan, heed_notes};
use crate::share::{self, Part, Shared, Welcome};
use crate::shared;
use crate::spec::JailSpec;
use crate::start::explain_seize;
use crate::supervision::{Action, Cause, Config, Event, Notice, Supervision};
use crate::survivors;
use crate::totals::Totals;
use crate::track::Tracked;
use crate::wire::{FromInit, MAX, ToInit, what};

/// The first look at the job comes soon, so that short jobs are seen; later ones come at the spec's interval.
const FIRST_LOOK: Duration = Duration::from_millis(40);
/// More often would cost the job.
const LEAST_INTERVAL: Duration = Duration::from_millis(10);

/// Finding a traced job's processes may take this part of one CPU's time: all of its threads are asked for children.
const FINDING: u32 = 200;

/// Out-of-memory kills are counted a moment after the event.
const OOM_LOOKS: [Duration; 4] = [
    Duration::from_millis(2),
    Duration::from_millis(10),
    Duration::from_millis(50),
    Duration::from_millis(200),
];

/// Looks on while the job runs, and is told what is worth telling.
pub trait Observer {
    /// From time to time.
    fn look(&mut self, look: &Look<'_>);
    /// At the end, when no process is left but the cgroups still are.
    fn last_look(&mut self, groups: &Groups);
    /// When something happens.
    fn notice(&mut self, notice: &Notice);
}

/// What there is to be looked at.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    /// Its processes, unless a /proc that shows them cannot be had.
    pub processes: Option<Processes<'a>>,
    /// Its cgroups.
    pub groups: &'a Groups,
}

/// The processes of a job.
#[derive(Clone, Copy, Debug)]
pub struct Processes<'a> {
    /// A /proc that shows them. The PIDs here are those in it.
    pub proc: &'a Path,
    /// Those of the job; `None`: all that it shows but init.
    pub pids: Option<&'a [u32]>,
    /// Init, which waits for orphans.
    pub init: u32,
    /// The main process; none in the holder of a shared jail.
    pub main: Option<u32>,
}

/// A job that was started.
pub struct Running {
    pub(crate) host: Host,
    pub(crate) plan: Plan,
    pub(crate) spec_grace: Option<Duration>,
    pub(crate) kill_wait: Duration,
    pub(crate) time_limit: Option<Duration>,
    pub(crate) init: i32,
    pub(crate) init_stopped: bool,
    pub(crate) channel: Channel,
    pub(crate) signals: SignalFd,
    pub(crate) groups: Groups,
    /// The tiers that were not to be had, with why.
    pub(crate) tried: Vec<(Tier, String)>,
    /// Children that this process had before the job.
    pub(crate) others: Vec<u32>,
    /// What was in shared memory before the job, if the job shares it.
    pub(crate) shared_before: Option<HashSet<shared::Id>>,
    pub(crate) tmp: Option<OwnTmp>,
    pub(crate) tracked: Tracked,
    pub(crate) part: Part,
    pub(crate) command: String,
    pub(crate) keep: Vec<RawFd>,
    /// The job's PATH.
    pub(crate) path: OsString,
    pub(crate) started: Instant,
    pub(crate) started_at: SystemTime,
    pub(crate) terminal: Option<OwnedFd>,
    pub(crate) parent: Parent,
    pub(crate) end_orphans: bool,
    pub(crate) look_every: Duration,
}

/// How a job ended, and what was counted.
#[derive(Debug)]
pub struct Outcome {
    /// Name of the run.
    pub job: JobId,
    /// How it ended.
    pub end: End,
    /// What held it.
    pub tier: Tier,
    /// When it started.
    pub started_at: SystemTime,
    /// How long it took, until nothing was left.
    pub wall: Duration,
    /// The limits and what enforced them.
    pub limits: Limits,
    /// What cgroups counted.
    pub counted: Counted,
    /// What all processes used that init waited for.
    pub waited: Option<Totals>,
    /// Processes that were still there when the main process had ended, and were killed.
    pub killed: u64,
    /// Names of the first of them.
    pub killed_names: Vec<String>,
    /// Processes that were ended because their parent had died.
    pub orphans_ended: u64,
    /// Processes that could not be killed.
    pub survivors: Vec<Survivor>,
    /// cgroups that could not be removed.
    pub cgroups_left: Vec<PathBuf>,
    /// What was in shared memory before the job, if the job shared it with the host.
    pub shared_before: Option<HashSet<shared::Id>>,
    /// Whether this was one of several in a jail.
    pub shared: Shared,
    /// How many ranks it had on this node, if this is their holder.
    pub ranks: Option<u32>,
    /// Where its processes wrote what they loaded.
    pub tracked: Tracked,
    /// What the user should know.
    pub findings: Vec<Finding>,
}

/// What came of a wait, beside what the state machine holds.
#[derive(Default)]
struct Seen {
    failure: Option<JailError>,
    notes: u64,
    /// The job's own /proc, and the main process's PID in it.
    proc: Option<(OwnedFd, i32)>,
    asked_for_proc: bool,
    done: Option<(Totals, u64, Vec<String>)>,
    /// The processes of a traced job, and when they are to be found again.
    traced: (Vec<u32>, Duration),
    orphans_ended: u64,
    gave_up: bool,
    init_ended: bool,
    oom_look: Option<(usize, Duration)>,
    /// How the main process ended, if that was seen before init said so.
    main_status: Option<WaitStatus>,
}

impl Running {
    /// Just started: alone, without cgroups.
    #[expect(clippy::too_many_arguments, reason = "each is a part of what was started")]
    pub(crate) fn new(
        host: &Host,
        spec: &JailSpec,
        plan: Plan,
        init: i32,
        channel: Channel,
        signals: SignalFd,
        parent: Parent,
        (started, started_at): (Instant, SystemTime),
    ) -> Running {
        let path = spec.env.iter().find(|(name, _)| name == "PATH");
        Running {
            host: host.clone(),
            plan,
            spec_grace: spec.grace,
            kill_wait: spec.kill_wait,
            time_limit: spec.limits.time,
            init,
            init_stopped: false,
            channel,
            signals,
            groups: Groups::none(),
            tried: Vec::new(),
            others: Vec::new(),
            shared_before: None,
            tmp: None,
            tracked: Tracked::NotHere,
            part: Part::Alone,
            command: spec.command.first().map(|c| c.to_string_lossy().into_owned()).unwrap_or_default(),
            keep: spec.keep.clone(),
            path: path.map(|(_, v)| v.clone()).unwrap_or_default(),
            started,
            started_at,
            terminal: None,
            parent,
            end_orphans: spec.end_orphans,
            look_every: spec.look_every.max(LEAST_INTERVAL),
        }
    }

    /// Name of the run.
    pub fn job(&self) -> &JobId {
        &self.plan.job
    }

    /// What was done to hold it.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Whether this is one of several in a jail that another process holds.
    pub fn is_rank(&self) -> bool {
        matches!(self.part, Part::Member(_))
    }

    /// Whether a cgroup counts the job's memory.
    pub fn counts_memory(&self) -> bool {
        self.groups.memory_now().is_some()
    }

    /// Returns when no process of the job is left, or when some are that cannot be killed.
    pub fn wait(mut self, observer: &mut dyn Observer) -> Result<Outcome, JailError> {
        self.let_go();
        let mut machine = Supervision::new(Config {
            time_limit: self.time_limit,
            grace: self.spec_grace,
            kill_wait: self.kill_wait,
            job_control: self.terminal.is_some(),
        });
        let mut seen = Seen::default();
        self.watch(&mut machine, &mut seen, observer);
        if self.plan.tier == Tier::Ptrace && seen.done.is_none() && !seen.gave_up {
            self.wait_for_orphans(&mut seen);
        }
        let counted = self.groups.counted();
        observer.last_look(&self.groups);
        let survivors = if seen.gave_up { self.below() } else { Vec::new() };
        let wall = self.started.elapsed();
        let cgroups_left = self.groups.remove();
        if let Some(terminal) = &self.terminal {
            // A shell in the job leaves its own, now empty, group in the foreground.
            if terminal_foreground(terminal.as_fd()).is_some_and(is_group_empty) {
                take_terminal(terminal.as_fd());
            }
        }
        if let Some(failure) = seen.failure {
            match self.part {
                Part::Holder(holder) => holder.refuse_all(&failure),
                Part::Member(channel) => drop(share::leave(&channel, Totals::default())),
                Part::Alone | Part::Abandoned => {}
            }
            return Err(failure);
        }
        let mut end = end_of(&machine, &counted, seen.gave_up);
        let mut ranks = None;
        let shared = match self.part {
            Part::Alone => Shared::Alone,
            Part::Abandoned => {
                end = End::InitKilled;
                Shared::Rank
            }
            Part::Holder(holder) => {
                if let Some((used, ..)) = &mut seen.done {
                    *used += holder.used;
                }
                ranks = Some(holder.joined);
                Shared::Holder(holder.last(machine.cause))
            }
            Part::Member(channel) => {
                let used = seen.done.as_ref().map(|(used, ..)| *used).unwrap_or_default();
                let (cause, report) = share::leave(&channel, used).unwrap_or_default();
                end = cause.map_or(end, end_by);
                report.map_or(Shared::Rank, Shared::LastRank)
            }
        };
        let mut limits = self.plan.limits;
        let mut findings = self.plan.findings;
        heed_notes(seen.notes, &mut limits, &mut findings);
        if self.end_orphans && seen.notes >> crate::view::note::PROC & 1 == 1 {
            findings.push(Finding::new(
                "orphans-kept",
                "--orphans end had no effect: without a /proc of the job's own, orphans cannot be told from others",
            ));
        }
        // Survivors may still be using it.
        let tmp_left = if survivors.is_empty() { self.tmp.and_then(OwnTmp::remove) } else { None };
        findings.extend(tmp_left.map(|path| {
            Finding::new("tmp-left", format!("{} could not be removed", path.display()))
                .hint("terrarium reap lists it")
        }));
        let (waited, killed, killed_names) = match seen.done {
            Some((used, killed, names)) => (Some(used), killed, names),
            None => (None, 0, Vec::new()),
        };
        Ok(Outcome {
            job: self.plan.job,
            end,
            tier: self.plan.tier,
            started_at: self.started_at,
            wall,
            limits,
            counted,
            waited,
            killed,
            killed_names,
            orphans_ended: seen.orphans_ended,
            survivors,
            cgroups_left,
            shared_before: self.shared_before,
            shared,
            ranks,
            tracked: self.tracked,
            findings,
        })
    }

    /// Lets go of everything that is the job's: as long as this process held the other end of a
    /// pipe, nobody would see the job close it. Only stderr stays, for messages.
    fn let_go(&mut self) {
        self.terminal = controlling_terminal();
        let_go_of_standard_files(false);
        let mut keep = vec![self.channel.as_fd().as_raw_fd(), self.signals.as_fd().as_raw_fd()];
        keep.extend(self.groups.descriptors());
        keep.extend(&self.keep);
        keep.extend(self.terminal.iter().map(AsRawFd::as_raw_fd));
        keep.extend(self.parent.handle().map(|p| p.as_fd().as_raw_fd()));
        keep.extend(self.part.descriptors().iter().map(AsRawFd::as_raw_fd));
        close_from(3, &keep);
    }

    /// A tracer that was killed has taken the job with it, but the last of it may still be going. All of its orphans are
    /// children of this process now.
    fn wait_for_orphans(&self, seen: &mut Seen) {
        let deadline = Instant::now() + self.kill_wait;
        while !self.below().is_empty() {
            if Instant::now() >= deadline {
                seen.gave_up = true;
                return;
            }
            let _ = poll(&mut [PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)], PollTimeout::from(5u8));
            while self.signals.next().is_some() {}
            while let Ok(Some(_)) = wait_for(-1, false) {}
        }
    }

    /// The processes of the job, as parentage shows them.
    fn below(&self) -> Vec<Survivor> {
        let mut found = survivors::below(&self.host, self.init as u32);
        if self.plan.tier == Tier::Ptrace {
            // Where the tracer is gone they are ours, and so is whatever was ours before.
            let mut seen: HashSet<u32> = found.iter().map(|s| s.pid).chain([self.init as u32]).collect();
            for &other in &self.others {
                seen.insert(other);
                seen.extend(survivors::below(&self.host, other).iter().map(|s| s.pid));
            }
            // What was traced has been killed by the kernel; what has not is a stranger's orphan.
            let all = survivors::below(&self.host, std::process::id());
            let ours = |s: &Survivor| !seen.contains(&s.pid) && self.host.is_being_killed(s.pid);
            found.extend(all.into_iter().filter(ours));
        }
        found
    }

    fn reap_strangers(&self) {
        while let Ok(pid) = ended_child() {
            if pid == self.init || wait_for(pid, false).is_err() {
                return;
            }
        }
    }

    fn watch(&mut self, machine: &mut Supervision, seen: &mut Seen, observer: &mut dyn Observer) {
        let mut pause = FIRST_LOOK.min(self.look_every);
        let mut next_look = pause;
        let mut channel_open = true;
        while !seen.init_ended && !seen.gave_up {
            let oom = self.groups.oom_event().filter(|_| seen.oom_look.is_none());
            let due =
                [machine.deadline(), Some(next_look), seen.oom_look.map(|(_, at)| at), self.part.deadline()];
            let due = due.into_iter().flatten().min().unwrap_or(next_look);
            let ready = self.poll(due, channel_open, oom);
            let now = self.started.elapsed();
            let mut events = Vec::new();
            if ready.oom {
                drain(self.groups.oom_event());
                seen.oom_look = Some((0, now));
            }
            self.look_for_oom(seen, now, &mut events);
            while let Some(received) = self.signals.next() {
                // A holder is nobody to be signalled: its ranks are.
                if received.signal != nix::libc::SIGCHLD && !matches!(self.part, Part::Holder(_)) {
                    events.push(Event::Signal(received.signal));
                }
            }
            self.serve_ranks(machine, seen, now, &mut events, observer);
            if ready.parent || matches!(self.parent, Parent::Gone) {
                self.parent = Parent::NotWatched;
                events.push(Event::ParentEnded);
            }
            if ready.channel {
                channel_open = self.read_channel(seen, &mut events);
            }
            if self.plan.tier == Tier::Ptrace {
                // Orphans of strangers come to us as well (see `others`): nobody else waits for them.
                self.reap_strangers();
            }
            match wait_for(self.init, false).ok().flatten().map(|w| w.status) {
                Some(WaitStatus::Stopped(_)) => self.init_stopped = true,
                Some(WaitStatus::Continued) => self.init_stopped = false,
                Some(_) => {
                    // What init said last may have come between the two looks.
                    self.read_channel(seen, &mut events);
                    seen.init_ended = true;
                    events.push(Event::InitDied);
                }
                None => {}
            }
            if now >= next_look && !seen.init_ended {
                if seen.asked_for_proc {
                    self.look(seen, &mut events, observer);
                    pause = (pause * 2).min(self.look_every);
                    next_look = after(now, pause, self.look_every);
                } else {
                    // Asked for only now: a job that is over by then need not be looked at.
                    seen.asked_for_proc = true;
                    let _ = self.channel.send(&ToInit::SendProc.encode(), None);
                    next_look = now + Duration::from_millis(1);
                }
            }
            if events.is_empty() {
                events.push(Event::Tick);
            }
            for event in events {
                for action in machine.handle(now, event) {
                    self.act(action, seen, observer);
                }
            }
        }
        machine.main = machine.main.or(seen.main_status);
    }

    /// Init is stopped, or traced and stopped.
    fn is_init_held(&self) -> bool {
        // With hidepid, /proc does not show it to an ordinary user; but our child's stops are told to us.
        self.init_stopped || self.host.stat(self.init as u32).is_some_and(|s| matches!(s.state, 't' | 'T'))
    }

    fn look(&self, seen: &mut Seen, events: &mut Vec<Event>, observer: &mut dyn Observer) {
        let proc = seen.proc.as_ref().map(|(fd, main)| (proc_path(fd), *main));
        // Without a namespace, /proc shows everybody's.
        let is_traced = self.plan.tier == Tier::Ptrace;
        let now = self.started.elapsed();
        if is_traced && now >= seen.traced.1 {
            let pids = self.host.descendants(self.init as u32);
            let took = self.started.elapsed().saturating_sub(now);
            seen.traced = (pids, now + took * FINDING);
        }
        let processes = proc.as_ref().map(|(path, main)| Processes {
            proc: path,
            pids: is_traced.then_some(seen.traced.0.as_slice()),
            init: if is_traced { self.init as u32 } else { 1 },
            main: u32::try_from(*main).ok().filter(|main| *main != 0),
        });
        observer.look(&Look { processes, groups: &self.groups });
        let dead = match &proc {
            Some((proc, main)) => main_is_dead(proc, *main),
            // Init has not answered: something may hold it.
            None if self.is_init_held() => {
                survivors::dead_main(&self.host, self.init as u32).map(WaitStatus::from_raw)
            }
            None => None,
        };
        if let Some(status) = dead {
            events.push(Event::MainSeenDead);
            // Init tells the same; if it cannot, this is all there is.
            seen.main_status = Some(status);
        }
    }

    /// Lets ranks in and out, where this is their holder; says what the holder has said, where this is one.
    fn serve_ranks(
        &mut self,
        machine: &Supervision,
        seen: &Seen,
        now: Duration,
        events: &mut Vec<Event>,
        observer: &mut dyn Observer,
    ) {
        match &mut self.part {
            Part::Alone | Part::Abandoned => {}
            Part::Member(channel) => {
                let (said, is_held) = share::notices(channel);
                said.iter().for_each(|notice| observer.notice(notice));
                if !is_held {
                    self.part = Part::Abandoned;
                }
            }
            Part::Holder(holder) => {
                let plan = &self.plan;
                let welcome = |is_first: bool| {
                    let (mut limits, mut findings) = (plan.limits.clone(), plan.findings.clone());
                    heed_notes(seen.notes, &mut limits, &mut findings);
                    Welcome { job: plan.job, tier: plan.tier, limits, notes: seen.notes, findings, is_first }
                };
                // A rank that was killed for memory leaves before the kernel's event is looked at.
                let cause = match machine.cause {
                    None if self.groups.counted().oom_kills > 0 => Some(Cause::OutOfMemory),
                    cause => cause,
                };
                if holder.serve(now, &welcome, &self.groups, cause) {
                    events.push(Event::AllLeft);
                }
            }
        }
    }

    fn act(&mut self, action: Action, seen: &mut Seen, observer: &mut dyn Observer) {
        match action {
            Action::Tell(message) => {
                // Never waits: an init that is held reads nothing, and must not hold us too.
                if self.channel.try_send(&message.encode()).is_err() && message == ToInit::Kill {
                    let _ = signal_one(self.init, 9);
                }
            }
            Action::StopSelf(signal) => stop_self(signal),
            Action::Say(notice) => match &self.part {
                Part::Holder(holder) => holder.say(&notice),
                _ => observer.notice(&notice),
            },
            Action::LookAtSurvivors => {
                let left = self.below();
                survivors::thaw(&self.host, &left);
                // A PID 1 that is held by a tracer, or was stopped, kills nobody; the kernel does.
                if self.is_init_held() {
                    let _ = signal_one(self.init, 9);
                }
            }
            Action::KillInit => {
                let _ = signal_one(self.init, 9);
            }
            Action::GiveUp => seen.gave_up = true,
        }
    }

    fn poll(&self, due: Duration, channel_open: bool, oom: Option<BorrowedFd<'_>>) -> Ready {
        let left = due.saturating_sub(self.started.elapsed());
        // Rounded up: a wait that ends a little early would only spin.
        let millis = left.as_micros().div_ceil(1000).min(60_000) as u16;
        let mut fds = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        if channel_open {
            fds.push(PollFd::new(self.channel.as_fd(), PollFlags::POLLIN));
        }
        if let Some(oom) = oom {
            fds.push(PollFd::new(oom, PollFlags::POLLIN));
        }
        let parent_at = fds.len();
        // Just to be woken: they have their turn in any case.
        let ranks = self.part.descriptors();
        if let Some(parent) = self.parent.handle() {
            fds.push(PollFd::new(parent.as_fd(), PollFlags::POLLIN));
        }
        fds.extend(ranks.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)));
        let _ = poll(&mut fds, PollTimeout::from(millis));
        let any = |i: usize| fds.get(i).and_then(PollFd::any).unwrap_or(false);
        Ready {
            channel: channel_open && any(1),
            oom: oom.is_some() && any(1 + usize::from(channel_open)),
            parent: self.parent.handle().is_some() && any(parent_at),
        }
    }

    /// Takes in what init says; `false` when it has closed its end.
    fn read_channel(&mut self, seen: &mut Seen, events: &mut Vec<Event>) -> bool {
        let mut buffer = [0u8; MAX];
        loop {
            match self.channel.receive(&mut buffer) {
                Ok(Incoming::Message(n, fd)) => {
                    if let Some(message) = FromInit::decode(&buffer[..n]) {
                        self.note(&message, fd, seen);
                        events.push(Event::Init(message));
                    }
                }
                Ok(Incoming::Nothing) => return true,
                Ok(Incoming::Closed) | Err(_) => return false,
            }
        }
    }

    fn note(&mut self, message: &FromInit, fd: Option<OwnedFd>, seen: &mut Seen) {
        match message {
            FromInit::Notes { notes } => seen.notes |= notes,
            FromInit::Namespace { kind } => {
                if let Part::Holder(holder) = &mut self.part {
                    match fd {
                        Some(fd) => holder.namespace(*kind, fd),
                        None => holder.ready(),
                    }
                }
            }
            FromInit::Proc { main } => seen.proc = fd.map(|fd| (fd, *main)),
            FromInit::StepFailed { job, index, errno } => {
                let steps = if *job { &self.plan.main_steps } else { &self.plan.init_steps };
                let step = steps.get(*index).map_or("join the cgroup".to_owned(), |p| p.step.to_string());
                seen.failure = Some(JailError::Step { step, errno: Errno::from_raw(*errno) });
            }
            FromInit::Failed { what: what::SEIZE, errno } => {
                let mut tried = self.tried.clone();
                tried.push((Tier::Ptrace, explain_seize(Errno::from_raw(*errno))));
                seen.failure = Some(JailError::NotContained { tried });
            }
            FromInit::Failed { errno, .. } => {
                seen.failure =
                    Some(JailError::System { what: "starting a process", errno: Errno::from_raw(*errno) });
            }
            FromInit::ExecFailed { errno } => {
                let errno = Errno::from_raw(*errno);
                let errno = if errno == Errno::EACCES && self.is_nowhere() { Errno::ENOENT } else { errno };
                seen.failure = Some(JailError::Exec { command: self.command.clone(), errno });
            }
            FromInit::Done { totals, killed, names, .. } => {
                seen.done = Some((*totals, *killed, names.clone()));
            }
            FromInit::OrphansEnded { ended, .. } => seen.orphans_ended += ended,
            _ => {}
        }
    }

    /// Whether no directory of PATH holds the command. One of them that may not be searched
    /// makes exec say "permission denied" for a command that is simply not there.
    fn is_nowhere(&self) -> bool {
        !self.command.contains('/')
            && std::env::split_paths(&self.path).all(|d| fs::metadata(d.join(&self.command)).is_err())
    }

    fn look_for_oom(&self, seen: &mut Seen, now: Duration, events: &mut Vec<Event>) {
        let Some((look, at)) = seen.oom_look else { return };
        if now < at {
            return;
        }
        if self.groups.counted().oom_kills > 0 {
            seen.oom_look = None;
            events.push(Event::OutOfMemory);
        } else {
            seen.oom_look = OOM_LOOKS.get(look).map(|pause| (look + 1, now + *pause));
        }
    }
}

/// When to look again after a look at `now`: on a steady grid once the pause has grown to the interval, so that looks
/// that come late do not move those that follow.
fn after(now: Duration, pause: Duration, interval: Duration) -> Duration {
    if pause < interval {
        return now + pause;
    }
    let done = now.as_nanos() / interval.as_nanos().max(1);
    interval.saturating_mul(u32::try_from(done + 1).unwrap_or(u32::MAX)).max(now)
}

struct Ready {
    channel: bool,
    oom: bool,
    parent: bool,
}

fn drain(fd: Option<BorrowedFd<'_>>) {
    let Some(fd) = fd.and_then(|fd| fd.try_clone_to_owned().ok()) else { return };
    let _ = fs::File::from(fd).read(&mut [0; 8]);
}

fn proc_path(fd: &OwnedFd) -> PathBuf {
    format!("/proc/self/fd/{}", fd.as_raw_fd()).into()
}

/// The main process's status word if it is a zombie: it has ended, and init has not waited for it.
fn main_is_dead(proc: &Path, main: i32) -> Option<WaitStatus> {
    let text = fs::read(proc.join(format!("{main}/stat"))).ok()?;
    let stat = parse_stat(&String::from_utf8_lossy(&text))?;
    stat.is_dead().then(|| WaitStatus::from_raw(stat.exit_code))
}

fn end_by(cause: Cause) -> End {
    match cause {
        Cause::TimeLimit => End::TimeLimit,
        Cause::Terminated => End::Terminated,
        Cause::OutOfMemory => End::OutOfMemory,
    }
}

fn end_of(machine: &Supervision, counted: &Counted, gave_up: bool) -> End {
    if gave_up {
        return End::Survivors;
    }
    // Killed processes alone say little: they may be those of a run in this run, which told so itself. If it
    // was this job's own limit, or one around it, the kernel has killed the main process too.
    let killed = counted.oom_kills > 0 && (counted.oom_here || machine.main == Some(WaitStatus::Signaled(9)));
    if killed || machine.cause == Some(Cause::OutOfMemory) {
        return End::OutOfMemory;
    }
    match (machine.cause, machine.main) {
        (Some(Cause::TimeLimit), _) => End::TimeLimit,
        (Some(Cause::Terminated), _) => End::Terminated,
        (_, Some(WaitStatus::Exited(code))) => End::Exited { code },
        (_, Some(WaitStatus::Signaled(signal))) => End::Signaled { signal },
        _ => End::InitKilled,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_on_a_steady_grid() {
        let ms = Duration::from_millis;
        assert_eq!(after(ms(41), ms(80), ms(1000)), ms(121));
        // The pause has grown: from here on at whole intervals since the start, however late a look was.
        assert_eq!(after(ms(1301), ms(1000), ms(1000)), ms(2000));
        assert_eq!(after(ms(2000), ms(1000), ms(1000)), ms(3000));
        assert_eq!(after(ms(5999), ms(1000), ms(1000)), ms(6000));
        assert_eq!(after(ms(150), ms(100), ms(100)), ms(200));
    }
}
