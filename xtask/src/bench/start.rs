//! How long a process that does nothing takes, from before it is made until it was waited for.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use super::contender::{Contender, PLAIN, fit};
use super::place::Place;
use super::report::Report;
use super::samples::in_turn;
use crate::Result;

const JOB: [&str; 1] = ["/bin/true"];

pub(super) fn measure(place: &Place, runs: u32) -> Result<Report> {
    let scratch = tempfile::tempdir().map_err(|e| format!("temporary directory: {e}"))?;
    let mut all = vec![
        Contender::plain(),
        Contender::terrarium(place, &[]),
        Contender::bwrap(),
        Contender::new("unshare", ["unshare", "-Urpfi", "--mount-proc"]),
        Contender::new("firejail", ["firejail", "--noprofile", "--quiet"]),
    ];
    let crun = crun(scratch.path());
    all.extend(crun.iter().cloned());
    let (present, absent) = fit(all)?;
    let samples = in_turn(runs, &present, |contender| {
        let mut command = contender.command(JOB);
        let start = Instant::now();
        let status = command.status().map_err(|e| format!("{}: {e}", contender.name))?;
        let wall = start.elapsed();
        if !status.success() {
            return Err(format!("{}: {status}", contender.name));
        }
        Ok(wall.as_secs_f64() * 1e3)
    })?;
    let mut report = Report::new("start", "wall time of /bin/true, started and waited for");
    report.add_samples("/bin/true", "ms", PLAIN, &present, &samples);
    report.absent(&absent);
    if let Err(reason) = crun {
        report.note(format!("crun: {reason}"));
    }
    Ok(report)
}

/// crun takes its command from a bundle.
fn crun(scratch: &Path) -> std::result::Result<Contender, String> {
    let bundle = scratch.join("bundle");
    std::fs::create_dir(&bundle).map_err(|e| e.to_string())?;
    let spec =
        Command::new("crun").args(["spec", "--rootless"]).current_dir(&bundle).stderr(Stdio::null()).status();
    if !spec.map_err(|_| "not installed")?.success() {
        return Err("`crun spec` failed".to_owned());
    }
    let path = bundle.join("config.json");
    let text = std::fs::read_to_string(&path).map_err(|e| e.to_string())?;
    let mut config: serde_json::Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
    config["process"]["terminal"] = false.into();
    config["process"]["args"] = JOB.as_slice().into();
    config["root"] = serde_json::json!({ "path": "/", "readonly": true });
    std::fs::write(&path, config.to_string()).map_err(|e| e.to_string())?;
    let (state, bundle) = (scratch.join("state").into_os_string(), bundle.into_os_string());
    let mut command = vec![OsString::from("crun"), "--root".into(), state];
    command.extend(["--cgroup-manager=disabled", "run", "--bundle"].map(OsString::from));
    command.extend([bundle, "bench".into()]);
    Ok(Contender::new("crun", command).complete())
}
