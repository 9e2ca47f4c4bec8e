//! Who may pass, and with what: address, origin, credential, contract.

pub mod authorize;
pub mod cors;
pub mod csrf;
pub mod forward_auth;
pub mod graphql_guard;
pub mod ip_filter;
pub mod threat;
pub mod validate;
