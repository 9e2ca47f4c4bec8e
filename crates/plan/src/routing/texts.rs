//! Example strings for one segment of a path. For each set of other template segments that also
//! match, the search finds the smallest string.
//!
//! The search extends strings byte by byte, smallest first, and keeps only strings that all
//! required segments match. It tracks the positions in the automata of all other segments. Strings
//! with equal positions are equivalent.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use bundle::ir::Segment;
use rustc_hash::FxHashSet;

use super::automata::{Automata, Positions};

/// Step limit for all segments of two tables: one step per automaton, position and byte. Tables
/// with hundreds of patterns at one position of the path need a tenth of the limit. Many patterns
/// with many parameters need far more.
const STEPS_MAX: usize = 20_000_000;

/// Remaining steps for a part of the comparison of two tables.
#[derive(Debug)]
pub(super) struct Steps {
    left: AtomicUsize,
    most: usize,
}

impl Default for Steps {
    /// Creates the budget for the strings of two tables.
    fn default() -> Self {
        Self::new(STEPS_MAX)
    }
}

impl Steps {
    pub(super) fn new(most: usize) -> Self {
        let left = AtomicUsize::new(most);
        Self { left, most }
    }

    /// Consumes steps. Returns false if the budget does not suffice; all later calls then also
    /// return false.
    pub(super) fn take(&self, count: usize) -> bool {
        let taken = self
            .left
            .fetch_update(Relaxed, Relaxed, |left| Some(left.saturating_sub(count)));
        taken.is_ok_and(|left| left > count)
    }

    /// True if the budget is used up, so that results may be incomplete.
    pub(super) fn are_spent(&self) -> bool {
        self.left.load(Relaxed) == 0
    }

    /// Number of steps consumed.
    pub(super) fn taken(&self) -> usize {
        self.most - self.left.load(Relaxed)
    }
}

/// Characters of filler strings: readable, and unchanged by every normaliser.
const FILLERS: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// Template segments at one position of the path that compete with the required segments.
#[derive(Debug, Default)]
pub(super) struct Rivals<'t> {
    /// Literals, grouped by node.
    pub(super) literals: Vec<&'t Literals<'t>>,
    /// Patterns and case-insensitive literals.
    pub(super) others: Vec<&'t Segment>,
    /// Members of `others` without parameter names, to avoid duplicates.
    pub(super) known: HashSet<&'t Segment>,
}

impl<'t> Rivals<'t> {
    fn contains(&self, text: &str) -> bool {
        let mut literals = self.literals.iter();
        literals.any(|literals| literals.get(text).is_some())
    }

    /// True if at least one literal begins with the string.
    fn begins(&self, text: &str) -> bool {
        let mut literals = self.literals.iter();
        literals.any(|literals| {
            let next = literals.children.range(text..).next();
            next.is_some_and(|(literal, _)| literal.starts_with(text))
        })
    }

    /// Literals of at most `longest` bytes. `None`: all literals.
    fn up_to(&self, longest: Option<usize>) -> impl Iterator<Item = &'t str> {
        let literals = self.literals.iter();
        literals.flat_map(move |literals| {
            let fits = move |text: &&&str| longest.is_none_or(|longest| text.len() <= longest);
            literals.by_length.iter().take_while(fits).copied()
        })
    }
}

/// Literals at one node, with the index of the child node for each.
#[derive(Debug, Default)]
pub(super) struct Literals<'t> {
    children: BTreeMap<&'t str, u32>,
    /// Literals, shortest first.
    by_length: Vec<&'t str>,
}

impl<'t> Literals<'t> {
    pub(super) fn get(&self, text: &str) -> Option<u32> {
        self.children.get(text).copied()
    }

    /// Returns the child of a literal. If the literal has no child, adds `fresh` as its child. Call
    /// [`Self::sort`] after all additions.
    pub(super) fn child(&mut self, text: &'t str, fresh: u32) -> u32 {
        *self.children.entry(text).or_insert(fresh)
    }

    pub(super) fn sort(&mut self) {
        self.by_length = self.children.keys().copied().collect();
        self.by_length.sort_by_key(|text| text.len());
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&'t str, u32)> {
        self.children.iter().map(|(text, child)| (*text, *child))
    }

