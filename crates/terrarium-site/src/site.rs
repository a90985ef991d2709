//! A site's wishes, and what they make of paths and people.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::rules::{Caught, Class, Origin, OwnCode, Pattern, SiteFile, USUAL, Users};
use crate::{SiteError, User};

/// A file of rules is never longer.
const LONGEST: u64 = 1 << 20;

/// A key is at least so long, and one that is made has so many bytes.
const SHORTEST_KEY: usize = 16;
const KEY: usize = 32;

/// A path of more parts is nobody's.
const MOST_PARTS: usize = 64;

/// What is put in the place of own code's names.
pub const OWN_CODE: &str = "(own code)";

/// What a site wants.
#[derive(Clone, Debug)]
pub struct Site {
    /// The name of the cluster.
    pub cluster: String,
    /// Records of processes without Python are kept too.
    pub other_programs: bool,
    key: Option<Vec<u8>>,
    /// Names of scripts are kept.
    pub scripts: bool,
    /// Own code has no names.
    pub merge_own: bool,
    origins: Vec<Rule>,
    environments: Vec<(Class, Pattern)>,
}

#[derive(Clone, Debug)]
struct Rule {
    class: Origin,
    pattern: Pattern,
    is_of_site: bool,
}

/// Where something lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// What the place is.
    pub origin: Origin,
    /// Without names of people and projects.
    pub path: String,
    /// Which rule says so, for people.
    pub rule: String,
}

impl Site {
    /// From a file of rules; without one what is usual.
    pub fn load(path: Option<&Path>) -> Result<Self, SiteError> {
        let Some(path) = path else { return Self::of(SiteFile::default(), Path::new("/")) };
        let failed = |why: String| SiteError::Rules { path: path.to_owned(), why };
        let mut text = String::new();
        let file = fs::File::open(path).map_err(|e| failed(e.to_string()))?;
        file.take(LONGEST).read_to_string(&mut text).map_err(|e| failed(e.to_string()))?;
        let rules: SiteFile =
            toml::from_str(&text).map_err(|e| failed(e.to_string().trim_end().to_owned()))?;
        Self::of(rules, path)
    }

    /// For a user's own store: names stay, and so do own code's.
    pub fn load_for_oneself(path: Option<&Path>) -> Result<Self, SiteError> {
        let mut site = match Self::load(path) {
            // The key is none of the user's business.
            Err(SiteError::Key { .. }) | Ok(_) => Self::without_key(path)?,
            Err(error) => return Err(error),
        };
        (site.merge_own, site.scripts) = (false, true);
        Ok(site)
    }

    fn without_key(path: Option<&Path>) -> Result<Self, SiteError> {
        let Some(path) = path else { return Self::load(None) };
        let text = fs::read_to_string(path)
            .map_err(|e| SiteError::Rules { path: path.to_owned(), why: e.to_string() })?;
        let mut rules: SiteFile = toml::from_str(&text)
            .map_err(|e| SiteError::Rules { path: path.to_owned(), why: e.to_string() })?;
        rules.privacy.users = Users::Names;
        Self::of(rules, path)
    }

    fn of(rules: SiteFile, path: &Path) -> Result<Self, SiteError> {
        let failed = |why: String| SiteError::Rules { path: path.to_owned(), why };
        let mut origins = Vec::new();
        let of_site = rules.origin.iter().map(|rule| (rule.class, rule.path.as_str(), true));
        let usual = USUAL.iter().map(|(class, pattern)| (*class, *pattern, false));
        for (class, pattern, is_of_site) in of_site.chain(usual) {
            let pattern = pattern.parse().map_err(|e| failed(format!("[[origin]] {e}")))?;
            origins.push(Rule { class, pattern, is_of_site });
        }
        let environments = rules
            .environment
            .iter()
            .map(|rule| {
                Ok((rule.class, rule.prefix.parse().map_err(|e| failed(format!("[[environment]] {e}")))?))
            })
            .collect::<Result<_, SiteError>>()?;
        let cluster = rules.cluster.unwrap_or_else(|| "local".to_owned());
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if cluster.is_empty() || cluster.len() > 64 || !cluster.chars().all(is_name) {
            return Err(failed("cluster: write letters, digits, `-`, `_` and `.`, 64 at most".to_owned()));
        }
        let key = match (rules.privacy.users, rules.privacy.key_file) {
            (Users::Names, _) => None,
            (Users::Pseudonyms, Some(file)) => Some(read_key(&file)?),
            (Users::Pseudonyms, None) => {
                return Err(failed(
                    "users = \"pseudonyms\" needs a key: key_file = \"/etc/terrarium/key\"".to_owned(),
                ));
            }
        };
        Ok(Site {
            cluster,
            other_programs: rules.keep.other_programs,
            key,
            scripts: rules.privacy.scripts,
            merge_own: rules.privacy.own_code == OwnCode::Merged,
            origins,
            environments,
        })
    }

