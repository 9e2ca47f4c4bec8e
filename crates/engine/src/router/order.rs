//! Order of precedence of candidates: by priority, then template, then conditions. The greatest
//! candidate in this order takes precedence.

use std::cmp::Ordering;

use bundle::ir::{Condition, Pattern, Segment, Template, Test};

use super::trie::Candidate;

/// Compares two segments that match the same string, ignoring letter case. In descending order:
/// literal, pattern, parameter.
#[must_use]
pub fn compare_segments(a: &Segment, b: &Segment) -> Ordering {
    let rank = |segment: &Segment| match segment {
        Segment::Literal(_) | Segment::Folded(_) => 2,
        Segment::Pattern(_) => 1,
        Segment::Parameter(_) => 0,
    };
    rank(a).cmp(&rank(b)).then_with(|| match (a, b) {
        (Segment::Pattern(a), Segment::Pattern(b)) => {
            // The greater pattern has, by the first criterion that differs: more literal bytes;
            // fewer parameters; a longer literal at its beginning; a longer literal at its end; the
            // lower byte order.
            let literals = |pattern: &Pattern| {
                let rest = pattern.rest.iter().map(|(_, text)| text.len());
                pattern.head.len() + rest.sum::<usize>()
            };
            let tail = |pattern: &Pattern| pattern.rest.last().map_or(0, |(_, text)| text.len());
            let lower = |pattern: &Pattern| pattern.erased().to_ascii_lowercase();
            literals(a)
                .cmp(&literals(b))
                .then_with(|| b.rest.len().cmp(&a.rest.len()))
                .then_with(|| a.head.len().cmp(&b.head.len()))
                .then_with(|| tail(a).cmp(&tail(b)))
                .then_with(|| lower(b).cmp(&lower(a)))
        }
        // Two literals that match the same string are equal if letter case is ignored.
        _ => Ordering::Equal,
    })
}

/// Compares two segments that [`compare_segments`] finds equal. A segment that compares letter case
/// is greater than a case-insensitive one. Byte order decides last, so that the order is total.
#[must_use]
pub fn compare_letter_case(a: &Segment, b: &Segment) -> Ordering {
    let is_folded = |segment: &Segment| match segment {
        Segment::Folded(_) => true,
        Segment::Pattern(pattern) => pattern.folded,
        Segment::Literal(_) | Segment::Parameter(_) => false,
    };
    is_folded(b).cmp(&is_folded(a)).then_with(|| match (a, b) {
        (Segment::Pattern(a), Segment::Pattern(b)) => b.erased().cmp(&a.erased()),
        _ => Ordering::Equal,
    })
}

/// Compares two templates that match the same path, segment by segment from the left. A template
/// that ends with the path is greater than a prefix. Letter case decides between templates that are
/// otherwise equal.
#[must_use]
pub fn compare_templates(a: &Template, b: &Template) -> Ordering {
    let difference = segments_differ(
        (a.segments().iter(), a.is_prefix()),
        (b.segments().iter(), b.is_prefix()),
    );
    difference.map_or(Ordering::Equal, |(_, decided)| decided)
}

/// Compares conditions that hold for the same request. The greater list has, by the first criterion
/// that differs: more conditions on fields; more conditions; stricter tests (exact value, then
/// longer prefix, then presence); the lower byte order.
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
    /// Priority of the operations.
    Priority,
    /// Segment with this index. Index 0 is the first segment of the base path.
    Segment(usize),
    /// Letter case: at the segment with this index, one template compares letter case and the other
    /// one ignores it. The templates are otherwise equal.
    LetterCase(usize),
    /// Length in segments: after this number of segments, one template ends as a prefix, and the
    /// other one continues or ends exactly.
    Prefix(usize),
    /// Method: the method of the request takes precedence over GET, which serves HEAD as well.
    Method,
    /// Final slash: the declared path takes precedence over its trailing-slash variant, in which
    /// the final slash is added or removed.
    Slash,
    /// Conditions of the operations.
    Conditions,
}

/// Base path of a mount as segments, and a candidate of the mount's API.
pub(super) type Owner<'o> = (&'o [Segment], &'o Candidate<'o>);

/// Compares candidates of two mounts: by priority, segments of base path and template, the
/// request's own method before GET for HEAD, declared path before trailing-slash variant,
/// conditions.
pub(super) fn compare_owners(a: Owner<'_>, b: Owner<'_>) -> Ordering {
    owners_differ(a, b).map_or(Ordering::Equal, |(_, decided)| decided)
}

/// First criterion in which two candidates differ, and the result.
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

/// Compares two candidates of two mounts by their paths only.
pub(super) fn compare_paths(a: Owner<'_>, b: Owner<'_>) -> Ordering {
    let prefix = |one: Owner<'_>| one.1.operation.template.is_prefix();
    segments_differ((based(a), prefix(a)), (based(b), prefix(b)))
        .map_or(Ordering::Equal, |(_, decided)| decided)
}

/// Segments of a base path and of the template below it. For a trailing-slash variant: with the
/// final slash added or removed.
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

/// First segment from the left in which two paths differ, and the order of the paths. If both paths
/// end at the same segment, an exact end is greater than a prefix. Letter case decides between
/// paths that are otherwise equal: otherwise `/users/{id}` would precede a case-insensitive
/// `/users/me`. `None` if the paths are equal.
fn segments_differ<'o>(
    (mut left, left_prefix): (impl Iterator<Item = &'o Segment>, bool),
    (mut right, right_prefix): (impl Iterator<Item = &'o Segment>, bool),
) -> Option<(Step, Ordering)> {
    let mut letter_case = None;
    let mut index = 0;
    loop {
        let (step, decided) = match (left.next(), right.next()) {
            (Some(a), Some(b)) => {
                let order = compare_segments(a, b);
                if order.is_eq() && letter_case.is_none() {
                    let by_case = compare_letter_case(a, b);
                    letter_case = by_case
                        .is_ne()
                        .then_some((Step::LetterCase(index), by_case));
                }
                (Step::Segment(index), order)
            }
            // The path with fewer segments is a prefix, because it matches the same request path.
            (Some(_), None) => (Step::Prefix(index), Ordering::Greater),
            (None, Some(_)) => (Step::Prefix(index), Ordering::Less),
            // Both end: an exact end is greater than a prefix.
            (None, None) => {
                let decided = right_prefix.cmp(&left_prefix);
                let by_end = decided.is_ne().then_some((Step::Prefix(index), decided));
                return by_end.or(letter_case);
            }
        };
        if decided.is_ne() {
            return Some((step, decided));
        }
        index += 1;
    }
}
