//! What is changed on the way, and answers made by the gateway.

pub mod headers;
pub mod respond;
