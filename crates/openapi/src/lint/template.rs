//! Parser of path templates and server URLs into literals and parameters in braces.

use std::ops::Range;

/// Part of a template.
#[derive(Debug, PartialEq, Eq)]
pub enum Part<'t> {
    /// Text outside braces.
    Literal {
        /// The text.
        text: &'t str,
        /// Offset of the first byte.
        start: usize,
    },
    /// Parameter in braces.
    Parameter {
        /// Name of the parameter.
        name: &'t str,
        /// Byte range, including the braces.
        bytes: Range<usize>,
    },
    /// Opening brace without a closing one.
    Unclosed {
        /// Byte range from the brace to the end of the segment.
        bytes: Range<usize>,
    },
    /// Closing brace without an opening one.
    Unopened {
        /// Byte range of the brace.
        bytes: Range<usize>,
    },
}

/// Returns the parts of a template in order.
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
        // A name ends at the next brace. It may contain a slash: `{$request.body#/a}`.
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

/// Returns the parameters of a template with their byte ranges.
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
