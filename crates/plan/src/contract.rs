//! Changes of API contracts: one line for each changed part of an operation.

use bundle::ir;
use serde_json::Value;

use super::{Change, Class, OperationRef, Plan, Section};
use crate::pairs::reference;
use model::contract::difference::Graphs;

/// Compares the contracts of two versions of an API.
pub(super) fn compare(
    old: &ir::Contract,
    new: &ir::Contract,
    gateway: &ir::Gateway,
    plan: &mut Plan,
) {
    if old == new {
        return;
    }
    if old.names_only != new.names_only {
        // For bundles that were built before contracts contained schemas, compare everything else.
        if !plan.missing.contains(&"schemas") {
            plan.missing.push("schemas");
        }
        if let (Ok(old), Ok(new)) = (old.names(), new.names()) {
            compare(&old, &new, gateway, plan);
        }
        return;
    }
    let before = plan.changes.len();
    let graphs = Graphs::new(old, new);
    for operation in &new.operations {
        if let Some(was) = old.operations.get(&operation.key) {
            let routed = routed(gateway, &new.name, &operation.key);
            say(parts(&graphs, was, operation), "", routed.as_ref(), plan);
        }
    }
    outgoing(&graphs, old, new, gateway, plan);
    let same_operations = old.operations.len() == new.operations.len()
        && new
            .operations
            .iter()
            .all(|operation| old.operations.get(&operation.key).is_some());
    if plan.changes.len() == before && same_operations {
        // No rule recognised the difference, but every difference must be reported.
        plan.changes.push(Change::new(
            Section::Breaking,
            Class::Changed,
            "unclassified",
            format!("contract of {}", new.name),
            graphs.digest_of_all(old).into(),
            graphs.digest_of_all(new).into(),
        ));
    }
}

/// Changed part of an operation's contract, such as a parameter.
struct Part {
    subject: String,
    old: Value,
    new: Value,
}

/// Lists the changed parts of one operation.
fn parts(
    graphs: &Graphs<'_>,
    old: &ir::ContractOperation,
    new: &ir::ContractOperation,
) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut part = |subject: &str, old: Value, new: Value| {
        if old != new {
            let subject = subject.to_owned();
            parts.push(Part { subject, old, new });
        }
    };
    part("deprecated", old.deprecated.into(), new.deprecated.into());
    parameters(graphs, old, new, &mut part);
    let required = |body: &Option<ir::Body>| match body {
        None => Value::Null,
        Some(body) => need(body.required).into(),
    };
    part("body", required(&old.body), required(&new.body));
    let media = |body: &'_ Option<ir::Body>| -> ir::Set<ir::MediaType> {
        body.as_ref()
            .map(|body| body.media_types.clone())
            .unwrap_or_default()
    };
    media_types(
        graphs,
        "body",
        &media(&old.body),
        &media(&new.body),
        &mut part,
    );
    for (status, old, new) in by_status(&old.responses, &new.responses) {
        let subject = format!("response {status}");
        let there = |side: Option<&ir::Response>| match side {
            None => Value::Null,
            Some(_) => "there".into(),
        };
        part(&subject, there(old), there(new));
        let none = ir::Set::default();
        media_types(
            graphs,
            &subject,
            old.map_or(&none, |response| &response.media_types),
            new.map_or(&none, |response| &response.media_types),
            &mut part,
        );
        let none = ir::Set::default();
        headers(
            graphs,
            &subject,
            old.map_or(&none, |response| &response.headers),
            new.map_or(&none, |response| &response.headers),
            &mut part,
        );
    }
    parts
}

fn parameters(
    graphs: &Graphs<'_>,
    old: &ir::ContractOperation,
    new: &ir::ContractOperation,
    part: &mut impl FnMut(&str, Value, Value),
) {
    let name = |one: &ir::Parameter| (one.place, one.name.clone());
    let in_path = |operation: &ir::ContractOperation| -> Vec<String> {
        let all = operation.parameters.iter();
        let all = all.filter(|one| one.place == ir::ParameterPlace::Path);
        all.map(|one| one.name.clone()).collect()
    };
    let (was, is) = (in_path(old), in_path(new));
    let mut sorted = [was.clone(), is.clone()];
    sorted.iter_mut().for_each(|names| names.sort_unstable());
    if sorted[0] == sorted[1] {
        part("parameters path", was.into(), is.into());
    }
    for ((place, name), old, new) in paired(&old.parameters, &new.parameters, name) {
        let subject = format!("parameter {} {name}", place.name());
        let (was, is) = (old.map(|one| &one.says), new.map(|one| &one.says));
        let (was, is) = graphs.texts(was, is);
        let say = |one: Option<&ir::Parameter>, text| match one {
            None => Value::Null,
            Some(one) => with_need(one.required, text),
        };
        let both = (old.map(|one| one.required), new.map(|one| one.required));
        if both.0 != both.1 || was != is {
            part(&subject, say(old, was), say(new, is));
        }
    }
}

