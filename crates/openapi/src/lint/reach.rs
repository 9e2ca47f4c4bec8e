//! Number of places that a mistake affects. A mistake in a shared component is reported once, with
//! the number of references to the component. A mistake that an overlay's wildcard adds to many
//! objects is reported once, with the number of objects.

use diag::{Diagnostic, NodeRef, Span};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::spec::reference::{Resolver, reference};
use sources::project::files::Files;

/// Sets the number of places that each finding affects. The number counts the references to the
/// innermost shared value that contains the finding. For a value of an overlay, it counts the
/// places to which the overlay added the value.
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
        let count = innermost.map_or(1, |(_, count)| *count);
        finding.places = finding.places.max(count);
    }
}

/// Merges findings of the same lint at the same place of an overlay into the first one. One action
/// may change several values, and the messages may differ.
pub(super) fn merged(files: &Files, findings: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let documents = files.documents();
    let of_overlay = |span: Span| {
        let mut documents = documents.iter();
        documents.any(|document| document.overlays.contains(&span.file))
    };
    let mut merged: Vec<Diagnostic> = Vec::with_capacity(findings.len());
    for finding in findings {
        // Findings are sorted by source location, then by code, so findings to be merged are
        // adjacent.
        match merged.last_mut() {
            Some(last)
                if last.span == finding.span
                    && last.lint.code == finding.lint.code
                    && of_overlay(finding.span) =>
            {
                last.places += 1;
            }
            _ => merged.push(finding),
        }
    }
    merged
}

/// Targets of references and values that overlays added, sorted by span, each with its number of
/// places.
fn targets(files: &Files) -> Vec<(Span, usize)> {
    let mut counts: FxHashMap<Span, usize> = FxHashMap::default();
    let mut counted = FxHashSet::default();
    for document in files.documents() {
        let resolver = Resolver::new(files, document);
        let mut seen = FxHashSet::default();
        let mut waiting = vec![resolver.root()];
        while let Some(node) = waiting.pop() {
            if !seen.insert(node.id()) {
                continue;
            }
            if let Some(text) = reference(node)
                && let Ok(target) = resolver.target(text)
            {
                // Several documents may share a file; count its references once.
                if counted.insert((text.span(), target.span())) {
                    *counts.entry(target.span()).or_default() += 1;
                }
                waiting.extend(Some(target).filter(|target| has_parts(*target)));
            }
            // A value that an overlay added is one node, even if it occurs at many places of the
            // document.
            let outer = node.span();
            let put_in = |at: Span| {
                let inside =
                    at.file == outer.file && outer.start <= at.start && at.end <= outer.end;
                document.overlays.contains(&at.file) && !inside
            };
            for (entry, value) in node.entries() {
                let (key, value_at) = (entry.key_span, value.span());
                if put_in(key) && key.file == value_at.file && key.end <= value_at.start {
                    let whole = Span {
                        end: value_at.end,
                        ..key
                    };
                    *counts.entry(whole).or_default() += 1;
                } else if put_in(value_at) {
                    *counts.entry(value_at).or_default() += 1;
                }
                waiting.extend(Some(value).filter(|value| has_parts(*value)));
            }
            for item in node.items() {
                if put_in(item.span()) {
                    *counts.entry(item.span()).or_default() += 1;
                }
                waiting.extend(Some(item).filter(|item| has_parts(*item)));
            }
        }
    }
    let mut targets: Vec<(Span, usize)> = counts.into_iter().collect();
    targets.sort_unstable();
    targets
}

fn has_parts(node: NodeRef<'_>) -> bool {
    node.is_map() || node.is_list()
}
