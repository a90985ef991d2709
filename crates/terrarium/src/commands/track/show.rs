//! `terrarium track show`: records as text or JSON.

use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use terrarium_sys::fds::terminal_room;
use terrarium_sys::process::user;

use super::forks::Forks;
use super::spool::{self, Found, Unread};
use super::{alive, json, text};
use crate::cli::track::ShowArgs;
use crate::error::CliError;
use crate::out;
use crate::summary::printable;

/// So many records are shown where none was asked for.
const NEWEST: usize = 50;

/// Returns the exit code.
pub(super) fn run(args: &ShowArgs) -> Result<u8, CliError> {
    let wanted = if args.what.is_empty() { spools(args)? } else { args.what.clone() };
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

/// The spool that is named, or those of the site and the user that are there.
fn spools(args: &ShowArgs) -> Result<Vec<PathBuf>, CliError> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(spool) = args.spool.clone().or_else(|| set(crate::spool::VARIABLE)) {
        return Ok(vec![spool]);
    }
    let runtime = set("XDG_RUNTIME_DIR").map(|directory| directory.join("terrarium/spool"));
    let places = [Some(crate::spool::OF_SITE.into()), runtime];
    let mut found: Vec<PathBuf> = places.into_iter().flatten().filter(|place| place.is_dir()).collect();
    for own in crate::spool::own_of(user()) {
        if !found.contains(&own) {
            found.push(own);
        }
    }
    if found.is_empty() { Err(CliError::NoSpool) } else { Ok(found) }
}

/// Where the record of a process may be: the owner of a process that runs may have a spool as well.
fn spools_of(args: &ShowArgs, pid: u32) -> Result<Vec<PathBuf>, CliError> {
    let found = spools(args);
    let owner = std::fs::metadata(format!("/proc/{pid}")).map(|meta| meta.uid());
    let Some(owner) = owner.ok().filter(|owner| args.spool.is_none() && *owner != user()) else {
        return found;
    };
    let of_owner = crate::spool::own_of(owner);
    match found {
        Ok(found) => Ok(found.into_iter().chain(of_owner).collect()),
        Err(_) if !of_owner.is_empty() => Ok(of_owner),
        error => error,
    }
}

/// All digits: a process. A file of such a name is `./4711`.
fn pid(what: &Path) -> Option<u32> {
    what.to_str().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()
}

fn one(args: &ShowArgs, what: &Path, blank: &mut bool) -> Result<(), CliError> {
    let path = match pid(what) {
        Some(pid) => spool::of_process(&spools_of(args, pid)?, pid)?,
        None => what.to_owned(),
    };
    let found = spool::read(&path, &mut Forks::default())
        .map_err(|unread| CliError::Record { path, why: unread.why() })?;
    let running = is_running(&found);
    if args.json {
        return out::result(json::document(&found, running));
    }
    let space = if std::mem::replace(blank, true) { "\n" } else { "" };
    out::result(format_args!("{space}{}", text::view(&found, running, args.modules, room()).trim_end()))
}

/// Columns of the terminal that is written to.
fn room() -> Option<usize> {
    let (columns, _) = terminal_room(std::io::stdout().as_fd())?;
    Some(usize::from(columns)).filter(|columns| *columns > 0)
}

fn directory(args: &ShowArgs, directory: &Path) -> Result<(), CliError> {
    let mut content = spool::content(directory)?;
    let all = content.files.len();
    // Somebody who asks for nothing in particular wants to see what was going on last.
    if args.what.is_empty() && !args.json {
        content.keep_newest(NEWEST);
    }
    let left_out = all - content.files.len();
    let (mut foreign, mut failed) = (0, 0);
    let mut forks = Forks::default();
    // Lines wait for those after them, which tell of programs that were replaced; objects are large, and do not.
    let mut lines = Vec::new();
    for path in content.files {
        match spool::read(&path, &mut forks) {
            Ok(found) if args.json => out::result(json::document(&found, is_running(&found)))?,
            Ok(found) => lines.push(text::Line::of(&found, directory, is_running(&found))),
            Err(Unread::Foreign(_)) => foreign += 1,
            Err(Unread::Failed(why)) => {
                let path = printable(&path.display().to_string());
                out::note(format_args!("note: {path}: {}", printable(&why)));
                failed += 1;
            }
        }
    }
    if left_out > 0 {
        let directory = printable(&directory.display().to_string());
        out::note(format_args!(
            "note: the newest {NEWEST} of {all} records; all of them: terrarium track show {directory}"
        ));
    }
    if lines.is_empty() && !args.json {
        out::note(format_args!("note: no records in {}", printable(&directory.display().to_string())));
    }
    for line in text::lines(lines) {
        out::result(line)?;
    }
    if foreign > 0 {
        out::note(format_args!("note: no records, or nothing in them yet: {foreign}"));
    }
    if failed > 0 {
        out::note(format_args!("note: could not be read: {failed}"));
    }
    let [no_space, other] = content.without_file;
    if no_space > 0 || other > 0 {
        out::note(format_args!(
            "note: processes without a record: {no_space} for want of space, {other} for other reasons"
        ));
    }
    Ok(())
}

fn is_running(found: &Found) -> bool {
    alive::is_running(&found.process, found.owner, found.mapped, Path::new("/proc"))
}
