//! `terrarium track show`: records as text or JSON.

use std::path::{Path, PathBuf};

use super::spool::{self, Found, Unread};
use super::{alive, json, text};
use crate::cli::track::ShowArgs;
use crate::error::CliError;
use crate::out;
use crate::summary::printable;

/// Returns the exit code.
pub(super) fn run(args: &ShowArgs) -> Result<u8, CliError> {
    let mut wanted = args.what.clone();
    if wanted.is_empty() {
        wanted.push(spool_directory(args)?);
    }
    let (mut failed, mut blank) = (0, false);
    for what in &wanted {
        let result = if pid(what).is_none() && what.is_dir() {
            directory(args, what)
        } else {
            one(args, what, &mut blank)
        };
        match result {
            Ok(()) => {}
            // Nobody reads on.
            Err(error @ CliError::Write { .. }) => return Err(error),
            Err(error) if wanted.len() == 1 => return Err(error),
            Err(error) => {
                error.print();
                failed += 1;
            }
        }
    }
    if failed > 0 {
        return Err(CliError::NotAllShown { failed, all: wanted.len() });
    }
    Ok(0)
}

fn spool_directory(args: &ShowArgs) -> Result<PathBuf, CliError> {
    let set = || std::env::var_os("TERRARIUM_SPOOL").filter(|value| !value.is_empty()).map(PathBuf::from);
    args.spool.clone().or_else(set).ok_or(CliError::NoSpool)
}

/// All digits: a process. A file of such a name is `./4711`.
fn pid(what: &Path) -> Option<u32> {
    what.to_str().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()
}

fn one(args: &ShowArgs, what: &Path, blank: &mut bool) -> Result<(), CliError> {
    let path = match pid(what) {
        Some(pid) => spool::newest(&spool_directory(args)?, pid)?,
        None => what.to_owned(),
    };
    let found = spool::read(&path).map_err(|unread| CliError::Record { path, why: unread.why() })?;
    let running = is_running(&found);
    if args.json {
        return out::result(json::document(&found, running));
    }
    let space = if std::mem::replace(blank, true) { "\n" } else { "" };
    out::result(format_args!("{space}{}", text::view(&found, running, args.modules).trim_end()))
}

fn directory(args: &ShowArgs, directory: &Path) -> Result<(), CliError> {
    let (mut foreign, mut failed, mut shown) = (0, 0, 0);
    for path in spool::files(directory)? {
        match spool::read(&path) {
            Ok(found) if args.json => out::result(json::document(&found, is_running(&found)))?,
            Ok(found) => {
                if shown == 0 {
                    out::result(text::head())?;
                }
                shown += 1;
                out::result(text::line(&found, directory, is_running(&found)))?;
            }
            Err(Unread::Foreign(_)) => foreign += 1,
            Err(Unread::Failed(why)) => {
                out::note(format_args!(
                    "note: {}: {}",
                    printable(&path.display().to_string()),
                    printable(&why)
                ));
                failed += 1;
            }
        }
    }
    if foreign > 0 {
        let files = if foreign == 1 { "file is" } else { "files are" };
        out::note(format_args!("note: {foreign} other {files} no record, or have nothing in them yet"));
    }
    if failed > 0 {
        out::note(format_args!("note: {failed} could not be read"));
    }
    Ok(())
}

fn is_running(found: &Found) -> bool {
    alive::is_running(&found.process, found.owner, Path::new("/proc"))
}
