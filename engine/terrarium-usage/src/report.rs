//! Reports: questions that are asked again and again, each a file of SQL that says in its head what it means.

use arrow::array::RecordBatch;

use crate::error::{Error, Result};
use crate::query::Session;

/// A report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What it is called.
    pub name: &'static str,
    /// What stands above it.
    pub title: String,
    /// What it answers.
    pub question: String,
    /// What each column means.
    pub columns: Vec<(String, String)>,
    /// How it is drawn.
    pub chart: Chart,
    /// What is to be known of its figures.
    pub note: String,
    sql: &'static str,
}

/// Bars: which columns name them, and which are their lengths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chart {
    /// Columns that make the name of a bar.
    pub label: Vec<String>,
    /// Columns that are its parts.
    pub values: Vec<String>,
    /// What the parts are called.
    pub names: Vec<String>,
    /// What the values are.
    pub axis: String,
}

/// The days that a report is about, both inclusive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Days {
    /// From,
    pub since: chrono::NaiveDate,
    /// to.
    pub until: chrono::NaiveDate,
}

/// How much of what there was is in the figures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Completeness {
    /// Processes recorded.
    pub processes: i64,
    /// Of people who opted out.
    pub opted_out: i64,
    /// In whose records something is missing.
    pub incomplete: i64,
    /// Processes that runs counted and that could not be recorded at all.
    pub lost: i64,
    /// Recorded with a probability below 1.
    pub sampled: i64,
    /// Imported ones whose source saw no packages, or no end.
    pub doubtful: i64,
    /// Those that were in a batch job.
    pub in_jobs: i64,
    /// Those of them whose job accounting knows.
    pub accounted: i64,
    /// Whether any accounting was imported.
    pub has_accounting: bool,
}

const FILES: [(&str, &str); 5] = [
    ("top", include_str!("../reports/top.sql")),
    ("libraries", include_str!("../reports/libraries.sql")),
    ("versions", include_str!("../reports/versions.sql")),
    ("origins", include_str!("../reports/origins.sql")),
    ("processes", include_str!("../reports/processes.sql")),
];

/// All of them.
pub fn all() -> Vec<Report> {
    FILES.iter().map(|(name, sql)| parse(name, sql)).collect()
}

fn parse(name: &'static str, sql: &'static str) -> Report {
    let mut report = Report {
        name,
        title: String::new(),
        question: String::new(),
        columns: Vec::new(),
        chart: Chart::default(),
        note: String::new(),
        sql,
    };
    for (key, value) in sql.lines().filter_map(|line| line.strip_prefix("-- ")?.split_once(": ")) {
        match key {
            "title" => report.title = value.to_owned(),
            "question" => report.question = value.to_owned(),
            "note" => report.note = value.to_owned(),
            "column" => {
                if let Some((name, about)) = value.split_once(": ") {
                    report.columns.push((name.to_owned(), about.to_owned()));
                }
            }
            "chart" => report.chart = chart(value),
            _ => {}
        }
    }
    report
}

fn chart(text: &str) -> Chart {
    let mut chart = Chart::default();
    let list = |value: &str, by: char| value.split(by).map(str::to_owned).collect();
    for (key, value) in text.split("; ").filter_map(|part| part.split_once('=')) {
        match key {
            "label" => chart.label = list(value, '+'),
            "values" => chart.values = list(value, ','),
            "names" => chart.names = list(value, ','),
            "axis" => chart.axis = value.to_owned(),
            _ => {}
        }
    }
    chart
}

