//! Templates against each other: which overlap, which lie within which, and a path that shows it.
//!
//! Templates that overlap are found by walking them together segment by segment, so that ten
//! thousand templates with prefixes of their own cost ten thousand steps, not a hundred million.

use std::collections::{BTreeMap, HashSet};

use bundle::ir::{Pattern, Segment, Template};

/// How many pairs of overlapping templates are looked at.
const PAIRS_MAX: usize = 200_000;

/// The pairs among `group` whose templates have a path in common; each once, smaller index first.
#[must_use]
pub fn within(templates: &[&Template], group: &[usize]) -> Vec<(usize, usize)> {
    let mut walk = Walk {
        templates,
        pairs: Vec::new(),
    };
    walk.within(group, 0);
    walk.pairs
}

/// The pairs of one of `left` and one of `right` (in this order) whose templates have a path in
/// common. The groups have no member in common.
#[must_use]
pub fn between(templates: &[&Template], left: &[usize], right: &[usize]) -> Vec<(usize, usize)> {
    let mut walk = Walk {
        templates,
        pairs: Vec::new(),
    };
    walk.between(left, right, 0);
    let mine: HashSet<usize> = left.iter().copied().collect();
    let oriented = walk
        .pairs
        .into_iter()
        .map(|(a, b)| if mine.contains(&a) { (a, b) } else { (b, a) });
    oriented.collect()
}

struct Walk<'r> {
    templates: &'r [&'r Template],
    pairs: Vec<(usize, usize)>,
}

/// The routes of a group by what stands at one depth.
#[derive(Default)]
struct Parts<'r> {
    ended: Vec<usize>,
    prefixes: Vec<usize>,
    literals: BTreeMap<&'r str, Vec<usize>>,
    patterns: BTreeMap<String, (&'r Pattern, Vec<usize>)>,
    parameters: Vec<usize>,
}

impl<'r> Walk<'r> {
    /// Pairs within one group whose segments before `depth` overlap.
    fn within(&mut self, group: &[usize], depth: usize) {
        if group.len() < 2 || self.pairs.len() > PAIRS_MAX {
            return;
        }
        let parts = self.parts(group, depth);
        self.all_pairs(&parts.ended);
        self.all_pairs(&parts.prefixes);
        let continuing: Vec<usize> = group
            .iter()
            .copied()
            .filter(|route| !parts.prefixes.contains(route))
            .collect();
        self.cross(&parts.prefixes, &continuing);
        for literal in parts.literals.values() {
            self.within(literal, depth + 1);
        }
        for (_, routes) in parts.patterns.values() {
            self.within(routes, depth + 1);
        }
        self.within(&parts.parameters, depth + 1);
        for (text, literal) in &parts.literals {
            for (pattern, routes) in parts
                .patterns
                .values()
                .filter(|(pattern, _)| pattern.matches(text))
            {
                let _ = pattern;
                self.between(literal, routes, depth + 1);
            }
            if !text.is_empty() {
                self.between(literal, &parts.parameters, depth + 1);
            }
        }
        let patterns: Vec<_> = parts.patterns.values().collect();
        for (index, (pattern, routes)) in patterns.iter().enumerate() {
            self.between(routes, &parts.parameters, depth + 1);
            for (other, others) in &patterns[index + 1..] {
                if common(pattern, other).is_some() {
                    self.between(routes, others, depth + 1);
                }
            }
        }
    }

