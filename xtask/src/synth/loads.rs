//! What processes of a workflow load: made once for each version of its environment, as they are all alike.

use std::collections::HashMap;

use super::World;
use super::catalogue::{MAIN, OWN};
use super::dice::{Dice, mix2};
use super::environments::{Installation, Place, install};
use super::site::{Class, Gpu, Shape, Workflow};

/// A module that a process loads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// Number in [`Modules`].
    pub(super) module: u32,
    /// Number of a name in the catalogue.
    pub(super) importer: u32,
    pub(super) direct: bool,
    /// With what it imports in turn, microseconds.
    pub(super) took: u32,
}

/// A module as it is in one place: numbers instead of texts, as there are many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Module {
    pub(super) name: u32,
    /// Library and release.
    pub(super) of: Option<(u16, u16)>,
    pub(super) place: u16,
}

/// All modules that were met so far.
#[derive(Default)]
pub(super) struct Modules {
    known: HashMap<Module, u32>,
    pub(super) all: Vec<Module>,
    known_places: HashMap<Place, u16>,
    pub(super) places: Vec<Place>,
}

impl Modules {
    fn number(&mut self, module: Module) -> u32 {
        *self.known.entry(module).or_insert_with(|| {
            self.all.push(module);
            self.all.len() as u32 - 1
        })
    }

    fn place(&mut self, place: &Place) -> u16 {
        if let Some(number) = self.known_places.get(place) {
            return *number;
        }
        let number = self.places.len() as u16;
        self.places.push(place.clone());
        self.known_places.insert(place.clone(), number);
        number
    }
}

/// A workflow with one version of its environment.
pub(super) struct Prepared {
    pub(super) installation: Installation,
    pub(super) full: Vec<Row>,
    /// Workers, small scripts, tools; the last is pip, or another small script.
    pub(super) small: [Vec<Row>; 4],
    pub(super) objects: Vec<&'static str>,
    /// What small processes map.
    pub(super) few_objects: Vec<&'static str>,
    /// The last of the small ones is `python -m pip`.
    pub(super) has_pip: bool,
}

/// Rows of one process, each behind the one that imports it.
struct Loader<'a> {
    world: &'a World,
    installation: &'a Installation,
    modules: &'a mut Modules,
    places: Vec<u16>,
    dice: Dice,
    seed: u64,
    rows: Vec<Row>,
    /// Where the one that imports a row stands; `None`: the program.
    parents: Vec<Option<usize>>,
    /// By the number of its name, where a module stands.
    at: Vec<Option<u32>>,
    direct: Vec<u16>,
}

pub(super) fn prepare(world: &World, workflow: &Workflow, made: i64, modules: &mut Modules) -> Prepared {
    let installation = install(world, workflow, made);
    let mut dice = Dice::new(mix2(workflow.seed, 5));
    let mut order = installation.wanted.clone();
    for i in (1..order.len()).rev() {
        order.swap(i, dice.below(i + 1));
    }
    let own = modules.place(&(if dice.chance(0.7) { "home" } else { "project" }, String::new()));
    let full = Loader::new(world, workflow, &installation, modules, 1).full(&order, own);
    let worker = Loader::new(world, workflow, &installation, modules, 2).standard_only(2, 8, 0);
    let script = Loader::new(world, workflow, &installation, modules, 3).script(&order);
    let tool = Loader::new(world, workflow, &installation, modules, 4).standard_only(10, 35, 9);
    let pip = world.catalogue.of("pip").filter(|pip| installation.find(*pip).is_some());
    let last = match pip {
        Some(pip) => Loader::new(world, workflow, &installation, modules, 5).program(pip),
        None => Loader::new(world, workflow, &installation, modules, 5).standard_only(10, 45, 9),
    };
    let (objects, few_objects) = objects(world, workflow, &installation);
    Prepared {
        small: [worker, script, tool, last],
        full,
        objects,
        few_objects,
        has_pip: pip.is_some(),
        installation,
    }
}

