//! From what a source says to rows of a segment: the site's rules, pseudonyms and classes, as for our own records.

use std::collections::{BTreeSet, HashMap};

use sha2::Digest;
use terrarium_segment::{self as segment, End, Environment, Extent, Module};
use terrarium_site::{Class, Origin, Site, User};

use crate::intern::Interner;
use crate::join::{Entry, Joiner, Modules, Run};
use crate::module::{self, Place};

/// Texts that are kept have at most so many bytes.
const LONGEST: usize = 1024;

/// What a source is, and is not, able to say.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// Its name in the tables.
    pub(crate) name: String,
    /// It sees packages only of what ends by itself.
    pub(crate) loses_packages: bool,
    /// A start is a record of its own.
    pub(crate) has_starts: bool,
}

/// A process with all that is known of it.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    /// Numbers of modules and names are not in it yet.
    pub(crate) process: segment::Process,
    pub(crate) doubts: Vec<&'static str>,
    pub(crate) objects: Vec<String>,
    pub(crate) environment: Option<Environment>,
    /// Numbers of modules of [`Meaning::modules`].
    pub(crate) modules: Vec<u32>,
    pub(crate) job: Option<segment::BatchJob>,
}

/// Gives meaning to the entries of a joiner.
pub(crate) struct Meaning<'a> {
    site: &'a Site,
    source: &'a Source,
    /// In place of what records say.
    cluster: Option<&'a str>,
    joiner: &'a Joiner,
    users: HashMap<String, Person>,
    /// Rows of modules, each once.
    modules: Vec<Module>,
    numbers: HashMap<Module, u32>,
    /// Of each module, once it was looked at.
    shapes: Vec<Option<Shape>>,
    directories: Interner<1>,
    /// By person and directory: number of the location.
    located: HashMap<(u32, u32), u32, foldhash::fast::RandomState>,
    locations: Vec<Place>,
    /// By module and location: number of the row.
    known: HashMap<(u32, u32), u32, foldhash::fast::RandomState>,
    prints: Vec<u64>,
    /// Of each module: number of the prefix that it was loaded from, 1 is none and 0 not looked at.
    prefix_of: Vec<u32>,
    prefixes: Vec<String>,
    environments: HashMap<(u32, String, String, bool), Environment>,
}

/// What of a module does not depend on who loads it.
#[derive(Clone, Copy)]
struct Shape {
    /// Number of the directory that it was found in.
    directory: Option<u32>,
}

#[derive(Clone)]
struct Person {
    number: u32,
    user: User,
    name: String,
}

impl<'a> Meaning<'a> {
    pub(crate) fn new(
        site: &'a Site,
        source: &'a Source,
        cluster: Option<&'a str>,
        joiner: &'a Joiner,
    ) -> Self {
        Meaning {
            site,
            source,
            cluster,
            joiner,
            users: HashMap::new(),
            modules: Vec::new(),
            numbers: HashMap::new(),
            shapes: vec![None; joiner.modules.len()],
            directories: Interner::default(),
            located: HashMap::default(),
            locations: Vec::new(),
            known: HashMap::default(),
            prints: vec![0; joiner.modules.len()],
            prefix_of: vec![0; joiner.modules.len()],
            prefixes: Vec::new(),
            environments: HashMap::new(),
        }
    }

    /// The row of a module.
    pub(crate) fn module(&self, number: u32) -> &Module {
        &self.modules[number as usize]
    }

    /// The number of a row that comes from elsewhere.
    pub(crate) fn number(&mut self, module: Module) -> u32 {
        let next = self.modules.len() as u32;
        let number = *self.numbers.entry(module.clone()).or_insert(next);
        if number == next {
            self.modules.push(module);
        }
        number
    }

    /// Cluster and fingerprint of an entry, before anything else is made of it.
    pub(crate) fn content(&mut self, entry: &Entry, distinct: &[u32]) -> u64 {
        let mut sum = 0u64;
        for module in distinct {
            let print = &mut self.prints[*module as usize];
            if *print == 0 {
                *print = print_of(&self.joiner.modules, *module);
            }
            sum = sum.wrapping_add(*print);
        }
        let mut digest = sha2::Sha256::new();
        digest.update(sum.to_le_bytes());
        if let Some(run) = &entry.run {
            let texts = [&run.cluster, &run.user, &run.host, &run.program, &run.main];
            texts.iter().for_each(|text| digest.update(format!("{}:{text}", text.len())));
            let job = run.job.as_ref().map_or("", |job| job.id.as_str());
            let numbers =
                (run.started_us, run.ended_us, run.probability, run.nodes, run.tasks, run.objects.len());
            digest.update(format!("{job}|{:?}|{:?}|{numbers:?}", run.project, run.queue));
        }
        number_of(&digest.finalize()).max(1)
    }

