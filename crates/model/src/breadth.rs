//! Limit on the cost of a router search: the number of trie nodes that one request can make the
//! router visit.
//!
//! The router searches a trie of segments depth first (semantics.md §1). If a path matches a
//! literal and a parameter at the same depth, the router searches below both, so the work
//! multiplies with the depth. Clients must not control this cost, so this module computes the
//! widest search of each API.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use bundle::ir::{Pattern, Segment, Template, TrailingSlash};
use diag::{Diagnostic, Sink};

use super::{Api, Operation, segment};
use vocab::lints::WIDE_SEARCH;

/// Maximum number of trie nodes that one request may visit (semantics.md §1).
const NODES_MAX: usize = 64;
/// Maximum number of node visits in the search for the widest path. At this number the search stops
/// and uses the widest path found so far.
const STEPS_MAX: usize = 400_000;
/// Maximum number of path segments that are examined.
const DEPTH_MAX: usize = 256;
/// Maximum number of patterns that are compared pairwise for one set of nodes.
const PATTERNS_MAX: usize = 16;

/// Reports the path with the widest search if it visits more than [`NODES_MAX`] nodes.
pub(super) fn check(api: &Api, sink: &mut Sink) {
    let routed = api.operations.iter().filter(|one| !one.internal);
    let routed: Vec<&Operation> = routed.collect();
    let twins: Vec<(&Operation, Template)> = routed
        .iter()
        .filter(|one| one.trailing_slash != TrailingSlash::Strict)
        .filter_map(|one| Some((*one, one.template.twin()?)))
        .collect();
    let own = routed.iter().map(|one| (*one, &one.template));
    let all = own.chain(twins.iter().map(|(one, twin)| (*one, twin)));
    let all: Vec<(&Operation, &Template)> = all.collect();
    let templates: Vec<&Template> = all.iter().map(|(_, template)| *template).collect();
    let Some(Widest { nodes, path, fits }) = widest(&templates) else {
        return;
    };
    let (operation, _) = all[fits];
    sink.push(
        Diagnostic::new(
            &WIDE_SEARCH,
            operation.path_span,
            format!(
                "a request for `{path}` with a method that no template allows makes the router \
search {nodes} branches, more than {NODES_MAX}"
            ),
        )
        .help(
            "write literals where the paths differ, before their parameters: `/orders/{id}` and \
             `/carts/{id}` instead of `/{id}/orders` and `/{id}/carts`",
        ),
    );
}

/// Path of an API whose search visits the most nodes.
#[derive(Debug, PartialEq, Eq)]
struct Widest {
    nodes: usize,
    path: String,
    /// Index of a template that matches the path. If there is none: a template whose first segments
    /// match the path.
    fits: usize,
}

/// Returns the path whose search visits the most nodes, if they exceed the limit.
fn widest(templates: &[&Template]) -> Option<Widest> {
    let trie = Trie::of(templates);
    // In most tables, this cheap upper bound is within the limit.
    if trie.at_most() <= NODES_MAX {
        return None;
    }
    let mut search = Search {
        trie: &trie,
        known: HashMap::new(),
        steps: 0,
    };
    let (nodes, path) = search.below(vec![0], 0);
    (nodes > NODES_MAX).then(|| Widest {
        nodes,
        fits: trie.fits(&path),
        path,
    })
}

/// Trie of template segments, as a list of nodes. Each node has a smaller index than its
/// descendants.
struct Trie<'t>(Vec<Node<'t>>);

#[derive(Default)]
struct Node<'t> {
    literals: BTreeMap<&'t str, usize>,
    /// Children for case-insensitive literals, by the literal in lower case.
    folded: BTreeMap<&'t str, usize>,
    patterns: Vec<(&'t Pattern, &'t Segment, usize)>,
    parameter: Option<usize>,
    /// Index of the first template that ends at this node or below it.
    first: usize,
}

