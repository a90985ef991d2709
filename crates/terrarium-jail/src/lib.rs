//! Holds a job so that nothing of it survives, inside limits that the kernel enforces.
//!
//! [`JailSpec`] says what is wanted, [`Plan`] what will be done, [`start`] does it, and
//! [`Running::wait`] returns an [`Outcome`] only when the set of the job's processes is
//! proven empty, or says which are left.

#![forbid(unsafe_code)]

mod affinity;
pub mod cgroup;
mod children;
mod error;
mod gpu;
mod hold;
pub mod host;
mod init;
pub mod live;
mod new_root;
pub mod only;
mod orphans;
mod own_tmp;
mod parent;
pub mod plan;
pub mod reap;
mod running;
mod share;
pub mod shared;
mod sockets;
pub mod spec;
mod start;
mod supervision;
mod survivors;
mod totals;
mod tracer;
pub mod track;
pub mod view;
mod wire;

pub use error::JailError;
pub use gpu::{Gpus, visible_gpus};
pub use plan::Plan;
pub use running::{Look, Observer, Outcome, Processes, Running};
pub use share::{LastMember, Shared};
pub use sockets::service_sockets;
pub use spec::JailSpec;
pub use start::{Started, preview, start};
pub use supervision::{Cause, Notice};
pub use totals::Totals;
