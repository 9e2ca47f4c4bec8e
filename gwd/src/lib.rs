//! `gwd`: the gateway that runs signed bundles.
//!
//! | Where | What |
//! |---|---|
//! | `boot` | command line options, start and exit codes |
//! | `control` | control thread: follow, verify, build, bind, persist, publish |
//! | `admin` | admin interface, and the client of the commands |
//! | `node`, `worker`, `published` | threads, and the version that they serve |
//! | `handover`, `inherited` | passing listening sockets to the next process |
//! | `listen`, `proxy`, `upstream` | path of a request from the client's socket to the host's |
//! | `discovery` | current hosts of upstreams |
//! | `budget`, `descriptors`, `spread` | limits of the process, balancing between workers |
//! | `unix_socket` | private sockets of the admin interface and of `handover` |
//! | `compute` | threads for computations that would block a worker |
//! | `files` | files of other programs |
//! | `quotas` | counters of quotas, in the state folder |
//! | `memory` | returns unused memory to the system |
//! | `telemetry`, `metrics`, `program_log` | counters, access log, metrics, program log |
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
mod quotas;
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
