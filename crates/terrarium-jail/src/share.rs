//! One jail for all ranks of a parallel job on a node.
//!
//! MPI libraries read each other's memory by PID, so ranks must see each other in one PID namespace: with one for each, messages
//! were wrong without an error. The first rank makes a holder, a process that supervises the jail and stays until the last
//! rank has left. Every rank, the first too, enters the jail's namespaces and starts its main process there; it keeps
//! what its launcher gave it: files, affinity, process group, parent.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::{Deserialize, Serialize};
use terrarium_core::report::Limits;
use terrarium_core::{Finding, JobId, Tier};
use terrarium_sys::fds::{Channel, Incoming, let_go_of_standard_files};
use terrarium_sys::meeting::{Listener, Meeting, meet};
use terrarium_sys::process::{Forked, Namespaces, clone_process, leave_group, user};

use crate::affinity::namespace_pids;
use crate::cgroup::Groups;
use crate::error::JailError;
use crate::spec::{JailSpec, Ranks};
use crate::supervision::{Cause, Notice};
use crate::totals::Totals;
use crate::view::note;

/// Largest message; a report names some dozens of processes at most.
const MAX: usize = 128 << 10;

/// How long a rank waits for the holder's answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Ranks that are known to come are waited for this long when all that have come have left.
const LINGER: Duration = Duration::from_millis(500);

/// How long a holder waits for the first rank.
const FIRST: Duration = Duration::from_secs(3);

/// How many newcomers have their turn at once, and how many may be waiting: whoever knows the place can come.
const AT_ONCE: usize = 64;
const WAITING: usize = 256;

/// The namespaces, in the order in which they are entered, with their names in /proc/PID/ns.
pub(crate) const NAMESPACES: [&str; 5] = ["user", "pid", "ipc", "net", "mnt"];

#[derive(Debug, Serialize, Deserialize)]
enum ToMember {
    /// Carries a namespace, by its number in [`NAMESPACES`].
    Namespace(usize),
    /// Carries `cgroup.procs` of a v1 cgroup with that path.
    V1(String),
    /// Carries the v2 cgroup, and its cgroup.procs.
    V2,
    V2Procs,
    Welcome(Box<Welcome>),
    Refused(String),
    Say(Notice),
    /// The jail goes on without this rank, or (with a report) is over.
    Farewell {
        cause: Option<Cause>,
        report: Option<String>,
    },
}

#[derive(Debug, Serialize, Deserialize)]
enum ToHolder {
    /// What the rank asks for: all must ask for the same.
    Join(String),
    /// Its main process has ended, and had used that much with all that it waited for.
    Ended { used: Totals },
}

/// What a rank learns of the jail.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Welcome {
    pub(crate) job: JobId,
    pub(crate) tier: Tier,
    pub(crate) limits: Limits,
    pub(crate) notes: u64,
    pub(crate) findings: Vec<Finding>,
    /// The first rank says them.
    pub(crate) is_first: bool,
}

/// What this process is.
pub(crate) enum Part {
    /// The supervisor of a job of its own.
    Alone,
    /// The supervisor of the jail, without a main process.
    Holder(Box<Holder>),
    /// The supervisor of one rank.
    Member(Channel),
    /// The same, after the holder was killed: then so is the jail.
    Abandoned,
}

impl Part {
    /// What it waits for.
    pub(crate) fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        match self {
            Part::Alone | Part::Abandoned => Vec::new(),
            Part::Holder(holder) => holder.descriptors(),
            Part::Member(channel) => vec![channel.as_fd()],
        }
    }

    /// When it wants to have its turn.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        match self {
            Part::Holder(holder) => holder.over_at,
            _ => None,
        }
    }
}

/// What came of looking for the others.
pub(crate) enum Met {
    Holder(Listener),
    Member(Channel),
}

/// Finds the jail's holder, or becomes it in a copy of this process.
///
/// `namespace` is the PID namespace of the caller: two launchers in two containers may give their jobs one name.
pub(crate) fn find_holder(ranks: &Ranks, namespace: u64) -> Result<Met, JailError> {
    let system = |what| move |errno| JailError::System { what, errno };
    let failed = |why: &str| JailError::NotJoined { why: why.to_owned() };
    let name = format!("terrarium-{}-{namespace}-{}", user(), ranks.job);
    let name: String = name.chars().take(100).collect();
    for _ in 0..2 {
        match meet(&name) {
            Ok(Meeting::Joined(channel)) => return Ok(Met::Member(channel)),
            // Not held some other way: the next rank might find the place free, and be in another PID namespace.
            Ok(Meeting::Taken) => return Err(failed("another user holds the place where its ranks meet")),
            Ok(Meeting::First(listener)) => {
                match clone_process(Namespaces::default()).map_err(system("starting a process"))? {
                    Forked::Child => {
                        // What ends one rank, and what reads its output to the end, must not wait for this one.
                        leave_group();
                        let_go_of_standard_files(true);
                        return Ok(Met::Holder(listener));
                    }
                    Forked::Parent(_) => {}
                }
            }
            Err(errno) => return Err(failed(errno.desc())),
        }
    }
    Err(failed("its holder could not be reached"))
}

