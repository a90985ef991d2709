//! `terrarium run`: from flags to a spec, and from an outcome to a summary, a report and an exit code.

use std::collections::{BTreeMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::fd::{AsRawFd, RawFd};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use terrarium_batch::Rank;
use terrarium_core::report::{
    End, Enforcer, LeftBehind, Limit, Measured, RunReport, SCHEMA, SharedObject, Usage,
};
use terrarium_core::{Bytes, CpuSet, Finding, GpuRequest, exit, gpus, threads};
use terrarium_jail::host::Host;
use terrarium_jail::spec::{Bind, JailSpec, Limits, Shm, View};
use terrarium_jail::{Gpus, Outcome, Shared, Started, preview, service_sockets, shared, start};
use terrarium_observe::advice;
use terrarium_sys::fds::has_terminal;
use terrarium_sys::process::{host_name, memory_total, user};

use crate::cli::{Net, Orphans, RunArgs, ShmArg, Summary};
use crate::error::CliError;
use crate::whole_file::Destination;
use crate::{nvml, out, summary};

use super::record::Record;
use super::tracking::Tracking;
use super::watch::{GpusSeen, Watch, wants_gpu_check};
use super::{only, ranks};

/// By which Jupyter tells its kernels who started them.
const PARENT_VARIABLE: &str = "JPY_PARENT_PID";

/// Runs the job; returns the exit code.
pub(crate) fn run(args: Box<RunArgs>) -> Result<u8, CliError> {
    run_and_report(&args, None).map(|(code, _)| code)
}

/// Runs the job; returns the exit code, and the report unless another rank writes it, or nothing was run. `kept` stays open
/// for the caller: everything else but stderr is closed while the job runs.
pub(super) fn run_and_report(
    args: &RunArgs,
    kept: Option<RawFd>,
) -> Result<(u8, Option<RunReport>), CliError> {
    let host = Host::default();
    let uid = user();
    let rank = ranks::this(&host);
    let allowed = ranks::allowed_cpus(rank.as_ref());
    let tracking = Tracking::of(args, uid);
    let (mut spec, cpus) = spec_of(args, &host, uid, (&allowed, rank.as_ref()), &tracking)?;
    let mut destination = args.report.as_deref().map(|path| Destination::of("--report", path)).transpose()?;
    spec.keep.extend(destination.as_ref().and_then(Destination::open_file).map(|file| file.as_raw_fd()));
    spec.keep.extend(kept);
    if args.dry_run {
        return dry_run(args, &host, &spec).map(|code| (code, None));
    }
    let record = Record::of(args)?;
    let started = start(&host, &spec)?;
    let mut watch = Watch::new(cpus.len().max(1), args.quiet);
    watch.gpus = GpusSeen::of(args, &started);
    let running = match started {
        Started::Job(running) => {
            // Of a job in ranks its holder records.
            if !running.is_rank() {
                watch.recorder = record.recorder(args, &running, watch.cpus);
            }
            running
        }
        Started::Holder(running) => {
            watch.recorder = record.recorder(args, &running, watch.cpus);
            return Ok((ranks::hold(running, args, &spec, &mut watch, (&record, &tracking)), None));
        }
    };
    if !args.quiet && !running.plan().is_told {
        for finding in &running.plan().findings {
            summary::print_finding(finding);
        }
    }
    let said: HashSet<String> = running.plan().findings.iter().map(|f| f.code.clone()).collect();
    let mut outcome = running.wait(&mut watch)?;
    let before = outcome.shared_before.take();
    let left = before.map(|before| clean_shared(&host, uid, &before, args.clean_shm)).unwrap_or_default();
    let shared = std::mem::replace(&mut outcome.shared, Shared::Alone);
    let tracked = std::mem::take(&mut outcome.tracked);
    let mut report = report_of(args, &spec, outcome, &watch, uid, left);
    if matches!(shared, Shared::Alone) {
        report.tracking = Some(tracking.report(&tracked));
    }
    match shared {
        // The rest of the job goes on, and the last to leave tells of it.
        Shared::Rank => return Ok((report.exit_status, None)),
        Shared::LastRank(whole) => {
            report = ranks::of_the_whole(&whole, report);
            record.correct_series(&report);
        }
        Shared::Alone | Shared::Holder(_) => {}
    }
    let threads_set = matches!(args.threads, threads::ThreadRequest::Count(_));
    report.findings.extend(advice::oversubscription(&watch.sampler.seen, watch.cpus, threads_set));
    if wants_gpu_check(args) {
        report.findings.extend(nvml::check_released(
            &host,
            &report.job,
            matches!(args.gpus, Some(GpuRequest::Indices(_))),
        ));
    }
    report.findings.extend(record.end_series(watch.recorder.take(), &report));
    if !args.quiet {
        for finding in report.findings.iter().filter(|f| !said.contains(&f.code)) {
            summary::print_finding(finding);
        }
        match args.summary {
            Summary::Full => summary::print(&report),
            Summary::Line => summary::print_line(&report),
            Summary::None => summary::print_survivors(&report),
        }
    } else if report.end == End::Survivors {
        summary::print_survivors(&report);
    }
    if let Some(destination) = &mut destination
        && let Err(source) = json(&report).and_then(|text| destination.write(&text))
    {
        // The job's status is worth more than ours.
        CliError::Report { path: destination.path().to_owned(), source }.print();
    }
    if let Some(finding) = record.remember(&report).filter(|_| !args.quiet) {
        summary::print_finding(&finding);
    }
    tracking.leave(&tracked, &report);
    tracking.end(&host, tracked, report.tracking.as_ref());
    Ok((report.exit_status, Some(report)))
}

fn json(report: &RunReport) -> std::io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(report)?;
    text.push(b'\n');
    Ok(text)
}

