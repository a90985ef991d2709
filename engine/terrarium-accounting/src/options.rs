//! What a reader cannot know from its input, and times.

use std::str::FromStr;

use chrono::{DateTime, FixedOffset, Local, LocalResult, NaiveDate, NaiveDateTime, TimeDelta, TimeZone};

/// What the input does not say of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Where times without a zone were written. The public job data of ALCF is in UTC, whence [`Zone::Local`]
    /// means UTC there.
    pub zone: Zone,
    /// The name of a PBS server is that of its cluster.
    pub cluster_of_server: bool,
    /// What times of the Standard Workload Format count from if its header does not say, microseconds since
    /// 1970 UTC.
    pub start_us: Option<i64>,
}

/// A time zone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Zone {
    /// That of this machine.
    #[default]
    Local,
    /// Seconds east of UTC.
    Offset(i32),
    /// UTC.
    Utc,
}

impl FromStr for Zone {
    type Err = String;

    /// `local`, `utc`, `Z`, `+01:00`, `-0600`.
    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            name if name.eq_ignore_ascii_case("local") => Ok(Zone::Local),
            name if name.eq_ignore_ascii_case("utc") || name.eq_ignore_ascii_case("z") => Ok(Zone::Utc),
            name => offset(name)
                .map(Zone::Offset)
                .ok_or_else(|| format!("'{name}' is no time zone: local, utc, +01:00 and -0600 are")),
        }
    }
}

