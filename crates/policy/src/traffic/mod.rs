//! How much, how long.

pub mod rate_limit;
pub mod timeout;
