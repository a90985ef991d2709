//! The history: what earlier runs used, one line of JSON a run, in a file for each node.
//!
//! A line is appended in one write, so that runs that end at once do not disturb each other; nodes that share a home have
//! files of their own, because network file systems do not promise that. A line that a full disk cut is passed over.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use terrarium_core::report::{RunReport, SCHEMA};

/// A node's file is cut to its newer half when it grows beyond this: some 4,000 runs.
const LARGEST: u64 = 4 << 20;

/// What a foreign hand may have made of it is not read beyond this.
const LARGEST_READ: u64 = 64 << 20;

/// Of a command, so much is kept: what tells it from others stands in front.
const COMMAND: usize = 8 << 10;

/// Series that are kept, and bytes of them.
const SERIES: usize = 200;
const SERIES_BYTES: u64 = 64 << 20;

const ENDING: &str = ".jsonl";

/// Of a line that cannot be read, so many characters are told.
const LONGEST_PROBLEM: usize = 400;

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its report.
    pub report: RunReport,
    /// Its series below the history's directory, if one was kept.
    #[serde(default)]
    pub series: Option<PathBuf>,
}

/// What a directory holds, oldest first.
#[derive(Debug, Default)]
pub struct History {
    /// The runs.
    pub entries: Vec<Entry>,
    /// What could not be read: file, line and reason, for people.
    pub problems: Vec<String>,
}

/// Reads all of a history; a directory that is not there is an empty one.
pub fn read(directory: &Path) -> io::Result<History> {
    let mut history = History::default();
    let files = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(history),
        files => files?,
    };
    let mut paths: Vec<PathBuf> = files.flatten().map(|f| f.path()).collect();
    paths.retain(|path| path.to_string_lossy().ends_with(ENDING));
    paths.sort();
    for path in paths {
        let file = match open_plain(OpenOptions::new().read(true), &path) {
            Ok(file) => file,
            Err(error) => {
                history.problem(format!("{}: {error}", path.display()));
                continue;
            }
        };
        read_lines(BufReader::new(file.take(LARGEST_READ)), &path, &mut history);
    }
    history.entries.sort_by(|a, b| a.report.started.total_cmp(&b.report.started));
    Ok(history)
}

fn read_lines(mut file: impl BufRead, path: &Path, history: &mut History) {
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        match file.read_until(b'\n', &mut line) {
            Ok(0) => return,
            Ok(_) if line.trim_ascii().is_empty() => {}
            Ok(_) => match entry_of(&line) {
                Ok(entry) => history.entries.push(entry),
                Err(error) => history.problem(format!("{} line {number}: {error}", path.display())),
            },
            Err(error) => {
                history.problem(format!("{} line {number}: {error}", path.display()));
                return;
            }
        }
    }
}

/// Opens what must be a plain file: a link that somebody else put there is not followed, and nobody waits for a pipe.
fn open_plain(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    plain_file(options.custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK).open(path)?)
}

fn plain_file(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is no plain file")) }
}

fn entry_of(line: &[u8]) -> Result<Entry, String> {
    let read = serde_json::from_slice::<Entry>(line);
    // What another version means by a field is not known, nor has it to have all of ours.
    let schema = match &read {
        Ok(entry) => Some(entry.report.schema.clone()),
        Err(_) => serde_json::from_slice::<Versioned>(line).ok().map(|v| v.report.schema),
    };
    match schema {
        Some(other) if other != SCHEMA => Err(format!("it is of the schema {other}, not {SCHEMA}")),
        _ => read.map_err(|e| e.to_string()),
    }
}

/// As much of an entry as all versions have.
#[derive(Deserialize)]
struct Versioned {
    report: Version,
}

#[derive(Deserialize)]
struct Version {
    schema: String,
}

impl History {
    /// Error texts quote what stands in the file: no control character of it reaches a terminal.
    fn problem(&mut self, text: String) {
        let plain = text.chars().take(LONGEST_PROBLEM).map(|c| if c.is_control() { '?' } else { c });
        self.problems.push(plain.collect());
    }
}

