//! `terrarium top`: the jobs of this node, seen from outside.

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::support::{
    Started, Tier, directory, marked, not_in_the_virtual_machine, patience, sh, terrarium, tiers, wait_until,
    workspace,
};

/// A word that is in the command of one job alone.
fn mark(what: &str, tier: Tier) -> String {
    format!("{what}-{tier:?}-{}", std::process::id())
}

/// A job that ends with the test, also one that fails.
struct Ending(Option<Started>);

impl Ending {
    fn job(&self) -> &Started {
        self.0.as_ref().unwrap()
    }

    fn end(mut self) {
        let job = self.0.take().unwrap();
        let mark = job.job_mark();
        job.signal_group("KILL");
        job.wait();
        // Init of a killed supervisor ends what is left, and nobody waits for init.
        wait_until("the end of the job", || marked(&mark).is_empty());
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(job) = &self.0 {
            job.signal_group("KILL");
        }
    }
}

fn top(flags: &[&str]) -> Output {
    let mut command = Command::new(terrarium());
    command.args(["top", "--interval", "1s"]).args(flags).env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

/// A field of an object of the pretty JSON that is known to hold `mark`.
fn number(jobs: &str, mark: &str, name: &str) -> f64 {
    let text = field(jobs, mark, name);
    text.parse().unwrap_or_else(|_| panic!("{name} is {text}: {jobs}"))
}

fn field<'a>(jobs: &'a str, mark: &str, field: &str) -> &'a str {
    let job =
        jobs.split("\n    {\n").find(|job| job.contains(mark)).unwrap_or_else(|| panic!("{mark}: {jobs}"));
    let line = job.lines().find_map(|l| l.trim().strip_prefix(&format!("\"{field}\": ")));
    line.unwrap_or_else(|| panic!("{field}: {job}")).trim_end_matches(',')
}

#[test]
fn finds_jobs_with_their_processes_and_cpu_use() {
    for tier in tiers() {
        // Four processes that wait, and two of which one counts. The marks tell them from those of another test run.
        let (quiet_mark, busy_mark) = (&mark("quiet", tier), &mark("busy", tier));
        let waits = format!("sleep 600 & sleep 600 & sleep 600 & wait; : {quiet_mark}");
        let spins = format!("sleep 600 & while :; do :; done; : {busy_mark}");
        let sleeper = Ending(Some(sh(tier, &["-q"], &waits).start()));
        let spinner = Ending(Some(sh(tier, &["-q"], &spins).start()));
        sleeper.job().wait_for_processes(4);
        spinner.job().wait_for_processes(2);
        // The first look may come while a shell still starts what it is to start.
        let end = Instant::now() + patience();
        let (jobs, quiet, busy) = loop {
            let jobs = String::from_utf8(top(&["--once", "--json"]).stdout).unwrap();
            let quiet = number(&jobs, quiet_mark, "cpus_used");
            let busy = number(&jobs, busy_mark, "cpus_used");
            if busy >= 5.0 * quiet.max(0.02) || Instant::now() > end {
                break (jobs, quiet, busy);
            }
            std::thread::sleep(Duration::from_millis(100));
        };
        assert!(jobs.contains("\"schema\": \"terrarium.top/1\""));
        assert_eq!(number(&jobs, quiet_mark, "processes"), 4.0, "{tier:?} {jobs}");
        assert_eq!(number(&jobs, busy_mark, "processes"), 2.0, "{tier:?} {jobs}");
        assert_eq!(number(&jobs, quiet_mark, "threads"), 4.0, "{tier:?} {jobs}");
        assert!(busy >= 5.0 * quiet.max(0.02), "{tier:?}: {busy} and {quiet} CPUs");
        assert!(busy < 1.3, "{tier:?}: one thread used {busy} CPUs");
        let memory = number(&jobs, quiet_mark, "memory_bytes");
        assert!(memory > 0.0 && memory < 64e6, "{tier:?}: {memory}");
        let name = match tier {
            Tier::Root => "root",
            Tier::Traced => "ptrace",
            _ => "userns",
        };
        for mark in [quiet_mark, busy_mark] {
            assert_eq!(field(&jobs, mark, "tier").trim_matches('"'), name, "{tier:?} {jobs}");
        }
        sleeper.end();
        spinner.end();
    }
}

#[test]
fn a_table_for_scripts_and_one_job_with_its_processes() {
    for tier in tiers() {
        let mark = mark("table", tier);
        let command = format!("sleep 600 & sleep 600; : {mark}");
        let job = Ending(Some(sh(tier, &["-q", "--time", "1h", "--mem", "1G"], &command).start()));
        job.job().wait_for_processes(3);
        let all = String::from_utf8(top(&[]).stdout).unwrap();
        let line = all.lines().find(|l| l.contains(&mark)).unwrap_or_else(|| panic!("{tier:?} {all}"));
        let pid = line.split_ascii_whitespace().next().unwrap();
        // No terminal: plain text, and nothing is cut.
        assert!(!all.contains('\x1b') && line.ends_with(&format!("sh -c {command}")), "{line:?}");
        assert!(all.lines().next().unwrap().contains(" LEFT COMMAND"), "{all}");
        let one = String::from_utf8(top(&["--job", pid]).stdout).unwrap();
        assert_eq!(one.matches(" sleep\n").count(), 2, "{tier:?} {one}");
        assert_eq!(one.matches(" (main)").count(), 1, "{tier:?} {one}");
        job.end();
        let none = String::from_utf8(top(&["--job", pid]).stdout).unwrap();
        assert_eq!(none, "no such job runs on this node\n");
    }
}

#[test]
fn a_run_in_a_run_is_shown_in_it() {
    for tier in tiers().into_iter().filter(|t| *t != Tier::Traced) {
        let mark = mark("nested", tier);
        let inner = format!("{} run -q -- sh -c 'sleep 600 & sleep 600; : {mark}'", terrarium().display());
        let job = Ending(Some(sh(tier, &["-q"], &format!("{inner}; exit 0")).start()));
        job.job().wait_for_processes(6);
        let jobs = String::from_utf8(top(&["--json"]).stdout).unwrap();
        // The command of the outer run holds that of the inner one, so they are told by what they are in.
        let (mut outer, mut inside) = (None, None);
        for part in jobs.split("\n    {\n").filter(|j| j.contains(&mark)) {
            let field = |name: &str| {
                let line = part.lines().find_map(|l| l.strip_prefix(&format!("      \"{name}\": ")));
                line.unwrap().trim_end_matches(',').to_owned()
            };
            let seen = (field("job"), field("processes"));
            match field("inside").as_str() {
                "null" => outer = Some(seen),
                id => inside = Some((id.to_owned(), seen.1)),
            }
        }
        let (outer, inside) = (outer.expect("the outer run"), inside.expect("the inner run"));
        assert_eq!(inside.0, outer.0, "{tier:?} {jobs}");
        // The shell around it, its supervisor and init, a shell and two that sleep.
        assert_eq!((outer.1.as_str(), inside.1.as_str()), ("6", "3"), "{tier:?} {jobs}");
        job.end();
    }
}

#[test]
fn the_screen_on_a_terminal() {
    not_in_the_virtual_machine!();
    let script = workspace().join("tests/python/top.py");
    let copy = directory().join("top.py");
    std::fs::copy(&script, &copy).unwrap();
    let tool = terrarium().to_str().unwrap();
    let play = Command::new("/usr/bin/python3").arg(&copy).arg(tool).stdin(Stdio::null()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(play.status.success(), "{}\n{}", text(&play.stdout), text(&play.stderr));
}
