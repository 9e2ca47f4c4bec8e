//! Search for the bracket that is not closed: the parser notices it lines later, at text that
//! cannot be inside.

/// Returns the bracket of the innermost list or map that is open where the parser gave up, if the
/// line there is indented no deeper than the bracket's line. Such indentation means that the author
/// had finished the list or map. Otherwise the mistake is inside it.
///
/// `opened` are the places of the lists and maps that the parser reported, the innermost first.
/// `read` is the end of the parser's last report. The parser looks further ahead before it reports
/// a bracket that may begin a key.
pub(super) fn unclosed(
    text: &str,
    read: usize,
    at: usize,
    mut opened: impl Iterator<Item = usize>,
) -> Option<usize> {
    let told = opened.find_map(|start| bracket(text, start));
    let untold = text.get(read..at)?;
    let next = untold.trim_start_matches(|c: char| c.is_whitespace() || ":-?,".contains(c));
    let begins = bracket(text, at - next.len()).is_some();
    let untold = (told.is_some() || begins).then(|| pending(text, read, at));
    let bracket = untold.flatten().or(told)?;
    let line_of = |at: usize| {
        let start = text[..at].rfind(['\n', '\r']).map_or(0, |end| end + 1);
        let line = &text[start..];
        (start, line.len() - line.trim_start_matches(' ').len())
    };
    let ((own, indent), (noticed, other)) = (line_of(bracket), line_of(at));
    (own < noticed && other <= indent).then_some(bracket)
}

/// Returns the innermost bracket that is open at `end`, among those from `start` on.
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

/// Place of the bracket of a list or map, behind its anchor and tag.
fn bracket(text: &str, start: usize) -> Option<usize> {
    let mut rest = text.get(start..)?;
    while rest.starts_with(['&', '!']) {
        rest = rest[rest.find(char::is_whitespace)?..].trim_start();
    }
    rest.starts_with(['[', '{'])
        .then(|| text.len() - rest.len())
}
