//! Keeping a store small, and keeping promises about how long it remembers: compact, expire, forget.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;

use arrow::array::{Array, BinaryArray, BooleanArray, Int32Array, Int64Array, RecordBatch, StringArray};
use datafusion::prelude::SessionContext;
use deltalake_core::DeltaTable;
use deltalake_core::kernel::Remove;
use futures::TryStreamExt;
use roaring::RoaringBitmap;
use terrarium_segment::{Direct, Segment, Writer};

use crate::columns;
use crate::commit::texts;
use crate::daily::{Key, Sum, Sums, Texts};
use crate::error::{Error, Result};
use crate::files::{Packing, day, without_partitions, write};
use crate::inbox::Inbox;
use crate::query::Session;
use crate::rewrite::{InTable, checkpoint, files, keep_only, read, sweep};
use crate::schema::{self, TABLES, Table};
use crate::store::{Partition, Store};

/// A file of so many bytes is large enough.
const LARGE: i64 = 128 << 20;

/// What maintenance did to one table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Maintained {
    /// The table.
    pub table: &'static str,
    /// Files before,
    pub files_before: u64,
    /// and after.
    pub files_after: u64,
    /// Bytes of them before,
    pub bytes_before: u64,
    /// and after.
    pub bytes_after: u64,
    /// Rows that went.
    pub rows_removed: u64,
    /// Files that no table had, removed.
    pub swept: u64,
}

/// Puts the files of each day into one, in the order that packs best; removes what was replaced longer ago than `keep_ms`.
pub async fn compact(
    store: &Store,
    keep_ms: i64,
    told: &mut dyn FnMut(&Maintained),
) -> Result<Vec<Maintained>> {
    let _lock = store.lock()?;
    let mut all = Vec::new();
    for table in TABLES {
        let mut done = before(store, table).await?;
        let state = store.table(table).await?;
        let mut partitions: BTreeMap<Vec<(String, Option<String>)>, Vec<InTable>> = BTreeMap::new();
        for file in files(table, &state)? {
            let mut key: Vec<_> = file.partition.clone().into_iter().collect();
            key.sort();
            partitions.entry(key).or_default().push(file);
        }
        let (mut added, mut removed) = (Vec::new(), Vec::new());
        for group in partitions.into_values() {
            let small: Vec<InTable> =
                group.into_iter().filter(|file| file.size < LARGE && !is_done(file)).collect();
            let Some(first) = small.first() else { continue };
            let rows = sorted(store, table, &small).await?;
            let name = format!("compact-{}", uuid::Uuid::new_v4());
            let mut add = write(store, table, first.partition.clone(), &name, &rows, Packing::Tight).await?;
            add.data_change = false;
            added.push(add);
            removed.extend(small.into_iter().map(|file| Remove { data_change: false, ..file.remove }));
        }
        if !added.is_empty() {
            store.commit(table, &state, (added, removed), None).await?;
        }
        done.swept = sweep(store, table, keep_ms).await?;
        checkpoint(store, table, false, keep_ms).await?;
        after(store, &mut done, table).await?;
        told(&done);
        all.push(done);
    }
    Ok(all)
}

/// A file that compaction made is made again only with others.
fn is_done(file: &InTable) -> bool {
    let name = file.path.rsplit('/').next().unwrap_or_default();
    name.starts_with("compact-")
}

async fn before(store: &Store, table: &'static Table) -> Result<Maintained> {
    let state = store.table(table).await?;
    let all = files(table, &state)?;
    let bytes = all.iter().map(|file| file.size as u64).sum();
    Ok(Maintained {
        table: table.name,
        files_before: all.len() as u64,
        bytes_before: bytes,
        ..Maintained::default()
    })
}

async fn after(store: &Store, done: &mut Maintained, table: &'static Table) -> Result<()> {
    let state = store.table(table).await?;
    let all = files(table, &state)?;
    done.files_after = all.len() as u64;
    done.bytes_after = all.iter().map(|file| file.size as u64).sum();
    Ok(())
}

