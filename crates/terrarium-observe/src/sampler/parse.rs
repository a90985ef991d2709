//! Text of /proc and of cgroups, taken apart. A job chooses its processes' names: nothing here believes its input.

/// What /proc/PID/stat tells, as far as it is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stat {
    /// State letter.
    pub state: u8,
    /// Parent.
    pub parent: u32,
    /// Page faults without I/O, those of waited-for children included.
    pub faults_minor: u64,
    /// Page faults with I/O, likewise.
    pub faults_major: u64,
    /// CPU time of the process and of waited-for children, in ticks.
    pub ticks: u64,
    /// Threads.
    pub threads: u64,
    /// When it started, in ticks since boot: with the PID, this names a process.
    pub start: u64,
    /// The CPU that its first thread ran on last.
    pub cpu: u64,
}

impl Stat {
    /// Only its status is left. A process whose first thread has ended looks the same but for the others.
    pub fn is_dead(&self) -> bool {
        matches!(self.state, b'Z' | b'X') && self.threads <= 1
    }
}

/// What /proc/PID/status tells, as far as it is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Resident anonymous memory, bytes.
    pub anonymous: u64,
    /// Resident shared memory (tmpfs, System V, shared anonymous), bytes.
    pub shared: u64,
    /// Most that was ever resident since it executed its program, bytes.
    pub high_water: u64,
    /// Context switches of its first thread because it waited.
    pub voluntary: u64,
    /// Context switches of its first thread because another had its turn.
    pub involuntary: u64,
}

/// The number at the beginning, after blanks; `None` if there is none or it is too large.
fn leading_number(text: &[u8]) -> Option<u64> {
    let start = text.iter().position(|b| !matches!(b, b' ' | b'\t'))?;
    let mut number: Option<u64> = None;
    for byte in &text[start..] {
        if !byte.is_ascii_digit() {
            break;
        }
        number = Some(number.unwrap_or(0).checked_mul(10)?.checked_add(u64::from(byte - b'0'))?);
    }
    number
}

/// Reads /proc/PID/stat, of a process or a thread.
pub fn stat(text: &[u8]) -> Option<Stat> {
    // The name, in parentheses, may hold anything; what follows the last one is the kernel's.
    let close = text.iter().rposition(|b| *b == b')')?;
    let mut stat = Stat { state: *text.get(close + 2)?, ..Stat::default() };
    let mut index = 0;
    for field in text.get(close + 4..)?.split(|b| *b == b' ').take(36) {
        let number = || leading_number(field);
        match index {
            0 => stat.parent = u32::try_from(number()?).ok()?,
            6 | 7 => stat.faults_minor = stat.faults_minor.saturating_add(number()?),
            8 | 9 => stat.faults_major = stat.faults_major.saturating_add(number()?),
            // cutime and cstime may be written as negative numbers by kernels of old.
            10..=13 => stat.ticks = stat.ticks.saturating_add(number().unwrap_or(0)),
            16 => stat.threads = number()?,
            18 => stat.start = number()?,
            35 => stat.cpu = number()?,
            _ => {}
        }
        index += 1;
    }
    (index == 36).then_some(stat)
}

/// The state letter in /proc/PID/task/TID/stat.
pub fn state(text: &[u8]) -> Option<u8> {
    let close = text.iter().rposition(|b| *b == b')')?;
    text.get(close + 2).copied()
}

/// What /proc/PID/schedstat tells: all that changes when a thread runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunTime {
    /// ns on a CPU.
    pub ran: u64,
    /// Times on a CPU.
    pub slices: u64,
}

/// Reads /proc/PID/schedstat; `None` if the kernel does not count.
pub fn run_time(text: &[u8]) -> Option<RunTime> {
    let mut words = text.split(|b| *b == b' ');
    let ran = leading_number(words.next()?)?;
    let slices = leading_number(words.nth(1)?)?;
    (ran != 0 && slices != 0).then_some(RunTime { ran, slices })
}

/// Reads /proc/PID/status; `None` for a process that has ended (it has no memory lines).
pub fn status(text: &[u8]) -> Option<Status> {
    let mut status = Status::default();
    let mut has_memory = false;
    for line in text.split(|b| *b == b'\n') {
        // The kernel writes a line end in a name as `\n`: no name begins a line.
        let Some(colon) = line.iter().take(28).position(|b| *b == b':') else { continue };
        let number = || leading_number(&line[colon + 1..]).unwrap_or(0);
        let bytes = || number().saturating_mul(1024);
        match &line[..colon] {
            b"VmHWM" => status.high_water = bytes(),
            b"RssAnon" => {
                status.anonymous = bytes();
                has_memory = true;
            }
            b"RssShmem" => status.shared = bytes(),
            b"voluntary_ctxt_switches" => status.voluntary = number(),
            b"nonvoluntary_ctxt_switches" => status.involuntary = number(),
            _ => {}
        }
    }
    has_memory.then_some(status)
}

