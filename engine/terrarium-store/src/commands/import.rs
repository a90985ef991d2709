//! `terrarium-store import`.

use std::fs::{File, OpenOptions};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::Serialize;
use terrarium_import::{
    Accounts, Answers, Batch, Import, Mapping, Options, Progress, What, Zone, units_of, waiting,
};
use terrarium_site::Site;
use terrarium_usage::commit::{Committed, commit};
use terrarium_usage::inbox::Inbox;
use terrarium_usage::known;
use terrarium_usage::link::{Linked, link};
use terrarium_usage::location::Location;
use terrarium_usage::report::{Joined, joined};
use terrarium_usage::store::Store;

use crate::cli::{ImportArgs, ImportCommon, ImportWhat, RecordsArgs, SlurmArgs};
use crate::error::CliError;
use crate::out::{bytes, counted, note, printable, progress, progress_end, result};

/// Where a site has its rules.
const RULES: &str = "/etc/terrarium/site.toml";

/// Of the memory that may be taken, reading has so much, in eighths: the rest is for writing a day and committing it.
const FOR_READING: usize = 2;

/// Returns the exit code: 1 if something was refused.
pub(crate) async fn run(args: &ImportArgs) -> Result<u8, CliError> {
    match &args.what {
        ImportWhat::Xalt(args) => records(What::Xalt, args).await,
        ImportWhat::Customs(args) => records(What::Customs, args).await,
        ImportWhat::Snapshot(args) => {
            let mapping = Mapping::load(&args.mapping)?;
            records(What::Snapshot(Box::new(mapping)), &args.records).await
        }
        ImportWhat::Slurm(args) if args.paths.is_empty() => sacct(args).await,
        ImportWhat::Slurm(args) => accounts(Batch::Slurm, &args.paths, args.zone, &args.common).await,
        ImportWhat::Pbs(args) => accounts(Batch::Pbs, &args.paths, args.zone, &args.common).await,
        ImportWhat::Lsf(args) => accounts(Batch::Lsf, &args.paths, args.zone, &args.common).await,
        ImportWhat::Swf(args) => accounts(Batch::Swf, &args.paths, args.zone, &args.common).await,
        ImportWhat::Djc(args) => accounts(Batch::Djc, &args.paths, args.zone, &args.common).await,
        ImportWhat::Domains(args) => {
            let work = Work::begin(&args.common).await?;
            let mut reading = Accounts::open("domains", Zone::Utc, work.options(0, None))?;
            reading.domains(&args.paths, &mut work.told("projects"))?;
            work.finish(&args.common, "domains", reading).await
        }
    }
}

/// What all imports do around what they read.
struct Work {
    store: Store,
    site: Site,
    cluster: Option<String>,
    directory: PathBuf,
    began: Instant,
    is_quiet: bool,
    committed: Committed,
    _lock: File,
}

impl Work {
    async fn begin(common: &ImportCommon) -> Result<Self, CliError> {
        let began = Instant::now();
        let rules =
            common.rules.clone().or_else(|| Some(RULES.into()).filter(|path: &PathBuf| path.exists()));
        let site = Site::load(rules.as_deref())?;
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if let Some(cluster) = &common.cluster
            && (cluster.is_empty() || cluster.len() > 64 || !cluster.chars().all(is_name))
        {
            return Err(CliError::Usage(
                "--cluster: write letters, digits, `-`, `_` and `.`, 64 at most".to_owned(),
            ));
        }
        let location = common.store.location()?;
        let directory = match &common.work {
            Some(work) => work.clone(),
            None => directory(&location)?,
        };
        let store = Store::make(location).await?;
        let lock = lock(&directory)?;
        let mut work = Work {
            store,
            site,
            cluster: common.cluster.clone(),
            directory,
            began,
            is_quiet: common.quiet || common.json,
            committed: Committed::default(),
            _lock: lock,
        };
        // What an interrupted import had ready.
        for unit in waiting(&work.directory) {
            work.commit(&unit).await?;
        }
        Ok(work)
    }

    fn options(&self, memory: usize, scheduler: Option<String>) -> Options {
        Options {
            site: self.site.clone(),
            cluster: self.cluster.clone(),
            scheduler,
            work: self.directory.clone(),
            memory: memory / 8 * FOR_READING,
            unit_rows: terrarium_import::UNIT,
        }
    }

