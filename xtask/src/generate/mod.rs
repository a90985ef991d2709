//! Files made from the definition of the flags: man pages and completions.

mod man;

use std::path::{Path, PathBuf};

use clap::CommandFactory;
use clap_complete::Shell;

use crate::Result;

const COMPLETIONS: &[(Shell, &str)] = &[(Shell::Bash, "bash"), (Shell::Zsh, "zsh"), (Shell::Fish, "fish")];

/// Writes what has changed, and says what.
pub(crate) fn write(root: &Path) -> Result {
    for (path, text) in files() {
        let full = root.join(&path);
        if std::fs::read_to_string(&full).is_ok_and(|old| old == text) {
            continue;
        }
        let directory = full.parent().unwrap_or(root);
        std::fs::create_dir_all(directory)
            .and_then(|()| std::fs::write(&full, text))
            .map_err(|e| format!("{}: {e}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(())
}

/// Fails if [`write`] would write something.
pub(crate) fn check(root: &Path) -> Result {
    let stale: Vec<String> = stale(root)?.iter().map(|path| path.display().to_string()).collect();
    match stale.as_slice() {
        [] => Ok(()),
        _ => Err(format!("not what the generator makes: {}; run `cargo xtask generate`", stale.join(", "))),
    }
}

/// Files that are not what the generator makes, relative to the root.
pub(crate) fn stale(root: &Path) -> Result<Vec<PathBuf>> {
    let mut stale = Vec::new();
    for (path, text) in files() {
        match std::fs::read_to_string(root.join(&path)) {
            Ok(old) if old == text => {}
            Ok(_) => stale.push(path),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => stale.push(path),
            Err(e) => return Err(format!("{}: {e}", path.display())),
        }
    }
    Ok(stale)
}

/// Each file, relative to the root, with its text.
fn files() -> Vec<(PathBuf, String)> {
    // Man pages and completions of `help` help nobody.
    let mut command = terrarium::cli::Cli::command().disable_help_subcommand(true);
    command.build();
    let mut files = man::pages(&command);
    for (shell, extension) in COMPLETIONS {
        let mut text = Vec::new();
        clap_complete::generate(*shell, &mut terrarium::cli::Cli::command(), "terrarium", &mut text);
        let path = format!("share/completions/terrarium.{extension}");
        files.push((path.into(), String::from_utf8_lossy(&text).into_owned()));
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_twice() {
        assert_eq!(files(), files());
    }

    #[test]
    fn written_is_not_stale() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(stale(root.path()).unwrap().len(), files().len());
        assert!(check(root.path()).is_err());
        write(root.path()).unwrap();
        assert_eq!(stale(root.path()).unwrap(), Vec::<PathBuf>::new());
        std::fs::write(root.path().join("share/completions/terrarium.bash"), "old").unwrap();
        assert!(check(root.path()).unwrap_err().contains("terrarium.bash"));
    }
}
