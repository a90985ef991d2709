//! XALT's JSON records: `run` at start and end, `pkg` for each package, `link`.
//!
//! Not believed: `package_version` (it is Python's), `num_cores` (it is the number of tasks), `num_nodes` outside Slurm and LSF where
//! PBS does not tell (it is 1 then). Not kept: the command line's arguments, the environment, hashes of libraries.

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};

use crate::join::{Job, Joiner, Run};
use crate::json::{Number, Text};

/// What a record was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Was {
    Package,
    Start,
    End,
    Link,
}

#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow, default)]
    xalt_run_uuid: Text<'a>,
    #[serde(borrow, default)]
    package_version: Text<'a>,
    #[serde(borrow, default)]
    package_name: Text<'a>,
    #[serde(borrow, default)]
    package_path: Text<'a>,
    #[serde(rename = "cmdlineA", borrow, default)]
    command: Vec<Text<'a>>,
    #[serde(rename = "libA", borrow, default)]
    libraries: Vec<Library<'a>>,
    #[serde(rename = "ptA", default)]
    parents: Vec<Parent>,
    #[serde(rename = "userT", borrow)]
    texts: Option<Texts<'a>>,
    #[serde(rename = "userDT")]
    numbers: Option<Numbers>,
    #[serde(rename = "resultT")]
    link: Option<IgnoredAny>,
    /// Some collectors of logs put the record into a text.
    #[serde(borrow, default)]
    message: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Texts<'a> {
    #[serde(borrow)]
    syshost: Text<'a>,
    #[serde(borrow)]
    run_uuid: Text<'a>,
    #[serde(borrow)]
    exec_path: Text<'a>,
    #[serde(borrow)]
    user: Text<'a>,
    #[serde(borrow)]
    scheduler: Text<'a>,
    #[serde(borrow)]
    account: Text<'a>,
    #[serde(borrow)]
    job_id: Text<'a>,
    #[serde(borrow)]
    queue: Text<'a>,
    /// Before version 2.8 numbers stood here.
    start_time: Number,
    end_time: Number,
    run_time: Number,
    probability: Number,
    num_tasks: Number,
    num_nodes: Number,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Numbers {
    start_time: Number,
    end_time: Number,
    run_time: Number,
    probability: Number,
    num_tasks: Number,
    num_nodes: Number,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Parent {
    pid: Number,
}

/// `["/usr/lib/libz.so", "0"]`.
struct Library<'a>(Text<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for Library<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct First;
        impl<'de> Visitor<'de> for First {
            type Value = Library<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a list of a path and a hash")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Library<'de>, A::Error> {
                let first = seq.next_element()?.unwrap_or_default();
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Library(first))
            }
        }
        deserializer.deserialize_seq(First)
    }
}

/// Takes one record.
pub(crate) fn take(bytes: &[u8], host: &str, into: &mut Joiner) -> Result<Was, String> {
    take_at(bytes, host, into, 0)
}

fn take_at(bytes: &[u8], host: &str, into: &mut Joiner, depth: u32) -> Result<Was, String> {
    // Once for all of it, which is quicker than for each text.
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
    if let Some(package) = Package::plain(text) {
        into.module(package.run, package.name, package.path, "");
        if !package.python.is_empty() {
            into.python(package.run, package.python);
        }
        return Ok(Was::Package);
    }
    let record: Record<'_> = serde_json::from_str(text).map_err(|error| format!("no JSON: {error}"))?;
    if let Some(name) = record.package_name.get() {
        let key = uuid(record.xalt_run_uuid.raw()).ok_or("a package without an `xalt_run_uuid`")?;
        into.module(key, name, record.package_path.raw(), "");
        if let Some(version) = record.package_version.get() {
            into.python(key, version);
        }
        return Ok(Was::Package);
    }
    if let Some(texts) = &record.texts {
        return run(&record, texts, host, into);
    }
    if record.link.is_some() {
        return Ok(Was::Link);
    }
    match record.message.get() {
        Some(inner) if depth == 0 && inner.starts_with('{') => {
            take_at(inner.as_bytes(), host, into, depth + 1)
        }
        _ => Err("neither a run, a package nor a link".to_owned()),
    }
}

