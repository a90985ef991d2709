//! What the store knows of records that may be imported again.

use std::collections::{HashMap, HashSet};

use arrow::array::{Array, AsArray, BooleanArray, Date32Array, Int32Array, Int64Array, StringArray};
use arrow::datatypes::DataType;
use futures::TryStreamExt;
use terrarium_segment::{CERTAIN, Direct, End, Environment, Extent, Job, Kind, Module, Process};

use crate::error::{Error, Result};
use crate::files::day;
use crate::query::Session;
use crate::schema;
use crate::store::Store;

/// A process that was imported before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its number in the store.
    pub process_id: i64,
    /// Its cluster.
    pub cluster: String,
    /// Its day, since 1970.
    pub date: i32,
    /// Fingerprint of what was said of it.
    pub content: u64,
    /// How many modules.
    pub modules: u32,
}

fn bad(what: &str) -> Error {
    Error::Rows { table: "processes", source: format!("{what} has another type").into() }
}

fn quoted(text: &str) -> String {
    text.replace('\'', "''")
}

/// Whether anything of a source is there.
pub async fn has(store: &Store, source: &str) -> Result<bool> {
    let session = Session::of(store, &[&schema::PROCESSES]).await?;
    let query = format!("SELECT record FROM processes WHERE source = '{}' LIMIT 1", quoted(source));
    Ok(session.rows(&query).await?.iter().any(|batch| batch.num_rows() > 0))
}

/// Processes of a source that began on these days or those beside them, by their records; only `wanted` ones if some are. In any
/// cluster: of a piece of a process it may not be known.
pub async fn records(
    store: &Store,
    source: &str,
    (first, last): (i32, i32),
    wanted: Option<&HashSet<u64>>,
) -> Result<HashMap<u64, Known>> {
    let session = Session::of(store, &[&schema::PROCESSES]).await?;
    let query = format!(
        "SELECT record, process_id, date, coalesce(content, 0), coalesce(modules, 0), cluster FROM processes \
         WHERE source = '{}' AND date BETWEEN DATE '{}' AND DATE '{}'",
        quoted(source),
        day(first.saturating_sub(1)),
        day(last.saturating_add(1))
    );
    let mut known = HashMap::new();
    let mut stream = session.query(&query).await?.execute_stream().await?;
    while let Some(batch) = stream.try_next().await? {
        let long =
            |i: usize| batch.column(i).as_any().downcast_ref::<Int64Array>().ok_or_else(|| bad("a number"));
        let (record, id, content) = (long(0)?, long(1)?, long(3)?);
        let date = batch.column(2).as_any().downcast_ref::<Date32Array>().ok_or_else(|| bad("date"))?;
        let modules = arrow::compute::cast(batch.column(4), &DataType::Int64).map_err(|_| bad("modules"))?;
        let modules = modules.as_any().downcast_ref::<Int64Array>().ok_or_else(|| bad("modules"))?;
        let cluster = crate::commit::texts(&batch, 5).ok_or_else(|| bad("cluster"))?;
        for i in 0..batch.num_rows() {
            let record = record.value(i).cast_unsigned();
            if wanted.is_none_or(|wanted| wanted.contains(&record)) {
                known.insert(
                    record,
                    Known {
                        process_id: id.value(i),
                        cluster: cluster.value(i).to_owned(),
                        date: date.value(i),
                        content: content.value(i).cast_unsigned(),
                        modules: u32::try_from(modules.value(i)).unwrap_or(0),
                    },
                );
            }
        }
    }
    Ok(known)
}

/// A module that a process of the store loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The module.
    pub module: Module,
    /// Who imported it.
    pub importer: Option<String>,
    /// Whether it was asked for.
    pub direct: Direct,
    /// What it took, µs.
    pub took_us: Option<u32>,
}

