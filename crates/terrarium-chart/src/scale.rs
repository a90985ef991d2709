//! Ticks: round numbers, bytes in powers of 1024, time in the unit that people would choose.

use crate::Quantity;

/// A mark on an axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Tick {
    /// Where.
    pub value: f64,
    /// What stands there.
    pub label: String,
}

/// From 0 to the first round number that is not below `reach`; at most seven ticks. The last is the top of the scale.
pub fn values(quantity: Quantity, reach: f64) -> Vec<Tick> {
    let reach = if reach.is_finite() && reach > 0.0 { reach } else { 1.0 };
    // The round number above it is a number, too.
    let reach = reach.min(f64::MAX / 16.0);
    let step =
        if quantity.is_binary() { binary_step(reach) } else { decimal_step(reach, quantity.is_whole()) };
    let count = (reach / step - 1e-9).ceil().max(1.0) as usize;
    (0..=count).map(|i| i as f64 * step).map(|value| Tick { value, label: label(quantity, value) }).collect()
}

fn label(quantity: Quantity, value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    match quantity {
        Quantity::Percent(_) => format!("{} %", short(value)),
        _ if quantity.is_binary() => quantity.format(value).replace(".0 ", " "),
        _ => short(value),
    }
}

/// Without zeros at the end.
fn short(value: f64) -> String {
    let text = crate::quantity::number(value);
    let (digits, suffix) = text.split_at(text.trim_end_matches(char::is_alphabetic).len());
    if !digits.contains('.') || digits.contains('e') {
        return text;
    }
    format!("{}{suffix}", digits.trim_end_matches('0').trim_end_matches('.'))
}

/// 1, 2, 4, … 512 of a unit: a fifth of `reach` or a little more.
fn binary_step(reach: f64) -> f64 {
    let mut step = 1.0;
    while step * 5.0 < reach {
        step *= 2.0;
    }
    step
}

/// 1, 2 or 5 times a power of ten.
fn decimal_step(reach: f64, whole: bool) -> f64 {
    let wanted = reach / 5.0;
    let power = 10f64.powf(wanted.log10().floor());
    let step =
        [1.0, 2.0, 5.0, 10.0].map(|f| f * power).into_iter().find(|step| *step >= wanted * (1.0 - 1e-9));
    let step = step.unwrap_or(power * 10.0);
    if whole { step.max(1.0) } else { step }
}

/// A time axis.
#[derive(Clone, Debug, PartialEq)]
pub struct TimeAxis {
    /// Unit of the labels.
    pub unit: &'static str,
    /// Values in seconds.
    pub ticks: Vec<Tick>,
}

const SECONDS: &[f64] =
    &[0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0];
const MINUTES: &[f64] = &[0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0];
const HOURS: &[f64] = &[0.5, 1.0, 2.0, 3.0, 6.0, 12.0];
const DAYS: &[f64] = &[0.5, 1.0, 2.0, 7.0, 14.0, 28.0, 91.0, 182.0, 365.0, 1825.0];

