//! What an error means: its exit code and its hint are decided here and nowhere else.

use std::path::{Path, PathBuf};

use terrarium_core::cpus::CpuError;
use terrarium_core::exit;
use terrarium_core::gpus::GpuError;
use terrarium_jail::JailError;
use terrarium_jail::view::ViewError;
use terrarium_sys::Errno;
use thiserror::Error;

use crate::commands::kernel::KernelError;
use crate::out;

/// Why a command failed.
#[derive(Debug, Error)]
pub(crate) enum CliError {
    #[error(transparent)]
    Jail(#[from] JailError),
    #[error("--cpus: {0}")]
    Cpus(#[from] CpuError),
    #[error("--gpus: {0}")]
    Gpus(#[from] GpuError),
    #[error("{flag} {}: {why}", path.display())]
    Path { flag: &'static str, path: PathBuf, why: String },
    #[error("{0}")]
    Conflict(String),
    #[error("the working directory {} is not in what --only shows", directory.display())]
    DirectoryNotShown {
        directory: PathBuf,
        /// The home, or more: not to be suggested.
        wide: bool,
    },
    #[error("{}", not_shown(what, path, leads_to))]
    NotShown { what: String, path: PathBuf, leads_to: PathBuf, add: PathBuf },
    #[error("cannot write the report to {}: {source}", path.display())]
    Report { path: PathBuf, source: std::io::Error },
    #[error("cannot read {} as a series: {why}", path.display())]
    Series { path: PathBuf, why: String },
    #[error("cannot write to {}: {source}", path.display())]
    Write { path: PathBuf, source: std::io::Error },
    #[error("there is no run to show: {why}")]
    NothingToShow { why: String },
    #[error("there is no user `{0}`")]
    NoUser(String),
    #[error("the terminal cannot be used: {0}")]
    Terminal(std::io::Error),
    #[error("--clean-shm without --user would delete the shared memory of every user")]
    CleanForAll,
    #[error(transparent)]
    Kernel(#[from] KernelError),
    #[error("there is no history: it is switched off, or there is no home to keep it in")]
    NoHistory,
    #[error("cannot read the history {}: {source}", directory.display())]
    History { directory: PathBuf, source: std::io::Error },
    #[error("the history {} has no run {job}", directory.display())]
    NoSuchRun { directory: PathBuf, job: terrarium_core::JobId },
    #[error("cannot read {} as a record: {why}", path.display())]
    Record { path: PathBuf, why: String },
    #[error("cannot read the spool {}: {source}", directory.display())]
    Spool { directory: PathBuf, source: std::io::Error },
    #[error("{0}")]
    NoHook(String),
    #[error("there is no spool on this node")]
    NoSpool,
    #[error("no record of process {pid} in {}", spools.iter().map(|s| s.display().to_string()).collect::<Vec<_>>().join(", "))]
    NoSuchRecord { spools: Vec<PathBuf>, pid: u32 },
    #[error("{failed} of {all} could not be shown")]
    NotAllShown { failed: usize, all: usize },
    #[error("the second program, terrarium-store, is not installed")]
    NoEngine,
    #[error("cannot start {}: {source}", program.display())]
    Engine { program: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Collect(#[from] terrarium_collect::CollectError),
    #[error("there is no home to keep segments in")]
    NoSegments,
    #[error("the history {} is empty", directory.display())]
    EmptyHistory { directory: PathBuf },
}

/// Namespaces could be made but give no right to mount: Ubuntu's AppArmor rule, or Landlock around us.
fn is_powerless_namespace(error: &JailError) -> bool {
    matches!(error, JailError::Step { step, errno: Errno::EPERM | Errno::EACCES }
        if step.contains("uid_map") || step.starts_with("keep mounts") || step.starts_with("bind / on /proc"))
}

fn not_shown(what: &str, path: &Path, leads_to: &Path) -> String {
    let path = path.display();
    match leads_to.display() {
        end if end.to_string() == path.to_string() => format!("{what} {path} is not in what --only shows"),
        end => format!("{what} {path} leads to {end}, which --only does not show"),
    }
}

/// A path as a shell takes it for one word.
fn word(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = text.chars().all(|c| c.is_alphanumeric() || "/._-+@%,:=".contains(c));
    if is_plain { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

fn kernel_hint(error: &KernelError) -> Option<String> {
    Some(match error {
        KernelError::Name { .. } => "use lower-case letters, digits, `-`, `_` and `.`".to_owned(),
        KernelError::Home => "say where: --prefix DIR, or set JUPYTER_DATA_DIR".to_owned(),
        KernelError::Python { .. } => "name the Python of the kernels: --python PATH".to_owned(),
        KernelError::NoIpykernel { python } => {
            format!("{python} -m pip install ipykernel; or name another Python: --python PATH")
        }
        KernelError::Write { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
            "an administrator can write there; without --prefix the kernel spec is for yourself".to_owned()
        }
        KernelError::Taken { .. } => "choose another --name, or add --replace".to_owned(),
        _ => return None,
    })
}

impl CliError {
    pub(crate) fn code(&self) -> u8 {
        match self {
            CliError::Jail(
                JailError::NotContained { .. }
                | JailError::NeedsMounts { .. }
                | JailError::TierRefused { .. }
                | JailError::MemoryNotHeld { .. },
            ) => exit::NOT_CONTAINED,
            CliError::Jail(error) if is_powerless_namespace(error) => exit::NOT_CONTAINED,
            CliError::Jail(JailError::Exec { errno: Errno::ENOENT | Errno::ENOTDIR, .. }) => exit::NOT_FOUND,
            CliError::Jail(JailError::Exec { .. }) => exit::NOT_EXECUTABLE,
            _ => exit::COULD_NOT_START,
        }
    }

    fn hint(&self) -> Option<String> {
        if let CliError::Kernel(error) = self {
            return kernel_hint(error);
        }
        let hint = match self {
            CliError::DirectoryNotShown { wide: true, .. } => {
                "start in the directory of the job, and name it: --only ."
            }
            CliError::DirectoryNotShown { directory, .. } => {
                let path = word(directory);
                return Some(format!("add --only {path} (or {path}:ro), or start elsewhere"));
            }
            CliError::NotShown { add, .. } => return Some(format!("add --only {}:ro", word(add))),
            CliError::Jail(JailError::NeedsMounts { flags, .. }) if flags.contains("--hide") => {
                "--only shows nothing but what it names, here too; or leave the flags out"
            }
            CliError::Jail(JailError::NeedsMounts { .. }) => {
                "leave them out, or ask an administrator for user namespaces"
            }
            CliError::Jail(JailError::NotContained { .. }) if std::env::var_os("TERRARIUM_JOB").is_some() => {
                "this is inside of a run, which holds all that is started in it already: start the command without terrarium"
            }
            CliError::Jail(JailError::NotContained { tried })
                if tried.iter().any(|(_, why)| why.starts_with(Errno::EAGAIN.desc())) =>
            {
                "there is no room for another process (ulimit -u)"
            }
            CliError::Jail(JailError::NotContained { tried })
                if tried.iter().any(|(_, why)| why.contains("user namespaces")) =>
            {
                "an administrator can allow user namespaces (sysctl user.max_user_namespaces, \
                 kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0), or start the job as root"
            }
            CliError::Jail(JailError::TierRefused { .. }) => {
                "leave out --require to run in the best tier that this host gives"
            }
            CliError::Jail(JailError::MemoryNotHeld { .. }) => {
                "start it as `systemd-run --user --scope -p Delegate=yes terrarium run …`, or leave out --require-mem to limit each process alone"
            }
            CliError::Jail(JailError::Exec { command, errno: Errno::ENOENT }) if command.contains('/') => {
                "is the path right, and is the interpreter in its first line there?"
            }
            CliError::Jail(JailError::Exec { errno: Errno::ENOENT, .. }) => "is it installed, and in PATH?",
            CliError::Jail(JailError::Exec { errno: Errno::EACCES, .. }) => {
                "it needs execute permission (chmod +x), or an interpreter before it (python3 FILE)"
            }
            CliError::Jail(JailError::View(ViewError::NoTarget { .. })) => {
                "make the target first, or bind into a private /tmp (--private-tmp)"
            }
            CliError::Jail(error) if is_powerless_namespace(error) => {
                "nothing may be mounted here. Inside of a run with --only that is always so. Else this host lets users make user \
                 namespaces but gives them no rights inside (kernel.apparmor_restrict_unprivileged_userns=1); an administrator \
                 can set it to 0 or give terrarium an AppArmor profile"
            }
            CliError::Jail(JailError::ParentOutside) => "leave out --with-parent",
            CliError::CleanForAll => "add --user NAME",
            CliError::Terminal(_) => "--once prints a table",
            CliError::Series { .. } => "a series is what `terrarium run --record FILE` writes",
            CliError::NoSpool => "name it: --spool DIR, or TERRARIUM_SPOOL=DIR; or name a record",
            CliError::NoSuchRecord { .. } => {
                "it was not tracked, or its record was collected or removed: name a directory to see what is there"
            }
            CliError::NothingToShow { .. } => "name the series to show: terrarium show FILE",
            CliError::NoHook(_) => {
                "`make install` puts libterrarium_hook.so to lib/terrarium beside bin; TERRARIUM_HOOK=PATH names another"
            }
            CliError::NoEngine => {
                "`make build` and `make install` put it beside terrarium, or into ../libexec/terrarium"
            }
            CliError::NoSegments => "name a directory: --segments DIR",
            CliError::NoHistory => {
                "name a directory: --history DIR, or TERRARIUM_HISTORY=DIR when the command runs"
            }
            CliError::EmptyHistory { .. } => {
                "run something first: terrarium run COMMAND, or terrarium trial -- COMMAND"
            }
            CliError::NoSuchRun { .. } => {
                "the summary and the report of a run name it; old runs leave the history"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }

    pub(crate) fn print(&self) {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            if !text.contains(&cause_text) {
                text.push_str(": ");
                text.push_str(&cause_text);
            }
            source = cause.source();
        }
        out::note(format_args!("error: {text}"));
        if let Some(hint) = self.hint() {
            out::err(format_args!("hint: {hint}"));
        }
    }
}
