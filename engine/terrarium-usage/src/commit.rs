//! From segments to tables, each exactly once.
//!
//! 1. A batch file names the segments ([`crate::batch`]).
//! 2. Each table gets its rows in one commit of its log, which also says the number of the batch: a table has a batch whole or
//!    not at all, and tells which.
//! 3. When all tables have it the segments are removed.
//!
//! Killed anywhere, the next collector finds the batch, does what tables lack, and goes on. Files that were written and never
//! committed are nobody's; `compact` removes them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;

use arrow::array::{Array, Int32Array, RecordBatch, StringArray};
use deltalake_core::kernel::Add;
use terrarium_segment::{Environment, Segment, Usage};

use crate::batch::{Batch, Batches};
use crate::columns::{self, JobRow};
use crate::daily;
use crate::error::{Error, Result};
use crate::files::{Packing, partition, write};
use crate::gather::{Gathered, Translation, day, gather, rows};
use crate::inbox::{Arrived, Inbox, Refused};
use crate::query::Session;
use crate::schema::{self, TABLES};
use crate::store::Store;

/// A batch has at most so many module rows, if it has more than one segment,
const MOST_ROWS: usize = 6_000_000;
/// and so many segments.
const MOST_SEGMENTS: usize = 2_000;

/// A job is looked for among those that were seen so many days before.
const JOB_DAYS: i32 = 40;

/// What was committed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// Batches, those included that an earlier collector had begun.
    pub batches: u64,
    /// Segments in them.
    pub segments: u64,
    /// Processes.
    pub processes: u64,
    /// Rows of `imports`.
    pub modules: u64,
    /// Segments that were in the store already.
    pub known: u64,
    /// What was put aside.
    pub refused: Vec<Refused>,
}

/// Told what was done last, and how many segments wait.
pub type Progress<'a> = &'a mut dyn FnMut(&Committed, usize);

/// Where a test may interrupt: the name of what was just done.
pub type Step<'a> = &'a mut (dyn FnMut(&str) -> Result<()> + Send);

/// Commits all that is in a folder.
pub async fn commit(
    store: &Store,
    inbox: &Inbox,
    progress: Progress<'_>,
    step: Step<'_>,
) -> Result<Committed> {
    let _lock = store.lock()?;
    let mut done = Committed::default();
    let mut batches = Batches::read(store).await?;
    let mut waiting: Vec<PathBuf> = inbox.files()?;
    finish_last(store, inbox, &mut waiting, &mut batches, &mut done, step).await?;
    while !waiting.is_empty() {
        let (arrived, rest) = next(inbox, waiting, &batches, &mut done)?;
        waiting = rest;
        if arrived.is_empty() {
            continue;
        }
        let names = arrived.iter().map(|arrived| arrived.segment.id.clone()).collect();
        let Some(batch) = batches.begin(store, names).await? else {
            return Err(Error::Busy { location: store.location.name() });
        };
        step("batch")?;
        apply(store, inbox, &batch, arrived, &mut done, step).await?;
        progress(&done, waiting.len());
    }
    batches.fold(store).await?;
    Ok(done)
}

/// As many segments as make a batch, and the files that are left.
fn next(
    inbox: &Inbox,
    waiting: Vec<PathBuf>,
    batches: &Batches,
    done: &mut Committed,
) -> Result<(Vec<Arrived>, Vec<PathBuf>)> {
    let (mut arrived, mut names, mut rows): (Vec<Arrived>, HashSet<String>, usize) = Default::default();
    let mut files = waiting.into_iter();
    for path in files.by_ref() {
        match inbox.read(&path)? {
            // Of an earlier batch, or the same under two names.
            Ok(one) if batches.known.contains(&one.segment.id) || names.contains(&one.segment.id) => {
                done.known += 1;
                inbox.remove(&one.path)?;
            }
            Ok(one) => {
                rows += one.segment.processes.iter().map(|process| process.loads.len()).sum::<usize>();
                names.insert(one.segment.id.clone());
                arrived.push(one);
                if rows >= MOST_ROWS || arrived.len() == MOST_SEGMENTS {
                    break;
                }
            }
            Err(refused) => done.refused.extend(refused),
        }
    }
    Ok((arrived, files.collect()))
}

