//! The command line as a user meets it: the real program, real files, every exit code.

mod acknowledge;
mod apply;
mod book;
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
mod route;
mod strip;
mod usage;
mod verify;
