//! Secrets: which references, and where they flow.

use std::collections::BTreeSet;

use policy::Checked;
use serde_json::{Value, json};

use super::push;
use crate::lower::Lowered;
use crate::plan::{Class, Plan, Section};

/// Every reference, and every field that it flows to, that is not in the old gateway: also of
/// policies that are new, and in the first release.
pub(super) fn secrets(old: Option<&Lowered>, new: &Lowered, plan: &mut Plan) {
    let flows = |lowered: &Lowered| -> BTreeSet<(String, String, String)> {
        let shared = lowered
            .gateway
            .shared
            .policies
            .iter()
            .map(|policy| (String::new(), policy));
        let own = lowered.gateway.apis.iter().flat_map(|api| {
            api.policies
                .iter()
                .map(move |policy| (format!("{}/", api.name), policy))
        });
        let mut flows = BTreeSet::new();
        for (scope, policy) in shared.chain(own) {
            if let Checked::Headers(headers) = &policy.checked {
                flows.extend(headers.secrets().map(|(field, reference)| {
                    (
                        format!("policy {scope}{}", policy.name),
                        field.to_owned(),
                        reference.to_string(),
                    )
                }));
            }
        }
        flows
    };
    let before = old.map(flows).unwrap_or_default();
    for (subject, field, reference) in flows(new).difference(&before) {
        push(
            plan,
            Section::Policy,
            Class::Changed,
            "secret-flow-added",
            subject.clone(),
            Value::Null,
            json!({"reference": reference, "field": field}),
        );
    }
}
