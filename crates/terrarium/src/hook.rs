//! The library that records what is loaded: where it is, how it gets into LD_PRELOAD, and who does not want it.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use terrarium_sys::places::is_there_at_once;

use crate::recorder::{InTime, in_time_of};

/// Its file name, by which it is known in an LD_PRELOAD.
const NAME: &str = "libterrarium_hook.so";

/// Names another file, for tests.
const VARIABLE: &str = "TERRARIUM_HOOK";

/// Switches tracking off, here and in the hook.
pub(crate) const SWITCH: &str = "TERRARIUM_TRACK";

/// A home that does not answer for so long is not waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// A variable of the environment, by name; the empty ones are none.
pub(crate) type Variable<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// Where the hook is: beside this program, or in ../lib/terrarium.
pub(crate) fn find(variable: Variable<'_>) -> Result<PathBuf, String> {
    let named = variable(VARIABLE).map(PathBuf::from);
    let places = match named {
        Some(path) => vec![path],
        None => {
            let own =
                std::env::current_exe().map_err(|e| format!("where this program is is not known: {e}"))?;
            let directory = own.parent().unwrap_or(Path::new("/"));
            vec![directory.join(NAME), directory.join("../lib/terrarium").join(NAME)]
        }
    };
    let found = places.iter().find(|path| path.is_file()).and_then(|path| fs::canonicalize(path).ok());
    let Some(found) = found else {
        let list: Vec<_> = places.iter().map(|path| path.display().to_string()).collect();
        return Err(format!("the hook is not installed ({})", list.join(", ")));
    };
    match found.as_os_str().as_bytes().iter().any(|byte| is_separator(*byte) || *byte == b'$') {
        true => Err(format!("LD_PRELOAD can hold no such path: {}", found.display())),
        false => Ok(found),
    }
}

fn is_separator(byte: u8) -> bool {
    byte == b':' || byte.is_ascii_whitespace()
}

/// The entries of an LD_PRELOAD, each with the separators in front of it.
fn entries(value: &[u8]) -> Vec<(&[u8], &[u8])> {
    let mut entries = Vec::new();
    let mut rest = value;
    while !rest.is_empty() {
        let from = rest.iter().position(|byte| !is_separator(*byte)).unwrap_or(rest.len());
        let to = rest[from..].iter().position(|byte| is_separator(*byte)).map_or(rest.len(), |n| from + n);
        entries.push((&rest[..from], &rest[from..to]));
        rest = &rest[to..];
    }
    entries
}

fn is_hook(entry: &[u8], hook: Option<&Path>) -> bool {
    let path = Path::new(OsStr::from_bytes(entry));
    path.file_name().is_some_and(|name| name == NAME) || hook.is_some_and(|hook| path == hook)
}

/// An LD_PRELOAD with the hook in it once. What is there stays as it is and where it is; another copy of the hook is
/// replaced.
pub(crate) fn with(value: Option<&OsStr>, hook: &Path) -> OsString {
    let own = hook.as_os_str().as_bytes();
    let (mut new, mut has_it) = (Vec::new(), false);
    for (separators, entry) in entries(value.unwrap_or_default().as_bytes()) {
        if !is_hook(entry, Some(hook)) {
            new.extend([separators, entry].concat());
        } else if !std::mem::replace(&mut has_it, true) {
            new.extend([separators, own].concat());
        }
    }
    if !has_it {
        if !new.is_empty() {
            new.push(b':');
        }
        new.extend(own);
    }
    OsString::from_vec(new)
}

/// An LD_PRELOAD without the hook; `None`: nothing is left.
pub(crate) fn without(value: &OsStr, hook: Option<&Path>) -> Option<OsString> {
    let all = entries(value.as_bytes());
    if !all.iter().any(|(_, entry)| is_hook(entry, hook)) {
        return Some(value.to_owned());
    }
    let mut new = Vec::new();
    for (separators, entry) in all.into_iter().filter(|(_, entry)| !is_hook(entry, hook)) {
        if !new.is_empty() {
            new.extend(separators);
        }
        new.extend(entry);
    }
    (!new.is_empty()).then(|| OsString::from_vec(new))
}

/// The file by which a user opts out.
pub(crate) fn no_track(variable: Variable<'_>) -> Option<PathBuf> {
    // As the XDG base directory specification has it: a relative path is no path.
    let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let config = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")));
    Some(config?.join("terrarium/no-track"))
}

/// What is known of a user's wish.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// No objection.
    Tracked,
    /// An objection, and how it was said.
    OptedOut(String),
    /// It cannot be told, and why: taken for an objection that nobody made.
    NotKnown(String),
}

/// Whether the user wants this run not to be tracked.
pub(crate) fn wish(no_track_asked: bool, variable: Variable<'_>) -> Wish {
    wish_by(no_track_asked, variable, &is_there_at_once, &|look| in_time_of(PATIENCE, look))
}

