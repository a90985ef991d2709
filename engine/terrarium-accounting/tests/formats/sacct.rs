//! `sacct --parsable2`.

use terrarium_accounting::{Found, Options, Zone, sacct_text};

use crate::{Seen, at, seen, utc};

const REAL: &str = include_str!("../data/sacct-22.05.txt");

fn read(text: &str) -> Seen {
    seen(|sink| sacct_text(&mut text.as_bytes(), &utc(), sink))
}

fn of_row(header: &str, row: &str) -> Seen {
    read(&format!("{header}\n{row}\n"))
}

#[test]
fn a_real_job_with_its_steps() {
    let found = read(REAL);
    let (cluster, job) = &found.jobs[0];
    assert_eq!(cluster.as_deref(), Some("lab"));
    assert_eq!((job.system.as_str(), job.id.as_str()), ("slurm", "1"));
    assert_eq!(job.user.as_deref(), Some("lab"));
    assert_eq!(job.project.as_deref(), Some("physics"));
    assert_eq!(job.queue.as_deref(), Some("batch"));
    assert_eq!(job.qos.as_deref(), Some("normal"));
    assert_eq!(job.state.as_deref(), Some("COMPLETED"));
    assert_eq!((job.exit_status, job.signal), (Some(0), None));
    assert_eq!(job.submitted_us, at(0, 47, 56));
    assert_eq!(job.started_us, at(0, 47, 56));
    assert_eq!(job.ended_us, at(0, 47, 59));
    assert_eq!(job.time_limit_s, Some(600));
    assert_eq!((job.nodes, job.cores, job.gpus), (Some(1), Some(1), None));
    assert_eq!(job.memory_bytes, Some(256 << 20));
    assert_eq!(job.cpu_seconds, Some(0.035));
    // Of 4004K (batch) and 53992K (0).
    assert_eq!(job.memory_peak_bytes, Some(53_992 << 10));
    assert_eq!(job.hosts, ["n1"]);
    assert_eq!((&job.array, &job.het, job.restarts), (&None, &None, 0));
}

#[test]
fn peaks_are_of_the_largest_step_and_not_of_those_that_nobody_looked_at() {
    let found = read(REAL);
    assert_eq!(found.job("35").memory_peak_bytes, Some(166_720 << 10));
    assert_eq!(found.job("38").memory_peak_bytes, Some(220 << 10));
    assert_eq!(found.job("40").memory_peak_bytes, None);
}

#[test]
fn ends_of_all_kinds() {
    let found = read(REAL);
    let end = |id: &str| {
        let job = found.job(id);
        (job.state.clone().unwrap(), job.exit_status, job.signal)
    };
    assert_eq!(end("37"), ("FAILED".to_owned(), None, Some(11)));
    assert_eq!(end("38"), ("TIMEOUT".to_owned(), Some(0), None));
    assert_eq!(end("40"), ("OUT_OF_MEMORY".to_owned(), None, Some(125)));
    // "CANCELLED by 0".
    assert_eq!(end("42"), ("CANCELLED".to_owned(), Some(0), None));
}

#[test]
fn the_last_task_of_an_array_has_the_number_of_the_array() {
    let found = read(REAL);
    let last = found.job("39");
    assert_eq!((last.array.as_deref(), last.array_task.as_deref()), (Some("39"), Some("2")));
    let first = found.job("43");
    assert_eq!((first.array.as_deref(), first.array_task.as_deref()), (Some("39"), Some("0")));
    assert_eq!(first.started_us, at(1, 1, 29));
}

#[test]
fn a_delimiter_in_a_name_breaks_a_row_that_has_more_than_one_text() {
    let found = read(REAL);
    assert_eq!(found.broken.len(), 1);
    let (offset, why) = &found.broken[0];
    assert!(REAL[usize::try_from(*offset).unwrap()..].starts_with("36|36|na me|pipe,comma|"));
    assert!(why.contains("--delimiter=$'\\x1f'"), "{why}");
    assert!(why.starts_with("39 columns instead of 38"), "{why}");
    // Its step does not go to the job before.
    assert_eq!(found.passed.iter().filter(|what| **what == "steps without their job").count(), 1);
    assert_eq!(found.job("35").cpu_seconds, Some(0.064));
}

