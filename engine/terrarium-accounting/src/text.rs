//! Numbers, amounts and durations as schedulers write them.

/// `None` for nothing, and for the words that mean nothing.
pub(crate) fn known(text: &str) -> Option<&str> {
    let text = text.trim();
    let none = ["", "unknown", "none", "(null)", "n/a", "none assigned", "invalid"];
    (!none.iter().any(|word| text.eq_ignore_ascii_case(word))).then_some(text)
}

/// [`known`], to keep.
pub(crate) fn owned(text: &str) -> Option<String> {
    known(text).map(str::to_owned)
}

/// A count that is more than none; `12.0` is one too.
pub(crate) fn count(text: &str) -> Option<u32> {
    let text = text.trim();
    let value = text.parse::<u32>().ok().or_else(|| {
        let (whole, rest) = text.split_once('.')?;
        rest.bytes().all(|byte| byte == b'0').then(|| whole.parse().ok())?
    })?;
    (value > 0).then_some(value)
}

/// Rounds to a whole number if it fits.
pub(crate) fn whole(value: f64) -> Option<u64> {
    // 2^53: above, not all whole numbers are there.
    (0.0..=9_007_199_254_740_992.0).contains(&value).then(|| value.round() as u64)
}

/// A number and the factor that goes with it, as bytes.
pub(crate) fn scaled(number: &str, factor: u64) -> Option<u64> {
    if !number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    match number.parse::<u64>() {
        Ok(value) => value.checked_mul(factor),
        Err(_) => whole(number.parse::<f64>().ok()? * factor as f64),
    }
}

/// Splits `256M` into number and unit.
pub(crate) fn unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let at = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    text.split_at(at)
}

/// 1,024 to the power that a letter stands for.
pub(crate) fn power(letter: u8) -> Option<u64> {
    let power = match letter.to_ascii_uppercase() {
        b'K' => 1,
        b'M' => 2,
        b'G' => 3,
        b'T' => 4,
        b'P' => 5,
        b'E' => 6,
        _ => return None,
    };
    Some(1 << (10 * power))
}

/// What of Slurm's amounts of memory counts as given for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Each {
    /// The job.
    Job,
    /// Every node.
    Node,
    /// Every CPU.
    Cpu,
}

/// Bytes of Slurm's `256M`, `4Gn`, `1.5Gc`; one without a unit counts in `plain`.
pub(crate) fn slurm_memory(text: &str, plain: u64) -> Option<(u64, Each)> {
    let (number, suffix) = unit(text);
    let mut letters = suffix.as_bytes();
    let each = match letters.last() {
        Some(b'n') => Each::Node,
        Some(b'c') => Each::Cpu,
        _ => Each::Job,
    };
    if each != Each::Job {
        letters = &letters[..letters.len() - 1];
    }
    let factor = match letters {
        [] => plain,
        [letter] | [letter, b'B' | b'b'] => power(*letter)?,
        _ => return None,
    };
    Some((scaled(number, factor)?, each))
}

/// Bytes of PBS's `200mb`, `1046956kb`, `4096b`, `2gw` (words of eight bytes).
pub(crate) fn pbs_memory(text: &str) -> Option<u64> {
    let (number, suffix) = unit(text);
    let (factor, size) = match suffix.as_bytes() {
        [] | [b'b' | b'B'] => (1, 1),
        [b'w' | b'W'] => (1, 8),
        [letter] | [letter, b'b' | b'B'] => (power(*letter)?, 1),
        [letter, b'w' | b'W'] => (power(*letter)?, 8),
        _ => return None,
    };
    scaled(number, factor)?.checked_mul(size)
}

