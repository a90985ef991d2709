//! The Standard Workload Format.

use terrarium_accounting::{Options, swf};

use crate::{DAY, Seen, at, seen, utc};

const LOG: &str = "; Version: 2.2\n; Computer: Test SP2\n; UnixStartTime: 1795305600\n\
    ; TimeZoneString: Europe/Berlin\n\
    \x20   1      0     10     60   4  12.50  2048   4  3600  4096  1  12  3  7  2 -1 -1 -1\n\
    2 5 -1 -1 -1 -1 -1 8 -1 -1 5 13 -1 -1 -1 1 -1 -1\n\
    3 5 1 20 1 -1 -1 1 -1 -1 0 -1 -1 -1 -1 -1 -1 -1\n\
    4 5 1 20 1 -1 -1 1 -1 -1 2 -1 -1 -1 -1 -1 -1 -1\n\
    5 5 1\n6 x 1 20 1 -1 -1 1 -1 -1 0 -1 -1 -1 -1 -1 -1 -1\n";

fn read(text: &str, options: &Options) -> Seen {
    seen(|sink| swf(&mut text.as_bytes(), options, sink))
}

#[test]
fn jobs_count_from_the_start_of_the_log() {
    let found = read(LOG, &utc());
    assert_eq!(found.jobs.len(), 3);
    assert_eq!(found.jobs[0].0.as_deref(), Some("Test SP2"));
    let job = found.job("1");
    assert_eq!((job.system.as_str(), job.user.as_deref()), ("swf", Some("user12")));
    assert_eq!((job.project.as_deref(), job.queue.as_deref()), (Some("group3"), Some("queue2")));
    assert_eq!((job.submitted_us, job.started_us, job.ended_us), (at(0, 0, 0), at(0, 0, 10), at(0, 1, 10)));
    assert_eq!((job.state.as_deref(), job.exit_status), (Some("COMPLETED"), None));
    assert_eq!((job.cores, job.nodes, job.time_limit_s), (Some(4), None, Some(3600)));
    assert_eq!(job.cpu_seconds, Some(50.0));
    assert_eq!((job.memory_peak_bytes, job.memory_bytes), (Some(2 << 20), Some(16 << 20)));
    let cancelled = found.job("2");
    assert_eq!((cancelled.state.as_deref(), cancelled.started_us), (Some("CANCELLED"), None));
    assert_eq!((cancelled.cores, cancelled.queue.as_deref()), (None, Some("partition1")));
    assert_eq!(found.job("3").state.as_deref(), Some("FAILED"));
    assert_eq!(found.passed, ["parts of jobs"]);
    assert_eq!(found.broken.len(), 2);
}

#[test]
fn without_a_start_one_must_be_given() {
    let text = LOG.replace("UnixStartTime: 1795305600", "UnixStartTime: 0");
    let found = read(&text, &utc());
    assert!(found.jobs.is_empty());
    assert_eq!(found.broken.len(), 1);
    assert!(found.broken[0].1.contains("UnixStartTime"));
    let options = Options { start_us: Some((DAY + 60) * 1_000_000), ..utc() };
    assert_eq!(read(&text, &options).job("1").submitted_us, at(0, 1, 0));
    assert_eq!(read(LOG, &options).job("1").submitted_us, at(0, 0, 0));
}
