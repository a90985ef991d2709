//! Starts every process of the hook's matrix: `crates/terrarium/tests/hook` does it, and this asks for all of it.

use std::path::Path;
use std::process::Command;

use clap::Args;

use crate::Result;

#[derive(Debug, Args)]
pub(crate) struct HookMatrixArgs {
    /// Write docs/reference/hook-matrix.md if nothing is wrong
    #[arg(long)]
    write: bool,
    /// Only processes whose Python and way to start, such as `3.12.1 … Spawn`, have this in them
    #[arg(long, value_name = "TEXT", conflicts_with = "write")]
    only: Option<String>,
}

pub(crate) fn run(root: &Path, args: &HookMatrixArgs) -> Result {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["test", "--locked", "--quiet", "--package", "terrarium", "--test", "hook", "--"])
        .args([
            "--nocapture",
            "--exact",
            "every_process_is_seen",
            "older_pythons_leave_a_record_of_the_process",
        ])
        .current_dir(root)
        .env("TERRARIUM_TEST_MATRIX", "full");
    if let Some(only) = &args.only {
        command.env("TERRARIUM_TEST_ONLY", only);
    }
    if args.write {
        command.env("TERRARIUM_TEST_MATRIX_WRITE", "1");
    }
    let status = command.status().map_err(|e| format!("cargo test: {e}"))?;
    if status.success() { Ok(()) } else { Err("the matrix has complaints: see above".to_owned()) }
}
