//! Nothing survives: however the job ends, and whatever it started.

use std::fs;
use std::time::Duration;

use crate::support::{
    Tier, is_small, job, not_in_the_virtual_machine, program, requires, sh, tiers, wait_until,
};

fn many() -> &'static str {
    if is_small() { "300" } else { "1000" }
}

#[test]
fn daemons_are_gone_when_main_has_ended() {
    for tier in tiers() {
        let done = job(tier, [""; 0], [&program("daemons"), many()]).run();
        done.code_is(0)
            .out_has(&format!("daemons {}", many()))
            .err_has(&format!("{} processes, ended: daemons", many()));
    }
}

#[test]
fn ten_thousand_daemons() {
    let n = if is_small() { "1500" } else { "10000" };
    for tier in tiers() {
        job(tier, [""; 0], [&program("daemons"), n])
            .run()
            .code_is(0)
            .err_has(&format!("{n} processes, ended"));
    }
}

#[test]
fn daemons_that_closed_every_file() {
    for tier in tiers() {
        job(tier, [""; 0], [&program("daemons"), "50", "--close-fds"])
            .run()
            .code_is(0)
            .err_has("50 processes, ended");
    }
}

#[test]
fn killed_by_sigkill_to_terrarium() {
    for tier in tiers() {
        let started = job(tier, [""; 0], [&program("daemons"), many(), "--stay"]).start();
        started.wait_for_processes(many().parse().unwrap());
        let mark = started.marked();
        assert!(mark.len() >= 300);
        started.signal("KILL");
        // terrarium is gone at once; the kernel needs a moment for the rest.
        wait_until("the end of the job", || started.marked().is_empty());
        let done = started.finish();
        assert_eq!(done.code, None, "{:?}", done.status);
    }
}

#[test]
fn ended_by_sigterm_though_the_daemons_ignore_it() {
    for tier in tiers() {
        let started = job(tier, ["--grace", "2m"], [&program("daemons"), "200", "--stay"]).start();
        started.wait_for_processes(200);
        started.signal("TERM");
        let done = started.finish();
        // They ignore SIGTERM, so there is nothing to wait the grace for.
        assert!(!done.err.contains("the grace is over"), "{}", done.err);
        done.code_is(143);
    }
}

#[test]
fn killed_by_sigkill_to_init() {
    for tier in tiers() {
        let started = job(tier, [""; 0], [&program("daemons"), "20", "--stay"]).start();
        started.wait_for_processes(21);
        let init = fs::read_to_string(format!("/proc/{0}/task/{0}/children", started.pid())).unwrap();
        let killed = std::process::Command::new("kill").args(["-KILL", init.trim()]).status().unwrap();
        assert!(killed.success());
        started.finish().code_is(137).err_has("was killed from outside");
    }
}

#[test]
fn ended_by_sighup() {
    for tier in tiers() {
        let started = job(tier, [""; 0], [&program("daemons"), "20", "--stay"]).start();
        started.wait_for_processes(20);
        started.signal("HUP");
        started.finish().code_is(129);
    }
}

#[test]
fn ended_by_the_time_limit() {
    for tier in tiers() {
        let done =
            job(tier, ["--time", "300ms", "--grace", "200ms"], [&program("daemons"), "50", "--stay"]).run();
        done.code_is(124).err_has("was ended by its time limit");
    }
}

#[test]
fn the_time_limit_asks_before_it_kills() {
    // Time for the traps to be set.
    let limit = if is_small() { "3s" } else { "300ms" };
    for tier in tiers() {
        let script = "trap 'echo asked; exit 0' TERM; sleep 60 & wait";
        sh(tier, &["--time", limit, "--grace", "30s"], script).run().code_is(124).out_has("asked");
        // A child that handles SIGTERM may finish, although the main process is gone at once.
        let script =
            "sh -c 'trap \"sleep 0.5; echo saved; exit\" TERM; while :; do sleep 0.05; done' & exec sleep 60";
        sh(tier, &["--time", limit, "--grace", "30s"], script).run().code_is(124).out_has("saved");
    }
}