impl<'t> Trie<'t> {
    fn of(templates: &[&'t Template]) -> Self {
        let mut nodes = vec![Node::default()];
        for (index, template) in templates.iter().enumerate() {
            let mut at = 0;
            for segment in template.segments() {
                let fresh = nodes.len();
                let node = &mut nodes[at];
                at = match segment {
                    Segment::Literal(text) => *node.literals.entry(text).or_insert(fresh),
                    Segment::Folded(text) => *node.folded.entry(text).or_insert(fresh),
                    Segment::Parameter(_) => *node.parameter.get_or_insert(fresh),
                    Segment::Pattern(pattern) => {
                        let same = |other: &Pattern| {
                            other.erased() == pattern.erased() && other.folded == pattern.folded
                        };
                        let known = node.patterns.iter().find(|(other, ..)| same(other));
                        match known {
                            Some((.., next)) => *next,
                            None => {
                                node.patterns.push((pattern, segment, fresh));
                                fresh
                            }
                        }
                    }
                };
                if at == fresh {
                    nodes.push(Node {
                        first: index,
                        ..Node::default()
                    });
                }
            }
        }
        Self(nodes)
    }

    /// Upper bound on the number of nodes that a look-up visits. The bound assumes that a segment
    /// can match a literal, all patterns and the parameter of a node at the same time.
    fn at_most(&self) -> usize {
        let mut below = vec![0_usize; self.0.len()];
        for (at, node) in self.0.iter().enumerate().rev() {
            let most = |edges: &BTreeMap<&str, usize>| {
                edges.values().map(|next| below[*next]).max().unwrap_or(0)
            };
            let patterns = node.patterns.iter().map(|(.., next)| below[*next]);
            let parameter = node.parameter.map_or(0, |next| below[next]);
            let all = [most(&node.literals), most(&node.folded), parameter];
            let all = all.into_iter().chain(patterns);
            below[at] = all.fold(1, usize::saturating_add);
        }
        below[0]
    }

    /// Index of a template that matches the path. If there is none: a template whose first segments
    /// match the path.
    fn fits(&self, path: &str) -> usize {
        let mut at = vec![0];
        for segment in path.split('/').skip(1) {
            at = self.next(&at, segment);
        }
        at.first().map_or(0, |node| self.0[*node].first)
    }

    /// Child nodes of the given nodes that a segment with this text reaches.
    fn next(&self, from: &[usize], text: &str) -> Vec<usize> {
        let lower = text.to_ascii_lowercase();
        let mut next = Vec::new();
        for node in from.iter().map(|at| &self.0[*at]) {
            next.extend(node.literals.get(text));
            next.extend(node.folded.get(lower.as_str()));
            let matching = node.patterns.iter();
            let matching = matching.filter(|(pattern, ..)| pattern.matches(text));
            next.extend(matching.map(|(.., next)| *next));
            next.extend(node.parameter.filter(|_| !text.is_empty()));
        }
        next
    }

    /// Representative texts for the next segment: one text for each set of child nodes that a
    /// segment can match.
    fn texts(&self, from: &[usize]) -> BTreeSet<String> {
        let mut texts = BTreeSet::from(["-".to_owned()]);
        let mut patterns = Vec::new();
        for node in from.iter().map(|at| &self.0[*at]) {
            let literals = node.literals.keys().chain(node.folded.keys());
            texts.extend(literals.map(|text| (*text).to_owned()));
            patterns.extend(node.patterns.iter().map(|(_, segment, _)| *segment));
        }
        patterns.truncate(PATTERNS_MAX);
        for (index, pattern) in patterns.iter().enumerate() {
            let common = patterns[index..].iter();
            texts.extend(common.filter_map(|other| segment::common(pattern, other)));
        }
        texts
    }
}

/// Search for the path for which a look-up visits the most nodes.
struct Search<'t> {
    trie: &'t Trie<'t>,
    /// Cache by set of nodes: the maximum number of nodes that a search visits below the set, and
    /// the path of that search.
    known: HashMap<Vec<usize>, (usize, String)>,
    steps: usize,
}

