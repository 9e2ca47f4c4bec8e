//! Schemas as they stand in a document: what a value that is written beside them is worth, which
//! patterns can be run, which schemas can never be satisfied.
//!
//! Schemas are read where they stand, by need, instead of being compiled: a document has a
//! thousand schemas that refer to each other and a few examples, and 3.0's dialect is no JSON
//! Schema. What cannot be known (a broken reference, a pattern that needs backtracking, more
//! steps than are taken) makes no finding: the answer is [`Verdict::Unknown`].

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use diag::{NodeId, NodeRef, Span};

use super::Version;
use super::reference::Resolver;

mod equal;
mod evaluate;
mod finite;
mod lists;
mod maps;
mod number;
mod pattern;
mod text;
mod unevaluated;

pub use pattern::Pattern;

/// How many keywords are looked at for the values of one document. Real ones stay far below; it
/// is there for documents that are made to take for ever.
const STEPS_MAX: u32 = 4_000_000;

/// The schemas of one document.
pub struct Schemas<'r, 'a> {
    resolver: &'r Resolver<'a>,
    version: Version,
    patterns: RefCell<HashMap<&'a str, Rc<Pattern>>>,
    finite: RefCell<HashMap<NodeId, bool>>,
    circles: RefCell<finite::Circles>,
    steps_left: Cell<u32>,
}

/// What a value is to a schema.
#[derive(Debug)]
pub enum Verdict {
    /// It is valid.
    Valid,
    /// Nobody can say.
    Unknown,
    /// It is not; with what is wrong, at least one.
    Invalid(Vec<Fault>),
}

/// One thing that is wrong with a value.
#[derive(Debug)]
pub struct Fault {
    /// The part of the value.
    pub value: Span,
    /// The keyword that it does not keep to.
    pub keyword: Span,
    /// What is wrong, as a phrase.
    pub why: String,
}

impl<'r, 'a> Schemas<'r, 'a> {
    /// The schemas that a resolver's document uses.
    #[must_use]
    pub fn new(resolver: &'r Resolver<'a>, version: Version) -> Self {
        Self {
            resolver,
            version,
            patterns: RefCell::default(),
            finite: RefCell::default(),
            circles: RefCell::default(),
            steps_left: Cell::new(STEPS_MAX),
        }
    }

    /// What resolves the document's references.
    #[must_use]
    pub fn resolver(&self) -> &'r Resolver<'a> {
        self.resolver
    }

    /// Judges a value that is written in the document.
    #[must_use]
    pub fn judge(&self, schema: NodeRef<'a>, value: NodeRef<'a>) -> Verdict {
        evaluate::judge(self, schema, value)
    }

    /// What a pattern is; each text is compiled once.
    pub fn pattern(&self, text: &'a str) -> Rc<Pattern> {
        let known = self.patterns.borrow().get(text).cloned();
        known.unwrap_or_else(|| {
            let read = Rc::new(pattern::read(text));
            self.patterns.borrow_mut().insert(text, Rc::clone(&read));
            read
        })
    }

    /// The way round from a schema to itself that every valid value would have to take for ever:
    /// each step with the keyword that demands it. `None` if there is a finite value, and for
    /// schemas that only lead to such a circle.
    #[must_use]
    pub fn endless(&self, schema: NodeRef<'a>) -> Option<Vec<Span>> {
        finite::circle(self, schema)
    }

    /// Whether the steps for this document are used up, so that values were left unjudged.
    #[must_use]
    pub fn exhausted(&self) -> bool {
        self.steps_left.get() == 0
    }

    fn take_step(&self) -> bool {
        let left = self.steps_left.get();
        self.steps_left.set(left.saturating_sub(1));
        left > 0
    }
}
