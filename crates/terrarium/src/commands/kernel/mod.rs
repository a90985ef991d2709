//! `terrarium kernel`: Jupyter kernel specs whose kernels run in a jail.

mod options;
mod place;
mod python;

use std::path::{Path, PathBuf};

use clap::{ArgMatches, CommandFactory};
use serde::Serialize;
use serde_json::json;
use thiserror::Error;

use self::place::{Found, There};
use self::python::Python;
use crate::cli::{Cli, KernelCommand, KernelInstallArgs, KernelListArgs, KernelRemoveArgs};
use crate::error::CliError;
use crate::out;

/// Why a kernel spec could not be made or removed.
#[derive(Debug, Error)]
pub(crate) enum KernelError {
    #[error("`{name}` cannot be the name of a kernel spec")]
    Name { name: String },
    #[error("HOME is not set, so there is no place for kernel specs of your own")]
    Home,
    #[error("cannot run {}: {why}", python.display())]
    Python { python: PathBuf, why: String },
    #[error("{python} has no ipykernel")]
    NoIpykernel { python: String },
    #[error("{python} cannot import ipykernel: {why}")]
    Ipykernel { python: String, why: String },
    #[error("Python does not start with these options:\n{why}")]
    Trial { why: String },
    #[error("{} is there and is not terrarium's", path.display())]
    Taken { path: PathBuf },
    #[error("{} is not terrarium's: left alone", path.display())]
    NotOurs { path: PathBuf },
    #[error("there is no kernel spec `{name}` of terrarium's in {}", places(looked))]
    Unknown { name: String, looked: Vec<PathBuf> },
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: std::io::Error },
}

fn places(looked: &[PathBuf]) -> String {
    looked.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// Does it; returns the exit code.
pub(crate) fn run(command: KernelCommand) -> Result<u8, CliError> {
    match command {
        KernelCommand::Install(args) => install(&args),
        KernelCommand::List(args) => list(&args),
        KernelCommand::Remove(args) => remove(&args),
    }
}

/// The words of this command line, which were parsed before.
fn matches() -> Option<ArgMatches> {
    let mut all = Cli::command().try_get_matches_from(std::env::args_os()).ok()?;
    all.remove_subcommand()?.1.remove_subcommand().map(|(_, matches)| matches)
}

fn install(args: &KernelInstallArgs) -> Result<u8, CliError> {
    let name = place::check_name(&args.name)?;
    let directory = std::env::current_dir().unwrap_or_else(|_| "/".into());
    let options = options::of_kernel(&args.run, &matches().unwrap_or_default(), &directory)?;
    let python = python::ask(args.python.as_deref())?;
    let data = match &args.place.prefix {
        Some(prefix) => place::data_of(&directory.join(prefix)),
        None if args.place.sys_prefix => place::data_of(&python.prefix),
        None => place::user_data()?,
    };
    let file = place::file_of(&data, &name);
    if matches!(place::look(&file), There::Foreign) && !args.replace {
        return Err(KernelError::Taken { path: file }.into());
    }
    let report = args.run.report.as_ref().map(|report| options::whole(&directory, report));
    if let Some(report) = &report
        && !report.parent().is_some_and(Path::is_dir)
    {
        let why = "its directory does not exist".to_owned();
        return Err(CliError::Path { flag: "--report", path: report.clone(), why });
    }
    let terrarium = own_path();
    let noted = python::try_in_jail(&terrarium, &options, &python.path)?;
    let display_name = args.display_name.clone().unwrap_or_else(|| default_title(&name, &python.version));
    let mut argv = vec![terrarium.to_string_lossy().into_owned(), "run".to_owned()];
    argv.extend(options.iter().cloned());
    argv.extend(["--".to_owned(), python.path.clone()]);
    argv.extend(python.arguments.iter().cloned());
    place::write(&file, &spec(&argv, &display_name, &options, &python))?;
    out::print(format_args!("wrote {}", file.display()));
    out::print(format_args!("kernel  {display_name}: {} with ipykernel {}", python.path, python.ipykernel));
    out::print(format_args!("runs    {}", argv.join(" ")));
    out::print(format_args!(
        "next    choose it in Jupyter (reload its page), or: jupyter console --kernel {name}"
    ));
    if !noted.is_empty() {
        out::print("noted when it was tried; each kernel notes the same in Jupyter's log:");
        out::print(noted);
    }
    for text in warnings(args, report.as_deref(), [&file, &terrarium, Path::new(&python.path), &python.file])
    {
        out::note(format_args!("note: {text}"));
    }
    Ok(0)
}

fn default_title(name: &str, version: &str) -> String {
    let name = if name == "terrarium" { name.to_owned() } else { format!("{name}, terrarium") };
    format!("Python {version} ({name})")
}

fn spec(argv: &[String], display_name: &str, options: &[String], python: &Python) -> serde_json::Value {
    // What ipykernel says of itself stays: whether it can debug, and encrypt.
    let mut metadata = python.metadata.clone();
    metadata.insert(
        "terrarium".to_owned(),
        json!({"version": env!("CARGO_PKG_VERSION"), "options": options, "ipykernel": python.ipykernel}),
    );
    let mut spec = json!({
        "argv": argv,
        "display_name": display_name,
        "language": "python",
        "interrupt_mode": "signal",
        "metadata": metadata,
    });
    if let Some(protocol) = &python.protocol {
        spec["kernel_protocol_version"] = protocol.clone();
    }
    spec
}

/// The path by which this program was started, if it leads here: a link to the newest version should stay one.
fn own_path() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_else(|_| "terrarium".into());
    let called = PathBuf::from(std::env::args_os().next().unwrap_or_default());
    let path = std::env::var_os("PATH").unwrap_or_default();
    let candidates: Vec<PathBuf> = if called.components().count() > 1 {
        std::path::absolute(&called).into_iter().collect()
    } else {
        std::env::split_paths(&path).filter(|d| d.is_absolute()).map(|d| d.join(&called)).collect()
    };
    candidates.into_iter().find(|c| std::fs::canonicalize(c).is_ok_and(|c| c == own)).unwrap_or(own)
}

