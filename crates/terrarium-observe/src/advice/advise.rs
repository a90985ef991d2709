//! Advice for a command, from its runs.

use serde::Serialize;
use terrarium_core::report::{End, RunReport};
use terrarium_core::sample::Sample;
use terrarium_core::{Bytes, Finding, JobId};

use super::batch::{self, Request, System};
use super::command::{self, Matched};
use super::cpus::{self, CpuAdvice};
use super::evidence::{self, Memory, Peak};
use super::growth;
use super::memory::{self, ENOUGH_RUNS, MemoryAdvice};
use super::python::{self, PythonMemory};
use super::time::{self, TimeAdvice};

/// Name and version of the schema of [`Advice`].
pub const SCHEMA: &str = "terrarium.advice/1";

/// Peaks that differ by more than this (standard deviation of the logarithms) are of different work.
const WIDE_SPREAD: f64 = 0.4;

/// More ranks than a node has CPUs are a mistake.
const MOST_RANKS: u64 = 1 << 16;

/// One run of the command.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// Its report.
    pub report: &'a RunReport,
    /// Its series, where there is one.
    pub samples: Option<&'a [Sample]>,
}

/// What to ask for, with the evidence.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Advice {
    /// [`SCHEMA`].
    pub schema: String,
    /// The command that it is for.
    pub command: Vec<String>,
    /// How the runs match it.
    pub matched: Matched,
    /// The runs, oldest first, with what each was used for.
    pub runs: Vec<Use>,
    /// Memory.
    pub memory: MemoryAdvice,
    /// CPUs and threads; `None` if not known.
    pub cpus: Option<CpuAdvice>,
    /// GPUs that were used; `None` if not known.
    pub gpus: Option<u32>,
    /// Time; `None` if no run has ended by itself.
    pub time: Option<TimeAdvice>,
    /// What else to know.
    pub findings: Vec<Finding>,
    /// What the interpreter does with memory, where that helps.
    pub python: Option<PythonMemory>,
    /// The request as lines of batch scripts.
    pub batch: Vec<BatchLines>,
}

/// A run, and what it was used for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Use {
    /// Name of the run.
    pub job: JobId,
    /// Start, seconds since 1970 UTC.
    pub started: f64,
    /// How long it took.
    pub wall_seconds: f64,
    /// How it ended.
    pub end: End,
    /// The memory that it says something of: its peak, or the limit at which it was out of memory.
    pub memory: Option<Bytes>,
    /// Whether its peak was learnt from.
    pub used: bool,
    /// If not, or only in part: why.
    pub why: Option<String>,
}

/// Lines for one batch system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BatchLines {
    /// Which.
    pub system: System,
    /// The lines.
    pub lines: Vec<String>,
    /// What to know about them.
    pub note: Option<String>,
}

/// Whether memory can be learnt from these runs alone, without those of other arguments.
pub fn is_enough(runs: &[&RunReport]) -> bool {
    let known = runs.iter().filter(|r| matches!(evidence::memory(r), Memory::Peak(_)));
    known.count() >= ENOUGH_RUNS
}

