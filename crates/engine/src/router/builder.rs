//! Builder of tries: adds operations to a tree, then stores the nodes in depth-first order.

use bundle::ir::{Operation, Pattern, Segment, Template, TrailingSlash};
use http::Method;
use rustc_hash::FxHashMap;

use super::nodes::{Arm, At, Fork, Label, Node, Slots};
use super::order;
use super::trie::{RouteConflict, Trie};

/// A trie under construction. Branches and leaves refer to each other by index.
pub(super) struct Builder {
    branches: Vec<Branch>,
    leaves: Vec<Leaf>,
}

#[derive(Default)]
struct Branch {
    literals: Literals,
    /// Children by case-insensitive literal, which is in lower case; sorted.
    folded: Vec<(Box<str>, u32)>,
    patterns: Vec<(Pattern, u32)>,
    parameter: Option<u32>,
    /// Leaf of the template that ends at this branch. `None` if no template ends here.
    end: Option<u32>,
    /// Leaf of the prefix template that ends at this branch. `None` if no prefix template ends
    /// here.
    rest: Option<u32>,
}

/// Children by literal. Most nodes have at most one child, a few have thousands.
#[derive(Default)]
enum Literals {
    #[default]
    None,
    One(Box<str>, u32),
    Many(FxHashMap<Box<str>, u32>),
}

/// Operations that share one template. Within a method, the order is: highest priority, declared
/// paths before trailing-slash variants (final slash added or removed), then conditions of highest
/// precedence.
#[derive(Default)]
struct Leaf(Vec<Owner>);

struct Owner {
    method: Method,
    operation: u32,
    twin: bool,
}

// === impl Builder ===

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            branches: vec![Branch::default()],
            leaves: Vec::new(),
        }
    }

    /// Adds an operation under `method` at its template. If the final slash does not matter, also
    /// adds it at the template's trailing-slash variant (final slash added or removed).
    pub(super) fn add(&mut self, index: u32, operation: &Operation, method: &Method) {
        let twin = operation.template.twin();
        let twin = twin.filter(|_| operation.trailing_slash != TrailingSlash::Strict);
        let declared = (Some(&operation.template), false);
        for (template, twin) in [declared, (twin.as_ref(), true)] {
            let Some(template) = template else { continue };
            let leaf = self.leaf(template);
            self.leaves[leaf as usize].0.push(Owner {
                method: method.clone(),
                operation: index,
                twin,
            });
        }
    }

    /// Returns the leaf of a template. Creates it if the template is new.
    fn leaf(&mut self, template: &Template) -> u32 {
        let mut at = 0u32;
        for segment in template.segments() {
            at = self.child(at, segment);
        }
        let fresh = u32::try_from(self.leaves.len()).expect("fewer than 2^32 templates");
        let branch = &mut self.branches[at as usize];
        let slot = if template.is_prefix() {
            &mut branch.rest
        } else {
            &mut branch.end
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
        let fresh = u32::try_from(self.branches.len()).expect("fewer than 2^32 nodes");
        let branch = &mut self.branches[at as usize];
        let known = match segment {
            Segment::Literal(text) => branch.literals.get(text),
            Segment::Folded(literal) => {
                let by_text = |(text, _): &(Box<str>, u32)| (**text).cmp(literal);
                let found = branch.folded.binary_search_by(by_text);
                found.ok().map(|at| branch.folded[at].1)
            }
            Segment::Parameter(_) => branch.parameter,
            // Patterns that differ only in parameter names match the same requests.
            Segment::Pattern(pattern) => branch
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
            Segment::Literal(text) => branch.literals.insert(text, fresh),
            Segment::Folded(text) => {
                let at = branch.folded.partition_point(|(other, _)| **other < **text);
                branch.folded.insert(at, (text.as_str().into(), fresh));
            }
            Segment::Parameter(_) => branch.parameter = Some(fresh),
            Segment::Pattern(pattern) => branch.patterns.push((pattern.clone(), fresh)),
        }
        self.branches.push(Branch::default());
        fresh
    }

    /// Builds the trie of the added operations.
    ///
    /// # Errors
    /// Returns an error if two operations match exactly the same requests.
    pub(super) fn build(mut self, operations: &[Operation]) -> Result<Trie, RouteConflict> {
        for leaf in &mut self.leaves {
            leaf.sort(operations)?;
        }
        for branch in &mut self.branches {
            branch.patterns.sort_by(|(a, _), (b, _)| {
                let (a, b) = (Segment::Pattern(a.clone()), Segment::Pattern(b.clone()));
                order::compare_segments(&b, &a).then_with(|| order::compare_letter_case(&b, &a))
            });
        }
        let has_letter_cases = self.branches.iter().any(Branch::has_letter_cases);
        let entered = self.entered();
        let mut places = vec![At::new(0); entered.len()];
        for (index, (branch, _)) in entered.iter().enumerate() {
            places[*branch as usize] = At::new(index);
        }
        let mut layout = Layout {
            operations,
            leaves: &self.leaves,
            places,
            forks: Vec::new(),
            arms: Vec::new(),
            texts: Vec::new(),
            methods: Vec::new(),
        };
        let nodes = entered.iter();
        let nodes =
            nodes.map(|(branch, label)| layout.node(&self.branches[*branch as usize], label));
        Ok(Trie {
            nodes: nodes.collect(),
            has_letter_cases,
            forks: layout.forks.into(),
            arms: layout.arms.into(),
            texts: layout.texts.into(),
            methods: layout.methods.into(),
        })
    }

    /// Branches in the order of a depth-first walk, each with the literal that leads to it.
    fn entered(&self) -> Vec<(u32, &str)> {
        let mut entered = Vec::with_capacity(self.branches.len());
        let mut next = vec![(0, "")];
        while let Some((at, label)) = next.pop() {
            entered.push((at, label));
            let branch = &self.branches[at as usize];
            let unnamed = |child: &u32| (*child, "");
            next.extend(branch.parameter.iter().map(unnamed));
            next.extend(
                branch
                    .patterns
                    .iter()
                    .rev()
                    .map(|(_, child)| unnamed(child)),
            );
            next.extend(branch.folded.iter().rev().map(|(_, child)| unnamed(child)));
            let literals = branch.literals.sorted().into_iter().rev();
            next.extend(literals.map(|(text, child)| (child, text)));
        }
        entered
    }
}

