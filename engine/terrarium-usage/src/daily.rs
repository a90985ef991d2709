//! Sums of a day: which packages were loaded, by whom and how often.

use std::collections::{BTreeMap, HashMap};

use roaring::RoaringBitmap;
use terrarium_segment::Direct;

use crate::gather::{Gathered, Numbered, Translation};

/// What is added up apart. Numbers of texts in [`Sums::texts`]; the first is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) package: u32,
    pub(crate) distribution: u32,
    pub(crate) version: u32,
    pub(crate) origin: u32,
    pub(crate) class: u32,
    pub(crate) direct: Direct,
}

/// What is added up.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Sum {
    pub(crate) processes: i64,
    pub(crate) modules: i64,
    pub(crate) import_us: i64,
    pub(crate) users: RoaringBitmap,
}

/// All sums of a partition.
pub(crate) struct Sums {
    pub(crate) texts: Vec<Option<String>>,
    pub(crate) rows: BTreeMap<Key, Sum>,
}

/// Numbers for texts, of which the first is none.
#[derive(Default)]
pub(crate) struct Texts {
    known: HashMap<String, u32>,
    pub(crate) all: Vec<Option<String>>,
}

impl Texts {
    pub(crate) fn new() -> Self {
        Texts { known: HashMap::new(), all: vec![None] }
    }

    pub(crate) fn of(&mut self, text: Option<&str>) -> u32 {
        let Some(text) = text else { return 0 };
        if let Some(number) = self.known.get(text) {
            return *number;
        }
        let number = self.all.len() as u32;
        self.known.insert(text.to_owned(), number);
        self.all.push(Some(text.to_owned()));
        number
    }
}

/// A module that was not met yet.
const UNKNOWN: u32 = u32::MAX;

/// What a process has of one package so far.
#[derive(Clone, Copy, Default)]
struct Seen {
    /// Of which process; 0 is none.
    process: usize,
    direct: Option<Direct>,
    modules: i64,
    longest: u32,
}

/// Of two modules of a package: one that was asked for is enough, and one of which is known that it was not says nothing of others.
fn either(so_far: Option<Direct>, other: Direct) -> Direct {
    match (so_far, other) {
        (Some(Direct::Yes), _) | (_, Direct::Yes) => Direct::Yes,
        (Some(Direct::No), _) | (_, Direct::No) => Direct::No,
        _ => Direct::Unknown,
    }
}

/// Adds up the processes of a partition. `user` says the number of a user.
pub(crate) fn sums(
    gathered: &Gathered<'_>,
    translations: &[Translation],
    processes: &[Numbered<'_>],
    user: &dyn Fn(&str) -> u32,
) -> Sums {
    let mut texts = Texts::new();
    // Modules of a package in one place are one. Of a batch of many days only those of this one are looked at.
    let mut packages: Vec<[u32; 4]> = Vec::new();
    let mut numbers: HashMap<[u32; 4], u32> = HashMap::new();
    let mut of_module: Vec<u32> = vec![UNKNOWN; gathered.modules.len()];
    for numbered in processes.iter().filter(|numbered| numbered.process.python.is_some()) {
        let modules = &translations[numbered.segment].modules;
        for load in &numbered.process.loads {
            let number = modules[load.module as usize] as usize;
            if of_module[number] != UNKNOWN {
                continue;
            }
            let module = gathered.modules[number];
            let key = [
                texts.of(Some(module.package())),
                texts.of(module.distribution.as_deref()),
                texts.of(module.version.as_deref()),
                texts.of(Some(&module.origin)),
            ];
            of_module[number] = *numbers.entry(key).or_insert_with(|| {
                packages.push(key);
                packages.len() as u32 - 1
            });
        }
    }
    let mut seen = vec![Seen::default(); packages.len()];
    let mut touched: Vec<u32> = Vec::new();
    let mut rows: HashMap<Key, Sum> = HashMap::new();
    for (i, numbered) in processes.iter().enumerate() {
        let process = numbered.process;
        if process.python.is_none() {
            continue;
        }
        let class = texts.of(numbered.environment.map(|environment| environment.class.as_str()));
        let user = user(&process.user);
        let modules = &translations[numbered.segment].modules;
        touched.clear();
        for load in &process.loads {
            let package = of_module[modules[load.module as usize] as usize];
            let seen = &mut seen[package as usize];
            if seen.process != i + 1 {
                *seen = Seen { process: i + 1, ..Seen::default() };
                touched.push(package);
            }
            seen.direct = Some(either(seen.direct, load.direct));
            seen.modules += 1;
            seen.longest = seen.longest.max(load.took.saturating_sub(1));
        }
        for package in &touched {
            let seen = seen[*package as usize];
            let [package, distribution, version, origin] = packages[*package as usize];
            let key = Key {
                package,
                distribution,
                version,
                origin,
                class,
                direct: seen.direct.unwrap_or(Direct::No),
            };
            let sum = rows.entry(key).or_default();
            sum.processes += 1;
            sum.modules += seen.modules;
            sum.import_us += i64::from(seen.longest);
            sum.users.insert(user);
        }
        // All of them, whatever they loaded.
        let all = Key { package: 0, distribution: 0, version: 0, origin: 0, class, direct: Direct::Unknown };
        let sum = rows.entry(all).or_default();
        sum.processes += 1;
        sum.modules += process.loads.len() as i64;
        sum.users.insert(user);
    }
    Sums { texts: texts.all, rows: rows.into_iter().collect() }
}

impl Sum {
    /// Adds another of the same key.
    pub(crate) fn add(&mut self, other: &Sum) {
        self.processes += other.processes;
        self.modules += other.modules;
        self.import_us += other.import_us;
        self.users |= &other.users;
    }

    /// The bitmap as it is stored.
    pub(crate) fn bitmap(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.users.serialized_size());
        // To memory: there is no error.
        let _ = self.users.serialize_into(&mut bytes);
        bytes
    }
}