/// Rows of some files in the order that packs best.
async fn sorted(store: &Store, table: &'static Table, files: &[InTable]) -> Result<Vec<RecordBatch>> {
    let mut rows = Vec::new();
    for file in files {
        for batch in read(store, table, file).await? {
            rows.push(without_partitions(table, &batch)?);
        }
    }
    if table.name == "daily" {
        return Ok(vec![columns::daily(&merged(&rows)?)?]);
    }
    let order = match table.name {
        "imports" => "package, module, distribution, version, origin, place, kind, process_id",
        "processes" => "process_id",
        "environments" => "environment_id, package",
        "users" => "user_no",
        "jobs" => "scheduler, job_id, submitted",
        "links" => "process_id",
        "domains" => "project, since",
        _ => "started",
    };
    // Sorted by the engine, which goes to temporary files when memory does not do.
    let context = SessionContext::new();
    let schema = table.in_files();
    let provider = datafusion::datasource::MemTable::try_new(schema, vec![rows])?;
    context.register_table("rows", std::sync::Arc::new(provider))?;
    let sorted = context.sql(&format!("SELECT * FROM rows ORDER BY {order} NULLS FIRST")).await?;
    Ok(sorted.execute_stream().await?.try_collect().await?)
}

/// The key of a row, of which the first five columns are texts.
fn key(texts: &mut Texts, columns: &[StringArray], row: usize, direct: Direct) -> Key {
    let mut value = |column: usize| {
        let column = &columns[column];
        texts.of(column.is_valid(row).then(|| column.value(row)))
    };
    Key {
        package: value(0),
        distribution: value(1),
        version: value(2),
        origin: value(3),
        class: value(4),
        direct,
    }
}

/// Sums of one key become one.
fn merged(rows: &[RecordBatch]) -> Result<Sums> {
    let mut texts_of = Texts::new();
    let mut sums: BTreeMap<Key, Sum> = BTreeMap::new();
    for batch in rows {
        let bad = || Error::Rows { table: "daily", source: "a column has another type".into() };
        let text: Vec<_> = (0..5).map(|i| texts(batch, i).ok_or_else(bad)).collect::<Result<_>>()?;
        let direct = batch.column(5).as_any().downcast_ref::<BooleanArray>().ok_or_else(bad)?;
        let numbers: Vec<&Int64Array> = (6..9)
            .map(|i| batch.column(i).as_any().downcast_ref::<Int64Array>().ok_or_else(bad))
            .collect::<Result<_>>()?;
        let users = batch.column(9).as_any().downcast_ref::<BinaryArray>().ok_or_else(bad)?;
        for i in 0..batch.num_rows() {
            let key = key(&mut texts_of, &text, i, direct.is_valid(i).then(|| direct.value(i)).into());
            let sum = Sum {
                processes: numbers[0].value(i),
                modules: numbers[1].value(i),
                import_us: numbers[2].value(i),
                users: bitmap(users.value(i))?,
            };
            sums.entry(key).or_default().add(&sum);
        }
    }
    Ok(Sums { texts: texts_of.all, rows: sums })
}

/// A set of users, as it is stored.
pub(crate) fn bitmap(bytes: &[u8]) -> Result<RoaringBitmap> {
    crate::bitmap::read(bytes).map_err(|error| Error::Rows { table: "daily", source: Box::new(error) })
}

/// Removes days before `rows_before` from all tables but `daily`, and days before `sums_before` from that: for good.
pub async fn expire(store: &Store, rows_before: i32, sums_before: Option<i32>) -> Result<Vec<Maintained>> {
    let _lock = store.lock()?;
    let mut all = Vec::new();
    for table in TABLES {
        let mut done = before(store, table).await?;
        let before = if table.name == "daily" { sums_before } else { Some(rows_before) };
        if let Some(limit) = before.filter(|_| table.partitions.contains(&"date")) {
            let state = store.table(table).await?;
            let limit = day(limit);
            let old: Vec<InTable> = files(table, &state)?
                .into_iter()
                .filter(|file| file.partition.get("date").cloned().flatten().is_some_and(|date| date < limit))
                .collect();
            done.rows_removed = old.iter().map(|file| file.rows.unwrap_or(0) as u64).sum();
            if !old.is_empty() {
                let removed = old.into_iter().map(|file| file.remove).collect();
                store.commit(table, &state, (Vec::new(), removed), None).await?;
            }
        }
        all.push(done);
    }
    unused(store, &mut all).await?;
    for (table, done) in TABLES.into_iter().zip(&mut all) {
        checkpoint(store, table, true, 0).await?;
        done.swept = sweep(store, table, 0).await?;
        after(store, done, table).await?;
    }
    crate::rollup::sweep(store).await?;
    Ok(all)
}

