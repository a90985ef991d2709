//! What it costs to look at a job once a second, and what ten looks a second do to it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use super::contender::{Contender, OURS, fit};
use super::place::Place;
use super::report::{Report, Row};
use super::samples::{in_turn, paired};
use crate::Result;

/// Jobs, with the most that looking at one may cost.
const JOBS: [(&str, [&str; 2], &str); 3] = [
    ("100 processes", ["100", "1"], "at most 0.05"),
    ("1,000 processes", ["1000", "1"], "at most 0.5"),
    ("10 processes with 1,000 threads each", ["10", "1000"], "at most 0.5"),
];

/// From the job's start, so that it is as it stays, and from there on.
const SETTLE: Duration = Duration::from_secs(6);
const MEASURE: Duration = Duration::from_secs(10);

const PSUTIL: &str = "psutil";
const PSRECORD: &str = "psrecord";

pub(super) fn measure(place: &Place, runs: u32) -> Result<Report> {
    let question =
        "CPU time of the process that looks at a job once a second; one process in ten works a little";
    let mut report = Report::new("sampler", question);
    let peers = [Contender::new(PSUTIL, ["x"]), Contender::new(PSRECORD, ["x"])];
    let all: Vec<Contender> = std::iter::once(Contender::terrarium(place, &[])).chain(peers).collect();
    for (case, size, bound) in JOBS {
        let samples =
            in_turn(runs, &all, |who| cost(place, who, size).map_err(|e| format!("{}: {e}", who.name)))?;
        let row = |(who, samples): (&Contender, &Vec<f64>)| {
            let row = Row::new(case, &who.name, "% of a core", samples);
            if who.name == OURS { row.remark(bound) } else { row }
        };
        report.add(Some(PSUTIL), all.iter().zip(&samples).map(row).collect());
    }
    effect(place, runs, &mut report)?;
    Ok(report)
}

/// A job with a pipe that ends it.
struct Job {
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Job {
    fn start(mut command: Command) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|e| e.to_string())?;
        let stdin = child.stdin.take();
        let mut line = String::new();
        let read = child.stdout.take().map(|stdout| BufReader::new(stdout).read_line(&mut line));
        let job = Job { child, stdin };
        match read {
            Some(Ok(_)) if line == "ready\n" => Ok(job),
            _ => Err("the job did not start".to_owned()),
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.wait();
    }
}

/// Percent of a core that `who` takes to look at a job of this size.
fn cost(place: &Place, who: &Contender, size: [&str; 2]) -> Result<f64> {
    let script = place.benches().join("sampler_job.py");
    let python = Path::new("/usr/bin/python3").as_os_str();
    let words = [python, script.as_os_str(), size[0].as_ref(), size[1].as_ref()];
    if who.name == OURS {
        // Its supervisor is the process that was started.
        let job = Job::start(who.command(words))?;
        return share(job.child.id());
    }
    let job = Job::start(Contender::plain().command(words))?;
    let pid = job.child.id().to_string();
    let mut peer = if who.name == PSRECORD {
        let mut command = Command::new(place.sampler_program("psrecord"));
        let log = ["--interval", "1", "--include-children", "--log", "/dev/null"];
        command.arg(&pid).args(log);
        command
    } else {
        let mut command = Command::new(place.sampler_program("python3"));
        command.arg(place.benches().join("sampler_psutil.py")).arg(&pid);
        command
    };
    let quiet = peer.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut peer = quiet.spawn().map_err(|e| e.to_string())?;
    let share = share(peer.id());
    let _ = peer.kill();
    let _ = peer.wait();
    share
}

/// CPU time of a process over wall time, in percent.
fn share(pid: u32) -> Result<f64> {
    std::thread::sleep(SETTLE);
    let (begin, before) = (Instant::now(), cpu_time(pid)?);
    std::thread::sleep(MEASURE);
    let (wall, after) = (begin.elapsed(), cpu_time(pid)?);
    Ok((after - before) as f64 / wall.as_nanos() as f64 * 100.0)
}

/// ns that all threads of a process have run: finer than the ticks of /proc/PID/stat.
fn cpu_time(pid: u32) -> Result<u64> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).map_err(|e| format!("process {pid}: {e}"))?;
    let texts =
        tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("schedstat")).ok());
    Ok(texts.filter_map(|text| text.split_whitespace().next()?.parse::<u64>().ok()).sum())
}

/// A job that does little but fault, looked at ten times a second and almost never.
fn effect(place: &Place, runs: u32, report: &mut Report) -> Result {
    // Half of what is free, at most: others use the machine too.
    let gib = if available() >= 16 << 20 { "8" } else { "2" };
    let never = Contender::terrarium(place, &["--interval", "1h"]).named("no looks");
    let often = Contender::terrarium(place, &["--interval", "100ms"]).named("10 looks a second");
    let (present, absent) = fit([never, often])?;
    let script = place.benches().join("faults.py");
    let words = [Path::new("/usr/bin/python3").as_os_str(), script.as_os_str(), gib.as_ref(), "5".as_ref()];
    let samples = in_turn(runs * 2, &present, |who| {
        let output = who.command(words).stdout(Stdio::piped()).output().map_err(|e| e.to_string())?;
        let text = String::from_utf8_lossy(&output.stdout);
        text.trim().parse::<f64>().map_err(|e| format!("faults.py: {}: {e}", output.status))
    })?;
    let case = format!("{gib} GiB resident, maps of 1 MiB made and touched");
    report.add_samples(&case, "a second", "no looks", &present, &samples);
    if let [never, often] = &samples[..] {
        let ratios = paired(often, never, |often, never| often / never);
        let row = Row::new(&format!("{case}: of each pair"), "10 looks a second", "x", &ratios);
        report.add(None, vec![row.remark("by no looks: nothing beyond noise")]);
    }
    report.absent(&absent);
    Ok(())
}

/// Memory that is available, KiB.
fn available() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
