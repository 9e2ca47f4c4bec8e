//! Index of a table's templates by segment, for walking several tables together.

use std::cmp::Ordering;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};

use bundle::ir::{Segment, Template};
use engine::router::compare_segments;
use rustc_hash::FxHashMap;

use super::texts::{Literals, Rivals, matches};
use model::segment;

/// Trie of template segments. Routes are referenced by their index in the table.
#[derive(Debug)]
pub(super) struct Index<'t> {
    nodes: Vec<Node<'t>>,
    /// Number of segments of the longest template.
    pub(super) depth: usize,
    /// Number of nodes visited in searches for overlapping templates.
    visited: AtomicUsize,
    /// Cache of the routes that were found below a node for the remaining segments of a template.
    /// Many templates have the same remaining segments.
    behind: Mutex<FxHashMap<Rest, Arc<[u32]>>>,
}

/// Key of the cache: the node; the remaining segments without parameter names; true if the template
/// is a prefix; and the priority bound of the search.
type Rest = (u32, Vec<Segment>, bool, Option<i32>);

/// Route in an index: its index in the table, its template and its priority.
pub(super) type Entry<'t> = (u32, &'t Template, i32);

#[derive(Debug)]
struct Node<'t> {
    literals: Literals<'t>,
    /// Children for patterns and case-insensitive literals, without duplicates.
    others: Vec<(&'t Segment, u32)>,
    /// Segments of `others`, in the same order, without parameter names.
    erased: Vec<Segment>,
    parameter: Option<u32>,
    /// Routes whose template ends at this node.
    ends: Vec<u32>,
    /// Routes whose template is a prefix that ends at this node.
    rests: Vec<u32>,
    /// Minimum priority of the routes that end at this node.
    own: i32,
    /// Minimum priority of all routes at or below this node.
    priority_min: i32,
    /// Minimum priority of the routes below the literal children.
    least_of_literals: i32,
    /// Minimum priority of the routes below this node.
    least_below: i32,
}

impl Default for Node<'_> {
    fn default() -> Self {
        Self {
            literals: Literals::default(),
            others: Vec::new(),
            erased: Vec::new(),
            parameter: None,
            ends: Vec::new(),
            rests: Vec::new(),
            own: i32::MAX,
            priority_min: i32::MAX,
            least_of_literals: i32::MAX,
            least_below: i32::MAX,
        }
    }
}

/// Index of the root node.
pub(super) const ROOT: u32 = 0;

impl<'t> Index<'t> {
    pub(super) fn new(routes: impl Iterator<Item = Entry<'t>>) -> Self {
        let mut index = Self {
            nodes: vec![Node::default()],
            depth: 0,
            visited: AtomicUsize::new(0),
            behind: Mutex::default(),
        };
        let mut known = FxHashMap::default();
        for (route, template, priority) in routes {
            let mut at = ROOT;
            for segment in template.segments() {
                at = index.child(at, segment, &mut known);
            }
            index.depth = index.depth.max(template.segments().len());
            let node = &mut index.nodes[at as usize];
            node.own = node.own.min(priority);
            if template.is_prefix() {
                node.rests.push(route);
            } else {
                node.ends.push(route);
            }
        }
        // Children have greater indexes than their parents.
        for at in (0..index.nodes.len()).rev() {
            index.nodes[at].literals.sort();
            let node = &index.nodes[at];
            let priority_min = |children: &mut dyn Iterator<Item = u32>| {
                let priority_min = children.map(|child| index.nodes[child as usize].priority_min);
                priority_min.min().unwrap_or(i32::MAX)
            };
            let of_literals = priority_min(&mut node.literals.children());
            let others = node.others.iter().map(|(_, child)| *child);
            let below = of_literals.min(priority_min(&mut others.chain(node.parameter)));
            let node = &mut index.nodes[at];
            node.least_of_literals = of_literals;
            node.least_below = below;
            node.priority_min = below.min(node.own);
        }
        index
    }

