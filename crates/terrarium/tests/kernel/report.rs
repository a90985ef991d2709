//! The summary and the JSON report.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::{Tier, directory, job, program, requires, sh, tiers};
use serde_json::Value;

pub(crate) fn place(name: &str) -> std::path::PathBuf {
    let path = directory().join(name);
    fs::create_dir_all(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
    path
}

#[test]
fn a_report_says_what_happened() {
    for tier in tiers() {
        let path = place("reports").join(format!("{tier:?}.json"));
        let flags = [
            "--report",
            path.to_str().unwrap(),
            "--mem",
            "500M",
            "--pids",
            "100",
            "--cpus",
            "1",
            "--time",
            "1h",
        ];
        job(tier, flags, [&program("daemons"), "7"]).run().code_is(0);
        let report: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(report["schema"], "terrarium.run/1");
        assert_eq!(report["end"]["kind"], "exited");
        assert_eq!(report["left_behind"]["processes"], 7);
        assert_eq!(report["left_behind"]["names"][0][0], "daemons");
        let name = match tier {
            Tier::Root => "root",
            Tier::User | Tier::Delegated => "userns",
            Tier::Traced => "ptrace",
        };
        assert_eq!(report["tier"], name);
        assert_eq!(report["limits"]["memory"]["value"], 500 << 20);
        assert_eq!(report["limits"]["time_seconds"]["value"], 3600.0);
        assert_eq!(report["command"][1], "7");
        let enforcer = report["limits"]["memory"]["enforced_by"].as_str().unwrap();
        let cgroup = matches!(tier, Tier::Root | Tier::Delegated);
        assert_eq!(enforcer.starts_with("cgroup"), cgroup, "{enforcer}");
        assert!(report["wall_seconds"].as_f64().unwrap() > 0.0);
        let names: Vec<_> =
            fs::read_dir(path.parent().unwrap()).unwrap().flatten().map(|e| e.file_name()).collect();
        assert!(names.iter().all(|n| !n.to_str().unwrap().starts_with('.')), "{names:?}");
    }
}

#[test]
fn an_existing_report_is_replaced_whole() {
    let path = place("replace").join("r.json");
    fs::write(&path, "x".repeat(100_000)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    job(tiers()[0], ["-q", "--report", path.to_str().unwrap()], ["true"]).run().code_is(0);
    serde_json::from_slice::<Value>(&fs::read(&path).unwrap()).unwrap();
}

#[test]
fn a_report_can_go_where_no_file_is() {
    let done = job(tiers()[0], ["-q", "--report", "/dev/stderr"], ["true"]).run();
    done.code_is(0);
    serde_json::from_str::<Value>(&done.err).unwrap();
}

#[test]
fn a_full_disk_costs_the_report_and_not_the_status() {
    requires!(tiers().contains(&Tier::Root), "mounting a small file system needs root");
    let mount = place("full");
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=8k", "none"])
        .arg(&mount)
        .status()
        .unwrap()
        .success();
    assert!(mounted);
    // There is room when the job starts, and none when it has ended.
    let script = format!("head -c 100000 /dev/zero > {}/fill; exit 6", mount.display());
    let report = mount.join("r.json");
    let done = sh(Tier::Root, &["--report", report.to_str().unwrap()], &script).run();
    let left = fs::read_dir(&mount).unwrap().flatten().map(|e| e.file_name()).collect::<Vec<_>>();
    std::process::Command::new("umount").arg(&mount).status().unwrap();
    done.code_is(6).err_has("cannot write the report").err_has("ended with status 6");
    assert_eq!(left, ["fill"], "no half report, no temporary file");
}

#[test]
fn the_summary_is_for_people() {
    for tier in tiers() {
        let done = sh(tier, &[], "sleep 0.3; exit 4").run();
        done.code_is(4)
            .err_has("terrarium: ended with status 4 after")
            .err_has("left     nothing")
            .err_has("held by  tier");
        let done = sh(tier, &["--quiet"], "exit 4").run();
        assert_eq!(done.err, "");
    }
}

#[test]
fn a_dry_run_starts_nothing() {
    for tier in tiers() {
        let proof = place("dry").join(format!("{tier:?}"));
        let touch = format!("touch {}", proof.display());
        let done = sh(tier, &["--dry-run", "--mem", "1G", "--cpus", "1"], &touch).run();
        done.code_is(0)
            .out_has("tier: ")
            .out_has(if tier == Tier::Traced { "refuse CLONE_UNTRACED" } else { "mount proc on /proc" })
            .out_has("OMP_NUM_THREADS=1")
            .out_has("command: sh -c");
        assert!(!proof.exists());
    }
}

#[test]
fn names_of_processes_cannot_drive_the_terminal() {
    let script = "import os, time\nif os.fork() == 0:\n  open('/proc/self/comm', 'w').write('a\\x1b[2Jb'); time.sleep(60)\ntime.sleep(0.3)\n";
    let done = job(tiers()[0], [""; 0], ["/usr/bin/python3", "-c", script]).run();
    done.code_is(0).err_has("a?[2Jb");
    assert!(!done.err.contains('\x1b'));
}
