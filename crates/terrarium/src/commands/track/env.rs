//! `terrarium track env`: what switches tracking on for all processes of a shell, or of a site.

use std::path::Path;

use terrarium_jail::host::Host;
use terrarium_sys::process::user;

use crate::cli::track::{EnvArgs, EnvFormat};
use crate::error::CliError;
use crate::spool::Spool;
use crate::{hook, out, spool};

/// Returns the exit code.
pub(super) fn run(args: &EnvArgs) -> Result<u8, CliError> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let hook = hook::find(&variable).map_err(CliError::NoHook)?;
    let spool = match &args.spool {
        Some(spool) => spool.clone(),
        None if matches!(args.format, EnvFormat::Sh | EnvFormat::Csh) => {
            let found = spool::find(&variable, user());
            // Who starts each shell with this may never run a job.
            if let Ok(Spool { path, is_own: true }) = &found {
                spool::trim(&Host::default(), path, 0, &|| {});
            }
            found.map_or_else(|_| spool::OF_SITE.into(), |spool| spool.path)
        }
        None => spool::OF_SITE.into(),
    };
    out::result(text(args.format, &hook, &spool)?.trim_end())?;
    Ok(0)
}

/// A path in a file that is made of text; and a line ends where a line ends.
fn plain<'a>(flag: &'static str, path: &'a Path) -> Result<&'a str, CliError> {
    let refuse = |why: &str| CliError::Path { flag, path: path.to_owned(), why: why.to_owned() };
    if !path.is_absolute() {
        return Err(refuse("write an absolute path, such as /run/terrarium/spool"));
    }
    let text = path.to_str().ok_or_else(|| refuse("is not UTF-8"))?;
    if text.chars().any(char::is_control) { Err(refuse("holds control characters")) } else { Ok(text) }
}

fn text(format: EnvFormat, hook: &Path, spool: &Path) -> Result<String, CliError> {
    let directory = hook.parent().unwrap_or(Path::new("/"));
    let words = Words {
        hook: plain("hook", hook)?,
        directory: plain("hook", directory)?,
        spool: plain("--spool", spool)?,
    };
    if format == EnvFormat::Preload && spool != Path::new(spool::OF_SITE) {
        return Err(CliError::Conflict(format!(
            "--spool: a process that /etc/ld.so.preload alone reaches looks for {} and no other",
            spool::OF_SITE
        )));
    }
    let switch = || words.fill(include_str!("env/switch.sh"), sh);
    let containers = || words.fill(include_str!("env/containers.sh"), sh);
    Ok(match format {
        EnvFormat::Sh => [include_str!("env/sh.sh"), &switch(), &containers()].concat(),
        EnvFormat::ProfileD => [include_str!("env/profile.sh"), &switch(), &containers()].concat(),
        EnvFormat::Csh => words.fill(include_str!("env/switch.csh"), csh),
        EnvFormat::Module => words.fill(include_str!("env/module.tcl"), tcl),
        EnvFormat::Lmod => words.fill(include_str!("env/module.lua"), lua),
        EnvFormat::Preload => words.fill(include_str!("env/ld.so.preload"), str::to_owned),
        EnvFormat::Slurm => {
            [include_str!("env/slurm.sh"), &switch(), &words.fill(include_str!("env/slurm-end.sh"), sh)]
                .concat()
        }
        EnvFormat::Tmpfiles => {
            let mut text = words.fill(include_str!("env/tmpfiles.conf"), str::to_owned);
            let parent = spool.parent().filter(|parent| parent.ancestors().nth(2).is_some());
            for (path, mode) in parent.map(|parent| (parent, "0755")).into_iter().chain([(spool, "1777")]) {
                let path = tmpfiles(plain("--spool", path)?);
                text.push_str(&format!("d {path} {mode} root root -\n"));
            }
            text
        }
    })
}

/// What is put into the texts.
struct Words<'a> {
    hook: &'a str,
    directory: &'a str,
    spool: &'a str,
}