    pub(super) fn children(&self) -> impl Iterator<Item = u32> {
        self.children.values().copied()
    }
}

/// Strings that all segments of `musts` match, smallest first. If `musts` is empty, any string
/// matches. For each set of competing segments (`rivals`) that can also match, the result contains
/// the smallest string.
pub(super) fn texts(musts: &[&Segment], rivals: &Rivals<'_>, left: &Steps) -> Vec<String> {
    let literal = musts.iter().find_map(|must| match must {
        Segment::Literal(text) => Some(text),
        _ => None,
    });
    if let Some(text) = literal {
        let fits = musts.iter().all(|must| matches(must, text));
        return fits.then(|| text.clone()).into_iter().collect();
    }
    let anything = musts
        .iter()
        .all(|must| matches!(must, Segment::Parameter(_)));
    let mut texts = if anything && rivals.others.is_empty() {
        fillers(musts.is_empty(), rivals)
    } else {
        walk(musts, rivals, left)
    };
    // The literal of a competing segment may be smaller than all other strings.
    let longest = texts.iter().map(String::len).max();
    let literals = rivals.up_to(longest).filter(|text| {
        !matches!(*text, "." | "..")
            && (!text.is_empty() || musts.is_empty())
            && musts.iter().all(|must| matches(must, text))
    });
    texts.extend(literals.map(str::to_owned));
    texts.sort_by(|a, b| (a.len(), a).cmp(&(b.len(), b)));
    texts.dedup();
    texts
}

/// True if a segment of a template matches a string.
pub(super) fn matches(segment: &Segment, text: &str) -> bool {
    match segment {
        Segment::Literal(own) => own == text,
        Segment::Folded(own) => own.eq_ignore_ascii_case(text),
        Segment::Parameter(_) => !text.is_empty(),
        Segment::Pattern(pattern) => pattern.matches(text),
    }
}

/// Text with the hexadecimal digits of its escapes in upper case, as in normalised paths.
/// Case-insensitive segments have these digits in lower case.
pub(super) fn with_upper_escapes(text: &str) -> String {
    let mut parts = text.split('%');
    let mut upper = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2).unwrap_or((part, ""));
        upper.push('%');
        upper.push_str(&digits.to_ascii_uppercase());
        upper.push_str(rest);
    }
    upper
}

/// Returns the smallest filler string that is not a literal. If `or_nothing` is true, also returns
/// the empty string.
fn fillers(or_nothing: bool, rivals: &Rivals<'_>) -> Vec<String> {
    let nothing = or_nothing.then(String::new);
    let fresh = fresh(|text| rivals.contains(text));
    nothing.into_iter().chain(fresh).collect()
}

/// Returns the smallest filler string that is not taken.
pub(super) fn fresh(is_taken: impl Fn(&str) -> bool) -> Option<String> {
    // The search ends: if n strings are taken, at least one of n + 1 strings is free.
    let mut waiting: VecDeque<String> = VecDeque::from([String::new()]);
    while let Some(text) = waiting.pop_front() {
        for byte in FILLERS {
            let longer = format!("{text}{}", char::from(*byte));
            if !is_taken(&longer) {
                return Some(longer);
            }
            waiting.push_back(longer);
        }
    }
    None
}

/// State of the search: positions in the required segments, positions in the other segments, the
/// string itself, and the number of missing digits of its last escape. The string is `None` once no
/// literal begins with it.
type State = (Positions, Positions, Option<String>, usize);

/// Number of digits that the last escape of a string lacks, if all earlier escapes are complete.
fn missing_digits(text: &str) -> usize {
    match text.as_bytes() {
        [.., b'%'] => 2,
        [.., b'%', _] => 1,
        _ => 0,
    }
}

