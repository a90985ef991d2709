//! `terrarium report overhead`: what tracking costs on this machine, measured now.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use terrarium_usage::report::{Answered, Report};

use crate::cli::ReportArgs;
use crate::error::CliError;
use crate::out;

/// Pairs of a row, unless they take too long.
const PAIRS: usize = 21;
/// And so long at most, but for three pairs.
const LONGEST: Duration = Duration::from_secs(20);

/// What is imported if nobody names libraries: those of these that are there.
const COMMON: [&str; 20] = [
    "numpy",
    "scipy",
    "pandas",
    "matplotlib.pyplot",
    "sklearn",
    "torch",
    "tensorflow",
    "jax",
    "xarray",
    "dask",
    "h5py",
    "mpi4py",
    "yaml",
    "requests",
    "PIL",
    "asyncio",
    "json",
    "email.message",
    "multiprocessing",
    "xml.dom.minidom",
];

struct Row {
    what: String,
    libraries: Option<i64>,
    plain_ms: Option<f64>,
    tracked_ms: Option<f64>,
    added_ms: f64,
    percent: f64,
    pairs: Option<i64>,
    source: &'static str,
}

/// Measures.
pub(super) fn measure(report: Report, args: &ReportArgs) -> Result<Answered, CliError> {
    let hook = hook().ok_or_else(|| {
        CliError::Usage(
            "the hook is not here: `make install` puts it to lib/terrarium; TERRARIUM_HOOK=PATH names it"
                .to_owned(),
        )
    })?;
    let python = itself(&args.python.clone().unwrap_or_else(|| PathBuf::from("python3")));
    let spool = std::env::temp_dir().join(format!("terrarium-overhead-{}", std::process::id()));
    terrarium_usage::location::make_private(&spool)
        .map_err(|source| CliError::File { path: spool.clone(), source })?;
    let rows = rows(&python, &hook, &spool, &args.libraries);
    let _ = std::fs::remove_dir_all(&spool);
    out::progress_end();
    let rows = rows?;
    Ok(Answered { report, rows: vec![batch(&rows)?], complete: None, notes: Vec::new() })
}

fn rows(python: &Path, hook: &Path, spool: &Path, named: &[String]) -> Result<Vec<Row>, CliError> {
    let named: Vec<String> = if named.is_empty() {
        COMMON.iter().map(|name| (*name).to_owned()).collect()
    } else {
        named.to_vec()
    };
    let there: Vec<String> = named.into_iter().filter(|name| is_there(python, name)).collect();
    let Some(first) = there.first().cloned() else {
        return Err(CliError::Usage(format!("{} imports none of these libraries", python.display())));
    };
    let mut rows = vec![pairs(python, hook, spool, "Python started".to_owned(), &[])?];
    rows.push(pairs(python, hook, spool, format!("import {first}"), std::slice::from_ref(&first))?);
    if there.len() > 1 {
        rows.push(pairs(python, hook, spool, format!("import {} libraries", there.len()), &there)?);
    }
    // "Evaluating the usage of Python libraries on a production supercomputer": times without tracking are implied by the percentages.
    let published = |what: &str, libraries, added_ms: f64, percent: f64| Row {
        what: what.to_owned(),
        libraries: Some(libraries),
        plain_ms: Some((added_ms / percent * 100.0).round()),
        tracked_ms: Some((added_ms / percent * 100.0 + added_ms).round()),
        added_ms,
        percent,
        pairs: None,
        source: "Argonne, XALT on Polaris",
    };
    rows.push(published("XALT, 1 library", 1, 240.0, 16.0));
    rows.push(published("XALT, 95 libraries", 95, 6100.0, 47.0));
    Ok(rows)
}

/// The interpreter itself, where the name is that of a script which looks for it.
fn itself(python: &Path) -> PathBuf {
    let asked =
        Command::new(python).args(["-c", "import sys; print(sys.executable)"]).stdin(Stdio::null()).output();
    let path = asked
        .ok()
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .map(|text| PathBuf::from(text.trim()));
    path.filter(|path| path.is_file()).unwrap_or_else(|| python.to_owned())
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '.')
}

