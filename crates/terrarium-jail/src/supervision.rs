//! What the supervisor decides: a state machine without system calls.
//!
//! Events go in, actions come out; time is what the caller says it is. `running.rs` feeds it from the kernel.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use terrarium_sys::process::WaitStatus;

use crate::wire::{FromInit, Reached, ToInit};

const TERM: i32 = 15;
const TSTP: i32 = 20;
/// SIGSTOP, SIGTSTP, SIGTTIN and SIGTTOU: no other is ever sent to this process by itself.
const STOPS: [i32; 4] = [19, TSTP, 21, 22];

/// After this long in killing, what is left is looked at: a process may be frozen, or init held.
const LOOK_AFTER: Duration = Duration::from_secs(1);

/// Since the start of the run, on a clock that does not count while the node sleeps.
pub(crate) type Time = Duration;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Config {
    pub(crate) time_limit: Option<Duration>,
    pub(crate) grace: Option<Duration>,
    pub(crate) kill_wait: Duration,
    /// A terminal's job control watches us: stop when the main process stops.
    pub(crate) job_control: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The supervisor got a signal.
    Signal(i32),
    /// Init said something.
    Init(FromInit),
    /// The process that started us has ended (`--with-parent`).
    ParentEnded,
    /// Init is dead.
    InitDied,
    /// The cgroup counted an out-of-memory kill.
    OutOfMemory,
    /// The main process was seen dead although init has not said so.
    MainSeenDead,
    /// All ranks of the job have left.
    AllLeft,
    /// Only time has passed.
    Tick,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Send this to init.
    Tell(ToInit),
    /// Stop this process by this signal, until it is continued.
    StopSelf(i32),
    /// Tell the user.
    Say(Notice),
    /// Look at what does not die: thaw what is frozen, free what is held.
    LookAtSurvivors,
    /// SIGKILL to init: the kernel kills the rest.
    KillInit,
    /// It cannot be done.
    GiveUp,
}

/// Something to be said while the job runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Notice {
    /// The time limit is over; SIGKILL follows after this grace, if any.
    TimeLimit(Duration, Option<Duration>),
    /// SIGTERM came; SIGKILL follows after this grace, if any.
    Terminating(Option<Duration>),
    /// The grace is over.
    GraceOver,
    /// The kernel's out-of-memory killer was at work.
    OutOfMemory,
    /// The process that started terrarium has ended: the job is asked to end as well.
    ParentEnded,
    /// Processes whose parent had died were ended: how many, and the names of the first of them.
    OrphansEnded(u64, Vec<String>),
}

/// Why the job was ended by us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// The time limit.
    TimeLimit,
    /// SIGTERM and a grace that ran out.
    Terminated,
    /// Out of memory.
    OutOfMemory,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    /// Asked to end; killed at that time, if ever.
    Ending(Option<Time>),
    Killing {
        since: Time,
        looked: bool,
    },
    Over,
}

#[derive(Debug)]
pub(crate) struct Supervision {
    config: Config,
    phase: Phase,
    stop_expected: bool,
    /// SIGTERM came at that time, and init has not said yet whether the job has it.
    term_unanswered: Option<Time>,
    seen_dead_at: Option<Time>,
    pub(crate) cause: Option<Cause>,
    pub(crate) main: Option<WaitStatus>,
}

impl Supervision {
    pub(crate) fn new(config: Config) -> Self {
        Supervision {
            config,
            phase: Phase::Running,
            stop_expected: false,
            term_unanswered: None,
            seen_dead_at: None,
            cause: None,
            main: None,
        }
    }

    /// When [`Event::Tick`] is due at the latest.
    pub(crate) fn deadline(&self) -> Option<Time> {
        let unanswered = self.term_unanswered.map(|at| at + LOOK_AFTER);
        match self.phase {
            Phase::Running => [self.config.time_limit, unanswered].into_iter().flatten().min(),
            Phase::Ending(until) => until,
            Phase::Killing { since, looked: false } => Some(since + LOOK_AFTER),
            Phase::Killing { since, looked: true } => Some(since + self.config.kill_wait),
            Phase::Over => None,
        }
    }

