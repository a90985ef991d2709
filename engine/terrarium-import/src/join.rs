//! Pieces of processes that come in any order, put together: a start, an end, and a record for each package, far from each other.
//!
//! All is kept in memory as long as it fits; what does not goes to files by the hash of its key, and each of these fits again.

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use crate::intern::Interner;

/// What a source says of a process, apart from what it loaded.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Run {
    /// Its identity, where that is not the key by which its pieces are found.
    pub(crate) identity: Option<u128>,
    pub(crate) cluster: String,
    /// Name of the user as it stands there; empty: not known.
    pub(crate) user: String,
    /// Node; empty: not known.
    pub(crate) host: String,
    /// µs since 1970; 0: not known.
    pub(crate) started_us: i64,
    pub(crate) ended_us: Option<i64>,
    /// In millionths.
    pub(crate) probability: u32,
    /// Version of its Python, as far as it is known.
    pub(crate) python: Option<String>,
    /// Path of the program, and how it was called.
    pub(crate) program: String,
    pub(crate) called: String,
    /// Where its environment is, if the source says.
    pub(crate) prefix: String,
    /// As [`terrarium_segment::Process::main`].
    pub(crate) main: String,
    pub(crate) script: String,
    pub(crate) job: Option<Job>,
    pub(crate) project: Option<String>,
    pub(crate) queue: Option<String>,
    pub(crate) qos: Option<String>,
    pub(crate) nodes: Option<u32>,
    pub(crate) tasks: Option<u64>,
    pub(crate) parent: Option<u32>,
    /// File names of mapped libraries: numbers of names.
    pub(crate) objects: Vec<u32>,
}

/// The batch job that it names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) system: String,
    pub(crate) id: String,
    pub(crate) array: Option<String>,
    pub(crate) task: Option<String>,
    pub(crate) step: Option<String>,
}

impl Run {
    /// Adds what another piece says: an end is worth more than a start.
    fn add(&mut self, mut other: Run) {
        if other.ended_us.is_some() && self.ended_us.is_none() {
            std::mem::swap(self, &mut other);
        }
        let fill = |mine: &mut String, other: String| {
            if mine.is_empty() {
                *mine = other;
            }
        };
        fill(&mut self.cluster, other.cluster);
        fill(&mut self.user, other.user);
        fill(&mut self.host, other.host);
        fill(&mut self.program, other.program);
        fill(&mut self.called, other.called);
        fill(&mut self.prefix, other.prefix);
        fill(&mut self.main, other.main);
        fill(&mut self.script, other.script);
        // Of rows that each have a time, the process is as long as they reach.
        if self.started_us == 0 || (other.started_us != 0 && other.started_us < self.started_us) {
            self.started_us = other.started_us;
        }
        self.ended_us = self.ended_us.max(other.ended_us);
        self.identity = self.identity.or(other.identity);
        self.python = self.python.take().or(other.python);
        self.job = self.job.take().or(other.job);
        self.project = self.project.take().or(other.project);
        self.queue = self.queue.take().or(other.queue);
        self.qos = self.qos.take().or(other.qos);
        self.nodes = self.nodes.or(other.nodes);
        self.tasks = self.tasks.or(other.tasks);
        self.parent = self.parent.or(other.parent);
        // Libraries that were mapped at the start are mapped at the end.
        if self.objects.is_empty() {
            self.objects = other.objects;
        }
    }
}

/// A process as far as its pieces have come.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) key: u128,
    pub(crate) run: Option<Box<Run>>,
    /// Version of Python that its packages tell: number of a name, 0 is none.
    pub(crate) python: u32,
    /// Numbers of modules, each as often as it came.
    pub(crate) modules: Vec<u32>,
}

/// Module: name, path, version.
pub(crate) type Modules = Interner<3>;

/// What came so far.
pub(crate) struct Joiner {
    pub(crate) modules: Modules,
    pub(crate) names: Interner<1>,
    pub(crate) entries: Vec<Entry>,
    index: HashMap<u128, u32, foldhash::fast::RandomState>,
    last: Option<(u128, u32)>,
    /// Bytes of what is not in the tables of texts, about.
    loose: usize,
}

impl Default for Joiner {
    fn default() -> Self {
        let mut names = Interner::default();
        names.of([""]);
        Joiner {
            modules: Interner::default(),
            names,
            entries: Vec::new(),
            index: HashMap::default(),
            last: None,
            loose: 0,
        }
    }
}

