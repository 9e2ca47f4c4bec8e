//! Policies on traffic: limits, timeouts, retries, circuit breakers, splits, mirrors, and fields of
//! the access log.

pub mod body_limit;
pub mod cache;
pub mod circuit_breaker;
pub mod compress;
pub mod concurrency;
pub mod cost;
mod counter;
pub mod fault;
pub mod llm;
pub mod log_fields;
pub mod mirror;
pub mod quota;
pub mod rate_limit;
pub mod retry;
pub mod split;
pub mod synced;
pub mod timeout;
