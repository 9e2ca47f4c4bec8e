//! Access to time: monotonic for deadlines and counters, wall clock for logs and dates.
//!
//! Workers pass times on as arguments, so that an exchange reads the clock only a few times.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Monotonic clock of the process. Times are relative to the creation of the clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    /// Creates a clock that starts at 0 now.
    #[must_use]
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    /// Monotonic time in nanoseconds.
    #[must_use]
    pub(crate) fn now_ns(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Monotonic time in milliseconds.
    #[must_use]
    pub(crate) fn now_ms(&self) -> u64 {
        self.now_ns() / 1_000_000
    }

    /// Converts a monotonic time in milliseconds to an `Instant`; one hour from now if that
    /// overflows.
    #[must_use]
    pub(crate) fn instant(&self, at_ms: u64) -> Instant {
        let at = self.start.checked_add(Duration::from_millis(at_ms));
        at.unwrap_or_else(|| Instant::now() + Duration::from_secs(3_600))
    }
}

/// Current Unix time in milliseconds, or 0 if the clock is set to a time before 1970.
#[must_use]
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Number of seconds in a field such as `Retry-After` (`delta-seconds`, RFC 9111 §1.2.2). A number
/// that is too large becomes the maximum. `None` if the text has other characters than digits.
pub(crate) fn delta_seconds(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

/// Length of an HTTP date in bytes.
pub(crate) const HTTP_DATE_BYTES: usize = 29;

/// Current time in the format of the `Date` field (RFC 9110 §5.6.7).
pub(crate) fn http_date() -> [u8; HTTP_DATE_BYTES] {
    let text = httpdate::fmt_http_date(SystemTime::now());
    text.as_bytes()
        .try_into()
        .unwrap_or([b' '; HTTP_DATE_BYTES])
}

/// The system's monotonic clock in microseconds, for systemd, which compares it with its own clock.
pub(crate) fn monotonic_us() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds * 1_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000
}

/// Current Unix time in seconds, for the control thread. In a debug build, a test can set this
/// clock in the file named by `GWD_TEST_CLOCK`.
#[must_use]
pub(crate) fn unix_s() -> u64 {
    #[cfg(debug_assertions)]
    if let Some(now) = time_of_test() {
        return now;
    }
    unix_ms() / 1_000
}

#[cfg(debug_assertions)]
fn time_of_test() -> Option<u64> {
    let path = std::env::var_os("GWD_TEST_CLOCK")?;
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Appends a Unix time as a timestamp such as `2025-01-02T03:04:05.678Z`.
pub(crate) fn write_timestamp(unix_ms: u64, out: &mut Vec<u8>) {
    let (days, ms_of_day) = (unix_ms / 86_400_000, unix_ms % 86_400_000);
    let (year, month, day) = civil(days);
    let seconds = ms_of_day / 1_000;
    let digits = |value: u64, width: u32, out: &mut Vec<u8>| {
        for place in (0..width).rev() {
            let digit = value / 10u64.pow(place) % 10;
            out.push(b'0' + u8::try_from(digit).unwrap_or(0));
        }
    };
    digits(year, 4, out);
    out.push(b'-');
    digits(month, 2, out);
    out.push(b'-');
    digits(day, 2, out);
    out.push(b'T');
    digits(seconds / 3_600, 2, out);
    out.push(b':');
    digits(seconds / 60 % 60, 2, out);
    out.push(b':');
    digits(seconds % 60, 2, out);
    out.push(b'.');
    digits(ms_of_day % 1_000, 3, out);
    out.push(b'Z');
}

/// Year, month and day of a day number counted from 1970 (Howard Hinnant, `civil_from_days`).
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_rfc_3339() {
        let cases = [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_868_799_999, "2000-02-29T23:59:59.999Z"),
            (1_735_787_045_678, "2025-01-02T03:04:05.678Z"),
            (253_402_300_799_000, "9999-12-31T23:59:59.000Z"),
        ];
        for (unix_ms, expected) in cases {
            let mut out = Vec::new();
            write_timestamp(unix_ms, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