/// Ticks from 0 to `duration` seconds, at most `most` steps.
pub fn time(duration: f64, most: usize) -> TimeAxis {
    let duration = if duration.is_finite() && duration > 0.0 { duration } else { 1.0 };
    let (unit, length, steps) = match duration {
        d if d <= 120.0 => ("s", 1.0, SECONDS),
        d if d <= 7_200.0 => ("min", 60.0, MINUTES),
        d if d <= 259_200.0 => ("h", 3_600.0, HOURS),
        _ => ("d", 86_400.0, DAYS),
    };
    let range = duration / length;
    let step =
        steps.iter().find(|step| range / **step <= most.max(1) as f64).unwrap_or(&steps[steps.len() - 1]);
    let count = (range / step + 1e-9).floor() as usize;
    let digits = if *step >= 1.0 { 0 } else { (-step.log10()).ceil().max(0.0) as usize };
    let ticks = (0..=count.min(1000)).map(|i| i as f64 * step).map(|value| {
        let label = if value == 0.0 { "0".to_owned() } else { format!("{value:.digits$}") };
        Tick { value: value * length, label }
    });
    TimeAxis { unit, ticks: ticks.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labels(ticks: &[Tick]) -> Vec<&str> {
        ticks.iter().map(|t| t.label.as_str()).collect()
    }

    #[test]
    fn the_largest_number_has_ticks() {
        for quantity in [Quantity::Bytes, Quantity::Cpus] {
            for reach in [f64::MAX, 1.451_059_228_991_082_2e308, f64::MIN_POSITIVE] {
                assert!(values(quantity, reach).iter().all(|tick| tick.value.is_finite()), "{reach}");
            }
        }
    }

    #[test]
    fn values_are_round() {
        let gib = f64::from(1 << 30);
        assert_eq!(labels(&values(Quantity::Bytes, 3.9 * gib)), ["0", "1 GiB", "2 GiB", "3 GiB", "4 GiB"]);
        assert_eq!(
            labels(&values(Quantity::Bytes, 0.9 * gib)),
            ["0", "256 MiB", "512 MiB", "768 MiB", "1 GiB"]
        );
        assert_eq!(
            labels(&values(Quantity::BytesPerSecond, 9.0)),
            ["0", "2 B/s", "4 B/s", "6 B/s", "8 B/s", "10 B/s"]
        );
        assert_eq!(labels(&values(Quantity::Cpus, 4.0)), ["0", "1", "2", "3", "4"]);
        assert_eq!(labels(&values(Quantity::Cpus, 0.7)), ["0", "0.2", "0.4", "0.6", "0.8"]);
        assert_eq!(labels(&values(Quantity::Count("processes"), 1.0)), ["0", "1"]);
        assert_eq!(
            labels(&values(Quantity::Percent("time"), 100.0)),
            ["0", "20 %", "40 %", "60 %", "80 %", "100 %"]
        );
        assert_eq!(labels(&values(Quantity::PerSecond("x"), 9e4)), ["0", "20k", "40k", "60k", "80k", "100k"]);
        assert_eq!(labels(&values(Quantity::PerSecond("x"), 0.0)).len(), 6);
    }

    #[test]
    fn time_is_in_the_unit_that_people_choose() {
        for (duration, unit, all) in [
            (0.9, "s", "0 0.2 0.4 0.6 0.8"),
            (5.0, "s", "0 1 2 3 4 5"),
            (100.0, "s", "0 15 30 45 60 75 90"),
            (600.0, "min", "0 2 4 6 8 10"),
            (5400.0, "min", "0 15 30 45 60 75 90"),
            (86_400.0, "h", "0 6 12 18 24"),
            (9_000.0, "h", "0 0.5 1.0 1.5 2.0 2.5"),
            (5.0 * 86_400.0, "d", "0 1 2 3 4 5"),
        ] {
            let axis = time(duration, 7);
            assert_eq!((axis.unit, labels(&axis.ticks).join(" ").as_str()), (unit, all));
        }
    }

    proptest! {
        #[test]
        fn scales_hold_what_they_must(reach in 1e-6f64..1e18, binary in any::<bool>()) {
            let ticks = values(if binary { Quantity::Bytes } else { Quantity::Cpus }, reach);
            prop_assert!(ticks.last().unwrap().value >= reach * (1.0 - 1e-6));
            prop_assert!((2..=8).contains(&ticks.len()), "{}", ticks.len());
        }

        #[test]
        fn any_duration_has_few_ticks(duration in 1e-3f64..1e9) {
            let axis = time(duration, 7);
            prop_assert!((1..=8).contains(&axis.ticks.len()), "{}", axis.ticks.len());
            prop_assert!(axis.ticks.last().unwrap().value <= duration * 1.001);
        }
    }
}
