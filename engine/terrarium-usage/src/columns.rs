//! Rows to columns, as files have them.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanArray, Date32Array, DictionaryArray, Float64Array, Int32Array,
    Int64Array, ListBuilder, RecordBatch, StringArray, StringBuilder, TimestampMicrosecondArray,
};
use arrow::datatypes::{Field, Int32Type, Schema};

use crate::daily::Sums;
use crate::error::{Error, Result};
use crate::gather::{Gathered, Numbered, Rows, Translation};
use crate::jobs::Row;
use crate::schema::{self, Table};
use terrarium_segment::{CERTAIN, Domain, End, Environment, Module, Process, Usage};

/// Columns of a table in the order of its schema.
struct Columns {
    table: &'static Table,
    arrays: Vec<(&'static str, ArrayRef)>,
}

impl Columns {
    fn new(table: &'static Table) -> Self {
        Columns { table, arrays: Vec::new() }
    }

    fn put(&mut self, name: &'static str, array: ArrayRef) {
        self.arrays.push((name, array));
    }

    fn texts<'a>(&mut self, name: &'static str, values: impl Iterator<Item = Option<&'a str>>) {
        self.put(name, Arc::new(values.collect::<StringArray>()));
    }

    fn ints(&mut self, name: &'static str, values: impl Iterator<Item = Option<i32>>) {
        self.put(name, Arc::new(values.collect::<Int32Array>()));
    }

    fn longs(&mut self, name: &'static str, values: impl Iterator<Item = Option<i64>>) {
        self.put(name, Arc::new(values.collect::<Int64Array>()));
    }

    fn doubles(&mut self, name: &'static str, values: impl Iterator<Item = Option<f64>>) {
        self.put(name, Arc::new(values.collect::<Float64Array>()));
    }

    fn bools(&mut self, name: &'static str, values: impl Iterator<Item = Option<bool>>) {
        self.put(name, Arc::new(values.collect::<BooleanArray>()));
    }

    fn times(&mut self, name: &'static str, values: impl Iterator<Item = Option<i64>>) {
        let array = values.collect::<TimestampMicrosecondArray>().with_timezone("UTC");
        self.put(name, Arc::new(array));
    }

    fn lists<'a, L: Iterator<Item = &'a str>>(&mut self, name: &'static str, rows: impl Iterator<Item = L>) {
        let field = Field::new("element", arrow::datatypes::DataType::Utf8, true);
        let mut builder = ListBuilder::new(StringBuilder::new()).with_field(Arc::new(field));
        for row in rows {
            row.for_each(|text| builder.values().append_value(text));
            builder.append(true);
        }
        self.put(name, Arc::new(builder.finish()));
    }

    /// All that are in files, in their order; those that nobody put are empty.
    fn finish(mut self, rows: usize) -> Result<RecordBatch> {
        let mut fields = Vec::new();
        let mut arrays = Vec::new();
        for field in self.table.in_files().fields() {
            let place = self.arrays.iter().position(|(name, _)| name == field.name());
            let array = match place {
                Some(place) => self.arrays.swap_remove(place).1,
                None => arrow::array::new_null_array(field.data_type(), rows),
            };
            fields.push(Field::new(field.name(), array.data_type().clone(), true));
            arrays.push(array);
        }
        RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
            .map_err(|error| Error::Rows { table: self.table.name, source: Box::new(error) })
    }
}

fn number(value: u64) -> Option<i64> {
    i64::try_from(value).ok()
}