/// What all ranks have to agree on, as text that is compared.
pub(crate) fn wish(spec: &JailSpec) -> String {
    let mut view = spec.view.clone();
    // Depend on variables that a launcher may set for each rank.
    view.sockets.clear();
    format!(
        "{:?} {view:?} {:?} {:?} {:?}",
        spec.limits, spec.grace, spec.no_new_privileges, spec.require_memory
    )
}

fn send(channel: &Channel, message: &impl Serialize, fd: Option<BorrowedFd<'_>>) -> bool {
    let text = serde_json::to_vec(message).unwrap_or_default();
    channel.send(&text, fd).is_ok()
}

fn readable(fd: BorrowedFd<'_>, wait: Duration) -> bool {
    let millis = wait.as_millis().min(60_000) as u16;
    poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], PollTimeout::from(millis)).is_ok_and(|n| n > 0)
}

/// What a job shared with others, at its end.
#[derive(Debug)]
pub enum Shared {
    /// Nothing.
    Alone,
    /// This is the jail's holder; the rank that left last, if there is one, waits for the report.
    Holder(Option<LastMember>),
    /// This is a rank, and the jail goes on with others.
    Rank,
    /// This is the rank that was the last, with the holder's report on the whole job.
    LastRank(String),
}

/// The holder's side.
pub(crate) struct Holder {
    /// `None` once the jail is over: who comes then makes a new one.
    listener: Option<Listener>,
    wish: String,
    expected: Option<u32>,
    /// Those who have come: whether they are in the jail already.
    members: Vec<(Channel, bool)>,
    namespaces: Vec<(usize, OwnedFd)>,
    ready: bool,
    pub(crate) joined: u32,
    /// What the main processes of those who have left used, which their own inits have waited for.
    pub(crate) used: Totals,
    /// The last has left; others are expected until then.
    over_at: Option<Duration>,
    /// It has been told that the jail is over.
    is_over: bool,
    /// Waits for the report.
    last: Option<Channel>,
}

/// The rank that left last, and is told what there was.
pub struct LastMember {
    channel: Channel,
    cause: Option<Cause>,
}

impl std::fmt::Debug for LastMember {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LastMember").field("cause", &self.cause).finish_non_exhaustive()
    }
}

impl LastMember {
    /// Hands over the report on the whole job.
    pub fn tell(self, report: String) {
        let report = Some(report).filter(|r| r.len() < MAX / 2);
        send(&self.channel, &ToMember::Farewell { cause: self.cause, report }, None);
    }
}

impl Holder {
    pub(crate) fn new(listener: Listener, spec: &JailSpec) -> Holder {
        Holder {
            listener: Some(listener),
            wish: wish(spec),
            expected: spec.ranks.as_ref().and_then(|r| r.expected),
            members: Vec::new(),
            namespaces: Vec::new(),
            ready: false,
            joined: 0,
            used: Totals::default(),
            // If the first rank is killed before it joins, and no other comes.
            over_at: Some(FIRST),
            is_over: false,
            last: None,
        }
    }

