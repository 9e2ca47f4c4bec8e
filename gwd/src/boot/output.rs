//! Output of commands: results, and errors with their exit codes.

use std::io::Write as _;

use serde_json::{Value, json};

use super::exit::Exit;
use super::options::{Format, OptionsError};

/// Prints the refusal of a running gwd.
pub(super) fn refused(answer: &Value, format: Format) -> Exit {
    let error = &answer["error"];
    let exit = Exit::of_code(error["exit"].as_u64());
    match format {
        Format::Json => write(&format!("{answer}\n")),
        Format::Human => complain(&format!(
            "{} ({})",
            error["message"].as_str().unwrap_or("refused"),
            error["code"].as_str().unwrap_or("refused"),
        )),
    }
    exit
}

/// Prints a result of a command.
pub(super) fn print(value: &Value, format: Format, text: impl Fn(&Value) -> String) -> Exit {
    match format {
        Format::Json => write(&format!("{value}\n")),
        Format::Human => write(&text(value)),
    }
    Exit::Done
}

/// Prints an error in the options of a command.
pub(super) fn wrong_options(error: &OptionsError, format: Format) -> Exit {
    match error {
        OptionsError::Usage(why) => fail(Exit::Usage, "usage", why, format),
        OptionsError::Input(why) => fail(Exit::Input, "unreadable", why, format),
    }
}

/// Prints an error of a command, and returns its exit code.
pub(super) fn fail(exit: Exit, code: &str, why: &str, format: Format) -> Exit {
    match format {
        Format::Json => write(&format!(
            "{}\n",
            json!({
                "schema": "error/v1",
                "result": "error",
                "tool": {"name": "gwd", "version": env!("CARGO_PKG_VERSION")},
                "environment": Value::Null,
                "error": {"code": code, "message": why, "exit": exit.code()},
            })
        )),
        Format::Human => complain(why),
    }
    exit
}

/// Writes a result to standard output. Ignores errors: they mean that the reader has closed the
/// pipe.
pub(super) fn write(text: &str) {
    let _closed = std::io::stdout().write_all(text.as_bytes());
}

/// Writes a message to standard error.
fn complain(why: &str) {
    let _closed = writeln!(std::io::stderr(), "gwd: {why}");
}
