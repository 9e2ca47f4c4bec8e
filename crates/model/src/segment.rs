//! Comparison of path segments as sets of strings: common strings, and containment.
//!
//! A segment is a sequence of bytes and of runs of one or more bytes. Small automata therefore
//! decide both questions exactly.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::LazyLock;

use bundle::ir::{Pattern, Segment};

/// One step of a segment's automaton.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Exactly this byte.
    Byte(u8),
    /// This letter in either case, stored in lower case.
    Letter(u8),
    /// Any single byte.
    Any,
    /// Any number of bytes, including none.
    Many,
}

/// State of both automata: a position in each.
type Both = (usize, usize);
/// For each state, the previous state and the byte that was consumed, if any.
type Trace = BTreeMap<Both, (Both, Option<u8>)>;

/// Returns the shortest string that both segments match.
#[must_use]
pub fn common(a: &Segment, b: &Segment) -> Option<String> {
    // Most pairs need no automaton. Without this fast path, a table in which all templates overlap
    // takes ten times as long (bench/compile, `overlaps`).
    match (a, b) {
        (Segment::Literal(a), Segment::Literal(b)) => return (a == b).then(|| a.clone()),
        (Segment::Literal(text), Segment::Parameter(_))
        | (Segment::Parameter(_), Segment::Literal(text)) => {
            return (!text.is_empty()).then(|| text.clone());
        }
        (Segment::Parameter(_), Segment::Parameter(_)) => return Some(ANY.clone()),
        _ => {}
    }
    shortest(a, b)
}

/// Shortest string that a parameter matches.
static ANY: LazyLock<String> = LazyLock::new(|| {
    let any = Segment::Parameter(String::new());
    shortest(&any, &any).unwrap_or_default()
});

/// Returns the shortest string that two segments' automata accept.
fn shortest(a: &Segment, b: &Segment) -> Option<String> {
    let (a, b) = (steps(a), steps(b));
    let end = (a.len(), b.len());
    let mut from = Trace::new();
    // Keep the queue sorted by the length of the string: a step without a byte goes to the front.
    let mut waiting = VecDeque::from([(0, 0)]);
    let mut done = BTreeSet::new();
    while let Some(at) = waiting.pop_front() {
        if !done.insert(at) {
            continue;
        }
        if at == end {
            return Some(text(&from, end));
        }
        for next in skips(&a, at.0)
            .map(|next| (next, at.1))
            .chain(skips(&b, at.1).map(|next| (at.0, next)))
        {
            if !done.contains(&next) {
                from.insert(next, (at, None));
                waiting.push_front(next);
            }
        }
        let (Some(left), Some(right)) = (a.get(at.0), b.get(at.1)) else {
            continue;
        };
        if let Some(byte) = left.meet(*right) {
            let next = (after(&a, at.0), after(&b, at.1));
            if !done.contains(&next) && !from.contains_key(&next) {
                from.insert(next, (at, Some(byte)));
                waiting.push_back(next);
            }
        }
    }
    None
}

/// True if `b` matches every string that `a` matches.
#[must_use]
pub fn within(a: &Segment, b: &Segment) -> bool {
    // Fast path for most pairs.
    match (a, b) {
        (Segment::Literal(a), Segment::Literal(b)) => return a == b,
        (Segment::Literal(text), Segment::Parameter(_)) => return !text.is_empty(),
        (_, Segment::Parameter(_)) => return true,
        // A parameter or pattern matches more strings than a single literal.
        (Segment::Parameter(_) | Segment::Pattern(_), Segment::Literal(_) | Segment::Folded(_)) => {
            return false;
        }
        _ => {}
    }
    let (a, b) = (steps(a), steps(b));
    let alphabet = alphabet(&b);
    let start = (0, closure(&b, BTreeSet::from([0])));
    let mut waiting = vec![start.clone()];
    let mut seen = BTreeSet::from([start]);
    while let Some((at, there)) = waiting.pop() {
        if at == a.len() && !there.contains(&b.len()) {
            return false;
        }
        let mut push = |state: (usize, BTreeSet<usize>)| {
            if seen.insert(state.clone()) {
                waiting.push(state);
            }
        };
        if let Some(next) = skips(&a, at).next() {
            push((next, there.clone()));
        }
        let Some(step) = a.get(at) else { continue };
        for byte in alphabet.iter().copied().chain(step.bytes()) {
            if step.takes(byte) {
                let moved = there
                    .iter()
                    .filter(|at| b.get(**at).is_some_and(|step| step.takes(byte)));
                let moved = moved.map(|at| after(&b, *at)).collect();
                push((after(&a, at), closure(&b, moved)));
            }
        }
    }
    true
}

