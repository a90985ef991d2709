//! `terrarium reap`: lists what earlier jobs left, ends what was terrarium's.

use std::process::Command;
use std::time::Duration;

use serde::Serialize;
use terrarium_core::exit;
use terrarium_core::report::{SharedObject, Survivor};
use terrarium_core::{Bytes, JobId};
use terrarium_jail::host::Host;
use terrarium_jail::reap::{Leftovers, Selection, end, find};
use terrarium_jail::shared;
use terrarium_sys::process::user;

use crate::cli::ReapArgs;
use crate::error::CliError;
use crate::nvml::{self, Holder};
use crate::out;
use crate::summary::printable;

/// How long killed processes may take to be gone.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Serialize)]
struct Report {
    schema: &'static str,
    dry_run: bool,
    processes: Vec<ProcessLine>,
    cgroups: Vec<GroupLine>,
    directories: Vec<DirectoryLine>,
    survivors: Vec<Survivor>,
    shared: Vec<SharedLine>,
    gpu: Vec<Holder>,
    gpu_not_checked: Option<String>,
    alive: Vec<JobId>,
    elsewhere: Vec<JobId>,
}

#[derive(Serialize)]
struct ProcessLine {
    pid: u32,
    name: String,
    uid: u32,
    job: JobId,
    in_jail: bool,
    ended: bool,
}

#[derive(Serialize)]
struct DirectoryLine {
    path: String,
    uid: u32,
    job: JobId,
    removed: bool,
}

#[derive(Serialize)]
struct GroupLine {
    path: String,
    job: JobId,
    processes: usize,
    removed: bool,
}

#[derive(Serialize)]
struct SharedLine {
    uid: u32,
    #[serde(flatten)]
    object: SharedObject,
}

/// The numeric ID of a user, by asking the system's own databases (LDAP included).
pub(crate) fn uid_of(user: &str) -> Result<u32, CliError> {
    if let Ok(uid) = user.parse() {
        return Ok(uid);
    }
    let unknown = || CliError::NoUser(user.to_owned());
    let answer = Command::new("getent").args(["passwd", "--", user]).output().map_err(|_| unknown())?;
    let line = String::from_utf8_lossy(&answer.stdout).into_owned();
    line.split(':').nth(2).and_then(|uid| uid.parse().ok()).ok_or_else(unknown)
}

/// Runs it; returns the exit code.
pub(crate) fn run(args: &ReapArgs) -> Result<u8, CliError> {
    let host = Host::default();
    let uid = args.user.as_deref().map(uid_of).transpose()?;
    let own = user();
    // An ordinary user's shared memory is all that it could delete.
    let shared_uid = uid.or((own != 0).then_some(own));
    if args.clean_shm && shared_uid.is_none() {
        return Err(CliError::CleanForAll);
    }
    let selection = Selection { job: args.job, uid };
    let found = find(&host, &selection);
    let ended = if args.dry_run { Default::default() } else { end(&host, &selection, PATIENCE) };
    // Whether an object came from a job cannot be seen, so --job shows none.
    let objects = if args.job.is_some() { Vec::new() } else { shared::list(&host, shared_uid) };
    let delete = args.clean_shm && !args.dry_run;
    let shared = objects
        .iter()
        .filter(|o| !o.held)
        .map(|o| SharedLine { uid: o.uid, object: o.record(delete && o.delete(&host)) })
        .collect();
    let all = args.job.is_none() && uid.is_none();
    let (gpu, gpu_not_checked) = match if all { nvml::holders() } else { Ok(Vec::new()) } {
        Ok(holders) => (holders, None),
        Err(why) => (Vec::new(), Some(why)),
    };
    let Leftovers { groups, processes, directories, alive, elsewhere } = found;
    let report = Report {
        schema: "terrarium.reap/1",
        dry_run: args.dry_run,
        processes: processes
            .into_iter()
            .map(|p| ProcessLine {
                in_jail: p.in_jail,
                ended: ended.processes.iter().any(|e| e.pid == p.process.pid),
                pid: p.process.pid,
                name: p.process.name,
                uid: p.uid,
                job: p.job,
            })
            .collect(),
        cgroups: groups
            .into_iter()
            .map(|g| GroupLine {
                removed: ended.groups.contains(&g.path),
                path: g.path.display().to_string(),
                job: g.job,
                processes: g.pids.len(),
            })
            .collect(),
        directories: directories
            .into_iter()
            .map(|d| DirectoryLine {
                removed: ended.directories.contains(&d.path),
                path: d.path.display().to_string(),
                uid: d.uid,
                job: d.job,
            })
            .collect(),
        survivors: ended.survivors,
        shared,
        gpu,
        gpu_not_checked,
        alive,
        elsewhere,
    };
    let code = if report.survivors.is_empty() { 0 } else { exit::SURVIVORS };
    if args.json {
        out::print(serde_json::to_string_pretty(&report).unwrap_or_default());
    } else {
        print(&report);
    }
    Ok(code)
}

fn print(report: &Report) {
    let done = |yes: bool, what: &str| match (report.dry_run, yes) {
        (true, _) => format!("would be {what}"),
        (_, true) => what.to_owned(),
        _ => format!("not {what}"),
    };
    let mut any = false;
    let mut line = |text: String| {
        any = true;
        out::print(text);
    };
    for p in &report.processes {
        let state = match p.in_jail {
            true => done(p.ended, "ended"),
            false => "it only inherited the run's mark, and is not in its jail: left alone".to_owned(),
        };
        let (pid, name, job, uid) = (p.pid, printable(&p.name), p.job, p.uid);
        line(format!("process {pid} ({name}) of run {job}, user {uid}: {state}"));
    }
    for g in &report.cgroups {
        line(format!("cgroup {} with {} processes: {}", g.path, g.processes, done(g.removed, "removed")));
    }
    for d in &report.directories {
        let state = done(d.removed, "removed");
        line(format!("temporary files {} of run {}, user {}: {state}", d.path, d.job, d.uid));
    }
    for s in &report.survivors {
        line(format!("process {} ({}) cannot be killed: state {}", s.pid, printable(&s.name), s.state));
    }
    for s in &report.shared {
        let state = if s.object.deleted { "deleted" } else { "in use by nobody; --clean-shm deletes it" };
        line(format!("{} ({}), user {}: {state}", printable(&s.object.name), s.object.bytes, s.uid));
    }
    for holder in &report.gpu {
        line(format!("{}: listed only", nvml::describe(holder)));
    }
    if !any {
        out::print("nothing was left by earlier jobs");
    }
    let total: u64 = report.shared.iter().filter(|s| !s.object.deleted).map(|s| s.object.bytes.0).sum();
    if total > 0 {
        out::print(format_args!("{} of memory lies in shared objects that nobody uses", Bytes(total)));
    }
    if !report.alive.is_empty() {
        out::print(format_args!("runs that are alive and were left alone: {}", report.alive.len()));
    }
    if !report.elsewhere.is_empty() {
        out::print(format_args!(
            "runs of another PID namespace (a container, a run in a run), to be reaped there: {}",
            report.elsewhere.len()
        ));
    }
}
