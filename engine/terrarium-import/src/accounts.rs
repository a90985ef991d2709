//! Accounting: what batch systems wrote of their jobs becomes segments of jobs, with users as the site wants them.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, BufRead, BufWriter};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use terrarium_accounting::{self as accounting, Found, Zone};
use terrarium_segment::{BatchJob, Domain, Head, Writer};
use terrarium_site::Site;

use crate::gather::{Counts, Place, Refused};
use crate::meaning::cut;
use crate::walk::{Document, Walk, documents};
use crate::{ImportError, Options, Progress, Told, make_private, units_of};

/// A segment has so many jobs.
const JOBS: u64 = 200_000;

/// A job runs on so many nodes at most, as far as names are kept.
const MOST_HOSTS: usize = 20_000;

/// Whose accounting it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batch {
    /// Slurm's sacct.
    Slurm,
    /// PBS's and Torque's logs.
    Pbs,
    /// LSF's lsb.acct.
    Lsf,
    /// The Standard Workload Format of archives.
    Swf,
    /// ALCF's public job data.
    Djc,
}

impl Batch {
    /// As tables call the source.
    pub fn name(self) -> &'static str {
        match self {
            Batch::Slurm => "slurm",
            Batch::Pbs => "pbs",
            Batch::Lsf => "lsf",
            Batch::Swf => "swf",
            Batch::Djc => "djc",
        }
    }
}

/// Reads accounting.
pub struct Accounts {
    site: Site,
    cluster: Option<String>,
    work: PathBuf,
    zone: Zone,
    source: String,
    open: BTreeMap<String, Open>,
    sealed: u64,
    counts: Counts,
    refused: Refused,
    /// Users that were seen, as tables name them.
    users: HashMap<String, String>,
    failure: Option<io::Error>,
}

struct Open {
    writer: Writer<BufWriter<File>>,
    rows: u64,
}

impl Accounts {
    /// Into the work directory of these options.
    pub fn open(source: &str, zone: Zone, options: Options) -> Result<Self, ImportError> {
        let failed = |source| ImportError::Work { path: options.work.clone(), source };
        make_private(&options.work).map_err(failed)?;
        let units = units_of(&options.work);
        let unfinished = units.join("unfinished");
        if unfinished.is_dir() {
            fs::remove_dir_all(&unfinished).map_err(failed)?;
        }
        fs::create_dir_all(&units).map_err(failed)?;
        let refused = Refused::open(&options.work.join("refused.jsonl"), 0, 0).map_err(failed)?;
        Ok(Accounts {
            site: options.site,
            cluster: options.cluster,
            work: options.work,
            zone,
            source: source.to_owned(),
            open: BTreeMap::new(),
            sealed: 0,
            counts: Counts::default(),
            refused,
            users: HashMap::new(),
            failure: None,
        })
    }

    fn failed(&self, source: io::Error) -> ImportError {
        ImportError::Work { path: self.work.clone(), source }
    }

    /// Reads files of a batch system.
    pub fn files(&mut self, batch: Batch, paths: &[PathBuf], told: Told<'_>) -> Result<(), ImportError> {
        self.each(paths, told, &mut |accounts, name, reader| accounts.read(batch, name, reader))
    }

    /// Reads what a program prints.
    pub fn stream(&mut self, batch: Batch, name: &str, reader: &mut dyn BufRead) -> Result<(), ImportError> {
        let read = self.read(batch, name, reader);
        if let Some(error) = self.failure.take() {
            return Err(self.failed(error));
        }
        if let Err(error) = read {
            self.refused.add(Place { file: name, offset: 0 }, &error.to_string());
        }
        Ok(())
    }

