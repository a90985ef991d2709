//! `terrarium limits`: which limits stop which way of taking memory, CPUs and processes, measured here.

mod cell;
mod found;
mod holes;
mod table;
pub(crate) mod worker;

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use serde::Serialize;
use terrarium_core::report::Enforcer;
use terrarium_core::{Bytes, Tier};
use terrarium_jail::host::Host;
use terrarium_sys::process::{allowed_cpus, host_name, user};

use crate::cli::limits::{Limit, LimitsArgs, Only, Table, Way, name};
use crate::error::CliError;
use crate::out;
use cell::{Attempt, Came, Jails, Job, Verdict, verdict};
use found::Found;
use holes::Hole;

/// The limit that is tried if nothing is said.
const LIMIT: u64 = 128 << 20;
/// Below this the programs themselves do not fit.
const SMALLEST: u64 = 32 << 20;
/// After this nothing new is tried.
const DEADLINE: Duration = Duration::from_secs(50);
/// Processes that are allowed, and those that are started.
const TASKS: (u64, u64) = (8, 24);
const OVER: &str = "the minute was over; try --limit 64M, or a part with --only";

/// The result, as `--json` prints it: docs/reference/limits-measured.md.
#[derive(Debug, Serialize)]
struct Measured {
    schema: &'static str,
    terrarium: &'static str,
    host: String,
    kernel: Option<String>,
    uid: u32,
    tier: Tier,
    limit: Bytes,
    mem_enforced_by: Option<Enforcer>,
    found: Found,
    paper: Vec<PaperRow>,
    memory: Vec<Cell>,
    cpus: Vec<CountCell>,
    pids: Vec<CountCell>,
    holes: Vec<Hole>,
    seconds: f64,
}

/// A row of the paper's tables I and II.
#[derive(Debug, Serialize)]
struct PaperRow {
    table: &'static str,
    command: String,
    #[serde(flatten)]
    attempt: Attempt,
}

/// One way under one limit.
#[derive(Debug, Serialize)]
struct Cell {
    way: String,
    limit: String,
    #[serde(flatten)]
    verdict: Verdict,
    attempts: Vec<Attempt>,
}

/// Something that is counted: CPUs, processes or threads.
#[derive(Debug, Serialize)]
struct CountCell {
    way: &'static str,
    limit: &'static str,
    allowed: u64,
    asked: u64,
    had: u64,
    #[serde(flatten)]
    verdict: Verdict,
}

fn is_chosen(only: &[Only], way: Way, limit: Limit) -> bool {
    let fits = |o: &Only| match *o {
        Only::Way(w) => w == way,
        Only::Limit(l) => l == limit,
        Only::Cell(w, l) => (w, l) == (way, limit),
        Only::Table(_) => false,
    };
    only.is_empty() || only.iter().any(fits)
}

fn has_table(only: &[Only], table: Table) -> bool {
    only.is_empty() || only.contains(&Only::Table(table))
}

fn cells(only: &[Only]) -> Vec<(Way, Limit)> {
    let all =
        Way::value_variants().iter().flat_map(|w| Limit::value_variants().iter().map(move |l| (*w, *l)));
    all.filter(|(w, l)| is_chosen(only, *w, *l)).collect()
}

/// The limit to try, such that four times as much is not missed by anybody.
fn choose_limit(wanted: Option<Bytes>, room: u64) -> Result<u64, CliError> {
    let most = room / 4 / Bytes::MIB * Bytes::MIB;
    let fits = Bytes(most).as_argument();
    match wanted {
        Some(Bytes(wanted)) if wanted < SMALLEST => Err(CliError::Conflict(
            "--limit: Python alone needs more; 32M is the least that is tried".to_owned(),
        )),
        Some(Bytes(wanted)) if wanted > most && most >= SMALLEST => Err(CliError::Conflict(format!(
            "--limit: four times as much does not fit into a quarter of the memory that is available; at most {fits}"
        ))),
        None if most >= SMALLEST => Ok(most.min(LIMIT)),
        Some(Bytes(wanted)) if most >= SMALLEST => Ok(wanted),
        _ => Err(CliError::Conflict(
            "there is not enough free memory here, or too low a limit, to measure without harm".to_owned(),
        )),
    }
}

