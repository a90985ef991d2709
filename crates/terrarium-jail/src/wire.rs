//! Messages between the supervisor, on the host, and its init, PID 1 of the job.

use terrarium_sys::process::WaitStatus;

use crate::totals::{self, Totals};

/// Largest message in bytes.
pub(crate) const MAX: usize = 1024;

/// Numbers in a message of init: as many as the longest has.
const NUMBERS: usize = 3 + totals::NUMBERS;

/// Whether a signal had reached init (and so the job's process group) without us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reached {
    /// It had not: init passed it on to the main process.
    No,
    /// It was sent to the whole group from outside (the terminal, `kill -- -PGID`).
    FromOutside,
    /// A process of the job sent it to the whole group.
    FromInside,
}

/// From the supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ToInit {
    /// The supervisor got this signal: see that the main process gets it once.
    Forward(i32),
    /// The job was asked to end: after the main process, let others that handle SIGTERM finish too.
    Ending,
    /// SIGTERM to every process, then as [`ToInit::Ending`].
    TermAll,
    /// SIGKILL to every process.
    Kill,
    /// Send a descriptor of the job's own /proc.
    SendProc,
}

/// From init, or from the main process before exec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FromInit {
    /// Optional steps of init or of the main process failed. Said only if some did.
    Notes { notes: u64 },
    /// A step failed: of init's (`job` = false) or the main process's list.
    StepFailed { job: bool, index: usize, errno: i32 },
    /// A system call outside of the lists failed.
    Failed { what: u8, errno: i32 },
    /// exec failed.
    ExecFailed { errno: i32 },
    /// Carries a descriptor of the job's own /proc, in which the main process has this PID.
    Proc { main: i32 },
    /// Answer to [`ToInit::Forward`].
    Forwarded { signal: i32, reached: Reached },
    /// The main process was stopped.
    Stopped { signal: i32 },
    /// The main process has ended.
    MainEnded { status: WaitStatus },
    /// That many processes were ended because their parent had died.
    OrphansEnded { ended: u64, names: Vec<String> },
    /// Everything that is left is being killed.
    Killing,
    /// Carries one of init's namespaces, by its number in [`crate::share::NAMESPACES`]; without one when all were sent.
    Namespace { kind: usize },
    /// Init has no children left and ends now.
    Done { main: WaitStatus, totals: Totals, killed: u64, names: Vec<String> },
}

/// What [`FromInit::Failed`] was about.
pub(crate) mod what {
    pub(crate) const FORK: u8 = 0;
    /// Taking hold of the main process by ptrace.
    pub(crate) const SEIZE: u8 = 1;
}

