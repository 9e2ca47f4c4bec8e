//! Workarounds for errors in the document of `gwc init --from`. So that the new project can be
//! built, gwc sets rule levels in gateway.yaml and writes overlay actions that remove faulty parts.
//!
//! The document itself does not change. Decisions that only the user can make are reported.

use std::collections::{BTreeMap, BTreeSet};

use diag::{Diagnostic, Level, NodeRef, Span};

use diag::text::printable;
use model::compile::{self, Compiled};

/// Maximum number of lines about open decisions.
const OPEN_MAX: usize = 10;

/// Changes to the new project that make it buildable: rule levels and overlay actions.
#[derive(Debug, Default)]
pub(super) struct ProjectRepairs {
    /// Rules whose level becomes `warn`, each with the number of its findings.
    levels: BTreeMap<&'static str, usize>,
    actions: Vec<Action>,
    /// JSONPaths of the parts that the overlay actions change.
    targets: BTreeSet<String>,
}

/// Overlay action that removes a part, or declares a path as an alias of another path.
#[derive(Debug)]
struct Action {
    /// JSONPath of the target (RFC 9535).
    target: String,
    /// Path of the operations that the target only documents (`alias_of`). `None`: the action
    /// removes the target.
    alias_of: Option<String>,
    /// Reason for the action, as written into the overlay.
    because: String,
}

/// Part of a document that an overlay can remove.
struct Part {
    /// JSONPath of the part in the document.
    target: String,
    /// JSONPath of the list that contains the part. Empty if the part is not in a list. `index`:
    /// index of the part in this list.
    list: String,
    index: usize,
}

/// Step from a node to a child.
#[derive(Clone, Copy)]
enum Step<'t> {
    Key(&'t str),
    Index(usize),
}

impl ProjectRepairs {
    /// Decides how to work around the errors of a compiled project. Returns true if a new decision
    /// was added.
    pub(super) fn add_decisions(&mut self, compiled: &Compiled) -> bool {
        let mut decided = false;
        let mut parts = Vec::new();
        for finding in compiled.findings.iter().filter(is_error) {
            if let Some((target, other)) = alias(compiled, finding) {
                let is_served = target_of(self.served(&other)) != target;
                if is_served && self.targets.insert(target.clone()) {
                    self.actions.push(Action {
                        target,
                        alias_of: Some(other),
                        because: printable(&finding.message),
                    });
                    decided = true;
                }
            } else if openapi::lint::hard::is_hard(finding.lint) {
                parts.extend(part(compiled, finding).map(|part| (part, finding)));
            } else {
                *self.levels.entry(finding.lint.name).or_default() += 1;
                decided = true;
            }
        }
        // Remove the last item of a list first, because a removal changes the indices of later
        // items.
        parts.sort_by(|(a, _), (b, _)| a.list.cmp(&b.list).then(b.index.cmp(&a.index)));
        for (part, finding) in parts {
            if self.targets.insert(part.target.clone()) {
                self.actions.push(Action {
                    target: part.target,
                    alias_of: None,
                    because: printable(&finding.message),
                });
                decided = true;
            }
        }
        decided
    }

    /// Follows aliases from a path to the path that serves the requests. An overlay action must
    /// name this path, because an alias of an alias is not allowed.
    fn served<'a>(&'a self, mut path: &'a str) -> &'a str {
        let next = |path: &str| {
            let target = target_of(path);
            let mut actions = self.actions.iter();
            let action = actions.find(|action| action.target == target)?;
            action.alias_of.as_deref()
        };
        while let Some(other) = next(path) {
            path = other;
        }
        path
    }

    /// Section `lint` for gateway.yaml, with the rule levels.
    pub(super) fn lint(&self) -> String {
        if self.levels.is_empty() {
            return String::new();
        }
        let mut text = String::from(
            "# Faults of the document when this project was made; `gwc explain NAME` explains one. Remove a line\n# once the document is fixed.\nlint:\n",
        );
        for (name, count) in &self.levels {
            text.push_str(&format!("  {name}: warn # {count} at first\n"));
        }
        text
    }

    /// Returns the actions as the last part of the overlay.
    pub(super) fn actions(&self) -> String {
        let actions = self.actions.iter().map(|action| {
            let target = serde_json::Value::from(action.target.as_str());
            let does = match &action.alias_of {
                Some(other) => {
                    let other = serde_json::Value::from(self.served(other));
                    format!("update: {{x-gateway: {{alias_of: {other}}}}}")
                }
                None => "remove: true".to_owned(),
            };
            format!("  # {}\n  - target: {target}\n    {does}\n", action.because)
        });
        actions.collect()
    }

    /// True if there are no decisions.
    pub(super) fn is_empty(&self) -> bool {
        self.levels.is_empty() && self.actions.is_empty()
    }

    /// Describes the decisions in one sentence.
    pub(super) fn summary(&self) -> String {
        let aliases = self.actions.iter();
        let aliases = aliases.filter(|action| action.alias_of.is_some()).count();
        let kinds = [
            ("rules lowered to warnings", self.levels.len()),
            ("parts removed by the overlay", self.actions.len() - aliases),
            ("paths that only document another path", aliases),
        ];
        let kinds = kinds.iter().filter(|(_, count)| *count > 0);
        let kinds: Vec<String> = kinds
            .map(|(kind, count)| format!("{kind} ({count})"))
            .collect();
        format!(
            "worked around {} in the document: {}",
            match self.levels.len() + self.actions.len() {
                1 => "1 kind of fault".to_owned(),
                count => format!("{count} kinds of faults"),
            },
            kinds.join(", ")
        )
    }
}