/// `processes`.
pub(crate) fn processes(
    gathered: &Gathered<'_>,
    translations: &[Translation],
    rows: &[Numbered<'_>],
    user: &dyn Fn(&str) -> u32,
) -> Result<RecordBatch> {
    let mut columns = Columns::new(&schema::PROCESSES);
    let all = || rows.iter().map(|numbered| numbered.process);
    let job = |get: fn(&terrarium_segment::Job) -> Option<&str>| {
        move |process: &'_ Process| -> Option<String> { get(process.job.as_ref()?).map(str::to_owned) }
    };
    columns.longs("process_id", rows.iter().map(|n| Some(n.id)));
    columns.texts("user", all().map(|p| Some(p.user.as_str())));
    columns.ints("user_no", all().map(|p| i32::try_from(user(&p.user)).ok()));
    columns.texts("host", all().map(|p| Some(p.host.as_str()).filter(|host| !host.is_empty())));
    columns.times("started", all().map(|p| Some(p.started_us)));
    let ended = |p: &Process| {
        (p.end != End::Unknown).then(|| p.started_us.checked_add_unsigned(p.lasted_us)).flatten()
    };
    columns.times("ended", all().map(ended));
    columns.texts("end", all().map(|p| Some(p.end.name())));
    columns.ints("status", all().map(|p| p.status));
    columns.texts("extent", all().map(|p| Some(p.extent.name())));
    columns.texts("python", all().map(|p| p.python.as_deref()));
    columns.texts("environment_id", rows.iter().map(|n| n.environment.map(|e| e.id.as_str())));
    columns.texts("environment_class", rows.iter().map(|n| n.environment.map(|e| e.class.as_str())));
    columns.texts("main", all().map(|p| Some(p.main.as_str()).filter(|main| !main.is_empty())));
    columns.texts("script", all().map(|p| p.script.as_deref()));
    columns.texts("program", all().map(|p| Some(p.program.as_str()).filter(|path| !path.is_empty())));
    for (name, get) in [
        ("scheduler", job(|job| Some(&job.system))),
        ("job_id", job(|job| Some(&job.id))),
        ("array_id", job(|job| job.array.as_deref())),
        ("array_task", job(|job| job.array_task.as_deref())),
        ("step", job(|job| job.step.as_deref())),
    ] {
        let values: Vec<Option<String>> = all().map(get).collect();
        columns.texts(name, values.iter().map(Option::as_deref));
    }
    columns.texts("run", all().map(|p| p.run.as_deref()));
    columns.longs("rank", all().map(|p| p.rank.and_then(number)));
    columns.longs("ranks", all().map(|p| p.ranks.and_then(number)));
    columns.longs("peak_bytes", all().map(|p| p.peak_bytes.and_then(number)));
    columns.ints("import_events", all().map(|p| i32::try_from(p.import_events).ok()));
    columns.ints("modules", all().map(|p| i32::try_from(p.loads.len()).ok()));
    columns.ints("not_loaded", all().map(|p| i32::try_from(p.not_loaded).ok()));
    columns.ints("dropped", all().map(|p| i32::try_from(p.dropped).ok()));
    columns.bools("is_cut", all().map(|p| Some(p.is_cut)));
    columns.texts("exception", all().map(|p| p.exception.as_deref()));
    columns.lists(
        "objects",
        rows.iter().map(|n| {
            let names = &translations[n.segment].names;
            n.process.objects.iter().map(|i| gathered.names[names[*i as usize] as usize])
        }),
    );
    columns.ints("pid", all().map(|p| i32::try_from(p.pid).ok().filter(|pid| *pid != 0)));
    columns.ints("parent_pid", all().map(|p| p.parent.and_then(|pid| i32::try_from(pid).ok())));
    columns.longs("record", all().map(|p| Some(p.record.cast_signed())));
    columns.longs("forked_from", all().map(|p| p.forked_from.map(u64::cast_signed)));
    columns.doubles("probability", all().map(|p| Some(f64::from(p.probability) / f64::from(CERTAIN))));
    columns.texts("source", rows.iter().map(|n| Some(n.source)));
    columns.lists(
        "doubts",
        rows.iter().map(|n| {
            let names = &translations[n.segment].names;
            n.process.doubts.iter().map(|i| gathered.names[names[*i as usize] as usize])
        }),
    );
    columns.longs("content", all().map(|p| Some(p.content.cast_signed()).filter(|content| *content != 0)));
    columns.longs("batch", all().map(|_| number(gathered.batch)));
    columns.finish(rows.len())
}

/// `imports`, in groups of rows that fit into memory once more.
pub(crate) fn imports(gathered: &Gathered<'_>, rows: &Rows) -> Result<Vec<RecordBatch>> {
    /// Rows of a batch; the text columns of one are numbers.
    const ROWS: usize = 1 << 19;
    // Which module each row is of, of those that have rows: a batch of many days has many that this one lacks.
    let mut of_row: Vec<i32> = Vec::with_capacity(rows.process.len());
    let mut modules: Vec<&Module> = Vec::new();
    for (module, end) in gathered.modules.iter().zip(&rows.ends) {
        if *end > of_row.len() {
            of_row.resize(*end, modules.len() as i32);
            modules.push(module);
        }
    }
    let modules = &modules;
    let of_module = [
        ("module", numbered(modules, |m| Some(&m.name))),
        ("package", numbered(modules, |m| Some(m.package()))),
        ("distribution", numbered(modules, |m| m.distribution.as_deref())),
        ("version", numbered(modules, |m| m.version.as_deref())),
        ("origin", numbered(modules, |m| Some(&m.origin))),
        ("place", numbered(modules, |m| Some(m.place.as_str()).filter(|place| !place.is_empty()))),
        ("kind", numbered(modules, |m| Some(m.kind.name()))),
    ];
    let names: ArrayRef = Arc::new(gathered.names.iter().map(|n| Some(*n)).collect::<StringArray>());
    let mut batches = Vec::new();
    let mut start = 0;
    while start < of_row.len() {
        let end = (start + ROWS).min(of_row.len());
        let mut columns = Columns::new(&schema::IMPORTS);
        columns.longs("process_id", rows.process[start..end].iter().map(|id| Some(*id)));
        for (name, texts) in &of_module {
            let keys: Int32Array = of_row[start..end].iter().map(|m| texts.keys[*m as usize]).collect();
            columns.put(name, dictionary(keys, &texts.values)?);
        }
        let importers: Int32Array = rows.importer[start..end]
            .iter()
            .map(|i| {
                // Number 0 of every segment is nobody.
                (!gathered.names[*i as usize].is_empty()).then_some(*i as i32)
            })
            .collect();
        columns.put("imported_by", dictionary(importers, &names)?);
        columns.bools("direct", rows.direct[start..end].iter().map(|direct| direct.known()));
        let took = |took: &u32| took.checked_sub(1).and_then(|took| i32::try_from(took).ok());
        columns.ints("took_us", rows.took[start..end].iter().map(took));
        batches.push(columns.finish(end - start)?);
        start = end;
    }
    Ok(batches)
}

/// Texts of modules: a number for each, and the texts.
struct Numbered32 {
    keys: Vec<Option<i32>>,
    values: ArrayRef,
}

fn numbered(modules: &[&Module], get: fn(&Module) -> Option<&str>) -> Numbered32 {
    let mut texts = Texts32::default();
    let keys = modules.iter().map(|module| texts.of(get(module))).collect();
    Numbered32 { keys, values: texts.array() }
}

#[derive(Default)]
struct Texts32<'a> {
    known: std::collections::HashMap<&'a str, i32>,
    all: Vec<&'a str>,
}

