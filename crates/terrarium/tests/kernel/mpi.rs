//! Ranks of one parallel job on one node share one jail.

use std::process::Command;
use std::time::Duration;

use crate::nested::has;
use crate::support::{
    Done, Tier, is_root, job, marked, not_in_the_virtual_machine, program, requires, terrarium, tiers, user,
    wait_until, workspace,
};

/// The launchers, with their flags for `n` ranks.
fn launchers(n: usize) -> Vec<(&'static str, Vec<String>)> {
    let n = n.to_string();
    let words = |all: &[&str]| -> Vec<String> { all.iter().map(|w| (*w).to_owned()).collect() };
    let mut open = words(&["mpirun.openmpi", "--oversubscribe", "-n", &n]);
    if is_root() {
        open.insert(1, "--allow-run-as-root".to_owned());
    }
    vec![("openmpi", open), ("mpich", words(&["mpirun.mpich", "-n", &n]))]
}

fn installed() -> bool {
    has("mpirun.openmpi") && has("mpirun.mpich")
}

/// `LAUNCHER terrarium run FLAGS -- COMMAND`, and that nothing of it is left.
fn ranks(tier: Tier, launcher: &[String], flags: &[&str], command: &[&str]) -> Done {
    let mut words: Vec<&str> = launcher.iter().map(String::as_str).collect();
    words.extend([terrarium().to_str().unwrap(), "run"]);
    words.extend(flags);
    words.push("--");
    let started = job(tier, [""; 0], command)
        .launcher(&words)
        // Else Open MPI says at length that there is no InfiniBand.
        .env("OMPI_MCA_btl", "self,vader")
        .env("TMPDIR", "/tmp")
        .start();
    let mark = started.job_mark();
    let done = started.finish();
    // The launcher returns when the ranks have; the holder goes with the last of them, in its own time.
    wait_until("the end of the holder", || marked(&mark).is_empty());
    done
}

/// What `--show` prints for each rank: its PID namespace.
fn namespaces(done: &Done) -> Vec<&str> {
    done.out.lines().filter_map(|l| l.split_once(" namespace ")?.1.split(' ').next()).collect()
}

#[test]
fn every_byte_between_two_ranks() {
    not_in_the_virtual_machine!();
    requires!(installed(), "Open MPI and MPICH are not installed");
    for tier in tiers() {
        for (name, launcher) in launchers(2) {
            let bytes = program(&format!("bytes.{name}"));
            let done = ranks(tier, &launcher, &["-q"], &[&bytes, "--show", "--children", "3"]);
            done.code_is(0);
            let right = done.out.lines().filter(|l| l.starts_with("from rank") && l.ends_with("wrong 0"));
            assert_eq!(right.count(), 2, "{tier:?} {name}: {}{}", done.out, done.err);
            let spaces = namespaces(&done);
            assert_eq!((spaces.len(), spaces[0]), (2, spaces[1]), "{tier:?} {name}: {}", done.out);
            let own = std::fs::read_link("/proc/self/ns/pid").unwrap();
            let is_own = own.to_str().unwrap().contains(spaces[0]);
            assert_eq!(is_own, tier == Tier::Traced, "{tier:?} {name}: {}", done.out);
        }
    }
}

#[test]
fn a_child_with_the_pid_of_the_other_rank() {
    not_in_the_virtual_machine!();
    requires!(installed(), "Open MPI and MPICH are not installed");
    requires!(is_root(), "the counter-check needs root");
    let (_, launcher) = launchers(2).remove(0);
    let bytes = program("bytes.openmpi");
    // With a PID namespace for each rank messages are wrong or do not arrive: the test can fail.
    let mut words: Vec<&str> = launcher.iter().map(String::as_str).collect();
    words.extend(["unshare", "--pid", "--fork", "--kill-child", "sh", "-c", "sleep 60 & \"$@\"", "sh"]);
    let apart = job(Tier::Root, [""; 0], [&*bytes, "--until-pid", "--timeout", "30"])
        .launcher(&words)
        .env("OMPI_MCA_btl", "self,vader")
        .run();
    let right = |out: &str| out.lines().filter(|l| l.ends_with("wrong 0")).count();
    assert!(apart.code != Some(0) || right(&apart.out) < 2, "{}{}", apart.out, apart.err);
    // In one jail no child can have it: the number is taken.
    let done = ranks(Tier::User, &launcher, &["-q"], &[&bytes, "--until-pid"]);
    done.code_is(0);
    assert_eq!(right(&done.out), 2, "{}{}", done.out, done.err);
}

