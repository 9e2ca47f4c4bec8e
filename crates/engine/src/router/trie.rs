//! Trie of one API. Segments are edges; methods and conditions are in the leaves.
//!
//! The search is depth first: literal, then patterns in their order, then parameter, then prefix.
//! The first leaf whose method and conditions match therefore has the candidate of highest
//! precedence. The search ends there, unless the table has priorities, or segments that differ only
//! in letter case. A request visits each node at most once.

use std::hash::Hash;

use bundle::ir::{Hidden, Operation, Owns, Segment, Set, TrailingSlash};
use http::Method;
use policy::RequestHead;
use rustc_hash::FxHashSet;

use super::builder::Builder;
use super::letter_case::LetterCases;
use super::nodes::{Arm, At, Fork, Node};
use super::order;
use super::unicode_case::UnicodeCases;

/// Routing table of one API, for paths below its mounts.
#[derive(Debug)]
pub struct ApiRouter {
    trie: Trie,
    operations: Box<[Operation]>,
    briefs: Box<[Brief]>,
    uses_priority: bool,
    /// Index of the operation `API#undeclared`, which serves undeclared methods of the API's paths.
    /// `None` if the API has none.
    undeclared: Option<u32>,
    /// Index of the operation `API#unmatched`, which serves paths that no template matches. `None`
    /// if the API has none.
    unmatched: Option<u32>,
    /// Table of `internal` operations, which no client may call. `None` if the API has
    /// none.
    hidden: Option<Box<Self>>,
    /// Literals and patterns of the described and the `internal` operations.
    letter_cases: LetterCases,
    unicode_cases: UnicodeCases,
}

/// Operation that may be selected for a request.
#[derive(Debug)]
pub struct Candidate<'r> {
    /// Index into [`ApiRouter::operations`].
    pub index: u32,
    /// The operation.
    pub operation: &'r Operation,
    /// Priority of the operation.
    pub priority: i32,
    /// True if the path differs from the template only by the final slash.
    pub twin: bool,
    /// True if the operation has the method of the request. False for a GET operation that serves
    /// HEAD.
    pub explicit: bool,
    /// True if the operation has conditions.
    pub conditional: bool,
}

/// Properties of an operation that every request needs. The properties are stored apart from the
/// operations, because sixteen of them fit into a cache line, while a whole operation takes two
/// lines.
#[derive(Clone, Copy, Debug)]
pub struct Brief {
    /// [`Operation::treatment`] of the operation.
    pub treatment: u32,
}

/// Templates, with the operations at their ends.
#[derive(Debug)]
pub(super) struct Trie {
    /// Nodes, the root first.
    pub(super) nodes: Box<[Node]>,
    /// True if two children of a node may match the same segment and differ only in letter case.
    pub(super) has_letter_cases: bool,
    pub(super) forks: Box<[Fork]>,
    pub(super) arms: Box<[Arm]>,
    pub(super) texts: Box<[u8]>,
    /// Methods of the operations, without duplicates.
    pub(super) methods: Box<[Method]>,
}

// === impl ApiRouter ===

impl ApiRouter {
    /// Builds the table of an API's operations. Fails if two operations match the same requests.
    /// gwc has already reported this error with source locations.
    pub fn build(operations: Set<Operation>, hidden: &[Hidden]) -> Result<Self, RouteConflict> {
        let mut router = Self::of_operations(operations)?;
        let described = router
            .operations
            .iter()
            .map(|operation| &operation.template);
        let templates = described.chain(hidden.iter().map(|one| &one.template));
        router.unicode_cases = UnicodeCases::of(templates.clone());
        router.letter_cases = LetterCases::of(templates);
        if !hidden.is_empty() {
            router.hidden = Some(Box::new(Self::of_hidden(hidden)?));
        }
        Ok(router)
    }

    /// Builds the table of `internal` operations. Operations that match the same requests count
    /// once.
    fn of_hidden(hidden: &[Hidden]) -> Result<Self, RouteConflict> {
        let mut known = FxHashSet::default();
        let others = hidden.iter().filter(|one| known.insert(requests_of(one)));
        let numbered = others.enumerate().map(|(number, one)| Operation {
            key: number.to_string(),
            method: one.method.clone(),
            template: one.template.clone(),
            conditions: one.conditions.clone(),
            priority: one.priority,
            treatment: 0,
            trailing_slash: TrailingSlash::Ignore,
            owns: Owns::Described,
        });
        let numbered = Set::new(numbered.collect()).map_err(|_| RouteConflict::default())?;
        Self::of_operations(numbered)
    }