    /// Pairs of one route of each group.
    fn between(&mut self, left: &[usize], right: &[usize], depth: usize) {
        if left.is_empty() || right.is_empty() || self.pairs.len() > PAIRS_MAX {
            return;
        }
        let (a, b) = (self.parts(left, depth), self.parts(right, depth));
        self.cross(&a.ended, &b.ended);
        self.cross(&a.prefixes, right);
        let rest: Vec<usize> = left
            .iter()
            .copied()
            .filter(|route| !a.prefixes.contains(route))
            .collect();
        self.cross(&rest, &b.prefixes);
        for (text, literal) in &a.literals {
            if let Some(same) = b.literals.get(text) {
                self.between(literal, same, depth + 1);
            }
            self.literal_against(text, literal, &b, depth);
        }
        for (text, literal) in &b.literals {
            self.literal_against(text, literal, &a, depth);
        }
        for (pattern, routes) in a.patterns.values() {
            self.between(routes, &b.parameters, depth + 1);
            for (_, others) in b
                .patterns
                .values()
                .filter(|(other, _)| common(pattern, other).is_some())
            {
                self.between(routes, others, depth + 1);
            }
        }
        for (_, routes) in b.patterns.values() {
            self.between(routes, &a.parameters, depth + 1);
        }
        self.between(&a.parameters, &b.parameters, depth + 1);
    }

    fn literal_against(&mut self, text: &str, literal: &[usize], other: &Parts<'r>, depth: usize) {
        for (_, routes) in other
            .patterns
            .values()
            .filter(|(pattern, _)| pattern.matches(text))
        {
            self.between(literal, routes, depth + 1);
        }
        if !text.is_empty() {
            self.between(literal, &other.parameters, depth + 1);
        }
    }

    fn parts(&self, group: &[usize], depth: usize) -> Parts<'r> {
        let mut parts = Parts::default();
        for &route in group {
            let template = self.templates[route];
            match template.segments().get(depth) {
                None if template.is_prefix() => parts.prefixes.push(route),
                None => parts.ended.push(route),
                Some(Segment::Literal(text)) => parts.literals.entry(text).or_default().push(route),
                Some(Segment::Parameter(_)) => parts.parameters.push(route),
                Some(Segment::Pattern(pattern)) => {
                    parts
                        .patterns
                        .entry(pattern.erased())
                        .or_insert_with(|| (pattern, Vec::new()))
                        .1
                        .push(route);
                }
            }
        }
        parts
    }

    fn all_pairs(&mut self, group: &[usize]) {
        for (index, a) in group.iter().enumerate() {
            self.cross(&[*a], &group[index + 1..]);
        }
    }

    fn cross(&mut self, left: &[usize], right: &[usize]) {
        for &a in left {
            for &b in right {
                if self.pairs.len() <= PAIRS_MAX {
                    self.pairs.push((a, b));
                }
            }
        }
    }
}

/// Whether every path of `a` is one of `b`.
#[must_use]
pub fn subset(a: &Template, b: &Template) -> bool {
    let (left, right) = (a.segments(), b.segments());
    if left.len() < right.len() || !b.is_prefix() && (left.len() != right.len() || a.is_prefix()) {
        return false;
    }
    left.iter().zip(right).all(|(a, b)| segment_subset(a, b))
}

fn segment_subset(a: &Segment, b: &Segment) -> bool {
    match (a, b) {
        (Segment::Literal(a), Segment::Literal(b)) => a == b,
        (Segment::Literal(text), Segment::Parameter(_)) => !text.is_empty(),
        (Segment::Literal(text), Segment::Pattern(pattern)) => pattern.matches(text),
        (Segment::Parameter(_) | Segment::Pattern(_), Segment::Parameter(_)) => true,
        (Segment::Pattern(a), Segment::Pattern(b)) => {
            a.erased() == b.erased() || pattern_within(a, b)
        }
        (Segment::Parameter(_) | Segment::Pattern(_), Segment::Literal(_))
        | (Segment::Parameter(_), Segment::Pattern(_)) => false,
    }
}

/// Whether a pattern with one parameter lies within another with one: its head and tail are
/// longer.
fn pattern_within(a: &Pattern, b: &Pattern) -> bool {
    match (a.rest.as_slice(), b.rest.as_slice()) {
        ([(_, a_tail)], [(_, b_tail)]) => {
            a.head.starts_with(&b.head) && a_tail.ends_with(b_tail.as_str())
        }
        _ => false,
    }
}