/// Advice for `command` from its runs, oldest first. Without runs, advice that knows nothing.
pub fn advise(command: &[String], matched: Matched, runs: &[Run]) -> Advice {
    let seen: Vec<Memory> = runs.iter().map(|r| evidence::memory(r.report)).collect();
    let mut findings = Vec::new();
    let memory = memory_of(runs, &seen, &mut findings);
    let used_for_cpus: Vec<(&RunReport, Option<&[Sample]>)> =
        runs.iter().filter(|r| says_of_cpus(r.report)).map(|r| (r.report, r.samples)).collect();
    let reports: Vec<&RunReport> = used_for_cpus.iter().map(|r| r.0).collect();
    let mut cpus = cpus::cpus(&used_for_cpus);
    let ranks = ranks(command, runs);
    if let Some(cpus) = &mut cpus {
        // An MPI launcher starts no more ranks than the batch system gave CPUs.
        cpus.request = cpus.request.max(ranks.unwrap_or(1));
        findings.extend(cpus::findings(cpus, &reports));
    }
    let gpus = cpus::gpus(&reports);
    let whole: Vec<f64> =
        runs.iter().filter(|r| evidence::was_whole(r.report)).map(|r| r.report.wall_seconds).collect();
    let time = time::time(&whole);
    if time.is_none() && !runs.is_empty() {
        findings.push(
            Finding::new(
                "time-unknown",
                "no run has come to a good end, so that nobody knows how long it takes",
            )
            .hint("let it run to its end once, with the longest time that the queue allows"),
        );
    }
    let request = Request {
        memory: memory.request,
        cpus: cpus.as_ref().map(|c| c.request),
        seconds: time.as_ref().map(|t| t.request_seconds),
        gpus,
        ranks,
    };
    let batch = System::ALL
        .into_iter()
        .map(|system| BatchLines {
            system,
            lines: batch::lines(system, &request),
            note: batch::note(system).map(str::to_owned),
        })
        .collect();
    Advice {
        schema: SCHEMA.to_owned(),
        command: command.to_vec(),
        matched,
        runs: runs.iter().zip(&seen).map(|(run, seen)| used(run.report, seen)).collect(),
        memory,
        cpus,
        gpus,
        time,
        findings,
        python: None,
        batch,
    }
}

/// Ranks of a parallel job: as its launcher was told, or as they were counted.
fn ranks(command: &[String], runs: &[Run]) -> Option<u64> {
    let told = command::fingerprint(command, "/").ranks.and_then(|n| n.parse().ok());
    let counted = || runs.iter().rev().find_map(|r| r.report.ranks).map(u64::from);
    told.or_else(counted).filter(|n| (2..=MOST_RANKS).contains(n))
}

/// Not those that were out of memory or failed: they may have waited for most of their time.
fn says_of_cpus(report: &RunReport) -> bool {
    evidence::was_whole(report) || evidence::was_cut(report)
}

fn used(report: &RunReport, seen: &Memory) -> Use {
    let (memory, used, why) = match seen {
        Memory::Peak(peak) => (Some(peak.bytes), true, said_of(peak)),
        Memory::OutOfMemory(limit) => (Some(*limit), false, Some("it ran out of memory".to_owned())),
        Memory::LeftOut { why, at_least } => (*at_least, false, Some(why.clone())),
    };
    Use {
        job: report.job,
        started: report.started,
        wall_seconds: report.wall_seconds,
        end: report.end,
        memory,
        used,
        why,
    }
}

fn said_of(peak: &Peak) -> Option<String> {
    let text = match (peak.instead_of_cache, peak.upper_bound, peak.spikes_may_be_missing) {
        (true, _, _) => "page cache met the limit: anonymous and shared memory, seen in samples",
        (_, true, _) => "added up over processes: as a rule too much",
        (_, _, true) => "seen in samples",
        _ => return None,
    };
    Some(text.to_owned())
}

/// The limits of the runs that were out of memory and that nothing has answered yet: neither a run that used more, nor three
/// good runs since (the program was repaired).
fn unanswered(seen: &[Memory], highest: Option<Bytes>) -> Option<Bytes> {
    let mut good_since = 0;
    let mut worst = None;
    for one in seen.iter().rev() {
        match one {
            Memory::Peak(_) => good_since += 1,
            Memory::OutOfMemory(limit) if good_since < ENOUGH_RUNS && highest.is_none_or(|h| h <= *limit) => {
                worst = worst.max(Some(*limit));
            }
            _ => {}
        }
    }
    worst
}

