//! Key `alias_of`: operations that only document the requests of another operation.

use std::borrow::Cow;

use bundle::ir;
use diag::{Diagnostic, NodeRef, Sink, Span, Spanned, suggest};

use engine::router::compare_templates;

use super::Operation;
use super::overlap::{subset, witness};
use openapi::spec::{self, Spec};
use vocab::lints::{ALIAS_DIFFERS, UNKNOWN_ALIAS};

/// Operation with `alias_of`: it only documents the requests of another operation.
pub(super) struct Alias {
    /// Path of the operation that serves the requests, with the source location of `alias_of`.
    of: Spanned<String>,
    key: String,
    method: Cow<'static, str>,
    span: Span,
    security: ir::Security,
    /// True if the gateway must not serve the documented operation.
    internal: bool,
    template: ir::Template,
    conditions: Vec<ir::Condition>,
}

impl Alias {
    /// Creates the alias of an operation with this key, template and conditions. `security` is that
    /// of the operation. `internal` is true if the gateway must not serve the operation.
    pub(super) fn new(
        of: Spanned<String>,
        (key, operation): (String, &spec::Operation),
        (template, conditions): (&ir::Template, Vec<ir::Condition>),
        (security, internal): (ir::Security, bool),
    ) -> Self {
        Self {
            of,
            key,
            method: operation.method.0.clone(),
            span: operation.key_span,
            security,
            internal,
            template: template.clone(),
            conditions,
        }
    }
}

pub(super) fn of(extension: Option<NodeRef<'_>>) -> Option<Spanned<String>> {
    let of = extension?.get("alias_of")?;
    Some(Spanned::new(of.as_str()?.to_owned(), of.span()))
}

/// Reports an alias whose documented operation is missing or requires other credentials. Such an
/// alias would mislead readers of the document.
pub(super) fn check(aliases: &[Alias], spec: &Spec, operations: &[Operation], sink: &mut Sink) {
    for alias in aliases {
        let path = alias.of.value.as_str();
        let there = spec.paths.iter().any(|item| item.template.value == path);
        if !there {
            let paths = spec.paths.iter().map(|item| item.template.value.as_str());
            let finding = Diagnostic::new(
                &UNKNOWN_ALIAS,
                alias.of.span,
                format!("this document has no path `{}`", path.escape_debug()),
            );
            sink.push(match suggest::nearest(path, paths) {
                Some(near) => finding
                    .label(format!("did you mean `{near}`?"))
                    .fix(alias.of.span, near),
                None => finding.help("write the path exactly as it is under `paths`"),
            });
            continue;
        }
        let of_method = || operations.iter().filter(|one| one.method == alias.method);
        let same = of_method().find(|operation| operation.path == path);
        match same {
            None => sink.push(
                Diagnostic::new(
                    &UNKNOWN_ALIAS,
                    alias.span,
                    format!("`{path}` has no method `{}`", alias.method),
                )
                .label(format!(
                    "`{}` documents a method that is not served",
                    alias.key
                ))
                .related(alias.of.span, "`alias_of` is written here")
                .help("describe the method there as well, or remove it here"),
            ),
            Some(operation) if operation.security.value != alias.security => sink.push(
                Diagnostic::new(
                    &ALIAS_DIFFERS,
                    alias.span,
                    format!(
                        "`{}` requires other credentials than `{}`",
                        alias.key, operation.key
                    ),
                )
                .label("requests are checked by the other path's security")
                .related(operation.span, format!("`{}` is served", operation.key))
                .help("write the same `security` at both"),
            ),
            Some(operation) if alias.internal && !operation.internal => sink.push(
                Diagnostic::new(
                    &ALIAS_DIFFERS,
                    alias.span,
                    format!(
                        "`{}` is internal, and `{}` is not",
                        alias.key, operation.key
                    ),
                )
                .label("requests are served by the other path")
                .related(operation.span, format!("`{}` is served", operation.key))
                .help("write the same `internal` at both"),
            ),
            Some(operation) => {
                if let Some(why) = not_served(alias, operation, of_method()) {
                    sink.push(
                        Diagnostic::new(&UNKNOWN_ALIAS, alias.of.span, why)
                            .label("its requests would go to another operation, or to none")
                            .related(operation.path_span, "the named path")
                            .help(
                                "remove `alias_of`, so that the path is served by itself, or name \
                                 the path that matches its requests",
                            ),
                    );
                }
            }
        }
    }
}

/// Reason why the operation that `alias_of` names does not serve all requests of an alias. `None`:
/// that operation serves them.
fn not_served<'a>(
    alias: &Alias,
    named: &Operation,
    mut of_method: impl Iterator<Item = &'a Operation>,
) -> Option<String> {
    let path = alias.of.value.escape_debug();
    if !subset(&alias.template, &named.template) {
        return Some(format!(
            "`{path}` does not match the requests of `{}`",
            alias.key
        ));
    }
    if !named.conditions.is_empty() && named.conditions != alias.conditions {
        return Some(format!(
            "`{path}` has a `match` that `{}` does not have",
            alias.key
        ));
    }
    // If both templates match the same paths, a closer path takes requests from both operations
    // alike.
    if subset(&named.template, &alias.template) {
        return None;
    }
    let closer = of_method.find(|other| {
        other.path != named.path
            && compare_templates(&other.template, &named.template).is_gt()
            && witness(&alias.template, &other.template).is_some()
    })?;
    Some(format!(
        "`{}` matches requests of `{}` before `{path}`",
        closer.path.escape_debug(),
        alias.key
    ))
}