/// Opens the series of an entry, which may name anything.
pub fn open_series(path: &Path) -> io::Result<File> {
    plain_file(OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path)?)
}

/// Makes the directory, for its owner alone.
pub fn make(directory: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

/// Adds a run.
pub fn append(directory: &Path, entry: &Entry) -> io::Result<()> {
    make(directory)?;
    let mut entry = entry.clone();
    shorten(&mut entry.report.command);
    let mut line = serde_json::to_vec(&entry)?;
    line.push(b'\n');
    let name = plain(&entry.report.host) + ENDING;
    let path = directory.join(name);
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(0o600);
    let (mut file, locked) = loop {
        let file = open_plain(&mut options, &path)?;
        // Only against being cut to its half meanwhile; a lock that is not to be had is no reason to lose the line.
        let locked = lock(&file);
        // Whoever had the lock before may have put another file in its place.
        if !locked || is_at(&file, &path) {
            break (file, locked);
        }
    };
    let length = file.seek(SeekFrom::End(0))?;
    let mut last = [b'\n'];
    if length > 0 && file.read_exact_at(&mut last, length - 1).is_ok() && last != [b'\n'] {
        // A full disk has cut the line before.
        line.insert(0, b'\n');
    }
    file.write_all(&line)?;
    if locked && length > LARGEST {
        halve(&path, &mut file)?;
    }
    Ok(())
}

fn lock(file: &File) -> bool {
    // For those before us, of whom there may be hundreds; one that was stopped is not waited for.
    for _ in 0..200 {
        match file.try_lock() {
            Ok(()) => return true,
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(10)),
            // The file system has no locks.
            Err(TryLockError::Error(_)) => return false,
        }
    }
    false
}

fn is_at(file: &File, path: &Path) -> bool {
    let id = |m: fs::Metadata| (m.dev(), m.ino());
    match (file.metadata().map(id), fs::symlink_metadata(path).map(id)) {
        (Ok(ours), Ok(there)) => ours == there,
        // What cannot be told is taken for the same, so that this ends.
        (_, Err(error)) => error.kind() != io::ErrorKind::NotFound,
        (Err(_), _) => true,
    }
}