    /// Whether users are pseudonyms.
    pub fn has_pseudonyms(&self) -> bool {
        self.key.is_some()
    }

    /// How a user is called in all that leaves the node. Without the key nobody can tell who it is, nor try names.
    pub fn name(&self, user: &str) -> String {
        let Some(key) = &self.key else { return user.to_owned() };
        // A key of any length is allowed.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return "u-".to_owned() };
        mac.update(user.as_bytes());
        let tag = mac.finalize().into_bytes();
        tag.iter().take(8).fold("u-".to_owned(), |text, byte| text + &format!("{byte:02x}"))
    }

    /// Where a path of this user's process lies.
    pub fn locate(&self, user: &User, path: &str) -> Location {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let is_plain = path.starts_with('/') && parts.len() <= MOST_PARTS && !parts.contains(&"..");
        if !is_plain {
            return Location { origin: Origin::Unknown, path: String::new(), rule: "(no path)".to_owned() };
        }
        let caught = |rule: &'_ Rule| rule.pattern.catches(&parts).map(|caught| (rule.class, caught));
        let of_site = self.origins.iter().filter(|rule| rule.is_of_site);
        let usual = self.origins.iter().filter(|rule| !rule.is_of_site);
        let said = |mut rules: Box<dyn Iterator<Item = &Rule> + '_>| {
            rules.find_map(|rule| caught(rule).map(|found| (found, rule.pattern.to_string())))
        };
        let ((origin, caught), rule) = said(Box::new(of_site))
            .or_else(|| home(user, &parts).map(|found| (found, "(home of the user)".to_owned())))
            .or_else(|| said(Box::new(usual)))
            .unwrap_or(((Origin::Unknown, Caught::default()), "(no rule)".to_owned()));
        Location { origin, path: self.relative(user, origin, &caught, &parts), rule }
    }

    /// What a rule caught in front, without the names in it; and no part that is the user's name.
    fn relative(&self, user: &User, origin: Origin, caught: &Caught<'_>, parts: &[&str]) -> String {
        let (front, rest) = parts.split_at(caught.depth);
        let is_own = match (home_of(user), caught.user) {
            // Nobody says where the home is: it is what has the user's name.
            (None, name) => name == Some(user.name.as_str()),
            (Some(home), name) => {
                name.is_none_or(|name| name == user.name) && (front.starts_with(&home) || home == front)
            }
        };
        let mut out = String::new();
        match origin {
            Origin::Home if is_own => out.push('~'),
            // `.local/lib` is part of what was caught.
            Origin::UserSite if is_own => out.push_str("~/.local/lib"),
            Origin::UserSite => out.push_str("{home}/.local/lib"),
            Origin::Home => out.push_str("{home}"),
            Origin::Project => out.push_str("{project}"),
            Origin::Scratch => out.push_str("{scratch}"),
            _ => front.iter().for_each(|part| {
                out.push('/');
                out.push_str(if caught.user == Some(*part) {
                    "{user}"
                } else if caught.project == Some(*part) {
                    "{project}"
                } else {
                    part
                });
            }),
        }
        for part in rest {
            out.push('/');
            let is_name = *part == user.name || caught.user == Some(*part);
            out.push_str(match is_name {
                true => "{user}",
                false if caught.project == Some(*part) => "{project}",
                false => part,
            });
        }
        if out.is_empty() { "/".to_owned() } else { out }
    }

    /// Whose home a path lies in, as far as the rules tell.
    pub fn owner<'a>(&self, path: &'a str) -> Option<&'a str> {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        if parts.len() > MOST_PARTS {
            return None;
        }
        let homes = self.origins.iter().filter(|rule| matches!(rule.class, Origin::Home | Origin::UserSite));
        homes.filter_map(|rule| rule.pattern.catches(&parts)?.user).next()
    }

    /// What an environment is, by its prefix; `None`: no rule says so.
    pub fn environment(&self, prefix: &str) -> Option<Class> {
        let parts: Vec<&str> = prefix.split('/').filter(|part| !part.is_empty()).collect();
        if parts.len() > MOST_PARTS {
            return None;
        }
        self.environments
            .iter()
            .find(|(_, pattern)| pattern.catches(&parts).is_some())
            .map(|(class, _)| *class)
    }

    /// All rules on origins, in their order, for a dry run.
    pub fn rules(&self) -> impl Iterator<Item = (String, &'static str)> {
        self.origins.iter().map(|rule| (rule.pattern.to_string(), rule.class.name()))
    }
}

