//! Policies that may refuse a request: by address, origin, credential or contract.

pub mod authorize;
pub mod cors;
pub mod csrf;
pub mod expression;
pub mod ext_proc;
pub mod forward_auth;
pub mod graphql_guard;
pub mod ip_filter;
pub mod threat;
pub mod validate;