    fn of_operations(operations: Set<Operation>) -> Result<Self, RouteConflict> {
        let operations: Box<[Operation]> = operations.into_vec().into();
        let (mut undeclared, mut unmatched) = (None, None);
        let mut builder = Builder::new();
        for (index, operation) in (0u32..).zip(&operations) {
            let rest = match operation.owns {
                Owns::Described => None,
                Owns::Undeclared => Some(&mut undeclared),
                Owns::Unmatched => Some(&mut unmatched),
            };
            if let Some(rest) = rest {
                if let Some(first) = rest.replace(index) {
                    return Err(RouteConflict {
                        first: operations[first as usize].key.clone(),
                        second: operation.key.clone(),
                    });
                }
                continue;
            }
            let method = Method::from_bytes(operation.method.as_bytes())
                .map_err(|_| RouteConflict::method(operation))?;
            builder.add(index, operation, &method);
        }
        let uses_priority = operations.iter().any(|operation| operation.priority != 0);
        Ok(Self {
            trie: builder.build(&operations)?,
            briefs: operations.iter().map(Brief::of).collect(),
            operations,
            uses_priority,
            undeclared,
            unmatched,
            hidden: None,
            letter_cases: LetterCases::default(),
            unicode_cases: UnicodeCases::default(),
        })
    }

    /// The operations, in the order of their keys.
    #[must_use]
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// Properties of the operation with this index that every request needs.
    ///
    /// # Panics
    /// If the index is out of range.
    #[must_use]
    pub fn brief(&self, operation: u32) -> Brief {
        self.briefs[operation as usize]
    }

    /// Index of the operation `API#undeclared`, which serves undeclared methods of the API's paths.
    #[must_use]
    pub fn undeclared(&self) -> Option<u32> {
        self.undeclared
    }

    /// Index of the operation `API#unmatched`, which serves paths that no template matches.
    #[must_use]
    pub fn unmatched(&self) -> Option<u32> {
        self.unmatched
    }

    /// Table of `internal` operations.
    #[must_use]
    pub fn hidden(&self) -> Option<&Self> {
        self.hidden.as_deref()
    }

    /// Literals and patterns of the API's templates, to find the paths that differ from a request's
    /// path only in the case of ASCII letters.
    pub(super) fn letter_cases(&self) -> &LetterCases {
        &self.letter_cases
    }

    /// Literals of the API's templates, to find the paths that differ from a request's path in the
    /// case of non-ASCII letters.
    pub(super) fn unicode_cases(&self) -> &UnicodeCases {
        &self.unicode_cases
    }

    /// Finds the operation of highest precedence whose template, method and conditions match a
    /// request. `below` is the path after the base path (empty or `/…`).
    #[must_use]
    pub fn find(&self, below: &str, head: &RequestHead) -> Option<Candidate<'_>> {
        let requested = self.trie.method(&head.method);
        let get = match head.method {
            // GET operations also serve HEAD.
            Method::HEAD => self.trie.method(&Method::GET),
            _ => None,
        };
        let mut best: Option<Candidate<'_>> = None;
        self.trie.walk(rest_of(below), &mut |arms| {
            let Some(arm) = self.owner(arms, (requested, get), head) else {
                return Walk::On;
            };
            let candidate = Candidate {
                index: arm.operation,
                operation: &self.operations[arm.operation as usize],
                priority: self.priority(arm),
                twin: arm.twin,
                explicit: Some(arm.method) == requested,
                conditional: arm.conditional,
            };
            if best
                .as_ref()
                .is_none_or(|best| self.precedes(&candidate, best))
            {
                best = Some(candidate);
            }
            if self.uses_priority || self.trie.has_letter_cases {
                Walk::On
            } else {
                Walk::Stop
            }
        });
        best
    }

    /// True if a candidate takes precedence over a candidate that the walk found before.
    fn precedes(&self, candidate: &Candidate<'_>, best: &Candidate<'_>) -> bool {
        match self.trie.has_letter_cases {
            true => order::compare_owners((&[], candidate), (&[], best)).is_gt(),
            // The walk visits templates in the order of precedence.
            false => candidate.priority > best.priority,
        }
    }

    /// Operation of a matching template for the request: an operation with the method `requested`,
    /// otherwise an operation with the method `second` (GET for HEAD).
    fn owner<'r>(
        &self,
        arms: &'r [Arm],
        (requested, second): (Option<u32>, Option<u32>),
        head: &RequestHead,
    ) -> Option<&'r Arm> {
        let by_method = |method: Option<u32>| {
            let mut own = arms.iter().filter(|arm| Some(arm.method) == method);
            own.find(|arm| !arm.conditional || self.conditions_may_hold(arm, head))
        };
        match (by_method(requested), by_method(second)) {
            (Some(own), Some(second)) if self.priority(second) > self.priority(own) => Some(second),
            (own, second) => own.or(second),
        }
    }

    /// True if the conditions hold, or would hold for servers that treat another query parameter as
    /// the condition's parameter. In the second case, the request is refused later.
    fn conditions_may_hold(&self, arm: &Arm, head: &RequestHead) -> bool {
        let conditions = &self.operations[arm.operation as usize].conditions;
        policy::conditions::may_hold(conditions, &head.headers, head.query())
    }

    fn priority(&self, arm: &Arm) -> i32 {
        if self.uses_priority {
            self.operations[arm.operation as usize].priority
        } else {
            0
        }
    }

    /// Calls `see` for every operation whose template matches. Ignores method and conditions.
    pub fn matching<'r>(&'r self, below: &str, see: &mut dyn FnMut(&Seen<'r>)) {
        self.trie.walk(rest_of(below), &mut |arms| {
            for arm in arms {
                see(&Seen {
                    index: arm.operation,
                    operation: &self.operations[arm.operation as usize],
                    method: &self.trie.methods[arm.method as usize],
                    twin: arm.twin,
                });
            }
            Walk::On
        });
    }
}

