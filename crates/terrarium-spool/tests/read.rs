//! What a process says in a file is what is read from it, whatever else is in the file.

use terrarium_spool::sample::{By, Sample};
use terrarium_spool::{
    End, Importer, Module, OriginKind, Place, Process, ReadError, State, Stopped, process, process_forked,
};
use terrarium_wire::header::{self, ending, flag};
use terrarium_wire::kind::{self, import, origin};

const SITE: &str = "/venv/lib/python3.11/site-packages";

/// A venv below /venv, made from /usr.
fn sample() -> Sample {
    Sample::new()
        .short(header::AT_FLAGS, flag::PYTHON)
        .short(header::AT_PID, 42)
        .text(kind::HOST, "node7")
        .text(kind::PROGRAM, "/usr/bin/python3.11")
        .text(kind::PYTHON, "3.11.7 (main) [GCC]")
        .prefix("/venv", "/usr", "/venv/bin/python")
        .main(kind::main::SCRIPT, "/home/u/train.py", "/home/u")
}

fn read(sample: Sample) -> Process {
    process(&sample.bytes()).unwrap()
}

fn module<'a>(process: &'a Process, name: &str) -> &'a Module {
    process.modules.iter().find(|module| module.name == *name).unwrap()
}

fn direct(process: &Process) -> Vec<String> {
    let direct = process.modules.iter().filter(|module| module.direct);
    direct.map(|module| module.name.to_string()).collect()
}

#[test]
fn a_process() {
    let sample = sample()
        .short(header::AT_PARENT, 40)
        .short(header::AT_USER, 1000)
        .long(header::AT_START, 1_795_328_000_500_000_000)
        .long(header::AT_ID, 7)
        .long(header::AT_ENDED, 3_000_000)
        .short(header::AT_ENDING, ending::EXIT)
        .short(header::AT_STATUS, 3)
        .long(header::AT_PEAK, 1 << 20)
        .long(header::AT_PEAK_SEEN, 2_000_000)
        .long(header::AT_LAST, 2_500_000)
        .short(header::AT_BUSY, 5)
        .variable("SLURM_JOB_ID", "17")
        .variable("OMPI_COMM_WORLD_RANK", "3")
        .object("/usr/lib/libopenblas.so.0")
        .object("/usr/lib/libopenblas64.so.0")
        .text(kind::EXCEPTION, "ValueError");
    let found = read(sample);
    assert_eq!((found.pid, found.parent, found.user, found.id), (42, Some(40), 1000, 7));
    assert_eq!(found.started_us, 1_795_328_000_500_000);
    assert_eq!((found.end, found.ended_us), (End::Exited { status: 3 }, Some(3000)));
    assert_eq!(
        (found.peak_bytes, found.peak_seen_us, found.last_activity_us),
        (Some(1 << 20), Some(2000), 3000)
    );
    assert_eq!((found.dropped.busy, found.dropped.any()), (5, true));
    assert_eq!(found.host.unwrap(), "node7");
    assert_eq!(found.python.number(), Some("3.11.7"));
    assert!(found.python.is_venv());
    assert_eq!(found.job.unwrap().id, "17");
    assert_eq!(found.rank.unwrap().rank, 3);
    assert_eq!(found.objects, ["/usr/lib/libopenblas.so.0", "/usr/lib/libopenblas64.so.0"]);
    assert_eq!(found.exception.unwrap(), "ValueError");
    assert_eq!((found.forked_from, found.stopped), (None, Stopped::End));
}