/// Users and environments that no row refers to any more go too.
async fn unused(store: &Store, all: &mut [Maintained]) -> Result<()> {
    let session = Session::of(store, &[&schema::PROCESSES, &schema::JOB_USAGE, &schema::JOBS]).await?;
    let mut names: HashSet<String> = HashSet::new();
    for query in [
        "SELECT DISTINCT \"user\" FROM processes",
        "SELECT DISTINCT \"user\" FROM job_usage",
        "SELECT DISTINCT \"user\" FROM jobs",
    ] {
        for rows in session.rows(query).await? {
            if let Some(users) = texts(&rows, 0) {
                names.extend(users.iter().flatten().map(str::to_owned));
            }
        }
    }
    let mut environments: HashSet<String> = HashSet::new();
    for rows in session.rows("SELECT DISTINCT environment_id FROM processes").await? {
        if let Some(ids) = texts(&rows, 0) {
            environments.extend(ids.iter().flatten().map(str::to_owned));
        }
    }
    let mut numbers = RoaringBitmap::new();
    let daily = store.table(&schema::DAILY).await?;
    for file in files(&schema::DAILY, &daily)? {
        for batch in read(store, &schema::DAILY, &file).await? {
            numbers |= all_users(&batch)?;
        }
    }
    let is_used = |batch: &RecordBatch| -> Result<BooleanArray> {
        let (number, user) = user_columns(batch)?;
        Ok((0..batch.num_rows())
            .map(|i| Some(names.contains(user.value(i)) || numbers.contains(number.value(i) as u32)))
            .collect())
    };
    let holds = |batch: &RecordBatch| -> Result<BooleanArray> {
        let ids =
            texts(batch, 0).ok_or_else(|| Error::Rows { table: "environments", source: "no ids".into() })?;
        Ok(ids.iter().map(|id| Some(id.is_some_and(|id| environments.contains(id)))).collect())
    };
    for (table, keep) in [
        (&schema::USERS, &is_used as &dyn Fn(&RecordBatch) -> Result<BooleanArray>),
        (&schema::ENVIRONMENTS, &holds),
    ] {
        let state = store.table(table).await?;
        let (added, removed, gone) = keep_only(store, table, &state, keep).await?;
        if gone > 0 {
            store.commit(table, &state, (added, removed), None).await?;
        }
        if let Some(done) = all.iter_mut().find(|done| done.table == table.name) {
            done.rows_removed += gone;
        }
    }
    Ok(())
}

fn user_columns(batch: &RecordBatch) -> Result<(Int32Array, StringArray)> {
    let bad = || Error::Rows { table: "users", source: "a column has another type".into() };
    let number = batch.column(0).as_any().downcast_ref::<Int32Array>().cloned().ok_or_else(bad)?;
    Ok((number, texts(batch, 1).ok_or_else(bad)?))
}

fn all_users(batch: &RecordBatch) -> Result<RoaringBitmap> {
    let mut all = RoaringBitmap::new();
    let column = batch.column_by_name("users").and_then(|c| c.as_any().downcast_ref::<BinaryArray>());
    for bytes in column.into_iter().flatten().flatten() {
        all |= bitmap(bytes)?;
    }
    Ok(all)
}

/// What was removed of a person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Rows of each table.
    pub rows: Vec<(&'static str, u64)>,
    /// Segments that were written anew without him.
    pub segments: u64,
}

