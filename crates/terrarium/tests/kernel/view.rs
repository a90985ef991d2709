//! What the job sees of the host.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::{Tier, directory, job, program, sh, tiers, tiers_with_mounts};

/// A directory that everybody may write to, with a file in it.
fn playground(name: &str) -> String {
    let path = directory().join(name);
    fs::create_dir_all(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
    fs::write(path.join("file"), "content\n").unwrap();
    fs::set_permissions(path.join("file"), fs::Permissions::from_mode(0o666)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn its_own_processes_and_nobody_elses() {
    for tier in tiers_with_mounts() {
        let done = sh(tier, &["-q"], "ls /proc | grep -c '^[0-9]'; echo $$").run();
        let lines: Vec<&str> = done.out.lines().collect();
        assert!(lines[0].parse::<u32>().unwrap() <= 5, "{}", done.out);
        assert_eq!(lines[1], "2", "the main process is the first after init");
    }
}

#[test]
fn the_user_is_the_same() {
    for tier in tiers().into_iter().filter(|t| *t != Tier::Root) {
        let done = sh(tier, &["-q"], "id -u; id -g").run();
        if crate::support::is_root() {
            let (uid, gid) = crate::support::user();
            assert_eq!(done.out, format!("{uid}\n{gid}\n"));
        }
    }
}

#[test]
fn hidden_paths_are_empty() {
    let place = playground("hidden");
    for tier in tiers_with_mounts() {
        let done =
            sh(tier, &["--hide", &place, "-q"], &format!("cat {place}/file; ls {place}; touch {place}/new"))
                .run();
        assert!(!done.out.contains("content"), "{}", done.out);
        let file = format!("{place}/file");
        let done =
            sh(tier, &["--hide", &file, "-q"], &format!("cat {file}; echo x > {file}; ls {place}")).run();
        assert!(!done.out.contains("content"), "{}", done.out);
        done.out_has("file");
    }
    assert_eq!(fs::read_to_string(format!("{place}/file")).unwrap(), "content\n");
    assert!(!fs::exists(format!("{place}/new")).unwrap());
}

#[test]
fn hidden_stays_hidden_from_a_namespace_inside() {
    let place = playground("hidden-deep");
    for tier in tiers().into_iter().filter(|t| *t != Tier::Root) {
        let script = format!(
            "unshare -Urm sh -c 'umount {place}; cat {place}/file; mount --bind / /mnt && cat /mnt{place}/file'; true"
        );
        let done = sh(tier, &["--hide", &place, "-q"], &script).run();
        assert!(!done.out.contains("content"), "{}", done.out);
    }
}

#[test]
fn read_only_paths() {
    let place = playground("ro");
    for tier in tiers_with_mounts() {
        let done = sh(
            tier,
            &["--ro", &place, "-q"],
            &format!("cat {place}/file; echo x > {place}/file; touch {place}/n"),
        )
        .run();
        done.out_has("content").err_has("Read-only file system");
        // Everything but what is shown on purpose.
        let bind = format!("{place}:{place}");
        let script = format!("touch {place}/from-{tier:?} && echo wrote; touch /usr/x || echo refused");
        sh(tier, &["--ro", "/", "--bind", &bind, "-q"], &script).run().out_has("wrote").out_has("refused");
    }
    assert_eq!(fs::read_to_string(format!("{place}/file")).unwrap(), "content\n");
}

#[test]
fn binds_show_one_path_at_another() {
    let (from, to) = (playground("from"), playground("to"));
    fs::write(format!("{from}/file"), "from\n").unwrap();
    for tier in tiers_with_mounts() {
        sh(tier, &["--bind", &format!("{from}:{to}"), "-q"], &format!("cat {to}/file")).run().out_has("from");
        // Into a private /tmp, where the target is made; and out of what --private-tmp covers.
        sh(
            tier,
            &["--private-tmp", "--bind", &format!("{from}:/tmp/a/b"), "-q"],
            "cat /tmp/a/b/file; ls /tmp",
        )
        .run()
        .out_has("from");
        sh(tier, &["--bind", &format!("{from}:{to}"), "--ro", &to, "-q"], &format!("touch {to}/x"))
            .run()
            .code_is(1);
        // Hidden, but for one thing below.
        let bind = format!("{from}/file:{from}/file");
        sh(tier, &["--hide", &from, "--bind", &bind, "-q"], &format!("ls -A {from}; cat {from}/file"))
            .run()
            .out_has("file\nfrom");
        // Hidden, and shown elsewhere.
        let inside = format!("{from}/file:{to}/file");
        sh(tier, &["--hide", &from, "--bind", &inside, "-q"], &format!("cat {to}/file; ls {from}"))
            .run()
            .out_has("from");
    }
    assert_eq!(fs::read_to_string(format!("{to}/file")).unwrap(), "content\n");
}

#[test]
fn a_private_tmp_is_empty_and_gone() {
    for tier in tiers_with_mounts() {
        // The spool and the hook of these tests are in /tmp, and would be shown there.
        let done = sh(
            tier,
            &["--private-tmp", "--no-track", "-q"],
            "ls -A /tmp /var/tmp; touch /tmp/terrarium-leak; ls /tmp",
        )
        .run();
        assert_eq!(done.out, "/tmp:\n\n/var/tmp:\nterrarium-leak\n");
    }
    assert!(!fs::exists("/tmp/terrarium-leak").unwrap());
}

#[test]
fn no_network_but_loopback() {
    let script = "import socket\n\
                  s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()\n\
                  c = socket.create_connection(s.getsockname()); print('loopback works')\n\
                  print([name for _, name in socket.if_nameindex()])\n";
    for tier in tiers_with_mounts() {
        let done = job(tier, ["--net", "none", "-q"], ["/usr/bin/python3", "-c", script]).run();
        done.code_is(0).out_has("loopback works").out_has("['lo'");
    }
}

#[test]
fn characters_cannot_be_pushed_into_a_terminal() {
    // With a terminal: see terminal.rs. Here: the ioctl itself, which root's jobs are refused as well.
    for tier in tiers().into_iter().filter(|t| *t == Tier::Root) {
        let done = job(tier, ["-q"], [program("tiocsti")]).run();
        assert!(!done.out.contains("tiocsti: ok"), "{}", done.out);
    }
}

#[test]
fn setuid_programs_work_for_root_and_not_for_users() {
    for tier in tiers() {
        let done = sh(tier, &["-q"], "grep NoNewPrivs /proc/self/status").run();
        done.out_has(if tier == Tier::Root { "0" } else { "1" });
    }
    if tiers().contains(&Tier::Root) {
        sh(Tier::Root, &["-q", "--no-new-privileges"], "grep NoNewPrivs /proc/self/status")
            .run()
            .out_has("1");
    }
}

#[test]
fn no_capabilities_for_users() {
    for tier in tiers().into_iter().filter(|t| *t != Tier::Root) {
        sh(tier, &["-q"], "grep CapEff /proc/self/status").run().out_has("0000000000000000");
    }
}

#[test]
fn sockets_of_service_managers_are_covered() {
    let runtime = playground("runtime");
    fs::create_dir_all(format!("{runtime}/systemd")).unwrap();
    fs::write(format!("{runtime}/systemd/private"), "socket\n").unwrap();
    fs::write(format!("{runtime}/bus"), "socket\n").unwrap();
    for tier in tiers_with_mounts() {
        let script = format!("cat {runtime}/bus {runtime}/systemd/private; cat {runtime}/file");
        let done = sh(tier, &["-q"], &script).env("XDG_RUNTIME_DIR", &runtime).run();
        assert!(!done.out.contains("socket"), "{}", done.out);
        done.out_has("content");
        let bus = format!("{runtime}/bus");
        sh(tier, &["-q", "--bind", &bus], &format!("cat {bus}"))
            .env("XDG_RUNTIME_DIR", &runtime)
            .run()
            .out_has("socket");
    }
}
