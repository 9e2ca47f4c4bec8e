//! Path normaliser, which the router, the policies and the log use (semantics.md §2).
//!
//! The path that is matched and authorised is also forwarded: the client's bytes if normalisation
//! changes nothing, otherwise the normalised form.

use std::borrow::Cow;

use crate::escapes::push_escape;
use crate::invalid_utf8;

/// Reason why a path is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathFault {
    /// The path does not begin with `/`.
    NoSlash,
    /// The path contains a control byte, also escaped (`%00`, `%0A`), a raw backslash, `#`, or a
    /// byte outside ASCII.
    Byte,
    /// The path contains `%` without two hexadecimal digits.
    Escape,
    /// The path contains `..` without a segment before it to remove.
    AboveRoot,
}

/// A path in the form that is matched, authorised, logged and forwarded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Normal<'p> {
    /// The normalised path.
    pub path: Cow<'p, str>,
    /// True if common upstreams may interpret the path as another path ([`crate::readings`]).
    pub is_ambiguous: bool,
}

/// Handling of repeated slashes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Slashes {
    /// Repeated slashes are kept.
    #[default]
    Keep,
    /// Repeated slashes are merged into one, for matching and forwarding.
    Merge,
}

/// Normalises a path like [`normalise_with`], without merging slashes.
pub fn normalise(path: &str) -> Result<Cow<'_, str>, PathFault> {
    normalise_with(path, Slashes::Keep).map(|normal| normal.path)
}

/// Normalises a path (RFC 3986 §6.2.2). Decodes escaped unreserved characters and writes other
/// escapes in upper case. Escapes `"`, `<`, `>` and the backtick, which RFC 3986 does not allow in
/// a path. Merges slashes if `slashes` is `Merge`, then resolves dot segments. `%2F`, `%5C` and
/// `%25` stay escaped, so that no segment is split and nothing is decoded twice.
///
/// # Errors
/// Returns the [`PathFault`] if the path is malformed or leads above the root.
pub fn normalise_with(path: &str, slashes: Slashes) -> Result<Normal<'_>, PathFault> {
    if !path.starts_with('/') {
        return Err(PathFault::NoSlash);
    }
    let mut plain = true;
    let mut doubled = false;
    let mut odd = false;
    let mut before = 0;
    for &byte in path.as_bytes() {
        match byte {
            0..=0x1F | 0x7F.. | b'\\' | b'#' => return Err(PathFault::Byte),
            // Literals of templates have these characters as escapes.
            b'%' | b'"' | b'<' | b'>' | b'`' => plain = false,
            b';' => odd = true,
            b'/' if before == b'/' => doubled = true,
            b'/' if before == b'.' => odd = true,
            // A segment that begins with a dot may be `.` or `..`, which the slow path removes.
            b'.' if before == b'/' => plain = false,
            _ => {}
        }
        before = byte;
    }
    let merges = doubled && slashes == Slashes::Merge;
    if plain && !merges {
        return Ok(Normal {
            path: Cow::Borrowed(path),
            is_ambiguous: doubled || odd || before == b'.',
        });
    }
    let decoded = decode_unreserved(path)?;
    if has_escaped_control(&decoded) {
        return Err(PathFault::Byte);
    }
    let decoded = match decoded.contains(['"', '<', '>', '`']) {
        true => Cow::Owned(escaped(&decoded)),
        false => decoded,
    };
    let merged = match merges {
        true => merge_slashes(&decoded).map_or(decoded, Cow::Owned),
        false => decoded,
    };
    let normal = match remove_dot_segments(&merged)? {
        Some(resolved) => Cow::Owned(resolved),
        None if *merged == *path => Cow::Borrowed(path),
        None => Cow::Owned(merged.into_owned()),
    };
    Ok(Normal {
        is_ambiguous: is_ambiguous(&normal),
        path: normal,
    })
}

/// True if common upstreams may interpret this normalised path as another path.
#[must_use]
pub fn is_ambiguous(path: &str) -> bool {
    const ESCAPES: [&str; 6] = ["%2F", "%5C", "%25", "%3B", "%3F", "%23"];
    let escapes =
        || ESCAPES.iter().any(|escape| path.contains(escape)) || path.split('/').any(is_padded);
    path.contains(';')
        || path.contains("//")
        || path.contains("./")
        || path.ends_with('.')
        || path.contains('%') && (escapes() || invalid_utf8::is_present(path))
}

