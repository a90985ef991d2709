//! `--only`: nothing but what is named, and what a program needs.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use terrarium_sys::landlock;

use crate::support::{
    Tier, directory, is_root, job, program, requires, sh, terrarium, tiers, tiers_with_mounts, user,
};

/// Tiers in which this kernel can do it.
fn tiers_with_only() -> Vec<Tier> {
    tiers().into_iter().filter(|t| *t != Tier::Traced || landlock::abi() >= landlock::ABI_TRUNCATE).collect()
}

/// A home with keys, a project and data, which everybody may write to.
fn home(name: &str) -> String {
    let home = directory().join("only").join(name);
    for path in [".ssh", "project/sub", "data", "other"] {
        fs::create_dir_all(home.join(path)).unwrap();
    }
    fs::write(home.join(".ssh/id"), "secret\n").unwrap();
    for path in ["project/file", "data/file", "other/file"] {
        fs::write(home.join(path), format!("{path}\n")).unwrap();
        fs::set_permissions(home.join(path), fs::Permissions::from_mode(0o666)).unwrap();
    }
    for path in ["", ".ssh", "project", "project/sub", "data", "other"] {
        fs::set_permissions(home.join(path), fs::Permissions::from_mode(0o777)).unwrap();
    }
    home.to_str().unwrap().to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap()
}

#[test]
fn what_is_not_named_is_not_there() {
    let home = home("named");
    let project = format!("{home}/project");
    let script = format!(
        "cat file; cat {home}/.ssh/id ../.ssh/id sub/../../.ssh/id /proc/self/root/{home}/.ssh/id /proc/1/root/{home}/.ssh/id; \
         cat ../data/file; echo parent: $(ls -A ..); echo root: $(ls -A /); ls -A /root /home /mnt /.terrarium-host; \
         unshare -Urm sh -c 'umount -l /tmp; mount -o remount,rw / && echo loose; cat {home}/.ssh/id'"
    );
    for tier in tiers_with_only() {
        let done = sh(tier, &["--only", &project, "-q"], &script).directory(&project).run();
        // Landlock alone leaves the parents in place, but they cannot be listed.
        let parent = if tier == Tier::Traced { "parent:\n" } else { "parent: project\n" };
        done.out_has("project/file").out_has(parent);
        for part in ["secret", "data/file", "loose"] {
            // Root may loosen its own mounts where Landlock does not hold it; what is shown stays the same.
            let may = part == "loose" && tier == Tier::Root;
            assert!(may || !done.out.contains(part), "{tier:?}: {}", done.out);
        }
        let root = done.out.lines().find_map(|l| l.strip_prefix("root:")).unwrap().trim();
        let known = |name: &str| {
            let names = "bin dev etc gnu nix proc run sbin sys tmp usr var";
            names.split(' ').any(|known| known == name) || name.starts_with("lib")
        };
        assert!(root.is_empty() || root.split(' ').all(known), "{root}");
        assert_eq!(root.is_empty(), tier == Tier::Traced);
    }
}

#[test]
fn what_is_named_can_be_written_to_unless_it_is_ro() {
    for tier in tiers_with_only() {
        let home = home(&format!("written-{tier:?}"));
        let (project, data) = (format!("{home}/project"), format!("{home}/data"));
        let script = format!(
            "echo new > new && mv new sub/new && ln file link && rm link && echo more >> file; \
             cat {data}/file; echo x > {data}/file; touch {data}/new; rm {data}/file; \
             for path in / /home /srv /srv/none /run /var /etc /usr /usr/bin /sys /dev; do touch $path/stray && echo stray in $path; done; \
             touch /tmp/a /var/tmp/a /dev/shm/a && echo temporary; rm -f /dev/shm/a"
        );
        let bind = format!("{data}:/srv/none/such");
        let mut only = vec!["-q", "--only", &project, "--only"];
        let read_only = format!("{data}:ro");
        only.push(&read_only);
        let mounts = tier != Tier::Traced;
        if mounts {
            only.extend(["--bind", &bind]);
        }
        // Without mounts /tmp is not the job's own, but it gets a directory in it.
        let script = if mounts { script } else { script.replace("/tmp/a /var/tmp/a", "$TMPDIR/a") };
        let done = job(tier, only, ["sh", "-c", &script]).directory(&project).run();
        let refused = if mounts { "Read-only file system" } else { "Permission denied" };
        done.out_has("data/file").out_has("temporary").err_has(refused);
        assert!(!done.out.contains("stray"), "{}", done.out);
        assert_eq!(read(&format!("{project}/sub/new")), "new\n", "{}", done.err);
        assert_eq!(read(&format!("{project}/file")), "project/file\nmore\n", "{}", done.err);
        assert_eq!(read(&format!("{data}/file")), "data/file\n");
        assert!(!fs::exists(format!("{data}/new")).unwrap());
    }
}