    /// Commits a unit, and removes it.
    async fn commit(&mut self, unit: &Path) -> Result<(), CliError> {
        let inbox = Inbox::new(unit.to_owned());
        let done = commit(&self.store, &inbox, &mut |_, _| {}, &mut |_| Ok(())).await?;
        let total = &mut self.committed;
        total.batches += done.batches;
        total.segments += done.segments;
        total.processes += done.processes;
        total.modules += done.modules;
        std::fs::remove_dir_all(unit).map_err(|source| CliError::File { path: unit.to_owned(), source })
    }

    /// Shows how far reading is.
    fn told(&self, of: &'static str) -> impl FnMut(Progress) + use<> {
        let (began, is_quiet) = (self.began, self.is_quiet);
        let mut last = Instant::now();
        move |now: Progress| {
            if is_quiet || last.elapsed() < Duration::from_millis(200) {
                return;
            }
            last = Instant::now();
            let seconds = began.elapsed().as_secs_f64().max(0.001);
            let rate = now.bytes as f64 / seconds;
            let left = if rate > 0.0 { now.of_bytes.saturating_sub(now.bytes) as f64 / rate } else { 0.0 };
            progress(format_args!(
                "read {} of {}, {} {of}, {}/s, {left:.0} s left",
                bytes(now.bytes),
                bytes(now.of_bytes),
                now.records,
                bytes(rate as u64)
            ));
        }
    }

    /// What accounting is.
    async fn finish(
        mut self,
        common: &ImportCommon,
        source: &str,
        mut reading: Accounts,
    ) -> Result<u8, CliError> {
        if let Some(unit) = reading.finish()? {
            self.commit(&unit).await?;
        }
        let linked = link(&self.store).await?;
        let joined = joined(&self.store, None).await?;
        progress_end();
        let (refused, first, list) = reading.refused();
        let summary = Summary {
            schema: "terrarium.import/1",
            source: source.to_owned(),
            store: self.store.location.name(),
            read: reading.counts().all(),
            refused,
            refused_list: (refused > 0).then_some(list),
            processes: None,
            joined: Some(joined.into()),
            linked: Some(linked.into()),
            seconds: self.began.elapsed().as_secs_f64(),
        };
        summary.print(common, first)
    }
}

/// Before a person is forgotten: what an interrupted import had ready is committed, and what it had read goes. It begins anew then.
pub(crate) async fn clear(store: &Store) -> Result<(), CliError> {
    let directory = directory(&store.location)?;
    if !directory.is_dir() {
        return Ok(());
    }
    let _lock = lock(&directory)?;
    for unit in waiting(&directory) {
        commit(store, &Inbox::new(unit.clone()), &mut |_, _| {}, &mut |_| Ok(())).await?;
        std::fs::remove_dir_all(&unit).map_err(|source| CliError::File { path: unit.clone(), source })?;
    }
    terrarium_import::clear(&directory)?;
    Ok(())
}

/// One import at a time.
fn lock(directory: &Path) -> Result<File, CliError> {
    let failed = |source| CliError::File { path: directory.to_owned(), source };
    std::fs::create_dir_all(units_of(directory)).map_err(failed)?;
    private(directory).map_err(failed)?;
    let path = directory.join("lock");
    let lock = OpenOptions::new().create(true).truncate(false).write(true).open(path).map_err(failed)?;
    if lock.try_lock().is_err() {
        return Err(CliError::ImportBusy(directory.to_owned()));
    }
    Ok(lock)
}

/// Where to work: in the store, where erasure finds it.
fn directory(location: &Location) -> Result<PathBuf, CliError> {
    if let Some(directory) = &location.directory {
        return Ok(directory.join("_terrarium/import"));
    }
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let state = set("XDG_STATE_HOME").filter(|path| path.is_absolute());
    let state =
        state.or_else(|| set("HOME").map(|home| home.join(".local/state"))).ok_or(CliError::NoHome)?;
    let name: String =
        location.name().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    Ok(state.join("terrarium/import").join(name))
}

fn private(directory: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o700))
}

