//! What the hook costs a process, beside its peers: a start of Python, imports, other audit events, programs that are no
//! Python. The peers' own figures are of other machines; here all take turns on the same one.

mod process;
mod scratch;
mod watch;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::contender::PLAIN;
use super::place::Place;
use super::report::{Report, Row};
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
        Report::new("hook", "what it costs to look at a process; of each pair: by plain in the same round");
    let mut bench = Bench { scratch: &scratch, python: python.to_owned(), watchers, report };

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
    report.note("of each pair: median of the ratios, or differences, of the same round, and where the true median lies");
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
        eprintln!("xtask: hook: {case}");
        let words = self.words(arguments);
        let mut recorded = vec![String::new(); self.watchers.len()];
        for (watcher, recorded) in self.watchers.iter().zip(&mut recorded) {
            watcher.clear()?;
            timed(watcher, self.scratch, &words)?;
            *recorded = watcher.recorded().map_err(|e| format!("{}: {e}", watcher.name))?;
        }
        let samples = self.in_turn(runs, &self.watchers, &words)?;
        for (of, unit, value) in [
            ("wall time", "ms", (|took: &Took| took.wall) as fn(&Took) -> f64),
            ("CPU time", "ms", |took| took.cpu),
        ] {
            let values: Vec<Vec<f64>> = samples.iter().map(|all| all.iter().map(value).collect()).collect();
            let rows = self.watchers.iter().zip(&values).zip(&recorded);
            let rows = rows.map(|((who, values), recorded)| {
                Row::new(&format!("{case}, {of}"), who.name, unit, values).remark(recorded.as_str())
            });
            self.report.add(Some(PLAIN), rows.collect());
            pairs(
                &mut self.report,
                &format!("{case}, {of}"),
                "x",
                &self.watchers,
                &values,
                |a, b| a / b,
                bound,
            );
        }
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
            eprintln!("xtask: hook: {case}");
            let samples = self.in_turn(runs, &watchers, &[program])?;
            let walls: Vec<Vec<f64>> =
                samples.iter().map(|all| all.iter().map(|took| took.wall * 1e3).collect()).collect();
            let rows = watchers.iter().zip(&walls).map(|(who, walls)| Row::new(case, who.name, "us", walls));
            self.report.add(Some(PLAIN), rows.collect());
            pairs(&mut self.report, case, "us more", &watchers, &walls, |a, b| a - b, "at most 30");
        }
        Ok(())
    }

    /// A script that prints how many ns each of its deeds took, without and with hooks.
    fn events<S: AsRef<OsStr>>(&mut self, case: &str, script: &[S], runs: u32, bound: &str) -> Result {
        eprintln!("xtask: hook: {case}");
        let (words, watchers) = (self.words(script), self.only(&[PLAIN, AGAIN, EMPTY, OURS]));
        let samples = in_turn(runs, &watchers, |watcher| {
            let ns = number(watcher, self.scratch, &words)?;
            watcher.clear()?;
            Ok(ns)
        })?;
        let rows =
            watchers.iter().zip(&samples).map(|(who, samples)| Row::new(case, who.name, "ns", samples));
        self.report.add(Some(PLAIN), rows.collect());
        pairs(&mut self.report, case, "ns more", &watchers, &samples, |a, b| a - b, bound);
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
        let Some(callgrind) = Callgrind::find() else {
            self.report.note(format!("{case}, instructions: valgrind is not installed"));
            return Ok(());
        };
        eprintln!("xtask: hook: {case}, instructions");
        let words = self.words(arguments);
        let samples = in_turn(runs, watchers, |watcher| {
            let count = callgrind.instructions(watcher, self.scratch, &words)?;
            watcher.clear()?;
            Ok(count / 1e6)
        })?;
        let case = format!("{case}, instructions");
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

/// Adds what each says beside plain in the same round.
fn pairs(
    report: &mut Report,
    case: &str,
    unit: &str,
    watchers: &[Watcher],
    samples: &[Vec<f64>],
    beside: fn(f64, f64) -> f64,
    bound: &str,
) {
    let Some((plain, others)) = samples.split_first() else { return };
    for (watcher, samples) in watchers.iter().skip(1).zip(others) {
        let values = paired(samples, plain, beside);
        let (low, high) = interval(&values);
        let mut remark = format!("95 %: {low:.3} to {high:.3}");
        if watcher.name == OURS {
            remark += &format!("; {bound}");
        }
        report.add(
            None,
            vec![Row::new(&format!("{case}, of each pair"), watcher.name, unit, &values).remark(remark)],
        );
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
            start: 2,
            numpy: 1,
            libraries: 1,
            programs: 3,
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
            ("python -c pass, wall time, of each pair", EMPTY),
            ("/bin/true", AGAIN),
            ("event import, of each pair", EMPTY),
            ("import of a small module", PLAIN),
        ] {
            let row = |line: &&str| line.contains(case) && line.contains(who) && !line.contains("NaN");
            assert!(text.lines().any(|line| row(&line)), "{case}, {who}: {text}");
        }
        assert!(text.contains("not measured without --customs DIR"), "{text}");
    }
}
