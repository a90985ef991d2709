//! Jobs, as the rollups of a month need them.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, TimestampMicrosecondArray};
use arrow::datatypes::DataType;
use terrarium_rollup::JobFacts;

use crate::error::Result;
use crate::rewrite::read_some;
use crate::schema::{self, Type};
use crate::store::Store;

use super::sources::{LONGEST, Sources};

struct Job {
    holds_from: Option<i64>,
    holds_until: Option<i64>,
    facts: JobFacts,
}

/// By scheduler and number.
pub(super) struct Jobs {
    cluster: String,
    known: HashMap<(String, String), Vec<Job>>,
}

const COLUMNS: [&str; 12] = [
    "scheduler",
    "job_id",
    "project",
    "domain",
    "queue",
    "nodes",
    "gpus",
    "started",
    "ended",
    "submitted",
    "holds_from",
    "holds_until",
];

fn texts(array: &ArrayRef) -> Result<arrow::array::StringArray> {
    let cast = arrow::compute::cast(array, &DataType::Utf8).map_err(super::day::bad)?;
    Ok(cast.as_string::<i32>().clone())
}

impl Jobs {
    /// Jobs in which processes of these days may have been.
    pub(super) async fn read(
        store: &Store,
        sources: &Sources,
        cluster: &str,
        days: (i32, i32),
    ) -> Result<Self> {
        let mut known: HashMap<(String, String), Vec<Job>> = HashMap::new();
        for file in sources.between(&schema::JOBS, cluster, (days.0 - LONGEST, days.1 + 1)) {
            for batch in read_some(store, &schema::JOBS, file, &COLUMNS).await? {
                let column =
                    |name: &str| batch.column_by_name(name).cloned().ok_or_else(|| super::day::missing(name));
                let text = |name: &str| column(name).and_then(|array| texts(&array));
                let time = |name: &str| -> Result<TimestampMicrosecondArray> {
                    let cast =
                        arrow::compute::cast(&column(name)?, &Type::Time.arrow()).map_err(super::day::bad)?;
                    Ok(cast.as_primitive().clone())
                };
                let int = |name: &str| -> Result<Int32Array> {
                    let cast =
                        arrow::compute::cast(&column(name)?, &DataType::Int32).map_err(super::day::bad)?;
                    Ok(cast.as_primitive().clone())
                };
                let (scheduler, id) = (text("scheduler")?, text("job_id")?);
                let (project, domain, queue) = (text("project")?, text("domain")?, text("queue")?);
                let (nodes, gpus) = (int("nodes")?, int("gpus")?);
                let (started, ended, submitted) = (time("started")?, time("ended")?, time("submitted")?);
                let (holds_from, holds_until) = (time("holds_from")?, time("holds_until")?);
                for i in 0..batch.num_rows() {
                    let at = |times: &TimestampMicrosecondArray| times.is_valid(i).then(|| times.value(i));
                    let word = |texts: &arrow::array::StringArray| {
                        texts.is_valid(i).then(|| texts.value(i).to_owned())
                    };
                    let count = |ints: &Int32Array| ints.is_valid(i).then(|| ints.value(i).max(0) as u32);
                    let (Some(scheduler), Some(id)) = (word(&scheduler), word(&id)) else { continue };
                    let seconds =
                        at(&started).zip(at(&ended)).map(|(from, to)| (to - from).max(0) / 1_000_000);
                    let facts = JobFacts {
                        identity: identity(cluster, &scheduler, &id, at(&holds_from)),
                        project: word(&project),
                        domain: word(&domain),
                        queue: word(&queue),
                        nodes: count(&nodes),
                        gpus: count(&gpus),
                        seconds: seconds.map(|s| s.min(i64::from(u32::MAX - 1)) as u32),
                        is_accounted: at(&submitted).or(at(&started)).is_some(),
                    };
                    let job = Job { holds_from: at(&holds_from), holds_until: at(&holds_until), facts };
                    known.entry((scheduler, id)).or_default().push(job);
                }
            }
        }
        Ok(Jobs { cluster: cluster.to_owned(), known })
    }

    /// The job that a process which began then was in.
    pub(super) fn of(&self, scheduler: &str, id: &str, began: i64) -> JobFacts {
        let all = self.known.get(&(scheduler.to_owned(), id.to_owned()));
        let holds = |job: &&Job| {
            job.holds_from.is_none_or(|from| began >= from)
                && job.holds_until.is_none_or(|until| began < until)
        };
        let found = all.and_then(|jobs| jobs.iter().find(holds));
        // One that the table lacks is a job all the same.
        found.map_or_else(
            || JobFacts { identity: identity(&self.cluster, scheduler, id, None), ..JobFacts::default() },
            |job| job.facts.clone(),
        )
    }
}

/// Spread evenly, the same on any machine, never 0. That two jobs of a year have the same is as likely as 1 in 10 million.
fn identity(cluster: &str, scheduler: &str, id: &str, holds_from: Option<i64>) -> u64 {
    let mut hash = 0xCBF2_9CE4_8422_2325_u64;
    let from = holds_from.unwrap_or(0).to_le_bytes();
    for byte in cluster
        .bytes()
        .chain([0])
        .chain(scheduler.bytes())
        .chain([0])
        .chain(id.bytes())
        .chain([0])
        .chain(from)
    {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
    }
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (hash ^ (hash >> 31)).max(1)
}
