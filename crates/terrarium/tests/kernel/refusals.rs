//! Bad input is refused before anything starts, with what is wrong and what to write.

use std::fs;
use std::process::Command;

use crate::support::{Tier, directory, job, sh, tiers};

#[track_caller]
fn refused(flags: &[&str], part: &str) {
    let proof = directory().join("started");
    let touch = format!("touch {}", proof.display());
    let done = sh(tiers()[0], flags, &touch).run();
    done.code_is(125).err_has(part);
    assert!(!proof.exists(), "{flags:?} started the command");
}

#[test]
fn values() {
    refused(&["--mem", "0"], "such as 4G");
    refused(&["--mem", "12"], "has no unit");
    refused(&["--mem", "12X"], "unknown unit");
    refused(&["--shm", "0"], "a size of 0");
    refused(&["--cpus", "4000"], "may be used here");
    refused(&["--cpus", "4000-4001"], "may not be used here");
    refused(&["--cpus", "3-1"], "backwards");
    refused(&["--time", "1:30"], "not a span of time");
    refused(&["--gpus", "0"], "GPU 0 is not there");
    refused(&["--net", "some"], "possible values: host, none");
}

#[test]
fn paths() {
    refused(&["--hide", "/no/such/path"], "--hide /no/such/path: there is no such file");
    refused(&["--ro", "/no/such/path"], "--ro /no/such/path");
    refused(&["--bind", "/no/such/path"], "--bind /no/such/path");
    refused(&["--bind", "/usr:/no/such/target"], "the target /no/such/target of --bind does not exist");
    refused(&["--bind", "/usr:/etc/passwd"], "one is a directory");
    refused(&["--report", "/no/such/dir/r.json"], "its directory does not exist");
    refused(&["--report", "/usr"], "is a directory");
    refused(&["--report", "/proc/r.json"], "cannot be written to");
    refused(&["--hide", "/"], "cannot be hidden");
    refused(&["--hide", "/dev"], "needs /dev");
    refused(&["--ro", "/proc"], "gets its own /proc");
    refused(&["--bind", "/usr:/"], "cannot show anything at /");
}

#[test]
fn conflicts() {
    refused(&["--swap", "1G"], "--mem");
    refused(&["--require-mem"], "--mem");
    refused(&["--clean-shm"], "--shm host");
    refused(&["--hide", "/usr", "--ro", "/usr"], "/usr is named in both --hide and --ro");
    let done = job(tiers()[0], ["--private-tmp"], ["true"]).directory("/tmp").run();
    done.code_is(125).err_has("hides the working directory");
    let done = job(tiers()[0], ["--hide", "/usr"], ["true"]).directory("/usr/bin").run();
    done.code_is(125).err_has("hides the working directory");
}

#[test]
fn commands() {
    for tier in tiers() {
        job(tier, [""; 0], ["no-such-command"])
            .run()
            .code_is(127)
            .err_has("cannot run no-such-command")
            .err_has("in PATH");
        job(tier, [""; 0], ["/etc/passwd"]).run().code_is(126).err_has("execute permission");
        job(tier, [""; 0], ["/usr"]).run().code_is(126);
        let script = directory().join(format!("bad-interpreter-{tier:?}"));
        fs::write(&script, "#!/no/such/interpreter\n").unwrap();
        fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        job(tier, [""; 0], [script.to_str().unwrap()]).run().code_is(127).err_has("interpreter");
        // As a shell runs it: without a first line that names one, by sh.
        let script = directory().join(format!("no-interpreter-{tier:?}"));
        fs::write(&script, "exit 9\n").unwrap();
        fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        job(tier, [""; 0], [script.to_str().unwrap()]).run().code_is(9);
    }
}

#[test]
fn a_tier_that_cannot_be_had() {
    if tiers().contains(&Tier::User) {
        job(Tier::User, ["--require", "root"], ["true"])
            .run()
            .code_is(122)
            .err_has("--require root cannot be met");
        job(Tier::User, ["--require", "userns"], ["true"]).run().code_is(0);
    }
    if tiers().contains(&Tier::Root) {
        job(Tier::Root, ["--require", "root"], ["true"]).run().code_is(0);
    }
}

/// The host once more below a directory, to be chrooted into. Taken away when dropped.
struct Chroot(std::path::PathBuf);

impl Chroot {
    fn new() -> Chroot {
        let place = directory().join("chroot");
        fs::create_dir_all(&place).unwrap();
        let run = |args: &[&str]| {
            let status = Command::new("mount").args(args).arg(&place).status().unwrap();
            assert!(status.success(), "mount {args:?}");
        };
        run(&["--rbind", "/"]);
        run(&["--make-rslave"]);
        Chroot(place)
    }

    fn run(&self, flags: &[&str], words: &[&str]) -> std::process::Output {
        let mut command = Command::new("chroot");
        command.args(flags).arg(&self.0).arg(crate::support::terrarium()).arg("run").args(words);
        command.output().unwrap()
    }
}

impl Drop for Chroot {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["--recursive", "--lazy"]).arg(&self.0).status();
    }
}

#[test]
fn in_a_chroot_both_are_held() {
    crate::support::requires!(tiers().contains(&Tier::Root), "chroot needs root");
    let chroot = Chroot::new();
    let daemons = crate::support::program("daemons");
    let output = chroot.run(&[], &["--", &daemons, "10"]);
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && err.contains("10 processes, ended"), "{err}");
    // The kernel gives nobody a user namespace there.
    let (uid, gid) = crate::support::user();
    let user = format!("--userspec={uid}:{gid}");
    let output = chroot.run(&[&user], &["--", &daemons, "10"]);
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && err.contains("10 processes, ended"), "{err}");
    assert!(err.contains("tier ptrace"), "{err}");
    let output = chroot.run(&[&user], &["--require", "userns", "true"]);
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(122), "{err}");
    assert!(err.contains("cannot be met") && err.contains("hint:"), "{err}");
}
