//! Lines over dates: how something goes on over days, weeks or months.

use crate::days::Step;
use crate::quantity::Quantity;

/// More lines than this are told and not drawn: nobody could tell them apart.
pub const MOST_LINES: usize = 8;

/// Lines over dates, on one scale that begins at 0.
#[derive(Clone, Debug, PartialEq)]
pub struct DateChart {
    /// Short name: lower-case letters and `-`. It becomes a file name and part of XML names.
    pub id: String,
    /// What people call it.
    pub title: String,
    /// What the values are, with their unit: `users`. If empty, `quantity` says it.
    pub axis: String,
    /// Decides the ticks of the values: whole ones for [`Quantity::Count`].
    pub quantity: Quantity,
    /// What one point stands for; if the next is further away, there is a gap.
    pub step: Step,
    /// At most [`MOST_LINES`] are drawn.
    pub lines: Vec<DateLine>,
    /// Below: where the figures come from, and what is missing in them.
    pub note: String,
}

/// One line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DateLine {
    /// What people call it.
    pub name: String,
    /// In any order.
    pub points: Vec<DatePoint>,
    /// What the others are compared with: grey, and below them.
    pub reference: bool,
}

/// One point.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DatePoint {
    /// Days since 1970-01-01; of a week or a month the first.
    pub day: i32,
    /// `None`, below 0, or not finite is no data.
    pub value: Option<f64>,
    /// Lowest and highest value that it may be.
    pub band: Option<(f64, f64)>,
}

/// What is known of a day: the value, and the ends of its band.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Known {
    pub(crate) day: i64,
    pub(crate) value: f64,
    pub(crate) band: Option<(f64, f64)>,
}

/// Whether it can be drawn.
pub(crate) fn is_value(value: f64) -> bool {
    value.is_finite() && value >= 0.0
}

impl DateLine {
    /// What is known, in order, cut where there is a gap.
    pub(crate) fn runs(&self, step: Step) -> Vec<Vec<Known>> {
        let mut points = self.points.clone();
        points.sort_by_key(|point| point.day);
        let mut runs: Vec<Vec<Known>> = Vec::new();
        let mut open = false;
        for point in points {
            let Some(value) = point.value.filter(|value| is_value(*value)) else {
                open = false;
                continue;
            };
            let band = point.band.filter(|(low, high)| low.is_finite() && is_value(*high) && low <= high);
            let known = Known { day: point.day.into(), value, band };
            match runs.last_mut() {
                Some(run)
                    if open && run.last().is_some_and(|last| known.day - last.day <= step.longest()) =>
                {
                    run.push(known);
                }
                _ => runs.push(vec![known]),
            }
            open = true;
        }
        runs
    }
}

impl DateChart {
    /// The first and the last day of any point, also of those without data.
    pub(crate) fn ends(&self) -> Option<(i64, i64)> {
        let days = self.lines.iter().flat_map(|line| &line.points).map(|point| i64::from(point.day));
        days.fold(None, |ends, day| match ends {
            None => Some((day, day)),
            Some((first, last)) => Some((day.min(first), day.max(last))),
        })
    }

    /// Lines that are not drawn because there are too many.
    pub fn left_out(&self) -> usize {
        self.lines.len().saturating_sub(MOST_LINES)
    }

    /// What stands at the value axis.
    pub fn axis(&self) -> String {
        if self.axis.is_empty() { self.quantity.axis() } else { self.axis.clone() }
    }

    /// The chart in words, for those who do not see it.
    pub fn describe(&self) -> String {
        let has_data = self.lines.iter().any(|line| !line.runs(self.step).is_empty());
        let Some((first, last)) = self.ends().filter(|_| has_data) else {
            return format!("{}: no data.", self.title);
        };
        let (when, step) = (|day| self.step.format(day), self.step.name());
        let mut parts =
            vec![format!("{}, {} by {step}, {} to {}.", self.title, self.axis(), when(first), when(last))];
        parts.extend(self.lines.iter().take(MOST_LINES).map(|line| self.describe_line(line)));
        if self.left_out() > 0 {
            parts.push(format!("{} more lines are not drawn.", self.left_out()));
        }
        parts.join(" ")
    }

    fn describe_line(&self, line: &DateLine) -> String {
        let known: Vec<Known> = line.runs(self.step).concat();
        let name = if line.reference { format!("{} (to compare)", line.name) } else { line.name.clone() };
        let (Some(first), Some(last)) = (known.first(), known.last()) else {
            return format!("{name}: no data.");
        };
        let say = |known: &Known| {
            format!("{} ({})", self.quantity.phrase(known.value), self.step.format(known.day))
        };
        let mut text = format!("{name}: {}", say(first));
        if known.len() > 1 {
            text += &format!(" to {}", say(last));
        }
        let highest = known.iter().max_by(|a, b| a.value.total_cmp(&b.value)).unwrap_or(last);
        if highest.value > first.value.max(last.value) {
            text += &format!(", highest {}", say(highest));
        }
        let missing = line.points.len() - known.len();
        if missing > 0 {
            text += &format!(", no data for {missing} of {} {}s", line.points.len(), self.step.name());
        }
        text + "."
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, values: &[Option<f64>]) -> DateLine {
        // Months of 2026.
        let point = |(i, value): (usize, &Option<f64>)| DatePoint {
            day: crate::days::first_of(2026, i as i64) as i32,
            value: *value,
            band: None,
        };
        DateLine {
            name: name.to_owned(),
            points: values.iter().enumerate().map(point).collect(),
            reference: false,
        }
    }

    fn chart(lines: Vec<DateLine>) -> DateChart {
        DateChart {
            id: "x".to_owned(),
            title: "Users".to_owned(),
            axis: "users".to_owned(),
            quantity: Quantity::Count("users"),
            step: Step::Month,
            lines,
            note: String::new(),
        }
    }

    #[test]
    fn gaps_are_where_nothing_is_known() {
        let mut line =
            line("a", &[Some(1.0), None, Some(2.0), Some(f64::NAN), Some(3.0), Some(4.0), Some(-1.0)]);
        line.points.reverse();
        let runs: Vec<Vec<f64>> =
            line.runs(Step::Month).iter().map(|run| run.iter().map(|known| known.value).collect()).collect();
        assert_eq!(runs, [vec![1.0], vec![2.0], vec![3.0, 4.0]]);
        // A month that is not there is as good as one without data.
        line.points.retain(|point| point.value.is_some());
        assert_eq!(line.runs(Step::Month).len(), 3);
    }

    #[test]
    fn the_facts_are_told() {
        let mut all = line("all", &[Some(10.0); 3]);
        all.reference = true;
        let chart =
            chart(vec![line("numpy", &[Some(1.0), Some(5.0), None, Some(4.0)]), all, line("x", &[None])]);
        assert_eq!(
            chart.describe(),
            "Users, users by month, Jan 2026 to Apr 2026. numpy: 1 (Jan 2026) to 4 (Apr 2026), highest 5 (Feb 2026), \
             no data for 1 of 4 months. all (to compare): 10 (Jan 2026) to 10 (Mar 2026). x: no data."
        );
    }

    #[test]
    fn nothing_is_said_to_be_nothing() {
        assert_eq!(chart(vec![]).describe(), "Users: no data.");
        assert_eq!(chart(vec![line("a", &[None])]).describe(), "Users: no data.");
        let many = chart(vec![line("a", &[Some(1.0)]); 10]);
        assert!(many.describe().ends_with("2 more lines are not drawn."));
    }
}
