//! `terrarium run`, started once for each rank of a parallel job.

use std::ffi::{OsStr, OsString};

use terrarium_batch::{Ancestor, Rank, may_be_rank, rank};
use terrarium_core::CpuSet;
use terrarium_core::report::{End, RunReport};
use terrarium_jail::host::Host;
use terrarium_jail::spec::{JailSpec, Ranks};
use terrarium_jail::{Running, Shared};
use terrarium_sys::process::{allowed_cpus as allowed_here, allowed_cpus_of, user};

use super::record::Record;
use super::run::{clean_shared, report_of};
use super::tracking::Tracking;
use super::watch::Watch;
use crate::cli::RunArgs;

/// Says in the job which ranks it is: what a rank starts has the launcher's variables too, and is no rank of it.
const MARK: &str = "TERRARIUM_LAUNCH";

/// The rank that this process was started as.
pub(super) fn this(host: &Host) -> Option<Rank> {
    let variable = |name: &str| std::env::var(name).ok();
    if !may_be_rank(&variable) {
        return None;
    }
    let mut ancestors = Vec::new();
    let mut next = host.stat(std::process::id()).map(|stat| stat.parent);
    while let Some(pid) = next.filter(|pid| *pid > 1 && ancestors.len() < 100) {
        let Some(stat) = host.stat(pid) else { break };
        next = Some(stat.parent);
        ancestors.push(Ancestor { pid, start_ticks: stat.start_ticks, name: stat.name });
    }
    let rank = rank(&variable, &ancestors)?;
    // In a rank's jail its launcher is out of sight.
    variable(MARK).is_none_or(|outer| outer != rank.job && rank.is_certain).then_some(rank)
}

/// For the jail, and for the environment of what runs in it.
pub(super) fn share(rank: Option<&Rank>) -> (Option<Ranks>, Option<(OsString, OsString)>) {
    let ranks = rank.map(|r| Ranks { job: r.job.clone(), expected: r.on_node });
    (ranks, rank.map(|r| (OsStr::new(MARK).to_owned(), r.job.clone().into())))
}

/// The CPUs of the job: a launcher binds each rank to some of its own.
pub(super) fn allowed_cpus(rank: Option<&Rank>) -> CpuSet {
    let of_starter = rank.and_then(|r| allowed_cpus_of(r.starter? as i32).ok());
    of_starter.or_else(|| allowed_here().ok()).unwrap_or_default().into_iter().collect()
}

/// CPUs for the threads of one rank: those that it is bound to, or its share of the job's.
pub(super) fn cpus_of_one(rank: Option<&Rank>, job: &CpuSet) -> usize {
    let Some(rank) = rank else { return job.len() };
    let own = allowed_here().unwrap_or_default().into_iter().filter(|cpu| job.contains(*cpu)).count();
    let share = job.len() / rank.on_node.unwrap_or(1).max(1) as usize;
    if own > 0 && own < job.len() { own } else { share.max(1) }
}

/// Holds the jail until the last rank has left, and hands it the report on the whole job.
pub(super) fn hold(
    running: Running,
    args: &RunArgs,
    spec: &JailSpec,
    watch: &mut Watch,
    (record, tracking): (&Record, &Tracking),
) -> u8 {
    let Ok(mut outcome) = running.wait(watch) else { return 1 };
    let shared = std::mem::replace(&mut outcome.shared, Shared::Alone);
    let host = Host::default();
    let before = outcome.shared_before.take();
    let left = before.map(|before| clean_shared(&host, user(), &before, args.clean_shm)).unwrap_or_default();
    let tracked = std::mem::take(&mut outcome.tracked);
    let mut report = report_of(args, spec, outcome, watch, user(), left);
    report.tracking = Some(tracking.report(&tracked));
    report.findings.extend(record.end_series(watch.recorder.take(), &report));
    // One message has to hold it.
    let long = |words: &[String]| words.iter().map(|w| w.len() + 3).sum::<usize>() > 16 << 10;
    while long(&report.command) {
        report.command.truncate(report.command.len() / 2);
        report.command.push("…".to_owned());
        if report.command.len() <= 2 {
            report.command = vec!["…".to_owned()];
        }
    }
    if let (Shared::Holder(Some(last)), Ok(text)) = (shared, serde_json::to_string(&report)) {
        last.tell(text);
    }
    tracking.leave(&tracked, &report);
    tracking.end(&host, tracked, report.tracking.as_ref());
    0
}

/// The holder's report, with the end that this rank saw.
pub(super) fn of_the_whole(text: &str, own: RunReport) -> RunReport {
    let Ok(whole) = serde_json::from_str::<RunReport>(text) else { return own };
    let survivors = whole.end == End::Survivors;
    let (end, exit_status) =
        if survivors { (whole.end, whole.exit_status) } else { (own.end, own.exit_status) };
    RunReport { end, exit_status, started: own.started.min(whole.started), ..whole }
}
