//! Whether what a report says was used is what was used. Each job finds out the truth in another way, and prints it.

use std::fs;

use serde_json::Value;

use crate::report::place;
use crate::support::{Tier, is_small, job, not_in_the_virtual_machine, tiers};

const MIB: f64 = (1 << 20) as f64;

/// How much memory a job takes, MiB.
fn size() -> u64 {
    if is_small() { 48 } else { 256 }
}

/// For jobs of several processes: readers that are there at once, and what all of them take together, each page once.
const PRELUDE: &str = "\
import os, resource, sys, time
def own(): r = resource.getrusage(resource.RUSAGE_SELF); return r.ru_utime + r.ru_stime
def waited(): r = resource.getrusage(resource.RUSAGE_CHILDREN); return r.ru_utime + r.ru_stime
def burn(seconds):
  end = time.process_time() + seconds
  while time.process_time() < end: pass
def pss(pid):
  total = 0
  for line in open(f'/proc/{pid}/smaps_rollup'):
    if line.startswith(('Pss_Anon:', 'Pss_Shmem:')): total += int(line.split()[1]) << 10
  return total
def readers(n, read):
  r, w = os.pipe(); stop, go = os.pipe(); pids = []
  for i in range(n):
    pid = os.fork()
    if pid == 0:
      os.close(go); read(); os.write(w, b'x'); os.read(stop, 1); os._exit(0)
    pids.append(pid)
  done = b''
  while len(done) < n: done += os.read(r, n)
  truth = sum(pss(p) for p in pids + [os.getpid()])
  # The kernel brings memory.stat up to date every two seconds.
  time.sleep(3.5)
  os.close(go)
  for pid in pids: os.waitpid(pid, 0)
  print(truth)
";

/// Runs a Python script in a job; its report, and the number that it printed.
fn run(tier: Tier, name: &str, flags: &[&str], script: &str) -> (Value, f64) {
    let path = place("truth").join(format!("{name}-{tier:?}.json"));
    let own = ["-q", "--report", path.to_str().unwrap()];
    // Without a limit a user's cgroup is not made everywhere.
    let limit = ["--mem", "8G"].iter().filter(|_| tier == Tier::Delegated);
    let limit = limit.filter(|_| !flags.contains(&"--mem"));
    // When it has told the truth it ends at once: clearing up takes a second of CPU time where the machine is emulated.
    let script = format!("{PRELUDE}{script}\nsys.stdout.flush()\nos._exit(0)");
    let done = job(tier, own.iter().chain(limit).chain(flags), ["/usr/bin/python3", "-c", &script]).run();
    done.code_is(0);
    let report = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    (report, done.out.trim().parse().unwrap())
}

fn figure(report: &Value, name: &str) -> (f64, String) {
    let measured = &report["usage"][name];
    let value = measured["value"].as_f64().unwrap_or_else(|| panic!("no {name} in {report}"));
    (value, measured["source"].as_str().unwrap().to_owned())
}

fn has_cgroup(tier: Tier) -> bool {
    matches!(tier, Tier::Root | Tier::Delegated)
}

/// The peak is what was there, or says that it is an upper bound. `truth`: anonymous and shared memory, each page once.
#[track_caller]
fn is_true(tier: Tier, report: &Value, truth: f64) {
    // Pages of programs and libraries, page tables, kernel stacks.
    let rest = truth * 0.1 + 40.0 * MIB;
    for name in ["memory_peak", "memory_anonymous_shared_peak"] {
        let (value, source) = figure(report, name);
        let told =
            format!("{tier:?}: {name} {:.0} MiB ({source}), truth {:.0} MiB", value / MIB, truth / MIB);
        eprintln!("{told}");
        assert!(value >= truth * 0.98, "{told}");
        if has_cgroup(tier) {
            assert!(value <= truth + rest, "{told}");
        } else {
            assert_eq!(source, "sampled-sum", "{told}");
        }
    }
}

#[track_caller]
fn is_cpu(tier: Tier, report: &Value, truth: f64) {
    let (value, source) = figure(report, "cpu_seconds");
    let told = format!("{tier:?}: CPU {value:.3} s ({source}), truth {truth:.3} s");
    eprintln!("{told}");
    // What the main process does after it has printed, and processes while they end.
    let rest = if is_small() { 0.5 } else { 0.05 };
    assert!(value >= truth * 0.99 && value <= truth * 1.01 + rest, "{told}");
}

