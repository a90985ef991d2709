//! The store: tables of what Python jobs load, and the questions asked of them.
//!
//! Segments come to a folder ([`inbox`]), and go into Delta Lake tables in batches, each exactly once ([`commit`](mod@commit)). The tables are
//! written down in [`schema`]; what makes them small is the order of rows, in `gather.rs`.

mod batch;
mod bitmap;
pub mod check;
pub mod choice;
mod columns;
pub mod commit;
mod daily;
pub mod error;
mod files;
mod gather;
pub mod inbox;
mod jobs;
pub mod known;
pub mod link;
mod local;
pub mod location;
pub mod maintain;
pub mod query;
pub mod report;
mod rewrite;
pub mod rollup;
pub mod schema;
pub mod store;