pub fn steps(segment: &Segment) -> Vec<Step> {
    let literal = |text: &str, folded: bool, steps: &mut Vec<Step>| {
        steps.extend(text.bytes().map(|byte| {
            if folded && byte.is_ascii_alphabetic() {
                Step::Letter(byte.to_ascii_lowercase())
            } else {
                Step::Byte(byte)
            }
        }));
    };
    let mut all = Vec::new();
    match segment {
        Segment::Literal(text) => literal(text, false, &mut all),
        Segment::Folded(text) => literal(text, true, &mut all),
        Segment::Parameter(_) => all.extend([Step::Any, Step::Many]),
        Segment::Pattern(Pattern { head, rest, folded }) => {
            literal(head, *folded, &mut all);
            for (_, text) in rest {
                all.extend([Step::Any, Step::Many]);
                literal(text, *folded, &mut all);
            }
        }
    }
    all
}

/// Position after the step at `at` has consumed a byte.
pub fn after(steps: &[Step], at: usize) -> usize {
    if steps.get(at) == Some(&Step::Many) {
        at
    } else {
        at + 1
    }
}

/// Position that is reachable from `at` without consuming a byte, if any.
fn skips(steps: &[Step], at: usize) -> impl Iterator<Item = usize> + use<> {
    (steps.get(at) == Some(&Step::Many))
        .then_some(at + 1)
        .into_iter()
}

/// Positions reachable from `states` without consuming a byte, without redundant positions: each
/// string that is accepted from a position before a [`Step::Many`] is also accepted from the
/// [`Step::Many`]. Patterns with several parameters then have as many sets of positions as bytes,
/// and not exponentially many.
pub fn closure(steps: &[Step], mut states: BTreeSet<usize>) -> BTreeSet<usize> {
    // Skipping always leads to a later position, so one pass is enough.
    let mut at = states.first().copied();
    while let Some(state) = at {
        states.extend(skips(steps, state));
        at = states.range(state + 1..).next().copied();
    }
    let is_many = |at: &&usize| steps.get(**at) == Some(&Step::Many);
    match states.iter().rev().find(is_many).copied() {
        Some(last) => states.split_off(&last),
        None => states,
    }
}

/// Bytes that the steps name, and one byte that none of them names.
fn alphabet(steps: &[Step]) -> BTreeSet<u8> {
    let mut bytes: BTreeSet<u8> = steps.iter().flat_map(|step| step.bytes()).collect();
    let other = (b'a'..=b'z')
        .chain(b'!'..=b'~')
        .find(|byte| !bytes.contains(byte));
    bytes.extend(other);
    bytes
}

impl Step {
    pub fn takes(self, byte: u8) -> bool {
        match self {
            Self::Byte(own) => own == byte,
            Self::Letter(own) => own == byte.to_ascii_lowercase(),
            Self::Any | Self::Many => true,
        }
    }

    /// Bytes that the step names explicitly.
    pub fn bytes(self) -> impl Iterator<Item = u8> {
        let (one, other) = match self {
            Self::Byte(byte) => (Some(byte), None),
            Self::Letter(byte) => (Some(byte), Some(byte.to_ascii_uppercase())),
            Self::Any | Self::Many => (None, None),
        };
        one.into_iter().chain(other)
    }

    /// A byte that both steps accept. `None` if there is none.
    fn meet(self, other: Self) -> Option<u8> {
        match (self, other) {
            (Self::Any | Self::Many, Self::Any | Self::Many) => Some(b'x'),
            (Self::Any | Self::Many, named) | (named, Self::Any | Self::Many) => {
                named.bytes().next()
            }
            (Self::Letter(_), _) => other.bytes().find(|byte| self.takes(*byte)),
            (Self::Byte(byte), _) => other.takes(byte).then_some(byte),
        }
    }
}