/// Open decisions, one line per rule.
pub(super) fn open(compiled: &Compiled) -> Vec<String> {
    let mut by_rule: BTreeMap<&str, Vec<&Diagnostic>> = BTreeMap::new();
    for finding in compiled.findings.iter().filter(is_error) {
        by_rule.entry(finding.lint.name).or_default().push(finding);
    }
    let left = by_rule.len().saturating_sub(OPEN_MAX);
    let mut lines: Vec<String> = by_rule
        .iter()
        .take(OPEN_MAX - usize::from(left > 0))
        .map(|(name, findings)| {
            let first = findings[0];
            let sources = &compiled.files.sources;
            let place = sources.position(first.span);
            let path = sources.file(first.span.file).path();
            let help = first
                .help
                .as_ref()
                .map(|help| format!("; {help}"))
                .unwrap_or_default();
            let more = match findings.len() - 1 {
                0 => String::new(),
                more => format!(" (and {more} more)"),
            };
            printable(&format!(
                "{path}:{}:{}: {name}: {}{help}{more}",
                place.line, place.column, first.message
            ))
        })
        .collect();
    if left > 0 {
        lines.push(format!("… and {} more rules (`gwc lint`)", left + 1));
    }
    lines
}

fn is_error(finding: &&Diagnostic) -> bool {
    finding.level == Level::Error
}

/// Finds the overlay action for two operations that match exactly the same requests. Returns the
/// JSONPath of the path item that becomes an alias, and the path that serves its requests. The
/// serving path has all methods of the alias.
fn alias(compiled: &Compiled, finding: &Diagnostic) -> Option<(String, String)> {
    const METHODS: [&str; 9] = [
        "get", "put", "post", "delete", "options", "head", "patch", "trace", "query",
    ];
    if finding.lint.name != "identical-route" {
        return None;
    }
    let document = compiled.files.documents().first()?;
    let paths = compiled.files.tree.at(document.root).get("paths")?;
    let at = |span: Span| {
        let mut entries = paths.entries();
        entries.find(|(entry, _)| entry.key_span == span)
    };
    let (one, other) = (at(finding.span)?, at(finding.related.first()?.0)?);
    if one.0.key_span == other.0.key_span {
        return None;
    }
    let has_all = |(_, of): &(_, NodeRef<'_>), (_, by): &(_, NodeRef<'_>)| {
        let mut methods = METHODS.iter().filter(|method| of.get(method).is_some());
        methods.all(|method| by.get(method).is_some())
    };
    let (alias, of) = match (has_all(&one, &other), has_all(&other, &one)) {
        (true, _) => (one, other),
        (false, true) => (other, one),
        (false, false) => return None,
    };
    Some((target_of(&alias.0.key), of.0.key.to_string()))
}

/// JSONPath of a path item.
fn target_of(key: &str) -> String {
    path(&[Step::Key("paths"), Step::Key(key)])
}

/// Returns the part of the document that must be removed to fix a finding.
fn part(compiled: &Compiled, finding: &Diagnostic) -> Option<Part> {
    let document = compiled.files.documents().first()?;
    if finding.span.file != document.file {
        return None;
    }
    let root = compiled.files.tree.at(document.root);
    let mut steps = Vec::new();
    if finding.lint.name == "duplicate-operation-id" {
        find(root, finding.span, &mut steps)?;
        let is_id = matches!(steps.last(), Some(Step::Key("operationId")));
        return is_id.then(|| Part {
            target: path(&steps),
            list: String::new(),
            index: 0,
        });
    }
    if !compile::is_of_contract(&compiled.files, finding) {
        return None;
    }
    find(root, finding.span, &mut steps)?;
    // A map with a broken `$ref` has no content, so remove the whole map.
    if matches!(steps.last(), Some(Step::Key("$ref"))) {
        steps.pop();
    }
    let (list, index) = match steps.split_last()? {
        (Step::Index(index), list) => (path(list), *index),
        (Step::Key(_), _) => (String::new(), 0),
    };
    Some(Part {
        target: path(&steps),
        list,
        index,
    })
}

/// Finds the innermost key or value at a span. Appends the steps from the node to it.
fn find<'t>(node: NodeRef<'t>, at: Span, steps: &mut Vec<Step<'t>>) -> Option<()> {
    let holds = |span: Span| {
        span.file == at.file && span.start <= at.start && at.start < span.end.max(span.start + 1)
    };
    for (entry, value) in node.entries() {
        steps.push(Step::Key(&entry.key));
        if holds(value.span()) {
            // If no child contains the span, this value is the innermost one.
            return find(value, at, steps).or(Some(()));
        }
        if holds(entry.key_span) {
            return Some(());
        }
        steps.pop();
    }
    for (index, item) in node.items().enumerate() {
        if holds(item.span()) {
            steps.push(Step::Index(index));
            return find(item, at, steps).or(Some(()));
        }
    }
    None
}

fn path(steps: &[Step<'_>]) -> String {
    let steps = steps.iter().map(|step| match step {
        Step::Key(key) => {
            let quoted = key.replace('\\', "\\\\").replace('\'', "\\'");
            format!("['{quoted}']")
        }
        Step::Index(index) => format!("[{index}]"),
    });
    std::iter::once("$".to_owned()).chain(steps).collect()
}
