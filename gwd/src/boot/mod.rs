//! Start of the program, from the command line to the exit code.

mod access_log;
mod bounds;
mod client_options;
mod command;
mod comparison;
mod examples;
mod exit;
mod options;
mod otlp;
mod output;
mod registry;
mod run;
mod systemd;
mod tail;
mod values;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;

/// Entry point of the program.
#[must_use]
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    exit::install_hook();
    let outcome =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(
            || match options::Cli::try_parse_from(arguments) {
                Ok(cli) => command::dispatch(cli),
                Err(error) => exit::of_clap(&error),
            },
        ));
    match outcome {
        Ok(exit) => ExitCode::from(exit.code()),
        // The panic hook has logged the panic.
        Err(_) => ExitCode::from(exit::Exit::Bug.code()),
    }
}
