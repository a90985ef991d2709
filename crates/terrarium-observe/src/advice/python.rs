//! Why memory of a Python job does not come back: figures of the interpreter that ran, as it tells them itself.

use serde::Serialize;
use terrarium_core::Bytes;

/// What the interpreter is asked to run, with `-I -S`. The figures of its allocator go to stderr.
pub const QUESTION: &str = "import gc, sys\n\
    print(sys.implementation.name, '.'.join(map(str, sys.version_info[:3])) + getattr(sys, 'abiflags', ''))\n\
    print(*gc.get_threshold())\n\
    sys._debugmallocstats()\n";

/// Memory below this is no story.
const WORTH_TELLING: Bytes = Bytes::mib(512);

/// What an interpreter says of its memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PythonMemory {
    /// Its program.
    pub executable: String,
    /// `cpython`, `pypy`.
    pub implementation: String,
    /// Its version, with the flags of its build.
    pub version: String,
    /// Thresholds of the collector of cyclic garbage.
    pub gc_thresholds: Vec<u64>,
    /// Size of an arena of its own allocator; `None` if it uses another.
    pub arena: Option<Bytes>,
    /// Objects up to this size come from arenas.
    pub small_object: Option<Bytes>,
    /// A build without the global lock: mimalloc is its allocator.
    pub free_threaded: bool,
}

/// Reads what [`QUESTION`] prints.
pub fn parse(executable: &str, stdout: &str, stderr: &str) -> Option<PythonMemory> {
    let mut lines = stdout.lines();
    let (implementation, version) = lines.next()?.trim().split_once(' ')?;
    let gc_thresholds = lines
        .next()?
        .split_ascii_whitespace()
        .map(|n| n.parse().ok())
        .collect::<Option<Vec<u64>>>()
        .filter(|all| (1..=4).contains(&all.len()))?;
    // It goes to the terminal.
    let is_plain = |text: &str| {
        (1..=40).contains(&text.len())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "._+-".contains(c))
    };
    if !version.starts_with(|c: char| c.is_ascii_digit()) || !is_plain(implementation) || !is_plain(version) {
        return None;
    }
    Some(PythonMemory {
        executable: executable.to_owned(),
        implementation: implementation.to_owned(),
        version: version.to_owned(),
        gc_thresholds,
        // `5 arenas * 1048576 bytes/arena  =  5,242,880`
        arena: number_behind(stderr, "arenas * ").filter(|n| n.0 > 0),
        // `Small block threshold = 512, in 32 size classes.`
        small_object: number_behind(stderr, "Small block threshold = "),
        free_threaded: version.ends_with('t'),
    })
}

fn number_behind(text: &str, mark: &str) -> Option<Bytes> {
    let (_, rest) = text.split_once(mark)?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok().map(Bytes)
}

/// Whether the story helps: a peak that is large and for the most part Python's own, and was not given back as far as was
/// seen (large arrays are).
pub fn is_worth_telling(peak: Option<Bytes>, own: Option<Bytes>, gave_back: Option<bool>) -> bool {
    let Some(peak) = peak.filter(|p| *p >= WORTH_TELLING) else { return false };
    gave_back != Some(true) && own.is_none_or(|own| own.0 / 7 >= peak.0 / 10)
}

