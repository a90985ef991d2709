//! What the processes of a job used, as init counted by waiting for them.

use std::ops::AddAssign;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use terrarium_sys::process::Used;

/// Totals over all processes that were waited for, by init or by their parents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// CPU time.
    pub cpu: Duration,
    /// Page faults that needed no I/O.
    pub faults_minor: u64,
    /// Page faults that waited for I/O.
    pub faults_major: u64,
    /// Times a thread waited for something.
    pub switches_voluntary: u64,
    /// Times a thread had to make room for another.
    pub switches_involuntary: u64,
    /// Bytes read by read(2) and its kin, if the kernel counts them.
    pub read: Option<u64>,
    /// Bytes written by write(2) and its kin, likewise.
    pub written: Option<u64>,
}

/// How many numbers a message holds for them.
pub(crate) const NUMBERS: usize = 7;

impl Totals {
    /// `io`: init's own /proc/PID/io, into which the kernel has added that of all that was waited for.
    pub(crate) fn new(used: Used, io: &str) -> Self {
        let bytes = |name: &str| io.lines().find_map(|l| l.strip_prefix(name)?.trim().parse().ok());
        Totals {
            cpu: used.user + used.system,
            faults_minor: used.faults_minor,
            faults_major: used.faults_major,
            switches_voluntary: used.switches_voluntary,
            switches_involuntary: used.switches_involuntary,
            read: bytes("rchar:"),
            written: bytes("wchar:"),
        }
    }

    pub(crate) fn numbers(&self) -> [u64; NUMBERS] {
        let or_none = |n: Option<u64>| n.unwrap_or(u64::MAX);
        [
            self.cpu.as_micros() as u64,
            self.faults_minor,
            self.faults_major,
            self.switches_voluntary,
            self.switches_involuntary,
            or_none(self.read),
            or_none(self.written),
        ]
    }

    pub(crate) fn from_numbers(n: [u64; NUMBERS]) -> Self {
        let or_none = |n: u64| (n != u64::MAX).then_some(n);
        Totals {
            cpu: Duration::from_micros(n[0]),
            faults_minor: n[1],
            faults_major: n[2],
            switches_voluntary: n[3],
            switches_involuntary: n[4],
            read: or_none(n[5]),
            written: or_none(n[6]),
        }
    }
}

impl AddAssign for Totals {
    /// Whoever joins a jail may send any numbers: none of them may make its holder panic.
    fn add_assign(&mut self, other: Totals) {
        let both = |a: Option<u64>, b: Option<u64>| match (a, b) {
            (Some(a), Some(b)) => Some(a.saturating_add(b)),
            (a, b) => a.or(b),
        };
        self.cpu = self.cpu.saturating_add(other.cpu);
        self.faults_minor = self.faults_minor.saturating_add(other.faults_minor);
        self.faults_major = self.faults_major.saturating_add(other.faults_major);
        self.switches_voluntary = self.switches_voluntary.saturating_add(other.switches_voluntary);
        self.switches_involuntary = self.switches_involuntary.saturating_add(other.switches_involuntary);
        self.read = both(self.read, other.read);
        self.written = both(self.written, other.written);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn io_is_none_where_the_kernel_does_not_count() {
        let text = "rchar: 12\nwchar: 7\nsyscr: 1\n";
        let with = Totals::new(Used::default(), text);
        assert_eq!((with.read, with.written), (Some(12), Some(7)));
        let without = Totals::new(Used::default(), "");
        assert_eq!((without.read, without.written), (None, None));
        for totals in [with, without] {
            assert_eq!(Totals::from_numbers(totals.numbers()), totals);
        }
        let mut sum = without;
        sum += with;
        sum += with;
        assert_eq!((sum.read, sum.written), (Some(24), Some(14)));
    }
}
