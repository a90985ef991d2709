//! Finds the job of processes that name none: by who ran them, where and when.
//!
//! A process on a login node, or one whose record lost its job, is told by its node: only where its user had exactly one job on that
//! node at that time is it put down as that job's. A record that names no node is left alone, for it may well be of a login node.

use std::collections::{BTreeMap, HashMap, HashSet};

use arrow::array::{Array, AsArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::DataType;
use futures::TryStreamExt;

use crate::columns::{self, LinkRow};
use crate::commit::texts;
use crate::error::{Error, Result};
use crate::files::{Packing, day, partition, write};
use crate::gather;
use crate::query::Session;
use crate::rewrite::{files, read};
use crate::schema;
use crate::store::Store;

/// Clocks of node and scheduler differ by no more, microseconds.
const SLACK: i64 = 5_000_000;

/// Jobs last no longer, days.
const LONGEST: i32 = 40;

/// Days that are looked at at once.
const SPAN: i32 = 31;

/// What was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Linked {
    /// Processes that name no job.
    pub without_job: u64,
    /// Those of them whose job was found.
    pub found: u64,
}

/// By cluster and day: process, scheduler and job.
type Found = BTreeMap<(String, i32), Vec<(i64, String, String)>>;

struct Candidate {
    from: i64,
    until: i64,
    hosts: HashSet<String>,
    /// In the list of names.
    name: usize,
}

fn bad(what: &str) -> Error {
    Error::Rows { table: "links", source: format!("{what} has another type").into() }
}

/// A node's name without its domain.
fn short(host: &str) -> &str {
    host.split('.').next().unwrap_or_default()
}

fn times(batch: &RecordBatch, column: usize) -> Result<TimestampMicrosecondArray> {
    let cast = arrow::compute::cast(batch.column(column), &schema::Type::Time.arrow());
    let array = cast.map_err(|_| bad("a time"))?;
    array.as_any().downcast_ref::<TimestampMicrosecondArray>().cloned().ok_or_else(|| bad("a time"))
}

/// Looks at all processes without a job, and writes down which are whose.
pub async fn link(store: &Store) -> Result<Linked> {
    let _lock = store.lock()?;
    let session = Session::of(store, &[&schema::PROCESSES, &schema::JOBS]).await?;
    let mut days: BTreeMap<String, (i32, i32)> = BTreeMap::new();
    let query = "SELECT cluster, CAST(min(date) AS INT), CAST(max(date) AS INT) FROM processes WHERE job_id IS NULL GROUP BY cluster";
    for batch in session.rows(query).await? {
        let clusters = texts(&batch, 0).ok_or_else(|| bad("cluster"))?;
        let day = |column: usize, i: usize| {
            let days = arrow::compute::cast(batch.column(column), &DataType::Int64).ok();
            let days = days.as_ref().and_then(|days| days.as_any().downcast_ref::<Int64Array>());
            days.map_or(0, |days| days.value(i) as i32)
        };
        for i in 0..batch.num_rows() {
            days.insert(clusters.value(i).to_owned(), (day(1, i), day(2, i)));
        }
    }
    let mut linked = Linked::default();
    let mut found = Found::new();
    for (cluster, (first, last)) in days {
        let mut from = first;
        while from <= last {
            let until = from.saturating_add(SPAN - 1).min(last);
            span(&session, &cluster, (from, until), &mut linked, &mut found).await?;
            from = until + 1;
        }
    }
    put(store, found).await?;
    Ok(linked)
}

async fn span(
    session: &Session,
    cluster: &str,
    (from, until): (i32, i32),
    linked: &mut Linked,
    found: &mut Found,
) -> Result<()> {
    let of_cluster = format!("cluster = '{}'", cluster.replace('\'', "''"));
    let (names, jobs) = jobs(session, &of_cluster, (from, until)).await?;
    let query = format!(
        "SELECT process_id, \"user\", host, started FROM processes \
         WHERE {of_cluster} AND job_id IS NULL AND date BETWEEN DATE '{}' AND DATE '{}' ORDER BY process_id",
        day(from),
        day(until)
    );
    let mut stream = session.query(&query).await?.execute_stream().await?;
    while let Some(batch) = stream.try_next().await? {
        let id = batch.column(0).as_any().downcast_ref::<Int64Array>().ok_or_else(|| bad("process_id"))?;
        let text = |i: usize| texts(&batch, i).ok_or_else(|| bad("a text"));
        let (user, host, started) = (text(1)?, text(2)?, times(&batch, 3)?);
        for i in 0..batch.num_rows() {
            linked.without_job += 1;
            if host.is_null(i) || started.is_null(i) {
                continue;
            }
            let (at, host) = (started.value(i), short(host.value(i)));
            let of_user = jobs.get(user.value(i)).map_or(&[][..], Vec::as_slice);
            let is_it = |job: &&Candidate| job.from <= at && at <= job.until && job.hosts.contains(host);
            let mut all = of_user.iter().filter(is_it);
            if let (Some(job), None) = (all.next(), all.next()) {
                linked.found += 1;
                let (scheduler, name) = names[job.name].clone();
                found.entry((cluster.to_owned(), gather::day(at))).or_default().push((
                    id.value(i),
                    scheduler,
                    name,
                ));
            }
        }
    }
    Ok(())
}

