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

use arrow::array::{Array, BooleanArray, Date32Array, Int32Array, Int64Array, RecordBatch, StringArray};
use deltalake_core::kernel::{Add, Remove};
use terrarium_segment::{Domain, Environment, Segment, Usage};

use crate::batch::{Batch, Batches, Replaced};
use crate::columns;
use crate::daily;
use crate::error::{Error, Result};
use crate::files::{Packing, partition, write};
use crate::gather::{Gathered, Translation, day, gather, rows};
use crate::inbox::{Arrived, Inbox, Refused};
use crate::jobs;
use crate::known;
use crate::maintain::sums_of;
use crate::query::Session;
use crate::rewrite::{InTable, files, keep_in, read};
use crate::schema::{self, TABLES, Table};
use crate::store::Store;

/// A batch has at most so many module rows, if it has more than one segment,
const MOST_ROWS: usize = 6_000_000;
/// and so many segments.
const MOST_SEGMENTS: usize = 2_000;

/// The source of what terrarium itself recorded: each of its records comes once.
pub const OWN: &str = "terrarium";

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
        let replaced = replaced(store, &arrived).await?;
        let Some(batch) = batches.begin(store, names, replaced).await? else {
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
    if found.len() < batch.segments.len() {
        elsewhere(store, &batch, &mut found)?;
    }
    let mut arrived = Vec::new();
    for name in &batch.segments {
        let one = found.remove(name);
        arrived.push(one.ok_or_else(|| Error::Elsewhere { number: batch.number, segment: name.clone() })?);
    }
    apply(store, inbox, &batch, arrived, done, step).await
}