    /// Returns the child of a node for a segment, and creates it if needed. `known` contains the
    /// child of each node and erased segment.
    fn child(
        &mut self,
        at: u32,
        segment: &'t Segment,
        known: &mut FxHashMap<(u32, Segment), u32>,
    ) -> u32 {
        let fresh = u32::try_from(self.nodes.len()).expect("fewer than 2^32 segments");
        let node = &mut self.nodes[at as usize];
        let child = match segment {
            Segment::Literal(text) => node.literals.child(text, fresh),
            Segment::Parameter(_) => *node.parameter.get_or_insert(fresh),
            Segment::Folded(_) | Segment::Pattern(_) => {
                let erased = segment.erased();
                *known.entry((at, erased.clone())).or_insert_with(|| {
                    node.others.push((segment, fresh));
                    node.erased.push(erased);
                    fresh
                })
            }
        };
        if child == fresh {
            self.nodes.push(Node::default());
        }
        child
    }

    /// Returns the routes whose template ends at a node.
    pub(super) fn ends(&self, node: u32) -> &[u32] {
        &self.nodes[node as usize].ends
    }

    /// Returns the routes whose template is a prefix that ends at a node.
    pub(super) fn rests(&self, node: u32) -> &[u32] {
        &self.nodes[node as usize].rests
    }

    /// Adds the child segments of a node to `rivals`, the segments that can match the next segment
    /// of a request's path.
    pub(super) fn rivals<'i>(&'i self, node: u32, rivals: &mut Rivals<'i>) {
        let node = &self.nodes[node as usize];
        rivals.literals.push(&node.literals);
        for ((segment, _), erased) in node.others.iter().zip(&node.erased) {
            if rivals.known.insert(erased) {
                rivals.others.push(segment);
            }
        }
    }

    /// Adds the child nodes of a node whose segment matches this text.
    pub(super) fn step(&self, node: u32, text: &str, to: &mut Vec<u32>) {
        let node = &self.nodes[node as usize];
        to.extend(node.literals.get(text));
        to.extend(
            node.others
                .iter()
                .filter(|(segment, _)| matches(segment, text))
                .map(|(_, child)| *child),
        );
        to.extend(node.parameter.filter(|_| !text.is_empty()));
    }

    /// Returns the routes whose template overlaps `template`, each once, in table order.
    pub(super) fn overlapping(&self, template: &Template) -> Vec<u32> {
        self.meeting(template, None)
    }

    /// Like [`Self::overlapping`], but leaves out most of the routes that take precedence over a
    /// route with this template and priority for every request. The search does not visit these
    /// routes.
    pub(super) fn overlapping_below(&self, template: &Template, priority: i32) -> Vec<u32> {
        self.meeting(template, Some(priority))
    }

    /// Number of nodes visited so far in searches for overlapping templates.
    pub(super) fn visited(&self) -> usize {
        self.visited.load(Relaxed)
    }

    fn meeting(&self, template: &Template, tied: Option<i32>) -> Vec<u32> {
        let mut meeting = Meeting {
            index: self,
            prefix: template.is_prefix(),
            routes: Vec::new(),
            visited: 0,
        };
        meeting.meet(ROOT, template.segments(), tied);
        self.visited.fetch_add(meeting.visited, Relaxed);
        let mut routes = meeting.routes;
        routes.sort_unstable();
        routes
    }
}

/// Search for the templates that overlap a given template.
struct Meeting<'i, 't> {
    index: &'i Index<'t>,
    /// True if the template is a prefix.
    prefix: bool,
    routes: Vec<u32>,
    visited: usize,
}

