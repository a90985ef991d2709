//! Looks at a running job through its /proc and says what is worth saying.

#![forbid(unsafe_code)]

pub mod advice;
pub mod sampler;

pub use sampler::Sampler;