/// Does what tables lack of the last batch.
async fn finish_last(
    store: &Store,
    inbox: &Inbox,
    waiting: &mut Vec<PathBuf>,
    batches: &mut Batches,
    done: &mut Committed,
    step: Step<'_>,
) -> Result<()> {
    let Some(batch) = batches.last.clone() else { return Ok(()) };
    let mut is_whole = true;
    for table in TABLES {
        let state = store.table(table).await?;
        is_whole &= store.last_batch(table, &state).await? >= batch.number;
    }
    if is_whole {
        // Its segments, if they are still here, are found to be known.
        return Ok(());
    }
    let mut found: HashMap<String, Arrived> = HashMap::new();
    for path in std::mem::take(waiting) {
        match inbox.read(&path)? {
            Ok(one) if batch.segments.contains(&one.segment.id) => {
                found.insert(one.segment.id.clone(), one);
            }
            Ok(_) => waiting.push(path),
            Err(refused) => done.refused.extend(refused),
        }
    }
    let mut arrived = Vec::new();
    for name in &batch.segments {
        let one = found.remove(name);
        arrived.push(one.ok_or_else(|| Error::Elsewhere { number: batch.number, segment: name.clone() })?);
    }
    apply(store, inbox, &batch, arrived, done, step).await
}

/// Puts a batch into all tables that lack it, and removes its segments.
async fn apply(
    store: &Store,
    inbox: &Inbox,
    batch: &Batch,
    arrived: Vec<Arrived>,
    done: &mut Committed,
    step: Step<'_>,
) -> Result<()> {
    let (paths, segments): (Vec<PathBuf>, Vec<Segment>) =
        arrived.into_iter().map(|arrived| (arrived.path, arrived.segment)).unzip();
    let (gathered, translations) = gather(batch.number, &segments);
    let users = users(store, &gathered, batch, step).await?;
    for table in TABLES {
        let state = store.table(table).await?;
        if store.last_batch(table, &state).await? >= batch.number {
            continue;
        }
        let added = match table.name {
            "environments" => environments(store, &gathered).await?,
            "processes" => processes(store, &gathered, &translations, &users).await?,
            "imports" => imports(store, &gathered, &translations).await?,
            "jobs" => jobs(store, &gathered).await?,
            "job_usage" => usages(store, &gathered).await?,
            "daily" => sums(store, &gathered, &translations, &users).await?,
            // They came first.
            _ => Vec::new(),
        };
        step(&format!("{} written", table.name))?;
        // Also without rows: that the table has the batch is said here and nowhere else.
        store.commit(table, &state, (added, Vec::new()), Some(batch.number)).await?;
        step(&format!("{} committed", table.name))?;
    }
    for path in &paths {
        inbox.remove(path)?;
        step("segment removed")?;
    }
    done.batches += 1;
    done.segments += segments.len() as u64;
    for processes in gathered.partitions.values() {
        done.processes += processes.len() as u64;
        done.modules += processes.iter().map(|numbered| numbered.process.loads.len() as u64).sum::<u64>();
    }
    Ok(())
}

fn file(batch: u64) -> String {
    format!("batch-{batch:012}")
}

