//! Writing: processes become segments, day by day; so many rows of them are a unit, which is committed before the next is made.
//!
//! Where a unit ends depends on what was read and on nothing else, so that an import that was interrupted makes the same units again:
//! the store gets the same batches as from one that was not.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use terrarium_segment::{CERTAIN, Direct, End, Head, Load, Process, Writer, rounded};
use terrarium_site::Site;
use terrarium_usage::known::{Before, Known, Loaded};

use crate::join::Joiner;
use crate::meaning::{Made, Meaning, Source, record};

/// A unit has so many rows, or those of a day more.
pub const UNIT: u64 = 3_000_000;

/// A segment has so many.
const SEGMENT: u64 = 1_000_000;

/// What became of processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// New ones.
    pub new: u64,
    /// Those of which more is known now.
    pub completed: u64,
    /// Those that say nothing new.
    pub known: u64,
    /// Rows of modules, of new and completed ones.
    pub modules: u64,
    /// Of these processes, those that name a job.
    pub in_jobs: u64,
    /// With doubts, by their names.
    pub doubts: Doubts,
}

/// How many processes have a doubt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Doubts([u64; 6]);

const DOUBTS: [&str; 6] = ["no-end", "no-packages", "no-run", "children-merged", "no-time", "no-user"];

impl Doubts {
    fn add(&mut self, name: &str) {
        if let Some(place) = DOUBTS.iter().position(|known| *known == name) {
            self.0[place] += 1;
        }
    }

    /// Each with its number.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        DOUBTS.into_iter().zip(self.0)
    }
}

/// Processes of a day that are to be written, and what is to be asked of the store about them.
pub struct Day {
    /// Days since 1970.
    pub date: i32,
    /// Their records.
    pub records: HashSet<u64>,
    joiner: Joiner,
    /// Places in the joiner, in the order in which they are written.
    order: Vec<u32>,
}

/// What the store says of them.
#[derive(Default)]
pub struct Answers {
    /// Processes that are there.
    pub known: HashMap<u64, Known>,
    /// All of those that are there and say something else: what they are and loaded.
    pub before: HashMap<i64, (Before, Vec<Loaded>)>,
}

/// Writes days into units.
pub(crate) struct Units {
    directory: PathBuf,
    site: Site,
    source: Source,
    cluster: Option<String>,
    next: u64,
    rows: u64,
    most: u64,
    open: BTreeMap<String, Open>,
    sealed: u64,
    pub(crate) written: Written,
}

struct Open {
    writer: Writer<BufWriter<File>>,
    path: PathBuf,
    environments: HashMap<String, u32>,
    /// Numbers that the writer gave, by those of the meaning of this day.
    modules: Vec<u32>,
}

impl Day {
    /// All of a joiner that is of this day.
    pub(crate) fn new(date: i32, joiner: Joiner) -> Self {
        let mut order: Vec<u32> = (0..joiner.entries.len() as u32).collect();
        order.sort_by_key(|place| {
            let entry = &joiner.entries[*place as usize];
            (entry.started_us(), record(entry.identity()), entry.key)
        });
        let records = joiner.entries.iter().map(|entry| record(entry.identity())).collect();
        Day { date, records, joiner, order }
    }
}

