//! Answers that requests of all workers share: to equal questions at the same time, and cached ones.

pub(crate) mod joined;
pub(crate) mod passwords;
pub(crate) mod validators;