impl Joiner {
    fn entry(&mut self, key: u128) -> &mut Entry {
        let place = match self.last {
            // Pieces of a process often follow each other.
            Some((last, place)) if last == key => place,
            _ => {
                let next = self.entries.len() as u32;
                let place = *self.index.entry(key).or_insert(next);
                if place == next {
                    self.entries.push(Entry { key, ..Entry::default() });
                    self.loose += size_of::<Entry>() + 32;
                }
                self.last = Some((key, place));
                place
            }
        };
        &mut self.entries[place as usize]
    }

    /// That a process loaded a module.
    pub(crate) fn module(&mut self, key: u128, name: &str, path: &str, version: &str) {
        let module = self.modules.of([name, path, version]);
        self.loose += 6;
        self.entry(key).modules.push(module);
    }

    /// The version of Python, as a package's record tells.
    pub(crate) fn python(&mut self, key: u128, version: &str) {
        if self.last.is_some_and(|(last, place)| last == key && self.entries[place as usize].python != 0) {
            return;
        }
        let number = self.names.of([version]);
        self.entry(key).python = number;
    }

    /// The number of a name.
    pub(crate) fn name(&mut self, name: &str) -> u32 {
        self.names.of([name])
    }

    /// What a process is.
    pub(crate) fn run(&mut self, key: u128, run: Run) {
        self.loose += size_of::<Run>() + run.objects.len() * 4 + run.program.len() + run.called.len() + 128;
        let entry = self.entry(key);
        match &mut entry.run {
            Some(known) => known.add(run),
            None => entry.run = Some(Box::new(run)),
        }
    }

    /// Bytes in use, about.
    pub(crate) fn size(&self) -> usize {
        self.modules.size() + self.names.size() + self.index.capacity() * 24 + self.loose
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Some of the entries, with the texts that they need.
    pub(crate) fn part<'a>(&self, entries: impl Iterator<Item = &'a Entry>) -> Joiner {
        let mut part = Joiner::default();
        part.take(self.chunk(entries));
        part
    }

    /// Adds all that a chunk holds.
    pub(crate) fn take(&mut self, chunk: Chunk) {
        let modules: Vec<u32> = chunk
            .modules
            .iter()
            .map(|(name, path, version)| self.modules.of([name, path, version]))
            .collect();
        let names: Vec<u32> = chunk.names.iter().map(|name| self.names.of([name])).collect();
        // A chunk was written by this program; one that was damaged on the way is not worth a panic.
        let of = |numbers: &[u32], number: u32| numbers.get(number as usize).copied().unwrap_or(0);
        for entry in chunk.entries {
            if let Some(mut run) = entry.run {
                run.objects.iter_mut().for_each(|object| *object = of(&names, *object));
                self.run(entry.key, *run);
            }
            self.loose += entry.modules.len() * 6;
            let python = of(&names, entry.python);
            let known = self.entry(entry.key);
            if known.python == 0 {
                known.python = python;
            }
            known.modules.extend(entry.modules.iter().filter_map(|number| modules.get(*number as usize)));
        }
    }

    /// Some of the entries, with the texts that they need.
    pub(crate) fn chunk<'a>(&self, entries: impl Iterator<Item = &'a Entry>) -> Chunk {
        let mut chunk = Chunk::default();
        let mut modules: HashMap<u32, u32, foldhash::fast::RandomState> = HashMap::default();
        let mut names: HashMap<u32, u32, foldhash::fast::RandomState> = HashMap::default();
        chunk.names.push(String::new());
        names.insert(0, 0);
        for entry in entries {
            let mut entry = entry.clone();
            let mut name = |number: u32| {
                *names.entry(number).or_insert_with(|| {
                    chunk.names.push(self.names.texts(number)[0].to_owned());
                    chunk.names.len() as u32 - 1
                })
            };
            entry.python = name(entry.python);
            if let Some(run) = &mut entry.run {
                run.objects.iter_mut().for_each(|object| *object = name(*object));
            }
            for module in &mut entry.modules {
                *module = *modules.entry(*module).or_insert_with(|| {
                    let [name, path, version] = self.modules.texts(*module).map(str::to_owned);
                    chunk.modules.push((name, path, version));
                    chunk.modules.len() as u32 - 1
                });
            }
            chunk.entries.push(entry);
        }
        chunk
    }
}

/// Entries that went to a file.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Chunk {
    pub(crate) modules: Vec<(String, String, String)>,
    pub(crate) names: Vec<String>,
    pub(crate) entries: Vec<Entry>,
}