fn is_there(python: &Path, name: &str) -> bool {
    is_name(name)
        && Command::new(python)
            .args(["-c", &format!("import {name}")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
}

fn pairs(
    python: &Path,
    hook: &Path,
    spool: &Path,
    what: String,
    libraries: &[String],
) -> Result<Row, CliError> {
    let code =
        if libraries.is_empty() { "pass".to_owned() } else { format!("import {}", libraries.join(", ")) };
    let began = Instant::now();
    let (mut plain, mut tracked, mut added) = (Vec::new(), Vec::new(), Vec::new());
    // The first of each warms the caches and is not counted.
    for pair in 0..=PAIRS {
        out::progress(format_args!("{what}: pair {pair} of {PAIRS}"));
        // In turn, so that what goes on meanwhile hits both.
        let (a, b) = if pair % 2 == 0 {
            let a = once(python, &code, None)?;
            (a, once(python, &code, Some((hook, spool)))?)
        } else {
            let b = once(python, &code, Some((hook, spool)))?;
            (once(python, &code, None)?, b)
        };
        if pair > 0 {
            plain.push(a);
            tracked.push(b);
            added.push(b - a);
        }
        if pair >= 3 && began.elapsed() > LONGEST {
            break;
        }
    }
    let pairs = added.len() as i64;
    let (plain, tracked, added) = (median(plain), median(tracked), median(added));
    Ok(Row {
        what,
        libraries: Some(libraries.len() as i64),
        plain_ms: Some(plain),
        tracked_ms: Some(tracked),
        added_ms: added,
        percent: 100.0 * added / plain,
        pairs: Some(pairs),
        source: "here, now",
    })
}

/// Milliseconds of one run.
fn once(python: &Path, code: &str, tracked: Option<(&Path, &Path)>) -> Result<f64, CliError> {
    let mut command = Command::new(python);
    command.args(["-c", code]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    for variable in ["LD_PRELOAD", "TERRARIUM_SPOOL", "TERRARIUM_TRACK"] {
        command.env_remove(variable);
    }
    if let Some((hook, spool)) = tracked {
        command.env("LD_PRELOAD", hook).env("TERRARIUM_SPOOL", spool);
    }
    let began = Instant::now();
    let status = command.status().map_err(|source| CliError::File { path: python.to_owned(), source })?;
    let took = began.elapsed().as_secs_f64() * 1e3;
    if status.success() {
        Ok(took)
    } else {
        Err(CliError::Usage(format!("{} fails: {code}", python.display())))
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Where `make install` puts it, or beside this program, as in a checkout.
fn hook() -> Option<PathBuf> {
    const NAME: &str = "libterrarium_hook.so";
    if let Some(named) = std::env::var_os("TERRARIUM_HOOK") {
        return Some(PathBuf::from(named));
    }
    let own = std::env::current_exe().ok()?;
    let beside = own.parent()?;
    let places = [
        beside.join("../../lib/terrarium").join(NAME),
        beside.join("../lib/terrarium").join(NAME),
        beside.join(NAME),
    ];
    places.into_iter().find(|path| path.is_file())
}

fn batch(rows: &[Row]) -> Result<RecordBatch, CliError> {
    let rounded = |value: f64| (value * 100.0).round() / 100.0;
    let double = |of: &dyn Fn(&Row) -> Option<f64>| -> ArrayRef {
        Arc::new(rows.iter().map(|row| of(row).map(rounded)).collect::<Float64Array>())
    };
    let long = |of: &dyn Fn(&Row) -> Option<i64>| -> ArrayRef {
        Arc::new(rows.iter().map(of).collect::<Int64Array>())
    };
    let text = |of: &dyn Fn(&Row) -> String| -> ArrayRef {
        Arc::new(rows.iter().map(|row| Some(of(row))).collect::<StringArray>())
    };
    let columns = [
        ("what", text(&|row| row.what.clone())),
        ("libraries", long(&|row| row.libraries)),
        ("plain_ms", double(&|row| row.plain_ms)),
        ("tracked_ms", double(&|row| row.tracked_ms)),
        ("added_ms", double(&|row| Some(row.added_ms))),
        ("percent", double(&|row| Some(row.percent))),
        ("pairs", long(&|row| row.pairs)),
        ("source", text(&|row| row.source.to_owned())),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)))
        .map_err(|error| CliError::Usage(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_names() {
        assert!(is_name("xml.dom") && !is_name("os; print(1)") && !is_name(""));
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
    }
}
