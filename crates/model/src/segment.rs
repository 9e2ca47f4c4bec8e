//! Comparison of path segments as sets of strings: overlap, common strings, and containment.
//!
//! A segment is a sequence of fixed bytes and runs. A run (a parameter) matches one or more bytes.
//! Overlap and containment take linear time for most pairs, and a small automaton finds the
//! shortest common string.

use std::collections::VecDeque;
use std::sync::LazyLock;

use bundle::ir::{Pattern, Segment};

/// Step of a segment's automaton.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Exactly this byte.
    Byte(u8),
    /// Letter in either case, stored in lower case.
    Letter(u8),
    /// Any single byte.
    Any,
    /// Any number of bytes, including none.
    Many,
}

/// True if a string exists that both segments match.
#[must_use]
pub fn overlap(a: &Segment, b: &Segment) -> bool {
    match (a, b) {
        (Segment::Literal(a), Segment::Literal(b)) => a == b,
        (Segment::Literal(text), Segment::Parameter(_))
        | (Segment::Parameter(_), Segment::Literal(text)) => !text.is_empty(),
        (Segment::Parameter(_), Segment::Parameter(_)) => true,
        _ => overlapping(&steps(a), &steps(b)),
    }
}

/// True if two automata accept a common string, as for [`overlap`].
///
/// Two segments with runs overlap if and only if two conditions hold. Of the two texts before the
/// first runs, one is a prefix of the other. Of the two texts after the last runs, one is a suffix
/// of the other. The middle parts need no comparison, because the runs of each segment match the
/// middle part of the other.
fn overlapping(a: &[Step], b: &[Step]) -> bool {
    #[cfg(test)]
    COMPARED.set(COMPARED.get() + 1);
    match (Parts::of(a), Parts::of(b)) {
        (Some(a), Some(b)) => {
            let before = a.before.iter().zip(b.before);
            let after = a.after.iter().rev().zip(b.after.iter().rev());
            let mut both = before.chain(after);
            both.all(|(a, b)| a.meet(*b).is_some())
        }
        (Some(_), None) => matched(b, a, Relation::Meets).is_some(),
        (None, _) => matched(a, b, Relation::Meets).is_some(),
    }
}

#[cfg(test)]
thread_local! {
    /// Number of pairs of automata that this thread has compared.
    pub(crate) static COMPARED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Number of states up to which [`common`] searches for the shortest string. Two segments of six
/// parameters with one character between them have 324 states.
const STATES_MAX: usize = 16_384;

/// Returns a string that both segments match. The string is the shortest one, unless both segments
/// are longer than about 100 characters.
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
    let (a, b) = (steps(a), steps(b));
    if !overlapping(&a, &b) {
        return None;
    }
    let bytes = match (Parts::of(&a), Parts::of(&b)) {
        (None, _) => matched(&a, &b, Relation::Meets)?,
        (_, None) => matched(&b, &a, Relation::Meets)?,
        (Some(left), Some(right)) if (a.len() + 1) * (b.len() + 1) > STATES_MAX => {
            left.joined(&right)
        }
        _ => shortest(&a, &b)?,
    };
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Example of a string that a parameter matches: a shortest one.
static ANY: LazyLock<String> = LazyLock::new(|| {
    let any = steps(&Segment::Parameter(String::new()));
    let bytes = shortest(&any, &any).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
});

/// Automaton of a segment with runs, in three parts.
struct Parts<'s> {
    /// Text before the first run.
    before: &'s [Step],
    /// Steps from the first run to the last one.
    runs: &'s [Step],
    /// Text after the last run.
    after: &'s [Step],
}

impl<'s> Parts<'s> {
    /// Returns `None` for a segment without runs.
    fn of(steps: &'s [Step]) -> Option<Self> {
        let first = steps.iter().position(|step| *step == Step::Any)?;
        let last = steps.iter().rposition(|step| *step == Step::Many)?;
        Some(Self {
            before: &steps[..first],
            runs: &steps[first..=last],
            after: &steps[last + 1..],
        })
    }

    /// Returns a string that two overlapping segments match. The string contains the middle parts
    /// of both segments, one after the other.
    fn joined(&self, other: &Self) -> Vec<u8> {
        let mut after = longer(self.after.iter().rev(), other.after.iter().rev());
        after.reverse();
        let runs = self.runs.iter().chain(other.runs);
        let runs = runs.filter(|step| **step != Step::Many);
        let before = longer(self.before.iter(), other.before.iter());
        let runs = runs.filter_map(|step| step.meet(Step::Any));
        before.into_iter().chain(runs).chain(after).collect()
    }
}

/// Bytes of the longer of two texts. One of the texts must begin with the other.
fn longer<'s>(
    mut a: impl Iterator<Item = &'s Step>,
    mut b: impl Iterator<Item = &'s Step>,
) -> Vec<u8> {
    let met = std::iter::from_fn(|| match (a.next(), b.next()) {
        (Some(a), Some(b)) => a.meet(*b),
        (Some(one), None) | (None, Some(one)) => one.meet(Step::Any),
        (None, None) => None,
    });
    met.collect()
}

