//! The hook in a run: it is set and seen in every view, opted out of, and what it records survives.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use terrarium_sys::landlock;

use crate::nested::has;
use crate::record::place;
use crate::support::{
    Done, Job, Tier, directory, hook, is_root, job, not_in_the_virtual_machine, program, requires, sh, spool,
    terrarium, tiers, tiers_with_mounts, user,
};

const PYTHON: &str = "/usr/bin/python3";

const NO_HOOK: &str = "libterrarium_hook.so is not built: make build";

/// Prints what the job has of tracking, a line for each variable.
const VARIABLES: &str = "for v in LD_PRELOAD TERRARIUM_SPOOL TERRARIUM_RUN TERRARIUM_JOB TERRARIUM_TRACK; do eval echo $v=\\$$v; done";

/// A job with a report; and the report when it has ended.
fn reported(
    name: &str,
    tier: Tier,
    flags: &[&str],
    command: &[&str],
    with: impl Fn(Job) -> Job,
) -> (Done, Value) {
    let file = place("track").join(format!("{name}-{tier:?}.json"));
    let mut all = vec!["--report", file.to_str().unwrap()];
    all.extend(flags);
    let done = with(job(tier, all, command)).run();
    let report = fs::read(&file).unwrap_or_else(|e| panic!("{e}: {}{}", done.out, done.err));
    (done, serde_json::from_slice(&report).unwrap())
}

fn variable<'a>(done: &'a Done, name: &str) -> &'a str {
    let line = done.out.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    line.unwrap_or_else(|| panic!("no {name}: {}{}", done.out, done.err))
}

fn number(report: &Value, name: &str) -> u64 {
    report["tracking"][name].as_u64().unwrap_or_else(|| panic!("{name}: {report:#}"))
}

/// Packages that are named as direct.
fn direct(report: &Value) -> Vec<&str> {
    report["tracking"]["direct"].as_array().unwrap().iter().filter_map(Value::as_str).collect()
}

/// Directories of runs in a spool.
fn runs(spool: &Path) -> Vec<PathBuf> {
    let all = fs::read_dir(spool).into_iter().flatten().flatten().map(|entry| entry.path());
    all.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("run-")))
        .collect()
}

/// A spool of this test's own, which every user may write to.
fn own_spool(name: &str) -> PathBuf {
    let path = directory().join(format!("spool-{name}"));
    fs::create_dir_all(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o1777)).unwrap();
    path
}

#[test]
fn every_tier_has_the_variables_and_a_directory_of_the_runs_own() {
    requires!(hook().is_some(), "{NO_HOOK}");
    for tier in tiers() {
        let (done, report) = reported("variables", tier, &["-q"], &["sh", "-c", VARIABLES], |job| job);
        done.code_is(0);
        assert_eq!(done.err, "");
        assert_eq!(variable(&done, "LD_PRELOAD"), hook().unwrap().to_str().unwrap(), "{tier:?}");
        let run = variable(&done, "TERRARIUM_RUN");
        assert_eq!((run, Some(run)), (variable(&done, "TERRARIUM_JOB"), report["job"].as_str()));
        let at = spool().join(format!("run-{run}"));
        assert_eq!(variable(&done, "TERRARIUM_SPOOL"), at.to_str().unwrap());
        assert_eq!(
            (report["tracking"]["state"].as_str(), variable(&done, "TERRARIUM_TRACK")),
            (Some("on"), "")
        );
        assert!(number(&report, "processes") >= 1, "{tier:?}: {report:#}");
        assert_eq!((number(&report, "dropped"), number(&report, "unread")), (0, 0));
        let meta = fs::metadata(&at).unwrap();
        let owner = if tier == Tier::Root || !is_root() {
            fs::metadata("/proc/self").unwrap().uid()
        } else {
            user().0
        };
        assert_eq!((meta.mode() & 0o777, meta.uid()), (0o700, owner));
        // The whole line of its launch is shown before anything starts.
        let plan = job(tier, ["--dry-run"], ["true"]).run();
        plan.code_is(0).out_has("LD_PRELOAD=").out_has("/run-");
    }
}

