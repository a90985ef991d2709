//! Limits hold, for the job as a whole, by the kernel.

use crate::support::{
    Tier, cgroups_of_ours, job, not_in_the_virtual_machine, program, requires, sh, tiers, tiers_with_memory,
};

const KINDS: [&str; 7] = ["malloc", "brk", "shared", "memfd-map", "memfd-write", "shm", "children"];

#[test]
fn every_way_to_allocate_ends_at_the_limit() {
    requires!(!tiers_with_memory().is_empty(), "no memory cgroup without root");
    for tier in tiers_with_memory() {
        for kind in KINDS {
            let done = job(
                tier,
                ["--mem", "64M", "--shm", "1G", "--require-mem"],
                [&program("alloc"), kind, "300M"],
            )
            .run();
            assert!(!done.out.contains("had 300M"), "{tier:?} {kind}: {}", done.out);
            done.code_is(123).err_has("ran out of memory").err_has("--mem 128M");
        }
        job(tier, ["--mem", "200M", "--require-mem"], [&program("alloc"), "malloc", "50M"])
            .run()
            .code_is(0)
            .out_has("had 50M");
    }
}

#[test]
fn tail_dev_zero() {
    for tier in tiers_with_memory() {
        job(tier, ["--mem", "50M"], ["tail", "/dev/zero"]).run().code_is(123);
    }
    if tiers().contains(&Tier::User) {
        // Each process alone: tail itself is refused, and says so.
        let done = job(Tier::User, ["--mem", "50M"], ["tail", "/dev/zero"]).run();
        assert_ne!(done.code, Some(0));
        done.err_has("for each process alone (RLIMIT_DATA)");
    }
}

#[test]
fn without_a_cgroup_malloc_is_refused_and_the_rest_is_said() {
    requires!(tiers().contains(&Tier::User), "no ordinary user");
    let mem = |kind: &str| job(Tier::User, ["--mem", "64M"], [&program("alloc"), kind, "200M"]).run();
    for kind in ["malloc", "brk"] {
        mem(kind).code_is(3).out_has("refused");
    }
    mem("shared").code_is(0).err_has("It does not stop shared mappings");
    // The private /dev/shm is capped by --mem all the same.
    mem("shm").code_is(3).out_has("refused");
    job(Tier::User, ["--mem", "64M", "--require-mem"], ["true"])
        .run()
        .code_is(122)
        .err_has("--require-mem cannot be met");
}

#[test]
fn one_worker_out_of_memory_ends_the_whole_job() {
    // A pool that lost a worker usually hangs.
    let script = format!("{} malloc 300M & sleep 60", program("alloc"));
    for tier in tiers_with_memory() {
        sh(tier, &["--mem", "64M"], &script).run().code_is(123);
    }
}

#[test]
fn the_job_cannot_leave_its_cgroup_or_raise_its_limit() {
    for tier in tiers_with_memory().into_iter().filter(|t| *t != Tier::Root) {
        let done = job(tier, ["--mem", "64M", "--pids", "100"], [&program("cgroup_move"), "300M"]).run();
        assert!(!done.out.contains("had 300M"), "{}", done.out);
        assert!(done.out.contains("moved: no") || done.code == Some(123), "{}", done.out);
    }
    // A second mount of the cgroups must not show the limits either.
    if tiers().contains(&Tier::Delegated) {
        let place = crate::report::place("second-mount");
        let from = if crate::support::is_v2() { "/sys/fs/cgroup" } else { "/sys/fs/cgroup/memory" };
        let run = |program: &str, args: &[&str]| {
            assert!(std::process::Command::new(program).args(args).arg(&place).status().unwrap().success());
        };
        run("mount", &["--bind", from]);
        let script = format!(
            "find {0} {2} -name 'terrarium-*'; \
             for f in $(find {0} {2} -name memory.max -o -name memory.limit_in_bytes); do \
             echo 900M > $f; done 2>/dev/null; exec {1} malloc 300M",
            place.display(),
            program("alloc"),
            from
        );
        let done = sh(Tier::Delegated, &["--mem", "64M"], &script).run();
        run("umount", &["-l"]);
        assert!(!done.out.contains("had 300M") && !done.out.contains("terrarium-"), "{}", done.out);
    }
    // Root's limits hold for a job that gave up root.
    if tiers().contains(&Tier::Root) {
        let (uid, gid) = crate::support::user();
        let (uid, gid) = (format!("--reuid={uid}"), format!("--regid={gid}"));
        let inner = program("cgroup_move");
        let done = job(
            Tier::Root,
            ["--mem", "64M", "--pids", "100"],
            ["setpriv", uid.as_str(), gid.as_str(), "--clear-groups", "--", &inner, "300M"],
        )
        .run();
        assert!(!done.out.contains("had 300M"), "{}", done.out);
    }
}