#[test]
fn cpu_time_of_short_children() {
    let children = if is_small() { 40 } else { 300 };
    let script = format!(
        "for i in range({children}):\n\
         \x20 pid = os.fork()\n\
         \x20 if pid == 0: burn(0.01); os._exit(0)\n\
         \x20 os.waitpid(pid, 0)\n\
         print(own() + waited())"
    );
    for tier in tiers() {
        let (report, truth) = run(tier, "children", &[], &script);
        is_cpu(tier, &report, truth);
    }
}

#[test]
fn cpu_time_of_daemons() {
    let (daemons, seconds) = if is_small() { (3, 0.2) } else { (10, 0.3) };
    let script = format!(
        "r, w = os.pipe()\n\
         for i in range({daemons}):\n\
         \x20 pid = os.fork()\n\
         \x20 if pid == 0:\n\
         \x20   os.setsid()\n\
         \x20   if os.fork() == 0: burn({seconds}); os.write(w, b'%015.9f\\n' % own())\n\
         \x20   os._exit(0)\n\
         \x20 os.waitpid(pid, 0)\n\
         os.close(w)\n\
         theirs = sum(float(line) for line in open(r))\n\
         time.sleep(0.3)\n\
         print(own() + waited() + theirs)"
    );
    for tier in tiers() {
        let (report, truth) = run(tier, "daemons", &[], &script);
        is_cpu(tier, &report, truth);
    }
}

#[test]
fn memory_that_forked_processes_share() {
    let script = format!("b = bytearray(b'x') * ({} << 20)\nreaders(8, lambda: sum(b[::4096]))", size());
    for tier in tiers() {
        let (report, truth) = run(tier, "fork", &[], &script);
        assert!(truth >= size() as f64 * MIB);
        is_true(tier, &report, truth);
    }
}

#[test]
fn shared_memory_of_python() {
    let script = format!(
        "from multiprocessing import shared_memory\n\
         s = shared_memory.SharedMemory(create=True, size={} << 20)\n\
         for i in range(0, s.size, 4096): s.buf[i] = 1\n\
         readers(8, lambda: sum(s.buf[::4096]))\n\
         s.close(); s.unlink()",
        size()
    );
    for tier in tiers() {
        let (report, truth) = run(tier, "shm", &[], &script);
        assert!(truth >= size() as f64 * MIB);
        is_true(tier, &report, truth);
    }
}

#[test]
fn memory_copied_for_reference_counts() {
    let script = format!(
        "l = list(range({}))\n\
         before = pss(os.getpid())\n\
         def read():\n\
         \x20 for x in l: pass\n\
         readers(4, read)\n\
         print(before, file=sys.stderr)",
        size() * 10_000
    );
    for tier in tiers() {
        let (report, truth) = run(tier, "counts", &[], &script);
        // An int of 32 bytes, and 8 in the list: each reader copies the former.
        assert!(truth >= size() as f64 * 10_000.0 * (40.0 + 4.0 * 24.0), "{truth}");
        is_true(tier, &report, truth);
    }
}

#[test]
fn page_cache_is_not_taken_for_what_a_job_needs() {
    // Its /tmp is in memory.
    not_in_the_virtual_machine!();
    let directory = place("cache");
    for tier in tiers() {
        let file = directory.join(format!("{tier:?}"));
        let script = format!(
            "b = bytes(1 << 20)\n\
             with open('{0}', 'wb') as f:\n\
             \x20 for i in range({1}): f.write(b)\n\
             with open('{0}', 'rb') as f:\n\
             \x20 while f.read(1 << 20): pass\n\
             time.sleep(1)\n\
             os.unlink('{0}')\n\
             print(pss(os.getpid()))",
            file.display(),
            2 * size()
        );
        let (report, truth) = run(tier, "cache", &[], &script);
        let (peak, source) = figure(&report, "memory_peak");
        let (needed, _) = figure(&report, "memory_anonymous_shared_peak");
        let told = format!("{tier:?}: peak {peak} ({source}), anonymous and shared {needed}, truth {truth}");
        assert!(needed > 0.0 && needed <= truth + 20.0 * MIB, "{told}");
        if has_cgroup(tier) {
            // The kernel may write some of it back, but drops nothing as long as there is room.
            assert!(peak >= size() as f64 * MIB && source == "cgroup", "{told}");
            let limit = format!("{}M", size() / 2);
            let (report, _) = run(tier, "cache-limited", &["--mem", &limit], &script);
            assert_eq!(report["usage"]["memory_saturated"], true, "{report}");
            let (needed, _) = figure(&report, "memory_anonymous_shared_peak");
            assert!(needed <= truth + 20.0 * MIB, "{report}");
        } else {
            assert!(peak <= 100.0 * MIB && source == "sampled-sum", "{told}");
        }
        assert_eq!(report["usage"]["memory_saturated"], false);
    }
}