/// Escapes of characters that servers trim from segments. Java's `trim` removes all characters up
/// to U+0020. JavaScript, .NET and Python trim Unicode white space; older versions also trim U+180E
/// and U+200B. The list includes the control character DEL.
pub(crate) const BLANKS: [&str; 55] = [
    "%01",
    "%02",
    "%03",
    "%04",
    "%05",
    "%06",
    "%07",
    "%08",
    "%09",
    "%0A",
    "%0B",
    "%0C",
    "%0D",
    "%0E",
    "%0F",
    "%10",
    "%11",
    "%12",
    "%13",
    "%14",
    "%15",
    "%16",
    "%17",
    "%18",
    "%19",
    "%1A",
    "%1B",
    "%1C",
    "%1D",
    "%1E",
    "%1F",
    "%20",
    "%7F",
    "%C2%85",
    "%C2%A0",
    "%E1%9A%80",
    "%E1%A0%8E",
    "%E2%80%80",
    "%E2%80%81",
    "%E2%80%82",
    "%E2%80%83",
    "%E2%80%84",
    "%E2%80%85",
    "%E2%80%86",
    "%E2%80%87",
    "%E2%80%88",
    "%E2%80%89",
    "%E2%80%8A",
    "%E2%80%8B",
    "%E2%80%A8",
    "%E2%80%A9",
    "%E2%80%AF",
    "%E2%81%9F",
    "%E3%80%80",
    "%EF%BB%BF",
];

/// Lengths of the escapes in [`BLANKS`], in bytes.
const BLANK_LENGTHS: [usize; 3] = [3, 6, 9];

/// True if a segment begins or ends with an escape of a character that servers trim ([`BLANKS`]).
fn is_padded(segment: &str) -> bool {
    blank_before(segment).is_some() || blank_behind(segment).is_some()
}

/// Length of the escape ([`BLANKS`]) with which a segment begins, in bytes. `None` if the segment
/// begins with no such escape.
pub(crate) fn blank_before(segment: &str) -> Option<usize> {
    if !segment.starts_with('%') {
        return None;
    }
    let mut lengths = BLANK_LENGTHS.into_iter();
    lengths.find(|length| segment.as_bytes().get(..*length).is_some_and(is_blank))
}

/// Length of the escape ([`BLANKS`]) with which a segment ends, in bytes. `None` if the segment
/// ends with no such escape.
pub(crate) fn blank_behind(segment: &str) -> Option<usize> {
    let bytes = segment.as_bytes();
    let last = bytes.len().checked_sub(3)?;
    if bytes[last] != b'%' {
        return None;
    }
    let mut lengths = BLANK_LENGTHS.into_iter();
    lengths.find(|length| {
        let at = bytes.len().checked_sub(*length);
        at.is_some_and(|at| is_blank(&bytes[at..]))
    })
}

/// True if a text is one of [`BLANKS`], which are sorted.
fn is_blank(text: &[u8]) -> bool {
    match text {
        [b'%', b'0', b'0'] => false,
        [b'%', b'0' | b'1', digit] => matches!(digit, b'0'..=b'9' | b'A'..=b'F'),
        [b'%', high, low] => matches!([*high, *low], [b'2', b'0'] | [b'7', b'F']),
        [b'%', b'C' | b'E', ..] => {
            let found = BLANKS.binary_search_by(|blank| blank.as_bytes().cmp(text));
            found.is_ok()
        }
        _ => false,
    }
}

/// Merges each sequence of slashes into one. `None` if the path has no sequence of slashes.
pub(crate) fn merge_slashes(path: &str) -> Option<String> {
    if !path.contains("//") {
        return None;
    }
    let mut merged = String::with_capacity(path.len());
    for byte in path.chars() {
        if byte != '/' || !merged.ends_with('/') {
            merged.push(byte);
        }
    }
    Some(merged)
}

/// Path without its first segment, for a path that begins with `//`: URL parsers interpret that
/// segment as a host (RFC 3986 §3.2). `None` for other paths.
pub(crate) fn without_host(path: &str) -> Option<String> {
    path.strip_prefix("//").map(behind_name)
}

