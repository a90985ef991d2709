//! Moments as people and programs write them: ISO 8601, UTC.

/// Milliseconds since 1970 as `2026-11-22T06:13:20.123Z`.
pub(crate) fn iso(ms: i64) -> String {
    let (days, rest) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
    let (year, month, day) = date(days);
    let (hours, minutes, seconds) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{:03}Z", rest % 1000)
}

/// Seconds since 1970 as `2026-11-22 06:13:20 UTC`.
pub(crate) fn people(seconds: f64) -> String {
    let text = iso((seconds * 1e3) as i64).replace('T', " ");
    format!("{} UTC", text.split_once('.').map_or(text.as_str(), |parts| parts.0))
}

/// Year, month and day of a day since 1970, in the Gregorian calendar. Years begin in March here, so that the day that
/// comes every four years is the last of one, and 400 years are one cycle.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (cycle, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let of_month = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + cycle * 400 + i64::from(month <= 2), month, of_month)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_days() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199_000, "2024-02-29T23:59:59.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (1_795_328_000_500, "2026-11-22T06:13:20.500Z"),
        ] {
            assert_eq!(iso(ms), text);
        }
        assert_eq!(people(1_795_328_000.9), "2026-11-22 06:13:20 UTC");
    }
}
