//! The parts of a path template (and of a server's URL): literal text and names in braces.

use std::ops::Range;

/// One part.
#[derive(Debug, PartialEq, Eq)]
pub enum Part<'t> {
    /// Text outside of braces.
    Literal {
        /// The text.
        text: &'t str,
        /// Its first byte.
        start: usize,
    },
    /// A name in braces.
    Parameter {
        /// The name.
        name: &'t str,
        /// Its bytes, braces included.
        bytes: Range<usize>,
    },
    /// An opening brace without its closing one.
    Unclosed {
        /// From the brace to the end of its segment.
        bytes: Range<usize>,
    },
    /// A closing brace without its opening one.
    Unopened {
        /// The brace.
        bytes: Range<usize>,
    },
}

/// The parts of a template in their order.
#[must_use]
pub fn parts(template: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut at = 0;
    while at < template.len() {
        let rest = &template[at..];
        let brace = rest.find(['{', '}']).unwrap_or(rest.len());
        if brace > 0 {
            parts.push(Part::Literal {
                text: &rest[..brace],
                start: at,
            });
            at += brace;
            continue;
        }
        if rest.starts_with('}') {
            parts.push(Part::Unopened { bytes: at..at + 1 });
            at += 1;
            continue;
        }
        // A name may hold neither braces nor, in a path, a slash; `{$request.body#/a}` may.
        let stop = rest[1..].find(['{', '}']).map(|stop| stop + 1);
        match stop.filter(|stop| rest.as_bytes()[*stop] == b'}') {
            Some(end) => {
                parts.push(Part::Parameter {
                    name: &rest[1..end],
                    bytes: at..at + end + 1,
                });
                at += end + 1;
            }
            None => {
                let end = stop.unwrap_or(rest.len());
                let end = rest[..end].find('/').unwrap_or(end);
                parts.push(Part::Unclosed {
                    bytes: at..at + end,
                });
                at += end;
            }
        }
    }
    parts
}

/// The names in braces, each with its bytes.
pub fn parameters(template: &str) -> impl Iterator<Item = (&str, Range<usize>)> {
    parts(template).into_iter().filter_map(|part| match part {
        Part::Parameter { name, bytes } => Some((name, bytes)),
        Part::Literal { .. } | Part::Unclosed { .. } | Part::Unopened { .. } => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_fall_into_parts() {
        let literal = |text, start| Part::Literal { text, start };
        let parameter = |name, bytes| Part::Parameter { name, bytes };
        assert_eq!(
            parts("/a/{id}:x"),
            [literal("/a/", 0), parameter("id", 3..7), literal(":x", 7)]
        );
        assert_eq!(
            parts("/{a/b}{c"),
            [
                literal("/", 0),
                parameter("a/b", 1..6),
                Part::Unclosed { bytes: 6..8 }
            ]
        );
        assert_eq!(
            parts("{a{b}}"),
            [
                Part::Unclosed { bytes: 0..2 },
                parameter("b", 2..5),
                Part::Unopened { bytes: 5..6 }
            ]
        );
        assert_eq!(parts("{é}"), [parameter("é", 0..4)]);
    }
}
