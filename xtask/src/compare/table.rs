//! What was found, as a Markdown table with its legend, and where it stands in README.md.

use std::fmt::Write as _;

use serde::Serialize;

use super::contenders::Contender;
use crate::Result;

const BEGIN: &str = "<!-- made by `cargo xtask compare --write` -->";
const END: &str = "<!-- end of what `cargo xtask compare --write` made -->";

/// The result of one trial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Value {
    /// Alive when the launcher returned, and two seconds later.
    Left {
        started: usize,
        at_once: usize,
        later: usize,
    },
    /// The launcher did not return.
    LeftHanging {
        started: usize,
        left: usize,
    },
    Count(u32),
    Status(i32),
    Done(bool),
    Hangs,
    /// The job did not start; what it said instead.
    Failed(String),
}

/// All of it.
#[derive(Debug, Serialize)]
pub(super) struct Comparison {
    pub(super) kernel: String,
    pub(super) system: String,
    pub(super) versions: Vec<String>,
    pub(super) runs: u32,
    pub(super) contenders: Vec<Contender>,
    /// Who does not take part, and why.
    pub(super) absent: Vec<String>,
    pub(super) rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    /// For each contender, for each trial, of all runs. Nothing from one that refuses every job.
    pub(super) results: Vec<Vec<Vec<Value>>>,
}

impl Comparison {
    pub(super) fn markdown(&self) -> String {
        let heads = self.contenders.iter().map(|contender| contender.name.to_owned());
        let mut text = line(std::iter::once(String::new()).chain(heads));
        text += &line((0..=self.contenders.len()).map(|_| "---".to_owned()));
        for row in &self.rows {
            let cells = row.results.iter().map(|trials| cell(trials));
            text += &line(std::iter::once(row.title.to_owned()).chain(cells));
        }
        text += "\n";
        text += &self.legend();
        text
    }

    fn legend(&self) -> String {
        let mut text = String::from(
            "Rows that begin with \"left\" tell how many processes are alive when the launcher has returned: after the\n\
             end of the main process · after SIGKILL to the launcher · after SIGTERM to it. `3 → 0`: 3 at that moment\n\
             and 0 two seconds later; `hangs, 3`: the launcher has not returned after 12 s, and 3 are alive. Processes\n\
             are counted in /proc by a mark in their environment, whatever a tool says. The number before an arrow is that\n\
             of a moment: it differs from run to run, and is 0 by chance at times.\n",
        );
        if self.contenders.iter().any(|contender| contender.refused.is_some()) {
            text += "`refused`: the tool starts no job there, and says why.\n";
        }
        text += "\nCalled as:\n\n";
        for contender in &self.contenders {
            let _ = write!(text, "- {}: `{}`, as {}", contender.name, contender.shown, contender.account);
            if contender.name.ends_with("ptrace") {
                text += ", where no user namespace can be made";
            }
            if let Some(reason) = &contender.refused {
                let _ = write!(text, "; refused: {reason}");
            }
            text += "\n";
        }
        for absent in &self.absent {
            let _ = writeln!(text, "- {absent}");
        }
        let runs = self.runs;
        let versions = self.versions.join(", ");
        let _ = writeln!(
            text,
            "\nLinux {}, {}; {versions}. Runs of each: {runs} of\n\
             those that begin with \"left\", where the worst is shown, and {} of the others.",
            self.kernel,
            self.system,
            3 * runs
        );
        text
    }
}

fn line(cells: impl Iterator<Item = String>) -> String {
    let cells: Vec<String> = cells.map(|cell| cell.replace('|', "\\|")).collect();
    format!("| {} |\n", cells.join(" | "))
}

/// What stands in one cell: the trials side by side.
pub(super) fn cell(trials: &[Vec<Value>]) -> String {
    if trials.is_empty() {
        return "refused".to_owned();
    }
    trials.iter().map(|runs| several(runs)).collect::<Vec<_>>().join(" · ")
}

/// Several runs of a trial: the worst of what is left, else all that was seen.
fn several(runs: &[Value]) -> String {
    let worst = runs.iter().try_fold((0, 0), |worst, run| match run {
        Value::Left { at_once, later, .. } => Some((worst.0.max(*at_once), worst.1.max(*later))),
        _ => None,
    });
    if let (Some((at_once, later)), false) = (worst, runs.is_empty()) {
        return one(&Value::Left { started: 0, at_once, later });
    }
    let mut seen: Vec<String> = Vec::new();
    for text in runs.iter().map(one) {
        if !seen.contains(&text) {
            seen.push(text);
        }
    }
    seen.sort();
    seen.join(" or ")
}

