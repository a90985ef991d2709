//! The table of batch jobs: what processes say of their job, and what accounting knows of it, become one row.
//!
//! A row is changed by writing its day anew. Job numbers come again, by a requeue or after years: each row says for which time its
//! number is its own.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::DataType;
use deltalake_core::kernel::{Add, Remove};
use terrarium_segment::BatchJob;

use crate::columns;
use crate::error::{Error, Result};
use crate::files::{Packing, day, partition, write};
use crate::gather::{self, Gathered};
use crate::query::Session;
use crate::rewrite::files;
use crate::schema;
use crate::store::Store;

/// A job is looked for among those of so many days before and after.
const DAYS: i32 = 40;

/// Clocks of a node and of a scheduler differ by no more, microseconds.
const SLACK: i64 = 120_000_000;

/// A row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) job: BatchJob,
    pub(crate) source: String,
    pub(crate) first_seen_us: Option<i64>,
    pub(crate) holds_from_us: Option<i64>,
    pub(crate) holds_until_us: Option<i64>,
}

/// Of a cluster: scheduler and number.
type Name = (String, String, String);

impl Row {
    fn name(&self, cluster: &str) -> Name {
        (cluster.to_owned(), self.job.system.clone(), self.job.id.clone())
    }

    /// The day that it stands under: when it began, or was to.
    fn day(&self) -> i32 {
        let job = &self.job;
        gather::day(job.started_us.or(self.first_seen_us).or(job.submitted_us).or(job.ended_us).unwrap_or(0))
    }

    /// When it was first heard of.
    fn begin(&self) -> Option<i64> {
        self.job.submitted_us.or(self.job.started_us).or(self.first_seen_us)
    }

    fn is_of_accounting(&self) -> bool {
        self.job.submitted_us.is_some() || self.job.started_us.is_some()
    }

    /// Whether both tell of the same time that a job ran.
    fn is_same(&self, other: &Row) -> bool {
        if self.is_of_accounting() && other.is_of_accounting() {
            let (a, b) = (&self.job, &other.job);
            return match (a.submitted_us, b.submitted_us) {
                (Some(x), Some(y)) => x == y && a.restarts == b.restarts,
                _ => a.started_us == b.started_us,
            };
        }
        if !self.is_of_accounting() && !other.is_of_accounting() {
            return true;
        }
        let (known, seen) = if self.is_of_accounting() { (self, other) } else { (other, self) };
        let Some(at) = seen.first_seen_us else { return true };
        let from = known.job.started_us.or(known.job.submitted_us).unwrap_or(i64::MIN);
        let until = known.job.ended_us.unwrap_or(i64::MAX);
        at >= from.saturating_sub(SLACK) && at <= until.saturating_add(SLACK)
    }

    /// Adds what another knows; accounting is believed before others, and the later before the earlier, but for an end, which
    /// stays.
    fn add(&mut self, new: Row) {
        let is_better = new.is_of_accounting() || !self.is_of_accounting();
        let has_ended = self.job.ended_us.is_some() && new.job.ended_us.is_none();
        let (better, worse) = if is_better && !has_ended { (&new, &*self) } else { (&*self, &new) };
        let (b, w) = (&better.job, &worse.job);
        macro_rules! either {
            ($($field:ident),*) => { BatchJob {
                system: b.system.clone(),
                id: b.id.clone(),
                restarts: b.restarts.max(w.restarts),
                hosts: if b.hosts.is_empty() { w.hosts.clone() } else { b.hosts.clone() },
                $($field: b.$field.clone().or_else(|| w.$field.clone())),*
            } };
        }
        let job = either!(
            array,
            array_task,
            het,
            het_offset,
            sluid,
            user,
            project,
            queue,
            qos,
            domain,
            submitted_us,
            started_us,
            ended_us,
            state,
            exit_status,
            signal,
            nodes,
            cores,
            gpus,
            memory_bytes,
            time_limit_s,
            cpu_seconds,
            memory_peak_bytes
        );
        let source = better.source.clone();
        let first_seen_us = [self.first_seen_us, new.first_seen_us].into_iter().flatten().min();
        *self = Row { job, source, first_seen_us, holds_from_us: None, holds_until_us: None };
    }
}