/// What will work differently from what one might think. `files` are what every user of the kernel needs.
fn warnings(args: &KernelInstallArgs, report: Option<&Path>, files: [&Path; 4]) -> Vec<String> {
    let mut all = Vec::new();
    if let Some(report) = report {
        all.push(format!("each kernel that ends overwrites {}", report.display()));
    }
    if args.run.quiet {
        all.push("--quiet: that orphans were ended is told nowhere".to_owned());
    }
    if args.place.prefix.is_some() {
        let unreadable = files.into_iter().filter(|file| !place::is_for_all(file));
        all.extend(unreadable.map(|file| format!("not every user can read {}", file.display())));
    }
    all
}

#[derive(Serialize)]
struct Report {
    schema: &'static str,
    kernels: Vec<Found>,
}

fn directories(prefix: Option<&Path>) -> Vec<PathBuf> {
    prefix.map_or_else(place::search, |prefix| vec![place::data_of(prefix)])
}

fn list(args: &KernelListArgs) -> Result<u8, CliError> {
    let mut kernels: Vec<Found> = Vec::new();
    for data in directories(args.prefix.as_deref()) {
        kernels.extend(place::ours(&data));
    }
    if args.json {
        let report = Report { schema: "terrarium.kernels/1", kernels };
        out::print(serde_json::to_string_pretty(&report).unwrap_or_default());
        return Ok(0);
    }
    if kernels.is_empty() {
        out::note("there are no kernel specs of terrarium's; terrarium kernel install makes one");
    }
    for kernel in kernels {
        out::print(format_args!("{}  {}  {}", kernel.name, kernel.display_name, kernel.path.display()));
        out::print(format_args!("  {}", kernel.argv.join(" ")));
        if let Some(problem) = kernel.problem {
            out::print(format_args!("  cannot start: {problem}"));
        }
    }
    Ok(0)
}

fn remove(args: &KernelRemoveArgs) -> Result<u8, CliError> {
    let name = place::check_name(&args.name)?;
    let looked = directories(args.prefix.as_deref());
    for data in &looked {
        let file = place::file_of(data, &name);
        match place::look(&file) {
            There::Nothing => {}
            There::Foreign => return Err(KernelError::NotOurs { path: file }.into()),
            There::Ours(_) => {
                let more = place::remove(&file)?;
                out::print(format_args!("removed {}", file.display()));
                if more {
                    out::note("note: other files in its directory were left alone");
                }
                return Ok(0);
            }
        }
    }
    Err(KernelError::Unknown { name, looked }.into())
}
