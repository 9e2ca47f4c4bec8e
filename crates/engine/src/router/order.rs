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
    let difference = segments_differ(
        (a.segments().iter(), a.is_prefix()),
        (b.segments().iter(), b.is_prefix()),
    );
    difference.map_or(Ordering::Equal, |(_, decided)| decided)
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

/// Criterion that decides between two routes that match the same request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Their priorities.
    Priority,
    /// The segment with this index, counted from 0 and from the start of the base path.
    Segment(usize),
    /// One goes on where the other one is a prefix: there are this many segments before.
    Prefix(usize),
    /// The request's own method, or GET in place of HEAD.
    Method,
    /// The path as it is declared, or its twin with another final slash.
    Slash,
    /// Their conditions.
    Conditions,
}

/// A candidate with the segments of its mount's base path.
pub(super) type Owner<'o> = (&'o [Segment], &'o Candidate<'o>);

/// Compares candidates of two mounts: priority, the base path's segments followed by the
/// template's, the request's own method before GET for HEAD, declared before its twin, conditions.
pub(super) fn compare_owners(a: Owner<'_>, b: Owner<'_>) -> Ordering {
    owners_differ(a, b).map_or(Ordering::Equal, |(_, decided)| decided)
}

/// The first step in which two candidates differ, and how.
pub(super) fn owners_differ(a: Owner<'_>, b: Owner<'_>) -> Option<(Step, Ordering)> {
    let operations = (a.1.operation, b.1.operation);
    let differ = |step: Step, decided: Ordering| decided.is_ne().then_some((step, decided));
    differ(Step::Priority, a.1.priority.cmp(&b.1.priority))
        .or_else(|| {
            segments_differ(
                (based(a), operations.0.template.is_prefix()),
                (based(b), operations.1.template.is_prefix()),
            )
        })
        .or_else(|| differ(Step::Method, a.1.explicit.cmp(&b.1.explicit)))
        .or_else(|| differ(Step::Slash, b.1.twin.cmp(&a.1.twin)))
        .or_else(|| {
            let conditions = (&operations.0.conditions, &operations.1.conditions);
            differ(
                Step::Conditions,
                compare_conditions(conditions.0, conditions.1),
            )
        })
}

/// Compares only what two candidates of two mounts say about the path.
pub(super) fn compare_paths(a: Owner<'_>, b: Owner<'_>) -> Ordering {
    let prefix = |one: Owner<'_>| one.1.operation.template.is_prefix();
    segments_differ((based(a), prefix(a)), (based(b), prefix(b)))
        .map_or(Ordering::Equal, |(_, decided)| decided)
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

/// The first segment from the left in which two differ; whether each is a prefix decides where both
/// end.
fn segments_differ<'o>(
    (mut left, left_prefix): (impl Iterator<Item = &'o Segment>, bool),
    (mut right, right_prefix): (impl Iterator<Item = &'o Segment>, bool),
) -> Option<(Step, Ordering)> {
    let mut index = 0;
    loop {
        let (step, decided) = match (left.next(), right.next()) {
            (Some(a), Some(b)) => (Step::Segment(index), compare_segments(a, b)),
            // The one that ends matches the same path with fewer segments: it is a prefix.
            (Some(_), None) => (Step::Prefix(index), Ordering::Greater),
            (None, Some(_)) => (Step::Prefix(index), Ordering::Less),
            // Both end here: an end beats the rest of a prefix.
            (None, None) => {
                let decided = right_prefix.cmp(&left_prefix);
                return decided.is_ne().then_some((Step::Prefix(index), decided));
            }
        };
        if decided.is_ne() {
            return Some((step, decided));
        }
        index += 1;
    }
}