/// What a batch changes in the table.
pub(crate) async fn changes(store: &Store, gathered: &Gathered<'_>) -> Result<(Vec<Add>, Vec<Remove>)> {
    let new = told(gathered);
    let days: BTreeSet<i32> = new.values().flatten().map(Row::day).collect();
    let (Some(first), Some(last)) = (days.first(), days.last()) else { return Ok(Default::default()) };
    let clusters: BTreeSet<&str> = new.keys().map(|(cluster, ..)| cluster.as_str()).collect();
    let (from, to) = (first.saturating_sub(DAYS), last.saturating_add(DAYS));
    let mut table = Known::read(store, &clusters, from, to).await?;
    let mut touched: BTreeSet<(String, i32)> = BTreeSet::new();
    for (name, rows) in new {
        let before = table.take(&name);
        let after = joined(before.iter().map(|(_, row)| row.clone()).chain(rows));
        let is_as_before =
            before.len() == after.len() && before.iter().zip(&after).all(|((_, old), new)| old == new);
        if !is_as_before {
            touched.extend(before.iter().map(|(day, _)| (name.0.clone(), *day)));
            touched.extend(after.iter().map(|row| (name.0.clone(), row.day())));
        }
        let after = after.into_iter().map(|row| (row.day(), row));
        table.put(name, if is_as_before { before } else { after.collect() });
    }
    table.write(store, gathered.batch, &touched).await
}

/// Rows of one number, those that tell of the same time made one, in the order of time, each with the time for which it holds.
fn joined(all: impl Iterator<Item = Row>) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for row in all {
        match rows.iter_mut().find(|other| other.is_same(&row)) {
            Some(other) => other.add(row),
            None => rows.push(row),
        }
    }
    rows.sort_by_key(|row| (row.begin(), row.job.restarts));
    let begins: Vec<Option<i64>> = rows
        .iter()
        .map(|row| if row.job.restarts > 0 { row.job.started_us.or(row.begin()) } else { row.begin() })
        .collect();
    for i in 0..rows.len() {
        rows[i].holds_from_us = if i == 0 { None } else { begins[i] };
        rows[i].holds_until_us = begins.get(i + 1).copied().flatten();
    }
    rows
}

/// What the batch says of jobs.
fn told(gathered: &Gathered<'_>) -> BTreeMap<Name, Vec<Row>> {
    let mut all: BTreeMap<Name, Vec<Row>> = BTreeMap::new();
    let mut put = |cluster: u32, row: Row| {
        let rows = all.entry(row.name(gathered.clusters[cluster as usize])).or_default();
        match rows.iter_mut().find(|other| other.is_same(&row)) {
            Some(other) => other.add(row),
            None => rows.push(row),
        }
    };
    let row = |job: BatchJob, source: &str, first_seen_us| Row {
        job,
        source: source.to_owned(),
        first_seen_us,
        holds_from_us: None,
        holds_until_us: None,
    };
    for (cluster, source, job) in &gathered.jobs {
        put(*cluster, row((*job).clone(), source, None));
    }
    // The first process of a job says when it was seen; thousands may follow.
    let mut seen: HashMap<(u32, &str, &str), &gather::Numbered<'_>> = HashMap::new();
    for ((cluster, _), processes) in &gathered.partitions {
        for numbered in processes {
            let Some(job) = &numbered.process.job else { continue };
            let first = seen.entry((*cluster, &job.system, &job.id)).or_insert(numbered);
            if numbered.process.started_us < first.process.started_us {
                *first = numbered;
            }
        }
    }
    let mut seen: Vec<_> = seen.into_iter().collect();
    seen.sort_by_key(|(key, _)| *key);
    for ((cluster, ..), numbered) in seen {
        let process = numbered.process;
        let Some(job) = &process.job else { continue };
        let job = BatchJob {
            system: job.system.clone(),
            id: job.id.clone(),
            array: job.array.clone(),
            array_task: job.array_task.clone(),
            user: Some(process.user.clone()),
            ..BatchJob::default()
        };
        put(cluster, row(job, numbered.source, Some(process.started_us)));
    }
    all
}