#[test]
fn limits_are_the_jobs_and_not_the_ranks() {
    not_in_the_virtual_machine!();
    requires!(installed() && is_root(), "Open MPI and MPICH are not installed, or this is not root");
    let alloc = program("alloc");
    for (name, launcher) in launchers(3) {
        let one = "test \"${OMPI_COMM_WORLD_RANK:-$PMI_RANK}\" = 0 && exec \"$@\"; sleep 0.5";
        let done = ranks(
            Tier::Root,
            &launcher,
            &["--mem", "250M"],
            &["sh", "-c", one, "sh", &alloc, "malloc", "150M"],
        );
        done.code_is(0).err_has("shared by 3 ranks");
        // Together they do not fit.
        let hold = "exec \"$@\"";
        let done = ranks(
            Tier::Root,
            &launcher,
            &["--mem", "250M"],
            &["sh", "-c", hold, "sh", &alloc, "malloc", "150M", "--hold", "5"],
        );
        assert_ne!(done.code, Some(0), "{name}: {}{}", done.out, done.err);
        done.err_has("out of memory");
    }
}

#[test]
fn the_series_of_ranks_tells_how_the_job_ended() {
    not_in_the_virtual_machine!();
    requires!(installed(), "Open MPI and MPICH are not installed");
    let directory = crate::record::place("ranks");
    // Where ranks share no jail, each records for itself.
    for tier in tiers().into_iter().filter(|tier| *tier != Tier::Traced) {
        let file = directory.join(format!("{tier:?}.arrow"));
        let launcher = &launchers(2)[0].1;
        let flags = ["-q", "--record", file.to_str().unwrap()];
        ranks(tier, launcher, &flags, &["sh", "-c", "sleep 1.2; exit 3"]).code_is(3);
        let series = crate::record::read(&file);
        let report = series.report.unwrap();
        assert_eq!((report.exit_status, report.ranks), (3, Some(2)), "{tier:?}");
        assert_eq!(report.usage.samples, series.samples.len() as u64, "{tier:?}");
    }
}

#[test]
fn statuses_of_ranks_and_their_daemons() {
    not_in_the_virtual_machine!();
    requires!(installed(), "Open MPI and MPICH are not installed");
    let daemons = program("daemons");
    for tier in tiers() {
        for (name, launcher) in launchers(2) {
            let script =
                format!("{daemons} 20 >/dev/null; exit $((${{OMPI_COMM_WORLD_RANK:-$PMI_RANK}} * 5))");
            let done = ranks(tier, &launcher, &["-q"], &["sh", "-c", &script]);
            assert_eq!(done.code, Some(5), "{tier:?} {name}: {}{}", done.out, done.err);
            let done = ranks(tier, &launcher, &["--time", "1s", "--grace", "500ms"], &["sleep", "100"]);
            assert_ne!(done.code, Some(0), "{name}");
            done.err_has("time limit");
        }
    }
}

#[test]
fn nothing_survives_a_rank_a_launcher_or_a_holder_that_is_killed() {
    not_in_the_virtual_machine!();
    requires!(installed(), "Open MPI and MPICH are not installed");
    let daemons = program("daemons");
    for tier in tiers() {
        for (name, launcher) in launchers(2) {
            for victim in ["launcher", "ranks", "first"] {
                let mut words: Vec<&str> = launcher.iter().map(String::as_str).collect();
                // Without it, ranks that do not speak with their launcher outlive it.
                words.extend([terrarium().to_str().unwrap(), "run", "-q", "--with-parent", "--"]);
                let started = job(tier, [""; 0], [&*daemons, "20", "--stay"]).launcher(&words).start();
                started.wait_for_processes(42);
                let mark = started.job_mark();
                let supervisors: Vec<u32> = marked(&mark)
                    .into_iter()
                    .filter(|pid| command_of(*pid).contains("terrarium run"))
                    .collect();
                match victim {
                    "launcher" => started.signal("KILL"),
                    "ranks" => supervisors.iter().for_each(|pid| kill(*pid)),
                    // The holder, or the first rank.
                    _ => kill(supervisors[0]),
                }
                if victim == "first" {
                    // The launcher ends the others, or it is asked to.
                    std::thread::sleep(Duration::from_millis(300));
                    started.signal("TERM");
                }
                wait_until(&format!("the end of all: {tier:?} {name} {victim}"), || {
                    marked(&mark).iter().all(|pid| *pid == started.child.id())
                });
                started.finish();
            }
        }
    }
}