    pub(crate) fn handle(&mut self, now: Time, event: Event) -> Vec<Action> {
        match event {
            Event::Signal(signal) => {
                if signal == TERM {
                    self.term_unanswered.get_or_insert(now);
                }
                vec![Action::Tell(ToInit::Forward(signal))]
            }
            // As if it had sent SIGTERM with its last breath.
            Event::ParentEnded => {
                self.term_unanswered.get_or_insert(now);
                vec![Action::Say(Notice::ParentEnded), Action::Tell(ToInit::Forward(TERM))]
            }
            Event::Init(message) => self.init_said(now, message),
            Event::InitDied => {
                self.phase = Phase::Over;
                vec![]
            }
            Event::OutOfMemory if self.cause != Some(Cause::OutOfMemory) && self.phase != Phase::Over => {
                self.cause = Some(Cause::OutOfMemory);
                let mut actions = vec![Action::Say(Notice::OutOfMemory)];
                actions.extend(self.kill(now));
                actions
            }
            Event::MainSeenDead => self.main_seen_dead(now),
            Event::AllLeft => self.kill(now),
            Event::OutOfMemory | Event::Tick => self.tick(now),
        }
    }

    fn init_said(&mut self, now: Time, message: FromInit) -> Vec<Action> {
        match message {
            FromInit::Forwarded { signal: TERM, reached } => {
                self.term_unanswered = None;
                if reached == Reached::FromInside { vec![] } else { self.begin_ending(now) }
            }
            FromInit::Forwarded { signal: TSTP, .. } => {
                self.stop_expected = true;
                vec![]
            }
            FromInit::Stopped { signal } => {
                let expected = std::mem::take(&mut self.stop_expected);
                let stops = STOPS.contains(&signal);
                if stops && (self.config.job_control || expected) {
                    vec![Action::StopSelf(signal)]
                } else {
                    vec![]
                }
            }
            FromInit::MainEnded { status } | FromInit::Done { main: status, .. } => {
                self.main = Some(status);
                vec![]
            }
            FromInit::OrphansEnded { ended, names } => vec![Action::Say(Notice::OrphansEnded(ended, names))],
            FromInit::Killing => {
                if !matches!(self.phase, Phase::Killing { .. }) {
                    self.phase = Phase::Killing { since: now, looked: false };
                }
                vec![]
            }
            _ => vec![],
        }
    }

    fn begin_ending(&mut self, now: Time) -> Vec<Action> {
        if self.phase != Phase::Running {
            return vec![];
        }
        self.phase = Phase::Ending(self.config.grace.map(|g| now + g));
        vec![Action::Tell(ToInit::Ending), Action::Say(Notice::Terminating(self.config.grace))]
    }

    fn main_seen_dead(&mut self, now: Time) -> Vec<Action> {
        // Init needs a moment to say so itself. If it does not, something holds it (a tracer).
        match self.seen_dead_at {
            _ if self.main.is_some() => vec![],
            None => {
                self.seen_dead_at = Some(now);
                vec![]
            }
            Some(at) if now >= at + LOOK_AFTER => vec![Action::KillInit],
            Some(_) => vec![],
        }
    }

    fn kill(&mut self, now: Time) -> Vec<Action> {
        if matches!(self.phase, Phase::Killing { .. } | Phase::Over) {
            return vec![];
        }
        self.phase = Phase::Killing { since: now, looked: false };
        vec![Action::Tell(ToInit::Kill)]
    }

