//! What the hook costs a process, beside its peers: a start of Python, imports, other audit events, programs that are no
//! Python. The peers' own figures are of other machines; here all take turns on the same one.

mod process;
mod scratch;
mod watch;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::contender::PLAIN;
use super::place::Place;
use super::report::{Report, Row, number as write};
use super::samples::{in_turn, interval, paired};
use crate::Result;
use process::{Callgrind, Took, number, timed};
use scratch::Scratch;
pub(super) use watch::Peers;
use watch::{AGAIN, CUSTOMS, EMPTY, OURS, Watcher, XALT, XALT_TOP};

/// How often each is measured.
#[derive(Clone, Copy, Debug)]
struct Counts {
    start: u32,
    numpy: u32,
    libraries: u32,
    /// Programs that are no Python.
    programs: u32,
    events: u32,
    modules: u32,
    instructions: u32,
    /// Events for one figure.
    of_events: u32,
    /// Packages that are imported for one figure, and modules of each.
    of_modules: (u32, u32),
}

impl Counts {
    /// Python's start as often as this, all else as often as it takes to tell as much.
    fn from(runs: u32) -> Self {
        Self {
            start: runs,
            numpy: runs.div_ceil(4),
            libraries: runs.div_ceil(25),
            programs: runs.saturating_mul(10),
            events: runs.div_ceil(8),
            modules: runs.div_ceil(4),
            instructions: runs.min(2),
            of_events: 4000,
            of_modules: (100, 30),
        }
    }
}

/// What there is to measure with.
struct Bench<'a> {
    scratch: &'a Scratch,
    /// Cases that are wanted, by a part of their name; none: all.
    cases: &'a [String],
    python: PathBuf,
    watchers: Vec<Watcher>,
    report: Report,
}

pub(super) fn measure(place: &Place, peers: &Peers, runs: u32) -> Result<Report> {
    let python = place.hook_python();
    let python = if python.is_file() { python } else { "/usr/bin/python3".into() };
    measure_with(place, peers, &python, Counts::from(runs))
}

fn measure_with(place: &Place, peers: &Peers, python: &Path, counts: Counts) -> Result<Report> {
    let scratch = Scratch::new(place.benches())?;
    let (watchers, absent) = watch::fit(place, peers, &scratch, python)?;
    let report =
        Report::new("hook", "what it costs to look at a process; pairs: beside plain in the same round");
    let mut bench =
        Bench { scratch: &scratch, cases: peers.cases(), python: python.to_owned(), watchers, report };

    bench.processes("python -c pass", &["-c", "pass"], counts.start, "at most 1.01")?;
    if bench.has("numpy") {
        bench.processes("import numpy", &["-c", "import numpy"], counts.numpy, "at most 1.01")?;
    } else {
        bench.report.note("NumPy: not installed");
    }
    let script = place.benches().join("hook_libraries.py");
    if python == place.hook_python() {
        bench.processes("95 libraries", &[&script], counts.libraries, "at most 1.01")?;
    } else {
        bench.report.note("95 libraries: not installed (benches/hook-venv)");
    }
    bench.programs(counts.programs)?;
    for (kind, of, bound) in
        [("import", 1, "at most 400"), ("open", 250, "at most 30"), ("id", 500, "at most 30")]
    {
        let words: [OsString; 3] = [
            place.benches().join("hook_events.py").into(),
            kind.into(),
            (counts.of_events * of).to_string().into(),
        ];
        bench.events(&format!("event {kind}"), &words, counts.events, bound)?;
    }
    let (packages, modules) = counts.of_modules;
    let packages = scratch.packages(packages, modules)?;
    let words = [place.benches().join("hook_modules.py"), packages].map(PathBuf::into_os_string);
    bench.events(
        "import of a small module",
        &words,
        counts.modules,
        "the event and all else of an import",
    )?;
    let all = bench.watchers.clone();
    bench.instructions("python -c pass", &all, &["-c", "pass"], counts.instructions)?;
    // XALT starts a process for each module, and callgrind is no place for so many.
    let hooks = bench.only(&[PLAIN, EMPTY, OURS]);
    if bench.has("numpy") {
        bench.instructions("import numpy", &hooks, &["-c", "import numpy"], counts.instructions)?;
    }
    bench.instructions("small modules", &hooks, &words, counts.instructions)?;

    let mut report = bench.report;
    report.note("pairs: median of the ratios, or differences, of the same round; with 95 % the true median lies in the range");
    report.note(format!("{AGAIN}: what is told of two that do not differ"));
    report.absent(&absent);
    Ok(report)
}