/// A path that matches both.
#[must_use]
pub fn witness(a: &Template, b: &Template) -> Option<String> {
    let mut path = String::new();
    let length = a.segments().len().max(b.segments().len());
    for index in 0..length {
        path.push('/');
        let segment = match (a.segments().get(index), b.segments().get(index)) {
            (Some(a), Some(b)) => both(a, b)?,
            (Some(only), None) | (None, Some(only)) => both(only, only)?,
            (None, None) => String::new(),
        };
        path.push_str(&segment);
    }
    Some(path)
}

fn both(a: &Segment, b: &Segment) -> Option<String> {
    match (a, b) {
        (Segment::Literal(text), _) | (_, Segment::Literal(text)) => Some(text.clone()),
        (Segment::Parameter(_), Segment::Parameter(_)) => Some("x".into()),
        (Segment::Pattern(pattern), Segment::Parameter(_))
        | (Segment::Parameter(_), Segment::Pattern(pattern)) => Some(filled(pattern)),
        (Segment::Pattern(a), Segment::Pattern(b)) => common(a, b),
    }
}

fn filled(pattern: &Pattern) -> String {
    let rest: String = pattern
        .rest
        .iter()
        .map(|(_, literal)| format!("x{literal}"))
        .collect();
    format!("{}{rest}", pattern.head)
}

/// A text that matches both patterns, if one of the obvious ones does.
fn common(a: &Pattern, b: &Pattern) -> Option<String> {
    let tail = |pattern: &Pattern| {
        pattern
            .rest
            .last()
            .map_or(String::new(), |(_, literal)| literal.clone())
    };
    let longer = |a: String, b: String| if a.len() >= b.len() { a } else { b };
    let head = longer(a.head.clone(), b.head.clone());
    let tail = longer(tail(a), tail(b));
    let middle = |pattern: &Pattern| {
        let inner = &pattern.rest[..pattern.rest.len().saturating_sub(1)];
        inner
            .iter()
            .map(|(_, literal)| format!("x{literal}"))
            .collect::<String>()
    };
    let (first, second) = (middle(a), middle(b));
    let candidates = [
        format!("{head}x{tail}"),
        format!("{head}{first}x{tail}"),
        format!("{head}{second}x{tail}"),
        format!("{head}{first}{second}x{tail}"),
        format!("{head}{second}{first}x{tail}"),
        filled(a),
        filled(b),
    ];
    candidates
        .into_iter()
        .find(|text| a.matches(text) && b.matches(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(text: &str) -> Template {
        match text.strip_suffix("/**") {
            Some(prefix) => Template::parse(if prefix.is_empty() { "/" } else { prefix })
                .unwrap()
                .into_prefix(),
            None => Template::parse(text).unwrap(),
        }
    }

    #[test]
    fn subsets_of_templates() {
        let cases = [
            ("/a/b", "/a/{x}", true),
            ("/a/{x}", "/a/b", false),
            ("/a/{x}.json", "/a/{x}", true),
            ("/a/{x}", "/{y}/{x}", true),
            ("/a/b/c", "/a/**", true),
            ("/a", "/a/**", true),
            ("/a/**", "/a/{x}", false),
            ("/ax/b", "/a/**", false),
            ("/v{x}.json", "/{x}.json", true),
        ];
        for (a, b, expected) in cases {
            assert_eq!(subset(&template(a), &template(b)), expected, "{a} {b}");
        }
    }

    #[test]
    fn a_witness_matches_both() {
        assert_eq!(
            witness(&template("/a/{x}/c"), &template("/a/b/{y}")).as_deref(),
            Some("/a/b/c")
        );
        assert_eq!(
            witness(&template("/{a}.json"), &template("/v{b}")).as_deref(),
            Some("/vx.json")
        );
        assert_eq!(
            witness(&template("/{x}/c"), &template("/b/**")).as_deref(),
            Some("/b/c")
        );
    }
}
