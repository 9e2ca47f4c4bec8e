//! Key `alias_of`: operations that only document the requests of another operation.

use std::borrow::Cow;

use bundle::ir;
use diag::{Diagnostic, NodeRef, Sink, Span, Spanned, suggest};

use super::Operation;
use openapi::spec::Spec;
use vocab::lints::{ALIAS_DIFFERS, UNKNOWN_ALIAS};

/// Operation with `alias_of`: it only documents the requests of another operation.
pub(super) struct Alias {
    /// Path of the operation that serves the requests, with the source location of `alias_of`.
    pub(super) of: Spanned<String>,
    pub(super) key: String,
    pub(super) method: Cow<'static, str>,
    pub(super) span: Span,
    pub(super) security: ir::Security,
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
        let same = operations
            .iter()
            .find(|operation| operation.path == path && operation.method == alias.method);
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
            Some(_) => {}
        }
    }
}
