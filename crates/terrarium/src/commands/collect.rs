//! `terrarium collect`: records to segments, segments to the store.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;
use terrarium_collect::{CollectError, Collector, Lock, Report, Site, SpoolPass, User};
use terrarium_jail::host::Host;
use terrarium_sys::process::{host_name, user};

use crate::cli::collect::CollectArgs;
use crate::error::CliError;
use crate::summary::printable;
use crate::{engine, history, out, people, spool};

/// Where a site has its rules.
const RULES: &str = "/etc/terrarium/site.toml";

/// Where root keeps segments.
const OF_SITE: &str = "/var/lib/terrarium/segments";

/// What could not be done is told with so many examples.
const EXAMPLES: usize = 5;

/// Something was refused, or could not be read.
const NOT_ALL: u8 = 1;

/// Returns the exit code.
pub(crate) fn run(args: &CollectArgs) -> Result<u8, CliError> {
    let segments = match &args.segments {
        Some(directory) => absolute(directory),
        None => segments_by_default().ok_or(CliError::NoSegments)?,
    };
    if let Some(address) = &args.listen {
        let mut words =
            vec!["listen".into(), "--segments".into(), segments.into(), "--address".into(), address.clone()];
        words.extend(token(args));
        return engine::become_it(&words);
    }
    let spools = spools(args)?;
    let rules = args.rules.clone().or_else(|| Some(RULES.into()).filter(|path: &PathBuf| path.exists()));
    let site = Site::load(rules.as_deref()).map_err(CollectError::from)?;
    if args.dry_run {
        return dry_run(&spools, &site);
    }
    let mut collector = collector(site, &segments);
    loop {
        let began = Instant::now();
        let code = once(args, &mut collector, &spools, &segments)?;
        if !args.daemon {
            return Ok(code);
        }
        std::thread::sleep(args.every.saturating_sub(began.elapsed()).max(Duration::from_secs(1)));
    }
}

/// The site's rules on this node.
pub(crate) fn site() -> Result<Site, CliError> {
    let rules = Some(Path::new(RULES)).filter(|path| path.exists());
    Ok(Site::load(rules).map_err(CollectError::from)?)
}

/// For whoever runs `terrarium collect-reader`: what environments hold, for a collector that does not want to look itself.
pub(crate) fn read_environments() -> Result<u8, CliError> {
    match terrarium_collect::serve(std::io::stdin().lock(), std::io::stdout().lock()) {
        Ok(()) => Ok(0),
        Err(_) => Ok(NOT_ALL),
    }
}

/// Takes what this user's own runs have left into segments of his own; where those are. `None`: he wants no history, or there
/// is no home for it.
pub(crate) fn own() -> Result<Option<PathBuf>, CliError> {
    let Some(segments) = segments_of_user() else { return Ok(None) };
    let spools = spool::own_of(user());
    if spools.is_empty() && !segments.exists() {
        return Ok(None);
    }
    let rules = Some(Path::new(RULES)).filter(|path| path.exists());
    let mut collector = collector(Site::load_for_oneself(rules).map_err(CollectError::from)?, &segments);
    for spool in spools {
        take(&mut collector, &spool, &segments)?;
    }
    Ok(Some(segments))
}

fn collector(site: Site, segments: &Path) -> Collector {
    let program = std::env::current_exe().unwrap_or_else(|_| "/proc/self/exe".into());
    Collector::new(site, program, &["collect-reader"], segments, host_name())
}

fn take(collector: &mut Collector, spool: &Path, segments: &Path) -> Result<Report, CliError> {
    let host = Host::default();
    let (lock, recovered) = Lock::take(segments)?;
    let pass = SpoolPass {
        spool,
        segments,
        is_over: &|job| host.is_supervised(job).map(|lives| !lives),
        user: &|uid| {
            people::of(&host, uid).map(|user| User {
                name: user.name,
                group: user.group,
                home: Some(user.home),
            })
        },
    };
    let report = collector.collect(&lock, &pass)?;
    Ok(Report { recovered, ..report })
}

/// What one look did.
#[derive(Serialize)]
struct Look<'a> {
    schema: &'static str,
    spools: Vec<Of<'a>>,
    /// Exit status of what committed or sent the segments; `null` if nothing was to.
    handed_on: Option<u8>,
}

#[derive(Serialize)]
struct Of<'a> {
    spool: &'a Path,
    #[serde(flatten)]
    report: &'a Report,
    segments: Vec<&'a Path>,
}

