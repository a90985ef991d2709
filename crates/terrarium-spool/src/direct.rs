//! Which modules the user asks for, and which only came with them.
//!
//! Direct is what `__main__` or the user's own code imports. An import of what is loaded already raises no event, so what their
//! code objects name counts as well, if it is loaded.

use std::collections::HashMap;

use super::process::{Module, Origin, OriginKind, Place, Process, Python, State};
use super::{Importer, Record, Records};
use terrarium_wire::kind;

/// Whether the module of a name was the user's own before a fork.
type IsOwn<'a> = &'a dyn Fn(&[u8]) -> bool;

/// Where the code of others lies.
#[derive(Clone, Debug)]
pub struct Places<'a> {
    prefixes: Vec<&'a [u8]>,
}

impl<'a> Places<'a> {
    /// Those of this Python.
    pub fn of(python: &'a Python) -> Self {
        let prefixes = [&python.prefix, &python.base_prefix].into_iter().flatten();
        let prefixes = prefixes.map(|prefix| trim_slashes(prefix.as_bytes()));
        Self { prefixes: prefixes.collect() }
    }

    /// Whose a file is: the user's own unless it is installed (`site-packages`, `dist-packages`) or in `lib*/python*` of a prefix.
    pub fn of_file(&self, file: &[u8]) -> Place {
        let mut parts = file.split(|byte| *byte == b'/');
        if parts.any(|part| matches!(part, b"site-packages" | b"dist-packages")) {
            Place::Installed
        } else if file.is_empty() {
            Place::Unknown
        } else if file.starts_with(b"<") || self.is_standard(file) {
            // `<frozen os>`: no file.
            Place::Standard
        } else {
            Place::Own
        }
    }

    fn is_standard(&self, file: &[u8]) -> bool {
        if self.prefixes.is_empty() {
            // Nothing is known: in `lib*/python*` of any.
            let parts: Vec<&[u8]> = file.split(|byte| *byte == b'/').collect();
            return parts.windows(2).any(is_library);
        }
        self.prefixes.iter().any(|prefix| {
            let below = file.strip_prefix(*prefix).and_then(|rest| rest.strip_prefix(b"/"));
            let mut parts =
                below.unwrap_or_default().split(|byte| *byte == b'/').filter(|part| !part.is_empty());
            matches!((parts.next(), parts.next()), (Some(lib), Some(python)) if is_library(&[lib, python]))
        })
    }

    fn of_module(&self, module: &Module) -> Place {
        match &module.origin {
            None => Place::Unknown,
            // What Cython makes for itself is nobody's.
            Some(Origin { kind: OriginKind::NoFile, .. }) if is_cythons(module.name.as_bytes()) => {
                Place::Unknown
            }
            Some(Origin { kind: OriginKind::BuiltIn | OriginKind::NoFile, .. }) => Place::Standard,
            Some(Origin { path, .. }) => self.of_file(path.as_bytes()),
        }
    }
}

fn is_cythons(name: &[u8]) -> bool {
    name == b"cython_runtime" || name.starts_with(b"_cython_")
}

fn is_library(parts: &[&[u8]]) -> bool {
    matches!(parts, [lib, python] if lib.starts_with(b"lib") && python.starts_with(b"python"))
}

fn trim_slashes(path: &[u8]) -> &[u8] {
    let length = path.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
    &path[..length]
}

/// Sets what is direct and what is the user's own. `records` are those that the modules came from; those from `end` on are not
/// looked at. `is_own` tells of the names of code that was loaded before a fork.
pub(super) fn mark(process: &mut Process, records: Records<'_>, end: u64, is_own: IsOwn<'_>) {
    let places = Places::of(&process.python);
    let place: Vec<Place> = process.modules.iter().map(|module| places.of_module(module)).collect();
    // A namespace is a directory: there is no code in it that could import.
    let is_code = |module: &Module| module.origin.as_ref().is_some_and(|o| o.kind != OriginKind::Namespace);
    let own = process.modules.iter().zip(&place).map(|(m, place)| *place == Place::Own && is_code(m));
    let direct = direct(process, &places, &own.collect::<Vec<bool>>(), records, end, is_own);
    for (module, (place, direct)) in process.modules.iter_mut().zip(place.into_iter().zip(direct)) {
        (module.place, module.direct) = (place, direct);
    }
}

fn direct(
    process: &Process,
    places: &Places<'_>,
    own: &[bool],
    mut records: Records<'_>,
    end: u64,
    is_own: IsOwn<'_>,
) -> Vec<bool> {
    let mut tree = Tree::of(&process.modules, own);
    let mut direct = Vec::with_capacity(process.modules.len());
    for (number, module) in process.modules.iter().enumerate() {
        let is_direct = match &module.importer {
            Importer::Main => true,
            Importer::Module(number) => own.get(*number).is_some_and(|own| *own),
            Importer::Named(name) => tree.is_own(name.as_bytes()) || is_own(name.as_bytes()),
            Importer::Nobody => false,
        };
        if let Some(node) = tree.of_module[number].filter(|_| is_direct) {
            tree.mark(node);
        }
        direct.push(is_direct);
    }
    while records.offset() < end
        && let Some(record) = records.next()
    {
        if let Record::Names { importer, file, names } = record
            && let Some(package) = code(&tree, process, places, own, (&importer, file), is_own)
        {
            for name in names {
                tree.mark_names(package, name);
            }
        }
    }
    let marked = tree.of_module.iter().map(|node| node.is_some_and(|node| tree.nodes[node].direct));
    direct.into_iter().zip(marked).map(|(direct, marked)| direct || marked).collect()
}

