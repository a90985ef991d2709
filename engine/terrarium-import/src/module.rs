//! A module by its name and its file: which directory it was found in, and what that makes of it.

use terrarium_segment::{Kind, Module};
use terrarium_site::{OWN_CODE, Origin};

use crate::meaning::cut;

/// What a directory is by the site's rules, and its path without names.
pub(crate) type Place = (Origin, String);

/// The directory that a module was found in; none for what is the interpreter's own, or has no file.
pub(crate) fn directory<'a>(name: &str, path: &'a str) -> Option<&'a str> {
    if !path.starts_with('/') {
        return None;
    }
    match installed(path) {
        Some(end) => Some(&path[..end]),
        None if is_standard(path) => None,
        None => Some(above(path, name)),
    }
}

/// The end of `…/site-packages`.
fn installed(path: &str) -> Option<usize> {
    let marks = ["/site-packages/", "/dist-packages/"];
    marks.iter().filter_map(|mark| path.find(mark).map(|at| at + mark.len() - 1)).min()
}

/// The row of a module. `place` is what its directory is.
pub(crate) fn row(name: &str, path: &str, version: &str, place: Option<&Place>, merge_own: bool) -> Module {
    let file = path.rsplit('/').next().unwrap_or_default();
    let kind = match (path, file.rsplit('.').next()) {
        ("built-in" | "builtin", _) => Kind::BuiltIn,
        ("frozen", _) => Kind::NoFile,
        (_, Some("so" | "pyd")) => Kind::Extension,
        (_, Some("py" | "pyc" | "pyo")) => Kind::File,
        _ => Kind::Unknown,
    };
    let mut row = Module {
        name: cut(name),
        distribution: None,
        version: Some(cut(version)).filter(|version| !version.is_empty()),
        origin: Origin::Python.name().to_owned(),
        place: String::new(),
        kind,
    };
    let Some((origin, place)) = place else {
        if !path.starts_with('/') && kind == Kind::Unknown {
            row.origin = Origin::Unknown.name().to_owned();
        }
        return row;
    };
    row.origin = origin.name().to_owned();
    row.place.clone_from(place);
    match installed(path) {
        Some(end) => {
            let (distribution, of_egg) = egg(&path[end..]);
            row.distribution = distribution;
            row.version = row.version.or(of_egg);
        }
        None => {
            let is_own = matches!(
                origin,
                Origin::Home | Origin::Project | Origin::Scratch | Origin::NodeLocal | Origin::Unknown
            );
            if is_own && merge_own {
                // Where it lies could tell more than its name.
                row.name = OWN_CODE.to_owned();
                row.place.clear();
            }
        }
    }
    row
}

/// `…/lib/python3.11/json/__init__.py` is the interpreter's own.
fn is_standard(path: &str) -> bool {
    ["/lib/python", "/lib64/python"].iter().any(|mark| {
        path.find(mark).is_some_and(|at| {
            let rest = &path[at + mark.len()..];
            let version = rest.split('/').next().unwrap_or_default();
            version.starts_with(|c: char| c.is_ascii_digit())
                && version.chars().all(|c| c.is_ascii_digit() || c == '.')
        })
    })
}

/// Name and version of `/numpy-1.26.4-py3.11-linux-x86_64.egg/…`.
fn egg(path: &str) -> (Option<String>, Option<String>) {
    let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    let Some(stem) = first.strip_suffix(".egg") else { return (None, None) };
    let mut parts = stem.split('-');
    (parts.next().map(cut), parts.next().map(cut))
}

/// The directory that a module was found in: above as many directories as its name has parts.
fn above<'a>(path: &'a str, name: &str) -> &'a str {
    let parts = name.split('.').count();
    let file = path.rsplit('/').next().unwrap_or_default();
    let ups = parts + usize::from(file.starts_with("__init__."));
    let mut directory = path;
    for _ in 0..ups {
        directory = directory.rsplit_once('/').map_or("", |(above, _)| above);
    }
    if directory.is_empty() { "/" } else { directory }
}

#[cfg(test)]
mod tests {
    use super::*;
    use terrarium_site::{Site, User};

    fn site(rules: &str) -> Site {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("site.toml");
        std::fs::write(&path, rules).unwrap();
        Site::load(Some(&path)).unwrap()
    }

    fn at(path: &str, name: &str) -> (String, String, String) {
        let site = site("[[origin]]\nclass = 'base'\npath = '/soft/applications/conda/*'\n");
        let user = User { name: "alice".into(), group: 0, home: None };
        let place = directory(name, path).map(|directory| {
            let found = site.locate(&user, directory);
            (found.origin, found.path)
        });
        let row = row(name, path, "", place.as_ref(), site.merge_own);
        (row.name, row.origin, row.place)
    }

    #[test]
    fn where_modules_lie() {
        let base = "/soft/applications/conda/2026/lib/python3.11";
        for (path, name, expected) in [
            (
                format!("{base}/site-packages/scipy/__init__.py"),
                "scipy",
                ("scipy", "base", format!("{base}/site-packages")),
            ),
            (format!("{base}/json/decoder.py"), "json.decoder", ("json.decoder", "python", String::new())),
            (
                "/home/alice/.conda/envs/a/lib/python3.11/site-packages/x/y.py".into(),
                "x.y",
                ("x.y", "home", "~/.conda/envs/a/lib/python3.11/site-packages".into()),
            ),
            (
                "/home/bob/v/lib/python3.11/site-packages/x.py".into(),
                "x",
                ("x", "home", "{home}/v/lib/python3.11/site-packages".into()),
            ),
            ("/home/alice/run/helper/__init__.py".into(), "helper", ("(own code)", "home", String::new())),
            ("built-in".into(), "sys", ("sys", "python", String::new())),
            (String::new(), "numpy", ("numpy", "unknown", String::new())),
            ("/cvmfs/python/3.8.2/lib/python3.8/gzip.py".into(), "gzip", ("gzip", "python", String::new())),
        ] {
            let (name_is, origin, place) = at(&path, name);
            assert_eq!((name_is.as_str(), origin.as_str(), place), expected, "{path}");
        }
        assert_eq!(above("/a/b/pkg/sub/__init__.py", "pkg.sub"), "/a/b");
        assert_eq!(above("/a/b/pkg/mod.py", "pkg.mod"), "/a/b");
        assert_eq!(egg("/numpy-1.26.4-py3.11.egg/numpy/__init__.py").1.as_deref(), Some("1.26.4"));
    }
}
