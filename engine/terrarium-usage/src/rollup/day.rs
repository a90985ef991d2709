//! The part of one day, from its rows.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use terrarium_rollup::{Asked, Builder, Map, Package, Part, ProcessFacts};

use crate::error::{Error, Result};
use crate::rewrite::{read, read_some};
use crate::schema::{self, Type};
use crate::store::Store;

use super::jobs::Jobs;
use super::sources::Sources;

pub(super) fn bad(error: arrow::error::ArrowError) -> Error {
    Error::Rows { table: "rollups", source: Box::new(error) }
}

pub(super) fn missing(column: &str) -> Error {
    Error::Rows { table: "rollups", source: format!("the column {column} is missing").into() }
}

fn column(batch: &RecordBatch, name: &str, kind: &DataType) -> Result<ArrayRef> {
    let array = batch.column_by_name(name).ok_or_else(|| missing(name))?;
    arrow::compute::cast(array, kind).map_err(bad)
}

fn texts(batch: &RecordBatch, name: &str) -> Result<StringArray> {
    Ok(column(batch, name, &DataType::Utf8)?.as_string::<i32>().clone())
}

/// Texts of which many are the same: numbers of the builder, 0 for none.
struct Numbered {
    keys: DictionaryArray<Int32Type>,
    numbers: Vec<u32>,
}

impl Numbered {
    fn of(batch: &RecordBatch, name: &str, mut number: impl FnMut(&str) -> u32) -> Result<Self> {
        let kind = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        let keys = column(batch, name, &kind)?.as_dictionary::<Int32Type>().clone();
        let values = keys.values().as_string::<i32>();
        let numbers = values.iter().map(|text| text.map_or(0, &mut number)).collect();
        Ok(Numbered { keys, numbers })
    }

    fn at(&self, row: usize) -> u32 {
        self.keys.key(row).map_or(0, |key| self.numbers[key])
    }
}

/// What is a library: texts that tell it.
struct Rule {
    python: u32,
    own: u32,
    unknown: u32,
}

impl Rule {
    fn new(builder: &mut Builder) -> Self {
        Rule {
            python: builder.text("python"),
            own: builder.text("(own code)"),
            unknown: builder.text("unknown"),
        }
    }

    /// Of package, distribution, version and origin. What code makes at run time belongs to nothing that was installed; imported
    /// records may not tell where it lay.
    fn is_library(&self, [package, distribution, _, origin]: [u32; 4], asked: Option<bool>) -> bool {
        let is_made = origin == self.unknown && distribution == 0 && asked.is_some();
        origin != self.python && package != self.own && !is_made
    }
}

struct Process {
    number: u32,
    is_python: bool,
    /// It stands for all ranks of a parallel job.
    is_parallel: bool,
}

/// Makes it.
pub(super) async fn build(
    store: &Store,
    sources: &Sources,
    jobs: &Jobs,
    cluster: &str,
    day: i32,
) -> Result<Part> {
    let digest = sources
        .months((day, day), Some(cluster))
        .into_values()
        .flatten()
        .next()
        .map_or(0, |(_, digest)| digest);
    let mut builder = Builder::new(cluster, day, digest);
    if sources.of(&schema::PROCESSES, cluster, day).is_empty() {
        from_sums(store, sources, cluster, day, &mut builder).await?;
    }
    let processes = processes(store, sources, jobs, cluster, day, &mut builder).await?;
    imports(store, sources, cluster, day, &processes, &mut builder).await?;
    lost(store, sources, jobs, cluster, day, &mut builder).await?;
    Ok(builder.finish())
}

