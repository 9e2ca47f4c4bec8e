//! Comparison of operations with TRACE or CONNECT. The gateway never serves these methods, so no
//! request shows a change.

use bundle::ir;
pub(crate) use model::outbound::is_unserved;
use serde_json::Value;

use crate::pairs::{both, reference};
use crate::{Change, Class, Plan, Section};

/// Reports operations with TRACE or CONNECT that are added, removed, or require other credentials.
pub(super) fn compare(old: Option<&ir::Api>, new: Option<&ir::Api>, plan: &mut Plan) {
    let none = ir::Set::default();
    let [was, is] = [old, new].map(|api| api.map_or(&none, |api| &api.operations));
    for (_, was, is) in both(was, is) {
        let one = is.zip(new).or(was.zip(old));
        let Some((operation, api)) = one.filter(|(one, _)| is_unserved(&one.method)) else {
            continue;
        };
        let [before, after] = [was.zip(old), is.zip(new)].map(|side| side.map(shown));
        if before != after {
            let [before, after] = [before, after].map(|text| text.map_or(Value::Null, Value::from));
            let mut change = Change::new(
                Section::Routing,
                Class::Changed,
                "unserved-operation-changed",
                "operation",
                before,
                after,
            );
            change.why_none = Some("the gateway serves no request with this method");
            plan.changes.push(change.of(reference(api, operation)));
        }
    }
}

/// Method, path and number of alternative credentials of an operation.
fn shown((operation, api): (&ir::Operation, &ir::Api)) -> String {
    let security = &api.treatments[operation.treatment as usize].security;
    let names = security.0.iter().map(|one| {
        let names = one.0.iter().map(|wanted| wanted.scheme.as_str());
        names.collect::<Vec<_>>().join(" and ")
    });
    let names: Vec<String> = names.collect();
    let (method, template) = (&operation.method, &operation.template);
    match names.is_empty() {
        true => format!("{method} {template}"),
        false => format!("{method} {template} with {}", names.join(" or ")),
    }
}
