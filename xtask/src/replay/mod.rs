//! `cargo xtask replay`: what rules for memory requests would have cost on tasks that have run.

mod rules;
#[cfg(test)]
mod synthetic;
mod trace;

use std::collections::HashMap;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use terrarium_core::Bytes;

use crate::Result;
use rules::{RULES, Rule};
use trace::Task;

/// A failed attempt is followed by one with twice the memory; no task is tried more often.
const ATTEMPTS: u32 = 64;

/// Flags of `cargo xtask replay`.
#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// Directory of traces: *.csv or *.csv.gz as Nextflow writes them [default: $TERRARIUM_TRACES]
    #[arg(long, value_name = "DIR")]
    traces: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What a rule cost on one trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Cost {
    /// Memory asked for and not used, in percent of what was used; each weighted by time.
    pub(crate) waste_percent: f64,
    /// Attempts that failed, in percent of the tasks.
    pub(crate) retries_percent: f64,
    /// Memory asked for, in percent of what the user asked for; weighted by time.
    pub(crate) of_request_percent: f64,
}

#[derive(Debug, Serialize)]
struct Row {
    rule: &'static str,
    /// By trace, in the order of `traces`.
    costs: Vec<Cost>,
    mean: Cost,
}

#[derive(Debug, Serialize)]
struct Outcome {
    traces: Vec<Traced>,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Traced {
    name: String,
    tasks: usize,
    kinds: usize,
}

/// Prints the table.
pub(crate) fn run(args: &ReplayArgs) -> Result {
    let directory = args
        .traces
        .clone()
        .or_else(|| std::env::var_os("TERRARIUM_TRACES").map(PathBuf::from))
        .ok_or("name a directory of traces: --traces DIR, or TERRARIUM_TRACES=DIR")?;
    let traces = trace::read_all(&directory)?;
    let outcome = replay_all(&traces);
    if args.json {
        println!("{}", serde_json::to_string_pretty(&outcome).map_err(|e| e.to_string())?);
    } else {
        print(&outcome);
    }
    Ok(())
}

fn replay_all(traces: &[(String, Vec<Task>)]) -> Outcome {
    let row = |rule: &Rule| {
        let costs: Vec<Cost> = traces.iter().map(|(_, tasks)| replay(tasks, rule)).collect();
        Row { rule: rule.name, mean: mean(&costs), costs }
    };
    Outcome {
        traces: traces
            .iter()
            .map(|(name, tasks)| {
                let mut kinds: Vec<&str> = tasks.iter().map(|t| t.kind.as_str()).collect();
                kinds.sort_unstable();
                kinds.dedup();
                Traced { name: name.clone(), tasks: tasks.len(), kinds: kinds.len() }
            })
            .collect(),
        rows: RULES.iter().map(row).collect(),
    }
}

/// Runs the tasks in the order in which they were submitted. The rule knows the peaks of all tasks of the same kind before; as
/// long as it says nothing, what the user asked for is asked for. An attempt with too little fails at its end and is charged
/// for all of its time; the next has twice as much.
pub(crate) fn replay(tasks: &[Task], rule: &Rule) -> Cost {
    let mut peaks: HashMap<&str, Vec<Bytes>> = HashMap::new();
    let (mut wasted, mut used, mut asked, mut user, mut retries) = (0.0, 0.0, 0.0, 0.0, 0u64);
    for task in tasks {
        let known = peaks.entry(&task.kind).or_default();
        let mut given = (rule.ask)(known).unwrap_or(task.request).0.max(1) as f64;
        let peak = task.peak.0 as f64;
        for _ in 0..ATTEMPTS {
            if given >= peak {
                break;
            }
            wasted += given * task.seconds;
            asked += given * task.seconds;
            retries += 1;
            given *= 2.0;
        }
        wasted += (given - peak) * task.seconds;
        asked += given * task.seconds;
        used += peak * task.seconds;
        user += task.request.0 as f64 * task.seconds;
        known.push(task.peak);
    }
    let percent = |part: f64, whole: f64| if whole > 0.0 { part * 100.0 / whole } else { 0.0 };
    Cost {
        waste_percent: percent(wasted, used),
        retries_percent: percent(retries as f64, tasks.len() as f64),
        of_request_percent: percent(asked, user),
    }
}

/// Of traces, each counted once however many tasks it has.
fn mean(costs: &[Cost]) -> Cost {
    let n = costs.len().max(1) as f64;
    let of = |value: fn(&Cost) -> f64| costs.iter().map(value).sum::<f64>() / n;
    Cost {
        waste_percent: of(|c| c.waste_percent),
        retries_percent: of(|c| c.retries_percent),
        of_request_percent: of(|c| c.of_request_percent),
    }
}

fn print(outcome: &Outcome) {
    let cell = |c: &Cost| format!("{:>6.1} % {:>5.2} %", c.waste_percent, c.retries_percent);
    let width = outcome.rows.iter().map(|r| r.rule.chars().count()).max().unwrap_or(0);
    let traces: Vec<String> = outcome.traces.iter().map(|t| format!("{:>16}", t.name)).collect();
    println!("waste: asked for and not used, of what was used; retries: failed attempts, of the tasks");
    println!("{:width$}  {}  {:>16}", "", traces.join("  "), "mean");
    let tasks: Vec<String> = outcome
        .traces
        .iter()
        .map(|t| format!("{:>16}", format!("{} of {} kinds", t.tasks, t.kinds)))
        .collect();
    println!("{:width$}  {}", "tasks", tasks.join("  "));
    for row in &outcome.rows {
        let cells: Vec<String> = row.costs.iter().map(cell).collect();
        println!("{:width$}  {}  {}", row.rule, cells.join("  "), cell(&row.mean));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(kind: &str, peak_mib: u64, request_mib: u64) -> Task {
        Task {
            kind: kind.to_owned(),
            peak: Bytes::mib(peak_mib),
            request: Bytes::mib(request_mib),
            seconds: 10.0,
        }
    }

    #[test]
    fn a_failed_attempt_is_charged_and_doubled() {
        let always = Rule { name: "x", ask: |_| Some(Bytes::mib(100)) };
        let cost = replay(&[task("a", 150, 1000), task("a", 50, 1000)], &always);
        // 100 lost, 200 − 150 and 100 − 50 too much, of 200 used.
        assert_eq!((cost.waste_percent, cost.retries_percent, cost.of_request_percent), (100.0, 50.0, 20.0));
        let user = Rule { name: "user", ask: |_| None };
        assert_eq!(replay(&[task("a", 100, 150)], &user).waste_percent, 50.0);
        assert_eq!(replay(&[], &user), Cost::default());
    }

    #[test]
    fn a_rule_knows_only_what_was_before_and_of_the_same_kind() {
        let last = Rule { name: "x", ask: |known| known.last().copied() };
        let cost =
            replay(&[task("a", 10, 10), task("b", 20, 20), task("a", 10, 99), task("b", 20, 99)], &last);
        assert_eq!(cost.waste_percent, 0.0);
    }
}