impl PythonMemory {
    /// The story, in a few sentences.
    pub fn story(&self) -> Vec<String> {
        let mut out = Vec::new();
        let name = match self.implementation.as_str() {
            "cpython" => format!("Python {}", self.version),
            other => format!("{other} {}", self.version),
        };
        match (self.free_threaded, self.arena) {
            (true, _) => out.push(format!(
                "{name} is a free-threaded build: its allocator is mimalloc, which keeps pages for a while before it gives \
                 them back."
            )),
            (false, Some(arena)) => {
                let small = self.small_object.map_or_else(String::new, |n| format!(" (up to {} bytes)", n.0));
                out.push(format!(
                    "{name} takes memory for small objects{small} in arenas of {}, and gives an arena back only when \
                     nothing in it lives: one object that stays keeps all of its arena.",
                    kib(arena)
                ));
            }
            (false, None) => {
                out.push(format!("{name} does not use arenas of its own here; the C library keeps what is freed."));
            }
        }
        match self.gc_thresholds.first() {
            Some(0) | None => out.push(
                "The collector of cyclic garbage is off: objects that point to each other stay until the end.".to_owned(),
            ),
            Some(first) => {
                let all: Vec<String> = self.gc_thresholds.iter().map(u64::to_string).collect();
                out.push(format!(
                    "Objects that point to each other are freed only when its collector runs: after {first} more were made \
                     than freed, for the young ones (gc.get_threshold() is {}).",
                    all.join(", ")
                ));
            }
        }
        out.push(
            "So a peak stays, and counts. What helps: arrays instead of lists of numbers, reading in pieces, and doing the \
             step with the peak in a process of its own, which gives everything back when it ends."
                .to_owned(),
        );
        out
    }
}

fn kib(size: Bytes) -> String {
    if size.0.is_multiple_of(Bytes::MIB) {
        format!("{} MiB", size.0 / Bytes::MIB)
    } else {
        format!("{} KiB", size.0 / 1024)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STATS: &str = "Small block threshold = 512, in 32 size classes.\n\nclass   size\n\n\
        # arenas allocated total           =                    5\n# arenas highwater mark            =      5\n\
        5 arenas * 1048576 bytes/arena     =            5,242,880\n";

    #[test]
    fn figures_are_read_and_told() {
        let old = STATS.replace("1048576", "262144");
        let facts = parse("/usr/bin/python3", "cpython 3.8.10\n700 10 10\n", &old).unwrap();
        assert_eq!(facts.arena, Some(Bytes(262_144)));
        let story = facts.story().join(" ");
        assert!(
            story.contains("256 KiB") && story.contains("700, 10, 10") && story.contains("512 bytes"),
            "{story}"
        );
        let new = parse("p", "cpython 3.13.1\n2000 10 10\n", STATS).unwrap().story().join(" ");
        assert!(new.contains("1 MiB") && new.contains("2000"), "{new}");
    }

    #[test]
    fn other_builds_are_told_differently() {
        let free = parse("p", "cpython 3.13.1t\n2000 10 10\n", "").unwrap();
        assert!(free.free_threaded && free.story()[0].contains("mimalloc"));
        let none = parse("p", "cpython 3.12.1\n0 10 10\n", "").unwrap();
        assert!(none.story()[0].contains("does not use arenas"));
        assert!(none.story()[1].contains("off"));
        assert_eq!(parse("p", "hello\nworld\n", ""), None);
        assert_eq!(parse("p", "", STATS), None);
        assert_eq!(parse("p", "cpython 3\u{1b}[2J\n700 10 10\n", STATS), None, "no control characters");
        assert_eq!(parse("p", "\u{1b}[2Jx 3.13.1\n700 10 10\n", STATS), None);
    }

    #[test]
    fn the_story_is_told_where_it_helps() {
        let gib = |n: u64| Some(Bytes::mib(n * 1024));
        assert!(is_worth_telling(gib(4), gib(4), None));
        assert!(is_worth_telling(gib(4), gib(4), Some(false)));
        assert!(!is_worth_telling(gib(4), gib(4), Some(true)), "it did come back");
        assert!(!is_worth_telling(gib(4), gib(1), Some(false)), "page cache");
        assert!(!is_worth_telling(Some(Bytes::mib(100)), Some(Bytes::mib(100)), Some(false)));
        assert!(!is_worth_telling(None, None, None));
    }

    proptest! {
        #[test]
        fn no_text_panics(out in "\\PC{0,40}\n\\PC{0,40}", err in "(arenas \\* )?\\PC{0,30}") {
            if let Some(facts) = parse("p", &out, &err) {
                let _ = facts.story();
            }
        }
    }
}
