//! The Pythons of this machine: found by looking, and asked what they are.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::support::{compiled, run, target};

/// One interpreter.
#[derive(Debug)]
pub(crate) struct Python {
    /// As the kernel sees it from within `root`.
    pub(crate) executable: PathBuf,
    /// The tree that it lives in, if that is not this machine's.
    pub(crate) root: Option<PathBuf>,
    pub(crate) version: (u32, u32, u32),
    pub(crate) free_threaded: bool,
    /// Its shared library, as seen from within `root`, if it has one.
    pub(crate) library: Option<PathBuf>,
    /// It has the packages that a Jupyter kernel takes.
    pub(crate) has_kernel: bool,
    /// Device and inode.
    same_file: Option<(u64, u64)>,
}

/// Says what an interpreter is. Any from 2.7 understands it.
const ASK: &str = "
import os, sys
try:
    from sysconfig import get_config_var as get
except ImportError:
    get = lambda name: None
try:
    from importlib.util import find_spec
    kernel = all(find_spec(name) for name in ('ipykernel', 'jupyter_client'))
except ImportError:
    kernel = False
print('\\t'.join(str(word) for word in (
    os.path.realpath(sys.executable), sys.executable, '%d.%d.%d' % sys.version_info[:3], bool(get('Py_GIL_DISABLED')),
    get('LIBDIR'), get('MULTIARCH'), get('INSTSONAME'), kernel)))
";

impl Python {
    /// `None`: it is no Python, or does not start.
    fn ask(executable: &Path, root: Option<&Path>) -> Option<Python> {
        let mut command = match root {
            Some(root) => {
                let mut command = Command::new("chroot");
                command.arg(root).arg(executable);
                command
            }
            None => Command::new(executable),
        };
        let done = run(command.args(["-c", ASK]).env("PYTHONDONTWRITEBYTECODE", "1").stdin(Stdio::null()));
        if done.status != 0 {
            return None;
        }
        let words: Vec<&str> = done.out.trim_end().split('\t').collect();
        let [real, as_called, version, free_threaded, libdir, multiarch, soname, kernel] = words[..] else {
            return None;
        };
        let mut numbers = version.split('.').map_while(|n| n.parse().ok());
        let version = (numbers.next()?, numbers.next()?, numbers.next()?);
        let inside = |path: &Path| match root {
            Some(root) => root.join(path.strip_prefix("/").unwrap_or(path)),
            None => path.to_owned(),
        };
        let libraries = [PathBuf::from(libdir), Path::new(libdir).join(multiarch)];
        let mut libraries = libraries.iter().map(|directory| directory.join(soname));
        let library = libraries.find(|path| soname.contains(".so") && inside(path).exists());
        // A virtual environment is the way that it is called by.
        let executable = if kernel == "True" { as_called } else { real };
        Some(Python {
            executable: executable.into(),
            root: root.map(Path::to_owned),
            version,
            free_threaded: free_threaded == "True",
            library,
            has_kernel: kernel == "True",
            same_file: fs::metadata(inside(Path::new(real))).ok().map(|data| (data.dev(), data.ino())),
        })
    }

    /// Such as `3.13.5t /opt/python/bin/python3.13t`.
    pub(crate) fn label(&self) -> String {
        let (major, minor, micro) = self.version;
        let threads = if self.free_threaded { "t" } else { "" };
        let place = if self.root.is_some() { "a newer Debian's " } else { "" };
        format!("{major}.{minor}.{micro}{threads} {place}{}", self.executable.display())
    }

    /// It has audit hooks: what it imports can be seen.
    pub(crate) fn is_watched(&self) -> bool {
        self.version >= (3, 8, 0)
    }

    /// The library as this machine sees it, for a linker.
    pub(crate) fn library_here(&self) -> Option<PathBuf> {
        let library = self.library.as_ref()?;
        Some(match &self.root {
            Some(root) => root.join(library.strip_prefix("/").ok()?),
            None => library.clone(),
        })
    }
}

