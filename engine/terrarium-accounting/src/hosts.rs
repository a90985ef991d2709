//! Names of nodes, which schedulers shorten.

use std::collections::HashSet;

/// Of a job with more nodes than this they are left out.
pub(crate) const MOST: usize = 20_000;

/// No name of a host is longer (RFC 1123).
const LONGEST: usize = 255;

/// The nodes of Slurm's `n[1-3,07],gpu01`; empty if there are more than [`MOST`], or if it cannot be
/// understood.
pub(crate) fn expand(list: &str) -> Vec<String> {
    let mut hosts = Vec::new();
    let mut rest = list.trim();
    while !rest.is_empty() {
        let (item, after) = first(rest);
        if product(item, &mut hosts).is_none() {
            return Vec::new();
        }
        rest = after;
    }
    hosts
}

/// Splits at the first comma that is not in brackets.
fn first(list: &str) -> (&str, &str) {
    let mut is_inside = false;
    for (at, byte) in list.bytes().enumerate() {
        match byte {
            b'[' => is_inside = true,
            b']' => is_inside = false,
            b',' if !is_inside => return (&list[..at], &list[at + 1..]),
            _ => {}
        }
    }
    (list, "")
}

/// Adds all names that one item stands for.
fn product(item: &str, hosts: &mut Vec<String>) -> Option<()> {
    let mut names = vec![String::new()];
    let mut rest = item.trim();
    while let Some(open) = rest.find('[') {
        let close = open + rest[open..].find(']')?;
        let ranges = ranges(&rest[open + 1..close])?;
        if names.len().checked_mul(ranges.len())? > MOST {
            return None;
        }
        let before = &rest[..open];
        names = names
            .iter()
            .flat_map(|name| ranges.iter().map(move |range| format!("{name}{before}{range}")))
            .collect();
        if names.iter().any(|name| name.len() > LONGEST) {
            return None;
        }
        rest = &rest[close + 1..];
    }
    if rest.contains(']') || rest.len() > LONGEST || hosts.len() + names.len() > MOST {
        return None;
    }
    for mut name in names {
        name.push_str(rest);
        if name.is_empty() || name.len() > LONGEST {
            return None;
        }
        hosts.push(name);
    }
    Some(())
}

/// The numbers of `1-3,007`, as wide as they were written.
fn ranges(text: &str) -> Option<Vec<String>> {
    let mut numbers = Vec::new();
    for range in text.split(',') {
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        let is_number =
            |part: &str| (1..=18).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(from) || !is_number(to) {
            return None;
        }
        let (first, last): (u64, u64) = (from.parse().ok()?, to.parse().ok()?);
        let more = usize::try_from(last.checked_sub(first)?).ok()?.checked_add(1)?;
        if numbers.len() + more > MOST {
            return None;
        }
        let width = from.len();
        numbers.extend((first..=last).map(|number| format!("{number:0width$}")));
    }
    Some(numbers)
}

/// Where a job ran.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Places {
    /// Different hosts.
    pub(crate) nodes: u32,
    /// Slots on all of them.
    pub(crate) slots: u32,
    /// Their names; empty if there are more than [`MOST`].
    pub(crate) hosts: Vec<String>,
}

/// Counts hosts and their slots, each once.
pub(crate) fn places<'a>(entries: impl Iterator<Item = (&'a str, u64)>) -> Places {
    let mut seen = HashSet::new();
    let mut hosts = Vec::new();
    let mut slots = 0u64;
    for (host, more) in entries {
        slots = slots.saturating_add(more);
        if !host.is_empty() && seen.insert(host) && hosts.len() <= MOST {
            hosts.push(host);
        }
    }
    let is_fine = hosts.len() <= MOST && hosts.iter().all(|host| host.len() <= LONGEST);
    let hosts = if is_fine { hosts.into_iter().map(str::to_owned).collect() } else { Vec::new() };
    Places {
        nodes: u32::try_from(seen.len()).unwrap_or(u32::MAX),
        slots: u32::try_from(slots).unwrap_or(0),
        hosts,
    }
}

/// The hosts of PBS's `n1/0*4+n2/0*4`, or Torque's `n1/0-3+n1/5`.
pub(crate) fn exec_host(text: &str) -> Places {
    places(text.split('+').map(|entry| {
        let (host, slot) = entry.trim().split_once('/').unwrap_or((entry.trim(), ""));
        let slots = match (slot.split_once('*'), slot.contains(['-', ','])) {
            (Some((_, times)), _) => times.parse().unwrap_or(1),
            (None, true) => torque_slots(slot),
            (None, false) => 1,
        };
        (host.split(':').next().unwrap_or_default(), slots)
    }))
}

/// How many slots `0-3,5` are.
fn torque_slots(text: &str) -> u64 {
    text.split(',').fold(0, |sum: u64, range| {
        let more = match range.split_once('-') {
            Some((from, to)) => match (from.parse::<u64>(), to.parse::<u64>()) {
                (Ok(from), Ok(to)) => to.saturating_sub(from).saturating_add(1),
                _ => 1,
            },
            None => 1,
        };
        sum.saturating_add(more)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_expanded() {
        assert_eq!(expand("n1"), ["n1"]);
        assert_eq!(expand("n[1-3,7],gpu01"), ["n1", "n2", "n3", "n7", "gpu01"]);
        assert_eq!(expand("n[08-11]"), ["n08", "n09", "n10", "n11"]);
        assert_eq!(expand("r[1-2]n[01-02]x"), ["r1n01x", "r1n02x", "r2n01x", "r2n02x"]);
        assert_eq!(expand("a[1,2],b[3]"), ["a1", "a2", "b3"]);
        assert_eq!(expand("n[1-20000]").len(), 20_000);
    }

    #[test]
    fn lists_that_are_too_long_or_broken_are_left_out() {
        let many = "n[1-20000],m";
        let long = format!("{}[1-2]", "n".repeat(300));
        for list in
            ["n[1-20001]", many, "n[1-200]m[1-200]", "n[1-99999999999999999]", "n[", "n[]", "n]", &long]
        {
            assert!(expand(list).is_empty(), "{list}");
        }
        assert!(expand("n[3-1]").is_empty());
        assert!(expand("n[1-é]").is_empty());
        assert!(expand("").is_empty());
    }

    #[test]
    fn exec_hosts_are_counted() {
        let places = exec_host("n1/0*4+n2/0*4");
        assert_eq!((places.nodes, places.slots), (2, 8));
        assert_eq!(places.hosts, ["n1", "n2"]);
        assert_eq!(exec_host("pbs1/0").slots, 1);
        let torque = exec_host("n1/0-3+n1/5+n2/1,3");
        assert_eq!((torque.nodes, torque.slots), (2, 7));
        assert_eq!(exec_host("n1/0*99999999999").slots, 0);
    }
}
