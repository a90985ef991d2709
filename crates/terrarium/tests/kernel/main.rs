//! The promises of `terrarium run`, tried on a real kernel, in every tier that this machine can give.
//!
//! Run by root it tries all of them: root itself, an ordinary user, and an ordinary user with a delegated
//! cgroup; run by an ordinary user, that one only. The same binary runs in a virtual machine for
//! cgroup v2 (scripts/test-v2). What cannot be tried is skipped with a reason, which `TERRARIUM_REQUIRE_ALL=1` turns into a failure.

mod advice;
mod contain;
mod gpu;
mod jupyter;
mod limits;
mod limits_measured;
mod mpi;
mod nested;
mod only;
mod oracle;
mod orphans;
mod record;
mod refusals;
mod report;
mod shared;
mod signals;
mod support;
mod terminal;
mod top;
mod traced;
mod track;
mod truth;
mod view;