impl Entry {
    /// The distinct modules, and whether some came more often than others: children that were spawned repeat them.
    pub(crate) fn distinct(&self) -> (Vec<u32>, bool) {
        let mut all = self.modules.clone();
        all.sort_unstable();
        let mut counts: BTreeSet<usize> = BTreeSet::new();
        for same in all.chunk_by(|a, b| a == b) {
            counts.insert(same.len());
        }
        all.dedup();
        (all, counts.len() > 1)
    }

    /// Its identity.
    pub(crate) fn identity(&self) -> u128 {
        self.run.as_ref().and_then(|run| run.identity).unwrap_or(self.key)
    }

    /// When it began, as far as is known: µs.
    pub(crate) fn started_us(&self) -> i64 {
        let said = self.run.as_ref().map_or(0, |run| run.started_us);
        if said != 0 { said } else { made_at(self.identity()).unwrap_or(0) }
    }
}

/// When a UUID of version 7 was made: µs since 1970.
pub(crate) fn made_at(uuid: u128) -> Option<i64> {
    let is_v7 = (uuid >> 76) & 0xF == 7 && (uuid >> 62) & 0b11 == 0b10;
    is_v7.then(|| (uuid >> 80) as i64 * 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_in_any_order_are_one_process() {
        let start = || Run { user: "ada".into(), started_us: 5, ..Run::default() };
        let end = || Run { started_us: 5, ended_us: Some(9), host: "n1".into(), ..Run::default() };
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]] {
            let mut joiner = Joiner::default();
            for piece in order {
                match piece {
                    0 => joiner.run(7, start()),
                    1 => joiner.module(7, "numpy", "/a/numpy", ""),
                    2 => joiner.run(7, end()),
                    _ => joiner.module(7, "scipy", "/a/scipy", ""),
                }
            }
            assert_eq!(joiner.entries.len(), 1);
            let entry = &joiner.entries[0];
            let run = entry.run.as_ref().unwrap();
            assert_eq!((run.user.as_str(), run.host.as_str(), run.ended_us), ("ada", "n1", Some(9)));
            assert_eq!(entry.distinct(), (vec![0, 1], false));
        }
    }

    #[test]
    fn through_a_file_it_is_the_same() {
        let mut joiner = Joiner::default();
        for key in 0..50 {
            joiner.module(key, &format!("m{}", key % 7), "/p", "");
            joiner.module(key, "m0", "/p", "");
            joiner.python(key, "3.11.7");
            let objects = vec![joiner.name("libm.so")];
            joiner.run(key, Run { objects, started_us: key as i64, ..Run::default() });
        }
        let (one, two): (Vec<&Entry>, Vec<&Entry>) = joiner.entries.iter().partition(|e| e.key % 2 == 0);
        let chunks = [joiner.chunk(one.into_iter()), joiner.chunk(two.into_iter())];
        let mut again = Joiner::default();
        for chunk in chunks {
            let bytes = postcard::to_extend(&chunk, Vec::new()).unwrap();
            again.take(postcard::from_bytes(&bytes).unwrap());
        }
        assert_eq!(again.entries.len(), 50);
        for entry in &again.entries {
            assert_eq!(again.names.texts(entry.python), ["3.11.7"]);
            let run = entry.run.as_ref().unwrap();
            assert_eq!(again.names.texts(run.objects[0]), ["libm.so"]);
            let (modules, _) = entry.distinct();
            let mut names: Vec<&str> = modules.iter().map(|m| again.modules.texts(*m)[0]).collect();
            names.sort_unstable();
            let mut wanted = vec!["m0".to_owned(), format!("m{}", entry.key % 7)];
            wanted.dedup();
            assert_eq!(names, wanted);
        }
    }

    #[test]
    fn repeats_of_some_are_children_repeats_of_all_are_copies() {
        let entry = |modules: &[u32]| Entry { modules: modules.to_vec(), ..Entry::default() };
        assert_eq!(entry(&[1, 2, 1, 1]).distinct(), (vec![1, 2], true));
        assert_eq!(entry(&[1, 2, 2, 1]).distinct(), (vec![1, 2], false));
    }

    #[test]
    fn a_uuid_may_tell_the_time() {
        let v7 = 0x01a2_00be_e27b_77ac_9099_7ab6_8f09_25c6_u128;
        assert_eq!(made_at(v7), Some(0x01a2_00be_e27b * 1000));
        assert_eq!(made_at(0xc10d_803b_92ea_4c8c_8e3b_b14b_6c15_0012), None);
    }
}
