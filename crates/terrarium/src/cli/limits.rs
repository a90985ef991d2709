//! Flags of `terrarium limits`.

use clap::Args;

/// Flags of `terrarium limits`.
#[derive(Debug, Args)]
pub struct LimitsArgs {}