/// Keeps the newer half of the lines.
fn halve(path: &Path, file: &mut File) -> io::Result<()> {
    file.seek(SeekFrom::Start(0))?;
    let mut text = Vec::new();
    file.take(LARGEST_READ).read_to_end(&mut text)?;
    let middle = text.len() / 2;
    let cut = text[middle..].iter().position(|b| *b == b'\n').map_or(text.len(), |at| middle + at + 1);
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let mut options = OpenOptions::new();
    let mut new = options.write(true).create_new(true).mode(0o600).open(&temporary)?;
    let written = new.write_all(&text[cut..]).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn shorten(command: &mut Vec<String>) {
    let mut room = COMMAND;
    let kept = command.iter().take_while(|word| {
        let fits = word.len() < room;
        room = room.saturating_sub(word.len() + 1);
        fits
    });
    let kept = kept.count();
    if kept < command.len() {
        command.truncate(kept);
        command.push("…".to_owned());
    }
}

fn plain(host: &str) -> String {
    let name: String = host.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')).collect();
    if name.is_empty() { "node".to_owned() } else { name }
}

/// Where the series of a run goes, below the history's directory. Its name sorts by time.
pub fn series_of(host: &str, started: f64, job: &str) -> PathBuf {
    Path::new("series").join(format!("{:.0}-{}-{job}.arrow", started.max(0.0), plain(host)))
}

/// The series of a run, if one was kept, below the history's directory.
pub fn find_series(directory: &Path, job: &str) -> Option<PathBuf> {
    let ending = format!("-{job}.arrow");
    let files = fs::read_dir(directory.join("series")).ok()?.flatten();
    let mut names = files.map(|f| f.file_name());
    let name = names.find(|name| name.to_str().is_some_and(|name| name.ends_with(&ending)))?;
    Some(Path::new("series").join(name))
}

/// Whether a file below `series` has a name that [`series_of`] gives: what the user put there is not ours to remove.
fn is_series(name: &str) -> bool {
    let parts: Option<Vec<&str>> = name.strip_suffix(".arrow").map(|name| name.split('-').collect());
    let is_number = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    // Time, host, which may have hyphens of its own, and the three numbers of a job.
    parts.is_some_and(|parts| {
        parts.len() >= 5 && is_number(&parts[0]) && parts[parts.len() - 3..].iter().all(is_number)
    })
}

/// Removes the oldest series beyond what is kept.
pub fn trim_series(directory: &Path) -> io::Result<()> {
    let mut files: Vec<(PathBuf, u64)> = fs::read_dir(directory.join("series"))?
        .flatten()
        .filter(|f| f.file_name().to_str().is_some_and(is_series))
        .filter_map(|f| Some((f.path(), f.metadata().ok()?.len())))
        .collect();
    // The newest first.
    files.sort_by(|a, b| b.0.cmp(&a.0));
    let mut bytes = 0;
    for (i, (path, size)) in files.into_iter().enumerate() {
        bytes += size;
        if i >= SERIES || bytes > SERIES_BYTES {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(started: f64, host: &str) -> Entry {
        let report = serde_json::from_value(serde_json::json!({
            "schema": "terrarium.run/1", "terrarium": "0.1.0", "job": "12-34-56", "command": ["python3", "x.py"],
            "directory": "/", "host": host, "uid": 1, "started": started, "wall_seconds": 2.0,
            "end": {"kind": "exited", "code": 0}, "exit_status": 0, "tier": "userns", "limits": {},
            "usage": {"memory_saturated": false}, "left_behind": {"processes": 0, "names": [], "shared": []},
            "survivors": [], "findings": []
        }));
        Entry { report: report.unwrap(), series: None }
    }

    #[test]
    fn runs_of_several_nodes_in_order_of_time() {
        let dir = tempfile::tempdir().unwrap();
        let directory = dir.path().join("a/b");
        assert_eq!(read(&directory).unwrap().entries, []);
        for (started, host) in [(3.0, "n1"), (1.0, "n2"), (2.0, "../n1")] {
            append(&directory, &entry(started, host)).unwrap();
        }
        let history = read(&directory).unwrap();
        let seen: Vec<_> = history.entries.iter().map(|e| e.report.started).collect();
        assert_eq!((seen, history.problems.len()), (vec![1.0, 2.0, 3.0], 0));
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 2, "names of nodes are made plain");
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(directory.join("n1.jsonl")).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_line_that_was_cut_costs_only_itself() {
        let dir = tempfile::tempdir().unwrap();
        append(dir.path(), &entry(1.0, "n")).unwrap();
        append(dir.path(), &entry(2.0, "n")).unwrap();
        let path = dir.path().join("n.jsonl");
        let text = fs::read(&path).unwrap();
        fs::write(&path, &text[..text.len() - 30]).unwrap();
        append(dir.path(), &entry(3.0, "n")).unwrap();
        let history = read(dir.path()).unwrap();
        let seen: Vec<_> = history.entries.iter().map(|e| e.report.started).collect();
        assert_eq!(seen, [1.0, 3.0]);
        assert!(history.problems[0].contains("n.jsonl line 2:"), "{:?}", history.problems);
    }

    #[test]
    fn a_long_history_loses_its_older_half() {
        let dir = tempfile::tempdir().unwrap();
        let mut long = entry(0.0, "n");
        long.report.directory = "d".repeat(100_000);
        for i in 0..60 {
            long.report.started = f64::from(i);
            append(dir.path(), &long).unwrap();
        }
        let history = read(dir.path()).unwrap();
        assert!((20..50).contains(&history.entries.len()), "{}", history.entries.len());
        assert_eq!(history.entries.last().unwrap().report.started, 59.0);
        assert!(history.problems.is_empty());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn long_commands_are_shortened() {
        let mut command = vec!["python3".to_owned(), "x".repeat(5000), "y".repeat(5000), "z".to_owned()];
        shorten(&mut command);
        assert_eq!((command.len(), command[2].as_str()), (3, "…"));
        let mut short = vec!["a".to_owned(), "b".to_owned()];
        shorten(&mut short);
        assert_eq!(short, ["a", "b"]);
    }

    #[test]
    fn the_oldest_series_go() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("series")).unwrap();
        for i in 0..SERIES + 3 {
            let path = series_of("n1", 1_770_000_000.0 + i as f64, "1-2-3");
            fs::write(dir.path().join(path), "x").unwrap();
            fs::write(dir.path().join(format!("series/1-of-mine-{i}.arrow")), "x").unwrap();
        }
        trim_series(dir.path()).unwrap();
        let left = fs::read_dir(dir.path().join("series")).unwrap().count();
        assert_eq!(left, SERIES + (SERIES + 3), "what has another name stays");
        assert!(!dir.path().join(series_of("n1", 1_770_000_002.0, "1-2-3")).exists());
        assert!(dir.path().join(series_of("n1", 1_770_000_003.0, "1-2-3")).exists());
    }

    #[test]
    fn other_schemas_are_left_out_and_nothing_reaches_the_terminal() {
        let dir = tempfile::tempdir().unwrap();
        let good = serde_json::to_string(&entry(1.0, "n")).unwrap();
        let other = good.replace("terrarium.run/1", "terrarium.run/2");
        let hostile = good.replace("\"userns\"", "\"\\u001b]0;x\\u0007\"");
        fs::write(dir.path().join("n.jsonl"), format!("{other}\n{hostile}\n{good}\n")).unwrap();
        let history = read(dir.path()).unwrap();
        assert_eq!((history.entries.len(), history.problems.len()), (1, 2));
        assert!(history.problems[0].contains("terrarium.run/2"), "{:?}", history.problems);
        assert!(!history.problems.iter().any(|p| p.contains(char::is_control)), "{:?}", history.problems);
    }

    #[test]
    fn pipes_are_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("n.jsonl");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        assert_eq!(read(dir.path()).unwrap().problems.len(), 1);
        assert!(open_series(&pipe).is_err());
    }

    #[test]
    fn no_link_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        fs::write(&victim, "mine").unwrap();
        std::os::unix::fs::symlink(&victim, dir.path().join("n.jsonl")).unwrap();
        assert!(append(dir.path(), &entry(1.0, "n")).is_err());
        assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
        assert_eq!(read(dir.path()).unwrap().problems.len(), 1);
    }

    #[test]
    fn a_pipe_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        nix::unistd::mkfifo(&dir.path().join("n.jsonl"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(append(dir.path(), &entry(1.0, "n")).is_err());
        let problems = read(dir.path()).unwrap().problems;
        assert!(problems[0].contains("no plain file"), "{problems:?}");
    }

    #[test]
    fn no_line_is_lost_while_the_file_is_cut() {
        let dir = tempfile::tempdir().unwrap();
        append(dir.path(), &entry(1.0, "n")).unwrap();
        let path = dir.path().join("n.jsonl");
        // The one that cuts it has the lock; the other has the old file open by then.
        let held = File::open(&path).unwrap();
        held.lock().unwrap();
        std::thread::scope(|scope| {
            let adds = scope.spawn(|| append(dir.path(), &entry(9.0, "n")));
            let is_it = |f: &fs::DirEntry| fs::read_link(f.path()).is_ok_and(|to| to == path);
            while fs::read_dir("/proc/self/fd").unwrap().flatten().filter(is_it).count() < 2 {
                std::thread::yield_now();
            }
            let other = dir.path().join("other");
            fs::write(&other, "").unwrap();
            fs::rename(&other, &path).unwrap();
            drop(held);
            adds.join().unwrap().unwrap();
        });
        assert_eq!(read(dir.path()).unwrap().entries.len(), 1);
    }
}