/// Operation whose template matches the path of a request.
#[derive(Debug)]
pub struct Seen<'r> {
    /// Index of the operation.
    pub index: u32,
    /// The operation.
    pub operation: &'r Operation,
    /// Method of the operation.
    pub method: &'r Method,
    /// True if the path differs from the template only by the final slash.
    pub twin: bool,
}

/// Two operations that match exactly the same requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteConflict {
    /// Key of the first operation.
    pub first: String,
    /// Key of the second operation.
    pub second: String,
}

impl RouteConflict {
    fn method(operation: &Operation) -> Self {
        Self {
            first: operation.key.clone(),
            second: operation.key.clone(),
        }
    }
}

#[derive(Clone, Copy)]
enum Walk {
    On,
    Stop,
}

/// Properties that determine the requests of an `internal` operation, without parameter names.
fn requests_of(one: &Hidden) -> impl Hash + Eq + use<> {
    let segments = one.template.segments().iter().map(Segment::erased);
    (
        one.method.clone(),
        segments.collect::<Vec<Segment>>(),
        one.template.is_prefix(),
        one.conditions.clone(),
        one.priority,
    )
}

/// Path after its first slash, where the walk starts. `None` for an empty path.
fn rest_of(below: &str) -> Option<&str> {
    below.strip_prefix('/')
}

// === impl Brief ===

impl Brief {
    fn of(operation: &Operation) -> Self {
        Self {
            treatment: operation.treatment,
        }
    }
}

// === impl Trie ===

impl Trie {
    /// Index of a method in the table's list of methods. `None` if no operation has the method.
    fn method(&self, method: &Method) -> Option<u32> {
        let found = self.methods.iter().position(|own| own == method);
        found.map(|at| at as u32)
    }

    /// Calls `see` with the operations of each matching template, in order of precedence.
    fn walk<'r>(&'r self, rest: Option<&str>, see: &mut dyn FnMut(&'r [Arm]) -> Walk) -> Walk {
        self.walk_from(&self.nodes[0], rest, see)
    }

    fn walk_from<'r>(
        &'r self,
        node: &'r Node,
        rest: Option<&str>,
        see: &mut dyn FnMut(&'r [Arm]) -> Walk,
    ) -> Walk {
        let fork = node.fork.map(|at| &self.forks[at.index()]);
        let Some(text) = rest else {
            return match self.visit(node.end, see) {
                Walk::Stop => Walk::Stop,
                Walk::On => self.visit(fork.and_then(|fork| fork.rest), see),
            };
        };
        let (segment, tail) = match memchr::memchr(b'/', text.as_bytes()) {
            Some(at) => (&text[..at], Some(&text[at + 1..])),
            None => (text, None),
        };
        let child = |at: At| &self.nodes[at.index()];
        let named = |child: &&Node| child.label.is(segment, &self.texts);
        if let Some(next) = node.literal.map(child).filter(named)
            && let Walk::Stop = self.walk_from(next, tail, see)
        {
            return Walk::Stop;
        }
        if let Some(fork) = fork {
            if let Some(next) = fork.literals.find(segment).map(child).find(named)
                && let Walk::Stop = self.walk_from(next, tail, see)
            {
                return Walk::Stop;
            }
            if let Some(next) = fork.folded(segment)
                && let Walk::Stop = self.walk_from(child(next), tail, see)
            {
                return Walk::Stop;
            }
            for (pattern, next) in &fork.patterns {
                if pattern.matches(segment)
                    && let Walk::Stop = self.walk_from(child(*next), tail, see)
                {
                    return Walk::Stop;
                }
            }
        }
        if let Some(next) = node.parameter
            && !segment.is_empty()
            && let Walk::Stop = self.walk_from(child(next), tail, see)
        {
            return Walk::Stop;
        }
        self.visit(fork.and_then(|fork| fork.rest), see)
    }

    /// Calls `see` with the operations of the template that ends at a node. Does nothing if no
    /// template ends there.
    fn visit<'r>(&'r self, first: Option<At>, see: &mut dyn FnMut(&'r [Arm]) -> Walk) -> Walk {
        let Some(first) = first else {
            return Walk::On;
        };
        let arms = &self.arms[first.index()..];
        see(&arms[..arms[0].count as usize])
    }
}
