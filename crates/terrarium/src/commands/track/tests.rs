//! Records as they are shown, and spools with all sorts in them.

use std::ffi::CString;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use serde_json::Value;
use terrarium_spool::MOST_BYTES;
use terrarium_spool::sample::{By, Sample};
use terrarium_wire::header::{self, ending, flag};
use terrarium_wire::kind;

use super::forks::Forks;
use super::spool::{self, Found, Unread};
use super::{json, show, text};
use crate::cli::track::ShowArgs;
use crate::summary::shows;

const SITE: &str = "/home/u/venv/lib/python3.11/site-packages";

fn sample() -> Sample {
    let mut sample = Sample::new()
        .short(header::AT_FLAGS, flag::PYTHON)
        .short(header::AT_PID, 4711)
        .short(header::AT_PARENT, 4700)
        .long(header::AT_START, 1_795_328_000_500_000_000)
        .long(header::AT_ID, 0xABC)
        .long(header::AT_ENDED, 61_500_000_000)
        .short(header::AT_ENDING, ending::EXIT)
        .long(header::AT_PEAK, 120 << 20)
        .short(header::AT_BUSY, 2)
        .text(kind::HOST, "node7")
        .text(kind::PROGRAM, "/usr/bin/python3.11")
        .variable("SLURM_JOB_ID", "17")
        .variable("SLURM_STEP_ID", "0")
        .variable("SLURM_PROCID", "3")
        .variable("SLURM_STEP_NUM_TASKS", "8")
        .text(kind::PYTHON, "3.11.7 (main, Nov 22 2026) [GCC 12]")
        .prefix("/home/u/venv", "/usr", "/home/u/venv/bin/python")
        .main(kind::main::SCRIPT, "train.py", "/home/u")
        .object("/usr/lib/libopenblas.so.0");
    let pandas = sample.file(1_000, By::Main, "pandas", &format!("{SITE}/pandas/__init__.py"));
    let numpy = sample.file(2_000, By::Module(pandas), "numpy", &format!("{SITE}/numpy/__init__.py"));
    sample.file(3_000, By::Module(numpy), "numpy.linalg", &format!("{SITE}/numpy/linalg/__init__.py"));
    sample.done(numpy, 85_000, 0);
    sample.file(90_000, By::Module(pandas), "pytz", &format!("{SITE}/pytz/__init__.py"));
    sample.file(91_000, By::Module(pandas), "json", "/usr/lib/python3.11/json/__init__.py");
    sample.done(pandas, 100_000, 5_000);
    sample.import(120_000, By::Main, 0, b"lz4");
    sample.names(By::Main, "train.py", &["pandas", "numpy:array"]);
    sample
}

fn found(bytes: &[u8]) -> Found {
    let process = terrarium_spool::process(bytes).unwrap();
    Found { path: PathBuf::from("/spool/4711-1.spool"), owner: 1000, mapped: Some(false), process }
}

#[test]
fn a_record_as_text() {
    let view = text::view(&found(&sample().bytes()), false, false, None);
    let expected = "\
python3.11 train.py
  record       /spool/4711-1.spool (0000000000000abc)
  process      4711 on node7, user 1000, parent 4700
  program      /usr/bin/python3.11
  python       3.11.7 (/home/u/venv/bin/python)
  environment  /home/u/venv, a venv of /usr
  directory    /home/u
  job          Slurm 17, step 0
  rank         3 of 8
  started      2026-11-22 06:13:20 UTC
  end          exit status 0 after 1 min 01 s
  memory       at most 120 MiB resident
  objects      1 shared object mapped (--json lists them)
note: 2 records are missing: another thread was writing

imported by the program or the user's code (2):
  package  submodules  import            imported by              origin
  pandas   0           100 ms to 105 ms  __main__                 /home/u/venv/lib/python3.11/site-packages/pandas/__init__.py
  numpy    1           85 ms             pandas, and the program  /home/u/venv/lib/python3.11/site-packages/numpy/__init__.py

imported by others (1):
  package  submodules  import  imported by  origin
  pytz     0           -       pandas       /home/u/venv/lib/python3.11/site-packages/pytz/__init__.py

standard library, imported by others (1):
  json

1 name was asked for and not loaded (not there, or failed)
";
    assert_eq!(view, expected);
    let all = text::view(&found(&sample().bytes()), false, true, None);
    let modules = all.strip_prefix(expected).unwrap();
    assert!(modules.contains("\n  numpy.linalg              -"), "{modules}");
    assert!(modules.contains("\n  lz4           not loaded  -                 __main__"), "{modules}");
}

