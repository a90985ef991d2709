//! Series and history: what is kept of a run, and what is kept when something goes wrong.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use terrarium_core::sample::Metric;
use terrarium_observe::history;
use terrarium_observe::series::{self, Series};

use crate::contain::FrozenDisk;
use crate::support::{
    Tier, directory, job, marked, not_in_the_virtual_machine, requires, sh, terrarium, tiers, wait_until,
    workspace,
};

/// A place that every user may write to.
pub(crate) fn place(name: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = directory().join(format!("record-{name}"));
    fs::create_dir_all(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
    path
}

pub(crate) fn read(path: &Path) -> Series {
    series::read(fs::File::open(path).unwrap()).unwrap()
}

#[test]
fn a_series_adds_up_to_the_report() {
    for tier in tiers() {
        let file = place("sum").join(format!("{tier:?}.arrow"));
        let script = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; sleep 0.6";
        let done = sh(tier, &["-q", "--interval", "100ms", "--record", file.to_str().unwrap()], script).run();
        done.code_is(0);
        let series = read(&file);
        let report = series.report.as_ref().unwrap();
        assert_eq!((series.damage.as_deref(), series.start.job), (None, report.job));
        assert_eq!(report.usage.samples, series.samples.len() as u64, "{tier:?}");
        assert!(series.samples.is_sorted_by_key(|s| s.time_ms));
        let cpu: i64 = series.samples.iter().filter_map(|s| s.get(Metric::Cpu)).sum();
        let total = report.usage.cpu_seconds.unwrap().value * 1000.0;
        // What came after the last look is missing, and times are rounded to ticks.
        assert!(
            cpu as f64 <= total * 1.02 + 20.0 && cpu as f64 >= total * 0.5 - 20.0,
            "{tier:?}: {cpu} of {total}"
        );
        assert!(series.samples.iter().any(|s| s.get(Metric::Processes) == Some(2)), "{tier:?}");
        assert!(series.samples.iter().all(|s| s.get(Metric::GpuUse).is_none()), "no data is not 0");
    }
}

#[test]
fn pandas_polars_and_duckdb_read_it_without_us() {
    not_in_the_virtual_machine!();
    let venv = workspace().join("target/tables-venv");
    let made = Command::new(workspace().join("tests/python/tables-venv")).arg(&venv).status();
    requires!(made.is_ok_and(|s| s.success()), "pandas, polars and DuckDB cannot be installed");
    let file = place("tables").join("a.arrow");
    let done =
        sh(Tier::User, &["-q", "--interval", "100ms", "--record", file.to_str().unwrap()], "sleep 1").run();
    done.code_is(0);
    let series = read(&file);
    let script = workspace().join("tests/python/tables.py");
    let output = Command::new(venv.join("bin/python")).arg(script).arg(&file).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let cpu: i64 = series.samples.iter().filter_map(|s| s.get(Metric::Cpu)).sum();
    let with_processes = series.samples.iter().filter(|s| s.get(Metric::Processes).is_some()).count();
    let expected = format!("{} {cpu} {with_processes}", series.samples.len());
    for reader in ["pandas", "polars", "duckdb", "stream"] {
        let line = format!("{reader} {expected}\n");
        assert!(String::from_utf8_lossy(&output.stdout).contains(&line), "{line}{output:?}");
    }
}

#[test]
fn a_job_without_a_look_has_its_report() {
    for tier in tiers() {
        let file = place("short").join(format!("{tier:?}.arrow"));
        job(tier, ["-q", "--record", file.to_str().unwrap()], ["true"]).run().code_is(0);
        assert_eq!(read(&file).report.unwrap().exit_status, 0);
    }
}

#[test]
fn it_is_complete_up_to_the_last_flush_after_sigkill() {
    for tier in tiers() {
        let file = place("killed").join(format!("{tier:?}.arrow"));
        let started =
            sh(tier, &["--interval", "100ms", "--record", file.to_str().unwrap()], "sleep 60").start();
        wait_until("a first flush", || file.exists());
        started.signal("KILL");
        let mark = started.job_mark();
        // The writer saw all that the supervisor told it, and ends by itself.
        wait_until("the end of all", || marked(&mark).iter().all(|pid| *pid == started.child.id()));
        started.finish();
        let series = read(&file);
        assert_eq!((series.damage, series.report), (None, None), "{tier:?}");
        assert!(series.samples.len() > 2, "{tier:?}: {}", series.samples.len());
        let others = fs::read_dir(file.parent().unwrap()).unwrap().flatten();
        let left: Vec<_> = others.filter(|f| f.file_name().to_string_lossy().starts_with('.')).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn a_writer_that_is_killed_costs_the_series_and_nothing_else() {
    let file = place("writer").join("a.arrow");
    let started =
        sh(Tier::User, &["--interval", "100ms", "--record", file.to_str().unwrap()], "sleep 4; exit 7")
            .start();
    wait_until("a first flush", || file.exists());
    let is_writer = |pid: &u32| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|n| n.trim() == "terrarium-rec")
    };
    let writer = marked(&started.job_mark()).into_iter().find(is_writer).unwrap();
    assert!(Command::new("kill").args(["-KILL", &writer.to_string()]).status().unwrap().success());
    started.finish().code_is(7).err_has("is not complete: its writer was killed");
    assert!(!read(&file).samples.is_empty());
}

#[test]
fn a_full_disk_is_told_and_what_was_there_stays() {
    requires!(crate::support::is_root(), "mounting a small file system needs root");
    let (mount, copy) = (place("full"), place("full-copy").join("old.arrow"));
    let script = format!(
        "mount -t tmpfs -o size=64k none {mount} && cd {mount} && {terrarium} run -q --record old.arrow -- true \
         && cp old.arrow {copy} && head -c 1M /dev/zero > rest; \
         {terrarium} run --record old.arrow -- sh -c 'exit 5'; echo status $?; cmp old.arrow {copy} && echo same; ls -A",
        mount = mount.display(),
        terrarium = terrarium().display(),
        copy = copy.display(),
    );
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", &script])
        .env("TERRARIUM_HISTORY", mount.join("history"))
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    // Refused at once, or told at the end: in both cases what was there is whole.
    assert!(out.contains("status 5\nsame\n") || out.contains("status 125\nsame\n"), "{out}\n{err}");
    assert!(err.contains("No space left"), "{err}");
    assert!(!out.contains("\n.old"), "{out}");
}

#[test]
fn runs_are_remembered_with_their_series() {
    for tier in tiers() {
        let history = place(&format!("history-{tier:?}")).join("deep/er");
        let with = |flags: &[&str], script: &str| {
            sh(tier, flags, script).env("TERRARIUM_HISTORY", history.to_str().unwrap()).run()
        };
        with(&["-q"], "exit 3").code_is(3);
        with(&["-q", "--no-record"], "exit 4").code_is(4);
        let file = place("named").join(format!("{tier:?}.arrow"));
        with(&["-q", "--record", file.to_str().unwrap()], "exit 5").code_is(5);
        let kept = history::read(&history).unwrap();
        let statuses: Vec<u8> = kept.entries.iter().map(|e| e.report.exit_status).collect();
        assert_eq!((statuses, kept.problems), (vec![3, 5], vec![]), "{tier:?}");
        assert_eq!((&kept.entries[0].series, &kept.entries[1].series), (&None, &Some(file)));
        if tier == Tier::User && !crate::support::is_small() {
            with(&["-q", "--interval", "200ms"], "sleep 11").code_is(0);
            let entry = history::read(&history).unwrap().entries.pop().unwrap();
            let series = read(&history.join(entry.series.unwrap()));
            assert_eq!(series.report.unwrap().job, entry.report.job);
        }
    }
}

#[test]
fn a_history_that_cannot_be_written_is_told_and_costs_nothing() {
    let blocked = place("blocked").join("file");
    fs::write(&blocked, "").unwrap();
    let history = blocked.join("history");
    let run = |flags: &[&str]| {
        sh(Tier::User, flags, "exit 3").env("TERRARIUM_HISTORY", history.to_str().unwrap()).run()
    };
    run(&[]).code_is(3).err_has("this run is not in the history").err_has("--no-record");
    for flags in [&["-q"][..], &["--no-record"]] {
        let done = run(flags);
        done.code_is(3);
        assert!(!done.err.contains("history"), "{}", done.err);
    }
}

#[test]
fn a_history_that_hangs_holds_nobody_for_ever() {
    not_in_the_virtual_machine!();
    requires!(tiers().contains(&Tier::Root), "freezing a file system needs root");
    let Some(frozen) = FrozenDisk::new() else {
        crate::support::skip("no loop device, or no ext4, to freeze a file system with");
        return;
    };
    let report = place("hangs").join("report.json");
    let started = sh(Tier::Root, &["--report", report.to_str().unwrap()], "sleep 1.5; exit 3")
        .env("TERRARIUM_HISTORY", frozen.mount.join("history").to_str().unwrap())
        .start();
    let mut child = started.child;
    // It is there before anything that hangs is touched.
    wait_until("the report", || report.exists());
    // Long after its patience this would be the test's.
    wait_until("its end", || child.try_wait().unwrap().is_some());
    assert_eq!(child.wait().unwrap().code(), Some(3));
    let mut err = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut err).unwrap();
    assert!(err.contains("did not answer within 10 s"), "{err}");
    drop(frozen);
}

#[test]
fn files_that_cannot_be_written_are_refused_before_the_start() {
    let place = place("refused");
    let script = format!("touch {}/ran", place.display());
    for (path, why) in [
        (place.clone(), "is a directory"),
        (place.join("none/a.arrow"), "its directory does not exist"),
        (PathBuf::from("/dev/null"), "is no plain file"),
        (PathBuf::from("/proc/a.arrow"), "cannot be written to"),
    ] {
        let done = sh(Tier::User, &["--record", path.to_str().unwrap()], &script).run();
        done.code_is(125).err_has(why).err_has("--record");
    }
    assert!(!place.join("ran").exists());
}