impl Words<'_> {
    /// Puts each word into its places, as one word of the language.
    fn fill(&self, template: &str, quote: fn(&str) -> String) -> String {
        let places = [("@HOOK@", self.hook), ("@DIRECTORY@", self.directory), ("@SPOOL@", self.spool)];
        let mut parts = template.split('@');
        let mut filled = parts.next().unwrap_or_default().to_owned();
        // What was put in is not looked at again.
        let mut is_name = true;
        for part in parts {
            let word = places.iter().find(|(place, _)| is_name && place.trim_matches('@') == part);
            match word {
                Some((_, word)) => filled.push_str(&quote(word)),
                None if is_name => filled.extend(["@", part]),
                None => filled.push_str(part),
            }
            is_name = word.is_none();
        }
        filled
    }
}

/// Within single quotes nothing has a meaning but their end.
fn sh(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// In csh, `!` has a meaning there too.
fn csh(word: &str) -> String {
    sh(word).replace('!', r"\!")
}

fn tcl(word: &str) -> String {
    let special = |c: char| r#"\"$[]{};"#.contains(c);
    let quoted: String =
        word.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect();
    format!("\"{quoted}\"")
}

fn lua(word: &str) -> String {
    format!("\"{}\"", word.replace('\\', r"\\").replace('"', "\\\""))
}

/// `%` begins what systemd puts in.
fn tmpfiles(word: &str) -> String {
    let word = word.replace('%', "%%");
    if word.contains([' ', '"', '\'', '\\']) { lua(&word) } else { word }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;
    use std::fs;
    use std::path::PathBuf;
    use std::process::Command;

    const HOOK: &str = "/opt/terrarium/lib/libterrarium_hook.so";

    /// A hook that is there, in a directory whose name is as bad as can be.
    fn place() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let odd = directory.path().join("it's \"$HOME\" `id` \\ [x]!");
        fs::create_dir(&odd).unwrap();
        let hook = odd.join("libterrarium_hook.so");
        fs::write(&hook, "").unwrap();
        let spool = odd.join("spool");
        (directory, hook, spool)
    }

    /// What a shell has in its environment after it read the text twice.
    fn after(shell: &[&str], text: &str, set: &[(&str, &str)]) -> String {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        let mut command = Command::new(shell[0]);
        command.args(&shell[1..]).arg(file.path()).env_clear().envs(set.iter().copied());
        let output = command.env("PATH", "/usr/bin:/bin").output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    const PRINT: &str =
        "printf '%s|%s|%s' \"${LD_PRELOAD-}\" \"${TERRARIUM_SPOOL-}\" \"${TERRARIUM_TRACK-}\"";

    /// A shell that has these variables, and sources the text as often as `$1` is named. They are set in it: its own dynamic
    /// linker is not to look for libraries that are not there.
    fn sourcing(text: &str, set: &[(&str, &str)], then: &str) -> String {
        let assign = |(name, value): &(&str, &str)| format!("export {name}={}; ", sh(value));
        let script: String = set.iter().map(assign).collect();
        after(&["sh", "-euc", &format!("{script}{then}"), "sh"], text, &[])
    }

    /// `LD_PRELOAD|TERRARIUM_SPOOL|TERRARIUM_TRACK`.
    fn in_sh(text: &str, set: &[(&str, &str)]) -> String {
        sourcing(text, set, &format!(". \"$1\"; . \"$1\"; {PRINT}"))
    }

    #[test]
    fn sh_takes_it_twice_and_keeps_what_was_there() {
        let (_directory, hook, spool) = place();
        let (own, at) = (hook.to_str().unwrap(), spool.to_str().unwrap());
        for format in [EnvFormat::Sh, EnvFormat::ProfileD] {
            let text = text(format, &hook, &spool).unwrap();
            assert_eq!(in_sh(&text, &[]), format!("{own}|{at}|"));
            let there = in_sh(&text, &[("LD_PRELOAD", "/a.so b.so"), ("TERRARIUM_SPOOL", "/s")]);
            assert_eq!(there, format!("/a.so b.so:{own}|/s|"));
            let other = "/x/libterrarium_hook.so";
            assert_eq!(in_sh(&text, &[("LD_PRELOAD", other)]), format!("{other}|{at}|"));
            assert_eq!(in_sh(&text, &[("TERRARIUM_TRACK", "off")]), "||off");
            fs::remove_file(&hook).unwrap();
            assert_eq!(in_sh(&text, &[]), "||", "a hook that is not there is not preloaded");
            fs::write(&hook, "").unwrap();
        }
    }

    #[test]
    fn the_file_of_who_does_not_want_it_is_heeded() {
        let (directory, hook, spool) = place();
        let home = directory.path().join("home");
        fs::create_dir_all(home.join(".config/terrarium")).unwrap();
        fs::write(home.join(".config/terrarium/no-track"), "").unwrap();
        let home = home.to_str().unwrap();
        let text = text(EnvFormat::Sh, &hook, &spool).unwrap();
        assert_eq!(in_sh(&text, &[("HOME", home)]), "||off");
        assert_eq!(in_sh(&text, &[("XDG_CONFIG_HOME", &format!("{home}/.config"))]), "||off");
        assert!(in_sh(&text, &[("HOME", "/nonexistent")]).ends_with(&format!("{}|", spool.display())));
    }

    #[test]
    fn slurms_prolog_prints_what_slurm_takes() {
        let (_directory, hook, spool) = place();
        let text = text(EnvFormat::Slurm, &hook, &spool).unwrap();
        assert!(text.starts_with("#!/bin/sh\n"));
        let got = sourcing(&text, &[("LD_PRELOAD", "/a.so")], ". \"$1\"");
        let wanted = format!(
            "export LD_PRELOAD=/a.so:{}\nexport TERRARIUM_SPOOL={}\n",
            hook.display(),
            spool.display()
        );
        assert_eq!(got, wanted);
        assert_eq!(after(&["sh"], &text, &[("TERRARIUM_TRACK", "off")]), "export TERRARIUM_TRACK=off\n");
    }

    #[test]
    fn every_format_says_where_it_belongs_and_fills_all_places() {
        for format in EnvFormat::value_variants() {
            let got = text(*format, Path::new(HOOK), Path::new(spool::OF_SITE)).unwrap();
            assert!(got.starts_with(['#', '-']) && got.contains("/run/terrarium/spool"), "{got}");
            assert!(*format == EnvFormat::Tmpfiles || got.contains(HOOK), "{got}");
            assert!(!["@HOOK@", "@SPOOL@", "@DIRECTORY@"].iter().any(|place| got.contains(place)), "{got}");
        }
        let preload = text(EnvFormat::Preload, Path::new(HOOK), Path::new(spool::OF_SITE)).unwrap();
        let lines: Vec<&str> = preload.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(lines, [HOOK]);
        assert!(text(EnvFormat::Preload, Path::new(HOOK), Path::new("/s")).is_err());
    }

    #[test]
    fn words_of_each_language() {
        assert_eq!(tcl(r#"/a $b[c]"\"#), r#""/a \$b\[c\]\"\\""#);
        assert_eq!(lua(r#"/a"\"#), r#""/a\"\\""#);
        assert_eq!(csh("a'b!"), r"'a'\''b\!'");
        let text = text(EnvFormat::Tmpfiles, Path::new(HOOK), Path::new("/x/a b/50%")).unwrap();
        assert!(
            text.ends_with("d \"/x/a b\" 0755 root root -\nd \"/x/a b/50%%\" 1777 root root -\n"),
            "{text}"
        );
        let plain =
            super::text(EnvFormat::Tmpfiles, Path::new(HOOK), Path::new("/run/terrarium/spool")).unwrap();
        assert!(
            plain.ends_with("d /run/terrarium 0755 root root -\nd /run/terrarium/spool 1777 root root -\n")
        );
        let words = Words { hook: "@SPOOL@", directory: "/d", spool: "/s" };
        assert_eq!(words.fill("a@b @HOOK@@SPOOL@ c@", str::to_owned), "a@b @SPOOL@/s c@");
    }

    #[test]
    fn what_cannot_be_written_is_refused() {
        for spool in ["relative", "/a\nb"] {
            assert!(text(EnvFormat::Sh, Path::new(HOOK), Path::new(spool)).is_err(), "{spool:?}");
        }
    }
}