/// Returns the exit code.
pub(crate) fn run(args: &LimitsArgs) -> Result<u8, CliError> {
    let started = Instant::now();
    let found = Found::look(&Host::default());
    if args.limit.is_none() && found.is_hidden {
        return Err(CliError::Conflict(
            "this is in a job of terrarium, whose own limit is not seen from here: going beyond it would end the job; name a \
             size of which five times fits into it, for example --limit 32M"
                .to_owned(),
        ));
    }
    let limit = choose_limit(args.limit, found.room())?;
    let program = std::env::current_exe().map_err(|e| CliError::Conflict(format!("/proc/self/exe: {e}")))?;
    let mut jails = Jails { program, python: Err("not looked for".to_owned()), has_mounts: true };
    let chosen = cells(&args.only);
    if args.dry_run {
        dry_run(&jails, &chosen, args, limit);
        return Ok(0);
    }

    // What holds here, and by what: one jail that does nothing.
    let flags = vec!["--mem".to_owned(), Bytes(limit).as_argument()];
    let first = jails.run(&Job { what: "nothing".to_owned(), flags, ..Job::default() });
    let first = first.report.map_err(|why| {
        CliError::Conflict(format!("no jail can be made here: {}", why.replace("terrarium: error: ", "")))
    })?;
    jails.has_mounts = first.tier != Tier::Ptrace;
    if chosen.iter().any(|(way, _)| matches!(way, Way::Python | Way::Numpy)) {
        jails.find_python();
    }
    let mut measure = Measure { jails, limit, started, tried: 0, is_shown: std::io::stderr().is_terminal() };
    if measure.is_shown {
        out::err(format_args!(
            "takes up to {} at a time, each time in a jail and for a moment; under a minute",
            Bytes(limit * 4)
        ));
    }
    let paper = if has_table(&args.only, Table::Paper) { measure.paper() } else { Vec::new() };
    // What is quick comes first, should the time be short.
    let cpus = if has_table(&args.only, Table::Cpus) { measure.cpus() } else { Vec::new() };
    let pids = if has_table(&args.only, Table::Pids) { measure.pids() } else { Vec::new() };
    let memory = measure.memory(&chosen);
    measure.show(None);

    let mem_enforced_by = first.limits.memory.and_then(|l| l.enforced_by);
    let mut measured = Measured {
        schema: "terrarium.limits/1",
        terrarium: env!("CARGO_PKG_VERSION"),
        host: host_name(),
        kernel: Host::default().read("/proc/sys/kernel/osrelease").ok().map(|t| t.trim().to_owned()),
        uid: user(),
        tier: first.tier,
        limit: Bytes(limit),
        mem_enforced_by,
        found,
        paper,
        memory,
        cpus,
        pids,
        holes: Vec::new(),
        seconds: 0.0,
    };
    measured.holes = holes::holes(&measured);
    measured.seconds = started.elapsed().as_secs_f64();
    if args.json {
        out::result(serde_json::to_string_pretty(&measured).unwrap_or_default())?;
    } else {
        for line in table::lines(&measured) {
            out::result(line)?;
        }
    }
    Ok(0)
}

fn dry_run(jails: &Jails, chosen: &[(Way, Limit)], args: &LimitsArgs, limit: u64) {
    let count = |text: &str, n: usize| if n == 1 { format!("1 {text}") } else { format!("{n} {text}s") };
    let mut ways: Vec<Way> = chosen.iter().map(|(w, _)| *w).collect();
    ways.dedup();
    out::print(format_args!(
        "would try {} of memory ({}), limit {}, at most {} at a time",
        count("cell", chosen.len()),
        count("way", ways.len()),
        Bytes(limit),
        Bytes(limit * 4)
    ));
    for (table, text) in [
        (Table::Paper, "tables I and II: 10 jails"),
        (Table::Cpus, "CPUs: 6 jails"),
        (Table::Pids, "processes: 4 jails"),
    ] {
        if has_table(&args.only, table) {
            out::print(format_args!("would try {text}"));
        }
    }
    if let Some((way, column)) = chosen.first() {
        let job = memory_job(*way, *column, limit, limit * 4, true);
        let words: Vec<String> = jails.words(&job).iter().map(|w| w.to_string_lossy().into_owned()).collect();
        out::print(format_args!("one at a time, for example:\n  terrarium {}", words.join(" ")));
    }
    out::print("a file is written to the directory for temporary files and is gone at once; nothing stays");
}

/// A jail in which `amount` is taken one way, under a limit of `limit`.
fn memory_job(way: Way, column: Limit, limit: u64, amount: u64, has_mounts: bool) -> Job {
    let mut job = Job { what: name(way), amount, unit: limit, ..Job::default() };
    match column {
        Limit::Mem => job.flags = vec!["--mem".to_owned(), format!("{}B", limit)],
        // Its own /dev/shm is not to be what stops it.
        _ if has_mounts => job.flags = vec!["--shm".to_owned(), format!("{}B", limit * 5)],
        _ => {}
    }
    job.resource = match column {
        Limit::M => Some(('m', limit)),
        Limit::D => Some(('d', limit)),
        Limit::V => Some(('v', limit)),
        Limit::None | Limit::Mem => None,
    };
    job
}

