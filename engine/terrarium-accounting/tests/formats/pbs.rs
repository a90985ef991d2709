//! PBS's accounting log.

use terrarium_accounting::{Options, Zone, pbs_log};
use terrarium_segment::BatchJob;

use crate::{Seen, at, seen, utc};

const REAL: &str = include_str!("../data/pbs-23.06.06.log");

fn read(text: &str) -> Seen {
    seen(|sink| pbs_log(&mut text.as_bytes(), &utc(), sink))
}

fn end(job: &BatchJob) -> (&str, Option<i32>, Option<i32>) {
    (job.state.as_deref().unwrap(), job.exit_status, job.signal)
}

#[test]
fn a_real_log() {
    let found = read(REAL);
    assert!(found.broken.is_empty(), "{:?}", found.broken);
    assert_eq!(found.jobs.len(), 4);
    let job = found.job("5");
    assert_eq!(job.system, "pbs");
    assert_eq!((job.user.as_deref(), job.project.as_deref()), (Some("lab"), None));
    assert_eq!(job.queue.as_deref(), Some("workq"));
    assert_eq!(job.submitted_us, Some(1_795_312_262_000_000));
    assert_eq!(job.started_us, Some(1_795_312_262_000_000));
    assert_eq!(job.ended_us, Some(1_795_312_285_000_000));
    assert_eq!(end(job), ("KILLED-mem", Some(-27), None));
    assert_eq!((job.nodes, job.cores, job.gpus), (Some(1), Some(1), None));
    assert_eq!((job.memory_bytes, job.memory_peak_bytes), (Some(200 << 20), Some(1_045_680 << 10)));
    assert_eq!((job.cpu_seconds, job.time_limit_s, job.restarts), (Some(0.0), None, 0));
    assert_eq!(job.hosts, ["pbs1"]);
    // qdel; the kernel's kill; exit 3.
    assert_eq!(end(found.job("1")), ("E", None, Some(15)));
    assert_eq!(end(found.job("8")), ("E", None, Some(9)));
    assert_eq!(end(found.job("9")), ("E", Some(3), None));
    assert_eq!(found.job("9").memory_peak_bytes, None, "0kb: nobody looked");
    assert!(found.jobs.iter().all(|(cluster, _)| cluster.is_none()));
    assert!(found.passed.iter().all(|what| *what == "licences"));
}

#[test]
fn the_server_may_be_the_cluster() {
    let options = Options { cluster_of_server: true, ..utc() };
    let found = seen(|sink| pbs_log(&mut REAL.as_bytes(), &options, sink));
    assert!(found.jobs.iter().all(|(cluster, _)| cluster.as_deref() == Some("pbs1")));
}

#[test]
fn a_job_that_was_rerun_is_there_twice() {
    let log = "11/22/2026 00:00:00;Q;7.s;queue=q ctime=1795305600\n\
        11/22/2026 00:00:10;S;7.s;user=u queue=q start=1795305610 exec_host=a/0*2 Resource_List.ncpus=2\n\
        11/22/2026 00:00:20;R;7.s;Exit_status=-11 resources_used.cput=00:00:05\n\
        11/22/2026 00:00:30;S;7.s;user=u queue=q start=1795305630 exec_host=b/0*2+c/0*2\n\
        11/22/2026 00:01:00;E;7.s;user=u start=1795305630 end=1795305659 Exit_status=0 run_count=2\n";
    let found = read(log);
    let [(_, first), (_, second)] = &found.jobs[..] else { panic!("{}", found.jobs.len()) };
    assert_eq!((end(first), first.restarts), (("RERUN", Some(-11), None), 0));
    assert_eq!((first.started_us, first.ended_us), (at(0, 0, 10), at(0, 0, 20)));
    assert_eq!((first.cpu_seconds, &first.hosts[..]), (Some(5.0), &["a".to_owned()][..]));
    assert_eq!((end(second), second.restarts), (("E", Some(0), None), 1));
    assert_eq!((second.submitted_us, second.started_us), (at(0, 0, 0), at(0, 0, 30)));
    assert_eq!(second.ended_us, at(0, 0, 59));
    assert_eq!((second.nodes, second.hosts.len(), second.cpu_seconds), (Some(2), 2, None));
}

#[test]
fn jobs_without_an_end_are_as_they_stood() {
    let log = "11/22/2026 00:00:00;Q;1.s;queue=q Resource_List.ncpus=4\n\
        11/22/2026 00:00:00;Q;2.s;queue=q\n11/22/2026 00:00:01;S;2.s;exec_host=a/0 start=1795305601\n\
        11/22/2026 00:00:02;D;2.s;requestor=u@h\n\
        11/22/2026 00:00:00;Q;3.s;queue=q\n11/22/2026 00:00:03;D;3.s;requestor=u@h\n\
        11/22/2026 00:00:00;Q;4.s;queue=q\n11/22/2026 00:00:04;A;4.s;Job deleted, execution node down\n";
    let found = read(log);
    assert_eq!(end(found.job("1")), ("Q", None, None));
    assert_eq!((found.job("1").submitted_us, found.job("1").cores), (at(0, 0, 0), None));
    // An E would follow.
    assert_eq!(end(found.job("2")), ("R", None, None));
    assert_eq!((found.job("2").started_us, found.job("2").ended_us), (at(0, 0, 1), None));
    assert_eq!((end(found.job("3")), found.job("3").ended_us), (("D", None, None), at(0, 0, 3)));
    assert_eq!((end(found.job("4")), found.job("4").ended_us), (("A", None, None), at(0, 0, 4)));
}