#[test]
fn what_python_loads_is_told_and_kept() {
    requires!(hook().is_some(), "{NO_HOOK}");
    requires!(Path::new(PYTHON).exists(), "there is no {PYTHON}");
    for tier in tiers() {
        let (done, report) = reported("json", tier, &[], &[PYTHON, "-c", "import json"], |job| job);
        done.code_is(0).err_has("  loaded   json (direct), ").err_has(" in 1 Python process\n");
        assert!(direct(&report).contains(&"json"), "{tier:?}: {report:#}");
        assert_eq!(number(&report, "python_processes"), 1);
        assert!(number(&report, "modules") > 10);
        let at = report["tracking"]["spool"].as_str().unwrap();
        let shown = Command::new(terrarium()).args(["track", "show", "--json", at]).output().unwrap();
        let text = String::from_utf8_lossy(&shown.stdout);
        assert!(text.lines().any(|line| line.contains("\"name\":\"json\"")), "{tier:?}: {shown:?}");
        assert!(text.contains(report["job"].as_str().unwrap()), "the record names the run: {text}");
    }
}

#[test]
fn what_was_loaded_survives_a_kill() {
    requires!(hook().is_some(), "{NO_HOOK}");
    requires!(Path::new(PYTHON).exists(), "there is no {PYTHON}");
    let script = "import os, json; os.kill(os.getpid(), 9)";
    for tier in tiers() {
        let (done, report) = reported("kill", tier, &["-q"], &[PYTHON, "-c", script], |job| job);
        done.code_is(137);
        assert!(direct(&report).contains(&"json"), "{tier:?}: {report:#}");
    }
}

#[test]
fn nothing_is_said_of_a_job_without_python() {
    requires!(hook().is_some(), "{NO_HOOK}");
    let (done, report) = reported("sleep", tiers()[0], &[], &["sleep", "0"], |job| job);
    assert!(!done.code_is(0).err.contains("loaded"), "{}", done.err);
    assert_eq!((number(&report, "processes"), number(&report, "python_processes")), (1, 0));
}

#[test]
fn who_opts_out_is_not_recorded() {
    requires!(hook().is_some(), "{NO_HOOK}");
    let config = place("track-config");
    fs::create_dir_all(config.join("terrarium")).unwrap();
    fs::write(config.join("terrarium/no-track"), "").unwrap();
    let config = config.to_str().unwrap();
    let own = own_spool("opted-out");
    let ways: [(&str, &[&str], (&str, &str)); 3] = [
        ("--no-track", &["--no-track", "-q"], ("A", "b")),
        ("TERRARIUM_TRACK=off", &["-q"], ("TERRARIUM_TRACK", "off")),
        ("no-track", &["-q"], ("XDG_CONFIG_HOME", config)),
    ];
    // As it is inherited from a shell that is tracked; the library of the user's own is there.
    let inherited = format!("libm.so.6:{}", hook().unwrap().display());
    for tier in tiers() {
        for (how, flags, (name, value)) in ways {
            let (done, report) = reported("opted-out", tier, flags, &["sh", "-c", VARIABLES], |job| {
                let job = job.env("LD_PRELOAD", &inherited).env("TERRARIUM_SPOOL", own.to_str().unwrap());
                job.env(name, value)
            });
            done.code_is(0);
            assert_eq!(report["tracking"]["state"], "opted-out", "{tier:?} {how}");
            assert!(report["tracking"]["why"].as_str().unwrap().ends_with(how), "{report:#}");
            assert_eq!(
                (variable(&done, "LD_PRELOAD"), variable(&done, "TERRARIUM_TRACK")),
                ("libm.so.6", "off")
            );
            assert_eq!(variable(&done, "TERRARIUM_RUN"), "");
            assert_eq!(runs(&own), [""; 0].map(PathBuf::from));
        }
    }
}

