//! A job of Slurm's JSON, whose fields changed their form from version to version.

use serde_json::Value;
use terrarium_segment::BatchJob;

use crate::hosts;
use crate::options::epoch_us;
use crate::sacct_row::{Gpus, fill_end, is_over, state};
use crate::text::{owned, seconds};

/// A job, key by key.
#[derive(Default)]
pub(crate) struct JobBuilder {
    id: Option<u64>,
    cluster: Option<String>,
    job: BatchJob,
    /// Of the association, which 22.05 fills where the job's own are empty.
    second: (Option<String>, Option<String>, Option<String>),
    /// `SUCCESS`, `ERROR`, …
    status: Option<String>,
    elapsed_us: Option<u64>,
    cpu_us: Option<u64>,
    steps_cpu_us: Option<u64>,
    allocation_nodes: Option<u32>,
    required_cpus: Option<u32>,
}

const KEYS: &[&str] = &[
    "account",
    "allocation_nodes",
    "array",
    "association",
    "cluster",
    "exit_code",
    "het",
    "job_id",
    "nodes",
    "partition",
    "qos",
    "required",
    "restart_cnt",
    "sluid",
    "state",
    "time",
    "tres",
    "user",
];

impl JobBuilder {
    /// Whether a key of a job is used.
    pub(crate) fn wants(key: &str) -> bool {
        KEYS.contains(&key)
    }

    /// Whether a key of a step is used.
    pub(crate) fn wants_of_step(key: &str) -> bool {
        matches!(key, "tres" | "time")
    }

    /// Takes a value; what does not fit is as if it were not there.
    pub(crate) fn set(&mut self, key: &str, value: &Value) {
        match key {
            "account" => self.job.project = text(value),
            "allocation_nodes" => self.allocation_nodes = small(value),
            "array" => self.array(value),
            "association" => {
                self.second = (text(&value["user"]), text(&value["account"]), text(&value["cluster"]));
            }
            "cluster" => self.cluster = text(value),
            "exit_code" => self.exit(value),
            "het" => {
                if let Some(leader) = number(&value["job_id"]).filter(|id| *id > 0) {
                    self.job.het = Some(leader.to_string());
                    self.job.het_offset =
                        number(&value["job_offset"]).and_then(|offset| offset.try_into().ok());
                }
            }
            "job_id" => self.id = number(value).filter(|id| *id > 0),
            "nodes" => self.job.hosts = text(value).map(|list| hosts::expand(&list)).unwrap_or_default(),
            "partition" => self.job.queue = text(value),
            "qos" => self.job.qos = text(value),
            "required" => self.required_cpus = small(&value["CPUs"]),
            "restart_cnt" => self.job.restarts = number(value).and_then(|n| n.try_into().ok()).unwrap_or(0),
            "sluid" => self.job.sluid = text(value),
            "state" => self.job.state = word(&value["current"]).and_then(state),
            "time" => self.time(value),
            "tres" => self.tres(&value["allocated"]),
            "user" => self.job.user = text(value),
            _ => {}
        }
    }

    fn array(&mut self, value: &Value) {
        let Some(array) = number(&value["job_id"]).filter(|id| *id > 0) else {
            return;
        };
        self.job.array = Some(array.to_string());
        let waiting = || {
            let list = text(&value["task"])?;
            // As sacct's table shows tasks that wait.
            Some(if list.starts_with('[') { list } else { format!("[{list}]") })
        };
        self.job.array_task = number(&value["task_id"])
            .filter(|task| *task < u64::from(u32::MAX) - 1)
            .map(|task| task.to_string())
            .or_else(waiting);
    }

    fn exit(&mut self, value: &Value) {
        self.status = word(&value["status"]).map(str::to_owned);
        self.job.exit_status = number(&value["return_code"]).and_then(|code| code.try_into().ok());
        let signal = &value["signal"];
        let signal = number(&signal["signal_id"]).or_else(|| number(&signal["id"]));
        self.job.signal = signal.and_then(|signal| signal.try_into().ok()).filter(|signal| *signal > 0);
    }

