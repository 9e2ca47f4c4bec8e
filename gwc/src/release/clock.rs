//! The one place where this program reads the clock.

use std::time::{SystemTime, UNIX_EPOCH};

use bundle::moment::Moment;

/// Now, in whole seconds; a clock before 1970 says 1970.
#[must_use]
pub fn now() -> Moment {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Moment::from_unix_s(since.unwrap_or_default().as_secs())
}

/// The current day in UTC, `YYYY-MM-DD`.
#[must_use]
pub fn today() -> String {
    now().to_string()[..10].to_owned()
}
