//! Counters of a worker, access log, and the file that logs are written to.

pub(crate) mod access_log;
pub(crate) mod log_file;
pub(crate) mod names;
pub(crate) mod process;
pub(crate) mod shard;
