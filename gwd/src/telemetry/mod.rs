//! What the gateway tells about itself: metrics, access log, program log.

pub(crate) mod access_log;
pub(crate) mod families;
pub(crate) mod found;
pub(crate) mod judging;
pub(crate) mod log_file;
pub(crate) mod names;
pub(crate) mod process;
pub(crate) mod program;
pub(crate) mod registry;
pub(crate) mod shard;