impl<'a> Texts32<'a> {
    fn of(&mut self, text: Option<&'a str>) -> Option<i32> {
        let text = text?;
        Some(*self.known.entry(text).or_insert_with(|| {
            self.all.push(text);
            self.all.len() as i32 - 1
        }))
    }

    fn array(self) -> ArrayRef {
        Arc::new(self.all.into_iter().map(Some).collect::<StringArray>())
    }
}

fn dictionary(keys: Int32Array, values: &ArrayRef) -> Result<ArrayRef> {
    let array = DictionaryArray::<Int32Type>::try_new(keys, Arc::clone(values))
        .map_err(|error| Error::Rows { table: "imports", source: Box::new(error) })?;
    Ok(Arc::new(array))
}

/// `environments`: a row for each package.
pub(crate) fn environments(rows: &[&Environment]) -> Result<RecordBatch> {
    let mut columns = Columns::new(&schema::ENVIRONMENTS);
    // One that holds nothing is there as well.
    let flat: Vec<(&Environment, Option<&terrarium_segment::Package>)> = rows
        .iter()
        .flat_map(|environment| {
            let none = environment.packages.is_empty().then_some((*environment, None));
            environment.packages.iter().map(|package| (*environment, Some(package))).chain(none)
        })
        .collect();
    let all = || flat.iter();
    columns.texts("environment_id", all().map(|(e, _)| Some(e.id.as_str())));
    columns.texts("class", all().map(|(e, _)| Some(e.class.as_str())));
    columns.texts("prefix", all().map(|(e, _)| Some(e.prefix.as_str())));
    columns.texts("python", all().map(|(e, _)| Some(e.python.as_str())));
    columns.times("seen", all().map(|(e, _)| e.seen_ms.checked_mul(1000)));
    columns.bools("is_partial", all().map(|(e, _)| Some(e.is_partial)));
    columns.texts("package", all().map(|(_, p)| p.map(|p| p.name.as_str())));
    columns.texts("version", all().map(|(_, p)| p.map(|p| p.version.as_str())));
    let manager = |manager| match manager {
        terrarium_segment::Manager::DistInfo => "dist-info",
        terrarium_segment::Manager::EggInfo => "egg-info",
        terrarium_segment::Manager::Conda => "conda",
    };
    columns.texts("manager", all().map(|(_, p)| p.map(|p| manager(p.manager))));
    let imports = |p: Option<&terrarium_segment::Package>| p.map(|p| p.imports.clone()).unwrap_or_default();
    let lists: Vec<Vec<String>> = all().map(|(_, p)| imports(*p)).collect();
    columns.lists("import_names", lists.iter().map(|list| list.iter().map(String::as_str)));
    columns.finish(flat.len())
}

