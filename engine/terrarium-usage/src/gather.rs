//! From the segments of a batch to rows: processes get their numbers, modules are put in order.
//!
//! Rows of `imports` are in the order of modules, and below each in that of processes. Processes are numbered so that those which
//! loaded the same modules follow each other: below each module their numbers are then mostly one more than the last, which takes
//! no room, and every other column hardly changes. Nothing is sorted by comparing rows: there are few modules and many rows.

use std::collections::{BTreeMap, HashMap};

use terrarium_segment::{BatchJob, Direct, Domain, Environment, Module, Process, Segment, Usage};

/// A partition: number of the cluster, and day since 1970.
pub(crate) type Key = (u32, i32);

/// Processes of a batch are at most so many, by their numbers.
const ORDINAL_BITS: u32 = 24;

/// All that a batch says, with numbers in the place of texts.
pub(crate) struct Gathered<'a> {
    pub(crate) batch: u64,
    pub(crate) clusters: Vec<&'a str>,
    /// In the order of rows.
    pub(crate) modules: Vec<&'a Module>,
    pub(crate) names: Vec<&'a str>,
    pub(crate) environments: Vec<(u32, &'a Environment)>,
    pub(crate) usages: Vec<(u32, &'a Usage)>,
    /// Each with its cluster and who says so.
    pub(crate) jobs: Vec<(u32, &'a str, &'a BatchJob)>,
    pub(crate) domains: Vec<&'a Domain>,
    /// By partition; each in the order of numbers.
    pub(crate) partitions: BTreeMap<Key, Vec<Numbered<'a>>>,
}

/// A process with its number.
pub(crate) struct Numbered<'a> {
    pub(crate) id: i64,
    pub(crate) process: &'a Process,
    pub(crate) environment: Option<&'a Environment>,
    pub(crate) segment: usize,
    /// Who recorded it.
    pub(crate) source: &'a str,
}

/// What numbers of a segment are in the whole.
pub(crate) struct Translation {
    pub(crate) modules: Vec<u32>,
    pub(crate) names: Vec<u32>,
}

/// Days since 1970 of a moment in microseconds.
pub(crate) fn day(micros: i64) -> i32 {
    // What claims to be of another age is of its first or last day: a year has few partitions.
    micros.div_euclid(86_400_000_000).clamp(0, 100_000) as i32
}

struct Numbers<'a> {
    known: HashMap<&'a str, u32>,
    all: Vec<&'a str>,
}

impl<'a> Numbers<'a> {
    fn new() -> Self {
        Numbers { known: HashMap::new(), all: Vec::new() }
    }

    fn of(&mut self, text: &'a str) -> u32 {
        *self.known.entry(text).or_insert_with(|| {
            self.all.push(text);
            self.all.len() as u32 - 1
        })
    }
}

