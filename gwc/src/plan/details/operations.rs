//! What happens to an operation's requests.

use bundle::ir::{self, Link};
use policy::Checked;
use serde_json::{Value, json};

use super::reference;
use crate::plan::{Change, Class, Plan, Section};

/// Effective values of operations.
pub(super) fn operations(
    old: &ir::Api,
    new: &ir::Api,
    shared: (&ir::Set<ir::Policy>, &ir::Set<ir::Policy>),
    plan: &mut Plan,
) {
    for operation in &new.operations {
        let Some(before) = before(old, new, operation) else {
            continue;
        };
        let (was, is) = (
            &old.treatments[before.treatment as usize],
            &new.treatments[operation.treatment as usize],
        );
        let reference = || reference(new, operation);
        let mut changes = Vec::new();
        if before.trailing_slash != operation.trailing_slash {
            let word = |slash| match slash {
                ir::TrailingSlash::Strict => "strict",
                ir::TrailingSlash::Redirect => "redirect",
                ir::TrailingSlash::Ignore => "ignore",
            };
            changes.push((
                Class::Changed,
                "trailing-slash-changed",
                "trailing_slash",
                word(before.trailing_slash).into(),
                word(operation.trailing_slash).into(),
            ));
        }
        if was.timeout_ms != is.timeout_ms {
            let class = if is.timeout_ms > was.timeout_ms {
                Class::Relax
            } else {
                Class::Tighten
            };
            changes.push((
                class,
                "timeout-changed",
                "timeout",
                format!("{}ms", was.timeout_ms).into(),
                format!("{}ms", is.timeout_ms).into(),
            ));
        }
        if was.max_body_bytes != is.max_body_bytes {
            let bytes = |limit: Option<u64>| {
                limit.map_or(Value::from("no limit"), |bytes| format!("{bytes}B").into())
            };
            let class =
                if is.max_body_bytes.unwrap_or(u64::MAX) > was.max_body_bytes.unwrap_or(u64::MAX) {
                    Class::Relax
                } else {
                    Class::Tighten
                };
            changes.push((
                class,
                "max-body-changed",
                "max_body",
                bytes(was.max_body_bytes),
                bytes(is.max_body_bytes),
            ));
        }
        let names = |treatment: &ir::Treatment| -> Vec<String> {
            let names = treatment.chain.iter().filter_map(|link| match link {
                Link::Authenticate => None,
                Link::Shared(name) | Link::Own(name) => Some(name.clone()),
            });
            names.collect()
        };
        let (a, b) = (names(was), names(is));
        if a != b {
            let removed: Vec<&String> = a.iter().filter(|name| !b.contains(name)).collect();
            let added: Vec<&String> = b.iter().filter(|name| !a.contains(name)).collect();
            let limits = |names: &[&String]| {
                !names.is_empty()
                    && names.iter().all(|name| {
                        is_limit(name, &[&old.policies, &new.policies, shared.0, shared.1])
                    })
            };
            let class = match (removed.is_empty(), added.is_empty()) {
                (false, true) if limits(&removed) => Class::Relax,
                (true, false) if limits(&added) => Class::Tighten,
                _ => Class::Changed,
            };
            changes.push((class, "policies-changed", "policies", a.into(), b.into()));
        }
        // The same name, defined elsewhere: gateway.yaml's gave way to the document's, or the
        // other way round. Where both stand in one place the definition is compared there.
        for name in was.chain.iter().filter_map(named) {
            let before = definition(was, name, &old.policies, shared.0);
            let after = definition(is, name, &new.policies, shared.1);
            if let (Some((moved_from, before)), Some((moved_to, after))) = (before, after)
                && moved_from != moved_to
                && before != after
            {
                changes.push((
                    Class::Changed,
                    "policy-redefined",
                    "policies",
                    json!({"name": name, "in": moved_from, "is": format!("{before:?}")}),
                    json!({"name": name, "in": moved_to, "is": format!("{after:?}")}),
                ));
            }
        }
        for (class, id, subject, old, new) in changes {
            plan.changes
                .push(Change::new(Section::Policy, class, id, subject, old, new).of(reference()));
        }
    }
}

fn named(link: &Link) -> Option<&str> {
    match link {
        Link::Authenticate => None,
        Link::Shared(name) | Link::Own(name) => Some(name),
    }
}

/// Where a chain's policy is defined, and as what.
fn definition<'s>(
    treatment: &ir::Treatment,
    name: &str,
    own: &'s ir::Set<ir::Policy>,
    shared: &'s ir::Set<ir::Policy>,
) -> Option<(&'static str, &'s Checked)> {
    let link = treatment
        .chain
        .iter()
        .find(|link| named(link) == Some(name))?;
    let (place, policies) = match link {
        Link::Authenticate => return None,
        Link::Shared(_) => ("gateway.yaml", shared),
        Link::Own(_) => ("the document", own),
    };
    policies.get(name).map(|policy| (place, &policy.checked))
}

/// What an operation was before: the one with its key; for a key that is new, the one with its
/// method, template and conditions whose key is gone. A new name must not hide what else changed.
fn before<'o>(
    old: &'o ir::Api,
    new: &ir::Api,
    operation: &ir::Operation,
) -> Option<&'o ir::Operation> {
    old.operations.get(&operation.key).or_else(|| {
        old.operations.iter().find(|before| {
            before.method == operation.method
                && before.template == operation.template
                && before.conditions == operation.conditions
                && new.operations.get(&before.key).is_none()
        })
    })
}

/// Whether a policy only says how often.
fn is_limit(name: &str, defined: &[&ir::Set<ir::Policy>]) -> bool {
    let policy = defined.iter().find_map(|policies| policies.get(name));
    policy.is_some_and(|policy| matches!(policy.checked, Checked::RateLimit(_)))
}
