//! How complete figures are, in words and in numbers.

use terrarium_rollup::Completeness;

use crate::error::{Error, Result};
use crate::query::Session;

/// The line that stands below every report.
pub fn completeness_words(of: &Completeness) -> String {
    let mut text = match of.processes {
        1 => "from 1 process that was recorded".to_owned(),
        n => format!("from {n} processes that were recorded"),
    };
    if of.opted_out + of.incomplete + of.lost > 0 {
        text.push_str(&format!(
            ", {} opted out and {} incomplete; {} more could not be recorded",
            of.opted_out, of.incomplete, of.lost
        ));
    } else if of.sampled + of.doubtful == 0 {
        text.push_str("; nothing is known to be missing");
    }
    if of.sampled > 0 {
        text.push_str(&format!(
            "; {} are samples: jobs, node-hours, modules and times are re-weighted, users are those that were seen",
            of.sampled
        ));
    }
    if of.doubtful > 0 {
        text.push_str(&format!("; {} imported ones do not tell all (see `doubts`)", of.doubtful));
    }
    if of.in_jobs > 0 {
        match of.accounted {
            0 => text.push_str(&format!("; {} in jobs, of which no accounting was imported", of.in_jobs)),
            n => {
                let share = 100.0 * n as f64 / of.in_jobs as f64;
                text.push_str(&format!("; {n} of {} in jobs joined accounting ({share:.1} %)", of.in_jobs));
            }
        }
    }
    text
}

/// How many processes were found in accounting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Joined {
    /// Processes.
    pub processes: u64,
    /// That name a job, or whose job was found.
    pub in_jobs: u64,
    /// Whose job accounting knows.
    pub accounted: u64,
    /// Whose job's project has a field of science.
    pub with_domain: u64,
}

/// Of all processes, or of a source's on some days.
pub async fn joined(store: &crate::store::Store, of: Option<(&str, (i32, i32))>) -> Result<Joined> {
    let session = Session::open(store, crate::query::MEMORY).await?;
    let condition = of.map_or_else(String::new, |(source, (first, last))| {
        format!(
            " WHERE source = '{}' AND date BETWEEN DATE '{}' AND DATE '{}'",
            source.replace('\'', "''"),
            crate::files::day(first),
            crate::files::day(last)
        )
    });
    let rows = session
        .rows(&format!(
            "SELECT count(*), count(job_id), count(CASE WHEN is_accounted THEN 1 END), \
             count(CASE WHEN job_id IS NOT NULL THEN domain END) FROM process_jobs{condition}"
        ))
        .await?;
    let number = |column: usize| -> Result<u64> {
        let array = rows.first().and_then(|batch| {
            batch.column(column).as_any().downcast_ref::<arrow::array::Int64Array>().map(|c| c.value(0))
        });
        let number = array.ok_or_else(|| Error::Rows { table: "processes", source: "no number".into() })?;
        Ok(u64::try_from(number).unwrap_or(0))
    };
    Ok(Joined { processes: number(0)?, in_jobs: number(1)?, accounted: number(2)?, with_domain: number(3)? })
}
