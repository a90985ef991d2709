//! The name of a run, which is also the proof whether its supervisor still lives.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Names one run on one node: supervisor's PID, its start time (clock ticks since boot)
/// and the PID namespace in which that PID counts.
///
/// A PID alone may be reused and means nothing in another namespace; all three together
/// name one process, so whoever finds the name can tell whether the supervisor lives
/// without any state file that a crash could leave behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId {
    /// The supervisor's PID in its own PID namespace.
    pub pid: u32,
    /// Field 22 of its `/proc/PID/stat`.
    pub start_ticks: u64,
    /// Inode of its PID namespace.
    pub pid_namespace: u64,
}

/// The text is no job name.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("`{0}` is not a terrarium job; it looks like 4711-183402-4026531836 (see `terrarium reap`)")]
pub struct BadJobId(String);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.pid, self.start_ticks, self.pid_namespace)
    }
}

impl FromStr for JobId {
    type Err = BadJobId;

    fn from_str(s: &str) -> Result<Self, BadJobId> {
        let bad = || BadJobId(s.to_owned());
        let mut parts = s.split('-');
        let mut next = || -> Option<u64> {
            let part = parts.next()?;
            (!part.is_empty() && part.bytes().all(|b| b.is_ascii_digit())).then(|| part.parse().ok())?
        };
        let pid = next().and_then(|n| u32::try_from(n).ok()).ok_or_else(bad)?;
        let start_ticks = next().ok_or_else(bad)?;
        let pid_namespace = next().ok_or_else(bad)?;
        if parts.next().is_some() {
            return Err(bad());
        }
        Ok(JobId { pid, start_ticks, pid_namespace })
    }
}

impl Serialize for JobId {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for JobId {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_and_refuses_the_rest() {
        let id = JobId { pid: 4711, start_ticks: 183_402, pid_namespace: 4_026_531_836 };
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in ["", "1-2", "1-2-3-4", "a-2-3", "-1-2-3", "1--3", "99999999999-1-1", "1-+2-3"] {
            assert!(bad.parse::<JobId>().is_err(), "{bad}");
        }
    }
}