/// True if a byte can follow `text` in a normalised path. Escapes have two hexadecimal digits in
/// upper case, and do not encode unreserved characters.
fn continues(text: &str, byte: u8) -> bool {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    match missing_digits(text) {
        0 => true,
        _ if byte.is_ascii_lowercase() || digit(byte).is_none() => false,
        1 => {
            let first = text.bytes().last().and_then(digit);
            let value = first.zip(digit(byte)).map(|(high, low)| 16 * high + low);
            let escaped = value.and_then(char::from_u32);
            escaped.is_some_and(|c| !c.is_ascii_alphanumeric() && !"-._~".contains(c))
        }
        _ => true,
    }
}

fn walk(musts: &[&Segment], rivals: &Rivals<'_>, left: &Steps) -> Vec<String> {
    let (automata, others) = (Automata::new(musts), Automata::new(&rivals.others));
    // Prefer readable bytes, then bytes that need no escape in a path.
    let mut alphabet: Vec<u8> = FILLERS.to_vec();
    let named: BTreeSet<u8> = automata.named().union(others.named()).copied().collect();
    alphabet.extend(named.iter().copied().filter(|byte| {
        byte.is_ascii_graphic() && !b"/?#\\".contains(byte) && !FILLERS.contains(byte)
    }));
    let is_named = |byte: u8| named.contains(&byte);
    // The string may still become a literal, `.` or `..`, so keep the string.
    let begun =
        |text: &str| (rivals.begins(text) || "..".starts_with(text)).then(|| text.to_owned());
    let first: State = (automata.start(), others.start(), begun(""), 0);
    let mut seen = FxHashSet::from_iter([first.clone()]);
    let mut waiting = VecDeque::from([(String::new(), first)]);
    // Smallest string for each set of other segments that also match it.
    let mut found: Vec<(Positions, String)> = Vec::new();
    let texts = |found: Vec<(Positions, String)>| found.into_iter().map(|(_, text)| text).collect();
    while let Some((text, (at, along, literal, missing))) = waiting.pop_front() {
        let usable = missing == 0 && !matches!(text.as_str(), "." | "..");
        if automata.accept(&at) && usable && !rivals.contains(&text) {
            let matching = others.accepting(&along);
            if !left.take(found.len() + 1) {
                return texts(found);
            }
            if !found.iter().any(|(fewer, _)| is_subset(fewer, &matching)) {
                let least = matching.iter().all(|word| *word == 0);
                found.push((matching, text.clone()));
                if least {
                    break;
                }
            }
        }
        // If no literal begins with the string, all bytes that no segment names are equivalent.
        let mut has_other = false;
        for byte in alphabet.iter().filter(|byte| continues(&text, **byte)) {
            if literal.is_none() && !is_named(*byte) && std::mem::replace(&mut has_other, true) {
                continue;
            }
            if !left.take(automata.len() + others.len()) {
                return texts(found);
            }
            let next = automata.next(&at, *byte);
            if automata.is_dead(&next) {
                continue;
            }
            let longer = format!("{text}{}", char::from(*byte));
            let begun = literal.as_ref().and_then(|_| begun(&longer));
            let missing = missing_digits(&longer);
            let state = (next, others.next(&along, *byte), begun, missing);
            if seen.insert(state.clone()) {
                waiting.push_back((longer, state));
            }
        }
    }
    texts(found)
}

/// True if `all` has every bit of `some`.
fn is_subset(some: &Positions, all: &Positions) -> bool {
    some.iter().zip(all).all(|(some, all)| some & !all == 0)
}

#[cfg(test)]
mod tests {
    use bundle::ir::Template;

    use super::*;

    fn segment(text: &str) -> Segment {
        Template::parse(&format!("/{text}"))
            .expect("a template")
            .segments()[0]
            .clone()
    }

