//! As whom benchmarks and comparisons run: an ordinary user, for that is who uses terrarium.

use std::fmt;
use std::process::{Command, Stdio};

use nix::unistd::{Gid, Uid, User};

use super::BenchArgs;
use super::report::Report;
use crate::Result;

/// Made by scripts/setup.
const TEST_USER: &str = "terrarium-test";

/// Where there is no [`TEST_USER`].
const NOBODY: u32 = 65534;

/// A user, and whether becoming it takes a step.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    name: String,
    uid: u32,
    /// Set if it is not the account of this process.
    other: Option<Gid>,
}

impl Account {
    /// That of this process.
    pub(crate) fn own() -> Self {
        let uid = Uid::current();
        let name = User::from_uid(uid).ok().flatten().map_or_else(|| format!("uid {uid}"), |user| user.name);
        Self { name, uid: uid.as_raw(), other: None }
    }

    /// That of this process, unless it is root.
    pub(crate) fn ordinary() -> Result<Self> {
        if !Uid::current().is_root() {
            return Ok(Self::own());
        }
        Ok(match User::from_name(TEST_USER).map_err(|e| format!("user {TEST_USER}: {e}"))? {
            Some(user) => Self { name: user.name, uid: user.uid.as_raw(), other: Some(user.gid) },
            None => Self { name: "nobody".to_owned(), uid: NOBODY, other: Some(Gid::from_raw(NOBODY)) },
        })
    }

    pub(crate) fn is_own(&self) -> bool {
        self.other.is_none()
    }

    /// Whether nothing but tracing is left to it where no user namespace can be made.
    pub(super) fn can_only_trace(&self) -> bool {
        self.uid != 0
    }

    /// User and group as numbers, if becoming this account takes a step.
    pub(crate) fn other_ids(&self) -> Option<[String; 2]> {
        self.other.map(|gid| [self.uid.to_string(), gid.to_string()])
    }

    /// What to put before a command so that it runs as this account.
    pub(crate) fn prefix(&self) -> Vec<String> {
        let Some(gid) = self.other else { return Vec::new() };
        let (uid, gid) = (self.uid.to_string(), gid.to_string());
        ["setpriv", "--reuid", &uid, "--regid", &gid, "--clear-groups", "--"].map(str::to_owned).to_vec()
    }

    /// A command that runs as this account.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        match self.prefix().split_first() {
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
            None => Command::new(program),
        }
    }

    /// Measures in a process of this account's own, so that no step is between what is measured and its caller.
    pub(super) fn measure(&self, kind: &str, args: &BenchArgs) -> Result<Report> {
        let own = std::env::current_exe().map_err(|e| format!("own path: {e}"))?;
        let mut command = self.command(own);
        command.args(["bench", "--measure-only", kind]).stderr(Stdio::inherit());
        if let Some(runs) = args.runs {
            command.args(["--runs", &runs.to_string()]);
        }
        command.args(args.peers.flags());
        let output = command.output().map_err(|e| format!("setpriv: {e}"))?;
        if !output.status.success() {
            return Err(format!(
                "{kind} as {self}: {}; can it read this checkout? (or use --as-root)",
                output.status
            ));
        }
        serde_json::from_slice(&output.stdout).map_err(|e| format!("{kind}: {e}"))
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.uid)
    }
}