#[test]
fn nothing_stays_on_the_host() {
    let home = home("host");
    for tier in tiers_with_mounts() {
        let flags = ["--only", &home, "--bind", &format!("{home}/data:/srv/none/such"), "-q"];
        let done =
            job(tier, flags, ["sh", "-c", "ls /srv/none/such; touch /tmp/only-stray"]).directory(&home).run();
        done.code_is(0).out_has("file");
    }
    assert!(!fs::exists("/.terrarium-host").unwrap() && !fs::exists("/srv/none").unwrap());
    assert!(!fs::exists("/tmp/only-stray").unwrap());
    let mounts = read("/proc/self/mountinfo");
    assert!(!mounts.contains("terrarium-host") && !mounts.contains(&home), "{mounts}");
}

const PYTHON: &str = r#"
import multiprocessing, os, pwd, ssl, subprocess, sys, tempfile
from multiprocessing import shared_memory

def square(n):
    return n * n

if __name__ == "__main__":
    assert sys.prefix.endswith("/venv"), sys.prefix
    for method in ("fork", "spawn"):
        with multiprocessing.get_context(method).Pool(2) as pool:
            assert sum(pool.map(square, range(10))) == 285
    memory = shared_memory.SharedMemory(create=True, size=64)
    memory.close(); memory.unlink()
    with tempfile.NamedTemporaryFile() as file:
        assert file.name.startswith("/tmp/"), file.name
    assert pwd.getpwuid(os.getuid()).pw_uid == os.getuid()
    open("/etc/resolv.conf").close() if os.path.lexists("/etc/resolv.conf") else None
    ssl.create_default_context()
    subprocess.run(["true"], check=True)
    os.openpty()
    open("result", "w").write("42\n")
    for path in (sys.argv[1], "../.ssh/id", "/proc/self/root" + sys.argv[1]):
        try:
            print(open(path).read())
        except OSError as error:
            print(type(error).__name__)
    print("done")
"#;

#[test]
fn a_python_job_with_its_environment_and_its_project() {
    requires!(has_venv(), "python3 -m venv does not work");
    for tier in tiers_with_only() {
        let home = home(&format!("python-{tier:?}"));
        let (venv, project) = (format!("{home}/venv"), format!("{home}/project"));
        let python = format!("{venv}/bin/python3");
        let made =
            Command::new("/usr/bin/python3").args(["-m", "venv", "--without-pip", &venv]).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        fs::write(format!("{project}/job.py"), PYTHON).unwrap();
        let flags = ["--only", &project, "--only", &format!("{venv}:ro"), "-q"];
        let command = [&python, "job.py", &format!("{home}/.ssh/id")];
        let done = job(tier, flags, command).directory(&project).env("TMPDIR", "/scratch/gone").run();
        done.code_is(0).out_has("done");
        assert!(!done.out.contains("secret"), "{}", done.out);
        assert_eq!(read(&format!("{project}/result")), "42\n");
    }
}

fn has_venv() -> bool {
    let made = Command::new("/usr/bin/python3").args(["-c", "import venv, ssl"]).output();
    made.is_ok_and(|o| o.status.success())
}

