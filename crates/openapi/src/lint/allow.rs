//! `x-gateway-lint: {allow: [RULE]}` silences the findings of a rule at a node.
//!
//! The setting covers everything inside the node after overlays are applied: an overlay may contain
//! the setting, and values that an overlay adds are covered. Targets of `$ref`s inside the node are
//! not covered. Hard rules, whose findings prevent a build, cannot be silenced. An unknown rule
//! name is an error, because the setting would have no effect. `reason` is for readers only.
//!
//! An entry can also be the name of a check of client contracts ([`vocab::checks`]). Plans then
//! report the check at the level `info`. Such an entry has an effect at an operation, a path item or
//! the root of a document. [`UNUSED`] reports it elsewhere.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashSet};

use diag::shape::{self, Field, Object, Shape};
use diag::{Diagnostic, FileId, Level, Lint, NodeId, NodeRef, Sink, Span, suggest};
use rustc_hash::FxHashSet;
use vocab::checks;

use super::find::{self, Unknown, find};
use crate::lint::hard::is_hard;
use sources::project::files::{Document, Files};
use sources::v30;

/// A name in `allow` that is not the name of an allowable rule.
pub static LINT: Lint = Lint {
    code: "GW0308",
    name: "unknown-rule",
    level: Level::Error,
    summary: "`x-gateway-lint` names an unknown rule, or one that cannot be allowed",
    explain: "`x-gateway-lint: {allow: [RULE], reason: TEXT}` silences a rule for everything \
inside the node; an overlay may add the key, too. Write the rule's name or code (`gwc rules` lists \
them). A rule whose findings prevent a build cannot be silenced.",
    bad: v30!("paths: {}\nx-gateway-lint: {allow: [duplicate-tags]}\n"),
    good: v30!(
        "paths: {}\nx-gateway-lint: {allow: [duplicate-tag]}\ntags: [{name: a}, {name: a}]\n"
    ),
};

/// A name in `allow` that silences no finding.
pub static UNUSED: Lint = Lint {
    code: "GW0309",
    name: "unused-allow",
    level: Level::Info,
    summary: "`x-gateway-lint` allows a rule that has no finding there",
    explain: "The finding was fixed, or it is elsewhere. An entry that silences nothing now would \
hide the next finding of the same rule, so remove it. Entries for rules whose level is `off` are \
not reported. An entry that names a check of client contracts (docs/breaking-changes.md) has an \
effect only at an operation, a path item or the root of a document.",
    bad: v30!("paths: {}\nx-gateway-lint: {allow: [duplicate-tag]}\ntags: [{name: a}]\n"),
    good: v30!(
        "paths: {}\nx-gateway-lint: {allow: [duplicate-tag]}\ntags: [{name: a}, {name: a}]\n"
    ),
};

/// Key of the setting: `x-gateway-lint`.
pub const KEY: &str = sources::project::LINT_KEY;

static SHAPE: Object = Object {
    what: "the lint settings of a node",
    rules: &[],
    fields: &[
        Field::optional(
            "allow",
            Shape::List(&Shape::Text),
            "Names or codes of rules that are silent inside this node.",
        ),
        Field::optional("reason", Shape::Text, "Reason, for later readers."),
    ],
};

/// Node of an `x-gateway-lint`, by its effect on the checks of client contracts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// Operation, path item or root of a document: the checks have the level `info` there.
    Operations,
    /// Operation or path item of a webhook or callback: names of checks have no effect, because a
    /// webhook has no levels of its own and a callback has those of its operation.
    Outgoing,
    /// Other node: names of checks have no effect.
    Other,
}

/// Checks the value of an `x-gateway-lint` of a node.
pub fn check(value: NodeRef<'_>, holder: Holder, sink: &mut Sink) {
    if !shape::check(value, &Shape::Object(&SHAPE), sink) {
        return;
    }
    for name in value.get("allow").into_iter().flat_map(NodeRef::items) {
        let text = name.as_str().unwrap_or_default();
        match find(text) {
            Some(lint) if !is_hard(lint) => {}
            None if checks::of(text).is_some() => {
                if holder != Holder::Operations {
                    sink.push(without_effect(text, holder, name.span()));
                }
            }
            Some(lint) => sink.push(
                Diagnostic::new(
                    &LINT,
                    name.span(),
                    format!(
                        "`{}` cannot be allowed: its findings prevent a build",
                        lint.name
                    ),
                )
                .label("remove this name")
                .help(format!(
                    "fix its findings (`gwc explain {}` describes how), and remove it here",
                    lint.name
                )),
            ),
            None => sink.push(no_rule(text, name.span())),
        }
    }
}