/// All that were found, oldest first.
pub(crate) fn all() -> &'static [Python] {
    static ALL: OnceLock<Vec<Python>> = OnceLock::new();
    ALL.get_or_init(|| {
        let mut found: Vec<Python> = Vec::new();
        for (root, path) in candidates() {
            let here =
                root.iter().flat_map(|root| root.iter()).chain(path.iter().skip(root.is_some().into()));
            if !here.collect::<PathBuf>().is_file() {
                continue;
            }
            let Some(python) = Python::ask(&path, root.as_deref()) else {
                continue;
            };
            // Two names of one file count once.
            let known = |p: &Python| p.same_file == python.same_file && p.has_kernel == python.has_kernel;
            if !found.iter().any(known) {
                found.push(python);
            }
        }
        found.sort_by_key(|python| (python.version, python.has_kernel, python.executable.clone()));
        found
    })
}

/// Those whose imports are seen.
pub(crate) fn watched() -> impl Iterator<Item = &'static Python> {
    all().iter().filter(|python| python.is_watched())
}

/// The one that is asked first: Debian's own, or else the newest.
pub(crate) fn first() -> Option<&'static Python> {
    let plain =
        || watched().filter(|python| python.root.is_none() && !python.has_kernel && !python.free_threaded);
    plain().find(|python| python.executable.starts_with("/usr/bin")).or_else(|| plain().last())
}

fn candidates() -> BTreeSet<(Option<PathBuf>, PathBuf)> {
    let mut found = BTreeSet::new();
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut directories: Vec<PathBuf> = ["/usr/bin", "/usr/local/bin"]
        .iter()
        .map(PathBuf::from)
        .chain(std::env::split_paths(&path))
        .collect();
    // Where interpreters are kept side by side: pyenv, uv, conda and what sites do.
    for several in
        [".pyenv/versions", ".local/share/uv/python", ".conda/envs", "miniconda3/envs", "miniforge3/envs"]
    {
        directories.extend(entries(&home.join(several)).into_iter().map(|version| version.join("bin")));
    }
    for below in ["/opt", "/opt/python", "/opt/conda/envs"] {
        directories.extend(entries(Path::new(below)).into_iter().map(|version| version.join("bin")));
    }
    directories.push(target().join("free-threaded-python/bin"));
    for directory in directories {
        // pyenv's shims start a shell, that starts one of the above.
        if !directory.ends_with("shims") {
            let programs = entries(&directory).into_iter().filter(|path| is_interpreter(path));
            found.extend(programs.map(|path| (None, path)));
        }
    }
    found.insert((None, target().join("jupyter-venv/bin/python3")));
    let root = target().join("debian-pythons/root");
    for path in entries(&root.join("usr/bin")).into_iter().filter(|path| is_interpreter(path)) {
        let inside = Path::new("/").join(path.strip_prefix(&root).unwrap());
        found.insert((Some(root.clone()), inside));
    }
    let named = std::env::var_os("TERRARIUM_TEST_PYTHONS").unwrap_or_default();
    found.extend(std::env::split_paths(&named).map(|path| (None, path)));
    found
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// `python2.7`, `python3.12`, `python3.13t`: the name with the version, which each has.
fn is_interpreter(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let version = name.strip_prefix("python").unwrap_or_default();
    let minor = version.strip_prefix("3.").or_else(|| version.strip_prefix("2.")).unwrap_or_default();
    let digits = minor.strip_suffix('t').unwrap_or(minor);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) && path.is_file()
}

/// A program that has this Python inside, linked to it.
pub(crate) fn linked(python: &Python) -> Option<PathBuf> {
    let library = python.library_here()?;
    let run_path = format!("-Wl,-rpath,{}", python.library.as_ref()?.parent()?.display());
    // The library may want a newer C library than this machine's linker knows.
    let flags = ["-DLINKED", library.to_str()?, &run_path, "-Wl,--allow-shlib-undefined"];
    Some(compiled("embed.c", &flags))
}