impl Meeting<'_, '_> {
    /// Collects the routes below a node that overlap the remaining segments. `tied` is the priority
    /// of the template, as long as the segments compared so far have the same rank. Routes with a
    /// greater priority take precedence and are then skipped.
    fn meet(&mut self, at: u32, rest: &[Segment], tied: Option<i32>) {
        self.visited += 1;
        let node = &self.index.nodes[at as usize];
        let Some((segment, rest)) = rest.split_first() else {
            if self.prefix {
                self.all_below(at, tied);
            } else {
                self.routes.extend(&node.ends);
                self.routes.extend(&node.rests);
            }
            return;
        };
        self.routes.extend(&node.rests);
        match segment {
            Segment::Literal(text) => {
                if let Some(child) = node.literals.get(text) {
                    self.meet_known(child, rest, tied);
                }
                for (other, child) in &node.others {
                    if matches(other, text) {
                        let is_literal = matches!(other, Segment::Folded(_));
                        self.meet_known(*child, rest, tied.filter(|_| is_literal));
                    }
                }
                if let Some(child) = node.parameter.filter(|_| !text.is_empty()) {
                    self.meet_known(child, rest, None);
                }
            }
            _ => {
                // A literal of the node takes precedence over patterns and parameters. It has the
                // same rank as a case-insensitive literal.
                let is_literal = matches!(segment, Segment::Folded(_));
                if is_literal || !is_above(tied, node.least_of_literals) {
                    for (text, child) in node.literals.iter() {
                        self.visited += 1;
                        let may_win = is_literal || !self.is_above(tied, child);
                        if may_win && matches(segment, text) {
                            self.meet(child, rest, tied.filter(|_| is_literal));
                        }
                    }
                }
                for (other, child) in &node.others {
                    self.visited += 1;
                    let order = compare_segments(other, segment);
                    if order.is_gt() && self.is_above(tied, *child) {
                        continue;
                    }
                    if segment::overlap(segment, other) {
                        let tied = tied.filter(|_| order == Ordering::Equal);
                        self.meet(*child, rest, tied);
                    }
                }
                if let Some(child) = node.parameter {
                    let is_tied = matches!(segment, Segment::Parameter(_));
                    self.meet(child, rest, tied.filter(|_| is_tied));
                }
            }
        }
    }

    /// Like [`Self::meet`], but cached for all templates with the same remaining segments.
    fn meet_known(&mut self, at: u32, rest: &[Segment], tied: Option<i32>) {
        let key = (
            at,
            rest.iter().map(Segment::erased).collect(),
            self.prefix,
            tied,
        );
        let lock = || {
            let behind = &self.index.behind;
            behind.lock().unwrap_or_else(PoisonError::into_inner)
        };
        self.visited += 1;
        if let Some(known) = lock().get(&key) {
            self.routes.extend(known.iter());
            return;
        }
        let before = std::mem::take(&mut self.routes);
        self.meet(at, rest, tied);
        let found: Arc<[u32]> = self.routes.as_slice().into();
        let behind = &self.index.behind;
        let mut behind = behind.lock().unwrap_or_else(PoisonError::into_inner);
        behind.insert(key, found);
        drop(behind);
        self.routes.extend(before);
    }

    /// True if the priority of every route at or below a node is at least `tied`. False if `tied`
    /// is `None`.
    fn is_above(&self, tied: Option<i32>, node: u32) -> bool {
        is_above(tied, self.index.nodes[node as usize].priority_min)
    }

    /// Adds all routes at or below a node. Skips routes that take precedence over a prefix because
    /// they are longer than the prefix.
    fn all_below(&mut self, at: u32, tied: Option<i32>) {
        self.visited += 1;
        let node = &self.index.nodes[at as usize];
        self.routes.extend(&node.ends);
        self.routes.extend(&node.rests);
        if is_above(tied, node.least_below) {
            return;
        }
        let others = node.others.iter().map(|(_, child)| *child);
        for child in node.literals.children().chain(others).chain(node.parameter) {
            if !self.is_above(tied, child) {
                self.all_below(child, tied);
            }
        }
    }
}

/// True if `priority_min`, the minimum priority of some routes, is at least `tied`, the priority of
/// the template of the search. False if `tied` is `None`.
fn is_above(tied: Option<i32>, priority_min: i32) -> bool {
    tied.is_some_and(|priority| priority_min >= priority)
}
