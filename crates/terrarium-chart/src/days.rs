//! Days of the calendar, and ticks at days, months and years.

/// The calendar's day: year, month from 1, day of the month. `days` counts from 1970-01-01.
///
/// After Hinnant, "chrono-compatible low-level date algorithms".
pub fn civil(days: i64) -> (i64, u8, u8) {
    let shifted = days + 719_468;
    let (era, day) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    // Months from March on.
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + next, month as u8, of_month as u8)
}

/// The number of the first day of a month; `month` counts from 0 and may be beyond the year's end.
pub fn first_of(year: i64, month: i64) -> i64 {
    let (year, month) = (year + month.div_euclid(12), month.rem_euclid(12));
    // Years begin with March.
    let (year, month) = if month < 2 { (year - 1, month + 10) } else { (year, month - 2) };
    let (era, year) = (year.div_euclid(400), year.rem_euclid(400));
    let day = (153 * month + 2) / 5 + year * 365 + year / 4 - year / 100;
    era * 146_097 + day - 719_468
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

fn month_name(month: u8) -> &'static str {
    MONTHS.get(usize::from(month).wrapping_sub(1)).copied().unwrap_or_default()
}

/// What one point of a line stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Step {
    /// A day.
    Day,
    /// A week, from the point's day on.
    Week,
    /// A month.
    #[default]
    Month,
}

impl Step {
    /// The most days to the next point.
    pub fn longest(self) -> i64 {
        match self {
            Step::Day => 1,
            Step::Week => 7,
            Step::Month => 31,
        }
    }

    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Step::Day => "day",
            Step::Week => "week",
            Step::Month => "month",
        }
    }

    /// A moment in a sentence: `5 Jan 2026`, `Jan 2026`.
    pub fn format(self, days: i64) -> String {
        let (year, month, day) = civil(days);
        let month = month_name(month);
        match self {
            Step::Day | Step::Week => format!("{day} {month} {year}"),
            Step::Month => format!("{month} {year}"),
        }
    }
}

/// A mark on an axis of dates.
#[derive(Clone, Debug, PartialEq)]
pub struct DayTick {
    /// Where, days since 1970-01-01.
    pub day: i64,
    /// What stands there.
    pub label: String,
    /// What stands below that: the year, where it is a new one.
    pub year: Option<String>,
}

#[derive(Clone, Copy)]
enum Every {
    /// So many days, counted from this one.
    Days(i64, i64),
    Months(i64),
    Years(i64),
}

/// 1970-01-05.
const A_MONDAY: i64 = 4;

/// Ticks from one day to another, at most about `most`; at least one.
pub fn ticks(from: i64, to: i64, step: Step, most: usize) -> Vec<DayTick> {
    let most = i64::try_from(most.max(2)).unwrap_or(i64::MAX);
    let span = to - from;
    let days: &[Every] = match step {
        Step::Day => {
            &[Every::Days(1, from), Every::Days(2, from), Every::Days(7, A_MONDAY), Every::Days(14, A_MONDAY)]
        }
        Step::Week => &[Every::Days(7, from), Every::Days(14, from)],
        Step::Month => &[],
    };
    let months = [1, 2, 3, 6].map(Every::Months);
    let years = std::iter::successors(Some(1i64), |power| power.checked_mul(10).filter(|p| *p < 1 << 40))
        .flat_map(|power| [1, 2, 5].map(|factor| Every::Years(factor * power)));
    let mut every = days.iter().copied().chain(months).chain(years);
    let fits = |every: &Every| match every {
        Every::Days(days, _) => span / days < most,
        Every::Months(months) => span / (months * 30) < most,
        Every::Years(years) => span / (years * 365) < most,
    };
    let every = every.find(fits).unwrap_or(Every::Years(1 << 40));
    let mut marks = marks(every, from, to);
    if marks.is_empty() {
        marks.push(from);
    }
    let mut before = None;
    let label = |day: i64| {
        let (year, month, of_month) = civil(day);
        let text = match every {
            Every::Years(_) => return DayTick { day, label: year.to_string(), year: None },
            Every::Months(_) => month_name(month).to_owned(),
            Every::Days(..) => format!("{of_month} {}", month_name(month)),
        };
        let new = before.replace(year) != Some(year);
        DayTick { day, label: text, year: new.then(|| year.to_string()) }
    };
    marks.into_iter().map(label).collect()
}

