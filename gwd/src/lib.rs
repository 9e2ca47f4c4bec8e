//! `gwd`: the gateway that runs signed bundles.
//!
//! | Where | What |
//! |---|---|
//! | `boot` | options, start, exit codes |
//! | `control` | what should run: follow, verify, build, bind, persist, publish |
//! | `admin` | the admin interface, and the commands that talk to it |
//! | `node`, `worker`, `published` | threads, and the version they run |
//! | `listen`, `proxy`, `upstream` | from a client's socket to a target's |
//! | `files` | files that somebody else writes |
//! | `memory` | what the allocator keeps goes back |
//! | `telemetry` | metrics, access log, program log |
//! | `tls` | certificates, client authorities, handshakes |
//!
//! Start reading at `proxy/exchange.rs`.

mod accept;
mod admin;
mod clock;
mod control;
mod deadlines;
mod files;
mod listen;
mod memory;
mod proxy;
mod published;
mod random;
mod telemetry;
mod tls;
mod upstream;
mod worker;

pub mod boot;
pub mod node;
