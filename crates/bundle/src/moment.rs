//! Points in time: whole seconds since 1970, written as RFC 3339 in UTC. The crate reads no clock;
//! callers pass the current time.
//!
//! There is only one text format (`2025-01-02T03:04:05Z`), so that signed payloads re-encode
//! identically.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time};

use crate::malformed::Malformed;

/// Point in time as Unix seconds, up to the end of the year 9999.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    /// 1970-01-01T00:00:00Z. Used as the current time by a machine without a clock.
    pub const EPOCH: Self = Self(0);
    /// Latest representable time: 9999-12-31T23:59:59Z.
    pub const MAX: Self = Self(253_402_300_799);

    /// Converts Unix seconds. Times after the year 9999 become [`Moment::MAX`].
    #[must_use]
    pub const fn from_unix_s(seconds: u64) -> Self {
        if seconds > Self::MAX.0 {
            return Self::MAX;
        }
        Self(seconds)
    }

    /// Seconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn unix_s(self) -> u64 {
        self.0
    }

    /// Time `seconds` later, at most [`Moment::MAX`].
    #[must_use]
    pub const fn plus_s(self, seconds: u64) -> Self {
        Self::from_unix_s(self.0.saturating_add(seconds))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = i64::try_from(self.0).expect("at most Moment::MAX");
        let at = OffsetDateTime::from_unix_timestamp(seconds).expect("at most Moment::MAX");
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
            at.year(),
            u8::from(at.month()),
            at.day(),
            at.hour(),
            at.minute(),
            at.second()
        )
    }
}

impl fmt::Debug for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Moment {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        parse(text).ok_or(Malformed::new(
            "time",
            "not of the form `2025-01-02T03:04:05Z`",
        ))
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse()
            .map_err(|_| D::Error::custom("not of the form `2025-01-02T03:04:05Z`"))
    }
}

fn parse(text: &str) -> Option<Moment> {
    let bytes: &[u8; 20] = text.as_bytes().try_into().ok()?;
    let shape = b"0000-00-00T00:00:00Z";
    let shaped = bytes.iter().zip(shape).all(|(byte, model)| match model {
        b'0' => byte.is_ascii_digit(),
        _ => byte == model,
    });
    if !shaped {
        return None;
    }
    let number = |range: std::ops::Range<usize>| text[range].parse::<u16>().ok();
    let small = |range| number(range).and_then(|n| u8::try_from(n).ok());
    let month = Month::try_from(small(5..7)?).ok()?;
    let date = Date::from_calendar_date(i32::from(number(0..4)?), month, small(8..10)?).ok()?;
    let time = Time::from_hms(small(11..13)?, small(14..16)?, small(17..19)?).ok()?;
    let seconds = PrimitiveDateTime::new(date, time)
        .assume_utc()
        .unix_timestamp();
    u64::try_from(seconds).ok().map(Moment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling_only() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T23:59:59Z", 951_868_799),
            ("9999-12-31T23:59:59Z", Moment::MAX.0),
        ] {
            assert_eq!(text.parse(), Ok(Moment(seconds)));
            assert_eq!(Moment(seconds).to_string(), text);
        }
        for bad in [
            "1969-12-31T23:59:59Z",
            "2025-01-02T03:04:05+00:00",
            "2025-01-02t03:04:05z",
            "2025-01-02 03:04:05Z",
            "2025-13-02T03:04:05Z",
            "2025-02-30T03:04:05Z",
            "2025-01-02T24:04:05Z",
            "2025-01-02T03:04:60Z",
            "2025-01-02T03:04:05.0Z",
            "+025-01-02T03:04:05Z",
        ] {
            assert!(bad.parse::<Moment>().is_err(), "{bad}");
        }
        assert_eq!(Moment::from_unix_s(u64::MAX), Moment::MAX);
    }
}