/// Path without its first non-empty segment, for a path that begins with three or more slashes.
/// WHATWG URL parsers skip all these slashes and interpret the segment as a host. `None` for other
/// paths.
pub(crate) fn without_host_behind_slashes(path: &str) -> Option<String> {
    let behind = path.strip_prefix("///")?;
    Some(behind_name(behind.trim_start_matches('/')))
}

/// Path behind the name at the beginning of a text. `/` if nothing follows.
fn behind_name(text: &str) -> String {
    text.find('/').map_or("/", |at| &text[at..]).to_owned()
}

/// Normalises a literal of a template in the same way as [`normalise`] does request paths. Also
/// escapes characters that are not allowed in a path.
#[must_use]
pub fn normalise_literal(text: &str) -> String {
    let escaped = escaped(text);
    match decode_unreserved(&escaped) {
        Ok(decoded) => decoded.into_owned(),
        // A stray `%` in a template is a literal percent sign.
        Err(_) => escaped.replace('%', "%25"),
    }
}

/// Text in which the bytes that RFC 3986 does not allow in a path are escaped.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            0..=0x20 | 0x7F.. | b'\\' | b'#' | b'?' | b'"' | b'<' | b'>' | b'`' => {
                push_escape(&mut escaped, byte);
            }
            _ => escaped.push(char::from(byte)),
        }
    }
    escaped
}

pub(crate) fn decode_unreserved(path: &str) -> Result<Cow<'_, str>, PathFault> {
    let bytes = path.as_bytes();
    let Some(first) = bytes.iter().position(|b| *b == b'%') else {
        return Ok(Cow::Borrowed(path));
    };
    let mut decoded = String::with_capacity(path.len());
    decoded.push_str(&path[..first]);
    let mut at = first;
    while at < bytes.len() {
        if bytes[at] != b'%' {
            decoded.push(char::from(bytes[at]));
            at += 1;
            continue;
        }
        let digit = |at: usize| bytes.get(at).and_then(|b| char::from(*b).to_digit(16));
        let (Some(high), Some(low)) = (digit(at + 1), digit(at + 2)) else {
            return Err(PathFault::Escape);
        };
        let byte = u8::try_from(high << 4 | low).unwrap_or(0);
        match byte {
            0 => return Err(PathFault::Byte),
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                decoded.push(char::from(byte))
            }
            _ => push_escape(&mut decoded, byte),
        }
        at += 3;
    }
    Ok(Cow::Owned(decoded))
}

/// True if a path has the escape of a control character (`%01` to `%1F`, `%7F`). Proxies that
/// decode the path would write it into their own request line, and URL parsers drop tabs and line
/// breaks.
fn has_escaped_control(path: &str) -> bool {
    policy::escapes::refused(path).next().is_some()
}

