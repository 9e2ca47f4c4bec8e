//! Text patterns in which `*` stands for any text.

/// True if a text matches a pattern, in which `*` stands for any text.
#[must_use]
pub fn star(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::star;

    #[test]
    fn star_matches_any_text() {
        for (pattern, text) in [
            ("a", "a"),
            ("*", ""),
            ("*", "anything"),
            ("a*", "abc"),
            ("*c", "abc"),
            ("a*c", "ac"),
            ("a*b*c", "a-b-b-c"),
            ("**", "x"),
            ("http://*/orders/7", "http://127.0.0.1:9000/orders/7"),
        ] {
            assert!(star(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("a", "ab"),
            ("a", ""),
            ("", "a"),
            ("a*a", "a"),
            ("a*b*c", "a-c-b"),
            ("*c", "cb"),
            ("ab*bc", "abc"),
        ] {
            assert!(!star(pattern, text), "{pattern} {text}");
        }
    }
}
