//! Times as people and programs write them.

/// Seconds, milliseconds, micro- or nanoseconds since 1970, told by their size; µs.
pub(crate) fn epoch(number: f64) -> Option<i64> {
    let micros = match number {
        n if !(0.0..1e20).contains(&n) => return None,
        n if n < 1e11 => n * 1e6,
        n if n < 1e14 => n * 1e3,
        n if n < 1e17 => n,
        n => n / 1e3,
    };
    Some(micros.round() as i64)
}

/// `2021-03-01T12:00:00.5Z`, `2021-03-01 12:00:00`, `2021-03-01T12:00:00-0500`, `2021-03-01`, or a number; without a zone it is UTC.
pub(crate) fn any(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(number) = text.parse::<f64>() {
        return epoch(number);
    }
    let days = date(text.get(..10)?)?;
    let rest = text[10..].trim_start_matches(['T', ' ']);
    if rest.is_empty() {
        return Some(days * 86_400_000_000);
    }
    let number = |part: &str| part.parse::<i64>().ok().filter(|_| part.bytes().all(|b| b.is_ascii_digit()));
    let (hour, minute) = (number(rest.get(..2)?)?, number(rest.get(3..5)?)?);
    let mut rest = &rest[5..];
    let mut second = 0;
    if let Some(after) = rest.strip_prefix(':') {
        second = number(after.get(..2)?)?;
        rest = &after[2..];
    }
    let mut micros = 0;
    if let Some(after) = rest.strip_prefix(['.', ',']) {
        let digits = after.len() - after.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let fraction = format!("{:0<6}", &after[..digits.min(6)]);
        micros = number(&fraction)?;
        rest = &after[digits..];
    }
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let offset = offset(rest.trim())?;
    Some((days * 86_400 + hour * 3600 + minute * 60 + second - offset) * 1_000_000 + micros)
}

/// Seconds east: `Z`, `+01:00`, `-0500`, nothing.
fn offset(text: &str) -> Option<i64> {
    match text.as_bytes() {
        [] | b"Z" | b"UTC" => Some(0),
        [sign @ (b'+' | b'-'), digits @ ..] => {
            let digits: String = digits.iter().filter(|b| **b != b':').map(|b| *b as char).collect();
            let number: i64 = digits.parse().ok()?;
            let seconds = match digits.len() {
                2 => number * 3600,
                4 => number / 100 * 3600 + number % 100 * 60,
                _ => return None,
            };
            Some(if *sign == b'-' { -seconds } else { seconds })
        }
        _ => None,
    }
}

/// Days since 1970 of `2021-03-01`.
pub(crate) fn date(text: &str) -> Option<i64> {
    let mut parts = text.split(['-', '/']);
    let mut next = |digits: usize| {
        let part = parts.next().filter(|p| p.len() == digits && p.bytes().all(|b| b.is_ascii_digit()))?;
        part.parse::<i64>().ok()
    };
    let (year, month, day) = (next(4)?, next(2)?, next(2)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Days of the civil calendar: H. Hinnant, chrono-compatible low-level date algorithms.
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let of_era = y.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

/// A time in the head of a log's line: one that has a year.
pub(crate) fn in_head(head: &str) -> Option<i64> {
    head.split_whitespace().filter(|word| word.len() >= 19).find_map(any)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_many_forms() {
        let noon = Some(1_614_600_000_000_000);
        for text in [
            "2021-03-01T12:00:00Z",
            "2021-03-01 12:00:00",
            "2021-03-01T12:00:00.000000",
            "2021-03-01T07:00:00-05:00",
            "2021-03-01T13:00:00+01",
            "2021-03-01T12:00",
            "1614600000",
            "1614600000000",
            "1614600000000000",
        ] {
            assert_eq!(any(text), noon, "{text}");
        }
        assert_eq!(any("2021-03-01"), Some(18_687 * 86_400_000_000));
        assert_eq!(any("2021-03-01T12:00:00.25Z"), Some(1_614_600_000_250_000));
        for bad in [
            "",
            "yesterday",
            "2021-13-01",
            "2021-03-01T25:00:00",
            "2021-03-01T12:00:00 o'clock",
            "-1",
            "é021-03-01",
        ] {
            assert_eq!(any(bad), None, "{bad}");
        }
        assert_eq!(date("1970-01-01"), Some(0));
        assert_eq!(date("2000-03-01"), Some(11_017));
        assert_eq!(in_head("<14>1 2021-03-01T12:00:00Z nid001 x"), noon);
    }
}