fn text(from: &Trace, end: Both) -> String {
    let mut bytes = Vec::new();
    let mut at = end;
    while let Some((before, byte)) = from.get(&at) {
        bytes.extend(byte);
        at = *before;
    }
    bytes.reverse();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use bundle::ir::Template;

    use super::*;

    /// Segments of up to three parts, case-sensitive and case-insensitive.
    fn segments() -> Vec<Segment> {
        let texts = [
            "", "a", "b", "ab", "aB", "A", "{x}", "a{x}", "{x}a", "{x}b", "a{x}b", "ab{x}",
            "{x}a{y}", "{x}ab{y}", "a{x}a", "{x}a{y}b", "A{x}", "{x}B{y}a", "{x}-{y}",
        ];
        let parse = |text: &&str| Template::parse(&format!("/{text}")).expect("a template");
        let plain = texts.iter().map(parse);
        let folded = texts.iter().map(parse).map(Template::into_folded);
        plain
            .chain(folded)
            .map(|template| template.segments()[0].clone())
            .collect()
    }

    /// All strings of up to five letters.
    fn words() -> Vec<String> {
        let mut all = vec![String::new()];
        let mut last = all.clone();
        for _ in 0..5 {
            let longer = last
                .iter()
                .flat_map(|word| ["a", "b", "A", "B", "-"].map(|letter| format!("{word}{letter}")));
            last = longer.collect();
            all.extend(last.iter().cloned());
        }
        all
    }

    fn matches(segment: &Segment, text: &str) -> bool {
        match segment {
            Segment::Literal(own) => own == text,
            Segment::Folded(own) => own.eq_ignore_ascii_case(text),
            Segment::Parameter(_) => !text.is_empty(),
            Segment::Pattern(pattern) => pattern.matches(text),
        }
    }

    #[test]
    fn sets_of_positions_grow_with_the_length() {
        for (dashes, parameters) in [(1, 6), (2, 6), (12, 6), (3, 20)] {
            let text = (0..parameters).map(|at| format!("{{p{at}}}"));
            let text = text.collect::<Vec<_>>().join(&"-".repeat(dashes));
            let template = Template::parse(&format!("/{text}")).expect("a template");
            let steps = steps(&template.segments()[0]);
            let mut seen = BTreeSet::from([closure(&steps, BTreeSet::from([0]))]);
            let mut waiting: Vec<_> = seen.iter().cloned().collect();
            while let Some(states) = waiting.pop() {
                for byte in [b'-', b'x'] {
                    let moved = states
                        .iter()
                        .filter(|at| steps.get(**at).is_some_and(|step| step.takes(byte)));
                    let next = closure(&steps, moved.map(|at| after(&steps, *at)).collect());
                    if seen.insert(next.clone()) {
                        waiting.push(next);
                    }
                }
            }
            let (found, length) = (seen.len(), steps.len());
            assert!(found <= 2 * length, "{found} sets of {length} steps");
        }
    }

    #[test]
    fn both_answers_agree_with_trying_every_word() {
        let (segments, words) = (segments(), words());
        let languages: Vec<BTreeSet<&String>> = segments
            .iter()
            .map(|segment| words.iter().filter(|word| matches(segment, word)).collect())
            .collect();
        for (a, left) in segments.iter().zip(&languages) {
            for (b, right) in segments.iter().zip(&languages) {
                let shortest = left.intersection(right).map(|word| word.len()).min();
                let found = common(a, b);
                assert_eq!(
                    found.as_ref().map(String::len),
                    shortest,
                    "{a:?} {b:?} {found:?}"
                );
                if let Some(found) = found {
                    assert!(
                        matches(a, &found) && matches(b, &found),
                        "{a:?} {b:?} {found}"
                    );
                }
                assert_eq!(within(a, b), left.is_subset(right), "{a:?} {b:?}");
            }
        }
    }
}