/// Microseconds of `[days-]hours:minutes:seconds`, `minutes:seconds.fraction`, and of `days-hours`. A single
/// number counts in `alone` microseconds.
pub(crate) fn clock_us(text: &str, alone: u64) -> Option<u64> {
    let (days, rest) = match text.trim().split_once('-') {
        Some((days, rest)) => (Some(digits(days)?), rest),
        None => (None, text.trim()),
    };
    let mut parts = rest.split(':');
    let parts = (parts.next()?, parts.next(), parts.next(), parts.next());
    let (hours, minutes, seconds) = match (days, parts) {
        (_, (hours, Some(minutes), Some(seconds), None)) => (digits(hours)?, digits(minutes)?, seconds),
        (None, (minutes, Some(seconds), None, None)) => (0, digits(minutes)?, seconds),
        (Some(_), (hours, Some(minutes), None, None)) => (digits(hours)?, digits(minutes)?, "0"),
        (Some(_), (hours, None, None, None)) => (digits(hours)?, 0, "0"),
        (None, (number, None, None, None)) => return scaled(number, alone),
        _ => return None,
    };
    let whole_s = days.unwrap_or(0).checked_mul(24)?.checked_add(hours)?.checked_mul(60)?;
    let whole_s = whole_s.checked_add(minutes)?.checked_mul(60)?;
    whole_s.checked_mul(1_000_000)?.checked_add(scaled(seconds, 1_000_000)?)
}

/// A number of digits alone: no sign, no blanks.
pub(crate) fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// Seconds of microseconds.
pub(crate) fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

/// Cuts a text for a message: it may be of any length.
pub(crate) fn short(text: &str) -> String {
    let end = text.char_indices().nth(60).map_or(text.len(), |(at, _)| at);
    let mut cut: String =
        text[..end].chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect();
    if end < text.len() {
        cut.push('…');
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_slurm() {
        let mib = 1 << 20;
        assert_eq!(slurm_memory("256M", mib), Some((256 << 20, Each::Job)));
        assert_eq!(slurm_memory("4004K", 1), Some((4_100_096, Each::Job)));
        assert_eq!(slurm_memory("4Gn", mib), Some((4 << 30, Each::Node)));
        assert_eq!(slurm_memory("1.5Gc", mib), Some((3 << 29, Each::Cpu)));
        assert_eq!(slurm_memory("2T", mib), Some((2 << 40, Each::Job)));
        assert_eq!(slurm_memory("66940928", 1), Some((66_940_928, Each::Job)));
        assert_eq!(slurm_memory("512", mib), Some((512 << 20, Each::Job)));
        for bad in ["", "M", "-1M", "1.2.3M", "99999999999999E", "12X", "1e3", "18446744073709551616", "é"] {
            assert_eq!(slurm_memory(bad, 1), None, "{bad}");
        }
    }

    #[test]
    fn memory_of_pbs() {
        assert_eq!(pbs_memory("200mb"), Some(200 << 20));
        assert_eq!(pbs_memory("1045680kb"), Some(1_045_680 << 10));
        assert_eq!(pbs_memory("4096b"), Some(4096));
        assert_eq!(pbs_memory("4096"), Some(4096));
        assert_eq!(pbs_memory("2GB"), Some(2 << 30));
        assert_eq!(pbs_memory("2kw"), Some(16 << 10));
        assert_eq!(pbs_memory("99999999999pb"), None);
        assert_eq!(pbs_memory("kb"), None);
    }

    #[test]
    fn durations() {
        let us = |text: &str| clock_us(text, 60_000_000);
        assert_eq!(us("00:00.035"), Some(35_000));
        assert_eq!(us("00:10:00"), Some(600_000_000));
        assert_eq!(us("1-02:03:04"), Some(93_784_000_000));
        assert_eq!(us("2-00"), Some(172_800_000_000));
        assert_eq!(us("1-01:30"), Some(91_800_000_000));
        assert_eq!(us("10"), Some(600_000_000));
        assert_eq!(us("100:00:00"), Some(360_000_000_000));
        for bad in
            ["", "UNLIMITED", "Partition_Limit", "-1", "1:2:3:4", "99999999999999999-00:00:00", "a:b", ":"]
        {
            assert_eq!(us(bad), None, "{bad}");
        }
    }

    #[test]
    fn counts() {
        assert_eq!(count("12"), Some(12));
        assert_eq!(count("12.0"), Some(12));
        assert_eq!(count("12.5"), None);
        assert_eq!(count("0"), None);
        assert_eq!(count("-1"), None);
        assert_eq!(count("4294967296"), None);
    }
}
