//! A chart in words: for those who cannot see it, and for checking what is seen.

use crate::quantity::time;
use crate::{Line, TimeChart, runs};

/// More gaps than this are counted and not named.
const NAMED_GAPS: usize = 3;

/// The facts of a chart: what, how long, range, the peak and when, limits, gaps.
pub fn describe(chart: &TimeChart) -> String {
    let mut parts = vec![format!("{}, over {}.", chart.title, time(chart.duration))];
    parts.extend(chart.lines.iter().map(|line| describe_line(chart, line)));
    for limit in &chart.limits {
        let shown = if chart.shows(limit) { "" } else { " (far above, not drawn)" };
        parts.push(format!("{}: {}{shown}.", capital(&limit.name), chart.quantity.phrase(limit.value)));
    }
    if chart.has_data() {
        parts.extend(describe_gaps(&runs::gaps(chart), chart.duration));
    }
    parts.join(" ")
}

fn describe_line(chart: &TimeChart, line: &Line) -> String {
    let name = capital(&line.name);
    let Some((low, high)) = extremes(line) else { return format!("{name}: no data.") };
    let say = |value| chart.quantity.phrase(value);
    // What is looked at now and then has gaps all the time.
    let is_dense = line.points.iter().filter(|point| point.1.is_some()).count() * 2 > line.points.len();
    let own = Some(runs::gaps_of(chart, std::slice::from_ref(line)))
        .filter(|gaps| is_dense && *gaps != runs::gaps(chart))
        .and_then(|gaps| describe_gaps(&gaps, chart.duration))
        .map(|text| format!(" {text}"))
        .unwrap_or_default();
    if low.1 == high.1 {
        return format!("{name}: {} throughout.{own}", say(high.1));
    }
    format!("{name}: {} to {}, highest at {}.{own}", say(low.1), say(high.1), time(high.0))
}

/// The first lowest and the first highest point.
pub fn extremes(line: &Line) -> Option<((f64, f64), (f64, f64))> {
    let points = line.points.iter().filter_map(|(x, y)| Some((*x, y.filter(|y| y.is_finite())?)));
    points.fold(None, |found, point| {
        let (mut low, mut high) = found.unwrap_or((point, point));
        if point.1 < low.1 {
            low = point;
        }
        if point.1 > high.1 {
            high = point;
        }
        Some((low, high))
    })
}

fn describe_gaps(gaps: &[(f64, f64)], duration: f64) -> Option<String> {
    let spans: Vec<String> =
        gaps.iter().map(|(from, to)| format!("{} to {}", time(*from), time(*to))).collect();
    match spans.len() {
        0 => None,
        n if n <= NAMED_GAPS => Some(format!("No data from {}.", spans.join(", from "))),
        n => {
            let missing: f64 = gaps.iter().map(|(from, to)| to - from).sum();
            let share = crate::quantity::number((missing / duration * 100.0).round());
            Some(format!("No data in {n} gaps, together {} ({share} %).", time(missing)))
        }
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|c| c.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{chart, line};
    use crate::{Limit, Quantity};

    #[test]
    fn the_facts_are_told() {
        let points = [(0.0, Some(1.0)), (60.0, Some(3.5)), (61.0, None), (600.0, Some(0.5))];
        let mut chart = chart(Quantity::Cpus, 600.0, vec![line("in use", &points), line("other", &[])]);
        chart.gap = 61.0;
        chart.limits = vec![Limit { name: "CPUs of the job".to_owned(), value: 64.0 }];
        assert_eq!(
            describe(&chart),
            "Test, over 10 min 00 s. In use: 0.50 CPUs to 3.50 CPUs, highest at 1 min 00 s. Other: no data. \
             CPUs of the job: 64 CPUs (far above, not drawn). No data from 1 min 00 s to 10 min 00 s."
        );
    }

    #[test]
    fn a_line_can_have_gaps_of_its_own() {
        let all: Vec<_> = (0..=20).map(|i| (f64::from(i), Some(1.0))).collect();
        let some: Vec<_> = all.iter().map(|p| (p.0, p.1.filter(|_| p.0 < 5.0 || p.0 > 9.0))).collect();
        let text = describe(&chart(Quantity::Cpus, 20.0, vec![line("a", &all), line("b", &some)]));
        assert!(
            text.ends_with("A: 1 CPU throughout. B: 1 CPU throughout. No data from 4.0 s to 10.0 s."),
            "{text}"
        );
    }

    #[test]
    fn many_gaps_are_counted() {
        let points: Vec<_> = (0..10).map(|i| (f64::from(i) * 10.0, Some(1.0))).collect();
        let text = describe(&chart(Quantity::Count("threads"), 90.0, vec![line("threads", &points)]));
        assert!(
            text.ends_with("Threads: 1 throughout. No data in 9 gaps, together 1 min 30 s (100 %)."),
            "{text}"
        );
    }
}
