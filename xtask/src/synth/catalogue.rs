//! Libraries, real and made up: what they are called, what modules they have, what they need, and their versions over time.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use terrarium_segment::Kind;

use super::dice::{Dice, civil, mix2, unit};
use crate::Result;

const REAL: &str = include_str!("catalogue.txt");

/// Small packages that nobody has heard of, so that there are about 3,000 in all.
const MADE_UP: usize = 2700;

/// What of the interpreter's own is loaded; those of the first line are in nearly every process.
const STANDARD: &[&str] = &[
    "encodings codecs io abc site os stat genericpath posixpath sys time",
    "re enum functools collections operator keyword heapq itertools reprlib types copyreg json json.decoder json.scanner \
     json.encoder argparse gettext warnings contextlib random bisect hashlib math datetime struct pathlib fnmatch urllib \
     urllib.parse logging string threading weakref traceback linecache tokenize token textwrap shutil zlib bz2 lzma \
     subprocess signal select selectors errno tempfile glob copy csv pickle socket multiprocessing multiprocessing.context \
     multiprocessing.process multiprocessing.reduction multiprocessing.connection multiprocessing.spawn inspect ast dis \
     opcode importlib importlib.metadata typing dataclasses uuid platform configparser queue concurrent \
     concurrent.futures asyncio ssl http http.client email decimal numbers fractions statistics ctypes gzip zipfile \
     sqlite3 unittest getpass pprint secrets base64 hmac xml xml.etree",
];

/// Names of modules that could be in any package.
const USUAL: [&str; 40] = [
    "_base",
    "_utils",
    "core",
    "common",
    "config",
    "types",
    "helpers",
    "_compat",
    "errors",
    "_ext",
    "base",
    "registry",
    "io",
    "_version",
    "constants",
    "_speedups",
    "factory",
    "context",
    "_impl",
    "cache",
    "serialization",
    "validation",
    "parser",
    "writer",
    "_cext",
    "loader",
    "formatting",
    "hooks",
    "backend",
    "dispatch",
    "_typing",
    "metadata",
    "collections",
    "transforms",
    "_kernels",
    "indexing",
    "sampling",
    "runtime",
    "schema",
    "api",
];

/// Kinds of work, for which fields of science have weights.
pub(super) const TASTES: [&str; 18] = [
    "any", "ml", "sim", "data", "bio", "chem", "astro", "climate", "geo", "hep", "med", "nlp", "fin",
    "quantum", "mat", "eng", "web", "sys",
];

/// A module, below a library or the interpreter.
#[derive(Clone, Debug)]
pub(super) struct Name {
    pub(super) text: String,
    pub(super) kind: Kind,
    /// Number of the package that it is in; of a library itself, its own.
    pub(super) parent: u32,
    /// Modules of a group are loaded together; those of group 0 always.
    pub(super) group: u16,
}

#[derive(Debug)]
pub(super) struct Library {
    pub(super) name: String,
    pub(super) distribution: String,
    first: Vec<u32>,
    /// Days between releases; 0: none.
    between: u32,
    /// Part of the workflows with full taste, and its trend.
    popularity: f64,
    trend: f64,
    pub(super) tastes: Vec<usize>,
    pub(super) needs: Vec<u16>,
    /// The first of its modules in [`Catalogue::names`], and how many.
    pub(super) top: u32,
    pub(super) count: u32,
    /// That of a submodule in the catalogue's line is a name that people know.
    pub(super) listed: u32,
}

pub(super) struct Catalogue {
    pub(super) names: Vec<Name>,
    pub(super) libraries: Vec<Library>,
    by_name: HashMap<String, u16>,
    /// Modules of the interpreter: always loaded, and often.
    pub(super) always: Vec<u32>,
    pub(super) often: Vec<u32>,
}

/// Number of `__main__`, which is nobody's module.
pub(super) const MAIN: u32 = 0;

/// Number of the user's own.
pub(super) const OWN: u32 = 1;

impl Library {
    /// Which release was new on a day of the period.
    pub(super) fn release(&self, day: i64) -> u16 {
        if self.between == 0 { 0 } else { (day.max(0) / i64::from(self.between)) as u16 }
    }

    /// What it is called; `start` is the first day of the period.
    pub(super) fn version(&self, release: u16, start: i64) -> String {
        let release = u32::from(release);
        let mut parts = self.first.clone();
        if parts[0] > 2000 {
            let (year, month, _) = civil(start + i64::from(release * self.between));
            (parts[0], parts[1]) = (year as u32, month as u32);
        } else if let Some(last) = parts.len().min(2).checked_sub(1) {
            parts[last] += release;
            if release > 0 && parts.len() > 2 {
                parts[2] = (mix2(u64::from(self.top), u64::from(release)) % 4) as u32;
            }
        }
        parts.iter().map(u32::to_string).collect::<Vec<_>>().join(".")
    }

