//! Errors in sources that do not prevent a comparison (`gwc plan`). The parts with these errors
//! affect neither routing nor access. The comparison leaves them out, or is wrong for them.
//!
//! In a document, these parts form the contract: parameters, bodies, responses, schemas and
//! examples. A broken reference or an unknown value leaves only that part undefined. In
//! gateway.yaml, these parts are the limits of listeners, and the timeouts, limits, retries,
//! circuit breakers and health checks of upstreams. For such a part with an error, the comparison
//! uses the default. In `defaults` and `x-gateway`, these parts are limits and unknown keys. For a
//! policy that limits requests, the settings that can be read are compared. An error in any other
//! part (`security`, paths, servers, keys of `x-gateway` that decide access or routing) fails the
//! comparison.

use diag::{Diagnostic, Level, NodeRef, Span};
use rustc_hash::FxHashSet;

use sources::project::GATEWAY_FILE;
use sources::project::files::Files;

/// Rules for which an error leaves only the reported part undefined.
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

/// Rules for which gwc reads the reported part of a message otherwise than its author means it. The
/// error does not stop a comparison, which is then wrong for this part.
const MISREAD: [&str; 6] = [
    "wrong-field-type",
    "duplicate-parameter",
    "parameter-without-schema",
    "querystring-beside-query",
    "limit-of-other-version",
    "type-of-other-version",
];

/// Like [`MISREAD`]: a parameter without a required field is left out, and so is what stands beside
/// the `$ref` of a path item.
const OUTSIDE: [&str; 2] = ["missing-field", "ignored-path-item"];

/// Rules about keys and values for which an error leaves only the reported setting undefined.
const OF_SETTINGS: [&str; 5] = [
    "unknown-key",
    "wrong-type",
    "missing-key",
    "bad-value",
    "unit-missing",
];

/// Keys of upstreams and listeners that decide neither access nor routing, such as limits and
/// timeouts.
const NUMBERS: [(&str, &[&str]); 2] = [
    (
        "upstreams",
        &["timeouts", "limits", "retries", "circuit_breaker", "health"],
    ),
    ("listeners", &["limits"]),
];

/// Keys of `defaults` and of `x-gateway` that decide neither access nor routing.
const LIMITS: [&str; 7] = [
    "cost",
    "idempotent",
    "owner",
    "retries",
    "stream",
    "tags",
    "timeout",
];

/// Kinds of policies that are compared without the settings that have an error.
const COMPARED: [&str; 6] = [
    "circuit_breaker",
    "concurrency",
    "quota",
    "rate_limit",
    "retry",
    "timeout",
];

/// Keys of a document that contain only parts of messages.
const MESSAGES: [&str; 9] = [
    "parameters",
    "requestBody",
    "requestBodies",
    "responses",
    "callbacks",
    "schemas",
    "headers",
    "webhooks",
    "definitions",
];

/// Keys of a document that contain only other parts of the contract.
const BESIDE_MESSAGES: [&str; 3] = ["examples", "links", "tags"];

/// Keys of text for readers.
const PROSE: [&str; 3] = ["title", "summary", "description"];

/// Keys whose content decides access or routing, so that no part of the content may be left out.
const DECIDES: [&str; 4] = [
    "security",
    "securitySchemes",
    "securityDefinitions",
    "servers",
];

/// True if a finding affects only a part that can be left out: a part of a contract, or a limit of
/// an upstream.
#[must_use]
pub fn is_of_contract(files: &Files, finding: &Diagnostic) -> bool {
    let mut one = vec![finding.clone()];
    !skipped(files, &mut one).is_empty()
}

/// Removes and returns the findings that affect only parts that can be left out. Also returns copies
/// of the errors because of which a part of a message is compared wrongly.
pub(super) fn skipped_and_misread(
    files: &Files,
    findings: &mut Vec<Diagnostic>,
) -> Vec<Diagnostic> {
    let mut all = skipped(files, findings);
    all.extend(misread(files, findings));
    all
}

/// Removes and returns the findings that affect only parts that can be left out.
fn skipped(files: &Files, findings: &mut Vec<Diagnostic>) -> Vec<Diagnostic> {
    let is_local =
        |finding: &Diagnostic| finding.level == Level::Error && LOCAL.contains(&finding.lint.name);
    let is_of_settings = |finding: &Diagnostic| OF_SETTINGS.contains(&finding.lint.name);
    if !findings
        .iter()
        .any(|one| is_local(one) || is_of_settings(one))
    {
        return Vec::new();
    }
    let parts = Parts::of(files, &[&MESSAGES[..], &BESIDE_MESSAGES].concat());
    let numbers = numbers(files);
    let settings = SettingParts::of(files);
    let all = std::mem::take(findings);
    let (skipped, left): (Vec<_>, Vec<_>) = all.into_iter().partition(|finding| {
        let is_number = || numbers.iter().any(|part| holds(part, finding.span));
        is_local(finding) && parts.hold(finding.span)
            || is_of_settings(finding) && (is_number() || settings.hold(finding))
    });
    *findings = left;
    skipped
}

