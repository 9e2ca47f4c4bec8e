//! Paths with parameters, and the forms of a path that upstreams may derive from it.

use std::collections::BTreeSet;

use bundle::ir;

/// Character that replaces a parameter, which matches one or more bytes of a segment.
const ANY: char = '\u{0}';
/// Character [`ANY`] as a string.
pub(super) const ANY_TEXT: &str = "\u{0}";
/// Character that replaces the rest of a path below a prefix.
const REST: char = '\u{1}';
/// Character [`REST`] as a string.
#[cfg(test)]
pub(super) const REST_TEXT: &str = "\u{1}";

/// Character that replaces an escaped slash, which does not separate segments.
const SLASH: char = '\u{3}';

/// Maximum number of times that escapes are decoded: each server in a chain of servers may decode
/// them once.
const DECODED_MAX: usize = 3;

/// Segments of a path in one of its possible forms. Marks replace parameters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path(Vec<String>);

/// Converts a template to a path with marks.
pub(super) fn pattern(template: &ir::Template) -> String {
    let mut text = marked(&template.to_string());
    if template.is_prefix() {
        if !text.ends_with('/') {
            text.push('/');
        }
        text.push(REST);
    }
    text
}

/// Replaces each `{NAME}` in a string by the mark [`ANY`].
pub(super) fn marked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('{') {
        out.push_str(before);
        match behind.split_once('}') {
            Some((_, behind)) => {
                out.push(ANY);
                rest = behind;
            }
            None => {
                out.push('{');
                rest = behind;
            }
        }
    }
    out.push_str(rest);
    out
}

/// Converts a path with marks to text for messages: `*` replaces a parameter, `**` the rest of a
/// path.
pub(super) fn shown(text: &str) -> String {
    let plain: String = text
        .chars()
        .map(|c| if c == ANY { '*' } else { c })
        .collect();
    plain.replace(REST, "**")
}

/// True if a path contains no parameters.
pub(super) fn is_literal(text: &str) -> bool {
    !text.contains([ANY, REST])
}

/// Segments of a path without any normalisation.
pub(super) fn raw(text: &str) -> Path {
    Path(text.split('/').skip(1).map(str::to_owned).collect())
}

/// Returns the forms of a path that upstreams may derive from it. Escapes are decoded (escapes of
/// slashes are decoded or kept). Matrix parameters (`;…`) and a final slash or dot are removed.
/// Letters are in lower case. Slashes are merged either before or after dot segments are resolved.
pub(super) fn readings(text: &str) -> Vec<Path> {
    let mut all: BTreeSet<Path> = BTreeSet::new();
    let mut decoded = text.to_owned();
    for _ in 0..DECODED_MAX {
        // A server that keeps `%2F` may decode the other escapes as often as any other server.
        let kept = with_marked_slashes(&decoded);
        if let Some(mut kept) = kept {
            for _ in 0..DECODED_MAX {
                kept = decode(&kept);
            }
            all.extend(paths(&kept));
        }
        decoded = decode(&decoded);
    }
    all.extend(paths(&decoded));
    all.into_iter().collect()
}

/// Replaces escaped slashes by [`SLASH`]. `None` if the path has no escaped slash.
fn with_marked_slashes(text: &str) -> Option<String> {
    let has_any = text.contains("%2F") || text.contains("%2f");
    let mark = SLASH.to_string();
    has_any.then(|| text.replace("%2F", &mark).replace("%2f", &mark))
}

/// Forms of a decoded path that servers may derive from it.
fn paths(decoded: &str) -> [Path; 2] {
    let lower = decoded.to_ascii_lowercase().replace('\\', "/");
    let segments = lower.split('/').skip(1).map(|segment| {
        let plain = segment.split(';').next().unwrap_or_default();
        plain.to_owned()
    });
    let segments: Vec<String> = segments.collect();
    let mut merged = segments.clone();
    merged.retain(|segment| !segment.is_empty());
    [resolved(merged), resolved(segments)]
}

