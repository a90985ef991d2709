//! Signals reach the job as if it were run plainly, each once; its status comes back.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use crate::support::{Tier, job, program, sh, tiers};

/// Starts `sigcount`, lets `send` do its work, and returns what it counted.
fn counted(tier: Tier, send: impl Fn(&crate::support::Started)) -> String {
    let mut started = job(tier, [""; 0], [program("sigcount")]).quiet().start();
    let mut lines = BufReader::new(started.child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    send(&started);
    // A signal that came twice comes before this one, which ends the program.
    std::thread::sleep(Duration::from_millis(if crate::support::is_small() { 2000 } else { 150 }));
    started.signal("TERM");
    let all: Vec<String> = lines.map_while(Result::ok).collect();
    started.finish().code_is(3);
    all.join("\n")
}

#[test]
fn each_signal_to_terrarium_reaches_the_job_once() {
    for tier in tiers() {
        for name in ["INT", "HUP", "USR1", "USR2", "WINCH", "QUIT"] {
            let got = counted(tier, |s| s.signal(name));
            assert!(
                got.contains(&format!("{name} 1")) && !got.contains(&format!("{name} 2")),
                "{tier:?} {name}: {got}"
            );
        }
    }
}

#[test]
fn each_signal_to_the_group_reaches_the_job_once() {
    for tier in tiers() {
        for name in ["INT", "HUP", "USR1", "USR2", "WINCH", "QUIT"] {
            for _ in 0..5 {
                let got = counted(tier, |s| s.signal_group(name));
                let once = got.contains(&format!("{name} 1")) && !got.contains(&format!("{name} 2"));
                assert!(once, "{tier:?} {name}: {got}");
            }
        }
    }
}

#[test]
fn one_signal_after_another_is_counted_right() {
    for tier in tiers() {
        let got = counted(tier, |s| {
            let pause = Duration::from_millis(if crate::support::is_small() { 300 } else { 20 });
            for _ in 0..10 {
                s.signal("USR1");
                std::thread::sleep(pause);
                s.signal_group("USR1");
                std::thread::sleep(pause);
            }
        });
        assert!(got.contains("USR1 20") && !got.contains("USR1 21"), "{tier:?}: {got}");
    }
}

#[test]
fn stops_and_continues_with_the_job() {
    for tier in tiers() {
        let got = counted(tier, |s| {
            s.signal("TSTP");
            let state = || {
                crate::support::marked(&format!("none-{}", s.pid())).len().to_string() + &state_of(s.pid())
            };
            crate::support::wait_until("terrarium to stop", || state().ends_with('T'));
            s.signal("CONT");
            crate::support::wait_until("terrarium to go on", || !state().ends_with('T'));
        });
        assert!(got.contains("TSTP 1") && got.contains("CONT 1"), "{tier:?}: {got}");
    }
}

fn state_of(pid: i32) -> String {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    text.rsplit(')').next().unwrap_or("").split_whitespace().next().unwrap_or("").to_owned()
}

#[test]
fn a_python_handler_runs() {
    // print() would be refused in the handler if the signal comes within the other print().
    let script = "import os, signal, sys, time\n\
                  signal.signal(signal.SIGTERM, lambda *a: (os.write(1, b'saved\\n'), sys.exit(5)))\n\
                  print('ready', flush=True)\n\
                  time.sleep(60)\n";
    for tier in tiers() {
        let mut started = job(tier, [""; 0], ["/usr/bin/python3", "-c", script]).start();
        let mut lines = BufReader::new(started.child.stdout.take().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "ready");
        started.signal("TERM");
        assert_eq!(lines.next().unwrap().unwrap(), "saved");
        started.finish().code_is(5);
    }
}

#[test]
fn after_the_grace_a_job_that_ignores_sigterm_is_killed() {
    for tier in tiers() {
        let mut started =
            sh(tier, &["--grace", "300ms"], "trap '' TERM; echo ready; while :; do sleep 0.05; done").start();
        let mut lines = BufReader::new(started.child.stdout.take().unwrap()).lines();
        lines.next().unwrap().unwrap();
        started.signal("TERM");
        started.finish().code_is(137).err_has("was killed after SIGTERM and its grace");
    }
}

#[test]
fn a_job_may_signal_its_own_group() {
    for tier in tiers() {
        // With us in the group: the job's own business, and no reason to end it.
        sh(tier, &["--grace", "200ms"], "trap '' TERM; kill 0; sleep 0.6; echo alive; exit 4")
            .run()
            .code_is(4)
            .out_has("alive");
    }
}

#[test]
fn an_ignored_signal_stays_ignored() {
    for tier in tiers() {
        let mut inner = sh(tier, &[], "kill -HUP $$; echo alive").command();
        let program = inner.get_program().to_owned();
        let args: Vec<_> = inner.get_args().map(ToOwned::to_owned).collect();
        inner = std::process::Command::new("nohup");
        let output = inner.arg(program).args(args).output().unwrap();
        assert!(String::from_utf8_lossy(&output.stdout).contains("alive"), "{output:?}");
    }
}

#[test]
fn a_handler_set_by_the_job_gets_a_signal_that_was_ignored_before() {
    for tier in tiers() {
        let inner = job(tier, ["-q"], [program("sigcount"), "3".to_owned()]).command();
        let words: Vec<String> = std::iter::once(inner.get_program())
            .chain(inner.get_args())
            .map(|w| format!("'{}'", w.to_string_lossy().replace('\'', "'\\''")))
            .collect();
        // A script's background: sh has it ignore SIGINT.
        let script = format!("{} & sleep 1; kill -INT $!; wait $!", words.join(" "));
        let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
        assert!(String::from_utf8_lossy(&output.stdout).contains("INT 1"), "{tier:?}: {output:?}");
    }
}

#[test]
fn a_broken_pipe_ends_the_job_as_it_would_plainly() {
    for tier in tiers() {
        let job = sh(tier, &["-q"], "yes; echo ended with $? >&2");
        let mut command = job.command();
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let output = child.wait_with_output().unwrap();
        // 128 + SIGPIPE: `yes` was killed, as terrarium did not pass on an ignored SIGPIPE.
        assert!(String::from_utf8_lossy(&output.stderr).contains("ended with 141"), "{output:?}");
    }
}

#[test]
fn statuses_come_back() {
    for tier in tiers() {
        for code in [0, 1, 2, 42, 124, 255] {
            sh(tier, &["-q"], &format!("exit {code}")).run().code_is(code);
        }
        for (signal, code) in [("KILL", 137), ("SEGV", 139), ("TERM", 143), ("ABRT", 134)] {
            sh(tier, &["-q"], &format!("kill -{signal} $$")).run().code_is(code);
        }
    }
}

#[test]
fn input_and_pipes_pass_through() {
    for tier in tiers() {
        let job = job(tier, ["-q"], ["cat"]);
        let mut command = job.command();
        let mut child = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        std::io::Write::write_all(&mut input, b"hello\n").unwrap();
        drop(input);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.stdout, b"hello\n");
        assert!(output.status.success());
    }
}

#[test]
fn a_pipe_that_the_job_closes_is_closed() {
    for tier in tiers() {
        let job = sh(tier, &["-q"], "exec >&-; exec sleep 60");
        let mut started = job.start();
        let mut out = started.child.stdout.take().unwrap();
        let mut text = Vec::new();
        // Ends only if terrarium and its init hold no copy.
        std::io::Read::read_to_end(&mut out, &mut text).unwrap();
        started.signal("TERM");
        started.finish();
    }
}

#[test]
fn a_signal_to_the_group_is_not_lost_while_the_job_starts() {
    for tier in tiers() {
        let runs = if crate::support::is_small() { 6 } else { 60 };
        for run in 0..runs {
            let started = job(tier, ["--grace", "40s"], ["sleep", "50"]).start();
            // Over the few milliseconds that a start takes.
            std::thread::sleep(Duration::from_micros(5000 * run / runs));
            started.signal_group("TERM");
            let done = started.finish();
            // Before terrarium had taken signals over it died of it itself.
            let by_the_signal = done.status.signal() == Some(15);
            // 137 if it was lost: killed after the grace.
            assert!(by_the_signal || done.code == Some(143), "{tier:?}: {:?} {}", done.status, done.err);
        }
    }
}
