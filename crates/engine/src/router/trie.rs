//! The trie of one API: segments as edges, methods and conditions in the leaves.
//!
//! Depth first, literal before patterns in their order before the parameter before the rest of a
//! prefix: the first leaf whose method and conditions hold is the greatest candidate. Only a
//! table that uses priorities searches on. Each node is entered at most once per request.

use bundle::ir::{Hidden, Operation, Owns, Set, TrailingSlash};
use http::Method;
use policy::RequestHead;

use super::builder::Builder;
use super::nodes::{Arm, At, Fork, Node};

/// The routing table of one API, below its mount.
#[derive(Debug)]
pub struct ApiRouter {
    trie: Trie,
    operations: Box<[Operation]>,
    briefs: Box<[Brief]>,
    uses_priority: bool,
    /// Index of the operation that gets methods which no operation has at a template.
    undeclared: Option<u32>,
    /// Index of the operation that gets paths which no template matches.
    unmatched: Option<u32>,
    /// Table of the requests that are described and that no client may make.
    hidden: Option<Box<Self>>,
}

/// An operation that can own a request.
#[derive(Debug)]
pub struct Candidate<'r> {
    /// Its index in [`ApiRouter::operations`].
    pub index: u32,
    /// The operation.
    pub operation: &'r Operation,
    /// Its priority.
    pub priority: i32,
    /// True if the path differs from the template only by the final slash.
    pub twin: bool,
    /// True if the operation has the request's method; a GET may own a HEAD as well.
    pub explicit: bool,
    /// True if the operation has conditions.
    pub conditional: bool,
}

/// The part of an operation that every request reads. Sixteen of them share a line, where an operation
/// takes two.
#[derive(Clone, Copy, Debug)]
pub struct Brief {
    /// Its [`Operation::treatment`].
    pub treatment: u32,
}

/// The templates, with the operations at their ends.
#[derive(Debug)]
pub(super) struct Trie {
    /// The root first.
    pub(super) nodes: Box<[Node]>,
    pub(super) forks: Box<[Fork]>,
    pub(super) arms: Box<[Arm]>,
    pub(super) texts: Box<[u8]>,
    /// Those of the operations, each once.
    pub(super) methods: Box<[Method]>,
}

// === impl ApiRouter ===

impl ApiRouter {
    /// Builds the table of an API's operations. Two that no request can tell apart are refused by
    /// name; gwc has reported them with their places.
    pub fn build(operations: Set<Operation>, hidden: &[Hidden]) -> Result<Self, RouteConflict> {
        let mut router = Self::of_operations(operations)?;
        if !hidden.is_empty() {
            router.hidden = Some(Box::new(Self::of_hidden(hidden)?));
        }
        Ok(router)
    }

    /// Table of internal requests. Which of two that are alike is found does not matter.
    fn of_hidden(hidden: &[Hidden]) -> Result<Self, RouteConflict> {
        let numbered = hidden.iter().enumerate().map(|(number, one)| Operation {
            key: number.to_string(),
            method: one.method.clone(),
            template: one.template.clone(),
            conditions: Vec::new(),
            // No two are alike, whatever their methods and templates are.
            priority: i32::try_from(number).unwrap_or(i32::MAX),
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
        })
    }

    /// The operations, in the order of their keys.
    #[must_use]
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// The part of the operation with this index that every request reads.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn brief(&self, operation: u32) -> Brief {
        self.briefs[operation as usize]
    }

    /// The operation that gets methods which no operation has at a template.
    #[must_use]
    pub fn undeclared(&self) -> Option<u32> {
        self.undeclared
    }

    /// The operation that gets paths which no template matches.
    #[must_use]
    pub fn unmatched(&self) -> Option<u32> {
        self.unmatched
    }

    /// The table of what is described and nobody's.
    #[must_use]
    pub fn hidden(&self) -> Option<&Self> {
        self.hidden.as_deref()
    }

    /// The greatest operation whose template, method and conditions hold for what stands behind
    /// the base path (empty or `/…`).
    #[must_use]
    pub fn find(&self, below: &str, head: &RequestHead) -> Option<Candidate<'_>> {
        let asked = self.trie.method(&head.method);
        let get = match head.method {
            // HEAD falls back to GET.
            Method::HEAD => self.trie.method(&Method::GET),
            _ => None,
        };
        let mut best: Option<Candidate<'_>> = None;
        self.trie.walk(rest_of(below), &mut |arms| {
            let Some(arm) = self.owner(arms, (asked, get), head) else {
                return Walk::On;
            };
            let candidate = Candidate {
                index: arm.operation,
                operation: &self.operations[arm.operation as usize],
                priority: self.priority(arm),
                twin: arm.twin,
                explicit: Some(arm.method) == asked,
                conditional: arm.conditional,
            };
            if best
                .as_ref()
                .is_none_or(|best| candidate.priority > best.priority)
            {
                best = Some(candidate);
            }
            if self.uses_priority {
                Walk::On
            } else {
                Walk::Stop
            }
        });
        best
    }

    /// The operation of a template that owns a request whose path matches; it asks for the first of
    /// the methods, and does with the second.
    fn owner<'r>(
        &self,
        arms: &'r [Arm],
        (asked, second): (Option<u32>, Option<u32>),
        head: &RequestHead,
    ) -> Option<&'r Arm> {
        let by_method = |method: Option<u32>| {
            let mut own = arms.iter().filter(|arm| Some(arm.method) == method);
            own.find(|arm| !arm.conditional || self.conditions_hold(arm, head))
        };
        match (by_method(asked), by_method(second)) {
            (Some(own), Some(second)) if self.priority(second) > self.priority(own) => Some(second),
            (own, second) => own.or(second),
        }
    }

    fn conditions_hold(&self, arm: &Arm, head: &RequestHead) -> bool {
        let conditions = &self.operations[arm.operation as usize].conditions;
        policy::conditions::hold(conditions, &head.headers, head.query())
    }

    fn priority(&self, arm: &Arm) -> i32 {
        if self.uses_priority {
            self.operations[arm.operation as usize].priority
        } else {
            0
        }
    }

    /// Every operation whose template matches, whatever its method and conditions.
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

/// An operation whose template matches.
#[derive(Debug)]
pub struct Seen<'r> {
    /// Its index.
    pub index: u32,
    /// The operation.
    pub operation: &'r Operation,
    /// Its method.
    pub method: &'r Method,
    /// True if the path differs from the template only by the final slash.
    pub twin: bool,
}

/// Two operations that match exactly the same requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteConflict {
    /// The key of one.
    pub first: String,
    /// The key of the other.
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

/// The text after the first slash, with which a walk begins. None: there is no slash.
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
    /// Index of a method in the arms. None if no operation has the method.
    fn method(&self, method: &Method) -> Option<u32> {
        let found = self.methods.iter().position(|own| own == method);
        found.map(|at| at as u32)
    }

    /// The operations of each template that matches, greatest template first.
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

    /// Shows the operations of a template, if one ends here.
    fn visit<'r>(&'r self, first: Option<At>, see: &mut dyn FnMut(&'r [Arm]) -> Walk) -> Walk {
        let Some(first) = first else {
            return Walk::On;
        };
        let arms = &self.arms[first.index()..];
        see(&arms[..arms[0].count as usize])
    }
}
