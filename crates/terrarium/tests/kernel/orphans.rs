//! Processes whose parent has died while the job runs (`--orphans`), and jobs whose parent has (`--with-parent`).

use std::io::{BufRead, BufReader};
use std::time::Duration;

use crate::support::{Done, Tier, directory, is_small, marked, sh, tiers, wait_until};

/// Runs a script of sh, and then lists the command lines of what it left running. Where the job sees the host's /proc, it
/// sees other tests' jobs too: each has numbers of its own.
fn then_list(tier: Tier, flags: &[&str], script: &str, seconds: u32) -> Done {
    let seconds = if is_small() { seconds * 6 } else { seconds };
    // One program for all processes: in the emulated machine each one more takes its time.
    let list =
        r"sed -s 's/\x0/ /g' /proc/[0-9]*/cmdline 2>/dev/null | grep -E '^(sleep 8|sh -c .trap)'; exit 0";
    sh(tier, flags, &format!("{script}\nsleep {seconds}; {list}")).run()
}

#[test]
fn orphans_are_ended_after_the_grace_with_what_descends_from_them() {
    for tier in tiers() {
        let report = directory().join(format!("orphans-{tier:?}.json"));
        let flags = ["--orphans", "end", "--grace", "1s", "--report", report.to_str().unwrap()];
        // Two orphans, one with a child; and one whose parent is the main process.
        let script = "sh -c 'sleep 8001 & (sleep 8002; true) & exit 0'; sleep 8003 &";
        // Written by root and by a user: to where both can.
        let done = then_list(tier, if tier == Tier::Root { &flags } else { &flags[..4] }, script, 4);
        done.code_is(0).err_has("terrarium: note: ended 3 processes whose parent had died: sleep × 2, sh");
        done.out_has("sleep 8003").err_has("orphans");
        assert!(!done.out.contains("8001") && !done.out.contains("8002"), "{tier:?}: {}", done.out);
        if tier == Tier::Root {
            let report = std::fs::read_to_string(&report).unwrap();
            assert!(report.contains("\"orphans_ended\": 3"), "{report}");
        }
    }
}

#[test]
fn without_asking_orphans_are_kept_until_the_job_ends() {
    for tier in tiers() {
        for flags in [&["--grace", "500ms"][..], &["--orphans", "end", "--grace", "never"]] {
            let done = then_list(tier, flags, "sh -c 'sleep 8021 & exit 0'", 3);
            done.code_is(0).out_has("sleep 8021").err_has("1 process, ended: sleep");
            assert!(!done.err.contains("parent had died"), "{}", done.err);
        }
    }
}

#[test]
fn an_orphan_that_handles_sigterm_has_two_seconds_and_one_that_ignores_it_none() {
    for tier in tiers() {
        let script = "sh -c '(trap \"echo finishing; sleep 1; echo finished; exit\" TERM; while :; do sleep 0.1; done) & exit 0'
            sh -c '(trap \"\" TERM; while :; do sleep 0.1; done) & exit 0'
            sh -c '(trap \"echo stubborn\" TERM; while :; do sleep 0.1; done) & exit 0'";
        let done = then_list(tier, &["--orphans", "end", "--grace", "1s"], script, 6);
        done.code_is(0).out_has("finishing").out_has("finished").out_has("stubborn").err_has("ended ");
        assert!(!done.out.contains("trap"), "{tier:?}: {}", done.out);
    }
}

#[test]
fn a_stopped_orphan_is_ended_as_well() {
    for tier in tiers() {
        let script = "sh -c 'sleep 8031 & kill -STOP $!'";
        let done = then_list(tier, &["--orphans", "end", "--grace", "500ms"], script, 4);
        done.code_is(0).err_has("ended 1 process whose parent had died: ");
        assert!(!done.out.contains("8031"), "{tier:?}: {}", done.out);
    }
}

fn sleeps(mark: &str) -> usize {
    let name = |pid: &u32| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    marked(mark).iter().filter(|pid| name(pid) == "sleep\n").count()
}

#[test]
fn a_job_ends_with_the_process_that_started_it() {
    for tier in tiers() {
        for (flags, ends) in [(&["--with-parent", "--grace", "1s"][..], true), (&["--grace", "1s"], false)] {
            let job = sh(tier, flags, "sleep 8005 & sleep 8006; exit 0");
            let inner = job.command();
            let mut shell = std::process::Command::new("sh");
            // Not exec: the shell is the parent that dies.
            shell
                .args(["-c", "\"$@\" & echo $!; wait", "sh"])
                .arg(inner.get_program())
                .args(inner.get_args());
            shell
                .envs(inner.get_envs().filter_map(|(k, v)| Some((k, v?))))
                .stdin(std::process::Stdio::null());
            shell.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null());
            let mut shell = shell.spawn().unwrap();
            let mut line = String::new();
            BufReader::new(shell.stdout.take().unwrap()).read_line(&mut line).unwrap();
            let terrarium = line.trim().to_owned();
            let mark = job.mark_for_tests();
            wait_until("the job", || sleeps(&mark) == 2);
            shell.kill().unwrap();
            shell.wait().unwrap();
            if ends {
                wait_until("the end of the job", || marked(&mark).is_empty());
            } else {
                std::thread::sleep(Duration::from_millis(500));
                assert!(sleeps(&mark) == 2, "{tier:?}: it ends by itself: this shows nothing");
                std::process::Command::new("kill").args(["-KILL", &terrarium]).status().unwrap();
                wait_until("the end of the job", || marked(&mark).is_empty());
            }
        }
    }
}

#[test]
fn the_jobs_parent_is_init_and_jupyters_variable_says_so() {
    for tier in tiers() {
        let echo = "echo is $JPY_PARENT_PID.";
        sh(tier, &["--with-parent"], echo).env("JPY_PARENT_PID", "4242").run().code_is(0).out_has("is 1.");
        sh(tier, &["--with-parent"], echo).run().code_is(0).out_has("is .");
        sh(tier, &[], echo).env("JPY_PARENT_PID", "4242").run().code_is(0).out_has("is 4242.");
    }
}

#[test]
fn the_summary_is_as_long_as_one_wants() {
    for (how, lines) in [("full", 5..9), ("line", 1..2), ("none", 0..1)] {
        let done = sh(Tier::User, &["--summary", how], "sleep 0.2").run();
        done.code_is(0);
        assert!(lines.contains(&done.err.lines().count()), "{how}: {}", done.err);
    }
}