async fn processes(
    store: &Store,
    sources: &Sources,
    jobs: &Jobs,
    cluster: &str,
    day: i32,
    builder: &mut Builder,
) -> Result<HashMap<i64, Process>> {
    let mut links: HashMap<i64, (String, String)> = HashMap::new();
    for file in sources.of(&schema::LINKS, cluster, day) {
        for batch in read(store, &schema::LINKS, file).await? {
            let ids = column(&batch, "process_id", &DataType::Int64)?;
            let (scheduler, job) = (texts(&batch, "scheduler")?, texts(&batch, "job_id")?);
            for (i, id) in ids.as_primitive::<Int64Type>().values().iter().enumerate() {
                links.insert(*id, (scheduler.value(i).to_owned(), job.value(i).to_owned()));
            }
        }
    }
    const COLUMNS: [&str; 14] = [
        "process_id",
        "user_no",
        "started",
        "extent",
        "python",
        "environment_class",
        "scheduler",
        "job_id",
        "rank",
        "ranks",
        "dropped",
        "is_cut",
        "probability",
        "doubts",
    ];
    let mut processes = HashMap::new();
    for file in sources.of(&schema::PROCESSES, cluster, day) {
        for batch in read_some(store, &schema::PROCESSES, file, &COLUMNS).await? {
            let ids = column(&batch, "process_id", &DataType::Int64)?;
            let users = column(&batch, "user_no", &DataType::Int32)?;
            let users = users.as_primitive::<Int32Type>();
            let started = column(&batch, "started", &Type::Time.arrow())?;
            let started = started.as_primitive::<TimestampMicrosecondType>();
            let (extent, scheduler, job) =
                (texts(&batch, "extent")?, texts(&batch, "scheduler")?, texts(&batch, "job_id")?);
            let python = column(&batch, "python", &DataType::Utf8)?;
            let class = Numbered::of(&batch, "environment_class", |text| builder.text(text))?;
            let number = |name: &str| column(&batch, name, &DataType::Int64);
            let (rank, ranks, dropped) = (number("rank")?, number("ranks")?, number("dropped")?);
            let (rank, ranks, dropped) = (
                rank.as_primitive::<Int64Type>(),
                ranks.as_primitive::<Int64Type>(),
                dropped.as_primitive::<Int64Type>(),
            );
            let cut = column(&batch, "is_cut", &DataType::Boolean)?;
            let probability = column(&batch, "probability", &DataType::Float64)?;
            let probability = probability.as_primitive::<Float64Type>();
            let doubts = batch.column_by_name("doubts").and_then(|doubts| doubts.as_list_opt::<i32>());
            for (i, id) in ids.as_primitive::<Int64Type>().values().iter().enumerate() {
                let named = job.is_valid(i).then(|| (scheduler.value(i), job.value(i)));
                let linked = || links.get(id).map(|(scheduler, job)| (scheduler.as_str(), job.as_str()));
                let job =
                    named.or_else(linked).map(|(scheduler, job)| jobs.of(scheduler, job, started.value(i)));
                let job_day = builder.job_day(users.value(i) as u32, job);
                let facts = ProcessFacts {
                    is_python: python.is_valid(i),
                    class: class.at(i),
                    is_opted_out: extent.value(i) == "opted-out",
                    is_incomplete: dropped.value(i) > 0 || cut.as_boolean().value(i),
                    is_doubtful: doubts
                        .is_some_and(|doubts| doubts.is_valid(i) && doubts.value_length(i) > 0),
                    probability: if probability.is_valid(i) {
                        (probability.value(i) * 1e6).round().clamp(1.0, 1e6) as u32
                    } else {
                        1_000_000
                    },
                };
                let is_parallel =
                    rank.is_valid(i) && rank.value(i) == 0 && ranks.is_valid(i) && ranks.value(i) > 1;
                let number = builder.process(job_day, facts);
                processes.insert(*id, Process { number, is_python: facts.is_python, is_parallel });
            }
        }
    }
    Ok(processes)
}

/// A row of `imports`, as far as time is counted.
struct Took {
    process: u32,
    is_parallel: bool,
    module: u32,
    origin: u32,
    asked: Asked,
    us: u32,
}

async fn imports(
    store: &Store,
    sources: &Sources,
    cluster: &str,
    day: i32,
    processes: &HashMap<i64, Process>,
    builder: &mut Builder,
) -> Result<()> {
    const COLUMNS: [&str; 9] = [
        "process_id",
        "module",
        "package",
        "distribution",
        "version",
        "origin",
        "imported_by",
        "direct",
        "took_us",
    ];
    // Names of modules have numbers of their own: they are in no answer.
    let mut modules: Map<String, u32> = Map::default();
    let mut rows: Vec<Took> = Vec::new();
    // By process and module: the time of what it imported in turn.
    let mut inside: Map<(u32, u32), u32> = Map::default();
    for file in sources.of(&schema::IMPORTS, cluster, day) {
        for batch in read_some(store, &schema::IMPORTS, file, &COLUMNS).await? {
            let mut module_number = |name: &str| {
                let next = modules.len() as u32 + 1;
                *modules.entry_ref(name).or_insert(next)
            };
            let module = Numbered::of(&batch, "module", &mut module_number)?;
            let importer = Numbered::of(&batch, "imported_by", &mut module_number)?;
            let mut number = |name: &str| Numbered::of(&batch, name, |text| builder.text(text));
            let (package, distribution) = (number("package")?, number("distribution")?);
            let (version, origin) = (number("version")?, number("origin")?);
            let rule = Rule::new(builder);
            let ids = column(&batch, "process_id", &DataType::Int64)?;
            let direct = column(&batch, "direct", &DataType::Boolean)?;
            let direct = direct.as_boolean();
            let took = column(&batch, "took_us", &DataType::Int32)?;
            let took = took.as_primitive::<Int32Type>();
            let mut last: Option<([u32; 4], bool, u32)> = None;
            for (i, id) in ids.as_primitive::<Int64Type>().values().iter().enumerate() {
                let Some(process) = processes.get(id).filter(|process| process.is_python) else { continue };
                let of = [package.at(i), distribution.at(i), version.at(i), origin.at(i)];
                let asked = direct.is_valid(i).then(|| direct.value(i));
                let is_library = rule.is_library(of, asked);
                let number = match last {
                    Some((known, was_library, number)) if known == of && was_library == is_library => number,
                    _ => {
                        let [package, distribution, version, origin] = of;
                        builder.package(Package { package, distribution, version, origin, is_library })
                    }
                };
                last = Some((of, is_library, number));
                builder.load(process.number, number, Asked::from(asked));
                let us = if took.is_valid(i) { took.value(i).max(0) as u32 } else { 0 };
                if us > 0 && importer.at(i) != 0 {
                    let sum = inside.entry((process.number, importer.at(i))).or_default();
                    *sum = sum.saturating_add(us);
                }
                let (process, is_parallel) = (process.number, process.is_parallel);
                rows.push(Took {
                    process,
                    is_parallel,
                    module: module.at(i),
                    origin: of[3],
                    asked: Asked::from(asked),
                    us,
                });
            }
        }
    }
    for row in rows {
        let children = if row.us == 0 { None } else { inside.get(&(row.process, row.module)) };
        let own = row.us.saturating_sub(children.copied().unwrap_or(0));
        builder.from_origin(row.process, row.origin, row.asked, own, row.is_parallel);
    }
    Ok(())
}

