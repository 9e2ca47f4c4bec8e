//! Schemas as written in a document: validation of values, support for patterns, and detection of
//! schemas that no finite value satisfies.
//!
//! Schemas are evaluated in place and on demand, not compiled. A document has about a thousand
//! schemas that refer to each other, but only a few examples. The dialect of 3.0 is not JSON
//! Schema. Undecidable cases (a broken reference, a pattern that needs backtracking, too many
//! steps) give [`Verdict::Unknown`] and no finding.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use diag::{NodeId, NodeRef, Span};
use rustc_hash::FxHashMap;

use super::Version;
use super::first_key;
use super::reference::Resolver;

mod equal;
mod evaluate;
mod finite;
mod lists;
mod maps;
mod number;
pub mod pattern;
mod text;
mod unevaluated;

pub use pattern::Pattern;

/// Maximum number of steps for all values of one document. A step evaluates a schema, or compares
/// or hashes a value. Real documents stay far below this limit, which stops hostile documents.
const STEPS_MAX: u32 = 4_000_000;

/// Divisor for the step limit of one value: 8. One value may use 1/8 of the remaining steps, so
/// that a recursive schema leaves enough steps for other values.
const SHARE: u32 = 8;

/// Minimum number of steps for each value, as long as steps remain.
const VALUE_STEPS_MIN: u32 = 1_000;

/// Schemas of one document.
pub struct Schemas<'r, 'a> {
    resolver: &'r Resolver<'a>,
    version: Version,
    patterns: RefCell<HashMap<&'a str, Rc<Pattern>>>,
    finite: RefCell<FxHashMap<NodeId, bool>>,
    /// Schemas whose `allOf` refers to a schema, by that schema. Built when first needed.
    combined: OnceCell<HashMap<NodeId, Vec<NodeRef<'a>>>>,
    circles: RefCell<finite::Circles>,
    steps_left: Cell<u32>,
    /// Steps left for the value being validated.
    value_steps_left: Cell<u32>,
    /// Number of values that were not validated because they need too many steps, and the span of
    /// the first such value.
    unvalidated: Cell<(usize, Option<Span>)>,
}

/// Result of validating a value against a schema.
#[derive(Debug)]
pub enum Verdict {
    /// The value is valid.
    Valid,
    /// The validity cannot be decided.
    Unknown,
    /// The value is invalid. Contains at least one fault.
    Invalid(Vec<Fault>),
}

/// Violation of a schema by a part of a value.
#[derive(Debug)]
pub struct Fault {
    /// Span of the faulty part of the value.
    pub value: Span,
    /// Span of the keyword that the part violates.
    pub keyword: Span,
    /// Description of the fault, as a phrase.
    pub why: String,
}

impl<'r, 'a> Schemas<'r, 'a> {
    /// Creates the schemas of the resolver's document.
    #[must_use]
    pub fn new(resolver: &'r Resolver<'a>, version: Version) -> Self {
        Self {
            resolver,
            version,
            patterns: RefCell::default(),
            finite: RefCell::default(),
            combined: OnceCell::new(),
            circles: RefCell::default(),
            steps_left: Cell::new(STEPS_MAX),
            value_steps_left: Cell::new(0),
            unvalidated: Cell::default(),
        }
    }

    /// Resolver of the document's references.
    #[must_use]
    pub fn resolver(&self) -> &'r Resolver<'a> {
        self.resolver
    }

    /// Validates a value of the document against a schema.
    #[must_use]
    pub fn validate(&self, schema: NodeRef<'a>, value: NodeRef<'a>) -> Verdict {
        let left = self.steps_left.get();
        self.value_steps_left
            .set((left / SHARE).max(VALUE_STEPS_MIN).min(left));
        let verdict = evaluate::validate(self, schema, value);
        if self.exhausted() {
            let (count, first) = self.unvalidated.get();
            let first = first.or(Some(first_key(value)));
            self.unvalidated.set((count + 1, first));
        }
        verdict
    }

    /// Returns the compiled pattern. Each text is compiled once.
    pub fn pattern(&self, text: &'a str) -> Rc<Pattern> {
        let known = self.patterns.borrow().get(text).cloned();
        known.unwrap_or_else(|| {
            let read = Rc::new(pattern::read(text));
            self.patterns.borrow_mut().insert(text, Rc::clone(&read));
            read
        })
    }

    /// Returns a cycle of schemas if every valid value would have to repeat the cycle without end.
    /// The result contains, for each schema of the cycle, the span of the keyword that demands the
    /// next schema. `None` if a finite value exists, and for schemas that only lead to such a
    /// cycle.
    #[must_use]
    pub fn endless(&self, schema: NodeRef<'a>) -> Option<Vec<Span>> {
        finite::circle(self, schema)
    }

    /// Schemas whose `allOf` refers to this schema. Their other keywords constrain the same values.
    pub fn combined_with(&self, schema: NodeRef<'a>) -> &[NodeRef<'a>] {
        let all = self.combined.get_or_init(|| {
            let mut all: HashMap<NodeId, Vec<NodeRef<'a>>> = HashMap::new();
            let mut waiting = vec![self.resolver.root()];
            let mut seen = HashSet::new();
            while let Some(node) = waiting.pop() {
                if !(node.is_map() || node.is_list()) || !seen.insert(node.id()) {
                    continue;
                }
                let parts = node.get("allOf").into_iter().flat_map(NodeRef::items);
                for part in parts {
                    let target = part.get("$ref").map(|text| self.resolver.target(text));
                    if let Some(Ok(target)) = target {
                        all.entry(target.id()).or_default().push(node);
                    }
                }
                waiting.extend(node.entries().map(|(_, value)| value));
                waiting.extend(node.items());
            }
            all
        });
        all.get(&schema.id()).map_or(&[], Vec::as_slice)
    }

    /// Returns the number of values that were not validated because they need too many steps, and
    /// the span of the first such value. `None` if all values were validated.
    #[must_use]
    pub fn unvalidated(&self) -> Option<(usize, Span)> {
        let (count, first) = self.unvalidated.get();
        first.map(|first| (count, first))
    }

    /// True if the value being validated has used up its steps.
    fn exhausted(&self) -> bool {
        self.value_steps_left.get() == 0
    }

    fn take_step(&self) -> bool {
        let left = self.value_steps_left.get();
        if left > 0 {
            self.value_steps_left.set(left - 1);
            let all = self.steps_left.get();
            self.steps_left.set(all.saturating_sub(1));
        }
        left > 0
    }
}