/// A package's record, of which there are hundreds for each other one.
#[derive(Debug, PartialEq, Eq)]
struct Package<'a> {
    run: u128,
    name: &'a str,
    path: &'a str,
    python: &'a str,
}

impl<'a> Package<'a> {
    /// As XALT writes them: an object of plain texts. Anything else is for the real parser.
    fn plain(text: &'a str) -> Option<Self> {
        let bytes = text.trim_ascii_end().as_bytes();
        let bytes = bytes.strip_prefix(b"{")?.strip_suffix(b"}")?;
        if memchr::memchr(b'\\', bytes).is_some() {
            return None;
        }
        let (mut run, mut name, mut path, mut python) = (None, None, "", "");
        let mut at = 0;
        loop {
            let key = quoted(text, bytes, &mut at)?;
            if bytes.get(at) != Some(&b':') {
                return None;
            }
            at += 1;
            let value = quoted(text, bytes, &mut at)?;
            match key {
                "crc" | "program" => {}
                "xalt_run_uuid" => run = uuid(value),
                "package_version" => python = value.trim(),
                "package_name" => name = Some(value.trim()),
                "package_path" => path = value,
                _ => return None,
            }
            match bytes.get(at) {
                Some(b',') => at += 1,
                None => break,
                Some(_) => return None,
            }
        }
        Some(Package { run: run?, name: name.filter(|name| !name.is_empty())?, path, python })
    }
}

/// The text in quotes that begins here; `bytes` are those of `text` behind its first.
fn quoted<'a>(text: &'a str, bytes: &[u8], at: &mut usize) -> Option<&'a str> {
    if bytes.get(*at) != Some(&b'"') {
        return None;
    }
    let from = *at + 1;
    let until = from + memchr::memchr(b'"', &bytes[from..])?;
    *at = until + 1;
    text.get(from + 1..until + 1)
}

fn run(record: &Record<'_>, texts: &Texts<'_>, host: &str, into: &mut Joiner) -> Result<Was, String> {
    let key = uuid(texts.run_uuid.raw()).ok_or("a run without a `run_uuid`")?;
    let of =
        |get: fn(&Numbers) -> Number, old: Number| record.numbers.as_ref().and_then(|n| get(n).0).or(old.0);
    let start = of(|n| n.start_time, texts.start_time);
    let end = of(|n| n.end_time, texts.end_time).filter(|end| *end > 0.0);
    let took = of(|n| n.run_time, texts.run_time).filter(|took| *took >= 0.0);
    let started_us = start.and_then(micros).ok_or("a run without a `start_time`")?;
    let ended_us = end.and_then(micros).map(|end| match took {
        // `end_time` is rounded like `start_time`; a run does not end before it began.
        Some(took) if end < started_us => started_us.saturating_add(micros(took).unwrap_or(0)),
        _ => end.max(started_us),
    });
    let known = |text: &Text<'_>| text.get().filter(|text| *text != "unknown").map(str::to_owned);
    let system = known(&texts.scheduler).map(|name| name.to_ascii_lowercase());
    let job = known(&texts.job_id).map(|id| job(system.as_deref().unwrap_or("unknown"), &id));
    let nodes =
        of(|n| n.num_nodes, texts.num_nodes).filter(|nodes| (1.0..1e6).contains(nodes)).map(|n| n as u32);
    // Where PBS does not tell, XALT says 1.
    let is_told = matches!(system.as_deref(), Some("slurm" | "lsf"));
    let program = texts.exec_path.raw().to_owned();
    let command: Vec<&str> = record.command.iter().map(Text::raw).collect();
    let (main, script) = main_of(&command);
    let mut objects = Vec::new();
    let mut python = None;
    for library in &record.libraries {
        let Some(name) = library.0.raw().rsplit('/').next().filter(|name| !name.is_empty()) else { continue };
        if python.is_none() {
            python = name.strip_prefix("libpython").and_then(version_in);
        }
        if !is_extension(name) && objects.len() < 4096 {
            objects.push(into.name(name));
        }
    }
    let was = if ended_us.is_some() { Was::End } else { Was::Start };
    into.run(
        key,
        Run {
            cluster: texts.syshost.get().unwrap_or_default().to_owned(),
            user: known(&texts.user).unwrap_or_default(),
            host: host.to_owned(),
            started_us,
            ended_us,
            probability: of(|n| n.probability, texts.probability)
                .filter(|p| *p > 0.0 && *p <= 1.0)
                .map_or(terrarium_segment::CERTAIN, |p| {
                    (p * f64::from(terrarium_segment::CERTAIN)).round() as u32
                })
                .max(1),
            python,
            program,
            called: command.first().copied().unwrap_or_default().to_owned(),
            main: main.to_owned(),
            script: script.to_owned(),
            job,
            project: known(&texts.account),
            queue: known(&texts.queue),
            nodes: nodes.filter(|nodes| is_told || *nodes > 1),
            tasks: of(|n| n.num_tasks, texts.num_tasks).filter(|n| (1.0..1e9).contains(n)).map(|n| n as u64),
            parent: record
                .parents
                .first()
                .and_then(|p| p.pid.0)
                .filter(|p| (1.0..4.2e9).contains(p))
                .map(|p| p as u32),
            objects,
            ..Run::default()
        },
    );
    Ok(was)
}