fn wish_by(
    no_track_asked: bool,
    variable: Variable<'_>,
    at_once: &dyn Fn(&Path) -> Option<bool>,
    in_time: InTime<'_>,
) -> Wish {
    if no_track_asked {
        return Wish::OptedOut("--no-track".to_owned());
    }
    if variable(SWITCH).is_some_and(|value| value == "off") {
        return Wish::OptedOut(format!("{SWITCH}=off"));
    }
    let Some(file) = no_track(variable) else { return Wish::Tracked };
    let opted_out = || Wish::OptedOut(file.display().to_string());
    match at_once(&file) {
        Some(true) => return opted_out(),
        Some(false) => return Wish::Tracked,
        None => {}
    }
    const THERE: &str = "there";
    let look = || match fs::symlink_metadata(&file) {
        Ok(_) => Err(THERE.to_owned()),
        Err(_) => Ok(()),
    };
    match in_time(&look) {
        Ok(()) => Wish::Tracked,
        Err(why) if why == THERE => opted_out(),
        Err(why) => Wish::NotKnown(format!("{}: {why}", file.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    const HOOK: &str = "/opt/lib/libterrarium_hook.so";

    #[test]
    fn the_users_own_entries_stay_as_they_are() {
        let with = |value: &str| with(Some(OsStr::new(value)), Path::new(HOOK)).into_string().unwrap();
        assert_eq!(super::with(None, Path::new(HOOK)), HOOK);
        assert_eq!(with(""), HOOK);
        assert_eq!(with("a.so"), format!("a.so:{HOOK}"));
        assert_eq!(with("/x/a.so  b.so"), format!("/x/a.so  b.so:{HOOK}"));
        // Never twice, and never two copies.
        assert_eq!(with(HOOK), HOOK);
        assert_eq!(with(&format!("a.so:{HOOK} b.so")), format!("a.so:{HOOK} b.so"));
        assert_eq!(
            with(&format!("a.so:/usr/lib/libterrarium_hook.so:b.so:{HOOK}")),
            format!("a.so:{HOOK}:b.so")
        );
        assert_eq!(with(&with("a.so")), with("a.so"));
    }

    #[test]
    fn only_the_hook_is_taken_out() {
        let without = |value: &str| {
            without(OsStr::new(value), Some(Path::new("/t/x.so"))).map(|v| v.into_string().unwrap())
        };
        assert_eq!(without(HOOK), None);
        assert_eq!(without(&format!("a.so:{HOOK}")), Some("a.so".to_owned()));
        assert_eq!(without(&format!("{HOOK} a.so:/t/x.so b.so")), Some("a.so b.so".to_owned()));
        assert_eq!(without(" a.so::b.so "), Some(" a.so::b.so ".to_owned()));
    }

    /// Tests have threads, and cannot start the process that looks.
    fn wish_now(asked: bool, variable: Variable<'_>) -> Wish {
        let quick = wish_by(asked, variable, &is_there_at_once, &|look| look());
        // Where the kernel can say nothing at once.
        assert_eq!(wish_by(asked, variable, &|_| None, &|look| look()), quick);
        quick
    }

    #[test]
    fn who_opts_out() {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &'static str, value: OsString| {
            move |asked: &str| (asked == name).then(|| value.clone()).filter(|v| !v.is_empty())
        };
        let in_home = at("HOME", home.path().into());
        assert_eq!(wish_now(false, &in_home), Wish::Tracked);
        assert!(matches!(wish_now(true, &in_home), Wish::OptedOut(how) if how == "--no-track"));
        assert!(matches!(wish_now(false, &at(SWITCH, "off".into())), Wish::OptedOut(_)));
        assert_eq!(wish_now(false, &at(SWITCH, "on".into())), Wish::Tracked);
        let file = home.path().join(".config/terrarium/no-track");
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        // A link that leads nowhere is there all the same.
        symlink("/none", &file).unwrap();
        assert!(matches!(wish_now(false, &in_home), Wish::OptedOut(how) if how.ends_with("/no-track")));
        fs::remove_file(&file).unwrap();
        fs::write(&file, "").unwrap();
        assert!(matches!(wish_now(false, &in_home), Wish::OptedOut(_)));
        let hangs = |_: &dyn Fn() -> Result<(), String>| Err("no answer".to_owned());
        let asked = wish_by(false, &in_home, &|_| None, &hangs);
        assert!(matches!(&asked, Wish::NotKnown(why) if why.ends_with("no answer")), "{asked:?}");
        let config = at("XDG_CONFIG_HOME", home.path().join(".config").into());
        assert!(matches!(wish_now(false, &config), Wish::OptedOut(_)));
        assert_eq!(wish_now(false, &at("XDG_CONFIG_HOME", ".config".into())), Wish::Tracked);
    }

    #[test]
    fn paths_that_cannot_be_preloaded_are_no_hook() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str| {
            let path = directory.path().join(name);
            fs::write(&path, "").unwrap();
            move |asked: &str| (asked == VARIABLE).then(|| path.clone().into_os_string())
        };
        assert!(find(&file("a.so")).is_ok());
        assert!(find(&file("a b.so")).unwrap_err().contains("no such path"));
        assert!(find(&file("$LIB.so")).is_err());
        assert!(
            find(&|asked| (asked == VARIABLE).then(|| "/none.so".into()))
                .unwrap_err()
                .contains("not installed")
        );
    }
}