fn resolved(segments: Vec<String>) -> Path {
    let mut path: Vec<String> = Vec::new();
    for segment in segments {
        match segment.as_str() {
            "." => {}
            ".." => drop(path.pop()),
            _ => path.push(segment),
        }
    }
    path.retain(|segment| !segment.is_empty());
    if let Some(last) = path.last_mut() {
        let plain = last.trim_end_matches(['.', ' ']).len();
        last.truncate(plain);
    }
    path.retain(|segment| !segment.is_empty());
    Path(path)
}

fn decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let pair = bytes.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        let byte =
            pair.and_then(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
        // Do not decode bytes that serve as marks.
        match byte.filter(|byte| *byte > 3) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

impl Path {
    /// Segments of the path.
    pub(super) fn segments(&self) -> &[String] {
        &self.0
    }

    /// First segment, if it contains no mark.
    pub(super) fn first_literal(&self) -> Option<&str> {
        let first = self.0.first().map(String::as_str).unwrap_or_default();
        is_literal(first).then_some(first)
    }

    /// True if at least one path matches both paths with parameters.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        overlap(&self.0, &other.0)
    }

    /// True if this path certainly matches every path that the other path with parameters matches.
    /// Otherwise false.
    pub(super) fn contains(&self, other: &Self) -> bool {
        let mut others = other.0.iter();
        for segment in &self.0 {
            if is_rest(segment) {
                return true;
            }
            let fits = |other: &String| segment_contains(segment, other);
            if !others.next().is_some_and(fits) {
                return false;
            }
        }
        others.next().is_none()
    }
}

/// True if a segment is the mark of the rest of a path.
pub(super) fn is_rest(segment: &str) -> bool {
    segment.contains(REST)
}

/// True if a segment with parameters certainly matches every text that `other` matches.
pub(super) fn segment_contains(segment: &str, other: &str) -> bool {
    match segment.strip_prefix(ANY) {
        Some("") => !other.is_empty() && !is_rest(other),
        _ if segment == other => true,
        _ => {
            is_literal(other)
                && !is_literal(segment)
                && text_matches(other.as_bytes(), segment.as_bytes())
        }
    }
}

fn overlap(mut a: &[String], mut b: &[String]) -> bool {
    let begins_rest = |path: &[String]| path.first().is_some_and(|first| is_rest(first));
    // Use a loop and no recursion, because a path can have thousands of segments.
    loop {
        match (a, b) {
            _ if begins_rest(a) || begins_rest(b) => return true,
            ([], []) => return true,
            ([], _) | (_, []) => return false,
            ([first, rest @ ..], [other, others @ ..]) => {
                if first != other && !segments_meet(first.as_bytes(), other.as_bytes()) {
                    return false;
                }
                (a, b) = (rest, others);
            }
        }
    }
}

/// True if at least one text matches both segments. The mark of a parameter matches one or more
/// bytes.
fn segments_meet(a: &[u8], b: &[u8]) -> bool {
    let mark = ANY as u8;
    let first = |segment: &[u8]| segment.iter().position(|byte| *byte == mark);
    match (first(a), first(b)) {
        (None, None) => a == b,
        (None, Some(_)) => text_matches(a, b),
        (Some(_), None) => text_matches(b, a),
        // Between the literals at both ends, the parameters of each segment can match the rest of
        // the other segment.
        (Some(at), Some(beside)) => {
            let literal = |pair: &(&u8, &u8)| *pair.0 != mark && *pair.1 != mark;
            let mut ends = a.iter().rev().zip(b.iter().rev()).take_while(literal);
            let length = at.min(beside);
            a[..length] == b[..length] && ends.all(|(one, other)| one == other)
        }
    }
}