/// If this is the program's or the user's own code: the package that its relative imports start from; `Some(ROOT)` if that is not
/// known.
fn code(
    tree: &Tree<'_>,
    process: &Process,
    places: &Places<'_>,
    own: &[bool],
    (importer, file): (&Importer<&[u8]>, &[u8]),
    is_own: IsOwn<'_>,
) -> Option<usize> {
    let is_package = |file: &[u8]| file_name(file).starts_with(b"__init__.");
    let package = |node: usize, file: &[u8]| if is_package(file) { node } else { tree.nodes[node].parent };
    match importer {
        Importer::Main | Importer::Named(b"__main__") => Some(main_package(tree, process, file)),
        Importer::Module(number) => {
            let origin = process.modules.get(*number)?.origin.as_ref();
            let file = if file.is_empty() { origin.map_or(&b""[..], |o| o.path.as_bytes()) } else { file };
            let is_own = own.get(*number).is_some_and(|own| *own);
            is_own.then(|| tree.of_module[*number].map_or(ROOT, |node| package(node, file)))
        }
        Importer::Named(name) => {
            let is_own = places.of_file(file) == Place::Own || tree.is_own(name) || is_own(name);
            is_own.then(|| tree.find(name).map_or(ROOT, |node| package(node, file)))
        }
        Importer::Nobody => (places.of_file(file) == Place::Own).then_some(ROOT),
    }
}

/// The package of `__main__`, if it was started by `-m`.
fn main_package(tree: &Tree<'_>, process: &Process, file: &[u8]) -> usize {
    let Some(main) = process.main.as_ref().filter(|main| main.kind == kind::main::MODULE) else {
        return ROOT;
    };
    let name = main.name.as_bytes();
    let package = match name.strip_suffix(b".__main__") {
        Some(package) => package,
        None if file_name(file) == b"__main__.py" => name,
        None => name.iter().rposition(|byte| *byte == b'.').map_or(&b""[..], |dot| &name[..dot]),
    };
    if package.is_empty() { ROOT } else { tree.find(package).unwrap_or(ROOT) }
}

fn file_name(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
}

const ROOT: usize = 0;

/// More names than this are not told apart by their parts.
const MOST_NODES: usize = 1 << 20;

/// The names of modules by their parts, so that a look costs no more than the name's length.
struct Tree<'a> {
    nodes: Vec<Node>,
    children: HashMap<(usize, &'a [u8]), usize>,
    /// Of each module: its node, if it is there.
    of_module: Vec<Option<usize>>,
}

struct Node {
    /// The root is its own.
    parent: usize,
    /// There is a module of this name that was loaded.
    loaded: bool,
    own: bool,
    direct: bool,
}

impl<'a> Tree<'a> {
    /// Of those that were loaded.
    fn of(modules: &'a [Module], own: &[bool]) -> Self {
        let root = Node { parent: ROOT, loaded: false, own: false, direct: false };
        let mut tree = Self { nodes: vec![root], children: HashMap::new(), of_module: Vec::new() };
        for (module, own) in modules.iter().zip(own) {
            let node =
                (module.state != State::NotLoaded).then(|| tree.insert(module.name.as_bytes())).flatten();
            if let Some(node) = node {
                tree.nodes[node].loaded |= module.is_loaded();
                tree.nodes[node].own |= *own;
            }
            tree.of_module.push(node);
        }
        tree
    }

    fn insert(&mut self, name: &'a [u8]) -> Option<usize> {
        let mut node = ROOT;
        for part in parts(name) {
            let next = self.nodes.len();
            let child = *self.children.entry((node, part)).or_insert(next);
            if child == next {
                if next == MOST_NODES {
                    self.children.remove(&(node, part));
                    return None;
                }
                self.nodes.push(Node { parent: node, loaded: false, own: false, direct: false });
            }
            node = child;
        }
        Some(node)
    }

    fn find(&self, name: &[u8]) -> Option<usize> {
        parts(name).try_fold(ROOT, |node, part| self.children.get(&(node, part)).copied())
    }

    fn is_own(&self, name: &[u8]) -> bool {
        self.find(name).is_some_and(|node| self.nodes[node].own)
    }

    /// A module that is direct has direct parents.
    fn mark(&mut self, mut node: usize) {
        while node != ROOT && !self.nodes[node].direct {
            self.nodes[node].direct = true;
            node = self.nodes[node].parent;
        }
    }

    /// What an import statement asks for: `name`, `.name`, `name:item,item`.
    fn mark_names(&mut self, package: usize, text: &[u8]) {
        let colon = text.iter().position(|byte| *byte == b':');
        let (name, items) = match colon {
            Some(colon) => (&text[..colon], Some(&text[colon + 1..])),
            None => (text, None),
        };
        let dots = name.iter().take_while(|byte| **byte == b'.').count();
        let mut node = ROOT;
        if dots > 0 {
            node = package;
            for _ in 1..dots {
                node = self.nodes[node].parent;
            }
            // Beyond the top, or nobody knows from where.
            if node == ROOT {
                return;
            }
        }
        let name = &name[dots..];
        let mut is_whole = true;
        for part in parts(name).filter(|_| !name.is_empty()) {
            match self.children.get(&(node, part)) {
                Some(child) => node = *child,
                None => {
                    is_whole = false;
                    break;
                }
            }
        }
        self.mark(node);
        for item in items.filter(|_| is_whole).into_iter().flat_map(|items| items.split(|byte| *byte == b','))
        {
            if let Some(child) = self.children.get(&(node, item)).copied()
                && self.nodes[child].loaded
            {
                self.mark(child);
            }
        }
    }
}

fn parts(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    name.split(|byte| *byte == b'.')
}
