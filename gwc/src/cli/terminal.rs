//! Properties of the terminal to which an output stream is connected.

use std::borrow::Cow;
use std::io::IsTerminal;
use std::os::fd::AsFd;

use crate::output::human::Look;
use crate::output::wrap;

/// Width of a terminal in columns. `None` if the stream is not a terminal, or its width is unknown.
pub(super) fn columns(stream: &impl AsFd) -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(stream).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// Height of a terminal in rows. `None` if the stream is not a terminal, or its height is unknown.
pub(super) fn rows(stream: &impl AsFd) -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(stream).ok()?;
    Some(usize::from(size.ws_row)).filter(|rows| *rows > 0)
}

/// True if output to the stream is coloured: the stream is a terminal, and `NO_COLOR` is unset or
/// empty.
pub(super) fn has_color(stream: &impl IsTerminal) -> bool {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    stream.is_terminal() && !no_color
}

/// Style of the human output format for a stream: width and colours.
pub(super) fn look(stream: &(impl AsFd + IsTerminal)) -> Look {
    let look = match columns(stream).filter(|_| stream.is_terminal()) {
        Some(columns) => Look::of_width(columns),
        None => Look::default(),
    };
    Look {
        color: has_color(stream),
        ..look
    }
}

/// Breaks lines that are longer than the width of the terminal to which the stream is connected.
/// Other streams get the text without a change.
pub(super) fn fitted<'t>(text: &'t str, stream: &(impl AsFd + IsTerminal)) -> Cow<'t, str> {
    match columns(stream).filter(|_| stream.is_terminal()) {
        Some(columns) => wrap::lines(text, columns).into(),
        None => text.into(),
    }
}
