//! Who imports: the code whose frame runs when the `import` event comes, or, if that is the import system itself, the code that
//! called it.

use terrarium_wire::Put;
use terrarium_wire::kind::importer;

use super::api::{Api, Name, Owned, Ref};
use super::table::Tag;

/// How many frames of the import system are passed over.
pub(super) const DEPTH: usize = 24;

/// With fewer frames of it an import statement has called it, and not yet an extension module's own code, which has no frame.
pub(super) const STATEMENT: usize = 4;

/// Whose code it is.
#[derive(Clone, Copy)]
pub(super) struct Importer<'a> {
    /// See [`terrarium_wire::kind::importer`].
    pub(super) reference: u64,
    /// For [`importer::NAMED`].
    pub(super) name: &'a [u8],
    /// To tell two of them apart.
    pub(super) tag: Tag,
}

impl<'a> Importer<'a> {
    pub(super) fn nobody() -> Self {
        Self { reference: importer::NOBODY, name: b"", tag: Tag::of(b"") }
    }

    /// The field of a record.
    pub(super) fn put(&self, put: &mut Put<'_>) {
        put.number(self.reference);
        if self.reference == importer::NAMED {
            put.text(self.name);
        }
    }
}

/// Whether this is `__main__`, or what stands for it: in a process that multiprocessing spawned, or while `runpy.run_path` runs.
pub(super) fn is_main(name: &[u8]) -> bool {
    matches!(name, b"__main__" | b"__mp_main__" | b"<run_path>")
}

/// Whether code of this name is a part of the import system, which imports on behalf of others, or has no name: what is run by
/// `exec` with empty globals.
fn imports_for_others(name: &[u8]) -> bool {
    const THESE: [&[u8]; 7] = [
        b"",
        b"importlib._bootstrap",
        b"importlib._bootstrap_external",
        b"_frozen_importlib",
        b"_frozen_importlib_external",
        b"importlib",
        b"zipimport",
    ];
    THESE.contains(&name)
}

/// What the code that runs calls itself; `None`: no Python code runs. True beside it: it is the import system.
pub(super) fn direct<'a>(api: &Api) -> Option<(&'a [u8], bool)> {
    let name = name_in(api, api.globals()?);
    Some((name, imports_for_others(name)))
}

/// What the first code calls itself that is no part of the import system, within so many frames.
pub(super) fn beyond_the_import_system<'a>(api: &Api, depth: usize) -> Option<&'a [u8]> {
    let mut frame = api.frame()?;
    // Each frame is held while its caller is asked for.
    let mut held: Option<Owned<'_>> = None;
    for _ in 0..depth {
        let globals = api.globals_of(frame)?;
        let name = name_in(api, globals.get());
        if !imports_for_others(name) {
            return Some(name);
        }
        let caller = api.caller(frame)?;
        frame = caller.get();
        drop(held.replace(caller));
    }
    None
}

/// `__name__`; the text lives as long as the namespace, which its module or frame holds.
fn name_in<'a>(api: &Api, globals: Ref) -> &'a [u8] {
    api.item(globals, Name::Dunder).and_then(|name| api.text(name)).unwrap_or_default()
}
