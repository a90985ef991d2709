//! Tasks that are made up, so that the truth is known, and what the rules cost on them.

use std::path::PathBuf;

use terrarium_core::Bytes;

use super::rules::{OURS, RULES, Rule};
use super::trace::{Task, read_all};
use super::{Cost, mean, replay};

/// Numbers that look random and are the same each time (SplitMix64).
struct Numbers(u64);

impl Numbers {
    /// From 0 to 1.
    fn one(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Normal, mean 0 and deviation 1: the sum of twelve.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.one()).sum::<f64>() - 6.0
    }
}

/// 300 tasks of one kind; the user asks for three times the middle.
fn tasks(seed: u64, mut mib: impl FnMut(&mut Numbers, usize) -> f64) -> Vec<Task> {
    let mut numbers = Numbers(seed);
    (0..300)
        .map(|i| Task {
            kind: "a".to_owned(),
            peak: Bytes((mib(&mut numbers, i).max(1.0) * Bytes::MIB as f64) as u64),
            request: Bytes::mib(12_288),
            seconds: 60.0 + 600.0 * numbers.one(),
        })
        .collect()
}

fn cost(tasks: &[Task], rule: &str) -> Cost {
    replay(tasks, RULES.iter().find(|r| r.name == rule).unwrap())
}

/// Mean over seeds.
fn costs(rule: &str, mib: impl Fn(&mut Numbers, usize) -> f64) -> Cost {
    mean(&(0..20).map(|seed| cost(&tasks(seed, &mib), rule)).collect::<Vec<_>>())
}

fn stationary(numbers: &mut Numbers, _: usize) -> f64 {
    4096.0 * (1.0 + 0.02 * numbers.normal())
}

#[test]
fn equal_work_costs_little_and_does_not_fail() {
    let ours = costs(OURS, stationary);
    let usual = costs("max × 1.2", stationary);
    assert!(ours.retries_percent < 0.1, "{ours:?}");
    assert!(
        ours.waste_percent < 15.0 && ours.waste_percent < usual.waste_percent - 8.0,
        "{ours:?} {usual:?}"
    );
}

#[test]
fn inputs_of_all_sizes_fail_seldom() {
    let spread = |numbers: &mut Numbers, _: usize| 2048.0 * (0.3 * numbers.normal()).exp();
    let (ours, plain) = (costs(OURS, spread), costs("max × 1.1", spread));
    assert!(
        ours.retries_percent < 0.65 && ours.retries_percent < plain.retries_percent,
        "{ours:?} {plain:?}"
    );
}

#[test]
fn two_kinds_of_work_under_one_name() {
    let two = |numbers: &mut Numbers, _: usize| {
        let middle = if numbers.one() < 0.1 { 8192.0 } else { 1024.0 };
        middle * (1.0 + 0.03 * numbers.normal())
    };
    let (ours, plain) = (costs(OURS, two), costs("max × 1.1", two));
    assert!(
        ours.retries_percent <= plain.retries_percent && ours.retries_percent < 1.0,
        "{ours:?} {plain:?}"
    );
}

#[test]
fn work_that_grows_is_followed() {
    let grows =
        |numbers: &mut Numbers, i: usize| (1024.0 + 20.0 * i as f64) * (1.0 + 0.02 * numbers.normal());
    let ours = costs(OURS, grows);
    assert!(ours.retries_percent < 1.0 && ours.waste_percent < 40.0, "{ours:?}");
}

#[test]
fn a_fifth_of_small_tasks_is_no_margin() {
    let small = |numbers: &mut Numbers, _: usize| 4.0 + 12.0 * numbers.one().powi(8);
    let (ours, plain) = (costs(OURS, small), costs("max × 1.2", small));
    assert!(ours.retries_percent == 0.0 && plain.retries_percent > 0.2, "{ours:?} {plain:?}");
}

#[test]
fn a_rare_giant_costs_one_retry() {
    let mut all = tasks(1, |numbers, _| 1000.0 * (1.0 + 0.01 * numbers.normal()));
    all[200].peak = Bytes::mib(1900);
    let ours = cost(&all, OURS);
    assert!((ours.retries_percent - 100.0 / 300.0).abs() < 1e-9, "{ours:?}");
}

#[test]
fn a_perfect_rule_wastes_nothing() {
    let oracle = Rule { name: "x", ask: |_| Some(Bytes::mib(512)) };
    let same = tasks(3, |_, _| 512.0);
    assert_eq!(replay(&same, &oracle).waste_percent, 0.0);
}

/// On real tasks, where there are any (`TERRARIUM_TRACES`): better than 1.1 × the highest in both.
#[test]
fn real_traces() {
    let Some(directory) = std::env::var_os("TERRARIUM_TRACES").map(PathBuf::from) else { return };
    let traces = read_all(&directory).unwrap();
    let of = |rule: &str| mean(&traces.iter().map(|(_, tasks)| cost(tasks, rule)).collect::<Vec<_>>());
    let (ours, plain) = (of(OURS), of("max × 1.1"));
    assert!(ours.waste_percent < 21.0 && ours.retries_percent < 0.65, "{ours:?}");
    assert!(ours.retries_percent < plain.retries_percent, "{ours:?} {plain:?}");
}