#[test]
fn a_delimiter_in_the_only_text_is_mended() {
    let found = of_row("JobIDRaw|JobName|User|ExitCode", "36|na me|pipe,comma|lab|3:0");
    let job = found.only();
    assert_eq!((job.user.as_deref(), job.exit_status, job.signal), (Some("lab"), Some(3), None));
    let last = of_row("JobIDRaw|User|SubmitLine", "36|lab|sh -c a | b || c");
    assert_eq!(last.only().user.as_deref(), Some("lab"));
    let first = of_row("Comment|JobIDRaw|User", "a|b|36|lab");
    assert_eq!(first.only().id, "36");
    // Too few are not mended.
    assert_eq!(of_row("JobIDRaw|JobName|User|ExitCode", "36|x|lab").broken.len(), 1);
}

#[test]
fn any_delimiter_is_found() {
    for delimiter in ["\u{1f}", "|", ",", ";", "\t", "^", ":", "||", "§"] {
        let text = ["JobIDRaw", "jobname", "USER", "State"].join(delimiter);
        let row = ["7", "x", "lab", "RUNNING"].join(delimiter);
        let found = of_row(&text, &row);
        assert_eq!(found.only().user.as_deref(), Some("lab"), "{delimiter:?}");
        assert_eq!(found.only().state.as_deref(), Some("RUNNING"), "{delimiter:?}");
    }
}

#[test]
fn parsable_ends_its_lines_with_the_delimiter() {
    let found = of_row("JobID|User|Comment|", "7|lab||");
    assert_eq!(found.only().user.as_deref(), Some("lab"));
    assert_eq!(of_row("JobID|", "7|").only().id, "7");
    assert_eq!(of_row("JobID", "7").only().id, "7");
}

#[test]
fn what_is_not_parsable_says_so() {
    for (text, word) in [
        ("JobID           JobName  Partition\n------------ ---------- ----------\n", "--delimiter"),
        ("7|lab|COMPLETED\n", "header"),
        ("User|State\nlab|FAILED\n", "JobIDRaw"),
    ] {
        let found = read(text);
        assert!(found.jobs.is_empty());
        assert_eq!(found.broken.len(), 1);
        assert!(found.broken[0].1.contains(word), "{:?}", found.broken);
    }
}

#[test]
fn files_that_were_put_together_have_headers_in_between() {
    let found = read("JobID|User\n1|a\nJobID|User\n2|b\nJobIDRaw|State|User\n3|FAILED|c\n");
    let users: Vec<_> = found.jobs.iter().map(|(_, job)| job.user.as_deref().unwrap()).collect();
    assert_eq!(users, ["a", "b", "c"]);
    assert!(found.broken.is_empty());
}

#[test]
fn times_are_in_the_zone_that_was_asked_for() {
    let text = "JobID|Submit|Start|End\n1|2026-11-22T01:00:00|1795309200|Unknown\n2|None||Unknown\n";
    let options = Options { zone: Zone::Offset(3600), ..Options::default() };
    let found = seen(|sink| sacct_text(&mut text.as_bytes(), &options, sink));
    let job = found.job("1");
    assert_eq!((job.submitted_us, job.started_us, job.ended_us), (at(0, 0, 0), at(1, 0, 0), None));
    let none = found.job("2");
    assert_eq!((none.submitted_us, none.started_us, none.ended_us), (None, None, None));
    let bad = of_row("JobID|Start", "1|22 Nov 00:47");
    assert!(bad.broken[0].1.contains("SLURM_TIME_FORMAT"), "{:?}", bad.broken);
}

#[test]
fn a_missing_end_follows_from_the_elapsed_time_unless_the_job_runs() {
    let header = "JobID|State|Start|End|ElapsedRaw";
    let ended = of_row(header, "1|FAILED|1795305600|Unknown|30");
    assert_eq!(ended.only().ended_us, at(0, 0, 30));
    let runs = of_row(header, "1|RUNNING|1795305600|Unknown|30");
    assert_eq!(runs.only().ended_us, None);
    let long = of_row("JobID|State|Start|Elapsed", "1|FAILED|1795305600|00:01:30");
    assert_eq!(long.only().ended_us, at(0, 1, 30));
}

#[test]
fn a_job_that_runs_has_no_exit_status() {
    let found = of_row("JobID|State|ExitCode", "1|RUNNING|0:0");
    assert_eq!(found.only().exit_status, None);
}

#[test]
fn arrays_that_wait_and_heterogeneous_jobs() {
    let found = read("JobID|JobIDRaw|State|NCPUS\n39_[3-9%2]|39|PENDING|4\n100+1|101|COMPLETED|2\n");
    let array = found.job("39");
    assert_eq!((array.array.as_deref(), array.array_task.as_deref()), (Some("39"), Some("[3-9%2]")));
    assert_eq!(array.cores, None, "asked for, not allocated");
    let het = found.job("101");
    assert_eq!((het.het.as_deref(), het.het_offset, het.cores), (Some("100"), Some(1), Some(2)));
}

