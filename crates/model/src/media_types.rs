//! Finding `changed-media-type`: a `headers` policy changes the fields that determine how
//! validation parsed the body.

use bundle::ir::Link;
use diag::{Diagnostic, Sink, Span};
use openapi::spec;
use policy::Checked;
use policy::transform::headers::Edit;
use policy::validation::Mode;
use vocab::lints::CHANGED_MEDIA_TYPE;

use super::Valued;
use super::treatment::Own;

/// Header fields that determine how a body is parsed.
const FIELDS: [&str; 2] = ["content-type", "content-encoding"];

/// Reports the policies of a chain that change `Content-Type` or `Content-Encoding`, if a check of
/// the body depends on these fields. `validation` is the mode in which `body` is validated. The
/// finding is at `span` if the policy has no source location.
pub(super) fn check(
    chain: &[Valued<Link>],
    own: &Own<'_>,
    (validation, body): (Mode, Option<&spec::RequestBody>),
    span: Span,
    sink: &mut Sink,
) {
    let policies = || {
        let all = chain.iter();
        all.filter_map(|link| Some((link, own.checked(&link.value)?)))
    };
    let types = body.map_or(&[][..], |body| &body.media_types);
    let validates = validation == Mode::Block && !types.is_empty();
    let scans = policies().any(|(_, policy)| matches!(policy, Checked::Threat(_)));
    if !validates && !scans {
        return;
    }
    // If the operation has one media type, validation refuses requests of any other type. A policy
    // that sets this media type therefore changes only the parameters of the media type.
    let only = match types {
        [one] if validates => Some(essence(&one.name.value)),
        _ => None,
    };
    for (link, policy) in policies() {
        let Checked::Headers(edits) = policy else {
            continue;
        };
        let is_other = |edit: &Edit<'_>| match edit {
            Edit::Set(value) => only.as_deref() != Some(&*essence(value)),
            Edit::Other => true,
        };
        let edited = |name: &&str| edits.request_edit(name).as_ref().is_some_and(is_other);
        let Some(field) = FIELDS.into_iter().find(|name| edited(name)) else {
            continue;
        };
        let finding = Diagnostic::new(
            &CHANGED_MEDIA_TYPE,
            link.span().unwrap_or(span),
            format!("a policy changes `{field}` after the check of the body"),
        )
        .label("the upstream may read the body as another type than the check")
        .help(
            "remove the field from the policy, or set `Content-Type` to the only media type of \
the operation and write `validate: {request: block}`",
        );
        sink.push(finding);
    }
}

/// Media type without parameters, in lower case.
fn essence(text: &str) -> String {
    let essence = text.split(';').next().unwrap_or_default();
    essence.trim().to_ascii_lowercase()
}
