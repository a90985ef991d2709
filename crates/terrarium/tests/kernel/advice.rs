//! `terrarium advise` and `terrarium trial`, from real runs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::report::place;
use crate::support::{Done, Tier, job, not_in_the_virtual_machine, requires, terrarium, tiers_with_memory};

/// Takes what it is given in MiB, and holds it until a look at it is certain.
const ALLOCATE: &str = "import sys, time\nb = bytearray(int(sys.argv[1]) << 20)\n\
    for i in range(0, len(b), 4096): b[i] = 1\ntime.sleep(1.5)\n";

const GROW: &str =
    "import time\nall = []\nwhile True:\n    all.append(bytearray(b'x') * (2 << 20))\n    time.sleep(0.05)\n";

/// Writes 300 MiB into a file: page cache, and next to nothing of its own.
const WRITE: &str = "import sys, time\nwith open(sys.argv[1], 'wb') as f:\n\
    \x20   for i in range(300): f.write(bytes(1 << 20))\n    f.flush()\ntime.sleep(2.5)\n";

/// A Python that is no shim.
fn python() -> Option<&'static str> {
    Some("/usr/bin/python3").filter(|path| Path::new(path).exists())
}

fn run(tier: Tier, history: &Path, flags: &[&str], command: &[&str]) -> Done {
    job(tier, flags, command).quiet().env("TERRARIUM_HISTORY", history.to_str().unwrap()).run()
}

fn advise(history: &Path, command: &[&str]) -> Value {
    let output = Command::new(terrarium())
        .args(["advise", "--json", "--history", history.to_str().unwrap(), "--"])
        .args(command)
        .current_dir("/")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn code_of(advice: &Value, code: &str) -> bool {
    advice["findings"].as_array().unwrap().iter().any(|f| f["code"] == code)
}

fn history(name: &str, tier: Tier) -> PathBuf {
    place(&format!("advice-{name}-{tier:?}"))
}

#[test]
fn three_runs_give_a_request() {
    requires!(python().is_some(), "there is no /usr/bin/python3");
    for tier in tiers_with_memory() {
        let history = history("three", tier);
        let command = [python().unwrap(), "-c", ALLOCATE, "300"];
        for expected in 1..=3 {
            run(tier, &history, &[], &command).code_is(0);
            let advice = advise(&history, &command);
            assert_eq!(advice["memory"]["runs"], expected);
            assert_eq!(code_of(&advice, "few-runs"), expected < 3);
        }
        let advice = advise(&history, &command);
        let (request, highest) = (&advice["memory"]["request"], &advice["memory"]["highest"]);
        let share = request.as_f64().unwrap() / highest.as_f64().unwrap();
        assert!((1.05..1.35).contains(&share), "{tier:?}: {request} of {highest}");
        assert!((300 << 20..350 << 20).contains(&highest.as_u64().unwrap()), "{highest}");
        assert_eq!(advice["runs"].as_array().unwrap().len(), 3);
        assert!(advice["time"]["request_seconds"].as_u64().unwrap() >= 300);
        let slurm = &advice["batch"][0]["lines"];
        assert!(slurm[0].as_str().unwrap().starts_with("#SBATCH --mem="), "{slurm}");
        // Another number is another run of the same command, and says what is known.
        let other = advise(&history, &[python().unwrap(), "-c", ALLOCATE, "999"]);
        assert_eq!((&other["matched"], &other["memory"]["runs"]), (&"shape".into(), &3.into()));
        // The one that ran last is meant if none is named.
        assert_eq!(advise(&history, &[])["command"][3], "300");
    }
}

#[test]
fn running_out_of_memory_doubles() {
    requires!(python().is_some(), "there is no /usr/bin/python3");
    for tier in tiers_with_memory() {
        let history = history("doubles", tier);
        let command = [python().unwrap(), "-c", ALLOCATE, "300"];
        run(tier, &history, &["--mem", "128M"], &command).code_is(123);
        let advice = advise(&history, &command);
        assert_eq!(advice["memory"]["request"], 256 << 20, "{tier:?}");
        assert_eq!((&advice["runs"][0]["used"], &advice["time"]), (&false.into(), &Value::Null));
        assert!(code_of(&advice, "was-out-of-memory"));
    }
}

#[test]
fn page_cache_at_the_limit_is_not_learnt() {
    // Its /tmp is in memory.
    not_in_the_virtual_machine!();
    requires!(python().is_some(), "there is no /usr/bin/python3");
    for tier in tiers_with_memory() {
        let history = history("cache", tier);
        let file = history.join("file");
        let command = [python().unwrap(), "-c", WRITE, file.to_str().unwrap()];
        let done = run(tier, &history, &["--mem", "100M"], &command);
        requires!(done.code != Some(123), "/tmp is in memory here");
        done.code_is(0);
        let advice = advise(&history, &command);
        let run = &advice["runs"][0];
        if run["used"] == true {
            assert!(run["memory"].as_u64().unwrap() < 50 << 20, "{run}");
            assert!(run["why"].as_str().unwrap().contains("page cache"), "{run}");
            assert!(code_of(&advice, "spikes"));
        } else {
            assert_eq!(advice["memory"]["request"], Value::Null);
            assert!(run["why"].as_str().unwrap().contains("limit"), "{run}");
        }
        std::fs::remove_file(file).unwrap();
    }
}

#[test]
fn a_trial_that_is_cut_gives_a_bound_and_no_time() {
    requires!(python().is_some(), "there is no /usr/bin/python3");
    for tier in tiers_with_memory() {
        let history = history("trial", tier);
        let path = terrarium().to_str().unwrap();
        let trial = [path, "trial", "--json", "-q", "--time", "5s", "--interval", "250ms", "--"];
        let done = job(tier, [""; 0], [python().unwrap(), "-c", GROW])
            .launcher(&trial)
            .env("TERRARIUM_HISTORY", history.to_str().unwrap())
            .run();
        done.code_is(0);
        let advice: Value = serde_json::from_str(&done.out).unwrap();
        assert_eq!(advice["runs"][0]["end"]["kind"], "time-limit");
        let memory = &advice["memory"];
        assert_eq!((&memory["request"], &memory["still_growing"]), (&Value::Null, &true.into()), "{memory}");
        assert!(memory["at_least"].as_u64().unwrap() > 20 << 20, "{memory}");
        assert_eq!(advice["time"], Value::Null);
        for batch in advice["batch"].as_array().unwrap() {
            let text = batch["lines"].to_string();
            assert!(!text.contains("mem") && !text.contains("time") && !text.contains("-W"), "{text}");
        }
    }
}

#[test]
fn a_trial_has_the_status_of_its_command() {
    let path = terrarium().to_str().unwrap();
    let done =
        job(tiers_with_memory().first().copied().unwrap_or(Tier::User), [""; 0], ["sh", "-c", "exit 7"])
            .launcher(&[path, "trial", "--no-record", "-q", "--json", "--"])
            .run();
    done.code_is(7);
    let advice: Value = serde_json::from_str(&done.out).unwrap();
    assert!(advice["runs"][0]["why"].as_str().unwrap().contains("status 7"));
}
