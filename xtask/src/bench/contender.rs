//! Who takes part: terrarium, its peers, and the plain command.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::account::Account;
use super::place::Place;
use crate::Result;

/// The command by itself.
pub(super) const PLAIN: &str = "plain";

/// terrarium.
pub(super) const OURS: &str = "terrarium";

/// terrarium where no namespace can be made.
pub(super) const TRACED: &str = "terrarium, tier ptrace";

/// A way to run a command.
#[derive(Clone, Debug)]
pub(super) struct Contender {
    pub(super) name: String,
    /// What stands before the command.
    before: Vec<OsString>,
    /// Variables to set, or (`None`) to remove.
    environment: Vec<(String, Option<String>)>,
    /// Whether it knows its command already and none is to be appended.
    complete: bool,
}

/// A contender that does not take part, and why.
#[derive(Debug)]
pub(super) struct Absent {
    pub(super) name: String,
    pub(super) reason: String,
}

impl Contender {
    pub(super) fn new<S: AsRef<OsStr>>(name: &str, before: impl IntoIterator<Item = S>) -> Self {
        let before = before.into_iter().map(|part| part.as_ref().to_owned()).collect();
        Self { name: name.to_owned(), before, environment: Vec::new(), complete: false }
    }

    /// The command by itself.
    pub(super) fn plain() -> Self {
        Self::new::<&str>(PLAIN, [])
    }

    /// terrarium with more flags.
    pub(super) fn terrarium(place: &Place, flags: &[&str]) -> Self {
        let mut contender = Self::new(OURS, [place.terrarium.as_os_str()]);
        contender.before.extend(["run", "--quiet"].iter().chain(flags).chain(&["--"]).map(OsString::from));
        contender
    }

    /// bubblewrap, as near to terrarium as it comes.
    pub(super) fn bwrap() -> Self {
        let flags = [
            "--dev-bind",
            "/",
            "/",
            "--unshare-pid",
            "--unshare-ipc",
            "--proc",
            "/proc",
            "--die-with-parent",
        ];
        Self::new("bwrap", ["bwrap"].iter().chain(&flags))
    }

    /// terrarium where no user namespace can be made, so that only tracing is left; `Err` for root, who needs none.
    pub(super) fn traced(place: &Place) -> std::result::Result<Self, Absent> {
        if !Account::own().can_only_trace() {
            return Err(Absent { name: TRACED.to_owned(), reason: "root has a stronger tier".to_owned() });
        }
        let traced = Self::terrarium(place, &["--require", "ptrace"]);
        Ok(traced.named(TRACED).behind([place.program("without_userns")]))
    }

    /// Started by these words, which stand before its own.
    pub(super) fn behind<S: AsRef<OsStr>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        self.before.splice(0..0, words.into_iter().map(|word| word.as_ref().to_owned()));
        self
    }

    pub(super) fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// It has its command already.
    pub(super) fn complete(mut self) -> Self {
        self.complete = true;
        self
    }

    /// Sets a variable, or removes it.
    pub(super) fn with(mut self, name: &str, value: Option<&str>) -> Self {
        self.environment.push((name.to_owned(), value.map(str::to_owned)));
        self
    }

    /// The whole command, with nothing to read and nowhere to write.
    pub(super) fn command<S: AsRef<OsStr>>(&self, job: impl IntoIterator<Item = S>) -> Command {
        let job = job.into_iter().filter(|_| !self.complete).map(|part| part.as_ref().to_owned());
        let mut parts = self.before.iter().cloned().chain(job);
        let mut command = Command::new(parts.next().unwrap_or_default());
        command.args(parts).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        for (name, value) in &self.environment {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
    }

    /// Itself with the full path of its program, if it is installed and does what it should here.
    fn fit(mut self) -> std::result::Result<Self, Absent> {
        let absent = |reason: String| Absent { name: self.name.clone(), reason };
        if let Some(program) = self.before.first() {
            let path = find(program).ok_or_else(|| absent("not installed".to_owned()))?;
            self.before[0] = path.into();
        }
        let absent = |reason: String| Absent { name: self.name.clone(), reason };
        let output =
            self.command(["/bin/true"]).stderr(Stdio::piped()).output().map_err(|e| absent(e.to_string()))?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr);
            let reason = text.lines().last().map_or_else(|| output.status.to_string(), str::to_owned);
            return Err(absent(format!("does not work here: {reason}")));
        }
        Ok(self)
    }
}

/// Those that can take part, and those that cannot.
pub(super) fn fit(contenders: impl IntoIterator<Item = Contender>) -> Result<(Vec<Contender>, Vec<Absent>)> {
    let mut present = Vec::new();
    let mut absent = Vec::new();
    for contender in contenders {
        match contender.fit() {
            Ok(contender) => present.push(contender),
            Err(reason) if reason.name == OURS => return Err(format!("terrarium: {}", reason.reason)),
            Err(reason) => absent.push(reason),
        }
    }
    Ok((present, absent))
}

/// Where a program lies, as a shell would find it; also where an ordinary user's path does not lead.
pub(crate) fn find(program: &OsStr) -> Option<PathBuf> {
    if program.as_encoded_bytes().contains(&b'/') {
        return Some(program.into()).filter(|path: &PathBuf| path.is_file());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|directory| directory.join(Path::new(program)))
        .find(|path| path.is_file())
}