#[test]
fn steps_of_arrays_and_of_heterogeneous_jobs_are_folded() {
    let header = "JobID|JobIDRaw|MaxRSS|TotalCPU\n";
    let rows = "39_2|39||\n39_2.batch|39.batch|10K|00:01.500\n39_2.0|39.0|2M|00:02.250\n\
        100+1|101||00:09\n100+1.0|101.0|1G|00:01\n";
    let found = read(&format!("{header}{rows}"));
    let task = found.job("39");
    assert_eq!((task.memory_peak_bytes, task.cpu_seconds), (Some(2 << 20), Some(3.75)));
    let het = found.job("101");
    assert_eq!((het.memory_peak_bytes, het.cpu_seconds), (Some(1 << 30), Some(9.0)));
    assert_eq!(found.passed, ["steps"; 3]);
}

#[test]
fn a_job_that_was_requeued_is_there_each_time_with_its_own_steps() {
    let text = "JobID|State|Restarts|MaxRSS\n5|REQUEUED|0|\n5.batch|CANCELLED||1M\n\
        5|COMPLETED|1|\n5.batch|COMPLETED||3M\n";
    let found = read(text);
    let rows: Vec<_> = found.jobs.iter().map(|(_, job)| (job.restarts, job.memory_peak_bytes)).collect();
    assert_eq!(rows, [(0, Some(1 << 20)), (1, Some(3 << 20))]);
}

#[test]
fn a_broken_step_leaves_the_peak_unknown() {
    let text = "JobID|JobName|Comment|MaxRSS\n5|x||\n5.0|a|b||9M\n5.1|a||1M\n6|x||\n6.0|x||2M\n";
    let found = read(text);
    assert_eq!((found.job("5").memory_peak_bytes, found.job("6").memory_peak_bytes), (None, Some(2 << 20)));
    assert_eq!((found.broken.len(), found.broken[0].0), (1, 35));
}

#[test]
fn what_was_allocated() {
    let tres = |tres: &str| of_row("JobID;AllocTRES", &format!("1;{tres}")).only().clone();
    let both = tres("billing=8,cpu=8,gres/gpu:a100=2,gres/gpu=2,mem=1.5T,node=2");
    assert_eq!((both.cores, both.nodes, both.gpus), (Some(8), Some(2), Some(2)));
    assert_eq!(both.memory_bytes, Some(3 << 39));
    assert_eq!(tres("gres/gpu:a100=2,gres/gpu:h100=1,gres/gpumem=4G").gpus, Some(3));
    assert_eq!(tres("cpu=99999999999").cores, None);
    let plain = of_row("JobID|NNodes|NCPUS|ReqMem", "1|2|8|4Gn").only().clone();
    assert_eq!((plain.nodes, plain.cores, plain.memory_bytes), (Some(2), Some(8), Some(8 << 30)));
    let each = of_row("JobID|AllocNodes|AllocCPUS|ReqMem", "1|2|8|500Mc").only().clone();
    assert_eq!(each.memory_bytes, Some(4000 << 20));
    let all = of_row("JobID|NNodes|NCPUS|ReqMem", "1|2|8|256M").only().clone();
    assert_eq!(all.memory_bytes, Some(256 << 20));
}

#[test]
fn limits_sluids_and_nodes() {
    let header = "JobIDRaw|Timelimit|SLUID|NodeList";
    let found = of_row(header, "1|1-02:00:00|sFB5M80DP6K400|n[1-3,07],gpu01");
    let job = found.only();
    assert_eq!(job.time_limit_s, Some(93_600));
    assert_eq!(job.sluid.as_deref(), Some("sFB5M80DP6K400"));
    assert_eq!(job.hosts, ["n1", "n2", "n3", "n07", "gpu01"]);
    let raw = of_row("JobIDRaw|TimelimitRaw|Timelimit|NodeList", "1|90|UNLIMITED|None assigned");
    assert_eq!((raw.only().time_limit_s, raw.only().hosts.len()), (Some(5400), 0));
    assert_eq!(of_row(header, "1|UNLIMITED||n[1-20001]").only().time_limit_s, None);
    assert!(of_row(header, "1|UNLIMITED||n[1-20001]").only().hosts.is_empty());
}

#[test]
fn the_sink_stops_the_reader() {
    let mut count = 0;
    let mut sink = |_: Found| {
        count += 1;
        Err(std::io::Error::other("enough"))
    };
    assert!(sacct_text(&mut REAL.as_bytes(), &utc(), &mut sink).is_err());
    assert_eq!(count, 1);
}