fn one(value: &Value) -> String {
    match value {
        Value::Left { at_once, later, .. } if at_once == later => at_once.to_string(),
        Value::Left { at_once, later, .. } => format!("{at_once} → {later}"),
        Value::LeftHanging { left, .. } => format!("hangs, {left}"),
        Value::Count(count) => count.to_string(),
        Value::Status(code) => code.to_string(),
        Value::Done(done) => if *done { "yes" } else { "no" }.to_owned(),
        Value::Hangs => "hangs".to_owned(),
        Value::Failed(_) => "fails".to_owned(),
    }
}

/// `document` with `table` where the last one stands.
pub(super) fn replaced(document: &str, table: &str) -> Result<String> {
    let missing = || format!("README.md has no line `{BEGIN}` with `{END}` after it");
    let (before, rest) = document.split_once(BEGIN).ok_or_else(missing)?;
    let (_, after) = rest.split_once(END).ok_or_else(missing)?;
    Ok(format!("{before}{BEGIN}\n\n{}\n\n{END}{after}", table.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::account::Account;

    fn left(at_once: usize, later: usize) -> Value {
        Value::Left { started: 9, at_once, later }
    }

    #[test]
    fn cells() {
        assert_eq!(cell(&[vec![left(0, 0)], vec![left(5, 5)], vec![left(5, 0)]]), "0 · 5 · 5 → 0");
        assert_eq!(cell(&[vec![left(3, 0), left(0, 0), left(2, 1)]]), "3 → 1");
        assert_eq!(cell(&[vec![Value::LeftHanging { started: 3, left: 2 }, left(1, 1)]]), "1 or hangs, 2");
        assert_eq!(cell(&[vec![Value::Count(1), Value::Count(0), Value::Count(1)]]), "0 or 1");
        assert_eq!(cell(&[vec![Value::Status(139)], vec![Value::Hangs]]), "139 · hangs");
        assert_eq!(cell(&[vec![Value::Done(true)], vec![Value::Done(false)]]), "yes · no");
        assert_eq!(cell(&[vec![Value::Failed("no".to_owned())]]), "fails");
        assert_eq!(cell(&[]), "refused");
    }

    fn contender(name: &'static str, refused: Option<&str>) -> Contender {
        Contender {
            name,
            shown: format!("{name} --"),
            account: "me (1)".to_owned(),
            refused: refused.map(str::to_owned),
            runs_as: Account::own(),
            before: Vec::new(),
        }
    }

    #[test]
    fn a_table_with_its_legend() {
        let comparison = Comparison {
            kernel: "6.18".to_owned(),
            system: "Debian 12".to_owned(),
            versions: vec!["a 1".to_owned(), "b 2".to_owned()],
            runs: 2,
            contenders: vec![contender("a", None), contender("b", Some("no"))],
            absent: vec!["c: c is not installed".to_owned()],
            rows: vec![Row {
                id: "daemons",
                title: "left of a|b",
                results: vec![vec![vec![left(1, 0)], vec![left(0, 0)]], vec![]],
            }],
        };
        let text = comparison.markdown();
        assert!(
            text.starts_with("|  | a | b |\n| --- | --- | --- |\n| left of a\\|b | 1 → 0 · 0 | refused |\n"),
            "{text}"
        );
        assert!(text.contains("`refused`: "), "{text}");
        assert!(text.contains("- a: `a --`, as me (1)\n"), "{text}");
        assert!(text.contains("- b: `b --`, as me (1); refused: no\n- c: c is not installed\n"), "{text}");
        let end = "\nLinux 6.18, Debian 12; a 1, b 2. Runs of each: 2 of\n\
                   those that begin with \"left\", where the worst is shown, and 6 of the others.\n";
        assert!(text.ends_with(end), "{text}");
    }

    #[test]
    fn the_table_of_a_document_is_replaced() {
        let document = format!("# x\n\n{BEGIN}\n\nold\n\n{END}\n\nrest\n");
        let new = replaced(&document, "| new |\n").unwrap();
        assert_eq!(new, format!("# x\n\n{BEGIN}\n\n| new |\n\n{END}\n\nrest\n"));
        assert_eq!(replaced(&new, "| new |\n").unwrap(), new);
        assert!(replaced("# x\n", "").unwrap_err().contains("has no line"));
    }

    /// `--write` has somewhere to write.
    #[test]
    fn the_readme_has_a_place_for_it() {
        let text = std::fs::read_to_string(crate::root().join("README.md")).unwrap();
        replaced(&text, "").unwrap();
    }
}
