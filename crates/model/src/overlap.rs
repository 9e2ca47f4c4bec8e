//! Comparison of path templates: overlap, containment, and an example path.
//!
//! Overlapping templates are found by walking all templates together, segment by segment. Ten
//! thousand templates with different prefixes then take ten thousand steps, not a hundred million.

use std::collections::BTreeMap;

use bundle::ir::{Segment, Template};

use super::segment;

/// Number of overlapping pairs after which the search stops.
const PAIRS_MAX: usize = 200_000;

/// Pairs of templates in `group` that match a common path. Each pair is listed once, in either
/// order of its indices.
#[must_use]
pub fn within(templates: &[&Template], group: &[usize]) -> Pairs {
    let max = pairs_max();
    let mut walk = Walk {
        templates,
        pairs: Vec::new(),
        max,
        steps: 0,
    };
    walk.within(group, 0);
    Pairs {
        is_complete: walk.pairs.len() <= max,
        steps: walk.steps,
        all: walk.pairs,
    }
}

/// Pairs of overlapping templates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pairs {
    /// The pairs that were found, as indices of the templates.
    pub all: Vec<(usize, usize)>,
    /// False if the search stopped because there are too many pairs.
    pub is_complete: bool,
    /// Number of segments that the search looked at.
    pub steps: usize,
}

/// Number of overlapping pairs after which the search stops.
#[cfg(not(debug_assertions))]
pub(crate) fn pairs_max() -> usize {
    PAIRS_MAX
}

/// Number of overlapping pairs after which the search stops.
#[cfg(debug_assertions)]
pub(crate) fn pairs_max() -> usize {
    MAX.get()
}

/// Sets the maximum number of pairs while `run` runs on this thread. Debug builds only.
#[cfg(debug_assertions)]
pub fn with_pairs<R>(max: usize, run: impl FnOnce() -> R) -> R {
    let before = MAX.replace(max);
    let done = run();
    MAX.set(before);
    done
}

#[cfg(debug_assertions)]
thread_local! {
    static MAX: std::cell::Cell<usize> = const { std::cell::Cell::new(PAIRS_MAX) };
}

struct Walk<'r> {
    templates: &'r [&'r Template],
    pairs: Vec<(usize, usize)>,
    /// Number of pairs after which the search stops.
    max: usize,
    /// Number of segments that were looked at.
    steps: usize,
}

/// Routes of a group, divided by the kind of their segment at one depth: literal, case-insensitive
/// literal, pattern, or parameter.
#[derive(Default)]
struct Parts<'r> {
    ended: Vec<usize>,
    prefixes: Vec<usize>,
    literals: BTreeMap<&'r str, Vec<usize>>,
    /// Routes with a case-insensitive literal, by the literal in lower case.
    folded: BTreeMap<&'r str, Vec<usize>>,
    patterns: BTreeMap<(String, bool), (&'r Segment, Vec<usize>)>,
    parameters: Vec<usize>,
}

impl<'r> Walk<'r> {
    /// Finds overlapping pairs among the routes of one group. The segments of these routes before
    /// `depth` overlap.
    fn within(&mut self, group: &[usize], depth: usize) {
        if group.len() < 2 || self.pairs.len() > self.max {
            return;
        }
        let parts = self.parts(group, depth);
        self.all_pairs(&parts.ended);
        self.all_pairs(&parts.prefixes);
        self.cross(&parts.prefixes, &self.continuing(group, depth));
        for same in parts.literals.values().chain(parts.folded.values()) {
            self.within(same, depth + 1);
        }
        for (_, same) in parts.patterns.values() {
            self.within(same, depth + 1);
        }
        self.within(&parts.parameters, depth + 1);
        self.across(&parts, &parts, depth);
        let patterns: Vec<_> = parts.patterns.values().collect();
        for (index, (pattern, routes)) in patterns.iter().enumerate() {
            self.between(routes, &parts.parameters, depth + 1);
            for (other, others) in &patterns[index + 1..] {
                if segment::overlap(pattern, other) {
                    self.between(routes, others, depth + 1);
                }
            }
        }
    }

