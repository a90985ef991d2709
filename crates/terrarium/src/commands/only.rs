//! `--only` before anything starts: what is named, and whether the command could be found in what is shown.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use terrarium_jail::only::{Link, Place, links, places};
use terrarium_jail::spec::{Only, View};
use terrarium_jail::view::RealFiles;

use crate::cli::OnlyArg;
use crate::error::CliError;

/// As many as the kernel follows.
const MOST_LINKS: usize = 40;

/// Where a path leads to, and each symbolic link on the way, with what of the path is left behind it.
struct Walked {
    end: PathBuf,
    links: Vec<(Link, PathBuf)>,
}

/// Follows a path as the kernel does, from an absolute one; what is not there is taken as it is written.
fn walk(path: &Path) -> Walked {
    let parts = |path: &Path| -> Vec<OsString> {
        let named = |c: Component<'_>| match c {
            Component::Normal(_) | Component::ParentDir => Some(c.as_os_str().to_owned()),
            _ => None,
        };
        path.components().filter_map(named).collect()
    };
    let mut walked = Walked { end: "/".into(), links: Vec::new() };
    let mut left: VecDeque<OsString> = parts(path).into();
    while let Some(part) = left.pop_front() {
        if part == ".." {
            walked.end.pop();
            continue;
        }
        let next = walked.end.join(&part);
        match next.read_link() {
            Ok(to) if walked.links.len() < MOST_LINKS => {
                if to.is_absolute() {
                    walked.end = "/".into();
                }
                walked.links.push((Link { path: next, to: to.clone() }, left.iter().collect()));
                parts(&to).into_iter().rev().for_each(|part| left.push_front(part));
            }
            _ => walked.end = next,
        }
    }
    walked
}

/// What is named, without symbolic links, and the links that the names went through.
pub(crate) fn named(args: &[OnlyArg]) -> Result<(Vec<Only>, Vec<Link>), CliError> {
    let (mut all, mut ways): (Vec<Only>, Vec<Link>) = Default::default();
    for arg in args {
        let only = Only { path: super::run::existing("--only", &arg.path)?, read_only: arg.read_only };
        if !all.contains(&only) {
            all.push(only);
        }
        if let Ok(path) = std::path::absolute(&arg.path) {
            ways.extend(walk(&path).links.into_iter().map(|(link, _)| link));
        }
    }
    ways.sort_by(|a, b| a.path.cmp(&b.path));
    ways.dedup();
    Ok((all, ways))
}

/// What the job will see, to look things up in.
struct Shown<'a> {
    view: &'a View,
    places: Vec<Place>,
    links: Vec<Link>,
    home: Option<PathBuf>,
}

/// Refuses what could not work: a working directory, a command, or a Python behind it, that is not shown.
pub(crate) fn check(
    view: &View,
    command: &[OsString],
    directory: Option<&Path>,
    env: &[(OsString, OsString)],
) -> Result<(), CliError> {
    if view.only.is_empty() {
        return Ok(());
    }
    terrarium_jail::view::check(view, &RealFiles).map_err(terrarium_jail::JailError::from)?;
    let variable = |name: &str| env.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_os_str());
    let shown = Shown {
        view,
        places: places(view, &RealFiles),
        links: links(view, &RealFiles),
        home: variable("HOME").map(PathBuf::from),
    };
    let directory = directory.unwrap_or(Path::new("/"));
    if directory != Path::new("/") && !shown.has(directory) {
        let wide = ["/tmp", "/var/tmp"].map(Path::new).contains(&directory)
            || shown.home.as_deref().is_some_and(|home| home.starts_with(directory));
        return Err(CliError::DirectoryNotShown { directory: directory.to_owned(), wide });
    }
    for only in &view.only {
        shown.check_environment(&only.path)?;
    }
    let path = variable("PATH").unwrap_or(OsStr::new("/bin:/usr/bin"));
    match command.first() {
        Some(name) => shown.check_command(name, path, directory, MOST_INTERPRETERS),
        None => Ok(()),
    }
}