fn command_of(pid: u32) -> String {
    let text = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&text).replace('\0', " ")
}

fn kill(pid: u32) {
    let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
}

#[test]
fn what_a_rank_starts_is_no_rank() {
    not_in_the_virtual_machine!();
    requires!(installed(), "Open MPI and MPICH are not installed");
    for (_, launcher) in launchers(2) {
        let inner = format!("{} run -- true", terrarium().display());
        let done = ranks(Tier::User, &launcher, &["-q"], &["sh", "-c", &inner]);
        done.code_is(0);
        assert_eq!(done.err.matches("ended with status 0").count(), 2, "{}", done.err);
        assert!(!done.err.contains("shared by"), "{}", done.err);
    }
}

/// Variables as Open MPI sets them, for ranks that are started by hand.
fn by_hand(tier: Tier, flags: &[&str], job_name: &str) -> crate::support::Job {
    let seconds = if crate::support::is_small() { 15 } else { 1 };
    let script = format!("readlink /proc/self/ns/pid; sleep {seconds}");
    job(tier, flags, ["sh", "-c", &script])
        .env("OMPI_COMM_WORLD_RANK", "0")
        .env("OMPI_COMM_WORLD_LOCAL_SIZE", "2")
        .env("PMIX_NAMESPACE", job_name)
}

#[test]
fn ranks_that_ask_for_something_else_are_refused() {
    for tier in tiers().into_iter().filter(|t| *t != Tier::Traced) {
        let name = format!("other-{}-{tier:?}", std::process::id());
        let first = by_hand(tier, &["--cpus", "1"], &name).start();
        first.wait_for_processes(3);
        let second = by_hand(tier, &["--cpus", "1", "--time", "1m"], &name).run();
        second.code_is(125).err_has("asks for other limits or another view than the first");
        first.finish().code_is(0);
    }
}

#[test]
fn where_they_cannot_share_none_has_a_pid_namespace() {
    let name = format!("apart-{}", std::process::id());
    let done = by_hand(Tier::Traced, &[], &name).run();
    let own = std::fs::read_link("/proc/self/ns/pid").unwrap();
    done.code_is(0).out_has(own.to_str().unwrap());
    done.err_has("share no jail (user namespaces are not to be had)").err_has("tier ptrace");
}

#[test]
fn another_users_hold_on_the_meeting_place_is_an_error() {
    requires!(is_root(), "to hold the place as another user");
    let (uid, _) = user();
    let name = format!("squatted-{}", std::process::id());
    let link = std::fs::read_link("/proc/self/ns/pid").unwrap();
    let space = link.to_str().unwrap().trim_matches(|c: char| !c.is_ascii_digit()).to_owned();
    // Somebody else was there first, and may be gone for the next rank: half of the job would be apart.
    let script = format!(
        "import socket, sys\ns = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n\
         s.bind('\\0terrarium-{uid}-{space}-Open MPI {name}'); s.listen(); print('ready', flush=True); sys.stdin.read()\n"
    );
    let mut squatter = Command::new("/usr/bin/python3")
        .args(["-c", &script])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Read::read_exact(squatter.stdout.as_mut().unwrap(), &mut [0; 6]).unwrap();
    let done = by_hand(Tier::User, &[], &name).run();
    squatter.kill().unwrap();
    squatter.wait().unwrap();
    done.code_is(125).err_has("another user holds the place where its ranks meet");
}