/// Arrays of a trie under construction: nodes, [`Fork`]s and [`Arm`]s.
struct Layout<'b> {
    operations: &'b [Operation],
    leaves: &'b [Leaf],
    /// Index of each branch's node.
    places: Vec<At>,
    forks: Vec<Fork>,
    arms: Vec<Arm>,
    texts: Vec<u8>,
    methods: Vec<Method>,
}

impl Layout<'_> {
    fn node(&mut self, branch: &Branch, label: &str) -> Node {
        let place = |child: u32| self.places[child as usize];
        let literal = match &branch.literals {
            Literals::One(_, child) => Some(place(*child)),
            Literals::None | Literals::Many(_) => None,
        };
        let parameter = branch.parameter.map(place);
        Node {
            label: Label::new(label, &mut self.texts),
            literal,
            parameter,
            end: branch.end.map(|leaf| self.leaf(leaf)),
            fork: self.fork(branch),
        }
    }

    fn fork(&mut self, branch: &Branch) -> Option<At> {
        let place = |child: u32| self.places[child as usize];
        let literals = match &branch.literals {
            Literals::Many(map) => {
                Slots::new(map.iter().map(|(text, child)| (&**text, place(*child))))
            }
            Literals::None | Literals::One(..) => Slots::default(),
        };
        let folded = branch.folded.iter();
        let patterns = branch.patterns.iter();
        let fork = Fork {
            literals,
            folded: folded
                .map(|(text, child)| (text.clone(), place(*child)))
                .collect(),
            patterns: patterns
                .map(|(pattern, child)| (pattern.clone(), place(*child)))
                .collect(),
            rest: branch.rest.map(|leaf| self.leaf(leaf)),
        };
        (!fork.is_empty()).then(|| {
            self.forks.push(fork);
            At::new(self.forks.len() - 1)
        })
    }

    fn leaf(&mut self, leaf: u32) -> At {
        let owners = &self.leaves[leaf as usize].0;
        let first = At::new(self.arms.len());
        for (own, count) in owners.iter().zip((1..=owners.len() as u32).rev()) {
            let known = self.methods.iter().position(|method| *method == own.method);
            let method = known.unwrap_or_else(|| {
                self.methods.push(own.method.clone());
                self.methods.len() - 1
            });
            self.arms.push(Arm {
                operation: own.operation,
                count,
                method: method as u32,
                twin: own.twin,
                conditional: !self.operations[own.operation as usize]
                    .conditions
                    .is_empty(),
            });
        }
        first
    }
}

// === impl Branch ===

impl Branch {
    /// True if two children may match the same segment and differ only in letter case. The first
    /// child then does not always lead to the template of highest precedence.
    fn has_letter_cases(&self) -> bool {
        let is_spelled = |(folded, _): &(Box<str>, u32)| {
            let mut literals = self.literals.sorted().into_iter();
            literals.any(|(text, _)| text.eq_ignore_ascii_case(folded))
        };
        let shape = |pattern: &Pattern| pattern.erased().to_ascii_lowercase();
        let mut pairs = self.patterns.windows(2);
        self.folded.iter().any(is_spelled)
            || pairs.any(|pair| shape(&pair[0].0) == shape(&pair[1].0))
    }
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

    fn sorted(&self) -> Vec<(&str, u32)> {
        match self {
            Self::None => Vec::new(),
            Self::One(text, next) => vec![(text, *next)],
            Self::Many(map) => {
                let mut all: Vec<_> = map.iter().map(|(text, next)| (&**text, *next)).collect();
                all.sort_unstable();
                all
            }
        }
    }
}

// === impl Leaf ===

impl Leaf {
    fn sort(&mut self, operations: &[Operation]) -> Result<(), RouteConflict> {
        let operation = |owner: &Owner| &operations[owner.operation as usize];
        let compare = |a: &Owner, b: &Owner| {
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
