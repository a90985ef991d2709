//! Flags of `terrarium top`.

use clap::Args;

/// Flags of `terrarium top`.
#[derive(Debug, Args)]
pub struct TopArgs {}
