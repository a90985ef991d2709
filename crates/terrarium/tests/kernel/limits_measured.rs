//! `terrarium limits`: what it says of this machine is what the other tests show.

use std::process::{Command, Stdio};

use crate::support::{
    Tier, cgroups_of_ours, is_root, job, not_in_the_virtual_machine, requires, terrarium, tiers,
};

/// Measures with a small limit, as whom the tier says; the result as JSON.
fn measure(tier: Tier, only: &[&str]) -> serde_json::Value {
    // The launcher of the tests, so that users and cgroups are set up as for a run.
    let mut words = vec!["--limit", "32M", "--json"];
    for name in only {
        words.extend(["--only", name]);
    }
    let program = terrarium().to_str().unwrap();
    let done = job(tier, [""; 0], words).launcher(&[program, "limits"]).run();
    done.code_is(0);
    serde_json::from_str(&done.out).unwrap()
}

fn verdict(measured: &serde_json::Value, way: &str, limit: &str) -> String {
    let cells = measured["memory"].as_array().unwrap();
    let cell = cells.iter().find(|c| c["way"] == way && c["limit"] == limit);
    cell.unwrap_or_else(|| panic!("no {way}/{limit} in {measured}"))["verdict"].as_str().unwrap().to_owned()
}

/// Ways that a page cache is not, and that need no Python.
const WAYS: [&str; 12] = [
    "malloc",
    "mmap",
    "shared",
    "shm-map",
    "shm-write",
    "memfd-map",
    "memfd-write",
    "sysv",
    "stack",
    "processes",
    "fork",
    "file",
];

#[test]
fn a_cgroup_stops_every_way() {
    requires!(is_root(), "no memory cgroup without root");
    for tier in [Tier::Root, Tier::Delegated] {
        let only: Vec<String> = WAYS.iter().map(|w| format!("{w}/mem")).collect();
        let measured = measure(tier, &only.iter().map(String::as_str).collect::<Vec<_>>());
        for way in WAYS {
            let got = verdict(&measured, way, "mem");
            match way {
                // Where files for a time are in memory it cannot be tried.
                "file" => {
                    assert!(["reclaimed", "not-tried"].contains(&got.as_str()), "{tier:?} {measured:#}")
                }
                _ => assert_eq!(got, "killed", "{tier:?} {way} {measured:#}"),
            }
        }
        assert_eq!(measured["holes"].as_array().unwrap().len(), 0, "{measured:#}");
        assert!(measured["mem_enforced_by"].as_str().unwrap().starts_with("cgroup-v"));
    }
}

#[test]
fn without_a_cgroup_the_holes_are_told() {
    requires!(tiers().contains(&Tier::User), "no ordinary user");
    let measured =
        measure(Tier::User, &["mmap/mem", "shared/mem", "processes/mem", "stack/mem", "shm-write/mem"]);
    assert_eq!(measured["mem_enforced_by"], "rlimit-data");
    for (way, expected) in [
        ("mmap", "stopped"),
        ("shared", "not-stopped"),
        ("processes", "not-stopped"),
        ("stack", "not-stopped"),
        ("shm-write", "stopped"),
    ] {
        assert_eq!(verdict(&measured, way, "mem"), expected, "{way} {measured:#}");
    }
    assert_eq!(measured["holes"][0]["limit"], "mem");
    assert_eq!(measured["holes"][0]["ways"], serde_json::json!(["shared", "stack", "processes"]));
}

#[test]
fn resource_limits_stop_what_they_are_known_to_stop() {
    // Not a matter of cgroups; and measuring ends after a while by a clock that an emulated machine may not keep.
    not_in_the_virtual_machine!();
    let tier = tiers()[0];
    for (way, m, d, v) in [
        ("malloc", "not-stopped", "stopped", "stopped"),
        ("shared", "not-stopped", "not-stopped", "stopped"),
        ("memfd-write", "not-stopped", "not-stopped", "not-stopped"),
        ("processes", "not-stopped", "not-stopped", "not-stopped"),
    ] {
        // Each by itself: on a slow machine the time that measuring takes at most would not be enough for all.
        let measured = measure(tier, &[way]);
        for (limit, expected) in [("none", "not-stopped"), ("m", m), ("d", d), ("v", v)] {
            assert_eq!(verdict(&measured, way, limit), expected, "{way}/{limit} {measured:#}");
        }
        if d == "stopped" {
            // A refusal comes at the limit, not anywhere.
            let cells = measured["memory"].as_array().unwrap();
            let refused = cells.iter().find(|c| c["limit"] == "d").unwrap();
            let had = refused["attempts"][0]["had"].as_u64().unwrap();
            assert!((24 << 20..=32 << 20).contains(&had), "{refused:#}");
        }
    }
}

