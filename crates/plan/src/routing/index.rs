//! One table's templates by their segments, to be walked together with others.

use std::collections::BTreeMap;

use bundle::ir::{Segment, Template};

use super::texts::{Rivals, matches};
use model::segment;

/// Templates as a tree of segments; routes are told by their place in the table.
#[derive(Debug)]
pub(super) struct Index<'t> {
    nodes: Vec<Node<'t>>,
    /// The most segments of any of them.
    pub(super) depth: usize,
}

#[derive(Debug, Default)]
struct Node<'t> {
    literals: BTreeMap<&'t str, u32>,
    /// Literals in any case, patterns; equal ones are one.
    others: Vec<(&'t Segment, u32)>,
    parameter: Option<u32>,
    /// Routes whose template ends here.
    ends: Vec<u32>,
    /// Routes that match everything from here on.
    rests: Vec<u32>,
}

/// The root.
pub(super) const ROOT: u32 = 0;

impl<'t> Index<'t> {
    pub(super) fn new(templates: impl Iterator<Item = &'t Template>) -> Self {
        let mut index = Self {
            nodes: vec![Node::default()],
            depth: 0,
        };
        for (route, template) in (0u32..).zip(templates) {
            let mut at = ROOT;
            for segment in template.segments() {
                at = index.child(at, segment);
            }
            index.depth = index.depth.max(template.segments().len());
            let node = &mut index.nodes[at as usize];
            if template.is_prefix() {
                node.rests.push(route);
            } else {
                node.ends.push(route);
            }
        }
        index
    }

    fn child(&mut self, at: u32, segment: &'t Segment) -> u32 {
        let fresh = u32::try_from(self.nodes.len()).expect("fewer than 2^32 segments");
        let node = &mut self.nodes[at as usize];
        let child = match segment {
            Segment::Literal(text) => *node.literals.entry(text).or_insert(fresh),
            Segment::Parameter(_) => *node.parameter.get_or_insert(fresh),
            Segment::Folded(_) | Segment::Pattern(_) => {
                let known = node.others.iter().find(|(other, _)| alike(other, segment));
                match known {
                    Some((_, child)) => *child,
                    None => {
                        node.others.push((segment, fresh));
                        fresh
                    }
                }
            }
        };
        if child == fresh {
            self.nodes.push(Node::default());
        }
        child
    }

    /// The routes whose template ends at a node.
    pub(super) fn ends(&self, node: u32) -> &[u32] {
        &self.nodes[node as usize].ends
    }

    /// The routes that match everything from a node on.
    pub(super) fn rests(&self, node: u32) -> &[u32] {
        &self.nodes[node as usize].rests
    }

    /// Adds what stands behind a node.
    pub(super) fn rivals(&self, node: u32, rivals: &mut Rivals<'t>) {
        let node = &self.nodes[node as usize];
        rivals.literals.extend(node.literals.keys().copied());
        for (segment, _) in &node.others {
            if !rivals.others.iter().any(|other| alike(other, segment)) {
                rivals.others.push(segment);
            }
        }
    }

    /// Where a text leads from a node.
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

    /// The routes whose template has a path in common with `template`, each once, in the table's
    /// order.
    pub(super) fn overlapping(&self, template: &Template) -> Vec<u32> {
        let mut routes = Vec::new();
        self.meet(ROOT, template.segments(), template.is_prefix(), &mut routes);
        routes.sort_unstable();
        routes
    }

    fn meet(&self, at: u32, rest: &[Segment], prefix: bool, routes: &mut Vec<u32>) {
        let node = &self.nodes[at as usize];
        let Some((segment, rest)) = rest.split_first() else {
            if prefix {
                self.all_below(at, routes);
            } else {
                routes.extend(&node.ends);
                routes.extend(&node.rests);
            }
            return;
        };
        routes.extend(&node.rests);
        let mut go = |child: u32| self.meet(child, rest, prefix, routes);
        match segment {
            Segment::Literal(text) => {
                node.literals.get(text.as_str()).copied().map(&mut go);
                for (other, child) in &node.others {
                    if matches(other, text) {
                        go(*child);
                    }
                }
                if !text.is_empty() {
                    node.parameter.map(go);
                }
            }
            _ => {
                for (text, child) in &node.literals {
                    if matches(segment, text) {
                        go(*child);
                    }
                }
                for (other, child) in &node.others {
                    if segment::common(segment, other).is_some() {
                        go(*child);
                    }
                }
                node.parameter.map(go);
            }
        }
    }

    fn all_below(&self, at: u32, routes: &mut Vec<u32>) {
        let node = &self.nodes[at as usize];
        routes.extend(&node.ends);
        routes.extend(&node.rests);
        let others = node.others.iter().map(|(_, child)| *child);
        for child in node
            .literals
            .values()
            .copied()
            .chain(others)
            .chain(node.parameter)
        {
            self.all_below(child, routes);
        }
    }
}

/// Whether two segments match the same texts for the same reason; names of parameters mean
/// nothing.
fn alike(a: &Segment, b: &Segment) -> bool {
    match (a, b) {
        (Segment::Pattern(a), Segment::Pattern(b)) => {
            a.folded == b.folded && a.erased() == b.erased()
        }
        _ => a == b,
    }
}
