//! Rule for a tag that is declared twice.

use diag::{Diagnostic, Level, Lint, NodeRef, Sink, Span};

use std::collections::HashMap;

use crate::lint::Place;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0329",
    name: "duplicate-tag",
    level: Level::Error,
    summary: "a tag that is declared twice",
    explain: "The names of the root's `tags` must be unique: two declarations would be two \
descriptions of one group.",
    bad: v30!("paths: {}\ntags: [{name: a}, {name: a}]\n"),
    good: v30!("paths: {}\ntags: [{name: a}, {name: b}]\n"),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    let tags = place
        .node
        .get("tags")
        .and_then(|tags| place.resolver.resolve(tags));
    let mut first_of: HashMap<&str, Span> = HashMap::new();
    for item in tags.into_iter().flat_map(NodeRef::items) {
        let tag = place.resolver.resolve(item);
        let Some(name) = tag.and_then(|tag| tag.get("name")) else {
            continue;
        };
        let Some(text) = name.as_str() else { continue };
        match first_of.get(text) {
            None => drop(first_of.insert(text, name.span())),
            Some(first) => sink.push(
                Diagnostic::new(
                    &LINT,
                    name.span(),
                    format!("the tag `{}` is declared twice", text.escape_debug()),
                )
                .related(*first, "first here"),
            ),
        }
    }
}