/// Rows that are there.
struct Known {
    by_name: HashMap<Name, Vec<(i32, Row)>>,
}

impl Known {
    async fn read(store: &Store, clusters: &BTreeSet<&str>, from: i32, to: i32) -> Result<Self> {
        let session = Session::of(store, &[&schema::JOBS]).await?;
        let mut by_name: HashMap<Name, Vec<(i32, Row)>> = HashMap::new();
        for cluster in clusters {
            let query = format!(
                "SELECT * FROM jobs WHERE cluster = '{}' AND date BETWEEN DATE '{}' AND DATE '{}'",
                cluster.replace('\'', "''"),
                day(from),
                day(to)
            );
            for batch in session.rows(&query).await? {
                for (day, row) in rows(&batch)? {
                    by_name.entry(row.name(cluster)).or_default().push((day, row));
                }
            }
        }
        for rows in by_name.values_mut() {
            rows.sort_by_key(|(_, row)| (row.begin(), row.job.restarts));
        }
        Ok(Known { by_name })
    }

    fn take(&mut self, name: &Name) -> Vec<(i32, Row)> {
        self.by_name.remove(name).unwrap_or_default()
    }

    fn put(&mut self, name: Name, rows: Vec<(i32, Row)>) {
        self.by_name.insert(name, rows);
    }

    /// Writes the days that changed.
    async fn write(
        self,
        store: &Store,
        batch: u64,
        touched: &BTreeSet<(String, i32)>,
    ) -> Result<(Vec<Add>, Vec<Remove>)> {
        let table = &schema::JOBS;
        let mut of_day: BTreeMap<(String, i32), Vec<Row>> = BTreeMap::new();
        for ((cluster, ..), rows) in self.by_name {
            for (day, row) in rows {
                let key = (cluster.clone(), day);
                if touched.contains(&key) {
                    of_day.entry(key).or_default().push(row);
                }
            }
        }
        let mut added = Vec::new();
        for ((cluster, date), mut rows) in of_day {
            rows.sort_by(|a, b| {
                let key =
                    |row: &Row| (row.job.system.clone(), row.job.id.clone(), row.begin(), row.job.restarts);
                key(a).cmp(&key(b))
            });
            let name = format!("batch-{batch:012}");
            let values = partition(table, &cluster, Some(date));
            added.push(write(store, table, values, &name, &[columns::jobs(&rows)?], Packing::Quick).await?);
        }
        let days: BTreeSet<(String, String)> =
            touched.iter().map(|(cluster, date)| (cluster.clone(), day(*date))).collect();
        let state = store.table(table).await?;
        let removed = files(table, &state)?
            .into_iter()
            .filter(|file| {
                let value = |name: &str| file.partition.get(name).cloned().flatten().unwrap_or_default();
                days.contains(&(value("cluster"), value("date")))
            })
            .map(|file| file.remove)
            .collect();
        Ok((added, removed))
    }
}