    /// Which cluster an entry is of.
    pub(crate) fn cluster(&self, entry: &Entry) -> String {
        let said = entry.run.as_ref().map_or("", |run| run.cluster.as_str());
        match self.cluster {
            Some(cluster) => cluster.to_owned(),
            // It becomes the name of a directory.
            None if !said.is_empty() => {
                let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
                said.chars().take(64).map(|c| if is_plain(c) { c } else { '_' }).collect()
            }
            None => self.site.cluster.clone(),
        }
    }

    /// All of an entry.
    pub(crate) fn make(&mut self, entry: &Entry) -> Made {
        let empty = Run { probability: segment::CERTAIN, ..Run::default() };
        let run = entry.run.as_deref().unwrap_or(&empty);
        let (distinct, is_uneven) = entry.distinct();
        let person = self.person(self.user_of(run, &distinct));
        let content = self.content(entry, &distinct);
        let mut modules: Vec<u32> = distinct.iter().map(|module| self.row(&person, *module)).collect();
        // What differs in the file only, or is own code without a name, is one.
        modules.sort_unstable();
        modules.dedup();
        let (python, is_python) = self.python(run, entry);
        let is_python = is_python || !modules.is_empty();
        let started_us = entry.started_us();
        let mut doubts = Vec::new();
        let mut doubt = |is: bool, name: &'static str| is.then(|| doubts.push(name));
        doubt(entry.run.is_none(), "no-run");
        doubt(self.source.has_starts && entry.run.is_some() && run.ended_us.is_none(), "no-end");
        doubt(self.source.loses_packages && is_python && modules.is_empty(), "no-packages");
        doubt(is_uneven, "children-merged");
        doubt(started_us == 0, "no-time");
        doubt(run.user.is_empty(), "no-user");
        let environment = is_python.then(|| self.environment(&person, run, &python, &distinct)).flatten();
        let job = run.job.as_ref().map(|job| segment::Job {
            system: cut(&job.system),
            id: cut(&job.id),
            array: job.array.as_deref().map(cut),
            array_task: job.task.as_deref().map(cut),
            step: job.step.as_deref().map(cut),
        });
        let main = if is_python { run.main.clone() } else { String::new() };
        let script = run.script.rsplit('/').next().unwrap_or_default();
        let ranks = run.tasks.filter(|tasks| *tasks > 1);
        let process = segment::Process {
            record: record(entry.identity()),
            forked_from: None,
            pid: 0,
            parent: run.parent,
            user: person.name.clone(),
            host: cut(&run.host),
            started_us,
            lasted_us: run
                .ended_us
                .map_or(0, |ended| ended.saturating_sub(started_us).max(0).cast_unsigned()),
            end: if run.ended_us.is_some() { End::Finished } else { End::Unknown },
            status: None,
            extent: Extent::Full,
            python: is_python.then(|| cut(&python)),
            environment: None,
            main,
            script: (self.site.scripts && !script.is_empty() && is_python).then(|| cut(script)),
            program: cut(&self.path(&person, &run.program)),
            job: job.clone(),
            run: None,
            rank: ranks.map(|_| 0),
            ranks,
            peak_bytes: None,
            import_events: 0,
            not_loaded: 0,
            dropped: 0,
            is_cut: false,
            exception: None,
            objects: Vec::new(),
            probability: run.probability.max(1),
            doubts: Vec::new(),
            content,
            loads: Vec::new(),
        };
        let objects = run.objects.iter().map(|name| cut(self.joiner.names.texts(*name)[0])).collect();
        let job = job.map(|job| segment::BatchJob {
            system: job.system,
            id: job.id,
            array: job.array,
            array_task: job.array_task,
            user: Some(person.name.clone()),
            project: run.project.as_deref().map(cut),
            queue: run.queue.as_deref().map(cut),
            qos: run.qos.as_deref().map(cut),
            nodes: run.nodes,
            ..segment::BatchJob::default()
        });
        Made { process, doubts, objects, environment, modules, job }
    }

    /// The user; of packages without a run the owner of the home that they lie in.
    fn user_of(&self, run: &Run, modules: &[u32]) -> String {
        if !run.user.is_empty() {
            return run.user.clone();
        }
        let mut owners =
            modules.iter().filter_map(|module| self.site.owner(self.joiner.modules.texts(*module)[1]));
        owners.next().unwrap_or("unknown").to_owned()
    }

    fn person(&mut self, name: String) -> Person {
        let next = self.users.len() as u32;
        let site = self.site;
        self.users
            .entry(name)
            .or_insert_with_key(|name| Person {
                number: next,
                name: cut(&site.name(name)),
                user: User { name: name.clone(), group: 0, home: None },
            })
            .clone()
    }