/// Jobs that ran on these days, by user; and their names.
type Jobs = (Vec<(String, String)>, HashMap<String, Vec<Candidate>>);

async fn jobs(session: &Session, of_cluster: &str, (from, until): (i32, i32)) -> Result<Jobs> {
    let query = format!(
        "SELECT \"user\", scheduler, job_id, started, ended, hosts FROM jobs \
         WHERE {of_cluster} AND started IS NOT NULL AND \"user\" IS NOT NULL AND date BETWEEN DATE '{}' AND DATE '{}'",
        day(from.saturating_sub(LONGEST)),
        day(until.saturating_add(1))
    );
    let (mut names, mut jobs): Jobs = Default::default();
    let mut stream = session.query(&query).await?.execute_stream().await?;
    while let Some(batch) = stream.try_next().await? {
        let text = |i: usize| texts(&batch, i).ok_or_else(|| bad("a text"));
        let (user, scheduler, id) = (text(0)?, text(1)?, text(2)?);
        let (started, ended) = (times(&batch, 3)?, times(&batch, 4)?);
        let hosts = batch.column(5).as_list_opt::<i32>().ok_or_else(|| bad("hosts"))?;
        for i in (0..batch.num_rows()).filter(|i| hosts.is_valid(*i)) {
            let all = arrow::compute::cast(&hosts.value(i), &DataType::Utf8).map_err(|_| bad("hosts"))?;
            let all = all.as_any().downcast_ref::<StringArray>().ok_or_else(|| bad("hosts"))?;
            let hosts: HashSet<String> = all.iter().flatten().map(|host| short(host).to_owned()).collect();
            if hosts.is_empty() {
                continue;
            }
            let until = if ended.is_valid(i) { ended.value(i) } else { i64::MAX };
            jobs.entry(user.value(i).to_owned()).or_default().push(Candidate {
                from: started.value(i).saturating_sub(SLACK),
                until: until.saturating_add(SLACK),
                hosts,
                name: names.len(),
            });
            names.push((scheduler.value(i).to_owned(), id.value(i).to_owned()));
        }
    }
    Ok((names, jobs))
}

/// Writes the days that differ from what is there.
async fn put(store: &Store, found: Found) -> Result<()> {
    let table = &schema::LINKS;
    let state = store.table(table).await?;
    let mut there: BTreeMap<(String, String), Vec<_>> = BTreeMap::new();
    for file in files(table, &state)? {
        let value = |name: &str| file.partition.get(name).cloned().flatten().unwrap_or_default();
        there.entry((value("cluster"), value("date"))).or_default().push(file);
    }
    let (mut added, mut removed) = (Vec::new(), Vec::new());
    for ((cluster, date), mut rows) in found {
        rows.sort();
        let before = there.remove(&(cluster.clone(), day(date))).unwrap_or_default();
        let mut old = Vec::new();
        for file in &before {
            for batch in read(store, table, file).await? {
                let id =
                    batch.column(0).as_any().downcast_ref::<Int64Array>().ok_or_else(|| bad("process_id"))?;
                let text = |i: usize| texts(&batch, i).ok_or_else(|| bad("a text"));
                let (scheduler, job) = (text(1)?, text(2)?);
                let row = |i| (id.value(i), scheduler.value(i).to_owned(), job.value(i).to_owned());
                old.extend((0..batch.num_rows()).map(row));
            }
        }
        old.sort();
        if old == rows {
            continue;
        }
        let all: Vec<LinkRow<'_>> = rows
            .iter()
            .map(|(process_id, scheduler, job_id)| LinkRow { process_id: *process_id, scheduler, job_id })
            .collect();
        let name = format!("links-{}", uuid::Uuid::new_v4());
        let values = partition(table, &cluster, Some(date));
        added.push(write(store, table, values, &name, &[columns::links(&all)?], Packing::Quick).await?);
        removed.extend(before.into_iter().map(|file| file.remove));
    }
    // Days on which nothing is found any more.
    removed.extend(there.into_values().flatten().map(|file| file.remove));
    if !added.is_empty() || !removed.is_empty() {
        store.commit(table, &state, (added, removed), None).await?;
    }
    Ok(())
}
