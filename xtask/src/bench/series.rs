//! How much room a series takes on disk, beside the same looks as text.

use std::ffi::OsStr;
use std::process::{Command, Stdio};

use super::contender::OURS;
use super::place::Place;
use super::report::{Report, Row};
use crate::Result;

/// Ten looks a second for as long: 3,000 looks, which would take 50 minutes at one a second.
const SECONDS: &str = "300";

pub(super) fn measure(place: &Place, runs: u32) -> Result<Report> {
    let mut report =
        Report::new("series", "size of a series on disk, of a job whose every figure changes all the time");
    let directory = tempfile::tempdir().map_err(|e| e.to_string())?;
    let (mut arrow, mut csv, mut metrics) = (Vec::new(), Vec::new(), 0);
    for _ in 0..runs {
        let file = directory.path().join("job.arrow");
        let script = place.benches().join("mixed_job.py");
        let run =
            [OsStr::new("run"), "-q".as_ref(), "--interval".as_ref(), "100ms".as_ref(), "--record".as_ref()];
        let status = Command::new(&place.terrarium)
            .args(run)
            .arg(&file)
            .args(["--", "/usr/bin/python3"])
            .arg(script)
            .arg(SECONDS)
            .stdin(Stdio::null())
            .status();
        if !status.is_ok_and(|s| s.success()) {
            return Err("the job failed".to_owned());
        }
        let text = Command::new(&place.terrarium).arg("show").arg(&file).args(["--csv", "-"]).output();
        let text = text.map_err(|e| e.to_string())?.stdout;
        let lines: Vec<&str> =
            std::str::from_utf8(&text).map_err(|e| e.to_string())?.lines().skip(1).collect();
        let looks = lines.len().max(1) as f64;
        let size = std::fs::metadata(&file).map_err(|e| e.to_string())?.len();
        arrow.push(size as f64 / looks);
        csv.push(text.len() as f64 / looks);
        // Of the two columns of time one is in the file.
        metrics = lines
            .get(lines.len() / 2)
            .map_or(0, |l| l.split(',').filter(|v| !v.is_empty()).count())
            .saturating_sub(2);
    }
    let case = format!("a look, {metrics} metrics with data, {SECONDS} s at 10 Hz");
    let ours = Row::new(&case, OURS, "bytes", &arrow).remark("at most 15 at 17 metrics");
    report.add(Some("CSV"), vec![ours, Row::new(&case, "CSV", "bytes", &csv)]);
    Ok(report)
}
