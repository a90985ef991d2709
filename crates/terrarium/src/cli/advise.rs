//! Flags of `terrarium advise` and `terrarium trial`.

use clap::Args;

/// Flags of `terrarium advise`.
#[derive(Debug, Args)]
pub struct AdviseArgs {}

/// Flags of `terrarium trial`.
#[derive(Debug, Args)]
pub struct TrialArgs {}
