//! Terminals and job control, played by a Python script on a pseudo-terminal with a real shell.

use crate::support::{job, not_in_the_virtual_machine, program, terrarium, tiers};

#[test]
fn a_shell_with_job_control() {
    not_in_the_virtual_machine!();
    let script = crate::support::workspace().join("tests/python/terminal.py");
    let copy = crate::support::directory().join("terminal.py");
    std::fs::copy(&script, &copy).unwrap();
    for tier in tiers() {
        let (tool, sigcount, tiocsti) =
            (terrarium().to_str().unwrap(), program("sigcount"), program("tiocsti"));
        let words = ["/usr/bin/python3", copy.to_str().unwrap(), tool, &sigcount, &tiocsti];
        // `env`: the script itself runs plainly, and starts terrarium in its shell.
        let done = job(tier, [""; 0], words).launcher(&["env"]).run();
        assert_eq!(done.code, Some(0), "{tier:?}\n{}\n{}", done.out, done.err);
    }
}
