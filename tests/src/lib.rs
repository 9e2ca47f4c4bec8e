//! The harness of the end-to-end tests: it compiles with the shipped gwc, serves with the shipped
//! gwd and talks to it over real sockets. It knows both programs from the outside only and must
//! not depend on any of their crates.
//!
//! A harness has nobody to report to but the test: what goes wrong in it panics, with the whole
//! story in the message.

pub mod access_log;
pub mod audit;
pub mod binaries;
pub mod cases;
pub mod client;
pub mod corpus;
pub mod gateway;
pub mod openapi;
pub mod openssl;
pub mod process;
pub mod project;
pub mod server;
pub mod store;
pub mod upstream;
pub mod wait;