/// What is under way.
struct Measure {
    jails: Jails,
    limit: u64,
    started: Instant,
    tried: u32,
    is_shown: bool,
}

impl Measure {
    /// One line on the terminal that the next one replaces.
    fn show(&self, what: Option<&str>) {
        if self.is_shown {
            let text = what.map(|w| format!("{:>3} {w}", self.tried)).unwrap_or_default();
            out::replace_line(text);
        }
    }

    fn is_over(&self) -> bool {
        self.started.elapsed() > DEADLINE
    }

    fn attempt(&mut self, job: &Job, limit: Option<u64>) -> Attempt {
        self.tried += 1;
        let (had, came) = match self.is_over() {
            true => (0, Came::Unknown { why: OVER.to_owned() }),
            false => self.jails.run(job).came(limit),
        };
        Attempt { limit, asked: job.amount, had, came }
    }

    /// Tables I and II: one amount, limits from a kilobyte to eight times the amount.
    fn paper(&mut self) -> Vec<PaperRow> {
        let amount = self.limit * 2;
        let mut rows = Vec::new();
        for (table, column, letter) in [("I", Limit::M, 'm'), ("II", Limit::D, 'd')] {
            for limit in [1024, amount / 5, amount, amount * 4, amount * 8] {
                let command = format!("ulimit -{letter} {}", limit / 1024);
                self.show(Some(&command));
                let mut job = memory_job(Way::Malloc, column, limit, amount, self.jails.has_mounts);
                // The size of /dev/shm, which does not matter here.
                job.flags.clear();
                let attempt = self.attempt(&job, Some(limit));
                rows.push(PaperRow { table, command, attempt });
            }
        }
        rows
    }

    fn memory(&mut self, chosen: &[(Way, Limit)]) -> Vec<Cell> {
        let mut cells: Vec<Cell> = Vec::new();
        let mut refused_anyhow: Option<(Way, String)> = None;
        for (way, column) in chosen {
            let known = refused_anyhow.as_ref().filter(|(w, _)| w == way).map(|(_, why)| why.clone());
            let attempts = match known.or_else(|| self.why_not(*way)) {
                Some(why) => {
                    let came = Came::Unknown { why };
                    vec![Attempt { limit: Some(self.limit), asked: self.most(*way), had: 0, came }]
                }
                None => self.cell(*way, *column),
            };
            let verdict = verdict(&attempts);
            if let (
                Limit::None,
                Some(Attempt { had, came: Came::Refused { how } | Came::Killed { how }, .. }),
            ) = (column, attempts.first())
            {
                let why = format!("without a limit it was stopped at {} as well ({how})", Bytes(*had));
                refused_anyhow = Some((*way, why));
            }
            cells.push(Cell { way: name(*way), limit: name(*column), verdict, attempts });
        }
        cells
    }

    fn why_not(&self, way: Way) -> Option<String> {
        match (&self.jails.python, way) {
            (Err(why), Way::Python | Way::Numpy) => Some(why.clone()),
            (Ok((python, false)), Way::Numpy) => Some(format!("{} has no NumPy", python.display())),
            (_, Way::File) => {
                let directory = std::env::temp_dir();
                let mounts = Host::default().mounts().unwrap_or_default();
                let mount = terrarium_jail::host::mount_of(&mounts, &directory);
                mount
                    .filter(|m| matches!(m.kind.as_str(), "tmpfs" | "ramfs"))
                    .map(|_| format!("{} is in memory; set TMPDIR to a disk", directory.display()))
            }
            _ => None,
        }
    }

    /// Four times the limit, in small steps: how far it came shows the sizes between. If it was stopped, half of the limit
    /// too, which should not be.
    fn cell(&mut self, way: Way, column: Limit) -> Vec<Attempt> {
        let limit = (column != Limit::None).then_some(self.limit);
        let mut attempts = Vec::new();
        for amount in [self.most(way), self.limit / 2] {
            self.show(Some(&format!(
                "{} of {}, {}",
                Bytes(amount),
                table::way_label(way),
                table::column(column)
            )));
            let job = memory_job(way, column, self.limit, amount, self.jails.has_mounts);
            let attempt = self.attempt(&job, limit);
            let is_stop = attempt.came.is_stop();
            attempts.push(attempt);
            if !is_stop {
                break;
            }
        }
        attempts
    }

    /// What is written to a disk may take its time.
    fn most(&self, way: Way) -> u64 {
        self.limit * if way == Way::File { 2 } else { 4 }
    }

