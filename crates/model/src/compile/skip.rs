//! Faults of a document that is only compared. Parts that affect neither routing nor access are
//! left out, and the rest is compared.
//!
//! Such parts make up the contract: parameters, bodies, responses, schemas and examples. A broken
//! reference or an unknown value in one of them leaves only that part of the contract
//! undefined. In gateway.yaml such parts are the numbers of upstreams and listeners: the default
//! replaces a faulty one. A fault in any other part fails the comparison: `security`, paths,
//! servers, `x-gateway`.

use diag::{Diagnostic, NodeRef, Span};
use rustc_hash::FxHashSet;

use sources::project::GATEWAY_FILE;
use sources::project::files::Files;

/// Rules whose errors leave only their own part open.
const LOCAL: [&str; 11] = [
    "unresolved-reference",
    "reference-cycle",
    "wrong-reference-kind",
    "unknown-value",
    "missing-file",
    "outside-project",
    "remote-file",
    "untracked-source",
    "malformed-component-name",
    "duplicate-map-key",
    "unknown-anchor",
];

/// Rules about keys and values of gateway.yaml whose errors leave only their own setting open.
const OF_SETTINGS: [&str; 4] = ["unknown-key", "wrong-type", "bad-value", "unit-missing"];

/// Keys of upstreams and listeners below which there are only numbers.
const NUMBERS: [(&str, &[&str]); 2] = [
    (
        "upstreams",
        &["timeouts", "limits", "retries", "circuit_breaker", "health"],
    ),
    ("listeners", &["limits"]),
];

/// Keys of a document with only the contract below them.
const CONTRACT: [&str; 12] = [
    "parameters",
    "requestBody",
    "requestBodies",
    "responses",
    "callbacks",
    "schemas",
    "examples",
    "headers",
    "links",
    "webhooks",
    "definitions",
    "tags",
];

/// Keys below which no part is left out.
const DECIDES: [&str; 4] = [
    "security",
    "securitySchemes",
    "securityDefinitions",
    "servers",
];

/// True if a finding affects only a part of a contract.
#[must_use]
pub fn is_of_contract(files: &Files, finding: &Diagnostic) -> bool {
    let mut one = vec![finding.clone()];
    !skipped(files, &mut one).is_empty()
}

/// Removes and returns the findings that affect only a part of a contract.
pub(super) fn skipped(files: &Files, findings: &mut Vec<Diagnostic>) -> Vec<Diagnostic> {
    let is_local = |finding: &Diagnostic| LOCAL.contains(&finding.lint.name);
    let is_of_settings = |finding: &Diagnostic| OF_SETTINGS.contains(&finding.lint.name);
    if !findings
        .iter()
        .any(|one| is_local(one) || is_of_settings(one))
    {
        return Vec::new();
    }
    let parts = Parts::of(files);
    let numbers = numbers(files);
    let all = std::mem::take(findings);
    let (skipped, left): (Vec<_>, Vec<_>) = all.into_iter().partition(|finding| {
        is_local(finding) && parts.hold(finding.span)
            || is_of_settings(finding) && numbers.iter().any(|part| holds(part, finding.span))
    });
    *findings = left;
    skipped
}

/// Parts of gateway.yaml with only numbers.
fn numbers(files: &Files) -> Vec<Span> {
    let all = files.sources.iter();
    let mut all = all.filter(|(_, source)| source.path() == GATEWAY_FILE);
    let root = all.find_map(|(file, _)| files.root(file));
    let Some(root) = root.map(|root| files.tree.at(root)) else {
        return Vec::new();
    };
    let parts = NUMBERS.iter().flat_map(|(group, keys)| {
        let things = root.get(group).into_iter().flat_map(NodeRef::entries);
        things.flat_map(|(_, thing)| keys.iter().filter_map(move |key| thing.get(key)))
    });
    parts.map(NodeRef::span).collect()
}

/// True if a part contains the beginning of a span.
fn holds(part: &Span, at: Span) -> bool {
    part.file == at.file && part.start <= at.start && at.start < part.end.max(part.start + 1)
}

/// Skippable parts of every document, with its overlays, and of the files that it refers to.
#[derive(Default)]
struct Parts {
    /// Spans of whole parts, for findings in text that no value holds, such as the second of two
    /// equal keys.
    wholes: Vec<Span>,
    /// Spans of values and keys in the parts, sorted, because overlays come from other files.
    leaves: Vec<Span>,
    /// Spans of `x-gateway` within the parts.
    extensions: Vec<Span>,
}

impl Parts {
    fn of(files: &Files) -> Self {
        let documents = files.documents();
        let roots = documents.iter().map(|document| document.root);
        let others = files
            .sources
            .iter()
            .filter_map(|(file, _)| files.root(file));
        let mut seen = FxHashSet::default();
        let mut parts = Self::default();
        for root in roots.chain(others) {
            let mut waiting = vec![files.tree.at(root)];
            while let Some(node) = waiting.pop() {
                if !(node.is_map() || node.is_list()) || !seen.insert(node.id()) {
                    continue;
                }
                for (entry, value) in node.entries() {
                    let key = &*entry.key;
                    if CONTRACT.contains(&key) {
                        parts.wholes.push(value.span());
                        parts.add(value);
                    } else if !DECIDES.contains(&key) && !key.starts_with("x-") {
                        waiting.push(value);
                    }
                }
                waiting.extend(node.items());
            }
        }
        parts
            .leaves
            .sort_unstable_by_key(|part| (part.file, part.start));
        parts
    }

    /// Adds the content of a part, except below extensions.
    fn add(&mut self, node: NodeRef<'_>) {
        let mut waiting = vec![node];
        let mut seen = FxHashSet::default();
        while let Some(node) = waiting.pop() {
            if !seen.insert(node.id()) {
                continue;
            }
            if node.entries().len() == 0 && node.items().len() == 0 {
                self.leaves.push(node.span());
            }
            for (entry, value) in node.entries() {
                if entry.key.starts_with("x-gateway") {
                    self.extensions.push(value.span());
                } else {
                    self.leaves.push(entry.key_span);
                    waiting.push(value);
                }
            }
            waiting.extend(node.items());
        }
    }

    fn hold(&self, at: Span) -> bool {
        let is_in = |part: &Span| holds(part, at);
        let before = self
            .leaves
            .partition_point(|part| (part.file, part.start) <= (at.file, at.start));
        self.leaves[..before].last().is_some_and(is_in)
            || self.wholes.iter().any(is_in) && !self.extensions.iter().any(is_in)
    }
}