/// `users`.
pub(crate) fn users(rows: &[(u32, String)]) -> Result<RecordBatch> {
    let mut columns = Columns::new(&schema::USERS);
    columns.ints("user_no", rows.iter().map(|(number, _)| i32::try_from(*number).ok()));
    columns.texts("user", rows.iter().map(|(_, user)| Some(user.as_str())));
    columns.finish(rows.len())
}

/// `jobs`.
pub(crate) fn jobs(rows: &[Row]) -> Result<RecordBatch> {
    let mut columns = Columns::new(&schema::JOBS);
    let all = || rows.iter().map(|row| &row.job);
    let int = |value: Option<u32>| value.and_then(|value| i32::try_from(value).ok());
    columns.texts("scheduler", all().map(|j| Some(j.system.as_str())));
    columns.texts("job_id", all().map(|j| Some(j.id.as_str())));
    columns.texts("array_id", all().map(|j| j.array.as_deref()));
    columns.texts("array_task", all().map(|j| j.array_task.as_deref()));
    columns.texts("user", all().map(|j| j.user.as_deref()));
    columns.times("first_seen", rows.iter().map(|r| r.first_seen_us));
    columns.texts("project", all().map(|j| j.project.as_deref()));
    columns.texts("queue", all().map(|j| j.queue.as_deref()));
    columns.ints("nodes", all().map(|j| int(j.nodes)));
    columns.ints("cores", all().map(|j| int(j.cores)));
    columns.ints("gpus", all().map(|j| int(j.gpus)));
    columns.times("submitted", all().map(|j| j.submitted_us));
    columns.times("started", all().map(|j| j.started_us));
    columns.times("ended", all().map(|j| j.ended_us));
    columns.texts("state", all().map(|j| j.state.as_deref()));
    columns.texts("source", rows.iter().map(|r| Some(r.source.as_str())));
    columns.texts("qos", all().map(|j| j.qos.as_deref()));
    columns.texts("domain", all().map(|j| j.domain.as_deref()));
    columns.ints("exit_status", all().map(|j| j.exit_status));
    columns.ints("signal", all().map(|j| j.signal));
    columns.longs("time_limit_s", all().map(|j| j.time_limit_s.and_then(number)));
    columns.longs("memory_bytes", all().map(|j| j.memory_bytes.and_then(number)));
    columns.longs("memory_peak_bytes", all().map(|j| j.memory_peak_bytes.and_then(number)));
    columns.doubles("cpu_seconds", all().map(|j| j.cpu_seconds));
    columns.lists("hosts", all().map(|j| j.hosts.iter().map(String::as_str)));
    columns.ints("restarts", all().map(|j| i32::try_from(j.restarts).ok()));
    columns.texts("het_id", all().map(|j| j.het.as_deref()));
    columns.ints("het_offset", all().map(|j| int(j.het_offset)));
    columns.texts("sluid", all().map(|j| j.sluid.as_deref()));
    columns.times("holds_from", rows.iter().map(|r| r.holds_from_us));
    columns.times("holds_until", rows.iter().map(|r| r.holds_until_us));
    columns.finish(rows.len())
}

/// A process and the job that it was found to be in.
pub(crate) struct LinkRow<'a> {
    pub(crate) process_id: i64,
    pub(crate) scheduler: &'a str,
    pub(crate) job_id: &'a str,
}

