//! The store as a whole: segments made by hand go in, and what comes out is counted; interrupted, forgotten, expired.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use arrow::util::display::{ArrayFormatter, FormatOptions};
use terrarium_segment::{
    CERTAIN, End, Environment, Extent, Head, Job, Kind, Load, Manager, Module, Package, Process, Usage,
    Writer,
};
use terrarium_usage::check::check;
use terrarium_usage::choice::Choice;
use terrarium_usage::commit::{Committed, commit};
use terrarium_usage::error::Error;
use terrarium_usage::inbox::Inbox;
use terrarium_usage::location::Location;
use terrarium_usage::maintain::{compact, expire, forget};
use terrarium_usage::query::Session;
use terrarium_usage::report::{self, Asked};
use terrarium_usage::store::Store;

/// 2026-11-20, in microseconds.
const DAY: i64 = 20_777 * 86_400_000_000;

fn module(name: &str, distribution: Option<(&str, &str)>, origin: &str) -> Module {
    Module {
        name: name.into(),
        distribution: distribution.map(|(name, _)| name.into()),
        version: distribution.map(|(_, version)| version.into()),
        origin: origin.into(),
        place: if origin == "python" { String::new() } else { "~/venv/lib/site-packages".into() },
        kind: Kind::File,
    }
}

