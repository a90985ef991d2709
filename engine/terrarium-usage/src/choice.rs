//! What a report is about: days, and all that can be chosen beside.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Date32Type, Int32Type};
use terrarium_rollup::{Field, Filter};

use crate::commit::texts;
use crate::error::Result;
use crate::rewrite::{files, read};
use crate::rollup::State;
use crate::schema;
use crate::store::{Store, failed};

/// What is `None` does not matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// First day,
    pub since: chrono::NaiveDate,
    /// and last.
    pub until: chrono::NaiveDate,
    /// Cluster.
    pub cluster: Option<String>,
    /// Field of science.
    pub domain: Option<String>,
    /// Account that jobs are charged to.
    pub project: Option<String>,
    /// Name or pseudonym.
    pub user: Option<String>,
    /// Class of the environment, or `own` for all of people's own.
    pub env: Option<String>,
    /// Where a library lies.
    pub origin: Option<String>,
    /// Partition or queue.
    pub queue: Option<String>,
    /// Jobs with GPUs, or without: accounting knows the job, and of no GPU.
    pub gpu: Option<bool>,
    /// Asked for, or come along.
    pub direct: Option<bool>,
}

fn days(date: chrono::NaiveDate) -> i32 {
    (date - chrono::NaiveDate::default()).num_days() as i32
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

impl Choice {
    /// All of some days.
    pub fn days(since: chrono::NaiveDate, until: chrono::NaiveDate) -> Self {
        Choice {
            since,
            until,
            cluster: None,
            domain: None,
            project: None,
            user: None,
            env: None,
            origin: None,
            queue: None,
            gpu: None,
            direct: None,
        }
    }

    /// Days since 1970, both inclusive.
    pub fn span(&self) -> (i32, i32) {
        (days(self.since), days(self.until))
    }

    /// In words, for what stands above a report.
    pub fn words(&self) -> Vec<String> {
        let texts = [
            ("cluster", &self.cluster),
            ("domain", &self.domain),
            ("project", &self.project),
            ("user", &self.user),
            ("environment", &self.env),
            ("origin", &self.origin),
            ("queue", &self.queue),
        ];
        let mut words: Vec<String> = texts
            .iter()
            .filter_map(|(name, value)| value.as_ref().map(|value| format!("{name} {value}")))
            .collect();
        words.extend(self.gpu.map(|gpu| if gpu { "jobs with GPUs" } else { "jobs without GPUs" }.to_owned()));
        words.extend(self.direct.map(|direct| if direct { "asked for" } else { "came along" }.to_owned()));
        words
    }

    /// As rollups are asked.
    pub(crate) async fn filter(&self, store: &Store, known: &State) -> Result<Filter> {
        let users = match &self.user {
            None => None,
            Some(wanted) => {
                let mut found = terrarium_rollup::Set::default();
                let state = store.table(&schema::USERS).await?;
                for file in files(&schema::USERS, &state)? {
                    for rows in read(store, &schema::USERS, &file).await? {
                        let numbers = rows.column(0).as_primitive::<Int32Type>();
                        if let Some(names) = texts(&rows, 1) {
                            let his = (0..rows.num_rows()).filter(|i| names.value(*i) == wanted);
                            his.for_each(|i| found.insert(numbers.value(i) as u32));
                        }
                    }
                }
                Some(found)
            }
        };
        Ok(Filter {
            days: Some(self.span()),
            cluster: self.cluster.clone(),
            users,
            project: self.project.clone(),
            domain: self.domain.clone(),
            queue: self.queue.clone(),
            gpu: self.gpu,
            class: self.env.clone(),
            origin: self.origin.clone(),
            direct: self.direct,
            fields: known.fields(),
        })
    }

    fn of_day(&self) -> String {
        let cluster = self.cluster.as_ref().map(|cluster| format!(" AND cluster = {}", quoted(cluster)));
        format!("date BETWEEN DATE '{}' AND DATE '{}'{}", self.since, self.until, cluster.unwrap_or_default())
    }

    fn of_process(&self) -> Vec<String> {
        let mut all = Vec::new();
        all.extend(self.user.as_ref().map(|user| format!("\"user\" = {}", quoted(user))));
        all.extend(self.env.as_ref().map(|env| match env.as_str() {
            "own" => "starts_with(environment_class, 'own-')".to_owned(),
            class => format!("environment_class = {}", quoted(class)),
        }));
        all
    }

    fn of_job(&self) -> Vec<String> {
        let mut all = Vec::new();
        let texts = [("project", &self.project), ("domain", &self.domain), ("queue", &self.queue)];
        all.extend(texts.iter().filter_map(|(column, value)| {
            value.as_ref().map(|value| format!("{column} = {}", quoted(value)))
        }));
        all.extend(
            self.gpu.map(|gpu| {
                if gpu { "gpus > 0" } else { "is_accounted AND coalesce(gpus, 0) = 0" }.to_owned()
            }),
        );
        all
    }

    /// Views of the rows that it is about: `chosen_processes`, `chosen_loads` (of `imports`) and `chosen_jobs` (of `process_jobs`).
    pub(crate) fn views(&self) -> Vec<(&'static str, String)> {
        let day = self.of_day();
        let (process, job) = (self.of_process(), self.of_job());
        let and = |conditions: &[String]| {
            conditions.iter().map(|condition| format!(" AND {condition}")).collect::<String>()
        };
        let both: Vec<String> = process.iter().chain(&job).cloned().collect();
        let of_jobs =
            format!("process_id IN (SELECT process_id FROM process_jobs WHERE {day}{})", and(&both));
        let processes = if job.is_empty() { and(&process) } else { format!(" AND {of_jobs}") };
        let mut loads = Vec::new();
        loads.extend(self.origin.as_ref().map(|origin| format!("origin = {}", quoted(origin))));
        loads.extend(self.direct.map(|direct| format!("direct = {direct}")));
        if !both.is_empty() {
            loads.push(format!("process_id IN (SELECT process_id FROM processes WHERE {day}{processes})"));
        }
        vec![
            ("chosen_processes", format!("SELECT * FROM processes WHERE {day}{processes}")),
            ("chosen_loads", format!("SELECT * FROM imports WHERE {day}{}", and(&loads))),
            ("chosen_jobs", format!("SELECT * FROM process_jobs WHERE {day}{}", and(&both))),
        ]
    }
}

/// The version of the table of fields of science, and what it says of projects.
pub(crate) async fn fields(store: &Store) -> Result<(u64, BTreeMap<String, Vec<Field>>)> {
    let mut all: BTreeMap<String, Vec<Field>> = BTreeMap::new();
    let state = store.table(&schema::DOMAINS).await?;
    let version = state.snapshot().map_err(failed(schema::DOMAINS.name))?.version();
    for file in files(&schema::DOMAINS, &state)? {
        for rows in read(store, &schema::DOMAINS, &file).await? {
            let (Some(projects), Some(domains)) = (texts(&rows, 0), texts(&rows, 1)) else { continue };
            let day = |column: usize| {
                let days = arrow::compute::cast(rows.column(column), &DataType::Date32).ok()?;
                Some(days.as_primitive::<Date32Type>().clone())
            };
            let (Some(since), Some(until)) = (day(2), day(3)) else { continue };
            for i in 0..rows.num_rows() {
                let at = |days: &arrow::array::Date32Array| days.is_valid(i).then(|| days.value(i));
                let field = (at(&since), at(&until), domains.value(i).to_owned());
                all.entry(projects.value(i).to_owned()).or_default().push(field);
            }
        }
    }
    Ok((version, all))
}
