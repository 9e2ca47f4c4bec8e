//! The command line as a user meets it: the real program, real files, every exit code.

mod acknowledge;
mod apply;
mod build;
mod diff;
mod environment;
mod fix;
mod gc;
mod git;
mod init;
mod keygen;
mod limits;
mod lint;
mod nodes;
mod project;
mod revoke;
mod rollback;
mod usage;
mod verify;