fn dry_run(args: &RunArgs, host: &Host, spec: &JailSpec) -> Result<u8, CliError> {
    let plan = preview(host, spec)?;
    out::print(plan.to_string().trim_end());
    let inherited: Vec<_> = std::env::vars_os().collect();
    out::print("environment:");
    let tracked = spec.track.as_ref().map(|track| track.variables(&plan.job)).unwrap_or_default();
    let of_tracked = tracked.iter().map(|(name, value)| (OsStr::new(name), value));
    let own = spec.env.iter().filter(|entry| !inherited.contains(entry));
    for (name, value) in own.map(|(name, value)| (name.as_os_str(), value)).chain(of_tracked) {
        out::print(format_args!("  {}={}", name.display(), value.display()));
    }
    let words: Vec<_> = args.command.iter().map(|w| w.to_string_lossy()).collect();
    out::print(format_args!("command: {}", words.join(" ")));
    for finding in &plan.findings {
        summary::print_finding(finding);
    }
    Ok(0)
}

/// An existing path without symlinks in it; refused with what is wrong.
pub(super) fn existing(flag: &'static str, path: &Path) -> Result<PathBuf, CliError> {
    fs::canonicalize(path).map_err(|error| CliError::Path {
        flag,
        path: path.to_owned(),
        why: match error.kind() {
            std::io::ErrorKind::NotFound => "there is no such file or directory".to_owned(),
            _ => error.to_string(),
        },
    })
}

/// A bind target: what exists of it without symlinks, and the rest as written.
fn target(flag: &'static str, path: &Path) -> Result<PathBuf, CliError> {
    let absolute = std::path::absolute(path).map_err(|error| CliError::Path {
        flag,
        path: path.to_owned(),
        why: error.to_string(),
    })?;
    let dots = absolute.components().any(|c| c == std::path::Component::ParentDir);
    let mut base = absolute.as_path();
    loop {
        if let Ok(found) = fs::canonicalize(base) {
            let rest = absolute.strip_prefix(base).unwrap_or(Path::new(""));
            return if dots && !rest.as_os_str().is_empty() {
                Err(CliError::Path {
                    flag,
                    path: path.to_owned(),
                    why: "a new path cannot hold `..`".to_owned(),
                })
            } else if rest.as_os_str().is_empty() {
                Ok(found)
            } else {
                Ok(found.join(rest))
            };
        }
        match base.parent() {
            Some(parent) => base = parent,
            None => return Ok(absolute),
        }
    }
}