/// `links`.
pub(crate) fn links(rows: &[LinkRow<'_>]) -> Result<RecordBatch> {
    let mut columns = Columns::new(&schema::LINKS);
    columns.longs("process_id", rows.iter().map(|r| Some(r.process_id)));
    columns.texts("scheduler", rows.iter().map(|r| Some(r.scheduler)));
    columns.texts("job_id", rows.iter().map(|r| Some(r.job_id)));
    columns.finish(rows.len())
}

/// `domains`.
pub(crate) fn domains(rows: &[Domain]) -> Result<RecordBatch> {
    let mut columns = Columns::new(&schema::DOMAINS);
    columns.texts("project", rows.iter().map(|r| Some(r.project.as_str())));
    columns.texts("domain", rows.iter().map(|r| Some(r.domain.as_str())));
    columns.put("since", Arc::new(rows.iter().map(|r| r.since).collect::<Date32Array>()));
    columns.put("until", Arc::new(rows.iter().map(|r| r.until).collect::<Date32Array>()));
    columns.finish(rows.len())
}

/// `job_usage`.
pub(crate) fn usages(rows: &[&Usage]) -> Result<RecordBatch> {
    let mut columns = Columns::new(&schema::JOB_USAGE);
    let all = || rows.iter().copied();
    let int = |value: Option<u32>| value.and_then(|value| i32::try_from(value).ok());
    columns.texts("run", all().map(|u| Some(u.run.as_str())));
    columns.texts("user", all().map(|u| Some(u.user.as_str())));
    columns.texts("host", all().map(|u| Some(u.host.as_str())));
    columns.texts("scheduler", all().map(|u| u.job.as_ref().map(|job| job.system.as_str())));
    columns.texts("job_id", all().map(|u| u.job.as_ref().map(|job| job.id.as_str())));
    columns.times("started", all().map(|u| Some(u.started_us).filter(|started| *started > 0)));
    columns.doubles("wall_seconds", all().map(|u| Some(u.wall_seconds).filter(|_| u.started_us > 0)));
    columns.texts("end", all().map(|u| Some(u.end.as_str())));
    columns.ints("exit_status", all().map(|u| (u.started_us > 0).then(|| i32::from(u.exit_status))));
    columns.texts("tier", all().map(|u| Some(u.tier.as_str()).filter(|tier| !tier.is_empty())));
    columns.ints("ranks", all().map(|u| int(u.ranks)));
    columns.doubles("cpu_seconds", all().map(|u| u.cpu_seconds));
    columns.longs("cpus", all().map(|u| u.cpus.and_then(number)));
    columns.longs("memory_peak_bytes", all().map(|u| u.memory_peak_bytes.and_then(number)));
    columns.longs("memory_limit_bytes", all().map(|u| u.memory_limit_bytes.and_then(number)));
    columns.longs("processes_peak", all().map(|u| u.processes_peak.and_then(number)));
    columns.longs("left_behind", all().map(|u| number(u.left_behind)));
    columns.ints("gpus", all().map(|u| int(u.gpus)));
    columns.ints("gpus_used", all().map(|u| int(u.gpus_used)));
    columns.doubles("gpu_use_percent", all().map(|u| u.gpu_use_percent));
    columns.longs("gpu_memory_peak_bytes", all().map(|u| u.gpu_memory_peak_bytes.and_then(number)));
    columns.texts("tracking", all().map(|u| Some(u.tracking.as_str())));
    columns.longs("processes_dropped", all().map(|u| number(u.processes_dropped)));
    columns.finish(rows.len())
}

/// `daily`.
pub(crate) fn daily(sums: &Sums) -> Result<RecordBatch> {
    let mut columns = Columns::new(&schema::DAILY);
    let text = |number: u32| sums.texts[number as usize].as_deref();
    columns.texts("package", sums.rows.keys().map(|key| text(key.package)));
    columns.texts("distribution", sums.rows.keys().map(|key| text(key.distribution)));
    columns.texts("version", sums.rows.keys().map(|key| text(key.version)));
    columns.texts("origin", sums.rows.keys().map(|key| text(key.origin)));
    columns.texts("environment_class", sums.rows.keys().map(|key| text(key.class)));
    columns.bools("direct", sums.rows.keys().map(|key| key.direct.known()));
    columns.longs("processes", sums.rows.values().map(|sum| Some(sum.processes)));
    columns.longs("modules", sums.rows.values().map(|sum| Some(sum.modules)));
    columns.longs("import_us", sums.rows.values().map(|sum| Some(sum.import_us)));
    let mut users = BinaryBuilder::new();
    sums.rows.values().for_each(|sum| users.append_value(sum.bitmap()));
    columns.put("users", Arc::new(users.finish()));
    columns.finish(sums.rows.len())
}
