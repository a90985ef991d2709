//! Benchmarks with peers, measured in turn in the same minutes: on a shared machine a ratio
//! says something where a number alone does not. SPEC.md cites them.

pub(crate) mod account;
mod collect;
pub(crate) mod contender;
mod hook;
mod inside;
mod memory;
mod mpi;
pub(crate) mod place;
mod report;
mod sampler;
mod samples;
mod series;
mod start;
mod teardown;
mod threads;

use std::path::Path;

use clap::{Args, ValueEnum};

use crate::Result;
use account::Account;
use place::Place;
use report::{Machine, Report};

/// Flags of `cargo xtask bench`.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// What to measure [default: everything]
    #[arg(value_enum)]
    kinds: Vec<Kind>,
    /// How often each is measured; each benchmark has a default of its own
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    runs: Option<u32>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// As root, stay root; otherwise what is measured runs as `terrarium-test`, or as nobody where there is none
    #[arg(long)]
    as_root: bool,
    #[command(flatten)]
    peers: hook::Peers,
    /// Started by itself as another user: measure one kind, print its report as JSON
    #[arg(long, hide = true)]
    measure_only: bool,
}

/// A benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Wall time of a whole process that does nothing
    Start,
    /// From the end of the main process until none of its daemons is left
    Teardown,
    /// Memory of the supervisor and its init
    Memory,
    /// What processes, threads and system calls cost inside
    Inside,
    /// A process pool that multiplies matrices, with and without `--threads 1`
    Threads,
    /// Bandwidth between two ranks of one node
    Mpi,
    /// CPU time of looking at a job, and what looking often does to it
    Sampler,
    /// Size of a series on disk
    Series,
    /// What the hook costs programs, starts of Python, imports and other audit events
    Hook,
    /// How fast records become segments and segments tables, and what a row takes on disk
    Collect,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Teardown => "teardown",
            Self::Memory => "memory",
            Self::Inside => "inside",
            Self::Threads => "threads",
            Self::Mpi => "mpi",
            Self::Sampler => "sampler",
            Self::Series => "series",
            Self::Hook => "hook",
            Self::Collect => "collect",
        }
    }

    /// Makes what the benchmark needs and the account that runs it perhaps cannot make.
    fn prepare(self, place: &Place, account: &Account) -> Result {
        match self {
            Self::Teardown | Self::Inside => place.compile_programs(),
            Self::Threads => place.make_venv(account),
            Self::Mpi => place.compile_programs().and_then(|()| place.compile_mpi()),
            Self::Sampler => place.make_sampler_venv(),
            Self::Hook => {
                place.make_hook_venv();
                Ok(())
            }
            Self::Start | Self::Memory | Self::Series | Self::Collect => Ok(()),
        }
    }

    /// Measures `runs` times, or as often as makes sense.
    fn measure(self, place: &Place, account: &Account, args: &BenchArgs) -> Result<Report> {
        let runs = args.runs;
        match self {
            Self::Start => start::measure(place, runs.unwrap_or(300)),
            Self::Teardown => teardown::measure(place, runs.unwrap_or(5)),
            Self::Memory => memory::measure(place, account, runs.unwrap_or(5)),
            Self::Inside => inside::measure(place, runs.unwrap_or(9)),
            Self::Threads => threads::measure(place, runs.unwrap_or(5)),
            Self::Mpi => mpi::measure(place, runs.unwrap_or(9)),
            Self::Sampler => sampler::measure(place, runs.unwrap_or(5)),
            Self::Series => series::measure(place, runs.unwrap_or(1)),
            Self::Hook => hook::measure(place, &args.peers, runs.unwrap_or(200)),
            Self::Collect => collect::measure(place, runs.unwrap_or(5)),
        }
    }
}

/// Measures and prints.
pub(crate) fn run(root: &Path, args: &BenchArgs) -> Result {
    let place = Place::new(root)?;
    if args.measure_only {
        for kind in &args.kinds {
            print_json(&kind.measure(&place, &Account::own(), args)?)?;
        }
        return Ok(());
    }
    let account = if args.as_root { Account::own() } else { Account::ordinary()? };
    let machine = Machine::this(&account, &place);
    if !args.json {
        print!("{machine}");
    }
    let mut reports = Vec::new();
    for kind in if args.kinds.is_empty() { Kind::value_variants() } else { &args.kinds } {
        kind.prepare(&place, &account)?;
        let report = match kind {
            // Root reads the memory of the account's processes.
            Kind::Memory => kind.measure(&place, &account, args)?,
            _ if account.is_own() => kind.measure(&place, &account, args)?,
            _ => account.measure(kind.name(), args)?,
        };
        if !args.json {
            print!("\n{report}");
        }
        reports.push(report);
    }
    if args.json {
        print_json(&serde_json::json!({ "machine": machine, "reports": reports }))
    } else {
        Ok(())
    }
}

fn print_json(value: &impl serde::Serialize) -> Result {
    println!("{}", serde_json::to_string_pretty(value).map_err(|e| e.to_string())?);
    Ok(())
}
