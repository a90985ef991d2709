//! System calls that no safe crate offers as the jail needs them, each behind a safe
//! function: the home of all host-side `unsafe`.
//!
//! Nothing here decides anything. What a jail is made of is decided in `terrarium-jail`,
//! as a list of [`step::Step`]s that the small interpreter here runs after clone.

pub mod allocate;
mod calls;
pub mod caps;
pub mod entry;
pub mod fds;
pub mod ipc;
pub mod landlock;
pub mod meeting;
pub mod places;
pub mod process;
pub mod seccomp;
pub mod signals;
pub mod step;
pub mod trace;

pub use nix::errno::Errno;