    pub(crate) fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let members = self.members.iter().map(|(channel, _)| channel.as_fd());
        self.listener.iter().map(AsFd::as_fd).chain(members).collect()
    }

    /// Init has handed over one of its namespaces.
    pub(crate) fn namespace(&mut self, kind: usize, fd: OwnedFd) {
        self.namespaces.push((kind, fd));
    }

    /// Init has handed over all of them.
    pub(crate) fn ready(&mut self) {
        self.ready = true;
    }

    /// Has its turn with all who have come; `true` when the jail is over.
    pub(crate) fn serve(
        &mut self,
        now: Duration,
        welcome: &dyn Fn(bool) -> Welcome,
        groups: &Groups,
        cause: Option<Cause>,
    ) -> bool {
        if self.is_over {
            return false;
        }
        for _ in 0..AT_ONCE {
            match self.accept(Duration::ZERO) {
                Some(channel) if self.members.iter().filter(|(_, joined)| !joined).count() < WAITING => {
                    self.members.push((channel, false));
                }
                _ => break,
            }
        }
        let mut buffer = if self.members.is_empty() { Vec::new() } else { vec![0u8; MAX] };
        let mut left = Vec::new();
        for i in 0..self.members.len() {
            // Those who have come before init was ready are still waiting.
            if !self.ready && !self.members[i].1 {
                continue;
            }
            let (channel, joined) = &self.members[i];
            match channel.receive(&mut buffer) {
                Ok(Incoming::Message(n, _)) => match serde_json::from_slice(&buffer[..n]) {
                    // It has all there is to get.
                    Ok(ToHolder::Join(_)) if *joined => left.push((i, false)),
                    Ok(ToHolder::Join(wish)) if wish == self.wish => {
                        if self.admit(channel, &welcome(self.joined == 0), groups) {
                            self.joined += 1;
                            self.members[i].1 = true;
                            self.over_at = None;
                            // So that one was not the last.
                            if let Some(last) = self.last.take() {
                                send(&last, &ToMember::Farewell { cause, report: None }, None);
                            }
                        } else {
                            left.push((i, false));
                        }
                    }
                    Ok(ToHolder::Join(_)) => {
                        let why = "the ranks of a job share one jail on each node, and this one asks for other limits \
                                   or another view than the first";
                        send(channel, &ToMember::Refused(why.to_owned()), None);
                        left.push((i, false));
                    }
                    Ok(ToHolder::Ended { used }) => {
                        self.used += used;
                        left.push((i, *joined));
                    }
                    Err(_) => left.push((i, false)),
                },
                Ok(Incoming::Nothing) => {}
                Ok(Incoming::Closed) | Err(_) => left.push((i, false)),
            }
        }
        let anybody_left = !left.is_empty();
        for (i, waits) in left.into_iter().rev() {
            let (channel, _) = self.members.remove(i);
            if waits && self.members.iter().any(|(_, joined)| *joined) {
                send(&channel, &ToMember::Farewell { cause, report: None }, None);
            } else if waits {
                self.last = Some(channel);
            }
        }
        let nobody_joined = !self.members.iter().any(|(_, joined)| *joined);
        if anybody_left && self.joined > 0 && nobody_joined && self.over_at.is_none() {
            let all_came = self.expected.is_none_or(|n| self.joined >= n);
            self.over_at = Some(if all_came { now } else { now + LINGER });
        }
        if self.over_at.is_some_and(|at| now >= at) {
            self.is_over = true;
            self.over_at = None;
            self.listener = None;
            self.members.clear();
        }
        self.is_over
    }

    /// A supervisor of a rank. The job reaches this place too, and must not get what a rank gets: its processes have one
    /// number more than we have.
    fn accept(&self, wait: Duration) -> Option<Channel> {
        let numbers = |pid: &str| namespace_pids(&format!("/proc/{pid}/status")).len();
        let listener = self.listener.as_ref().filter(|listener| readable(listener.as_fd(), wait))?;
        let (channel, pid) = listener.accept()?;
        (numbers(&pid.to_string()) == numbers("self")).then_some(channel)
    }

    fn admit(&self, channel: &Channel, welcome: &Welcome, groups: &Groups) -> bool {
        if welcome.notes >> note::CHROOT & 1 == 1 {
            // Entering its mounts would lead out of the chroot.
            let why = "in a chroot ranks cannot share a jail";
            send(channel, &ToMember::Refused(why.to_owned()), None);
            return false;
        }
        let namespaces = self
            .namespaces
            .iter()
            .all(|(kind, fd)| send(channel, &ToMember::Namespace(*kind), Some(fd.as_fd())));
        let v1 = groups.v1_procs().all(|(procs, path)| {
            send(channel, &ToMember::V1(path.display().to_string()), Some(procs.as_fd()))
        });
        let v2 = groups.v2_directory().is_none_or(|fd| send(channel, &ToMember::V2, Some(fd)))
            && groups.v2_procs().is_none_or(|fd| send(channel, &ToMember::V2Procs, Some(fd.as_fd())));
        namespaces && v1 && v2 && send(channel, &ToMember::Welcome(Box::new(clone_of(welcome))), None)
    }

    /// Tells the ranks why there is no jail.
    pub(crate) fn refuse_all(mut self, error: &JailError) {
        loop {
            for (channel, _) in self.members.drain(..) {
                send(&channel, &ToMember::Refused(error.to_string()), None);
            }
            match self.accept(Duration::from_secs(2)) {
                Some(channel) => self.members.push((channel, false)),
                None => return,
            }
        }
    }

    /// Said by one of the ranks: the holder has nobody to say it to.
    pub(crate) fn say(&self, notice: &Notice) {
        if let Some((channel, _)) = self.members.iter().find(|(_, joined)| *joined) {
            send(channel, &ToMember::Say(notice.clone()), None);
        }
    }

    pub(crate) fn last(self, cause: Option<Cause>) -> Option<LastMember> {
        self.last.map(|channel| LastMember { channel, cause })
    }
}

