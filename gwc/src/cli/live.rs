//! Repeated output of a state (`gwc release status --watch`): redrawn in place on a terminal, and as
//! changed lines in a pipe.

use std::io::{IsTerminal as _, Write as _};

use serde_json::Value;

use super::{progress, say, terminal};
use crate::release;

/// Line of a state.
pub(super) struct Line {
    pub(super) text: String,
    /// Part of the line without numbers that change at each reading. In a pipe, the line is written
    /// again if this part changes.
    pub(super) state: String,
}

/// Output of a state that is read repeatedly.
pub(super) enum Live {
    /// Terminal, and the number of rows that show the last state.
    Terminal(usize),
    /// Pipe or file, and the states of the last lines.
    Pipe(Vec<String>),
    /// JSON lines, and the last document.
    Json(Value),
}

impl Live {
    /// Creates the output. A terminal without control functions (`TERM=dumb`) gets the lines of a
    /// pipe.
    pub(super) fn new(format: say::Format) -> Self {
        // The line about the progress would be between the lines of the state.
        progress::end();
        let is_dumb = std::env::var_os("TERM").is_some_and(|name| name == "dumb");
        match format {
            say::Format::Json => Self::Json(Value::Null),
            say::Format::Human if std::io::stdout().is_terminal() && !is_dumb => Self::Terminal(0),
            say::Format::Human => Self::Pipe(Vec::new()),
        }
    }

    /// Shows a state. Writes nothing if it has not changed.
    pub(super) fn show(&mut self, lines: &[Line], document: &Value) {
        match self {
            Self::Terminal(rows) => *rows = redraw(lines, *rows),
            Self::Pipe(before) => {
                let now = release::now();
                for line in lines.iter().filter(|line| !before.contains(&line.state)) {
                    say::result(&format!("{now} {}", line.text));
                }
                *before = lines.iter().map(|line| line.state.clone()).collect();
            }
            Self::Json(before) if *before == *document => {}
            Self::Json(before) => {
                say::result(&document.to_string());
                *before = document.clone();
            }
        }
    }
}

/// Draws the lines over those of the last state, which has `rows` rows. Returns the number of rows.
fn redraw(lines: &[Line], rows: usize) -> usize {
    let out = std::io::stdout();
    let columns = terminal::columns(&out).unwrap_or(80);
    let height = terminal::rows(&out).unwrap_or(24);
    let all: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
    let text = terminal::fitted(&all.join("\n"), &out).into_owned();
    let cut = |line: &str| line.chars().take(columns).collect::<String>();
    let mut shown: Vec<String> = text.lines().map(cut).collect();
    // The cursor is in the row below the text. Rows that have left the screen cannot be redrawn.
    let rows_max = height.saturating_sub(1).max(1);
    if shown.len() > rows_max {
        let hidden = shown.len() - (rows_max - 1);
        shown.truncate(rows_max - 1);
        shown.push(cut(&format!("… {hidden} more lines")));
    }
    let mut text = String::new();
    if rows > 0 {
        // ECMA-48: cursor to the first row of the last state (CPL), erase to the end (ED).
        text.push_str(&format!("\u{1b}[{rows}F\u{1b}[J"));
    }
    for line in &shown {
        text.push_str(line);
        text.push('\n');
    }
    let mut out = out.lock();
    // Ignore an error: without the terminal, there is nothing to show.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    shown.len()
}