#[test]
fn what_is_not_known_of_an_end() {
    let running = Sample::new().short(header::AT_FLAGS, flag::PYTHON).bytes();
    let end = |running_now, mapped| {
        let view = text::view(&Found { mapped, ..found(&running) }, running_now, false, None);
        view.lines().find(|line| line.starts_with("  end ")).unwrap().to_owned()
    };
    assert!(end(true, Some(true)).contains("running; last entry"));
    assert!(end(false, Some(false)).contains("killed, or crashed;"));
    assert!(end(false, None).contains("killed, crashed, or still running"));
}

#[test]
fn a_record_as_json() {
    let text = json::document(&found(&sample().bytes()), false);
    assert!(!text.contains('\n'));
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["schema"], "terrarium.track/1");
    assert_eq!((&value["id"], &value["owner_uid"]), (&"0000000000000abc".into(), &1000.into()));
    assert_eq!(
        (&value["end"], &value["status"], &value["ended_us"]),
        (&"exited".into(), &0.into(), &61_500_000.into())
    );
    assert_eq!((&value["job"]["system"], &value["job"]["step"]), (&"slurm".into(), &"0".into()));
    assert_eq!((&value["mpi_rank"], &value["mpi_size"]), (&3.into(), &8.into()));
    assert_eq!(value["python"]["main_kind"], "script");
    assert_eq!(value["dropped"]["busy"], 2);
    let numpy = &value["modules"][1];
    assert_eq!(
        (&numpy["name"], &numpy["direct"], &numpy["imported_by"]),
        (&"numpy".into(), &true.into(), &"pandas".into())
    );
    assert_eq!((&numpy["place"], &numpy["origin_kind"]), (&"installed".into(), &"file".into()));
    assert_eq!((&numpy["took_at_least_us"], &numpy["started_us"]), (&85_000.into(), &2_000.into()));
    assert_eq!(value["modules"][5]["state"], "not-loaded");
}

/// Every field of the document has its row in the reference, and every row its field.
#[test]
fn the_reference_has_every_field() {
    let page = include_str!("../../../../../docs/reference/spool.md");
    let bytes = sample().short(header::AT_FLAGS, flag::PYTHON | flag::CALLS).bytes();
    let value: Value = serde_json::from_str(&json::document(&found(&bytes), false)).unwrap();
    for (object, prefix) in [
        (&value, ""),
        (&value["python"], "python."),
        (&value["job"], "job."),
        (&value["modules"][0], "modules[]."),
    ] {
        for name in object.as_object().unwrap().keys() {
            assert!(
                page.contains(&format!("`{prefix}{name}`")),
                "{prefix}{name} is not in docs/reference/spool.md"
            );
        }
    }
}

#[test]
fn names_drive_no_terminal() {
    let evil = "\x1b]0;owned\x07\u{202e}\r\nx\u{9b}31m";
    let mut sample = Sample::new()
        .short(header::AT_FLAGS, flag::PYTHON)
        .text(kind::HOST, evil)
        .text(kind::PROGRAM, evil)
        .variable("SLURM_JOB_ID", evil)
        .text(kind::PYTHON, evil)
        .prefix(evil, evil, evil)
        .main(kind::main::MODULE, evil, evil)
        .text(kind::ARGUMENT, evil)
        .text(kind::EXCEPTION, evil);
    sample.file(1, By::Named(evil), evil, &format!("/{evil}"));
    sample.file(2, By::Main, evil, &format!("/site-packages/{evil}"));
    sample.file(3, By::Main, "x", &format!("<{evil}"));
    let number = sample.import(9, By::Named(evil), 0, evil.as_bytes()).unwrap();
    sample.extension(number, evil.as_bytes());
    let found = Found { path: PathBuf::from(format!("/spool/{evil}")), ..found(&sample.bytes()) };
    let mut texts = text::lines(vec![text::Line::of(&found, Path::new("/spool"), false)]);
    texts.push(json::document(&found, false));
    texts.extend(text::view(&found, false, true, None).split('\n').map(str::to_owned));
    for line in texts {
        assert!(line.chars().all(shows), "{line:?}");
    }
    let value: Value = serde_json::from_str(&json::document(&found, false)).unwrap();
    assert_eq!(value["exception"], evil);
}

#[test]
fn a_program_that_another_took_the_place_of() {
    let line = |start: u64, forked: bool, ended: bool| {
        let sample = Sample::new()
            .short(header::AT_PID, 7)
            .long(header::AT_START, start * 1_000_000_000)
            .short(header::AT_ENDING, u32::from(ended))
            .short(header::AT_FLAGS, if forked { flag::FORKED } else { 0 });
        text::Line::of(&found(&sample.bytes()), Path::new("/spool"), false)
    };
    let ends =
        |lines| -> Vec<bool> { text::lines(lines)[1..].iter().map(|line| line.contains(" exec ")).collect() };
    assert_eq!(ends(vec![line(2, false, true), line(1, false, false)]), [true, false]);
    assert_eq!(ends(vec![line(1, false, false), line(2, true, true)]), [false, false]);
    assert_eq!(ends(vec![line(1, false, false)]), [false]);
}