#[test]
fn what_never_loaded_does_not_count() {
    let so = format!("{SITE}/numpy/core/_umath.cpython-311.so");
    let mut sample = sample();
    sample.import(1, By::Main, 0, b"lz4");
    let numpy = sample.file(2, By::Main, "numpy", &format!("{SITE}/numpy/__init__.py"));
    let mut extension = |time, name: &str, file: &str| {
        let number = sample.import(time, By::Module(numpy), 0, name.as_bytes()).unwrap();
        sample.extension(number, file.as_bytes());
        number
    };
    extension(20, "numpy.core._umath", &so);
    extension(21, "numpy.core._gone", "/x/y/_gone.so");
    let done = extension(22, "_done", "/x/_done.so");
    sample.done(done, 7, 2);
    sample.import(23, By::Module(numpy), import::BUILT_IN, b"_sha2");
    let failed = sample.file(24, By::Main, "raised", "/home/u/raised.py");
    sample.failed(failed);
    let again = sample.file(40, By::Main, "again", "/home/u/again.py");
    sample.failed(again);
    sample.done(again, 1, 0);
    sample.module(60, By::Nobody, b"plugin", origin::NAMESPACE, b"/x/plugin");
    // The same file by another way.
    let sample = sample.object("/real/numpy/core/_umath.cpython-311.so");
    let found = read(sample.short(header::AT_ENDING, ending::FINISHED));
    let loaded: Vec<_> = found.modules.iter().filter(|m| m.is_loaded()).map(|m| m.name.to_string()).collect();
    assert_eq!(loaded, ["numpy", "numpy.core._umath", "_done", "_sha2", "again", "plugin"]);
    assert_eq!(module(&found, "lz4").state, State::NotLoaded);
    assert_eq!(module(&found, "raised").state, State::Failed);
    let done = module(&found, "_done");
    assert_eq!((done.took_at_least_us, done.took_at_most_us, done.started_us), (Some(7), Some(9), Some(22)));
    assert_eq!(module(&found, "numpy").loaded_us, Some(12));
    assert_eq!(module(&found, "numpy.core._umath").origin.as_ref().unwrap().kind, OriginKind::Extension);
    assert_eq!(module(&found, "_done").importer, Importer::Module(1));
}

#[test]
fn what_was_being_imported_at_an_abnormal_end() {
    let crashed = |change: fn(Sample) -> Sample, more: bool| {
        let mut sample = sample();
        sample.file(1, By::Main, "a", "/home/u/a.py");
        let broken = sample.import(20, By::Module(0), 0, b"broken").unwrap();
        sample.extension(broken, b"/home/u/broken.so");
        if more {
            sample.file(30, By::Main, "b", "/home/u/b.py");
        }
        module(&read(change(sample)), "broken").state
    };
    assert_eq!(crashed(|s| s, false), State::Underway);
    assert_eq!(crashed(|s| s.short(header::AT_ENDING, ending::EXIT), false), State::NotLoaded);
    assert_eq!(crashed(|s| s.long(header::AT_EXEC, 1 << 40), false), State::NotLoaded);
    assert_eq!(crashed(|s| s, true), State::NotLoaded);
    assert_eq!(crashed(|s| s.object("/home/u/broken.so"), false), State::Loaded);
}

#[test]
fn exec_is_an_end_if_nothing_followed() {
    let end = |last| read(sample().long(header::AT_EXEC, 5_000).long(header::AT_LAST, last)).end;
    assert_eq!(end(4_000), End::Exec);
    assert_eq!(end(6_000), End::Unknown);
    assert_eq!(read(sample()).end, End::Unknown);
}

#[test]
fn direct_is_what_the_program_and_its_own_code_import() {
    let mut sample = sample();
    let helper = sample.file(1, By::Main, "helper", "/home/u/helper.py");
    let pandas = sample.file(20, By::Module(helper), "pandas", &format!("{SITE}/pandas/__init__.py"));
    sample.file(40, By::Module(pandas), "numpy", &format!("{SITE}/numpy/__init__.py"));
    sample.file(60, By::Module(2), "numpy.linalg", &format!("{SITE}/numpy/linalg/__init__.py"));
    sample.file(80, By::Module(2), "numpy.random", &format!("{SITE}/numpy/random/__init__.py"));
    let json = sample.file(100, By::Main, "json", "/usr/lib/python3.11/json/__init__.py");
    sample.file(120, By::Module(json), "json.decoder", "/usr/lib/python3.11/json/decoder.py");
    sample.file(140, By::Named("helper"), "yaml", &format!("{SITE}/yaml/__init__.py"));
    sample.file(160, By::Module(pandas), "pytz", &format!("{SITE}/pytz/__init__.py"));
    sample.file(180, By::Module(pandas), "six", &format!("{SITE}/six.py"));
    // Loaded already when they are asked for.
    sample.names(By::Main, "/home/u/train.py", &["numpy:linalg,array", "absent", "json.absent"]);
    sample.names(By::Module(pandas), &format!("{SITE}/pandas/__init__.py"), &["pytz"]);
    sample.names(By::Nobody, "/home/u/cell.py", &["six"]);
    let found = read(sample);
    assert_eq!(direct(&found), ["helper", "pandas", "numpy", "numpy.linalg", "json", "yaml", "six"]);
    assert_eq!(module(&found, "helper").place, Place::Own);
    assert_eq!(module(&found, "json").place, Place::Standard);
    assert_eq!(module(&found, "numpy").place, Place::Installed);
}

