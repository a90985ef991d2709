//! The public job data of ALCF (`ANL-ALCF-DJC-…csv`).

use std::io::{self, BufReader, Read};

use terrarium_segment::{BatchJob, job_id};

use crate::options::{Options, Zone};
use crate::pbs::array;
use crate::pbs_record::exit;
use crate::table::Table;
use crate::text::{clock_us, count, digits, known, owned, short};
use crate::{Found, Sink, broken};

/// The columns that are used.
#[derive(Clone, Copy)]
enum Column {
    CobaltJobId,
    JobName,
    MachineName,
    Queued,
    Start,
    End,
    User,
    Project,
    Queue,
    Walltime,
    Nodes,
    Cores,
    Gpus,
    ExitStatus,
    ExitCode,
    Field,
    FieldShort,
}

const COLUMNS: &[(&str, Column)] = &[
    ("COBALT_JOBID", Column::CobaltJobId),
    ("JOB_NAME", Column::JobName),
    ("MACHINE_NAME", Column::MachineName),
    ("QUEUED_TIMESTAMP", Column::Queued),
    ("START_TIMESTAMP", Column::Start),
    ("END_TIMESTAMP", Column::End),
    ("USERNAME_GENID", Column::User),
    ("PROJECT_NAME_GENID", Column::Project),
    ("QUEUE_NAME", Column::Queue),
    ("WALLTIME_SECONDS", Column::Walltime),
    ("NODES_USED", Column::Nodes),
    ("CORES_USED", Column::Cores),
    ("GPUS_REQUESTED", Column::Gpus),
    ("EXIT_STATUS", Column::ExitStatus),
    ("EXIT_CODE", Column::ExitCode),
    ("SCIENCE_FIELD", Column::Field),
    ("SCIENCE_FIELD_SHORT", Column::FieldShort),
];

/// How many of the columns a header names.
pub(crate) fn known_columns<'a>(names: impl Iterator<Item = &'a str>) -> usize {
    names.filter(|name| COLUMNS.iter().any(|(known, _)| known.eq_ignore_ascii_case(name.trim()))).count()
}

struct Header {
    at: [Option<usize>; COLUMNS.len()],
    width: usize,
}

impl Header {
    fn read(names: &[String]) -> Result<Header, String> {
        let mut at = [None; COLUMNS.len()];
        for (index, name) in names.iter().enumerate() {
            let name = name.trim();
            if let Some((_, column)) = COLUMNS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
                at[*column as usize].get_or_insert(index);
            }
        }
        if at[Column::CobaltJobId as usize].is_none() && at[Column::JobName as usize].is_none() {
            return Err("there is no header with JOB_NAME or COBALT_JOBID".to_owned());
        }
        Ok(Header { at, width: names.len() })
    }
}

struct Row<'a> {
    header: &'a Header,
    cells: &'a [String],
}

impl Row<'_> {
    fn get(&self, column: Column) -> &str {
        let cell = self.header.at[column as usize].and_then(|at| self.cells.get(at));
        cell.and_then(|cell| known(cell)).filter(|cell| *cell != "-1").unwrap_or_default()
    }

    fn time(&self, column: Column, zone: Zone) -> Option<i64> {
        let text = self.get(column);
        // Some have a zone by name at the end.
        zone.iso_us(text).or_else(|| zone.iso_us(text.strip_suffix("UTC")?))
    }
}

/// Reads the public job data of ALCF: CSV whose columns are found by name. Times are in UTC unless
/// [`Options::zone`] says another zone than that of this machine. Users and projects are pseudonyms already.
pub fn djc(input: &mut dyn Read, options: &Options, sink: Sink<'_>) -> io::Result<()> {
    let zone = if options.zone == Zone::Local { Zone::Utc } else { options.zone };
    let mut table = Table::new(BufReader::new(input));
    let Some(first) = table.next()? else {
        return Ok(());
    };
    let header = match first.cells.and_then(|names| Header::read(&names)) {
        Ok(header) => header,
        Err(why) => return broken(sink, first.offset, why),
    };
    while let Some(row) = table.next()? {
        let found = row.cells.and_then(|cells| {
            if cells.len() != header.width {
                return Err(format!("{} columns instead of {}", cells.len(), header.width));
            }
            job(&Row { header: &header, cells: &cells }, zone)
        });
        match found {
            Ok((cluster, job)) => sink(Found::Job { cluster, job: Box::new(job) })?,
            Err(why) => broken(sink, row.offset, why)?,
        }
    }
    Ok(())
}

/// A name that PBS gave: `123.polaris-pbs-01…`, `123[4].…`.
fn is_of_pbs(name: &str) -> bool {
    let (id, server) = name.split_once('.').unwrap_or((name, ""));
    let number = id.split('[').next().unwrap_or_default();
    let is_task = id.strip_prefix(number).is_some_and(|task| task.starts_with('[') && task.ends_with(']'));
    let is_number = !number.is_empty() && digits(number).is_some();
    is_number && (is_task || (id == number && server.to_ascii_lowercase().contains("pbs")))
}

/// System and name of a job.
fn name(row: &Row<'_>) -> Result<(&'static str, String), String> {
    let (cobalt, name) = (row.get(Column::CobaltJobId), row.get(Column::JobName));
    if is_of_pbs(name) {
        return Ok(("pbs", job_id("pbs", name)));
    }
    let number = |text: &str| {
        let number = text.split('.').next().unwrap_or_default();
        (!number.is_empty() && digits(number).is_some()).then(|| number.to_owned())
    };
    if let Some(id) = number(cobalt) {
        return Ok(("cobalt", id));
    }
    let id = number(name)
        .ok_or_else(|| format!("neither COBALT_JOBID nor JOB_NAME '{}' is an id", short(name)))?;
    Ok(("pbs", id))
}

fn job(row: &Row<'_>, zone: Zone) -> Result<(Option<String>, BatchJob), String> {
    let (system, id) = name(row)?;
    let (array, array_task) = array(&id);
    let code = Some(row.get(Column::ExitStatus)).filter(|code| !code.is_empty());
    let code = code.unwrap_or_else(|| row.get(Column::ExitCode));
    let exit = exit(code.strip_suffix(".0").unwrap_or(code));
    let limit_us = clock_us(row.get(Column::Walltime), 1_000_000);
    let cluster = known(row.get(Column::MachineName)).map(str::to_lowercase);
    let job = BatchJob {
        system: system.to_owned(),
        id,
        array,
        array_task,
        user: owned(row.get(Column::User)),
        project: owned(row.get(Column::Project)),
        queue: owned(row.get(Column::Queue)),
        domain: owned(row.get(Column::Field)).or_else(|| owned(row.get(Column::FieldShort))),
        submitted_us: row.time(Column::Queued, zone),
        started_us: row.time(Column::Start, zone),
        ended_us: row.time(Column::End, zone),
        state: exit.word.map(str::to_owned),
        exit_status: exit.status,
        signal: exit.signal,
        nodes: count(row.get(Column::Nodes)),
        cores: count(row.get(Column::Cores)),
        gpus: gpus(row.get(Column::Gpus)),
        time_limit_s: limit_us.map(|us| us / 1_000_000).filter(|limit| *limit > 0),
        ..BatchJob::default()
    };
    Ok((cluster, job))
}

/// GPUs, of which there may be none; -1 is not known.
fn gpus(text: &str) -> Option<u32> {
    text.strip_suffix(".0").unwrap_or(text).parse().ok()
}
