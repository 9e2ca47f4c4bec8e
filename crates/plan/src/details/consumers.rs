//! Comparison of consumers and their credentials.

use std::collections::BTreeSet;

use bundle::ir;
use policy::declared::{Setting, Settings, Value as Written};
use serde_json::{Value, json};

use super::{fields, push as push_lines, tables};
use crate::pairs::both;
use crate::{Change, Class, Plan, Section};

/// Reports credentials that were added, removed, or have a later expiry.
pub(super) fn consumers(old: &ir::Shared, new: &ir::Shared, plan: &mut Plan) {
    for (name, was, is) in both(&old.consumers, &new.consumers) {
        let credentials = |consumer: Option<&ir::Consumer>| -> BTreeSet<(String, Option<u64>)> {
            let certificates = consumer.into_iter().flat_map(|one| &one.certificates);
            let certificates =
                certificates.map(|one| (format!("certificate {}", one.name), one.not_after));
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
            .chain(certificates)
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
            // Without credentials here, a verifier may identify the consumer by a claim.
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
        rights(&subject, (&was, &is), has_tokens(new), plan);
        let mut lines = Vec::new();
        fields::settings(&tables::CONSUMER, &subject, &was, &is, &mut lines);
        push_lines(plan, lines, |_| Section::Policy);
    }
}

/// Reason for the absence of a witness: only the identity provider can issue such a token.
const OF_TOKENS: &str = "only a token of this consumer with another value of the claim would show \
    the change";

/// True if callers may have tokens. Claims of a token apply where the consumer has none.
fn has_tokens(shared: &ir::Shared) -> bool {
    let mut verifiers = shared.auth.iter();
    verifiers.any(|verifier| !["api_key", "basic"].contains(&verifier.checked.kind()))
}

/// Name of the consumer's claim that a setting defines, or `None` if the setting is not a claim.
fn claim(setting: &Setting) -> Option<&str> {
    let [key, name, ..] = setting.path.as_slice() else {
        return None;
    };
    (key == "claims").then_some(name)
}

/// Compares groups, claims and plan of a consumer, because policies check these. A consumer's claim
/// overrides the claim of the same name in a token. If it is removed, the token's claim applies.
fn rights(subject: &str, (old, new): (&Settings, &Settings), has_tokens: bool, plan: &mut Plan) {
    type Right = (String, String, Option<String>);
    let rights = |settings: &Settings| -> BTreeSet<Right> {
        let asked = |one: &&Setting| ["groups", "claims", "plan"].contains(&one.path[0].as_str());
        let told = settings.iter().filter(asked).flat_map(|one| {
            let values: Vec<String> = match &one.value {
                Written::One(scalar) => vec![scalar.to_string()],
                Written::Set(all) | Written::List(all) => {
                    all.iter().map(ToString::to_string).collect()
                }
                Written::Empty => Vec::new(),
            };
            let (path, claim) = (one.path.join("."), claim(one).map(str::to_owned));
            let right = move |value| (path.clone(), value, claim.clone());
            values.into_iter().map(right)
        });
        told.collect()
    };
    let (before, after) = (rights(old), rights(new));
    for (path, value, _) in after.difference(&before) {
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
    for (path, value, claim) in before.difference(&after) {
        let mut others = after.iter();
        let is_hidden = claim.is_none() || others.any(|(_, _, other)| other == claim);
        let opens = has_tokens && !is_hidden;
        let subject = format!("{subject} {path}");
        let mut change = Change::new(
            Section::Security,
            match opens {
                true => Class::Incomparable,
                false => Class::Strengthen,
            },
            "consumer-right-removed",
            subject,
            value.as_str().into(),
            match opens {
                true => "the token's own claim".into(),
                false => Value::Null,
            },
        );
        change.why_none = opens.then_some(OF_TOKENS);
        plan.changes.push(change);
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
