//! What job-days are kept apart by: their day, user, project, and so on.

use crate::Map;
use crate::answer::{DURATIONS, Dimension, Value, named};
use crate::part::Part;
use crate::select::{Filter, Selected};

/// What job-days are kept apart by.
pub(crate) struct Days<'a> {
    pub(crate) part: &'a Part,
    pub(crate) selected: &'a Selected,
    pub(crate) filter: &'a Filter,
    pub(crate) dimensions: &'a [Dimension],
}

impl Days<'_> {
    /// A number for each job-day that is chosen, and what the numbers mean; none if nothing is kept apart.
    pub(crate) fn numbers(&self) -> (Vec<u32>, Vec<Vec<Value>>) {
        let wanted: Vec<Dimension> = self.dimensions.iter().copied().filter(|d| !d.is_of_library()).collect();
        if wanted.is_empty() {
            return Default::default();
        }
        let mut known: Map<Vec<i64>, u32> = Map::default();
        let (mut numbers, mut values) = (Vec::new(), Vec::new());
        let mut last: (Vec<i64>, u32) = (Vec::new(), u32::MAX);
        for at in self.selected.place.iter().map(|at| *at as usize) {
            let raw: Vec<i64> = wanted.iter().map(|dimension| self.raw(*dimension, at)).collect();
            if raw != last.0 || last.1 == u32::MAX {
                let next = values.len() as u32;
                let number = *known.entry(raw.clone()).or_insert(next);
                if number == next {
                    values.push(wanted.iter().map(|dimension| self.value(*dimension, at)).collect());
                }
                last = (raw, number);
            }
            numbers.push(last.1);
        }
        (numbers, values)
    }

    /// The same for the same value.
    fn raw(&self, dimension: Dimension, at: usize) -> i64 {
        let of = &self.part.job_days;
        match dimension {
            // Hangs on project and month at most, and seldom on the day.
            Dimension::Domain => match self.filter.field(self.part, at) {
                Some(field) => crate::build::fingerprint(field.as_bytes()) as i64,
                None => 0,
            },
            Dimension::Project => i64::from(of.project[at]),
            Dimension::Queue => i64::from(of.queue[at]),
            _ => match self.value(dimension, at) {
                Value::Number(number) => number,
                Value::Bool(yes) => i64::from(yes),
                _ => -1,
            },
        }
    }

    fn value(&self, dimension: Dimension, at: usize) -> Value {
        let of = &self.part.job_days;
        let text = |number: u32| named(&self.part.texts[number as usize]);
        let day = self.part.days[0].0 + of.day[at] as i32;
        match dimension {
            Dimension::Cluster => named(&self.part.cluster),
            Dimension::Day => Value::Number(i64::from(day)),
            // 1970 began on a Thursday.
            Dimension::Week => Value::Number(i64::from(day - (day + 3).rem_euclid(7))),
            Dimension::Month => Value::Number(i64::from(first_of_month(day))),
            Dimension::User => Value::Number(i64::from(of.user[at])),
            Dimension::Project => text(of.project[at]),
            Dimension::Domain => {
                self.filter.field(self.part, at).map_or(Value::None, |field| Value::Text(field.to_owned()))
            }
            Dimension::Queue => text(of.queue[at]),
            Dimension::Gpu => of.has_gpu(at).map_or(Value::None, Value::Bool),
            Dimension::Nodes if of.nodes[at] > 0 => Value::Number(i64::from(of.nodes[at])),
            Dimension::Minutes if of.seconds[at] > 0 => {
                let minutes = i64::from(of.seconds[at] - 1) / 60;
                Value::Number(DURATIONS.into_iter().rev().find(|least| minutes >= *least).unwrap_or(0))
            }
            Dimension::InJob => Value::Bool(of.job[at] != 0),
            _ => Value::None,
        }
    }
}

/// The first day of a day's month, both since 1970. (Howard Hinnant's days_from_civil, "chrono-Compatible Low-Level Date Algorithms".)
fn first_of_month(day: i32) -> i32 {
    let z = i64::from(day) + 719_468;
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    day - (day_of_year - (153 * month + 2) / 5) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_begin_on_their_first_day() {
        // 1970-01-01, 1970-01-31, 1970-02-01, 2024-02-29, 2026-11-28
        let days = [(0, 0), (30, 0), (31, 31), (19_782, 19_754), (20_785, 20_758)];
        for (day, first) in days {
            assert_eq!(first_of_month(day), first, "{day}");
        }
    }
}