#[test]
fn the_log_is_in_local_time_and_its_jobs_are_not() {
    let options = Options { zone: Zone::Offset(-18_000), ..Options::default() };
    let log = "11/21/2026 19:00:00;Q;1.s;queue=q\n11/21/2026 19:00:00;Q;2.s;queue=q ctime=1795305600\n";
    let found = seen(|sink| pbs_log(&mut log.as_bytes(), &options, sink));
    assert_eq!(found.job("1").submitted_us, at(0, 0, 0));
    assert_eq!(found.job("2").submitted_us, at(0, 0, 0));
}

#[test]
fn accounts_projects_and_quotes() {
    let of = |values: &str| {
        read(&format!("11/22/2026 00:00:00;E;1.s;user=u {values} end=1795305600\n")).only().project.clone()
    };
    assert_eq!(of("account=\"phys group\" project=x").as_deref(), Some("phys group"));
    assert_eq!(of("project=x").as_deref(), Some("x"));
    assert_eq!(of("project=_pbs_project_default"), None);
    // A name cannot pretend to be another value.
    assert_eq!(of("project=x jobname=a project=y").as_deref(), Some("x"));
}

#[test]
fn arrays_limits_and_gpus() {
    let log = "11/22/2026 00:00:00;E;123[4].s.example.org;user=u queue=q ctime=1795305600 start=1795305601 \
        exec_host=n1/0*4+n2/0*4+n1/1*4 Resource_List.ngpus=2 Resource_List.mem=4gb \
        Resource_List.walltime=26:00:00 \
        resources_used.cput=100:00:01 resources_used.walltime=00:00:10 Exit_status=255 run_count=3\n\
        11/22/2026 00:00:00;Q;123[].s.example.org;queue=q\n\
        11/22/2026 00:00:00;S;123[].s.example.org;queue=q start=1795305601\n\
        11/22/2026 00:00:00;E;123[].s.example.org;queue=q start=1795305601 end=1795305700 \
        Resource_List.ncpus=400\n";
    let options = Options { cluster_of_server: true, ..utc() };
    let found = seen(|sink| pbs_log(&mut log.as_bytes(), &options, sink));
    let job = found.only();
    assert_eq!(job.id, "123[4]");
    assert_eq!((job.array.as_deref(), job.array_task.as_deref()), (Some("123[]"), Some("4")));
    assert_eq!((job.nodes, job.cores, job.gpus), (Some(2), Some(12), Some(2)));
    assert_eq!((job.memory_bytes, job.time_limit_s), (Some(4 << 30), Some(93_600)));
    assert_eq!((job.cpu_seconds, job.restarts, job.exit_status), (Some(360_001.0), 2, Some(255)));
    // There is no end: it follows from how long the job ran.
    assert_eq!(job.ended_us, at(0, 0, 11));
    assert_eq!(found.jobs[0].0.as_deref(), Some("s"));
    assert_eq!(found.passed, ["job arrays"]);
}

#[test]
fn other_records_are_passed_and_what_is_none_is_broken() {
    let log = "11/22/2026 00:00:00;L;license;floating license hour:0\n11/22/2026 00:00:00;B;R1.s;x\n\
        11/22/2026 00:00:00;P;1.s;x\n11/22/2026 00:00:00;C;1.s;x\n11/22/2026 00:00:00;u;1.s;x\n\
        11/22/2026 00:00:00;z;1.s;x\n\
        garbage\n11/32/2026 00:00:00;Q;1.s;x\n11/22/2026 00:00:00;QQ;1.s;x\n11/22/2026 00:00:00;Q;x.s;x\n";
    let found = read(log);
    assert_eq!(
        found.passed,
        ["licences", "reservations", "provisioning", "checkpoints", "parts of jobs", "suspensions"]
    );
    assert_eq!(found.broken.len(), 4);
    assert!(found.jobs.is_empty());
    assert!(log[usize::try_from(found.broken[3].0).unwrap()..].starts_with("11/22/2026 00:00:00;Q;x.s"));
}

#[test]
fn a_number_that_comes_round_again_is_another_job() {
    let log =
        "11/22/2026 00:00:00;Q;1.s;queue=a\n11/22/2026 00:00:01;D;1.s;x\n11/22/2026 00:00:05;Q;1.s;queue=b\n";
    let found = read(log);
    let rows: Vec<_> =
        found.jobs.iter().map(|(_, job)| (job.queue.as_deref().unwrap(), end(job).0)).collect();
    assert_eq!(rows, [("a", "D"), ("b", "Q")]);
}