/// Relation between two steps: one of a segment without runs, and one of an automaton.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Relation {
    /// Both steps accept a common byte ([`Step::meet`]).
    Meets,
    /// The step of the automaton accepts all bytes that the other step accepts
    /// ([`Step::covered`]).
    Covered,
}

impl Relation {
    /// A byte that both steps accept, if the relation holds.
    fn byte(self, own: Step, step: Step) -> Option<u8> {
        match self {
            Self::Meets => own.meet(step),
            Self::Covered => own.covered(step),
        }
    }

    /// Position of the first place in a word at which the relation holds for each step of a text
    /// without runs.
    fn find(self, word: &[Step], text: &[Step]) -> Option<usize> {
        let has_letter = |steps: &[Step]| steps.iter().any(|one| matches!(one, Step::Letter(_)));
        let is_folded = has_letter(text) || self == Self::Meets && has_letter(word);
        // Bytes that are equal exactly if the relation holds. 0xFE and 0xFF do not occur in UTF-8.
        let key = |step: &Step| match step {
            Step::Byte(byte) if is_folded => byte.to_ascii_lowercase(),
            Step::Byte(byte) => *byte,
            Step::Letter(letter) if is_folded => *letter,
            Step::Letter(_) => 0xFE,
            Step::Any | Step::Many => 0xFF,
        };
        let word: Vec<u8> = word.iter().map(key).collect();
        let text: Vec<u8> = text.iter().map(key).collect();
        memchr::memmem::find(&word, &text)
    }
}

/// Matches steps without runs against an automaton, in linear time for each text between two runs
/// of the automaton. Returns bytes that the steps and the automaton both accept. `None` if there
/// is no match.
fn matched(word: &[Step], automaton: &[Step], relation: Relation) -> Option<Vec<u8>> {
    let bytes = |own: &[Step], steps: &[Step]| -> Option<Vec<u8>> {
        let pairs = own.iter().zip(steps);
        pairs
            .map(|(own, step)| relation.byte(*own, *step))
            .collect()
    };
    let Some(Parts {
        before,
        runs,
        after,
    }) = Parts::of(automaton)
    else {
        return bytes(word, automaton).filter(|_| word.len() == automaton.len());
    };
    let (first, rest) = word.split_at_checked(before.len())?;
    let (mut rest, last) = rest.split_at_checked(rest.len().checked_sub(after.len())?)?;
    let (mut all, end) = (bytes(first, before)?, bytes(last, after)?);
    // Each run is as short as possible, so that the texts after it have the most bytes to match.
    let mut texts = runs.split(|step| *step == Step::Many);
    texts.next();
    for text in texts {
        // The last step of a text is the first byte of the next run. After the last run, no text
        // follows.
        let (length, text) = match text.split_last() {
            Some((_, text)) => (1 + relation.find(rest.get(1..)?, text)?, text),
            None => (rest.len().max(1), text),
        };
        let (run, after_run) = rest.split_at_checked(length)?;
        all.extend(run.iter().filter_map(|own| relation.byte(*own, Step::Many)));
        let (own, left) = after_run.split_at_checked(text.len())?;
        all.extend(bytes(own, text)?);
        rest = left;
    }
    all.extend(end);
    Some(all)
}

/// Transition by which the search reached a state.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Move {
    Unknown,
    Start,
    /// The first automaton ended a run.
    SkipFirst,
    /// The second automaton ended a run.
    SkipSecond,
    /// Both automata consumed this byte. Each boolean is true if its automaton, the first or the
    /// second, stays in a run.
    Take(u8, bool, bool),
}

/// Returns the shortest string that two automata accept. `None` if no string is accepted by both.
fn shortest(a: &[Step], b: &[Step]) -> Option<Vec<u8>> {
    let width = b.len() + 1;
    let mut from = vec![Move::Unknown; (a.len() + 1) * width];
    let mut done = vec![false; from.len()];
    from[0] = Move::Start;
    // Keep the queue sorted by the length of the string: a step without a byte goes to the front.
    let mut waiting = VecDeque::from([(0, 0)]);
    while let Some((left, right)) = waiting.pop_front() {
        if std::mem::replace(&mut done[left * width + right], true) {
            continue;
        }
        if (left, right) == (a.len(), b.len()) {
            break;
        }
        let (one, other) = (a.get(left).copied(), b.get(right).copied());
        let is_many = |step| step == Some(Step::Many);
        for (is_skip, next, how) in [
            (is_many(one), (left + 1, right), Move::SkipFirst),
            (is_many(other), (left, right + 1), Move::SkipSecond),
        ] {
            if is_skip && !done[next.0 * width + next.1] {
                from[next.0 * width + next.1] = how;
                waiting.push_front(next);
            }
        }
        let met = one.zip(other).and_then(|(one, other)| one.meet(other));
        if let Some(byte) = met {
            let stays = (is_many(one), is_many(other));
            let next = (left + usize::from(!stays.0), right + usize::from(!stays.1));
            let index = next.0 * width + next.1;
            if !done[index] && from[index] == Move::Unknown {
                from[index] = Move::Take(byte, stays.0, stays.1);
                waiting.push_back(next);
            }
        }
    }
    let (mut left, mut right) = (a.len(), b.len());
    let mut bytes = Vec::new();
    loop {
        match from[left * width + right] {
            Move::Unknown => return None,
            Move::Start => break,
            Move::SkipFirst => left -= 1,
            Move::SkipSecond => right -= 1,
            Move::Take(byte, first, second) => {
                bytes.push(byte);
                left -= usize::from(!first);
                right -= usize::from(!second);
            }
        }
    }
    bytes.reverse();
    Some(bytes)
}

