//! Cases by hand, cases by chance against the optimum, and how long a large case takes.

use proptest::prelude::*;

use super::exact::best_curve;
use super::*;

fn owners(needs: &[&[u32]]) -> Vec<Owner> {
    needs.iter().map(|needs| Owner::new(needs.iter().copied())).collect()
}

fn curve(cover: &Cover) -> Vec<usize> {
    cover.curve.iter().map(|content| content.owners).collect()
}

#[test]
fn nobody_needs_anything() {
    assert_eq!(cover(&[]), Cover { curve: vec![Content::default()], ..Cover::default() });
    let cover = cover(&owners(&[&[], &[]]));
    assert_eq!((cover.order, cover.after, cover.curve[0].owners), (vec![], vec![0, 0], 2));
}

#[test]
fn more_owners_for_each_package_come_first() {
    // 7 makes two content; 1, 2 and 3 make three content, but cost three; 9 makes one.
    let cover = cover(&owners(&[&[9], &[1, 2, 3], &[3, 2, 1, 1], &[1, 2], &[7], &[7], &[]]));
    assert_eq!(cover.order, [7, 9, 1, 2, 3]);
    assert_eq!(curve(&cover), [1, 3, 4, 4, 5, 7]);
    assert_eq!(cover.after, [2, 5, 5, 4, 1, 1, 0]);
}

#[test]
fn weights_decide() {
    let mut owners = owners(&[&[1], &[2, 3]]);
    owners[1].weight = 5;
    let cover = cover(&owners);
    assert_eq!(cover.order, [2, 3, 1]);
    assert_eq!(cover.curve.iter().map(|content| content.weight).collect::<Vec<_>>(), [0, 0, 5, 6]);
}

#[test]
fn two_together_beat_one() {
    // Alone each of the three costs two; all three together cost three packages, and 9 with 8 brings one for two.
    let cover = cover(&owners(&[&[1, 2], &[2, 3], &[1, 3], &[0, 4]]));
    assert_eq!(curve(&cover), [0, 0, 1, 3, 3, 4]);
}

#[test]
fn weights_too_large_to_add_do_no_harm() {
    let owners: Vec<Owner> = (0..4).map(|n| Owner { needs: vec![n, n + 1], weight: u64::MAX }).collect();
    assert_eq!(cover(&owners).curve[5].weight, u64::MAX);
    assert_eq!(bound(&owners, 5), u64::MAX);
}

#[test]
fn the_optimum_of_cases_by_hand() {
    let owners = owners(&[&[9], &[1, 2, 3], &[1, 2], &[7], &[7], &[]]);
    assert_eq!(best(&owners, 0), Some(Best { packages: vec![], weight: 1 }));
    assert_eq!(best(&owners, 1), Some(Best { packages: vec![7], weight: 3 }));
    assert_eq!(best(&owners, 3), Some(Best { packages: vec![1, 2, 7], weight: 4 }));
    assert_eq!(best(&owners, 99).map(|best| best.weight), Some(6));
    assert_eq!(best(&[Owner::new(0..=MOST_EXACT as u32)], 1), None);
}

proptest! {
    #[test]
    fn never_better_than_the_optimum_nor_the_optimum_than_the_bound(
        needs in proptest::collection::vec((proptest::collection::vec(0u32..12, 0..6), 0u64..4), 0..20)
    ) {
        let owners: Vec<Owner> = needs.into_iter().map(|(needs, weight)| Owner { needs, weight }).collect();
        let cover = cover(&owners);
        let optimum = best_curve(&owners).unwrap();
        prop_assert_eq!(cover.curve.len(), optimum.len());
        for (k, (content, optimum)) in cover.curve.iter().zip(&optimum).enumerate() {
            prop_assert!(content.weight <= *optimum);
            prop_assert!(*optimum <= bound(&owners, k));
            prop_assert_eq!(best(&owners, k).unwrap().weight, *optimum);
        }
        prop_assert_eq!(cover.curve.last().unwrap().owners, owners.len());
        let mut order = cover.order.clone();
        order.sort_unstable();
        order.dedup();
        prop_assert_eq!(order.len(), cover.order.len());
        // The curve is what the order gives.
        for (k, content) in cover.curve.iter().enumerate() {
            let has_all = |owner: &&Owner| owner.needs.iter().all(|need| cover.order[..k].contains(need));
            prop_assert_eq!(owners.iter().filter(has_all).count(), content.owners);
        }
    }
}

/// Numbers by chance, the same each time (SplitMix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % end
    }

    fn part(&mut self) -> f64 {
        self.below(1 << 53) as f64 / (1u64 << 53) as f64
    }

    /// A package by Zipf's law: the first twice as often as the second.
    fn package(&mut self, packages: u32) -> u32 {
        let rank = (f64::from(packages) + 1.0).powf(self.part()) - 1.0;
        (rank as u32).min(packages - 1)
    }

    fn owners(&mut self, owners: usize, packages: u32, needs: (u64, u64)) -> Vec<Owner> {
        let mut made: Vec<Owner> = Vec::new();
        for _ in 0..owners {
            let count = needs.0 + self.below(needs.1 - needs.0 + 1);
            let mut chosen: Vec<u32> = (0..count).map(|_| self.package(packages)).collect();
            // Some build on what a colleague has.
            if !made.is_empty() && self.below(3) == 0 {
                let other = self.below(made.len() as u64) as usize;
                chosen.truncate(1 + chosen.len() / 3);
                chosen.extend(&made[other].needs);
                chosen.truncate(needs.1 as usize);
            }
            made.push(Owner::new(chosen));
        }
        made
    }
}

#[test]
fn close_to_the_optimum_on_a_thousand_small_cases() {
    let mut chance = Chance(20_261_128);
    let (mut ratios, mut count, mut at_least) = (0.0, 0u32, 1.0f64);
    let (mut areas, mut least_area, mut is_best) = (0.0, 1.0f64, 0);
    for _ in 0..1000 {
        let packages = 6 + chance.below(9) as u32;
        let owners = 8 + chance.below(33) as usize;
        let needs = (1, 3 + chance.below(4));
        let owners = chance.owners(owners, packages, needs);
        let optimum = best_curve(&owners).unwrap();
        let curve: Vec<u64> = cover(&owners).curve.iter().map(|content| content.weight).collect();
        for (ours, optimum) in curve.iter().zip(&optimum).filter(|(_, optimum)| **optimum > 0) {
            let ratio = *ours as f64 / *optimum as f64;
            (ratios, count, at_least) = (ratios + ratio, count + 1, at_least.min(ratio));
        }
        let area = curve.iter().sum::<u64>() as f64 / optimum.iter().sum::<u64>() as f64;
        (areas, least_area) = (areas + area, least_area.min(area));
        is_best += u32::from(curve == optimum);
    }
    let mean = ratios / f64::from(count);
    let said = format!(
        "mean {mean:.4}, least at one k {at_least:.3}, area mean {:.4}, area least {least_area:.4}, optimal {is_best}",
        areas / 1000.0
    );
    assert!(mean >= 0.9 && least_area >= 0.75, "{said}");
}

#[test]
fn five_thousand_owners_take_well_below_a_second() {
    let owners = Chance(7).owners(5000, 3000, (5, 60));
    let begin = std::time::Instant::now();
    let cover = cover(&owners);
    let took = begin.elapsed();
    assert_eq!(cover.curve.last().unwrap().owners, 5000);
    let k = cover.order.len() / 2;
    assert!(cover.curve[k].weight <= bound(&owners, k));
    // Ten times what it takes, for a machine that does other things.
    assert!(took.as_secs() < 5, "{took:?}");
}