#[test]
fn a_preload_of_the_users_own_stays_first_and_unchanged() {
    requires!(hook().is_some(), "{NO_HOOK}");
    let hook = hook().unwrap();
    let (own, both) = ("libm.so.6  libdl.so.2", format!("libm.so.6  libdl.so.2:{}", hook.display()));
    for tier in tiers() {
        for given in [own, &both] {
            let (done, _) = reported(
                "preload",
                tier,
                &["-q"],
                &["sh", "-c", VARIABLES.replace("eval echo $v=\\$$v", "eval echo $v=\\\"\\$$v\\\"").as_str()],
                |job| job.env("LD_PRELOAD", given),
            );
            assert_eq!(variable(done.code_is(0), "LD_PRELOAD"), both, "{tier:?}");
            assert_eq!(done.err, "");
        }
    }
}

#[test]
fn in_every_view_the_spool_can_be_written_and_the_library_read() {
    requires!(hook().is_some(), "{NO_HOOK}");
    requires!(Path::new(PYTHON).exists(), "there is no {PYTHON}");
    let data = place("track-view");
    let (path, all) = (data.to_str().unwrap(), directory().to_str().unwrap());
    let views: [&[&str]; 6] = [
        &["--only", path],
        &["--only", path, "--hide", "/mnt"],
        &["--private-tmp"],
        &["--hide", all],
        &["--ro", "/"],
        &["--ro", all, "--private-tmp", "--shm", "host", "--net", "none"],
    ];
    for tier in tiers() {
        for flags in views {
            // Without mounts there is only Landlock, and not everywhere.
            let is_held = flags == ["--only", path] && landlock::abi() >= landlock::ABI_TRUNCATE;
            if tier == Tier::Traced && !is_held {
                continue;
            }
            let mut flags = flags.to_vec();
            flags.push("-q");
            let (done, report) = reported("view", tier, &flags, &[PYTHON, "-c", "import json"], |job| {
                if flags[0] == "--only" { job.directory(&data) } else { job }
            });
            done.code_is(0);
            assert_eq!(
                (done.err.as_str(), direct(&report)),
                ("", vec!["json"]),
                "{tier:?} {flags:?}: {report:#}"
            );
            assert_eq!((number(&report, "dropped"), number(&report, "python_processes")), (0, 1));
        }
    }
}

#[test]
fn a_job_cannot_write_to_the_library() {
    requires!(hook().is_some(), "{NO_HOOK}");
    let data = place("track-library");
    let hook = hook().unwrap();
    let script = format!("echo x >> {} && echo WRITTEN", hook.display());
    for tier in tiers() {
        let only = ["-q", "--only", data.to_str().unwrap()];
        let done = sh(tier, &only, &script).directory(&data).run();
        assert!(!done.out.contains("WRITTEN"), "{tier:?}: {}{}", done.out, done.err);
    }
}

#[test]
fn a_spool_of_the_users_own_in_a_private_shm() {
    requires!(hook().is_some(), "{NO_HOOK}");
    requires!(!Path::new("/run/terrarium/spool").exists(), "this machine has a site's spool");
    for tier in tiers() {
        let uid = if tier == Tier::Root || !is_root() {
            fs::metadata("/proc/self").unwrap().uid()
        } else {
            user().0
        };
        let runtime = tempfile::Builder::new().prefix("terrarium-test-").tempdir_in("/dev/shm").unwrap();
        std::os::unix::fs::chown(runtime.path(), Some(uid), None).unwrap();
        let shm = PathBuf::from(format!("/dev/shm/terrarium-{uid}/spool"));
        let was_there = shm.exists();
        // In its runtime directory if it has one in memory, else beside it.
        for (runtime, expected) in
            [(runtime.path(), runtime.path().join("terrarium/spool")), (Path::new("/"), shm.clone())]
        {
            let script = format!("{VARIABLES}; cat $TERRARIUM_SPOOL/drops | wc -c; ls -a /dev/shm");
            let (done, report) = reported("shm", tier, &["-q"], &["sh", "-c", &script], |job| {
                job.env("TERRARIUM_SPOOL", "").env("XDG_RUNTIME_DIR", runtime.to_str().unwrap())
            });
            done.code_is(0);
            let at = expected.join(format!("run-{}", report["job"].as_str().unwrap()));
            assert_eq!(variable(&done, "TERRARIUM_SPOOL"), at.to_str().unwrap(), "{tier:?}: {report:#}");
            assert!(number(&report, "processes") >= 3, "{tier:?}: {report:#}");
            assert!(done.out.lines().any(|line| line.trim() == "64"), "{}", done.out);
            assert_eq!(fs::metadata(&expected).unwrap().mode() & 0o777, 0o700);
            // Of the host's, nothing else is seen.
            assert_eq!(
                done.out.contains("terrarium-test-"),
                expected.starts_with(runtime) || tier == Tier::Traced
            );
            fs::remove_dir_all(at).unwrap();
        }
        if !was_there {
            let _ = fs::remove_dir_all(shm.parent().unwrap());
        }
    }
}