/// What processes of some days loaded, by their numbers.
pub async fn loads(
    store: &Store,
    cluster: &str,
    (first, last): (i32, i32),
    ids: &HashSet<i64>,
) -> Result<HashMap<i64, Vec<Loaded>>> {
    let mut all: HashMap<i64, Vec<Loaded>> = HashMap::new();
    if ids.is_empty() {
        return Ok(all);
    }
    let session = Session::of(store, &[&schema::IMPORTS]).await?;
    let query = format!(
        "SELECT process_id, module, distribution, version, origin, place, kind, imported_by, direct, took_us FROM imports \
         WHERE cluster = '{}' AND date BETWEEN DATE '{}' AND DATE '{}'",
        quoted(cluster),
        day(first.saturating_sub(1)),
        day(last.saturating_add(1))
    );
    let mut stream = session.query(&query).await?.execute_stream().await?;
    while let Some(batch) = stream.try_next().await? {
        let id = batch.column(0).as_any().downcast_ref::<Int64Array>().ok_or_else(|| bad("process_id"))?;
        let wanted: BooleanArray = id.iter().map(|id| Some(id.is_some_and(|id| ids.contains(&id)))).collect();
        if wanted.true_count() == 0 {
            continue;
        }
        let batch = arrow::compute::filter_record_batch(&batch, &wanted)
            .map_err(|error| Error::Rows { table: "imports", source: Box::new(error) })?;
        let id = batch.column(0).as_any().downcast_ref::<Int64Array>().ok_or_else(|| bad("process_id"))?;
        let text = |i: usize| crate::commit::texts(&batch, i).ok_or_else(|| bad("a text"));
        let [name, distribution, version, origin, place, kind, importer] =
            [text(1)?, text(2)?, text(3)?, text(4)?, text(5)?, text(6)?, text(7)?];
        let direct = batch.column(8).as_boolean_opt().ok_or_else(|| bad("direct"))?;
        let took = batch.column(9).as_any().downcast_ref::<Int32Array>().ok_or_else(|| bad("took_us"))?;
        let of = |column: &StringArray, i: usize| column.is_valid(i).then(|| column.value(i).to_owned());
        for i in 0..batch.num_rows() {
            all.entry(id.value(i)).or_default().push(Loaded {
                module: Module {
                    name: of(&name, i).unwrap_or_default(),
                    distribution: of(&distribution, i),
                    version: of(&version, i),
                    origin: of(&origin, i).unwrap_or_default(),
                    place: of(&place, i).unwrap_or_default(),
                    kind: Kind::of(&of(&kind, i).unwrap_or_default()),
                },
                importer: of(&importer, i),
                direct: direct.is_valid(i).then(|| direct.value(i)).into(),
                took_us: took.is_valid(i).then(|| took.value(i)).and_then(|took| u32::try_from(took).ok()),
            });
        }
    }
    Ok(all)
}

/// A process of the store, as a segment has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Before {
    /// Without what it loaded; indices of names are not in it.
    pub process: Process,
    /// File names of its libraries.
    pub objects: Vec<String>,
    /// What is doubtful.
    pub doubts: Vec<String>,
    /// Its environment, by its name and class alone: the rest is in its table.
    pub environment: Option<Environment>,
}