/// Removes all of a user, by name or pseudonym, from the tables, their earlier versions and their logs, and from segments that wait.
pub async fn forget(store: &Store, inbox: Option<&Inbox>, user: &str) -> Result<Forgotten> {
    let _lock = store.lock()?;
    let mut forgotten = Forgotten::default();
    if let Some(inbox) = inbox {
        forgotten.segments = from_inbox(inbox, user)?;
    }
    let session = Session::of(store, &[&schema::USERS, &schema::PROCESSES]).await?;
    let quoted = user.replace('\'', "''");
    let mut number: Option<u32> = None;
    for rows in session.rows(&format!("SELECT user_no FROM users WHERE \"user\" = '{quoted}'")).await? {
        let column = rows.column(0).as_any().downcast_ref::<Int32Array>();
        number = number.or(column.filter(|c| !c.is_empty()).map(|c| c.value(0) as u32));
    }
    let mut ids: HashSet<i64> = HashSet::new();
    for rows in session.rows(&format!("SELECT process_id FROM processes WHERE \"user\" = '{quoted}'")).await?
    {
        if let Some(column) = rows.column(0).as_any().downcast_ref::<Int64Array>() {
            ids.extend(column.values().iter());
        }
    }
    drop(session);
    let not_his = |table: &'static str, column: &'static str| {
        move |batch: &RecordBatch| -> Result<BooleanArray> {
            let place =
                batch.schema().index_of(column).map_err(|e| Error::Rows { table, source: Box::new(e) })?;
            let names =
                texts(batch, place).ok_or_else(|| Error::Rows { table, source: "no names".into() })?;
            Ok(names.iter().map(|name| Some(name != Some(user))).collect())
        }
    };
    let not_of_his = |batch: &RecordBatch| -> Result<BooleanArray> {
        let column = batch.column(0).as_any().downcast_ref::<Int64Array>();
        let column = column.ok_or_else(|| Error::Rows { table: "imports", source: "no numbers".into() })?;
        Ok(column.iter().map(|id| Some(id.is_none_or(|id| !ids.contains(&id)))).collect())
    };
    // Rows that refer to a process first: interrupted, the next try still finds the process.
    for table in [&schema::IMPORTS, &schema::LINKS, &schema::JOBS, &schema::JOB_USAGE] {
        let state = store.table(table).await?;
        let by_name = not_his(table.name, "user");
        let keep: &dyn Fn(&RecordBatch) -> Result<BooleanArray> =
            if matches!(table.name, "imports" | "links") { &not_of_his } else { &by_name };
        replace(store, table, &state, keep, &mut forgotten).await?;
    }
    if let Some(number) = number {
        let gone = from_daily(store, number, &ids).await?;
        forgotten.rows.push(("daily", gone));
    }
    for table in [&schema::PROCESSES, &schema::USERS] {
        let state = store.table(table).await?;
        replace(store, table, &state, &not_his(table.name, "user"), &mut forgotten).await?;
    }
    // What readers of earlier versions would need is what must not be read any more.
    for table in TABLES {
        checkpoint(store, table, true, 0).await?;
        sweep(store, table, 0).await?;
    }
    crate::rollup::sweep(store).await?;
    Ok(forgotten)
}

async fn replace(
    store: &Store,
    table: &'static Table,
    state: &DeltaTable,
    keep: &dyn Fn(&RecordBatch) -> Result<BooleanArray>,
    forgotten: &mut Forgotten,
) -> Result<()> {
    let (added, removed, gone) = keep_only(store, table, state, keep).await?;
    if gone > 0 {
        store.commit(table, state, (added, removed), None).await?;
    }
    forgotten.rows.push((table.name, gone));
    Ok(())
}

