//! The hook as a file: what it asks of the machine that loads it, and that musl's loader takes it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use terrarium_spool::{End, Process};

/// The C library of RHEL 7: whatever came later is not asked for.
const GLIBC: (u32, u32) = (2, 17);

/// What the program itself, and other libraries, would find in the hook before they find it in the C library. Each has to be
/// thought through: a name that is here by accident changes programs.
const EXPORTS: [&str; 3] = ["_Exit", "__gmon_start__", "_exit"];

macro_rules! requires {
    ($condition:expr, $reason:literal) => {
        if !$condition {
            let required = std::env::var("TERRARIUM_REQUIRE_ALL").is_ok_and(|v| !v.is_empty());
            assert!(!required, "everything is required, but: {}", $reason);
            eprintln!("skipped: {}", $reason);
            return;
        }
    };
}

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().parent().unwrap()
}

/// That of the release build, beside the program that `TERRARIUM_BIN` names, or what `TERRARIUM_TEST_HOOK` names.
fn hook() -> PathBuf {
    let named = |variable| std::env::var_os(variable).map(PathBuf::from);
    named("TERRARIUM_TEST_HOOK")
        .or_else(|| named("TERRARIUM_BIN").map(|program| program.with_file_name("libterrarium_hook.so")))
        .unwrap_or_else(|| workspace().join("target/release/libterrarium_hook.so"))
}

fn has(program: &str) -> bool {
    Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

fn readelf(flags: &[&str], file: &Path) -> String {
    let output = Command::new("readelf").arg("-W").args(flags).arg(file).env("LC_ALL", "C").output().unwrap();
    assert!(output.status.success(), "readelf {flags:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Versions that a file needs, from lines such as `0x0020:   Name: GLIBC_2.14  Flags: none  Version: 4`.
fn versions(text: &str) -> Vec<&str> {
    let needs = text.split("Version needs section").nth(1).unwrap_or_default();
    needs.lines().filter_map(|line| line.split_once("Name: ")?.1.split_whitespace().next()).collect()
}

/// 2.14 of `GLIBC_2.14`.
fn number(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.strip_prefix("GLIBC_")?.split('.').map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}

#[test]
fn no_symbol_is_newer_than_glibc_2_17() {
    requires!(hook().is_file(), "there is no libterrarium_hook.so (make build)");
    requires!(has("readelf"), "there is no readelf");
    let text = readelf(&["--version-info"], &hook());
    let versions = versions(&text);
    assert!(!versions.is_empty(), "{text}");
    for version in versions {
        let number = number(version).unwrap_or_else(|| panic!("{version} is no version of glibc's"));
        assert!(number <= GLIBC, "{version} is asked for");
    }
    // The reading of these tables can fail to see something: the shell here needs newer ones, or at least some.
    assert!(!self::versions(&readelf(&["--version-info"], Path::new("/bin/sh"))).is_empty());
}

#[test]
fn it_needs_the_c_library_only_and_no_special_treatment() {
    requires!(hook().is_file(), "there is no libterrarium_hook.so (make build)");
    requires!(has("readelf"), "there is no readelf");
    let dynamic = readelf(&["--dynamic"], &hook());
    let needed: Vec<&str> = dynamic.lines().filter(|line| line.contains("(NEEDED)")).collect();
    assert!(needed.len() == 1 && needed[0].ends_with("[libc.so.6]"), "{needed:?}");
    for tag in ["(RPATH)", "(RUNPATH)", "TEXTREL", "(SYMBOLIC)", "INITFIRST"] {
        assert!(!dynamic.contains(tag), "{tag}: {dynamic}");
    }
    let segments = readelf(&["--segments"], &hook());
    // Before them stand kind, offset, two addresses and two sizes; behind them the alignment.
    let flags = |line: &str| {
        let words = line.split_whitespace().skip(6);
        words.take_while(|word| word.chars().all(char::is_uppercase)).collect::<String>()
    };
    let stack: Vec<&str> =
        segments.lines().filter(|line| line.trim_start().starts_with("GNU_STACK")).collect();
    assert!(stack.len() == 1 && flags(stack[0]) == "RW", "{segments}");
    let loaded: Vec<&str> = segments.lines().filter(|line| line.trim_start().starts_with("LOAD")).collect();
    assert!(loaded.len() > 1, "{segments}");
    assert!(loaded.iter().any(|line| flags(line) == "RE"), "{segments}");
    assert!(!loaded.iter().any(|line| flags(line).contains('W') && flags(line).contains('E')), "{segments}");
}

#[test]
fn it_defines_what_it_means_to_and_python_s_functions_may_be_missing() {
    requires!(hook().is_file(), "there is no libterrarium_hook.so (make build)");
    requires!(has("readelf"), "there is no readelf");
    let text = readelf(&["--dyn-syms"], &hook());
    let mut exports = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [number, _, _, _, bind, _, section, name, ..] = words[..] else { continue };
        if !number.ends_with(':') || bind == "LOCAL" || number == "Num:" {
            continue;
        }
        if section != "UND" {
            exports.push(name);
        } else if !name.contains("@GLIBC_") {
            assert_eq!(bind, "WEAK", "{name} must be there, or the program does not start");
        }
    }
    exports.sort_unstable();
    assert_eq!(exports, EXPORTS);
}

/// A spool of its own, gone in the end.
fn spool() -> tempfile::TempDir {
    let spool = tempfile::Builder::new().prefix("terrarium-test-").tempdir_in("/dev/shm").unwrap();
    fs::set_permissions(spool.path(), fs::Permissions::from_mode(0o1733)).unwrap();
    spool
}

fn processes(spool: &Path) -> Vec<Process> {
    let files = fs::read_dir(spool).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<Process> =
        files.map(|file| terrarium_spool::process(&fs::read(file).unwrap()).unwrap()).collect();
    all.sort_by_key(|process| process.pid);
    all
}

/// Runs a program of musl's with the hook: its status and what it printed, and what is in the spool.
fn under_musl(flags: &[&str], arguments: &[&str]) -> (Option<i32>, String, String, Vec<Process>) {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("musl");
    let source = workspace().join("tests/programs/hook/musl.c");
    let mut compiler = Command::new("musl-gcc");
    compiler.args(["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror"]).args(flags);
    assert!(compiler.arg("-o").arg(&program).arg(&source).status().unwrap().success());
    let spool = spool();
    let mut command = Command::new(&program);
    command.args(arguments).env_clear().env("LD_PRELOAD", hook()).env("TERRARIUM_SPOOL", spool.path());
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr), processes(spool.path()))
}

