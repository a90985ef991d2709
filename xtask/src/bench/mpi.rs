//! How fast two ranks of one node send each other messages, with terrarium around each rank and without: libraries copy
//! from memory to memory by PID, which a PID namespace for each rank would forbid.

use std::process::Stdio;

use super::account::Account;
use super::contender::{Contender, find, fit};
use super::place::Place;
use super::report::{Report, Row};
use super::samples::{in_turn, paired};
use crate::Result;

/// To and fro for one median, 16 MiB each time.
const TIMES: &str = "50";

/// The least ratio of bandwidths.
const LEAST: f64 = 0.95;

const LIBRARIES: [&str; 2] = ["openmpi", "mpich"];

pub(super) fn measure(place: &Place, runs: u32) -> Result<Report> {
    let mut report =
        Report::new("mpi", "bandwidth between two ranks of one node, 16 MiB to and fro: median of medians");
    let account = Account::own();
    // Root has its own tier, where there is nothing to be without.
    let tiers: &[&str] = if account.can_only_trace() { &["userns", "ptrace"] } else { &["root"] };
    for library in LIBRARIES {
        let program = place.program(&format!("bytes.{library}"));
        if find(format!("mpirun.{library}").as_ref()).is_none() || !program.is_file() {
            report.note(format!("{library}: not installed"));
            continue;
        }
        for tier in tiers {
            let launcher = launcher(library, tier, place, &account);
            let plain = around(&launcher, "plain");
            let flags = ["run", "--quiet", "--require", tier, "--"].map(Into::into);
            let rank = [place.terrarium.clone().into_os_string()].into_iter().chain(flags);
            let words = launcher.iter().cloned().chain(rank).collect::<Vec<_>>();
            let ours = around(&words, &format!("terrarium, tier {tier}"));
            let (present, absent) = fit([plain, ours])?;
            if !absent.is_empty() {
                report.note(format!("{library}, tier {tier}:"));
                report.absent(&absent);
                continue;
            }
            let samples = in_turn(runs, &present, |contender| {
                let job = [program.as_os_str(), "--bandwidth".as_ref(), TIMES.as_ref()];
                let output = contender.command(job).stdout(Stdio::piped()).stderr(Stdio::inherit()).output();
                let output = output.map_err(|e| format!("{}: {e}", contender.name))?;
                let text = String::from_utf8_lossy(&output.stdout);
                bandwidth(&text).filter(|_| output.status.success()).ok_or_else(|| {
                    format!("{library}, {}: {} {}", contender.name, output.status, text.trim())
                })
            })?;
            let [plain, ours] = &samples[..] else { continue };
            let case = format!("{library}, tier {tier}");
            report.add_samples(&case, "MiB/s", "plain", &present, &samples);
            let ratios = Row::new(
                &format!("{case}, by plain"),
                &present[1].name,
                "",
                &paired(ours, plain, |a, b| a / b),
            );
            report.add(None, vec![ratios.remark(format!("at least {LEAST}"))]);
        }
    }
    report.note("by plain: median of the ratios of neighbouring runs");
    Ok(report)
}

/// What starts two ranks, as a user of this tier would be without terrarium.
fn launcher(library: &str, tier: &str, place: &Place, account: &Account) -> Vec<std::ffi::OsString> {
    let mut words = Vec::new();
    if tier == "ptrace" {
        words.push(place.program("without_userns").into_os_string());
    }
    words.push(format!("mpirun.{library}").into());
    if library == "openmpi" {
        words.push("--oversubscribe".into());
        if !account.can_only_trace() {
            words.push("--allow-run-as-root".into());
        }
    }
    words.extend(["-n", "2"].map(Into::into));
    words
}

fn around(words: &[std::ffi::OsString], name: &str) -> Contender {
    // Else Open MPI says at length that there is no InfiniBand.
    Contender::new(name, words).with("OMPI_MCA_btl", Some("self,vader")).with("TMPDIR", Some("/tmp"))
}

/// From `bandwidth 5099 MiB/s`, perhaps among other lines.
fn bandwidth(text: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix("bandwidth "))?;
    line.strip_suffix(" MiB/s")?.parse().ok().filter(|rate: &f64| *rate > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_bytes() {
        assert_eq!(bandwidth("bandwidth 5099 MiB/s\n"), Some(5099.0));
        assert_eq!(bandwidth("rank 0 pid 5\nbandwidth 5 MiB/s\n"), Some(5.0));
        assert_eq!(bandwidth("bandwidth 0 MiB/s\n"), None);
        assert_eq!(bandwidth("bandwidth fast\n"), None);
        assert_eq!(bandwidth(""), None);
    }
}