async fn records(what: What, args: &RecordsArgs) -> Result<u8, CliError> {
    let mut work = Work::begin(&args.common).await?;
    let options = Options { unit_rows: args.unit_rows, ..work.options(args.memory, args.scheduler.clone()) };
    let mut import = Import::open(what, &args.paths, options)?;
    if import.goes_on() && !work.is_quiet {
        note("note: goes on with an import of the same that was interrupted");
    }
    import.read(&mut work.told("processes"))?;
    let source = import.source();
    let is_new = !known::has(&work.store, &source).await?;
    let mut last = Instant::now();
    let mut days: Option<(i32, i32)> = None;
    while let Some(day) = import.next_day()? {
        let mut answers = Answers::default();
        let span = (day.date, day.date);
        days = Some(days.map_or(span, |(first, last)| (first.min(day.date), last.max(day.date))));
        if !is_new {
            answers.known = known::records(&work.store, &source, span, Some(&day.records)).await?;
            for (cluster, ids) in import.differing(&day, &answers) {
                let mut before = known::processes(&work.store, &cluster, span, &ids).await?;
                let mut loads = known::loads(&work.store, &cluster, span, &ids).await?;
                for id in ids {
                    if let Some(before) = before.remove(&id) {
                        answers.before.insert(id, (before, loads.remove(&id).unwrap_or_default()));
                    }
                }
            }
        }
        if let Some(unit) = import.write(&day, &answers)? {
            work.commit(&unit).await?;
        }
        if !work.is_quiet && last.elapsed() > Duration::from_millis(200) {
            last = Instant::now();
            progress(format_args!("written up to {}, {} rows", day_of(day.date), import.written().modules));
        }
    }
    if let Some(unit) = import.finish()? {
        work.commit(&unit).await?;
    }
    let linked = link(&work.store).await?;
    let joined = match days {
        Some(days) => Some(joined(&work.store, Some((&source, days))).await?),
        None => None,
    };
    progress_end();
    let written = import.written();
    let (refused, first, list) = import.refused();
    let doubts = written.doubts.all().filter(|(_, n)| *n > 0).map(|(name, n)| (name.to_owned(), n)).collect();
    let summary = Summary {
        schema: "terrarium.import/1",
        source,
        store: work.store.location.name(),
        read: import.counts().all(),
        refused,
        refused_list: (refused > 0).then_some(list),
        processes: Some(Processes {
            new: written.new,
            completed: written.completed,
            known: written.known,
            modules: written.modules,
            doubts,
        }),
        joined: joined.map(JoinedOut::from),
        linked: Some(linked.into()),
        seconds: work.began.elapsed().as_secs_f64(),
    };
    let code = summary.print(&args.common, first);
    import.done()?;
    code
}

fn day_of(days: i32) -> String {
    let day = chrono::NaiveDate::default().checked_add_signed(chrono::TimeDelta::days(i64::from(days)));
    day.map_or_else(String::new, |day| day.to_string())
}

async fn accounts(
    batch: Batch,
    paths: &[PathBuf],
    zone: Zone,
    common: &ImportCommon,
) -> Result<u8, CliError> {
    let work = Work::begin(common).await?;
    let mut reading = Accounts::open(batch.name(), zone, work.options(0, None))?;
    reading.files(batch, paths, &mut work.told("jobs"))?;
    work.finish(common, batch.name(), reading).await
}

/// Asks sacct itself.
async fn sacct(args: &SlurmArgs) -> Result<u8, CliError> {
    let failed = |error: std::io::Error| CliError::Sacct(error.to_string());
    let since = since(&args.since).map_err(CliError::Usage)?;
    let help = Command::new("sacct").arg("--helpformat").stdin(Stdio::null()).output().map_err(failed)?;
    let fields = terrarium_import::sacct_fields(&String::from_utf8_lossy(&help.stdout));
    if fields.is_empty() {
        return Err(CliError::Sacct("it does not say which fields it has".to_owned()));
    }
    let work = Work::begin(&args.common).await?;
    let mut reading = Accounts::open(Batch::Slurm.name(), args.zone, work.options(0, None))?;
    let mut child = Command::new("sacct")
        .args([
            "--allusers",
            "--allclusters",
            "--duplicates",
            "--parsable2",
            "--noconvert",
            "--delimiter=\u{1f}",
        ])
        .args(["--starttime", &since, "--format", &fields.join(",")])
        // Times that need no zone.
        .env("SLURM_TIME_FORMAT", "%s")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let stdout = child.stdout.take();
    let stderr = child.stderr.take();
    let said = std::thread::spawn(move || {
        let mut text = String::new();
        let read = stderr.map(|stderr| {
            std::io::Read::read_to_string(&mut std::io::Read::take(stderr, 1 << 16), &mut text)
        });
        drop(read);
        text
    });
    if let Some(stdout) = stdout {
        reading.stream(Batch::Slurm, "sacct", &mut BufReader::with_capacity(1 << 18, stdout))?;
    }
    let status = child.wait().map_err(failed)?;
    let said = said.join().unwrap_or_default();
    if !status.success() {
        let why = said.trim().lines().last().unwrap_or("it says nothing").to_owned();
        return Err(CliError::Sacct(format!("{status}: {}", printable(&why))));
    }
    work.finish(&args.common, Batch::Slurm.name(), reading).await
}

