//! Shared memory: private by default, listed when shared, deleted only on request.

use std::fs;
use std::process::{Command, Stdio};

use crate::support::{
    Tier, directory, is_root, job, requires, sh, terrarium, tiers, tiers_with_mounts, user, wait_until,
};

/// A process that ends with the test, also with one that fails.
struct Background(std::process::Child);

impl Background {
    fn spawn(command: &mut Command) -> Background {
        Background(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    fn is_alive(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A cgroup with one process in it, below that of the tests.
struct OwnCgroup(std::path::PathBuf);

impl OwnCgroup {
    fn new(name: &str, pid: u32) -> OwnCgroup {
        let parent = match crate::support::is_v2() {
            true => std::path::PathBuf::from("/sys/fs/cgroup"),
            false => crate::support::v1_cgroups().into_iter().find(|(c, _)| c == "pids").unwrap().1,
        };
        let group = OwnCgroup(parent.join(name));
        fs::create_dir(&group.0).unwrap();
        fs::write(group.0.join("cgroup.procs"), pid.to_string()).unwrap();
        group
    }
}

impl Drop for OwnCgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn private_by_default_and_capped() {
    for tier in tiers_with_mounts() {
        sh(tier, &["-q"], "echo x > /dev/shm/terrarium-private; ls /dev/shm")
            .run()
            .out_has("terrarium-private");
        assert!(!fs::exists("/dev/shm/terrarium-private").unwrap());
        let done =
            sh(tier, &["-q", "--shm", "1M"], "dd if=/dev/zero of=/dev/shm/big bs=64k count=100 2>&1").run();
        done.out_has("No space left");
        let done = sh(tier, &["-q"], "ipcmk -M 4096 >/dev/null && ipcs -m | grep -c 4096").run();
        done.out_has("1");
    }
    let listed = fs::read_to_string("/proc/sysvipc/shm").unwrap();
    assert!(!listed.lines().skip(1).any(|l| l.split_whitespace().nth(3) == Some("4096")), "{listed}");
}

#[test]
fn what_is_left_in_a_shared_one_is_listed_and_kept() {
    for tier in tiers() {
        let name = format!("/dev/shm/terrarium-kept-{tier:?}");
        sh(tier, &["--shm", "host"], &format!("echo x > {name}"))
            .run()
            .err_has(&name)
            .err_has("kept; --shm host --clean-shm deletes it");
        assert!(fs::exists(&name).unwrap());
        fs::remove_file(&name).unwrap();
    }
}

#[test]
fn on_request_it_is_deleted_but_nothing_that_is_held_outside() {
    for tier in tiers() {
        let name = format!("/dev/shm/terrarium-clean-{tier:?}");
        let held = format!("/dev/shm/terrarium-held-{tier:?}");
        let go = directory().join(format!("go-{tier:?}"));
        // A process of the same user, outside, takes hold of one of the files while the job runs.
        let script = format!(
            "echo x > {name}; echo x > {held}; ipcmk -M 4096; while [ ! -e {} ]; do sleep 0.02; done",
            go.display()
        );
        let started = sh(tier, &["--shm", "host", "--clean-shm"], &script).start();
        wait_until("the file", || fs::exists(&held).unwrap());
        let mut command = Command::new("tail");
        if tier != Tier::Root && is_root() {
            // An ordinary user sees only what its own processes hold.
            let (uid, gid) = user();
            command = Command::new("setpriv");
            command.args([
                &format!("--reuid={uid}"),
                &format!("--regid={gid}"),
                "--clear-groups",
                "--",
                "tail",
            ]);
        }
        let holder = Background::spawn(command.args(["-f", &held]));
        let fds = format!("/proc/{}/fd", holder.0.id());
        wait_until("the holder to hold", || {
            let mut fds = fs::read_dir(&fds).unwrap().flatten();
            fds.any(|fd| fs::read_link(fd.path()).is_ok_and(|to| to.to_str() == Some(&held)))
        });
        fs::write(&go, "").unwrap();
        let done = started.finish();
        drop(holder);
        done.err_has(&format!("{name} (4.0 KiB), deleted"))
            .err_has("sysv shm")
            .err_has("in use by a process outside");
        assert!(!fs::exists(&name).unwrap() && fs::exists(&held).unwrap());
        fs::remove_file(&held).unwrap();
    }
}

#[test]
fn reap_ends_what_is_marked_and_lists_the_rest() {
    requires!(is_root(), "making leftovers of a dead run needs root");
    // What a run would leave whose namespace did not end it: a marked process, of a supervisor that is dead.
    let namespace = fs::read_link("/proc/self/ns/pid").unwrap();
    let namespace = namespace.to_str().unwrap().trim_matches(|c: char| !c.is_ascii_digit()).to_owned();
    let dead = format!("1-999999999-{namespace}");
    let spawn = |mark: Option<&str>| {
        let mut command = Command::new("sleep");
        command.arg("1000");
        if let Some(mark) = mark {
            command.env("TERRARIUM_JOB", mark);
        } else {
            command.env_remove("TERRARIUM_JOB");
        }
        Background::spawn(&mut command)
    };
    let mut marked = spawn(Some(&dead));
    let mut unmarked = spawn(None);
    let living = job(Tier::Root, [""; 0], ["sleep", "1000"]).start();
    living.wait_for_processes(1);
    let reap = |flags: &[&str]| {
        let output = Command::new(terrarium()).arg("reap").args(flags).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    // A mark alone may have been inherited, by a batch job submitted from the run for instance.
    let (code, out) = reap(&["--job", &dead]);
    assert_eq!(code, Some(0));
    assert!(
        out.contains(&format!("process {} (sleep)", marked.0.id())) && out.contains("left alone"),
        "{out}"
    );
    assert!(marked.is_alive());
    // In a cgroup of that run it is the run's.
    let group = OwnCgroup::new(&format!("terrarium-{dead}"), marked.0.id());
    let (_, out) = reap(&["--dry-run", "--job", &dead]);
    assert!(out.contains("would be removed"), "{out}");
    assert!(marked.is_alive(), "a dry run ends nothing");
    let (_, out) = reap(&["--job", &dead, "--user", "4242"]);
    assert!(out.contains("nothing was left"), "another user's: {out}");
    let (code, out) = reap(&["--job", &dead, "--json"]);
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains("\"removed\": true") && out.contains("\"schema\": \"terrarium.reap/1\""), "{out}");
    assert!(!marked.is_alive() && !group.0.exists());
    assert!(unmarked.is_alive());
    assert!(!living.marked().is_empty());
    living.signal("TERM");
    living.finish();
}

#[test]
fn reap_removes_cgroups_of_a_killed_run() {
    requires!(is_root(), "cgroups need root");
    let started = job(Tier::Root, ["--mem", "100M"], ["sleep", "1000"]).start();
    started.wait_for_processes(1);
    let pid = started.pid();
    let ours = || {
        crate::support::cgroups_of_ours()
            .into_iter()
            .filter(|p| p.display().to_string().contains(&format!("terrarium-{pid}-")))
            .count()
    };
    assert!(ours() > 0);
    started.signal("KILL");
    wait_until("the end of the job", || started.marked().is_empty());
    started.finish();
    // Another test's run may have swept it already; after reap it is gone for certain.
    let output = Command::new(terrarium()).arg("reap").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(ours(), 0);
}

#[test]
fn reap_lists_unused_shared_memory_and_deletes_it_on_request() {
    requires!(is_root(), "files of another user need root");
    let name = "/dev/shm/terrarium-reap";
    fs::write(name, "x").unwrap();
    let (uid, gid) = user();
    std::os::unix::fs::chown(name, Some(uid), Some(gid)).unwrap();
    let reap = |flags: &[&str]| {
        let output = Command::new(terrarium()).arg("reap").args(flags).output().unwrap();
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr),
        )
    };
    let user = uid.to_string();
    let (_, out) = reap(&["--user", &user]);
    assert!(out.contains(name) && fs::exists(name).unwrap(), "{out}");
    let (code, out) = reap(&["--clean-shm"]);
    assert_eq!(code, Some(125), "{out}");
    let (_, out) = reap(&["--user", &user, "--clean-shm"]);
    assert!(out.contains("deleted") && !fs::exists(name).unwrap(), "{out}");
    let (code, out) = reap(&["--user", "no-such-user"]);
    assert!(code == Some(125) && out.contains("there is no user"), "{out}");
}