impl Search<'_> {
    /// Returns the maximum number of nodes that a search visits when it begins with these nodes,
    /// and the path of that search.
    fn below(&mut self, from: Vec<usize>, depth: usize) -> (usize, String) {
        if let Some(known) = self.known.get(&from) {
            return known.clone();
        }
        let mut best = (0, String::new());
        if depth < DEPTH_MAX {
            let texts = self.trie.texts(&from).into_iter();
            let next = texts.map(|text| (self.trie.next(&from, &text), text));
            let mut next: Vec<_> = next.filter(|(next, _)| !next.is_empty()).collect();
            self.steps += next.len() * from.len();
            // Try the largest sets of nodes first, because the search may stop at its limit.
            next.sort_by_key(|(next, _)| Reverse(next.len()));
            for (next, text) in next {
                if self.steps > STEPS_MAX && best.0 > 0 {
                    break;
                }
                let (nodes, path) = self.below(next, depth + 1);
                if nodes > best.0 {
                    best = (nodes, format!("/{text}{path}"));
                }
            }
        }
        best.0 += from.len();
        self.known.insert(from, best.clone());
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn widest_of(paths: &[String]) -> Option<(usize, String)> {
        let templates: Vec<Template> = paths
            .iter()
            .map(|path| Template::parse(path).expect("a template"))
            .collect();
        let templates: Vec<&Template> = templates.iter().collect();
        let found = widest(&templates)?;
        let fits = &paths[found.fits];
        let segments = |path: &str| path.matches('/').count();
        assert_eq!(segments(fits), segments(&found.path), "{fits}");
        Some((found.nodes, found.path))
    }

    /// All paths of `depth` segments, each `a` or a parameter.
    fn alternating(depth: u32) -> Vec<String> {
        let path = |bits: u32| {
            let segments = (0..depth).map(|at| match bits >> at & 1 {
                0 => "/a".to_owned(),
                _ => format!("/{{p{at}}}"),
            });
            segments.collect()
        };
        (0..1 << depth).map(path).collect()
    }

    #[test]
    fn widest_path_doubles_with_each_parameter() {
        // A path visits 1 + 2 + 4 + … + 32 = 63 nodes. One more segment gives 127.
        assert_eq!(widest_of(&alternating(5)), None);
        let found = widest_of(&alternating(6));
        assert_eq!(found, Some((127, "/a/a/a/a/a/a".into())));
    }

    #[test]
    fn nodes_of_different_paths_are_not_added_up() {
        let many: Vec<String> = (0..1_000).map(|one| format!("/p{one}/{{id}}/x")).collect();
        assert_eq!(widest_of(&many), None);
        // The second segments of all templates are different literals, so a path visits the nodes
        // of only one template below the first segment.
        let apart = (0..40).flat_map(|one| {
            [
                format!("/x/{one}/a/b/c"),
                format!("/{{p}}/{}/a/b/c", one + 100),
            ]
        });
        assert_eq!(widest_of(&apart.collect::<Vec<_>>()), None);
    }

    #[test]
    fn patterns_that_match_one_segment_are_added_up() {
        let path = |heads: usize| format!("/{}{{x}}/b/c/d/e/f/g/h/i", "a".repeat(heads));
        // The search visits the root and nine nodes for each template.
        let found = widest_of(&(1..=8).map(path).collect::<Vec<_>>());
        let widest = "/aaaaaaaax/b/c/d/e/f/g/h/i";
        assert_eq!(found, Some((73, widest.into())));
        assert_eq!(widest_of(&(1..=7).map(path).collect::<Vec<_>>()), None);
    }

    #[test]
    fn table_over_its_time_limit_ends_with_its_findings() {
        // Templates of six segments, each segment one of six literals or a parameter.
        let path = |number: u32| {
            let segments = (0..6).map(|at| match number / 7_u32.pow(at) % 7 {
                6 => format!("/{{p{at}}}"),
                literal => format!("/{literal}"),
            });
            segments.collect()
        };
        let all: Vec<String> = (0..7_u32.pow(6)).map(path).collect();
        assert_eq!(widest_of(&all).map(|(nodes, _)| nodes), Some(127));
    }
}