fn memory_of(runs: &[Run], seen: &[Memory], findings: &mut Vec<Finding>) -> MemoryAdvice {
    let learnt: Vec<Peak> =
        seen.iter().filter_map(|m| if let Memory::Peak(p) = m { Some(*p) } else { None }).collect();
    let peaks: Vec<Bytes> = learnt.iter().map(|p| p.bytes).collect();
    let order = memory::order(&peaks);
    let highest = order.map(|o| o.2);
    let out_of_memory = unanswered(seen, highest);
    // The longest look into what it needs that was not to the end.
    let cut = runs
        .iter()
        .zip(seen)
        .filter_map(|(run, seen)| match seen {
            Memory::LeftOut { at_least: Some(bytes), .. } => Some((*bytes, *run)),
            _ => None,
        })
        .max_by_key(|(bytes, _)| *bytes);
    let ruled = memory::request(&peaks);
    let doubled = out_of_memory.map(memory::after_out_of_memory);
    let request = ruled.max(doubled);
    let at_least = cut.map(|c| c.0).max(out_of_memory).filter(|b| highest.is_none_or(|h| *b > h));
    let still_growing = cut
        .filter(|(bytes, run)| Some(*bytes) == at_least && evidence::was_cut(run.report))
        .and_then(|(_, run)| run.samples.and_then(growth::still_growing));
    let at_highest = |test: fn(&Peak) -> bool| learnt.iter().any(|p| Some(p.bytes) == highest && test(p));
    let advice = MemoryAdvice {
        request,
        at_least,
        still_growing,
        because: because(&peaks, out_of_memory.filter(|_| doubled >= ruled), at_least),
        runs: peaks.len(),
        lowest: order.map(|o| o.0),
        median: order.map(|o| o.1),
        highest,
        spread: (peaks.len() > 1).then(|| memory::spread(&peaks)),
        upper_bound: at_highest(|p| p.upper_bound),
        spikes_may_be_missing: at_highest(|p| p.spikes_may_be_missing),
    };
    findings.extend(memory_findings(&advice, runs, out_of_memory));
    advice
}

fn because(peaks: &[Bytes], out_of_memory: Option<Bytes>, at_least: Option<Bytes>) -> String {
    if let Some(limit) = out_of_memory {
        return format!("twice the {limit} at which it ran out of memory");
    }
    let percent = memory::margin(peaks) * 100.0;
    let added = memory::ALWAYS_ADDED;
    match peaks {
        [] => match at_least {
            Some(bytes) => format!("no run has shown all that it needs; one had used {bytes} when it ended"),
            None => "no run has shown what it needs".to_owned(),
        },
        [_] => format!("the peak of the only run, {percent:.0} % and {added} more"),
        [_, _] => format!("the higher of two peaks, {percent:.0} % and {added} more"),
        _ => {
            let why = match percent {
                p if p <= 3.05 => "the runs hardly differ",
                p if p >= 99.9 => "the runs differ so much",
                _ => "by how much the runs differ, and how many there are",
            };
            format!("the highest of {} peaks, {percent:.0} % ({why}) and {added} more", peaks.len())
        }
    }
}

fn memory_findings(advice: &MemoryAdvice, runs: &[Run], out_of_memory: Option<Bytes>) -> Vec<Finding> {
    let mut out = Vec::new();
    let mut say = |code: &str, message: String, hint: &str| out.push(Finding::new(code, message).hint(hint));
    if (1..ENOUGH_RUNS).contains(&advice.runs) {
        say(
            "few-runs",
            match advice.runs {
                1 => "one run is too little to know how much runs differ".to_owned(),
                n => format!("{n} runs are too little to know how much they differ"),
            },
            "run it at least three times, one of them with the largest input, and ask again",
        );
    }
    if advice.runs >= ENOUGH_RUNS && advice.spread.is_some_and(|s| s > WIDE_SPREAD) {
        say(
            "wide-spread",
            "the runs differ a lot in memory: the request is for the largest of them".to_owned(),
            "if it is known before the start which ones are large, ask for them apart",
        );
    }
    if let (None, Some(bytes)) = (advice.request, advice.at_least) {
        let growing = match advice.still_growing {
            Some(true) => ", and its memory was still growing",
            Some(false) => ", and its memory had stopped growing",
            None => "",
        };
        say(
            "lower-bound",
            format!("no run shows all that it needs: one had used {bytes} when it ended{growing}"),
            if runs.iter().any(|r| evidence::was_cut(r.report)) {
                "let it run longer, or to its end, before you ask for less than you do now"
            } else {
                "let it come to a good end once, with more memory than it wants"
            },
        );
    } else if let Some(bytes) = advice.at_least.filter(|b| advice.request.is_some_and(|r| *b > r)) {
        say(
            "cut-run-used-more",
            format!("a run that is not learnt from had used {bytes}, more than what is proposed"),
            "find out why: another input, or memory that grows for as long as it runs",
        );
    }
    if let Some(limit) = out_of_memory {
        say(
            "was-out-of-memory",
            format!("a run ran out of memory at {limit}; what it needs is known only once one comes through"),
            "ask for twice as much, and ask again after that run",
        );
    }
    if advice.upper_bound {
        say(
            "upper-bound",
            "the peak was added up over processes, and what they share counts several times: as a rule it is too high".to_owned(),
            "with a memory cgroup (see `terrarium run --dry-run`) the kernel counts it exactly",
        );
    }
    if advice.spikes_may_be_missing {
        say(
            "spikes",
            "the peak was seen in samples: a spike of less than a second may be missing".to_owned(),
            "leave more room if it loads or copies large things at once",
        );
    }
    if runs.is_empty() {
        say(
            "no-runs",
            "there is no earlier run of this command".to_owned(),
            "try it: terrarium trial -- COMMAND",
        );
    }
    out
}

