//! Kernel specs on disk: where Jupyter looks for them, and which are terrarium's.

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use super::KernelError;

/// The file that makes a directory a kernel spec.
const FILE: &str = "kernel.json";

/// What is found of one.
#[derive(Debug, Serialize)]
pub(super) struct Found {
    pub(super) name: String,
    pub(super) display_name: String,
    pub(super) path: PathBuf,
    /// How its kernels are run.
    pub(super) argv: Vec<String>,
    /// What is missing for it to start.
    pub(super) problem: Option<String>,
}

/// What stands at a place.
pub(super) enum There {
    Nothing,
    Ours(Found),
    /// Somebody else's, or unreadable.
    Foreign,
}

/// Jupyter's rules (jupyter_core.paths): lower case, and nothing that a path could be made of.
pub(super) fn check_name(name: &str) -> Result<String, KernelError> {
    let name_lower = name.to_ascii_lowercase();
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.is_empty() || name.starts_with('.') || !name.chars().all(fits) {
        return Err(KernelError::Name { name: name.to_owned() });
    }
    Ok(name_lower)
}

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from)
}

/// The user's own Jupyter directory, as jupyter_core finds it.
pub(super) fn user_data() -> Result<PathBuf, KernelError> {
    if let Some(path) = variable("JUPYTER_DATA_DIR") {
        return Ok(path);
    }
    let share = || variable("HOME").map(|home| home.join(".local/share"));
    Ok(variable("XDG_DATA_HOME").or_else(share).ok_or(KernelError::Home)?.join("jupyter"))
}

/// Below a prefix.
pub(super) fn data_of(prefix: &Path) -> PathBuf {
    prefix.join("share/jupyter")
}

/// Where Jupyter keeps connection files.
pub(super) fn runtime() -> Option<PathBuf> {
    variable("JUPYTER_RUNTIME_DIR").or_else(|| Some(user_data().ok()?.join("runtime")))
}

/// All Jupyter directories that are searched, the first found counts. Which environment Jupyter runs in is not
/// known here: the active one is taken.
pub(super) fn search() -> Vec<PathBuf> {
    let listed = std::env::var_os("JUPYTER_PATH").unwrap_or_default();
    let mut all: Vec<PathBuf> =
        std::env::split_paths(&listed).filter(|p| !p.as_os_str().is_empty()).collect();
    all.extend(user_data());
    all.extend(["VIRTUAL_ENV", "CONDA_PREFIX"].into_iter().filter_map(variable).map(|p| data_of(&p)));
    all.extend(["/usr/local", "/usr"].map(|p| data_of(Path::new(p))));
    all
}

pub(super) fn file_of(data: &Path, name: &str) -> PathBuf {
    data.join("kernels").join(name).join(FILE)
}

/// What stands at this path.
pub(super) fn look(file: &Path) -> There {
    let text = match fs::read(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return There::Nothing,
        Err(_) => return There::Foreign,
    };
    let Ok(spec) = serde_json::from_slice::<Value>(&text) else { return There::Foreign };
    if !spec["metadata"]["terrarium"].is_object() {
        return There::Foreign;
    }
    let words = spec["argv"].as_array().into_iter().flatten();
    let argv: Vec<String> = words.filter_map(|w| w.as_str().map(str::to_owned)).collect();
    let directory = file.parent().and_then(Path::file_name).unwrap_or_default();
    There::Ours(Found {
        name: directory.to_string_lossy().into_owned(),
        display_name: spec["display_name"].as_str().unwrap_or_default().to_owned(),
        path: file.to_owned(),
        problem: problem(&argv),
        argv,
    })
}

/// terrarium or the Python may have gone since.
fn problem(argv: &[String]) -> Option<String> {
    let python = argv.iter().position(|w| w == "--").and_then(|at| argv.get(at + 1));
    let missing = [argv.first(), python].into_iter().map(|p| p.map_or("", String::as_str));
    let missing: Vec<&str> = missing.filter(|p| !Path::new(p).exists()).collect();
    (!missing.is_empty()).then(|| format!("{} is not there", missing.join(", ")))
}

/// terrarium's kernel specs in a Jupyter directory, by name.
pub(super) fn ours(data: &Path) -> Vec<Found> {
    let entries = fs::read_dir(data.join("kernels")).into_iter().flatten().flatten();
    let mut found: Vec<Found> = entries
        .filter_map(|entry| match look(&entry.path().join(FILE)) {
            There::Ours(found) => Some(found),
            _ => None,
        })
        .collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

/// Writes a kernel spec, whole or not at all.
pub(super) fn write(file: &Path, spec: &Value) -> Result<(), KernelError> {
    let fail = |source| KernelError::Write { path: file.to_owned(), source };
    let directory = file.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(directory).map_err(fail)?;
    let mut temporary = OsString::from(directory.join("."));
    temporary.push(format!("{FILE}.{}", std::process::id()));
    let written = (|| {
        let mut out = fs::OpenOptions::new().write(true).create_new(true).open(&temporary)?;
        serde_json::to_writer_pretty(&mut out, spec)?;
        out.write_all(b"\n")?;
        out.sync_all()?;
        fs::rename(&temporary, file)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written.map_err(fail)
}

/// Takes a kernel spec away; whether other files are left in its directory.
pub(super) fn remove(file: &Path) -> Result<bool, KernelError> {
    fs::remove_file(file).map_err(|source| KernelError::Write { path: file.to_owned(), source })?;
    Ok(file.parent().is_some_and(|directory| fs::remove_dir(directory).is_err()))
}

/// Whether anybody may read this file, by the permissions of it and of all directories above.
pub(super) fn is_for_all(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    let Ok(path) = fs::canonicalize(path) else { return false };
    let allows = |path: &Path, bits| fs::metadata(path).is_ok_and(|m| m.permissions().mode() & bits == bits);
    allows(&path, 0o4) && path.ancestors().skip(1).all(|directory| allows(directory, 0o1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names() {
        for name in ["", ".", "..", ".x", "a/b", "ä", "a b"] {
            assert!(check_name(name).is_err(), "{name}");
        }
        assert_eq!(check_name("My-Kernel_3.1").unwrap(), "my-kernel_3.1");
    }

    #[test]
    fn only_what_carries_our_mark_is_ours() {
        let directory = tempfile::tempdir().unwrap();
        let file = file_of(directory.path(), "x");
        assert!(matches!(look(&file), There::Nothing));
        write(&file, &json!({"argv": ["python3"], "metadata": {}})).unwrap();
        assert!(matches!(look(&file), There::Foreign));
        assert!(ours(directory.path()).is_empty());
        let argv = ["/nowhere/terrarium", "run", "--", "/bin/sh"];
        write(&file, &json!({"argv": argv, "display_name": "X", "metadata": {"terrarium": {}}})).unwrap();
        let found = ours(directory.path());
        assert_eq!((found[0].name.as_str(), found[0].display_name.as_str()), ("x", "X"));
        assert_eq!(found[0].problem.as_deref(), Some("/nowhere/terrarium is not there"));
        fs::write(&file, "{").unwrap();
        assert!(matches!(look(&file), There::Foreign));
        // No temporary file stays, so the directory goes with the file.
        assert!(!remove(&file).unwrap());
        assert!(!file.parent().unwrap().exists());
    }

    #[test]
    fn who_may_read() {
        assert!(is_for_all(Path::new("/bin/sh")));
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("x");
        fs::write(&file, "").unwrap();
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o750)).unwrap();
        assert!(!is_for_all(&file));
        assert!(!is_for_all(Path::new("/nowhere")));
    }
}
