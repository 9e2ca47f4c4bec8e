//! Rule for a tag whose parent does not exist or is a descendant of the tag.

use std::collections::HashMap;

use diag::{Diagnostic, Level, Lint, NodeRef, Sink, suggest};

use crate::lint::Place;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0369",
    name: "unknown-tag-parent",
    level: Level::Error,
    summary: "a tag whose parent does not exist, or is below it",
    explain: "`parent` of a tag (OpenAPI 3.2) is the `name` of another tag of the document; \
parents must not form a cycle.",
    bad: &[(
        "openapi.yaml",
        "openapi: 3.2.0\ninfo: {title: t, version: \"1\"}\npaths: {}\ntags: [{name: a, parent: b}]\n",
    )],
    good: &[(
        "openapi.yaml",
        "openapi: 3.2.0\ninfo: {title: t, version: \"1\"}\npaths: {}\ntags: [{name: a, parent: b}, {name: b}]\n",
    )],
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    let tags = || place.node.get("tags").into_iter().flat_map(NodeRef::items);
    let text = |tag: NodeRef<'_>, key| tag.get(key).and_then(NodeRef::as_str).map(str::to_owned);
    let parent_of: HashMap<String, Option<String>> = tags()
        .filter_map(|tag| Some((text(tag, "name")?, text(tag, "parent"))))
        .collect();
    for tag in tags() {
        let (Some(name), Some(parent)) = (text(tag, "name"), tag.get("parent")) else {
            continue;
        };
        let Some(first) = parent.as_str() else {
            continue;
        };
        if !parent_of.contains_key(first) {
            let message = format!("there is no tag `{}`", first.escape_debug());
            let finding = Diagnostic::new(&LINT, parent.span(), message);
            let mut names: Vec<&str> = parent_of.keys().map(String::as_str).collect();
            names.sort_unstable();
            sink.push(match suggest::nearest(first, names) {
                Some(near) => finding
                    .label(format!("did you mean `{near}`?"))
                    .fix(parent.span(), near),
                None => finding.help("declare it in `tags`"),
            });
            continue;
        }
        let mut above = Some(first);
        for _ in 0..parent_of.len() {
            above = above.and_then(|tag| parent_of.get(tag)?.as_deref());
            if above == Some(&*name) {
                let message = format!("the tag `{}` is its own ancestor", name.escape_debug());
                sink.push(Diagnostic::new(&LINT, parent.span(), message));
                break;
            }
        }
    }
}
