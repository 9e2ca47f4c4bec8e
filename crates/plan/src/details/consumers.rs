//! Comparison of consumers and their credentials.

use std::collections::BTreeSet;

use bundle::ir;
use policy::declared::{Setting, Settings, Value as Written};
use serde_json::{Value, json};

use super::{fields, push as push_lines};
use crate::pairs::both;
use crate::{Change, Class, Plan, Section};

/// Reports credentials that were added or removed, or that last longer.
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
        let named = was.is_some() != is.is_some();
        if before.is_empty() && after.is_empty() && named {
            // A verifier may identify a consumer by a claim.
            let (class, id) = match is {
                Some(_) => (Class::Grant, "consumer-added"),
                None => (Class::Strengthen, "consumer-removed"),
            };
            push(
                plan,
                Section::Security,
                class,
                id,
                subject.clone(),
                was.is_some().into(),
                is.is_some().into(),
            );
        }
        let empty = Settings::default();
        let told = |consumer: Option<&ir::Consumer>| {
            consumer.map_or_else(|| empty.clone(), ir::Consumer::settings)
        };
        let (was, is) = (told(was), told(is));
        rights(&subject, &was, &is, plan);
        let mut lines = Vec::new();
        fields::settings(&fields::CONSUMER, &subject, &was, &is, &mut lines);
        push_lines(plan, lines, |_| Section::Policy);
    }
}

/// Compares groups, claims and the plan of a consumer, which policies check.
fn rights(subject: &str, old: &Settings, new: &Settings, plan: &mut Plan) {
    let rights = |settings: &Settings| -> BTreeSet<(String, String)> {
        let asked = |one: &&Setting| ["groups", "claims", "plan"].contains(&one.path[0].as_str());
        let told = settings.iter().filter(asked).flat_map(|one| {
            let values: Vec<String> = match &one.value {
                Written::One(scalar) => vec![scalar.to_string()],
                Written::Set(all) | Written::List(all) => {
                    all.iter().map(ToString::to_string).collect()
                }
                Written::Empty => Vec::new(),
            };
            let path = one.path.join(".");
            values.into_iter().map(move |value| (path.clone(), value))
        });
        told.collect()
    };
    let (before, after) = (rights(old), rights(new));
    for (path, value) in after.difference(&before) {
        let subject = format!("{subject} {path}");
        push(
            plan,
            Section::Security,
            Class::Grant,
            "consumer-right-added",
            subject,
            Value::Null,
            value.as_str().into(),
        );
    }
    for (path, value) in before.difference(&after) {
        let subject = format!("{subject} {path}");
        push(
            plan,
            Section::Security,
            Class::Strengthen,
            "consumer-right-removed",
            subject,
            value.as_str().into(),
            Value::Null,
        );
    }
}

fn push(
    plan: &mut Plan,
    section: Section,
    class: Class,
    id: &'static str,
    subject: impl Into<String>,
    old: Value,
    new: Value,
) {
    plan.changes
        .push(Change::new(section, class, id, subject, old, new));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