#[test]
fn the_papers_listing_1() {
    let script = "set -m\ntrap 'kill %%' EXIT\nsleep 100 &\nsleep 150 &\nwait\nexit 0\n";
    for tier in tiers() {
        for signal in ["TERM", "KILL"] {
            let started = job(tier, [""; 0], ["bash", "-c", script]).start();
            started.wait_for_processes(3);
            started.signal(signal);
            wait_until("the end of the job", || started.marked().is_empty());
            started.finish();
        }
    }
}

#[test]
fn fork_bomb() {
    for tier in tiers() {
        let done =
            job(tier, ["--pids", "200", "--time", "500ms", "--grace", "0"], [program("forkbomb")]).run();
        done.code_is(124);
    }
}

#[test]
fn lineages_that_fork_while_they_are_killed() {
    for tier in tiers() {
        job(tier, ["--pids", "2000"], [&program("phoenix"), "16"]).run().code_is(0);
        let started = job(tier, ["--pids", "2000"], [&program("phoenix"), "16", "--stay"]).start();
        started.wait_for_processes(10);
        started.signal("KILL");
        wait_until("the end of the job", || started.marked().is_empty());
        started.finish();
    }
}

#[test]
fn stopped_processes() {
    for tier in tiers() {
        job(tier, [""; 0], [&program("stopped"), "20"])
            .run()
            .code_is(0)
            .err_has("20 processes, ended: stopped");
    }
}

#[test]
fn every_way_to_make_a_process() {
    for tier in tiers() {
        let done = job(tier, [""; 0], [&program("clone_flags")]).run();
        done.code_is(0).out_has("clone_flags ").err_has("clone_flags");
    }
}

#[test]
fn frozen_processes() {
    requires!(tiers().contains(&Tier::Root), "only root can freeze");
    let done = job(Tier::Root, [""; 0], [program("frozen")]).run();
    assert!(done.code == Some(0), "{}{}", done.out, done.err);
    let path = done.out.split_whitespace().nth(1).unwrap_or_default().to_owned();
    // The program's own cgroup, which nobody else removes; in v2 it went with the run's.
    wait_until("the removal of the frozen cgroup", || {
        fs::metadata(&path).is_err() || fs::remove_dir(&path).is_ok()
    });
}

#[test]
fn init_cannot_be_traced_or_killed() {
    for tier in tiers().into_iter().filter(|t| *t != Tier::Root) {
        let done = job(tier, [""; 0], [program("ptrace_init")]).run();
        done.code_is(0);
        for line in done.out.lines() {
            // A signal to a PID 1 is accepted and has no effect.
            let harmless = line.contains("kill");
            assert!(
                harmless || line.contains("EPERM") || line.contains("EACCES") || line.contains("ENOENT"),
                "{}",
                done.out
            );
        }
    }
}

#[test]
fn an_init_held_by_a_tracer_does_not_hold_us() {
    for tier in tiers() {
        job(tier, [""; 0], [&program("ptrace_init"), "--hold"]).run().code_is(0);
    }
}

#[test]
fn a_held_init_does_not_stop_the_clock() {
    for tier in tiers() {
        let started = job(tier, ["--grace", "500ms"], ["sleep", "100"]).start();
        started.wait_for_processes(2);
        let init = fs::read_to_string(format!("/proc/{0}/task/{0}/children", started.pid())).unwrap();
        let stopped = std::process::Command::new("kill").args(["-STOP", init.trim()]).status().unwrap();
        assert!(stopped.success());
        started.signal("TERM");
        started.finish().code_is(137);
    }
}

