//! Lifecycle of parameters outside the path: deprecation, sunset and removal. A parameter of an
//! unstable operation needs no notice, and neither does a parameter without `deprecated`.

use std::collections::BTreeSet;

use bundle::ir;
use model::source_map::{Lifecycle, OperationSource};

use super::difference::{Compared, EarlierKeys, api_of, by_check, day, is_unstable, place_of};
use crate::{Change, OperationRef, Plan};

/// Id of the change of the client contract for a removed parameter.
const REMOVED: &str = "request-parameter-removed";
/// Id of the change of the client contract for a parameter that is deprecated now.
const DEPRECATED: &str = "request-parameter-deprecated";
/// Checks whose lines replace [`DEPRECATED`].
const REPLACING: [&str; 3] = [
    "request-parameter-deprecated-sunset-missing",
    "request-parameter-sunset-date-too-small",
    "request-parameter-sunset-parse",
];

/// Parameters, by the key of the new operation and the path in the message, such as `query limit`.
pub(super) type Parameters = BTreeSet<(String, String)>;

/// Collects the parameters that only one side has.
pub(super) fn one_sided(plan: &Plan) -> Parameters {
    let ids = [
        REMOVED,
        "request-parameter-respelled",
        "new-required-request-parameter",
        "new-optional-request-parameter",
    ];
    let changes = plan.changes.iter().filter(|one| ids.contains(&one.id));
    changes.flat_map(parts).collect()
}

/// Keys of the operations of a change of a message, each with the path in the message.
fn parts(change: &Change) -> impl Iterator<Item = (String, String)> + '_ {
    let keys = change.operations.iter();
    keys.filter_map(|key| Some((key.clone(), change.message.as_ref()?.path.clone())))
}

/// Lines about the parameters of one operation that both sides have.
pub(super) fn kept(
    cx: &Compared<'_>,
    keys: [&str; 2],
    sources: (&OperationSource, &OperationSource),
    operation: &OperationRef,
    one_sided: &Parameters,
) -> Vec<Change> {
    let (was, is) = sources;
    let names: BTreeSet<&String> = was.parameters.keys().chain(is.parameters.keys()).collect();
    let both = names
        .into_iter()
        .filter(|name| !one_sided.contains(&(keys[1].to_owned(), (*name).clone())));
    let mut lines = Vec::new();
    for name in both {
        // The stability of the operation applies to its parameters.
        let of = |source: &OperationSource| Lifecycle {
            stability: is.lifecycle.stability.clone(),
            ..source.parameters.get(name).cloned().unwrap_or_default()
        };
        let place = |source| place_of(source, &format!("parameter {name}"));
        for mut found in cx.kept(keys, &of(was), &of(is)) {
            if let Some(id) = id(found.id) {
                found.id = id;
                lines.push(found.line(name, operation.clone(), (place(was), place(is))));
            }
        }
    }
    lines
}

/// Id of the check of a parameter that corresponds to a check of an operation.
fn id(of_operation: &str) -> Option<&'static str> {
    Some(match of_operation {
        "api-deprecated-sunset-parse" => "request-parameter-sunset-parse",
        "api-deprecated-sunset-missing" => "request-parameter-deprecated-sunset-missing",
        "api-sunset-date-too-small" => "request-parameter-sunset-date-too-small",
        "api-sunset-date-changed-too-small" => "request-parameter-sunset-date-changed-too-small",
        "sunset-deleted" => "request-parameter-sunset-deleted",
        _ => return None,
    })
}

/// Removes operations with a line of [`REPLACING`] in `lines` from the changes [`DEPRECATED`], and
/// gives removed parameters the check of their lifecycle.
pub(super) fn replace(
    cx: &Compared<'_>,
    pairs: &EarlierKeys,
    lines: &[Change],
    gateway: &ir::Gateway,
    plan: &mut Plan,
) {
    let replacing = lines.iter().filter(|line| REPLACING.contains(&line.id));
    let replaced: Parameters = replacing.flat_map(parts).collect();
    by_check(plan, gateway, &[REMOVED, DEPRECATED], |change, key| {
        let path = &change.message.as_ref()?.path;
        match change.id {
            REMOVED => Some(removed(cx, pairs, key, path)),
            _ if replaced.contains(&(key.to_owned(), path.clone())) => None,
            _ => Some(DEPRECATED),
        }
    });
}

/// Id of the check for a parameter that a new operation no longer has.
fn removed(cx: &Compared<'_>, pairs: &EarlierKeys, key: &str, path: &str) -> &'static str {
    let earlier = pairs.get(key).filter_map(|earlier| {
        let source = cx.before.operations.get(earlier)?;
        Some((earlier, source, source.parameters.get(path)?))
    });
    let Some((earlier, source, was)) = earlier.into_iter().find(|(_, _, was)| was.deprecated)
    else {
        return REMOVED;
    };
    let notice = cx.notice_days([earlier, key].map(api_of));
    let requires = notice.is_some() && !is_unstable(source.lifecycle.stability.as_deref());
    match was.sunset.as_deref().map(day) {
        Some(None) => "request-parameter-sunset-parse",
        Some(Some(_)) if !cx.is_over(was) => "request-parameter-removed-before-sunset",
        None if requires => "request-parameter-removed-before-sunset",
        None | Some(Some(_)) => "request-parameter-removed-with-deprecation",
    }
}
