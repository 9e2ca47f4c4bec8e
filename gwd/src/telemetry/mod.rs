//! Counters of the workers and the process, access log, and log files.

pub(crate) mod access_log;
pub(crate) mod log_file;
pub(crate) mod names;
pub(crate) mod process;
pub(crate) mod shard;