/// Creates the finding for a check of client contracts at a node where it has no effect.
fn without_effect(check: &str, holder: Holder, at: Span) -> Diagnostic {
    Diagnostic::new(&UNUSED, at, format!("`{check}` has no effect here"))
        .label("this changes no level")
        .help(match holder {
            Holder::Outgoing => {
                "for a webhook, set the level in `break_levels` of gateway.yaml; for a callback, allow the check at the operation that has it"
            }
            Holder::Operations | Holder::Other => {
                "allow the check at the operation, at its path item or at the root of the document"
            }
        })
}

/// Creates the finding for an unknown rule name.
pub fn no_rule(word: &str, at: Span) -> Diagnostic {
    let Unknown {
        message,
        hint,
        meant,
    } = find::unknown(word);
    let finding = Diagnostic::new(&LINT, at, message);
    match meant {
        Some(meant) => finding
            .label(hint)
            .help(format!("write `{meant}`"))
            .fix(at, meant),
        None => finding.help(hint),
    }
}

/// Creates the finding for an unknown check of client contracts in gateway.yaml.
pub fn no_check(word: &str, at: Span) -> Diagnostic {
    let message = format!("there is no check `{}`", suggest::shown(word));
    let finding = Diagnostic::new(&LINT, at, message);
    match suggest::nearest(word, checks::ALL.iter().map(|check| check.id)) {
        Some(meant) => finding
            .label(format!("did you mean `{meant}`?"))
            .help(format!("write `{meant}`"))
            .fix(at, meant),
        None => finding.help("docs/breaking-changes.md lists them"),
    }
}

/// Checks of client contracts that `x-gateway-lint` of a node allows.
pub fn checks(node: NodeRef<'_>) -> impl Iterator<Item = &'static checks::Check> {
    let settings = node.get(KEY).and_then(|settings| settings.get("allow"));
    let names = settings.into_iter().flat_map(NodeRef::items);
    names.filter_map(|name| checks::of(name.as_str()?))
}

/// Checks every `x-gateway-lint` inside a node of gateway.yaml or of `x-gateway`.
pub fn check_inside(node: NodeRef<'_>, sink: &mut Sink) {
    let mut waiting = vec![node];
    while let Some(node) = waiting.pop() {
        if let Some(settings) = node.get(KEY) {
            check(settings, Holder::Other, sink);
        }
        waiting.extend(node.entries().map(|(_, value)| value).chain(node.items()));
    }
}

/// All `x-gateway-lint` settings of a run. Also records which names silenced a finding.
pub(super) struct Allowed<'t> {
    sites: Vec<Site<'t>>,
}

/// Node with an `x-gateway-lint`, and the names in it.
struct Site<'t> {
    /// Spans that the setting covers: the node, its key, and values that overlays added inside the
    /// node.
    inside: Vec<Span>,
    names: Vec<Name<'t>>,
}

struct Name<'t> {
    node: NodeRef<'t>,
    lint: &'static Lint,
    used: Cell<bool>,
}

impl<'t> Allowed<'t> {
    /// Collects the settings in the documents, with overlays applied, and in all other files.
    pub(super) fn of(files: &'t Files) -> Self {
        let roots: Vec<NodeId> = roots(files).into_iter().map(|(_, root)| root).collect();
        let mut seen = FxHashSet::default();
        let mut allowed = Self { sites: Vec::new() };
        for root in roots {
            let mut waiting = vec![(None, files.tree.at(root))];
            while let Some((key, node)) = waiting.pop() {
                if !(node.is_map() || node.is_list()) || !seen.insert(node.id()) {
                    continue;
                }
                if let Some(settings) = node.get(KEY) {
                    allowed.sites.push(Site::new(key, node, settings));
                }
                waiting.extend(node.items().map(|item| (None, item)));
                let entries = node.entries();
                waiting.extend(entries.map(|(entry, value)| (Some(entry.key_span), value)));
            }
        }
        allowed
    }

    /// True if an `x-gateway-lint` covers the span of a finding and names its rule. Marks the
    /// matching names as used.
    pub(super) fn silences(&self, finding: &Diagnostic) -> bool {
        let mut silent = false;
        for site in &self.sites {
            for name in &site.names {
                if std::ptr::eq(name.lint, finding.lint) && site.holds(finding.span) {
                    name.used.set(true);
                    silent = true;
                }
            }
        }
        silent
    }