impl Units {
    pub(crate) fn new(
        directory: &Path,
        site: Site,
        source: Source,
        cluster: Option<String>,
        most: u64,
    ) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        Ok(Units {
            directory: directory.to_owned(),
            site,
            source,
            cluster,
            next: 0,
            rows: 0,
            most,
            open: BTreeMap::new(),
            sealed: 0,
            written: Written::default(),
        })
    }

    fn unfinished(&self) -> PathBuf {
        self.directory.join("unfinished")
    }

    /// Which processes the store has to tell all about.
    pub(crate) fn differing(&self, day: &Day, answers: &Answers) -> HashMap<String, HashSet<i64>> {
        let mut meaning = Meaning::new(&self.site, &self.source, self.cluster.as_deref(), &day.joiner);
        let mut all: HashMap<String, HashSet<i64>> = HashMap::new();
        if answers.known.is_empty() {
            return all;
        }
        for entry in &day.joiner.entries {
            let Some(known) = answers.known.get(&record(entry.identity())) else { continue };
            let (distinct, _) = entry.distinct();
            if meaning.content(entry, &distinct) != known.content {
                all.entry(known.cluster.clone()).or_default().insert(known.process_id);
            }
        }
        all
    }

    /// Writes a day; the unit that is full with it.
    pub(crate) fn write(&mut self, day: &Day, answers: &Answers) -> io::Result<Option<PathBuf>> {
        let site = self.site.clone();
        let (source, cluster) = (self.source.clone(), self.cluster.clone());
        let mut meaning = Meaning::new(&site, &source, cluster.as_deref(), &day.joiner);
        // Numbers of modules are those of the day.
        self.open.values_mut().for_each(|open| open.modules.clear());
        let mut seen: HashSet<u64> = HashSet::new();
        let mut i = 0;
        while i < day.order.len() {
            let entry = &day.joiner.entries[day.order[i] as usize];
            i += 1;
            // The same run by two ways, such as a dump and its files.
            let mut twins = Vec::new();
            while let Some(place) = day.order.get(i)
                && day.joiner.entries[*place as usize].identity() == entry.identity()
            {
                twins.push(&day.joiner.entries[*place as usize]);
                i += 1;
            }
            self.rows += entry.modules.len() as u64;
            let id = record(entry.identity());
            if !seen.insert(id) {
                continue;
            }
            let mut cluster = meaning.cluster(entry);
            let known = answers.known.get(&id);
            if let Some(known) = known
                && twins.is_empty()
                && meaning.content(entry, &entry.distinct().0) == known.content
            {
                self.written.known += 1;
                continue;
            }
            let mut made = meaning.make(entry);
            for twin in twins {
                let other = meaning.make(twin);
                merge(&mut made, other);
            }
            if let Some(known) = known {
                let Some((before, loads)) = answers.before.get(&known.process_id) else {
                    self.written.known += 1;
                    continue;
                };
                if !complete(&mut made, before, loads, &mut meaning, &source) {
                    self.written.known += 1;
                    continue;
                }
                // Of packages without their run the store knows better.
                if entry.run.is_none() {
                    cluster = known.cluster.clone();
                }
                self.written.completed += 1;
            } else {
                self.written.new += 1;
            }
            self.put(&cluster, made, &meaning)?;
        }
        if self.rows >= self.most { self.seal() } else { Ok(None) }
    }

    fn put(&mut self, cluster: &str, made: Made, meaning: &Meaning<'_>) -> io::Result<()> {
        if !self.open.contains_key(cluster) {
            let open = self.begin(cluster)?;
            self.open.insert(cluster.to_owned(), open);
        }
        let Some(open) = self.open.get_mut(cluster) else { return Ok(()) };
        let Made { mut process, doubts, objects, environment, modules, job, .. } = made;
        let writer = &mut open.writer;
        process.environment = environment.map(|environment| match open.environments.get(&environment.id) {
            Some(number) => *number,
            None => {
                let number = writer.environment(&environment);
                open.environments.insert(environment.id, number);
                number
            }
        });
        process.doubts = doubts.iter().map(|doubt| writer.name(doubt)).collect();
        process.objects = objects.iter().map(|name| writer.name(name)).collect();
        let kept: HashMap<u32, Load> = process.loads.iter().map(|load| (load.module, *load)).collect();
        process.loads = modules
            .iter()
            .map(|module| {
                let place = *module as usize;
                if open.modules.len() <= place {
                    open.modules.resize(place + 1, u32::MAX);
                }
                if open.modules[place] == u32::MAX {
                    open.modules[place] = writer.module(meaning.module(*module));
                }
                let unknown = Load { module: 0, importer: 0, direct: Direct::Unknown, took: 0 };
                Load { module: open.modules[place], ..kept.get(module).copied().unwrap_or(unknown) }
            })
            .collect();
        let written = &mut self.written;
        written.modules += process.loads.len() as u64;
        written.in_jobs += u64::from(process.job.is_some());
        doubts.iter().for_each(|doubt| written.doubts.add(doubt));
        writer.process(&process)?;
        if let Some(job) = job {
            writer.job(&job)?;
        }
        if writer.rows() >= SEGMENT
            && let Some(open) = self.open.remove(cluster)
        {
            seal(open)?;
        }
        Ok(())
    }

    fn begin(&mut self, cluster: &str) -> io::Result<Open> {
        fs::create_dir_all(self.unfinished())?;
        let path = self.unfinished().join(format!("{:06}.segment", self.sealed));
        self.sealed += 1;
        let writer = Writer::new(BufWriter::new(File::create(&path)?), &self.head(cluster))?;
        Ok(Open { writer, path, environments: HashMap::new(), modules: Vec::new() })
    }

    fn head(&self, cluster: &str) -> Head {
        Head {
            cluster: cluster.to_owned(),
            host: String::new(),
            // The same again is the same segment.
            made_ms: 0,
            terrarium: env!("CARGO_PKG_VERSION").to_owned(),
            pseudonyms: self.site.has_pseudonyms(),
            source: self.source.name.clone(),
        }
    }

    /// Ends the unit; none if there is nothing in it.
    pub(crate) fn seal(&mut self) -> io::Result<Option<PathBuf>> {
        self.rows = 0;
        let number = self.next;
        self.next += 1;
        for (_, open) in std::mem::take(&mut self.open) {
            seal(open)?;
        }
        self.sealed = 0;
        if !self.unfinished().is_dir() {
            return Ok(None);
        }
        let unit = self.directory.join(format!("{number:08}"));
        fs::rename(self.unfinished(), &unit)?;
        Ok(Some(unit))
    }
}

