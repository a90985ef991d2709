//! Looks at a running job through its /proc and says what is worth saying.

#![forbid(unsafe_code)]

pub mod advice;
pub mod history;
pub mod sampler;
pub mod series;

pub use sampler::{Sampler, Seen};