fn args(what: &[&Path], spool: Option<&Path>) -> ShowArgs {
    let what = what.iter().map(|path| path.to_path_buf()).collect();
    ShowArgs { what, spool: spool.map(Path::to_owned), modules: false, json: true }
}

#[test]
fn the_newest_record_of_a_process() {
    let directory = tempfile::tempdir().unwrap();
    let run = directory.path().join("run-1-2-3/run-4-5-6");
    fs::create_dir_all(&run).unwrap();
    let record =
        |pid: u32, start: u64| sample().short(header::AT_PID, pid).long(header::AT_START, start).bytes();
    // Not a PID that lives here.
    let pid = u32::MAX - 1;
    fs::write(directory.path().join("a"), record(pid, 1)).unwrap();
    fs::write(run.join(format!("{pid}-1.spool")), record(pid, 3)).unwrap();
    fs::write(directory.path().join("c"), record(pid, 2)).unwrap();
    fs::write(directory.path().join("d"), record(pid - 1, 9)).unwrap();
    fs::write(directory.path().join(format!("{}-1.spool", pid - 2)), record(pid, 9)).unwrap();
    let spools = [directory.path().to_owned()];
    assert_eq!(spool::of_process(&spools, pid).unwrap(), run.join(format!("{pid}-1.spool")));
    assert_eq!(show::run(&args(&[Path::new(&pid.to_string())], Some(directory.path()))).unwrap(), 0);
    let error = show::run(&args(&[Path::new("4294967290")], Some(directory.path()))).unwrap_err();
    assert_eq!(error.code(), 125);
    assert!(error.to_string().contains("no record of process 4294967290"), "{error}");
}

#[test]
fn a_spool_with_all_sorts_in_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::write(path("good.spool"), sample().bytes()).unwrap();
    fs::write(path("empty.spool"), [0; 4096]).unwrap();
    fs::write(path("other.txt"), "hello").unwrap();
    fs::File::create(path("huge.spool")).unwrap().set_len(MOST_BYTES as u64 + 1).unwrap();
    symlink(path("good.spool"), path("link.spool")).unwrap();
    symlink(directory.path(), path("loop")).unwrap();
    let pipe = CString::new(path("pipe.spool").to_str().unwrap()).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(pipe.to_str().unwrap()).status().unwrap().success());
    fs::write(path("drops"), [3_u64.to_le_bytes(), 4_u64.to_le_bytes()].concat()).unwrap();
    let content = spool::content(directory.path()).unwrap();
    assert_eq!(content.without_file, [3, 4]);
    let names: Vec<_> =
        content.files.iter().map(|file| file.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["empty.spool", "good.spool", "huge.spool", "other.txt"]);
    let read = |path: &Path| spool::read(path, &mut Forks::default());
    let why = |name: &str| read(&path(name)).map(|_| ()).map_err(|unread| unread.why());
    assert_eq!(why("good.spool"), Ok(()));
    for (name, part) in [
        ("empty.spool", "empty"),
        ("other.txt", "no spool file"),
        ("huge.spool", "at most"),
        ("link.spool", "symbolic link"),
        ("pipe.spool", "no plain file"),
        ("absent", "no such file"),
    ] {
        assert!(why(name).unwrap_err().contains(part), "{name}: {:?}", why(name));
        let error = show::run(&args(&[&path(name)], None)).unwrap_err();
        assert_eq!(error.code(), 125);
        assert!(error.to_string().contains(part), "{error}");
    }
    assert_eq!(show::run(&args(&[directory.path()], None)).unwrap(), 0);
    // What can be shown is shown, and the rest is a failure all the same.
    let error = show::run(&args(&[&path("good.spool"), &path("absent")], None)).unwrap_err();
    assert!(error.to_string().starts_with("1 of 2 could not"), "{error}");
    let mut newer = sample().bytes();
    newer[header::AT_VERSION] = 9;
    fs::write(path("newer.spool"), newer).unwrap();
    assert!(matches!(read(&path("newer.spool")), Err(Unread::Failed(why)) if why.contains("version 9")));
}

