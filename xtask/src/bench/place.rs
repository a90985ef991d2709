//! Where things lie: the terrarium that is measured, test programs, a Python with NumPy.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::account::Account;
use crate::Result;

/// The checkout and what was built of it.
pub(crate) struct Place {
    root: PathBuf,
    target: PathBuf,
    /// The terrarium that is measured.
    pub(crate) terrarium: PathBuf,
}

impl Place {
    pub(crate) fn new(root: &Path) -> Result<Self> {
        let target = crate::target(root);
        let built =
            ["release", "x86_64-unknown-linux-gnu/release"].map(|part| target.join(part).join("terrarium"));
        let named = std::env::var_os("TERRARIUM_BIN").map(PathBuf::from);
        let terrarium = named.into_iter().chain(built).find(|path| path.is_file()).ok_or_else(|| {
            format!(
                "no terrarium in {}/release: build it (`make build`), or set TERRARIUM_BIN",
                target.display()
            )
        })?;
        let terrarium = terrarium.canonicalize().map_err(|e| format!("{}: {e}", terrarium.display()))?;
        Ok(Self { root: root.to_owned(), target, terrarium })
    }

    pub(super) fn benches(&self) -> PathBuf {
        self.root.join("benches")
    }

    fn programs(&self) -> PathBuf {
        self.target.join("test-programs")
    }

    /// A program of tests/programs.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.programs().join(name)
    }

    pub(crate) fn compile_programs(&self) -> Result {
        let script = self.root.join("tests/programs/build");
        succeed(Command::new(&script).arg(self.programs()).stdout(Stdio::null()))
    }

    /// Those of tests/mpi, with each MPI that is installed.
    pub(super) fn compile_mpi(&self) -> Result {
        let script = self.root.join("tests/mpi/build");
        succeed(Command::new(&script).arg(self.programs()).stdout(Stdio::null()))
    }

    fn venv(&self) -> PathBuf {
        self.target.join("venv")
    }

    /// The Python that `account` can run and that has NumPy.
    pub(super) fn python(&self, account: &Account) -> Option<PathBuf> {
        [self.venv().join("bin/python3"), "/usr/bin/python3".into(), "python3".into()]
            .into_iter()
            .find(|python| quiet(account.command(python).args(["-c", "import numpy"])))
    }

    /// Makes a virtual environment with NumPy, unless a Python has it.
    pub(super) fn make_venv(&self, account: &Account) -> Result {
        if self.python(account).is_some() {
            return Ok(());
        }
        // One below the home of root helps nobody else.
        let base = ["/usr/bin/python3", "python3"].into_iter().find(|python| {
            quiet(account.command(python).args(["-c", "0"]))
                && quiet(Command::new(python).args(["-c", "import ensurepip"]))
        });
        let base = base.ok_or_else(|| {
            format!("no Python with ensurepip that {account} can run: install python3-venv")
        })?;
        eprintln!("xtask: making {} with NumPy", self.venv().display());
        succeed(Command::new(base).args(["-m", "venv", "--clear"]).arg(self.venv()).stdout(Stdio::null()))?;
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "numpy"];
        succeed(Command::new(self.venv().join("bin/python3")).args(pip).stdout(Stdio::null()))
    }
}

impl Place {
    fn sampler_venv(&self) -> PathBuf {
        self.target.join("sampler-venv")
    }

    /// A program of the virtual environment with psutil and psrecord.
    pub(super) fn sampler_program(&self, name: &str) -> PathBuf {
        self.sampler_venv().join("bin").join(name)
    }

    /// Makes that environment, unless it is there.
    pub(super) fn make_sampler_venv(&self) -> Result {
        if quiet(Command::new(self.sampler_program("python3")).args(["-c", "import psrecord"])) {
            return Ok(());
        }
        let venv = self.sampler_venv();
        eprintln!("xtask: making {} with psutil and psrecord", venv.display());
        let make = ["-m", "venv", "--clear"];
        succeed(Command::new("/usr/bin/python3").args(make).arg(&venv).stdout(Stdio::null()))?;
        let pip =
            ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r"];
        let requirements = self.benches().join("sampler-requirements.txt");
        succeed(
            Command::new(self.sampler_program("python3")).args(pip).arg(requirements).stdout(Stdio::null()),
        )
    }
}

impl Place {
    /// The library that is preloaded, where `make build` leaves it beside terrarium.
    pub(super) fn hook(&self) -> Option<PathBuf> {
        let name = "libterrarium_hook.so";
        let all = [self.terrarium.with_file_name(name), self.target.join("release").join(name)];
        all.into_iter().find(|path| path.is_file())
    }

    fn hook_venv(&self) -> PathBuf {
        self.target.join("hook-venv")
    }

    /// The Python with 95 libraries, where [`Self::make_hook_venv`] could make it.
    pub(super) fn hook_python(&self) -> PathBuf {
        self.hook_venv().join("bin/python3")
    }

    /// Makes that environment, unless it is there. Without it there is still something to measure.
    pub(super) fn make_hook_venv(&self) {
        let script = self.benches().join("hook-venv");
        if succeed(Command::new(script).arg(self.hook_venv()).stdin(Stdio::null())).is_err() {
            eprintln!("xtask: there are no 95 libraries: a start of Python is measured, and events");
        }
    }

    /// As tests find it, which may have no terrarium yet.
    #[cfg(test)]
    pub(super) fn of_tests() -> Self {
        let root = crate::root();
        let target = crate::target(&root);
        Self { terrarium: target.join("release/terrarium"), root, target }
    }
}

/// Whether a command can be run and succeeds.
fn quiet(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn succeed(command: &mut Command) -> Result {
    let status = command.status().map_err(|e| format!("{}: {e}", command.get_program().display()))?;
    if status.success() { Ok(()) } else { Err(format!("{}: {status}", command.get_program().display())) }
}