#[test]
fn the_job_gets_nothing_from_the_holder() {
    for tier in tiers().into_iter().filter(|t| *t != Tier::Traced) {
        let name = format!("inside-{}-{tier:?}", std::process::id());
        // It finds the holder's socket, and asks to be let in as a rank does.
        let script = "import socket, sys\n\
            names = [l.split()[-1] for l in open('/proc/net/unix') if '@terrarium-' in l and sys.argv[1] in l]\n\
            path = '\\0' + [l.rstrip('\\n')[l.index('@terrarium-') + 1:] for l in open('/proc/net/unix') if sys.argv[1] in l][0]\n\
            s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.connect(path); s.settimeout(5)\n\
            try:\n  s.send(b'{\"Join\":\"\"}'); print('answer', s.recv(1000))\n\
            except OSError as e: print('nothing', e)\n";
        let done = job(tier, ["-q"], ["/usr/bin/python3", "-c", script, &name])
            .env("OMPI_COMM_WORLD_RANK", "0")
            .env("OMPI_COMM_WORLD_LOCAL_SIZE", "2")
            .env("PMIX_NAMESPACE", &name)
            .run();
        let closed = done.out.contains("nothing") || done.out.contains("answer b''");
        assert!(done.code == Some(0) && closed, "{tier:?} {}{}", done.out, done.err);
    }
}

#[test]
fn a_first_rank_that_dies_before_it_joins_leaves_no_holder() {
    for tier in tiers().into_iter().filter(|t| *t != Tier::Traced) {
        let mut marks = Vec::new();
        for step in 0..20u64 {
            let started =
                by_hand(tier, &["-q"], &format!("early-{}-{tier:?}-{step}", std::process::id())).start();
            std::thread::sleep(Duration::from_micros(step * 300));
            started.signal("KILL");
            marks.push(started.job_mark());
            let mut child = started.child;
            child.wait().unwrap();
        }
        wait_until("the end of all holders", || marks.iter().all(|mark| marked(mark).is_empty()));
    }
}

#[test]
fn under_slurm() {
    not_in_the_virtual_machine!();
    requires!(is_root() && has("slurmctld") && has("srun"), "Slurm is not installed, or this is not root");
    let place = crate::support::directory().join("slurm");
    let slurm = |what: &str| {
        let script = workspace().join("scripts/slurm");
        Command::new(script).args([what, "--dir"]).arg(&place).output().unwrap()
    };
    let up = slurm("up");
    assert!(up.status.success(), "{}", String::from_utf8_lossy(&up.stderr));
    let env = String::from_utf8(slurm("env").stdout).unwrap();
    let srun = |flags: &str, command: &str| {
        let script = format!("{env}\nsrun {flags} {} run -- {command}", terrarium().display());
        job(Tier::User, [""; 0], ["sh", "-c", &script]).launcher(&["env"]).run()
    };
    let bytes = program("bytes.openmpi");
    type Check<'a> = (&'a str, Box<dyn Fn() + 'a>);
    let checks: Vec<Check<'_>> = vec![
        (
            "tasks",
            Box::new(|| {
                let done = srun("-n 4 -O", "sh -c 'readlink /proc/self/ns/pid; sleep 1'");
                let mut spaces: Vec<&str> = done.code_is(0).out.lines().collect();
                spaces.sort_unstable();
                spaces.dedup();
                assert_eq!(spaces.len(), 1, "{}{}", done.out, done.err);
                done.err_has("shared by 4 ranks");
            }),
        ),
        (
            "bytes",
            Box::new(|| {
                let done = srun("-n 2 -O --mpi=pmix", &bytes);
                assert_eq!(done.out.matches("wrong 0").count(), 2, "{}{}", done.out, done.err);
            }),
        ),
        (
            "daemons",
            Box::new(|| {
                let done = srun("-n 2 -O", &format!("{} 20", program("daemons")));
                done.code_is(0);
            }),
        ),
    ];
    for (name, check) in checks {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(check));
        if let Err(panic) = result {
            slurm("down");
            eprintln!("{name} failed");
            std::panic::resume_unwind(panic);
        }
    }
    let down = slurm("down");
    assert!(down.status.success(), "{}", String::from_utf8_lossy(&down.stderr));
}
