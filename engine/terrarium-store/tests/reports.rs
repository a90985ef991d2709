//! Reports from the command line, on a small site that was counted by hand: docs/reference/reports.md says what is counted.
//!
//! | who | job | where | what |
//! |---|---|---|---|
//! | ada | 101: chem, gpu, 2 nodes × 2 h, Jan 10 | base | torch asked for, numpy along |
//! | ada | 101 | own-venv | torch of her home |
//! | bob | 102: chem, cpu, 1 node × 1 h, Jan 10 | base | numpy |
//! | bob | 103: phys, cpu, 10 nodes × 4 h, Jan 31 | own-conda | numpy of his home; on Feb 1 again, and yaml |
//! | cyd | 104: phys, gpu, 1 node × 0.5 h, Feb 5 | base | torch, without a GPU's library |
//! | dan | 105: not in accounting, Feb 6 | overlay | pandas of his home, which brings base's numpy along |
//! | eve | none, Feb 7 | system | yaml |
//! | fay | none, Feb 8 | | opted out |
//! | ada | none, Feb 20 | base | json, which is Python's own |

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use terrarium_segment::{
    CERTAIN, End, Environment, Extent, Head, Job, Kind, Load, Manager, Module, Package, Process, Writer,
};

/// 2026-01-01, days since 1970.
const NEW_YEAR: i64 = 20_454;

struct Place(tempfile::TempDir);

