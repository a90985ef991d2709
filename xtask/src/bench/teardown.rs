//! How long the end takes: from the end of the main process until none of its daemons is left,
//! and until the launcher has returned, which must not come first.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::Mode;

use super::contender::{Contender, OURS, fit};
use super::place::Place;
use super::report::{Report, Row};
use super::samples::in_turn;
use crate::Result;

const COUNTS: [u32; 2] = [1000, 10_000];

/// For the daemons to be gone, when the launcher has returned.
const PATIENCE: Duration = Duration::from_secs(60);

/// One end.
struct End {
    /// From the end of the main process until no daemon had the pipe.
    gone: f64,
    /// From there until the launcher had returned.
    returned: f64,
    /// Whether a daemon still had the pipe when the launcher had returned.
    too_early: bool,
}

pub(super) fn measure(place: &Place, runs: u32) -> Result<Report> {
    let scratch = tempfile::tempdir().map_err(|e| format!("temporary directory: {e}"))?;
    let pipe = scratch.path().join("pipe");
    nix::unistd::mkfifo(&pipe, Mode::S_IRUSR | Mode::S_IWUSR)
        .map_err(|e| format!("{}: {e}", pipe.display()))?;
    let traced = Contender::traced(place);
    let all = [Contender::terrarium(place, &[]), Contender::bwrap()];
    let (present, mut absent) = fit(all.into_iter().chain(traced.as_ref().ok().cloned()))?;
    absent.extend(traced.err());
    let base = if present.len() > 1 { "bwrap" } else { OURS };
    let mut report = Report::new("teardown", "from the end of the main process, which started N daemons");
    for count in COUNTS {
        let ends = in_turn(runs, &present, |contender| end(contender, place, count, &pipe))?;
        let rows = |what: &str, time: fn(&End) -> f64, remark: fn(&[End]) -> String| {
            let row = |(contender, ends): (&Contender, &Vec<End>)| {
                let samples: Vec<f64> = ends.iter().map(time).collect();
                Row::new(&format!("{count} daemons, {what}"), &contender.name, "ms", &samples)
                    .remark(remark(ends))
            };
            present.iter().zip(&ends).map(row).collect()
        };
        report.add(Some(base), rows("none left", |end| end.gone, |_| String::new()));
        // No ratio: to return early is not to be fast.
        report.add(None, rows("launcher returned", |end| end.returned, early));
        report.add(Some(base), rows("both", |end| end.gone.max(end.returned), |_| String::new()));
    }
    report.absent(&absent);
    Ok(report)
}

fn early(ends: &[End]) -> String {
    match ends.iter().filter(|end| end.too_early).count() {
        0 => "before the last was gone: no".to_owned(),
        count => format!("before the last was gone: yes, {count} of {}", ends.len()),
    }
}

fn end(contender: &Contender, place: &Place, count: u32, pipe: &Path) -> Result<End> {
    let failed = |e: std::io::Error| format!("{}: {e}", contender.name);
    // Open before there is a writer; the launcher never has the other end, only what it runs.
    let pipe_end = OpenOptions::new()
        .read(true)
        .custom_flags(nix::libc::O_NONBLOCK)
        .open(pipe)
        .map_err(|e| format!("{}: {e}", pipe.display()))?;
    let job = ["/bin/sh", "-c", "exec \"$1\" \"$2\" 3>\"$3\"", "sh"].map(Into::into);
    let job = job.into_iter().chain([place.program("daemons").into(), count.to_string().into(), pipe.into()]);
    let mut launcher =
        contender.command::<std::ffi::OsString>(job).stdout(Stdio::piped()).spawn().map_err(failed)?;
    let mut line = String::new();
    if let Some(stdout) = launcher.stdout.take() {
        BufReader::new(stdout).read_line(&mut line).map_err(failed)?;
    }
    if line.trim() != format!("daemons {count}") {
        let _ = launcher.wait();
        return Err(format!("{} cannot have {count} daemons: {}", contender.name, line.trim()));
    }
    // It has printed its line and ends at once.
    timed_end(launcher, &pipe_end).map_err(|e| format!("{} with {count} daemons: {e}", contender.name))
}

fn timed_end(mut launcher: Child, pipe: &File) -> Result<End> {
    let start = Instant::now();
    std::thread::scope(|scope| {
        let gone = scope.spawn(|| all_closed(pipe, PATIENCE).map(|closed| closed.then(|| start.elapsed())));
        let status = launcher.wait().map_err(|e| e.to_string())?;
        let returned = start.elapsed();
        // Two clocks are read by two threads, so this is asked, not computed.
        let too_early = !all_closed(pipe, Duration::ZERO)?;
        if !status.success() {
            return Err(status.to_string());
        }
        let gone = gone.join().map_err(|_| "a thread failed")??;
        let gone = gone.ok_or_else(|| format!("daemons are left after {} s", PATIENCE.as_secs()))?;
        Ok(End { gone: gone.as_secs_f64() * 1e3, returned: returned.as_secs_f64() * 1e3, too_early })
    })
}

/// Whether within this time no process has the other end any more.
fn all_closed(pipe: &File, within: Duration) -> Result<bool> {
    // Nobody writes, so the only event is the last one's close.
    let mut fds = [PollFd::new(pipe.as_fd(), PollFlags::empty())];
    let timeout = PollTimeout::try_from(within).map_err(|e| e.to_string())?;
    poll(&mut fds, timeout).map(|events| events > 0).map_err(|e| format!("poll: {e}"))
}