/// Rows of the table, each with its day.
fn rows(batch: &RecordBatch) -> Result<Vec<(i32, Row)>> {
    let columns = Columns { batch };
    let date = columns.of(DataType::Date32, "date")?;
    let date = date.as_any().downcast_ref::<Date32Array>().ok_or_else(|| bad("date"))?;
    macro_rules! columns {
        ($kind:ident: $($name:ident),*) => { $(let $name = columns.$kind(stringify!($name))?;)* };
    }
    columns!(texts: scheduler, job_id, array_id, array_task, user, project, queue, qos, domain, state, source, het_id, sluid);
    columns!(times: first_seen, submitted, started, ended, holds_from, holds_until);
    columns!(ints: nodes, cores, gpus, exit_status, signal, restarts, het_offset);
    columns!(longs: time_limit_s, memory_bytes, memory_peak_bytes);
    let cpu = columns.of(DataType::Float64, "cpu_seconds")?;
    let cpu = cpu.as_any().downcast_ref::<Float64Array>().ok_or_else(|| bad("cpu_seconds"))?;
    let hosts = batch.column_by_name("hosts").ok_or_else(|| bad("hosts"))?;
    let hosts = hosts.as_list_opt::<i32>().ok_or_else(|| bad("hosts"))?;
    let text = |column: &StringArray, i: usize| column.is_valid(i).then(|| column.value(i).to_owned());
    let time = |column: &TimestampMicrosecondArray, i: usize| column.is_valid(i).then(|| column.value(i));
    let int = |column: &Int32Array, i: usize| column.is_valid(i).then(|| column.value(i));
    let count = |column: &Int32Array, i: usize| int(column, i).and_then(|n| u32::try_from(n).ok());
    let long = |column: &Int64Array, i: usize| {
        column.is_valid(i).then(|| column.value(i)).and_then(|n| u64::try_from(n).ok())
    };
    let mut all = Vec::with_capacity(batch.num_rows());
    for i in 0..batch.num_rows() {
        let names = if hosts.is_valid(i) { Some(hosts.value(i)) } else { None };
        let names = names.and_then(|names| arrow::compute::cast(&names, &DataType::Utf8).ok());
        let names = names.as_ref().and_then(|names| names.as_any().downcast_ref::<StringArray>());
        let job = BatchJob {
            system: text(&scheduler, i).unwrap_or_default(),
            id: text(&job_id, i).unwrap_or_default(),
            array: text(&array_id, i),
            array_task: text(&array_task, i),
            het: text(&het_id, i),
            het_offset: count(&het_offset, i),
            sluid: text(&sluid, i),
            restarts: count(&restarts, i).unwrap_or(0),
            user: text(&user, i),
            project: text(&project, i),
            queue: text(&queue, i),
            qos: text(&qos, i),
            domain: text(&domain, i),
            submitted_us: time(&submitted, i),
            started_us: time(&started, i),
            ended_us: time(&ended, i),
            state: text(&state, i),
            exit_status: int(&exit_status, i),
            signal: int(&signal, i),
            nodes: count(&nodes, i),
            cores: count(&cores, i),
            gpus: count(&gpus, i),
            memory_bytes: long(&memory_bytes, i),
            time_limit_s: long(&time_limit_s, i),
            cpu_seconds: cpu.is_valid(i).then(|| cpu.value(i)),
            memory_peak_bytes: long(&memory_peak_bytes, i),
            hosts: names.map(|names| names.iter().flatten().map(str::to_owned).collect()).unwrap_or_default(),
        };
        let row = Row {
            job,
            source: text(&source, i).unwrap_or_default(),
            first_seen_us: time(&first_seen, i),
            holds_from_us: time(&holds_from, i),
            holds_until_us: time(&holds_until, i),
        };
        all.push((date.value(i), row));
    }
    Ok(all)
}

fn bad(name: &str) -> Error {
    Error::Rows { table: "jobs", source: format!("the column {name} is missing, or has another type").into() }
}

struct Columns<'a> {
    batch: &'a RecordBatch,
}