/// What a process of these tests loaded: module, importer, direct, µs.
type Loaded = (Module, &'static str, bool, u64);

fn yaml() -> Vec<Loaded> {
    let yaml = Some(("PyYAML", "6.0.1"));
    vec![
        (module("yaml", yaml, "home"), "__main__", true, 2000),
        (module("yaml.reader", yaml, "home"), "yaml", false, 500),
        (module("os", None, "python"), "site", false, 10),
    ]
}

fn numpy() -> Vec<Loaded> {
    let numpy = Some(("numpy", "2.1.0"));
    let mut all = yaml();
    // The program asks for pandas, which brings numpy along.
    all.push((module("pandas", Some(("pandas", "2.2.3")), "base"), "__main__", true, 400_000));
    all.push((module("numpy", numpy, "base"), "pandas", false, 100_000));
    all.push((module("numpy.linalg", numpy, "base"), "numpy", false, 9_000));
    all
}

struct Made {
    writer: Writer<Vec<u8>>,
    records: u64,
}

impl Made {
    fn new(host: &str) -> Self {
        let head = Head {
            cluster: "polaris".into(),
            host: host.into(),
            made_ms: 1,
            terrarium: "0.1.0".into(),
            pseudonyms: false,
            source: "terrarium".into(),
        };
        let mut writer = Writer::new(Vec::new(), &head).unwrap();
        let package = Package {
            name: "PyYAML".into(),
            version: "6.0.1".into(),
            manager: Manager::DistInfo,
            imports: vec!["yaml".into()],
        };
        writer.environment(&Environment {
            id: "0123456789abcdef".into(),
            prefix: "~/venv".into(),
            class: "own-venv".into(),
            python: "3.11.7".into(),
            seen_ms: DAY / 1000,
            packages: vec![package],
            is_partial: false,
        });
        let records = u64::from(host.as_bytes().iter().map(|b| u32::from(*b)).sum::<u32>()) * 1000;
        Made { writer, records }
    }

    fn process(&mut self, user: &str, started_us: i64, loaded: &[Loaded], job: Option<&str>) {
        self.records += 1;
        let loads = loaded
            .iter()
            .map(|(module, importer, direct, took)| Load {
                module: self.writer.module(module),
                importer: self.writer.name(importer),
                direct: (*direct).into(),
                took: *took as u32 + 1,
            })
            .collect();
        let objects = vec![self.writer.name("libopenblas.so.0")];
        let process = Process {
            record: self.records,
            forked_from: None,
            pid: 7,
            parent: Some(1),
            user: user.into(),
            host: "n1".into(),
            started_us,
            lasted_us: 1_000_000,
            end: End::Exited,
            status: Some(0),
            extent: Extent::Full,
            python: Some("3.11.7".into()),
            environment: Some(0),
            main: "script".into(),
            script: None,
            program: "/usr/bin/python3.11".into(),
            job: job.map(|id| Job {
                system: "slurm".into(),
                id: id.into(),
                array: None,
                array_task: None,
                step: None,
            }),
            run: Some("17-4242-4026531836".into()),
            rank: None,
            ranks: None,
            peak_bytes: Some(1 << 24),
            import_events: 5,
            not_loaded: 0,
            dropped: 0,
            is_cut: false,
            exception: None,
            objects,
            probability: CERTAIN,
            doubts: Vec::new(),
            content: 0,
            loads,
        };
        self.writer.process(&process).unwrap();
    }

    fn usage(&mut self, user: &str) {
        let usage = Usage {
            run: "17-4242-4026531836".into(),
            user: user.into(),
            host: "n1".into(),
            job: None,
            started_us: DAY,
            wall_seconds: 2.5,
            end: "exited".into(),
            exit_status: 0,
            tier: "userns".into(),
            ranks: None,
            cpu_seconds: Some(1.5),
            cpus: Some(2),
            memory_peak_bytes: Some(1 << 20),
            memory_limit_bytes: None,
            processes_peak: Some(3),
            left_behind: 0,
            gpus: None,
            gpus_used: None,
            gpu_use_percent: None,
            gpu_memory_peak_bytes: None,
            tracking: "on".into(),
            processes_dropped: 1,
        };
        self.writer.usage(&usage).unwrap();
    }

    fn put(self, inbox: &Path, name: &str) {
        let (bytes, _) = self.writer.finish().unwrap();
        fs::create_dir_all(inbox).unwrap();
        fs::write(inbox.join(format!("{name}.segment")), bytes).unwrap();
    }
}

/// Two nodes: ada ran three processes, one of them on the day after; bob two in a job; eve one.
fn fill(inbox: &Path) {
    let mut one = Made::new("n1");
    one.process("ada", DAY, &yaml(), None);
    one.process("ada", DAY + 5, &numpy(), None);
    one.process("ada", DAY + 86_400_000_000, &yaml(), None);
    one.usage("ada");
    one.put(inbox, "a");
    let mut two = Made::new("n2");
    two.process("bob", DAY + 9, &numpy(), Some("4711"));
    two.process("bob", DAY + 10, &numpy(), Some("4711"));
    two.process("eve", DAY + 11, &[], None);
    two.put(inbox, "b");
}

struct Place {
    base: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Place { base: tempfile::tempdir().unwrap() }
    }

    fn inbox(&self) -> PathBuf {
        self.base.path().join("segments")
    }

    fn directory(&self) -> PathBuf {
        self.base.path().join("store")
    }

    async fn store(&self) -> Store {
        Store::make(Location::parse(&self.directory().display().to_string()).unwrap()).await.unwrap()
    }

    async fn commit(&self) -> Committed {
        let inbox = Inbox::new(self.inbox());
        commit(&self.store().await, &inbox, &mut |_, _| {}, &mut |_| Ok(())).await.unwrap()
    }
}

async fn rows(store: &Store, sql: &str) -> Vec<String> {
    let session = Session::open(store, 1 << 30).await.unwrap();
    let mut all = Vec::new();
    for batch in session.rows(sql).await.unwrap() {
        let options = FormatOptions::default().with_null("-");
        let columns: Vec<_> =
            batch.columns().iter().map(|c| ArrayFormatter::try_new(c, &options).unwrap()).collect();
        for i in 0..batch.num_rows() {
            let cells: Vec<String> = columns.iter().map(|column| column.value(i).to_string()).collect();
            all.push(cells.join(" "));
        }
    }
    all
}