#[test]
fn the_newest_are_left_and_what_is_hidden_is_none() {
    let directory = tempfile::tempdir().unwrap();
    for name in
        ["7-0000000000000003.spool", "8-0000000000000001.spool", "9-0000000000000002.spool", "other", ".mark"]
    {
        fs::write(directory.path().join(name), "").unwrap();
    }
    let mut content = spool::content(directory.path()).unwrap();
    assert_eq!(content.files.len(), 4);
    content.keep_newest(2);
    let mut names: Vec<_> =
        content.files.iter().map(|file| file.file_name().unwrap().to_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["7-0000000000000003.spool", "9-0000000000000002.spool"]);
}

#[test]
fn a_narrow_terminal_has_the_ends_of_paths() {
    let view = |room| text::view(&found(&sample().bytes()), false, true, Some(room));
    let tables = |view: &str| {
        let (_, tables) = view.split_once("\nimported by").unwrap();
        tables.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let at_90 = view(90);
    assert!(tables(&at_90).iter().all(|line| line.chars().count() <= 90), "{at_90}");
    assert!(at_90.contains("/…/") && at_90.contains("/__init__.py"), "{at_90}");
    // Nothing is left of them where there is no room at all.
    assert!(!view(60).lines().any(|line| line.starts_with("  pandas   0") && line.contains("__init__.py")));
    for room in 0..40 {
        view(room);
    }
}

#[test]
fn arguments_and_calls() {
    let with = || {
        let sample = sample().short(header::AT_FLAGS, flag::PYTHON | flag::CALLS);
        ["--name", "a b", ""].iter().fold(sample, |sample, word| sample.text(kind::ARGUMENT, word))
    };
    let view = |sample: Sample| text::view(&found(&sample.bytes()), false, false, None);
    let none = view(with());
    assert!(
        none.contains("arguments    --name 'a b' ''\n") && none.contains("no package was called"),
        "{none}"
    );
    let called = format!("{SITE}/numpy/linalg/__init__.py");
    let some = view(with().text(kind::CALLED, &called).text(kind::CALLED, "/x.py"));
    assert!(some.contains("\ncalled (1):\n  numpy\n"), "{some}");
}

#[test]
fn what_was_loaded_before_a_fork_imports_after_it() {
    let directory = tempfile::tempdir().unwrap();
    let forked = |pid: u32, id: u64| {
        Sample::new()
            .short(header::AT_PID, pid)
            .long(header::AT_ID, id)
            .short(header::AT_PARENT, pid - 1)
            .long(header::AT_FORKED_FROM, id - 1)
            .short(header::AT_FLAGS, flag::PYTHON | flag::FORKED)
            .prefix("/home/u/venv", "/usr", "")
    };
    let mut first =
        Sample::new().short(header::AT_PID, 7).long(header::AT_ID, 70).prefix("/home/u/venv", "/usr", "");
    first.file(1, By::Main, "app", "/home/u/app/__init__.py");
    first.file(20, By::Main, "yaml", &format!("{SITE}/yaml/__init__.py"));
    let mut second = forked(8, 71);
    second.file(1, By::Named("app"), "late", "/home/u/late.py");
    let mut third = forked(9, 72);
    third.file(1, By::Named("app"), "numpy", &format!("{SITE}/numpy/__init__.py"));
    third.file(20, By::Named("late"), "scipy", &format!("{SITE}/scipy/__init__.py"));
    third.file(40, By::Named("yaml"), "six", &format!("{SITE}/six.py"));
    let path = |pid: u32| directory.path().join(format!("{pid}-1.spool"));
    for (pid, sample) in [(7, first), (8, second), (9, third)] {
        fs::write(path(pid), sample.bytes()).unwrap();
    }
    let direct = |forks: &mut Forks| -> Vec<bool> {
        spool::read(&path(9), forks).unwrap().process.modules.iter().map(|module| module.direct).collect()
    };
    let mut forks = Forks::default();
    assert_eq!(direct(&mut forks), [true, true, false]);
    assert_eq!(direct(&mut forks), [true, true, false]);
    fs::remove_file(path(8)).unwrap();
    assert_eq!(direct(&mut Forks::default()), [false; 3]);
}

#[test]
fn whether_a_record_is_mapped() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.spool");
    fs::write(&path, sample().bytes()).unwrap();
    let writer = fs::OpenOptions::new().write(true).open(&path).unwrap();
    // Where the file system does not tell, nothing is claimed.
    let read = |path: &Path| spool::read(path, &mut Forks::default());
    let told = read(&path).unwrap().mapped;
    assert_ne!(told, Some(false));
    drop(writer);
    assert_ne!(read(&path).unwrap().mapped, Some(true));
    // Also when its owner may only read it.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    assert_eq!(read(&path).unwrap().mapped, told.map(|_| false));
}
