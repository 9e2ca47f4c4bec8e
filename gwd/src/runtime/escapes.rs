//! Escaping, for logs, of characters that change how the text around them is displayed.

// gwd does not depend on the crate `diag`, but includes the same table.
#[path = "../../../crates/diag/src/invisible.rs"]
mod invisible;

use std::io::Write as _;

use invisible::{is_invisible, is_picture};

/// Appends a character as `\u` and four hexadecimal digits. A character beyond U+FFFF becomes a
/// surrogate pair of two such escapes.
pub(crate) fn write_escaped(character: char, out: &mut Vec<u8>) {
    for unit in character.encode_utf16(&mut [0; 2]) {
        let _infallible = write!(out, "\\u{unit:04x}");
    }
}

/// True for characters that change how a terminal or an editor displays the text around them: C0
/// and C1 control characters, line separators, and invisible characters, including bidirectional
/// controls, fillers and blank symbols.
pub(crate) const fn is_hidden(character: char) -> bool {
    matches!(character, '\t' | '\n') || is_invisible(character) || is_picture(character)
}

/// Escapes hidden characters in a JSON text that has no white space between its tokens. Hidden
/// characters then occur only inside strings.
pub(crate) fn escape_hidden(json: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len());
    for character in json.chars() {
        match is_hidden(character) {
            true => write_escaped(character, &mut out),
            false => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out
}