/// Returns the errors because of which a part of a message is compared wrongly, see [`MISREAD`] and
/// [`OUTSIDE`]. A misspelt field has no effect.
fn misread(files: &Files, findings: &[Diagnostic]) -> Vec<Diagnostic> {
    let errors = findings.iter().filter(|one| one.level == Level::Error);
    let errors: Vec<&Diagnostic> = errors
        .filter(|one| {
            let name = one.lint.name;
            MISREAD.contains(&name) || OUTSIDE.contains(&name) || is_misspelt(one)
        })
        .collect();
    if errors.is_empty() {
        return Vec::new();
    }
    // Clients send messages to the servers.
    let messages = Parts::of(files, &[&MESSAGES[..], &["servers"]].concat());
    let parameters = Parts::of(files, &["parameters"]);
    let misread = errors.into_iter().filter(|one| match one.lint.name {
        "missing-field" => parameters.hold(one.span),
        "ignored-path-item" => true,
        _ => messages.hold(one.span) && !messages.is_prose(one.span),
    });
    misread.cloned().collect()
}

fn is_misspelt(finding: &Diagnostic) -> bool {
    finding.lint.name == "unknown-field" && !finding.fix.is_empty()
}

/// Spans of the values of the keys [`NUMBERS`] in gateway.yaml, such as the limits of a listener.
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

/// Skippable parts of policies, `defaults` and `x-gateway`.
#[derive(Default)]
struct SettingParts {
    /// Policies, and values of [`LIMITS`].
    values: Vec<Span>,
    /// Keys of `defaults` and `x-gateway`. An unknown key has no effect.
    keys: Vec<Span>,
}

impl SettingParts {
    fn of(files: &Files) -> Self {
        let mut parts = Self::default();
        let roots = files.sources.iter().filter_map(|(file, source)| {
            let root = files.tree.at(files.root(file)?);
            Some((source.path() == GATEWAY_FILE, root))
        });
        for (is_gateway, root) in roots {
            if is_gateway {
                parts.add_definitions(root);
                continue;
            }
            let Some(paths) = root.get("paths") else {
                continue;
            };
            if let Some(extension) = root.get("x-gateway") {
                parts.add_definitions(extension);
                parts.add(extension);
            }
            for (_, item) in paths.entries() {
                let operations = item.entries().map(|(_, operation)| operation);
                let nodes = operations.filter(|node| node.is_map()).chain([item]);
                let extensions = nodes.filter_map(|node| node.get("x-gateway"));
                extensions.for_each(|extension| parts.add(extension));
            }
        }
        parts
    }

    fn add_definitions(&mut self, node: NodeRef<'_>) {
        let policies = node.get("policies").into_iter();
        let policies = policies
            .flat_map(NodeRef::entries)
            .map(|(_, policy)| policy);
        // Rates and parameters are compared by their settings. All other policies are compared by
        // their effect, which is unknown if a setting has an error. A size that cannot be read
        // would count as no limit.
        let compared = policies.filter(|policy| {
            let kind = policy.get("kind").and_then(NodeRef::scalar_text);
            kind.is_some_and(|kind| COMPARED.contains(&kind))
        });
        self.values.extend(compared.map(NodeRef::span));
        if let Some(defaults) = node.get("defaults") {
            self.add(defaults);
        }
    }

    fn add(&mut self, node: NodeRef<'_>) {
        for (entry, value) in node.entries() {
            self.keys.push(entry.key_span);
            if LIMITS.contains(&&*entry.key) {
                self.values.push(value.span());
            }
        }
    }

    fn hold(&self, finding: &Diagnostic) -> bool {
        let at = finding.span;
        let is_unread = finding.lint.name == "unknown-key";
        self.values.iter().any(|part| holds(part, at))
            || is_unread && self.keys.iter().any(|key| holds(key, at))
    }
}

/// True if the span of a skippable part contains the start of a span.
fn holds(part: &Span, at: Span) -> bool {
    part.file == at.file && part.start <= at.start && at.start < part.end.max(part.start + 1)
}

/// Parts that a comparison can leave out, of each document, its overlays, and the files to which it
/// refers.
#[derive(Default)]
struct Parts {
    /// Spans of whole parts. Needed for findings in text without a node, such as the second of two
    /// equal keys.
    wholes: Vec<Span>,
    /// Spans of the values and keys in the parts, sorted. Needed because overlays add values from
    /// other files.
    leaves: Vec<Span>,
    /// Spans of `x-gateway` inside the skipped parts. Findings in these spans are still reported.
    extensions: Vec<Span>,
    /// Spans of single values of the keys [`PROSE`].
    prose: Vec<Span>,
}

impl Parts {
    /// Finds the values of these keys, outside the keys [`DECIDES`].
    fn of(files: &Files, keys: &[&str]) -> Self {
        let documents = files.documents();
        let roots = documents.iter().map(|document| document.root);
        let others = files.sources.iter();
        let others = others.filter(|(_, source)| source.path() != GATEWAY_FILE);
        let others = others.filter_map(|(file, _)| files.root(file));
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
                    if keys.contains(&key) {
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

    /// Adds the spans of a part. Does not descend into `x-gateway`.
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
                    continue;
                }
                if PROSE.contains(&&*entry.key) && !value.is_map() {
                    self.prose.push(value.span());
                }
                self.leaves.push(entry.key_span);
                waiting.push(value);
            }
            waiting.extend(node.items());
        }
    }

    fn is_prose(&self, at: Span) -> bool {
        self.prose.iter().any(|part| holds(part, at))
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
