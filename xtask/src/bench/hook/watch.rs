//! Who looks on while a process runs: nobody, an empty hook, terrarium's, XALT, Customs. Each is a set of variables.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;

use super::scratch::Scratch;
use crate::Result;
use crate::bench::contender::{Absent, PLAIN};
use crate::bench::place::Place;

/// The same again: how far apart two are that do not differ.
pub(super) const AGAIN: &str = "plain again";

/// An audit hook that does nothing.
pub(super) const EMPTY: &str = "empty hook in C";

pub(super) const OURS: &str = "terrarium";

/// terrarium in a rank that is only counted.
pub(super) const OTHER_RANK: &str = "terrarium, rank 1";

/// terrarium where the spool is no memory file system.
pub(super) const ON_DISK: &str = "terrarium, spool on disk";

pub(super) const XALT: &str = "XALT";
pub(super) const XALT_TOP: &str = "XALT, top level";
pub(super) const CUSTOMS: &str = "Customs";

/// Where the peers of the hook lie (benches/README.md says how to make them), and what is wanted of its benchmark.
#[derive(Clone, Debug, Default, Args)]
pub(in crate::bench) struct Peers {
    /// For `hook`: where an XALT is installed that records every module
    #[arg(long, value_name = "DIR")]
    xalt: Option<PathBuf>,
    /// For `hook`: where an XALT is installed that records top-level packages only
    #[arg(long, value_name = "DIR")]
    xalt_top: Option<PathBuf>,
    /// For `hook`: a checkout of Customs
    #[arg(long, value_name = "DIR")]
    customs: Option<PathBuf>,
    /// For `hook`: only cases with this in their name
    #[arg(long = "case", value_name = "TEXT")]
    cases: Vec<String>,
}

impl Peers {
    pub(super) fn cases(&self) -> &[String] {
        &self.cases
    }

    /// The flags that say the same.
    pub(in crate::bench) fn flags(&self) -> Vec<OsString> {
        let peers = [("--xalt", &self.xalt), ("--xalt-top", &self.xalt_top), ("--customs", &self.customs)];
        let peers = peers.into_iter().filter_map(|(flag, path)| Some([flag.into(), path.as_ref()?.into()]));
        let cases = self.cases.iter().map(|case| ["--case".into(), case.into()]);
        peers.chain(cases).flatten().collect()
    }
}

/// What a watcher leaves of the processes it saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trace {
    Nothing,
    /// One file for each process.
    Spool,
    /// A run record for each process and a file for each module.
    Xalt,
    /// A list of names for each Python.
    Customs,
}

/// A way to look on.
#[derive(Clone, Debug)]
pub(super) struct Watcher {
    pub(super) name: &'static str,
    variables: Vec<(&'static str, OsString)>,
    trace: Trace,
    /// The directory that its traces are in.
    leaves: PathBuf,
}

impl Watcher {
    fn new(name: &'static str, leaves: &Path) -> Self {
        Self { name, variables: Vec::new(), trace: Trace::Nothing, leaves: leaves.to_owned() }
    }

    fn with(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    fn leaving(mut self, trace: Trace) -> Self {
        self.trace = trace;
        self
    }

    fn xalt(name: &'static str, directory: &Path, scratch: &Scratch) -> Self {
        Self::new(name, &scratch.home().join(".xalt.d"))
            .leaving(Trace::Xalt)
            .with("LD_PRELOAD", directory.join("lib64/libxalt_init.so"))
            .with("PYTHONPATH", directory.join("site_packages"))
            .with("XALT_DIR", directory)
            .with("XALT_EXECUTABLE_TRACKING", "yes")
    }

    /// A command with nothing of this process's environment, as this watcher would have it.
    pub(super) fn command<S: AsRef<OsStr>>(&self, scratch: &Scratch, words: &[S]) -> Command {
        let mut command = Command::new(words.first().map_or(OsStr::new(""), AsRef::as_ref));
        command.args(words.iter().skip(1)).env_clear().envs(scratch.variables());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Removes what it left; the next process finds the place as this one did.
    pub(super) fn clear(&self) -> Result {
        if self.trace == Trace::Nothing {
            return Ok(());
        }
        let failed = |e: std::io::Error| format!("{}: {e}", self.leaves.display());
        let Ok(entries) = std::fs::read_dir(&self.leaves) else { return Ok(()) };
        for entry in entries {
            std::fs::remove_file(entry.map_err(failed)?.path()).map_err(failed)?;
        }
        Ok(())
    }

    /// The names of the files it left.
    fn left(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&self.leaves).into_iter().flatten();
        entries.flatten().map(|entry| entry.path()).collect()
    }

    /// What there is of the processes since the last [`Self::clear`], in words; `Err` if there is nothing.
    pub(super) fn recorded(&self) -> std::result::Result<String, String> {
        let files = self.left();
        let named = |start: &str| {
            let name =
                |path: &&PathBuf| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(start));
            files.iter().filter(name).count()
        };
        match self.trace {
            Trace::Nothing => Ok(String::new()),
            _ if files.is_empty() => Err("left no record".to_owned()),
            Trace::Spool => {
                let mut modules = 0;
                for path in &files {
                    let bytes = std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
                    let process = terrarium_spool::process(&bytes);
                    let process = process.map_err(|e| format!("{}: {e}", path.display()))?;
                    modules += process.modules.iter().filter(|module| module.is_loaded()).count();
                }
                Ok(format!("records: {}, modules: {modules}", files.len()))
            }
            Trace::Xalt => Ok(format!("records: {}, modules: {}", named("run."), named("pkg."))),
            Trace::Customs => {
                let texts = files.iter().filter_map(|path| std::fs::read_to_string(path).ok());
                let names: usize = texts
                    .filter_map(|text| serde_json::from_str::<Vec<String>>(&text).ok())
                    .map(|l| l.len())
                    .sum();
                Ok(format!("records: {}, libraries: {names}", files.len()))
            }
        }
    }