impl Report {
    /// Its rows.
    pub async fn rows(&self, session: &Session, days: &Days, limit: usize) -> Result<Vec<RecordBatch>> {
        let sql = self
            .sql
            .replace("{since}", &days.since.to_string())
            .replace("{until}", &days.until.to_string())
            .replace("{limit}", &limit.to_string());
        session.rows(&sql).await
    }
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

/// How complete the figures of these days are.
pub async fn completeness(session: &Session, days: &Days) -> Result<Completeness> {
    let of_days = format!("date BETWEEN DATE '{}' AND DATE '{}'", days.since, days.until);
    let rows = session
        .rows(&format!(
            "SELECT count(*), count(CASE WHEN extent = 'opted-out' THEN 1 END), \
             count(CASE WHEN dropped > 0 OR is_cut THEN 1 END), count(CASE WHEN probability < 1 THEN 1 END), \
             count(CASE WHEN array_length(doubts) > 0 THEN 1 END), count(job_id) \
             FROM processes WHERE {of_days}"
        ))
        .await?;
    let any =
        session.rows("SELECT count(*) FROM jobs WHERE submitted IS NOT NULL OR started IS NOT NULL").await?;
    let lost = session
        .rows(&format!(
            "SELECT CAST(coalesce(sum(processes_dropped), 0) AS BIGINT) FROM job_usage WHERE {of_days}"
        ))
        .await?;
    let number = |rows: &[RecordBatch], column: usize| -> Result<i64> {
        let array = rows.first().and_then(|batch| {
            batch.column(column).as_any().downcast_ref::<arrow::array::Int64Array>().map(|c| c.value(0))
        });
        array.ok_or_else(|| Error::Rows { table: "processes", source: "no number".into() })
    };
    let has_accounting = number(&any, 0)? > 0;
    let (mut in_jobs, mut accounted) = (number(&rows, 5)?, 0);
    if has_accounting {
        let joined = format!(
            "SELECT count(job_id), count(CASE WHEN is_accounted THEN 1 END) FROM process_jobs WHERE {of_days}"
        );
        let joined = session.rows(&joined).await?;
        (in_jobs, accounted) = (number(&joined, 0)?, number(&joined, 1)?);
    }
    Ok(Completeness {
        processes: number(&rows, 0)?,
        opted_out: number(&rows, 1)?,
        incomplete: number(&rows, 2)?,
        sampled: number(&rows, 3)?,
        lost: number(&lost, 0)?,
        doubtful: number(&rows, 4)?,
        in_jobs,
        accounted,
        has_accounting,
    })
}

impl std::fmt::Display for Completeness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.processes {
            1 => write!(f, "from 1 process that was recorded")?,
            n => write!(f, "from {n} processes that were recorded")?,
        }
        match (self.opted_out, self.incomplete, self.lost, self.sampled) {
            (0, 0, 0, 0) if self.doubtful == 0 => write!(f, "; nothing is known to be missing")?,
            (0, 0, 0, 0) => {}
            (opted_out, incomplete, lost, sampled) => {
                write!(
                    f,
                    ", {opted_out} opted out and {incomplete} incomplete; {lost} more could not be recorded"
                )?;
                if sampled > 0 {
                    write!(f, "; {sampled} are samples and not re-weighted")?;
                }
            }
        }
        if self.doubtful > 0 {
            write!(f, "; {} imported ones do not tell all (see `doubts`)", self.doubtful)?;
        }
        if self.has_accounting && self.in_jobs > 0 {
            let share = 100.0 * self.accounted as f64 / self.in_jobs as f64;
            write!(f, "; {} of {} in jobs joined accounting ({share:.1} %)", self.accounted, self.in_jobs)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_says_what_it_means() {
        for report in all() {
            assert!(!report.title.is_empty() && report.question.ends_with('?'), "{report:?}");
            assert!(!report.columns.is_empty() && !report.note.is_empty(), "{}", report.name);
            let chart = &report.chart;
            assert!(
                !chart.label.is_empty() && !chart.values.is_empty() && !chart.axis.is_empty(),
                "{}",
                report.name
            );
            assert!(chart.names.is_empty() || chart.names.len() == chart.values.len(), "{}", report.name);
            for word in ["{since}", "{until}", "{limit}"] {
                assert!(report.sql.contains(word), "{} {word}", report.name);
            }
        }
    }
}