/// The numbers of all users, those included that come with this batch.
async fn users(
    store: &Store,
    gathered: &Gathered<'_>,
    batch: &Batch,
    step: Step<'_>,
) -> Result<HashMap<String, u32>> {
    let table = &schema::USERS;
    let state = store.table(table).await?;
    let session = Session::of(store, &[table]).await?;
    let mut known: HashMap<String, u32> = HashMap::new();
    for rows in session.rows("SELECT user_no, \"user\" FROM users").await? {
        let (numbers, names) = (ints(&rows, 0), texts(&rows, 1));
        for i in 0..rows.num_rows() {
            if let (Some(numbers), Some(names)) = (&numbers, &names) {
                known.insert(names.value(i).to_owned(), numbers.value(i) as u32);
            }
        }
    }
    if store.last_batch(table, &state).await? >= batch.number {
        return Ok(known);
    }
    let mut next = known.values().max().map_or(0, |most| most + 1);
    let mut new = Vec::new();
    let of_processes = gathered.partitions.values().flatten().map(|numbered| numbered.process.user.as_str());
    let mut names: Vec<&str> =
        of_processes.chain(gathered.usages.iter().map(|(_, u)| u.user.as_str())).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        if !known.contains_key(name) {
            known.insert(name.to_owned(), next);
            new.push((next, name.to_owned()));
            next += 1;
        }
    }
    let mut added = Vec::new();
    if !new.is_empty() {
        let rows = columns::users(&new)?;
        let values = partition(table, "", None);
        added.push(write(store, table, values, &file(batch.number), &[rows], Packing::Quick).await?);
    }
    step("users written")?;
    store.commit(table, &state, (added, Vec::new()), Some(batch.number)).await?;
    step("users committed")?;
    Ok(known)
}

/// Number of a user; all of them have one.
fn number(users: &HashMap<String, u32>) -> impl Fn(&str) -> u32 {
    |user| users.get(user).copied().unwrap_or(u32::MAX)
}

async fn environments(store: &Store, gathered: &Gathered<'_>) -> Result<Vec<Add>> {
    let table = &schema::ENVIRONMENTS;
    let session = Session::of(store, &[table]).await?;
    let mut known: HashSet<(String, String)> = HashSet::new();
    for rows in session.rows("SELECT DISTINCT cluster, environment_id FROM environments").await? {
        if let (Some(clusters), Some(ids)) = (texts(&rows, 0), texts(&rows, 1)) {
            known.extend(
                (0..rows.num_rows()).map(|i| (clusters.value(i).to_owned(), ids.value(i).to_owned())),
            );
        }
    }
    let mut new: BTreeMap<u32, BTreeMap<&str, &Environment>> = BTreeMap::new();
    for (cluster, environment) in &gathered.environments {
        let key = (gathered.clusters[*cluster as usize].to_owned(), environment.id.clone());
        if !known.contains(&key) {
            new.entry(*cluster).or_default().entry(&environment.id).or_insert(environment);
        }
    }
    let mut added = Vec::new();
    for (cluster, environments) in new {
        let rows = columns::environments(&environments.into_values().collect::<Vec<_>>())?;
        let values = partition(table, gathered.clusters[cluster as usize], None);
        added.push(write(store, table, values, &file(gathered.batch), &[rows], Packing::Quick).await?);
    }
    Ok(added)
}

async fn processes(
    store: &Store,
    gathered: &Gathered<'_>,
    translations: &[Translation],
    users: &HashMap<String, u32>,
) -> Result<Vec<Add>> {
    let table = &schema::PROCESSES;
    let mut added = Vec::new();
    for ((cluster, date), processes) in &gathered.partitions {
        let rows = columns::processes(gathered, translations, processes, &number(users))?;
        let values = partition(table, gathered.clusters[*cluster as usize], Some(*date));
        added.push(write(store, table, values, &file(gathered.batch), &[rows], Packing::Quick).await?);
    }
    Ok(added)
}

async fn imports(store: &Store, gathered: &Gathered<'_>, translations: &[Translation]) -> Result<Vec<Add>> {
    let table = &schema::IMPORTS;
    let mut added = Vec::new();
    for ((cluster, date), processes) in &gathered.partitions {
        let rows = columns::imports(gathered, &rows(gathered, translations, processes))?;
        if rows.is_empty() {
            continue;
        }
        let values = partition(table, gathered.clusters[*cluster as usize], Some(*date));
        added.push(write(store, table, values, &file(gathered.batch), &rows, Packing::Quick).await?);
    }
    Ok(added)
}

