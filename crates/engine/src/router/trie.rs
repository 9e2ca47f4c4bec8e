//! The trie of one API: segments as edges, methods and conditions in the leaves.
//!
//! Depth first, literal before patterns in their order before the parameter before the rest of a
//! prefix: the first leaf whose method and conditions hold is the greatest candidate. Only a
//! table that uses priorities searches on. Each node is entered at most once per request.

use bundle::ir::{Hidden, Operation, Owns, Pattern, Segment, Set, Template, TrailingSlash};
use http::Method;
use policy::RequestHead;
use rustc_hash::FxHashMap;

use super::order;

/// The routing table of one API, below its mount.
#[derive(Debug)]
pub struct ApiRouter {
    nodes: Box<[Node]>,
    leaves: Box<[Leaf]>,
    operations: Box<[Operation]>,
    uses_priority: bool,
    /// Who gets methods that no operation has at a template.
    undeclared: Option<u32>,
    /// Who gets paths that no template matches.
    unmatched: Option<u32>,
    /// What is described and nobody's.
    hidden: Option<Box<Self>>,
}

/// An operation that can own a request.
#[derive(Debug)]
pub struct Candidate<'r> {
    /// Its index in [`ApiRouter::operations`].
    pub index: u32,
    /// It.
    pub operation: &'r Operation,
    /// Its priority.
    pub priority: i32,
    /// Whether the path differs from its template by the final slash.
    pub twin: bool,
    /// Whether it has the request's method; a GET may own a HEAD as well.
    pub explicit: bool,
}

#[derive(Debug, Default)]
struct Node {
    literals: Literals,
    /// Literals in lower case that match in any case, sorted.
    folded: Vec<(Box<str>, u32)>,
    /// Greatest first.
    patterns: Vec<(Pattern, u32)>,
    parameter: Option<u32>,
    /// A template ends here.
    end: Option<u32>,
    /// A prefix ends here.
    rest: Option<u32>,
}

/// Edges with literals: most nodes have one or none, a few have thousands.
#[derive(Debug, Default)]
enum Literals {
    #[default]
    None,
    One(Box<str>, u32),
    Many(FxHashMap<Box<str>, u32>),
}

/// Operations with one template. Within a method: the greatest priority first, then those that are
/// declared here before the twins of others, then the greatest conditions.
#[derive(Debug, Default)]
struct Leaf(Vec<Arm>);

/// An operation of a leaf.
#[derive(Debug)]
struct Arm {
    method: Method,
    /// Its index in [`ApiRouter::operations`].
    operation: u32,
    /// Whether the leaf differs from its template by the final slash.
    twin: bool,
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