#[test]
fn without_a_hook_or_a_spool_jobs_run_and_nothing_is_said() {
    requires!(hook().is_some(), "{NO_HOOK}");
    let closed = directory().join("spool-closed");
    fs::create_dir_all(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o555)).unwrap();
    let ways = [
        ("TERRARIUM_HOOK", "/no/such/hook.so", "not installed"),
        ("TERRARIUM_SPOOL", "/no/such/spool", "No such file"),
        ("TERRARIUM_SPOOL", "/etc/passwd", "no directory"),
        ("TERRARIUM_SPOOL", "relative", "no absolute path"),
        ("TERRARIUM_SPOOL", "/proc", "no file system of this node"),
        ("TERRARIUM_SPOOL", closed.to_str().unwrap(), "cannot be written to"),
    ];
    for tier in tiers() {
        for (name, value, why) in ways {
            if tier == Tier::Root && why.starts_with("cannot be") {
                continue;
            }
            let (done, report) =
                reported("off", tier, &["-q"], &["sh", "-c", VARIABLES], |job| job.env(name, value));
            done.code_is(0);
            assert_eq!((done.err.as_str(), variable(&done, "LD_PRELOAD")), ("", ""), "{tier:?} {value}");
            assert_eq!(report["tracking"]["state"], "off");
            assert!(report["tracking"]["why"].as_str().unwrap().contains(why), "{report:#}");
        }
    }
}

/// A file system in memory with room for so many pages; gone when dropped.
struct Small(PathBuf);

