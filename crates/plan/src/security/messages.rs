//! Requirements on messages: validation modes and content guards.

use policy::declared::Settings;

use super::{Access, Difference, Verdict};

/// Validation modes, weakest first.
const MODES: [&str; 3] = ["off", "log", "block"];

/// Policies that refuse messages because of their content. Changes of their limits are `relax` or
/// `tighten`, but removing such a policy is a change of access.
const GUARDS: [&str; 3] = ["threat", "graphql_guard", "llm"];

/// Compares the validation modes for requests and responses.
pub(super) fn validation(old: &Access<'_>, new: &Access<'_>) -> Vec<Difference> {
    let each = [
        ("request", "validate.request", "request-validation-changed"),
        (
            "response",
            "validate.response",
            "response-validation-changed",
        ),
    ];
    let each = each.into_iter().flat_map(|(side, subject, id)| {
        let (was, is) = (mode(old, side), mode(new, side));
        let told = (MODES[was].to_owned(), MODES[is].to_owned());
        super::one(
            "validation",
            Verdict::of(is <= was, was <= is),
            id,
            subject,
            told,
        )
    });
    each.collect()
}

/// Treatments of query parameters that an operation does not describe, weakest first.
const UNDECLARED: [&str; 3] = ["allow", "strip", "reject"];

/// Compares the treatment of query parameters that the operation does not describe.
pub(super) fn undeclared(old: &Access<'_>, new: &Access<'_>) -> Vec<Difference> {
    let rank = |access: &Access<'_>| {
        let settings = access.route.map(|route| route.treatment.settings());
        let word = settings
            .as_ref()
            .and_then(|all| all.text(&["undeclared_params"]));
        let mut all = UNDECLARED.iter();
        all.position(|one| Some(*one) == word).unwrap_or(0)
    };
    let (was, is) = (rank(old), rank(new));
    let told = (UNDECLARED[was].to_owned(), UNDECLARED[is].to_owned());
    super::one(
        "validation",
        Verdict::of(is <= was, was <= is),
        "undeclared-params-changed",
        "undeclared_params",
        told,
    )
}

/// Strictest mode that the operation or one of its policies sets.
fn mode(access: &Access<'_>, side: &str) -> usize {
    let rank = |settings: &Settings, path: &[&str]| {
        let word = settings.text(path);
        MODES
            .iter()
            .position(|mode| Some(*mode) == word)
            .unwrap_or(0)
    };
    let own = access
        .route
        .map(|route| rank(&route.treatment.settings(), &["validate", side]));
    let policies = access.policies("validate");
    let policies = policies.iter().map(|(_, settings)| rank(settings, &[side]));
    policies.chain(own).max().unwrap_or(0)
}

/// Reports added and removed guards.
pub(super) fn guards(old: &Access<'_>, new: &Access<'_>) -> Vec<Difference> {
    let each = GUARDS.into_iter().flat_map(|kind| {
        let names = |access: &Access<'_>| -> Vec<String> {
            let policies = access.policies(kind);
            policies
                .into_iter()
                .map(|(name, _)| name.to_owned())
                .collect()
        };
        let (was, is) = (names(old), names(new));
        let told = |names: &[String]| match names {
            [] => "none".to_owned(),
            names => names.join(", "),
        };
        let (id, verdict) = match (was.is_empty(), is.is_empty()) {
            (false, true) => ("guard-removed", Verdict::Weaken),
            (true, false) => ("guard-added", Verdict::Strengthen),
            (true, true) | (false, false) => ("guard-changed", Verdict::Equal),
        };
        super::one("guards", verdict, id, kind, (told(&was), told(&is)))
    });
    each.collect()
}