fn seal(open: Open) -> io::Result<()> {
    let (file, _) = open.writer.finish()?;
    let file = file.into_inner().map_err(|error| error.into_error())?;
    file.sync_all()?;
    debug_assert!(open.path.exists());
    Ok(())
}

/// Two that were read of one process.
fn merge(made: &mut Made, mut other: Made) {
    if made.process.end == End::Unknown && other.process.end != End::Unknown {
        std::mem::swap(made, &mut other);
    }
    made.modules.extend(other.modules);
    made.modules.sort_unstable();
    made.modules.dedup();
    made.job = made.job.take().or(other.job);
    made.environment = made.environment.take().or(other.environment);
    if made.process.python.is_none() {
        made.process.python = other.process.python;
    }
    if !made.modules.is_empty() {
        made.doubts.retain(|doubt| *doubt != "no-packages");
    }
    made.doubts.retain(|doubt| *doubt != "no-run" || other.doubts.contains(doubt));
}

/// Adds what the store knows already; whether anything is new.
fn complete(
    made: &mut Made,
    before: &Before,
    loads: &[Loaded],
    meaning: &mut Meaning<'_>,
    source: &Source,
) -> bool {
    let mut there = HashSet::new();
    let mut kept = Vec::new();
    for loaded in loads {
        let number = meaning.number(loaded.module.clone());
        there.insert(number);
        // Who imported it is known by terrarium's own records only, and those come once.
        let took = loaded.took_us.map_or(0, |took| rounded(u64::from(took)).saturating_add(1));
        kept.push(Load { module: number, importer: 0, direct: loaded.direct, took });
    }
    let has_new_modules = made.modules.iter().any(|module| !there.contains(module));
    let is_less = made.doubts.contains(&"no-run")
        || (made.process.end == End::Unknown && before.process.end != End::Unknown);
    let is_same = is_same(made, before);
    if !has_new_modules && (is_less || is_same) {
        return false;
    }
    let python = exact(before.process.python.as_deref(), made.process.python.as_deref());
    if is_less && !before.doubts.iter().any(|doubt| doubt == "no-run") {
        // What was known of the process stays.
        let content = made.process.content;
        made.process = Process { content, ..before.process.clone() };
        made.objects = before.objects.clone();
        made.environment = before.environment.clone().or(made.environment.take());
        made.doubts.retain(|doubt| *doubt == "children-merged");
        made.doubts.extend(DOUBTS.iter().filter(|known| before.doubts.iter().any(|doubt| doubt == *known)));
    }
    made.process.python = python;
    made.modules.extend(there);
    made.modules.sort_unstable();
    made.modules.dedup();
    made.process.loads = kept;
    made.doubts.sort_unstable();
    made.doubts.dedup();
    if !made.modules.is_empty() {
        made.doubts.retain(|doubt| *doubt != "no-packages");
        if made.process.python.is_none() {
            made.process.python = Some(String::new());
        }
    }
    debug_assert!(made.process.probability <= CERTAIN && !source.name.is_empty());
    true
}

/// Of `3.11` and `3.11.7` the second.
fn exact(a: Option<&str>, b: Option<&str>) -> Option<String> {
    match (a, b) {
        (Some(a), Some(b)) if b.len() > a.len() => Some(b.to_owned()),
        (a, b) => a.or(b).map(str::to_owned),
    }
}

/// Whether the store says the same of a process, apart from what it loaded.
fn is_same(made: &Made, before: &Before) -> bool {
    let (a, b) = (&made.process, &before.process);
    let facts = |p: &Process| {
        (
            p.started_us,
            p.lasted_us,
            p.end,
            p.user.clone(),
            p.host.clone(),
            p.python.clone(),
            p.probability,
            p.program.clone(),
        )
    };
    let job = |p: &Process| p.job.as_ref().map(|job| (job.system.clone(), job.id.clone()));
    let has_more_objects = before.objects.is_empty() && !made.objects.is_empty();
    facts(a) == facts(b) && job(a) == job(b) && a.ranks == b.ranks && !has_more_objects
}
