//! Folding of paths: the text that servers compare after they have decoded the path, if they
//! ignore letter case.
//!
//! Most servers decode paths before they select a handler: they treat `/%40me` as `/@me`. ASP.NET
//! Core, Spring and Windows also compare all letters of Unicode: they treat `%C3%89t%C3%A9` (`Été`)
//! as `%C3%A9t%C3%A9` (`été`), and the Kelvin sign (U+212A) as `k`.

use std::borrow::Cow;

use policy::escapes::is_decoded;

use crate::escapes;

/// Maximum length of a text that is folded without an allocation, in bytes.
const SHORT: usize = 64;

/// Calls `f` with the folded form of a text. Allocates only for a long text, or for a text with
/// escapes that are decoded.
pub(crate) fn with_folded<R>(text: &str, f: impl FnOnce(&str) -> R) -> R {
    if has_escapes(text) {
        return f(&folded(text));
    }
    let mut short = [0; SHORT];
    let lower = short.get_mut(..text.len()).and_then(|lower| {
        lower.copy_from_slice(text.as_bytes());
        lower.make_ascii_lowercase();
        std::str::from_utf8(lower).ok()
    });
    match lower {
        Some(lower) => f(lower),
        None => f(&text.to_ascii_lowercase()),
    }
}

/// Folded form of a text: decoded (see [`decoded`]), and without differences of letter case.
#[must_use]
pub fn folded(text: &str) -> String {
    let text = decoded(text);
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    // Convert to upper case first, because several letters have the same upper case (`s` and
    // U+017F).
    let upper = text.chars().flat_map(char::to_uppercase);
    let lower = upper.flat_map(char::to_lowercase);
    // The lower case of U+0130 is `i` with a combining dot above (U+0307). Java drops the dot.
    lower.filter(|c| *c != '\u{307}').collect()
}

/// True if a text has escapes that [`decoded`] may decode.
pub(crate) fn has_escapes(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut escapes = memchr::memchr_iter(b'%', bytes);
    escapes.any(|at| {
        let byte = escapes::byte(&bytes[at..], 0);
        byte.is_some_and(|byte| !byte.is_ascii() || is_decoded(byte))
    })
}

/// Text in which the escapes of non-ASCII characters and of the characters of [`is_decoded`] are
/// decoded. Other escapes, and escapes that are not UTF-8, are kept.
pub(crate) fn decoded(text: &str) -> Cow<'_, str> {
    if !has_escapes(text) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let character = escaped(rest);
        let is_kept = |c: char| u8::try_from(c).is_ok_and(|c| c.is_ascii() && !is_decoded(c));
        let (character, length) = character.filter(|(c, _)| !is_kept(*c)).unwrap_or(('%', 1));
        out.push(character);
        rest = &rest[length..];
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Character that the escapes at the beginning of a text encode in UTF-8, and the length of these
/// escapes in bytes. `None` if the text begins with another character, or if the escapes are not
/// UTF-8.
fn escaped(text: &str) -> Option<(char, usize)> {
    let mut bytes = [0; 4];
    for length in 0..bytes.len() {
        bytes[length] = escapes::byte(text.as_bytes(), length)?;
        if let Ok(text) = std::str::from_utf8(&bytes[..=length]) {
            return Some((text.chars().next()?, 3 * (length + 1)));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_and_letters_are_folded() {
        for (text, expected) in [
            ("Admin", "admin"),
            ("%C3%89T%C3%A9", "\u{e9}t\u{e9}"),
            ("%c3%89", "\u{e9}"),
            ("%E2%84%AAeys", "keys"),
            ("u%C5%BFer%C4%B0d", "userid"),
            ("%C4%B1", "i"),
            ("%F0%90%90%80", "\u{10428}"),
            ("A%2FB%20", "a%2fb "),
            ("%40Me%3A", "@me:"),
            ("%2f%5C%25%3F%23%0A", "%2f%5c%25%3f%23%0a"),
            ("%C3%28%FF", "%c3(%ff"),
            ("%", "%"),
            ("%C", "%c"),
        ] {
            assert_eq!(folded(text), expected, "{text}");
            let same = with_folded(text, |folded| folded == expected);
            assert!(same, "{text}");
        }
        let long = "A".repeat(SHORT + 1);
        assert!(with_folded(&long, |folded| folded == "a".repeat(SHORT + 1)));
    }
}
