//! From points to what is drawn: runs without gaps, thinned so that peaks stay.

use crate::{Line, TimeChart};

/// Points that belong together: time and value, in order.
pub type Run = Vec<(f64, f64)>;

/// Cuts a line where a value is missing or the next is more than `gap` later.
pub fn of(line: &Line, gap: f64) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut open = false;
    for (x, y) in &line.points {
        let Some(y) = y.filter(|y| y.is_finite() && x.is_finite()) else {
            open = false;
            continue;
        };
        match runs.last_mut() {
            Some(run) if open && run.last().is_some_and(|last| *x - last.0 <= gap) => run.push((*x, y)),
            _ => runs.push(vec![(*x, y)]),
        }
        open = true;
    }
    runs
}

/// The same picture with few points: of each of `buckets` slices of time the first, lowest, highest and last.
///
/// Runs shorter than a slice become one for each slice, from its lowest to its highest: what is too narrow to be seen
/// must not make the file long.
pub fn thin(runs: &[Run], duration: f64, buckets: usize) -> Vec<Run> {
    let bucket = |x: f64| (x / duration.max(f64::MIN_POSITIVE) * buckets as f64).floor() as i64;
    let mut thinned: Vec<Run> = Vec::new();
    // The slice of the short run that was added last.
    let mut short: Option<i64> = None;
    for run in runs {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
        let own = (bucket(first.0) == bucket(last.0)).then(|| bucket(first.0));
        if own.is_some()
            && own == short
            && let Some(before) = thinned.last_mut()
        {
            let all: Run = before.iter().chain(run).copied().collect();
            *before = slice(&all);
            continue;
        }
        short = own;
        thinned.push(run.chunk_by(|a, b| bucket(a.0) == bucket(b.0)).flat_map(slice).collect());
    }
    thinned
}

/// First, lowest, highest and last, in order of time.
fn slice(points: &[(f64, f64)]) -> Run {
    if points.len() <= 4 {
        return points.to_vec();
    }
    let by_value = |a: &usize, b: &usize| points[*a].1.total_cmp(&points[*b].1);
    let low = (0..points.len()).min_by(by_value).unwrap_or(0);
    let high = (0..points.len()).max_by(by_value).unwrap_or(0);
    let mut kept = vec![0, low, high, points.len() - 1];
    kept.sort_unstable();
    kept.dedup();
    kept.into_iter().map(|i| points[i]).collect()
}

/// What is known of a slice of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slice {
    /// The middle of its points.
    pub at: f64,
    /// The lowest of them.
    pub low: f64,
    /// Their mean.
    pub mean: f64,
    /// The highest.
    pub high: f64,
}

/// Of each of `buckets` slices of time the lowest, mean and highest, for more points than can be told apart. Runs stay
/// apart unless both lie in one slice.
pub fn slices(runs: &[Run], duration: f64, buckets: usize) -> Vec<Vec<Slice>> {
    let bucket = |x: f64| (x / duration.max(f64::MIN_POSITIVE) * buckets as f64).floor() as i64;
    let mut joined: Vec<Run> = Vec::new();
    for run in runs {
        let within = |a: &Run| Some(bucket(a.first()?.0) == bucket(run.last()?.0));
        match joined.last_mut() {
            Some(before) if within(before) == Some(true) => before.extend(run),
            _ => joined.push(run.clone()),
        }
    }
    let summed = |points: &[(f64, f64)]| {
        let count = points.len() as f64;
        Slice {
            at: points.iter().map(|p| p.0).sum::<f64>() / count,
            low: points.iter().map(|p| p.1).fold(f64::INFINITY, f64::min),
            mean: points.iter().map(|p| p.1).sum::<f64>() / count,
            high: points.iter().map(|p| p.1).fold(f64::NEG_INFINITY, f64::max),
        }
    };
    joined.iter().map(|run| run.chunk_by(|a, b| bucket(a.0) == bucket(b.0)).map(summed).collect()).collect()
}

/// Where no line of the chart has data, from 0 to its end; shorter than its `gap` does not count.
pub fn gaps(chart: &TimeChart) -> Vec<(f64, f64)> {
    gaps_of(chart, &chart.lines)
}

