//! `gwd`: the gateway that runs signed bundles.
//!
//! | Where | What |
//! |---|---|
//! | `boot` | command line options, start and exit codes |
//! | `control` | control thread: follows the channel; verifies, builds and publishes bundles |
//! | `admin` | admin interface, and the client of the commands |
//! | `node`, `worker`, `published` | threads, and the version that they serve |
//! | `listen` | listening sockets, accepting, handing sockets to the next process |
//! | `proxy`, `upstream` | path of a request from the client's socket to the host's |
//! | `message` | request bodies, client I/O and failures, which `proxy` and `upstream` share |
//! | `effects`, `answers` | answers of other services for the chain, and copies for mirrors |
//! | `discovery` | current hosts of upstreams |
//! | `limits` | limits of the process on memory, connections, requests, descriptors |
//! | `runtime` | clock, random numbers, deadlines, computations, program log |
//! | `quotas` | counters of quotas, in the state folder |
//! | `stores` | counters that a fleet shares |
//! | `telemetry`, `metrics` | counters, access log, metrics |
//! | `tls` | certificates, CA certificates for clients, handshakes |
//!
//! Start reading at `proxy/exchange.rs`.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod admin;
mod answers;
mod client;
#[expect(
    clippy::disallowed_methods,
    reason = "reads secrets and writes the state folder"
)]
mod control;
mod effects;
mod limits;
mod listen;
mod message;
mod metrics;
mod proxy;
mod published;
#[expect(
    clippy::disallowed_methods,
    reason = "writes the counters into the state folder"
)]
mod quotas;
mod runtime;
mod settings;
mod stores;
mod telemetry;
mod tls;
mod upstream;
mod worker;

#[expect(
    clippy::disallowed_methods,
    reason = "reads options and starts the process"
)]
pub mod boot;
#[expect(
    clippy::disallowed_methods,
    reason = "reads files of hosts and waits for name servers"
)]
pub mod discovery;
#[expect(clippy::disallowed_methods, reason = "waits for the end of exchanges")]
pub mod node;
