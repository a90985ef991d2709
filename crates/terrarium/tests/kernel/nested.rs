//! A run in a run, and in the jails of others: works, and only tightens.

use crate::support::{
    Tier, job, not_in_the_virtual_machine, program, requires, sh, terrarium, tiers, tiers_with_memory,
    tiers_with_mounts,
};

fn inner(flags: &str, command: &str) -> String {
    format!("{} run {flags} -- {command}", terrarium().display())
}

#[test]
fn statuses_and_signals_pass_through_both() {
    for tier in tiers_with_mounts() {
        sh(tier, &["-q"], &inner("-q", "sh -c 'exit 7'")).run().code_is(7);
        sh(tier, &["-q"], &inner("-q", "sh -c 'kill -9 $$'")).run().code_is(137);
        sh(tier, &["-q"], &inner("-q", &inner("-q", "sh -c 'exit 3'"))).run().code_is(3);
    }
}

#[test]
fn nothing_survives_the_inner_or_the_outer_end() {
    for tier in tiers_with_mounts() {
        let daemons = format!("{} 50", program("daemons"));
        sh(tier, &[], &format!("{}; exit 5", inner("", &daemons)))
            .run()
            .code_is(5)
            .err_has("50 processes, ended");
        let stay = format!("{} 50 --stay", program("daemons"));
        let started = sh(tier, &["-q"], &inner("-q", &stay)).start();
        started.wait_for_processes(50);
        started.signal("KILL");
        crate::support::wait_until("the end of both", || started.marked().is_empty());
        started.finish();
    }
}

#[test]
fn the_tighter_memory_limit_holds() {
    let alloc = |size: &str| format!("{} malloc {size}", program("alloc"));
    for tier in tiers_with_memory() {
        // Inner tighter: the inner job ends, the outer goes on.
        let script = format!("{}; echo inner: $?", inner("-q --mem 40M --require-mem", &alloc("80M")));
        sh(tier, &["-q", "--mem", "200M"], &script).run().code_is(0).out_has("inner: 123");
        // Inner looser: the outer holds.
        sh(tier, &["-q", "--mem", "60M"], &inner("-q --mem 1G", &alloc("200M"))).run().code_is(123);
    }
}

#[test]
fn an_inner_end_out_of_memory_is_not_the_outer_ones() {
    let tail = inner("-q --mem 40M --require-mem", "tail /dev/zero");
    for tier in tiers_with_memory() {
        sh(tier, &["-q", "--mem", "300M"], &format!("{tail}; exit 0")).run().code_is(0);
    }
}

#[test]
fn cpus_are_narrowed_further_and_not_widened() {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    requires!(cpus >= 2, "one CPU only");
    for tier in tiers_with_mounts() {
        sh(tier, &["-q", "--cpus", "0-1"], &inner("-q --cpus 1,", "taskset -pc 0")).run();
        sh(tier, &["-q", "--cpus", "0-1"], &inner("-q --cpus 1,", &format!("{} show", program("affinity"))))
            .run()
            .out_has("1");
        let done = sh(tier, &["-q", "--cpus", "0,"], &inner("--cpus 1,", "true")).run();
        done.code_is(125).err_has("may not be used here");
        let widen = format!("{} widen", program("affinity"));
        let done = sh(tier, &["-q", "--cpus", "1,"], &inner("-q", &widen)).run();
        assert!(done.out.lines().all(|l| !l.ends_with("-> 0-1") && !l.ends_with("-> 0")), "{}", done.out);
    }
}

#[test]
fn inside_bubblewrap() {
    not_in_the_virtual_machine!();
    requires!(has("bwrap"), "bubblewrap is not installed");
    for tier in tiers_with_mounts() {
        let daemons = program("daemons");
        let words = ["--dev-bind", "/", "/", "--unshare-pid", "--proc", "/proc", "--die-with-parent"];
        let mut launcher = vec!["bwrap"];
        launcher.extend(words);
        let path = terrarium().to_str().unwrap().to_owned();
        let done = job(tier, [""; 0], [path.as_str(), "run", "--", &daemons, "20"]).launcher(&launcher).run();
        done.code_is(0).err_has("20 processes, ended");
    }
}

pub(crate) fn has(program: &str) -> bool {
    std::process::Command::new("sh")
        .args(["-c", &format!("command -v {program}")])
        .output()
        .is_ok_and(|o| o.status.success())
}

#[test]
fn a_batch_systems_cgroup_goes_on_holding() {
    requires!(tiers().contains(&Tier::Root), "making a batch system's cgroup needs root");
    // As a batch system does: a cgroup with a limit, in which a shell starts terrarium.
    let delegation = crate::support::Delegation::new();
    let limit = if crate::support::is_v2() { "memory.max" } else { "memory.limit_in_bytes" };
    let directories = delegation.directories_for_tests();
    let holder = directories.iter().find(|d| d.join(limit).exists()).expect("a memory cgroup").clone();
    std::fs::write(holder.join(limit), "80M").unwrap();
    let alloc = program("alloc");
    let run = inner("-q --mem 1G", &format!("{alloc} malloc 300M"));
    let output = std::process::Command::new("sh")
        .args(["-c", &format!("{}{run}", delegation.enter_for_tests())])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(!text.contains("had 300M"), "{output:?}");
}