    fn time(&mut self, value: &Value) {
        let time = |key: &str| number(&value[key]).and_then(|s| s.try_into().ok()).and_then(epoch_us);
        self.job.submitted_us = time("submission");
        self.job.started_us = time("start");
        self.job.ended_us = time("end");
        self.elapsed_us = number(&value["elapsed"]).and_then(|s| s.checked_mul(1_000_000));
        let limit = number(&value["limit"]).filter(|minutes| (1..u64::from(u32::MAX) - 1).contains(minutes));
        self.job.time_limit_s = limit.and_then(|minutes| minutes.checked_mul(60));
        self.cpu_us = total(value);
    }

    fn tres(&mut self, allocated: &Value) {
        let mut gpus = Gpus::default();
        for item in allocated.as_array().into_iter().flatten() {
            let count = number(&item["count"]);
            match item["type"].as_str() {
                Some("cpu") => self.job.cores = small(&item["count"]),
                Some("node") => self.job.nodes = small(&item["count"]),
                Some("mem") => self.job.memory_bytes = count.and_then(|mib| mib.checked_mul(1 << 20)),
                Some("gres") => {
                    if let (Some(name), Some(count)) = (item["name"].as_str(), count) {
                        gpus.add(name, u32::try_from(count).unwrap_or(0));
                    }
                }
                _ => {}
            }
        }
        self.job.gpus = gpus.count();
    }

    /// Takes a value of a step.
    pub(crate) fn step(&mut self, key: &str, value: &Value) {
        if key == "time" {
            if let Some(us) = total(value) {
                self.steps_cpu_us = Some(self.steps_cpu_us.unwrap_or(0).saturating_add(us));
            }
            return;
        }
        let most = &value["requested"]["max"];
        let peaks = most.as_array().into_iter().flatten().filter(|item| item["type"] == "mem");
        let peak = peaks.filter_map(|item| number(&item["count"])).max().filter(|bytes| *bytes > 0);
        self.job.memory_peak_bytes = self.job.memory_peak_bytes.max(peak);
    }

    /// The job, and its cluster.
    pub(crate) fn finish(self) -> Result<(Option<String>, BatchJob), String> {
        let JobBuilder { id, cluster, mut job, second, .. } = self;
        let id = id.ok_or("it has no job_id")?;
        job.system = "slurm".to_owned();
        job.id = id.to_string();
        job.user = job.user.or(second.0);
        job.project = job.project.or(second.1);
        match is_over(job.state.as_deref()) {
            Some(false) => (job.exit_status, job.signal) = (None, None),
            // 22.05 says SUCCESS and 0 of every program that exited, whatever its status.
            _ if self.status.as_deref() == Some("SUCCESS") && job.state.as_deref() != Some("COMPLETED") => {
                job.exit_status = None;
            }
            _ if job.signal.is_some() && job.exit_status == Some(0) => job.exit_status = None,
            _ => {}
        }
        fill_end(&mut job, self.elapsed_us);
        if job.state.as_deref() != Some("PENDING") {
            job.nodes = job.nodes.or(self.allocation_nodes);
            job.cores = job.cores.or(self.required_cpus);
        }
        // 22.05 leaves the job's own time 0 and has it in the steps.
        let us = self.cpu_us.filter(|us| *us > 0).or(self.steps_cpu_us).or(self.cpu_us);
        job.cpu_seconds = us.map(seconds);
        Ok((cluster.or(second.2), job))
    }
}

/// CPU time, microseconds.
fn total(time: &Value) -> Option<u64> {
    let total = &time["total"];
    let seconds = number(&total["seconds"])?;
    seconds.checked_mul(1_000_000)?.checked_add(number(&total["microseconds"]).unwrap_or(0))
}

/// A number in any of its forms: plain, in a text, or with `set` and `infinite`.
fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => crate::text::digits(text).filter(|_| !text.is_empty()),
        Value::Object(parts) => {
            let is = |key: &str| parts.get(key).and_then(Value::as_bool);
            if is("set") == Some(false) || is("infinite") == Some(true) {
                return None;
            }
            parts.get("number").and_then(Value::as_u64)
        }
        _ => None,
    }
}

/// A count that is more than none.
fn small(value: &Value) -> Option<u32> {
    number(value).and_then(|number| number.try_into().ok()).filter(|number| *number > 0)
}

fn text(value: &Value) -> Option<String> {
    owned(value.as_str()?)
}

/// A word, or the first of a list of words.
fn word(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value.get(0)?.as_str())
}
