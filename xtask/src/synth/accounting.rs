//! Accounting of batch jobs as `sacct --parsable2` prints it, and fields of science.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use terrarium_segment::Job;

use super::dice::{Dice, moment};
use super::segments::CLUSTER;
use super::site::{FIELDS, QUEUES, Site};
use crate::Result;

/// A job as the scheduler knows it.
pub(super) struct Accounted<'a> {
    pub(super) job: &'a Job,
    pub(super) user: &'a str,
    pub(super) project: &'a str,
    pub(super) queue: usize,
    pub(super) submitted_us: i64,
    pub(super) started_us: i64,
    pub(super) ended_us: i64,
    pub(super) state: &'a str,
    pub(super) nodes: u32,
    pub(super) hosts: String,
    pub(super) peak_bytes: u64,
}

pub(super) struct Accounting {
    out: BufWriter<File>,
    name: String,
}

impl Accounting {
    pub(super) fn new(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let file = File::create(path).map_err(|e| format!("{name}: {e}"))?;
        let mut accounting = Accounting { out: BufWriter::new(file), name };
        accounting.line(
            "JobID|JobIDRaw|Cluster|User|Account|Partition|QOS|Submit|Start|End|State|ExitCode|Timelimit|ReqMem|AllocTRES|\
             NNodes|NCPUS|NodeList|TotalCPU|MaxRSS",
        )?;
        Ok(accounting)
    }

    fn line(&mut self, line: &str) -> Result {
        writeln!(self.out, "{line}").map_err(|e| format!("{}: {e}", self.name))
    }

    /// A job, and the step of its script.
    pub(super) fn job(&mut self, job: &Accounted<'_>, dice: &mut Dice) -> Result {
        let (queue, _, longest) = QUEUES[job.queue];
        let seconds = (job.ended_us - job.started_us) / 1_000_000;
        // People ask for more than they need, in round numbers.
        let limit = match job.state {
            "TIMEOUT" => seconds.max(60) / 60,
            _ => {
                ((seconds as f64 * dice.between(1.1, 4.0)) as i64).min(longest).max(seconds + 60) / 600 * 10
                    + 10
            }
        };
        let (cores, gpus) = if queue.starts_with("gpu") { (64, job.nodes * 4) } else { (128, 0) };
        let cores = cores * job.nodes;
        let memory = u64::from(job.nodes) * 256;
        let mut tres = format!("billing={cores},cpu={cores},mem={memory}G,node={}", job.nodes);
        if gpus > 0 {
            tres += &format!(",gres/gpu={gpus}");
        }
        let exit = match job.state {
            "FAILED" => format!("{}:0", 1 + dice.below(2)),
            "OUT_OF_MEMORY" => "0:125".to_owned(),
            "CANCELLED by 1000" => "0:15".to_owned(),
            _ => "0:0".to_owned(),
        };
        let raw = &job.job.id;
        let shown = match (&job.job.array, &job.job.array_task) {
            (Some(array), Some(task)) => format!("{array}_{task}"),
            _ => raw.clone(),
        };
        let times = [job.submitted_us, job.started_us, job.ended_us].map(moment);
        let cpu = (seconds as f64 * f64::from(cores) * dice.between(0.02, 0.9)) as i64;
        let clock = |s: i64| format!("{}-{:02}:{:02}:{:02}", s / 86_400, s / 3600 % 24, s / 60 % 60, s % 60);
        let (cpu, state) = (clock(cpu), job.state);
        let rest = format!("{}|{cores}|{}|{cpu}", job.nodes, job.hosts);
        let who = format!("{}|{}|{queue}|normal", job.user, job.project);
        self.line(&format!(
            "{shown}|{raw}|{CLUSTER}|{who}|{}|{}|{}|{state}|{exit}|{}|256G|{tres}|{rest}|",
            times[0],
            times[1],
            times[2],
            clock(limit * 60),
        ))?;
        self.line(&format!(
            "{shown}.batch|{raw}.batch|{CLUSTER}||{}|||{}|{}|{}|{state}|{exit}||||1|64||{cpu}|{}K",
            job.project,
            times[1],
            times[1],
            times[2],
            job.peak_bytes >> 10,
        ))
    }

    pub(super) fn finish(mut self) -> Result {
        self.out.flush().map_err(|e| format!("{}: {e}", self.name))
    }
}

/// Fields of science of projects.
pub(super) fn domains(path: &Path, site: &Site) -> Result {
    let mut text = String::from("project,domain,since,until\n");
    for project in &site.projects {
        text += &format!("{},{},,\n", project.name, FIELDS[project.field].0);
    }
    fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))
}
