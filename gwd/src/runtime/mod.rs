//! Services of the process that every other module may use: time, random numbers, deadlines,
//! computations off the workers, the program log, and supervision of the vital parts of a worker.
//! These modules import no other module of gwd.

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the clock"
)]
pub(crate) mod clock;
pub(crate) mod compute;
pub(crate) mod deadlines;
pub(crate) mod escapes;
pub(crate) mod files;
pub(crate) mod informational;
pub(crate) mod log_format;
pub(crate) mod program_log;
pub(crate) mod random;
pub(crate) mod vital;