    /// Itself if it does what it should: a Python that it looks at succeeds, and something is known of it.
    fn fit(self, scratch: &Scratch, python: &Path) -> std::result::Result<Self, Absent> {
        let absent = |reason: String| Absent { name: self.name.to_owned(), reason };
        self.clear().map_err(absent)?;
        let words = [python.as_os_str(), "-c".as_ref(), "import json".as_ref()];
        let output = self.command(scratch, &words).output().map_err(|e| absent(e.to_string()))?;
        let text = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() || !text.is_empty() {
            return Err(absent(format!("does not work here: {}, {}", output.status, text.trim())));
        }
        self.recorded().map_err(absent)?;
        Ok(self)
    }
}

/// Those that can take part, and those that cannot.
pub(super) fn fit(
    place: &Place,
    peers: &Peers,
    scratch: &Scratch,
    python: &Path,
) -> Result<(Vec<Watcher>, Vec<Absent>)> {
    let (mut all, mut absent) = (Vec::new(), Vec::new());
    for name in [PLAIN, AGAIN] {
        all.push(Watcher::new(name, scratch.home()));
    }
    all.push(Watcher::new(EMPTY, scratch.home()).with("LD_PRELOAD", scratch.empty_hook()?));
    let mut missing =
        |name: &str, reason: &str| absent.push(Absent { name: name.to_owned(), reason: reason.to_owned() });
    match place.hook() {
        Some(library) => {
            let ours = |name, spool: &Path| {
                let ours = Watcher::new(name, spool).leaving(Trace::Spool);
                ours.with("LD_PRELOAD", &library).with("TERRARIUM_SPOOL", spool)
            };
            all.push(ours(OURS, scratch.spool()));
            all.push(ours(OTHER_RANK, scratch.spool()).with("PMI_RANK", "1"));
            all.push(ours(ON_DISK, scratch.spool_on_disk()));
        }
        None => missing(OURS, "there is no libterrarium_hook.so: build it (`make build`)"),
    }
    for (name, flag, directory) in [(XALT, "--xalt", &peers.xalt), (XALT_TOP, "--xalt-top", &peers.xalt_top)]
    {
        match directory {
            Some(directory) => all.push(Watcher::xalt(name, directory, scratch)),
            None => missing(name, &format!("not measured without {flag} DIR (benches/README.md)")),
        }
    }
    match &peers.customs {
        Some(directory) => {
            let path = scratch.customs_path(&place.benches(), directory)?;
            let customs =
                Watcher::new(CUSTOMS, scratch.customs()).leaving(Trace::Customs).with("PYTHONPATH", path);
            let libraries = super::libraries(place)?.join(",");
            all.push(customs.with("CUSTOMS_OUT", scratch.customs()).with("CUSTOMS_LIBRARIES", libraries));
        }
        None => missing(CUSTOMS, "not measured without --customs DIR (benches/README.md)"),
    }
    let mut present = Vec::new();
    for watcher in all {
        match watcher.fit(scratch, python) {
            Ok(watcher) => present.push(watcher),
            Err(reason) => absent.push(reason),
        }
    }
    Ok((present, absent))
}
