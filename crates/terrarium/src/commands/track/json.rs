//! A record as JSON: one object in one line. The fields are a promise, see docs/reference/spool.md.

use std::collections::BTreeMap;

use serde::Serialize;
use terrarium_spool::{End, Extent, Job, Module, State, Stopped, Text};

use super::packages::importer;
use super::spool::Found;
use super::text::main_kind;
use crate::summary::shows;

#[derive(Serialize)]
struct Document {
    schema: &'static str,
    file: String,
    owner_uid: u32,
    id: String,
    forked_from: Option<String>,
    pid: u32,
    parent_pid: Option<u32>,
    uid: u32,
    host: Option<String>,
    program: Option<String>,
    started_unix_us: u64,
    ended_us: Option<u64>,
    last_activity_us: u64,
    end: &'static str,
    status: Option<u32>,
    exec_attempted_us: Option<u64>,
    exception: Option<String>,
    recorded: &'static str,
    run: Option<String>,
    job: Option<JobObject>,
    mpi_rank: Option<u32>,
    mpi_size: Option<u32>,
    variables: BTreeMap<&'static str, String>,
    python: Option<Python>,
    peak_memory_bytes: Option<u64>,
    peak_memory_seen_us: Option<u64>,
    import_events: u32,
    modules_recorded: u32,
    dropped: Dropped,
    reading: Reading,
    objects: Vec<String>,
    called: Option<Vec<String>>,
    modules: Vec<ModuleObject>,
}

#[derive(Serialize)]
struct JobObject {
    system: &'static str,
    id: String,
    array: Option<String>,
    array_task: Option<String>,
    step: Option<String>,
    cluster: Option<String>,
}

#[derive(Serialize)]
struct Python {
    watched: bool,
    too_old: bool,
    version: Option<String>,
    prefix: Option<String>,
    base_prefix: Option<String>,
    executable: Option<String>,
    interpreters: u32,
    main_kind: Option<&'static str>,
    main_name: Option<String>,
    directory: Option<String>,
    arguments: Vec<String>,
}

#[derive(Serialize)]
struct Dropped {
    no_space: u32,
    busy: u32,
    too_much: u32,
    children: u32,
}

#[derive(Serialize)]
struct Reading {
    stopped: &'static str,
    offset_bytes: Option<u64>,
}

#[derive(Serialize)]
struct ModuleObject {
    name: String,
    state: &'static str,
    direct: bool,
    place: &'static str,
    imported_by: Option<String>,
    origin_kind: Option<&'static str>,
    origin: Option<String>,
    started_us: Option<u64>,
    loaded_us: Option<u64>,
    took_at_least_us: Option<u64>,
    took_at_most_us: Option<u64>,
}

fn text(text: &Text) -> String {
    text.to_text().into_owned()
}

fn texts(texts: &[Text]) -> Vec<String> {
    texts.iter().map(text).collect()
}

fn maybe(value: &Option<Text>) -> Option<String> {
    value.as_ref().map(text)
}

/// In one line.
pub(super) fn document(found: &Found, running: bool) -> String {
    let process = &found.process;
    let python = &process.python;
    let (end, status) = match process.end {
        End::Exited { status } => ("exited", Some(status)),
        End::AtOnce { status } => ("exited-at-once", Some(status)),
        End::Finished => ("finished", None),
        End::Exec => ("exec", None),
        End::Other(_) => ("other", None),
        End::Unknown if running => ("running", None),
        End::Unknown => ("unknown", None),
    };
    let (stopped, offset_bytes) = match process.stopped {
        Stopped::End => ("end", None),
        Stopped::Torn { offset } => ("torn", Some(offset)),
        Stopped::Malformed { offset } => ("malformed", Some(offset)),
        Stopped::TooMuch { offset } => ("too-much", Some(offset)),
    };
    let has_python = python.watched || python.too_old || python.version.is_some();
    let main = process.main.as_ref();
    let document = Document {
        schema: "terrarium.track/1",
        file: found.path.display().to_string(),
        owner_uid: found.owner,
        id: format!("{:016x}", process.id),
        forked_from: process.forked_from.map(|id| format!("{id:016x}")),
        pid: process.pid,
        parent_pid: process.parent,
        uid: process.user,
        host: maybe(&process.host),
        program: maybe(&process.program),
        started_unix_us: process.started_us,
        ended_us: process.ended_us,
        last_activity_us: process.last_activity_us,
        end,
        status,
        exec_attempted_us: process.exec_attempted_us,
        exception: maybe(&process.exception),
        recorded: match process.extent {
            Extent::Full => "full",
            Extent::Counted => "counted",
            Extent::OptedOut => "opted-out",
        },
        run: process.variables.iter().find(|(name, _)| *name == "TERRARIUM_RUN").map(|(_, run)| text(run)),
        job: process.job.as_ref().map(job),
        mpi_rank: process.rank.map(|rank| rank.rank),
        mpi_size: process.rank.and_then(|rank| rank.size),
        variables: process.variables.iter().map(|(name, value)| (*name, text(value))).collect(),
        python: has_python.then(|| Python {
            watched: python.watched,
            too_old: python.too_old,
            version: maybe(&python.version),
            prefix: maybe(&python.prefix),
            base_prefix: maybe(&python.base_prefix),
            executable: maybe(&python.executable),
            interpreters: python.interpreters,
            main_kind: main.map(|main| main_kind(main.kind)),
            main_name: main.map(|main| text(&main.name)).filter(|name| !name.is_empty()),
            directory: main.map(|main| text(&main.directory)),
            arguments: texts(&process.arguments),
        }),
        peak_memory_bytes: process.peak_bytes,
        peak_memory_seen_us: process.peak_seen_us,
        import_events: process.import_events,
        modules_recorded: process.modules_recorded,
        dropped: Dropped {
            no_space: process.dropped.no_space,
            busy: process.dropped.busy,
            too_much: process.dropped.too_much,
            children: process.dropped.children,
        },
        reading: Reading { stopped, offset_bytes },
        objects: texts(&process.objects),
        called: process.calls_recorded.then(|| texts(&process.called)),
        modules: process.modules.iter().map(|m| module(found, m)).collect(),
    };
    // Texts and numbers only: it cannot fail.
    escaped(&serde_json::to_string(&document).unwrap_or_default())
}

/// JSON lets through what drives a terminal as well as the characters below 32 do. It can only stand in texts.
fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            c if shows(c) => out.push(c),
            c => out.extend(format!("\\u{:04x}", u32::from(c)).chars()),
        }
    }
    out
}

fn job(job: &Job) -> JobObject {
    JobObject {
        system: job.system.name(),
        id: text(&job.id),
        array: maybe(&job.array),
        array_task: maybe(&job.array_task),
        step: maybe(&job.step),
        cluster: maybe(&job.cluster),
    }
}

fn module(found: &Found, module: &Module) -> ModuleObject {
    let origin = module.origin.as_ref();
    ModuleObject {
        name: text(&module.name),
        state: state(module.state),
        direct: module.direct,
        place: module.place.name(),
        imported_by: importer(&found.process, &module.importer),
        origin_kind: origin.map(|origin| origin.kind.name()),
        origin: origin.map(|origin| text(&origin.path)).filter(|path| !path.is_empty()),
        started_us: module.started_us,
        loaded_us: module.loaded_us,
        took_at_least_us: module.took_at_least_us,
        took_at_most_us: module.took_at_most_us,
    }
}

fn state(state: State) -> &'static str {
    match state {
        State::Loaded => "loaded",
        State::NotLoaded => "not-loaded",
        State::Failed => "failed",
        State::Underway => "underway",
    }
}