fn once(
    args: &CollectArgs,
    collector: &mut Collector,
    spools: &[PathBuf],
    segments: &Path,
) -> Result<u8, CliError> {
    let mut reports = Vec::new();
    let mut code = 0;
    for spool in spools {
        match take(collector, spool, segments) {
            Ok(report) => reports.push((spool, report)),
            // A service goes on: the spool may be made later, another collector may end.
            Err(error) if args.daemon => {
                error.print();
                code = NOT_ALL;
            }
            Err(error) => return Err(error),
        }
    }
    if reports.iter().any(|(_, report)| !report.refused.is_empty()) {
        code = NOT_ALL;
    }
    let handed_on = hand_on(args, segments)?;
    if args.json {
        let of = |(spool, report): &'_ (&PathBuf, Report)| -> (PathBuf, Report) {
            ((*spool).clone(), report.clone())
        };
        let owned: Vec<(PathBuf, Report)> = reports.iter().map(of).collect();
        let spools = owned.iter().map(|(spool, report)| Of {
            spool,
            report,
            segments: report.sealed.iter().map(|sealed| sealed.path.as_path()).collect(),
        });
        let look = Look { schema: "terrarium.collect/1", spools: spools.collect(), handed_on };
        out::result(serde_json::to_string(&look).unwrap_or_default())?;
    } else {
        for (spool, report) in &reports {
            tell(spool, report, args.daemon)?;
        }
    }
    Ok(handed_on.filter(|code| *code != 0).unwrap_or(code))
}

/// To the store, or to a collector that listens.
fn hand_on(args: &CollectArgs, segments: &Path) -> Result<Option<u8>, CliError> {
    let (segments, quiet) = (segments.as_os_str(), OsStr::new("--quiet"));
    let mut words = match (&args.store, &args.send) {
        (Some(store), _) => {
            vec![OsStr::new("commit"), OsStr::new("--segments"), segments, OsStr::new("--store"), store]
        }
        (None, Some(url)) => {
            vec![OsStr::new("send"), OsStr::new("--segments"), segments, OsStr::new("--to"), url]
        }
        (None, None) => return Ok(None),
    };
    let token = token(args);
    if args.send.is_some() {
        words.extend(token.iter().map(|word| word.as_os_str()));
    }
    if args.json {
        words.push(quiet);
    }
    engine::run(&words).map(Some)
}

fn token(args: &CollectArgs) -> Vec<std::ffi::OsString> {
    args.token_file.iter().flat_map(|file| ["--token-file".into(), file.clone().into()]).collect()
}

fn tell(spool: &Path, report: &Report, is_service: bool) -> Result<(), CliError> {
    let spool = printable(&spool.display().to_string());
    if is_service && report.records + report.runs + report.recovered == 0 && report.refused.is_empty() {
        return Ok(());
    }
    let rows: u64 = report.sealed.iter().map(|sealed| sealed.rows).sum();
    let bytes: u64 = report.sealed.iter().map(|sealed| sealed.bytes).sum();
    out::result(format_args!(
        "{spool}: {} of processes ({} Python) taken, {rows} modules, {}; {} still running",
        counted(report.records, "record"),
        report.python,
        terrarium_core::Bytes(bytes),
        report.running
    ))?;
    for sealed in &report.sealed {
        out::result(format_args!("  {}", printable(&sealed.path.display().to_string())))?;
    }
    if report.recovered > 0 {
        out::note(format_args!(
            "note: finished {} that an earlier collector had begun",
            counted(report.recovered, "segment")
        ));
    }
    for (path, why) in report.refused.iter().take(EXAMPLES) {
        out::note(format_args!("note: {}: {}", printable(&path.display().to_string()), printable(why)));
    }
    if report.refused.len() > EXAMPLES {
        out::note(format_args!("note: and {} more that could not be read", report.refused.len() - EXAMPLES));
    }
    Ok(())
}

fn counted(n: u64, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

fn dry_run(spools: &[PathBuf], site: &Site) -> Result<u8, CliError> {
    let host = Host::default();
    let home = |uid| {
        people::of(&host, uid).map(|user| User { name: user.name, group: user.group, home: Some(user.home) })
    };
    for line in terrarium_collect::dry_run(spools, site, &home)? {
        out::result(printable(&line))?;
    }
    Ok(0)
}

/// Where records are.
fn spools(args: &CollectArgs) -> Result<Vec<PathBuf>, CliError> {
    let there = |path: &Path| {
        fs::canonicalize(path).map_err(|source| CliError::Spool { directory: path.to_owned(), source })
    };
    if !args.spool.is_empty() {
        return args.spool.iter().map(|path| there(path)).collect();
    }
    if args.segments.is_some() && (args.store.is_some() || args.send.is_some()) {
        return Ok(Vec::new());
    }
    if let Some(named) = std::env::var_os(spool::VARIABLE).filter(|value| !value.is_empty()) {
        return Ok(vec![there(Path::new(&named))?]);
    }
    let site = Some(PathBuf::from(spool::OF_SITE)).filter(|path| path.is_dir());
    let own = spool::own_of(user());
    let found: Vec<PathBuf> = site.into_iter().chain(own).collect();
    if found.is_empty() { Err(CliError::NoSpool) } else { Ok(found) }
}

fn segments_by_default() -> Option<PathBuf> {
    if user() == 0 { Some(OF_SITE.into()) } else { segments_of_user() }
}

/// Beside the history: who wants none wants no store.
fn segments_of_user() -> Option<PathBuf> {
    Some(history::data()?.join("segments"))
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
