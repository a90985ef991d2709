//! Programs of every kind where ptrace holds them: what they do plainly they do there.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::nested::has;
use crate::support::{Tier, directory, job, not_in_the_virtual_machine, program, requires, sh, wait_until};

fn place(name: &str) -> String {
    let path = directory().join(name);
    fs::create_dir_all(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn shells_and_their_jobs() {
    let script = r#"
        set -m
        sleep 0.2 & wait $!; echo waited $?
        (exit 5); echo status $?
        seq 1000 | tail -1 | tr 1 2
        sleep 100 & kill -STOP $!; sleep 0.2; jobs; kill -CONT $!; sleep 0.1; jobs; kill -9 $!; wait $!; echo killed $?
        trap 'echo usr1' USR1; kill -USR1 $$; for i in $(seq 300); do /bin/true; done; echo $(echo nested $(echo deep))
        exec sh -c 'exec echo executed'
    "#;
    let done = job(Tier::Traced, ["-q"], ["bash", "-c", script]).run();
    done.code_is(0);
    for text in [
        "waited 0",
        "status 5",
        "2000",
        "Stopped",
        "Running",
        "killed 137",
        "usr1",
        "nested deep",
        "executed",
    ] {
        done.out_has(text);
    }
}

#[test]
fn python_process_pools_by_all_three_methods() {
    let script = "import multiprocessing as m, subprocess, threading, os, concurrent.futures as f\n\
        def double(n): return 2 * n\n\
        if __name__ == '__main__':\n\
        \x20 for way in ('fork', 'spawn', 'forkserver'):\n\
        \x20   with m.get_context(way).Pool(3) as pool: print(way, sum(pool.map(double, range(50))))\n\
        \x20 with f.ThreadPoolExecutor(8) as pool: print('threads', sum(pool.map(double, range(500))))\n\
        \x20 t = [threading.Thread(target=subprocess.run, args=(['true'],)) for _ in range(20)]\n\
        \x20 [x.start() for x in t]; [x.join() for x in t]; print('spawned from threads')\n\
        \x20 print('vfork', os.posix_spawn('/bin/true', ['true'], os.environ) > 0)\n";
    let file = format!("{}/pools.py", place("pools"));
    fs::write(&file, script).unwrap();
    let done = job(Tier::Traced, ["-q"], ["/usr/bin/python3", &file]).run();
    done.code_is(0);
    for text in
        ["fork 2450", "spawn 2450", "forkserver 2450", "threads 249500", "spawned from threads", "vfork True"]
    {
        done.out_has(text);
    }
}

#[test]
fn an_exec_by_a_thread_that_is_not_the_first() {
    let script = "import threading, os, time\n\
        threading.Thread(target=lambda: (time.sleep(0.1), os.execv('/bin/sh', ['sh', '-c', 'echo pid $$; sleep 100 & exit 6']))).start()\n\
        time.sleep(100)\n";
    for _ in 0..10 {
        let done = job(Tier::Traced, [""; 0], ["/usr/bin/python3", "-c", script]).run();
        done.code_is(6).out_has("pid ").err_has("1 process, ended");
    }
}

#[test]
fn programs_that_stop_themselves() {
    // One that stops itself stays stopped until it is continued, as plainly; its parent is told.
    let script = "sh -c 'kill -STOP $$; echo went on' & sleep 0.3; grep State /proc/$!/status; kill -CONT $!; wait $!; echo $?";
    let done = sh(Tier::Traced, &["-q"], script).run();
    // (What is traced shows as `t`, tracing stop.)
    done.code_is(0).out_has("stop").out_has("went on\n0");
    let wait = "import os, signal, time\npid = os.fork()\nif pid == 0:\n  os.kill(os.getpid(), signal.SIGSTOP); time.sleep(0.5); os._exit(3)\n\
        print(os.WIFSTOPPED(os.waitpid(pid, os.WUNTRACED)[1]))\nos.kill(pid, signal.SIGCONT)\n\
        print(os.WIFCONTINUED(os.waitpid(pid, os.WCONTINUED)[1]))\nprint(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n";
    let done = job(Tier::Traced, ["-q"], ["/usr/bin/python3", "-c", wait]).run();
    assert_eq!(done.out, "True\nTrue\n3\n", "{}", done.err);
    // Threads stop and go on with their process.
    let threads = "import threading, time, os\nn = [0] * 4\n\
        def count(i):\n  while True: n[i] += 1; time.sleep(0.001)\n\
        [threading.Thread(target=count, args=(i,), daemon=True).start() for i in range(4)]\n\
        if os.fork() == 0:\n  time.sleep(0.2); os.kill(os.getppid(), 19); time.sleep(0.5); os.kill(os.getppid(), 18); os._exit(0)\n\
        time.sleep(1); print(all(100 < x < 900 for x in n), n); os._exit(0)\n";
    job(Tier::Traced, ["-q"], ["/usr/bin/python3", "-c", threads]).run().code_is(0);
}

#[test]
fn signals_are_neither_lost_nor_doubled() {
    let script = "import os, signal, time\nn = [0]\n\
        def caught(*_): n[0] += 1\n\
        signal.signal(signal.SIGUSR1, caught)\n\
        for _ in range(2000):\n  os.kill(os.getpid(), signal.SIGUSR1)\nprint('one process', n[0])\n\
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGRTMIN])\n\
        pid = os.fork()\n\
        if pid == 0:\n  for _ in range(500): os.kill(os.getppid(), signal.SIGRTMIN)\n  os._exit(0)\n\
        os.waitpid(pid, 0)\ncount = 0\n\
        while signal.sigtimedwait([signal.SIGRTMIN], 0.2): count += 1\nprint('queued', count)\n";
    let done = job(Tier::Traced, ["-q"], ["/usr/bin/python3", "-c", script]).run();
    done.code_is(0).out_has("one process 2000").out_has("queued 500");
}

#[test]
fn a_parallel_make() {
    requires!(has("make"), "make is not installed");
    let place = place("make");
    let rules = "all: $(addprefix t,$(shell seq 60))\nt%:\n\t@sh -c 'echo $* > $@; true | cat'\n";
    fs::write(format!("{place}/Makefile"), rules).unwrap();
    job(Tier::Traced, ["-q"], ["make", "-s", "-j8", "-C", &place]).run().code_is(0);
    assert_eq!((1..=60).filter(|n| fs::exists(format!("{place}/t{n}")).unwrap()).count(), 60);
}

#[test]
fn an_ssh_client() {
    requires!(has("ssh"), "ssh is not installed");
    // Up to where a server would answer: the client, its key generator, and a proxy command that it starts.
    let place = place("ssh");
    let script = format!(
        "cd {place} && rm -f key* && ssh-keygen -q -t ed25519 -N '' -f key && ls key.pub; \
         ssh -F none -o BatchMode=yes -o 'ProxyCommand=sh -c \"echo proxy started >&2; exit 1\"' nowhere; echo status $?"
    );
    let done = sh(Tier::Traced, &["-q"], &script).run();
    done.out_has("key.pub").out_has("status 255").err_has("proxy started");
}

#[test]
fn a_java_virtual_machine() {
    not_in_the_virtual_machine!();
    requires!(has("java"), "java is not installed");
    let place = place("java");
    let source = "import java.util.stream.*;\npublic class Sum {\n  public static void main(String[] a) throws Exception {\n\
        \x20   System.out.println(IntStream.range(0, 100000).parallel().mapToLong(i -> i * 2L).sum());\n\
        \x20   System.out.println(new ProcessBuilder(\"sh\", \"-c\", \"exit 4\").start().waitFor());\n\
        \x20   try { Object o = null; o.hashCode(); } catch (NullPointerException e) { System.out.println(\"caught\"); }\n  }\n}\n";
    fs::write(format!("{place}/Sum.java"), source).unwrap();
    // With a compiler it runs the source; without, it says its version, which starts its threads too.
    let script = format!("java {place}/Sum.java || java -version 2>&1");
    let done = sh(Tier::Traced, &["-q"], &script).run();
    done.code_is(0);
    let ran = done.out.contains("9999900000\n4\ncaught");
    assert!(ran || done.out.contains("Runtime"), "{}{}", done.out, done.err);
}

#[test]
fn what_traces_others_is_refused() {
    requires!(has("strace"), "strace is not installed");
    let done = job(Tier::Traced, ["-q"], ["strace", "-o", "/dev/null", "true"]).run();
    done.err_has("Operation not permitted");
}

#[test]
fn other_processes_of_the_user_are_out_of_reach() {
    not_in_the_virtual_machine!();
    requires!(terrarium_sys::landlock::abi() >= 6, "no scopes of Landlock before Linux 6.12");
    let mut other = job(Tier::User, [""; 0], ["sleep", "60"]).launcher(&["env"]).command().spawn().unwrap();
    let script = format!("kill -9 {0}; cat /proc/{0}/environ; : > /proc/{0}/mem; kill -9 $PPID", other.id());
    let done = sh(Tier::Traced, &["-q"], &script).run();
    done.err_has("Operation not permitted").err_has("Permission denied");
    assert!(other.try_wait().unwrap().is_none(), "it was killed");
    other.kill().unwrap();
    other.wait().unwrap();
}

#[test]
fn the_supervisors_earlier_children_are_not_the_jobs() {
    // A shell that executes terrarium leaves it its children.
    let script = format!(
        "sleep 1.5 & exec {} run -- {} 20",
        crate::support::terrarium().display(),
        program("daemons")
    );
    let done = job(Tier::Traced, [""; 0], ["sh", "-c", &script]).launcher(&["env"]);
    let started = done.start();
    let mark = started.job_mark();
    let output = started.child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("20 processes, ended"), "{text}");
    wait_until("the end of the shell's own child", || crate::support::marked(&mark).is_empty());
}

#[test]
fn the_summary_names_the_tier() {
    let done = job(Tier::Traced, [""; 0], ["true"]).run();
    done.code_is(0).err_has("tier ptrace: ptrace, no namespaces");
    let done = job(Tier::Traced, ["--require", "userns"], ["true"]).run();
    done.code_is(122).err_has("--require userns cannot be met");
}

#[test]
fn a_process_goes_on_when_its_first_thread_has_ended() {
    // The first thread ends; another one ends the process 3 s later.
    let script = "import ctypes, os, threading, time\n\
        threading.Thread(target=lambda: (time.sleep(3), os._exit(7))).start()\n\
        ctypes.CDLL(None).pthread_exit(None)\n";
    for tier in crate::support::tiers() {
        let done = job(tier, ["-q"], ["/usr/bin/python3", "-c", script]).run();
        assert_eq!(done.code, Some(7), "{tier:?} {}", done.err);
    }
}

#[test]
fn temporary_files_that_are_closed_or_orphaned_are_removed() {
    not_in_the_virtual_machine!();
    requires!(terrarium_sys::landlock::abi() >= 3, "--only needs Landlock of ABI 3 in this tier");
    let work = place("tmp-left");
    let close = "mkdir $TMPDIR/mod; touch $TMPDIR/mod/f; chmod 555 $TMPDIR/mod; echo $TMPDIR";
    let done = sh(Tier::Traced, &["-q", "--only", &work], close).directory(&work).run();
    assert!(!fs::exists(done.code_is(0).out.trim()).unwrap(), "{}", done.out);
    // After SIGKILL nobody removes it but `reap`.
    let mark = format!("{work}/path");
    let script = format!("echo $TMPDIR > {mark}; sleep 60");
    let started = sh(Tier::Traced, &["-q", "--only", &work], &script).directory(&work).start();
    wait_until("the path", || fs::read_to_string(&mark).is_ok_and(|text| text.ends_with('\n')));
    let path = fs::read_to_string(&mark).unwrap().trim().to_owned();
    started.signal("KILL");
    started.finish();
    assert!(fs::exists(&path).unwrap());
    let job_id = path.strip_prefix("/tmp/terrarium-").unwrap();
    let output = std::process::Command::new(crate::support::terrarium())
        .args(["reap", "--job", job_id])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains(&path) && text.contains("removed") && !fs::exists(&path).unwrap(), "{text}");
}

#[test]
fn the_supervisor_is_not_hit_by_the_jobs_signals_at_the_end() {
    requires!(has("script"), "script is not installed");
    // On a terminal, a main process that signals itself without pause is killed.
    let storm = "import os, signal, time\nsignal.signal(signal.SIGUSR1, lambda *a: None)\n\
        while True: os.kill(os.getpid(), signal.SIGUSR1)\n";
    let file = format!("{}/storm.py", place("storm"));
    fs::write(&file, storm).unwrap();
    for _ in 0..30 {
        let run = format!(
            "{} run --time 150ms --grace 0 -- /usr/bin/python3 {file}",
            crate::support::terrarium().display()
        );
        let done = job(Tier::Traced, [""; 0], ["script", "-qec", &run, "/dev/null"]).launcher(&["env"]).run();
        assert_eq!(done.code, Some(124), "{}{}", done.out, done.err);
    }
}
