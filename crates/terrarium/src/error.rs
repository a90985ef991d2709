//! What an error means: its exit code and its hint are decided here and nowhere else.

use std::path::PathBuf;

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
    #[error("cannot write the report to {}: {source}", path.display())]
    Report { path: PathBuf, source: std::io::Error },
    #[error("there is no user `{0}`")]
    NoUser(String),
    #[error("--clean-shm without --user would delete the shared memory of every user")]
    CleanForAll,
    #[error(transparent)]
    Kernel(#[from] KernelError),
}

/// A user namespace could be made but gives no rights inside: Ubuntu's AppArmor rule.
fn is_powerless_namespace(error: &JailError) -> bool {
    matches!(error, JailError::Step { step, errno: Errno::EPERM | Errno::EACCES }
        if step.contains("uid_map") || step.starts_with("keep mounts"))
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
                "this host lets users make user namespaces but gives them no rights inside \
                 (kernel.apparmor_restrict_unprivileged_userns=1); an administrator can set it to 0 or give terrarium an AppArmor profile"
            }
            CliError::Jail(JailError::ParentOutside) => "leave out --with-parent",
            CliError::CleanForAll => "add --user NAME",
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