/// Takes a user out of the sums: where the rows of the day are still there they are added up anew, else only the bit goes.
async fn from_daily(store: &Store, number: u32, ids: &HashSet<i64>) -> Result<u64> {
    let table = &schema::DAILY;
    let state = store.table(table).await?;
    let (mut added, mut removed, mut gone) = (Vec::new(), Vec::new(), 0);
    for group in by_partition(files(table, &state)?) {
        let mut rows = Vec::new();
        for file in &group {
            rows.extend(read(store, table, file).await?);
        }
        let mut has = false;
        for batch in &rows {
            has |= all_users(batch)?.contains(number);
        }
        if !has {
            continue;
        }
        let partition = group[0].partition.clone();
        let sums = match again(store, &partition, ids).await? {
            Some(sums) => sums,
            None => {
                let mut sums = merged(&rows)?;
                sums.rows.values_mut().for_each(|sum| {
                    sum.users.remove(number);
                });
                sums.rows.retain(|_, sum| !sum.users.is_empty());
                sums
            }
        };
        let before: usize = rows.iter().map(RecordBatch::num_rows).sum();
        gone += before.saturating_sub(sums.rows.len()) as u64;
        if !sums.rows.is_empty() {
            let name = format!("kept-{}", uuid::Uuid::new_v4());
            added.push(
                write(store, table, partition, &name, &[columns::daily(&sums)?], Packing::Tight).await?,
            );
        }
        removed.extend(group.into_iter().map(|file| file.remove));
    }
    if !removed.is_empty() {
        store.commit(table, &state, (added, removed), None).await?;
    }
    Ok(gone)
}

fn by_partition(files: Vec<InTable>) -> Vec<Vec<InTable>> {
    let mut groups: HashMap<Vec<(String, Option<String>)>, Vec<InTable>> = HashMap::new();
    for file in files {
        let mut key: Vec<_> = file.partition.clone().into_iter().collect();
        key.sort();
        groups.entry(key).or_default().push(file);
    }
    groups.into_values().collect()
}

/// The sums of a day from its rows, without some processes; `None` if there are no rows of it any more.
async fn again(store: &Store, partition: &Partition, without: &HashSet<i64>) -> Result<Option<Sums>> {
    let value = |name: &str| partition.get(name).cloned().flatten().unwrap_or_default().replace('\'', "''");
    let of_day = format!("cluster = '{}' AND date = DATE '{}'", value("cluster"), value("date"));
    let session = Session::of(store, &[&schema::PROCESSES, &schema::IMPORTS]).await?;
    let any = session.rows(&format!("SELECT count(*) FROM processes WHERE {of_day}")).await?;
    let count =
        any.first().and_then(|b| b.column(0).as_any().downcast_ref::<Int64Array>().map(|c| c.value(0)));
    if count.unwrap_or(0) == 0 {
        return Ok(None);
    }
    Ok(Some(sums_of(&session, &of_day, without).await?))
}

/// Sums of the rows that a condition on cluster and date selects.
pub(crate) async fn sums_of(session: &Session, of_day: &str, without: &HashSet<i64>) -> Result<Sums> {
    let mut texts_of = Texts::new();
    let mut sums: BTreeMap<Key, Sum> = BTreeMap::new();
    let each = format!(
        "SELECT i.package, i.distribution, i.version, i.origin, p.environment_class, bool_or(i.direct), count(*), \
         max(coalesce(i.took_us, 0)), p.user_no, i.process_id \
         FROM (SELECT * FROM imports WHERE {of_day}) i JOIN (SELECT * FROM processes WHERE {of_day}) p \
         ON i.process_id = p.process_id WHERE p.python IS NOT NULL \
         GROUP BY i.package, i.distribution, i.version, i.origin, p.environment_class, p.user_no, i.process_id"
    );
    let all = format!(
        "SELECT NULL AS a, NULL AS b, NULL AS c, NULL AS d, environment_class, NULL AS e, CAST(modules AS BIGINT), 0, user_no, process_id \
         FROM processes WHERE {of_day} AND python IS NOT NULL"
    );
    for (query, is_all) in [(each, false), (all, true)] {
        let mut stream = session.query(&query).await?.execute_stream().await?;
        while let Some(batch) = stream.try_next().await? {
            let bad = || Error::Rows { table: "daily", source: "a column has another type".into() };
            let text: Vec<_> = (0..5).map(|i| texts(&batch, i).ok_or_else(bad)).collect::<Result<_>>()?;
            let long = |i: usize| {
                let array = arrow::compute::cast(batch.column(i), &arrow::datatypes::DataType::Int64).ok()?;
                array.as_any().downcast_ref::<Int64Array>().cloned()
            };
            let direct = arrow::compute::cast(batch.column(5), &arrow::datatypes::DataType::Boolean).ok();
            let direct =
                direct.and_then(|d| d.as_any().downcast_ref::<BooleanArray>().cloned()).ok_or_else(bad)?;
            let [modules, took, user, process] = [6, 7, 8, 9].map(long);
            let (Some(modules), Some(took), Some(user), Some(process)) = (modules, took, user, process)
            else {
                return Err(bad());
            };
            for i in (0..batch.num_rows()).filter(|i| !without.contains(&process.value(*i))) {
                let direct = (!is_all && direct.is_valid(i)).then(|| direct.value(i));
                let key = key(&mut texts_of, &text, i, direct.into());
                let mut sum = Sum {
                    processes: 1,
                    modules: modules.value(i),
                    import_us: took.value(i),
                    ..Sum::default()
                };
                sum.users.insert(user.value(i) as u32);
                sums.entry(key).or_default().add(&sum);
            }
        }
    }
    Ok(Sums { texts: texts_of.all, rows: sums })
}

