//! The order of candidates: priority, then template, then conditions. Greater wins.

use std::cmp::Ordering;

use bundle::ir::{Condition, Operation, Segment, Template, Test};

/// Compares what two templates say about the same segment: literal, then pattern, then
/// parameter.
#[must_use]
pub fn compare_segments(a: &Segment, b: &Segment) -> Ordering {
    let rank = |segment: &Segment| match segment {
        Segment::Literal(_) => 2,
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
        }
        // Literals that match the same request are the same.
        _ => Ordering::Equal,
    })
}

/// Compares two templates that match the same path, segment by segment from the left; the end
/// of a template beats the rest of a prefix.
#[must_use]
pub fn compare_templates(a: &Template, b: &Template) -> Ordering {
    compare_based((&[], a), (&[], b))
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

/// Compares candidates of two mounts: priority, the base path's segments followed by the
/// operation's template, conditions.
pub(super) fn compare_owners(
    a: (i32, &[Segment], &Operation),
    b: (i32, &[Segment], &Operation),
) -> Ordering {
    a.0.cmp(&b.0)
        .then_with(|| compare_based((a.1, &a.2.template), (b.1, &b.2.template)))
        .then_with(|| compare_conditions(&a.2.conditions, &b.2.conditions))
}

fn compare_based(a: (&[Segment], &Template), b: (&[Segment], &Template)) -> Ordering {
    let left = a.0.iter().chain(a.1.segments());
    let mut right = b.0.iter().chain(b.1.segments());
    for segment in left {
        match right.next() {
            Some(other) => match compare_segments(segment, other) {
                Ordering::Equal => {}
                decided => return decided,
            },
            // The other matches the same path with fewer segments: it is a prefix.
            None => return Ordering::Greater,
        }
    }
    if right.next().is_some() {
        return Ordering::Less;
    }
    // Both end here: an end beats the rest of a prefix.
    b.1.is_prefix().cmp(&a.1.is_prefix())
}