    fn tick(&mut self, now: Time) -> Vec<Action> {
        if self.deadline().is_none_or(|at| now < at) {
            return vec![];
        }
        match self.phase {
            // Something holds init: the grace runs all the same.
            Phase::Running if self.config.time_limit.is_none_or(|limit| now < limit) => {
                self.term_unanswered = None;
                self.begin_ending(now)
            }
            Phase::Running => {
                self.cause = Some(Cause::TimeLimit);
                let notice = Notice::TimeLimit(self.config.time_limit.unwrap_or_default(), self.config.grace);
                if self.config.grace == Some(Duration::ZERO) {
                    let mut actions = vec![Action::Say(notice)];
                    actions.extend(self.kill(now));
                    return actions;
                }
                self.phase = Phase::Ending(self.config.grace.map(|g| now + g));
                vec![Action::Tell(ToInit::TermAll), Action::Say(notice)]
            }
            Phase::Ending(_) => {
                // A main process that has ended by itself keeps its status.
                if self.main.is_none() {
                    self.cause.get_or_insert(Cause::Terminated);
                }
                let mut actions = vec![Action::Say(Notice::GraceOver)];
                actions.extend(self.kill(now));
                actions
            }
            Phase::Killing { since, looked: false } => {
                self.phase = Phase::Killing { since, looked: true };
                vec![Action::LookAtSurvivors]
            }
            Phase::Killing { looked: true, .. } => {
                self.phase = Phase::Over;
                vec![Action::GiveUp]
            }
            Phase::Over => vec![],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    fn config() -> Config {
        Config { time_limit: Some(S(60)), grace: Some(S(10)), kill_wait: S(30), job_control: false }
    }

    /// Runs (seconds, event) pairs and returns what happened.
    fn play(config: Config, script: Vec<(u64, Event)>) -> (Supervision, Vec<Action>) {
        let mut supervision = Supervision::new(config);
        let mut actions = Vec::new();
        for (at, event) in script {
            actions.extend(supervision.handle(S(at), event));
        }
        (supervision, actions)
    }

    fn forwarded(signal: i32, reached: Reached) -> Event {
        Event::Init(FromInit::Forwarded { signal, reached })
    }

    #[test]
    fn time_limit_then_grace_then_kill_then_look_then_give_up() {
        let (s, actions) = play(
            config(),
            vec![
                (59, Event::Tick),
                (60, Event::Tick),
                (69, Event::Tick),
                (70, Event::Tick),
                (71, Event::Tick),
                (99, Event::Tick),
                (100, Event::Tick),
                (200, Event::Tick),
            ],
        );
        assert_eq!(
            actions,
            [
                Action::Tell(ToInit::TermAll),
                Action::Say(Notice::TimeLimit(S(60), Some(S(10)))),
                Action::Say(Notice::GraceOver),
                Action::Tell(ToInit::Kill),
                Action::LookAtSurvivors,
                Action::GiveUp,
            ]
        );
        assert_eq!(s.cause, Some(Cause::TimeLimit));
    }

    #[test]
    fn a_terminated_job_that_ends_in_its_grace_keeps_its_status() {
        let ended = Event::Init(FromInit::MainEnded { status: WaitStatus::Exited(3) });
        let script = vec![(1, Event::Signal(TERM)), (1, forwarded(TERM, Reached::No)), (5, ended)];
        let (s, actions) = play(config(), script);
        assert_eq!(actions[0], Action::Tell(ToInit::Forward(TERM)));
        assert_eq!(actions[1], Action::Tell(ToInit::Ending));
        assert_eq!((s.cause, s.main), (None, Some(WaitStatus::Exited(3))));
    }

    #[test]
    fn a_job_that_signals_its_own_group_is_not_ended_for_it() {
        let script = vec![(1, forwarded(TERM, Reached::FromInside)), (30, Event::Tick)];
        let (s, actions) = play(Config { time_limit: None, ..config() }, script);
        assert_eq!((s.cause, actions.len()), (None, 0));
    }

    #[test]
    fn an_init_that_does_not_answer_does_not_stop_the_clock() {
        let script = vec![(1, Event::Signal(TERM)), (2, Event::Tick), (12, Event::Tick), (13, Event::Tick)];
        let (_, actions) = play(Config { time_limit: None, ..config() }, script);
        assert_eq!(
            actions[1..],
            [
                Action::Tell(ToInit::Ending),
                Action::Say(Notice::Terminating(Some(S(10)))),
                Action::Say(Notice::GraceOver),
                Action::Tell(ToInit::Kill),
                Action::LookAtSurvivors,
            ]
        );
    }

    #[test]
    fn without_grace_nothing_is_killed_after_term() {
        let config = Config { grace: None, time_limit: None, ..config() };
        let (s, _) = play(config, vec![(1, forwarded(TERM, Reached::No)), (1000, Event::Tick)]);
        assert_eq!((s.deadline(), s.cause), (None, None));
    }

    #[test]
    fn a_job_whose_parent_ended_has_its_grace() {
        let script = vec![(1, Event::ParentEnded), (1, forwarded(TERM, Reached::No)), (11, Event::Tick)];
        let (s, actions) = play(Config { time_limit: None, ..config() }, script);
        assert_eq!(
            actions,
            [
                Action::Say(Notice::ParentEnded),
                Action::Tell(ToInit::Forward(TERM)),
                Action::Tell(ToInit::Ending),
                Action::Say(Notice::Terminating(Some(S(10)))),
                Action::Say(Notice::GraceOver),
                Action::Tell(ToInit::Kill),
            ]
        );
        assert_eq!(s.cause, Some(Cause::Terminated));
    }

    #[test]
    fn orphans_are_told() {
        let names = vec!["python3".to_owned()];
        let said = Event::Init(FromInit::OrphansEnded { ended: 1, names: names.clone() });
        assert_eq!(play(config(), vec![(1, said)]).1, [Action::Say(Notice::OrphansEnded(1, names))]);
    }

    #[test]
    fn other_signals_only_pass_through() {
        for signal in [1, 2, 3, 10, 12, 18, 28] {
            let script =
                vec![(1, Event::Signal(signal)), (1, forwarded(signal, Reached::No)), (50, Event::Tick)];
            let (s, actions) = play(config(), script);
            assert_eq!(actions, [Action::Tell(ToInit::Forward(signal))]);
            assert_eq!(s.cause, None);
        }
    }

    #[test]
    fn stops_with_the_job_only_where_somebody_can_continue_it() {
        let stopped = || Event::Init(FromInit::Stopped { signal: TSTP });
        assert_eq!(play(config(), vec![(1, stopped())]).1, []);
        let asked = vec![(1, forwarded(TSTP, Reached::No)), (1, stopped())];
        assert_eq!(play(config(), asked).1, [Action::StopSelf(TSTP)]);
        let other = Event::Init(FromInit::Stopped { signal: 10 });
        assert_eq!(play(Config { job_control: true, ..config() }, vec![(1, other)]).1, []);
        let control = Config { job_control: true, ..config() };
        assert_eq!(play(control, vec![(1, stopped())]).1, [Action::StopSelf(TSTP)]);
    }

    #[test]
    fn out_of_memory_ends_the_whole_job_once() {
        let (s, actions) = play(config(), vec![(1, Event::OutOfMemory), (1, Event::OutOfMemory)]);
        assert_eq!(actions, [Action::Say(Notice::OutOfMemory), Action::Tell(ToInit::Kill)]);
        assert_eq!(s.cause, Some(Cause::OutOfMemory));
    }

    #[test]
    fn a_held_init_is_killed() {
        let script = vec![(1, Event::MainSeenDead), (1, Event::MainSeenDead), (2, Event::MainSeenDead)];
        assert_eq!(play(config(), script).1, [Action::KillInit]);
        let ended = Event::Init(FromInit::MainEnded { status: WaitStatus::Exited(0) });
        let script = vec![(1, Event::MainSeenDead), (1, ended), (9, Event::MainSeenDead)];
        assert_eq!(play(config(), script).1, []);
    }
}