fn from_inbox(inbox: &Inbox, user: &str) -> Result<u64> {
    let mut changed = 0;
    for path in inbox.files()? {
        let Ok(arrived) = inbox.read(&path)? else { continue };
        let segment = arrived.segment;
        let is_his = segment.processes.iter().any(|p| p.user == user)
            || segment.usages.iter().any(|u| u.user == user)
            || segment.jobs.iter().any(|job| job.user.as_deref() == Some(user));
        if is_his {
            without(&segment, user, &path)?;
            changed += 1;
        }
    }
    Ok(changed)
}

/// Writes a segment anew without a user, in its place.
fn without(segment: &Segment, user: &str, path: &PathBuf) -> Result<()> {
    let failed = |source| Error::File { path: path.clone(), source };
    let mut writer = Writer::new(Vec::new(), &segment.head).map_err(failed)?;
    for environment in &segment.environments {
        writer.environment(environment);
    }
    for process in segment.processes.iter().filter(|process| process.user != user) {
        let mut process = process.clone();
        for object in process.objects.iter_mut().chain(&mut process.doubts) {
            *object = writer.name(&segment.names[*object as usize]);
        }
        for load in &mut process.loads {
            load.importer = writer.name(&segment.names[load.importer as usize]);
            load.module = writer.module(&segment.modules[load.module as usize]);
        }
        writer.process(&process).map_err(failed)?;
    }
    for usage in segment.usages.iter().filter(|usage| usage.user != user) {
        writer.usage(usage).map_err(failed)?;
    }
    for job in segment.jobs.iter().filter(|job| job.user.as_deref() != Some(user)) {
        writer.job(job).map_err(failed)?;
    }
    for domain in &segment.domains {
        writer.domain(domain).map_err(failed)?;
    }
    let (bytes, _) = writer.finish().map_err(failed)?;
    let new = path.with_extension("new");
    std::fs::write(&new, bytes).map_err(failed)?;
    std::fs::rename(&new, path).map_err(failed)
}

/// Files of a table that are gone or cut.
pub(crate) async fn damaged(store: &Store, table: &'static Table) -> Result<Vec<String>> {
    let state = store.table(table).await?;
    let mut wrong = Vec::new();
    for file in files(table, &state)? {
        match read(store, table, &file).await {
            Ok(rows) => {
                let count: usize = rows.iter().map(RecordBatch::num_rows).sum();
                if file.rows.is_some_and(|rows| rows != count) {
                    wrong.push(format!(
                        "{}/{}: it has {count} rows, and the log says otherwise",
                        table.name, file.path
                    ));
                }
            }
            Err(error) => wrong.push(format!("{}/{}: {error}", table.name, file.path)),
        }
    }
    Ok(wrong)
}
