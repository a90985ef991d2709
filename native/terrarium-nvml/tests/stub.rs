//! Against a library that stands in for the driver's.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

const STUB: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/programs/nvml_stub.c");

/// A directory with the library, built with `flags`.
fn library(flags: &[&str]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let status = Command::new("cc")
        .args(["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"])
        .arg(directory.path().join("libnvidia-ml.so.1"))
        .arg(STUB)
        .args(flags)
        .status()
        .expect("cc is needed to build the stand-in library");
    assert!(status.success());
    directory
}

fn ask(library: &Path, environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_terrarium-nvml"))
        .env("LD_LIBRARY_PATH", library)
        .envs(environment.iter().copied())
        .output()
        .unwrap()
}

/// What is said when the file holds `lines`.
fn answer(library: &TempDir, lines: &str, environment: &[(&str, &str)]) -> Value {
    let file = library.path().join("holders");
    fs::write(&file, lines).unwrap();
    let mut environment = environment.to_vec();
    environment.push(("NVML_STUB_FILE", file.to_str().unwrap()));
    let output = ask(library.path(), &environment);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The one line with which it refuses.
fn refusal(library: &Path, environment: &[(&str, &str)]) -> String {
    let output = ask(library, environment);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(text.matches('\n').count(), 1, "{text}");
    text.trim_end().to_owned()
}

#[test]
fn holders_of_two_gpus() {
    let said = answer(&library(&[]), "1 300 7\n0 200 5\n0 100 8589934592\n", &[("NVML_STUB_GPUS", "2")]);
    assert_eq!(
        said,
        json!({"holders": [
            {"gpu": 0, "pid": 100, "bytes": 8_589_934_592_u64},
            {"gpu": 0, "pid": 200, "bytes": 5},
            {"gpu": 1, "pid": 300, "bytes": 7},
        ]})
    );
}

#[test]
fn nobody_holds_anything() {
    assert_eq!(answer(&library(&[]), "", &[]), json!({"holders": []}));
    assert_eq!(answer(&library(&[]), "", &[("NVML_STUB_GPUS", "0")]), json!({"holders": []}));
}

#[test]
fn unknown_size_is_null() {
    assert_eq!(
        answer(&library(&[]), "0 100 -1\n", &[]),
        json!({"holders": [{"gpu": 0, "pid": 100, "bytes": null}]})
    );
}

#[test]
fn process_that_computes_and_draws_is_listed_once() {
    let said = answer(
        &library(&[]),
        "0 100 5\n0 100 5 graphics\n0 200 -1\n0 200 6 graphics\n0 300 7 graphics\n",
        &[],
    );
    assert_eq!(
        said,
        json!({"holders": [
            {"gpu": 0, "pid": 100, "bytes": 5},
            {"gpu": 0, "pid": 200, "bytes": 6},
            {"gpu": 0, "pid": 300, "bytes": 7},
        ]})
    );
}

#[test]
fn lost_gpu_does_not_hide_the_others() {
    let library = library(&[]);
    let said = answer(&library, "0 100 5\n1 200 6\n", &[("NVML_STUB_GPUS", "2"), ("NVML_STUB_LOST", "0")]);
    assert_eq!(said["holders"], json!([{"gpu": 1, "pid": 200, "bytes": 6}]));
    assert_eq!(said["unread"][0]["gpu"], 0);

    let why = refusal(library.path(), &[("NVML_STUB_LOST", "0")]);
    assert!(why.starts_with("the NVIDIA driver refuses: GPU 0: "), "{why}");
}

#[test]
fn mig_instances_answer_for_the_gpu() {
    let said =
        answer(&library(&[]), "0 100 5\n1 200 6\n", &[("NVML_STUB_GPUS", "2"), ("NVML_STUB_MIG", "1")]);
    assert_eq!(
        said,
        json!({"holders": [{"gpu": 0, "pid": 100, "bytes": 5}, {"gpu": 1, "pid": 200, "bytes": 6}]})
    );
}

#[test]
fn drivers_whose_third_version_is_missing_or_different() {
    let lines: String = (1..=40).map(|pid| format!("0 {pid} {pid}\n")).collect();
    let expected: Vec<Value> = (1..=40).map(|pid| json!({"gpu": 0, "pid": pid, "bytes": pid})).collect();
    for flag in ["-DNVML_STUB_V2", "-DNVML_STUB_WIDE"] {
        assert_eq!(answer(&library(&[flag]), &lines, &[]), json!({"holders": expected}), "{flag}");
    }
}

#[test]
fn driver_is_not_loaded() {
    let why = refusal(library(&[]).path(), &[("NVML_STUB_FAIL", "1")]);
    assert_eq!(why, "the NVIDIA driver refuses: NVIDIA driver is not loaded");
}

#[test]
fn library_is_broken() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("libnvidia-ml.so.1"), "").unwrap();
    let why = refusal(directory.path(), &[]);
    assert!(why.starts_with("libnvidia-ml.so.1 cannot be used: "), "{why}");
}

#[test]
fn library_is_missing() {
    let known = ["ldconfig", "/sbin/ldconfig", "/usr/sbin/ldconfig"]
        .iter()
        .find_map(|program| Command::new(program).arg("-p").output().ok())
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    if known.is_some_and(|list| list.contains("libnvidia-ml.so.1")) {
        eprintln!("skipped: the NVIDIA driver is installed here, so its library cannot be missing");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(refusal(directory.path(), &[]), "libnvidia-ml.so.1 is not installed");
}
