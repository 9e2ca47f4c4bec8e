//! How an upstream may read a path that this gateway reads to the letter.
//!
//! What no template matches can be given to an upstream as it is (`unmatched`). Many servers take
//! `//admin`, `/admin/`, `/admin;x`, `/x/..;/admin`, `/ADMIN` or `/%2561dmin` for `/admin`, and would
//! answer past all that is asked of that operation. So a path has a loose form, which is what the
//! kindest of them would make of it, and nobody gets a path whose loose form is described.

use bundle::ir::{Pattern, Segment, Template};

/// How often escapes are decoded: once as every server does, and once more.
const DECODED: usize = 2;

/// The loose form of a path: empty, or `/…` without a final slash.
///
/// Escapes are decoded twice; a backslash is a slash; of a segment counts what stands before `;`;
/// empty segments and `.` are nothing, `..` takes one away; letters are small.
pub(super) fn loosened(path: &str) -> String {
    let mut segments: Vec<String> = Vec::new();
    for segment in decoded(path).split(|byte| matches!(byte, b'/' | b'\\')) {
        let named = segment.split(|byte| *byte == b';').next();
        match named.unwrap_or_default() {
            b"" | b"." => {}
            b".." => drop(segments.pop()),
            named => segments.push(written(named)),
        }
    }
    segments.iter().flat_map(|one| ["/", one]).collect()
}

/// A template in its loose form; none where it has `;` or a separator in a segment: then only what
/// matches to the letter is its.
pub(super) fn loosened_template(template: &Template) -> Option<Vec<Segment>> {
    let mut loose = Vec::new();
    for segment in template.segments() {
        loose.push(match segment {
            Segment::Literal(text) if text.is_empty() => continue,
            Segment::Literal(text) | Segment::Folded(text) => Segment::Literal(literal(text)?),
            Segment::Parameter(name) => Segment::Parameter(name.clone()),
            Segment::Pattern(pattern) => Segment::Pattern(Pattern {
                head: literal(&pattern.head)?,
                rest: pattern
                    .rest
                    .iter()
                    .map(|(name, text)| Some((name.clone(), literal(text)?)))
                    .collect::<Option<_>>()?,
                folded: pattern.folded,
            }),
        });
    }
    Some(loose)
}

fn literal(text: &str) -> Option<String> {
    let bytes = decoded(text);
    let whole = !bytes.iter().any(|byte| matches!(byte, b'/' | b'\\' | b';'));
    whole.then(|| written(&bytes))
}

fn decoded(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..DECODED {
        if !bytes.contains(&b'%') {
            break;
        }
        bytes = decoded_once(&bytes);
    }
    bytes
}

fn decoded_once(bytes: &[u8]) -> Vec<u8> {
    let digit = |at: usize| {
        bytes
            .get(at)
            .and_then(|byte| char::from(*byte).to_digit(16))
    };
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape = match (bytes[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => u8::try_from(high << 4 | low).ok(),
            _ => None,
        };
        decoded.push(escape.unwrap_or(bytes[at]));
        at += if escape.is_some() { 3 } else { 1 };
    }
    decoded
}

/// Bytes as text that two paths have alike when they are alike.
fn written(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            0x21..=0x7E => text.push(char::from(byte.to_ascii_lowercase())),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_that_servers_take_for_one_path_are_one() {
        for path in [
            "/admin/users",
            "//admin///users",
            "/admin/users/",
            "/admin/users//",
            "/ADMIN/Users",
            "/admin;v=1/users;x;y",
            "/admin/./users",
            "/x/..;/admin/users",
            "/x;y/..;z/admin/users",
            "/..;/admin/users",
            "/admin/%2575sers",
            "/%61dmin%2Fusers",
            "/admin%252Fusers",
            "/admin%5Cusers",
            "/admin%3Bx/users",
            "/x/%252e%252e/admin/users",
        ] {
            assert_eq!(loosened(path), "/admin/users", "{path}");
        }
    }

    #[test]
    fn other_paths_stay_others() {
        for (path, loose) in [
            ("/", ""),
            ("//", ""),
            ("/..;/..;/", ""),
            ("/admin.json", "/admin.json"),
            ("/admin-x", "/admin-x"),
            ("/admin%20", "/admin%20"),
            ("/caf%C3%A9", "/caf%C3%A9"),
            ("/a%zz", "/a%zz"),
            ("/%25252561", "/%2561"),
            ("/a:b@c=d&e", "/a:b@c=d&e"),
        ] {
            assert_eq!(loosened(path), loose, "{path}");
        }
    }
}