/// Where none of some of its lines has data.
pub fn gaps_of(chart: &TimeChart, lines: &[Line]) -> Vec<(f64, f64)> {
    let mut known: Vec<(f64, f64)> = Vec::new();
    for run in lines.iter().flat_map(|line| of(line, chart.gap)) {
        if let (Some(first), Some(last)) = (run.first(), run.last()) {
            known.push((first.0, last.0));
        }
    }
    known.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut gaps = Vec::new();
    let mut end = 0.0;
    for (from, to) in known.into_iter().chain([(chart.duration, chart.duration)]) {
        // A line that is looked at now and then fills no gap of the others, and none of its own counts as one.
        if from - end > chart.gap {
            gaps.push((end, from));
        }
        end = f64::max(end, to);
    }
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Quantity;
    use crate::testing::{chart, line};
    use proptest::prelude::*;

    #[test]
    fn nothing_leads_over_a_gap() {
        let line =
            line("a", &[(0.0, Some(1.0)), (1.0, Some(2.0)), (2.0, None), (3.0, Some(3.0)), (9.0, Some(4.0))]);
        assert_eq!(of(&line, 3.0), [vec![(0.0, 1.0), (1.0, 2.0)], vec![(3.0, 3.0)], vec![(9.0, 4.0)]]);
        assert_eq!(gaps(&chart(Quantity::Cpus, 20.0, vec![line.clone()])), [(3.0, 9.0), (9.0, 20.0)]);
        assert_eq!(gaps(&chart(Quantity::Cpus, 9.0, vec![line])), [(3.0, 9.0)]);
        assert_eq!(gaps(&chart(Quantity::Cpus, 9.0, vec![])), [(0.0, 9.0)]);
    }

    #[test]
    fn a_spike_of_one_sample_stays() {
        let run: Run = (0..100_000).map(|i| (f64::from(i), if i == 77_777 { 9.0 } else { 1.0 })).collect();
        let slices = slices(std::slice::from_ref(&run), 100_000.0, 600);
        assert_eq!((slices.len(), slices[0].len()), (1, 600));
        assert_eq!(slices[0].iter().filter(|s| s.high == 9.0 && s.low == 1.0).count(), 1);
        let thinned = thin(&[run], 100_000.0, 600);
        assert!(thinned[0].len() <= 600 * 4);
        assert_eq!(thinned[0].iter().find(|p| p.1 == 9.0), Some(&(77_777.0, 9.0)));
    }

    #[test]
    fn many_small_gaps_stay_small() {
        let points: Vec<_> =
            (0..100_000).map(|i| (f64::from(i), (i % 2 == 0).then_some(f64::from(i % 7)))).collect();
        let runs = of(&line("a", &points), 3.0);
        assert_eq!(runs.len(), 50_000);
        assert_eq!(slices(&runs, 100_000.0, 600).len(), 600);
        let thinned = thin(&runs, 100_000.0, 600);
        assert_eq!(thinned.len(), 600);
        assert!(thinned.iter().all(|run| run.iter().any(|p| p.1 == 6.0) && run.iter().any(|p| p.1 == 0.0)));
    }

    proptest! {
        #[test]
        fn thinning_keeps_what_was_highest_and_lowest(
            values in proptest::collection::vec(proptest::option::weighted(0.9, 0.0f64..1e9), 1..400),
            buckets in 1usize..50,
        ) {
            let points: Vec<_> = values.iter().enumerate().map(|(i, v)| (i as f64, *v)).collect();
            let runs = of(&line("a", &points), 3.0);
            let thinned = thin(&runs, points.len() as f64, buckets);
            let ends = |runs: &[Run]| {
                let all: Vec<f64> = runs.iter().flatten().map(|p| p.1).collect();
                (all.iter().copied().reduce(f64::min), all.into_iter().reduce(f64::max))
            };
            prop_assert_eq!(ends(&runs), ends(&thinned));
            prop_assert!(thinned.iter().flatten().is_sorted_by(|a, b| a.0 <= b.0));
        }
    }
}
