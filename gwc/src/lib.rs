//! The compiler: from OpenAPI documents and gateway.yaml to a signed bundle.
//!
//! The way of the data: [`syntax`] reads texts into one spanned tree, [`project`] finds the
//! files, [`overlay`] applies overlays, [`spec`] reads OpenAPI, [`lint`] judges it, and
//! [`output`] says what was found.

pub mod acknowledge;
pub mod ask;
pub mod assemble;
pub mod book;
pub mod cli;
pub mod compile;
pub mod contract;
pub mod environment;
pub mod exit;
pub mod lint;
pub mod lower;
pub mod mend;
pub mod model;
pub mod output;
pub mod overlay;
pub mod parallel;
pub mod plan;
pub mod project;
pub mod release;
pub mod route;
pub mod schemas;
pub mod source_map;
pub mod spec;
pub mod stages;
pub mod strip;
pub mod syntax;
pub mod vocab;

/// A panic is a bug of ours: say so, and where, instead of a bare backtrace.
pub fn report_bugs() {
    std::panic::set_hook(Box::new(|info| {
        use std::io::Write as _;
        let place = info
            .location()
            .map(|at| format!("{}:{}", at.file(), at.line()));
        let said = info.payload().downcast_ref::<&str>().copied();
        let said = said.or_else(|| info.payload().downcast_ref::<String>().map(String::as_str));
        let _ = writeln!(
            std::io::stderr(),
            "gwc {} has a bug: {} (at {})\nPlease report it with the command and the files that led here.",
            env!("CARGO_PKG_VERSION"),
            said.unwrap_or("no message"),
            place.as_deref().unwrap_or("an unknown place"),
        );
    }));
}
