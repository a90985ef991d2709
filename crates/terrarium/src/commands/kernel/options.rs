//! The options of `terrarium run` as words, to be written down for a kernel that starts later and anywhere.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, Args};

use crate::cli::{Net, RunOptions};
use crate::error::CliError;

/// Options whose value is a path.
const PATHS: &[&str] = &["ro", "hide", "report", "record"];

/// Options whose value is `PATH:PATH`.
const PAIRS: &[&str] = &["bind"];

/// Options whose value is `PATH` or `PATH:ro`: behind a directory, that makes no difference.
const ONLY: &str = "only";

/// Options that may take the connection file out of sight: the kernel is then shown it by `--bind`, or by `--only`.
const HIDING: &[&str] = &["hide", "private_tmp"];

/// What Jupyter puts the connection file's path in for.
pub(super) const CONNECTION_FILE: &str = "{connection_file}";

/// The options of a kernel's run: those that were given, and those that a kernel needs.
pub(super) fn of_kernel(
    given: &RunOptions,
    matches: &ArgMatches,
    directory: &Path,
) -> Result<Vec<String>, CliError> {
    check(given)?;
    let mut words = as_given(matches, directory)?;
    let is_given = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
    if is_given(ONLY) {
        words.extend([format!("--{ONLY}"), CONNECTION_FILE.to_owned()]);
    } else if HIDING.iter().any(|id| is_given(id)) {
        words.extend(["--bind".to_owned(), CONNECTION_FILE.to_owned()]);
    }
    if !is_given("orphans") {
        words.extend(["--orphans".to_owned(), "end".to_owned()]);
    }
    // In the log of a server, several lines for each kernel that ends are too many.
    if !is_given("summary") && !given.quiet {
        words.extend(["--summary".to_owned(), "line".to_owned()]);
    }
    if !is_given("with_parent") {
        words.push("--with-parent".to_owned());
    }
    Ok(words)
}

/// What cannot work for a kernel is refused.
fn check(given: &RunOptions) -> Result<(), CliError> {
    let why = if given.net == Net::None {
        "--net none: Jupyter talks to its kernels over TCP, so this one could not be reached"
    } else if given.dry_run {
        "--dry-run starts nothing: such a kernel would never answer"
    } else {
        return Ok(());
    };
    Err(CliError::Conflict(why.to_owned()))
}

/// The options of `run` that stand on the command line, in a fixed order.
fn as_given(matches: &ArgMatches, directory: &Path) -> Result<Vec<String>, CliError> {
    let mut words = Vec::new();
    for argument in RunOptions::augment_args(clap::Command::new("run")).get_arguments() {
        let (id, Some(long)) = (argument.get_id().as_str(), argument.get_long()) else { continue };
        if matches.value_source(id) != Some(ValueSource::CommandLine) {
            continue;
        }
        if matches!(argument.get_action(), ArgAction::SetTrue) {
            words.push(format!("--{long}"));
            continue;
        }
        for value in matches.get_raw(id).into_iter().flatten() {
            let value = absolute(id, value, directory);
            let Ok(value) = value.into_string() else {
                return Err(CliError::Conflict(format!(
                    "--{long}: a kernel spec is JSON and holds no bytes that are not UTF-8"
                )));
            };
            words.extend([format!("--{long}"), value]);
        }
    }
    Ok(words)
}

/// Seen from `directory`, without `.` in it; links stay.
pub(super) fn whole(directory: &Path, path: impl AsRef<Path>) -> PathBuf {
    let path = directory.join(path);
    std::path::absolute(&path).unwrap_or(path)
}

fn absolute(id: &str, value: &OsStr, directory: &Path) -> OsString {
    let path = |path: &OsStr| whole(directory, path).into_os_string();
    if PATHS.contains(&id) || id == ONLY {
        return path(value);
    }
    if !PAIRS.contains(&id) {
        return value.to_owned();
    }
    let mut parts = value.as_bytes().splitn(2, |b| *b == b':').map(OsStr::from_bytes);
    let mut whole = path(parts.next().unwrap_or_default());
    if let Some(target) = parts.next() {
        whole.push(":");
        whole.push(path(target));
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command, KernelCommand};
    use clap::{CommandFactory, Parser};

    fn words(args: &[&str]) -> Result<Vec<String>, CliError> {
        let all = || ["terrarium", "kernel", "install"].iter().chain(args);
        let matches = Cli::command().try_get_matches_from(all()).unwrap();
        let matches = matches.subcommand_matches("kernel").unwrap().subcommand_matches("install").unwrap();
        let Command::Kernel(kernel) = Cli::try_parse_from(all()).unwrap().command else { panic!() };
        let KernelCommand::Install(install) = kernel.command else { panic!() };
        of_kernel(&install.run, matches, Path::new("/home/a"))
    }

    #[test]
    fn what_a_kernel_needs_is_added() {
        assert_eq!(words(&[]).unwrap(), ["--orphans", "end", "--summary", "line", "--with-parent"]);
        let given = ["--orphans", "keep", "--with-parent", "--summary", "full"];
        assert_eq!(words(&given).unwrap().len(), 5);
        assert_eq!(words(&["-q"]).unwrap(), ["--quiet", "--orphans", "end", "--with-parent"]);
    }

    #[test]
    fn paths_become_absolute_and_the_connection_file_is_shown() {
        let got = words(&["--hide", "a", "--bind", "b:/c", "--bind=./d", "--mem", "4G", "--report", "../r"]);
        let got = got.unwrap().join(" ");
        assert!(got.starts_with("--mem 4G --bind /home/a/b:/c --bind /home/a/d --hide /home/a/a"), "{got}");
        assert!(got.contains("--report /home/a/../r --bind {connection_file}"), "{got}");
    }

    #[test]
    fn with_only_the_connection_file_is_named_too() {
        let got = words(&["--only", ".", "--only", "env:ro", "--hide", "x"]).unwrap().join(" ");
        let (only, file) = ("--only /home/a --only /home/a/env:ro", "--only {connection_file}");
        assert!(got.contains(only) && got.contains(file) && !got.contains("--bind"), "{got}");
    }

    #[test]
    fn what_cannot_work_is_refused() {
        for (args, part) in [(&["--net", "none"][..], "TCP"), (&["--dry-run"], "never answer")] {
            assert!(words(args).unwrap_err().to_string().contains(part));
        }
    }

    /// A new option of `run` must be put into one of these lists: does its value hold a path?
    #[test]
    fn it_is_known_which_options_hold_paths() {
        const OTHERS: &[&str] = &[
            "mem",
            "swap",
            "require_mem",
            "cpus",
            "pids",
            "time",
            "grace",
            "kill_wait",
            "orphans",
            "with_parent",
            "no_record",
            "no_track",
            "interval",
            "gpus",
            "threads",
            "net",
            "private_tmp",
            "shm",
            "clean_shm",
            "no_new_privileges",
            "require",
            "dry_run",
            "summary",
            "quiet",
        ];
        for argument in RunOptions::augment_args(clap::Command::new("run")).get_arguments() {
            let id = argument.get_id().as_str();
            let lists = [PATHS, PAIRS, &[ONLY], OTHERS].iter().filter(|list| list.contains(&id)).count();
            assert_eq!(lists, 1, "{id}");
        }
    }
}