impl Columns<'_> {
    fn of(&self, kind: DataType, name: &str) -> Result<ArrayRef> {
        let column = self.batch.column_by_name(name).ok_or_else(|| bad(name))?;
        arrow::compute::cast(column, &kind).map_err(|_| bad(name))
    }

    fn texts(&self, name: &str) -> Result<StringArray> {
        self.of(DataType::Utf8, name)?.as_any().downcast_ref().cloned().ok_or_else(|| bad(name))
    }

    fn ints(&self, name: &str) -> Result<Int32Array> {
        self.of(DataType::Int32, name)?.as_any().downcast_ref().cloned().ok_or_else(|| bad(name))
    }

    fn longs(&self, name: &str) -> Result<Int64Array> {
        self.of(DataType::Int64, name)?.as_any().downcast_ref().cloned().ok_or_else(|| bad(name))
    }

    fn times(&self, name: &str) -> Result<TimestampMicrosecondArray> {
        self.of(schema::Type::Time.arrow(), name)?.as_any().downcast_ref().cloned().ok_or_else(|| bad(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounted(id: &str, submitted: i64, started: i64, ended: Option<i64>) -> Row {
        let job = BatchJob {
            system: "slurm".into(),
            id: id.into(),
            submitted_us: Some(submitted),
            started_us: Some(started),
            ended_us: ended,
            state: Some(if ended.is_some() { "COMPLETED" } else { "RUNNING" }.into()),
            ..BatchJob::default()
        };
        Row { job, source: "slurm".into(), first_seen_us: None, holds_from_us: None, holds_until_us: None }
    }

    fn seen(id: &str, at: i64) -> Row {
        let job = BatchJob {
            system: "slurm".into(),
            id: id.into(),
            user: Some("ada".into()),
            project: Some("from-xalt".into()),
            ..BatchJob::default()
        };
        Row { job, source: "xalt".into(), first_seen_us: Some(at), holds_from_us: None, holds_until_us: None }
    }

    #[test]
    fn what_was_seen_and_what_was_accounted_become_one_in_either_order() {
        let mut accounted = accounted("7", 100, 110, Some(200));
        accounted.job.project = Some("physics".into());
        for rows in [[seen("7", 120), accounted.clone()], [accounted.clone(), seen("7", 120)]] {
            let rows = joined(rows.into_iter());
            assert_eq!(rows.len(), 1);
            let row = &rows[0];
            assert_eq!((row.source.as_str(), row.first_seen_us), ("slurm", Some(120)));
            assert_eq!(row.job.project.as_deref(), Some("physics"));
            assert_eq!(row.job.user.as_deref(), Some("ada"));
        }
    }

    #[test]
    fn an_end_stays() {
        let (running, ended) = (accounted("7", 100, 110, None), accounted("7", 100, 110, Some(200)));
        for rows in [[running.clone(), ended.clone()], [ended.clone(), running.clone()]] {
            let rows = joined(rows.into_iter());
            assert_eq!((rows.len(), rows[0].job.state.as_deref()), (1, Some("COMPLETED")));
        }
    }

    #[test]
    fn a_number_that_comes_again_holds_for_its_time() {
        const HOUR: i64 = 3_600_000_000;
        let first = accounted("7", HOUR, 2 * HOUR, Some(3 * HOUR));
        let again = accounted("7", 5 * HOUR, 6 * HOUR, Some(7 * HOUR));
        let rows = joined([again, seen("7", 6 * HOUR + 1), first, seen("7", 2 * HOUR + 1)].into_iter());
        assert_eq!(rows.len(), 2, "{rows:?}");
        assert_eq!((rows[0].holds_from_us, rows[0].holds_until_us), (None, Some(5 * HOUR)));
        assert_eq!((rows[1].holds_from_us, rows[1].holds_until_us), (Some(5 * HOUR), None));
        assert_eq!(rows[1].first_seen_us, Some(6 * HOUR + 1));
        // PBS submits once and runs twice.
        let mut rerun = accounted("7", HOUR, 4 * HOUR, Some(5 * HOUR));
        rerun.job.restarts = 1;
        let rows = joined([accounted("7", HOUR, 2 * HOUR, Some(3 * HOUR)), rerun].into_iter());
        assert_eq!((rows.len(), rows[1].holds_from_us), (2, Some(4 * HOUR)));
    }
}
