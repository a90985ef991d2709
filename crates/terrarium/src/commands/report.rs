//! `terrarium store` and `terrarium report`: the engine does both. A report on one's own jobs takes in what they have left first.

use std::ffi::{OsStr, OsString};

use super::collect;
use crate::cli::collect::EngineArgs;
use crate::engine;
use crate::error::CliError;

/// Returns the exit code.
pub(crate) fn store(args: &EngineArgs) -> Result<u8, CliError> {
    if args.rest.first().is_some_and(|verb| verb == "sql") {
        own_first(&args.rest);
    }
    engine::become_it(&args.rest)
}

/// Returns the exit code.
pub(crate) fn report(args: &EngineArgs) -> Result<u8, CliError> {
    own_first(&args.rest);
    let words: Vec<OsString> = std::iter::once("report".into()).chain(args.rest.iter().cloned()).collect();
    engine::become_it(&words)
}

/// Where nothing says otherwise, the store is one's own, and what the last jobs left is not in it yet. What hinders that is told,
/// and the rest is answered all the same.
fn own_first(words: &[OsString]) {
    let names_one = |word: &OsString| {
        let word = word.as_encoded_bytes();
        word == b"--store"
            || word.starts_with(b"--store=")
            || matches!(word, b"--help" | b"-h" | b"help" | b"list")
    };
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if words.iter().any(names_one) || is_set("TERRARIUM_STORE") {
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