    /// Reads projects and their fields of science.
    pub fn domains(&mut self, paths: &[PathBuf], told: Told<'_>) -> Result<(), ImportError> {
        let mut all: Vec<Domain> = Vec::new();
        self.each(paths, told, &mut |accounts, name, reader| {
            accounting::domains(&mut &mut *reader, |row| {
                match row {
                    Ok(domain) => {
                        let clash = all
                            .iter()
                            .find(|known| known.project == domain.project && overlap(known, &domain));
                        match clash {
                            Some(known) if *known == domain => {}
                            Some(known) => {
                                let why = format!(
                                    "the days of {} in {} and in {} overlap",
                                    cut(&domain.project),
                                    cut(&known.domain),
                                    cut(&domain.domain)
                                );
                                accounts.refused.add(Place { file: name, offset: 0 }, &why);
                            }
                            None => {
                                accounts.counts.was("domains");
                                all.push(domain);
                            }
                        }
                    }
                    Err((line, why)) => {
                        let why = format!("line {line}: {why}");
                        accounts.refused.add(Place { file: name, offset: 0 }, &why);
                    }
                }
                Ok(())
            })
        })?;
        let cluster = self.site.cluster.clone();
        for domain in &all {
            let put = self.writer(&cluster).and_then(|open| open.writer.domain(domain));
            put.map_err(|error| self.failed(error))?;
        }
        Ok(())
    }

    fn each(
        &mut self,
        paths: &[PathBuf],
        told: Told<'_>,
        read: &mut dyn FnMut(&mut Self, &str, &mut dyn BufRead) -> io::Result<()>,
    ) -> Result<(), ImportError> {
        let found: Vec<_> = Walk::new(paths).collect();
        let of_bytes: u64 = found.iter().flatten().map(|found| found.size).sum();
        if !found.iter().any(Result::is_ok) {
            return Err(ImportError::Nothing);
        }
        let count = Arc::new(AtomicU64::new(0));
        for found in found {
            let found = match found {
                Ok(found) => found,
                Err((path, error)) => {
                    let file = path.display().to_string();
                    self.refused.add(Place { file: &file, offset: 0 }, &error.to_string());
                    continue;
                }
            };
            let done = documents(&found.path, &count, &mut |name, document| match document {
                Document::Whole(mut bytes) => read(self, name, &mut bytes),
                Document::Stream(reader) => read(self, name, reader),
            });
            if let Some(error) = self.failure.take() {
                return Err(self.failed(error));
            }
            if let Err(error) = done {
                let file = found.path.display().to_string();
                let offset = count.load(Ordering::Relaxed);
                self.refused.add(Place { file: &file, offset }, &error.to_string());
            }
            told(Progress {
                bytes: count.load(Ordering::Relaxed),
                of_bytes,
                records: self.counts.of("jobs"),
            });
        }
        Ok(())
    }

    fn read(&mut self, batch: Batch, name: &str, reader: &mut dyn BufRead) -> io::Result<()> {
        let options = accounting::Options {
            zone: self.zone,
            cluster_of_server: self.cluster.is_none() && self.site.cluster == "local",
            start_us: None,
        };
        let mut sink = |found: Found| self.take(name, found);
        // What is read twice as a stream is passed on as one.
        let is_json = batch == Batch::Slurm
            && reader
                .fill_buf()?
                .iter()
                .find(|byte| !byte.is_ascii_whitespace())
                .is_some_and(|b| matches!(b, b'{' | b'['));
        match batch {
            Batch::Slurm if is_json => accounting::sacct_json(&mut &mut *reader, &options, &mut sink),
            Batch::Slurm => accounting::sacct_text(reader, &options, &mut sink),
            Batch::Pbs => accounting::pbs_log(reader, &options, &mut sink),
            Batch::Lsf => accounting::lsb_acct(reader, &options, &mut sink),
            Batch::Swf => accounting::swf(reader, &options, &mut sink),
            Batch::Djc => accounting::djc(&mut &mut *reader, &options, &mut sink),
        }
    }

    fn take(&mut self, name: &str, found: Found) -> io::Result<()> {
        match found {
            Found::Job { cluster, job } => {
                self.counts.was("jobs");
                let put = self.job(cluster, *job);
                put.inspect_err(|error| self.failure = Some(io::Error::new(error.kind(), error.to_string())))
            }
            Found::Passed(what) => {
                self.counts.was(what);
                Ok(())
            }
            Found::Broken { offset, why } => {
                self.refused.add(Place { file: name, offset }, &why);
                Ok(())
            }
        }
    }

