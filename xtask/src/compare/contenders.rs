//! Who is compared: the command by itself, tools that are said to hold a job, and terrarium in each of its tiers.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Serialize;

use super::job;
use crate::bench::account::Account;
use crate::bench::contender::find;

/// terrarium's status where it cannot hold a job.
const NOT_CONTAINED: i32 = terrarium_core::exit::NOT_CONTAINED as i32;

/// A way to run a job.
#[derive(Debug, Serialize)]
pub(super) struct Contender {
    /// The head of its column.
    pub(super) name: &'static str,
    /// What stands before the command, as a user would write it.
    pub(super) shown: String,
    /// As whom it ran.
    pub(super) account: String,
    /// Why it refuses every job here, if it does.
    pub(super) refused: Option<String>,
    #[serde(skip)]
    pub(super) runs_as: Account,
    #[serde(skip)]
    pub(super) before: Vec<OsString>,
}

/// Where programs of ours lie that every user can run.
pub(super) struct Programs {
    directory: PathBuf,
}

impl Programs {
    pub(super) fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

/// All that may be compared; whether they are installed is another question.
fn all(programs: &Programs, ordinary: &Account) -> Vec<Contender> {
    let peer = |name, words: &[&str]| Contender {
        name,
        shown: words.join(" "),
        account: ordinary.to_string(),
        refused: None,
        runs_as: ordinary.clone(),
        before: prefix(ordinary).chain(words.iter().map(OsString::from)).collect(),
    };
    let ours = |name, tier: &str, account: &Account, before: Vec<OsString>| {
        let flags = ["run", "--quiet", "--require", tier, "--"];
        let program = programs.path("terrarium").into_os_string();
        let words = before.into_iter().chain([program]).chain(flags.map(OsString::from));
        Contender {
            name,
            shown: format!("terrarium {}", flags.join(" ")),
            account: account.to_string(),
            refused: None,
            runs_as: account.clone(),
            before: words.collect(),
        }
    };
    let own = Account::own();
    let mut without_userns = vec![programs.path("without_userns").into_os_string()];
    without_userns.extend(ordinary.other_ids().into_iter().flatten().map(OsString::from));

    let bubblewrap =
        ["bwrap", "--dev-bind", "/", "/", "--unshare-pid", "--proc", "/proc", "--die-with-parent", "--"];
    let mut contenders = vec![
        // A shell that becomes the command: its statuses are what everybody knows.
        Contender {
            shown: "sh -c 'exec \"$@\"' sh".to_owned(),
            ..peer("plain", &["sh", "-c", "exec \"$@\"", "sh"])
        },
        peer("tini", &["tini", "-s", "-g", "--"]),
        peer("unshare", &["unshare", "-Upf", "--kill-child", "--mount-proc", "--"]),
        // No `--`: 0.9.72 starts the user's login shell then.
        peer("firejail", &["firejail", "--noprofile", "--quiet"]),
        peer("firejail, deterministic", &["firejail", "--noprofile", "--quiet", "--deterministic-shutdown"]),
        peer("bubblewrap", &bubblewrap),
        ours("terrarium, ptrace", "ptrace", ordinary, without_userns),
        ours("terrarium, userns", "userns", ordinary, prefix(ordinary).collect()),
    ];
    if !ordinary.is_own() {
        contenders.push(ours("terrarium, root", "root", &own, Vec::new()));
    }
    contenders
}

fn prefix(account: &Account) -> impl Iterator<Item = OsString> {
    account.prefix().into_iter().map(OsString::from)
}

/// Those that can be compared here, and of the others why not.
pub(super) fn present(programs: &Programs, ordinary: &Account) -> (Vec<Contender>, Vec<String>) {
    let (mut present, mut absent) = (Vec::new(), Vec::new());
    for mut contender in all(programs, ordinary) {
        // Of the shown words the first is a program's name.
        let program = contender.shown.split(' ').next().unwrap_or_default();
        if program != "terrarium" && find(program.as_ref()).is_none() {
            absent.push(format!("{}: {program} is not installed", contender.name));
            continue;
        }
        match trial(&contender) {
            Ok(()) => present.push(contender),
            Err((Some(NOT_CONTAINED), reason)) if contender.name.starts_with("terrarium") => {
                contender.refused = Some(reason);
                present.push(contender);
            }
            Err((_, reason)) => absent.push(format!("{}: does not work here: {reason}", contender.name)),
        }
    }
    if ordinary.is_own() {
        absent.push("terrarium, root: not tried, for this was not started by root".to_owned());
    }
    (present, absent)
}

/// Whether it runs a command that does nothing; else its status and what it said.
fn trial(contender: &Contender) -> Result<(), (Option<i32>, String)> {
    let mut words = contender.before.iter();
    let mut command = Command::new(words.next().map(OsString::as_os_str).unwrap_or_default());
    command.args(words).arg("/bin/true");
    job::surroundings(&mut command);
    let output = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output();
    let output = output.map_err(|e| (None, e.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    let code = output.status.code().or_else(|| output.status.signal().map(|signal| 128 + signal));
    let text = [output.stderr.as_slice(), &output.stdout].concat();
    let text = String::from_utf8_lossy(&text);
    let said = text.lines().next().map_or_else(|| output.status.to_string(), str::to_owned);
    Err((code, said))
}

/// What the tools say of themselves.
pub(super) fn versions(programs: &Programs, contenders: &[Contender]) -> Vec<String> {
    let known = [
        ("bubblewrap", "bwrap".into()),
        ("firejail", "firejail".into()),
        ("unshare", "unshare".into()),
        ("tini", "tini".into()),
        ("terrarium", programs.path("terrarium")),
    ];
    let taking_part = |name: &str| contenders.iter().any(|contender| contender.name.starts_with(name));
    known
        .into_iter()
        .filter(|(name, _)| taking_part(name))
        .map(|(name, program): (&str, PathBuf)| {
            let output = Command::new(program).arg("--version").stderr(Stdio::null()).output();
            let text =
                output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
            format!("{name} {}", version(&text).unwrap_or("of unknown version"))
        })
        .collect()
}

/// The first word of the first line that begins with a digit.
fn version(text: &str) -> Option<&str> {
    text.lines().next()?.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_tools_say() {
        assert_eq!(version("unshare from util-linux 2.38.1\n"), Some("2.38.1"));
        assert_eq!(version("firejail version 0.9.72\n\nCompile time"), Some("0.9.72"));
        assert_eq!(version("nothing"), None);
    }
}
