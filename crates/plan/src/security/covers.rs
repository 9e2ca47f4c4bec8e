//! Order of the patterns of operation keys in `required.allow_public`.

/// True if a pattern matches everything that another pattern matches. `*` matches any sequence of
/// characters. The other pattern is treated as a string, in which `*` is matched only by `*`.
pub(super) fn covers(wider: &str, pattern: &str) -> bool {
    let parts: Vec<&str> = wider.split('*').collect();
    let [first, middle @ .., last] = parts.as_slice() else {
        return wider == pattern;
    };
    let Some(mut rest) = pattern.strip_prefix(first) else {
        return false;
    };
    for part in middle {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::covers;

    #[test]
    fn operation_patterns_cover_narrower_patterns() {
        let yes = [
            ("*", "a/*"),
            ("a/*", "a/get*"),
            ("a/*", "a/get"),
            ("*/open", "b/open"),
            ("a", "a"),
            ("a*c", "a*b*c"),
        ];
        for (wider, pattern) in yes {
            assert!(covers(wider, pattern), "{wider} {pattern}");
        }
        let no = [
            ("a/*", "*"),
            ("a/get", "a/*"),
            ("a*b", "a"),
            ("ab*b", "ab"),
            ("a", "b"),
        ];
        for (wider, pattern) in no {
            assert!(!covers(wider, pattern), "{wider} {pattern}");
        }
    }
}
