//! Invisible characters in texts.

use crate::invisible::{self, is_picture};

/// True if a character is invisible or changes the display of its neighbours: controls except line
/// feed and tab, format characters (zero width, writing direction, soft hyphen, tags) and fillers.
#[must_use]
pub fn is_invisible(c: char) -> bool {
    invisible::is_invisible(c)
}

/// True if a character in a name looks like a plain space or is not displayed: invisible
/// characters, spaces other than U+0020, blank symbols and variation selectors (Unicode's
/// `Default_Ignorable_Code_Point` and `White_Space`).
#[must_use]
pub fn is_blank(c: char) -> bool {
    let is_space = c.is_whitespace() && !c.is_ascii();
    is_invisible(c) || is_picture(c) || is_space
}

/// True for spaces that look like U+0020 or have almost no width. False for the ideographic space
/// (U+3000), which is as wide as a character.
fn is_like_space(c: char) -> bool {
    matches!(
        c,
        '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}'
    )
}

/// Applies [`printable`] to each line of a text.
#[must_use]
pub fn printable_lines(text: &str) -> String {
    let lines: Vec<String> = text.split('\n').map(printable).collect();
    lines.join("\n")
}

/// Makes invisible characters visible, for display in a terminal. ASCII controls become their
/// symbols; other invisible characters are escaped as `\u{200b}`.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match visible(c) {
            '\u{fffd}' if c != '\u{fffd}' => out.extend(c.escape_unicode()),
            shown => out.push(shown),
        }
    }
    out
}

/// Replaces an invisible character by exactly one visible character, so that the columns of an
/// excerpt do not change.
#[must_use]
pub fn visible(c: char) -> char {
    match c {
        '\t' => '\t',
        '\0'..='\u{1f}' => char::from_u32(0x2400 + c as u32).unwrap_or('\u{fffd}'),
        '\u{7f}' => '\u{2421}',
        c if is_invisible(c) || is_picture(c) || is_like_space(c) => '\u{fffd}',
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_without_a_glyph_are_invisible() {
        for c in [
            '\u{200b}',
            '\u{ad}',
            '\u{61c}',
            '\u{2060}',
            '\u{202e}',
            '\u{2066}',
            '\u{85}',
            '\u{9b}',
            '\u{feff}',
            '\u{200d}',
            '\u{e0041}',
            '\u{7f}',
            '\0',
        ] {
            assert!(is_invisible(c), "{c:?}");
        }
        for c in [
            'a', ' ', '\n', '\t', 'é', '日', '\u{301}', '😀', '\u{fffd}', '\u{a0}',
        ] {
            assert!(!is_invisible(c), "{c:?}");
        }
    }

    #[test]
    fn invisible_characters_are_escaped() {
        for c in [
            '\u{fe0f}', '\u{2800}', '\u{fffc}', '\u{a0}', '\u{2009}', '\u{200b}',
        ] {
            let escaped = format!("a{}b", c.escape_unicode());
            assert_eq!(printable(&format!("a{c}b")), escaped);
        }
        assert_eq!(printable("a\u{3000}é"), "a\u{3000}é");
    }

    #[test]
    fn blank_characters_of_names_are_known() {
        for c in [
            '\u{a0}',
            '\u{34f}',
            '\u{115f}',
            '\u{1160}',
            '\u{1680}',
            '\u{2003}',
            '\u{202f}',
            '\u{205f}',
            '\u{2800}',
            '\u{3000}',
            '\u{3164}',
            '\u{fe00}',
            '\u{fe0f}',
            '\u{ffa0}',
            '\u{e0100}',
        ] {
            assert!(is_blank(c), "{c:?}");
        }
        for c in ['a', ' ', '\t', 'é', '日', '\u{301}', '😀', '⠁'] {
            assert!(!is_blank(c), "{c:?}");
        }
    }
}