/// The job that a record names: arrays in brackets are PBS's.
pub(crate) fn job(system: &str, id: &str) -> Job {
    let id = terrarium_segment::job_id(system, id);
    let bracket = id.strip_suffix(']').and_then(|id| id.split_once('['));
    let (array, task) = match bracket {
        Some((array, task)) if !task.is_empty() => (Some(format!("{array}[]")), Some(task.to_owned())),
        _ => (None, None),
    };
    Job { system: system.to_owned(), id, array, task, step: None }
}

/// Seconds since 1970, in microseconds.
pub(crate) fn micros(seconds: f64) -> Option<i64> {
    // Later than the year 5000 is no time.
    (0.0..1e11).contains(&seconds).then(|| (seconds * 1e6).round() as i64)
}

/// What Python was told to run, from its command line.
pub(crate) fn main_of<'a>(command: &[&'a str]) -> (&'static str, &'a str) {
    let mut words = command.iter().skip(1);
    while let Some(word) = words.next() {
        match *word {
            "-" => return ("standard-input", ""),
            "-c" => return ("command", ""),
            "-m" => return ("module", words.next().copied().unwrap_or_default()),
            "-W" | "-X" | "--check-hash-based-pycs" => drop(words.next()),
            word if word.starts_with('-') => {
                // Flags may stand together: `-uc`, `-Im`.
                let letters = word.trim_start_matches('-');
                let is_long = word.starts_with("--");
                if !is_long && let Some(at) = letters.find(['c', 'm']) {
                    if letters[at..].starts_with('c') {
                        return ("command", "");
                    }
                    let name = &letters[at + 1..];
                    return (
                        "module",
                        if name.is_empty() { words.next().copied().unwrap_or_default() } else { name },
                    );
                }
            }
            word => return ("script", word),
        }
    }
    ("standard-input", "")
}

/// `3.11` of `3.11.so.1.0`.
fn version_in(text: &str) -> Option<String> {
    let mut parts = text.split('.');
    let (major, minor) = (parts.next()?, parts.next()?);
    let minor: String = minor.chars().take_while(char::is_ascii_digit).collect();
    let is_number = !major.is_empty() && major.chars().all(|c| c.is_ascii_digit()) && !minor.is_empty();
    is_number.then(|| format!("{major}.{minor}"))
}

/// Extensions of Python are modules.
pub(crate) fn is_extension(name: &str) -> bool {
    let tag = name.strip_suffix(".so").and_then(|stem| stem.rsplit('.').next());
    tag.is_some_and(|tag| tag.starts_with("cpython-") || tag == "abi3")
}

