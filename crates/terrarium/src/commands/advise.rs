//! `terrarium advise`: what to ask for, from the history.

use std::io::Write;
use std::path::{Path, PathBuf};

use terrarium_core::Finding;
use terrarium_core::report::RunReport;
use terrarium_core::sample::Sample;
use terrarium_observe::advice::batch::System;
use terrarium_observe::advice::command::{Matched, fingerprint, select};
use terrarium_observe::advice::evidence::impossible;
use terrarium_observe::advice::{self, Advice, Run};
use terrarium_observe::history::{self, Entry};
use terrarium_observe::series;

use crate::advice_text;
use crate::cli::advise::{AdviceOutput, AdviseArgs, Batch};
use crate::error::CliError;
use crate::{history as kept, out};

use super::interpreter;

/// Series are read of so many runs, the newest: they serve CPUs and growth, where the last ones tell.
const SERIES_READ: usize = 20;

/// Of what cannot be read in the history, so much is told.
const PROBLEMS: usize = 5;

/// Returns the exit code.
pub(crate) fn run(args: &AdviseArgs) -> Result<u8, CliError> {
    let directory = args.history.clone().or_else(kept::directory).ok_or(CliError::NoHistory)?;
    let mut entries = read(&directory)?;
    if !args.job.is_empty() {
        if let Some(job) = args.job.iter().find(|job| entries.iter().all(|e| e.report.job != **job)) {
            return Err(CliError::NoSuchRun { directory, job: *job });
        }
        entries.retain(|e| args.job.contains(&e.report.job));
    }
    let (command, started_in) = if args.command.is_empty() {
        let Some(last) = entries.last() else { return Err(CliError::EmptyHistory { directory }) };
        (last.report.command.clone(), last.report.directory.clone())
    } else {
        let here = std::env::current_dir().map(|d| d.display().to_string()).unwrap_or_default();
        (args.command.iter().map(|w| w.to_string_lossy().into_owned()).collect(), here)
    };
    print(
        &make(&directory, &entries, &command, &started_in, args.last),
        args.output,
        &mut std::io::stdout().lock(),
    );
    Ok(0)
}

/// After a trial: from this run, and those before it.
pub(super) fn after(
    report: &RunReport,
    series: Option<&Path>,
    alone: bool,
    output: AdviceOutput,
    stream: &mut dyn Write,
) {
    let directory = kept::directory().filter(|_| !alone);
    let mut entries = directory.as_deref().and_then(|d| read(d).ok()).unwrap_or_default();
    // Not there if the history could not be written to.
    if entries.iter().all(|e| e.report.job != report.job) {
        entries.push(Entry { report: report.clone(), series: series.map(Path::to_owned) });
    }
    let directory = directory.unwrap_or_default();
    print(&make(&directory, &entries, &report.command, &report.directory, None), output, stream);
}

fn read(directory: &Path) -> Result<Vec<Entry>, CliError> {
    let history = history::read(directory)
        .map_err(|source| CliError::History { directory: directory.to_owned(), source })?;
    let (mut entries, mut problems) = (history.entries, history.problems);
    entries.retain(|entry| {
        let impossible = impossible(&entry.report);
        problems.extend(impossible.map(|why| format!("run {}: {why}", entry.report.job)));
        impossible.is_none()
    });
    for problem in problems.iter().take(PROBLEMS) {
        out::note(format_args!("note: left out of the history: {problem}"));
    }
    if let more @ 1.. = problems.len().saturating_sub(PROBLEMS) {
        out::note(format_args!("note: left out of the history: {more} more"));
    }
    Ok(entries)
}

fn make(
    directory: &Path,
    entries: &[Entry],
    command: &[String],
    started_in: &str,
    last: Option<u64>,
) -> Advice {
    let prints: Vec<_> =
        entries.iter().map(|e| fingerprint(&e.report.command, &e.report.directory)).collect();
    let enough =
        |at: &[usize]| advice::is_enough(&at.iter().map(|i| &entries[*i].report).collect::<Vec<_>>());
    let wanted = fingerprint(command, started_in);
    let (matched, mut chosen) = select(&wanted, &prints, enough);
    let first = chosen.len().saturating_sub(last.map_or(usize::MAX, |n| n as usize));
    chosen.drain(..first);
    let without_series = chosen.len().saturating_sub(SERIES_READ);
    let samples: Vec<Option<Vec<Sample>>> = chosen
        .iter()
        .enumerate()
        .map(|(at, i)| {
            let path = entries[*i].series.as_ref().filter(|_| at >= without_series)?;
            let samples = samples_of(directory.join(path))?;
            // Another run may have been recorded to the same file since.
            (samples.0 == entries[*i].report.job).then_some(samples.1)
        })
        .collect();
    let runs: Vec<Run> = chosen
        .iter()
        .zip(&samples)
        .map(|(i, samples)| Run { report: &entries[*i].report, samples: samples.as_deref() })
        .collect();
    let mut advice = advice::advise(command, matched, &runs);
    if matched == Matched::Shape && chosen.iter().all(|i| prints[*i] != wanted) {
        let text = "no run had exactly these arguments: other numbers and inputs may need more memory, and far more time";
        advice
            .findings
            .insert(0, Finding::new("other-arguments", text).hint("try these: terrarium trial -- COMMAND"));
    }
    advice.python = advice.python_to_ask(&runs).and_then(|(python, ran)| interpreter::ask(python, ran));
    advice
}

fn samples_of(path: PathBuf) -> Option<(terrarium_core::JobId, Vec<Sample>)> {
    let series = series::read(history::open_series(&path).ok()?).ok()?;
    Some((series.start.job, series.samples))
}

fn print(advice: &Advice, output: AdviceOutput, stream: &mut dyn Write) {
    let mut advice = advice.clone();
    let systems = systems(output);
    if output.json {
        if let Some(batch) = output.batch {
            advice.keep_systems(&of(batch));
        }
        match serde_json::to_string_pretty(&advice) {
            Ok(text) => out::to(stream, text),
            Err(error) => out::note(error),
        }
        return;
    }
    advice.keep_systems(&systems);
    for line in advice_text::lines(&advice) {
        out::to(stream, line);
    }
}

fn of(batch: Batch) -> Vec<System> {
    match batch {
        Batch::Slurm => vec![System::Slurm],
        Batch::Pbs => vec![System::Pbs],
        Batch::Lsf => vec![System::Lsf],
        Batch::All => System::ALL.to_vec(),
        Batch::None => Vec::new(),
    }
}

/// Those that were asked for, else those whose commands are here, else all.
fn systems(output: AdviceOutput) -> Vec<System> {
    if let Some(batch) = output.batch {
        return of(batch);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let has = |name: &str| std::env::split_paths(&path).any(|dir| dir.join(name).is_file());
    let here = [("sbatch", System::Slurm), ("qsub", System::Pbs), ("bsub", System::Lsf)];
    let found: Vec<System> = here.into_iter().filter(|(name, _)| has(name)).map(|(_, s)| s).collect();
    if found.is_empty() { System::ALL.to_vec() } else { found }
}