impl Advice {
    /// The interpreter to ask about its memory, and when it ran, if its story helps: of a run of Python whose memory is large
    /// and its own, and was not given back.
    pub fn python_to_ask<'a>(&self, runs: &[Run<'a>]) -> Option<(&'a str, f64)> {
        let told = |run: &&Run<'a>| {
            let usage = &run.report.usage;
            python::is_worth_telling(
                usage.memory_peak.map(|m| m.value),
                usage.memory_anonymous_shared_peak.map(|m| m.value),
                run.samples.and_then(growth::gave_back),
            )
        };
        let python = |path: &&str| command::interpreter(path) == Some("python");
        runs.iter()
            .rev()
            .filter(told)
            .find_map(|run| Some((run.report.executable.as_deref().filter(python)?, run.report.started)))
    }

    /// Keeps the lines of these systems only.
    pub fn keep_systems(&mut self, systems: &[System]) {
        self.batch.retain(|b| systems.contains(&b.system));
    }
}

#[cfg(test)]
mod tests {
    use super::super::evidence::tests::{limited, report};
    use super::*;
    use terrarium_core::sample::Metric;

    fn of(reports: &[RunReport]) -> Advice {
        let runs: Vec<Run> = reports.iter().map(|report| Run { report, samples: None }).collect();
        advise(&["python3".to_owned()], Matched::Exact, &runs)
    }

    fn codes(advice: &Advice) -> Vec<&str> {
        advice.findings.iter().map(|f| f.code.as_str()).collect()
    }

    fn out_of_memory(limit: u64) -> RunReport {
        RunReport { end: End::OutOfMemory, ..limited(limit, limit) }
    }

    #[test]
    fn three_runs_give_a_request() {
        let advice = of(&[report(1000), report(1000), report(1000)]);
        assert_eq!(advice.memory.request, Some(Bytes::mib(1104)));
        assert_eq!((advice.memory.runs, advice.time.as_ref().unwrap().request_seconds), (3, 300));
        assert!(!codes(&advice).contains(&"few-runs"));
        let slurm = &advice.batch[0];
        assert_eq!(
            slurm.lines,
            ["#SBATCH --mem=1104M", "#SBATCH --cpus-per-task=1", "#SBATCH --time=00:05:00"]
        );
        assert!(codes(&of(&[report(1000)])).contains(&"few-runs"));
    }

    #[test]
    fn an_out_of_memory_end_doubles_until_it_is_answered() {
        let advice = of(&[report(100), report(100), out_of_memory(256)]);
        assert_eq!(advice.memory.request, Some(Bytes::mib(512)));
        assert!(codes(&advice).contains(&"was-out-of-memory"));
        let answered = of(&[out_of_memory(256), report(400)]);
        assert_eq!(answered.memory.request, Some(Bytes::mib(544)), "1.2 × 400 + 64");
        assert!(!codes(&answered).contains(&"was-out-of-memory"));
        let repaired = of(&[out_of_memory(2560), report(100), report(100), report(100)]);
        assert!(repaired.memory.request < Some(Bytes::mib(200)));
        assert_eq!(of(&[out_of_memory(64)]).memory.request, Some(Bytes::mib(128)));
    }

