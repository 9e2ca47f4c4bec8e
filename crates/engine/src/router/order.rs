//! The order of candidates: priority, then template, then conditions. Greater wins.

use std::cmp::Ordering;

use bundle::ir::{Condition, Segment, Template, Test};

use super::trie::Candidate;

/// Compares what two templates say about the same segment: literal, then literal in any case,
/// then pattern, then parameter.
#[must_use]
pub fn compare_segments(a: &Segment, b: &Segment) -> Ordering {
    let rank = |segment: &Segment| match segment {
        Segment::Literal(_) => 3,
        Segment::Folded(_) => 2,
        Segment::Pattern(_) => 1,
        Segment::Parameter(_) => 0,
    };
    rank(a).cmp(&rank(b)).then_with(|| match (a, b) {
        (Segment::Pattern(a), Segment::Pattern(b)) => {
            // More literal bytes; fewer parameters; longer head; longer tail; then bytes, so
            // that the order is total.
            let literals = |pattern: &bundle::ir::Pattern| {
                pattern.head.len()
                    + pattern
                        .rest
                        .iter()
                        .map(|(_, text)| text.len())
                        .sum::<usize>()
            };
            let tail = |pattern: &bundle::ir::Pattern| {
                pattern.rest.last().map_or(0, |(_, text)| text.len())
            };
            literals(a)
                .cmp(&literals(b))
                .then_with(|| b.rest.len().cmp(&a.rest.len()))
                .then_with(|| a.head.len().cmp(&b.head.len()))
                .then_with(|| tail(a).cmp(&tail(b)))
                .then_with(|| b.erased().cmp(&a.erased()))
                .then_with(|| b.folded.cmp(&a.folded))
        }
        // Literals that match the same request are the same.
        _ => Ordering::Equal,
    })
}

/// Compares two templates that match the same path, segment by segment from the left; the end
/// of a template beats the rest of a prefix.
#[must_use]
pub fn compare_templates(a: &Template, b: &Template) -> Ordering {
    compare_segments_of(
        (a.segments().iter(), a.is_prefix()),
        (b.segments().iter(), b.is_prefix()),
    )
}

/// Compares conditions that hold for the same request: more fields, more parameters, exact
/// before longer prefix before present, then bytes.
#[must_use]
pub fn compare_conditions(a: &[Condition], b: &[Condition]) -> Ordering {
    let headers = |list: &[Condition]| {
        list.iter()
            .filter(|c| matches!(c, Condition::Header(..)))
            .count()
    };
    let sharpness = |list: &[Condition]| {
        let mut tests: Vec<usize> = list
            .iter()
            .map(|condition| match condition {
                Condition::Header(_, test) | Condition::Query(_, test) => match test {
                    Test::Exact(_) => usize::MAX,
                    Test::Prefix(text) => text.len() + 1,
                    Test::Present => 0,
                },
            })
            .collect();
        tests.sort_unstable_by(|a, b| b.cmp(a));
        tests
    };
    headers(a)
        .cmp(&headers(b))
        .then_with(|| a.len().cmp(&b.len()))
        .then_with(|| sharpness(a).cmp(&sharpness(b)))
        .then_with(|| b.cmp(a))
}

/// A candidate with the segments of its mount's base path.
pub(super) type Owner<'o> = (&'o [Segment], &'o Candidate<'o>);

/// Compares candidates of two mounts: priority, the base path's segments followed by the
/// template's, the request's own method before GET for HEAD, declared before its twin, conditions.
pub(super) fn compare_owners(a: Owner<'_>, b: Owner<'_>) -> Ordering {
    let operations = (a.1.operation, b.1.operation);
    let (a_prefix, b_prefix) = (
        operations.0.template.is_prefix(),
        operations.1.template.is_prefix(),
    );
    a.1.priority
        .cmp(&b.1.priority)
        .then_with(|| compare_segments_of((based(a), a_prefix), (based(b), b_prefix)))
        .then_with(|| a.1.explicit.cmp(&b.1.explicit))
        .then_with(|| b.1.twin.cmp(&a.1.twin))
        .then_with(|| compare_conditions(&operations.0.conditions, &operations.1.conditions))
}

/// The segments of a base path and of what is matched below it.
fn based<'o>((base, candidate): Owner<'o>) -> impl Iterator<Item = &'o Segment> {
    static EMPTY: Segment = Segment::Literal(String::new());
    let declared = candidate.operation.template.segments();
    let slash = declared.last() == Some(&EMPTY);
    let (kept, added) = match (candidate.twin, slash) {
        (true, true) => (declared.len() - 1, None),
        (true, false) => (declared.len(), Some(&EMPTY)),
        (false, _) => (declared.len(), None),
    };
    base.iter().chain(&declared[..kept]).chain(added)
}

/// Compares segments from the left; whether each is a prefix decides where both end.
fn compare_segments_of<'o>(
    (mut left, left_prefix): (impl Iterator<Item = &'o Segment>, bool),
    (mut right, right_prefix): (impl Iterator<Item = &'o Segment>, bool),
) -> Ordering {
    loop {
        match (left.next(), right.next()) {
            (Some(a), Some(b)) => match compare_segments(a, b) {
                Ordering::Equal => {}
                decided => return decided,
            },
            // The one that ends matches the same path with fewer segments: it is a prefix.
            (Some(_), None) => return Ordering::Greater,
            (None, Some(_)) => return Ordering::Less,
            // Both end here: an end beats the rest of a prefix.
            (None, None) => return right_prefix.cmp(&left_prefix),
        }
    }
}
