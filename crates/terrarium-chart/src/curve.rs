//! A curve: what is reached with how much.

use crate::Limit;
use crate::dates::is_value;
use crate::quantity::Quantity;

/// A curve of values over a number; both scales begin at 0.
#[derive(Clone, Debug, PartialEq)]
pub struct CurveChart {
    /// Short name: lower-case letters and `-`. It becomes a file name and part of XML names.
    pub id: String,
    /// What people call it.
    pub title: String,
    /// What is counted from left to right: `packages added`.
    pub x_axis: String,
    /// What the values are: `owners`.
    pub y_axis: String,
    /// Decides the ticks from left to right.
    pub x: Quantity,
    /// Decides the ticks of the values.
    pub y: Quantity,
    /// In any order. What is below 0 or not finite is not drawn.
    pub points: Vec<CurvePoint>,
    /// A value holds until the next point; else straight lines lead from point to point.
    pub steps: bool,
    /// What the values are to be compared with.
    pub limit: Option<Limit>,
    /// Below: where the figures come from, and what is missing in them.
    pub note: String,
}

/// One point of a curve.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CurvePoint {
    /// How much.
    pub x: f64,
    /// What is reached with it.
    pub y: f64,
    /// What stands beside it, where there is room.
    pub label: Option<String>,
}

impl CurveChart {
    /// What can be drawn, from left to right.
    pub(crate) fn known(&self) -> Vec<&CurvePoint> {
        let mut points: Vec<&CurvePoint> =
            self.points.iter().filter(|point| is_value(point.x) && is_value(point.y)).collect();
        points.sort_by(|a, b| a.x.total_cmp(&b.x));
        points
    }

    /// The limit, if it is a number.
    pub(crate) fn limit(&self) -> Option<&Limit> {
        self.limit.as_ref().filter(|limit| is_value(limit.value))
    }

    /// The chart in words, for those who do not see it.
    pub fn describe(&self) -> String {
        let known = self.known();
        let (Some(first), Some(last)) = (known.first(), known.last()) else {
            return format!("{}: no data.", self.title);
        };
        let say = |point: &CurvePoint| {
            let label = point.label.as_ref().map(|label| format!(" ({label})")).unwrap_or_default();
            format!("{} at {}{label}", self.y.phrase(point.y), self.x.phrase(point.x))
        };
        let mut text = format!("{}, {} over {}: {}", self.title, self.y_axis, self.x_axis, say(first));
        if known.len() > 1 {
            // Where a curve bends is what people ask of it.
            let half = known.iter().find(|point| point.y >= last.y / 2.0 && last.y > first.y);
            if let Some(half) = half.filter(|half| half.x > first.x && half.x < last.x) {
                text += &format!(", half of the last value is reached with {}", self.x.phrase(half.x));
            }
            text += &format!(", {}", say(last));
        }
        text.push('.');
        if let Some(limit) = self.limit() {
            text += &format!(" {}: {}.", limit.name, self.y.phrase(limit.value));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_facts_are_told() {
        let point = |x: f64, y: f64, label: &str| CurvePoint {
            x,
            y,
            label: (!label.is_empty()).then(|| label.to_owned()),
        };
        let mut chart = CurveChart {
            id: "x".to_owned(),
            title: "Coming back".to_owned(),
            x_axis: "packages added".to_owned(),
            y_axis: "owners".to_owned(),
            x: Quantity::Count(""),
            y: Quantity::Count(""),
            points: vec![
                point(3.0, 90.0, ""),
                point(1.0, 40.0, "numpy"),
                point(2.0, 60.0, ""),
                point(f64::NAN, 1.0, "never"),
            ],
            steps: true,
            limit: Some(Limit { name: "All owners".to_owned(), value: 200.0 }),
            note: String::new(),
        };
        assert_eq!(
            chart.describe(),
            "Coming back, owners over packages added: 40 at 1 (numpy), half of the last value is reached with 2, \
             90 at 3. All owners: 200."
        );
        chart.points.clear();
        assert_eq!(chart.describe(), "Coming back: no data.");
    }
}