    /// Returns findings for names that silenced no finding. `is_reported` returns true for the
    /// rules that ran. Names of rules that did not run are not reported.
    pub(super) fn unused(&self, is_reported: impl Fn(&Lint) -> bool) -> Vec<Diagnostic> {
        let names = self.sites.iter().flat_map(|site| &site.names);
        names
            .filter(|name| !name.used.get() && is_reported(name.lint))
            .map(|name| {
                Diagnostic::new(
                    &UNUSED,
                    name.node.span(),
                    format!("`{}` has no finding here", name.lint.name),
                )
                .label("this silences nothing")
                .help("remove it, so that it does not hide later findings")
            })
            .collect()
    }
}

/// Files that may contain `x-gateway-lint`, with their root nodes. For a document, the root after
/// its overlays are applied. Overlays are not listed separately.
fn roots(files: &Files) -> Vec<(FileId, NodeId)> {
    let documents = files.documents();
    let part_of = |file| {
        let mut documents = documents.iter();
        documents.any(|document| document.file == file || document.overlays.contains(&file))
    };
    let others = files.sources.iter().map(|(file, _)| file);
    let others = others.filter(|file| !part_of(*file) && files.allows(*file));
    let has_one = |document: &&Document| {
        let mut parts = std::iter::once(&document.file).chain(&document.overlays);
        parts.any(|file| files.allows(*file))
    };
    documents
        .iter()
        .filter(has_one)
        .map(|document| (document.file, document.root))
        .chain(others.filter_map(|file| Some((file, files.root(file)?))))
        .collect()
}

/// Collects every `x-gateway-lint`, by file and JSON pointer (RFC 6901), with the names of the
/// rules that it silences.
#[must_use]
pub fn silenced(files: &Files) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut seen = FxHashSet::default();
    for (file, root) in roots(files) {
        let path = files.sources.file(file).path();
        let mut waiting = vec![(format!("{path}#"), files.tree.at(root))];
        while let Some((pointer, node)) = waiting.pop() {
            if !(node.is_map() || node.is_list()) || !seen.insert(node.id()) {
                continue;
            }
            if let Some(settings) = node.get(KEY) {
                let names = settings.get("allow").into_iter().flat_map(NodeRef::items);
                let names = names.filter_map(|name| {
                    let text = name.as_str()?;
                    let check = || checks::of(text).map(|check| check.id);
                    find(text).map(|lint| lint.name).or_else(check)
                });
                let names: BTreeSet<&str> = names.collect();
                let names: Vec<&str> = names.into_iter().collect();
                all.insert(pointer.clone(), names.join(", "));
            }
            let items = node.items().enumerate();
            waiting.extend(items.map(|(at, item)| (format!("{pointer}/{at}"), item)));
            waiting.extend(node.entries().map(|(entry, value)| {
                let key = entry.key.replace('~', "~0").replace('/', "~1");
                (format!("{pointer}/{key}"), value)
            }));
        }
    }
    all
}

impl<'t> Site<'t> {
    fn new(key: Option<Span>, holder: NodeRef<'t>, settings: NodeRef<'t>) -> Self {
        let mut inside: Vec<Span> = key.into_iter().chain([holder.span()]).collect();
        // Values that an overlay added have spans in the overlay's file.
        let mut seen = HashSet::new();
        let mut waiting = vec![holder];
        while let Some(node) = waiting.pop() {
            let strange = |span: Span| span.file != holder.span().file;
            let keys = node.entries().map(|(entry, _)| entry.key_span);
            inside.extend(keys.filter(|span| strange(*span)));
            if strange(node.span()) {
                inside.push(node.span());
            }
            let values = node.entries().map(|(_, value)| value).chain(node.items());
            waiting.extend(values.filter(|value| seen.insert(value.id())));
        }
        let names = settings.get("allow").into_iter().flat_map(NodeRef::items);
        let names = names.filter_map(|node| {
            let lint = find(node.as_str()?)?;
            (!is_hard(lint)).then(|| Name {
                node,
                lint,
                used: Cell::new(false),
            })
        });
        Self {
            inside,
            names: names.collect(),
        }
    }

    fn holds(&self, span: Span) -> bool {
        self.inside.iter().any(|outer| {
            outer.file == span.file
                && outer.start <= span.start
                && span.start < outer.end.max(outer.start + 1)
        })
    }
}