    #[test]
    fn smallest_unshared_text_is_chosen_first() {
        type Texts = &'static [&'static str];
        let cases: &[(Texts, Texts, Texts, Texts)] = &[
            (&["{x}"], &[], &[], &["0"]),
            (&["{x}"], &["0", "1"], &[], &["0", "1", "2"]),
            (&["a"], &["a"], &[], &["a"]),
            (&["a", "b"], &[], &[], &[]),
            (&["{x}:go"], &[], &[], &["0:go"]),
            (&["{x}:go"], &["0:go"], &[], &["0:go", "1:go"]),
            (&["{x}"], &[], &["{x}.json"], &["0"]),
            (&["{x}.json"], &[], &["{x}.json"], &["0.json"]),
            (&["{x}.json"], &[], &["a{x}", "0{x}"], &["0.json", "1.json"]),
            (&["a{x}", "{x}b"], &[], &[], &["ab"]),
            (&[], &["0"], &[], &["", "0", "1"]),
        ];
        for (musts, literals, others, expected) in cases {
            let musts: Vec<Segment> = musts.iter().map(|text| segment(text)).collect();
            let others: Vec<Segment> = others.iter().map(|text| segment(text)).collect();
            let mut known = Literals::default();
            for text in *literals {
                known.child(text, 0);
            }
            known.sort();
            let rivals = Rivals {
                literals: vec![&known],
                others: others.iter().collect(),
                ..Rivals::default()
            };
            let musts: Vec<&Segment> = musts.iter().collect();
            assert_eq!(
                texts(&musts, &rivals, &Steps::default()),
                *expected,
                "{musts:?} {literals:?}"
            );
        }
    }

    /// The strings are normalised: a case-insensitive segment keeps the digits of its escapes, and
    /// no string ends within an escape.
    #[test]
    fn texts_have_whole_escapes_in_upper_case() {
        let folded = |text: &str| {
            let template = Template::parse(&format!("/{text}")).expect("a template");
            template.into_folded().segments()[0].clone()
        };
        let literals: Vec<String> = ('0'..='9').chain('a'..='z').map(String::from).collect();
        let mut known = Literals::default();
        for text in &literals {
            known.child(text, 0);
        }
        known.sort();
        let [word, pattern, any] = ["Caf%C3%A9", "%C3%89{x}%C3%A9", "{x}"].map(folded);
        let literal = segment("caf%C3%A9");
        for (musts, others, expected) in [
            (vec![&word], vec![], &["caf%C3%A9"][..]),
            (vec![&word, &any], vec![&pattern], &["caf%C3%A9"]),
            (vec![&word, &literal], vec![], &["caf%C3%A9"]),
            (vec![&pattern], vec![&word], &["%C3%890%C3%A9"]),
            (vec![&any], vec![&word], &["A"]),
        ] {
            let rivals = Rivals {
                literals: vec![&known],
                others,
                ..Rivals::default()
            };
            let mut found = texts(&musts, &rivals, &Steps::default());
            found.retain(|text| !literals.contains(text));
            assert_eq!(found, expected, "{musts:?}");
        }
    }

    #[test]
    fn steps_of_exploding_patterns_are_bounded() {
        let parse = |text: &str| Template::parse(&format!("/{text}")).expect("a template");
        let word =
            |bits: usize| (0..8).map(move |bit| if bits >> bit & 1 == 0 { 'a' } else { 'b' });
        let segment = |bits: usize| -> String {
            let parts = word(bits)
                .enumerate()
                .map(|(at, c)| format!("{{p{at}}}{c}"));
            parts.collect()
        };
        let templates: Vec<Template> = (0..16).map(|bits| parse(&segment(bits * 15))).collect();
        let mut others: Vec<&Segment> = templates.iter().map(|one| &one.segments()[0]).collect();
        let must = others.remove(0);
        let rivals = Rivals {
            literals: Vec::new(),
            others,
            ..Rivals::default()
        };
        // With this budget, every walk ends after few steps.
        let steps = Steps::new(1_000);
        texts(&[must], &rivals, &steps);
        assert!(steps.are_spent());
        assert_eq!(texts(&[must], &rivals, &steps), Vec::<String>::new());
        // The patterns of a real table need only a small part of the budget.
        let verbs: Vec<Template> = (0..200)
            .map(|verb| parse(&format!("{{name}}:verb{verb}")))
            .collect();
        let mut others: Vec<&Segment> = verbs.iter().map(|one| &one.segments()[0]).collect();
        let must = others.remove(0);
        let rivals = Rivals {
            literals: Vec::new(),
            others,
            ..Rivals::default()
        };
        let steps = Steps::default();
        assert_eq!(texts(&[must], &rivals, &steps), ["0:verb0"]);
        assert!(steps.taken() < STEPS_MAX / 200);
    }
}
