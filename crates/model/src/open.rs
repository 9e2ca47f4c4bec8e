//! Operations that are open to everyone: by `public: true`, by permission of
//! `required.allow_public`, or by accident.

use std::collections::BTreeMap;

use bundle::ir;
use diag::{Diagnostic, Sink, Span, suggest};

use super::Api;
use super::security::SecuritySource;
use super::settings::{ApiEntry, SecurityMode, Settings};
use vocab::lints::{
    OPEN_OPERATION, OPEN_OPERATIONS, PUBLIC_NOT_ALLOWED, PUBLIC_WITHOUT_EFFECT,
    UNMATCHED_ALLOW_PUBLIC,
};

/// Maximum number of operations named in one finding.
const NAMED_MAX: usize = 6;
/// Maximum number of unmatched patterns for which a similar key is searched. Each search compares
/// the pattern with the keys of all operations.
const SUGGESTED_MAX: usize = 100;

/// Operation with the settings that decide on access.
pub(super) struct AccessSettings<'a> {
    /// Key of the operation.
    pub(super) key: &'a str,
    /// Source location of the operation.
    pub(super) at: Span,
    /// Effective `security` and its source location. `None` if no `security` applies.
    pub(super) written: Option<&'a SecuritySource<'a>>,
    /// Resolved security requirement.
    pub(super) security: &'a ir::Security,
    /// Source location of `public: true`. `None`: not set.
    pub(super) public: Option<Span>,
}

/// Open operations of an API that are not declared public, by the source location of the cause.
#[derive(Default)]
pub(super) struct Open(BTreeMap<Span, Opening>);

/// Cause that opens operations to everyone, with the operations that the cause opens.
struct Opening {
    cause: Cause,
    operations: Vec<(String, Span)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// No `security` applies to the operation.
    Unwritten,
    /// `security: []`: the list has no alternatives.
    NoAlternative,
    /// Alternative `{}`, which requires no scheme.
    EmptyAlternative,
}

impl Open {
    /// Checks one operation. Reports mistakes of this operation only.
    pub(super) fn check_operation(
        &mut self,
        operation: &AccessSettings<'_>,
        settings: &Settings,
        sink: &mut Sink,
    ) {
        let AccessSettings {
            key,
            at,
            written,
            security,
            public,
        } = *operation;
        if !security.admits_anyone() {
            if let Some(span) = public {
                sink.push(
                    Diagnostic::new(
                        &PUBLIC_WITHOUT_EFFECT,
                        span,
                        format!("`{key}` still requires a credential"),
                    )
                    .help(
                        "write `security: []` beside it to open the operation, or remove `public`",
                    ),
                );
            }
            return;
        }
        if public.is_none() {
            let (span, cause) = written.map_or((at, Cause::Unwritten), opened_by);
            let opening = self.0.entry(span).or_insert(Opening {
                cause,
                operations: Vec::new(),
            });
            opening.operations.push((key.to_owned(), at));
        }
        // Under `security: upstream`, `public` is optional, but `required.allow_public` still
        // applies.
        if public.is_some() || settings.defaults.security == SecurityMode::Upstream {
            allowed(key, public.unwrap_or(at), settings, sink);
        }
    }

    /// Reports open operations: one finding for each cause, or one finding for all operations if
    /// the upstream checks credentials (`security: upstream`).
    pub(super) fn report(self, entry: &ApiEntry, all: usize, settings: &Settings, sink: &mut Sink) {
        match settings.defaults.security {
            SecurityMode::Enforce => {
                for (span, opening) in self.0 {
                    sink.push(opening.finding(span, &entry.name));
                }
            }
            SecurityMode::Upstream => {
                if let Some(finding) = self.counted(entry, all) {
                    sink.push(finding);
                }
            }
        }
    }

    /// Returns one finding for all open operations. `all` is the number of operations of the API.
    fn counted(self, entry: &ApiEntry, all: usize) -> Option<Diagnostic> {
        let openings = self.0.into_values();
        let mut operations: Vec<(String, Span)> =
            openings.flat_map(|opening| opening.operations).collect();
        operations.sort_by_key(|(_, span)| *span);
        let (_, first) = operations.first()?;
        let require = if operations.len() == 1 {
            "requires"
        } else {
            "require"
        };
        let message = format!(
            "{} of {all} operations of `{}` {require} no credentials",
            operations.len(),
            entry.name
        );
        // If a document is checked without a project, there is no gateway.yaml to which messages
        // can refer.
        let alone = entry.span.file == first.file;
        let finding = Diagnostic::new(
            &OPEN_OPERATIONS,
            if alone { *first } else { entry.span },
            message,
        )
        .help("add `security` to them, or write `x-gateway: {public: true}` if that is intended");
        let finding = match alone {
            true => finding.label("no credential is required here"),
            false => finding.label(
                "under `security: upstream`, only operations with `security` require a credential",
            ),
        };
        Some(named(finding, &operations))
    }
}

