//! LSF's `lsb.acct`.

use terrarium_accounting::lsb_acct;

use crate::{Seen, at, seen, utc};

fn read(text: &str) -> Seen {
    seen(|sink| lsb_acct(&mut text.as_bytes(), &utc(), sink))
}

/// A record with 19 fields of use between the command and the user who gets mail.
fn record(id: &str, hosts: &str, status: &str, command: &str, tail: &str) -> String {
    let usage = format!("1.500000 0.250000 3748{}", " 0".repeat(16));
    format!(
        "\"JOB_FINISH\" \"10.1\" 1795305700 {id} 1501 33554434 4 1795305600 0 0 1795305610 \"u1\" \"normal\" \
         \"select[mem>1] rusage[mem=5]\" \"\" \"\" \"login1\" \"/home\" \"\" \"o\" \"\" \"f\" {hosts} \
         {status} 60.0 \"a name\" \"{command}\" {usage} \"\" \"chem\" {tail} 2048 0 \"\" \"\"\n"
    )
}

#[test]
fn a_job_with_lists_and_quotes() {
    let text = record(
        "386",
        "2 \"n9\" \"n8\" 2 \"16*n1\" \"8*n2\"",
        "64",
        "echo \"\"two words\"\"; exit \"\"\"\"",
        "0 4 \"\" \"\" 0",
    );
    let found = read(&text);
    let job = found.only();
    assert_eq!((job.system.as_str(), job.id.as_str()), ("lsf", "386"));
    assert_eq!((job.user.as_deref(), job.queue.as_deref()), (Some("u1"), Some("normal")));
    assert_eq!(job.project.as_deref(), Some("chem"));
    assert_eq!((job.submitted_us, job.started_us, job.ended_us), (at(0, 0, 0), at(0, 0, 10), at(0, 1, 40)));
    assert_eq!((job.state.as_deref(), job.exit_status, job.signal), (Some("DONE"), Some(0), None));
    assert_eq!((job.nodes, job.cores), (Some(2), Some(24)));
    assert_eq!(job.hosts, ["n1", "n2"]);
    assert_eq!((job.cpu_seconds, job.memory_peak_bytes), (Some(1.75), Some(2 << 20)));
    assert_eq!((&job.array, &job.array_task), (&None, &None));
}

#[test]
fn hosts_may_be_there_once_a_slot() {
    let text = record("7", "0 4 \"a\" \"a\" \"b\" \"b\"", "32", "x", "65280 4 \"\" \"\" 0");
    let found = read(&text);
    let job = found.only();
    assert_eq!(
        (job.nodes, job.cores, &job.hosts[..]),
        (Some(2), Some(4), &["a".to_owned(), "b".to_owned()][..])
    );
    assert_eq!((job.state.as_deref(), job.exit_status, job.signal), (Some("EXIT"), Some(255), None));
}

#[test]
fn signals_and_tasks_of_arrays() {
    let text = record("7", "0 1 \"a\"", "32", "x", "137 4 \"\" \"\" 12");
    let found = read(&text);
    let job = found.only();
    assert_eq!(job.id, "7[12]");
    assert_eq!((job.array.as_deref(), job.array_task.as_deref()), (Some("7"), Some("12")));
    assert_eq!((job.exit_status, job.signal), (None, Some(9)));
}

#[test]
fn what_is_not_known_is_left_out() {
    let text = record("7", "0 0", "32", "x", "-1 1 \"\" \"\" 0")
        .replace(" 1795305610 ", " 0 ")
        .replace("1.500000 0.250000", "-1.000000 -1.000000")
        .replace(" 2048 0 ", " -1 0 ");
    let found = read(&text);
    let job = found.only();
    assert_eq!((job.started_us, job.cores, job.nodes), (None, None, None));
    assert_eq!((job.exit_status, job.signal), (None, None));
    assert_eq!((job.cpu_seconds, job.memory_peak_bytes), (None, None));
}

#[test]
fn other_events_are_passed_and_what_is_none_is_broken() {
    let good = record("7", "0 0", "64", "x", "0 1 \"\" \"\" 0");
    let text = format!(
        "\"EVENT_ADRSV_FINISH\" \"10.1\" 1 2\n\"JOB_RESIZE\" \"10.1\" 1\n\"JOB_FINISH\" \"10.1\" 1 2\n\
         \"JOB_FINISH\" \"10.1\n# 1 2\n{}{}{good}",
        record("x", "0 0", "64", "x", "0 1 \"\" \"\" 0"),
        record("8", "99999999999 0", "64", "x", "0 1 \"\" \"\" 0"),
    );
    let found = read(&text);
    assert_eq!(found.passed, ["reservations", "other events"]);
    assert_eq!(found.broken.len(), 5, "{:?}", found.broken);
    assert_eq!(found.only().id, "7");
}
