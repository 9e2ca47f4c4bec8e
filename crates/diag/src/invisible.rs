//! Table of invisible characters. gwd includes this file, because gwd does not depend on `diag`:
//! the logs of gwd escape the characters that gwc escapes in terminals and refuses in names.

/// True if a character is invisible or changes the display of its neighbours: controls except line
/// feed and tab, format characters (zero width, writing direction, soft hyphen, tags) and fillers.
pub(crate) const fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\0'..='\u{8}'
            | '\u{b}'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{ad}'
            | '\u{34f}'
            | '\u{600}'..='\u{605}'
            | '\u{61c}'
            | '\u{6dd}'
            | '\u{70f}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{110bd}'
            | '\u{13430}'..='\u{1343f}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// True for blank symbols, placeholders of objects and variation selectors, all of which are
/// invisible to people.
pub(crate) const fn is_picture(c: char) -> bool {
    matches!(
        c,
        '\u{2800}' | '\u{fe00}'..='\u{fe0f}' | '\u{fffc}' | '\u{1d159}'
    )
}
