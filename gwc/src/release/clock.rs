//! System clock. Only this module reads the time.

use std::time::{SystemTime, UNIX_EPOCH};

use bundle::moment::Moment;

/// Current time in whole seconds. 1970 if the clock is set before 1970.
#[must_use]
pub fn now() -> Moment {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Moment::from_unix_s(since.unwrap_or_default().as_secs())
}

/// Current date in UTC, `YYYY-MM-DD`.
#[must_use]
pub fn today() -> String {
    now().to_string()[..10].to_owned()
}