/// Processes that runs counted and that could not be recorded.
async fn lost(
    store: &Store,
    sources: &Sources,
    jobs: &Jobs,
    cluster: &str,
    day: i32,
    builder: &mut Builder,
) -> Result<()> {
    let files = sources.of(&schema::JOB_USAGE, cluster, day);
    if files.is_empty() {
        return Ok(());
    }
    let mut names: HashMap<String, u32> = HashMap::new();
    let state = store.table(&schema::USERS).await?;
    for file in crate::rewrite::files(&schema::USERS, &state)? {
        for batch in read(store, &schema::USERS, &file).await? {
            let numbers = column(&batch, "user_no", &DataType::Int32)?;
            let users = texts(&batch, "user")?;
            for (i, number) in numbers.as_primitive::<Int32Type>().values().iter().enumerate() {
                names.insert(users.value(i).to_owned(), *number as u32);
            }
        }
    }
    for file in files {
        for batch in read(store, &schema::JOB_USAGE, file).await? {
            let dropped = column(&batch, "processes_dropped", &DataType::Int64)?;
            let dropped = dropped.as_primitive::<Int64Type>();
            let started = column(&batch, "started", &Type::Time.arrow())?;
            let started = started.as_primitive::<TimestampMicrosecondType>();
            let (user, scheduler, job) =
                (texts(&batch, "user")?, texts(&batch, "scheduler")?, texts(&batch, "job_id")?);
            for i in (0..batch.num_rows()).filter(|i| dropped.is_valid(*i) && dropped.value(*i) > 0) {
                let Some(user) = names.get(user.value(i)) else { continue };
                let began =
                    if started.is_valid(i) { started.value(i) } else { i64::from(day) * 86_400_000_000 };
                let job = job.is_valid(i).then(|| jobs.of(scheduler.value(i), job.value(i), began));
                let job_day = builder.job_day(*user, job);
                builder.lost(job_day, dropped.value(i).min(i64::from(u32::MAX)) as u32);
            }
        }
    }
    Ok(())
}

/// Where rows are gone, what sums tell: who loaded what, and nothing of jobs.
async fn from_sums(
    store: &Store,
    sources: &Sources,
    cluster: &str,
    day: i32,
    builder: &mut Builder,
) -> Result<()> {
    for file in sources.of(&schema::DAILY, cluster, day) {
        for batch in read(store, &schema::DAILY, file).await? {
            let mut number = |name: &str| Numbered::of(&batch, name, |text| builder.text(text));
            let (package, distribution, version) =
                (number("package")?, number("distribution")?, number("version")?);
            let (origin, class) = (number("origin")?, number("environment_class")?);
            let rule = Rule::new(builder);
            let direct = column(&batch, "direct", &DataType::Boolean)?;
            let direct = direct.as_boolean();
            let users = column(&batch, "users", &DataType::Binary)?;
            for (i, users) in users.as_binary::<i32>().iter().enumerate() {
                let of = [package.at(i), distribution.at(i), version.at(i), origin.at(i)];
                let asked = direct.is_valid(i).then(|| direct.value(i));
                let is_library = rule.is_library(of, asked);
                let [package, distribution, version, origin] = of;
                let one = Package { package, distribution, version, origin, is_library };
                let one = (package != 0).then(|| builder.package(one));
                for user in crate::maintain::bitmap(users.unwrap_or_default())? {
                    builder.sums(user, class.at(i), one, Asked::from(asked));
                }
            }
        }
    }
    Ok(())
}