/// Bytes read and written, of /proc/PID/io.
pub fn io(text: &[u8]) -> Option<(u64, u64)> {
    Some((key(text, b"rchar:")?, key(text, b"wchar:")?))
}

/// The number after `name` at the beginning of a line.
pub fn key(text: &[u8], name: &[u8]) -> Option<u64> {
    text.split(|b| *b == b'\n').find_map(|line| {
        let rest = line.strip_prefix(name)?;
        rest.starts_with(b" ").then(|| leading_number(rest))?
    })
}

/// A file that holds one number; `None` for `max`.
pub fn number(text: &[u8]) -> Option<u64> {
    leading_number(text)
}

/// Time in which some thread waited, of a pressure file, in µs.
pub fn pressure(text: &[u8]) -> Option<u64> {
    let line = text.split(|b| *b == b'\n').find(|line| line.starts_with(b"some "))?;
    let total = line.split(|b| *b == b' ').find_map(|word| word.strip_prefix(b"total="))?;
    leading_number(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STAT: &str = "7 (a) R 1 1) b) S 3 7 7 0 -1 4194304 100 20 3 4 50 6 70 8 20 0 5 0 4242 1000 200 \
                        18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 9 0 0 0 0 0\n";

    #[test]
    fn a_process_cannot_lie_by_its_name() {
        let found = stat(STAT.as_bytes()).unwrap();
        assert_eq!((found.state, found.parent, found.threads, found.start), (b'S', 3, 5, 4242));
        assert_eq!((found.faults_minor, found.faults_major, found.ticks, found.cpu), (120, 7, 134, 9));
        assert_eq!(state(STAT.as_bytes()), Some(b'S'));
        assert_eq!(stat(&STAT.as_bytes()[..60]), None, "cut off");
        let text = b"Name:\tx\\nRssAnon:\\t9 kB\nVmHWM:\t  90 kB\nRssAnon:\t  12 kB\nRssFile:\t 7 kB\nRssShmem:\t 3 kB\n\
                     voluntary_ctxt_switches:\t5\nnonvoluntary_ctxt_switches:\t6\n";
        let found = status(text).unwrap();
        assert_eq!((found.anonymous, found.shared, found.high_water), (12 << 10, 3 << 10, 90 << 10));
        assert_eq!((found.voluntary, found.involuntary), (5, 6));
    }

    #[test]
    fn the_dead_have_no_memory() {
        assert_eq!(status(b"Name:\tx\nState:\tZ (zombie)\nThreads:\t1\n"), None);
        let dead = Stat { state: b'Z', threads: 1, ..Stat::default() };
        assert!(dead.is_dead() && !Stat { threads: 2, ..dead }.is_dead());
    }

    #[test]
    fn files_of_the_kernel() {
        assert_eq!(io(b"rchar: 12\nwchar: 3\nsyscr: 1\n"), Some((12, 3)));
        assert_eq!(io(b"rchar: 12\n"), None);
        assert_eq!(run_time(b"1500 20 3\n"), Some(RunTime { ran: 1500, slices: 3 }));
        assert_eq!(run_time(b"0 0 0\n"), None, "a kernel that does not count");
        assert_eq!(key(b"anon 5\nanon_thp 7\n", b"anon_thp"), Some(7));
        assert_eq!(key(b"anon_thp 7\n", b"anon"), None);
        assert_eq!(number(b"max\n"), None);
        assert_eq!(number(b"99999999999999999999999\n"), None);
        let text = b"some avg10=0.00 avg60=0.00 avg300=0.00 total=77\nfull avg10=0.00 total=9\n";
        assert_eq!(pressure(text), Some(77));
        assert_eq!(pressure(b"full total=9\n"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), at in 0usize..200) {
            let mut changed = STAT.as_bytes().to_vec();
            changed.truncate(at);
            changed.extend_from_slice(&bytes);
            for text in [&bytes[..], &changed[..]] {
                let _ = (stat(text), state(text), status(text), io(text), number(text), pressure(text), run_time(text));
            }
        }

        #[test]
        fn any_name_leaves_the_numbers_alone(name in proptest::collection::vec(any::<u8>(), 0..15)) {
            let mut text = b"7 (".to_vec();
            text.extend_from_slice(&name);
            text.extend_from_slice(&STAT.as_bytes()[STAT.rfind(')').unwrap()..]);
            prop_assert_eq!(stat(&text), stat(STAT.as_bytes()));
        }
    }
}
