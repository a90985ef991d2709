//! `terrarium collect`: from what a real Python leaves to a segment.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use terrarium_segment::{Direct, Segment};

use crate::support::{directory, hook, numbered, requires, spool, target};

fn terrarium() -> PathBuf {
    std::env::var_os("TERRARIUM_BIN").map_or_else(|| target().join("release/terrarium"), PathBuf::from)
}

/// A directory of packages in which `yaml` is PyYAML 6.0.1.
fn packages(below: &Path) -> PathBuf {
    let site = below.join("lib/python3/site-packages");
    let write = |path: &str, text: &str| {
        let path = site.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("yaml/__init__.py", "import yaml.reader\n");
    write("yaml/reader.py", "");
    write("PyYAML-6.0.1.dist-info/METADATA", "Metadata-Version: 2.1\nName: PyYAML\nVersion: 6.0.1\n\n");
    write("PyYAML-6.0.1.dist-info/top_level.txt", "_yaml\nyaml\n");
    site
}

fn python(spool: &Path, site: &Path, script: &Path) {
    let status = Command::new("/usr/bin/python3")
        .arg(script)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("LD_PRELOAD", hook().unwrap())
        .env("TERRARIUM_SPOOL", spool)
        .env("SLURM_JOB_ID", "4711")
        .env("PYTHONPATH", site)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
}

fn collect(spool: &Path, segments: &Path, flags: &[&str]) -> Output {
    Command::new(terrarium())
        .args(["collect", "--spool"])
        .arg(spool)
        .arg("--segments")
        .arg(segments)
        .args(flags)
        .env("HOME", "/nonexistent")
        .output()
        .unwrap()
}

fn segment(segments: &Path) -> (Segment, Vec<u8>) {
    let found = fs::read_dir(segments).unwrap().flatten().map(|entry| entry.path());
    let mut found: Vec<PathBuf> =
        found.filter(|path| path.extension().is_some_and(|e| e == "segment")).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    let bytes = fs::read(found.remove(0)).unwrap();
    (terrarium_segment::read(&bytes).unwrap(), bytes)
}

/// Distribution and version, importer and directness of `yaml`.
fn yaml(segment: &Segment) -> (Option<String>, Option<String>, String, bool) {
    let process = segment.processes.iter().find(|process| process.python.is_some()).unwrap();
    let load =
        process.loads.iter().find(|load| segment.modules[load.module as usize].name == "yaml").unwrap();
    let module = &segment.modules[load.module as usize];
    let importer = segment.names[load.importer as usize].clone();
    (module.distribution.clone(), module.version.clone(), importer, load.direct == Direct::Yes)
}

fn is_root() -> bool {
    terrarium_sys::process::user() == 0
}

#[test]
fn a_module_gets_its_distribution_and_nothing_is_left() {
    requires!(hook().is_some(), "the hook is not built (make build)");
    let base = numbered(directory(), "collect");
    let (site, spool, segments) = (packages(&base), spool(), base.join("segments"));
    let script = base.join("job.py");
    fs::write(base.join("mine.py"), "import yaml\n").unwrap();
    fs::write(&script, "import mine, yaml\n").unwrap();
    python(&spool, &site, &script);
    let output = collect(&spool, &segments, &["--json"]);
    assert!(output.status.success(), "{output:?}");
    let (segment, bytes) = segment(&segments);
    let pyyaml = (Some("PyYAML".to_owned()), Some("6.0.1".to_owned()), "mine".to_owned(), true);
    // `(own code)` imported it first.
    let (distribution, version, importer, direct) = yaml(&segment);
    assert_eq!((distribution, version, "mine".to_owned(), direct), pyyaml);
    assert_eq!(importer, "(own code)");
    let process = segment.processes.iter().find(|process| process.python.is_some()).unwrap();
    assert_eq!(process.job.as_ref().map(|job| job.id.as_str()), Some("4711"));
    assert_eq!((process.script.as_deref(), process.status), (None, Some(0)));
    // Own code has one name, and scripts have none.
    for name in ["mine", "job.py"] {
        let has = |text: &str| text.contains(name);
        assert!(!segment.names.iter().any(|text| has(text)), "{name}: {:?}", segment.names);
        assert!(!segment.modules.iter().any(|module| module.name == name));
    }
    let environment = &segment.environments[process.environment.unwrap() as usize];
    assert_eq!(environment.class, "system");
    assert!(!bytes.is_empty() && fs::read_dir(&spool).unwrap().next().is_none());
    // Nothing more to do: no empty segments.
    assert!(collect(&spool, &segments, &[]).status.success());
    assert_eq!(segment_count(&segments), 1);
}

fn segment_count(segments: &Path) -> usize {
    let names = fs::read_dir(segments).unwrap().flatten().map(|entry| entry.path());
    names.filter(|path| path.extension().is_some_and(|e| e == "segment")).count()
}

#[test]
fn root_does_not_read_for_a_user_what_the_user_may_not_read() {
    requires!(hook().is_some() && is_root(), "needs the hook and root");
    let base = numbered(directory(), "collect");
    let site = packages(&base);
    let spool = spool();
    let script = base.join("job.py");
    fs::write(&script, "import yaml\n").unwrap();
    python(&spool, &site, &script);
    // The packages become root's alone, and the record another's who says he has loaded them.
    fs::set_permissions(&base, fs::Permissions::from_mode(0o700)).unwrap();
    for entry in fs::read_dir(&spool).unwrap().flatten() {
        chown(entry.path(), Some(65534), Some(65534)).unwrap();
    }
    let segments = numbered(directory(), "segments");
    assert!(collect(&spool, &segments, &[]).status.success());
    let (segment, _) = segment(&segments);
    assert_eq!(yaml(&segment).0, None);
    let process = segment.processes.iter().find(|process| process.python.is_some()).unwrap();
    assert_eq!(process.user, "nobody");
}

#[test]
fn names_of_people_do_not_leave_the_node() {
    requires!(hook().is_some() && is_root(), "needs the hook and root");
    let base = numbered(directory(), "collect");
    let site = packages(&base);
    let (key, rules) = (base.join("key"), base.join("site.toml"));
    fs::write(&key, [7; 32]).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let text = format!(
        "cluster = 'polaris'\n[privacy]\nusers = 'pseudonyms'\nkey_file = '{}'\n\
         [[origin]]\nclass = 'project'\npath = '{}/{{project}}'\n",
        key.display(),
        directory().display()
    );
    fs::write(&rules, text).unwrap();
    let spool = spool();
    let script = base.join("job.py");
    fs::write(&script, "import yaml\n").unwrap();
    python(&spool, &site, &script);
    let output = collect(&spool, &base.join("none"), &["--dry-run", "--rules", rules.to_str().unwrap()]);
    let table = String::from_utf8(output.stdout).unwrap();
    let line = table.lines().find(|line| line.contains("{project} ")).unwrap_or_default().to_owned();
    assert!(line.contains("project") && line.contains("{project}/lib/python3/site-packages"), "{table}");
    assert!(!base.join("none").exists());
    let segments = base.join("segments");
    assert!(collect(&spool, &segments, &["--rules", rules.to_str().unwrap()]).status.success());
    let (segment, _) = segment(&segments);
    assert_eq!((segment.head.cluster.as_str(), segment.head.pseudonyms), ("polaris", true));
    assert!(
        segment.processes.iter().all(|process| process.user.starts_with("u-") && process.user.len() == 18)
    );
    let project = base.file_name().unwrap().to_str().unwrap();
    let all = format!("{segment:?}");
    assert!(!all.contains(project) && !all.contains("\"root\""), "{all}");
    let module = segment.modules.iter().find(|module| module.name == "yaml").unwrap();
    assert_eq!(
        (module.origin.as_str(), module.place.as_str()),
        ("project", "{project}/lib/python3/site-packages")
    );
}

#[test]
fn a_run_leaves_what_it_used_with_its_records() {
    requires!(hook().is_some(), "the hook is not built (make build)");
    let base = numbered(directory(), "collect");
    let (spool, segments) = (spool(), base.join("segments"));
    let run = Command::new(terrarium())
        .args(["run", "-q", "--", "/usr/bin/python3", "-c", "import json"])
        .env("TERRARIUM_SPOOL", &spool)
        .env("TERRARIUM_HISTORY", "off")
        .status()
        .unwrap();
    assert!(run.success());
    let output = collect(&spool, &segments, &[]);
    assert!(output.status.success(), "{output:?}");
    let (segment, _) = segment(&segments);
    let usage = &segment.usages[0];
    assert_eq!((usage.end.as_str(), usage.exit_status, usage.tracking.as_str()), ("exited", 0, "on"));
    assert!(usage.cpu_seconds.is_some_and(|seconds| seconds > 0.0));
    assert!(segment.processes.iter().all(|process| process.run.as_deref() == Some(&usage.run)));
    assert!(fs::read_dir(&spool).unwrap().next().is_none());
}
