//! `unsafe` has few homes, and there each says why it holds.

use super::source::{Line, after};
use super::{Finding, RustFile};

/// Where it may stand.
const HOMES: &[&str] = &["crates/terrarium-sys/src", "native"];

/// How far above the `// SAFETY:` may end: it stands before the statement, which may be long.
const REACH: usize = 6;

pub(super) fn check(file: &RustFile, found: &mut Vec<Finding>) {
    let at_home = HOMES.iter().any(|home| file.path.starts_with(home));
    for (number, line) in file.numbered().filter(|(_, line)| line.has("unsafe")) {
        if !at_home {
            let text = format!(
                "`unsafe` outside {}: put a safe function into terrarium-sys and use that",
                HOMES.join(" and ")
            );
            found.push(Finding::new(&file.path, number, text));
        } else if asks_for_reason(&line.code) && !has_reason(&file.lines, number - 1) {
            let text = format!(
                "`unsafe` without a reason: write `// SAFETY: why it holds`, at most {REACH} lines above"
            );
            found.push(Finding::new(&file.path, number, text));
        }
    }
}

/// A block, an attribute, a function or an implementation; not a function's type.
fn asks_for_reason(code: &str) -> bool {
    after(code, "unsafe").any(|rest| {
        let rest = rest.trim_start();
        let function_type = after(rest, "fn").next().is_some_and(|rest| rest.trim_start().starts_with('('));
        !function_type
    })
}

fn has_reason(lines: &[Line], at: usize) -> bool {
    // The doc comment of an unsafe function names the duty of its caller, however long it is.
    let above = lines[..at].iter().rev();
    let documented =
        above.take_while(|line| line.code.is_empty() || line.code.trim_start().starts_with("#["));
    lines[at.saturating_sub(REACH)..=at].iter().any(|line| line.comment.contains("SAFETY:"))
        || documented.into_iter().any(|line| line.comment.contains("# Safety"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> usize {
        let mut found = Vec::new();
        check(&RustFile::new(path, text), &mut found);
        found.len()
    }

    #[test]
    fn only_at_home() {
        assert_eq!(
            findings("crates/terrarium-jail/src/a.rs", "fn f() { unsafe { g() } } // SAFETY: none"),
            1
        );
        assert_eq!(
            findings("crates/terrarium-jail/src/a.rs", "#![forbid(unsafe_code)] // unsafe\nf(\"unsafe\")"),
            0
        );
        assert_eq!(findings("crates/terrarium-sys/tests/a.rs", "// SAFETY: none\nunsafe { g() }"), 1);
    }

    #[test]
    fn with_a_reason() {
        let home = "crates/terrarium-sys/src/a.rs";
        assert_eq!(findings(home, "let x = unsafe { g() };"), 1);
        assert_eq!(findings(home, "// SAFETY: no pointers.\nlet x =\n    unsafe { g() };"), 0);
        assert_eq!(findings(home, "unsafe { g() } // SAFETY: no pointers."), 0);
        assert_eq!(findings(home, "// SAFETY: far away.\n\n\n\n\n\n\nunsafe { g() }"), 1);
        assert_eq!(findings(home, "#[unsafe(no_mangle)]\nfn f() {}"), 1);
        assert_eq!(
            findings(
                home,
                "/// # Safety\n/// a\n/// b\n/// c\n/// d\n/// e\n/// f\n/// g\npub unsafe fn f() {}"
            ),
            0
        );
        assert_eq!(findings(home, "type F = unsafe extern \"C\" fn(i32) -> i32;"), 0);
        assert_eq!(findings(home, "unsafe impl Send for X {}"), 1);
    }
}