#[test]
fn what_could_not_work_is_refused_with_what_to_add() {
    let home = home("refused");
    let project = format!("{home}/project");
    let pythons = format!("{home}/pythons/3/bin");
    fs::create_dir_all(&pythons).unwrap();
    let _ = fs::remove_file(format!("{pythons}/python3"));
    symlink("/bin/sh", format!("{pythons}/python3")).unwrap();
    fs::create_dir_all(format!("{project}/venv/bin")).unwrap();
    let _ = fs::remove_file(format!("{project}/venv/bin/python3"));
    symlink(format!("{pythons}/python3"), format!("{project}/venv/bin/python3")).unwrap();
    fs::write(format!("{project}/script"), "#!venv/bin/python3\n").unwrap();
    fs::set_permissions(format!("{project}/script"), fs::Permissions::from_mode(0o755)).unwrap();
    let add = format!("hint: add --only {home}/pythons/3:ro");
    for tier in tiers_with_only() {
        let refused = |flags: &[&str], command: &str, at: &str| {
            let done = job(tier, flags, [command, "-c", "echo started"]).directory(at).run();
            done.code_is(125);
            assert!(!done.out.contains("started"), "{}", done.out);
            done
        };
        let at_data = format!("{home}/data");
        let here = ["--only", &project];
        refused(&here, "sh", &at_data)
            .err_has("the working directory")
            .err_has(&format!("hint: add --only {at_data}"));
        refused(&here, "sh", "/tmp").err_has("--only .");
        refused(&here, "venv/bin/python3", &project).err_has("leads to").err_has(&add);
        refused(&here, "./script", &project).err_has(&add);
        refused(&here, &format!("{home}/other/file"), &project).err_has("is not in what --only shows");
        let both = ["--only", &project, "--only", &format!("{home}/pythons/3:ro"), "-q"];
        job(tier, both, ["./script", "-c", "true"]).directory(&project).run().code_is(0);
        refused(&["--only", "/"], "sh", "/").err_has("shows everything");
        refused(&["--only", "/proc"], "sh", "/").err_has("sees /proc, /dev and /sys anyway");
        refused(&["--only", &format!("{home}/none")], "sh", "/").err_has("there is no such file");
        refused(&["--only", &project, "--only", &format!("{project}:ro")], "sh", "/").err_has("both there");
        refused(&["--only", &project, "--hide", &home], "sh", "/").err_has("leave it out");
        refused(&["--only", &project, "--bind", &format!("/usr:{home}")], "sh", "/").err_has("covers");
        refused(&["--only", "/tmp", "--private-tmp"], "sh", "/").err_has("named in both");
        // Nothing there: that is for exec to say.
        job(tier, here, ["no-such-command"]).directory(&project).run().code_is(127);
    }
}

#[test]
fn it_goes_together_with_the_other_views() {
    for tier in tiers_with_mounts() {
        let home = home(&format!("views-{tier:?}"));
        let script = format!(
            "cat {home}/.ssh/id; ls {home}/.ssh; cat {home}/data/file; echo x > {home}/data/file; \
             cat /srv/shown/file; echo y >> /srv/shown/file; cat {home}/project/sub/file; ls /tmp/in"
        );
        let flags = [
            "--only",
            &home,
            "--hide",
            &format!("{home}/.ssh"),
            "--ro",
            &format!("{home}/data"),
            "--bind",
            &format!("{home}/other:/srv/shown"),
            "--bind",
            &format!("{home}/other:{home}/project/sub"),
            "--bind",
            &format!("{home}/other:/tmp/in/here"),
            "-q",
        ]
        .map(str::to_owned);
        let done = job(tier, flags, ["sh", "-c", &script]).directory(&home).run();
        done.out_has("data/file\nother/file\nother/file\ny\nhere").err_has("Read-only file system");
        assert!(!done.out.contains("secret"), "{}", done.out);
        assert_eq!(read(&format!("{home}/data/file")), "data/file\n");
        assert_eq!(read(&format!("{home}/other/file")), "other/file\ny\n");
        // One inside the other, with other rights.
        let nested = ["--only", &format!("{home}:ro"), "--only", &format!("{home}/project"), "-q"];
        let script = format!("touch {home}/data/new; touch {home}/project/new && echo inner");
        job(tier, nested, ["sh", "-c", &script]).directory(&home).run().out_has("inner");
        assert!(!fs::exists(format!("{home}/data/new")).unwrap());
        // /tmp itself, which then is the host's.
        let flags = ["--only", "/tmp", "-q"];
        job(tier, flags, ["sh", "-c", &format!("cat {home}/data/file")]).run().out_has("data/file");
    }
}

#[test]
fn a_name_through_a_link_leads_there() {
    let home = home("links");
    let link = format!("{home}-link");
    let _ = fs::remove_file(&link);
    symlink(&home, &link).unwrap();
    for tier in tiers_with_only() {
        let flags = ["--only", &format!("{link}/project"), "-q"];
        let done = job(tier, flags, ["cat", &format!("{link}/project/file")])
            .directory(format!("{home}/project"))
            .run();
        done.code_is(0).out_has("project/file");
    }
}