fn view_of(args: &RunArgs, host: &Host, uid: u32, gpus: &Gpus) -> Result<View, CliError> {
    let mut binds = Vec::new();
    for bind in &args.bind {
        binds.push(Bind {
            source: existing("--bind", &bind.source)?,
            target: target("--bind", &bind.target)?,
        });
    }
    let binds_target = |path: &Path| binds.iter().any(|b: &Bind| path.starts_with(&b.target));
    let mut read_only = Vec::new();
    for path in &args.ro {
        // A path that only the binds bring in does not exist yet.
        let wanted = target("--ro", path)?;
        read_only.push(if binds_target(&wanted) { wanted } else { existing("--ro", path)? });
    }
    let mut hidden = Vec::new();
    for path in &args.hide {
        hidden.push(existing("--hide", path)?);
    }
    let half = Bytes(memory_total() / 2);
    let size = match args.mem {
        Some(mem) if half.0 > 0 => mem.min(half),
        Some(mem) => mem,
        None => half.max(Bytes::mib(64)),
    };
    let shm = match args.shm {
        Some(ShmArg::Host) => Shm::Host,
        Some(ShmArg::Size(size)) => Shm::Private(size),
        None => Shm::Private(size),
    };
    let mut sockets = service_sockets(host, uid, &|name| std::env::var(name).ok());
    // What the user shows on purpose is shown; and under something hidden nothing is left to cover.
    sockets.retain(|s| !binds.iter().any(|b| b.source == *s) && !hidden.iter().any(|h| s.starts_with(h)));
    let sockets = sockets.into_iter().filter_map(|s| fs::canonicalize(s).ok()).collect();
    let (only, links) = only::named(&args.only)?;
    Ok(View {
        only,
        links,
        binds,
        read_only,
        hidden,
        sockets,
        denied_devices: gpus.denied.clone(),
        private_tmp: args.private_tmp,
        shm,
        shm_asked: args.shm.is_some(),
        no_network: args.net == Net::None,
    })
}

fn check_conflicts(args: &RunArgs, directory: Option<&Path>, view: &View) -> Result<(), CliError> {
    let conflict = |text: &str| Err(CliError::Conflict(text.to_owned()));
    if args.clean_shm && view.shm != Shm::Host {
        return conflict("--clean-shm needs --shm host: the job's own /dev/shm is gone with it anyway");
    }
    let Some(directory) = directory else { return Ok(()) };
    let shown = |path: &Path| view.binds.iter().any(|b| path.starts_with(&b.target));
    if view.private_tmp && ["/tmp", "/var/tmp"].iter().any(|t| directory.starts_with(t)) && !shown(directory)
    {
        return Err(CliError::Conflict(format!(
            "--private-tmp hides the working directory {0}; start elsewhere, or add --bind {0}",
            directory.display()
        )));
    }
    if let Some(hidden) =
        view.hidden.iter().find(|h| directory.starts_with(h) && h.parent().is_some() && !shown(directory))
    {
        return Err(CliError::Conflict(format!(
            "--hide {} hides the working directory {}; start elsewhere, or hide less",
            hidden.display(),
            directory.display()
        )));
    }
    Ok(())
}