    fn cpus(&mut self) -> Vec<CountCell> {
        let all = allowed_cpus().unwrap_or_default();
        let list = all.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
        let asked = all.len() as u64;
        let mut cells = Vec::new();
        for (way, suffix) in [("as-started", ""), ("asking-for-more", "-wide")] {
            for limit in ["OMP_NUM_THREADS=1", "taskset", "--cpus 1"] {
                self.show(Some(limit));
                let mut job = Job {
                    what: format!("{}{suffix}", if limit == "taskset" { "taskset" } else { "cpus" }),
                    cpus: Some(list.clone()),
                    ..Job::default()
                };
                match limit {
                    "--cpus 1" => job.flags = vec!["--cpus".to_owned(), "1".to_owned()],
                    "taskset" => {}
                    _ => job.environment = vec![("OMP_NUM_THREADS", "1")],
                }
                let attempt = self.attempt(&job, None);
                let verdict = match attempt.came {
                    _ if asked < 2 => Verdict::NotTried { why: "there is one CPU only".to_owned() },
                    Came::All if attempt.had == 1 => Verdict::Stopped,
                    Came::All => Verdict::NotStopped { count: attempt.had },
                    Came::Unknown { why } => Verdict::NotTried { why },
                    _ => Verdict::NotTried { why: "the CPUs cannot be asked for".to_owned() },
                };
                cells.push(CountCell { way, limit, allowed: 1, asked, had: attempt.had, verdict });
            }
        }
        cells
    }

    fn pids(&mut self) -> Vec<CountCell> {
        let (allowed, asked) = TASKS;
        let mut cells = Vec::new();
        for way in ["processes", "threads"] {
            for limit in ["ulimit -u", "--pids"] {
                self.show(Some(limit));
                let mut job = Job { what: format!("start-{way}"), amount: asked, ..Job::default() };
                match limit {
                    "--pids" => job.flags = vec!["--pids".to_owned(), allowed.to_string()],
                    _ => job.resource = Some(('u', allowed)),
                }
                let attempt = self.attempt(&job, None);
                let verdict = match attempt.came {
                    Came::All => Verdict::NotStopped { count: attempt.had },
                    // Its own process counts, and in some tiers the jail's.
                    Came::Refused { .. } if attempt.had + 3 >= allowed => Verdict::Stopped,
                    Came::Refused { .. } => Verdict::TooEarly,
                    Came::Unknown { why } => Verdict::NotTried { why },
                    Came::Killed { .. } | Came::Reclaimed => Verdict::Killed,
                };
                cells.push(CountCell { way, limit, allowed, asked, had: attempt.had, verdict });
            }
        }
        cells
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_chooses() {
        let all = Way::value_variants().len() * Limit::value_variants().len();
        assert_eq!(cells(&[]).len(), all);
        assert_eq!(cells(&[Only::Way(Way::Shared)]).len(), Limit::value_variants().len());
        assert_eq!(cells(&[Only::Limit(Limit::D)]).len(), Way::value_variants().len());
        assert_eq!(cells(&[Only::Cell(Way::File, Limit::Mem)]), [(Way::File, Limit::Mem)]);
        assert!(cells(&[Only::Table(Table::Paper)]).is_empty());
        assert!(has_table(&[], Table::Cpus) && !has_table(&[Only::Way(Way::Fork)], Table::Cpus));
    }

    #[test]
    fn the_limit_never_harms_the_node() {
        let gib = 1u64 << 30;
        assert_eq!(choose_limit(None, 100 * gib).unwrap(), LIMIT);
        assert_eq!(choose_limit(None, 400 << 20).unwrap(), 100 << 20);
        assert_eq!(choose_limit(Some(Bytes(64 << 20)), gib).unwrap(), 64 << 20);
        let refused = |wanted, room| choose_limit(wanted, room).unwrap_err().to_string();
        assert!(refused(Some(Bytes(gib)), gib).contains("at most 256M"));
        assert!(refused(Some(Bytes(1 << 20)), gib).contains("32M"));
        assert!(refused(None, 1 << 20).contains("not enough free memory"));
        assert!(refused(Some(Bytes(gib)), 1 << 20).contains("not enough free memory"));
    }

    #[test]
    fn each_cell_is_a_jail_of_its_own() {
        let job = memory_job(Way::ShmWrite, Limit::D, 64 << 20, 128 << 20, true);
        assert_eq!((job.what.as_str(), job.resource), ("shm-write", Some(('d', 64 << 20))));
        assert_eq!(job.flags, ["--shm", "335544320B"]);
        assert!(memory_job(Way::Mmap, Limit::V, 1, 2, false).flags.is_empty());
        let job = memory_job(Way::Mmap, Limit::Mem, 64 << 20, 128 << 20, true);
        assert_eq!((job.flags[0].as_str(), job.resource), ("--mem", None));
    }
}
