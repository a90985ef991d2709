//! `terrarium store`, `report` and `import`: the engine does them. A report on one's own jobs takes in what they have left first.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use terrarium_jail::host::Host;

use super::collect;
use crate::cli::collect::EngineArgs;
use crate::error::CliError;
use crate::summary::printable;
use crate::{engine, out, people};

/// Returns the exit code.
pub(crate) fn store(args: &EngineArgs) -> Result<u8, CliError> {
    match args.rest.first().and_then(|verb| verb.to_str()) {
        Some("sql") => own_first(&args.rest),
        Some("forget") => {
            return match forget_records(&args.rest)? {
                Some(rest) => engine::become_it(&rest),
                None => Ok(0),
            };
        }
        _ => {}
    }
    engine::become_it(&args.rest)
}

/// What `forget` does on a node: the records in the spools that are named. The rest is the engine's, if a store is named as well.
fn forget_records(words: &[OsString]) -> Result<Option<Vec<OsString>>, CliError> {
    let (mut spools, mut rest): (Vec<PathBuf>, Vec<OsString>) = Default::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_encoded_bytes() {
            b"--spool" => spools.extend(words.next().map(PathBuf::from)),
            bytes if bytes.starts_with(b"--spool=") => {
                spools.push(OsStr::from_bytes(&bytes[b"--spool=".len()..]).into());
            }
            _ => rest.push(word.clone()),
        }
    }
    if spools.is_empty() {
        return Ok(Some(rest));
    }
    let flags = ["--store", "--segments"];
    let mut values = rest.iter().skip(1);
    let mut user = None;
    while let Some(word) = values.next() {
        if flags.iter().any(|flag| word == flag) {
            values.next();
        } else if !word.as_encoded_bytes().starts_with(b"-") {
            user = word.to_str();
        }
    }
    let Some(user) = user else { return Ok(Some(rest)) };
    let (host, site) = (Host::default(), collect::site()?);
    let is_his = |uid: u32| {
        let name = people::name_of(&host, uid);
        name == user || site.name(&name) == user
    };
    for spool in spools {
        let spool = std::fs::canonicalize(&spool)
            .map_err(|source| CliError::Spool { directory: spool.clone(), source })?;
        let removed = terrarium_collect::forget_records(&spool, &is_his)?;
        let files = if removed == 1 { "file" } else { "files" };
        out::result(format_args!("{}: {removed} {files} removed", printable(&spool.display().to_string())))?;
    }
    Ok(names_store(&rest).then_some(rest))
}

/// Returns the exit code.
pub(crate) fn report(args: &EngineArgs) -> Result<u8, CliError> {
    own_first(&args.rest);
    let words: Vec<OsString> = std::iter::once("report".into()).chain(args.rest.iter().cloned()).collect();
    engine::become_it(&words)
}

/// Returns the exit code.
pub(crate) fn import(args: &EngineArgs) -> Result<u8, CliError> {
    let words: Vec<OsString> = std::iter::once("import".into()).chain(args.rest.iter().cloned()).collect();
    engine::become_it(&words)
}

/// Where nothing says otherwise, the store is one's own, and what the last jobs left is not in it yet. What hinders that is told,
/// and the rest is answered all the same.
fn own_first(words: &[OsString]) {
    let asks_for_words =
        |word: &OsString| matches!(word.as_encoded_bytes(), b"--help" | b"-h" | b"help" | b"list");
    if names_store(words) || words.iter().any(asks_for_words) {
        return;
    }
    match collect::own() {
        Ok(Some(segments)) => {
            let words =
                [OsStr::new("commit"), OsStr::new("--quiet"), OsStr::new("--segments"), segments.as_os_str()];
            if let Err(error) = engine::run(&words) {
                error.print();
            }
        }
        Ok(None) => {}
        Err(error) => error.print(),
    }
}

/// Whether a store is named, by a flag or by the variable.
fn names_store(words: &[OsString]) -> bool {
    let is_flag = |word: &OsString| {
        let word = word.as_encoded_bytes();
        word == b"--store" || word.starts_with(b"--store=")
    };
    words.iter().any(is_flag) || std::env::var_os("TERRARIUM_STORE").is_some_and(|value| !value.is_empty())
}
