//! How far a mistake reaches: a mistake in a shared component is said once, at its place, with
//! the number of references that lead there.

use std::collections::{HashMap, HashSet};

use diag::{Diagnostic, Span};
use rustc_hash::FxHashSet;

use crate::project::files::Files;
use crate::spec::reference::{Resolver, reference};

/// Counts, for each finding, the references to the innermost value that it stands in and that
/// something refers to.
pub(super) fn count(files: &Files, findings: &mut [Diagnostic]) {
    if findings.is_empty() {
        return;
    }
    let targets = targets(files);
    for finding in findings {
        let span = finding.span;
        let holds = |outer: &Span| {
            outer.file == span.file && outer.start <= span.start && span.end <= outer.end
        };
        let around = targets.iter().filter(|(outer, _)| holds(outer));
        let innermost = around.min_by_key(|(outer, _)| outer.end - outer.start);
        finding.places = innermost.map_or(1, |(_, count)| *count);
    }
}

/// What references lead to, in the order of place, with their number.
fn targets(files: &Files) -> Vec<(Span, usize)> {
    let mut counts: HashMap<Span, usize> = HashMap::new();
    let mut counted = HashSet::new();
    for document in files.documents() {
        let resolver = Resolver::new(files, document);
        let mut seen = FxHashSet::default();
        let mut waiting = vec![resolver.root()];
        while let Some(node) = waiting.pop() {
            if !(node.is_map() || node.is_list()) || !seen.insert(node.id()) {
                continue;
            }
            if let Some(text) = reference(node)
                && let Ok(target) = resolver.target(text)
            {
                // The same reference in two copies of a document is one place.
                if counted.insert((text.span(), target.span())) {
                    *counts.entry(target.span()).or_default() += 1;
                }
                waiting.push(target);
            }
            waiting.extend(node.entries().map(|(_, value)| value));
            waiting.extend(node.items());
        }
    }
    let mut targets: Vec<(Span, usize)> = counts.into_iter().collect();
    targets.sort_unstable();
    targets
}
