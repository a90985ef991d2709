//! Reading environments in a process of its own, with the rights of who wrote the record that names them.
//!
//! The paths come from a record, so root must not read them as root: a directory there may lead anywhere, and a file system may
//! hang. The other process answers within a time, or is given up.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use terrarium_segment::Package;

use crate::environment::{self, Installed};

/// Directories in one question, and bytes of a path.
const MOST_DIRECTORIES: usize = 64;
const LONGEST_PATH: usize = 4096;

/// Bytes of a question, and of an answer.
const LONGEST_QUESTION: u32 = 1 << 20;
const LONGEST_ANSWER: u32 = 64 << 20;

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a process that was killed may take to die.
const DEATH: Duration = Duration::from_secs(1);

/// What a directory was when it was read: while this is the same, so is what is in it. Installing changes the directory itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    changed: (i64, i64),
    /// Of `conda-meta`, for a prefix.
    status: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let meta = fs::metadata(path).ok().filter(|meta| meta.is_dir())?;
        let (changed, status) = ((meta.mtime(), meta.mtime_nsec()), (meta.ctime(), meta.ctime_nsec()));
        Some(Stamp { device: meta.dev(), inode: meta.ino(), changed, status })
    }
}

/// A directory that is asked about.
#[derive(Debug, Serialize, Deserialize)]
struct Question {
    path: PathBuf,
    /// It is a prefix, and `conda-meta` below it is meant.
    is_prefix: bool,
    /// What is known of it already.
    known: Option<Stamp>,
}

/// What is there.
#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    /// As it was.
    Same,
    /// This.
    Read(Stamp, Installed),
    /// It is no directory, or closed to its user.
    Nothing,
}

/// Answers questions until there are no more: the other process.
pub fn serve(mut input: impl Read, mut output: impl Write) -> io::Result<()> {
    while let Some(bytes) = receive(&mut input, LONGEST_QUESTION)? {
        let questions: Vec<Question> = postcard::from_bytes(&bytes).map_err(io::Error::other)?;
        let answers: Vec<Answer> = questions.iter().take(MOST_DIRECTORIES).map(answer).collect();
        let bytes = postcard::to_stdvec(&answers).map_err(io::Error::other)?;
        send(&mut output, &bytes)?;
    }
    Ok(())
}

fn answer(question: &Question) -> Answer {
    let path = if question.is_prefix { question.path.join("conda-meta") } else { question.path.clone() };
    let Some(stamp) = Stamp::of(&path) else { return Answer::Nothing };
    if question.known.as_ref() == Some(&stamp) {
        return Answer::Same;
    }
    if question.is_prefix {
        let packages: Vec<Package> = environment::conda(&question.path);
        return Answer::Read(stamp, Installed { packages, ..Installed::default() });
    }
    environment::read(&path).map_or(Answer::Nothing, |installed| Answer::Read(stamp, installed))
}

fn send(output: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    output.write_all(&(bytes.len() as u32).to_le_bytes())?;
    output.write_all(bytes)?;
    output.flush()
}

/// `None`: there is no more.
fn receive(input: &mut impl Read, longest: u32) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match input.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let length = u32::from_le_bytes(length);
    if length > longest {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is too long"));
    }
    let mut bytes = Vec::new();
    input.take(u64::from(length)).read_to_end(&mut bytes)?;
    if bytes.len() as u32 == length { Ok(Some(bytes)) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// What was read of which directory.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Cache {
    read: HashMap<(PathBuf, bool), (Stamp, Installed)>,
    #[serde(skip)]
    is_changed: bool,
}

/// A cache is never larger, in bytes and in directories; a larger one is begun anew.
const LARGEST_CACHE: u64 = 256 << 20;
const MOST_CACHED: usize = 5_000;

impl Cache {
    /// One that was written; what is no cache is an empty one.
    pub(crate) fn open(path: &Path) -> Self {
        let mut bytes = Vec::new();
        let read = fs::File::open(path).and_then(|file| file.take(LARGEST_CACHE).read_to_end(&mut bytes));
        read.ok().and_then(|_| postcard::from_bytes(&bytes).ok()).unwrap_or_default()
    }