/// Puts the segments of a batch together.
pub(crate) fn gather(batch: u64, segments: &[Segment]) -> (Gathered<'_>, Vec<Translation>) {
    let (mut clusters, mut names) = (Numbers::new(), Numbers::new());
    let mut modules: Vec<&Module> = segments.iter().flat_map(|segment| &segment.modules).collect();
    let order =
        |a: &&Module, b: &&Module| (a.package(), &a.name).cmp(&(b.package(), &b.name)).then_with(|| a.cmp(b));
    modules.sort_unstable_by(order);
    modules.dedup();
    let places: HashMap<&Module, u32> = modules.iter().enumerate().map(|(i, m)| (*m, i as u32)).collect();
    let translations: Vec<Translation> = segments
        .iter()
        .map(|segment| Translation {
            modules: segment.modules.iter().map(|module| places[module]).collect(),
            names: segment.names.iter().map(|name| names.of(name)).collect(),
        })
        .collect();
    let mut gathered = Gathered {
        batch,
        clusters: Vec::new(),
        modules,
        names: Vec::new(),
        environments: Vec::new(),
        usages: Vec::new(),
        jobs: Vec::new(),
        domains: Vec::new(),
        partitions: BTreeMap::new(),
    };
    let mut unnumbered: BTreeMap<Key, Vec<(u64, Numbered<'_>)>> = BTreeMap::new();
    for (number, segment) in segments.iter().enumerate() {
        let cluster = clusters.of(&segment.head.cluster);
        gathered.environments.extend(segment.environments.iter().map(|e| (cluster, e)));
        gathered.usages.extend(segment.usages.iter().map(|usage| (cluster, usage)));
        let source = segment.head.source.as_str();
        gathered.jobs.extend(segment.jobs.iter().map(|job| (cluster, source, job)));
        gathered.domains.extend(&segment.domains);
        for process in &segment.processes {
            let environment = process.environment.and_then(|i| segment.environments.get(i as usize));
            let print = fingerprint(process, &translations[number]);
            let key = (cluster, day(process.started_us));
            let numbered = Numbered { id: 0, process, environment, segment: number, source };
            unnumbered.entry(key).or_default().push((print, numbered));
        }
    }
    let mut ordinal = 0;
    for (key, mut processes) in unnumbered {
        processes.sort_by_key(|(print, p)| (*print, p.process.started_us, p.process.record, p.segment));
        let numbered = processes.into_iter().map(|(_, mut numbered)| {
            numbered.id = ((batch as i64) << ORDINAL_BITS) | ordinal;
            ordinal += 1;
            numbered
        });
        gathered.partitions.insert(key, numbered.collect());
    }
    (gathered.clusters, gathered.names) = (clusters.all, names.all);
    (gathered, translations)
}

/// The same for processes that loaded the same modules, in any order; and always the same number, on any machine.
fn fingerprint(process: &Process, translation: &Translation) -> u64 {
    let mix = |n: u64| {
        let n = (n ^ (n >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let n = (n ^ (n >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        n ^ (n >> 31)
    };
    let modules = process.loads.iter().map(|load| u64::from(translation.modules[load.module as usize]));
    // Large sets first: what is alike is then near.
    let sum = modules.fold(0u64, |sum, module| sum.wrapping_add(mix(module + 1)));
    let size = process.loads.len().min(0xFFFF) as u64;
    ((0xFFFF - size) << 48) | (sum >> 16)
}

/// Rows of `imports` of one partition, in their order.
#[derive(Default)]
pub(crate) struct Rows {
    /// By module: where its rows end.
    pub(crate) ends: Vec<usize>,
    pub(crate) process: Vec<i64>,
    pub(crate) importer: Vec<u32>,
    pub(crate) direct: Vec<Direct>,
    pub(crate) took: Vec<u32>,
}

/// The rows of a partition.
pub(crate) fn rows(
    gathered: &Gathered<'_>,
    translations: &[Translation],
    processes: &[Numbered<'_>],
) -> Rows {
    let mut ends = vec![0; gathered.modules.len()];
    for numbered in processes {
        let modules = &translations[numbered.segment].modules;
        numbered.process.loads.iter().for_each(|load| ends[modules[load.module as usize] as usize] += 1);
    }
    let mut total = 0;
    for end in &mut ends {
        total += *end;
        *end = total - *end;
    }
    let mut rows = Rows {
        ends: Vec::new(),
        process: vec![0; total],
        importer: vec![0; total],
        direct: vec![Direct::Unknown; total],
        took: vec![0; total],
    };
    // `ends` says where the next row of a module goes; when all are there, where they end.
    for numbered in processes {
        let translation = &translations[numbered.segment];
        for load in &numbered.process.loads {
            let place = &mut ends[translation.modules[load.module as usize] as usize];
            rows.process[*place] = numbered.id;
            rows.importer[*place] = translation.names[load.importer as usize];
            rows.direct[*place] = load.direct;
            rows.took[*place] = load.took;
            *place += 1;
        }
    }
    rows.ends = ends;
    rows
}