#[test]
fn a_job_of_root_does_not_get_out() {
    requires!(tiers().contains(&Tier::Root), "needs root");
    let home = home("root");
    let project = format!("{home}/project");
    let script = format!(
        "import os, subprocess\n\
         def look(how):\n    try: print(how, open('{home}/.ssh/id').read())\n    except OSError as error: print(how, error.strerror)\n\
         subprocess.run(['sh', '-c', 'nsenter -t 1 -m cat {home}/.ssh/id; umount -l /tmp /; mount --bind /proc/1/root /tmp; ls /proc/1/root/root; cat /proc/1/root/{home}/.ssh/id; mount -o remount,rw /; touch /usr/bin/stray /etc/stray'])\n\
         look('mounts')\n\
         top = os.open('/', os.O_RDONLY | os.O_DIRECTORY)\n\
         os.makedirs('jail', exist_ok=True)\n\
         os.chroot('jail')\n\
         os.fchdir(top)\n\
         for _ in range(64): os.chdir('..')\n\
         os.chroot('.')\n\
         look('chroot')\n"
    );
    let done = job(Tier::Root, ["--only", &project, "-q"], ["/usr/bin/python3", "-c", &script])
        .directory(&project)
        .run();
    done.out_has("mounts ").out_has("chroot ");
    assert!(!done.out.contains("secret"), "{}", done.out);
    assert!(!fs::exists("/etc/stray").unwrap() || landlock::abi() < 2);
    let _ = fs::remove_file("/etc/stray");
    let _ = fs::remove_file("/usr/bin/stray");
}

/// Opens a file by its number, through a directory of the same file system.
const BY_NUMBER: &str = "import ctypes, os, sys
c = ctypes.CDLL(None, use_errno=True)
class Handle(ctypes.Structure):
    _fields_ = [('size', ctypes.c_uint), ('kind', ctypes.c_int), ('data', ctypes.c_ubyte * 128)]
handle = Handle(size=128)
if len(sys.argv) == 2:
    found = c.name_to_handle_at(-100, sys.argv[1].encode(), ctypes.byref(handle), ctypes.byref(ctypes.c_int()), 0)
    print(bytes(handle).hex() if found == 0 else '')
else:
    handle = Handle.from_buffer_copy(bytes.fromhex(sys.argv[2]))
    top = os.open('.', os.O_RDONLY | os.O_DIRECTORY)
    file = c.open_by_handle_at(top, ctypes.byref(handle), os.O_RDONLY)
    print(os.read(file, 99) if file >= 0 else os.strerror(ctypes.get_errno()))
";

#[test]
fn no_file_can_be_opened_by_its_number() {
    let home = home("number");
    let project = format!("{home}/project");
    let python = |args: &[&str]| {
        let done = Command::new("/usr/bin/python3")
            .args(["-c", BY_NUMBER])
            .args(args)
            .current_dir(&project)
            .output();
        String::from_utf8(done.unwrap().stdout).unwrap().trim().to_owned()
    };
    let handle = python(&[&format!("{home}/.ssh/id")]);
    requires!(!is_root() || python(&["open", &handle]).contains("secret"), "no numbers on this file system");
    for tier in tiers_with_only() {
        let command = ["/usr/bin/python3", "-c", BY_NUMBER, "open", &handle];
        let done = job(tier, ["--only", &project, "-q"], command).directory(&project).run();
        assert_eq!(done.out, "Operation not permitted\n", "{tier:?}: {}", done.err);
    }
}

#[test]
fn a_job_that_gives_up_root_can_go_where_it_may() {
    requires!(tiers().contains(&Tier::Root), "needs root");
    let home = home("dropped");
    let project = format!("{home}/project");
    let (uid, gid) = user();
    // A strict umask must not close the way to what is named.
    let done = job(
        Tier::Root,
        [""; 0],
        [
            "sh",
            "-c",
            "umask 077; exec \"$@\"",
            "sh",
            terrarium().to_str().unwrap(),
            "run",
            "-q",
            "--only",
            &project,
            "--",
            "setpriv",
            &format!("--reuid={uid}"),
            &format!("--regid={gid}"),
            "--clear-groups",
            "sh",
            "-c",
            "cat file; touch dropped /tmp/dropped && echo written; touch /etc/dropped",
        ],
    )
    .launcher(&["env"])
    .directory(&project)
    .run();
    done.out_has("project/file").out_has("written");
}

#[test]
fn landlock_holds_where_mounts_do_not() {
    requires!(landlock::abi() >= 2, "Landlock is ABI {} here", landlock::abi());
    let home = home("descriptor");
    let project = format!("{home}/project");
    // A directory that the caller left open leads around the mounts.
    let script = "import os\n\
                  try: print(os.read(os.open('.ssh/id', os.O_RDONLY, dir_fd=7), 99))\n\
                  except OSError as error: print(error.strerror)\n";
    for tier in tiers_with_only() {
        let run = [terrarium().to_str().unwrap(), "run", "-q", "--only", &project];
        let words = run.into_iter().chain(["--", "/usr/bin/python3", "-c", script]);
        let launcher = ["sh", "-c", &format!("exec 7<{home}; exec \"$@\""), "sh"];
        let done = job(tier, [""; 0], words).launcher(&launcher).directory(&project).run();
        assert_eq!(done.out, "Permission denied\n", "{}", done.err);
    }
}