impl ToInit {
    pub(crate) fn encode(self) -> [u8; 5] {
        let (kind, value) = match self {
            ToInit::Forward(signal) => (0, signal),
            ToInit::Ending => (1, 0),
            ToInit::TermAll => (2, 0),
            ToInit::Kill => (3, 0),
            ToInit::SendProc => (4, 0),
        };
        let mut out = [kind, 0, 0, 0, 0];
        out[1..].copy_from_slice(&value.to_le_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (kind, value) = bytes.split_first()?;
        let value = i32::from_le_bytes(value.try_into().ok()?);
        Some(match kind {
            0 => ToInit::Forward(value),
            1 => ToInit::Ending,
            2 => ToInit::TermAll,
            3 => ToInit::Kill,
            4 => ToInit::SendProc,
            _ => return None,
        })
    }
}

fn status_to_numbers(status: WaitStatus) -> (u64, u64) {
    match status {
        WaitStatus::Exited(code) => (0, u64::from(code)),
        WaitStatus::Signaled(signal) => (1, signal as u64),
        WaitStatus::Stopped(signal) => (2, signal as u64),
        WaitStatus::Continued => (3, 0),
    }
}

fn status_from_numbers(kind: u64, value: u64) -> Option<WaitStatus> {
    Some(match kind {
        0 => WaitStatus::Exited(u8::try_from(value).ok()?),
        1 => WaitStatus::Signaled(i32::try_from(value).ok()?),
        2 => WaitStatus::Stopped(i32::try_from(value).ok()?),
        3 => WaitStatus::Continued,
        _ => return None,
    })
}

fn names_from(mut bytes: &[u8]) -> Option<Vec<String>> {
    let mut names = Vec::new();
    while let Some((length, rest)) = bytes.split_first() {
        let (name, rest) = rest.split_at_checked(usize::from(*length))?;
        names.push(String::from_utf8_lossy(name).into_owned());
        bytes = rest;
    }
    Some(names)
}

impl FromInit {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let one = |n: u64| vec![n];
        let (kind, numbers, names): (u8, Vec<u64>, &[String]) = match self {
            FromInit::Notes { notes } => (0, one(*notes), &[]),
            FromInit::StepFailed { job, index, errno } => {
                (1, vec![u64::from(*job), *index as u64, *errno as u64], &[])
            }
            FromInit::Failed { what, errno } => (2, vec![u64::from(*what), *errno as u64], &[]),
            FromInit::ExecFailed { errno } => (3, one(*errno as u64), &[]),
            FromInit::Proc { main } => (4, one(*main as u64), &[]),
            FromInit::Forwarded { signal, reached } => (5, vec![*signal as u64, *reached as u64], &[]),
            FromInit::Stopped { signal } => (6, one(*signal as u64), &[]),
            FromInit::MainEnded { status } => {
                let (kind, value) = status_to_numbers(*status);
                (7, vec![kind, value], &[])
            }
            FromInit::Killing => (8, vec![], &[]),
            FromInit::Done { main, totals, killed, names } => {
                let (kind, value) = status_to_numbers(*main);
                (9, [&[kind, value, *killed][..], &totals.numbers()].concat(), names)
            }
            FromInit::OrphansEnded { ended, names } => (10, one(*ended), names),
            FromInit::Namespace { kind } => (11, one(*kind as u64), &[]),
        };
        let mut out = vec![kind];
        for i in 0..NUMBERS {
            out.extend_from_slice(&numbers.get(i).copied().unwrap_or(0).to_le_bytes());
        }
        for name in names {
            let name = &name.as_bytes()[..name.len().min(63)];
            if out.len() + name.len() + 1 > MAX {
                break;
            }
            out.push(name.len() as u8);
            out.extend_from_slice(name);
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        let (numbers, tail) = rest.split_at_checked(NUMBERS * 8)?;
        let n = |i: usize| u64::from_le_bytes(numbers[i * 8..i * 8 + 8].try_into().expect("8 bytes"));
        let i = |at: usize| i32::try_from(n(at) as i64).ok();
        Some(match kind {
            0 => FromInit::Notes { notes: n(0) },
            1 => FromInit::StepFailed { job: n(0) != 0, index: usize::try_from(n(1)).ok()?, errno: i(2)? },
            2 => FromInit::Failed { what: u8::try_from(n(0)).ok()?, errno: i(1)? },
            3 => FromInit::ExecFailed { errno: i(0)? },
            4 => FromInit::Proc { main: i(0)? },
            5 => FromInit::Forwarded {
                signal: i(0)?,
                reached: match n(1) {
                    0 => Reached::No,
                    1 => Reached::FromOutside,
                    2 => Reached::FromInside,
                    _ => return None,
                },
            },
            6 => FromInit::Stopped { signal: i(0)? },
            7 => FromInit::MainEnded { status: status_from_numbers(n(0), n(1))? },
            8 => FromInit::Killing,
            9 => FromInit::Done {
                main: status_from_numbers(n(0), n(1))?,
                killed: n(2),
                totals: Totals::from_numbers(std::array::from_fn(|i| n(3 + i))),
                names: names_from(tail)?,
            },
            10 => FromInit::OrphansEnded { ended: n(0), names: names_from(tail)? },
            11 => FromInit::Namespace { kind: usize::try_from(n(0)).ok()? },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use proptest::prelude::*;

    #[test]
    fn messages_read_back() {
        for message in [ToInit::Forward(15), ToInit::Ending, ToInit::TermAll, ToInit::Kill, ToInit::SendProc]
        {
            assert_eq!(ToInit::decode(&message.encode()), Some(message));
        }
        for message in [
            FromInit::Notes { notes: 5 },
            FromInit::StepFailed { job: true, index: 3, errno: 13 },
            FromInit::Failed { what: what::FORK, errno: 11 },
            FromInit::ExecFailed { errno: 2 },
            FromInit::Proc { main: 2 },
            FromInit::Forwarded { signal: 2, reached: Reached::FromInside },
            FromInit::Stopped { signal: 20 },
            FromInit::MainEnded { status: WaitStatus::Signaled(9) },
            FromInit::Killing,
            FromInit::Namespace { kind: 4 },
            FromInit::OrphansEnded { ended: 3, names: vec!["python3".to_owned(); 3] },
            FromInit::Done {
                main: WaitStatus::Exited(1),
                totals: Totals {
                    cpu: Duration::from_micros(7),
                    faults_major: 9,
                    read: Some(1),
                    ..Totals::default()
                },
                killed: 10_000,
                names: vec!["sleep".to_owned(), String::new()],
            },
        ] {
            assert_eq!(FromInit::decode(&message.encode()), Some(message));
        }
    }

    #[test]
    fn many_names_fit_into_one_message() {
        let names = vec!["x".repeat(200); 100];
        let main = WaitStatus::Continued;
        let done = FromInit::Done { main, totals: Totals::default(), killed: 100, names };
        let bytes = done.encode();
        assert!(bytes.len() <= MAX);
        assert!(matches!(FromInit::decode(&bytes), Some(FromInit::Done { killed: 100, .. })));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (ToInit::decode(&bytes), FromInit::decode(&bytes));
        }
    }
}
