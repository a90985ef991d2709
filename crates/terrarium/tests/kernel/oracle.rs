//! The promises that bubblewrap makes as well, tried on it by the same programs: if one of these fails, the test is wrong.

use crate::nested::has;
use crate::support::{Tier, job, not_in_the_virtual_machine, program, requires, tiers, wait_until};

const BWRAP: [&str; 8] =
    ["bwrap", "--dev-bind", "/", "/", "--unshare-pid", "--proc", "/proc", "--die-with-parent"];

fn tier() -> Tier {
    if tiers().contains(&Tier::User) { Tier::User } else { Tier::Root }
}

#[test]
fn daemons_are_gone_soon_after_main_has_ended() {
    not_in_the_virtual_machine!();
    requires!(has("bwrap"), "bubblewrap is not installed");
    let started = job(tier(), [""; 0], [&program("daemons"), "1000"]).launcher(&BWRAP).start();
    // It returns before the last is gone, so there is nothing to be asserted at that moment.
    let mark = started.marked().len();
    assert!(mark <= 1002);
    let pid = started.pid();
    let job_mark = started.job_mark();
    started.finish().code_is(0);
    wait_until(&format!("the daemons of bubblewrap ({pid})"), || {
        crate::support::marked(&job_mark).is_empty()
    });
}

#[test]
fn killed_by_sigkill_to_the_launcher() {
    not_in_the_virtual_machine!();
    requires!(has("bwrap"), "bubblewrap is not installed");
    let started = job(tier(), [""; 0], [&program("daemons"), "200", "--stay"]).launcher(&BWRAP).start();
    started.wait_for_processes(200);
    started.signal("KILL");
    wait_until("the end of the job", || started.marked().is_empty());
    started.finish();
}

#[test]
fn without_a_jail_they_survive() {
    // The test programs do what they are made for: plainly started, the daemons stay.
    let started = job(tier(), [""; 0], [&program("daemons"), "10", "--close-fds"]).launcher(&["env"]).start();
    let mark = started.job_mark();
    started.finish().code_is(0);
    let left = crate::support::marked(&mark);
    for pid in &left {
        let _ = std::process::Command::new("kill").args(["-KILL", &pid.to_string()]).status();
    }
    assert_eq!(left.len(), 10);
}

#[test]
fn orphans_are_reaped_and_statuses_come_back() {
    not_in_the_virtual_machine!();
    requires!(has("bwrap"), "bubblewrap is not installed");
    job(tier(), [""; 0], [&program("zombies"), "50"]).launcher(&BWRAP).run().code_is(0).out_has("zombies 0");
    job(tier(), [""; 0], ["sh", "-c", "kill -9 $$"]).launcher(&BWRAP).run().code_is(137);
}