/// As sacct writes it.
fn since(text: &str) -> Result<String, String> {
    if text.parse::<chrono::NaiveDate>().is_ok() {
        return Ok(text.to_owned());
    }
    let seconds = super::time(text)?.as_secs();
    Ok(match seconds {
        s if s % 86_400 == 0 => format!("now-{}days", s / 86_400),
        s if s % 3600 == 0 => format!("now-{}hours", s / 3600),
        s => format!("now-{}minutes", s.div_ceil(60)),
    })
}

#[derive(Serialize)]
struct Summary {
    schema: &'static str,
    source: String,
    store: String,
    /// Records by what they were.
    read: std::collections::BTreeMap<String, u64>,
    refused: u64,
    refused_list: Option<PathBuf>,
    processes: Option<Processes>,
    joined: Option<JoinedOut>,
    linked: Option<LinkedOut>,
    seconds: f64,
}

#[derive(Serialize)]
struct Processes {
    new: u64,
    completed: u64,
    known: u64,
    modules: u64,
    doubts: std::collections::BTreeMap<String, u64>,
}

#[derive(Serialize)]
struct JoinedOut {
    processes: u64,
    in_jobs: u64,
    accounted: u64,
    with_domain: u64,
}

impl From<Joined> for JoinedOut {
    fn from(joined: Joined) -> Self {
        let Joined { processes, in_jobs, accounted, with_domain } = joined;
        JoinedOut { processes, in_jobs, accounted, with_domain }
    }
}

#[derive(Serialize)]
struct LinkedOut {
    without_job: u64,
    found: u64,
}

impl From<Linked> for LinkedOut {
    fn from(linked: Linked) -> Self {
        LinkedOut { without_job: linked.without_job, found: linked.found }
    }
}

fn share(part: u64, whole: u64) -> String {
    if whole == 0 {
        "none".to_owned()
    } else {
        format!("{part} of {whole} ({:.1} %)", 100.0 * part as f64 / whole as f64)
    }
}

impl Summary {
    fn print(&self, common: &ImportCommon, first: &[String]) -> Result<u8, CliError> {
        if common.json {
            result(format_args!("{}\n", serde_json::to_string(self).unwrap_or_default()))?;
        } else {
            for line in first {
                note(format_args!("refused: {}", printable(line)));
            }
            if !common.quiet {
                result(self.text())?;
            }
        }
        Ok(u8::from(self.refused > 0))
    }

    fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: String| text.push_str(&format!("{name:<12}{value}\n"));
        let read: Vec<String> = self.read.iter().map(|(what, n)| format!("{n} {what}")).collect();
        line("read", if read.is_empty() { "nothing".to_owned() } else { read.join(", ") });
        let list = self.refused_list.as_ref().map_or_else(String::new, |list| {
            format!(", listed in {}", printable(&list.display().to_string()))
        });
        line("refused", format!("{}{list}", self.refused));
        if let Some(processes) = &self.processes {
            line(
                "processes",
                format!(
                    "{} new, {} completed, {} known before",
                    processes.new, processes.completed, processes.known
                ),
            );
            line("modules", counted(processes.modules, "row"));
            if !processes.doubts.is_empty() {
                let doubts: Vec<String> =
                    processes.doubts.iter().map(|(name, n)| format!("{n} {name}")).collect();
                line("doubts", doubts.join(", "));
            }
        }
        if let Some(joined) = &self.joined {
            line("in jobs", share(joined.in_jobs, joined.processes) + " of the processes");
            line("accounted", share(joined.accounted, joined.in_jobs) + " of those in jobs");
            line("domain", share(joined.with_domain, joined.in_jobs) + " of those in jobs");
        }
        if let Some(linked) = self.linked.as_ref().filter(|linked| linked.found > 0) {
            line(
                "found",
                format!("the job of {} processes that name none, by user, node and time", linked.found),
            );
        }
        line("store", printable(&self.store));
        let rows = self.processes.as_ref().map_or_else(
            || self.read.get("jobs").map(|n| (*n, "jobs")),
            |_| self.read.get("packages").map(|n| (*n, "packages")),
        );
        let rate = rows.map_or_else(String::new, |(n, what)| {
            format!(", {:.0} {what}/s", n as f64 / self.seconds.max(0.001))
        });
        line("took", format!("{:.1} s{rate}", self.seconds));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_sacct_takes_them() {
        for (text, expected) in [
            ("2026-11-01", "2026-11-01"),
            ("30d", "now-30days"),
            ("12h", "now-12hours"),
            ("90s", "now-2minutes"),
        ] {
            assert_eq!(since(text).unwrap(), expected);
        }
        assert!(since("yesterday").is_err());
    }
}