fn marks(every: Every, from: i64, to: i64) -> Vec<i64> {
    let (year, month, _) = civil(from);
    let day = |i: i64| match every {
        Every::Days(days, start) => start + ((from - start).div_euclid(days) + i) * days,
        Every::Months(months) => {
            first_of(year, (i64::from(month) - 1).div_euclid(months) * months + i * months)
        }
        Every::Years(years) => first_of((year.div_euclid(years) + i) * years, 0),
    };
    // The first may be before the scale's beginning.
    (0..).map(day).skip_while(|day| *day < from).take_while(|day| *day <= to).take(1000).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn day(year: i64, month: i64, day: i64) -> i64 {
        first_of(year, month - 1) + day - 1
    }

    fn told(ticks: &[DayTick]) -> String {
        let tell =
            |t: &DayTick| t.label.clone() + &t.year.as_ref().map(|y| format!("/{y}")).unwrap_or_default();
        ticks.iter().map(tell).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn days_have_their_dates() {
        for (days, date) in [
            (0, (1970, 1, 1)),
            (-1, (1969, 12, 31)),
            (11_016, (2000, 2, 29)),
            (20_819, (2027, 1, 1)),
            (19_782, (2024, 2, 29)),
        ] {
            assert_eq!(civil(days), date);
        }
        assert_eq!(Step::Week.format(11_016), "29 Feb 2000");
        assert_eq!(Step::Month.format(11_016), "Feb 2000");
    }

    #[test]
    fn ticks_stand_where_people_look_for_them() {
        for (from, to, step, text) in [
            (day(2026, 11, 2), day(2026, 11, 6), Step::Day, "2 Nov/2026 3 Nov 4 Nov 5 Nov 6 Nov"),
            (
                day(2026, 11, 1),
                day(2026, 12, 15),
                Step::Day,
                "2 Nov/2026 9 Nov 16 Nov 23 Nov 30 Nov 7 Dec 14 Dec",
            ),
            (day(2026, 12, 17), day(2027, 1, 14), Step::Week, "17 Dec/2026 24 Dec 31 Dec 7 Jan/2027 14 Jan"),
            (day(2026, 10, 1), day(2027, 3, 1), Step::Month, "Oct/2026 Nov Dec Jan/2027 Feb Mar"),
            (
                day(2025, 2, 1),
                day(2026, 10, 1),
                Step::Month,
                "Mar/2025 May Jul Sep Nov Jan/2026 Mar May Jul Sep",
            ),
            (
                day(2022, 2, 1),
                day(2026, 10, 1),
                Step::Month,
                "Jul/2022 Jan/2023 Jul Jan/2024 Jul Jan/2025 Jul Jan/2026 Jul",
            ),
            (day(2001, 2, 1), day(2026, 10, 1), Step::Month, "2005 2010 2015 2020 2025"),
            (day(2026, 2, 3), day(2026, 2, 3), Step::Month, "Feb/2026"),
        ] {
            assert_eq!(told(&ticks(from, to, step, 12)), text);
        }
    }

    proptest! {
        #[test]
        fn any_day_has_a_date_and_back(days in any::<i32>()) {
            let (year, month, of_month) = civil(days.into());
            prop_assert!((1..=12).contains(&month) && (1..=31).contains(&of_month));
            prop_assert_eq!(day(year, month.into(), of_month.into()), i64::from(days));
        }

        #[test]
        fn ticks_are_few_and_in_order(a in any::<i32>(), span in 0u32..5_000_000, step in 0usize..3, most in 2usize..15) {
            let step = [Step::Day, Step::Week, Step::Month][step];
            let (from, to) = (i64::from(a), i64::from(a) + i64::from(span));
            let ticks = ticks(from, to, step, most);
            prop_assert!((1..=most + 2).contains(&ticks.len()), "{}", ticks.len());
            prop_assert!(ticks.windows(2).all(|pair| pair[0].day < pair[1].day));
            prop_assert!(ticks.iter().all(|tick| (from..=to).contains(&tick.day)));
        }
    }
}
