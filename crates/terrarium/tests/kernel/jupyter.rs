//! Jupyter kernels in a jail, played by a real client (tests/python/jupyter.py): each case in every tier.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::support::{
    Tier, directory, is_root, job, marked, not_in_the_virtual_machine, requires, terrarium, tiers, user,
    wait_until, workspace,
};

/// A virtual environment with a client and ipykernel; made on first use, and kept below target/.
fn environment() -> Option<&'static Path> {
    static PATH: OnceLock<Option<PathBuf>> = OnceLock::new();
    PATH.get_or_init(|| {
        let path = workspace().join("target/jupyter-venv");
        let made = Command::new(workspace().join("tests/python/jupyter-venv")).arg(&path).status();
        made.is_ok_and(|status| status.success()).then_some(path)
    })
    .as_deref()
}

/// Whether the ordinary user can read it where it is.
fn is_reachable(python: &Path) -> bool {
    if !is_root() {
        return true;
    }
    let (uid, gid) = user();
    let mut command = Command::new("setpriv");
    command.args([&format!("--reuid={uid}"), &format!("--regid={gid}"), "--clear-groups", "--"]);
    command.arg(python).args(["-c", "import ipykernel"]).output().is_ok_and(|o| o.status.success())
}

fn play(case: &str) {
    play_in_tiers(case, tiers());
}

fn play_in_tiers(case: &str, tiers: Vec<Tier>) {
    not_in_the_virtual_machine!();
    let environment = environment();
    requires!(environment.is_some(), "no Jupyter client: PyPI cannot be reached, and none is cached");
    let mut python = environment.unwrap().join("bin/python");
    let mut copy = None;
    if !is_reachable(&python) {
        let reachable = tempfile::Builder::new().prefix("terrarium-test-jupyter-").tempdir().unwrap();
        let into = reachable.path();
        assert!(Command::new("chmod").arg("755").arg(into).status().unwrap().success());
        let status = Command::new("cp").arg("-a").arg(environment.unwrap()).arg(into).status().unwrap();
        assert!(status.success(), "copying the virtual environment");
        python = into.join("jupyter-venv/bin/python");
        copy = Some(reachable);
    }
    let script = directory().join(format!("jupyter-{case}.py"));
    std::fs::copy(workspace().join("tests/python/jupyter.py"), &script).unwrap();
    let script = script.to_str().unwrap();
    let play_once = |tier: Tier| {
        let words = [python.to_str().unwrap(), script, terrarium().to_str().unwrap(), case];
        // `env`: the client itself runs plainly.
        let job = job(tier, [""; 0], words).launcher(&["timeout", "--kill-after=5", "240", "env"]);
        let output = job.command().output().unwrap();
        let mark = job.mark_for_tests();
        if output.status.success() {
            wait_until("the end of everything", || marked(&mark).is_empty());
            return Ok(());
        }
        for pid in marked(&mark) {
            let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
        }
        let said = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Err(format!("{tier:?}: {}\n{}\n{}", output.status, said(&output.stdout), said(&output.stderr)))
    };
    // The client picks free ports and lets go of them before the kernel takes them: another program may be quicker.
    let play_in = |tier: Tier| {
        let is_taken = |why: &String| why.contains("Address already in use");
        let done = (0..4).map(|_| play_once(tier)).find(|done| !done.as_ref().is_err_and(is_taken));
        done.expect("a free port, four times in vain").unwrap_or_else(|why| panic!("{why}"));
    };
    // Most of the time they only wait.
    std::thread::scope(|scope| {
        let all: Vec<_> = tiers.into_iter().map(|tier| scope.spawn(move || play_in(tier))).collect();
        for one in all {
            one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
    });
    drop(copy);
}

#[test]
fn an_interrupt_reaches_the_kernel_once_and_it_lives_on() {
    play("interrupt");
}

#[test]
fn workers_that_an_interrupt_orphaned_are_ended_after_the_grace_and_told() {
    play("pool");
}

#[test]
fn on_request_orphans_are_kept_until_the_kernel_ends() {
    play("keep");
}

#[test]
fn what_was_sent_to_the_background_stays_if_its_parent_lives() {
    play("background");
}

#[test]
fn workers_of_a_living_kernel_are_not_touched() {
    play("loader");
}

#[test]
fn the_debuggers_adapter_is_no_orphan_to_be_ended() {
    play("debugger");
}

#[test]
fn a_shutdown_leaves_nothing() {
    play("shutdown");
}

#[test]
fn a_restart_leaves_nothing_of_the_kernel_before() {
    play("restart");
}

#[test]
fn a_kernel_or_terrarium_killed_leaves_nothing() {
    play("killed");
}

#[test]
fn a_lost_client_leaves_nothing() {
    play("lost_client");
}

#[test]
fn only_our_own_kernel_specs_are_written_over_listed_and_removed() {
    play("specs");
}

#[test]
fn options_that_hide_the_connection_file_do_not_hide_it_from_the_kernel() {
    // Without namespaces nothing can be hidden, and --only does without.
    play_in_tiers("hidden", tiers().into_iter().filter(|t| *t != Tier::Traced).collect());
    play("only");
}
