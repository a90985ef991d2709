//! What `sacct --parsable2` writes.

use std::io::{self, BufRead};

use terrarium_segment::BatchJob;

use crate::lines::{Lines, TOO_LONG};
use crate::options::Options;
use crate::sacct_row::{Column, Header, Row};
use crate::text::{owned, seconds};
use crate::{Found, Sink, broken};

/// A job whose steps may follow.
struct Open {
    /// How the names of its steps begin, as sacct shows them and raw.
    shown: String,
    raw: String,
    cluster: Option<String>,
    job: BatchJob,
    cpu_us: Option<u64>,
    steps_cpu_us: Option<u64>,
    /// A step of it is broken: what follows from all of them is not known.
    is_partial: bool,
}

impl Open {
    fn new(row: &Row<'_, '_>, options: &Options) -> Result<Open, String> {
        let (shown, raw) = row.names();
        Ok(Open {
            shown: shown.to_owned(),
            raw: raw.to_owned(),
            cluster: owned(row.get(Column::Cluster)),
            job: row.job(options)?,
            cpu_us: row.cpu_us(),
            steps_cpu_us: None,
            is_partial: false,
        })
    }

    fn has(&self, step: &Row<'_, '_>) -> bool {
        let (shown, raw) = step.names();
        let begins = |name: &str, job: &str| name.split('.').next() == Some(job);
        begins(shown, &self.shown) && begins(raw, &self.raw)
    }

    fn fold(&mut self, step: &Row<'_, '_>) {
        self.job.memory_peak_bytes = self.job.memory_peak_bytes.max(step.peak());
        if let Some(us) = step.cpu_us() {
            self.steps_cpu_us = Some(self.steps_cpu_us.unwrap_or(0).saturating_add(us));
        }
    }

    fn hand_on(mut self, sink: Sink<'_>) -> io::Result<()> {
        if self.is_partial {
            (self.job.memory_peak_bytes, self.steps_cpu_us) = (None, None);
        }
        let us = self.cpu_us.filter(|us| *us > 0).or(self.steps_cpu_us).or(self.cpu_us);
        self.job.cpu_seconds = us.map(seconds);
        sink(Found::Job { cluster: self.cluster, job: Box::new(self.job) })
    }
}

/// Reads the output of `sacct --parsable2` or `--parsable`, whatever the delimiter; columns are found by
/// their names in the header.
///
/// Steps are folded into the job before them, and [`Found::Passed`]. A row that is broken by a delimiter in a
/// text is mended if only one column can hold such a text.
pub fn sacct_text(input: &mut dyn BufRead, options: &Options, sink: Sink<'_>) -> io::Result<()> {
    let mut lines = Lines::new(input);
    let mut header = None;
    let mut open: Option<Open> = None;
    while let Some(line) = lines.next()? {
        let Some(text) = line.text else {
            hand_on(&mut open, sink)?;
            broken(sink, line.offset, TOO_LONG)?;
            continue;
        };
        if text.trim().is_empty() {
            continue;
        }
        let Some(columns) = &header else {
            match Header::read(&text) {
                Some(Ok(read)) => header = Some(read),
                Some(Err(why)) => return broken(sink, line.offset, why),
                None => {
                    let why = "there is no header with names of sacct's columns: run it without --noheader";
                    return broken(sink, line.offset, why);
                }
            }
            continue;
        };
        let why = match columns.cells(&text) {
            Ok(row) if row.is_step() => {
                match &mut open {
                    Some(job) if job.has(&row) => {
                        job.fold(&row);
                        sink(Found::Passed("steps"))?;
                    }
                    _ => sink(Found::Passed("steps without their job"))?,
                }
                continue;
            }
            Ok(row) => match Open::new(&row, options) {
                Ok(job) => {
                    hand_on(&mut open, sink)?;
                    open = Some(job);
                    continue;
                }
                Err(why) => why,
            },
            Err(why) => why,
        };
        // Files that were put together have more than one header.
        if let Some(Ok(read)) = Header::read(&text) {
            header = Some(read);
            continue;
        }
        match &mut open {
            Some(job) if columns.is_broken_step(&text) => job.is_partial = true,
            _ => hand_on(&mut open, sink)?,
        }
        broken(sink, line.offset, why)?;
    }
    hand_on(&mut open, sink)
}

fn hand_on(open: &mut Option<Open>, sink: Sink<'_>) -> io::Result<()> {
    open.take().map_or(Ok(()), |job| job.hand_on(sink))
}
