//! Consumers and their credentials.

use std::collections::BTreeSet;

use bundle::ir;
use serde_json::{Value, json};

use super::{both, push};
use crate::plan::{Class, Plan, Section};

/// Credentials that come, go, or last longer.
pub(super) fn consumers(old: &ir::Shared, new: &ir::Shared, plan: &mut Plan) {
    for (name, was, is) in both(&old.consumers, &new.consumers) {
        let credentials = |consumer: Option<&ir::Consumer>| -> BTreeSet<(String, Option<u64>)> {
            let all = consumer.into_iter().flat_map(|consumer| {
                consumer
                    .keys
                    .iter()
                    .map(|key| ("key", key))
                    .chain(consumer.basic.iter().map(|pair| ("basic", pair)))
            });
            all.map(|(kind, credential)| {
                (
                    format!("{kind} {}", hex(&credential.sha256)),
                    credential.not_after,
                )
            })
            .collect()
        };
        let (before, after) = (credentials(was), credentials(is));
        let subject = format!("consumer {name}");
        for (credential, ends) in after.difference(&before) {
            let known = before.iter().find(|(other, _)| other == credential);
            let longer = known
                .is_some_and(|(_, was)| was.is_some_and(|was| ends.is_none_or(|ends| ends > was)));
            let (class, id) = match (known, longer) {
                (None, _) => (Class::Grant, "credential-added"),
                (Some(_), true) => (Class::Grant, "credential-prolonged"),
                (Some(_), false) => (Class::Strengthen, "credential-shortened"),
            };
            push(
                plan,
                Section::Security,
                class,
                id,
                subject.clone(),
                known.map_or(
                    Value::Null,
                    |(_, was)| json!({"credential": credential, "not_after": was}),
                ),
                json!({"credential": credential, "not_after": ends}),
            );
        }
        for (credential, _) in before.difference(&after) {
            if !after.iter().any(|(other, _)| other == credential) {
                push(
                    plan,
                    Section::Security,
                    Class::Strengthen,
                    "credential-removed",
                    subject.clone(),
                    credential.as_str().into(),
                    Value::Null,
                );
            }
        }
        if before.is_empty() && after.is_empty() && was.is_some() != is.is_some() {
            push(
                plan,
                Section::Policy,
                Class::Changed,
                "consumer-changed",
                subject,
                was.is_some().into(),
                is.is_some().into(),
            );
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
