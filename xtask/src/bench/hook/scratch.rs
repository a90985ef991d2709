//! Directories of one measurement: a home, spools, what is compiled and generated for it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::Result;

/// Gone with all that is in it when it is dropped.
pub(super) struct Scratch {
    directory: TempDir,
    /// In memory, as a node's spool would be.
    spool: TempDir,
    home: PathBuf,
    on_disk: PathBuf,
    customs: PathBuf,
    benches: PathBuf,
}

impl Scratch {
    pub(super) fn new(benches: PathBuf) -> Result<Self> {
        let made = || -> std::io::Result<Self> {
            let directory = tempfile::tempdir()?;
            let spool = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())?;
            let [home, on_disk, customs] =
                ["home", "spool", "customs"].map(|name| directory.path().join(name));
            for path in [&home, &on_disk, &customs] {
                std::fs::create_dir(path)?;
            }
            Ok(Self { directory, spool, home, on_disk, customs, benches })
        };
        made().map_err(|e| format!("temporary directory: {e}"))
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(super) fn home(&self) -> &Path {
        &self.home
    }

    pub(super) fn spool(&self) -> &Path {
        self.spool.path()
    }

    pub(super) fn spool_on_disk(&self) -> &Path {
        &self.on_disk
    }

    /// Where Customs writes.
    pub(super) fn customs(&self) -> &Path {
        &self.customs
    }

    /// The whole environment of a process that nobody looks at.
    pub(super) fn variables(&self) -> [(&'static str, OsString); 7] {
        [
            ("PATH", "/usr/bin:/bin".into()),
            ("LANG", "C.UTF-8".into()),
            ("USER", "bench".into()),
            ("HOME", self.home.clone().into()),
            // Less that differs from run to run: threads that start, and the order of sets.
            ("OPENBLAS_NUM_THREADS", "1".into()),
            ("OMP_NUM_THREADS", "1".into()),
            ("PYTHONHASHSEED", "0".into()),
        ]
    }

    /// The library that adds a hook that does nothing.
    pub(super) fn empty_hook(&self) -> Result<PathBuf> {
        let library = self.path().join("hook_empty.so");
        if !library.is_file() {
            let mut command = Command::new("cc");
            command.args(["-std=gnu11", "-O2", "-shared", "-fPIC", "-o"]).arg(&library);
            let status = command.arg(self.benches.join("hook_empty.c")).status();
            if !status.map_err(|e| format!("cc: {e}"))?.success() {
                return Err("cc cannot compile benches/hook_empty.c".to_owned());
            }
        }
        Ok(library)
    }

    /// `PYTHONPATH` for a Customs that lies in `checkout`.
    pub(super) fn customs_path(&self, benches: &Path, checkout: &Path) -> Result<OsString> {
        let failed = |e: std::io::Error| format!("sitecustomize.py: {e}");
        let site = self.path().join("site");
        std::fs::create_dir_all(&site).map_err(failed)?;
        std::fs::copy(benches.join("hook_customs.py"), site.join("sitecustomize.py")).map_err(failed)?;
        std::env::join_paths([site.as_path(), checkout]).map_err(|e| e.to_string())
    }

    /// A directory of packages, each of which imports so many modules of its own.
    pub(super) fn packages(&self, packages: u32, modules: u32) -> Result<PathBuf> {
        let directory = self.path().join("packages");
        let made = || -> std::io::Result<()> {
            for package in 0..packages {
                let name = format!("package{package:03}");
                let path = directory.join(&name);
                std::fs::create_dir_all(&path)?;
                let mut all = String::new();
                for module in 0..modules {
                    all += &format!("import {name}.module{module:03}\n");
                    let text = format!("\"\"\"A module.\"\"\"\n\n\ndef f(x):\n    return x + {module}\n");
                    std::fs::write(path.join(format!("module{module:03}.py")), text)?;
                }
                std::fs::write(path.join("__init__.py"), all)?;
            }
            Ok(())
        };
        made().map_err(|e| format!("{}: {e}", directory.display()))?;
        Ok(directory)
    }
}