/// The spec, and the CPUs that the job will have.
fn spec_of(
    args: &RunArgs,
    host: &Host,
    uid: u32,
    (allowed, rank): (&CpuSet, Option<&Rank>),
    tracking: &Tracking,
) -> Result<(JailSpec, CpuSet), CliError> {
    // All ranks of a job must choose the same.
    let seed = rank.and_then(|r| r.starter).unwrap_or_else(std::process::id);
    let cpus = match &args.cpus {
        Some(request) => Some(request.choose(allowed, seed as usize)?),
        None => None,
    };
    let cuda = std::env::var("CUDA_VISIBLE_DEVICES").ok();
    let gpus = match &args.gpus {
        Some(request) => Gpus::choose(host, request, cuda.as_deref())?,
        None => Gpus::default(),
    };
    let directory = std::env::current_dir().ok();
    let view = view_of(args, host, uid, &gpus)?;
    check_conflicts(args, directory.as_deref(), &view)?;
    let job_cpus = cpus.clone().unwrap_or_else(|| allowed.clone());
    let mut env = environment(args, ranks::cpus_of_one(rank, &job_cpus), &gpus);
    tracking.clean(&mut env);
    let (ranks, mark) = ranks::share(rank);
    env.retain(|(name, _)| mark.as_ref().is_none_or(|(mark, _)| name != mark));
    env.extend(mark);
    only::own_tmp(&view, &mut env);
    only::check(&view, &args.command, directory.as_deref(), &env)?;
    let spec = JailSpec {
        command: args.command.clone(),
        env,
        directory,
        limits: Limits {
            memory: args.mem,
            // A memory limit that pushes the job into swap holds nothing but the node's disk.
            swap: args.mem.map(|_| args.swap.unwrap_or(Bytes(0))),
            cpus,
            pids: args.pids,
            time: args.time,
        },
        view,
        require: args.require,
        require_memory: args.require_mem,
        no_new_privileges: args.no_new_privileges,
        grace: args.grace.0,
        end_orphans: args.orphans == Orphans::End,
        with_parent: args.with_parent,
        kill_wait: args.kill_wait,
        look_every: args.interval,
        keep: Vec::new(),
        has_terminal: has_terminal(),
        track: tracking.track(),
        ranks,
        nested: std::env::var_os("TERRARIUM_JOB").is_some(),
    };
    Ok((spec, job_cpus))
}

fn environment(args: &RunArgs, cpus: usize, gpus: &Gpus) -> Vec<(OsString, OsString)> {
    let mut env: BTreeMap<OsString, OsString> = std::env::vars_os().collect();
    env.remove(OsStr::new("TERRARIUM_JOB"));
    if args.with_parent
        && let Some(parent) = env.get_mut(OsStr::new(PARENT_VARIABLE))
    {
        // A kernel that compares the number with that of its own parent, which is init, would end itself; 1 has it do
        // nothing, and without the variable it would think that a person started it.
        *parent = "1".into();
    }
    let set = threads::variables(args.threads, cpus, |name| env.contains_key(OsStr::new(name)));
    env.extend(set.into_iter().map(|(name, value)| (name.into(), value.into())));
    if let Some(request) = &args.gpus {
        let value = match request {
            // Not the empty string: some programs take that for "not set".
            GpuRequest::None => "-1".to_owned(),
            GpuRequest::Indices(_) => gpus.names.join(","),
        };
        for name in gpus::VISIBILITY_VARIABLES {
            env.insert(name.into(), value.clone().into());
        }
        // So that the numbers mean what they mean to the driver, and to the device nodes.
        env.entry("CUDA_DEVICE_ORDER".into()).or_insert_with(|| "PCI_BUS_ID".into());
    }
    env.into_iter().collect()
}

pub(super) fn clean_shared(
    host: &Host,
    uid: u32,
    before: &HashSet<shared::Id>,
    delete: bool,
) -> Vec<SharedObject> {
    shared::left_since(host, uid, before).iter().map(|o| o.record(delete && o.delete(host))).collect()
}