/// Removes dot segments (RFC 3986 §5.2.4). `None` if the path has none.
pub(crate) fn remove_dot_segments(path: &str) -> Result<Option<String>, PathFault> {
    let segments = path[1..].split('/');
    if !segments
        .clone()
        .any(|segment| matches!(segment, "." | ".."))
    {
        return Ok(None);
    }
    let mut kept: Vec<&str> = Vec::new();
    let last = segments.clone().next_back().unwrap_or_default();
    for segment in segments {
        match segment {
            "." => {}
            ".." => {
                kept.pop().ok_or(PathFault::AboveRoot)?;
            }
            other => kept.push(other),
        }
    }
    let mut resolved = String::with_capacity(path.len());
    for segment in &kept {
        resolved.push('/');
        resolved.push_str(segment);
    }
    // A path whose last segment is `.` or `..` ends with a slash.
    if matches!(last, "." | "..") || resolved.is_empty() {
        resolved.push('/');
    }
    Ok(Some(resolved))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_escapes_make_a_path_ambiguous() {
        for path in [
            "/%01a",
            "/a%7F",
            "/a%E3%80%80/b",
            "/%EF%BB%BFa",
            "/a%E2%80%A8",
            "/a%1B",
            // These escapes are not UTF-8.
            "/a%E3%80",
            "/\u{e9}%C3",
            "/%FFa",
        ] {
            assert!(is_ambiguous(path), "{path}");
        }
        for path in ["/%C3%A9a%C3%A9", "/a%01b", "/a%E3%81%80"] {
            assert!(!is_ambiguous(path), "{path}");
        }
    }

    #[test]
    fn blanks_are_found_at_both_ends() {
        assert!(BLANKS.is_sorted());
        for blank in BLANKS {
            assert_eq!(blank_before(&format!("{blank}a")), Some(blank.len()));
            assert_eq!(blank_behind(&format!("a{blank}")), Some(blank.len()));
        }
        for segment in [
            "", "a", "%", "%2", "%00", "%21", "%0a", "%C2%86", "%85", "%E2%80",
        ] {
            assert_eq!(blank_before(segment), None, "{segment}");
            assert_eq!(blank_behind(segment), None, "{segment}");
        }
    }

    #[test]
    fn paths_are_normalised_once() {
        let cases = [
            ("/", Ok("/")),
            ("/a/b", Ok("/a/b")),
            ("/\"<`>", Ok("/%22%3C%60%3E")),
            ("/a//b", Ok("/a//b")),
            ("/%41%2d%7E", Ok("/A-~")),
            ("/%c3%a9", Ok("/%C3%A9")),
            ("/a%2fb", Ok("/a%2Fb")),
            ("/%252e%252e/x", Ok("/%252e%252e/x")),
            ("/a/./b", Ok("/a/b")),
            ("/a/../b", Ok("/b")),
            ("/api/%2e%2e/admin", Ok("/admin")),
            ("/public/..%2fadmin", Ok("/public/..%2Fadmin")),
            ("/a/..", Ok("/")),
            ("/a/b/.", Ok("/a/b/")),
            ("/a/b/..", Ok("/a/")),
            ("/.well-known/x", Ok("/.well-known/x")),
            ("/a/...", Ok("/a/...")),
            ("/a;x=1/b", Ok("/a;x=1/b")),
            ("/..", Err(PathFault::AboveRoot)),
            ("/a/../../b", Err(PathFault::AboveRoot)),
            ("/%00", Err(PathFault::Byte)),
            ("/a%0d%0Ab", Err(PathFault::Byte)),
            ("/a/%09", Err(PathFault::Byte)),
            ("/%1f", Err(PathFault::Byte)),
            ("/a%7f", Err(PathFault::Byte)),
            ("/a%250A", Ok("/a%250A")),
            ("/a\\b", Err(PathFault::Byte)),
            ("/\u{e9}", Err(PathFault::Byte)),
            ("/%", Err(PathFault::Escape)),
            ("/%4", Err(PathFault::Escape)),
            ("/%zz", Err(PathFault::Escape)),
            ("*", Err(PathFault::NoSlash)),
        ];
        for (path, expected) in cases {
            assert_eq!(
                normalise(path).as_deref().map_err(|fault| *fault),
                expected,
                "{path}"
            );
        }
    }

    #[test]
    fn normal_path_is_not_copied() {
        for path in ["/a/b", "/a/%C3%A9", "/.well-known/a"] {
            assert!(matches!(normalise(path), Ok(Cow::Borrowed(_))), "{path}");
        }
    }

    #[test]
    fn literals_take_the_form_of_requests() {
        assert_eq!(normalise_literal("é b"), "%C3%A9%20b");
        assert_eq!(normalise_literal("%41%c3"), "A%C3");
        assert_eq!(normalise_literal("50%"), "50%25");
    }

    proptest::proptest! {
        #[test]
        fn blanks_are_those_of_the_list(segment in "(%[0-3C-F7][0-9A-F]|%E2%80|%8[0-9A-F]|[a%]){0,4}") {
            let before = BLANKS.iter().find(|blank| segment.starts_with(**blank));
            let behind = BLANKS.iter().find(|blank| segment.ends_with(**blank));
            proptest::prop_assert_eq!(blank_before(&segment), before.map(|blank| blank.len()));
            proptest::prop_assert_eq!(blank_behind(&segment), behind.map(|blank| blank.len()));
        }

        #[test]
        fn normalising_twice_changes_nothing(path in "/[a-c./%25eEfF0]{0,24}") {
            if let Ok(once) = normalise(&path) {
                let again = normalise(&once);
                proptest::prop_assert_eq!(again.as_deref(), Ok(&*once));
            }
        }
    }
}
