//! What `terrarium top --json` prints (docs/reference/top.md).

use std::time::Duration;

use serde::Serialize;
use terrarium_core::{Bytes, JobId, Tier};

use super::look::{Row, View};

#[derive(Serialize)]
pub(crate) struct Document {
    schema: &'static str,
    host: String,
    time: Option<f64>,
    interval_seconds: f64,
    cpus: usize,
    memory_bytes: u64,
    partly: bool,
    hidden: usize,
    jobs: Vec<Job>,
}

#[derive(Serialize)]
struct Job {
    job: JobId,
    supervisor: u32,
    inside: Option<JobId>,
    user: String,
    uid: Option<u32>,
    tier: Option<Tier>,
    ranks: Option<usize>,
    command: Vec<String>,
    cpus_used: Option<f64>,
    memory_bytes: Option<Bytes>,
    memory_is_upper_bound: Option<bool>,
    memory_limit_bytes: Option<Bytes>,
    processes: usize,
    threads: u64,
    elapsed_seconds: Option<f64>,
    left_seconds: Option<f64>,
    main: Option<u32>,
    process_list: Vec<Process>,
}

#[derive(Serialize)]
struct Process {
    pid: u32,
    name: String,
    state: char,
    cpus_used: Option<f64>,
    memory_bytes: Option<Bytes>,
    threads: u64,
    elapsed_seconds: Option<f64>,
}

/// As many digits as mean something.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

fn seconds(time: Option<Duration>) -> Option<f64> {
    time.map(|t| rounded(t.as_secs_f64()))
}

impl Document {
    pub(crate) fn new(view: &View, time: Option<f64>, interval: Duration) -> Document {
        Document {
            schema: "terrarium.top/1",
            host: view.host.clone(),
            time: time.map(rounded),
            interval_seconds: interval.as_secs_f64(),
            cpus: view.cpus,
            memory_bytes: view.node_memory,
            partly: view.partly,
            hidden: view.hidden,
            jobs: view.rows.iter().map(job).collect(),
        }
    }
}

fn job(row: &Row) -> Job {
    Job {
        job: row.key.0,
        supervisor: row.key.1,
        inside: row.inside,
        user: row.user.clone(),
        uid: row.uid,
        tier: row.tier,
        ranks: row.ranks,
        command: row.command.clone(),
        cpus_used: row.cpu.map(rounded),
        memory_bytes: row.memory.map(|m| m.bytes),
        memory_is_upper_bound: row.memory.map(|m| m.at_most),
        memory_limit_bytes: row.limit,
        processes: row.processes,
        threads: row.threads,
        elapsed_seconds: seconds(row.elapsed),
        left_seconds: seconds(row.left),
        main: row.main,
        process_list: row
            .parts
            .iter()
            .map(|p| Process {
                pid: p.pid,
                name: p.name.clone(),
                state: p.state,
                cpus_used: p.cpu.map(rounded),
                memory_bytes: p.memory,
                threads: p.threads,
                elapsed_seconds: seconds(p.elapsed),
            })
            .collect(),
    }
}