    /// Part of the workflows of full taste that ask for it at this part of the year.
    pub(super) fn wanted(&self, of_year: f64) -> f64 {
        // As popular in the middle as the catalogue says; grows or shrinks by the same factor each month.
        self.popularity * self.trend.powf(of_year - 0.5)
    }
}

impl Catalogue {
    pub(super) fn read() -> Result<Self> {
        let plain = |text: &str| Name { text: text.to_owned(), kind: Kind::File, parent: 0, group: 0 };
        let mut catalogue = Catalogue {
            names: vec![plain("__main__"), plain("(own code)")],
            libraries: Vec::new(),
            by_name: HashMap::new(),
            always: Vec::new(),
            often: Vec::new(),
        };
        catalogue.standard();
        let lines: Vec<&str> = REAL.lines().filter(|line| !line.starts_with('#')).collect();
        for (number, line) in lines.iter().enumerate() {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let library = catalogue.real(&cells);
            let library = library.ok_or_else(|| format!("catalogue.txt: '{line}' is no line of it"))?;
            catalogue.by_name.insert(library.name.clone(), number as u16);
            catalogue.libraries.push(library);
        }
        for (number, line) in lines.iter().enumerate() {
            let needs = line.split('|').nth(6).unwrap_or_default().split_whitespace();
            let needs: Result<Vec<u16>> = needs
                .map(|name| catalogue.of(name).ok_or_else(|| format!("catalogue.txt: no line for '{name}'")))
                .collect();
            catalogue.libraries[number].needs = needs?;
        }
        catalogue.make_up();
        Ok(catalogue)
    }

    /// Number of a library.
    pub(super) fn of(&self, name: &str) -> Option<u16> {
        self.by_name.get(name).copied()
    }

    fn standard(&mut self) {
        for (line, names) in STANDARD.iter().enumerate() {
            for text in names.split_whitespace() {
                let number = self.names.len() as u32;
                let kind = match text {
                    "sys" | "time" | "itertools" | "errno" => Kind::BuiltIn,
                    "math" | "select" | "zlib" => Kind::Extension,
                    "codecs" | "io" | "abc" | "site" | "os" | "stat" | "genericpath" | "posixpath" => {
                        Kind::NoFile
                    }
                    _ => Kind::File,
                };
                let above = text.rsplit_once('.').map(|(above, _)| above);
                let parent = self.names.iter().position(|name| Some(name.text.as_str()) == above);
                let parent = parent.map_or(number, |parent| parent as u32);
                self.names.push(Name { text: text.to_owned(), kind, parent, group: 0 });
                if line == 0 { self.always.push(number) } else { self.often.push(number) }
            }
        }
    }

    fn real(&mut self, cells: &[&str]) -> Option<Library> {
        let &[name, distribution, versions, popularity, trend, taste, _, modules] = cells else {
            return None;
        };
        let (first, between) = match versions.split_once('/') {
            Some((first, between)) => (first, between.parse().ok()?),
            None => (versions.strip_suffix('=')?, 0),
        };
        let mut modules = modules.split_whitespace();
        let count = modules.next()?.parse().ok()?;
        let top = self.names.len() as u32;
        let listed = self.modules(name, count, modules);
        Some(Library {
            name: name.to_owned(),
            distribution: distribution.to_owned(),
            first: first.split('.').map(|part| part.parse().ok()).collect::<Option<_>>()?,
            between,
            popularity: popularity.parse::<f64>().ok()? / 100.0,
            trend: trend.parse().ok()?,
            tastes: taste
                .split_whitespace()
                .map(|word| TASTES.iter().position(|taste| *taste == word))
                .collect::<Option<_>>()?,
            needs: Vec::new(),
            top,
            count: self.names.len() as u32 - top,
            listed,
        })
    }