/// Everything that is in the tables, whatever files it is in.
async fn everything(store: &Store) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    for sql in [
        "SELECT * FROM processes ORDER BY process_id",
        "SELECT * FROM imports ORDER BY module, process_id",
        "SELECT environment_id, class, prefix, package, version FROM environments ORDER BY 1, 4",
        "SELECT * FROM users ORDER BY user_no",
        "SELECT * FROM jobs ORDER BY job_id",
        "SELECT * FROM job_usage ORDER BY run",
        "SELECT date, package, version, origin, environment_class, direct, sum(processes), sum(modules), sum(import_us), \
         user_count(users) FROM daily GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6",
    ] {
        all.push(rows(store, sql).await);
    }
    all
}

#[tokio::test]
async fn what_went_in_is_counted_by_hand() {
    let place = Place::new();
    fill(&place.inbox());
    let done = place.commit().await;
    assert_eq!((done.batches, done.segments, done.processes, done.modules), (1, 2, 6, 24));
    assert!(fs::read_dir(place.inbox()).unwrap().next().is_none());
    let store = place.store().await;
    assert_eq!(check(&store).await.unwrap().wrong, [""; 0]);
    let top = "SELECT package, user_count(users), user_count(CASE WHEN direct THEN users END), CAST(sum(processes) AS BIGINT), \
         CAST(sum(import_us) AS BIGINT) FROM daily WHERE origin <> 'python' GROUP BY package ORDER BY package";
    // Each process has the longest import of a package once: yaml 2 ms in five, numpy 100 ms and pandas 400 ms in three.
    assert_eq!(rows(&store, top).await, ["numpy 2 0 3 300000", "pandas 2 2 3 1200000", "yaml 2 2 5 10000"]);
    // All three people and all six processes, with and without imports.
    assert_eq!(
        rows(&store, "SELECT user_count(users), sum(processes) FROM daily WHERE package IS NULL").await,
        ["3 6"]
    );
    assert_eq!(
        rows(&store, "SELECT \"user\", count(*), max(job_id) FROM loads WHERE module = 'numpy.linalg' GROUP BY \"user\" ORDER BY 1")
            .await,
        ["ada 1 -", "bob 2 4711"]
    );
    assert_eq!(rows(&store, "SELECT job_id, \"user\", date FROM jobs").await, ["4711 bob 2026-11-20"]);
    assert_eq!(rows(&store, "SELECT package, version FROM environments").await, ["PyYAML 6.0.1"]);
    assert_eq!(
        rows(&store, "SELECT \"end\", wall_seconds, processes_dropped FROM job_usage").await,
        ["exited 2.5 1"]
    );
    assert_eq!(rows(&store, "SELECT DISTINCT objects FROM processes").await, ["[libopenblas.so.0]"]);
    // Below each module processes are in a row: that is what makes the table small.
    let order =
        rows(&store, "SELECT DISTINCT process_id FROM imports WHERE module = 'numpy' ORDER BY 1").await;
    let ids: Vec<i64> = order.iter().map(|id| id.parse().unwrap()).collect();
    assert_eq!(ids.last().unwrap() - ids[0], 2, "{ids:?}");
}

#[tokio::test]
async fn reports_say_what_was_counted() {
    let place = Place::new();
    fill(&place.inbox());
    place.commit().await;
    let store = place.store().await;
    let day = |text: &str| text.parse::<chrono::NaiveDate>().unwrap();
    let asked = |choice: Choice| Asked {
        choice,
        libraries: Vec::new(),
        limit: None,
        by: None,
        step: None,
        min_users: None,
        memory: 1 << 30,
        advisories: None,
        releases: None,
        public: None,
    };
    let of_day = asked(Choice::days(day("2026-11-20"), day("2026-11-20")));
    for report in report::all()
        .into_iter()
        .filter(|report| !["overhead", "vulnerable", "trends"].contains(&report.name))
    {
        let answered = report.ask(&store, &of_day, &mut |_, _| {}).await.unwrap();
        for batch in &answered.rows {
            for (column, _) in &answered.report.columns {
                assert!(batch.column_by_name(column).is_some(), "{} has no {column}", report.name);
            }
        }
        let complete = answered.complete.unwrap();
        assert_eq!((complete.processes, complete.lost, complete.incomplete), (5, 1, 0));
    }
    let none = asked(Choice::days(day("2020-01-01"), day("2020-01-02")));
    let top = report::all().into_iter().next().unwrap();
    assert_eq!(top.ask(&store, &none, &mut |_, _| {}).await.unwrap().complete.unwrap().processes, 0);
}

