//! What terrarium talks about: sizes, durations, CPU lists, tiers, findings and
//! the records that outlive a run. No I/O, no printing, no environment.

#![forbid(unsafe_code)]

pub mod bytes;
pub mod cpus;
pub mod duration;
pub mod exit;
pub mod finding;
pub mod gpus;
pub mod job_id;
pub mod report;
pub mod sample;
pub mod threads;
pub mod tier;

pub use bytes::Bytes;
pub use cpus::{CpuRequest, CpuSet};
pub use duration::{HumanDuration, parse_duration};
pub use finding::Finding;
pub use gpus::GpuRequest;
pub use job_id::JobId;
pub use tier::Tier;
