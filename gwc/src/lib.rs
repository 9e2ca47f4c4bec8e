//! Compiler from OpenAPI documents and gateway.yaml to a signed bundle.
//!
//! Other crates contain the front end: `sources` reads files, `openapi` reads documents, `model`
//! resolves a project, `plan` compares two versions. This crate contains the command line
//! ([`cli`]), bundles ([`assemble`]), stores and signatures ([`release`]), and reports
//! ([`output`]).

#![cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]

pub mod assemble;
pub mod book;
#[expect(
    clippy::disallowed_methods,
    reason = "commands read and write files, and read variables and the clock"
)]
pub mod cli;
pub mod fixes;
pub mod output;
pub mod release;
pub mod schemas;
pub mod strip;

/// Installs a panic hook that reports a panic as a bug, with its source location.
pub fn report_bugs() {
    std::panic::set_hook(Box::new(|info| {
        use std::io::Write as _;
        let place = info
            .location()
            .map(|at| format!("{}:{}", at.file(), at.line()));
        let message = info.payload().downcast_ref::<&str>().copied();
        let message =
            message.or_else(|| info.payload().downcast_ref::<String>().map(String::as_str));
        let _ = writeln!(
            std::io::stderr(),
            "gwc {} has a bug: {} (at {})\nPlease report it with the command and the files that led here.",
            env!("CARGO_PKG_VERSION"),
            message.unwrap_or("no message"),
            place.as_deref().unwrap_or("an unknown place"),
        );
    }));
}
