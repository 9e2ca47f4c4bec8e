//! Harness of the end-to-end tests. The tests compile with the shipped gwc, serve with the shipped
//! gwd, and send requests over real sockets. The harness uses both programs as black boxes, and
//! must not depend on any of their crates.
//!
//! Errors in the harness itself panic, with a complete description in the message.

pub mod access_log;
pub mod audit;
pub mod binaries;
pub mod browser;
pub mod cases;
pub mod client;
pub mod corpus;
pub mod gateway;
pub mod markdown;
pub mod openapi;
pub mod openssl;
pub mod peers;
pub mod process;
pub mod project;
pub mod promql;
pub mod server;
pub mod store;
pub mod upstream;
pub mod wait;
