//! `gwd`: the gateway that runs signed bundles.
//!
//! | Where | What |
//! |---|---|
//! | `boot` | options, start, exit codes |
//! | `control` | what should run: follow, verify, build, bind, persist, publish |
//! | `admin` | the admin interface, and the commands that talk to it |
//! | `node`, `worker`, `published` | threads, and the version they run |
//! | `handover`, `inherited` | listening sockets from one process to the next |
//! | `listen`, `proxy`, `upstream` | from a client's socket to a target's |
//! | `discovery` | which hosts upstreams have now |
//! | `budget`, `descriptors`, `spread` | what the process may have at once, and which worker gets it |
//! | `unix_socket` | sockets of the admin interface and of `handover`, created closed |
//! | `compute` | threads for what would hold up a worker |
//! | `files` | files that somebody else writes |
//! | `memory` | what the allocator keeps goes back |
//! | `telemetry`, `metrics`, `program_log` | counters and access log; what is scraped; the program log |
//! | `tls` | certificates, client authorities, handshakes |
//!
//! Start reading at `proxy/exchange.rs`.

mod accept;
mod admin;
mod budget;
mod buffered;
mod clock;
mod compute;
mod control;
mod deadlines;
mod descriptors;
mod escapes;
mod files;
mod handover;
mod inbox;
mod inherited;
mod listen;
mod measure;
mod memory;
mod metrics;
mod pace;
mod program_log;
mod proxy;
mod published;
mod random;
mod settings;
mod spare;
mod spread;
mod telemetry;
mod tls;
mod turns;
mod unix_socket;
mod upstream;
mod vital;
mod waiting;
mod worker;

pub mod boot;
pub mod discovery;
pub mod node;