    /// The table of what nobody may make. Which of two that are alike is found does not matter.
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
        let mut builder = Builder {
            nodes: vec![Node::default()],
            leaves: Vec::new(),
        };
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
            let twin = operation.template.twin();
            let twin = twin.filter(|_| operation.trailing_slash != TrailingSlash::Strict);
            let declared = (Some(&operation.template), false);
            for (template, twin) in [declared, (twin.as_ref(), true)] {
                let Some(template) = template else { continue };
                let leaf = builder.leaf(template);
                builder.leaves[leaf as usize].0.push(Arm {
                    method: method.clone(),
                    operation: index,
                    twin,
                });
            }
        }
        for leaf in &mut builder.leaves {
            leaf.sort(&operations)?;
        }
        for node in &mut builder.nodes {
            node.patterns.sort_by(|(a, _), (b, _)| {
                order::compare_segments(&Segment::Pattern(b.clone()), &Segment::Pattern(a.clone()))
            });
        }
        let uses_priority = operations.iter().any(|operation| operation.priority != 0);
        Ok(Self {
            nodes: builder.nodes.into(),
            leaves: builder.leaves.into(),
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
        let mut best: Option<Candidate<'_>> = None;
        self.walk(0, rest_of(below), &mut |leaf| {
            let Some(arm) = leaf.owner(&self.operations, head) else {
                return Walk::On;
            };
            let operation = &self.operations[arm.operation as usize];
            let candidate = Candidate {
                index: arm.operation,
                operation,
                priority: operation.priority,
                twin: arm.twin,
                explicit: arm.method == head.method,
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

    /// Every operation whose template matches, whatever its method and conditions.
    pub fn matching<'r>(&'r self, below: &str, see: &mut dyn FnMut(&Seen<'r>)) {
        self.walk(0, rest_of(below), &mut |leaf| {
            for arm in &leaf.0 {
                see(&Seen {
                    index: arm.operation,
                    operation: &self.operations[arm.operation as usize],
                    method: &arm.method,
                    twin: arm.twin,
                });
            }
            Walk::On
        });
    }

    /// The leaves that match, greatest template first.
    fn walk<'r>(
        &'r self,
        node: u32,
        rest: Option<&str>,
        see: &mut dyn FnMut(&'r Leaf) -> Walk,
    ) -> Walk {
        let node = &self.nodes[node as usize];
        let mut visit =
            |leaf: Option<u32>| leaf.map_or(Walk::On, |leaf| see(&self.leaves[leaf as usize]));
        let Some(text) = rest else {
            return match visit(node.end) {
                Walk::Stop => Walk::Stop,
                Walk::On => visit(node.rest),
            };
        };
        let (segment, tail) = match memchr::memchr(b'/', text.as_bytes()) {
            Some(at) => (&text[..at], Some(&text[at + 1..])),
            None => (text, None),
        };
        if let Some(next) = node.literals.get(segment)
            && let Walk::Stop = self.walk(next, tail, see)
        {
            return Walk::Stop;
        }
        if !node.folded.is_empty()
            && let Some(next) = folded(&node.folded, segment)
            && let Walk::Stop = self.walk(next, tail, see)
        {
            return Walk::Stop;
        }
        for (pattern, next) in &node.patterns {
            if pattern.matches(segment)
                && let Walk::Stop = self.walk(*next, tail, see)
            {
                return Walk::Stop;
            }
        }
        if let Some(next) = node.parameter
            && !segment.is_empty()
            && let Walk::Stop = self.walk(next, tail, see)
        {
            return Walk::Stop;
        }
        node.rest
            .map_or(Walk::On, |leaf| see(&self.leaves[leaf as usize]))
    }
}

/// An operation whose template matches.
#[derive(Debug)]
pub struct Seen<'r> {
    /// Its index.
    pub index: u32,
    /// It.
    pub operation: &'r Operation,
    /// Its method.
    pub method: &'r Method,
    /// Whether the path differs from its template by the final slash.
    pub twin: bool,
}

/// Two operations that own the same requests.
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

/// The edge of a segment whose case does not count; `edges` are sorted and in lower case.
fn folded(edges: &[(Box<str>, u32)], segment: &str) -> Option<u32> {
    let lower = || segment.bytes().map(|byte| byte.to_ascii_lowercase());
    let found = edges.binary_search_by(|(text, _)| text.bytes().cmp(lower()));
    found.ok().map(|at| edges[at].1)
}

/// What a walk begins with: the text behind the first slash, or nothing.
fn rest_of(below: &str) -> Option<&str> {
    below.strip_prefix('/')
}

// === impl Literals ===

impl Literals {
    fn get(&self, segment: &str) -> Option<u32> {
        match self {
            Self::None => None,
            Self::One(text, next) => (**text == *segment).then_some(*next),
            Self::Many(map) => map.get(segment).copied(),
        }
    }

    fn insert(&mut self, text: &str, next: u32) {
        match std::mem::take(self) {
            Self::None => *self = Self::One(text.into(), next),
            Self::One(first, at) => {
                *self = Self::Many(FxHashMap::from_iter([(first, at), (text.into(), next)]))
            }
            Self::Many(mut map) => {
                map.insert(text.into(), next);
                *self = Self::Many(map);
            }
        }
    }
}

// === impl Leaf ===

impl Leaf {
    /// The operation that owns a request whose path matches. HEAD falls back to GET.
    fn owner(&self, operations: &[Operation], head: &RequestHead) -> Option<&Arm> {
        let by_method = |method: &Method| {
            let mut arms = self.0.iter().filter(|arm| arm.method == *method);
            arms.find(|arm| {
                let conditions = &operations[arm.operation as usize].conditions;
                conditions.is_empty()
                    || policy::conditions::hold(conditions, &head.headers, head.query())
            })
        };
        let own = by_method(&head.method);
        if head.method != Method::HEAD {
            return own;
        }
        let priority = |arm: &Arm| operations[arm.operation as usize].priority;
        match (own, by_method(&Method::GET)) {
            (Some(own), Some(get)) if priority(get) > priority(own) => Some(get),
            (own, get) => own.or(get),
        }
    }

    fn sort(&mut self, operations: &[Operation]) -> Result<(), RouteConflict> {
        let operation = |arm: &Arm| &operations[arm.operation as usize];
        let compare = |a: &Arm, b: &Arm| {
            let (left, right) = (operation(a), operation(b));
            right
                .priority
                .cmp(&left.priority)
                .then_with(|| a.twin.cmp(&b.twin))
                .then_with(|| order::compare_conditions(&right.conditions, &left.conditions))
        };
        self.0.sort_by(|a, b| {
            a.method
                .as_str()
                .cmp(b.method.as_str())
                .then_with(|| compare(a, b))
        });
        for pair in self.0.windows(2) {
            let (a, b) = (operation(&pair[0]), operation(&pair[1]));
            if pair[0].method == pair[1].method && compare(&pair[0], &pair[1]).is_eq() {
                return Err(RouteConflict {
                    first: a.key.clone(),
                    second: b.key.clone(),
                });
            }
        }
        Ok(())
    }
}

struct Builder {
    nodes: Vec<Node>,
    leaves: Vec<Leaf>,
}

impl Builder {
    /// The leaf of a template; made where it is new.
    fn leaf(&mut self, template: &Template) -> u32 {
        let mut at = 0u32;
        for segment in template.segments() {
            at = self.child(at, segment);
        }
        let fresh = u32::try_from(self.leaves.len()).expect("fewer than 2^32 templates");
        let node = &mut self.nodes[at as usize];
        let slot = if template.is_prefix() {
            &mut node.rest
        } else {
            &mut node.end
        };
        match *slot {
            Some(leaf) => leaf,
            None => {
                *slot = Some(fresh);
                self.leaves.push(Leaf::default());
                fresh
            }
        }
    }

    fn child(&mut self, at: u32, segment: &Segment) -> u32 {
        let fresh = u32::try_from(self.nodes.len()).expect("fewer than 2^32 nodes");
        let node = &mut self.nodes[at as usize];
        let known = match segment {
            Segment::Literal(text) => node.literals.get(text),
            Segment::Folded(text) => folded(&node.folded, text),
            Segment::Parameter(_) => node.parameter,
            // Names do not tell requests apart.
            Segment::Pattern(pattern) => node
                .patterns
                .iter()
                .find(|(other, _)| {
                    other.erased() == pattern.erased() && other.folded == pattern.folded
                })
                .map(|(_, next)| *next),
        };
        if let Some(known) = known {
            return known;
        }
        match segment {
            Segment::Literal(text) => node.literals.insert(text, fresh),
            Segment::Folded(text) => {
                let at = node.folded.partition_point(|(other, _)| **other < **text);
                node.folded.insert(at, (text.as_str().into(), fresh));
            }
            Segment::Parameter(_) => node.parameter = Some(fresh),
            Segment::Pattern(pattern) => node.patterns.push((pattern.clone(), fresh)),
        }
        self.nodes.push(Node::default());
        fresh
    }
}
