//! `terrarium trial`: a short run, and what it says of the next.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use terrarium_core::report::End;
use terrarium_observe::history;

use crate::cli::advise::TrialArgs;
use crate::error::CliError;
use crate::history::directory;

use super::{advise, run};

/// As long as jobs of the queues for tests may take at many sites.
const TIME: Duration = Duration::from_secs(600);

/// Returns the exit code.
pub(crate) fn run(mut args: TrialArgs) -> Result<u8, CliError> {
    let options = &mut args.run.options;
    options.time.get_or_insert(TIME);
    if !options.no_record && options.record.is_none() {
        options.record = series();
    }
    // What reads our output waits for the advice, so that it is no loss that this copy outlives the job's.
    let mut stdout = std::io::stdout().as_fd().try_clone_to_owned().ok().map(File::from);
    let (code, report) = run::run_and_report(&args.run, stdout.as_ref().map(AsRawFd::as_raw_fd))?;
    let Some(report) = report else { return Ok(code) };
    let code = if report.end == End::TimeLimit { 0 } else { code };
    let series = args.run.options.record.as_deref();
    if let Some(stdout) = &mut stdout {
        advise::after(&report, series, args.run.options.no_record, args.output, stdout);
    }
    Ok(code)
}

/// A place for the series in the history, where those of runs that are too short to keep one go as well: whether memory was
/// still growing is to be seen there.
fn series() -> Option<PathBuf> {
    let directory = directory()?.join("series");
    history::make(&directory).ok()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let path = directory.join(format!("{now}-trial-{}.arrow", std::process::id()));
    // By trying: an error would end the trial before it began.
    File::create(&path).ok()?;
    Some(path)
}
