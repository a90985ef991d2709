//! What each file must and must not have: a first line that says what is in it, a bearable
//! length, nothing unfinished, and in libraries no word to the user.

use super::source::after;
use super::{Finding, RustFile};

/// A file of more code lines than this fails.
const HARD_LIMIT: usize = 800;

/// A file of more code lines than this is named.
const SOFT_LIMIT: usize = 400;

/// The crates that talk to the user: the two programs.
const FRONT: [&str; 2] = ["terrarium", "terrarium-store"];

const TALKS: &[&str] = &["println!", "eprintln!", "print!", "eprint!", "dbg!", "process::exit"];

const UNFINISHED: &[&str] = &["todo!", "unimplemented!"];

/// In a comment; in pieces, for else it would stand here.
const TO_MEND: &str = concat!("FIX", "ME");

pub(super) fn check(file: &RustFile, found: &mut Vec<Finding>) {
    if !file.documented {
        found.push(Finding::new(&file.path, 1, "the first line is not `//!`: say there what is in the file"));
    }
    length(file, found);
    let library = file.source_of().is_some_and(|name| !FRONT.contains(&name));
    for (number, line) in file.numbered() {
        let mut add = |text: String| found.push(Finding::new(&file.path, number, text));
        if library {
            for word in TALKS.iter().filter(|word| line.has(word)) {
                add(format!(
                    "`{word}` in a library: return a value or an error, and let crates/{} say it",
                    FRONT[0]
                ));
            }
        }
        for word in UNFINISHED.iter().filter(|word| line.has(word)) {
            add(format!("`{word}` is left: finish it, or return an error that says what is missing"));
        }
        if line.comment.contains(TO_MEND) {
            add(format!("{TO_MEND} is left: mend it, or describe it as a known limit in docs/"));
        }
        if after(&line.code, "#[ignore").any(|rest| !rest.trim_start().starts_with('=')) {
            add("a test is ignored without a reason: write `#[ignore = \"why\"]`".to_owned());
        }
    }
}

fn length(file: &RustFile, found: &mut Vec<Finding>) {
    let count = file.lines.iter().filter(|line| line.counts()).count();
    if count > SOFT_LIMIT {
        let text = format!(
            "{count} lines of code (look at it from {SOFT_LIMIT}, at most {HARD_LIMIT}): cut it by subject"
        );
        found.push(Finding { warning: count <= HARD_LIMIT, ..Finding::new(&file.path, 1, text) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> Vec<String> {
        let mut found = Vec::new();
        check(&RustFile::new(path, &format!("//! x\n{text}")), &mut found);
        found.iter().map(Finding::to_string).collect()
    }

    #[test]
    fn libraries_are_silent() {
        let text = "fn f() { eprintln!(\"x\") }";
        let found = findings("crates/terrarium-jail/src/a.rs", text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].starts_with("crates/terrarium-jail/src/a.rs:2: `eprintln!` in a library"),
            "{found:?}"
        );
        assert!(findings("crates/terrarium/src/a.rs", text).is_empty());
        assert!(findings("crates/terrarium-jail/tests/a.rs", text).is_empty());
        assert!(findings("crates/terrarium-jail/src/a.rs", "f(\"println!\") // println!").is_empty());
        assert_eq!(findings("crates/terrarium-jail/src/a.rs", "std::process::exit(1)").len(), 1);
    }

    #[test]
    fn nothing_unfinished() {
        let path = "xtask/src/a.rs";
        assert_eq!(findings(path, "todo!()").len(), 1);
        assert_eq!(findings(path, &format!("// {TO_MEND}: later")).len(), 1);
        assert_eq!(findings(path, "#[test]\n#[ignore]\nfn f() {}").len(), 1);
        assert!(findings(path, "#[test]\n#[ignore = \"needs a GPU\"]\nfn f() {}").is_empty());
    }

    #[test]
    fn the_first_line() {
        let mut found = Vec::new();
        check(&RustFile::new("crates/a/tests/b.rs", "use x;\n"), &mut found);
        assert!(found[0].text.contains("`//!`"));
    }

    #[test]
    fn lengths() {
        let path = "xtask/src/a.rs";
        assert!(findings(path, &"f();\n// y\n\n".repeat(400)).is_empty());
        assert!(findings(path, &"f();\n".repeat(401))[0].contains("warning: 401 lines"));
        assert!(findings(path, &"f();\n".repeat(801))[0].contains(":1: 801 lines"));
    }
}
