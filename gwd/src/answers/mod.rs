//! Answers of other services that the requests of all workers share, and cached answers.

pub(crate) mod checks;
pub(crate) mod joined;
pub(crate) mod validation_limit;
pub(crate) mod validators;
