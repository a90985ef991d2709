//! The three ways in which a job can be held.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// How a job is held, weakest first: `--require` compares them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// Tier (b): ptrace, for an ordinary user on a host without user namespaces.
    Ptrace,
    /// Tier (a): an ordinary user's own user namespace with a PID namespace in it.
    Userns,
    /// Tier (c): root's PID namespace and cgroups.
    Root,
}

impl Tier {
    /// One line for people.
    pub fn describe(self) -> &'static str {
        match self {
            Tier::Ptrace => "ptrace (an ordinary user, no namespaces)",
            Tier::Userns => "userns (an ordinary user's own user and PID namespaces)",
            Tier::Root => "root (PID namespace made by root)",
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Tier::Ptrace => "ptrace",
            Tier::Userns => "userns",
            Tier::Root => "root",
        })
    }
}

/// The name is no tier.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("`{0}` is not a tier; write root, userns or ptrace")]
pub struct UnknownTier(String);

impl FromStr for Tier {
    type Err = UnknownTier;

    fn from_str(s: &str) -> Result<Self, UnknownTier> {
        match s {
            "ptrace" | "b" => Ok(Tier::Ptrace),
            "userns" | "a" => Ok(Tier::Userns),
            "root" | "c" => Ok(Tier::Root),
            other => Err(UnknownTier(other.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_strength() {
        assert!(Tier::Root > Tier::Userns && Tier::Userns > Tier::Ptrace);
        for tier in [Tier::Ptrace, Tier::Userns, Tier::Root] {
            assert_eq!(tier.to_string().parse(), Ok(tier));
        }
        assert!("none".parse::<Tier>().is_err());
    }
}
