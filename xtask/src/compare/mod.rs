//! terrarium beside its peers: what is left of jobs that fight back, which signals arrive, what statuses come back. What
//! each one does is looked at from outside; README.md has the table.

mod cases;
mod contenders;
mod job;
mod marks;
mod table;

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use clap::Args;

use crate::Result;
use crate::bench::account::Account;
use crate::bench::place::Place;
use cases::{Case, Stage};
use contenders::{Contender, Programs};
use table::{Comparison, Row};

/// Flags of `cargo xtask compare`.
#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// Only these: words in the names of contenders, or the names of cases (daemons closed bomb phoenix stopped clone
    /// signals group statuses zombies outside)
    #[arg(long, value_name = "NAME", num_args = 1..)]
    only: Vec<String>,
    /// How often each is tried; what leaves no processes, three times as often
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Print what was found as JSON
    #[arg(long)]
    json: bool,
    /// Put the table into README.md as well
    #[arg(long, conflicts_with = "only")]
    write: bool,
    /// Started by itself: at the end of its input, end what has this mark
    #[arg(long, hide = true, value_name = "MARK")]
    sweep: Option<String>,
}

/// Programs that the contenders run, or run in.
const PROGRAMS: [&str; 8] =
    ["daemons", "forkbomb", "phoenix", "stopped", "clone_flags", "sigcount", "zombies", "without_userns"];

/// Tries everything and prints the table.
pub(crate) fn run(root: &Path, args: &CompareArgs) -> Result {
    if let Some(mark) = &args.sweep {
        marks::sweep_at_end_of_input(mark);
        return Ok(());
    }
    let scratch = tempfile::Builder::new()
        .prefix("terrarium-compare-")
        .tempdir()
        .and_then(|directory| {
            std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755))?;
            Ok(directory)
        })
        .map_err(|e| format!("temporary directory: {e}"))?;
    copy_programs(&Place::new(root)?, scratch.path())?;
    cases::prepare(scratch.path())?;
    let programs = Programs::new(scratch.path());
    let account = Account::ordinary()?;
    let (mut contenders, absent) = contenders::present(&programs, &account);
    let mut cases = cases::all();
    choose(&args.only, &mut contenders, &mut cases)?;
    for reason in &absent {
        eprintln!("compare: left out: {reason}");
    }

    let prefix = format!("{}-", std::process::id());
    let sweeper = sweeper(&prefix)?;
    let mut stage = Stage { programs: &programs, scratch: scratch.path(), prefix: &prefix, count: 0 };
    let rows =
        cases.iter().map(|case| row(case, &contenders, args.runs, &mut stage)).collect::<Result<Vec<_>>>();
    drop_sweeper(sweeper);

    let comparison = Comparison {
        kernel: read_line("/proc/sys/kernel/osrelease"),
        system: system(),
        versions: contenders::versions(&programs, &contenders),
        runs: args.runs,
        contenders,
        absent,
        rows: rows?,
    };
    let text = comparison.markdown();
    if args.write {
        let path = root.join("README.md");
        let fail = |e: std::io::Error| format!("{}: {e}", path.display());
        let document = std::fs::read_to_string(&path).map_err(fail)?;
        std::fs::write(&path, table::replaced(&document, &text)?).map_err(fail)?;
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&comparison).map_err(|e| e.to_string())?);
    } else {
        print!("{text}");
    }
    Ok(())
}

/// The ordinary user may not reach the checkout.
fn copy_programs(place: &Place, directory: &Path) -> Result {
    place.compile_programs()?;
    let copy = |from: &Path, name: &str| {
        std::fs::copy(from, directory.join(name)).map(drop).map_err(|e| format!("{}: {e}", from.display()))
    };
    copy(&place.terrarium, "terrarium")?;
    PROGRAMS.iter().try_for_each(|name| copy(&place.program(name), name))
}

/// A word that names no case must be part of a contender's name.
fn choose(only: &[String], contenders: &mut Vec<Contender>, cases: &mut Vec<Case>) -> Result {
    let (ids, names): (Vec<&String>, Vec<&String>) =
        only.iter().partition(|word| cases.iter().any(|case| case.id == word.as_str()));
    let named = |word: &str| contenders.iter().any(|contender| contender.name.contains(word));
    if let Some(unknown) = names.iter().find(|word| !named(word)) {
        let all: Vec<&str> = contenders.iter().map(|contender| contender.name).collect();
        return Err(format!("--only {unknown}: neither a case nor one of: {}", all.join("; ")));
    }
    if !names.is_empty() {
        contenders.retain(|contender| names.iter().any(|word| contender.name.contains(word.as_str())));
    }
    if !ids.is_empty() {
        cases.retain(|case| ids.iter().any(|word| case.id == word.as_str()));
    }
    Ok(())
}

fn row(case: &Case, contenders: &[Contender], runs: u32, stage: &mut Stage<'_>) -> Result<Row> {
    let mut results = Vec::new();
    for contender in contenders {
        let mut trials = Vec::new();
        if contender.refused.is_none() {
            for trial in &case.trials {
                let values = (0..runs * trial.tries())
                    .map(|_| stage.measure(contender, *trial))
                    .collect::<Result<Vec<_>>>()?;
                trials.push(values);
            }
        }
        eprintln!("compare: {}: {}: {}", case.id, contender.name, table::cell(&trials));
        results.push(trials);
    }
    Ok(Row { id: case.id, title: case.title, results })
}

/// Ends what is left if this process is interrupted: its standard input ends with us.
fn sweeper(prefix: &str) -> Result<Child> {
    std::env::current_exe()
        .and_then(|own| {
            Command::new(own)
                .args(["compare", "--sweep", prefix])
                .stdin(Stdio::piped())
                // Ctrl-C in a terminal is not for it.
                .process_group(0)
                .spawn()
        })
        .map_err(|e| format!("starting the sweeper: {e}"))
}

fn drop_sweeper(mut sweeper: Child) {
    sweeper.stdin = None;
    let _ = sweeper.wait();
}

fn read_line(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

/// What /etc/os-release calls this system.
fn system() -> String {
    let text = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or_else(|| "an unknown system".to_owned(), |name| name.trim_matches('"').to_owned())
}