    /// Finds overlapping pairs of a route in `left` and a route in `right`.
    fn between(&mut self, left: &[usize], right: &[usize], depth: usize) {
        if left.is_empty() || right.is_empty() || self.pairs.len() > self.max {
            return;
        }
        let (a, b) = (self.parts(left, depth), self.parts(right, depth));
        self.cross(&a.ended, &b.ended);
        self.cross(&a.prefixes, right);
        self.cross(&self.continuing(left, depth), &b.prefixes);
        for (own, other) in [(&a.literals, &b.literals), (&a.folded, &b.folded)] {
            for (text, routes) in own {
                if let Some(same) = other.get(text) {
                    self.between(routes, same, depth + 1);
                }
            }
        }
        self.across(&a, &b, depth);
        self.across(&b, &a, depth);
        for (pattern, routes) in a.patterns.values() {
            self.between(routes, &b.parameters, depth + 1);
            for (other, others) in b.patterns.values() {
                if segment::overlap(pattern, other) {
                    self.between(routes, others, depth + 1);
                }
            }
        }
        for (_, routes) in b.patterns.values() {
            self.between(routes, &a.parameters, depth + 1);
        }
        self.between(&a.parameters, &b.parameters, depth + 1);
    }

    /// Finds overlapping pairs of a route with a literal in `own` and a route with a parameter or
    /// pattern in `other`.
    fn across(&mut self, own: &Parts<'r>, other: &Parts<'r>, depth: usize) {
        for (text, routes) in &own.literals {
            if let Some(folded) = other.folded.get(text.to_ascii_lowercase().as_str()) {
                self.between(routes, folded, depth + 1);
            }
            let literal = || Segment::Literal((*text).to_owned());
            self.literal_against(&literal, routes, other, depth);
        }
        for (text, routes) in &own.folded {
            let literal = || Segment::Folded((*text).to_owned());
            self.literal_against(&literal, routes, other, depth);
        }
    }

    fn literal_against(
        &mut self,
        literal: &dyn Fn() -> Segment,
        routes: &[usize],
        other: &Parts<'r>,
        depth: usize,
    ) {
        if !other.patterns.is_empty() {
            let literal = literal();
            for (pattern, others) in other.patterns.values() {
                if segment::overlap(&literal, pattern) {
                    self.between(routes, others, depth + 1);
                }
            }
        }
        if !other.parameters.is_empty() && literal() != Segment::Literal(String::new()) {
            self.between(routes, &other.parameters, depth + 1);
        }
    }

    fn parts(&mut self, group: &[usize], depth: usize) -> Parts<'r> {
        self.steps += group.len();
        let mut parts = Parts::default();
        for &route in group {
            let template = self.templates[route];
            match template.segments().get(depth) {
                None if template.is_prefix() => parts.prefixes.push(route),
                None => parts.ended.push(route),
                Some(Segment::Literal(text)) => parts.literals.entry(text).or_default().push(route),
                Some(Segment::Folded(text)) => parts.folded.entry(text).or_default().push(route),
                Some(Segment::Parameter(_)) => parts.parameters.push(route),
                Some(segment @ Segment::Pattern(pattern)) => {
                    parts
                        .patterns
                        .entry((pattern.erased(), pattern.folded))
                        .or_insert_with(|| (segment, Vec::new()))
                        .1
                        .push(route);
                }
            }
        }
        parts
    }

    /// Routes of a group that have segments after this depth. Leaves out prefixes that end here.
    fn continuing(&self, group: &[usize], depth: usize) -> Vec<usize> {
        let ends = |route: &usize| {
            let template = self.templates[*route];
            template.is_prefix() && template.segments().len() == depth
        };
        group.iter().copied().filter(|route| !ends(route)).collect()
    }

    fn all_pairs(&mut self, group: &[usize]) {
        for (index, a) in group.iter().enumerate() {
            self.cross(&[*a], &group[index + 1..]);
        }
    }

    fn cross(&mut self, left: &[usize], right: &[usize]) {
        for &a in left {
            for &b in right {
                if self.pairs.len() <= self.max {
                    self.pairs.push((a, b));
                }
            }
        }
    }
}