#[test]
fn relative_names_belong_to_the_package() {
    let mut sample = sample();
    let app = sample.file(1, By::Nobody, "app", "/home/u/app/__init__.py");
    let core = sample.file(20, By::Nobody, "app.core", "/home/u/app/core/__init__.py");
    let run = sample.file(40, By::Nobody, "app.core.run", "/home/u/app/core/run.py");
    for (name, at) in
        [("app.util", 60), ("app.core.io", 80), ("app.extra", 100), ("app.core.late", 120), ("util", 140)]
    {
        sample.file(at, By::Nobody, name, "/elsewhere/lib/python3.11/site-packages/x.py");
    }
    assert_eq!((app, core, run), (0, 1, 2));
    sample.names(By::Module(run), "", &[".io", "..:util", "......far", "."]);
    sample.names(By::Module(core), "", &[".late:x"]);
    let found = read(sample);
    assert_eq!(direct(&found), ["app", "app.core", "app.util", "app.core.io", "app.core.late"]);
}

#[test]
fn relative_names_of_a_module_that_is_run() {
    for (name, file) in
        [("app.go", "/home/u/app/go.py"), ("app", "/home/u/app/__main__.py"), ("app.__main__", "")]
    {
        let mut sample = sample().main(kind::main::MODULE, name, "/");
        sample.file(1, By::Nobody, "app", "/home/u/app/__init__.py");
        sample.file(20, By::Nobody, "app.util", "/home/u/app/util.py");
        sample.names(By::Main, file, &[".:util"]);
        assert_eq!(direct(&read(sample)), ["app", "app.util"], "{name}");
    }
}

#[test]
fn a_direct_name_has_direct_parents() {
    let mut sample = sample();
    sample.file(1, By::Nobody, "scipy", &format!("{SITE}/scipy/__init__.py"));
    sample.file(20, By::Main, "scipy.linalg", &format!("{SITE}/scipy/linalg/__init__.py"));
    sample.file(40, By::Nobody, "scipy.io", &format!("{SITE}/scipy/io/__init__.py"));
    assert_eq!(direct(&read(sample)), ["scipy", "scipy.linalg"]);
}

#[test]
fn without_a_prefix_python_is_known_by_its_place() {
    let mut sample = Sample::new();
    sample.file(1, By::Main, "json", "/opt/x/lib/python3.11/json/__init__.py");
    sample.file(20, By::Main, "mine", "/home/u/mine.py");
    sample.file(40, By::Main, "os", "<frozen os>");
    let found = read(sample);
    let places: Vec<Place> = found.modules.iter().map(|module| module.place).collect();
    assert_eq!(places, [Place::Standard, Place::Own, Place::Standard]);
}

#[test]
fn what_is_no_record_is_refused() {
    let whole = sample().bytes();
    assert_eq!(process(b""), Err(ReadError::Empty));
    assert_eq!(process(&[0; 4096]), Err(ReadError::Empty));
    assert_eq!(process(b"hello"), Err(ReadError::NotASpoolFile));
    assert_eq!(process(&whole[..100]), Err(ReadError::Cut { length: 100 }));
    let mut newer = whole.clone();
    newer[header::AT_VERSION] = 2;
    assert_eq!(process(&newer), Err(ReadError::Newer { version: 2 }));
    let mut odd = whole.clone();
    odd[header::AT_LENGTH] = 1;
    assert_eq!(process(&odd), Err(ReadError::NotASpoolFile));
}

#[test]
fn what_is_new_is_passed_over() {
    let mut sample = sample();
    sample.record(200, |put| put.text(b"something new"));
    sample.record(kind::VARIABLE, |put| {
        put.byte(250);
        put.text(b"x");
    });
    // A known one with a field more.
    sample.record(kind::EXCEPTION, |put| {
        put.text(b"KeyError");
        put.number(7);
    });
    let found = read(sample);
    assert_eq!((found.stopped, found.exception.unwrap()), (Stopped::End, "KeyError".into()));
}

#[test]
fn a_field_that_makes_no_sense_ends_the_reading() {
    let bad: [fn(&mut Sample); 4] = [
        |s| s.loaded(1, 5, origin::FILE, b"/x.py"),
        |s| assert!(s.import(1, By::Module(9), 0, b"x").is_some()),
        |s| assert!(s.record(kind::HOST, |put| put.number(1000))),
        |s| assert!(s.record(kind::IMPORT, |put| [0, 0, 0, 500, 0].iter().for_each(|n| put.number(*n)))),
    ];
    for write in bad {
        let mut sample = sample();
        sample.file(1, By::Main, "a", "/home/u/a.py");
        let offset = sample.offset() as u64;
        write(&mut sample);
        sample.file(2, By::Main, "b", "/home/u/b.py");
        let found = read(sample);
        assert_eq!(found.stopped, Stopped::Malformed { offset });
        assert_eq!(found.modules.len(), 1);
    }
}

