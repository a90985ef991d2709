//! Imports from the command line: real records of XALT in each of their forms, accounting, and what goes wrong.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Written by XALT 3.2.4 itself; its README tells how.
const XALT: &[u8] = include_bytes!("data/xalt-3.2.4.tar.zst");

const RULES: &str = "cluster = 'here'\n\
    [privacy]\nscripts = true\n\
    [[origin]]\nclass = 'base'\npath = '/soft/applications/conda/*'\n\
    [[environment]]\nclass = 'base'\nprefix = '/soft/applications/conda/*/mconda3'\n\
    [[origin]]\nclass = 'project'\npath = '/eagle/projects/{project}'\n\
    [[origin]]\nclass = 'project'\npath = '/lus/grand/projects/{project}'\n";

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Place(tempfile::tempdir().unwrap());
        fs::write(place.at("site.toml"), RULES).unwrap();
        place
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The records of XALT, unpacked.
    fn xalt(&self) -> PathBuf {
        let into = self.at("xalt");
        if !into.is_dir() {
            let tar = zstd::decode_all(XALT).unwrap();
            tar::Archive::new(&tar[..]).unpack(&into).unwrap();
            fs::remove_file(into.join("README.md")).unwrap();
        }
        into
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

    /// Imports, and says what was printed; all is well.
    fn import(&self, words: &[&str]) -> serde_json::Value {
        let (document, code) = self.try_import(words);
        assert_eq!(code, Some(0), "{document}");
        document
    }

    fn try_import(&self, words: &[&str]) -> (serde_json::Value, Option<i32>) {
        let rules = self.at("site.toml");
        let mut all = vec!["import"];
        all.extend(words);
        all.extend(["--json", "--rules", rules.to_str().unwrap()]);
        let output = self.run(&all);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let document =
            serde_json::from_str(&text).unwrap_or_else(|_| panic!("{:?}\n{text}{said}", output.status));
        (document, output.status.code())
    }

    fn sql(&self, query: &str) -> Vec<String> {
        let output = self.run(&["sql", "--format", "csv", query]);
        assert!(output.status.success(), "{query}\n{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().skip(1).map(str::to_owned).collect()
    }

    fn check(&self) {
        let output = self.run(&["check"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }

    /// All of the tables, numbers of processes and batches included.
    fn everything(&self) -> Vec<Vec<String>> {
        [
            "SELECT * FROM processes ORDER BY process_id",
            "SELECT * FROM imports ORDER BY process_id, module, place",
            "SELECT * FROM environments ORDER BY environment_id",
            "SELECT * FROM users ORDER BY user_no",
            "SELECT * FROM jobs ORDER BY cluster, scheduler, job_id, submitted",
            "SELECT * FROM links ORDER BY process_id",
            "SELECT * FROM domains ORDER BY project, since",
            "SELECT date, package, origin, environment_class, direct, sum(processes), sum(modules), user_count(users) FROM daily \
             GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5",
        ]
        .into_iter()
        .map(|query| self.sql(query))
        .collect()
    }

    /// The same without what depends on the order of imports.
    fn meaning(&self) -> Vec<Vec<String>> {
        [
            "SELECT cluster, record, \"user\", host, started, ended, \"end\", python, environment_class, environment_id, main, script, \
             program, scheduler, job_id, array_id, array_task, ranks, modules, objects, probability, source, doubts FROM processes \
             ORDER BY record",
            "SELECT p.record, i.module, i.package, i.origin, i.place, i.kind, i.direct FROM imports i JOIN processes p \
             ON i.process_id = p.process_id ORDER BY 1, 2, 5",
            "SELECT scheduler, job_id, \"user\", project, queue, nodes FROM jobs ORDER BY 1, 2",
            "SELECT date, package, origin, environment_class, direct, sum(processes), sum(modules), user_count(users) FROM daily \
             GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5",
        ]
        .into_iter()
        .map(|query| self.sql(query))
        .collect()
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn real_records_are_counted_by_hand() {
    let place = Place::new();
    let folder = place.xalt().join("file_toplevel_tacc");
    let said = place.import(&["xalt", text(&folder)]);
    assert_eq!(said["read"]["packages"], 42);
    assert_eq!(said["read"]["ends"], 7);
    assert_eq!((&said["processes"]["new"], &said["processes"]["modules"]), (&7.into(), &40.into()));
    assert_eq!(said["processes"]["doubts"]["children-merged"], 1);
    assert_eq!(said["processes"]["doubts"]["no-packages"], 1);
    assert_eq!((&said["joined"]["in_jobs"], &said["joined"]["accounted"]), (&6.into(), &0.into()));
    place.check();
    // Python's version is not a package's; who asked is not known.
    assert_eq!(place.sql("SELECT DISTINCT version, direct, imported_by FROM imports"), [",,"]);
    assert_eq!(
        place.sql("SELECT DISTINCT python, source, cluster FROM processes ORDER BY 1"),
        ["3.11,xalt,polarissim", "3.11.7,xalt,polarissim"]
    );
    assert_eq!(
        place.sql("SELECT \"user\", scheduler, job_id, array_id, array_task, environment_class, modules, doubts FROM processes ORDER BY started"),
        [
            "alice,pbs,100001,,,base,3,[]",
            "alice,pbs,100002,,,own-conda,13,[]",
            "bob,pbs,100003,,,own-conda,16,[]",
            "bob,pbs,100004,,,base,3,[]",
            "carol,pbs,100005[3],100005[],3,own-python,2,[children-merged]",
            "dave,slurm,777,,,own-conda,3,[]",
            "erin,,,,,base,0,[no-packages]",
        ]
    );
    // 1 node is what XALT says where PBS does not tell.
    assert_eq!(
        place.sql("SELECT job_id, project, queue, nodes, cores, source FROM jobs ORDER BY job_id"),
        [
            "100001,ProjA,prod,2,,xalt",
            "100002,ProjA,debug,,,xalt",
            "100003,ProjB,prod,10,,xalt",
            "100004,ProjB,prod,4,,xalt",
            "100005[3],ProjC,prod,,,xalt",
            "777,acctx,gpu,3,,xalt",
        ]
    );
    assert_eq!(
        place.sql("SELECT module, origin, place, kind FROM imports WHERE module IN ('yaml', 'scipy') ORDER BY 1, 2 LIMIT 2"),
        [
            "scipy,base,/soft/applications/conda/2026-07-01/mconda3/lib/python3.11/site-packages,file",
            "scipy,base,/soft/applications/conda/2026-07-01/mconda3/lib/python3.11/site-packages,file",
        ]
    );
}

#[test]
fn the_same_again_changes_nothing() {
    let place = Place::new();
    let everything = place.xalt();
    let first = place.import(&["xalt", text(&everything)]);
    let tables = place.everything();
    let again = place.import(&["xalt", text(&everything)]);
    assert_eq!(again["processes"]["new"], 0);
    assert_eq!(again["processes"]["completed"], 0);
    assert_eq!(again["processes"]["known"], first["processes"]["new"]);
    assert_eq!(place.everything(), tables);
    place.check();
}

/// All records of a folder, a line each.
fn lines(folder: &Path) -> Vec<String> {
    let mut names: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    names.iter().map(|path| fs::read_to_string(path).unwrap().trim().to_owned()).collect()
}

/// Blocks of a log, as XALT's `transmission=syslog` writes them.
fn syslog(records: &[String], version: u32) -> Vec<u8> {
    use base64::Engine;
    let mut out = Vec::new();
    for (number, record) in records.iter().enumerate() {
        let value = if version == 2 {
            let mut packer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
            packer.write_all(record.as_bytes()).unwrap();
            base64::engine::general_purpose::STANDARD.encode(packer.finish().unwrap())
        } else {
            record.clone()
        };
        let blocks: Vec<&[u8]> = value.as_bytes().chunks(512).collect();
        // Backwards, and each twice.
        for (index, block) in blocks.iter().enumerate().rev() {
            for _ in 0..2 {
                let head = format!(
                    "XALT_LOGGING_polarissim: V:{version} kind:run syshost:polarissim key:k{number} crcStr:0x1 nb:{:02} idx:{index:02} value:",
                    blocks.len()
                );
                out.extend_from_slice(head.as_bytes());
                out.extend_from_slice(block);
                out.push(b'\n');
            }
        }
    }
    out
}

/// XALT's database with these records.
fn dump(records: &[String]) -> String {
    let quote = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
    let (mut runs, mut packages) = (Vec::new(), Vec::new());
    let mut numbers: std::collections::HashMap<String, usize> = Default::default();
    let all: Vec<serde_json::Value> =
        records.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
    for record in all.iter().filter(|record| record.get("userT").is_some()) {
        let (texts, values) = (&record["userT"], &record["userDT"]);
        let text = |name: &str| quote(texts[name].as_str().unwrap());
        let number = |name: &str| values[name].as_f64().unwrap().to_string();
        let uuid = texts["run_uuid"].as_str().unwrap().to_owned();
        let id = numbers.len() + 1;
        numbers.insert(uuid.clone(), id);
        let command = serde_json::to_string(&record["cmdlineA"]).unwrap();
        let mut packer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        packer.write_all(command.as_bytes()).unwrap();
        let packed: String = [(command.len() as u32).to_le_bytes().to_vec(), packer.finish().unwrap()]
            .concat()
            .iter()
            .map(|byte| format!("{byte:02X}"))
            .collect();
        runs.push(format!(
            "({id},{},{},'2026-11-22 00:00:00',{},NULL,'h',{},'binary',{},{},{},{},{},{},1,0,{},1,0,{},{},NULL,'/',0x{packed},NULL)",
            text("job_id"), quote(&uuid), text("syshost"), text("account"), number("start_time"), number("end_time"),
            number("run_time"), number("probability"), number("num_cores"), number("num_nodes"), text("queue"), text("user"),
            text("exec_path")
        ));
    }
    for (i, record) in all.iter().filter(|record| record.get("package_name").is_some()).enumerate() {
        packages.push(format!(
            "({i},{},'python',{},{},{})",
            numbers[record["xalt_run_uuid"].as_str().unwrap()],
            quote(record["package_name"].as_str().unwrap()),
            quote(record["package_version"].as_str().unwrap()),
            quote(record["package_path"].as_str().unwrap())
        ));
    }
    format!(
        "-- MariaDB dump 10.19\n/*!40101 SET NAMES utf8 */;\nCREATE TABLE `xalt_env_name` (\n  `env_id` int\n);\n\
         INSERT INTO `xalt_env_name` VALUES (1,'a;\\'b');\nINSERT INTO `xalt_pkg` VALUES {};\nINSERT INTO `xalt_run` VALUES {};\n",
        packages.join(","),
        runs.join(",")
    )
}

#[test]
fn each_form_of_the_same_records_gives_the_same_tables() {
    let place = Place::new();
    let folder = place.xalt().join("file_toplevel_tacc");
    place.import(&["xalt", text(&folder)]);
    let expected = place.meaning();
    let records = lines(&folder);
    let joined = records.join("\n");
    let pretty: Vec<String> = records
        .iter()
        .map(|text| {
            serde_json::to_string_pretty(&serde_json::from_str::<serde_json::Value>(text).unwrap()).unwrap()
        })
        .collect();
    let mut tar = tar::Builder::new(Vec::new());
    for (i, record) in records.iter().enumerate().rev() {
        let mut header = tar::Header::new_gnu();
        header.set_size(record.len() as u64);
        header.set_mode(0o600);
        tar.append_data(&mut header, format!("{}/run.{i}.json", i % 997), record.as_bytes()).unwrap();
    }
    let tar = tar.into_inner().unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&tar).unwrap();
    let wrapped: Vec<String> = records
        .iter()
        .map(|record| serde_json::json!({"message": record, "host": "x"}).to_string())
        .collect();
    let posts: Vec<String> =
        records.iter().map(|record| format!("POST /x {{'Host': '127.0.0.1'}}\n{record}\n")).collect();
    let forms: Vec<(&str, Vec<u8>)> = vec![
        ("lines.jsonl", joined.clone().into_bytes()),
        ("lines.jsonl.zst", zstd::encode_all(joined.as_bytes(), 3).unwrap()),
        ("one-line.json", records.concat().into_bytes()),
        ("pretty.json", pretty.join("\n").into_bytes()),
        ("files.tar", tar.clone()),
        ("files.tar.gz", gzip.finish().unwrap()),
        ("files.tar.zst", zstd::encode_all(&tar[..], 3).unwrap()),
        ("wrapped.jsonl", wrapped.join("\n").into_bytes()),
        ("posts.txt", posts.concat().into_bytes()),
        ("v4.log", syslog(&records, 4)),
        ("v3.log", syslog(&records, 3)),
        ("v2.log.zst", zstd::encode_all(&syslog(&records, 2)[..], 3).unwrap()),
    ];
    for (name, bytes) in forms {
        let place = Place::new();
        fs::write(place.at(name), bytes).unwrap();
        place.import(&["xalt", text(&place.at(name))]);
        assert_eq!(place.meaning(), expected, "{name}");
        place.check();
    }
    // A dump has less: no scheduler, no libraries.
    let place = Place::new();
    fs::write(place.at("dump.sql"), dump(&records)).unwrap();
    let said = place.import(&["xalt", "--scheduler", "pbs", text(&place.at("dump.sql"))]);
    assert_eq!((&said["read"]["packages"], &said["processes"]["new"]), (&42.into(), &7.into()));
    assert_eq!(place.meaning()[1], expected[1]);
    // Files of the same runs after it complete them.
    let said = place.import(&["xalt", text(&folder)]);
    assert_eq!((&said["processes"]["new"], &said["processes"]["completed"]), (&0.into(), &7.into()));
    assert_eq!(place.meaning()[0], expected[0]);
    place.check();
}

#[test]
fn pieces_in_any_order_of_imports_become_the_same() {
    let place = Place::new();
    let folder = place.xalt().join("file_toplevel_tacc");
    place.import(&["xalt", text(&folder)]);
    let expected = place.meaning();
    let records = lines(&folder);
    // The start that the end was made of.
    let starts: Vec<String> = records
        .iter()
        .filter(|record| record.contains("\"userT\""))
        .map(|record| {
            let mut start: serde_json::Value = serde_json::from_str(record).unwrap();
            start["userDT"]["end_time"] = 0.0.into();
            start["userDT"]["run_time"] = 0.0.into();
            start["libA"] = serde_json::json!([]);
            start.to_string()
        })
        .collect();
    let (ends, packages): (Vec<String>, Vec<String>) =
        records.iter().cloned().partition(|record| record.contains("\"userT\""));
    let (half, rest) = packages.split_at(packages.len() / 2);
    let pieces: [(&str, &[String]); 4] = [("s", &starts), ("e", &ends), ("p", half), ("q", rest)];
    for order in [[0, 1, 2, 3], [2, 0, 3, 1], [3, 2, 1, 0], [1, 0, 3, 2]] {
        let place = Place::new();
        for piece in order {
            let (name, records) = pieces[piece];
            fs::write(place.at(name), records.join("\n")).unwrap();
            place.import(&["xalt", text(&place.at(name))]);
        }
        let mut found = place.meaning();
        // That all packages of a run are repeated by children is seen only where they come together.
        for (row, wanted) in found[0].iter_mut().zip(&expected[0]) {
            *row = row.replace("[children-merged]", "[]");
            assert_eq!(*row, wanted.replace("[children-merged]", "[]"), "{order:?}");
        }
        assert_eq!(found[1..], expected[1..], "{order:?}");
        place.check();
    }
}

#[test]
fn what_is_broken_is_listed_and_the_rest_goes_on() {
    let place = Place::new();
    let folder = place.xalt().join("file_toplevel_tacc");
    let records = lines(&folder);
    let run = records.iter().find(|record| record.contains("\"userT\"")).unwrap();
    let package = &records[0];
    let torn = &run[..run.len() / 2];
    let lines = format!(
        "{package}\nnot json\n{{\"a\":1}}\n{torn}\n{run}\n{{\"package_name\":\"x\",\"xalt_run_uuid\":\"no\"}}\n"
    );
    fs::write(place.at("mixed.jsonl"), &lines).unwrap();
    let whole = zstd::encode_all(lines.as_bytes(), 3).unwrap();
    fs::write(place.at("cut.zst"), &whole[..whole.len() - 9]).unwrap();
    fs::write(place.at("x.xz"), b"\xFD7zXZ\0\0").unwrap();
    let (said, code) = place.try_import(&[
        "xalt",
        text(&place.at("mixed.jsonl")),
        text(&place.at("cut.zst")),
        text(&place.at("x.xz")),
        text(&place.at("none")),
    ]);
    assert_eq!(code, Some(1));
    let list = fs::read_to_string(said["refused_list"].as_str().unwrap()).unwrap();
    let refused: Vec<serde_json::Value> =
        list.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |name: &str| -> Vec<(u64, String)> {
        let is_of = |entry: &&serde_json::Value| entry["file"].as_str().unwrap().ends_with(name);
        let entries = refused.iter().filter(is_of);
        entries.map(|e| (e["offset"].as_u64().unwrap(), e["why"].as_str().unwrap().to_owned())).collect()
    };
    let mixed = of("mixed.jsonl");
    let second = package.len() as u64 + 1;
    assert_eq!((mixed[0].0, mixed[0].1.as_str()), (second + 9, "neither a run, a package nor a link"));
    assert_eq!((mixed[1].0, mixed[1].1.as_str()), (second + 17, "the record has no end"));
    assert!(mixed[2].1.contains("xalt_run_uuid"), "{mixed:?}");
    assert_eq!(mixed[3], (second, "no record of XALT".to_owned()));
    assert_eq!(mixed.len(), 4);
    assert!(of("x.xz")[0].1.contains("unpack") && !of("none").is_empty() && !of("cut.zst").is_empty());
    // The package and the run are of one process.
    assert_eq!(place.sql("SELECT count(*), sum(modules) FROM processes"), ["1,1"]);
    place.check();
}

#[test]
fn names_go_through_the_key_and_are_nowhere() {
    let place = Place::new();
    fs::write(place.at("key"), [7; 32]).unwrap();
    let mut permissions = fs::metadata(place.at("key")).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o600);
    fs::set_permissions(place.at("key"), permissions).unwrap();
    let rules = RULES.replace(
        "scripts = true\n",
        &format!("users = 'pseudonyms'\nkey_file = '{}'\n", place.at("key").display()),
    );
    fs::write(place.at("site.toml"), rules).unwrap();
    place.import(&["xalt", text(&place.xalt())]);
    let users = place.sql("SELECT DISTINCT \"user\" FROM processes");
    assert!(users.iter().all(|user| user.starts_with("u-") && user.len() == 18), "{users:?}");
    for name in ["alice", "carol", "dave", "plot.py"] {
        let found = found_in(&place.at("store"), name.as_bytes());
        assert_eq!(found, [""; 0], "{name}");
    }
    // What was forgotten is nowhere either.
    let gone = place.sql("SELECT \"user\" FROM processes WHERE job_id = '100001' LIMIT 1")[0].clone();
    assert!(place.run(&["forget", &gone]).status.success());
    assert_eq!(found_in(&place.at("store"), gone.as_bytes()), [""; 0]);
    place.check();
}

/// Files below a directory in which something stands, unpacked as far as rows of tables are.
fn found_in(directory: &Path, name: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(found_in(&path, name));
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        if bytes.windows(name.len()).any(|window| window == name) {
            found.push(path.display().to_string());
        }
    }
    found
}

const SACCT: &str = "JobID|JobIDRaw|User|Account|Partition|Cluster|State|ExitCode|Submit|Start|End|NNodes|NCPUS|AllocTRES|NodeList\n\
    777|777|dave|acctx|gpu|polarissim|COMPLETED|0:0|1795308700|1795308800|1795308900|3|96|cpu=96,gres/gpu=12,mem=300G,node=3|n[1-3]\n\
    778|778|erin|acctx|gpu|polarissim|RUNNING|0:0|1795308700|1795308800|Unknown|1|32|cpu=32,node=1|n7\n";

#[test]
fn jobs_are_joined_in_either_order_and_come_once() {
    let pbs = "11/22/2026 00:55:00;E;100001.polaris-pbs;user=alice account=\"ProjA\" queue=prod ctime=1795308700 qtime=1795308700 \
        etime=1795308700 start=1795308800 exec_host=x1/0*64+x2/0*64 Resource_List.ncpus=128 Resource_List.ngpus=8 \
        Resource_List.walltime=01:00:00 session=1 end=1795308900 Exit_status=0 resources_used.walltime=00:01:40 run_count=1\n\
        11/22/2026 00:55:00;E;100005[3].polaris-pbs;user=carol queue=prod ctime=1795308700 start=1795308800 exec_host=x3/0 \
        end=1795308900 Exit_status=0 run_count=1\n";
    let domains = "project,domain,since,until\nProjA,Physics,,2026-11-30\nProjA,Chemistry,2026-12-01,\nacctx,Biology,,\n";
    let mut orders = Vec::new();
    for order in [[0, 1, 2, 3], [3, 2, 1, 0]] {
        let place = Place::new();
        fs::write(place.at("sacct.txt"), SACCT).unwrap();
        fs::write(place.at("20261122"), pbs).unwrap();
        fs::write(place.at("domains.csv"), domains).unwrap();
        let folder = place.xalt().join("file_toplevel_tacc");
        for step in order {
            match step {
                0 => place.import(&["xalt", text(&folder)]),
                1 => place.import(&["slurm", text(&place.at("sacct.txt"))]),
                2 => place.import(&[
                    "pbs",
                    "--zone",
                    "utc",
                    "--cluster",
                    "polarissim",
                    text(&place.at("20261122")),
                ]),
                _ => place.import(&["domains", text(&place.at("domains.csv"))]),
            };
        }
        place.check();
        assert_eq!(
            place.sql("SELECT job_id, \"user\", project, domain, nodes, cores, gpus, is_accounted FROM process_jobs WHERE job_id IS NOT NULL ORDER BY job_id"),
            [
                "100001,alice,ProjA,Physics,2,128,8,true",
                "100002,alice,ProjA,Physics,,,,false",
                "100003,bob,ProjB,,10,,,false",
                "100004,bob,ProjB,,4,,,false",
                "100005[3],carol,ProjC,,1,1,,true",
                "777,dave,acctx,Biology,3,96,12,true",
            ],
            "{order:?}"
        );
        assert_eq!(place.sql("SELECT count(*), count(DISTINCT job_id) FROM jobs"), ["7,7"]);
        let before = place.everything();
        place.import(&["slurm", text(&place.at("sacct.txt"))]);
        place.import(&["pbs", "--zone", "utc", "--cluster", "polarissim", text(&place.at("20261122"))]);
        assert_eq!(place.everything(), before);
        orders.push(place.sql("SELECT * FROM jobs ORDER BY job_id"));
    }
    assert_eq!(orders[0], orders[1]);
}

#[test]
fn a_running_job_ends_and_a_requeued_one_is_two() {
    let place = Place::new();
    let head = SACCT.lines().next().unwrap();
    let row = |state: &str, submit: u64, start: u64, end: &str| {
        format!("9|9|ada|p|batch|here|{state}|0:0|{submit}|{start}|{end}|1|4|cpu=4|n1")
    };
    let import = |rows: &[String]| {
        fs::write(place.at("sacct.txt"), format!("{head}\n{}\n", rows.join("\n"))).unwrap();
        place.import(&["slurm", text(&place.at("sacct.txt"))]);
    };
    import(&[row("RUNNING", 1_795_300_000, 1_795_300_100, "Unknown")]);
    import(&[
        row("REQUEUED", 1_795_300_000, 1_795_300_100, "1795303000"),
        row("COMPLETED", 1_795_303_001, 1_795_390_000, "1795393000"),
    ]);
    // An older answer of sacct's takes nothing back.
    import(&[row("RUNNING", 1_795_300_000, 1_795_300_100, "Unknown")]);
    assert_eq!(
        place.sql(
            "SELECT job_id, state, holds_from IS NULL, holds_until IS NULL FROM jobs ORDER BY submitted"
        ),
        ["9,REQUEUED,true,false", "9,COMPLETED,false,true"]
    );
    // A process of each.
    let run = |uuid: u32, start: u64| {
        format!(
            "{{\"userT\":{{\"run_uuid\":\"00000000-0000-4000-8000-0000000000{uuid:02}\",\"syshost\":\"here\",\"user\":\"ada\",\
             \"exec_path\":\"/usr/bin/python3.11\",\"job_id\":\"9\",\"scheduler\":\"SLURM\"}},\
             \"userDT\":{{\"start_time\":{start},\"end_time\":0,\"run_time\":0,\"probability\":0.01}}}}"
        )
    };
    fs::write(place.at("runs"), format!("{}\n{}\n", run(1, 1_795_301_000), run(2, 1_795_391_000))).unwrap();
    place.import(&["xalt", text(&place.at("runs"))]);
    assert_eq!(
        place.sql("SELECT state, probability, ended, doubts FROM process_jobs ORDER BY started"),
        [
            "REQUEUED,0.01,2026-11-21T23:16:40Z,\"[no-end, no-packages]\"",
            "COMPLETED,0.01,2026-11-23T00:16:40Z,\"[no-end, no-packages]\"",
        ]
    );
    place.check();
}

#[test]
fn a_process_that_names_no_job_is_found_by_user_node_and_time() {
    let place = Place::new();
    let folder = place.xalt().join("file_toplevel_tacc");
    let erin = lines(&folder).into_iter().find(|record| record.contains("\"user\":\"erin\"")).unwrap();
    // In a log, where the node stands.
    let line = |host: &str| {
        format!(
            "2026-11-22T00:54:03Z {host} XALT_LOGGING_x: V:4 kind:run syshost:x key:{host} crcStr:0x1 nb:01 idx:00 value:{erin}\n"
        )
    };
    for (host, expected) in [("n7.cluster", "778,true,gpu"), ("login1", ",false,")] {
        let place = Place::new();
        fs::write(place.at("log"), line(host)).unwrap();
        fs::write(place.at("sacct.txt"), SACCT).unwrap();
        place.import(&["xalt", text(&place.at("log"))]);
        let said = place.import(&["slurm", text(&place.at("sacct.txt"))]);
        assert_eq!(said["linked"]["found"], u64::from(host.starts_with('n')), "{host}");
        assert_eq!(place.sql("SELECT job_id, is_found, queue FROM process_jobs"), [expected], "{host}");
        // Once more: nothing is written.
        let before = place.everything();
        place.import(&["slurm", text(&place.at("sacct.txt"))]);
        assert_eq!(place.everything(), before);
        place.check();
    }
}

#[test]
fn snapshots_and_customs() {
    let place = Place::new();
    fs::write(
        place.at("mapping.toml"),
        "name = 'snooper'\ncluster = 'polaris'\nscheduler = 'pbs'\n[columns]\njob = 'job'\nuser = 'user'\nlibrary = 'lib'\ntime = 'at'\n",
    )
    .unwrap();
    fs::write(
        place.at("rows.csv"),
        "job,user,lib,at\n7.s,ada,numpy,2026-11-22 10:00:00\n7.s,ada,scipy,2026-11-22 11:00:00\nx,,y,never\n",
    )
    .unwrap();
    let (said, code) = place.try_import(&[
        "snapshot",
        "--mapping",
        text(&place.at("mapping.toml")),
        text(&place.at("rows.csv")),
    ]);
    assert_eq!((code, &said["processes"]["new"], &said["refused"]), (Some(1), &1.into(), &1.into()));
    fs::write(
        place.at("customs.log"),
        "{\"username\":\"bob\",\"system\":\"cori\",\"job_id\":\"4\",\"imports\":[\"numpy\"],\"timestamp\":\"2026-11-22T12:00:00Z\"}\n",
    )
    .unwrap();
    place.import(&["customs", text(&place.at("customs.log"))]);
    assert_eq!(
        place.sql("SELECT source, cluster, \"user\", scheduler, job_id, modules, started FROM processes ORDER BY source"),
        [
            "customs,cori,bob,slurm,4,1,2026-11-22T12:00:00Z",
            "snooper,polaris,ada,pbs,7,2,2026-11-22T10:00:00Z",
        ]
    );
    assert_eq!(
        place.sql("SELECT package, user_count(users) FROM daily WHERE package IS NOT NULL GROUP BY package ORDER BY 1"),
        ["numpy,2", "scipy,1"]
    );
    place.check();
}

#[test]
fn reports_do_not_say_what_was_not_told() {
    let place = Place::new();
    place.import(&["xalt", text(&place.xalt().join("file_toplevel_tacc"))]);
    let output =
        place.run(&["report", "top", "--since", "2026-11-01", "--until", "2026-11-30", "--format", "csv"]);
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.starts_with("package,users,direct,indirect,not_told,jobs"), "{table}");
    assert!(table.lines().any(|line| line == "numpy,4,0,0,4,6,,,0.0,,"), "{table}");
    let output = place.run(&["report", "top", "--since", "2026-11-01", "--until", "2026-11-30"]);
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(table.contains("do not tell all"), "{table}");
}

/// A stand-in for sacct: what it is asked for it has, from a file.
#[test]
fn sacct_is_asked_for_epochs_and_a_safe_delimiter() {
    let place = Place::new();
    fs::create_dir(place.at("bin")).unwrap();
    let rows = SACCT.replace('|', "\u{1f}").replace("acctx", "a|c");
    fs::write(place.at("rows"), rows).unwrap();
    let script = format!(
        "#!/bin/sh\nif [ \"$1\" = --helpformat ]; then echo 'JobID JobIDRaw User Account State Start End'; exit; fi\n\
         echo \"$SLURM_TIME_FORMAT $*\" >'{}'\n[ -e '{}' ] && {{ echo 'sacct: error: no database' >&2; exit 1; }}\ncat '{}'\n",
        place.at("asked").display(),
        place.at("fail").display(),
        place.at("rows").display()
    );
    let sacct = place.at("bin/sacct");
    fs::write(&sacct, script).unwrap();
    assert!(Command::new("chmod").arg("755").arg(&sacct).status().unwrap().success());
    let run = || {
        Command::new(env!("CARGO_BIN_EXE_terrarium-store"))
            .args(["import", "slurm", "--since", "30d", "--json"])
            .env("PATH", format!("{}:/usr/bin:/bin", place.at("bin").display()))
            .env("TERRARIUM_STORE", place.at("store"))
            .env("HOME", place.0.path())
            .output()
            .unwrap()
    };
    let output = run();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let asked = fs::read_to_string(place.at("asked")).unwrap();
    assert!(asked.starts_with("%s ") && asked.contains("now-30days") && asked.contains('\u{1f}'), "{asked}");
    assert!(
        asked.contains("--duplicates") && asked.contains("JobID,JobIDRaw,User,Account,State,Start,End"),
        "{asked}"
    );
    assert_eq!(place.sql("SELECT job_id, project FROM jobs ORDER BY job_id LIMIT 1"), ["777,a|c"]);
    fs::write(place.at("fail"), "").unwrap();
    let output = run();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(125) && said.contains("no database"), "{said}");
}

#[test]
fn an_import_that_cannot_begin_says_why() {
    let place = Place::new();
    for (words, word) in [
        (&["import", "xalt", "/nonexistent/x"][..], "no file"),
        (&["import", "xalt"], "PATH"),
        (&["import", "snapshot", "/etc/hosts", "--mapping", "/nonexistent/m"], "/nonexistent/m"),
        (&["import", "pbs", "/etc/hosts", "--zone", "Mars"], "time zone"),
        (&["import", "slurm", "--since", "ever"], "time such as"),
        (&["import", "xalt", "/etc/hosts", "--cluster", "a b"], "letters"),
    ] {
        let output = place.run(words);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(125), "{words:?} {said}");
        assert!(said.contains(word) || said.contains(&word.to_lowercase()), "{words:?}: {said}");
    }
}