/// The names that hook_libraries.py imports.
fn libraries(place: &Place) -> Result<Vec<String>> {
    let path = place.benches().join("hook_libraries.py");
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let names =
        text.lines().filter_map(|line| line.strip_prefix("import ")).filter(|name| *name != "warnings");
    Ok(names.map(str::to_owned).collect())
}

impl Bench<'_> {
    /// Whether a case is wanted; if so it is about to be measured.
    fn wants(&self, case: &str) -> bool {
        let wanted = self.cases.is_empty() || self.cases.iter().any(|part| case.contains(part.as_str()));
        if wanted {
            eprintln!("xtask: hook: {case}");
        }
        wanted
    }

    fn has(&self, library: &str) -> bool {
        let words = [self.python.as_os_str(), "-c".as_ref(), format!("import {library}").as_ref()]
            .map(OsStr::to_owned);
        self.watchers.first().is_some_and(|plain| timed(plain, self.scratch, &words).is_ok())
    }

    /// Those with one of these names.
    fn only(&self, names: &[&str]) -> Vec<Watcher> {
        self.watchers.iter().filter(|watcher| names.contains(&watcher.name)).cloned().collect()
    }

    fn words<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Vec<OsString> {
        let python = self.python.as_os_str();
        std::iter::once(python).chain(arguments.iter().map(AsRef::as_ref)).map(OsStr::to_owned).collect()
    }

    /// A Python with these arguments: wall and CPU time.
    fn processes<S: AsRef<OsStr>>(&mut self, case: &str, arguments: &[S], runs: u32, bound: &str) -> Result {
        if !self.wants(case) {
            return Ok(());
        }
        let words = self.words(arguments);
        let mut recorded = vec![String::new(); self.watchers.len()];
        for (watcher, recorded) in self.watchers.iter().zip(&mut recorded) {
            watcher.clear()?;
            timed(watcher, self.scratch, &words)?;
            *recorded = watcher.recorded().map_err(|e| format!("{}: {e}", watcher.name))?;
        }
        let took = self.in_turn(runs, &self.watchers, &words)?;
        let samples: Vec<Vec<f64>> = values(&took, |took| took.wall);
        let rows = self.watchers.iter().zip(&samples).zip(recorded);
        let rows =
            rows.map(|((who, walls), recorded)| Row::new(case, who.name, "ms", walls).remark(recorded));
        self.report.add(Some(PLAIN), rows.collect());
        pairs(&mut self.report, case, Unit::Ratio, &self.watchers, &samples, bound);
        let (case, samples) = (format!("{case}, CPU time"), values(&took, |took| took.cpu));
        pairs(&mut self.report, &case, Unit::Ratio, &self.watchers, &samples, bound);
        Ok(())
    }

    /// Programs that are no Python: one that XALT passes over, for it lies where the system does, and one that it records.
    fn programs(&mut self, runs: u32) -> Result {
        let copy = self.scratch.path().join("true");
        std::fs::copy("/bin/true", &copy).map_err(|e| format!("{}: {e}", copy.display()))?;
        // One XALT does with a program that is no Python what the other does.
        let xalt = if self.watchers.iter().any(|watcher| watcher.name == XALT) { XALT_TOP } else { XALT };
        let mut watchers = self.watchers.clone();
        watchers.retain(|watcher| ![CUSTOMS, xalt].contains(&watcher.name));
        for (case, program, runs) in
            [("/bin/true", Path::new("/bin/true"), runs), ("a copy of it", &copy, runs.div_ceil(4))]
        {
            if !self.wants(case) {
                continue;
            }
            let samples = self.in_turn(runs, &watchers, &[program])?;
            let walls = values(&samples, |took| took.wall * 1e3);
            let rows = watchers.iter().zip(&walls).map(|(who, walls)| Row::new(case, who.name, "us", walls));
            self.report.add(Some(PLAIN), rows.collect());
            pairs(&mut self.report, case, Unit::More("us"), &watchers, &walls, "at most 30");
            let (case, cpu) = (format!("{case}, CPU time"), values(&samples, |took| took.cpu * 1e3));
            pairs(&mut self.report, &case, Unit::More("us"), &watchers, &cpu, "at most 30");
        }
        Ok(())
    }

    /// A script that prints how many ns each of its deeds took, without and with hooks.
    fn events<S: AsRef<OsStr>>(&mut self, case: &str, script: &[S], runs: u32, bound: &str) -> Result {
        if !self.wants(case) {
            return Ok(());
        }
        let (words, watchers) = (self.words(script), self.only(&[PLAIN, AGAIN, EMPTY, OURS]));
        let samples = in_turn(runs, &watchers, |watcher| {
            let ns = number(watcher, self.scratch, &words)?;
            watcher.clear()?;
            Ok(ns)
        })?;
        let rows =
            watchers.iter().zip(&samples).map(|(who, samples)| Row::new(case, who.name, "ns", samples));
        self.report.add(Some(PLAIN), rows.collect());
        pairs(&mut self.report, case, Unit::More("ns"), &watchers, &samples, bound);
        Ok(())
    }

    /// Instructions in user mode, as callgrind counts them.
    fn instructions<S: AsRef<OsStr>>(
        &mut self,
        case: &str,
        watchers: &[Watcher],
        arguments: &[S],
        runs: u32,
    ) -> Result {
        let case = format!("{case}, instructions");
        if !self.wants(&case) {
            return Ok(());
        }
        let Some(callgrind) = Callgrind::find() else {
            self.report.note(format!("{case}: valgrind is not installed"));
            return Ok(());
        };
        let words = self.words(arguments);
        let samples = in_turn(runs, watchers, |watcher| {
            let count = callgrind.instructions(watcher, self.scratch, &words)?;
            watcher.clear()?;
            Ok(count / 1e6)
        })?;
        let rows = watchers.iter().zip(&samples);
        let rows = rows.map(|(who, counts)| Row::new(&case, who.name, "million", counts));
        self.report.add(Some(PLAIN), rows.collect());
        Ok(())
    }

    /// Each watcher finds its place empty.
    fn in_turn<S: AsRef<OsStr>>(
        &self,
        runs: u32,
        watchers: &[Watcher],
        words: &[S],
    ) -> Result<Vec<Vec<Took>>> {
        in_turn(runs, watchers, |watcher| {
            let took = timed(watcher, self.scratch, words)?;
            watcher.clear()?;
            Ok(took)
        })
    }
}