    fn path(&self, person: &Person, path: &str) -> String {
        self.site.locate(&person.user, path).path
    }

    fn row(&mut self, person: &Person, module: u32) -> u32 {
        let shape = self.shapes[module as usize].unwrap_or_else(|| self.shape(module));
        // Thousands of people load the same from the same place: what it is, is found out once.
        let location = shape.directory.map_or(0, |directory| self.location(person, directory));
        if let Some(number) = self.known.get(&(module, location)) {
            return *number;
        }
        let [name, path, version] = self.joiner.modules.texts(module);
        let place = (location != 0).then(|| &self.locations[location as usize - 1]);
        let number = self.number(module::row(name, path, version, place, self.site.merge_own));
        self.known.insert((module, location), number);
        number
    }

    fn shape(&mut self, module: u32) -> Shape {
        let [name, path, _] = self.joiner.modules.texts(module);
        let directory = module::directory(name, path).map(|directory| self.directories.of([directory]));
        let shape = Shape { directory };
        self.shapes[module as usize] = Some(shape);
        shape
    }

    /// What a directory is to a person: the number of it, from 1.
    fn location(&mut self, person: &Person, directory: u32) -> u32 {
        if let Some(number) = self.located.get(&(person.number, directory)) {
            return *number;
        }
        let found = self.site.locate(&person.user, self.directories.texts(directory)[0]);
        let place = (found.origin, cut(&found.path));
        let known = self.locations.iter().position(|known| *known == place);
        let number = known.unwrap_or_else(|| {
            self.locations.push(place);
            self.locations.len() - 1
        }) as u32
            + 1;
        self.located.insert((person.number, directory), number);
        number
    }

    /// Version of Python, and whether it is one.
    fn python(&self, run: &Run, entry: &Entry) -> (String, bool) {
        let told = self.joiner.names.texts(entry.python)[0];
        let name = run.program.rsplit('/').next().unwrap_or_default();
        let version = name.strip_prefix("python").or_else(|| name.strip_prefix("pypy"));
        let is_python = version.is_some_and(|v| v.chars().all(|c| c.is_ascii_digit() || c == '.'));
        if !told.is_empty() {
            return (told.to_owned(), true);
        }
        if let Some(python) = &run.python {
            return (python.clone(), true);
        }
        let version = version.filter(|v| is_python && v.contains('.')).unwrap_or_default();
        (version.to_owned(), is_python)
    }

    fn environment(
        &mut self,
        person: &Person,
        run: &Run,
        python: &str,
        modules: &[u32],
    ) -> Option<Environment> {
        let site_directories = self.loaded_from(modules);
        let exec_prefix = above_bin(&run.program);
        // A virtual environment is called by its own path, and its packages lie in it.
        let prefix = Some(run.prefix.as_str())
            .filter(|prefix| !prefix.is_empty())
            .or_else(|| above_bin(&run.called))
            .map(str::to_owned)
            .or_else(|| site_directories.iter().find(|p| Some(p.as_str()) != exec_prefix).cloned())
            .or_else(|| exec_prefix.map(str::to_owned))?;
        let on_base = site_directories
            .iter()
            .any(|other| *other != prefix && self.site.environment(other) == Some(Class::Base))
            || exec_prefix
                .is_some_and(|exec| exec != prefix && self.site.environment(exec) == Some(Class::Base));
        // Only some records tell more than that.
        let python = python.splitn(3, '.').take(2).collect::<Vec<_>>().join(".");
        let key = (person.number, prefix.clone(), python.clone(), on_base);
        if let Some(known) = self.environments.get(&key) {
            return Some(known.clone());
        }
        let class = self.class(person, &prefix, exec_prefix, on_base);
        let location = self.site.locate(&person.user, &prefix);
        let mut digest = sha2::Sha256::new();
        digest.update(self.source.name.as_bytes());
        if !matches!(class, Class::Base | Class::System) {
            digest.update(format!("{}:{}", person.name.len(), person.name));
        }
        digest.update(format!("{}:{}|{python}|{}", location.path.len(), location.path, class.name()));
        let id = digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let environment = Environment {
            id,
            prefix: cut(&location.path),
            class: class.name().to_owned(),
            python: cut(&python),
            seen_ms: run.started_us / 1000,
            packages: Vec::new(),
            // What it holds nobody looked at.
            is_partial: true,
        };
        self.environments.insert(key, environment.clone());
        Some(environment)
    }

    /// Prefixes of environments that modules were loaded from.
    fn loaded_from(&mut self, modules: &[u32]) -> BTreeSet<String> {
        let mut numbers = BTreeSet::new();
        for module in modules {
            let known = self.prefix_of[*module as usize];
            let number = if known == 0 { self.prefix(*module) } else { known };
            numbers.insert(number);
        }
        numbers.into_iter().filter(|n| *n > 1).map(|n| self.prefixes[n as usize - 2].clone()).collect()
    }

