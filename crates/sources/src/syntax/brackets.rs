//! Search for an unclosed bracket. The parser often reports the error in a later line, at text that
//! cannot be inside the brackets.

/// Returns the innermost open bracket at the position where the parser failed. `None` unless the
/// failing line is below the bracket's line and not indented deeper. Such a line shows that the
/// author regarded the list or map as finished. In all other cases, the mistake is inside the
/// brackets.
///
/// `at`: position where the parser failed. `opened`: starts of the open lists and maps, innermost
/// first. `read`: end of the parser's last event. The parser looks further ahead before it reports
/// a bracket that may begin a key.
pub(super) fn unclosed(
    text: &str,
    read: usize,
    at: usize,
    mut opened: impl Iterator<Item = usize>,
) -> Option<usize> {
    let innermost = opened.find_map(|start| bracket(text, start));
    let unread = text.get(read..at)?;
    let next = unread.trim_start_matches(|c: char| c.is_whitespace() || ":-?,".contains(c));
    let begins = bracket(text, at - next.len()).is_some();
    let unread = (innermost.is_some() || begins).then(|| pending(text, read, at));
    let bracket = unread.flatten().or(innermost)?;
    let line_of = |at: usize| {
        let start = text[..at].rfind(['\n', '\r']).map_or(0, |end| end + 1);
        let line = &text[start..];
        (start, line.len() - line.trim_start_matches(' ').len())
    };
    let ((own, indent), (noticed, other)) = (line_of(bracket), line_of(at));
    (own < noticed && other <= indent).then_some(bracket)
}

/// Returns the last bracket that opens in `start..end` and is not closed there.
fn pending(text: &str, start: usize, end: usize) -> Option<usize> {
    let mut open = Vec::new();
    let mut quote: Option<u8> = None;
    let mut comment = false;
    let mut before = b' ';
    let bytes = text.as_bytes().get(start..end)?;
    for (at, byte) in bytes.iter().copied().enumerate() {
        match (byte, quote) {
            (b'\n', _) => comment = false,
            _ if comment => {}
            (b'"' | b'\'', None) if before.is_ascii_whitespace() || b"[{,:".contains(&before) => {
                quote = Some(byte);
            }
            (_, Some(mark)) if byte == mark && !(mark == b'"' && before == b'\\') => quote = None,
            (_, Some(_)) => {}
            (b'#', None) if before.is_ascii_whitespace() => comment = true,
            (b'[' | b'{', None) => open.push(start + at),
            (b']' | b'}', None) => drop(open.pop()),
            (_, None) => {}
        }
        before = byte;
    }
    open.pop()
}

/// Offset of the opening bracket of a list or map, after its anchor and tag.
fn bracket(text: &str, start: usize) -> Option<usize> {
    let mut rest = text.get(start..)?;
    while rest.starts_with(['&', '!']) {
        rest = rest[rest.find(char::is_whitespace)?..].trim_start();
    }
    rest.starts_with(['[', '{'])
        .then(|| text.len() - rest.len())
}
