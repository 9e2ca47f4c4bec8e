//! Automata that match a string with several template segments at the same time.
//!
//! Each position of an automaton is one bit. The positions of all automata are stored in one row of
//! 64-bit words, so that reading a byte takes a few instructions per automaton.

use std::collections::BTreeSet;

use bundle::ir::Segment;
use model::segment::{Step, steps};

/// Set of current positions in all automata. Equal sets accept the same continuations.
pub(super) type Positions = Box<[u64]>;

/// Automata, one for each segment.
#[derive(Debug)]
pub(super) struct Automata {
    all: Vec<Automaton>,
    /// Bytes that occur in the segments.
    named: BTreeSet<u8>,
    /// Number of 64-bit words of [`Positions`].
    words: usize,
}

#[derive(Debug)]
struct Automaton {
    /// Number of 64-bit words that the positions of this automaton take.
    words: usize,
    /// Index of the word, and the bit in it, of the last position. The automaton accepts a string
    /// at this position.
    end: (usize, u64),
    /// Positions at which any number of bytes is consumed.
    many: Box<[u64]>,
    /// Positions that consume any byte that does not occur in a segment.
    any: Box<[u64]>,
    /// Positions that consume a certain byte, for each byte that occurs in the segment.
    takes: Vec<(u8, Box<[u64]>)>,
}