/// Processes of some days, by their numbers.
pub async fn processes(
    store: &Store,
    cluster: &str,
    (first, last): (i32, i32),
    ids: &HashSet<i64>,
) -> Result<HashMap<i64, Before>> {
    let mut all = HashMap::new();
    if ids.is_empty() {
        return Ok(all);
    }
    let session = Session::of(store, &[&schema::PROCESSES]).await?;
    let query = format!(
        "SELECT process_id, \"user\", host, \"end\", python, environment_id, environment_class, main, script, program, \
         scheduler, job_id, array_id, array_task, step, exception, record, CAST(started AS BIGINT), CAST(ended AS BIGINT), rank, \
         ranks, peak_bytes, status, parent_pid, CAST(round(probability * 1000000) AS BIGINT), content, objects, doubts \
         FROM processes WHERE cluster = '{}' AND date BETWEEN DATE '{}' AND DATE '{}'",
        quoted(cluster),
        day(first.saturating_sub(1)),
        day(last.saturating_add(1))
    );
    let mut stream = session.query(&query).await?.execute_stream().await?;
    while let Some(batch) = stream.try_next().await? {
        let id = batch.column(0).as_any().downcast_ref::<Int64Array>().ok_or_else(|| bad("process_id"))?;
        let wanted: Vec<usize> = (0..batch.num_rows()).filter(|i| ids.contains(&id.value(*i))).collect();
        if wanted.is_empty() {
            continue;
        }
        let texts: Vec<StringArray> = (1..16)
            .map(|i| crate::commit::texts(&batch, i).ok_or_else(|| bad("a text")))
            .collect::<Result<_>>()?;
        let longs: Vec<Int64Array> = (16..26)
            .map(|i| {
                let cast =
                    arrow::compute::cast(batch.column(i), &DataType::Int64).map_err(|_| bad("a number"))?;
                cast.as_any().downcast_ref::<Int64Array>().cloned().ok_or_else(|| bad("a number"))
            })
            .collect::<Result<_>>()?;
        let lists = |column: usize, row: usize| -> Vec<String> {
            let list = batch.column(column).as_list_opt::<i32>().filter(|list| list.is_valid(row));
            let names = list.and_then(|list| arrow::compute::cast(&list.value(row), &DataType::Utf8).ok());
            let names = names.as_ref().and_then(|names| names.as_any().downcast_ref::<StringArray>());
            names.map(|names| names.iter().flatten().map(str::to_owned).collect()).unwrap_or_default()
        };
        for i in wanted {
            let text = |column: usize| {
                let column = &texts[column - 1];
                column.is_valid(i).then(|| column.value(i).to_owned())
            };
            let long = |column: usize| {
                let column = &longs[column - 16];
                column.is_valid(i).then(|| column.value(i))
            };
            let small = |column: usize| long(column).and_then(|n| u32::try_from(n).ok());
            let started_us = long(17).unwrap_or(0);
            let end = End::of(&text(3).unwrap_or_default());
            let process = Process {
                record: long(16).unwrap_or(0).cast_unsigned(),
                forked_from: None,
                pid: 0,
                parent: small(23),
                user: text(1).unwrap_or_default(),
                host: text(2).unwrap_or_default(),
                started_us,
                lasted_us: long(18)
                    .map_or(0, |ended| ended.saturating_sub(started_us).max(0).cast_unsigned()),
                end,
                status: long(22).and_then(|status| i32::try_from(status).ok()),
                extent: Extent::Full,
                python: text(4),
                environment: None,
                main: text(7).unwrap_or_default(),
                script: text(8),
                program: text(9).unwrap_or_default(),
                job: text(10).zip(text(11)).map(|(system, id)| Job {
                    system,
                    id,
                    array: text(12),
                    array_task: text(13),
                    step: text(14),
                }),
                run: None,
                rank: long(19).map(i64::cast_unsigned),
                ranks: long(20).map(i64::cast_unsigned),
                peak_bytes: long(21).map(i64::cast_unsigned),
                import_events: 0,
                not_loaded: 0,
                dropped: 0,
                is_cut: false,
                exception: text(15),
                objects: Vec::new(),
                probability: small(24).unwrap_or(CERTAIN),
                doubts: Vec::new(),
                content: long(25).unwrap_or(0).cast_unsigned(),
                loads: Vec::new(),
            };
            let environment = text(5).map(|id| Environment {
                id,
                prefix: String::new(),
                class: text(6).unwrap_or_default(),
                python: text(4).unwrap_or_default(),
                seen_ms: 0,
                packages: Vec::new(),
                is_partial: true,
            });
            all.insert(
                id.value(i),
                Before { process, objects: lists(26, i), doubts: lists(27, i), environment },
            );
        }
    }
    Ok(all)
}
