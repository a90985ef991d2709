//! From records to segments, from segments to tables, and what a row takes on disk.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use terrarium_spool::sample::{By, Sample};

use super::contender::OURS;
use super::place::Place;
use super::report::{Report, Row};
use crate::Result;

/// Processes, and the programs that they run: most are run many times.
const PROCESSES: u64 = 1000;
const PROGRAMS: u64 = 25;

/// Packages that there are, and modules of each.
const PACKAGES: u64 = 300;

/// On one core: what is told is of a second and core.
const ONE_CORE: [&str; 3] = ["taskset", "-c", "0"];

pub(super) fn measure(place: &Place, runs: u32) -> Result<Report> {
    let question = "module rows a second on one core: records to a segment, segments to committed tables with their sums";
    let mut report = Report::new("collect", question);
    let base = tempfile::tempdir().map_err(|e| e.to_string())?;
    let (mut sealing, mut committing, mut size) = (Vec::new(), Vec::new(), Vec::new());
    for run in 0..runs {
        let spool = tempfile::tempdir_in("/dev/shm").map_err(|e| e.to_string())?;
        let rows = fill(spool.path())?;
        let segments = base.path().join(format!("segments-{run}"));
        let store = base.path().join(format!("store-{run}"));
        let seconds =
            timed(place, &["collect", "--spool", text(spool.path())?, "--segments", text(&segments)?])?;
        sealing.push(rows as f64 / seconds);
        let commit = ["collect", "--segments", text(&segments)?, "--store", text(&store)?];
        // An empty store is made before the clock runs.
        let none = base.path().join("none");
        fs::create_dir_all(&none).map_err(|e| e.to_string())?;
        timed(place, &["collect", "--segments", text(&none)?, "--store", text(&store)?])?;
        committing.push(rows as f64 / timed(place, &commit)?);
        timed(place, &["store", "compact", "--keep", "0s", "--store", text(&store)?])?;
        size.push(bytes(&store.join("imports"))? as f64 / rows as f64);
    }
    let case = |what: &str| format!("{what}, {PROCESSES} processes of {PROGRAMS} programs");
    report.add(
        None,
        vec![Row::new(&case("records to a segment"), OURS, "rows/s", &sealing).remark("at least 500,000")],
    );
    report.add(
        None,
        vec![Row::new(&case("segment to tables"), OURS, "rows/s", &committing).remark("at least 400,000")],
    );
    report.add(
        None,
        vec![Row::new(&case("a row on disk, compacted"), OURS, "bytes", &size).remark("at most 4")],
    );
    Ok(report)
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| "a path is no text".to_owned())
}

fn timed(place: &Place, words: &[&str]) -> Result<f64> {
    let began = Instant::now();
    let status = Command::new(ONE_CORE[0])
        .args(&ONE_CORE[1..])
        .arg(&place.terrarium)
        .args(words)
        .env("TERRARIUM_HISTORY", "off")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .map_err(|e| e.to_string())?;
    if status.success() {
        Ok(began.elapsed().as_secs_f64())
    } else {
        Err(format!("terrarium {words:?} failed"))
    }
}

/// The files of a table, its log left out.
fn bytes(directory: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(directory).map_err(|e| e.to_string())?.flatten() {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("_delta_log") {
            sum += bytes(&path)?;
        } else if path.extension().is_some_and(|extension| extension == "parquet") {
            sum += entry.metadata().map_err(|e| e.to_string())?.len();
        }
    }
    Ok(sum)
}

/// Numbers that are the same at each run.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Small numbers more often than large ones, as packages are used.
    fn skewed(&mut self, below: u64) -> u64 {
        let uniform = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        ((below as f64).powf(uniform) - 1.0) as u64
    }
}

/// A spool of processes that have ended; how many modules they loaded.
fn fill(spool: &Path) -> Result<u64> {
    use terrarium_wire::header::{AT_ENDING, AT_FLAGS, AT_ID, AT_PID, AT_START, flag};
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let programs: Vec<Vec<u64>> = (0..PROGRAMS)
        .map(|_| {
            let count = 20 + dice.next() % 60;
            let mut packages: Vec<u64> = (0..count).map(|_| dice.skewed(PACKAGES)).collect();
            packages.sort_unstable();
            packages.dedup();
            packages
        })
        .collect();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64);
    let mut rows = 0;
    for process in 0..PROCESSES {
        let program = dice.skewed(PROGRAMS);
        let home = format!("/home/user{}/venv", program % 7);
        let mut sample = Sample::new()
            .short(AT_FLAGS, flag::PYTHON)
            .short(AT_PID, process as u32 + 100)
            .long(AT_ID, process + 1)
            .long(AT_START, now - (PROCESSES - process) * 1_000_000)
            .short(AT_ENDING, 1)
            .prefix(&home, "/usr", &format!("{home}/bin/python"));
        let mut time = 1000;
        for package in &programs[program as usize] {
            let path = format!("{home}/lib/python3.11/site-packages/package{package}");
            let top =
                sample.file(time, By::Main, &format!("package{package}"), &format!("{path}/__init__.py"));
            // What belongs to it takes a time of its own in each process.
            for module in 0..5 + package * 7 % 60 {
                let took = 40 + dice.skewed(5000);
                time += took;
                let name = format!("package{package}.part{}.module{module}", module % 4);
                let file = format!("{path}/part{}/module{module}.py", module % 4);
                let number = sample.file(time, By::Module(top), &name, &file);
                sample.done(number, took, 20);
                rows += 1;
            }
            sample.done(top, 900 + dice.skewed(100_000), 20);
            rows += 1;
        }
        let file = spool.join(format!("{}-{:016x}.spool", process + 100, now + process));
        fs::write(&file, sample.bytes()).map_err(|e| format!("{}: {e}", file.display()))?;
    }
    Ok(rows)
}
