//! `x-gateway-lint: {allow: [RULE]}`: a finding that somebody has looked at and accepts, said at
//! the node that it is about.
//!
//! It counts for everything inside the node, in the file that it stands in. What could not be
//! built (a hard rule) cannot be allowed, and a name that is no rule is an error: it would
//! allow nothing.

use diag::shape::{self, Field, Object, Shape};
use diag::{Diagnostic, Level, Lint, NodeRef, Sink, suggest};

use super::sample::v30;
use crate::compile::is_hard;
use crate::output::fingerprint;
use crate::project::files::Files;

/// `allow` names no rule that can be allowed.
pub static LINT: Lint = Lint {
    code: "GW0308",
    name: "unknown-rule",
    level: Level::Error,
    summary: "`x-gateway-lint` names no rule that can be allowed",
    explain: "`x-gateway-lint: {allow: [RULE]}` silences a rule for everything inside the node, in the file that it \
stands in. The names are those of `gwc rules`. Rules without which nothing can be built cannot be silenced.",
    bad: v30!("paths: {}\nx-gateway-lint: {allow: [duplicate-tags]}\n"),
    good: v30!(
        "paths: {}\nx-gateway-lint: {allow: [duplicate-tag]}\ntags: [{name: a}, {name: a}]\n"
    ),
};

/// The key.
pub const KEY: &str = "x-gateway-lint";

static SHAPE: Object = Object {
    what: "the lint settings of a node",
    fields: &[Field::optional(
        "allow",
        Shape::List(&Shape::Text),
        "Names of rules that are silent inside this node.",
    )],
};

/// Checks the value of an `x-gateway-lint`.
pub fn check(value: NodeRef<'_>, sink: &mut Sink) {
    if !shape::check(value, &Shape::Object(&SHAPE), sink) {
        return;
    }
    for name in value.get("allow").into_iter().flat_map(NodeRef::items) {
        let text = name.as_str().unwrap_or_default();
        let lints = || super::ALL.iter().copied().flatten();
        let shown = text.escape_debug();
        match lints().find(|lint| lint.name == text) {
            Some(lint) if !is_hard(lint) => {}
            Some(_) => sink.push(
                Diagnostic::new(&LINT, name.span(), format!("`{shown}` cannot be allowed"))
                    .help("nothing could be built with it"),
            ),
            None => {
                let finding =
                    Diagnostic::new(&LINT, name.span(), format!("there is no rule `{shown}`"));
                sink.push(
                    match suggest::nearest(text, lints().map(|lint| lint.name)) {
                        Some(near) => finding
                            .label(format!("did you mean `{near}`?"))
                            .fix(name.span(), near),
                        None => finding.help("`gwc rules` lists them"),
                    },
                );
            }
        }
    }
}

/// Whether a finding is allowed where it stands.
pub(super) fn allows(files: &Files, finding: &Diagnostic) -> bool {
    if is_hard(finding.lint) {
        return false;
    }
    let Some(root) = files.root(finding.span.file) else {
        return false;
    };
    let mut node = Some(files.tree.at(root));
    while let Some(here) = node {
        let allowed = here.get(KEY).and_then(|settings| settings.get("allow"));
        let mut names = allowed.into_iter().flat_map(NodeRef::items);
        if names.any(|name| name.as_str() == Some(finding.lint.name)) {
            return true;
        }
        node = fingerprint::child_at(here, finding.span).map(|(_, child)| child);
    }
    false
}
