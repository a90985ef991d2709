//! Users by number. A static program cannot ask the C library for those of a directory service; getent can.

use std::path::PathBuf;
use std::process::Command;

use terrarium_jail::host::Host;

/// What the user database says of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) group: u32,
    pub(crate) home: PathBuf,
}

/// The user with this number.
pub(crate) fn of(host: &Host, uid: u32) -> Option<User> {
    let passwd = host.read("/etc/passwd").unwrap_or_default();
    passwd.lines().find_map(|line| parse(line, uid)).or_else(|| {
        let answer = Command::new("getent").args(["passwd", "--", &uid.to_string()]).output().ok()?;
        String::from_utf8_lossy(&answer.stdout).lines().find_map(|line| parse(line, uid))
    })
}

/// Name of a user, or the number.
pub(crate) fn name_of(host: &Host, uid: u32) -> String {
    of(host, uid).map_or_else(|| uid.to_string(), |user| user.name)
}

fn parse(line: &str, uid: u32) -> Option<User> {
    let fields: Vec<&str> = line.split(':').collect();
    let [name, _, number, group, _, home, ..] = fields[..] else { return None };
    let is_it = !name.is_empty() && number.parse() == Ok(uid);
    is_it.then(|| Some(User { name: name.to_owned(), group: group.parse().ok()?, home: home.into() }))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_user_database() {
        let ada = User { name: "ada".to_owned(), group: 100, home: "/home/ada".into() };
        assert_eq!(parse("ada:x:1000:100:Ada:/home/ada:/bin/sh", 1000), Some(ada));
        for other in
            ["ada:x:1001:100:Ada:/home/ada:/bin/sh", "ada:x:1000", ":x:1000:100::/:", "", "a:x:1000:g::/:"]
        {
            assert_eq!(parse(other, 1000), None, "{other}");
        }
        assert_eq!(of(&Host::default(), 0).map(|root| root.name).as_deref(), Some("root"));
    }
}
