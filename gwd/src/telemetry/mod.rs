//! Counters of the workers and the process, access log, log files, live lines for `gwd tail`, and
//! traces.

pub(crate) mod access_log;
mod cells;
pub(crate) mod collected;
pub(crate) mod exemplar;
pub(crate) mod exporter;
pub(crate) mod histogram;
pub(crate) mod log_batch;
#[expect(
    clippy::disallowed_methods,
    reason = "writes and rotates the access log"
)]
pub(crate) mod log_file;
pub(crate) mod log_sampling;
pub(crate) mod names;
pub(crate) mod otlp;
#[expect(
    clippy::disallowed_methods,
    reason = "reads the figures of the process"
)]
pub(crate) mod process;
pub(crate) mod refusals;
pub(crate) mod shadow;
pub(crate) mod shard;
pub(crate) mod signal;
pub(crate) mod tail;
pub(crate) mod traces;