impl<'a> Loader<'a> {
    fn new(
        world: &'a World,
        workflow: &Workflow,
        installation: &'a Installation,
        modules: &'a mut Modules,
        salt: u64,
    ) -> Self {
        let places = installation.places.iter().map(|place| modules.place(place)).collect();
        Loader {
            world,
            installation,
            modules,
            places,
            dice: Dice::new(mix2(workflow.seed, salt)),
            seed: workflow.seed,
            rows: Vec::new(),
            parents: Vec::new(),
            at: vec![None; world.catalogue.names.len()],
            direct: Vec::new(),
        }
    }

    fn has(&self, name: u32) -> bool {
        self.at[name as usize].is_some()
    }

    /// Adds a row, if it is not there; who imports it is, or is the program.
    fn push(&mut self, name: u32, of: Option<(u16, u16)>, place: u16, importer: u32, direct: bool) {
        if self.has(name) {
            return;
        }
        let module = self.modules.number(Module { name, of, place });
        let took = self.dice.spread(150.0, 1.2).min(400_000.0) as u32 + 1;
        self.at[name as usize] = Some(self.rows.len() as u32);
        self.parents.push(self.at[importer as usize].map(|at| at as usize));
        self.rows.push(Row { module, importer, direct, took });
    }

    fn standard(&mut self, name: u32, importer: u32, direct: bool) {
        let parent = self.world.catalogue.names[name as usize].parent;
        if parent != name && !self.has(parent) {
            self.standard(parent, importer, false);
        }
        let importer = if parent == name { importer } else { parent };
        self.push(name, None, self.places[0], importer, direct);
    }

    /// Some of the interpreter's own.
    fn some_standard(&mut self, count: usize, importer: u32, direct: bool) {
        let often = &self.world.catalogue.often;
        for _ in 0..count {
            let name = often[self.dice.skewed(often.len() + 1).min(often.len() - 1)];
            self.standard(name, importer, direct);
        }
    }

    /// A library with what it needs, as far as it is installed.
    fn library(&mut self, library: u16, importer: u32) {
        let Some(installed) = self.installation.find(library) else { return };
        let catalogue = &self.world.catalogue;
        let of = &catalogue.libraries[library as usize];
        if self.has(of.top) {
            return;
        }
        let (release, place) = (Some((library, installed.release)), self.places[installed.place as usize]);
        let is_direct = self.direct.contains(&library);
        self.push(of.top, release, place, importer, is_direct);
        for need in &of.needs {
            self.library(*need, of.top);
        }
        if of.count > 10 {
            self.some_standard(3, of.top, false);
        }
        // Parts that not all who use it use.
        let seed = self.seed;
        let has = |group: u16| {
            group == 0 || !mix2(mix2(seed, u64::from(library)), u64::from(group)).is_multiple_of(3)
        };
        let mut last = of.top;
        for name in of.top + 1..of.top + of.count {
            let module = &catalogue.names[name as usize];
            if !has(module.group) || !self.has(module.parent) {
                continue;
            }
            let mixed = mix2(seed, u64::from(name));
            let asked = is_direct && name < of.top + of.listed && mixed.is_multiple_of(5);
            let importer = if mixed.is_multiple_of(3) { last } else { module.parent };
            self.push(name, release, place, if asked { MAIN } else { importer }, asked);
            last = name;
        }
    }

    fn begin(&mut self) {
        for name in &self.world.catalogue.always {
            self.standard(*name, MAIN, false);
        }
    }

    fn full(mut self, order: &[u16], own: u16) -> Vec<Row> {
        self.direct = order.to_vec();
        self.begin();
        let count = 6 + self.dice.below(20);
        self.some_standard(count, MAIN, true);
        let (first, rest) = order.split_at(order.len() / 3 * usize::from(self.dice.chance(0.6)));
        for library in first {
            self.library(*library, MAIN);
        }
        let importer = if self.dice.chance(0.7) {
            self.push(OWN, None, own, MAIN, true);
            OWN
        } else {
            MAIN
        };
        for library in rest {
            self.library(*library, importer);
        }
        self.finish()
    }

    fn standard_only(mut self, least: usize, most: usize, begin_in_ten: usize) -> Vec<Row> {
        if self.dice.below(10) < begin_in_ten {
            self.begin();
        }
        let count = least + self.dice.below(most - least);
        self.some_standard(count, MAIN, true);
        self.finish()
    }