impl Automata {
    pub(super) fn new(segments: &[&Segment]) -> Self {
        let all: Vec<Automaton> = segments
            .iter()
            .map(|segment| Automaton::new(&steps(segment)))
            .collect();
        let named = all.iter().flat_map(|one| &one.takes);
        Self {
            named: named.map(|(byte, _)| *byte).collect(),
            words: all.iter().map(|one| one.words).sum(),
            all,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Bytes that occur in the segments.
    pub(super) fn named(&self) -> &BTreeSet<u8> {
        &self.named
    }

    /// Positions before the first byte.
    pub(super) fn start(&self) -> Positions {
        let mut row = vec![0; self.words].into_boxed_slice();
        let mut rest = &mut row[..];
        for automaton in &self.all {
            let (own, others) = rest.split_at_mut(automaton.words);
            own[0] = 1;
            automaton.settle(own);
            rest = others;
        }
        row
    }

    /// Set of positions after reading a byte.
    pub(super) fn next(&self, from: &Positions, byte: u8) -> Positions {
        let mut row = vec![0; self.words].into_boxed_slice();
        let (mut from, mut rest) = (&from[..], &mut row[..]);
        for automaton in &self.all {
            let (own, others) = rest.split_at_mut(automaton.words);
            let (before, behind) = from.split_at(automaton.words);
            automaton.next(before, byte, own);
            (from, rest) = (behind, others);
        }
        row
    }

    /// True if one of the automata accepts no continuation.
    pub(super) fn is_dead(&self, at: &Positions) -> bool {
        let mut at = &at[..];
        self.all.iter().any(|automaton| {
            let (own, others) = at.split_at(automaton.words);
            at = others;
            own.iter().all(|word| *word == 0)
        })
    }

    /// Automata that accept the string read so far, one bit each.
    pub(super) fn accepting(&self, at: &Positions) -> Positions {
        let mut accepting = vec![0; self.all.len().div_ceil(64)].into_boxed_slice();
        let mut first = 0;
        for (index, automaton) in self.all.iter().enumerate() {
            let (word, bit) = automaton.end;
            if at[first + word] & bit != 0 {
                accepting[index / 64] |= 1 << (index % 64);
            }
            first += automaton.words;
        }
        accepting
    }

    /// True if all automata accept the string read so far.
    pub(super) fn accept(&self, at: &Positions) -> bool {
        let mut first = 0;
        self.all.iter().all(|automaton| {
            let (word, bit) = automaton.end;
            let accepts = at[first + word] & bit != 0;
            first += automaton.words;
            accepts
        })
    }
}

impl Automaton {
    fn new(steps: &[Step]) -> Self {
        let words = steps.len() / 64 + 1;
        let positions = |takes: &dyn Fn(&Step) -> bool| -> Box<[u64]> {
            let mut row = vec![0; words].into_boxed_slice();
            for (at, _) in steps.iter().enumerate().filter(|(_, step)| takes(step)) {
                row[at / 64] |= 1 << (at % 64);
            }
            row
        };
        let named: BTreeSet<u8> = steps.iter().flat_map(|step| step.bytes()).collect();
        let takes = named.into_iter().map(|byte| {
            let takes = positions(&|step| step.takes(byte));
            (byte, takes)
        });
        Self {
            words,
            end: (steps.len() / 64, 1 << (steps.len() % 64)),
            many: positions(&|step| *step == Step::Many),
            any: positions(&|step| matches!(step, Step::Any | Step::Many)),
            takes: takes.collect(),
        }
    }

    fn next(&self, from: &[u64], byte: u8, to: &mut [u64]) {
        let known = self.takes.binary_search_by_key(&byte, |(byte, _)| *byte);
        let takes = known.map_or(&self.any, |at| &self.takes[at].1);
        let mut carry = 0;
        for (index, to) in to.iter_mut().enumerate() {
            let moved = from[index] & takes[index];
            let many = self.many[index];
            let on = moved & !many;
            *to = moved & many | on << 1 | carry;
            carry = on >> 63;
        }
        self.settle(to);
    }

    /// Adds the positions that are reachable without reading a byte. Removes positions before a
    /// [`Step::Many`], because each string that is accepted from there is also accepted from the
    /// [`Step::Many`]. The number of sets of positions is then about the number of steps, and not
    /// exponential.
    fn settle(&self, row: &mut [u64]) {
        let mut carry = 0;
        let mut last = None;
        for (index, word) in row.iter_mut().enumerate() {
            // Two positions that consume any number of bytes are never adjacent, so one pass is
            // enough.
            let skipping = *word & self.many[index];
            if skipping != 0 {
                last = Some((index, 63 - skipping.leading_zeros()));
            }
            *word |= skipping << 1 | carry;
            carry = skipping >> 63;
        }
        if let Some((index, bit)) = last {
            row[..index].fill(0);
            row[index] &= u64::MAX << bit;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use bundle::ir::Template;

    use super::*;
    use crate::routing::texts::matches;

    fn segment(text: &str) -> Segment {
        let template = Template::parse(&format!("/{text}")).expect("a template");
        template.segments()[0].clone()
    }

    fn folded(text: &str) -> Segment {
        let template = Template::parse(&format!("/{text}")).expect("a template");
        template.into_folded().segments()[0].clone()
    }

    #[test]
    fn automata_accept_what_segments_match() {
        let long = format!("{}{{x}}{}", "a".repeat(63), "b".repeat(64));
        let texts = [
            "{x}",
            "a",
            "ab",
            "a{x}",
            "{x}b",
            "a{x}b{y}",
            "{x}ab{y}a",
            &long,
        ];
        let segments: Vec<Segment> = texts
            .iter()
            .flat_map(|text| [segment(text), folded(text)])
            .collect();
        let all: Vec<&Segment> = segments.iter().collect();
        let automata = Automata::new(&all);
        let mut words = vec![String::new()];
        for length in 0..6 {
            let last = words
                .clone()
                .into_iter()
                .filter(|word| word.len() == length);
            words
                .extend(last.flat_map(|word| ["a", "b", "B", "-"].map(|next| word.clone() + next)));
        }
        words.push(long.replace("{x}", "-"));
        words.push(long.replace("{x}", "bB"));
        words.push(long.replace("{x}", ""));
        for word in words {
            let mut at = automata.start();
            for byte in word.bytes() {
                at = automata.next(&at, byte);
            }
            let accepting = automata.accepting(&at);
            for (index, segment) in all.iter().enumerate() {
                let accepts = accepting[index / 64] >> (index % 64) & 1 == 1;
                assert_eq!(accepts, matches(segment, &word), "{segment:?} {word}");
            }
        }
    }

    #[test]
    fn sets_of_positions_grow_with_the_length() {
        for (dashes, parameters) in [(1, 6), (2, 6), (12, 6), (3, 20)] {
            let text = (0..parameters).map(|at| format!("{{p{at}}}"));
            let text = text.collect::<Vec<_>>().join(&"-".repeat(dashes));
            let segment = segment(&text);
            let automata = Automata::new(&[&segment]);
            let mut waiting = vec![automata.start()];
            let mut seen: HashSet<Positions> = waiting.iter().cloned().collect();
            while let Some(at) = waiting.pop() {
                for byte in [b'-', b'x'] {
                    let next = automata.next(&at, byte);
                    if seen.insert(next.clone()) {
                        waiting.push(next);
                    }
                }
            }
            let (found, length) = (seen.len(), steps(&segment).len());
            assert!(found <= 2 * length, "{found} sets of {length} steps");
        }
    }
}