/// True if `b` matches every path that `a` matches.
#[must_use]
pub fn subset(a: &Template, b: &Template) -> bool {
    let (left, right) = (a.segments(), b.segments());
    if left.len() < right.len() || !b.is_prefix() && (left.len() != right.len() || a.is_prefix()) {
        return false;
    }
    left.iter().zip(right).all(|(a, b)| segment::within(a, b))
}

/// Returns a path that matches both templates.
#[must_use]
pub fn witness(a: &Template, b: &Template) -> Option<String> {
    let mut path = String::new();
    let length = a.segments().len().max(b.segments().len());
    for index in 0..length {
        path.push('/');
        let segment = match (a.segments().get(index), b.segments().get(index)) {
            (Some(a), Some(b)) => segment::common(a, b)?,
            (Some(only), None) | (None, Some(only)) => segment::common(only, only)?,
            (None, None) => String::new(),
        };
        path.push_str(&segment);
    }
    Some(path)
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

    /// Templates `/kN/{p}` and `/{p}/kN`, each of which overlaps with half of all templates. If
    /// `overlap` is false: templates that do not overlap.
    fn templates(count: usize, overlap: bool) -> Vec<Template> {
        let text = |index: usize| match (overlap, index % 2) {
            (true, 0) => format!("/k{index}/{{p}}"),
            (true, _) => format!("/{{p}}/k{index}"),
            (false, _) => format!("/k{index}/{{p}}/a"),
        };
        (0..count).map(|index| template(&text(index))).collect()
    }

    #[test]
    fn search_for_overlaps_takes_linear_steps() {
        for (overlap, count) in [(false, 1_000), (false, 8_000), (true, 1_000), (true, 8_000)] {
            let templates = templates(count, overlap);
            let all: Vec<&Template> = templates.iter().collect();
            let group: Vec<usize> = (0..count).collect();
            let found = within(&all, &group);
            assert_eq!(found.is_complete, !overlap, "{count}");
            let most = 4 * (count + found.all.len());
            assert!(
                found.steps <= most,
                "{count}: {} steps, {most} at most",
                found.steps
            );
        }
    }

    /// Regression test: pairs of a literal and a parameter are compared without automata. With
    /// automata, this document of 255 KB took seven times as long as Stripe's OpenAPI document.
    #[test]
    fn overlaps_of_a_255_kb_document_need_no_automaton() {
        let operation = |template: &Template| {
            format!(
                "  {template}: {{get: {{operationId: a1000, parameters: [{{name: p, in: path, \
                 required: true, schema: {{type: string}}}}], responses: {{'200': {{description: ok}}}}}}}}\n"
            )
        };
        let bytes = [411, 1_644].map(|count| {
            let templates = templates(count, true);
            let all: Vec<&Template> = templates.iter().collect();
            let group: Vec<usize> = (0..count).collect();
            let before = segment::COMPARED.get();
            let found = within(&all, &group);
            assert_eq!(found.is_complete, count == 411, "{count}");
            for (a, b) in &found.all[..1_000] {
                let (a, b) = (all[*a], all[*b]);
                assert!(witness(a, b).is_some(), "{a} {b}");
            }
            assert_eq!(segment::COMPARED.get() - before, 0, "{count}");
            // The number of steps is proportional to the number of templates and of found pairs.
            let most = 4 * (count + found.all.len());
            assert!(found.steps <= most, "{count}: {} steps", found.steps);
            let bytes: usize = templates.iter().map(|one| operation(one).len()).sum();
            bytes
        });
        assert_eq!(bytes[1] / 1_000, 255, "{bytes:?}");
    }

    #[test]
    fn subset_of_templates_compares_their_matched_paths() {
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
            Some("/v.json")
        );
        assert_eq!(
            witness(&template("/{x}/c"), &template("/b/**")).as_deref(),
            Some("/b/c")
        );
    }
}