fn values(all: &[Vec<Took>], value: fn(&Took) -> f64) -> Vec<Vec<f64>> {
    all.iter().map(|all| all.iter().map(value).collect()).collect()
}

/// What two samples are to each other.
#[derive(Clone, Copy, Debug)]
enum Unit {
    /// One by the other.
    Ratio,
    /// One less the other, in this unit.
    More(&'static str),
}

/// Adds what each says beside plain in the same round.
fn pairs(
    report: &mut Report,
    case: &str,
    unit: Unit,
    watchers: &[Watcher],
    samples: &[Vec<f64>],
    bound: &str,
) {
    let Some((plain, others)) = samples.split_first() else { return };
    for (watcher, samples) in watchers.iter().skip(1).zip(others) {
        let row =
            |unit: &str, values: &[f64]| Row::new(&format!("{case}, pairs"), watcher.name, unit, values);
        let (row, range) = match unit {
            Unit::Ratio => {
                let ratios = paired(samples, plain, |a, b| a / b);
                let (low, high) = interval(&ratios);
                (row("x", &ratios).of_ratios(), format!("95 %: {low:.3} to {high:.3}"))
            }
            Unit::More(unit) => {
                let more = paired(samples, plain, |a, b| a - b);
                let (low, high) = interval(&more);
                (row(&format!("{unit} more"), &more), format!("95 %: {} to {}", write(low), write(high)))
            }
        };
        let bound = if watcher.name == OURS { format!("; {bound}") } else { String::new() };
        report.add(None, vec![row.remark(range + &bound)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_library_is_named_once() {
        let place = Place::of_tests();
        let mut names = libraries(&place).unwrap();
        assert_eq!(names.len(), 95);
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 95);
    }

    #[test]
    fn it_measures() {
        let counts = Counts {
            start: 1,
            numpy: 1,
            libraries: 1,
            programs: 2,
            events: 1,
            modules: 1,
            instructions: 0,
            of_events: 200,
            of_modules: (2, 3),
        };
        let place = Place::of_tests();
        let report = measure_with(&place, &Peers::default(), Path::new("/usr/bin/python3"), counts).unwrap();
        let text = report.to_string();
        for (case, who) in [
            ("python -c pass, pairs", EMPTY),
            ("/bin/true", AGAIN),
            ("event import, pairs", EMPTY),
            ("import of a small module", PLAIN),
        ] {
            let row = |line: &&str| line.contains(case) && line.contains(who) && !line.contains("NaN");
            assert!(text.lines().any(|line| row(&line)), "{case}, {who}: {text}");
        }
        assert!(text.contains("not measured without --customs DIR"), "{text}");
    }
}