async fn jobs(store: &Store, gathered: &Gathered<'_>) -> Result<Vec<Add>> {
    let table = &schema::JOBS;
    // In the order of their first process: its user and its day are the job's.
    let mut all: Vec<(u32, JobRow<'_>)> = Vec::new();
    for ((cluster, _), processes) in &gathered.partitions {
        for process in processes.iter().map(|numbered| numbered.process) {
            if let Some(job) = &process.job {
                all.push((*cluster, JobRow { job, user: &process.user, first_seen_us: process.started_us }));
            }
        }
    }
    all.sort_by_key(|(cluster, row)| (*cluster, row.first_seen_us));
    let mut first: BTreeMap<(u32, &str, &str), JobRow<'_>> = BTreeMap::new();
    for (cluster, row) in all {
        first.entry((cluster, &row.job.system, &row.job.id)).or_insert(row);
    }
    let Some(earliest) = first.values().map(|row| day(row.first_seen_us)).min() else {
        return Ok(Vec::new());
    };
    let session = Session::of(store, &[table]).await?;
    let since = crate::files::day(earliest - JOB_DAYS);
    let query = format!("SELECT cluster, scheduler, job_id FROM jobs WHERE date >= DATE '{since}'");
    let mut known: HashSet<(String, String, String)> = HashSet::new();
    for rows in session.rows(&query).await? {
        if let (Some(clusters), Some(systems), Some(ids)) =
            (texts(&rows, 0), texts(&rows, 1), texts(&rows, 2))
        {
            let key =
                |i| (clusters.value(i).to_owned(), systems.value(i).to_owned(), ids.value(i).to_owned());
            known.extend((0..rows.num_rows()).map(key));
        }
    }
    let mut new: BTreeMap<(u32, i32), Vec<JobRow<'_>>> = BTreeMap::new();
    for ((cluster, system, id), row) in first {
        let key = (gathered.clusters[cluster as usize].to_owned(), system.to_owned(), id.to_owned());
        if !known.contains(&key) {
            new.entry((cluster, day(row.first_seen_us))).or_default().push(row);
        }
    }
    let mut added = Vec::new();
    for ((cluster, date), rows) in new {
        let rows = columns::jobs(&rows)?;
        let values = partition(table, gathered.clusters[cluster as usize], Some(date));
        added.push(write(store, table, values, &file(gathered.batch), &[rows], Packing::Quick).await?);
    }
    Ok(added)
}

async fn usages(store: &Store, gathered: &Gathered<'_>) -> Result<Vec<Add>> {
    let table = &schema::JOB_USAGE;
    let mut all: BTreeMap<(u32, i32), Vec<&Usage>> = BTreeMap::new();
    // When a run began whose supervisor was killed is not known; that it was lost is known now.
    let today = day(chrono::Utc::now().timestamp_micros());
    for (cluster, usage) in &gathered.usages {
        let date = if usage.started_us > 0 { day(usage.started_us) } else { today };
        all.entry((*cluster, date)).or_default().push(usage);
    }
    let mut added = Vec::new();
    for ((cluster, date), rows) in all {
        let rows = columns::usages(&rows)?;
        let values = partition(table, gathered.clusters[cluster as usize], Some(date));
        added.push(write(store, table, values, &file(gathered.batch), &[rows], Packing::Quick).await?);
    }
    Ok(added)
}

async fn sums(
    store: &Store,
    gathered: &Gathered<'_>,
    translations: &[Translation],
    users: &HashMap<String, u32>,
) -> Result<Vec<Add>> {
    let table = &schema::DAILY;
    let mut added = Vec::new();
    for ((cluster, date), processes) in &gathered.partitions {
        let sums = daily::sums(gathered, translations, processes, &number(users));
        if sums.rows.is_empty() {
            continue;
        }
        let rows = columns::daily(&sums)?;
        let values = partition(table, gathered.clusters[*cluster as usize], Some(*date));
        added.push(write(store, table, values, &file(gathered.batch), &[rows], Packing::Quick).await?);
    }
    Ok(added)
}

/// A column of texts, whatever the reader made of it.
pub(crate) fn texts(rows: &RecordBatch, column: usize) -> Option<StringArray> {
    let array = arrow::compute::cast(rows.column(column), &arrow::datatypes::DataType::Utf8).ok()?;
    array.as_any().downcast_ref::<StringArray>().cloned()
}

fn ints(rows: &RecordBatch, column: usize) -> Option<Int32Array> {
    rows.column(column).as_any().downcast_ref::<Int32Array>().cloned()
}