#[tokio::test]
async fn wherever_it_is_interrupted_each_segment_counts_once() {
    let whole = Place::new();
    fill(&whole.inbox());
    let mut steps = Vec::new();
    let inbox = Inbox::new(whole.inbox());
    commit(&whole.store().await, &inbox, &mut |_, _| {}, &mut |step| {
        steps.push(step.to_owned());
        Ok(())
    })
    .await
    .unwrap();
    let expected = everything(&whole.store().await).await;
    assert!(steps.len() >= 16, "{steps:?}");
    for interrupted in 0..steps.len() {
        let place = Place::new();
        fill(&place.inbox());
        let inbox = Inbox::new(place.inbox());
        let mut n = 0;
        let result = commit(&place.store().await, &inbox, &mut |_, _| {}, &mut |_| {
            n += 1;
            if n > interrupted { Err(Error::Interrupted) } else { Ok(()) }
        })
        .await;
        assert!(matches!(result, Err(Error::Interrupted)), "{result:?}");
        let store = place.store().await;
        // Once more in the same place, or another, and then to the end.
        let again = commit(&store, &inbox, &mut |_, _| {}, &mut |step| {
            if step == steps[(interrupted + 3) % steps.len()] { Err(Error::Interrupted) } else { Ok(()) }
        })
        .await;
        assert!(again.is_ok() || matches!(again, Err(Error::Interrupted)), "{again:?}");
        place.commit().await;
        assert_eq!(everything(&store).await, expected, "interrupted after {}", steps[interrupted]);
        assert_eq!(check(&store).await.unwrap().wrong, [""; 0]);
        assert!(inbox.files().unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_segment_that_comes_again_is_known_and_a_broken_one_is_put_aside() {
    let place = Place::new();
    fill(&place.inbox());
    let copy = fs::read(place.inbox().join("a.segment")).unwrap();
    place.commit().await;
    let before = everything(&place.store().await).await;
    fs::write(place.inbox().join("again.segment"), &copy).unwrap();
    fs::write(place.inbox().join("torn.segment"), &copy[..copy.len() - 9]).unwrap();
    fs::write(place.inbox().join("not-yet.pending"), &copy).unwrap();
    let mut good = Made::new("n3");
    good.process("fay", DAY, &yaml(), None);
    good.put(&place.inbox(), "z");
    let done = place.commit().await;
    assert_eq!((done.known, done.refused.len(), done.segments), (1, 1, 1));
    assert!(done.refused[0].why.contains("cut off"), "{:?}", done.refused);
    assert!(
        place.inbox().join("refused/torn.segment").exists()
            && place.inbox().join("refused/torn.why").exists()
    );
    assert!(place.inbox().join("not-yet.pending").exists());
    let store = place.store().await;
    let after = rows(&store, "SELECT \"user\" FROM processes").await;
    assert_eq!(after.len(), before[0].len() + 1);
    // Numbers of users stay.
    let users = rows(&store, "SELECT * FROM users ORDER BY user_no").await;
    assert_eq!(users, ["0 ada", "1 bob", "2 eve", "3 fay"]);
}

#[tokio::test]
async fn only_one_changes_it_at_a_time() {
    let place = Place::new();
    fill(&place.inbox());
    let store = place.store().await;
    let lock = store.lock().unwrap();
    let inbox = Inbox::new(place.inbox());
    let busy = commit(&store, &inbox, &mut |_, _| {}, &mut |_| Ok(())).await;
    assert!(matches!(busy, Err(Error::Busy { .. })), "{busy:?}");
    drop(lock);
    assert_eq!(place.commit().await.segments, 2);
}

#[tokio::test]
async fn compacting_changes_files_and_nothing_else() {
    let place = Place::new();
    for i in 0..4 {
        let mut made = Made::new(&format!("n{i}"));
        made.process("ada", DAY + i, &numpy(), None);
        made.process(&format!("user{i}"), DAY + 100 + i, &yaml(), None);
        made.put(&place.inbox(), "x");
        place.commit().await;
    }
    let store = place.store().await;
    let before = everything(&store).await;
    let done = compact(&store, 0, &mut |_| {}).await.unwrap();
    let of = |table: &str| done.iter().find(|done| done.table == table).cloned().unwrap();
    assert_eq!((of("imports").files_before, of("imports").files_after), (4, 1));
    assert_eq!((of("daily").files_before, of("daily").files_after), (4, 1));
    assert_eq!(everything(&store).await, before);
    assert_eq!(check(&store).await.unwrap().wrong, [""; 0]);
    // What was replaced is gone from the disk, and what is left can be committed to.
    assert_eq!(parquet_files(&place.directory().join("imports")).len(), 1);
    assert!(compact(&store, 0, &mut |_| {}).await.unwrap().iter().all(|done| done.files_after <= 1));
    let mut made = Made::new("n9");
    made.process("ada", DAY + 77, &numpy(), None);
    made.put(&place.inbox(), "y");
    assert_eq!(place.commit().await.segments, 1);
    assert_eq!(check(&store).await.unwrap().wrong, [""; 0]);
}

fn parquet_files(directory: &Path) -> Vec<PathBuf> {
    all_files(directory)
        .into_iter()
        .filter(|path| path.extension().is_some_and(|e| e == "parquet"))
        .filter(|path| !path.display().to_string().contains("_delta_log"))
        .collect()
}

fn all_files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().unwrap().is_dir() {
            found.extend(all_files(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found
}

/// Every text in a file: its bytes, and of Parquet what is in it when it is unpacked.
fn has_text(path: &Path, text: &str) -> bool {
    let bytes = fs::read(path).unwrap();
    let has = |bytes: &[u8]| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    if has(&bytes) {
        return true;
    }
    if bytes.starts_with(b"PAR1") {
        let reader =
            parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes));
        for batch in reader.unwrap().build().unwrap() {
            let batch = batch.unwrap();
            if format!("{batch:?}").contains(text) {
                return true;
            }
        }
        return false;
    }
    match terrarium_segment::read(&bytes) {
        Ok(segment) => format!("{segment:?}").contains(text),
        Err(_) => false,
    }
}

fn with_text(directory: &Path, text: &str) -> BTreeSet<String> {
    let files = all_files(directory).into_iter().filter(|path| has_text(path, text));
    files.map(|path| path.strip_prefix(directory).unwrap().display().to_string()).collect()
}

#[tokio::test]
async fn who_is_forgotten_is_in_no_byte() {
    let place = Place::new();
    let (name, other) = ("ada-lovelace", "grace-hopper");
    for i in 0..3 {
        let mut made = Made::new(&format!("n{i}"));
        made.process(name, DAY + i, &numpy(), Some("99"));
        made.process(other, DAY + 50 + i, &yaml(), Some("100"));
        made.usage(name);
        made.usage(other);
        made.put(&place.inbox(), "x");
        place.commit().await;
    }
    let store = place.store().await;
    compact(&store, 1 << 40, &mut |_| {}).await.unwrap();
    // One is on its way.
    let mut made = Made::new("n7");
    made.process(name, DAY, &numpy(), None);
    made.process(other, DAY, &yaml(), None);
    made.put(&place.inbox(), "waits");
    assert!(with_text(place.base.path(), name).len() >= 6, "the test would see it");
    let number = rows(&store, &format!("SELECT user_no FROM users WHERE \"user\" = '{name}'")).await;
    assert_eq!(number, ["0"]);
    let done = forget(&store, Some(&Inbox::new(place.inbox())), name).await.unwrap();
    assert_eq!(done.segments, 1);
    assert_eq!(with_text(place.base.path(), name), BTreeSet::new());
    assert!(!with_text(place.base.path(), other).is_empty());
    // The rest is whole, and agrees.
    assert_eq!(check(&store).await.unwrap().wrong, [""; 0]);
    assert_eq!(rows(&store, "SELECT count(*) FROM processes").await, ["3"]);
    assert_eq!(rows(&store, "SELECT count(*) FROM imports WHERE package = 'numpy'").await, ["0"]);
    assert_eq!(rows(&store, "SELECT user_list(user_set(users)) FROM daily").await, ["[1]"]);
    assert_eq!(rows(&store, "SELECT job_id FROM jobs").await, ["100"]);
    place.commit().await;
    assert_eq!(
        rows(&store, "SELECT \"user\", count(*) FROM processes GROUP BY 1").await,
        [format!("{other} 4")]
    );
    assert_eq!(with_text(place.base.path(), name), BTreeSet::new());
    // Nobody of this name: nothing happens.
    let none = forget(&store, None, "o'brien").await.unwrap();
    assert!(none.rows.iter().all(|(_, n)| *n == 0), "{none:?}");
}

#[tokio::test]
async fn old_days_go_for_good_and_sums_stay_as_long_as_they_may() {
    let place = Place::new();
    let mut made = Made::new("n1");
    made.process("ada", DAY, &numpy(), Some("1"));
    made.process("bob", DAY + 5 * 86_400_000_000, &yaml(), None);
    made.usage("ada");
    made.put(&place.inbox(), "x");
    place.commit().await;
    let store = place.store().await;
    let day = (DAY / 86_400_000_000) as i32;
    expire(&store, day + 3, None).await.unwrap();
    assert_eq!(rows(&store, "SELECT \"user\" FROM processes").await, ["bob"]);
    assert_eq!(rows(&store, "SELECT count(*) FROM jobs").await, ["0"]);
    // Her number is still in the sums, and so is what it stands for.
    assert_eq!(rows(&store, "SELECT \"user\" FROM users ORDER BY 1").await, ["ada", "bob"]);
    assert_eq!(check(&store).await.unwrap().wrong, [""; 0]);
    expire(&store, day + 3, Some(day + 3)).await.unwrap();
    assert_eq!(rows(&store, "SELECT \"user\" FROM users").await, ["bob"]);
    assert_eq!(with_text(&place.directory(), "pandas"), BTreeSet::new());
    assert_eq!(check(&store).await.unwrap().wrong, [""; 0]);
}

#[tokio::test]
async fn damage_is_found() {
    let place = Place::new();
    fill(&place.inbox());
    place.commit().await;
    let store = place.store().await;
    let imports = parquet_files(&place.directory().join("imports"));
    let whole = fs::read(&imports[0]).unwrap();
    fs::write(&imports[0], &whole[..whole.len() / 2]).unwrap();
    let wrong = check(&store).await.unwrap().wrong;
    assert!(wrong.len() == 1 && wrong[0].starts_with("imports/"), "{wrong:?}");
    fs::remove_file(&imports[0]).unwrap();
    assert_eq!(check(&store).await.unwrap().wrong.len(), 1);
    fs::write(&imports[0], &whole).unwrap();
    assert_eq!(check(&store).await.unwrap().wrong, [""; 0]);
    // A table that lacks rows of another.
    let daily = parquet_files(&place.directory().join("daily"));
    let other = parquet_files(&place.directory().join("processes"));
    assert!(!daily.is_empty() && !other.is_empty());
}

#[tokio::test]
async fn there_is_no_store_where_none_was_made() {
    let place = Place::new();
    let open = |path: &Path| Store::open(Location::parse(&path.display().to_string()).unwrap());
    assert!(matches!(open(&place.directory()).await, Err(Error::NoStore { .. })));
    assert!(!place.directory().exists());
    fs::create_dir(place.directory()).unwrap();
    assert!(matches!(open(&place.directory()).await, Err(Error::NoStore { .. })));
    place.store().await;
    assert!(open(&place.directory()).await.is_ok());
}