    fn job(&mut self, cluster: Option<String>, mut job: BatchJob) -> io::Result<()> {
        let named = self.cluster.clone().or(cluster).unwrap_or_else(|| self.site.cluster.clone());
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let cluster: String = named.chars().take(64).map(|c| if is_plain(c) { c } else { '_' }).collect();
        if let Some(user) = &mut job.user {
            if !self.users.contains_key(user.as_str()) {
                self.users.insert(user.clone(), cut(&self.site.name(user)));
            }
            if let Some(name) = self.users.get(user.as_str()) {
                *user = name.clone();
            }
        }
        job.hosts.truncate(MOST_HOSTS);
        let open = self.writer(&cluster)?;
        open.writer.job(&job)?;
        open.rows += 1;
        if open.rows >= JOBS {
            self.seal(&cluster)?;
        }
        Ok(())
    }

    fn unfinished(&self) -> PathBuf {
        units_of(&self.work).join("unfinished")
    }

    fn writer(&mut self, cluster: &str) -> io::Result<&mut Open> {
        if !self.open.contains_key(cluster) {
            fs::create_dir_all(self.unfinished())?;
            let path = self.unfinished().join(format!("{:06}.segment", self.sealed));
            self.sealed += 1;
            let head = Head {
                cluster: cluster.to_owned(),
                host: String::new(),
                made_ms: 0,
                terrarium: env!("CARGO_PKG_VERSION").to_owned(),
                pseudonyms: self.site.has_pseudonyms(),
                source: self.source.clone(),
            };
            let writer = Writer::new(BufWriter::new(File::create(path)?), &head)?;
            self.open.insert(cluster.to_owned(), Open { writer, rows: 0 });
        }
        self.open.get_mut(cluster).ok_or_else(|| io::Error::other("no segment is open"))
    }

    fn seal(&mut self, cluster: &str) -> io::Result<()> {
        let Some(open) = self.open.remove(cluster) else { return Ok(()) };
        let (file, _) = open.writer.finish()?;
        file.into_inner().map_err(|error| error.into_error())?.sync_all()
    }

    /// All that was read is a unit; none if nothing was.
    pub fn finish(&mut self) -> Result<Option<PathBuf>, ImportError> {
        let clusters: Vec<String> = self.open.keys().cloned().collect();
        for cluster in clusters {
            self.seal(&cluster).map_err(|error| self.failed(error))?;
        }
        if !self.unfinished().is_dir() {
            return Ok(None);
        }
        let unit = units_of(&self.work).join("00000000");
        fs::rename(self.unfinished(), &unit).map_err(|error| self.failed(error))?;
        Ok(Some(unit))
    }

    /// What was read.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// How much was refused, the first of it, and where all of it is listed.
    pub fn refused(&self) -> (u64, &[String], PathBuf) {
        (self.refused.count(), self.refused.first(), self.work.join("refused.jsonl"))
    }
}

fn overlap(a: &Domain, b: &Domain) -> bool {
    let from = |d: &Domain| d.since.unwrap_or(i32::MIN);
    let until = |d: &Domain| d.until.unwrap_or(i32::MAX);
    from(a) <= until(b) && from(b) <= until(a)
}

/// What sacct is asked for: as much as the installed one knows of.
pub fn sacct_fields(help: &str) -> Vec<&'static str> {
    const WANTED: [&str; 26] = [
        "JobID",
        "JobIDRaw",
        "User",
        "Account",
        "Partition",
        "QOS",
        "Cluster",
        "State",
        "ExitCode",
        "Submit",
        "Start",
        "End",
        "ElapsedRaw",
        "TimelimitRaw",
        "NNodes",
        "NCPUS",
        "AllocTRES",
        "ReqMem",
        "MaxRSS",
        "TotalCPU",
        "NodeList",
        "Restarts",
        "SLUID",
        "DerivedExitCode",
        "AllocCPUS",
        "Timelimit",
    ];
    let known: Vec<&str> = help.split_whitespace().collect();
    WANTED.into_iter().filter(|field| known.iter().any(|name| name.eq_ignore_ascii_case(field))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sacct_is_asked_for_what_it_knows() {
        let fields = sacct_fields("JobID JobIDRaw user\nState Nonsense");
        assert_eq!(fields, ["JobID", "JobIDRaw", "User", "State"]);
    }

    #[test]
    fn days_overlap_or_do_not() {
        let of = |since, until| Domain { project: "p".into(), domain: "d".into(), since, until };
        assert!(overlap(&of(None, None), &of(Some(5), Some(6))));
        assert!(overlap(&of(None, Some(5)), &of(Some(5), None)));
        assert!(!overlap(&of(None, Some(4)), &of(Some(5), None)));
    }
}