fn usage_of(outcome: &Outcome, watch: &Watch) -> Usage {
    let (counted, seen) = (&outcome.counted, &watch.sampler.seen);
    let memory_peak = counted
        .memory_peak
        .map(Measured::cgroup)
        .or_else(|| seen.memory_now_peak.map(Measured::sampled))
        .or_else(|| seen.memory_sum_peak.map(Measured::sampled_sum));
    // Of the job as a whole: what each process may have is no limit on the sum.
    let whole = |l: &&Limit<Bytes>| matches!(l.enforced_by, Some(Enforcer::CgroupV1 | Enforcer::CgroupV2));
    let limit = outcome.limits.memory.as_ref().filter(whole).map(|l| l.value);
    let waited = outcome.waited.as_ref();
    // What was waited for is exact; what was seen lacks what came after the last look.
    let total = |waited: Option<u64>, seen: Option<u64>| {
        waited.map(Measured::wait4).or_else(|| seen.map(Measured::sampled))
    };
    let bytes =
        |total: Option<Measured<u64>>| total.map(|m| Measured { value: Bytes(m.value), source: m.source });
    Usage {
        cpu_seconds: counted
            .cpu
            .map(|d| Measured::cgroup(d.as_secs_f64()))
            .or_else(|| waited.map(|w| Measured::wait4(w.cpu.as_secs_f64())))
            .or_else(|| seen.cpu.map(|us| Measured::sampled(us as f64 / 1e6))),
        // The kernel charges by pages and in batches: within 1 % is at the limit.
        memory_saturated: memory_peak
            .zip(limit)
            .is_some_and(|(peak, limit)| peak.value.0 as f64 >= limit.0 as f64 * 0.99),
        memory_peak,
        memory_working_set_peak: seen.working_set_peak.map(Measured::sampled),
        memory_anonymous_shared_peak: seen
            .anonymous_shared_peak
            .map(Measured::sampled)
            .or_else(|| seen.anonymous_shared_sum_peak.map(Measured::sampled_sum)),
        memory_pressure_seconds: seen.memory_pressure.map(|us| us as f64 / 1e6),
        processes_peak: seen.processes_peak.map(Measured::sampled),
        threads_peak: counted
            .tasks_peak
            .map(Measured::cgroup)
            .or_else(|| seen.threads_peak.map(Measured::sampled)),
        faults_minor: total(waited.map(|w| w.faults_minor), seen.faults_minor),
        faults_major: total(waited.map(|w| w.faults_major), seen.faults_major),
        switches_voluntary: waited.map(|w| Measured::wait4(w.switches_voluntary)),
        switches_involuntary: waited.map(|w| Measured::wait4(w.switches_involuntary)),
        read: bytes(total(waited.and_then(|w| w.read), seen.read)),
        written: bytes(total(waited.and_then(|w| w.written), seen.written)),
        gpu: watch.gpus.as_ref().and_then(GpusSeen::usage),
        samples: seen.samples,
    }
}

fn exit_status(end: End) -> u8 {
    match end {
        End::Exited { code } => code,
        End::Signaled { signal } => 128u8.saturating_add(signal as u8),
        End::TimeLimit => exit::TIME_LIMIT,
        End::OutOfMemory => exit::OUT_OF_MEMORY,
        End::Survivors => exit::SURVIVORS,
        // Both by SIGKILL.
        End::Terminated | End::InitKilled => 137,
    }
}

pub(super) fn report_of(
    args: &RunArgs,
    spec: &JailSpec,
    outcome: Outcome,
    watch: &Watch,
    uid: u32,
    shared: Vec<SharedObject>,
) -> RunReport {
    let usage = usage_of(&outcome, watch);
    let names = summary::counted(&outcome.killed_names);
    let mut findings = outcome.findings;
    for path in &outcome.cgroups_left {
        findings.push(
            Finding::new("cgroup-left", format!("the cgroup {} could not be removed", path.display()))
                .hint("terrarium reap removes it once its last process is gone"),
        );
    }
    RunReport {
        schema: SCHEMA.to_owned(),
        terrarium: env!("CARGO_PKG_VERSION").to_owned(),
        job: outcome.job,
        command: args.command.iter().map(|c| c.to_string_lossy().into_owned()).collect(),
        directory: spec.directory.as_ref().map(|d| d.display().to_string()).unwrap_or_default(),
        host: host_name(),
        uid,
        started: outcome.started_at.duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64()),
        wall_seconds: outcome.wall.as_secs_f64(),
        end: outcome.end,
        exit_status: exit_status(outcome.end),
        tier: outcome.tier,
        ranks: outcome.ranks,
        limits: outcome.limits,
        cpus: Some(watch.cpus as u64),
        executable: watch.sampler.seen.executable.as_ref().map(|path| path.to_string_lossy().into_owned()),
        usage,
        left_behind: LeftBehind { processes: outcome.killed, names, shared },
        orphans_ended: outcome.orphans_ended,
        survivors: outcome.survivors,
        tracking: None,
        findings,
    }
}
