//! What is made is the same each time, has the means that it should, and says truly what it is.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::Path;

use terrarium_segment::{Extent, Segment, read};

use super::dice::{civil, date, day_of, moment};
use super::*;

fn args(out: &Path, fraction: f64, days: u32, seed: u64) -> SynthArgs {
    SynthArgs { out: out.to_owned(), fraction, days, seed, until: "2026-10-31".to_owned(), users: 5000 }
}

/// All files with their bytes.
fn files(out: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for directory in [out.to_owned(), out.join("segments")] {
        for entry in fs::read_dir(directory).unwrap().flatten() {
            if entry.path().is_file() {
                all.insert(entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap());
            }
        }
    }
    all
}

fn segments(out: &Path) -> Vec<Segment> {
    let files = files(out);
    files
        .iter()
        .filter(|(name, _)| name.ends_with(".segment"))
        .map(|(_, bytes)| read(bytes).unwrap())
        .collect()
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let made = |seed| {
        let out = tempfile::tempdir().unwrap();
        make(&args(out.path(), 0.001, 40, seed), |_, _, _| ()).unwrap();
        files(out.path())
    };
    let first = made(1);
    assert!(first.len() > 40);
    assert!(first == made(1));
    assert!(first != made(2));
}

#[test]
fn means_and_truth() {
    for (fraction, days, seed) in [(0.001, 365, 1), (0.04, 10, 7)] {
        let out = tempfile::tempdir().unwrap();
        let truth = make(&args(out.path(), fraction, days, seed), |_, _, _| ()).unwrap();
        let all = segments(out.path());
        let processes = || all.iter().flat_map(|segment| &segment.processes);
        let rows: usize = processes().map(|process| process.loads.len()).sum();
        let count = processes().count();
        let wanted = PROCESSES * fraction * f64::from(days) / 365.0;
        assert!((count as f64 / wanted - 1.0).abs() < 0.03, "{count} processes of {wanted}");
        let mean = rows as f64 / count as f64;
        assert!((mean / ROWS_EACH - 1.0).abs() < 0.03, "{mean} rows each");
        let mut sums = truth::Sums { processes: count as u64, module_rows: rows as u64, ..truth.all.clone() };
        sums.users = processes().map(|process| &process.user).collect::<HashSet<_>>().len() as u64;
        sums.processes_in_jobs = processes().filter(|process| process.job.is_some()).count() as u64;
        let jobs = processes().filter_map(|process| process.job.as_ref().map(|job| &job.id));
        sums.jobs = jobs.collect::<HashSet<_>>().len() as u64;
        sums.opted_out = processes().filter(|process| process.extent == Extent::OptedOut).count() as u64;
        sums.counted = processes().filter(|process| process.extent == Extent::Counted).count() as u64;
        sums.processes_without_python = processes().filter(|process| process.python.is_none()).count() as u64;
        assert_eq!(sums, truth.all);
        assert_eq!(all.len() as u64, truth.segments);
        let months: u64 = truth.months.iter().map(|month| month.sums.module_rows).sum();
        assert_eq!(months, truth.all.module_rows);
        let text = fs::read_to_string(out.path().join("sacct.txt")).unwrap();
        let accounted = text.lines().skip(1).filter(|line| !line.contains(".batch|")).count() as u64;
        assert_eq!(accounted, truth.all.jobs - truth.all.jobs_without_accounting);
        let share = truth.all.processes_without_python as f64 / count as f64;
        assert!((0.1..0.2).contains(&share), "{share} without Python");
    }
}

#[test]
fn chains_of_imports_are_closed() {
    let out = tempfile::tempdir().unwrap();
    make(&args(out.path(), 0.002, 40, 3), |_, _, _| ()).unwrap();
    for segment in segments(out.path()) {
        for process in &segment.processes {
            let mut took: BTreeMap<&str, u32> = BTreeMap::new();
            for load in &process.loads {
                let (name, importer) =
                    (&segment.modules[load.module as usize].name, &segment.names[load.importer as usize]);
                // Who imports stands in front, and took longer; three digits are kept of either.
                if importer != "__main__" {
                    let whole = f64::from(*took.get(importer.as_str()).unwrap());
                    assert!(whole * 1.02 + 1.0 >= f64::from(load.took), "{name} by {importer}");
                }
                assert_eq!(took.insert(name, load.took), None, "{name} twice");
            }
            let is_whole = process.extent == Extent::Full && process.python.is_some();
            assert_eq!(is_whole, process.environment.is_some());
            assert!(is_whole || process.loads.is_empty());
        }
    }
}

#[test]
fn the_catalogue_is_sound() {
    let catalogue = Catalogue::read().unwrap();
    assert!((2950..3050).contains(&catalogue.libraries.len()), "{}", catalogue.libraries.len());
    let names: HashSet<&str> = catalogue.names.iter().map(|name| name.text.as_str()).collect();
    assert_eq!(names.len(), catalogue.names.len());
    let numpy = &catalogue.libraries[catalogue.of("numpy").unwrap() as usize];
    assert_eq!((numpy.release(-5), numpy.version(0, 20_000).as_str()), (0, "2.1.0"));
    assert!(numpy.version(numpy.release(364), 20_000).starts_with("2.4."));
    let xarray = &catalogue.libraries[catalogue.of("xarray").unwrap() as usize];
    assert_eq!(xarray.version(2, day_of("2025-11-01").unwrap()), "2025.12");
    let polars = &catalogue.libraries[catalogue.of("polars").unwrap() as usize];
    assert!(polars.wanted(1.0) > 5.0 * polars.wanted(0.0));
    assert!(catalogue.closed(catalogue.of("pandas")).contains(&catalogue.of("numpy").unwrap()));
}

#[test]
fn what_cannot_be_is_refused() {
    let out = tempfile::tempdir().unwrap();
    let refused = |args: SynthArgs| make(&args, |_, _, _| ()).unwrap_err();
    assert!(refused(args(out.path(), 0.0, 1, 1)).contains("--fraction"));
    assert!(
        refused(SynthArgs { until: "2026-02-30".to_owned(), ..args(out.path(), 0.1, 1, 1) })
            .contains("--until")
    );
    fs::create_dir(out.path().join("segments")).unwrap();
    fs::write(out.path().join("segments/other"), "").unwrap();
    assert!(refused(args(out.path(), 0.001, 1, 1)).contains("not empty"));
}

#[test]
fn days() {
    assert_eq!(day_of("1970-01-01"), Some(0));
    assert_eq!(day_of("2026-10-31"), Some(20_757));
    assert_eq!((day_of("2026-13-01"), day_of("x"), day_of("2026-1")), (None, None, None));
    assert_eq!((civil(20_757), date(-1).as_str()), ((2026, 10, 31), "1969-12-31"));
    assert_eq!(moment(86_399_000_000), "1970-01-01T23:59:59");
    assert!(Period { first: 20_757, days: 1 }.is_weekend(0));
}