impl Small {
    fn new(pages: u32) -> Option<Small> {
        let path = place(&format!("track-small-{pages}"));
        let options = format!("size={}k,mode=1777", pages * 4);
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&path).status();
        mounted.is_ok_and(|status| status.success()).then_some(Small(path))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn a_full_spool_is_counted_and_harms_nobody() {
    requires!(hook().is_some(), "{NO_HOOK}");
    requires!(is_root(), "mounting a small file system needs root");
    let small = Small::new(3);
    requires!(small.is_some(), "a file system in memory cannot be mounted");
    let small = small.unwrap();
    let script = "i=0; while [ $i -lt 9 ]; do i=$((i+1)); sleep 0; done; echo all";
    for tier in tiers() {
        let (done, report) = reported("full", tier, &["-q"], &["sh", "-c", script], |job| {
            job.env("TERRARIUM_SPOOL", small.0.to_str().unwrap())
        });
        done.code_is(0).out_has("all");
        assert_eq!(done.err, "", "{tier:?}");
        assert!(number(&report, "dropped") >= 7, "{tier:?}: {report:#}");
        assert!(number(&report, "processes") >= 1, "{tier:?}: {report:#}");
        for run in runs(&small.0) {
            fs::remove_dir_all(run).unwrap();
        }
    }
    // Not even the directory of the run can be filled: the job runs all the same.
    fs::write(small.0.join("full"), vec![0; 12 << 10]).unwrap();
    let (done, report) = reported("none", tiers()[0], &["-q"], &["true"], |job| {
        job.env("TERRARIUM_SPOOL", small.0.to_str().unwrap())
    });
    assert_eq!((done.code_is(0).err.as_str(), &report["tracking"]["state"]), ("", &Value::from("off")));
    assert!(runs(&small.0).is_empty());
}

#[test]
fn a_run_in_a_run_has_a_directory_of_its_own_and_counts_for_both() {
    requires!(hook().is_some(), "{NO_HOOK}");
    requires!(Path::new(PYTHON).exists(), "there is no {PYTHON}");
    for tier in tiers_with_mounts() {
        let (inner, own) = (place("track").join(format!("inner-{tier:?}.json")), own_spool("nested"));
        let script = format!(
            "{0} run -q --report {1} -- {PYTHON} -c 'import json'; {0} run -q -- sh -c '{VARIABLES}'",
            terrarium().display(),
            inner.display()
        );
        let (done, outer) = reported("outer", tier, &["-q"], &["sh", "-c", &script], |job| {
            job.env("TERRARIUM_SPOOL", own.to_str().unwrap())
        });
        done.code_is(0);
        assert_eq!(
            (done.err.as_str(), variable(&done, "LD_PRELOAD")),
            ("", hook().unwrap().to_str().unwrap())
        );
        let inner: Value = serde_json::from_slice(&fs::read(inner).unwrap()).unwrap();
        assert_eq!((direct(&inner), direct(&outer)), (vec!["json"], vec!["json"]), "{tier:?}: {outer:#}");
        let (inside, outside) = (&inner["tracking"]["spool"], &outer["tracking"]["spool"]);
        assert!(inside.as_str().unwrap().starts_with(outside.as_str().unwrap()), "{inside} {outside}");
        assert!(number(&outer, "processes") > number(&inner, "processes"));
    }
}

#[test]
fn nothing_is_kept_of_what_was_not_started() {
    requires!(hook().is_some(), "{NO_HOOK}");
    let own = own_spool("nothing");
    for tier in tiers() {
        let job = |command: &str| job(tier, ["-q"], [command]).env("TERRARIUM_SPOOL", own.to_str().unwrap());
        job("/no/such/command").run().code_is(127);
        assert_eq!(runs(&own), [""; 0].map(PathBuf::from), "{tier:?}");
        // There is a record of what was started.
        job("true").run().code_is(0);
        assert_eq!(runs(&own).len(), 1, "{tier:?}");
        fs::remove_dir_all(&runs(&own)[0]).unwrap();
    }
}

#[test]
fn what_a_job_puts_into_its_spool_harms_nobody() {
    requires!(hook().is_some(), "{NO_HOOK}");
    let script = "cd $TERRARIUM_SPOOL; mkfifo 1-a.spool; ln -s /dev/zero 2-b.spool; mkdir 3-c.spool; \
                  echo nonsense > 4-d.spool; { printf terrwire; head -c 100000 /dev/urandom; } > 5-e.spool; \
                  ln -s / run-1-2-3; rm drops; ln -s /dev/zero drops";
    for tier in tiers() {
        let (done, report) = reported("hostile", tier, &[], &["sh", "-c", script], |job| job);
        done.code_is(0);
        assert!((4..=5).contains(&number(&report, "unread")), "{tier:?}: {report:#}");
        assert_eq!(number(&report, "dropped"), 0);
    }
    // Nor does a directory that is put in its place.
    let script = "cd $TERRARIUM_SPOOL/..; mv $TERRARIUM_SPOOL gone; ln -s / $TERRARIUM_SPOOL";
    for tier in tiers() {
        let own = own_spool("moved");
        let (done, report) = reported("moved", tier, &[], &["sh", "-c", script], |job| {
            job.env("TERRARIUM_SPOOL", own.to_str().unwrap())
        });
        done.code_is(0);
        assert_eq!(number(&report, "processes"), 0, "{tier:?}: {report:#}");
        fs::remove_dir_all(&own).unwrap();
    }
}

#[test]
fn ranks_share_a_directory() {
    not_in_the_virtual_machine!();
    requires!(hook().is_some(), "{NO_HOOK}");
    requires!(has("mpirun.mpich"), "MPICH is not installed");
    requires!(Path::new(PYTHON).exists(), "there is no {PYTHON}");
    for tier in tiers_with_mounts() {
        let own = own_spool("ranks");
        let file = place("track").join(format!("ranks-{tier:?}.json"));
        let bytes = program("bytes.mpich");
        let script = format!("{PYTHON} -c 'import json'; exec {bytes}");
        let words = ["mpirun.mpich", "-n", "2", terrarium().to_str().unwrap(), "run", "-q", "--report"];
        let launcher: Vec<&str> = words.into_iter().chain([file.to_str().unwrap(), "--"]).collect();
        let started = job(tier, [""; 0], ["sh", "-c", &script])
            .launcher(&launcher)
            .env("TERRARIUM_SPOOL", own.to_str().unwrap())
            .env("TERRARIUM_RANKS", "all")
            .start();
        let mark = started.job_mark();
        started.finish().code_is(0);
        crate::support::wait_until("the end of the holder", || crate::support::marked(&mark).is_empty());
        let report: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        assert_eq!((report["ranks"].as_u64(), runs(&own).len()), (Some(2), 1), "{tier:?}: {report:#}");
        assert_eq!((direct(&report), number(&report, "python_processes")), (vec!["json"], 2), "{report:#}");
        fs::remove_dir_all(&own).unwrap();
    }
}

#[test]
fn a_shell_is_tracked_by_what_track_env_prints() {
    requires!(hook().is_some(), "{NO_HOOK}");
    requires!(Path::new(PYTHON).exists(), "there is no {PYTHON}");
    let own = own_spool("env");
    let script = format!(
        "set -eu; eval \"$({0} track env --spool {1})\"; eval \"$({0} track env)\"; {PYTHON} -I -c 'import json'; \
         echo $LD_PRELOAD",
        terrarium().display(),
        own.display()
    );
    let output =
        Command::new("sh").args(["-c", &script]).env_clear().env("PATH", "/usr/bin:/bin").output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), hook().unwrap().to_str().unwrap());
    let shown = Command::new(terrarium()).args(["track", "show", "--json"]).arg(&own).output().unwrap();
    assert!(String::from_utf8_lossy(&shown.stdout).contains("\"name\":\"json\""), "{shown:?}");
}