fn home_of(user: &User) -> Option<Vec<&str>> {
    let home = user.home.as_deref()?.to_str()?;
    let parts: Vec<&str> = home.split('/').filter(|part| !part.is_empty()).collect();
    // `/` is nobody's home.
    (!parts.is_empty()).then_some(parts)
}

/// The user's own home, wherever it is.
fn home<'a>(user: &User, path: &[&'a str]) -> Option<(Origin, Caught<'a>)> {
    let home = home_of(user)?;
    let below = path.strip_prefix(home.as_slice())?;
    let is_site = below.starts_with(&[".local", "lib"]);
    let depth = home.len() + if is_site { 2 } else { 0 };
    let origin = if is_site { Origin::UserSite } else { Origin::Home };
    Some((origin, Caught { depth, ..Caught::default() }))
}

/// A key that nobody else may read.
fn read_key(path: &Path) -> Result<Vec<u8>, SiteError> {
    let failed = |why: &str| SiteError::Key { path: path.to_owned(), why: why.to_owned() };
    let file = fs::OpenOptions::new()
        .read(true)
        .custom_flags(terrarium_sys::fds::NO_WAIT)
        .open(path)
        .map_err(|error| failed(&error.to_string()))?;
    let meta = file.metadata().map_err(|error| failed(&error.to_string()))?;
    if !meta.is_file() {
        return Err(failed("it is no plain file"));
    }
    if meta.permissions().mode() & 0o077 != 0 {
        return Err(failed("others may read it (chmod 600 helps)"));
    }
    if meta.uid() != terrarium_sys::process::user() && meta.uid() != 0 {
        return Err(failed("it belongs to another user"));
    }
    let mut key = Vec::new();
    file.take(4096).read_to_end(&mut key).map_err(|error| failed(&error.to_string()))?;
    if key.len() < SHORTEST_KEY {
        return Err(failed("it is shorter than 16 bytes"));
    }
    Ok(key)
}

/// Makes a new key, of random bytes.
pub fn make_key(path: &Path) -> Result<(), SiteError> {
    let failed = |error: std::io::Error| SiteError::Key { path: path.to_owned(), why: error.to_string() };
    let mut key = [0; KEY];
    fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut key)).map_err(failed)?;
    let mut file =
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    file.write_all(&key).and_then(|()| file.sync_all()).map_err(failed)
}

/// What rules catch, counted.
#[derive(Debug, Default)]
pub struct Hits {
    /// By rule: class, how many, and examples.
    by_rule: BTreeMap<String, (Origin, u64, Vec<String>)>,
}

/// So many examples of each.
const EXAMPLES: usize = 3;

impl Hits {
    /// One more.
    pub fn add(&mut self, location: Location) {
        let (origin, count, examples) = self.by_rule.entry(location.rule).or_default();
        *origin = location.origin;
        *count += 1;
        if examples.len() < EXAMPLES && !examples.contains(&location.path) {
            examples.push(location.path);
        }
    }

    /// A line for each rule, those that caught nothing too.
    pub fn lines(&self, site: &Site) -> Vec<String> {
        let mut lines = vec![format!("{:>9}  {:<11}  {:<32}  examples", "modules", "class", "rule")];
        let line = |rule: &str, class: &str, count: u64, examples: &[String]| {
            format!("{count:>9}  {class:<11}  {rule:<32}  {}", examples.join("  ")).trim_end().to_owned()
        };
        for (rule, class) in site.rules() {
            let (count, examples) =
                self.by_rule.get(&rule).map_or((0, &[][..]), |(_, count, examples)| (*count, examples));
            lines.push(line(&rule, class, count, examples));
        }
        for (rule, (origin, count, examples)) in self.by_rule.iter().filter(|(rule, _)| rule.starts_with('('))
        {
            lines.push(line(rule, origin.name(), *count, examples));
        }
        lines
    }
}

impl User {
    /// One whom no database knows.
    pub fn nobody(uid: u32) -> Self {
        User { name: uid.to_string(), group: u32::MAX - 1, home: None::<PathBuf> }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ada() -> User {
        User { name: "ada".to_owned(), group: 100, home: Some("/home/ada".into()) }
    }

    fn site(text: &str) -> Result<Site, SiteError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("site.toml");
        fs::write(&path, text).unwrap();
        Site::load(Some(&path))
    }