#[test]
fn a_program_of_musl_s_starts_and_is_recorded() {
    requires!(hook().is_file(), "there is no libterrarium_hook.so (make build)");
    requires!(has("musl-gcc"), "there is no musl-gcc (Debian: musl-tools)");
    let (status, out, error, processes) = under_musl(&[], &["0"]);
    assert_eq!((status, out.as_str(), error.as_str()), (Some(0), "0\n", ""));
    let [process] = &processes[..] else { panic!("{processes:?}") };
    let program = process.program.as_ref().map(|program| program.to_text().into_owned()).unwrap_or_default();
    assert!(program.ends_with("/musl"), "{process:?}");
    assert!(process.started_us > 0, "{process:?}");
    // musl has no on_exit, so the status is not known.
    assert_eq!(process.end, End::Finished);
    let objects: Vec<_> = process.objects.iter().map(|object| object.to_text().into_owned()).collect();
    assert!(objects.iter().any(|object| object.contains("ld-musl")), "{objects:?}");
    assert_eq!(process.modules, []);
}

#[test]
fn a_status_is_kept_under_musl() {
    requires!(hook().is_file(), "there is no libterrarium_hook.so (make build)");
    requires!(has("musl-gcc"), "there is no musl-gcc (Debian: musl-tools)");
    let (status, out, error, processes) = under_musl(&[], &["7"]);
    assert_eq!((status, out.as_str(), error.as_str()), (Some(7), "7\n", ""));
    assert_eq!(processes.iter().map(|process| process.end).collect::<Vec<_>>(), [End::Finished]);
}

#[test]
fn a_child_and_a_thread_under_musl() {
    requires!(hook().is_file(), "there is no libterrarium_hook.so (make build)");
    requires!(has("musl-gcc"), "there is no musl-gcc (Debian: musl-tools)");
    let (status, out, error, processes) = under_musl(&["-pthread"], &["0", "fork"]);
    assert_eq!((status, out.as_str(), error.as_str()), (Some(0), "0\n", ""));
    // Whether the child has a record depends on what musl offers; the parent's is not the child's.
    let parent = processes.iter().find(|process| process.forked_from.is_none()).unwrap();
    assert_eq!(parent.end, End::Finished, "{processes:?}");
    assert!(parent.ended_us > Some(0), "{parent:?}");
}

#[test]
fn a_static_program_of_musl_s_is_left_alone() {
    requires!(hook().is_file(), "there is no libterrarium_hook.so (make build)");
    requires!(has("musl-gcc"), "there is no musl-gcc (Debian: musl-tools)");
    let (status, out, error, processes) = under_musl(&["-static"], &["0"]);
    assert_eq!((status, out.as_str(), error.as_str()), (Some(0), "0\n", ""));
    assert_eq!(processes, []);
}