/// What a process loads: module, distribution and version, origin, importer, whether it was asked for, µs.
type Loaded = (&'static str, Option<(&'static str, &'static str)>, &'static str, &'static str, bool, u32);

const TORCH: Option<(&str, &str)> = Some(("torch", "2.4.0"));
const NUMPY: Option<(&str, &str)> = Some(("numpy", "2.1.0"));
const YAML: Option<(&str, &str)> = Some(("PyYAML", "5.3.1"));

/// An environment's class, place and packages.
const ENVIRONMENTS: [(&str, &str, &[&str]); 5] = [
    ("base", "/soft/base", &["torch", "numpy", "scipy"]),
    ("own-venv", "~/venv", &["torch"]),
    ("own-conda", "~/conda", &["numpy", "PyYAML"]),
    ("overlay", "~/overlay", &["pandas"]),
    ("system", "/usr", &["PyYAML"]),
];

struct Site {
    writer: Writer<Vec<u8>>,
    records: u64,
}

impl Site {
    fn new() -> Self {
        let head = Head {
            cluster: "cedar".into(),
            host: "n1".into(),
            made_ms: 1,
            terrarium: "0.1.0".into(),
            pseudonyms: false,
            source: "terrarium".into(),
        };
        let mut writer = Writer::new(Vec::new(), &head).unwrap();
        for (number, (class, prefix, packages)) in ENVIRONMENTS.iter().enumerate() {
            let package = |name: &&str| Package {
                name: (*name).into(),
                version: "1.0".into(),
                manager: Manager::DistInfo,
                imports: vec![name.to_lowercase()],
            };
            writer.environment(&Environment {
                id: format!("{number:016x}"),
                prefix: (*prefix).into(),
                class: (*class).into(),
                python: "3.9.18".into(),
                seen_ms: NEW_YEAR * 86_400_000,
                packages: packages.iter().map(package).collect(),
                is_partial: false,
            });
        }
        Site { writer, records: 0 }
    }

    /// A process that began on a day of the year (from 0) at an hour.
    fn process(
        &mut self,
        user: &str,
        (day, hour): (i64, i64),
        job: Option<&str>,
        environment: Option<u32>,
        loaded: &[Loaded],
        objects: &[&str],
    ) {
        self.records += 1;
        let loads = loaded
            .iter()
            .map(|(name, distribution, origin, importer, direct, took)| {
                let module = Module {
                    name: (*name).into(),
                    distribution: distribution.map(|(name, _)| name.into()),
                    version: distribution.map(|(_, version)| version.into()),
                    origin: (*origin).into(),
                    place: format!("{origin}/site-packages"),
                    kind: Kind::File,
                };
                Load {
                    module: self.writer.module(&module),
                    importer: self.writer.name(importer),
                    direct: (*direct).into(),
                    took: took + 1,
                }
            })
            .collect();
        let objects = objects.iter().map(|name| self.writer.name(name)).collect();
        let process = Process {
            record: self.records,
            forked_from: None,
            pid: 7,
            parent: Some(1),
            user: user.into(),
            host: "n1".into(),
            started_us: ((NEW_YEAR + day) * 24 + hour) * 3_600_000_000,
            lasted_us: 1_000_000,
            end: End::Exited,
            status: Some(0),
            extent: if environment.is_some() { Extent::Full } else { Extent::OptedOut },
            python: environment.map(|_| "3.9.18".into()),
            environment,
            main: "script".into(),
            script: None,
            program: "/usr/bin/python3".into(),
            job: job.map(|id| Job {
                system: "slurm".into(),
                id: id.into(),
                array: None,
                array_task: None,
                step: None,
            }),
            run: None,
            rank: None,
            ranks: None,
            peak_bytes: None,
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
}

fn torch(origin: &'static str) -> Vec<Loaded> {
    vec![
        ("torch", TORCH, origin, "__main__", true, 3_600_000),
        ("torch.cuda", TORCH, origin, "torch", false, 600_000),
    ]
}

fn site() -> Vec<u8> {
    let mut site = Site::new();
    let mut base = torch("base");
    // Of the 3.6 s of torch 0.6 are its own submodule's, and 1.2 those of numpy.
    base.push(("numpy", NUMPY, "base", "torch", false, 1_200_000));
    site.process("ada", (9, 10), Some("101"), Some(0), &base, &["libcuda.so.1", "libmkl_rt.so.2"]);
    site.process("ada", (9, 11), Some("101"), Some(1), &torch("home"), &["libcudart.so.12"]);
    let numpy = |origin| ("numpy", NUMPY, origin, "__main__", true, 1_000_000);
    site.process("bob", (9, 12), Some("102"), Some(0), &[numpy("base")], &["libopenblas.so.0"]);
    site.process("bob", (30, 23), Some("103"), Some(2), &[numpy("home")], &["libscipy_openblas64_-1.so"]);
    let yaml = ("yaml", YAML, "home", "__main__", true, 10_000);
    site.process("bob", (31, 1), Some("103"), Some(2), &[numpy("home"), yaml], &["libopenblas.so.0"]);
    site.process("cyd", (35, 9), Some("104"), Some(0), &torch("base"), &["libtorch_cpu.so"]);
    let pandas = [
        ("pandas", Some(("pandas", "2.2.3")), "home", "__main__", true, 2_000_000),
        ("numpy", NUMPY, "base", "pandas", false, 1_000_000),
    ];
    site.process("dan", (36, 9), Some("105"), Some(3), &pandas, &["libblis.so.4"]);
    site.process("eve", (37, 9), None, Some(4), &[("yaml", YAML, "system", "__main__", true, 20_000)], &[]);
    site.process("fay", (38, 9), None, None, &[], &[]);
    site.process("ada", (50, 9), None, Some(0), &[("json", None, "python", "__main__", true, 100)], &[]);
    site.writer.finish().unwrap().0
}

const ACCOUNTING: &str = "\
JobID|JobIDRaw|Cluster|User|Account|Partition|QOS|Submit|Start|End|State|ExitCode|Timelimit|ReqMem|AllocTRES|NNodes|NCPUS|NodeList|TotalCPU|MaxRSS
101|101|cedar|ada|chem|gpu|normal|2026-01-10T09:00:00|2026-01-10T10:00:00|2026-01-10T12:00:00|COMPLETED|0:0|1-00:00:00|1G|cpu=8,node=2,gres/gpu=4|2|8|n[1-2]|00:01:00|
102|102|cedar|bob|chem|cpu|normal|2026-01-10T11:00:00|2026-01-10T12:00:00|2026-01-10T13:00:00|COMPLETED|0:0|1-00:00:00|1G|cpu=4,node=1|1|4|n1|00:01:00|
103|103|cedar|bob|phys|cpu|normal|2026-01-31T22:00:00|2026-01-31T23:00:00|2026-02-01T03:00:00|COMPLETED|0:0|1-00:00:00|1G|cpu=40,node=10|10|40|n[1-10]|00:01:00|
104|104|cedar|cyd|phys|gpu|normal|2026-02-05T08:00:00|2026-02-05T09:00:00|2026-02-05T09:30:00|COMPLETED|0:0|1-00:00:00|1G|cpu=4,node=1,gres/gpu=1|1|4|n1|00:01:00|
";

impl Place {
    /// With everything in it.
    fn new() -> Self {
        let place = Place::without_accounting();
        place.account();
        place
    }

    fn without_accounting() -> Self {
        let place = Place(tempfile::tempdir().unwrap());
        let segments = place.at("segments");
        fs::create_dir(&segments).unwrap();
        fs::write(segments.join("a.segment"), site()).unwrap();
        let store = place.at("store").display().to_string();
        place.well(&["commit", "--segments", segments.to_str().unwrap(), "--store", &store, "--quiet"]);
        place
    }

    fn account(&self) {
        fs::write(self.at("sacct.txt"), ACCOUNTING).unwrap();
        fs::write(self.at("domains.csv"), "project,domain,since,until\nchem,Chemistry,,\nphys,Physics,,\n")
            .unwrap();
        for (what, file, more) in
            [("slurm", "sacct.txt", ["--zone", "utc"].as_slice()), ("domains", "domains.csv", &[])]
        {
            let file = self.at(file).display().to_string();
            let mut words = vec!["import", what, &file, "--quiet"];
            words.extend(more);
            self.well(&words);
        }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, words: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_terrarium-store"))
            .args(words)
            .env("HOME", self.0.path())
            .env("TERRARIUM_STORE", self.at("store"))
            .env_remove("XDG_DATA_HOME")
            .output()
            .unwrap()
    }

    fn well(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}\n{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// A report of all that time, or of what `words` say.
    fn report(&self, name: &str, words: &[&str]) -> String {
        let mut all = vec!["report", name];
        all.extend(words);
        if !words.contains(&"--since") {
            all.extend(["--since", "2026-01-01"]);
        }
        if !words.contains(&"--until") {
            all.extend(["--until", "2026-03-31"]);
        }
        self.well(&all)
    }

    /// Some columns of its rows.
    fn rows(&self, name: &str, columns: &[&str], words: &[&str]) -> Vec<String> {
        let mut all = words.to_vec();
        all.extend(["--format", "json"]);
        let document: serde_json::Value = serde_json::from_str(&self.report(name, &all)).unwrap();
        let cell = |row: &serde_json::Value, column: &&str| match &row[*column] {
            serde_json::Value::Null => "-".to_owned(),
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let rows = document["rows"].as_array().unwrap();
        rows.iter().map(|row| columns.iter().map(|c| cell(row, c)).collect::<Vec<_>>().join(" ")).collect()
    }
}

const TOP: [&str; 6] = ["package", "users", "direct", "indirect", "jobs", "node_hours"];

#[test]
fn libraries_are_counted_by_hand() {
    let place = Place::new();
    // numpy: ada and dan along, bob asks; jobs 101, 102, 103, 105: 4 + 1 + 40 node-hours, and 105 has none that are known.
    let all = ["numpy 3 1 2 4 45.0", "torch 2 2 0 2 4.5", "yaml 2 2 0 1 40.0", "pandas 1 1 0 1 0.0"];
    assert_eq!(place.rows("top", &TOP, &[]), all);
    let text = place.report("top", &[]);
    assert!(text.starts_with("Most used libraries, 2026-01-01 to 2026-03-31\n\npackage  users"), "{text}");
    let complete = "from 10 processes that were recorded, 1 opted out and 0 incomplete; 0 more could not be recorded; \
                    6 of 7 in jobs joined accounting (85.7 %)";
    assert!(text.contains(complete), "{text}");
    assert!(!text.contains("not_told"), "a column that says nothing is not shown: {text}");
    assert_eq!(
        place.rows("top", &["package"], &["--by", "node-hours"]),
        ["numpy", "yaml", "torch", "pandas"]
    );
    assert_eq!(place.rows("top", &["package"], &["--min-users", "2", "--limit", "2"]), ["numpy", "torch"]);
    // The second time from what was kept, and after the tables' files changed.
    assert_eq!(place.rows("top", &TOP, &[]), all);
    place.well(&["rollup"]);
    place.well(&["compact"]);
    assert_eq!(place.rows("top", &TOP, &[]), all);
}

#[test]
fn each_filter_is_counted_by_hand() {
    let place = Place::new();
    let top = |words: &[&str]| place.rows("top", &TOP, words);
    assert_eq!(top(&["--domain", "Chemistry"]), ["numpy 2 1 1 2 5.0", "torch 1 1 0 1 4.0"]);
    assert_eq!(top(&["--project", "phys"]), ["numpy 1 1 0 1 40.0", "torch 1 1 0 1 0.5", "yaml 1 1 0 1 40.0"]);
    assert_eq!(top(&["--user", "ada"]), ["torch 1 1 0 1 4.0", "numpy 1 0 1 1 4.0"]);
    assert_eq!(top(&["--env", "own"]), ["numpy 1 1 0 1 40.0", "torch 1 1 0 1 4.0", "yaml 1 1 0 1 40.0"]);
    assert_eq!(top(&["--env", "own-venv"]), ["torch 1 1 0 1 4.0"]);
    let home = ["numpy 1 1 0 1 40.0", "pandas 1 1 0 1 0.0", "torch 1 1 0 1 4.0", "yaml 1 1 0 1 40.0"];
    assert_eq!(top(&["--origin", "home"]), home);
    assert_eq!(top(&["--queue", "cpu"]), ["numpy 1 1 0 2 41.0", "yaml 1 1 0 1 40.0"]);
    assert_eq!(top(&["--gpu"]), ["torch 2 2 0 2 4.5", "numpy 1 0 1 1 4.0"]);
    assert_eq!(top(&["--gpu=no"]), ["numpy 1 1 0 2 41.0", "yaml 1 1 0 1 40.0"]);
    assert_eq!(top(&["--direct=no"]), ["numpy 2 0 2 2 4.0"]);
    assert_eq!(top(&["--cluster", "birch"]), [""; 0]);
    // Job 103 counts on both of its days, each time as a whole.
    let february = ["yaml 2 2 0 1 40.0", "numpy 2 1 1 2 40.0", "pandas 1 1 0 1 0.0", "torch 1 1 0 1 0.5"];
    assert_eq!(top(&["--since", "2026-02-01"]), february);
    assert_eq!(top(&["--since", "2026-01-10", "--until", "2026-01-31"])[0], "numpy 2 1 1 3 45.0");
    assert_eq!(top(&["--domain", "Physics", "--queue", "gpu"]), ["torch 1 1 0 1 0.5"], "two at once");
    // Loads by origin are kept apart by environment, and by who asked.
    let origins = |words: &[&str]| place.rows("origins", &["origin", "users", "modules"], words);
    assert_eq!(origins(&["--env", "own"]), ["home 2 5"]);
    assert_eq!(origins(&["--direct"]), ["home 3 5", "base 3 3", "system 1 1"]);
    assert_eq!(origins(&["--domain", "Physics", "--origin", "home"]), ["home 1 3"]);
    // Rows are chosen as rollups are.
    assert_eq!(
        place.rows("libraries", &["package", "processes"], &["--domain", "Chemistry"]),
        ["torch 2", "numpy 2"]
    );
    assert_eq!(
        place.rows("processes", &["date", "processes"], &["--queue", "gpu"]),
        ["2026-02-05 1", "2026-01-10 2"]
    );
}

#[test]
fn the_other_reports_are_counted_by_hand() {
    let place = Place::new();
    let rows = |name: &str, columns: &[&str], words: &[&str]| place.rows(name, columns, words);
    assert_eq!(
        rows(
            "frameworks",
            &["package", "users", "base_only", "both", "own_only", "jobs"],
            &["torch", "numpy"]
        ),
        // bob has numpy from base and from his own; dan's comes from base below an overlay.
        ["numpy 3 2 1 0 4", "torch 2 1 1 0 2"]
    );
    assert_eq!(rows("origins", &["origin", "users", "modules"], &[]), ["base 4 7", "home 3 6", "system 1 1"]);
    assert_eq!(
        rows("submodules", &["part", "users", "share", "share_of_all"], &["torch"]),
        ["cuda 2 100.0 40.0"]
    );
    assert_eq!(
        rows("adoption", &["month", "package", "users", "direct", "everyone", "share"], &["numpy", "yaml"]),
        ["2026-01-01 numpy 2 1 2 100.0", "2026-02-01 numpy 2 1 5 40.0", "2026-02-01 yaml 2 2 5 40.0"]
    );
    assert_eq!(
        rows("domains", &["domain", "place", "package", "users", "share"], &["--limit", "3"]),
        ["Chemistry 1 numpy 2 100.0", "Chemistry 2 torch 1 50.0", "Physics 1 numpy 1 50.0"]
    );
    assert_eq!(
        rows("envs", &["domain", "users", "base", "modified", "own", "system", "base_only"], &[]),
        ["all 5 3 1 2 1 1", "no field 3 1 1 0 1 1", "Chemistry 2 2 0 1 0 1", "Physics 2 1 0 1 0 1"]
    );
    assert_eq!(
        rows(
            "runtime",
            &["package", "jobs", "below_1h", "below_4h", "below_12h", "mean_node_hours"],
            &["numpy"]
        ),
        // 1 h, 2 h, 4 h
        ["numpy 3 0.0 66.7 33.3 15.0"]
    );
    assert_eq!(
        rows("jobsize", &["package", "jobs", "nodes_1", "nodes_2_4", "nodes_5_16"], &["numpy"]),
        ["numpy 3 33.3 33.3 33.3"]
    );
    assert_eq!(
        rows("partitions", &["queue", "users", "jobs", "share", "node_hours"], &[]),
        ["cpu 1 2 50.0 41.0", "gpu 2 2 50.0 4.5"]
    );
    assert_eq!(
        rows("daily", &["day", "users", "in_jobs", "outside", "jobs"], &["--until", "2026-02-07"]),
        [
            "2026-01-10 2 2 0 2",
            "2026-01-31 1 1 0 1",
            "2026-02-01 1 1 0 1",
            "2026-02-05 1 1 0 1",
            "2026-02-06 1 1 0 1",
            "2026-02-07 1 0 1 0"
        ]
    );
    // Job-days: numpy in 101, 102, 103 twice and 105; torch in 101 and 104; of 8 with Python.
    assert_eq!(
        rows(
            "cooccurrence",
            &["package", "other", "together", "of_package", "of_other", "correlation"],
            &["numpy", "torch"]
        ),
        ["numpy torch 1 20.0 50.0 -0.149", "torch numpy 1 50.0 20.0 -0.149"]
    );
    assert_eq!(
        rows("users-jobs", &["package", "users", "by_users", "jobs", "by_jobs"], &[])[..2],
        ["numpy 3 1 4 1", "torch 2 2 2 2"]
    );
    assert_eq!(
        rows("base-gap", &["distribution", "users", "direct", "jobs"], &[]),
        ["PyYAML 1 1 1", "pandas 1 1 1"]
    );
    // Owners: ada needs torch, which base has; bob needs PyYAML beside numpy.
    assert_eq!(
        rows("base-cover", &["packages", "package", "owners", "gained", "needed_by", "most"], &[]),
        ["0 - 1 1 - 1", "1 PyYAML 2 1 1 2"]
    );
    assert_eq!(
        rows("installed-unused", &["distribution", "users", "elsewhere"], &[]),
        ["scipy 0 0", "torch 2 1", "numpy 3 1"]
    );
    assert_eq!(rows("imported-unused", &["package"], &[]), [""; 0], "somebody asks for each");
    assert_eq!(
        rows(
            "imported-unused",
            &["package", "users", "processes", "brought_by", "import_s"],
            &["--until", "2026-01-10", "--user", "ada"]
        ),
        ["numpy 1 1 torch 1.2"]
    );
    assert_eq!(
        rows("versions", &["distribution", "version", "users", "jobs", "ended", "rule"], &["--limit", "2"]),
        ["python 3.9 5 5 true table", "numpy 2.1.0 3 4 - -"]
    );
    assert_eq!(
        rows("optimised", &["blas", "users", "jobs", "processes", "cuda"], &[]),
        ["OpenBLAS 1 2 3 0", "BLIS 1 1 1 0", "MKL 1 1 1 1"]
    );
    assert_eq!(
        rows("gpu-idle", &["project", "jobs", "no_gpu_library", "cpu_build", "users", "gpu_hours"], &[]),
        ["phys 1 1 1 1 0.5", "chem 1 0 0 0 0.0"]
    );
    // base: torch 3.6 − 0.6 − 1.2 + 0.6 twice but for numpy's, numpy 1.2, 1 and 1: 2.4 + 3.6 + 3.2 = 9.2 s.
    assert_eq!(
        rows("home-cost", &["origin", "modules", "process_hours"], &[]),
        // home: torch 3.6, numpy 1 and 1, yaml 0.01, pandas 2 − 1: 6.61 s
        ["base 7 0.003", "home 6 0.002", "python 1 0.0", "system 1 0.0"]
    );
    assert_eq!(rows("coverage", &["sources", "jobs", "users"], &[]), ["terrarium 5 4"]);
    assert_eq!(
        rows("completeness", &["what", "processes", "share"], &[]),
        [
            "recorded 10 100.0",
            "with Python 9 90.0",
            "opted out 1 10.0",
            "incomplete 0 0.0",
            "lost 0 0.0",
            "samples 0 0.0",
            "doubtful 0 0.0",
            "in jobs 7 70.0",
            "joined no accounting 1 14.29"
        ]
    );
    // In February bob takes up yaml (of two fields with as many jobs the first by name), and dan and eve, who are new to Python, are left out.
    assert_eq!(
        rows("drivers", &["package", "newcomers", "asked", "domain", "of_domain", "with"], &[]),
        ["yaml 1 1 Chemistry 1 -"]
    );
    assert_eq!(rows("trends", &["package"], &[]), [""; 0], "fewer than ten people tell of no trend");
}

#[test]
fn vulnerable_versions_are_found_offline() {
    let place = Place::new();
    let folder = place.at("osv");
    fs::create_dir(&folder).unwrap();
    fs::write(
        folder.join("PYSEC-2020-96.json"),
        r#"{"id": "PYSEC-2020-96", "aliases": ["CVE-2020-14343"], "modified": "2023-01-01T00:00:00Z", "summary": "full_load runs code",
            "affected": [{"package": {"ecosystem": "PyPI", "name": "pyyaml"},
              "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "5.4"}]}]}],
            "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}]}"#,
    )
    .unwrap();
    fs::write(folder.join("broken.json"), "{").unwrap();
    let words = ["--advisories", folder.to_str().unwrap()];
    let columns = ["distribution", "version", "users", "severity", "score", "worst", "fixed"];
    assert_eq!(
        place.rows("vulnerable", &columns, &words),
        ["PyYAML 5.3.1 2 critical 9.8 CVE-2020-14343 5.4"]
    );
    assert!(place.report("vulnerable", &words).contains("1 files could not be read"));
    let output = place.run(&["report", "vulnerable"]);
    assert_eq!(output.status.code(), Some(125));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--advisories DIR"));
}

#[test]
fn a_sites_own_dates_of_releases_are_believed() {
    let place = Place::new();
    fs::write(place.at("releases.csv"), "distribution,version,released,end_of_life\nnumpy,2.1.0,2024-08-18,\nPyYAML,5.*,2020-01-06,2021-01-13\n").unwrap();
    let file = place.at("releases.csv");
    let words = ["--releases", file.to_str().unwrap()];
    let found = place.rows(
        "versions",
        &["distribution", "version", "released", "end_of_life", "ended", "rule"],
        &words,
    );
    assert!(found.contains(&"numpy 2.1.0 2024-08-18 2026-08-18 false SPEC 0".to_owned()), "{found:?}");
    assert!(
        found.iter().any(|row| row.starts_with("PyYAML 5.3.1 ") && row.contains("2021-01-13 true table")),
        "{found:?}"
    );
}

#[test]
fn what_accounting_says_later_is_in_the_next_answer() {
    let place = Place::without_accounting();
    let top = || place.rows("top", &["package", "users", "jobs", "node_hours"], &["--limit", "1"]);
    assert_eq!(top(), ["numpy 3 4 0.0"]);
    assert!(place.report("top", &[]).contains("of which no accounting was imported"));
    place.account();
    assert_eq!(top(), ["numpy 3 4 45.0"]);
    let said = place.well(&["rollup", "--json"]);
    assert!(said.contains("\"schema\":\"terrarium.rollup/1\""), "{said}");
    assert!(place.well(&["rollup"]).starts_with("0 days added up, 0 months written"));
}

#[test]
fn jobs_of_two_clusters_are_two_even_with_one_number() {
    let place = Place::new();
    let mut site = Site::new();
    site.process("ada", (9, 10), Some("101"), Some(0), &torch("base"), &[]);
    let bytes = site.writer.finish().unwrap().0;
    // The same node's records under another name of the cluster.
    let segment = terrarium_segment::read(&bytes).unwrap();
    let head = Head { cluster: "birch".into(), ..segment.head.clone() };
    let mut writer = Writer::new(Vec::new(), &head).unwrap();
    for environment in &segment.environments {
        writer.environment(environment);
    }
    for process in &segment.processes {
        let mut process = process.clone();
        process.loads.iter_mut().for_each(|load| {
            load.module = writer.module(&segment.modules[load.module as usize]);
            load.importer = writer.name(&segment.names[load.importer as usize]);
        });
        writer.process(&process).unwrap();
    }
    fs::write(place.at("segments/b.segment"), writer.finish().unwrap().0).unwrap();
    place.well(&["commit", "--segments", place.at("segments").to_str().unwrap(), "--quiet"]);
    let torch = |words: &[&str]| {
        place
            .rows("top", &["package", "users", "jobs"], words)
            .into_iter()
            .find(|row| row.starts_with("torch"))
    };
    assert_eq!(torch(&[]).unwrap(), "torch 2 3");
    assert_eq!(torch(&["--cluster", "birch"]).unwrap(), "torch 1 1");
}

#[test]
fn what_is_kept_is_believed_while_it_is_true_and_whole() {
    let place = Place::new();
    let part = place.at("store/_terrarium/rollups/cedar/2026-02.part");
    let days = || terrarium_rollup::peek(&fs::read(&part).unwrap()).unwrap().1.len();
    // Parts of a month do not push each other out.
    place.report("top", &["--since", "2026-02-01", "--until", "2026-02-06"]);
    assert_eq!(days(), 3);
    place.report("top", &["--since", "2026-02-07", "--until", "2026-02-28"]);
    assert_eq!(days(), 6);
    let all = place.rows("top", &TOP, &[]);
    for length in [0, 20, 300, fs::read(&part).unwrap().len() - 1] {
        let bytes = fs::read(&part).unwrap();
        fs::write(&part, &bytes[..length.min(bytes.len())]).unwrap();
        assert_eq!(place.rows("top", &TOP, &[]), all, "cut to {length}");
        place.well(&["rollup"]);
    }
    fs::write(place.at("store/_terrarium/rollups/state.json"), "{\"version\": 2}").unwrap();
    assert_eq!(place.rows("top", &TOP, &[]), all);
    // A place that is no file is not put aside for one.
    let folder = place.at("folder");
    fs::create_dir(&folder).unwrap();
    let output = place.run(&["report", "top", "-o", folder.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(125));
    assert!(folder.is_dir() && fs::read_dir(&folder).unwrap().next().is_none());
}

#[test]
fn who_is_forgotten_is_in_no_answer_and_no_rollup() {
    let place = Place::new();
    place.well(&["rollup"]);
    place.well(&["forget", "bob"]);
    assert_eq!(place.rows("top", &TOP, &[])[..2], ["torch 2 2 0 2 4.5", "numpy 2 0 2 2 4.0"]);
    // His project was nobody else's in that month; its name went with him.
    place.well(&["rollup"]);
    let january = place.at("store/_terrarium/rollups/cedar/2026-01.part");
    let bytes = fs::read(&january).unwrap();
    let part = terrarium_rollup::decode(&bytes, terrarium_rollup::Wanted::ALL).unwrap();
    assert!(
        part.texts.iter().any(|text| text == "chem") && !part.texts.iter().any(|text| text == "phys"),
        "{:?}",
        part.texts
    );
    // Where rows are gone for good, people are still counted from the sums.
    place.well(&["expire", "--older-than", "1d"]);
    assert_eq!(place.rows("top", &["package", "users", "direct", "jobs"], &[])[0], "torch 2 2 0");
}

#[test]
fn for_everybodys_eyes_there_are_no_few() {
    let place = Place::new();
    let year = ["--public", "--people", "2", "--since", "2026-01-01", "--until", "2026-12-31"];
    // numpy has three people: told is the next lower multiple of two.
    assert_eq!(
        place.rows("top", &["package", "users", "jobs"], &year),
        ["numpy 2 -", "torch 2 -", "yaml 2 -"]
    );
    assert!(
        !place.report("top", &year).contains("processes that were recorded"),
        "nor how many processes there were"
    );
    // bob alone is in the quarter and not in chemistry: who subtracts learns of one.
    let mut chemistry = year.to_vec();
    chemistry.extend(["--domain", "Chemistry"]);
    assert_eq!(place.rows("top", &["package"], &chemistry), [""; 0]);
    for (words, why) in [
        (&["--public", "--since", "2026-01-02", "--until", "2026-01-31"][..], "whole month, quarter or year"),
        (
            &["--public", "--user", "bob", "--since", "2026-01-01", "--until", "2026-01-31"],
            "cannot be narrowed",
        ),
        (
            &[
                "--public",
                "--queue",
                "gpu",
                "--domain",
                "Physics",
                "--since",
                "2026-01-01",
                "--until",
                "2026-01-31",
            ],
            "one filter",
        ),
    ] {
        let mut all = vec!["report", "top"];
        all.extend(words);
        let output = place.run(&all);
        assert_eq!(output.status.code(), Some(125));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(why), "{said}");
    }
    let output =
        place.run(&["report", "drivers", "--public", "--since", "2026-01-01", "--until", "2026-01-31"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("no public form"));
}

#[test]
fn every_report_has_every_form() {
    let place = Place::new();
    let list: serde_json::Value =
        serde_json::from_str(&place.well(&["report", "list", "--format", "json"])).unwrap();
    for report in list.as_array().unwrap() {
        let name = report["name"].as_str().unwrap();
        let folder = place.at("none");
        fs::create_dir_all(&folder).unwrap();
        // It measures, and needs the hook.
        if name == "overhead" {
            continue;
        }
        let more: &[&str] =
            if name == "vulnerable" { &["--advisories", folder.to_str().unwrap()] } else { &[] };
        for format in ["table", "csv", "json", "svg", "html"] {
            let mut words = vec!["--format", format];
            words.extend(more);
            let text = place.report(name, &words);
            assert!(
                !text.contains("NaN") && !text.contains('{') | (format != "table"),
                "{name} {format}: {text}"
            );
            if format == "svg" {
                assert!(text.contains("<title") && text.contains("</svg>"), "{name}");
            }
        }
        let file = place.at("out.parquet");
        let mut words = vec!["--format", "parquet", "-o", file.to_str().unwrap()];
        words.extend(more);
        place.report(name, &words);
        assert!(fs::read(&file).unwrap().starts_with(b"PAR1"), "{name}");
        // What is asked about has not happened.
        let mut words = vec!["--since", "2020-01-01", "--until", "2020-12-31"];
        words.extend(more);
        let mut all = vec!["report", name];
        all.extend(&words);
        let output = place.run(&all);
        let is_told = name == "trends" && output.status.code() == Some(125);
        assert!(output.status.success() || is_told, "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn what_cannot_be_had_says_what_can() {
    let place = Place::new();
    for (words, why) in [
        (&["report", "nothing"][..], "there is no report `nothing`"),
        (&["report", "top", "numpy"], "none can be named"),
        (&["report", "top", "--by", "colour"], "users, jobs, node_hours"),
        (&["report", "top", "--step", "day"], "no steps of time"),
        (&["report", "completeness", "--min-users", "3"], "counts no users"),
        (&["report", "top", "--people", "3"], "--public"),
        (&["report", "daily", "--origin", "home"], "--origin says nothing of it"),
        (&["report", "completeness", "--env", "base"], "--env says nothing of it"),
        (&["report", "submodules", "torch", "numpy"], "it is about one library"),
        (&["report", "frameworks", "a\nb"], "is no name"),
        (&["report", "top", "--queue", ""], "is no name"),
        (
            &["report", "top", "--public", "--env", "own", "--since", "2026-01-01", "--until", "2026-01-31"],
            "--env own-venv",
        ),
        (&["sql", "SELECT * FROM usage('colour')"], "`colour` is nothing to keep apart; these are: package"),
        (&["sql", "SELECT * FROM origin_loads('package')"], "origin_loads tells origins apart by itself"),
    ] {
        let output = place.run(words);
        assert_eq!(output.status.code(), Some(125), "{words:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(why), "{words:?}: {said}");
    }
    assert!(place.report("top", &["--domain", "Alchemy"]).contains("nothing was recorded of domain Alchemy"));
    let limit = u64::MAX.to_string();
    assert_eq!(place.rows("top", &["package"], &["--limit", &limit]).len(), 4);
    assert!(
        place.report("frameworks", &["nothing", "--format", "csv"]).starts_with("package,users,base_only")
    );
    assert!(place.report("top", &["--user", "nobody"]).contains("there is no user nobody"));
    // A name with a quote is a name.
    assert!(place.report("submodules", &["o'brien"]).contains("no rows"));
    let sql = place.well(&[
        "sql",
        "--format",
        "csv",
        "SELECT package, users FROM usage('package') ORDER BY 2 DESC, 1 LIMIT 1",
    ]);
    assert_eq!(sql, "package,users\r\nnumpy,3\r\n");
}
