//! Readers of what batch systems write of their jobs. Each takes any bytes, hands on what it understands job
//! by job, and says of the rest where it is and what is wrong with it.
//!
//! All of them treat their input as hostile: no bytes make them panic, numbers that do not fit are left out
//! rather than wrapped, and what they keep in memory is bounded whatever the size of the input.

mod djc;
mod domains;
mod hosts;
mod json_job;
mod kind;
mod lines;
mod lsf;
mod options;
mod pbs;
mod pbs_record;
mod sacct;
mod sacct_json;
mod sacct_row;
mod stream;
mod swf;
mod table;
mod text;

use std::io;

use terrarium_segment::BatchJob;

pub use djc::djc;
pub use domains::domains;
pub use kind::{Kind, kind_of};
pub use lsf::lsb_acct;
pub use options::{Options, Zone};
pub use pbs::pbs_log;
pub use sacct::sacct_text;
pub use sacct_json::sacct_json;
pub use swf::swf;

/// What a reader found.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// A job, and the cluster if the record names one.
    Job {
        /// The cluster.
        cluster: Option<String>,
        /// The job. Its user is the name as it stands there.
        job: Box<BatchJob>,
    },
    /// A record that is no job and is rightly passed over; a word for what it is (`steps`, `reservations`).
    Passed(&'static str),
    /// A record that is broken.
    Broken {
        /// Where it begins, bytes from the start (0 if the format has no such place).
        offset: u64,
        /// What is wrong with it.
        why: String,
    },
}

/// Takes what was found; an error stops the reader.
pub type Sink<'a> = &'a mut dyn FnMut(Found) -> io::Result<()>;

/// Says that a record is broken.
fn broken(sink: Sink<'_>, offset: u64, why: impl Into<String>) -> io::Result<()> {
    sink(Found::Broken { offset, why: why.into() })
}
