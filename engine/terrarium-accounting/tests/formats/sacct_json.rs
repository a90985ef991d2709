//! `sacct --json`.

use std::io;

use terrarium_accounting::{Found, sacct_json};
use terrarium_segment::BatchJob;

use crate::{Seen, at, seen, utc};

const OLD: &str = include_str!("../data/sacct-22.05.json");
const NEW: &str = include_str!("../data/sacct-26.05.json");

fn read(text: &str) -> Seen {
    seen(|sink| sacct_json(&mut text.as_bytes(), &utc(), sink))
}

fn end(job: &BatchJob) -> (&str, Option<i32>, Option<i32>) {
    (job.state.as_deref().unwrap(), job.exit_status, job.signal)
}

#[test]
fn a_real_job_of_22_05() {
    let found = read(OLD);
    assert_eq!(found.jobs.len(), 7);
    assert!(found.broken.is_empty());
    let (cluster, job) = &found.jobs[0];
    assert_eq!(cluster.as_deref(), Some("lab"));
    assert_eq!((job.system.as_str(), job.id.as_str()), ("slurm", "1"));
    assert_eq!((job.user.as_deref(), job.project.as_deref()), (Some("lab"), Some("physics")));
    assert_eq!((job.queue.as_deref(), job.qos.as_deref()), (Some("batch"), Some("normal")));
    assert_eq!(
        (job.submitted_us, job.started_us, job.ended_us),
        (at(0, 47, 56), at(0, 47, 56), at(0, 47, 59))
    );
    assert_eq!(end(job), ("COMPLETED", Some(0), None));
    assert_eq!((job.nodes, job.cores, job.gpus), (Some(1), Some(1), None));
    assert_eq!((job.memory_bytes, job.time_limit_s), (Some(256 << 20), Some(600)));
    assert_eq!(job.memory_peak_bytes, Some(53_992 << 10));
    assert_eq!(job.hosts, ["n1"]);
    assert_eq!((&job.array, &job.het, &job.sluid), (&None, &None, &None));
}

#[test]
fn an_exit_status_that_22_05_does_not_know_is_not_taken_for_0() {
    let found = read(OLD);
    // `exit 3`, which the table has as 3:0.
    assert_eq!(end(found.job("36")), ("FAILED", None, None));
    assert_eq!(end(found.job("37")), ("FAILED", None, Some(11)));
    assert_eq!(end(found.job("40")), ("OUT_OF_MEMORY", None, Some(125)));
    assert_eq!(end(found.job("42")), ("CANCELLED", None, None));
}

#[test]
fn where_the_job_has_no_cpu_time_its_steps_have() {
    assert_eq!(read(OLD).job("40").cpu_seconds, Some(0.026_212));
}

#[test]
fn tasks_of_arrays() {
    let found = read(OLD);
    let task = |id: &str| (found.job(id).array.clone().unwrap(), found.job(id).array_task.clone().unwrap());
    assert_eq!(task("39"), ("39".to_owned(), "2".to_owned()));
    assert_eq!(task("43"), ("39".to_owned(), "0".to_owned()));
    let found = read(NEW);
    assert_eq!(found.job("4").array.as_deref(), Some("4"));
    assert_eq!(found.job("4").array_task.as_deref(), Some("1"));
    assert_eq!(found.job("7").array_task.as_deref(), Some("0"));
}

#[test]
fn a_real_job_of_26_05() {
    let found = read(NEW);
    assert_eq!(found.jobs.len(), 5);
    assert!(found.broken.is_empty());
    let job = found.job("2");
    assert_eq!(end(job), ("FAILED", Some(3), None));
    assert_eq!(job.sluid.as_deref(), Some("sFB5M80DP6K400"));
    assert_eq!(job.submitted_us, Some(1_795_310_688_000_000));
    assert_eq!(job.ended_us, Some(1_795_310_689_000_000));
    assert_eq!((job.time_limit_s, job.cpu_seconds), (Some(600), Some(0.000_761)));
    assert_eq!(job.memory_peak_bytes, Some(524_288));
    assert_eq!((job.memory_bytes, job.cores, job.restarts), (Some(256 << 20), Some(1), 0));
    assert_eq!(end(found.job("3")), ("FAILED", None, Some(11)));
    assert_eq!(end(found.job("5")), ("OUT_OF_MEMORY", None, Some(125)));
    assert_eq!(found.job("5").memory_peak_bytes, Some(66_940_928));
    assert_eq!(found.job("4").array.as_deref(), Some("4"));
}

#[test]
fn numbers_in_all_forms() {
    let text = r#"[{"job_id": {"set": true, "infinite": false, "number": 101}, "restart_cnt": 2,
        "het": {"job_id": 100, "job_offset": {"set": true, "number": 1}},
        "time": {"limit": {"set": false, "infinite": true, "number": 0}, "start": 1795305600, "end": 0,
            "elapsed": 60},
        "state": {"current": ["NODE_FAIL", "COMPLETING"]},
        "tres": {"allocated": [{"type": "gres", "name": "gpu", "count": 4},
            {"type": "gres", "name": "gpu:a100", "count": 4}, {"type": "energy", "count": -2},
            {"type": "cpu", "name": null, "count": 18446744073709551615}]},
        "nodes": "n[1-2]"},
        {"job_id": 5, "array": {"job_id": 5, "task_id": null, "task": "3-9%2"},
         "state": {"current": "PENDING"},
         "exit_code": {"status": "PENDING", "return_code": 0}, "required": {"CPUs": 4}}]"#;
    let found = read(text);
    let job = found.job("101");
    assert_eq!((job.het.as_deref(), job.het_offset, job.restarts), (Some("100"), Some(1), 2));
    assert_eq!((job.time_limit_s, job.ended_us), (None, at(0, 1, 0)));
    assert_eq!((job.state.as_deref(), job.gpus, job.cores), (Some("NODE_FAIL"), Some(4), None));
    assert_eq!(job.hosts, ["n1", "n2"]);
    let waiting = found.job("5");
    assert_eq!(waiting.array_task.as_deref(), Some("[3-9%2]"));
    assert_eq!((waiting.exit_status, waiting.cores), (None, None));
}