#[test]
fn an_idle_job_costs_nothing() {
    for tier in tiers() {
        let started = job(tier, ["--cpus", "1", "--mem", "100M"], ["sleep", "100"]).start();
        started.wait_for_processes(2);
        let ticks = |pid: &str| -> u64 {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
            let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
            fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
        };
        let pid = started.pid().to_string();
        let init = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        let before = ticks(&pid) + ticks(init.trim());
        std::thread::sleep(Duration::from_secs(3));
        let used = ticks(&pid) + ticks(init.trim()) - before;
        // One that spins uses some 300 ticks of 10 ms.
        assert!(used < 100, "{tier:?}: {used} ticks in 3 s");
        started.signal("TERM");
        started.finish();
    }
}

#[test]
fn orphans_are_reaped() {
    for tier in tiers() {
        job(tier, [""; 0], [&program("zombies"), "50"]).run().code_is(0).out_has("zombies 0");
    }
}

#[test]
fn many_runs_at_once() {
    for tier in tiers() {
        let runs: Vec<_> = (0..8).map(|_| job(tier, [""; 0], [&program("daemons"), "20"]).start()).collect();
        for run in runs {
            run.finish().code_is(0);
        }
    }
}

#[test]
fn killed_at_random_moments_while_starting() {
    for tier in tiers() {
        for step in 0..30u64 {
            let started = job(tier, ["--mem", "200M"], [&program("daemons"), "5", "--stay"]).start();
            std::thread::sleep(Duration::from_micros(step * 400));
            started.signal("KILL");
            let child = started.pid();
            wait_until(&format!("the end of the job, killed after {} µs ({child})", step * 400), || {
                started.marked().is_empty()
            });
            started.finish();
        }
        // What the kills left of cgroups goes with the next run.
        sh(tier, &["--mem", "200M"], "true").run().code_is(0);
    }
}

#[test]
fn a_process_in_uninterruptible_sleep_is_named() {
    not_in_the_virtual_machine!();
    requires!(tiers().contains(&Tier::Root), "freezing a file system needs root");
    let Some(frozen) = FrozenDisk::new() else {
        crate::support::skip("no loop device, or no ext4, to freeze a file system with");
        return;
    };
    let script =
        format!("dd if=/dev/zero of={}/file bs=1M count=1 2>/dev/null & sleep 1", frozen.mount.display());
    let started = sh(Tier::Root, &["--kill-wait", "2s"], &script).start();
    let mut child = started.child;
    let status = child.wait().unwrap();
    let mut err = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut err).unwrap();
    assert_eq!(status.code(), Some(121), "{err}");
    assert!(err.contains("(dd) cannot be killed: state D"), "{err}");
    drop(frozen);
}

/// A small file system that is frozen: who writes to it waits, uninterruptibly, until it is dropped.
pub(crate) struct FrozenDisk {
    pub(crate) mount: std::path::PathBuf,
    _directory: tempfile::TempDir,
}

impl FrozenDisk {
    pub(crate) fn new() -> Option<FrozenDisk> {
        let directory = tempfile::tempdir().unwrap();
        let (image, mount) = (directory.path().join("image"), directory.path().join("mount"));
        fs::create_dir(&mount).unwrap();
        fs::File::create(&image).unwrap().set_len(16 << 20).unwrap();
        let ok = |program: &str, args: &[&std::ffi::OsStr]| {
            std::process::Command::new(program).args(args).output().is_ok_and(|o| o.status.success())
        };
        let made = ok("mkfs.ext4", &["-q".as_ref(), image.as_ref()])
            && ok("mount", &["-o".as_ref(), "loop".as_ref(), image.as_ref(), mount.as_ref()]);
        if !made {
            return None;
        }
        let disk = FrozenDisk { mount, _directory: directory };
        ok("fsfreeze", &["-f".as_ref(), disk.mount.as_ref()]).then_some(disk)
    }
}

impl Drop for FrozenDisk {
    fn drop(&mut self) {
        let run = |program: &str, flag: &str| {
            let mut command = std::process::Command::new(program);
            let _ = command.args((!flag.is_empty()).then_some(flag)).arg(&self.mount).status();
        };
        run("fsfreeze", "-u");
        std::thread::sleep(Duration::from_millis(300));
        run("umount", "");
    }
}
