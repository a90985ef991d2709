//! What many threads in many processes cost, and what `--threads 1` saves.

use std::process::Stdio;

use super::account::Account;
use super::contender::{Contender, PLAIN, fit};
use super::place::Place;
use super::report::Report;
use super::samples::in_turn;
use crate::Result;

/// What numerical libraries read.
const VARIABLES: [&str; 3] = ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"];

pub(super) fn measure(place: &Place, runs: u32) -> Result<Report> {
    let python = place.python(&Account::own()).ok_or("no Python with NumPy")?;
    let script = place.benches().join("pool_matmul.py");
    let all = [
        Contender::plain(),
        Contender::plain().named("OPENBLAS_NUM_THREADS=1"),
        Contender::terrarium(place, &["--threads", "1"]),
    ];
    let all =
        all.map(|contender| VARIABLES.iter().fold(contender, |contender, name| contender.with(name, None)));
    let [plain, one, ours] = all;
    let (present, absent) = fit([plain, one.with("OPENBLAS_NUM_THREADS", Some("1")), ours])?;
    let samples = in_turn(runs, &present, |contender| {
        let output = contender
            .command([python.as_path(), &script])
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .output();
        let output = output.map_err(|e| format!("{}: {e}", contender.name))?;
        let text = String::from_utf8_lossy(&output.stdout);
        text.trim()
            .parse::<f64>()
            .map_err(|e| format!("{}: pool_matmul.py: {}: {e}", contender.name, output.status))
    })?;
    let mut report = Report::new("threads", "benches/pool_matmul.py: four processes multiply matrices");
    report.add_samples("4 processes", "s", PLAIN, &present, &samples);
    report.absent(&absent);
    Ok(report)
}