#[test]
fn a_spike_between_two_looks() {
    let script = format!(
        "time.sleep(1.4)\n\
         b = bytearray(b'x') * ({} << 20)\n\
         truth = pss(os.getpid())\n\
         del b\n\
         time.sleep(1.5)\n\
         print(truth)",
        size()
    );
    for tier in tiers() {
        let (report, truth) = run(tier, "spike", &[], &script);
        assert!(truth >= size() as f64 * MIB);
        let (value, source) = figure(&report, "memory_peak");
        let told = format!("{tier:?}: {value} ({source}), truth {truth}");
        assert!(value >= truth * 0.98 && value <= truth + 60.0 * MIB, "{told}");
        assert_eq!(source, if has_cgroup(tier) { "cgroup" } else { "sampled-sum" });
    }
}

#[test]
fn a_small_child_of_a_large_parent() {
    let script = format!(
        "import subprocess\n\
         b = bytearray(b'x') * ({} << 20)\n\
         for i in range(10): subprocess.run(['/bin/true'])\n\
         truth = pss(os.getpid())\n\
         del b\n\
         time.sleep(1)\n\
         for i in range(10): subprocess.run(['/bin/true'])\n\
         time.sleep(1)\n\
         print(truth)",
        size()
    );
    for tier in tiers() {
        let (report, truth) = run(tier, "child", &[], &script);
        assert!(truth >= size() as f64 * MIB);
        let (value, source) = figure(&report, "memory_peak");
        let told = format!("{tier:?}: {value} ({source}), truth {truth}");
        assert!(value >= truth * 0.98 && value <= truth + 60.0 * MIB, "{told}");
    }
}

#[test]
fn what_the_dead_read_wrote_and_waited_for() {
    let script = "b = bytes(1 << 20)\n\
         for i in range(50):\n\
         \x20 pid = os.fork()\n\
         \x20 if pid == 0:\n\
         \x20   os.setsid()\n\
         \x20   if i % 2 and os.fork() > 0: os._exit(0)\n\
         \x20   with open('/dev/null', 'wb', buffering=0) as f: f.write(b)\n\
         \x20   with open('/dev/zero', 'rb', buffering=0) as f: c = f.read(2 << 20)\n\
         \x20   for _ in range(5): time.sleep(0.001)\n\
         \x20   os._exit(0)\n\
         \x20 os.waitpid(pid, 0)\n\
         time.sleep(0.3)\n\
         print(50)";
    for tier in tiers() {
        let (report, n) = run(tier, "dead", &[], script);
        for (name, least, most) in [
            ("read", 2.0 * n * MIB, 2.0 * n * MIB * 1.02),
            ("written", n * MIB, n * MIB * 1.01),
            ("switches_voluntary", 5.0 * n, f64::MAX),
            ("faults_minor", 2.0 * n * 256.0, f64::MAX),
        ] {
            let (value, source) = figure(&report, name);
            assert!(
                value >= least && value <= most && source == "wait4",
                "{tier:?}: {name} {value} ({source})"
            );
        }
        assert!(report["usage"]["samples"].as_u64().unwrap() >= 2, "{report}");
        assert!(report["executable"].as_str().unwrap().contains("/python3"), "{report}");
    }
}

#[test]
fn ten_looks_a_second() {
    for tier in tiers() {
        let (report, _) = run(tier, "fast", &["--interval", "100ms"], "time.sleep(2)\nprint(0)");
        let samples = report["usage"]["samples"].as_u64().unwrap();
        // At most one at each tenth of a second of its life, the first ones and the last.
        let most = report["wall_seconds"].as_f64().unwrap() * 10.0 + 4.0;
        assert!(samples >= 10 && samples as f64 <= most, "{tier:?}: {samples}");
    }
}
