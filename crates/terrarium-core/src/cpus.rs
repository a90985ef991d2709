//! CPU lists in the kernel's notation (`0-3,8`).

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The highest CPU number that is accepted, plus one: the kernel's own `NR_CPUS` ceiling.
pub const MAX_CPUS: usize = 8192;

/// A set of CPU numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CpuSet(BTreeSet<usize>);

/// What `--cpus` asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CpuRequest {
    /// That many CPUs; which ones is ours to choose.
    Count(usize),
    /// Exactly these.
    List(CpuSet),
}

/// Why a CPU list could not be read or met.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum CpuError {
    /// Not a list.
    #[error("`{text}` is not a CPU list; write a count (2) or a list (0-3,8)")]
    Unreadable {
        /// What was given.
        text: String,
    },
    /// `0`, or an empty list.
    #[error("0 CPUs were asked for; a job needs at least 1")]
    None,
    /// A range that runs backwards.
    #[error("the range `{range}` runs backwards")]
    Backwards {
        /// The range.
        range: String,
    },
    /// More than may be used.
    #[error("{wanted} CPUs were asked for, but only {} may be used here ({allowed})", allowed.len())]
    TooMany {
        /// How many were asked for.
        wanted: usize,
        /// What may be used.
        allowed: CpuSet,
    },
    /// CPUs that are not there, or that this process may not use.
    #[error("CPU {missing} may not be used here; this process may use {allowed}")]
    NotAllowed {
        /// The ones that are missing.
        missing: CpuSet,
        /// What may be used.
        allowed: CpuSet,
    },
}

impl CpuSet {
    /// No CPU.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `cpu` is one of them.
    pub fn contains(&self, cpu: usize) -> bool {
        self.0.contains(&cpu)
    }

    /// In ascending order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().copied()
    }
}

impl FromIterator<usize> for CpuSet {
    fn from_iter<I: IntoIterator<Item = usize>>(iter: I) -> Self {
        CpuSet(iter.into_iter().collect())
    }
}

impl FromStr for CpuSet {
    type Err = CpuError;

    fn from_str(s: &str) -> Result<Self, CpuError> {
        let text = s.trim();
        let bad = || CpuError::Unreadable { text: text.to_owned() };
        let number = |t: &str| -> Result<usize, CpuError> {
            let n = t.trim().parse::<usize>().map_err(|_| bad())?;
            if n < MAX_CPUS { Ok(n) } else { Err(bad()) }
        };
        let mut set = BTreeSet::new();
        for part in text.split(',').filter(|p| !p.trim().is_empty()) {
            match part.split_once('-') {
                Some((a, b)) => {
                    let (a, b) = (number(a)?, number(b)?);
                    if a > b {
                        return Err(CpuError::Backwards { range: part.trim().to_owned() });
                    }
                    set.extend(a..=b);
                }
                None => {
                    set.insert(number(part)?);
                }
            }
        }
        Ok(CpuSet(set))
    }
}

impl fmt::Display for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cpus = self.iter().peekable();
        let mut first = true;
        while let Some(start) = cpus.next() {
            let mut end = start;
            while cpus.peek() == Some(&(end + 1)) {
                end += 1;
                cpus.next();
            }
            if !first {
                f.write_str(",")?;
            }
            first = false;
            if start == end { write!(f, "{start}")? } else { write!(f, "{start}-{end}")? }
        }
        Ok(())
    }
}

impl FromStr for CpuRequest {
    type Err = CpuError;

    /// A single number is a count; anything with `,` or `-` is a list (`3,` is CPU 3).
    fn from_str(s: &str) -> Result<Self, CpuError> {
        let text = s.trim();
        if text.contains([',', '-']) {
            let set: CpuSet = text.parse()?;
            return if set.is_empty() { Err(CpuError::None) } else { Ok(CpuRequest::List(set)) };
        }
        match text.parse::<usize>() {
            Ok(0) => Err(CpuError::None),
            Ok(n) if n <= MAX_CPUS => Ok(CpuRequest::Count(n)),
            _ => Err(CpuError::Unreadable { text: text.to_owned() }),
        }
    }
}

impl CpuRequest {
    /// The CPUs to use out of `allowed`.
    ///
    /// A count takes a block of neighbours (they share caches), a different block for each `seed`,
    /// so that many small jobs on a login node do not all pile up on CPU 0.
    pub fn choose(&self, allowed: &CpuSet, seed: usize) -> Result<CpuSet, CpuError> {
        match self {
            CpuRequest::Count(n) if *n > allowed.len() => {
                Err(CpuError::TooMany { wanted: *n, allowed: allowed.clone() })
            }
            CpuRequest::Count(n) => {
                let blocks = allowed.len() / n;
                Ok(allowed.iter().skip(seed % blocks * n).take(*n).collect())
            }
            CpuRequest::List(set) => {
                let missing: CpuSet = set.iter().filter(|c| !allowed.contains(*c)).collect();
                if missing.is_empty() {
                    Ok(set.clone())
                } else {
                    Err(CpuError::NotAllowed { missing, allowed: allowed.clone() })
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_number_is_a_count_and_a_list_is_a_list() {
        assert_eq!("2".parse(), Ok(CpuRequest::Count(2)));
        assert_eq!("0-3,8".parse(), Ok(CpuRequest::List([0, 1, 2, 3, 8].into_iter().collect())));
        assert_eq!("3,".parse(), Ok(CpuRequest::List([3].into_iter().collect())));
        assert_eq!("0".parse::<CpuRequest>(), Err(CpuError::None));
        assert_eq!(",".parse::<CpuRequest>(), Err(CpuError::None));
        for bad in ["", "x", "1-", "-1", "1-2-3", "1,x", "999999", "0-99999"] {
            assert!(bad.parse::<CpuRequest>().is_err(), "{bad}");
        }
        assert!(matches!("3-1".parse::<CpuRequest>(), Err(CpuError::Backwards { .. })));
    }

    #[test]
    fn chooses_only_what_is_allowed() {
        let allowed: CpuSet = "2-5".parse().unwrap();
        assert_eq!(CpuRequest::Count(2).choose(&allowed, 0).unwrap().to_string(), "2-3");
        assert_eq!(CpuRequest::Count(2).choose(&allowed, 1).unwrap().to_string(), "4-5");
        assert_eq!(CpuRequest::Count(3).choose(&allowed, 7).unwrap().to_string(), "2-4");
        let error = CpuRequest::Count(9).choose(&allowed, 0).unwrap_err().to_string();
        assert_eq!(error, "9 CPUs were asked for, but only 4 may be used here (2-5)");
        let error = CpuRequest::List("4-7".parse().unwrap()).choose(&allowed, 0).unwrap_err().to_string();
        assert_eq!(error, "CPU 6-7 may not be used here; this process may use 2-5");
    }

    proptest! {
        #[test]
        fn a_list_reads_back(cpus in proptest::collection::btree_set(0usize..300, 0..40)) {
            let set: CpuSet = cpus.into_iter().collect();
            prop_assert_eq!(set.to_string().parse::<CpuSet>().unwrap(), set);
        }

        #[test]
        fn a_count_is_met_exactly(n in 1usize..40, total in 1usize..80, seed in any::<usize>()) {
            let allowed: CpuSet = (0..total).collect();
            if let Ok(set) = CpuRequest::Count(n).choose(&allowed, seed) {
                prop_assert_eq!(set.len(), n);
            } else {
                prop_assert!(n > total);
            }
        }
    }
}
