//! Memory layout of a routing table. Of a large table a request finds only the top in the caches,
//! so the number of cache lines that it touches on its way down counts.
//!
//! A node is half a line of 64 bytes and begins with the literal that leads to it. Nodes lie in the
//! order in which a walk enters them: a node whose parent has no other child lies directly behind
//! its parent. The rarer parts of a node (several literals, patterns, the rest of a prefix) are in
//! a [`Fork`].

use std::hash::Hasher as _;
use std::num::NonZeroU32;

use bundle::ir::Pattern;
use rustc_hash::FxHasher;

/// A place in one of a table's arrays; optional at no cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct At(NonZeroU32);

/// Node of the trie: the children and templates that follow some segments.
#[derive(Debug)]
#[repr(align(32))]
pub(super) struct Node {
    /// The literal that leads here; empty where something else does.
    pub(super) label: Label,
    /// The child behind the only literal.
    pub(super) literal: Option<At>,
    /// The child behind a parameter.
    pub(super) parameter: Option<At>,
    /// The first [`Arm`] of the templates that end here.
    pub(super) end: Option<At>,
    /// Several literals, patterns, or the rest of a prefix, if there are any.
    pub(super) fork: Option<At>,
}

const _: () = assert!(size_of::<Node>() == 32, "two nodes to a line");

/// Rarer parts of a node.
#[derive(Debug, Default)]
pub(super) struct Fork {
    /// The children behind literals, where there are several.
    pub(super) literals: Slots,
    /// Children behind literals in lower case that match in any case, sorted.
    pub(super) folded: Box<[(Box<str>, At)]>,
    /// Greatest first.
    pub(super) patterns: Box<[(Pattern, At)]>,
    /// The first [`Arm`] of the prefixes that end here.
    pub(super) rest: Option<At>,
}

/// An operation at the end of a template. Those of one template lie behind each other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arm {
    /// Its index in [`super::ApiRouter::operations`].
    pub(super) operation: u32,
    /// The arms of the template from this one on.
    pub(super) count: u32,
    /// The place of its method among those of the table.
    pub(super) method: u32,
    /// The path differs from the operation's template by the final slash.
    pub(super) twin: bool,
    /// The operation has conditions.
    pub(super) conditional: bool,
}

/// A literal: in the node where it is short, as most are.
#[derive(Debug)]
pub(super) enum Label {
    Short {
        length: u8,
        text: [u8; SHORT],
    },
    /// Bytes of the table's texts.
    Long {
        start: u32,
        length: u32,
    },
}

/// The longest literal that a node has room for.
const SHORT: usize = 14;

/// Children by the hash of their literals, with open addressing. Half of the slots are empty, so
/// that a text is found, or not, in the first line. The hash needs no secret: the literals come from
/// the operator.
#[derive(Debug, Default)]
pub(super) struct Slots(Box<[Slot]>);

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    hash: u32,
    child: Option<At>,
}

// === impl Fork ===

impl Fork {
    /// The child behind a segment whose case does not count.
    pub(super) fn folded(&self, segment: &str) -> Option<At> {
        if self.folded.is_empty() {
            return None;
        }
        let lower = || segment.bytes().map(|byte| byte.to_ascii_lowercase());
        let found = self
            .folded
            .binary_search_by(|(text, _)| text.bytes().cmp(lower()));
        found.ok().map(|at| self.folded[at].1)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.literals.0.is_empty()
            && self.folded.is_empty()
            && self.patterns.is_empty()
            && self.rest.is_none()
    }
}

// === impl At ===

impl At {
    /// The place with this index, which is less than 2^32 - 1.
    pub(super) fn new(index: usize) -> Self {
        let number = u32::try_from(index + 1).ok().and_then(NonZeroU32::new);
        Self(number.expect("fewer than 2^32 operations fit into a bundle"))
    }

    pub(super) fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

// === impl Label ===

impl Label {
    /// Writes a literal down, a long one to `texts`.
    pub(super) fn new(literal: &str, texts: &mut Vec<u8>) -> Self {
        let bytes = literal.as_bytes();
        let mut text = [0; SHORT];
        if let Some(room) = text.get_mut(..bytes.len()) {
            room.copy_from_slice(bytes);
            let length = bytes.len() as u8;
            return Self::Short { length, text };
        }
        let place = |number: usize| u32::try_from(number).expect("a bundle is smaller than 4 GiB");
        let (start, length) = (place(texts.len()), place(bytes.len()));
        texts.extend_from_slice(bytes);
        Self::Long { start, length }
    }

    pub(super) fn is(&self, segment: &str, texts: &[u8]) -> bool {
        let own = match self {
            Self::Short { length, text } => &text[..usize::from(*length)],
            Self::Long { start, length } => &texts[*start as usize..][..*length as usize],
        };
        own == segment.as_bytes()
    }
}

// === impl Slots ===

impl Slots {
    /// Of literals that are different.
    pub(super) fn new<'a>(children: impl ExactSizeIterator<Item = (&'a str, At)>) -> Self {
        if children.len() == 0 {
            return Self::default();
        }
        let mut slots = vec![Slot::default(); (children.len() * 2).next_power_of_two()];
        let mask = slots.len() - 1;
        for (literal, child) in children {
            let hash = hash(literal);
            let mut at = hash as usize & mask;
            while slots[at].child.is_some() {
                at = (at + 1) & mask;
            }
            slots[at] = Slot {
                hash,
                child: Some(child),
            };
        }
        Self(slots.into())
    }

    /// The children whose literal may be this one: of the same hash, most likely the one or none.
    pub(super) fn find(&self, segment: &str) -> impl Iterator<Item = At> {
        let hash = if self.0.is_empty() { 0 } else { hash(segment) };
        let mask = self.0.len().wrapping_sub(1);
        let slots = (hash as usize..).map_while(move |at| self.0.get(at & mask));
        let taken = slots.map_while(|slot| Some((slot.hash, slot.child?)));
        taken.filter_map(move |(own, child)| (own == hash).then_some(child))
    }
}

fn hash(text: &str) -> u32 {
    let mut hasher = FxHasher::default();
    hasher.write(text.as_bytes());
    hasher.finish() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_its_own_text_and_no_other() {
        let long = "a-literal-that-no-node-has-room-for";
        for length in [0, 1, SHORT - 1, SHORT, SHORT + 1, long.len()] {
            let mut texts = b"others'".to_vec();
            let literal = &long[..length];
            let label = Label::new(literal, &mut texts);
            assert_eq!(
                matches!(label, Label::Short { .. }),
                length <= 14,
                "{length}"
            );
            assert!(label.is(literal, &texts), "{length}");
            for other in [
                "x",
                &format!("{literal}\0"),
                &long[..length.saturating_sub(1)],
            ] {
                assert_eq!(
                    label.is(other, &texts),
                    other == literal,
                    "{length}: {other:?}"
                );
            }
        }
    }

    #[test]
    fn every_child_is_found_by_its_literal() {
        for count in [1, 2, 3, 100, 4096] {
            let names: Vec<String> = (0..count).map(|number| format!("svc{number}")).collect();
            let children = names.iter().enumerate();
            let slots = Slots::new(children.map(|(at, name)| (name.as_str(), At::new(at))));
            for (at, name) in names.iter().enumerate() {
                assert!(slots.find(name).any(|found| found.index() == at), "{name}");
            }
            assert_eq!(slots.find("nobody").count(), 0);
        }
        assert_eq!(Slots::default().find("").count(), 0);
    }
}