    /// Writes it whole, if there is something new in it. It saves time and nothing else, so no error matters.
    pub(crate) fn save(&mut self, path: &Path) {
        if !std::mem::take(&mut self.is_changed) {
            return;
        }
        let new = path.with_extension("new");
        if let Ok(bytes) = postcard::to_stdvec(self)
            && fs::write(&new, bytes).is_ok()
        {
            let _ = fs::rename(&new, path);
        }
    }

    pub(crate) fn installed(&self, path: &Path, is_prefix: bool) -> Option<&Installed> {
        self.read.get(&(path.to_owned(), is_prefix)).map(|(_, installed)| installed)
    }
}

/// As whom to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rights {
    pub(crate) user: u32,
    pub(crate) group: u32,
}

/// Asks, and remembers.
#[derive(Debug)]
pub(crate) struct Asker {
    program: PathBuf,
    words: Vec<String>,
    pub(crate) cache: Cache,
    running: Option<(Rights, Process)>,
    /// What did not answer is not asked again in this look.
    silent: Vec<Rights>,
}

#[derive(Debug)]
struct Process {
    child: Child,
    channel: UnixStream,
}

impl Asker {
    pub(crate) fn new(program: PathBuf, words: &[&str], cache: Cache) -> Self {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        Asker { program, words, cache, running: None, silent: Vec::new() }
    }

    /// Makes sure that the cache has what is in these directories, as far as it is to be had; whether all answered.
    pub(crate) fn look(&mut self, directories: &[(PathBuf, bool)], rights: Rights) -> bool {
        let fits = |path: &Path| path.is_absolute() && path.as_os_str().len() <= LONGEST_PATH;
        let questions: Vec<Question> = directories
            .iter()
            .filter(|(path, _)| fits(path))
            .take(MOST_DIRECTORIES)
            .map(|key| Question {
                path: key.0.clone(),
                is_prefix: key.1,
                known: self.cache.read.get(key).map(|(stamp, _)| stamp.clone()),
            })
            .collect();
        if questions.is_empty() {
            return true;
        }
        if self.silent.contains(&rights) {
            return false;
        }
        let answers = self.ask(&questions, rights);
        let Some(answers) = answers.filter(|answers| answers.len() == questions.len()) else {
            self.end();
            self.silent.push(rights);
            return false;
        };
        for (question, answer) in questions.into_iter().zip(answers) {
            let key = (question.path, question.is_prefix);
            match answer {
                Answer::Same => {}
                Answer::Read(stamp, installed) => {
                    if self.cache.read.len() >= MOST_CACHED {
                        self.cache.read.clear();
                    }
                    self.cache.read.insert(key, (stamp, installed));
                    self.cache.is_changed = true;
                }
                Answer::Nothing => {
                    self.cache.is_changed |= self.cache.read.remove(&key).is_some();
                }
            }
        }
        true
    }

    fn ask(&mut self, questions: &[Question], rights: Rights) -> Option<Vec<Answer>> {
        if self.running.as_ref().is_none_or(|(of, _)| *of != rights) {
            self.end();
            self.running = Some((rights, self.start(rights).ok()?));
        }
        let (_, process) = self.running.as_mut()?;
        let bytes = postcard::to_stdvec(questions).ok()?;
        send(&mut process.channel, &bytes).ok()?;
        let mut channel = Patient { channel: &process.channel, until: Instant::now() + PATIENCE };
        let bytes = receive(&mut channel, LONGEST_ANSWER).ok()??;
        postcard::from_bytes(&bytes).ok()
    }

