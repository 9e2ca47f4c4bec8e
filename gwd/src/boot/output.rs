//! Output of commands: results, and errors with their exit codes.

use std::io::Write as _;

use serde_json::{Value, json};

use super::exit::Exit;
use super::values::{Format, OptionsError};

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
        Format::Human => write(&match terminal_columns() {
            Some(columns) => broken(&text(value), columns),
            None => text(value),
        }),
    }
    Exit::Done
}

/// Width in columns of the terminal on standard output. `None` if standard output is not a
/// terminal, or the width is unknown.
fn terminal_columns() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// Number of columns by which a continuation line is indented more than the line that it
/// continues. More than the 2 columns between two levels of a status, so that the two differ.
const CONTINUATION: usize = 6;

/// Breaks each line of a text that has more than `width` columns between words, as gwc does: a
/// terminal breaks it inside a word. A longer word is a line of its own.
fn broken(text: &str, width: usize) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let start = line.len() - line.trim_start_matches(' ').len();
        let (mut column, mut gap) = (0, 0);
        for word in line.split(' ') {
            if word.is_empty() {
                gap += 1;
                continue;
            }
            let length = word.trim_end_matches('\n').chars().count();
            if column > 0 && column + gap + length > width {
                out.push('\n');
                (column, gap) = (0, (start + CONTINUATION).min(width / 2));
            }
            out.push_str(&" ".repeat(gap));
            out.push_str(word);
            column += gap + length;
            gap = 1;
        }
    }
    out
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words() {
        let status = "node       gw-1\nupstream   orders: 2 of 3 hosts\n  next\n";
        assert_eq!(broken(status, 40), status);
        let narrow = "node       gw-1\nupstream\n      orders: 2\n      of 3 hosts\n  next\n";
        assert_eq!(broken(status, 17), narrow);
    }

    #[test]
    fn words_longer_than_a_line_stay_whole() {
        let id = "sha256:0123456789abcdef";
        assert_eq!(
            broken(&format!("bundle     {id}\n"), 12),
            format!("bundle\n      {id}\n")
        );
    }
}
