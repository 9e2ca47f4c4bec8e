//! SPIFFE ids and patterns of them (SPIFFE-ID §2): `spiffe://example.org/ns/*/sa/orders`.
//!
//! In a pattern, a segment `*` stands for any one segment, and `**` at the end for one or more.

/// Maximum number of path segments of an id. An id with more segments is always refused.
pub const SEGMENTS_MAX: usize = 16;
/// Maximum length of an id, in bytes (SPIFFE-ID §2.3).
const BYTES_MAX: usize = 2048;
const SCHEME: &str = "spiffe://";

/// True if the text is the SPIFFE id of a workload: a trust domain and a path.
#[must_use]
pub fn is_id(text: &str) -> bool {
    parts(text).is_some_and(|segments| segments.iter().all(|one| is_segment(one)))
}

/// True if the text is a SPIFFE id or a pattern of SPIFFE ids.
#[must_use]
pub fn is_pattern(text: &str) -> bool {
    let Some(segments) = parts(text) else {
        return false;
    };
    let last = segments.len() - 1;
    let mut segments = segments.iter().enumerate();
    segments.all(|(at, one)| is_segment(one) || *one == "*" || *one == "**" && at == last)
}

/// True if an id matches a pattern. `id` may be a pattern without `**`: then all ids that match
/// `id` must match the pattern.
#[must_use]
pub fn matches(pattern: &str, id: &str) -> bool {
    let (mut wanted, mut own) = (pattern.split('/'), id.split('/'));
    loop {
        match (wanted.next(), own.next()) {
            (None, None) => return true,
            (Some("**"), Some(_)) => return true,
            (Some(one), Some(segment)) if one == "*" || one == segment => {}
            _ => return false,
        }
    }
}

/// Patterns without `**` that together match the same ids as this pattern. There is one for each
/// possible number of path segments.
#[must_use]
pub fn expanded(pattern: &str) -> Vec<String> {
    let Some(head) = pattern.strip_suffix("/**") else {
        return vec![pattern.to_owned()];
    };
    let segments = head[SCHEME.len()..].split('/').count() - 1;
    let more = 1..=SEGMENTS_MAX.saturating_sub(segments);
    more.map(|count| format!("{head}{}", "/*".repeat(count)))
        .collect()
}

/// Pattern of the ids that match both patterns. `one` and `other` must not contain `**`. `None` if
/// no id matches both.
#[must_use]
pub fn both(one: &str, other: &str) -> Option<String> {
    let (left, right) = (one.split('/'), other.split('/'));
    if left.clone().count() != right.clone().count() {
        return None;
    }
    let segments = left.zip(right).map(|pair| match pair {
        (one, "*") => Some(one),
        ("*", other) => Some(other),
        (one, other) => (one == other).then_some(one),
    });
    let segments: Option<Vec<&str>> = segments.collect();
    Some(segments?.join("/"))
}

/// Path segments of an id or pattern. `None` if the trust domain is invalid or the path is empty.
fn parts(text: &str) -> Option<Vec<&str>> {
    let rest = text.strip_prefix(SCHEME)?;
    let (domain, path) = rest.split_once('/')?;
    let is_domain = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'-')
    };
    let segments: Vec<&str> = path.split('/').collect();
    let fits = text.len() <= BYTES_MAX
        && (1..=255).contains(&domain.len())
        && domain.bytes().all(is_domain)
        && segments.len() <= SEGMENTS_MAX;
    fits.then_some(segments)
}

fn is_segment(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    !matches!(text, "" | "." | "..") && text.bytes().all(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_patterns_follow_the_specification() {
        for id in ["spiffe://a.example/b", "spiffe://a_b-1.c/Ns/x.y_z-1"] {
            assert!(is_id(id) && is_pattern(id), "{id}");
        }
        for pattern in ["spiffe://a/*", "spiffe://a/**", "spiffe://a/*/b/**"] {
            assert!(!is_id(pattern) && is_pattern(pattern), "{pattern}");
        }
        let deep = format!("spiffe://a{}", "/b".repeat(SEGMENTS_MAX + 1));
        let long = format!("spiffe://a/{}", "b".repeat(BYTES_MAX));
        for text in [
            "spiffe://a",
            "spiffe://a/",
            "spiffe:///b",
            "spiffe://A/b",
            "SPIFFE://a/b",
            "spiffe://a:1/b",
            "spiffe://u@a/b",
            "spiffe://*/b",
            "spiffe://a//b",
            "spiffe://a/b/",
            "spiffe://a/./b",
            "spiffe://a/..",
            "spiffe://a/b?c",
            "spiffe://a/b#c",
            "spiffe://a/%62",
            "spiffe://a/**/b",
            "spiffe://a/b*",
            "https://a/b",
            &deep,
            &long,
        ] {
            assert!(!is_id(text) && !is_pattern(text), "{text}");
        }
    }

    #[test]
    fn patterns_match_segment_by_segment() {
        for (pattern, id, expected) in [
            ("spiffe://a/b", "spiffe://a/b", true),
            ("spiffe://a/b", "spiffe://a/b/c", false),
            ("spiffe://a/b", "spiffe://a/B", false),
            ("spiffe://a/*", "spiffe://a/b", true),
            ("spiffe://a/*", "spiffe://a/b/c", false),
            ("spiffe://a/*", "spiffe://b/b", false),
            ("spiffe://a/*/c", "spiffe://a/b/c", true),
            ("spiffe://a/*/c", "spiffe://a/b/d", false),
            ("spiffe://a/**", "spiffe://a/b", true),
            ("spiffe://a/**", "spiffe://a/b/c", true),
            ("spiffe://a/b/**", "spiffe://a/b", false),
            ("spiffe://a/b/**", "spiffe://a/c/d", false),
        ] {
            assert_eq!(matches(pattern, id), expected, "{pattern} {id}");
        }
    }

    #[test]
    fn expansions_match_what_the_pattern_does() {
        let all = expanded("spiffe://a/b/**");
        assert_eq!(all.len(), SEGMENTS_MAX - 1);
        for depth in 1..=SEGMENTS_MAX + 1 {
            let id = format!("spiffe://a/b{}", "/c".repeat(depth - 1));
            let one = all.iter().any(|pattern| matches(pattern, &id));
            assert_eq!(one, (2..=SEGMENTS_MAX).contains(&depth), "{id}");
        }
        assert_eq!(expanded("spiffe://a/*/b"), ["spiffe://a/*/b"]);
        assert_eq!(both("a/*/c", "a/b/*").as_deref(), Some("a/b/c"));
        assert_eq!(both("a/*", "a/*").as_deref(), Some("a/*"));
        assert_eq!(both("a/b", "a/c"), None);
        assert_eq!(both("a/*", "a/b/c"), None);
    }
}