#[test]
fn pids() {
    for tier in tiers() {
        let script = "import os, sys\nn = 0\ntry:\n  while n < 60:\n    if os.fork() == 0:\n      import time; time.sleep(30)\n    n += 1\nexcept OSError:\n  pass\nprint('children', n)\n";
        let done = job(tier, ["--pids", "20"], ["/usr/bin/python3", "-c", script]).run();
        if tier == Tier::Traced {
            // With all other processes of this user, which other tests start meanwhile: no exact number.
            done.code_is(0).err_has("more than all processes and threads that you have");
            continue;
        }
        // Before Linux 5.14 an ordinary user without a cgroup cannot be held to it, and is told so.
        let told = tier == Tier::User && done.err.contains("--pids is not enforced");
        done.code_is(0).out_has(if told { "children 60" } else { "children 19" });
    }
}

#[test]
fn cpus_can_be_narrowed_and_not_widened() {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    requires!(cpus >= 2, "one CPU only");
    for tier in tiers() {
        job(tier, ["--cpus", "1,"], [&program("affinity"), "show"]).run().code_is(0).out_has("1");
        let done = job(tier, ["--cpus", "1,"], [&program("affinity"), "widen"]).run();
        for line in done.code_is(0).out.lines() {
            assert!(!line.ends_with("-> 0-1") && !line.ends_with("-> 0"), "{tier:?}: {}", done.out);
        }
        job(tier, ["--cpus", "0-1"], [&program("affinity"), "narrow", "0"]).run().code_is(0).out_has("0");
        sh(tier, &["--cpus", "0-1"], "taskset -c 1 env -u OMP_NUM_THREADS nproc")
            .run()
            .code_is(0)
            .out_has("1");
        sh(tier, &["--cpus", "1"], "env -u OMP_NUM_THREADS nproc").run().code_is(0).out_has("1");
    }
}

#[test]
fn thread_variables() {
    for tier in tiers() {
        let show = "echo $OMP_NUM_THREADS/$OPENBLAS_NUM_THREADS/$PYTHON_CPU_COUNT";
        sh(tier, &["--cpus", "1"], show).run().out_has("1/1/1");
        sh(tier, &["--threads", "3", "--cpus", "1"], show).run().out_has("3/3/1");
        sh(tier, &["--threads", "off"], show).run().out_has("//");
        sh(tier, &["--threads", "2"], show).env("OMP_NUM_THREADS", "7").run().out_has("7//");
    }
}

#[test]
fn oversubscription_is_seen_and_a_remedy_named() {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    not_in_the_virtual_machine!();
    let script = format!(
        "import multiprocessing, threading, time, hashlib\n\
         def spin(end):\n\
         \x20 while time.time() < end: hashlib.sha256(bytes(1 << 20))\n\
         def work(_):\n\
         \x20 end = time.time() + 4\n\
         \x20 ts = [threading.Thread(target=spin, args=(end,)) for _ in range({})]\n\
         \x20 [t.start() for t in ts]; [t.join() for t in ts]\n\
         if __name__ == '__main__':\n\
         \x20 multiprocessing.get_context('fork').Pool(4).map(work, range(4))\n",
        cpus.max(2) * 2
    );
    let tier = tiers()[0];
    let done = job(tier, [""; 0], ["/usr/bin/python3", "-c", &script]).run();
    done.code_is(0).err_has("more threads wanted to run").err_has("try --threads 1");
}

#[test]
fn the_summary_counts_the_dead_and_the_daemonised() {
    // 40 children one after another, and daemons, each with some CPU time of its own.
    let burn = "import os, time\n\
                def burn():\n\
                \x20 while time.process_time() < 0.05: pass\n\
                for i in range(20):\n\
                \x20 pid = os.fork()\n\
                \x20 if pid == 0:\n\
                \x20   if i % 2 == 0 and os.fork() > 0: os._exit(0)\n\
                \x20   os.setsid() if i % 2 == 0 else None\n\
                \x20   burn(); os._exit(0)\n\
                \x20 os.waitpid(pid, 0)\n\
                time.sleep(1)\n";
    for tier in tiers() {
        let path = crate::report::place("cpu").join(format!("{tier:?}.json"));
        job(tier, ["-q", "--report", path.to_str().unwrap()], ["/usr/bin/python3", "-c", burn])
            .run()
            .code_is(0);
        let report: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let seconds = report["usage"]["cpu_seconds"]["value"].as_f64().unwrap();
        // Each burns at least 0.05 s; interpreter start-up and forks come on top.
        assert!((1.0..6.0).contains(&seconds), "{tier:?}: {seconds}");
    }
}

#[test]
fn nothing_of_cgroups_is_left() {
    for tier in tiers() {
        let started = sh(tier, &["--mem", "100M", "--pids", "50", "--cpus", "1"], "true").start();
        let name = format!("terrarium-{}-", started.pid());
        started.finish().code_is(0);
        let left: Vec<_> =
            cgroups_of_ours().into_iter().filter(|p| p.display().to_string().contains(&name)).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}