    fn at(site: &Site, path: &str) -> (Origin, String) {
        let location = site.locate(&ada(), path);
        (location.origin, location.path)
    }

    #[test]
    fn places_and_no_names() {
        let site = site(
            "cluster = 'polaris'\n[[origin]]\nclass = 'base'\npath = '/soft/conda/*'\n\
             [[origin]]\nclass = 'project'\npath = '/lus/*/projects/{project}'\n",
        )
        .unwrap();
        let cases = [
            (
                "/soft/conda/2024/lib/python3.11/site-packages",
                Origin::Base,
                "/soft/conda/2024/lib/python3.11/site-packages",
            ),
            ("/lus/eagle/projects/chem/env/chem/lib", Origin::Project, "{project}/env/{project}/lib"),
            ("/home/ada/venv/lib", Origin::Home, "~/venv/lib"),
            (
                "/home/ada/.local/lib/python3.11/site-packages",
                Origin::UserSite,
                "~/.local/lib/python3.11/site-packages",
            ),
            ("/home/bob/venv/lib", Origin::Home, "{home}/venv/lib"),
            ("/home/bob/.local/lib/x", Origin::UserSite, "{home}/.local/lib/x"),
            ("/scratch/ada/env", Origin::Scratch, "{scratch}/env"),
            ("/tmp/ada/env", Origin::NodeLocal, "/tmp/{user}/env"),
            ("/usr/lib/python3/dist-packages", Origin::System, "/usr/lib/python3/dist-packages"),
            ("/data/ada/x", Origin::Unknown, "/data/{user}/x"),
            ("relative", Origin::Unknown, ""),
            ("/home/ada/../bob/x", Origin::Unknown, ""),
        ];
        for (path, origin, relative) in cases {
            assert_eq!(at(&site, path), (origin, relative.to_owned()), "{path}");
        }
        assert_eq!((site.cluster.as_str(), site.other_programs, site.merge_own), ("polaris", true, true));
    }

    #[test]
    fn what_is_wrong_in_the_rules_is_said() {
        for (text, word) in [
            ("clustre = 'x'", "clustre"),
            ("cluster = 'a b'", "letters"),
            ("[[origin]]\nclass = 'house'\npath = '/h'", "house"),
            ("[[origin]]\nclass = 'home'\npath = 'h'", "absolute"),
            ("[privacy]\nusers = 'pseudonyms'", "key_file"),
            ("[privacy]\nusers = 'pseudonyms'\nkey_file = '/nonexistent/key'", "/nonexistent/key"),
        ] {
            let error = site(text).unwrap_err().to_string();
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    #[test]
    fn pseudonyms_need_the_key() {
        let directory = tempfile::tempdir().unwrap();
        let with = |name: &str| {
            let key = directory.path().join(name);
            if !key.exists() {
                make_key(&key).unwrap();
            }
            site(&format!("[privacy]\nusers = 'pseudonyms'\nkey_file = '{}'", key.display()))
        };
        let (one, other) = (with("a").unwrap(), with("b").unwrap());
        assert!(one.has_pseudonyms());
        assert_eq!(one.name("ada"), with("a").unwrap().name("ada"));
        assert_ne!(one.name("ada"), other.name("ada"));
        assert_ne!(one.name("ada"), one.name("bob"));
        assert!(one.name("ada").starts_with("u-") && one.name("ada").len() == 18);
        fs::set_permissions(directory.path().join("a"), fs::Permissions::from_mode(0o640)).unwrap();
        assert!(with("a").unwrap_err().to_string().contains("chmod"));
        fs::write(directory.path().join("b"), "short").unwrap();
        assert!(with("b").unwrap_err().to_string().contains("16 bytes"));
    }

    proptest! {
        #[test]
        fn no_name_is_left(front in "/(home|project|scratch|tmp|data|opt)", middle in "[a-z/]{0,20}", rest in "[a-z/.]{0,20}") {
            let site = Site::load(None).unwrap();
            let name = "x9person";
            let user = User { name: name.to_owned(), group: 1, home: Some(format!("/home/{name}").into()) };
            for path in [format!("{front}/{name}/{rest}"), format!("{front}/{middle}/{name}/{rest}")] {
                let location = site.locate(&user, &path);
                prop_assert!(!location.path.contains(name), "{path}: {}", location.path);
            }
        }
    }
}
