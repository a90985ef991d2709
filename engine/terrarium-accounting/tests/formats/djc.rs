//! The public job data of ALCF.

use terrarium_accounting::{Options, Zone, djc};

use crate::{Seen, at, seen};

const TABLE: &str = "JOB_NAME,COBALT_JOBID,MACHINE_NAME,QUEUED_TIMESTAMP,START_TIMESTAMP,END_TIMESTAMP,\
USERNAME_GENID,PROJECT_NAME_GENID,QUEUE_NAME,WALLTIME_SECONDS,NODES_USED,CORES_USED,GPUS_REQUESTED,\
EXIT_STATUS,SCIENCE_FIELD,SCIENCE_FIELD_SHORT\n\
123.polaris-pbs-01.hsn,,POLARIS,2026-11-22 00:00:00,2026-11-22T00:00:10,2026-11-22 00:01:00.5,\
123456,98765,prod,3600,10,640,-1,0,\
\"Physics, High Energy\",Physics\n\
\"124[7].polaris-pbs-01\",124,POLARIS,2026-11-22 00:00:00,,,1,2,debug,3600.0,1.0,64,4,271,,Chemistry\n\
run.sh,555.0,THETA,2026-11-22 00:00:00,,,1,2,default,60,1,64,-1,,,\n\
\"556.theta\",556,THETA,,,,1,2,default,60,1,64,-1,1,,\n\
77,,POLARIS,,,,1,2,prod,60,1,64,0,-29,,\n\
nothing,,POLARIS,,,,1,2,prod,60,1,64,0,0,,\n\
short,1\n";

fn read(text: &str, zone: Zone) -> Seen {
    let options = Options { zone, ..Options::default() };
    seen(|sink| djc(&mut text.as_bytes(), &options, sink))
}

#[test]
fn jobs_of_both_systems() {
    let found = read(TABLE, Zone::Local);
    assert_eq!(found.jobs.len(), 5, "{:?}", found.broken);
    let (cluster, job) = &found.jobs[0];
    assert_eq!(cluster.as_deref(), Some("polaris"));
    assert_eq!((job.system.as_str(), job.id.as_str()), ("pbs", "123"));
    assert_eq!((job.user.as_deref(), job.project.as_deref()), (Some("123456"), Some("98765")));
    assert_eq!(job.queue.as_deref(), Some("prod"));
    assert_eq!((job.submitted_us, job.started_us), (at(0, 0, 0), at(0, 0, 10)));
    assert_eq!(job.ended_us, at(0, 1, 0).map(|us| us + 500_000));
    assert_eq!((job.nodes, job.cores, job.gpus), (Some(10), Some(640), None));
    assert_eq!((job.time_limit_s, job.exit_status), (Some(3600), Some(0)));
    assert_eq!(job.domain.as_deref(), Some("Physics, High Energy"));
    let task = found.job("124[7]");
    assert_eq!((task.system.as_str(), task.array.as_deref()), ("pbs", Some("124[]")));
    assert_eq!((task.array_task.as_deref(), task.nodes, task.gpus), (Some("7"), Some(1), Some(4)));
    assert_eq!((task.exit_status, task.signal, task.time_limit_s), (None, Some(15), Some(3600)));
    assert_eq!(task.domain.as_deref(), Some("Chemistry"));
    assert_eq!(found.job("555").system, "cobalt");
    assert_eq!((found.job("556").system.as_str(), found.job("556").exit_status), ("cobalt", Some(1)));
    let killed = found.job("77");
    assert_eq!((killed.system.as_str(), killed.state.as_deref()), ("pbs", Some("KILLED-walltime")));
    assert_eq!(killed.gpus, Some(0));
    assert_eq!(found.broken.len(), 2);
    assert!(TABLE[usize::try_from(found.broken[1].0).unwrap()..].starts_with("short,1"));
}

#[test]
fn another_zone_may_be_given() {
    let found = read(TABLE, Zone::Offset(-21_600));
    assert_eq!(found.job("123").submitted_us, at(6, 0, 0));
}

#[test]
fn without_a_header_nothing_is_known() {
    let found = read("a,b,c\n1,2,3\n", Zone::Utc);
    assert!(found.jobs.is_empty());
    assert_eq!(found.broken.len(), 1);
}
