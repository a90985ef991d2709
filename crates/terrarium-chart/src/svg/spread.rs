//! Where names stand that must not overlap.

/// Places as near as can be to the wanted ones, which are in order: at least `step` apart, from `top` to `bottom`.
/// `None` if there is no room for all.
pub(super) fn spread(wanted: &[f64], step: f64, top: f64, bottom: f64) -> Option<Vec<f64>> {
    let last = bottom - step * wanted.len().saturating_sub(1) as f64;
    if last < top {
        return None;
    }
    // Without its share of steps, each place must only not be before the one above: groups that would are moved to
    // their mean together.
    let mut groups: Vec<(f64, usize)> = Vec::new();
    for (i, place) in wanted.iter().enumerate() {
        let mut group = (place - step * i as f64, 1);
        while let Some(above) = groups.pop_if(|above| above.0 > group.0) {
            let count = above.1 + group.1;
            group = ((above.0 * above.1 as f64 + group.0 * group.1 as f64) / count as f64, count);
        }
        groups.push(group);
    }
    let places = groups.iter().flat_map(|(place, count)| std::iter::repeat_n(place.clamp(top, last), *count));
    Some(places.enumerate().map(|(i, place)| place + step * i as f64).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_move_no_more_than_they_must() {
        assert_eq!(spread(&[10.0, 100.0], 20.0, 0.0, 200.0).unwrap(), [10.0, 100.0]);
        assert_eq!(spread(&[100.0, 100.0], 20.0, 0.0, 200.0).unwrap(), [90.0, 110.0]);
        assert_eq!(spread(&[0.0, 0.0, 0.0], 20.0, 0.0, 200.0).unwrap(), [0.0, 20.0, 40.0]);
        assert_eq!(spread(&[200.0, 200.0], 20.0, 0.0, 200.0).unwrap(), [180.0, 200.0]);
        assert_eq!(spread(&[1.0; 12], 20.0, 0.0, 200.0), None);
        assert_eq!(spread(&[], 20.0, 0.0, 200.0).unwrap(), [0.0; 0]);
    }

    proptest! {
        #[test]
        fn names_never_overlap(mut wanted in proptest::collection::vec(0.0f64..250.0, 0..13)) {
            wanted.sort_by(f64::total_cmp);
            let places = spread(&wanted, 20.0, 0.0, 250.0).unwrap();
            prop_assert!(places.windows(2).all(|pair| pair[1] - pair[0] >= 20.0 - 1e-6), "{places:?}");
            prop_assert!(places.iter().all(|place| (-1e-6..=250.0 + 1e-6).contains(place)), "{places:?}");
        }
    }
}