/// Seconds east of UTC of `+01:00`, `-0600` or `+01`.
fn offset(text: &str) -> Option<i32> {
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let digits = text.get(1..)?;
    let (hours, minutes) = match (digits.len(), digits.split_once(':')) {
        (5, Some((hours, minutes))) if hours.len() == 2 => (hours, minutes),
        (4, None) => (digits.get(..2)?, digits.get(2..)?),
        (2, None) => (digits, "0"),
        _ => return None,
    };
    if !hours.bytes().chain(minutes.bytes()).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

/// The end of year 9999: what is later is no time of a job.
const LAST_S: i64 = 253_402_300_800;

/// Microseconds of seconds since 1970; schedulers write 0 for never.
pub(crate) fn epoch_us(seconds: i64) -> Option<i64> {
    (0 < seconds && seconds < LAST_S).then(|| seconds.saturating_mul(1_000_000))
}

/// Microseconds of a text of digits, seconds since 1970.
pub(crate) fn epoch_text(text: &str) -> Option<i64> {
    epoch_us(text.trim().parse().ok()?)
}

impl Zone {
    /// Microseconds since 1970 UTC of a time on the wall here. Of one that is there twice it is the earlier;
    /// one that is left out in spring is taken as the clock would have gone on.
    pub(crate) fn wall_us(self, wall: NaiveDateTime) -> Option<i64> {
        match self {
            Zone::Utc => in_range(wall.and_utc().timestamp_micros()),
            Zone::Offset(east) => {
                let zone = FixedOffset::east_opt(east)?;
                single(zone.from_local_datetime(&wall))
            }
            Zone::Local => single(Local.from_local_datetime(&wall)).or_else(|| {
                let hour = TimeDelta::hours(1);
                let before = single(Local.from_local_datetime(&wall.checked_sub_signed(hour)?))?;
                in_range(before.checked_add(3_600_000_000)?)
            }),
        }
    }

    /// Microseconds since 1970 UTC of `2026-11-22T00:47:56`, with a blank for the T, a fraction or a zone of
    /// its own if it has them.
    pub(crate) fn iso_us(self, text: &str) -> Option<i64> {
        let text = text.trim();
        let (date, clock) = (text.get(..10)?, text.get(11..)?);
        if !matches!(text.as_bytes().get(10), Some(b'T' | b' ')) {
            return None;
        }
        let date = NaiveDate::parse_from_str(date, "%Y-%m-%d").ok()?;
        let zone_at = clock.find(['Z', 'z', '+', '-']).unwrap_or(clock.len());
        let (clock, zone) = clock.split_at(zone_at);
        let zone = match zone {
            "" => self,
            "Z" | "z" => Zone::Utc,
            other => Zone::Offset(offset(other)?),
        };
        zone.wall_us(date.and_time(time_of_day(clock.trim_end())?))
    }

    /// Microseconds since 1970 UTC of `11/22/2026 01:49:50`.
    pub(crate) fn american_us(self, text: &str) -> Option<i64> {
        let (date, clock) = text.trim().split_once(' ')?;
        let date = NaiveDate::parse_from_str(date, "%m/%d/%Y").ok()?;
        self.wall_us(date.and_time(time_of_day(clock.trim())?))
    }
}

fn time_of_day(text: &str) -> Option<chrono::NaiveTime> {
    chrono::NaiveTime::parse_from_str(text, "%H:%M:%S%.f").ok()
}

/// The order of the two that may be meant is not relied on: for some zones chrono has it the wrong way round.
fn single<Z: TimeZone>(found: LocalResult<DateTime<Z>>) -> Option<i64> {
    let us = match found {
        LocalResult::Single(one) => one.timestamp_micros(),
        LocalResult::Ambiguous(one, other) => one.timestamp_micros().min(other.timestamp_micros()),
        LocalResult::None => return None,
    };
    in_range(us)
}

fn in_range(us: i64) -> Option<i64> {
    (0 < us && us < LAST_S * 1_000_000).then_some(us)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_read() {
        assert_eq!("local".parse(), Ok(Zone::Local));
        assert_eq!("UTC".parse(), Ok(Zone::Utc));
        assert_eq!("Z".parse(), Ok(Zone::Utc));
        assert_eq!("+01:00".parse(), Ok(Zone::Offset(3600)));
        assert_eq!("-0600".parse(), Ok(Zone::Offset(-21600)));
        assert_eq!("+05:30".parse(), Ok(Zone::Offset(19800)));
        for bad in ["", "+", "CET", "+1:00", "+25:00", "+01:60", "+0a:00", "é0100", "+é00"] {
            assert!(bad.parse::<Zone>().is_err(), "{bad}");
        }
    }

    #[test]
    fn times_have_the_zone_that_they_were_written_in() {
        // 2026-11-22T00:47:56 UTC is 1795308476.
        let us = Some(1_795_308_476_000_000);
        assert_eq!(Zone::Utc.iso_us("2026-11-22T00:47:56"), us);
        assert_eq!(Zone::Utc.iso_us("2026-11-22 00:47:56"), us);
        assert_eq!(Zone::Offset(3600).iso_us("2026-11-22T01:47:56"), us);
        assert_eq!(Zone::Offset(3600).iso_us("2026-11-22T00:47:56Z"), us);
        assert_eq!(Zone::Utc.iso_us("2026-11-21T18:47:56-06:00"), us);
        assert_eq!(Zone::Utc.iso_us("2026-11-22T00:47:56.25"), Some(1_795_308_476_250_000));
        assert_eq!(Zone::Utc.american_us("11/22/2026 00:47:56"), us);
        for bad in ["", "2026-11-22", "2026-13-22T00:47:56", "2026-11-22x00:47:56", "é026-11-22T00:47:56"] {
            assert_eq!(Zone::Utc.iso_us(bad), None, "{bad}");
        }
        assert_eq!(Zone::Utc.iso_us("0000-01-01T00:00:00"), None);
    }

    #[test]
    fn local_times_are_known_wherever_this_runs() {
        // Whatever the zone here, it agrees with what chrono says the other way round.
        let wall = Local.timestamp_opt(1_795_308_476, 0).earliest().unwrap().naive_local();
        assert_eq!(Zone::Local.wall_us(wall), Some(1_795_308_476_000_000));
    }

    #[test]
    fn a_time_that_occurs_twice_is_the_earlier() {
        let earlier = FixedOffset::east_opt(7200).unwrap().timestamp_opt(1_761_438_600, 0).unwrap();
        let later = FixedOffset::east_opt(3600).unwrap().timestamp_opt(1_761_442_200, 0).unwrap();
        assert_eq!(earlier.naive_local(), later.naive_local());
        let us = Some(1_761_438_600_000_000);
        assert_eq!(single(LocalResult::Ambiguous(earlier, later)), us);
        assert_eq!(single(LocalResult::Ambiguous(later, earlier)), us);
    }

    #[test]
    fn no_time_is_none() {
        assert_eq!(epoch_us(0), None);
        assert_eq!(epoch_us(-1), None);
        assert_eq!(epoch_us(i64::MAX), None);
        assert_eq!(epoch_text("1795308476"), Some(1_795_308_476_000_000));
        assert_eq!(epoch_text("99999999999999999999"), None);
    }
}