/// Segments of a batch that an import began, and that was interrupted.
fn elsewhere(store: &Store, batch: &Batch, found: &mut HashMap<String, Arrived>) -> Result<()> {
    let Some(directory) = &store.location.directory else { return Ok(()) };
    let units = directory.join(crate::store::OWN).join("import/units");
    for unit in std::fs::read_dir(units).into_iter().flatten().flatten() {
        let inbox = Inbox::new(unit.path());
        for path in inbox.files().unwrap_or_default() {
            if let Ok(one) = inbox.read(&path)?
                && batch.segments.contains(&one.segment.id)
            {
                found.insert(one.segment.id.clone(), one);
            }
        }
    }
    Ok(())
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
        let mut changes: (Vec<Add>, Vec<Remove>) = Default::default();
        if matches!(table.name, "processes" | "imports" | "links") {
            changes = without_replaced(store, table, batch).await?;
        }
        changes.0.extend(match table.name {
            "environments" => environments(store, &gathered).await?,
            "processes" => processes(store, &gathered, &translations, &users).await?,
            "imports" => imports(store, &gathered, &translations).await?,
            "job_usage" => usages(store, &gathered).await?,
            "daily" => sums(store, &gathered, &translations, &users, batch).await?,
            _ => Vec::new(),
        });
        match table.name {
            "jobs" => changes = jobs::changes(store, &gathered).await?,
            "domains" => changes = domains(store, &gathered).await?,
            "daily" => changes.1 = sums_replaced(store, batch).await?,
            // Users came first; links are made from what is in the tables.
            _ => {}
        }
        step(&format!("{} written", table.name))?;
        // Also without rows: that the table has the batch is said here and nowhere else.
        store.commit(table, &state, changes, Some(batch.number)).await?;
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

/// Processes that are in the store and that imported segments say anew.
async fn replaced(store: &Store, arrived: &[Arrived]) -> Result<Vec<Replaced>> {
    let mut all: BTreeMap<(String, i32), Vec<i64>> = BTreeMap::new();
    for segment in arrived.iter().map(|arrived| &arrived.segment) {
        let head = &segment.head;
        if head.source == OWN || segment.processes.is_empty() {
            continue;
        }
        let days = segment.processes.iter().map(|process| day(process.started_us));
        let (first, last) = days.fold((i32::MAX, i32::MIN), |(a, b), day| (a.min(day), b.max(day)));
        let records: HashSet<u64> = segment.processes.iter().map(|process| process.record).collect();
        let known = known::records(store, &head.source, (first, last), Some(&records)).await?;
        for known in known.into_values() {
            all.entry((known.cluster, known.date)).or_default().push(known.process_id);
        }
    }
    let replaced = all.into_iter().map(|((cluster, date), mut processes)| {
        processes.sort_unstable();
        processes.dedup();
        Replaced { cluster, date, processes }
    });
    Ok(replaced.collect())
}

/// Whether a file is of a day of which something is replaced.
fn is_of(file: &InTable, replaced: &Replaced) -> bool {
    let value = |name: &str| file.partition.get(name).cloned().flatten().unwrap_or_default();
    value("cluster") == replaced.cluster && value("date") == crate::files::day(replaced.date)
}

/// Files in which processes are that go, written anew without them.
async fn without_replaced(
    store: &Store,
    table: &'static Table,
    batch: &Batch,
) -> Result<(Vec<Add>, Vec<Remove>)> {
    if batch.replaced.is_empty() {
        return Ok(Default::default());
    }
    let ids: HashSet<i64> = batch.replaced.iter().flat_map(|r| r.processes.iter().copied()).collect();
    let stays = |rows: &RecordBatch| -> Result<BooleanArray> {
        let column = rows.column_by_name("process_id");
        let column = column.and_then(|column| column.as_any().downcast_ref::<Int64Array>());
        let column = column.ok_or_else(|| Error::Rows { table: table.name, source: "no numbers".into() })?;
        Ok(column.iter().map(|id| Some(id.is_none_or(|id| !ids.contains(&id)))).collect())
    };
    let state = store.table(table).await?;
    let touched = files(table, &state)?
        .into_iter()
        .filter(|file| batch.replaced.iter().any(|replaced| is_of(file, replaced)))
        .collect();
    let (added, removed, _) = keep_in(store, table, touched, &stays).await?;
    Ok((added, removed))
}

/// Sums of days of which something is replaced: they are made anew.
async fn sums_replaced(store: &Store, batch: &Batch) -> Result<Vec<Remove>> {
    if batch.replaced.is_empty() {
        return Ok(Vec::new());
    }
    let table = &schema::DAILY;
    let state = store.table(table).await?;
    let of_day = |file: &InTable| batch.replaced.iter().any(|replaced| is_of(file, replaced));
    Ok(files(table, &state)?.into_iter().filter(of_day).map(|file| file.remove).collect())
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

/// Rows of `domains`: what the batch says of a project takes the place of what was said of it.
async fn domains(store: &Store, gathered: &Gathered<'_>) -> Result<(Vec<Add>, Vec<Remove>)> {
    let table = &schema::DOMAINS;
    if gathered.domains.is_empty() {
        return Ok(Default::default());
    }
    let new: HashSet<&str> = gathered.domains.iter().map(|domain| domain.project.as_str()).collect();
    let state = store.table(table).await?;
    let files = files(table, &state)?;
    let mut all: Vec<Domain> = gathered.domains.iter().map(|domain| (*domain).clone()).collect();
    for file in &files {
        for rows in read(store, table, file).await? {
            let (Some(projects), Some(domains)) = (texts(&rows, 0), texts(&rows, 1)) else { continue };
            let days = |i: usize| rows.column(i).as_any().downcast_ref::<Date32Array>().cloned();
            let (Some(since), Some(until)) = (days(2), days(3)) else { continue };
            let day = |days: &Date32Array, i: usize| days.is_valid(i).then(|| days.value(i));
            all.extend((0..rows.num_rows()).filter(|i| !new.contains(projects.value(*i))).map(|i| Domain {
                project: projects.value(i).to_owned(),
                domain: domains.value(i).to_owned(),
                since: day(&since, i),
                until: day(&until, i),
            }));
        }
    }
    all.sort();
    all.dedup();
    let rows = columns::domains(&all)?;
    let values = partition(table, "", None);
    let added = write(store, table, values, &file(gathered.batch), &[rows], Packing::Quick).await?;
    Ok((vec![added], files.into_iter().map(|file| file.remove).collect()))
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
    batch: &Batch,
) -> Result<Vec<Add>> {
    let table = &schema::DAILY;
    let mut added = Vec::new();
    // Processes and their modules are in their tables by now, and what they replace is not.
    for replaced in &batch.replaced {
        let cluster = replaced.cluster.replace('\'', "''");
        let of_day = format!("cluster = '{cluster}' AND date = DATE '{}'", crate::files::day(replaced.date));
        let session = Session::of(store, &[&schema::PROCESSES, &schema::IMPORTS]).await?;
        let sums = sums_of(&session, &of_day, &HashSet::new()).await?;
        if !sums.rows.is_empty() {
            let values = partition(table, &replaced.cluster, Some(replaced.date));
            let rows = columns::daily(&sums)?;
            added.push(write(store, table, values, &file(gathered.batch), &[rows], Packing::Quick).await?);
        }
    }
    for ((cluster, date), processes) in &gathered.partitions {
        let is_made = |r: &Replaced| r.cluster == gathered.clusters[*cluster as usize] && r.date == *date;
        if batch.replaced.iter().any(is_made) {
            continue;
        }
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