#[test]
fn csh_takes_what_track_env_prints() {
    requires!(hook().is_some(), "{NO_HOOK}");
    requires!(has("tcsh"), "tcsh is not installed");
    let file = place("track").join("terrarium.csh");
    let text = Command::new(terrarium())
        .args(["track", "env", "--format", "csh", "--spool", "/a b!"])
        .output()
        .unwrap();
    fs::write(&file, text.stdout).unwrap();
    let script = format!("source {0}; source {0}; echo \"$LD_PRELOAD|$TERRARIUM_SPOOL\"", file.display());
    for preload in [None, Some("")] {
        let mut command = Command::new("tcsh");
        command.args(["-f", "-c", &script]).env_clear().env("PATH", "/usr/bin:/bin");
        let output = command.envs(preload.map(|value| ("LD_PRELOAD", value))).output().unwrap();
        let wanted = format!("{}|/a b!\n", hook().unwrap().display());
        assert_eq!(String::from_utf8_lossy(&output.stdout), wanted, "{output:?}");
    }
}

#[test]
fn the_program_may_be_a_link_and_the_hook_in_lib() {
    requires!(hook().is_some(), "{NO_HOOK}");
    let prefix = place("track-prefix");
    for directory in ["bin", "lib/terrarium", "links"] {
        fs::create_dir_all(prefix.join(directory)).unwrap();
    }
    let copy = |from: &Path, to: &str| {
        assert!(Command::new("cp").arg(from).arg(prefix.join(to)).status().unwrap().success());
    };
    copy(terrarium(), "bin/terrarium");
    copy(&hook().unwrap(), "lib/terrarium/libterrarium_hook.so");
    let link = prefix.join("links/t");
    let _ = fs::remove_file(&link);
    std::os::unix::fs::symlink("../bin/terrarium", &link).unwrap();
    let words = [link.to_str().unwrap(), "run", "-q", "--"];
    let done = job(tiers()[0], [""; 0], ["sh", "-c", VARIABLES]).launcher(&words).run();
    let expected = prefix.join("lib/terrarium/libterrarium_hook.so");
    assert_eq!(variable(done.code_is(0), "LD_PRELOAD"), expected.to_str().unwrap());
}