/// True if a text matches a segment with at least one parameter. Finds the literals between the
/// parameters one after the other.
fn text_matches(text: &[u8], segment: &[u8]) -> bool {
    let mut literals = segment.split(|byte| *byte == ANY as u8);
    let head = literals.next().unwrap_or_default();
    let tail = literals.next_back().unwrap_or_default();
    let rest = text.strip_prefix(head);
    let Some(mut rest) = rest.and_then(|rest| rest.strip_suffix(tail)) else {
        return false;
    };
    for literal in literals {
        // The parameter before the literal matches at least one byte.
        let Some(behind) = rest.get(1..) else {
            return false;
        };
        let Some(at) = memchr::memmem::find(behind, literal) else {
            return false;
        };
        rest = &behind[at + literal.len()..];
    }
    !rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_path_are_one_reading() {
        let path = |text: &str| readings(&marked(text));
        for other in [
            "/Admin/Users",
            "/admin//users/",
            "/%61dmin/users",
            "/%2561dmin/users",
            "/x/../admin/users",
            "/x/..;/admin/users",
            "/admin;v=1/users",
            "/admin%2fusers",
            "/admin/users.",
            "/admin\\users",
        ] {
            let overlaps = path(other).iter().any(|path| {
                readings("/admin/users")
                    .iter()
                    .any(|own| own.overlaps(path))
            });
            assert!(overlaps, "{other}");
        }
    }

    #[test]
    fn paths_meet_if_one_path_matches_both() {
        let overlap = |a: &str, b: &str| raw(&marked(a)).overlaps(&raw(&marked(b)));
        for (a, b, expected) in [
            ("/a/{x}", "/a/b", true),
            ("/a/{x}", "/a", false),
            ("/a/{x}", "/a/b/c", false),
            ("/{x}/b", "/a/{y}", true),
            ("/{x}.json", "/a.json", true),
            ("/{x}.json", "/a.xml", false),
            ("/{x}:go", "/{y}", true),
            ("/a{x}", "/{y}b", true),
            ("/a{x}", "/b{y}", false),
        ] {
            assert_eq!(overlap(a, b), expected, "{a} {b}");
            assert_eq!(overlap(b, a), expected, "{b} {a}");
        }
    }
    /// Computes the result of [`segments_meet`] from all pairs of positions, for comparison.
    fn meet_by_positions(a: &[u8], b: &[u8]) -> bool {
        let mark = ANY as u8;
        // `fits[i][j]` is true if some text matches both `a[i..]` and `b[j..]`.
        let mut fits = vec![vec![false; b.len() + 1]; a.len() + 1];
        fits[a.len()][b.len()] = true;
        for i in (0..a.len()).rev() {
            for j in (0..b.len()).rev() {
                let (x, y) = (a[i], b[j]);
                let both = fits[i + 1][j + 1];
                fits[i][j] = if x == mark || y == mark {
                    // Both segments consume a byte. The mark of a parameter may then also consume
                    // further bytes.
                    both || x == mark && fits[i][j + 1] || y == mark && fits[i + 1][j]
                } else {
                    x == y && both
                };
            }
        }
        fits[0][0]
    }

    #[test]
    fn literals_and_marks_decide_like_all_positions() {
        // All segments of up to five bytes, of two letters and the mark.
        let mut all: Vec<Vec<u8>> = vec![Vec::new()];
        let mut from = 0;
        for _ in 0..5 {
            let until = all.len();
            for at in from..until {
                for byte in [b'x', b'y', ANY as u8] {
                    all.push([&all[at][..], &[byte]].concat());
                }
            }
            from = until;
        }
        assert_eq!(all.len(), 364);
        for a in &all {
            for b in &all {
                assert_eq!(segments_meet(a, b), meet_by_positions(a, b), "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn long_segments_meet_in_linear_space() {
        // A table of all pairs of positions would take gigabytes.
        let long = |mark: &str| format!("/{}{mark}{}", "x".repeat(60_000), "y".repeat(60_000));
        let path = |text: &str| Path(vec![text.to_owned()]);
        let (plain, marked) = (long(""), long(&ANY.to_string()));
        assert!(!path(&plain).overlaps(&path(&marked)));
        assert!(path(&format!("{plain}y")).overlaps(&path(&marked)));
        assert!(path(&format!("{marked}y")).overlaps(&path(&marked)));
        assert!(!path(&format!("{marked}x")).overlaps(&path(&marked)));
    }
}