#[test]
fn the_tables_of_the_paper() {
    for tier in tiers() {
        let measured = measure(tier, &["paper", "cpus", "pids"]);
        let came = |table: &str| -> Vec<String> {
            let rows = measured["paper"].as_array().unwrap().iter().filter(|r| r["table"] == table);
            rows.map(|r| r["came"]["kind"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(came("I"), ["all"; 5], "{tier:?} {measured:#}");
        assert_eq!(came("II"), ["refused", "refused", "refused", "all", "all"], "{tier:?} {measured:#}");
        let cell = |table: &str, way: &str, limit: &str| {
            let cells = measured[table].as_array().unwrap();
            cells.iter().find(|c| c["way"] == way && c["limit"] == limit).unwrap()["verdict"].clone()
        };
        if std::thread::available_parallelism().is_ok_and(|n| n.get() > 1) {
            assert_eq!(cell("cpus", "asking-for-more", "OMP_NUM_THREADS=1"), "not-stopped");
            assert_eq!(cell("cpus", "as-started", "taskset"), "stopped");
            assert_eq!(cell("cpus", "asking-for-more", "taskset"), "not-stopped");
            assert_eq!(cell("cpus", "asking-for-more", "--cpus 1"), "stopped", "{tier:?} {measured:#}");
        }
        if matches!(tier, Tier::Root | Tier::Delegated) {
            assert_eq!(cell("pids", "processes", "--pids"), "stopped", "{tier:?} {measured:#}");
            assert_eq!(cell("pids", "threads", "--pids"), "stopped", "{tier:?} {measured:#}");
        }
        if tier == Tier::Root {
            assert_eq!(cell("pids", "processes", "ulimit -u"), "not-stopped", "{measured:#}");
        }
    }
}

#[test]
fn measuring_leaves_nothing() {
    let mark = format!("terrarium-limits-{}", std::process::id());
    let temporary = crate::report::place("limits-tmp");
    let mut command = Command::new(terrarium());
    command.args(["limits", "--limit", "32M", "--only", "shm-write", "--only", "file", "--only", "sysv"]);
    let child =
        command.env("TMPDIR", &temporary).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let pid = child.id();
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success());
    let text = String::from_utf8(out.stdout).unwrap();
    assert!(text.contains("System V memory") && !text.contains('\r'), "{text}");
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0);
    let in_shm = std::fs::read_dir("/dev/shm").unwrap().flatten();
    let left: Vec<_> = in_shm
        .filter(|e| e.file_name().to_string_lossy().starts_with("terrarium-limits-"))
        .filter(|e| !e.file_name().to_string_lossy().starts_with(&mark))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    let name = format!("terrarium-{pid}-");
    assert!(!cgroups_of_ours().iter().any(|p| p.display().to_string().contains(&name)));
}

#[test]
fn limits_says_what_it_would_do_and_refuses_what_harms() {
    let run = |args: &[&str]| {
        let out = Command::new(terrarium()).arg("limits").args(args).stdin(Stdio::null()).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (out.status.code(), text(&out.stdout), text(&out.stderr))
    };
    let (code, out, _) = run(&["--dry-run", "--limit", "32M"]);
    assert!(
        code == Some(0) && out.contains("at most 128 MiB at a time") && out.contains("--report"),
        "{out}"
    );
    for (args, part) in [
        (&["--limit", "900G"][..], "at most"),
        (&["--limit", "1M"], "32M is the least"),
        (&["--only", "everything"], "memfd-write"),
        (&["--limit", "0"], "size of 0"),
    ] {
        let (code, out, err) = run(args);
        assert!(code == Some(125) && out.is_empty() && err.contains(part), "{args:?}: {err}");
    }
}

#[test]
fn in_a_job_a_limit_out_of_sight_is_not_run_into() {
    let program = terrarium().to_str().unwrap();
    for tier in tiers() {
        let done = job(tier, ["--mem", "300M"], [program, "limits", "--only", "malloc/none"]).run();
        // Not the 123 of a job that is out of memory: it is refused, or the limit is seen and heeded.
        assert!(matches!(done.code, Some(0 | 125)), "{tier:?} {:?}: {}", done.code, done.err);
    }
}