/// True if `b` matches every string that `a` matches.
///
/// Checks only the strings of `a` in which each run is one byte that neither segment contains. Only
/// a run of `b` can match that byte, and such a run also matches every other text of the run of
/// `a`.
#[must_use]
pub fn within(a: &Segment, b: &Segment) -> bool {
    // Fast path for most pairs.
    match (a, b) {
        (Segment::Literal(a), Segment::Literal(b)) => return a == b,
        (Segment::Literal(text), Segment::Parameter(_)) => return !text.is_empty(),
        (Segment::Parameter(_) | Segment::Pattern(_), Segment::Parameter(_)) => return true,
        // A parameter or pattern matches more strings than a single literal.
        (Segment::Parameter(_) | Segment::Pattern(_), Segment::Literal(_) | Segment::Folded(_)) => {
            return false;
        }
        _ => {}
    }
    let mut word = steps(a);
    word.retain(|step| *step != Step::Many);
    matched(&word, &steps(b), Relation::Covered).is_some()
}

/// Steps of a segment's automaton. The automaton accepts normalised segments: the hexadecimal
/// digits of an escape are in upper case (RFC 3986 §6.2.2.1), also those of a case-insensitive
/// literal.
pub fn steps(segment: &Segment) -> Vec<Step> {
    let literal = |text: &str, folded: bool, steps: &mut Vec<Step>| {
        let mut digits = 0;
        steps.extend(text.bytes().map(|byte| match byte {
            b'%' => {
                digits = 2;
                Step::Byte(byte)
            }
            digit if digits > 0 => {
                digits -= 1;
                Step::Byte(digit.to_ascii_uppercase())
            }
            letter if folded && letter.is_ascii_alphabetic() => {
                Step::Letter(letter.to_ascii_lowercase())
            }
            byte => Step::Byte(byte),
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

    /// Returns a byte if `wider` accepts all bytes that this step accepts, otherwise `None`. The
    /// value of the byte has no meaning.
    fn covered(self, wider: Self) -> Option<u8> {
        let is_covered = match (self, wider) {
            (_, Self::Any | Self::Many) => true,
            (Self::Any | Self::Many, _) | (Self::Letter(_), Self::Byte(_)) => false,
            (Self::Byte(byte), _) => wider.takes(byte),
            (Self::Letter(own), Self::Letter(other)) => own == other,
        };
        is_covered.then_some(b'x')
    }

    /// A byte that both steps accept, if any.
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use bundle::ir::Template;

    use super::*;

    /// Segments with up to three elements, case-sensitive and case-insensitive.
    fn segments() -> Vec<Segment> {
        let texts = [
            "",
            "a",
            "b",
            "ab",
            "aB",
            "A",
            "{x}",
            "a{x}",
            "{x}a",
            "{x}b",
            "a{x}b",
            "ab{x}",
            "{x}a{y}",
            "{x}ab{y}",
            "a{x}a",
            "{x}a{y}b",
            "A{x}",
            "{x}B{y}a",
            "{x}-{y}",
            "{x}a{y}a{z}",
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
    fn overlap_and_within_agree_with_brute_force() {
        let (segments, words) = (segments(), words());
        let languages: Vec<BTreeSet<&String>> = segments
            .iter()
            .map(|segment| words.iter().filter(|word| matches(segment, word)).collect())
            .collect();
        for (a, left) in segments.iter().zip(&languages) {
            for (b, right) in segments.iter().zip(&languages) {
                let shortest = left.intersection(right).map(|word| word.len()).min();
                let found = common(a, b);
                // `words` contains only strings of at most 5 bytes.
                let length = found
                    .as_ref()
                    .map(String::len)
                    .filter(|length| *length <= 5);
                assert_eq!(length, shortest, "{a:?} {b:?} {found:?}");
                if let Some(found) = &found {
                    assert!(
                        matches(a, found) && matches(b, found),
                        "{a:?} {b:?} {found}"
                    );
                }
                assert_eq!(overlap(a, b), found.is_some(), "{a:?} {b:?}");
                if let (Some(left), Some(right)) = (Parts::of(&steps(a)), Parts::of(&steps(b)))
                    && found.is_some()
                {
                    let joined = String::from_utf8(left.joined(&right)).expect("a string");
                    assert!(
                        matches(a, &joined) && matches(b, &joined),
                        "{a:?} {b:?} {joined}"
                    );
                }
                assert_eq!(within(a, b), left.is_subset(right), "{a:?} {b:?}");
            }
        }
    }
}