    fn prefix(&mut self, module: u32) -> u32 {
        let path = self.joiner.modules.texts(module)[1];
        let at = path.find("/lib/python").or_else(|| path.find("/lib64/python"));
        let is_one =
            |at: &usize| path[*at..].contains("/site-packages/") && !path[..*at].ends_with("/.local");
        let number = at.filter(is_one).map_or(1, |at| {
            let place = self.prefixes.iter().position(|prefix| *prefix == path[..at]).unwrap_or_else(|| {
                self.prefixes.push(path[..at].to_owned());
                self.prefixes.len() - 1
            });
            place as u32 + 2
        });
        self.prefix_of[module as usize] = number;
        number
    }

    fn class(&self, person: &Person, prefix: &str, exec: Option<&str>, on_base: bool) -> Class {
        if let Some(class) = self.site.environment(prefix) {
            return class;
        }
        let origin = self.site.locate(&person.user, prefix).origin;
        let is_venv = exec.is_some_and(|exec| exec != prefix);
        match origin {
            Origin::Base => Class::Base,
            _ if is_venv && on_base => Class::Overlay,
            _ if is_venv => Class::OwnVenv,
            Origin::System | Origin::Site => Class::System,
            _ if ["conda", "mamba", "/envs/"].iter().any(|word| prefix.contains(word)) => Class::OwnConda,
            _ => Class::OwnPython,
        }
    }
}

/// `/opt/conda` of `/opt/conda/bin/python3.11`.
fn above_bin(path: &str) -> Option<&str> {
    let (directory, _) = path.rsplit_once('/')?;
    directory.strip_suffix("/bin").filter(|prefix| prefix.starts_with('/') && prefix.len() > 1)
}

fn print_of(modules: &Modules, module: u32) -> u64 {
    let mut digest = sha2::Sha256::new();
    for text in modules.texts(module) {
        digest.update((text.len() as u64).to_le_bytes());
        digest.update(text);
    }
    number_of(&digest.finalize()).max(1)
}

fn number_of(digest: &[u8]) -> u64 {
    digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// The number of a record, of 128 bits.
pub(crate) fn record(identity: u128) -> u64 {
    let folded = (identity >> 64) as u64 ^ identity as u64;
    if folded == 0 { 1 } else { folded }
}

/// Not longer than is kept, and without control characters.
pub(crate) fn cut(text: &str) -> String {
    let mut end = text.len().min(LONGEST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(rules: &str) -> Site {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("site.toml");
        std::fs::write(&path, rules).unwrap();
        Site::load(Some(&path)).unwrap()
    }

    #[test]
    fn what_is_doubtful_is_said() {
        let site = site("");
        let source = Source { name: "xalt".into(), loses_packages: true, has_starts: true };
        let mut joiner = Joiner::default();
        let python = |ended_us| Run {
            user: "ada".into(),
            program: "/usr/bin/python3.11".into(),
            started_us: 1_000_000,
            ended_us,
            probability: 100,
            ..Run::default()
        };
        joiner.run(1, python(None));
        joiner.run(2, python(Some(3_000_000)));
        joiner.module(2, "numpy", "/usr/lib/python3/dist-packages/numpy/__init__.py", "");
        joiner.module(2, "numpy", "/usr/lib/python3/dist-packages/numpy/__init__.py", "");
        joiner.module(2, "yaml", "/usr/lib/python3/dist-packages/yaml/__init__.py", "");
        joiner.module(3, "yaml", "/home/eve/venv/lib/python3.11/site-packages/yaml/__init__.py", "");
        joiner.run(
            4,
            Run {
                program: "/bin/ls".into(),
                user: "ada".into(),
                ended_us: Some(2),
                started_us: 1,
                ..Run::default()
            },
        );
        let mut meaning = Meaning::new(&site, &source, None, &joiner);
        let made: Vec<Made> = joiner.entries.iter().map(|entry| meaning.make(entry)).collect();
        assert_eq!(made[0].doubts, ["no-end", "no-packages"]);
        assert_eq!((made[0].process.python.as_deref(), made[0].process.end), (Some("3.11"), End::Unknown));
        assert_eq!(made[1].doubts, ["children-merged"]);
        assert_eq!(
            (made[1].modules.len(), made[1].process.lasted_us, made[1].process.probability),
            (2, 2_000_000, 100)
        );
        assert_eq!(made[2].doubts, ["no-run", "no-time", "no-user"]);
        assert_eq!(made[2].process.user, "eve");
        assert_eq!((made[3].process.python.as_deref(), made[3].doubts.len()), (None, 0));
    }
}