impl Opening {
    fn finding(self, at: Span, api: &str) -> Diagnostic {
        let message = match self.operations.as_slice() {
            [(key, _)] => format!("`{key}` requires no credentials"),
            many => format!(
                "{} operations of `{api}` require no credentials",
                many.len()
            ),
        };
        let (label, help) = match self.cause {
            Cause::Unwritten => (
                "no credential is required here",
                "write `x-gateway: {public: true}` if that is intended, or add `security`",
            ),
            Cause::NoAlternative => (
                "`[]` requires no credential",
                "name a scheme, or write `x-gateway: {public: true}` at the operation if that is \
intended",
            ),
            Cause::EmptyAlternative => (
                "`{}` admits requests without a credential",
                "remove `{}`, or write `x-gateway: {public: true}` at the operation if that is \
intended",
            ),
        };
        let finding = Diagnostic::new(&OPEN_OPERATION, at, message)
            .label(label)
            .help(help);
        match self.cause {
            Cause::Unwritten => finding,
            Cause::NoAlternative | Cause::EmptyAlternative => named(finding, &self.operations),
        }
    }
}

/// Source location of the security requirement that opens an operation to everyone, and the cause.
fn opened_by(written: &SecuritySource<'_>) -> (Span, Cause) {
    let mut requirements = written.requirements().iter();
    let empty = requirements.find(|requirement| requirement.schemes.is_empty());
    match empty {
        Some(requirement) => (requirement.span, Cause::EmptyAlternative),
        None => (written.span(), Cause::NoAlternative),
    }
}

/// Adds the names of operations to a finding, up to [`NAMED_MAX`].
pub(super) fn named(mut finding: Diagnostic, operations: &[(String, Span)]) -> Diagnostic {
    let more = operations.len().saturating_sub(NAMED_MAX);
    for (index, (key, span)) in operations.iter().take(NAMED_MAX).enumerate() {
        let text = match (index + 1 == NAMED_MAX, more) {
            (true, 1..) => format!("`{key}`, and {more} more"),
            _ => format!("`{key}`"),
        };
        finding = finding.related(*span, text);
    }
    finding
}

/// Reports a public operation that the operator does not allow.
fn allowed(key: &str, at: Span, settings: &Settings, sink: &mut Sink) {
    let required = &settings.required;
    let (fine, help) = match &required.allow_public {
        Some(patterns) => (
            patterns.iter().any(|pattern| pattern.matches(key)),
            "ask the operator to add it to `required.allow_public` of gateway.yaml",
        ),
        // `public` does not override `required.auth`.
        None => (
            required.auth.is_empty(),
            "gateway.yaml requires a verifier of every operation; ask the operator for `required.allow_public`",
        ),
    };
    if !fine {
        sink.push(
            Diagnostic::new(
                &PUBLIC_NOT_ALLOWED,
                at,
                format!("`{key}` is not among the operations that may be public"),
            )
            .help(help),
        );
    }
}

/// Marks the patterns of `required.allow_public` that match an operation.
pub(super) fn mark_patterns(key: &str, settings: &Settings) {
    let patterns = settings.required.allow_public.iter().flatten();
    for pattern in patterns.filter(|pattern| pattern.is_unmatched()) {
        pattern.mark(key);
    }
}

/// Reports patterns of `required.allow_public` that match no operation. Call this after all
/// documents were resolved.
pub fn check_patterns(settings: &Settings, apis: &[Api], sink: &mut Sink) {
    let patterns = settings.required.allow_public.iter().flatten();
    let unmatched = patterns.filter(|pattern| pattern.is_unmatched());
    for (index, pattern) in unmatched.enumerate() {
        let (text, span) = (pattern.text.value.as_str(), pattern.text.span);
        let finding = Diagnostic::new(
            &UNMATCHED_ALLOW_PUBLIC,
            span,
            format!("no operation is called `{}`", text.escape_debug()),
        );
        let keys = apis.iter().flat_map(|api| {
            let operations = api
                .operations
                .iter()
                .map(|operation| operation.key.as_str());
            operations.chain(api.rest.iter().map(|rest| rest.key.as_str()))
        });
        let near = (index < SUGGESTED_MAX).then(|| suggest::nearest(text, keys));
        let near = near.flatten();
        sink.push(match near {
            Some(near) => finding
                .label(format!("did you mean `{near}`?"))
                .help(format!("write `{near}`"))
                .fix(span, near),
            None => finding.label("this entry has no effect").help(
                "a key is `API/operationId`, or `METHOD API:/path` without one; `gwc route` shows them",
            ),
        });
    }
}