    #[test]
    fn saturated_and_killed_runs_teach_nothing() {
        let cut = RunReport { end: End::TimeLimit, ..report(90) };
        let killed = RunReport { end: End::Signaled { signal: 9 }, ..report(80) };
        let advice = of(&[report(100), limited(256, 256), cut, killed]);
        assert_eq!((advice.memory.runs, advice.memory.highest), (1, Some(Bytes::mib(100))));
        let left_out: Vec<bool> = advice.runs.iter().map(|r| r.used).collect();
        assert_eq!(left_out, [true, false, false, false]);
        assert!(advice.runs[1..].iter().all(|r| r.why.is_some()));
        assert!(codes(&advice).contains(&"cut-run-used-more"), "{:?}", codes(&advice));
    }

    #[test]
    fn a_trial_that_was_cut_gives_a_bound_and_no_time() {
        let cut = RunReport { end: End::TimeLimit, ..report(900) };
        let samples: Vec<Sample> = (0..20)
            .map(|i| {
                let mut sample = Sample::at(i * 1000);
                sample.set(Metric::MemoryAnonymousShared, Some(((i + 1) * 45) << 20));
                sample
            })
            .collect();
        let runs = [Run { report: &cut, samples: Some(&samples) }];
        let advice = advise(&[], Matched::Exact, &runs);
        assert_eq!(advice.memory.request, None);
        assert_eq!(
            (advice.memory.at_least, advice.memory.still_growing),
            (Some(Bytes::mib(900)), Some(true))
        );
        assert_eq!(advice.time, None);
        assert!(
            advice.batch.iter().all(|b| b.lines.iter().all(|l| !l.contains("mem") && !l.contains("time")))
        );
        assert!(codes(&advice).contains(&"lower-bound") && codes(&advice).contains(&"time-unknown"));
    }

    #[test]
    fn ranks_get_cpus_and_tasks() {
        let run = report(500);
        let runs = [Run { report: &run, samples: None }];
        let words: Vec<String> = "mpirun -n 4 python3 x.py".split(' ').map(str::to_owned).collect();
        let advice = advise(&words, Matched::Exact, &runs);
        assert_eq!(advice.cpus.as_ref().unwrap().request, 4);
        assert_eq!(
            advice.batch[0].lines[1..4],
            ["#SBATCH --nodes=1", "#SBATCH --ntasks=4", "#SBATCH --cpus-per-task=1"]
        );
        let counted = RunReport { ranks: Some(3), ..report(500) };
        let runs = [Run { report: &counted, samples: None }];
        let advice = advise(&words[3..], Matched::Exact, &runs);
        assert!(advice.batch[1].lines[0].contains("ncpus=3:mpiprocs=3"), "{:?}", advice.batch);
    }

    #[test]
    fn nothing_known_is_said_so() {
        let advice = of(&[]);
        assert_eq!((advice.memory.request, advice.cpus.clone(), advice.time.clone()), (None, None, None));
        assert_eq!(codes(&advice), ["no-runs"]);
        assert!(advice.batch.iter().all(|b| b.lines.is_empty()));
    }

    #[test]
    fn upper_bounds_and_samples_are_said() {
        let mut run = report(700);
        run.usage.memory_peak = Some(terrarium_core::report::Measured::sampled_sum(Bytes::mib(700)));
        let advice = of(&[run]);
        assert!(advice.memory.upper_bound && advice.memory.spikes_may_be_missing);
        assert!(codes(&advice).contains(&"upper-bound") && codes(&advice).contains(&"spikes"));
    }

    #[test]
    fn the_story_of_python_is_for_large_jobs_of_python() {
        let mut run = report(2000);
        run.executable = Some("/usr/bin/python3.11".to_owned());
        let runs = [Run { report: &run, samples: None }];
        assert_eq!(
            advise(&[], Matched::Exact, &runs).python_to_ask(&runs),
            Some(("/usr/bin/python3.11", 0.0))
        );
        let mut other = run.clone();
        other.executable = Some("/usr/bin/gcc".to_owned());
        let runs = [Run { report: &other, samples: None }];
        assert_eq!(advise(&[], Matched::Exact, &runs).python_to_ask(&runs), None);
    }
}
