//! What `terrarium run` keeps of a run: a series, and a line in the history.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use terrarium_core::report::{Enforcer, RunReport};
use terrarium_core::sample::{SERIES_SCHEMA, SeriesStart};
use terrarium_core::{Bytes, Finding};
use terrarium_jail::Running;
use terrarium_observe::history as kept;
use terrarium_sys::process::{host_name, memory_total};

use crate::cli::RunArgs;
use crate::error::CliError;
use crate::history;
use crate::recorder::{self, Recorder};

/// What is to be kept of a run.
pub(super) struct Record {
    /// `--record`.
    file: Option<PathBuf>,
    /// The history's directory.
    history: Option<PathBuf>,
}

impl Record {
    /// Looks before the job starts whether a file that was asked for can be written.
    pub(super) fn of(args: &RunArgs) -> Result<Self, CliError> {
        if args.record.is_some() && args.record == args.report {
            return Err(CliError::Conflict("--record and --report name the same file".to_owned()));
        }
        let file = args.record.as_deref().map(recorder::check).transpose()?;
        let history = if args.no_record { None } else { history::directory() };
        Ok(Record { file, history })
    }

    /// For a job that was started.
    pub(super) fn recorder(&self, args: &RunArgs, running: &Running, cpus: usize) -> Option<Recorder> {
        let started = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64());
        let plan = running.plan();
        let whole = |enforcer| matches!(enforcer, Some(Enforcer::CgroupV1 | Enforcer::CgroupV2));
        let start = SeriesStart {
            schema: SERIES_SCHEMA.to_owned(),
            job: plan.job,
            command: args.command.iter().map(|c| c.to_string_lossy().into_owned()).collect(),
            directory: std::env::current_dir().map(|d| d.display().to_string()).unwrap_or_default(),
            host: host_name(),
            started,
            interval_ms: args.interval.as_millis() as u64,
            cpus: cpus as u64,
            node_memory: Bytes(memory_total()),
            memory_limit: plan.limits.memory.as_ref().filter(|l| whole(l.enforced_by)).map(|l| l.value),
            memory_by_cgroup: running.counts_memory(),
        };
        if let Some(file) = &self.file {
            return Some(Recorder::new(file.clone(), start, true));
        }
        let series = kept::series_of(&start.host, started, &start.job.to_string());
        self.history.as_ref().map(|directory| Recorder::new(directory.join(series), start, false))
    }

    /// Ends the series; what hindered it.
    pub(super) fn end_series(&self, recorder: Option<Recorder>, report: &RunReport) -> Option<Finding> {
        match recorder?.finish(report) {
            Ok(None) => None,
            Ok(Some(_)) => {
                if let Some(directory) = self.history.as_ref().filter(|_| self.file.is_none()) {
                    let _ = recorder::in_time(&|| kept::trim_series(directory).map_err(|e| e.to_string()));
                }
                None
            }
            Err(why) => Some(match (&self.file, &self.history) {
                (None, Some(directory)) => history::not_written(directory, &why),
                (file, _) => {
                    let path = file.as_deref().unwrap_or(Path::new("")).display();
                    Finding::new("series", format!("the series {path} is not complete: {why}"))
                        .hint("is the disk full, or a quota used up? What was written before is readable")
                }
            }),
        }
    }

    /// Puts another report into a series that has ended: of a job in ranks only the last rank knows how it ended.
    pub(super) fn correct_series(&self, report: &RunReport) {
        let correct = || {
            let in_history = |directory: &PathBuf| {
                Some(directory.join(kept::find_series(directory, &report.job.to_string())?))
            };
            let path = self.file.clone().or_else(|| self.history.as_ref().and_then(in_history));
            path.map_or(Ok(()), |path| recorder::replace_report(&path, report))
        };
        // Without it the series says how its holder ended, and is otherwise whole.
        let _ = recorder::in_time(&correct);
    }

    /// Adds the run to the history; what hindered it.
    pub(super) fn remember(&self, report: &RunReport) -> Option<Finding> {
        let directory = self.history.as_deref()?;
        history::add(directory, report, self.file.as_deref())
    }
}
