//! Memory layout of a routing table. Only the top nodes of a large table stay in the CPU caches, so
//! a look-up must touch few cache lines.
//!
//! A node is half a cache line of 64 bytes and begins with the literal that leads to it. Nodes are
//! stored in depth-first order: an only child directly follows its parent. Parts that few nodes
//! have (several literals, patterns, prefix templates) are in a [`Fork`].

use std::hash::Hasher as _;
use std::num::NonZeroU32;

use bundle::ir::Pattern;
use rustc_hash::FxHasher;

/// Index into an array of the table. Never 0 in memory, so that an `Option` needs no additional
/// space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct At(NonZeroU32);

/// Node of the trie: the children and templates after a sequence of segments.
#[derive(Debug)]
#[repr(align(32))]
pub(super) struct Node {
    /// Literal that leads to this node. Empty for a node below a parameter or pattern, and for a
    /// node in [`Fork::folded`].
    pub(super) label: Label,
    /// Child for a literal, if the node has exactly one literal child.
    pub(super) literal: Option<At>,
    /// Child for a parameter. `None` if no template has a parameter here.
    pub(super) parameter: Option<At>,
    /// First [`Arm`] of the template that ends at this node. `None` if no template ends here.
    pub(super) end: Option<At>,
    /// Parts that few nodes have: several literals, patterns, prefix templates.
    pub(super) fork: Option<At>,
}

const _: () = assert!(size_of::<Node>() == 32, "two nodes per cache line");

/// Parts that few nodes have, stored separately to keep nodes small.
#[derive(Debug, Default)]
pub(super) struct Fork {
    /// Children by literal, if there are several.
    pub(super) literals: Slots,
    /// Children by case-insensitive literal, which is in lower case; sorted.
    pub(super) folded: Box<[(Box<str>, At)]>,
    /// Children by pattern, in order of precedence.
    pub(super) patterns: Box<[(Pattern, At)]>,
    /// First [`Arm`] of the prefix template that ends at this node. `None` if no prefix template
    /// ends here.
    pub(super) rest: Option<At>,
}

/// An operation at the end of a template. The arms of one template are adjacent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arm {
    /// Index into [`super::ApiRouter::operations`].
    pub(super) operation: u32,
    /// Number of arms of the template from this arm to the last one.
    pub(super) count: u32,
    /// Index of the method in the table's methods.
    pub(super) method: u32,
    /// True if the path differs from the operation's template by the final slash.
    pub(super) twin: bool,
    /// True if the operation has conditions.
    pub(super) conditional: bool,
}

/// Literal of a segment. Short literals, which most are, are stored inline.
#[derive(Debug)]
pub(super) enum Label {
    Short {
        length: u8,
        text: [u8; SHORT],
    },
    /// Range of a long literal in the table's `texts`.
    Long {
        start: u32,
        length: u32,
    },
}

/// Maximum length of an inline literal, in bytes.
const SHORT: usize = 14;

/// Hash table of children by their literals, with open addressing. Half of the slots are empty, so
/// that most look-ups end in the first cache line. The hash needs no secret, because the literals
/// come from the operator.
#[derive(Debug, Default)]
pub(super) struct Slots(Box<[Slot]>);

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    hash: u32,
    child: Option<At>,
}

// === impl Fork ===

impl Fork {
    /// Child for a segment that matches case-insensitively.
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
    /// Converts an index, which must be less than 2^32 - 1.
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
    /// Stores a literal: inline if it is short, otherwise in `texts`.
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
    /// Builds the table from literals without duplicates.
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

    /// Finds the children whose literals have the same hash as `segment`. Usually there is at most
    /// one such child.
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
    fn label_equals_its_own_text_only() {
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