/// As many as the kernel follows from script to script.
const MOST_INTERPRETERS: usize = 5;

impl Shown<'_> {
    fn has(&self, path: &Path) -> bool {
        let tmp = |place: &Place| view_tmp(&place.path) && !self.is_named(path);
        self.places.iter().any(|place| path.starts_with(&place.path) && !tmp(place))
    }

    /// Not only because all of /tmp is: the job's own is empty.
    fn is_named(&self, path: &Path) -> bool {
        let binds = self.view.binds.iter().map(|bind| &bind.target);
        self.view.only.iter().map(|only| &only.path).chain(binds).any(|named| path.starts_with(named))
    }

    /// What a path of the job is on the host.
    fn on_host(&self, path: &Path) -> PathBuf {
        let bind = self.view.binds.iter().rev().find(|bind| path.starts_with(&bind.target));
        match bind.and_then(|bind| Some((bind, path.strip_prefix(&bind.target).ok()?))) {
            Some((bind, rest)) if rest.as_os_str().is_empty() => bind.source.clone(),
            Some((bind, rest)) => bind.source.join(rest),
            None => path.to_owned(),
        }
    }

    /// Refuses a path that leads to something that is not shown, or through it.
    fn check_path(&self, what: &str, path: &Path) -> Result<(), CliError> {
        if self.view.binds.iter().any(|bind| path.starts_with(&bind.target)) {
            return Ok(());
        }
        let walked = walk(path);
        let lost = walked.links.iter().find(|(link, _)| !self.has(&link.path) && !self.links.contains(link));
        let lost = lost.map(|(link, rest)| match rest.as_os_str().is_empty() {
            true => link.path.clone(),
            false => link.path.join(rest),
        });
        match lost.or_else(|| (!self.has(&walked.end)).then_some(walked.end)) {
            Some(lost) => Err(CliError::NotShown {
                what: what.to_owned(),
                path: path.to_owned(),
                add: self.suggest(&lost),
                leads_to: lost,
            }),
            None => Ok(()),
        }
    }

    /// What to name so that a program can run: with its libraries, but not a whole home.
    fn suggest(&self, program: &Path) -> PathBuf {
        let directory = program.parent().unwrap_or(program);
        // pyenv, asdf and mise call what stands for a program a shim.
        let in_bin =
            directory.file_name().is_some_and(|name| name == "bin" || name == "sbin" || name == "shims");
        match directory.parent().filter(|_| in_bin) {
            Some(prefix)
                if prefix.parent().is_some()
                    && !self.home.as_deref().is_some_and(|home| home.starts_with(prefix)) =>
            {
                prefix.to_owned()
            }
            _ if in_bin => directory.to_owned(),
            _ => program.to_owned(),
        }
    }

    /// A virtual environment has its standard library elsewhere.
    fn check_environment(&self, directory: &Path) -> Result<(), CliError> {
        let Ok(text) = fs::read_to_string(directory.join("pyvenv.cfg")) else { return Ok(()) };
        let home = text.lines().filter_map(|line| line.split_once('=')).find(|(key, _)| key.trim() == "home");
        match home {
            Some((_, home)) if home.trim().starts_with('/') => {
                let what = format!("{}/pyvenv.cfg: its Python", directory.display());
                self.check_path(&what, &Path::new(home.trim()).join("python3"))
            }
            _ => Ok(()),
        }
    }

    /// The first that exec would find, if there is one at all.
    fn find(&self, name: &OsStr, path: &OsStr, directory: &Path) -> Option<PathBuf> {
        if name.as_bytes().contains(&b'/') {
            return Some(directory.join(name)).filter(|file| self.on_host(file).exists());
        }
        let is_program = |file: &PathBuf| {
            let found = fs::metadata(self.on_host(file));
            found.is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
        };
        std::env::split_paths(path).map(|entry| directory.join(entry).join(name)).find(is_program)
    }

    fn check_command(
        &self,
        name: &OsStr,
        path: &OsStr,
        directory: &Path,
        scripts: usize,
    ) -> Result<(), CliError> {
        let Some(file) = self.find(name, path, directory) else { return Ok(()) };
        self.check_path("the command", &file)?;
        let prefix = file.parent().and_then(Path::parent);
        prefix.map_or(Ok(()), |prefix| self.check_environment(prefix))?;
        match interpreter(&self.on_host(&file)).filter(|_| scripts > 0) {
            Some(next) => self.check_command(&next, path, directory, scripts - 1),
            None => Ok(()),
        }
    }
}