#[test]
fn an_element_that_is_no_job_is_named_and_the_rest_goes_on() {
    let text = "{\"jobs\": [{\"job_id\": 1}, 7, null, [1], {\"user\": \"x\"}, \
        {\"job_id\": \"x\"},\n {\"job_id\": 2, \"time\": 3, \"steps\": 4}]}";
    let found = read(text);
    assert_eq!(found.jobs.len(), 2);
    let whys: Vec<_> = found.broken.iter().map(|(_, why)| why.as_str()).collect();
    let wanted = [
        "job 1: a number is no job",
        "job 2: null is no job",
        "job 3: an array is no job",
        "job 4: it has no job_id",
        "job 5: it has no job_id",
    ];
    assert_eq!(whys, wanted);
    let begins = &text[usize::try_from(found.broken[3].0).unwrap()..];
    assert!(begins.starts_with("{\"user\""), "{begins}");
}

#[test]
fn arrays_and_lines_of_jobs() {
    assert_eq!(read("[{\"job_id\": 1}, {\"job_id\": 2}]").jobs.len(), 2);
    assert_eq!(read("[\n{\"job_id\": 1},\n {\"job_id\": 2}]\n").jobs.len(), 2);
    assert_eq!(read("{\"job_id\": 1}").jobs.len(), 1);
    let lines = read(
        "\u{feff}\n{\"job_id\": 1}\n\n{\"job_id\": 2, \"user\n{\"job_id\": 3}\n{\"jobs\": [{\"job_id\": 4}]}",
    );
    let ids: Vec<_> = lines.jobs.iter().map(|(_, job)| job.id.as_str()).collect();
    assert_eq!(ids, ["1", "3", "4"]);
    assert_eq!(lines.broken.len(), 1);
    assert_eq!(lines.broken[0].0, 19);
    // Documents one after another.
    assert_eq!(read("{\n\"jobs\": [{\"job_id\": 1}]}\n{\"jobs\": [{\"job_id\": 2}]}\n").jobs.len(), 2);
    assert!(read("").jobs.is_empty());
    assert_eq!(read("{\"meta\": {}, \"jobs\": null, \"errors\": []}").broken.len(), 0);
}

#[test]
fn a_document_that_ends_too_early_keeps_its_first_jobs() {
    let cut = &OLD[..OLD.len() / 2];
    let found = read(cut);
    assert!(!found.jobs.is_empty() && found.jobs.len() < 7);
    assert_eq!(found.broken.len(), 1);
    assert!(found.broken[0].1.starts_with(&format!("job {}: ", found.jobs.len())), "{:?}", found.broken);
}

#[test]
fn what_would_fill_the_memory_is_held() {
    let deep = format!("{{\n\"x\": {}", "[".repeat(2000));
    assert!(read(&deep).broken[0].1.contains("nested"));
    let long = format!("{{\n\"x\": \"{}\"}}", "a".repeat(17 << 20));
    assert!(read(&long).broken[0].1.contains("16 MiB"));
    let wide = format!("{{\n\"job_id\": 1, \"tres\": [{}1]}}", "1,".repeat(3 << 20));
    assert!(read(&wide).broken[0].1.contains("4 MiB"));
    // What nobody reads may be of any size.
    let ignored = format!("{{\n\"job_id\": 1, \"x\": [{}1]}}", "1,".repeat(3 << 20));
    assert_eq!(read(&ignored).jobs.len(), 1);
}

#[test]
fn bytes_that_are_no_utf_8_are_replaced() {
    let mut bytes = b"{\n\"job_id\": 1, \"account\": \"a\xff\xe2\x82b\", \"name\": \"\xc3\"}".to_vec();
    let found = seen(|sink| sacct_json(&mut &bytes[..], &utc(), sink));
    assert_eq!(found.only().project.as_deref(), Some("a\u{fffd}\u{fffd}b"));
    bytes.retain(|byte| *byte != b'\n');
    let found = seen(|sink| sacct_json(&mut &bytes[..], &utc(), sink));
    assert_eq!(found.only().project.as_deref(), Some("a\u{fffd}\u{fffd}b"));
}

#[test]
fn the_sink_and_the_input_stop_the_reader() {
    let mut sink = |_: Found| Err(io::Error::other("enough"));
    assert_eq!(sacct_json(&mut OLD.as_bytes(), &utc(), &mut sink).unwrap_err().to_string(), "enough");
    struct Fails(usize);
    impl io::Read for Fails {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            self.0 += 1;
            if self.0 > 1 {
                return Err(io::Error::other("disk"));
            }
            into[..6].copy_from_slice(b"{\n\"x\":");
            Ok(6)
        }
    }
    let mut sink = |_: Found| Ok(());
    assert!(sacct_json(&mut Fails(0), &utc(), &mut sink).is_err());
}