/// A UUID in its usual form.
pub(crate) fn uuid(text: &str) -> Option<u128> {
    let bytes = text.as_bytes();
    if bytes.len() != 36 {
        return None;
    }
    let mut value = 0u128;
    for (i, byte) in bytes.iter().enumerate() {
        let digit = match (i, byte) {
            (8 | 13 | 18 | 23, b'-') => continue,
            (8 | 13 | 18 | 23, _) => return None,
            (_, b'0'..=b'9') => byte - b'0',
            (_, b'a'..=b'f') => byte - b'a' + 10,
            (_, b'A'..=b'F') => byte - b'A' + 10,
            _ => return None,
        };
        value = value << 4 | u128::from(digit);
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        /// What is read the quick way is what the real parser reads.
        #[test]
        fn the_quick_way_reads_the_same(name in ".{0,12}", path in ".{0,30}", version in "[0-9. ]{0,6}", blanks in "[ \n]{0,2}") {
            let id = "01a200be-e27b-77ac-9099-7ab68f0925c6";
            let record = serde_json::json!({
                "crc": "0x1", "program": "python", "xalt_run_uuid": id, "package_version": version, "package_name": name,
                "package_path": path
            });
            let text = record.to_string() + &blanks;
            let parsed: Record<'_> = serde_json::from_str(&text).unwrap();
            match Package::plain(&text) {
                Some(package) => {
                    proptest::prop_assert_eq!(Some(package.name), parsed.package_name.get());
                    proptest::prop_assert_eq!(package.path, parsed.package_path.raw());
                    proptest::prop_assert_eq!(package.python, parsed.package_version.get().unwrap_or_default());
                    proptest::prop_assert_eq!(Some(package.run), uuid(id));
                }
                None => proptest::prop_assert!(parsed.package_name.get().is_none() || text.contains('\\')),
            }
        }

        #[test]
        fn no_text_panics(text in "\\{?[\"a-z:,{}\\\\é]{0,40}") {
            let _ = Package::plain(&text);
            let _ = take(text.as_bytes(), "", &mut Joiner::default());
        }
    }

    #[test]
    fn command_lines() {
        for (command, expected) in [
            (&["python", "plot.py", "-m", "x"][..], ("script", "plot.py")),
            (&["python", "-u", "a.py"], ("script", "a.py")),
            (&["python", "-m", "pytest", "-q"], ("module", "pytest")),
            (&["python", "-Immpi4py", "a.py"], ("module", "mpi4py")),
            (&["python", "-W", "ignore", "-c", "print()"], ("command", "")),
            (&["python", "-uc", "print()"], ("command", "")),
            (&["python"], ("standard-input", "")),
            (&["python", "-"], ("standard-input", "")),
            (&[], ("standard-input", "")),
        ] {
            assert_eq!(main_of(command), expected, "{command:?}");
        }
    }

    #[test]
    fn arrays_of_pbs_are_told_by_their_brackets() {
        let found = job("pbs", "100005[3].pbs-01");
        assert_eq!((found.id.as_str(), found.array.as_deref()), ("100005[3]", Some("100005[]")));
        assert_eq!(found.task.as_deref(), Some("3"));
        assert_eq!(job("slurm", "4711").array, None);
    }

    #[test]
    fn uuids() {
        assert_eq!(
            uuid("01a200be-e27b-77ac-9099-7ab68f0925c6"),
            Some(0x01a200be_e27b_77ac_9099_7ab68f0925c6)
        );
        for bad in ["", "01a200be-e27b-77ac-9099-7ab68f0925c", "01a200bee-27b-77ac-9099-7ab68f0925c6", "é"] {
            assert_eq!(uuid(bad), None, "{bad}");
        }
        assert_eq!(version_in("3.11.so.1.0").as_deref(), Some("3.11"));
        assert_eq!(version_in("3.so"), None);
        assert!(is_extension("_backend.cpython-311-x86_64-linux-gnu.so") && is_extension("x.abi3.so"));
        assert!(!is_extension("libcudart.so.12") && !is_extension("libm.so"));
    }
}
