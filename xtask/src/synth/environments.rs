//! Environments: what is installed where, in which version, since when.

use std::collections::{BTreeMap, HashMap};

use terrarium_segment::{Environment, Manager, Package};

use super::catalogue::{Catalogue, Library};
use super::dice::{Dice, mix2, unit};
use super::site::{Class, Gpu, Site, Workflow, tastes};
use super::{Period, World};

/// Base environments: name, and version of Python at first.
const STREAMS: [(&str, u32); 4] = [("python", 11), ("science", 12), ("ml", 11), ("legacy", 10)];

/// A base environment has a new version after so many days.
const BASE_DAYS: i64 = 91;

const IN_BASE: usize = 250;

/// Where something lies: its origin by the site's rules, and the directory.
pub(super) type Place = (&'static str, String);

#[derive(Clone, Copy, Debug)]
pub(super) struct Installed {
    pub(super) library: u16,
    pub(super) release: u16,
    /// Index in [`Installation::places`].
    pub(super) place: u8,
}

/// An environment of a workflow for some time.
pub(super) struct Installation {
    pub(super) id: String,
    pub(super) prefix: String,
    pub(super) class: Class,
    pub(super) python: String,
    pub(super) program: String,
    /// Modules of the interpreter lie in the first.
    pub(super) places: Vec<Place>,
    /// In the order of libraries.
    pub(super) installed: Vec<Installed>,
    /// What the workflow asks for.
    pub(super) wanted: Vec<u16>,
    seen_day: i64,
}

/// When the environment of a workflow on a day was made: another day, another environment.
pub(super) fn made(workflow: &Workflow, day: i64) -> i64 {
    match workflow.class {
        Class::System => -100,
        Class::Base if workflow.is_pinned => -BASE_DAYS,
        // The next version comes on a day of its own for each of the base environments, and some wait a while.
        Class::Base => {
            let offset = workflow.stream as i64 * 17 + workflow.phase / 8;
            (day - offset).div_euclid(BASE_DAYS) * BASE_DAYS + offset
        }
        _ => (day + workflow.phase).div_euclid(workflow.every) * workflow.every - workflow.phase,
    }
}

/// Libraries of a base environment.
fn base(catalogue: &Catalogue, stream: usize) -> Vec<u16> {
    let real = (0..catalogue.made_up() as u16).filter(|i| {
        let library = &catalogue.libraries[*i as usize];
        let kept = match library.name.as_str() {
            "vllm" | "flash_attn" | "theano" | "nose" => false,
            "chainer" => stream == 3,
            "torch" | "tensorflow" | "jax" => stream != 0,
            _ => unit(mix2(stream as u64 + 77, u64::from(*i))) < 0.72,
        };
        kept || matches!(
            library.name.as_str(),
            "numpy" | "scipy" | "pandas" | "matplotlib" | "mpi4py" | "pip"
        )
    });
    let real: Vec<u16> = real.collect();
    let mut all = catalogue.closed(real);
    let mut next = catalogue.made_up() + stream * 20;
    while all.len() < IN_BASE {
        all.push(next as u16);
        next += 1;
    }
    all
}

/// What is installed for a workflow whose environment was made on this day.
pub(super) fn install(world: &World, workflow: &Workflow, made: i64) -> Installation {
    let catalogue = &world.catalogue;
    let site = &world.site;
    let wanted = wanted(catalogue, site, &world.period, workflow, made);
    let needed = catalogue.closed(wanted.iter().copied());
    let mut dice = Dice::new(mix2(workflow.seed, made as u64));
    let name = &site.projects[workflow.project].name;
    let base_made = made.div_euclid(BASE_DAYS) * BASE_DAYS;
    let (stream, mut minor) = STREAMS[workflow.stream];
    // A year sees a new Python in one of the base environments.
    if workflow.stream == 0 && base_made > 150 {
        minor += 1;
    }
    let (year, month, _) = super::dice::civil(world.period.first + base_made);
    let at_base = format!("/sw/{stream}/{year}.{month:02}");
    let own = match (workflow.seed >> 40) % 10 {
        0..5 => ("home", format!("~/{}", ["venv", "envs/work", "env"][(workflow.seed % 3) as usize])),
        5..8 => ("project", format!("{}/env", ["sw", "software", "python"][(workflow.seed % 3) as usize])),
        _ => ("scratch", "env".to_owned()),
    };
    let mut patch = 3 + (base_made + 200) / 80;
    let (prefix, mut places): (String, Vec<Place>) = match workflow.class {
        Class::Base => (
            at_base.clone(),
            vec![("python", at_base.clone()), ("base", at_base), ("site", "/sw/mpi/4.1".to_owned())],
        ),
        Class::Overlay => (
            own.1.clone(),
            vec![("python", at_base.clone()), ("base", at_base), ("site", "/sw/mpi/4.1".to_owned())],
        ),
        Class::System => {
            (minor, patch) = (9, 18);
            ("/usr".to_owned(), vec![("python", "/usr".to_owned()), ("system", "/usr".to_owned())])
        }
        Class::Container => (
            "/opt/conda".to_owned(),
            vec![("python", "/opt/conda".to_owned()), ("container", "/opt/conda".to_owned())],
        ),
        Class::OwnPython => {
            ("~/python".to_owned(), vec![("python", "~/python".to_owned()), ("home", "~/python".to_owned())])
        }
        _ => {
            // A venv has the Python that it was made with.
            if workflow.class != Class::OwnVenv {
                minor = 10 + (workflow.seed >> 20) as u32 % 4;
            }
            (
                own.1.clone(),
                vec![
                    ("python", if workflow.class == Class::OwnVenv { at_base } else { own.1.clone() }),
                    (own.0, own.1.clone()),
                ],
            )
        }
    };
    let (more, shared): (Place, Vec<u16>) = match workflow.class {
        Class::Base => (("user-site", "~/.local".to_owned()), base(catalogue, workflow.stream)),
        Class::Overlay => ((own.0, own.1), base(catalogue, workflow.stream)),
        Class::Clone => ((own.0, own.1), base(catalogue, workflow.stream)),
        Class::System => {
            let all = (0..catalogue.made_up() as u16).filter(|i| mix2(99, u64::from(*i)).is_multiple_of(5));
            (("user-site", "~/.local".to_owned()), catalogue.closed(all))
        }
        _ => (places[1].clone(), tools(catalogue, &mut dice)),
    };
    places.push(more);
    let last = (places.len() - 1) as u8;
    let mut installed: BTreeMap<u16, Installed> = BTreeMap::new();
    for library in shared {
        let of = &catalogue.libraries[library as usize];
        let is_of_site = matches!(workflow.class, Class::Base | Class::Overlay)
            && matches!(of.name.as_str(), "mpi4py" | "h5py" | "petsc4py");
        let lag = (mix2(u64::from(library), base_made as u64) % 60) as i64;
        let release = of.release(if workflow.class == Class::System { 0 } else { base_made - lag });
        installed.insert(library, Installed { library, release, place: if is_of_site { 2 } else { 1 } });
    }
    for library in needed {
        // What is new is installed new; of the rest some is as old as it was.
        let lag = (unit(mix2(workflow.seed, u64::from(library))) * 90.0) as i64;
        let release = catalogue.libraries[library as usize].release(made - lag);
        installed.entry(library).or_insert(Installed { library, release, place: last });
    }
    let mut installation = Installation {
        id: String::new(),
        class: workflow.class,
        python: format!("3.{minor}.{patch}"),
        program: format!("{prefix}/bin/python3.{minor}"),
        prefix,
        places: Vec::new(),
        installed: installed.into_values().collect(),
        wanted,
        seen_day: made.max(0),
    };
    let sub = if workflow.class == Class::System { "lib64" } else { "lib" };
    installation.places = places
        .into_iter()
        .map(|(origin, path)| match origin {
            "python" => (origin, format!("{path}/{sub}/python3.{minor}")),
            _ => (origin, format!("{path}/{sub}/python3.{minor}/site-packages")),
        })
        .collect();
    installation.id = id(&installation, name, workflow, last);
    installation
}

/// The same for all who have the same.
fn id(installation: &Installation, project: &str, workflow: &Workflow, last: u8) -> String {
    let text = |n: u64, text: &str| text.bytes().fold(n, |n, byte| mix2(n, u64::from(byte)));
    let mut n = text(text(0, &installation.prefix), &installation.python);
    for one in &installation.installed {
        n = mix2(n, u64::from(one.library) << 24 | u64::from(one.release) << 8 | u64::from(one.place));
    }
    let is_own = installation.installed.iter().any(|one| one.place == last);
    if is_own || !matches!(installation.class, Class::Base | Class::System) {
        n = mix2(text(n, project), workflow.user as u64);
    }
    format!("{n:016x}")
}

/// What comes with an environment of one's own.
fn tools(catalogue: &Catalogue, dice: &mut Dice) -> Vec<u16> {
    let mut all: Vec<u16> =
        ["pip", "setuptools", "wheel"].iter().filter_map(|name| catalogue.of(name)).collect();
    for _ in 0..dice.below(12) {
        all.push(dice.below(catalogue.made_up()) as u16);
    }
    catalogue.closed(all)
}

/// What a workflow asks for at this time.
fn wanted(catalogue: &Catalogue, site: &Site, period: &Period, workflow: &Workflow, made: i64) -> Vec<u16> {
    let field = site.projects[workflow.project].field;
    let of_year = made as f64 / period.days.max(1) as f64;
    let mut weights = tastes(field);
    if workflow.gpu == Gpu::Outside {
        // What is made for GPUs is less asked for elsewhere.
        for (weight, taste) in weights.iter_mut().zip(super::catalogue::TASTES) {
            if matches!(taste, "ml" | "nlp") {
                *weight *= 0.6;
            }
        }
    }
    let mut all = catalogue.wanted(&weights, workflow.breadth, workflow.seed, of_year.clamp(0.0, 1.0));
    let mut dice = Dice::new(workflow.seed);
    let has = |all: &[u16], names: &[&str]| {
        names.iter().any(|name| catalogue.of(name).is_some_and(|i| all.contains(&i)))
    };
    let on_gpu = ["torch", "jax", "tensorflow", "cupy", "transformers", "vllm", "numba"];
    match workflow.gpu {
        Gpu::Used if !has(&all, &on_gpu) => {
            all.extend(catalogue.of(if dice.chance(0.7) { "torch" } else { "cupy" }))
        }
        Gpu::CpuOnly if !has(&all, &["torch"]) => all.extend(catalogue.of("torch")),
        Gpu::Unknown => {
            let is_for_gpus = |i: u16| {
                catalogue.closed([i]).iter().any(|i| {
                    let name = catalogue.libraries[*i as usize].name.as_str();
                    matches!(name, "torch" | "jax" | "jaxlib" | "tensorflow" | "cupy" | "vllm")
                })
            };
            all.retain(|i| !is_for_gpus(*i));
        }
        _ => {}
    }
    // A project has small packages that its people like.
    let made_up = catalogue.libraries.len() - catalogue.made_up();
    while dice.chance(0.55) && all.len() < 60 {
        let n = if dice.chance(0.5) {
            mix2(workflow.project as u64, dice.below(6) as u64) as usize % made_up
        } else if dice.chance(0.6) {
            dice.skewed(made_up)
        } else {
            dice.below(made_up)
        };
        all.push((catalogue.made_up() + n.min(made_up - 1)) as u16);
    }
    all.sort_unstable();
    all.dedup();
    all
}

impl Installation {
    /// Where a library is, and in which release.
    pub(super) fn find(&self, library: u16) -> Option<Installed> {
        let at = self.installed.binary_search_by_key(&library, |one| one.library).ok()?;
        Some(self.installed[at])
    }

    /// As segments have it.
    pub(super) fn environment(&self, catalogue: &Catalogue, period: &Period) -> Environment {
        let manager = match self.class {
            Class::OwnConda | Class::Clone | Class::Container => Manager::Conda,
            _ => Manager::DistInfo,
        };
        let mut by_name: HashMap<&str, usize> = HashMap::new();
        let mut packages: Vec<Package> = Vec::with_capacity(self.installed.len());
        for one in &self.installed {
            let library: &Library = &catalogue.libraries[one.library as usize];
            // Some distributions have two names to import.
            if let Some(at) = by_name.get(library.distribution.as_str()) {
                packages[*at].imports.push(library.name.clone());
                continue;
            }
            by_name.insert(&library.distribution, packages.len());
            packages.push(Package {
                name: library.distribution.clone(),
                version: library.version(one.release, period.first),
                manager,
                imports: vec![library.name.clone()],
            });
        }
        packages.sort();
        Environment {
            id: self.id.clone(),
            prefix: self.prefix.clone(),
            class: self.class.name().to_owned(),
            python: self.python.clone(),
            seen_ms: (period.first + self.seen_day) * 86_400_000,
            packages,
            is_partial: false,
        }
    }
}