fn media_types(
    graphs: &Graphs<'_>,
    of: &str,
    old: &ir::Set<ir::MediaType>,
    new: &ir::Set<ir::MediaType>,
    part: &mut impl FnMut(&str, Value, Value),
) {
    for (name, old, new) in crate::pairs::both(old, new) {
        let (was, is) = graphs.texts(old.map(|one| &one.says), new.map(|one| &one.says));
        part(&format!("{of} {name}"), or_null(was), or_null(is));
    }
}

fn headers(
    graphs: &Graphs<'_>,
    of: &str,
    old: &ir::Set<ir::Header>,
    new: &ir::Set<ir::Header>,
    part: &mut impl FnMut(&str, Value, Value),
) {
    for (name, old, new) in crate::pairs::both(old, new) {
        let (was, is) = graphs.texts(old.map(|one| &one.says), new.map(|one| &one.says));
        let say = |one: Option<&ir::Header>, text| match one {
            None => Value::Null,
            Some(one) => with_need(one.required, text),
        };
        if old.map(|one| one.required) != new.map(|one| one.required) || was != is {
            part(&format!("{of} header {name}"), say(old, was), say(new, is));
        }
    }
}

/// Reports changes of the requests that the API itself sends. Callbacks are reported for their
/// operation, webhooks without an operation.
fn outgoing(
    graphs: &Graphs<'_>,
    old: &ir::Contract,
    new: &ir::Contract,
    gateway: &ir::Gateway,
    plan: &mut Plan,
) {
    for (key, was, is) in crate::pairs::both(&old.outgoing, &new.outgoing) {
        let owner = key.split_once(" callback ").map(|(owner, _)| owner);
        let on = |contract: &ir::Contract| {
            owner.is_some_and(|owner| contract.operations.get(owner).is_some())
        };
        let (subject, routed) = match owner {
            // The routing comparison reports added and removed operations.
            Some(_) if on(old) != on(new) => continue,
            Some(owner) if on(new) => (&key[owner.len() + 1..], routed(gateway, &new.name, owner)),
            Some(_) | None => (key, None),
        };
        let parts = match (was, is) {
            (Some(was), Some(is)) => parts(graphs, was, is),
            (was, is) => {
                let say = |side: Option<&ir::ContractOperation>, graph| match side {
                    None => Value::Null,
                    Some(side) => graphs.digest_of(side, graph).into(),
                };
                vec![Part {
                    subject: String::new(),
                    old: say(was, old),
                    new: say(is, new),
                }]
            }
        };
        say(parts, subject, routed.as_ref(), plan);
    }
}

fn say(parts: Vec<Part>, within: &str, operation: Option<&OperationRef>, plan: &mut Plan) {
    for Part { subject, old, new } in parts {
        let subject = format!("{within} {subject}");
        let change = Change::new(
            Section::Breaking,
            Class::Changed,
            "contract-changed",
            subject.trim(),
            old,
            new,
        );
        plan.changes.push(match operation {
            Some(operation) => change.of(operation.clone()),
            None => change,
        });
    }
}

fn routed(gateway: &ir::Gateway, api: &str, key: &str) -> Option<OperationRef> {
    let api = gateway.apis.get(api)?;
    Some(reference(api, api.operations.get(key)?))
}

fn need(required: bool) -> &'static str {
    if required { "required" } else { "optional" }
}

fn with_need(required: bool, text: Option<String>) -> Value {
    match text {
        Some(text) => format!("{}, {text}", need(required)).into(),
        None => need(required).into(),
    }
}

fn or_null(text: Option<String>) -> Value {
    text.map_or(Value::Null, Value::String)
}

/// Pairs the entries of two lists by name. Uses the first entry if a list contains a name twice.
fn paired<'s, T, N: Ord>(
    old: &'s [T],
    new: &'s [T],
    name: impl Fn(&T) -> N,
) -> Vec<(N, Option<&'s T>, Option<&'s T>)> {
    let mut all: std::collections::BTreeMap<N, (Option<&T>, Option<&T>)> = Default::default();
    for one in old {
        all.entry(name(one)).or_default().0.get_or_insert(one);
    }
    for one in new {
        all.entry(name(one)).or_default().1.get_or_insert(one);
    }
    all.into_iter()
        .map(|(name, (old, new))| (name, old, new))
        .collect()
}

fn by_status<'s>(
    old: &'s [ir::Response],
    new: &'s [ir::Response],
) -> Vec<(String, Option<&'s ir::Response>, Option<&'s ir::Response>)> {
    paired(old, new, |response| response.status.clone())
}
