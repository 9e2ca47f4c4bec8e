//! Parser of path templates and server URLs into literals and parameters in braces.

use std::ops::Range;

use policy::escapes::{is_dot_segment, refused};

/// Part of a path template or of a server URL.
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
        // A name ends at the next brace. The name may contain a slash: `{$request.body#/a}`.
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

/// Maximum number of parameters in one segment. The cost of comparing two patterns grows with the
/// product of their parameters.
pub const PARAMETERS_MAX: usize = 8;

/// Returns a wider template for a template that the router cannot match: one with two adjacent
/// parameters, more than [`PARAMETERS_MAX`] in a segment, a segment `**`, `.` or `..`, or a control
/// character. Each such segment becomes one parameter, so the wider template matches at least the
/// same requests. `None` if the router can match the template.
#[must_use]
pub fn wider(template: &str) -> Option<String> {
    /// Segment, with the number of its parameters.
    #[derive(Default)]
    struct Segment {
        text: String,
        count: usize,
        has_adjacent: bool,
        ends_with_parameter: bool,
    }
    let mut segments = vec![Segment::default()];
    for part in parts(template) {
        match part {
            Part::Literal { text, .. } => {
                for (index, piece) in text.split('/').enumerate() {
                    if index > 0 {
                        segments.push(Segment::default());
                    }
                    if let Some(last) = segments.last_mut().filter(|_| !piece.is_empty()) {
                        last.text.push_str(piece);
                        last.ends_with_parameter = false;
                    }
                }
            }
            Part::Parameter { bytes, .. } => {
                if let Some(last) = segments.last_mut() {
                    last.text.push_str(&template[bytes]);
                    last.count += 1;
                    last.has_adjacent |= std::mem::replace(&mut last.ends_with_parameter, true);
                }
            }
            Part::Unclosed { .. } | Part::Unopened { .. } => return None,
        }
    }
    let is_wide = |segment: &Segment| {
        let is_reserved = segment.text == "**" || is_dot_segment(&segment.text);
        let is_refused = refused(&segment.text).next().is_some();
        is_reserved || is_refused || segment.has_adjacent || segment.count > PARAMETERS_MAX
    };
    if !segments.iter().any(is_wide) {
        return None;
    }
    let segments = segments.iter().enumerate();
    let segments: Vec<String> = segments
        .map(|(index, segment)| match is_wide(segment) {
            true => format!("{{segment {index}}}"),
            false => segment.text.clone(),
        })
        .collect();
    Some(segments.join("/"))
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
    fn unroutable_segments_become_one_parameter() {
        for (template, expected) in [
            ("/a/{x}{y}/b", Some("/a/{segment 2}/b")),
            ("/w/**/x/**", Some("/w/{segment 2}/x/{segment 4}")),
            (
                "/{a}-{b}-{c}-{d}-{e}-{f}-{g}-{h}-{i}/{j}",
                Some("/{segment 1}/{j}"),
            ),
            ("/a%00b/{c}", Some("/{segment 1}/{c}")),
            ("/a%0ab/{c}", Some("/{segment 1}/{c}")),
            ("/a%7F/{c}", Some("/{segment 1}/{c}")),
            ("/../{c}", Some("/{segment 1}/{c}")),
            ("/a/.%2E", Some("/a/{segment 2}")),
            ("/a%20%80/{c}", None),
            ("/{a}-{b}-{c}-{d}/{e}-{f}-{g}-{h}-{i}", None),
            ("/{a}/{b}", None),
            ("/w**/a", None),
            ("/a/{x", None),
        ] {
            assert_eq!(wider(template).as_deref(), expected, "{template}");
        }
    }

    #[test]
    fn template_is_split_into_literals_and_parameters() {
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
