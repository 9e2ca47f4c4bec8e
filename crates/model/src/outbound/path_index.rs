//! Index of paths with parameters, for the search of all paths that contain a given path.

use rustc_hash::FxHashMap;

use super::path::{self, Path};

/// Values by path: a tree with one node per segment.
#[derive(Debug)]
pub(super) struct PathIndex<T> {
    nodes: Vec<Node<T>>,
}

#[derive(Debug)]
struct Node<T> {
    /// Nodes of the next segments without a parameter.
    literals: FxHashMap<String, usize>,
    /// Nodes of the next segments with a parameter.
    patterns: Vec<(String, usize)>,
    /// Values of the paths that end here.
    values: Vec<T>,
}

impl<T> PathIndex<T> {
    pub(super) fn new() -> Self {
        Self {
            nodes: vec![Node::new()],
        }
    }

    pub(super) fn insert(&mut self, path: &Path, value: T) {
        let mut at = 0;
        for segment in path.segments() {
            at = match self.nodes[at].next(segment) {
                Some(next) => next,
                None => self.add(at, segment),
            };
        }
        self.nodes[at].values.push(value);
    }

    fn add(&mut self, at: usize, segment: &str) -> usize {
        let next = self.nodes.len();
        self.nodes.push(Node::new());
        let node = &mut self.nodes[at];
        match path::is_literal(segment) {
            true => {
                node.literals.insert(segment.to_owned(), next);
            }
            false => node.patterns.push((segment.to_owned(), next)),
        }
        next
    }

    /// Values of exactly this path.
    pub(super) fn at(&self, path: &Path) -> &[T] {
        let mut segments = path.segments().iter();
        let found = segments.try_fold(0, |at, segment| self.nodes[at].next(segment));
        found.map_or(&[], |at| &self.nodes[at].values)
    }

    /// Values of all paths that contain this path ([`Path::contains`]), in no particular order.
    pub(super) fn containing(&self, path: &Path) -> Vec<&T> {
        let mut found = Vec::new();
        let segments = path.segments();
        // Use a list of open nodes and no recursion, because a path can have thousands of segments.
        let mut open = vec![(0, 0)];
        while let Some((at, depth)) = open.pop() {
            let node: &Node<T> = &self.nodes[at];
            let Some(segment) = segments.get(depth) else {
                found.extend(&node.values);
                let rest = node.patterns.iter().filter(|(own, _)| path::is_rest(own));
                found.extend(rest.flat_map(|(_, next)| &self.nodes[*next].values));
                continue;
            };
            open.extend(node.literals.get(segment).map(|next| (*next, depth + 1)));
            for (own, next) in &node.patterns {
                match path::is_rest(own) {
                    true => found.extend(&self.nodes[*next].values),
                    false if path::segment_contains(own, segment) => open.push((*next, depth + 1)),
                    false => {}
                }
            }
        }
        found
    }
}

impl<T> Node<T> {
    fn new() -> Self {
        Self {
            literals: FxHashMap::default(),
            patterns: Vec::new(),
            values: Vec::new(),
        }
    }

    fn next(&self, segment: &str) -> Option<usize> {
        let pattern = || {
            let mut patterns = self.patterns.iter();
            patterns.find_map(|(own, next)| (own == segment).then_some(*next))
        };
        self.literals.get(segment).copied().or_else(pattern)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Paths in `all` that contain `path`. `{}` is a parameter, a final `**` the rest of a path.
    fn containing(all: &[&'static str], path: &str) -> Vec<&'static str> {
        let parse = |text: &str| path::raw(&path::marked(text).replace("**", path::REST_TEXT));
        let mut index = PathIndex::new();
        for text in all {
            index.insert(&parse(text), *text);
        }
        let mut found: Vec<&str> = index
            .containing(&parse(path))
            .into_iter()
            .copied()
            .collect();
        found.sort_unstable();
        // The index must find the same paths as a comparison with each path.
        let mut each: Vec<&str> = Vec::new();
        each.extend(all.iter().filter(|text| parse(text).contains(&parse(path))));
        each.sort_unstable();
        assert_eq!(found, each, "{path}");
        found
    }

    #[test]
    fn all_paths_that_contain_a_path_are_found() {
        let all = [
            "/a",
            "/a/b",
            "/a/{}",
            "/{}/b",
            "/{}/{}",
            "/a/**",
            "/**",
            "/a/{}.json",
            "/a/x{}",
            "/a/b/",
        ];
        let cases: [(&str, &[&str]); 6] = [
            (
                "/a/b",
                &["/**", "/a/**", "/a/b", "/a/{}", "/{}/b", "/{}/{}"],
            ),
            ("/a/{}", &["/**", "/a/**", "/a/{}", "/{}/{}"]),
            ("/a/**", &["/**", "/a/**"]),
            (
                "/a/1.json",
                &["/**", "/a/**", "/a/{}", "/a/{}.json", "/{}/{}"],
            ),
            ("/a", &["/**", "/a", "/a/**"]),
            ("/a/b/", &["/**", "/a/**", "/a/b/"]),
        ];
        for (path, expected) in cases {
            assert_eq!(containing(&all, path), expected, "{path}");
        }
    }

    #[test]
    fn values_of_one_path_are_kept_together() {
        let mut index = PathIndex::new();
        let path = path::raw(&path::marked("/a/{id}"));
        index.insert(&path, 1);
        index.insert(&path, 2);
        assert_eq!(index.at(&path), [1, 2]);
        assert_eq!(index.at(&path::raw("/a/b")), [0; 0]);
        assert_eq!(index.at(&path::raw("/a")), [0; 0]);
    }
}