fn clone_of(welcome: &Welcome) -> Welcome {
    Welcome {
        job: welcome.job,
        tier: welcome.tier,
        limits: welcome.limits.clone(),
        notes: welcome.notes,
        findings: welcome.findings.clone(),
        is_first: welcome.is_first,
    }
}

/// What a rank has got from the holder.
pub(crate) struct Joined {
    pub(crate) welcome: Welcome,
    /// By their numbers in [`NAMESPACES`], sorted.
    pub(crate) namespaces: Vec<(usize, OwnedFd)>,
    pub(crate) v1: Vec<(OwnedFd, String)>,
    pub(crate) v2: Option<OwnedFd>,
    pub(crate) v2_procs: Option<OwnedFd>,
}

impl Joined {
    /// For the steps of the main process.
    pub(crate) fn v1_procs(&self) -> Vec<(RawFd, String)> {
        self.v1.iter().map(|(fd, path)| (fd.as_raw_fd(), path.clone())).collect()
    }

    pub(crate) fn has_cgroups(&self) -> bool {
        !self.v1.is_empty() || self.v2.is_some()
    }
}

/// Asks the holder to let this rank in. `None`: it has ended meanwhile.
pub(crate) fn join(channel: &Channel, spec: &JailSpec) -> Result<Option<Joined>, JailError> {
    let failed = |why: &str| JailError::NotJoined { why: why.to_owned() };
    if !send(channel, &ToHolder::Join(wish(spec)), None) {
        return Ok(None);
    }
    let (mut namespaces, mut v1, mut v2, mut v2_procs) = (Vec::new(), Vec::new(), None, None);
    let mut buffer = vec![0u8; MAX];
    loop {
        if !readable(channel.as_fd(), PATIENCE) {
            return Err(failed("its holder does not answer"));
        }
        let (message, fd) = match channel.receive(&mut buffer) {
            Ok(Incoming::Message(n, fd)) => (serde_json::from_slice(&buffer[..n]), fd),
            Ok(Incoming::Nothing) => continue,
            Ok(Incoming::Closed) | Err(_) => return Ok(None),
        };
        match (message, fd) {
            (Ok(ToMember::Namespace(kind)), Some(fd)) => namespaces.push((kind, fd)),
            (Ok(ToMember::V1(path)), Some(fd)) => v1.push((fd, path)),
            (Ok(ToMember::V2), fd) => v2 = fd,
            (Ok(ToMember::V2Procs), fd) => v2_procs = fd,
            (Ok(ToMember::Refused(why)), _) => return Err(failed(&why)),
            (Ok(ToMember::Welcome(welcome)), _) => {
                namespaces.sort_by_key(|(kind, _)| *kind);
                return Ok(Some(Joined { welcome: *welcome, namespaces, v1, v2, v2_procs }));
            }
            _ => {}
        }
    }
}

/// While a rank runs: what the holder has it say, and whether there still is one.
pub(crate) fn notices(channel: &Channel) -> (Vec<Notice>, bool) {
    let mut said = Vec::new();
    if !readable(channel.as_fd(), Duration::ZERO) {
        return (said, true);
    }
    let mut buffer = vec![0u8; MAX];
    loop {
        match channel.receive(&mut buffer) {
            Ok(Incoming::Message(n, _)) => {
                if let Ok(ToMember::Say(notice)) = serde_json::from_slice(&buffer[..n]) {
                    said.push(notice);
                }
            }
            Ok(Incoming::Nothing) => return (said, true),
            Ok(Incoming::Closed) | Err(_) => return (said, false),
        }
    }
}

/// Why the jail was ended, if it was, and the report on the whole job, if this rank was the last.
pub(crate) type Farewell = (Option<Cause>, Option<String>);

/// A rank's main process has ended: tells the holder, and waits for its answer. `None`: there is no holder any more.
pub(crate) fn leave(channel: &Channel, used: Totals) -> Option<Farewell> {
    if !send(channel, &ToHolder::Ended { used }, None) {
        return None;
    }
    let mut buffer = vec![0u8; MAX];
    loop {
        match channel.receive(&mut buffer) {
            Ok(Incoming::Message(n, _)) => {
                if let Ok(ToMember::Farewell { cause, report }) = serde_json::from_slice(&buffer[..n]) {
                    return Some((cause, report));
                }
            }
            Ok(Incoming::Nothing) => drop(readable(channel.as_fd(), PATIENCE)),
            Ok(Incoming::Closed) | Err(_) => return None,
        }
    }
}
