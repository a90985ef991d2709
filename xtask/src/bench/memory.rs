//! Memory of a launcher and its init while a job of a hundred processes runs.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::account::Account;
use super::contender::{Contender, OURS, fit};
use super::place::Place;
use super::report::{Report, Row};
use super::samples::in_turn;
use crate::Result;

/// Ends when its standard input does.
const JOB: &str = "i=0; while [ $i -lt 100 ]; do sleep 600 & i=$((i+1)); done; echo ready; read -r line";

pub(super) fn measure(place: &Place, account: &Account, runs: u32) -> Result<Report> {
    let (present, absent) = fit([Contender::terrarium(place, &[]), Contender::bwrap()])?;
    let mut report =
        Report::new("memory", "PSS of the launcher and its init together, a job of 100 sleeping processes");
    let samples = in_turn(runs, &present, |contender| {
        measured(contender, account).map_err(|e| format!("{}: {e}", contender.name))
    })?;
    let base = if present.len() > 1 { "bwrap" } else { OURS };
    // What is not anonymous is the program's file, of which one copy serves all jobs of a node.
    for (case, size) in
        [("all", (|it: &Use| it.all) as fn(&Use) -> f64), ("of it anonymous", |it| it.anonymous)]
    {
        let row = |(contender, samples): (&Contender, &Vec<Use>)| {
            let sizes: Vec<f64> = samples.iter().map(size).collect();
            let processes = samples.first().map_or(0, |sample| sample.processes);
            Row::new(case, &contender.name, "KiB", &sizes).remark(format!("{processes} processes"))
        };
        report.add(Some(base), present.iter().zip(&samples).map(row).collect());
    }
    report.absent(&absent);
    Ok(report)
}

/// Proportional set sizes in KiB of the launcher and its children.
#[derive(Default)]
struct Use {
    all: f64,
    anonymous: f64,
    processes: usize,
}

fn measured(contender: &Contender, account: &Account) -> Result<Use> {
    let inner = contender.command(["/bin/sh", "-c", JOB]);
    // setpriv becomes what it starts, so the process that is made here is the launcher.
    let mut command = account.command(inner.get_program());
    command.args(inner.get_args()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut launcher = command.spawn().map_err(|e| e.to_string())?;
    let mut line = String::new();
    let ready = launcher.stdout.take().map(|stdout| BufReader::new(stdout).read_line(&mut line));
    let measured = match ready {
        Some(Ok(_)) if line == "ready\n" => {
            // As it stays, without what only the start needs.
            std::thread::sleep(Duration::from_secs(3));
            sum(launcher.id())
        }
        _ => Err("the job did not start".to_owned()),
    };
    drop(launcher.stdin.take());
    launcher.wait().map_err(|e| e.to_string())?;
    measured
}

fn sum(launcher: u32) -> Result<Use> {
    let mut sum = Use::default();
    for pid in children(launcher)?.into_iter().chain([launcher]) {
        let path = format!("/proc/{pid}/smaps_rollup");
        let text = std::fs::read_to_string(&path).map_err(|e| format!("{path}: {e} (root can read it)"))?;
        sum.all += field(&text, "Pss:").ok_or_else(|| format!("{path}: no Pss"))?;
        sum.anonymous += field(&text, "Pss_Anon:").ok_or_else(|| format!("{path}: no Pss_Anon"))?;
        sum.processes += 1;
    }
    Ok(sum)
}

/// The number after a field's name.
fn field(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

fn children(parent: u32) -> Result<Vec<u32>> {
    // Not /proc/PID/task/*/children, which not every kernel has.
    let output = Command::new("ps").args(["-o", "pid=", "--ppid", &parent.to_string()]).output();
    let output = output.map_err(|e| format!("ps: {e}"))?;
    Ok(String::from_utf8_lossy(&output.stdout)
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_of_smaps() {
        let text = "55-7f ---p 00000000 00:00 0 [rollup]\nRss:  3000 kB\nPss:   1234 kB\nPss_Dirty: 5 kB\n";
        assert_eq!(field(text, "Pss:"), Some(1234.0));
        assert_eq!(field(text, "Swap:"), None);
    }
}
