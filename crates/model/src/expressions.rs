//! Check of the expressions in policies: conditions of `authorize`, and costs of limits. Each mistake is reported at its source
//! location inside the expression.

use std::ops::Range;

use diag::{Diagnostic, NodeRef, Sink, Span, suggest};
use policy::guard::authorize::author::BAD_EXPRESSION;
use policy::guard::expression::{Expression, Fault, Form};
use sources::project::files::Files;
use vocab::lints::CASE_SENSITIVE_EXCLUSION;

/// Maximum size of the compiled patterns of all expressions of a run, in bytes. Compiling patterns
/// of this size takes 1 to 4 s.
const PATTERN_BYTES_MAX: usize = 64 << 20;

/// Error: the patterns of all expressions exceed the limit. The other expressions must not be
/// compiled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TooManyPatterns;

/// Checks the policies under `policies` of gateway.yaml, or of the root `x-gateway` of a document.
///
/// # Errors
/// Returns an error, and reports it, if the patterns of all expressions of this run are too large.
pub(crate) fn check(
    root: NodeRef<'_>,
    files: &Files,
    sink: &mut Sink,
) -> Result<(), TooManyPatterns> {
    let policies = root.get("policies").into_iter().flat_map(NodeRef::entries);
    for (_, policy) in policies {
        let kind = policy.get("kind").and_then(NodeRef::scalar_text);
        let (key, form) = match kind {
            Some("authorize") => ("expression", Form::Condition),
            Some("rate_limit" | "quota") => ("cost", Form::Cost),
            _ => continue,
        };
        let node = policy.get(key).filter(|node| !node.is_null());
        let Some((node, source)) = node.and_then(|node| Some((node, node.scalar_text()?))) else {
            continue;
        };
        if !files.patterns.admits(source, PATTERN_BYTES_MAX) {
            sink.push(too_many(node.span()));
            return Err(TooManyPatterns);
        }
        let (compiled, bytes) = Expression::shared(source, form);
        files.patterns.add(source, bytes);
        let faults = match compiled {
            Ok(expression) => {
                if expression.excludes_paths() {
                    sink.push(excluded(node.span()));
                }
                continue;
            }
            Err(faults) => faults,
        };
        for fault in faults.iter() {
            let (start, end) = fault.at;
            let text = files.sources.text(node.span());
            let span = part(node.span(), text, source, start..end);
            sink.push(finding(fault, span));
        }
    }
    Ok(())
}

fn too_many(span: Span) -> Diagnostic {
    let mebibytes = PATTERN_BYTES_MAX >> 20;
    let message = format!(
        "the compiled patterns of all expressions before this one are larger than {mebibytes} MiB"
    );
    Diagnostic::new(&BAD_EXPRESSION, span, message).help(
        "write fewer or shorter counted repetitions; `startsWith`, `endsWith` and `in` need no pattern",
    )
}

fn excluded(span: Span) -> Diagnostic {
    Diagnostic::new(
        &CASE_SENSITIVE_EXCLUSION,
        span,
        "the expression excludes a path in one letter case only",
    )
    .label("some servers read `/Admin` as `/admin`")
    .help("write `request.path.lowerAscii()` and compare it with texts in lower case")
}

fn finding(fault: &Fault, span: Span) -> Diagnostic {
    let found = Diagnostic::new(&BAD_EXPRESSION, span, &*fault.message);
    let known = || fault.known.iter().copied();
    match (fault.known.is_empty(), fault.help) {
        (false, _) => match suggest::nearest(&fault.name, known()) {
            Some(near) => found.help(format!("did you mean `{near}`?")),
            None => found.help(suggest::one_of(known(), 12)),
        },
        (true, "") => found,
        (true, help) => found.help(help),
    }
}

/// Source location of a range of bytes in the value of a scalar. If the value differs from its
/// source text (quotes, escapes, the indentation of a block), or comes from a variable: the source
/// location of the whole scalar.
fn part(span: Span, text: &str, value: &str, bytes: Range<usize>) -> Span {
    let mut places = Vec::with_capacity(value.len() + 1);
    let mut rest = text.char_indices();
    for wanted in value.trim_end().chars() {
        let is_it = |found: char| found == wanted || found.is_whitespace() && wanted == ' ';
        let Some((at, _)) = rest.find(|(_, found)| is_it(*found)) else {
            return span;
        };
        places.extend((0..wanted.len_utf8()).map(|byte| at + byte));
    }
    let end = places.last().map_or(0, |last| last + 1);
    let at = |byte: usize| places.get(byte).copied().unwrap_or(end);
    let last = bytes.end.checked_sub(1).filter(|_| !bytes.is_empty());
    let start = at(bytes.start);
    span.slice(start, last.map_or(start, |last| at(last) + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn part_of_a_value_is_found_in_its_text() {
        for (text, value, part_of, expected) in [
            ("a == b", "a == b", "b", "b"),
            ("\"a == b\"", "a == b", "a", "a"),
            ("'a == ''b'''", "a == 'b'", "'b'", "''b'"),
            ("\"a == \\\"b\\\"\"", "a == \"b\"", "b", "b"),
            ("|\n    a ==\n      b\n", "a ==\n  b\n", "b", "b"),
            (">-\n  a ==\n  é && c\n", "a == é && c", "c", "c"),
            ("${var:X}", "a == b", "b", "${var:X}"),
        ] {
            let span = Span::new(diag::FileId(0), 0, text.len());
            let start = value.find(part_of).unwrap();
            let found = part(span, text, value, start..start + part_of.len());
            let found = &text[found.start as usize..found.end as usize];
            assert_eq!(found, expected, "{text:?}");
        }
    }
}