    fn start(&self, rights: Rights) -> io::Result<Process> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_write_timeout(Some(PATIENCE))?;
        let mut command = Command::new(&self.program);
        command
            .args(&self.words)
            .env_clear()
            .current_dir("/")
            .stdin(OwnedFd::from(theirs.try_clone()?))
            .stdout(OwnedFd::from(theirs))
            .stderr(Stdio::null())
            .process_group(0);
        // Root gives its rights away; with the user they also lose root's other groups.
        if terrarium_sys::process::user() == 0 && rights.user != 0 {
            command.uid(rights.user).gid(rights.group);
        }
        let child = command.spawn()?;
        Ok(Process { child, channel: ours })
    }

    /// Ends the other process. One that hangs in the kernel is left to it: it holds nothing of ours.
    pub(crate) fn end(&mut self) {
        let Some((_, Process { mut child, channel })) = self.running.take() else { return };
        drop(channel);
        let until = Instant::now() + DEATH;
        let _ = child.kill();
        while matches!(child.try_wait(), Ok(None)) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        self.end();
    }
}

/// Reads until a moment, and not longer.
struct Patient<'a> {
    channel: &'a UnixStream,
    until: Instant,
}

impl Read for Patient<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.channel.set_read_timeout(Some(left))?;
        self.channel.read(into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_same_is_not_read_again() {
        let base = tempfile::tempdir().unwrap();
        let info = base.path().join("PyYAML-6.0.1.dist-info");
        fs::create_dir(&info).unwrap();
        fs::write(info.join("top_level.txt"), "yaml\n").unwrap();
        let question = |known| Question { path: base.path().to_owned(), is_prefix: false, known };
        let Answer::Read(stamp, installed) = answer(&question(None)) else { panic!() };
        assert_eq!(installed.packages[0].imports, ["yaml"]);
        assert!(matches!(answer(&question(Some(stamp.clone()))), Answer::Same));
        std::thread::sleep(Duration::from_millis(20));
        fs::create_dir(base.path().join("six-1.0.dist-info")).unwrap();
        assert!(matches!(answer(&question(Some(stamp))), Answer::Read(_, more) if more.packages.len() == 2));
        let gone = Question { path: base.path().join("no"), is_prefix: false, known: None };
        assert!(matches!(answer(&gone), Answer::Nothing));
    }

    #[test]
    fn questions_and_answers_pass_a_pipe() {
        let base = tempfile::tempdir().unwrap();
        let questions = [Question { path: base.path().to_owned(), is_prefix: false, known: None }];
        let mut input = Vec::new();
        send(&mut input, &postcard::to_stdvec(&questions[..]).unwrap()).unwrap();
        let mut output = Vec::new();
        serve(input.as_slice(), &mut output).unwrap();
        let bytes = receive(&mut output.as_slice(), LONGEST_ANSWER).unwrap().unwrap();
        let answers: Vec<Answer> = postcard::from_bytes(&bytes).unwrap();
        assert!(matches!(&answers[..], [Answer::Read(_, installed)] if installed.packages.is_empty()));
        // Longer than it may be, cut, and nothing.
        assert!(receive(&mut [255u8; 8].as_slice(), 10).is_err());
        assert!(receive(&mut [2u8, 0, 0, 0, 1].as_slice(), 10).is_err());
        assert!(receive(&mut [0u8; 0].as_slice(), 10).unwrap().is_none());
    }

    #[test]
    fn who_does_not_answer_is_given_up_and_leaves_nothing() {
        for words in
            [&["-c", "exit 3"][..], &["-c", "echo garbage"], &["-c", "head -c 4 /dev/zero; exec cat"]]
        {
            let mut asker = Asker::new("/bin/sh".into(), words, Cache::default());
            let rights = Rights { user: terrarium_sys::process::user(), group: 0 };
            assert!(!asker.look(&[("/usr".into(), false)], rights), "{words:?}");
            assert!(asker.running.is_none() && asker.cache.read.is_empty());
            assert!(!asker.look(&[("/usr".into(), false)], rights));
        }
    }

    #[test]
    fn a_cache_that_is_none_is_empty() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("cache");
        fs::write(&path, [255; 100]).unwrap();
        let mut cache = Cache::open(&path);
        assert!(cache.read.is_empty());
        let stamp = Stamp::of(base.path()).unwrap();
        cache.read.insert((base.path().to_owned(), false), (stamp, Installed::default()));
        cache.is_changed = true;
        cache.save(&path);
        assert!(Cache::open(&path).installed(base.path(), false).is_some());
    }
}