#[test]
fn standard_files_can_be_opened_again() {
    let home = home("standard");
    let project = format!("{home}/project");
    for tier in tiers_with_only() {
        let log = format!("{home}/log-{tier:?}");
        let script = "cat /dev/stdin; echo out > /dev/stdout; echo err >> /dev/stderr";
        let words =
            [terrarium().to_str().unwrap(), "run", "-q", "--only", &project, "--", "sh", "-c", script];
        let redirect = format!("exec \"$@\" </etc/hostname >{log} 2>{log}.err");
        let done =
            job(tier, [""; 0], words).launcher(&["sh", "-c", &redirect, "sh"]).directory(&project).run();
        done.code_is(0);
        assert_eq!((read(&log), read(&format!("{log}.err"))), ("out\n".to_owned(), "err\n".to_owned()));
    }
}

#[test]
fn in_a_run_and_around_one() {
    let home = home("nested");
    let project = format!("{home}/project");
    let own = terrarium().to_str().unwrap();
    for tier in tiers_with_only() {
        if tier == Tier::Traced {
            // What is traced cannot be traced once more.
            let done = job(tier, ["-q"], [own, "run", "-q", "true"]).run();
            done.code_is(122).err_has("a run in a run that is held by ptrace");
            continue;
        }
        let inner = [own, "run", "-q", "--only", &project, "--", "sh", "-c", "cat file ../.ssh/id"];
        let done = job(tier, ["-q"], inner).directory(&project).run();
        done.out_has("project/file");
        assert!(!done.out.contains("secret"), "{}", done.out);
        // Landlock lets nobody mount: a run inside is refused, or held without mounts.
        let flags = ["--only", &project, "--only", &format!("{own}:ro"), "-q"];
        let done =
            job(tier, flags, [own, "run", "-q", "--", "cat", "file", "../.ssh/id"]).directory(&project).run();
        assert!(!done.out.contains("secret"), "{}", done.out);
        if landlock::abi() < 2 {
            done.out_has("project/file");
        } else if !done.out.contains("project/file") {
            done.code_is(122).err_has("hint:");
        }
    }
}

#[test]
fn test_programs_and_daemons_are_held_as_without() {
    let daemons = program("daemons");
    let programs = Path::new(&daemons).parent().unwrap().to_str().unwrap().to_owned();
    for tier in tiers_with_only() {
        let done = job(tier, ["--only", &format!("{programs}:ro")], [&daemons, "20"]).run();
        done.code_is(0).err_has("20 processes, ended");
    }
}

#[test]
fn without_mounts_temporary_files_are_gone_and_what_cannot_be_held_is_refused() {
    let home = home("traced");
    if landlock::abi() < landlock::ABI_TRUNCATE {
        let done = sh(Tier::Traced, &["--only", &home], "true").directory(&home).run();
        done.code_is(122).err_has("--only needs Landlock of ABI 3");
        return;
    }
    let run = |flags: &[&str], script: &str| sh(Tier::Traced, flags, script).directory(&home).run();
    let done = run(&["-q", "--only", &home], "touch $TMPDIR/stray && echo $TMPDIR; touch /tmp/traced-stray");
    let path = done.out.trim().to_owned();
    assert!(path.starts_with("/tmp/terrarium-") && !fs::exists(&path).unwrap(), "{path}");
    assert!(!fs::exists("/tmp/traced-stray").unwrap());
    let data = format!("{home}/data");
    let read_only = format!("{data}:ro");
    for flags in [
        &["--only", &home, "--only", &read_only][..],
        &["--only", &home, "--hide", &data],
        &["--hide", &data],
        &["--ro", &data],
        &["--bind", &data],
        &["--private-tmp"],
        &["--net", "none"],
        &["--shm", "1M"],
    ] {
        let directory = if flags.contains(&"--only") { &*home } else { "/" };
        let done = sh(Tier::Traced, flags, "echo ran").directory(directory).run();
        done.code_is(122).err_has("not possible where the job gets no namespaces").err_has("hint:");
        assert!(!done.out.contains("ran"));
    }
}