    /// The interpreter's own, and the smallest of what the workflow knows.
    fn script(mut self, order: &[u16]) -> Vec<Row> {
        let libraries = &self.world.catalogue.libraries;
        let small: Vec<u16> = order
            .iter()
            .copied()
            .filter(|i| libraries[*i as usize].count <= 20 && libraries[*i as usize].needs.is_empty())
            .take(2)
            .collect();
        self.direct.clone_from(&small);
        let count = 4 + self.dice.below(12);
        self.some_standard(count, MAIN, true);
        for library in small {
            self.library(library, MAIN);
        }
        self.finish()
    }

    /// `python -m`.
    fn program(mut self, library: u16) -> Vec<Row> {
        self.direct = vec![library];
        self.begin();
        self.some_standard(15, MAIN, true);
        self.library(library, MAIN);
        self.finish()
    }

    /// Gives each the time of what it imported in turn.
    fn finish(mut self) -> Vec<Row> {
        for i in (0..self.rows.len()).rev() {
            if let Some(parent) = self.parents[i] {
                self.rows[parent].took = self.rows[parent].took.saturating_add(self.rows[i].took);
            }
        }
        self.rows
    }
}

/// Shared objects of processes that load all, and of those that load little.
fn objects(
    world: &World,
    workflow: &Workflow,
    installation: &Installation,
) -> (Vec<&'static str>, Vec<&'static str>) {
    let catalogue = &world.catalogue;
    let few = vec!["libc.so.6", "libm.so.6", "libz.so.1"];
    let loaded = catalogue.closed(installation.wanted.iter().copied());
    let has = |name: &str| catalogue.of(name).is_some_and(|i| loaded.contains(&i));
    let mut all = few.clone();
    let mut add =
        |names: &[&'static str]| all.extend(names.iter().copied().filter(|name| !few.contains(name)));
    let is_used = workflow.gpu == Gpu::Used;
    if has("numpy") {
        add(match (installation.class, workflow.seed % 4) {
            (Class::System, _) => &["libblas.so.3", "liblapack.so.3"],
            (Class::Base | Class::Overlay, _) if workflow.stream == 1 => &["libblis.so.4", "libflame.so.5"],
            (Class::Base | Class::Overlay | Class::Clone, _) => &["libmkl_rt.so.2", "libiomp5.so"],
            (Class::OwnConda | Class::Container, 0) => &["libmkl_rt.so.2", "libiomp5.so"],
            (Class::OwnConda | Class::Container, 1) => &["libblis.so.4"],
            (Class::OwnConda | Class::Container, _) => &["libopenblas.so.0", "libgfortran.so.5"],
            _ => &["libscipy_openblas64_-ff651d7f.so", "libgfortran-040039e1.so.5.0.0"],
        });
    }
    if has("torch") {
        add(&["libtorch.so", "libtorch_cpu.so", "libtorch_python.so", "libc10.so", "libgomp.so.1"]);
        // Wheels from PyPI bring CUDA, whether there is a GPU or not.
        if is_used || (workflow.gpu == Gpu::Outside && !workflow.seed.is_multiple_of(3)) {
            add(&["libtorch_cuda.so", "libcudart.so.12", "libcublas.so.12", "libcudnn.so.9", "libnccl.so.2"]);
        }
    }
    if has("cupy") || has("jax") && is_used {
        add(&["libcudart.so.12", "libcublas.so.12", "libcusolver.so.11", "libnvrtc.so.12"]);
    }
    if has("tensorflow") {
        add(&["libtensorflow_framework.so.2", "libtensorflow_cc.so.2"]);
    }
    if is_used {
        add(&["libcuda.so.1", "libnvidia-ml.so.1"]);
    }
    if has("mpi4py") || workflow.shape == Shape::Ranks {
        add(if is_used {
            &["libmpi.so.40", "libucp.so.0", "libpmix.so.2"]
        } else {
            &["libmpi.so.40", "libpmix.so.2"]
        });
    }
    if has("h5py") || has("netCDF4") {
        add(&["libhdf5.so.310", "libhdf5_hl.so.310"]);
    }
    let mut seen = std::collections::HashSet::new();
    all.retain(|name| seen.insert(*name));
    (all, few)
}