    /// Modules of a library: itself, those that are listed, and what is made up below these; how many are listed.
    fn modules<'a>(&mut self, library: &str, count: usize, listed: impl Iterator<Item = &'a str>) -> u32 {
        let top = self.names.len() as u32;
        let kind = if library == "google" { Kind::Namespace } else { Kind::File };
        self.names.push(Name { text: library.to_owned(), kind, parent: top, group: 0 });
        let mut known: HashMap<String, u32> = HashMap::from([(library.to_owned(), top)]);
        // Packages that made-up modules go to, with their groups.
        let mut places = vec![(top, 0)];
        for (i, word) in listed.enumerate() {
            let text = format!("{library}.{word}");
            let above = text.rsplit_once('.').and_then(|(above, _)| known.get(above)).copied();
            let number = self.names.len() as u32;
            let group = if i < 4 { 0 } else { i as u16 };
            self.add(&text, above.unwrap_or(top), group);
            known.insert(text, number);
            places.push((number, group));
        }
        let listed = self.names.len() as u32 - top;
        if places.len() < 4 && count > 30 {
            for (i, word) in ["lib", "plugins", "utils", "internal"].iter().enumerate() {
                // One that the catalogue lists is there.
                if let Entry::Vacant(entry) = known.entry(format!("{library}.{word}")) {
                    let number = self.names.len() as u32;
                    self.add(entry.key(), top, i as u16);
                    entry.insert(number);
                    places.push((number, i as u16));
                }
            }
        }
        let taken: HashSet<String> = known.into_keys().collect();
        let mut words = USUAL.iter().flat_map(|word| places.iter().map(move |place| (word, place)));
        while self.names.len() < top as usize + count {
            let Some((word, (above, group))) = words.next() else { break };
            let text = format!("{}.{word}", self.names[*above as usize].text);
            if !taken.contains(&text) {
                self.add(&text, *above, *group);
            }
        }
        listed
    }

    fn add(&mut self, text: &str, parent: u32, group: u16) {
        let last = text.rsplit('.').next().unwrap_or_default();
        let is_extension =
            matches!(last, "_ext" | "_cext" | "_kernels" | "_speedups" | "MPI" | "PETSc" | "_C")
                || last.starts_with("_multiarray");
        let kind = if is_extension { Kind::Extension } else { Kind::File };
        self.names.push(Name { text: text.to_owned(), kind, parent, group });
    }

    fn make_up(&mut self) {
        const BEGIN: [&str; 20] = [
            "py", "fast", "open", "simple", "lab", "micro", "auto", "deep", "quick", "multi", "meta",
            "hyper", "my", "nano", "easy", "data", "grid", "flow", "geo", "bio",
        ];
        const MIDDLE: [&str; 30] = [
            "mesh", "spec", "plot", "wave", "cell", "gene", "orbit", "plasma", "lattice", "tensor", "field",
            "fit", "track", "graph", "seq", "cloud", "signal", "image", "batch", "queue", "table", "chain",
            "stream", "model", "atom", "ion", "flux", "particle", "river", "storm",
        ];
        const END: [&str; 6] = ["tools", "kit", "lib", "io", "utils", "x"];
        let mut dice = Dice::new(0x5EED);
        for i in 0..MADE_UP {
            // Each name once: 7 has no divisor in common with 3600.
            let n = i * 7 % 3600;
            let name = format!("{}{}{}", BEGIN[n % 20], MIDDLE[n / 20 % 30], END[n / 600 % 6]);
            let top = self.names.len() as u32;
            let count = 1 + dice.skewed(5);
            let listed = self.modules(&name, count, std::iter::empty());
            let needs = if dice.chance(0.3) { self.of("numpy") } else { None };
            self.libraries.push(Library {
                distribution: name.clone(),
                name,
                first: vec![dice.below(2) as u32, dice.below(12) as u32, dice.below(6) as u32],
                between: if dice.chance(0.4) { 0 } else { 40 + dice.below(300) as u32 },
                popularity: 0.0,
                trend: 1.0,
                tastes: Vec::new(),
                needs: needs.into_iter().collect(),
                top,
                count: self.names.len() as u32 - top,
                listed,
            });
        }
    }

    /// Libraries and all that they need.
    pub(super) fn closed(&self, wanted: impl IntoIterator<Item = u16>) -> Vec<u16> {
        let mut has = vec![false; self.libraries.len()];
        let mut todo: Vec<u16> = wanted.into_iter().collect();
        while let Some(library) = todo.pop() {
            if !std::mem::replace(&mut has[library as usize], true) {
                todo.extend(&self.libraries[library as usize].needs);
            }
        }
        (0..has.len()).filter(|i| has[*i]).map(|i| i as u16).collect()
    }

    /// What someone asks for at this part of the year: the same draw each time, so that what does not change in popularity stays.
    pub(super) fn wanted(&self, weights: &[f64], breadth: f64, seed: u64, of_year: f64) -> Vec<u16> {
        let real = self.libraries.iter().enumerate().filter(|(_, library)| library.popularity > 0.0);
        real.filter(|(i, library)| {
            let weight = library.tastes.iter().map(|taste| weights[*taste]).fold(0.0, f64::max);
            let p = (library.wanted(of_year) * weight * breadth).min(0.95);
            unit(mix2(seed, *i as u64)) < p
        })
        .map(|(i, _)| i as u16)
        .collect()
    }

    /// Number of the first of the made-up ones.
    pub(super) fn made_up(&self) -> usize {
        self.libraries.len() - MADE_UP
    }
}
