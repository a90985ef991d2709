//! What holds for any bytes whatever, and files to begin with: the tests and the fuzzer use both.

use terrarium_spool::sample::{By, Sample};
use terrarium_spool::{Importer, MOST_MODULES, MOST_TEXT, Process, Record, Records, Stopped, process};
use terrarium_wire::header::{self, ending, flag};
use terrarium_wire::kind::{self, import, origin};

/// Reads the bytes in every way that there is. Panics if something does not hold.
pub(crate) fn examine(bytes: &[u8]) {
    let Ok((header, mut records)) = Records::of(bytes) else {
        assert!(process(bytes).is_err());
        return;
    };
    let mut offset = records.offset();
    let mut modules = 0;
    while let Some(record) = records.next() {
        assert!(records.offset() > offset && records.offset() <= bytes.len() as u64);
        offset = records.offset();
        modules += usize::from(matches!(record, Record::Import { .. } | Record::Module { .. }));
    }
    let stopped = records.stopped().unwrap();
    assert!(records.next().is_none() && records.stopped() == Some(stopped));
    match stopped {
        Stopped::End => {}
        Stopped::Torn { offset: at } | Stopped::Malformed { offset: at } => {
            assert!(at >= offset && at < bytes.len() as u64);
        }
        Stopped::TooMuch { .. } => panic!("an iterator keeps nothing"),
    }
    let found = process(bytes).unwrap();
    assert_eq!(found.pid, header.pid);
    assert!(texts(&found) <= MOST_TEXT && found.modules.len() <= MOST_MODULES);
    if !matches!(found.stopped, Stopped::TooMuch { .. }) {
        assert_eq!((found.stopped, found.modules.len()), (stopped, modules));
    }
    for module in &found.modules {
        assert!(!matches!(module.importer, Importer::Module(number) if number >= found.modules.len()));
        let (least, most) = (module.took_at_least_us, module.took_at_most_us);
        assert!(most.is_none_or(|most| least.is_some_and(|least| least <= most)));
    }
    let _ = (found.python.number(), found.python.is_venv());
    if bytes.len() < 1 << 16 {
        let _ = format!("{found:?}");
    }
}

fn texts(process: &Process) -> usize {
    let lists = [&process.arguments, &process.objects, &process.called];
    let listed: usize = lists.into_iter().flatten().map(|text| text.as_bytes().len()).sum();
    let of_modules = process.modules.iter().map(|module| {
        let origin = module.origin.as_ref().map_or(0, |origin| origin.path.as_bytes().len());
        let importer = if let Importer::Named(name) = &module.importer { name.as_bytes().len() } else { 0 };
        module.name.as_bytes().len() + origin + importer
    });
    listed + of_modules.sum::<usize>()
}

/// Files that have all there is in them.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut all = Sample::new()
        .short(header::AT_FLAGS, flag::PYTHON | flag::FORKED | flag::CALLS)
        .short(header::AT_PID, 42)
        .long(header::AT_ID, 7)
        .long(header::AT_FORKED_FROM, 6)
        .long(header::AT_EXEC, 5_000)
        .long(header::AT_LAST, 4_000)
        .short(header::AT_BUSY, 1)
        .text(kind::HOST, "node7")
        .text(kind::PROGRAM, "/usr/bin/python3.11")
        .variable("SLURM_JOB_ID", "17")
        .variable("SLURM_STEP_ID", "0")
        .variable("SLURM_PROCID", "3")
        .object("/usr/lib/libopenblas.so.0")
        .object("/v/lib/python3.11/site-packages/numpy/_umath.so")
        .text(kind::PYTHON, "3.11.7 (main)")
        .prefix("/v", "/usr", "/v/bin/python")
        .main(kind::main::MODULE, "app.go", "/home/u")
        .text(kind::ARGUMENT, "--fast");
    let app = all.file(1, By::Main, "app", "/home/u/app/__init__.py");
    let numpy = all.file(20, By::Module(app), "numpy", "/v/lib/python3.11/site-packages/numpy/__init__.py");
    let umath = all.import(40, By::Module(numpy), 0, b"numpy._umath").unwrap_or(0);
    all.extension(umath, b"/v/lib/python3.11/site-packages/numpy/_umath.so");
    all.import(41, By::Named("gone"), import::BUILT_IN, b"_sha2");
    all.module(42, By::Nobody, b"plugins", origin::NAMESPACE, b"/home/u/plugins");
    all.done(numpy, 30, 4);
    let failed = all.file(60, By::Main, "broken", "/home/u/broken.py");
    all.failed(failed);
    all.names(By::Main, "/home/u/app/go.py", &["numpy:_umath,array", ".:util", "os.path"]);
    all.names(By::Module(app), "", &["..far", "."]);
    all.import(90, By::Main, 0, b"never");
    let all = all.text(kind::EXCEPTION, "KeyError").text(kind::CALLED, "/home/u/app/go.py");

    let mut long = Sample::new().short(header::AT_ENDING, ending::EXIT);
    for number in 0..300 {
        long.file(number, By::Main, &format!("pkg.m{number}"), &format!("/x/lib/python3/pkg/m{number}.py"));
    }
    let mut bytes: Vec<Vec<u8>> = [all, long, Sample::new().short(header::AT_FLAGS, flag::OPTED_OUT)]
        .into_iter()
        .map(|sample| {
            // The zeros behind the last record say nothing.
            let end = sample.offset() + 4;
            let mut bytes = sample.bytes();
            bytes.truncate(end);
            bytes
        })
        .collect();
    bytes.push(Vec::new());
    bytes
}