fn view_tmp(path: &Path) -> bool {
    ["/tmp", "/var/tmp"].iter().any(|tmp| path == Path::new(tmp))
}

/// What the first line of a script names; behind `env`, the command that env looks for.
fn interpreter(script: &Path) -> Option<OsString> {
    let mut start = Vec::new();
    fs::File::open(script).ok()?.take(256).read_to_end(&mut start).ok()?;
    let line = start.strip_prefix(b"#!")?.split(|b| *b == b'\n').next()?;
    let mut words = line.split(|b| b.is_ascii_whitespace()).filter(|word| !word.is_empty());
    let program = OsStr::from_bytes(words.next()?);
    if Path::new(program).file_name().is_some_and(|name| name == "env") {
        let mut command = words.filter(|word| !word.starts_with(b"-") && !word.contains(&b'='));
        return command.next().map(|word| OsStr::from_bytes(word).to_owned());
    }
    Some(program.to_owned())
}

/// Variables that name a place for temporary files which the job does not see lead to its own /tmp.
pub(crate) fn own_tmp(view: &View, env: &mut [(OsString, OsString)]) {
    if view.only.is_empty() {
        return;
    }
    let shown = Shown { view, places: Vec::new(), links: Vec::new(), home: None };
    for (name, value) in env {
        let is_tmp = ["TMPDIR", "TMP", "TEMP"].iter().any(|tmp| name == tmp);
        let path = Path::new(value.as_os_str());
        if is_tmp && path.is_absolute() && !view_tmp(path) && !shown.is_named(&walk(path).end) {
            *value = "/tmp".into();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn shown(view: &View) -> Shown<'_> {
        let (places, links) = (places(view, &RealFiles), links(view, &RealFiles));
        Shown { view, places, links, home: Some("/home/u".into()) }
    }

    fn only(path: &Path) -> OnlyArg {
        OnlyArg { path: path.to_owned(), read_only: true }
    }

    /// As uv and pyenv do: an environment whose Python is a link to a link elsewhere.
    fn tree() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        for path in ["venv/bin", "pythons/3.12.3/bin", "project"] {
            fs::create_dir_all(root.join(path)).unwrap();
        }
        let program = |path: &str, text: &str| {
            fs::write(root.join(path), text).unwrap();
            fs::set_permissions(root.join(path), fs::Permissions::from_mode(0o755)).unwrap();
        };
        program("pythons/3.12.3/bin/python3.12", "");
        program("project/run", &format!("#!{}/venv/bin/python3 -u\n", root.display()));
        program("project/by-env", "#!/usr/bin/env -S python3 -u\n");
        symlink("3.12.3", root.join("pythons/3.12")).unwrap();
        symlink(root.join("pythons/3.12/bin/python3.12"), root.join("venv/bin/python3")).unwrap();
        symlink("project", root.join("alias")).unwrap();
        let home = format!("home = {}/pythons/3.12/bin\nversion = 3.12.3\n", root.display());
        fs::write(root.join("venv/pyvenv.cfg"), home).unwrap();
        (dir, root)
    }

    fn view(paths: &[PathBuf]) -> View {
        let args: Vec<OnlyArg> = paths.iter().map(|path| only(path)).collect();
        let (only, links) = named(&args).unwrap();
        View { only, links, ..View::default() }
    }

    #[test]
    fn names_through_links_lead_there_in_the_job() {
        let (_dir, root) = tree();
        let view = view(&[root.join("alias"), root.join("project")]);
        assert_eq!(view.only, [Only { path: root.join("project"), read_only: true }]);
        assert_eq!(view.links, [Link { path: root.join("alias"), to: "project".into() }]);
    }

    #[test]
    fn what_to_name_is_said() {
        let (_dir, root) = tree();
        let python = root.join("venv/bin/python3");
        let path = OsString::from(format!("{}/venv/bin:/usr/bin:/bin", root.display()));
        let lost = |view: &View, command: &Path| {
            let result = shown(view).check_command(command.as_os_str(), &path, &root.join("project"), 5);
            match result {
                Ok(()) => None,
                Err(CliError::NotShown { add, .. }) => Some(add),
                Err(other) => panic!("{other}"),
            }
        };
        let venv = view(&[root.join("venv")]);
        let pythons = root.join("pythons/3.12");
        // The name that the link has, not the one that it leads to: it may lead elsewhere tomorrow.
        assert_eq!(lost(&venv, &python), Some(pythons.clone()));
        assert_eq!(lost(&venv, Path::new("python3")), Some(pythons.clone()));
        let both = view(&[root.join("venv"), pythons.clone()]);
        assert_eq!(lost(&both, &python), None);
        assert_eq!(lost(&both, Path::new("./run")), Some(root.join("project/run")));
        let project = view(&[root.join("project")]);
        assert_eq!(lost(&project, Path::new("./run")), Some(root.join("venv")));
        assert_eq!(lost(&project, Path::new("./by-env")), Some(root.join("venv")));
        assert_eq!(lost(&project, Path::new("no-such-command")), None);
        assert_eq!(lost(&project, Path::new("true")), None);
    }

    #[test]
    fn an_environment_of_copies_needs_its_library_too() {
        let (_dir, root) = tree();
        fs::remove_file(root.join("venv/bin/python3")).unwrap();
        fs::copy(root.join("pythons/3.12/bin/python3.12"), root.join("venv/bin/python3")).unwrap();
        let venv = view(&[root.join("venv")]);
        let error = shown(&venv).check_environment(&root.join("venv")).unwrap_err();
        assert!(error.to_string().contains("pyvenv.cfg: its Python"), "{error}");
        let both = view(&[root.join("venv"), root.join("pythons")]);
        shown(&both).check_environment(&root.join("venv")).unwrap();
    }

    #[test]
    fn a_whole_home_is_never_suggested() {
        let view = View::default();
        let shown = shown(&view);
        let suggest = |path: &str| shown.suggest(Path::new(path)).display().to_string();
        assert_eq!(suggest("/home/u/bin/python3"), "/home/u/bin");
        assert_eq!(suggest("/home/u/.local/bin/tool"), "/home/u/.local");
        assert_eq!(suggest("/opt/conda/envs/x/bin/python"), "/opt/conda/envs/x");
        assert_eq!(suggest("/home/u/run.sh"), "/home/u/run.sh");
        assert_eq!(suggest("/home/u/.pyenv/shims/python3"), "/home/u/.pyenv");
    }

    #[test]
    fn temporary_files_go_to_the_jobs_own_tmp() {
        let (_dir, root) = tree();
        let view = view(&[root.join("project")]);
        let inside = root.join("project/tmp").into_os_string();
        let mut env: Vec<(OsString, OsString)> = vec![
            ("TMPDIR".into(), "/tmp/job-17".into()),
            ("TEMP".into(), "/var/tmp".into()),
            ("TMP".into(), inside.clone()),
            ("HOME".into(), "/home/u".into()),
        ];
        own_tmp(&view, &mut env);
        let values: Vec<_> = env.into_iter().map(|(_, value)| value).collect();
        assert_eq!(values, ["/tmp".into(), "/var/tmp".into(), inside, OsString::from("/home/u")]);
    }
}