#[test]
fn code_from_before_a_fork_imports_as_well() {
    let mut sample = sample().short(header::AT_FLAGS, flag::PYTHON | flag::FORKED);
    sample.file(1, By::Named("app.util"), "yaml", &format!("{SITE}/yaml/__init__.py"));
    sample.file(20, By::Named("pandas"), "numpy", &format!("{SITE}/numpy/__init__.py"));
    sample.file(40, By::Nobody, "six", &format!("{SITE}/six.py"));
    sample.names(By::Named("app.util"), "", &["six"]);
    let bytes = sample.bytes();
    assert_eq!(direct(&process(&bytes).unwrap()), [""; 0]);
    let found = process_forked(&bytes, &|name| name == b"app.util").unwrap();
    assert_eq!(direct(&found), ["yaml", "six"]);
}

#[test]
fn an_import_that_was_not_seen_to_end_took_as_long_as_what_was_seen_of_it() {
    let took = |busy: u32| {
        let mut sample = sample().short(header::AT_BUSY, busy);
        let yaml = sample.file(1_000, By::Main, "yaml", &format!("{SITE}/yaml/__init__.py"));
        let loader = sample.file(2_000, By::Module(yaml), "yaml.loader", &format!("{SITE}/yaml/loader.py"));
        sample.file(7_000, By::Module(loader), "yaml.reader", &format!("{SITE}/yaml/reader.py"));
        sample.done(loader, 9_000, 1_000);
        sample.import(60_000, By::Main, 0, b"absent");
        let took = |module: &Module| (module.took_at_least_us, module.took_at_most_us);
        process(&sample.bytes()).unwrap().modules.iter().map(took).collect::<Vec<_>>()
    };
    let [yaml, loader, _, absent] = took(0)[..] else { panic!() };
    assert_eq!((loader, absent), ((Some(9_000), Some(10_000)), (None, None)));
    assert!(matches!(yaml, (Some(10_000..=10_010), None)), "{yaml:?}");
    // The record of its end may be what is missing.
    assert_eq!(took(1)[0], (None, None));
}

/// The hexdump in the reference, byte for byte.
#[test]
fn the_example_in_the_reference() {
    let mut sample = Sample::new()
        .short(header::AT_FLAGS, flag::PYTHON)
        .short(header::AT_PID, 4711)
        .short(header::AT_PARENT, 4700)
        .long(header::AT_START, 1_795_328_000_500_000_000)
        .long(header::AT_ID, 0x1122_3344_5566_7788)
        .short(header::AT_USER, 1000)
        .long(header::AT_LAST, 2_500_000)
        .short(header::AT_IMPORTS, 2)
        .short(header::AT_MODULES, 1)
        .text(kind::HOST, "node7");
    sample.import(1_000, By::Main, 0, b"yaml").unwrap();
    sample.loaded(1_200, 0, origin::FILE, b"/v/lib/yaml.py");
    sample.import(2_500, By::Module(0), 0, b"yaml.reader").unwrap();
    let page = include_str!("../../../docs/reference/spool.md");
    let (_, dump) = page.split_once("```text\n").unwrap();
    let (dump, _) = dump.split_once("```").unwrap();
    let mut bytes = Vec::new();
    for line in dump.lines() {
        let (offset, rest) = line.split_once("  ").unwrap();
        bytes.resize(usize::from_str_radix(offset, 16).unwrap(), 0);
        let (numbers, _) = rest.split_once("  |").unwrap();
        bytes.extend(numbers.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()));
    }
    let written = sample.bytes();
    let dumped: Vec<String> = written[..0x150]
        .chunks(16)
        .enumerate()
        .map(|(i, row)| format!("{:04x} {row:02x?}", i * 16))
        .collect();
    assert_eq!(bytes, written[..bytes.len()], "\n{}", dumped.join("\n"));
    assert!(written[bytes.len()..].iter().all(|byte| *byte == 0));
    let found = process(&bytes).unwrap();
    assert_eq!((found.pid, found.modules.len(), found.stopped), (4711, 2, Stopped::End));
}
