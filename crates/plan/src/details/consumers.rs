//! Comparison of consumers and their credentials.

use std::cell::LazyCell;
use std::collections::BTreeSet;

use bundle::ir;
use policy::Claims;
use policy::declared::{Setting, Settings, Value as Written};
use serde_json::{Value, json};

use super::claims::Readers;
use super::freed::AdmissionRules;
use super::line::push as push_lines;
use super::{claims, fields, plans, tables};
use crate::pairs::both;
use crate::{Change, Class, Plan, Section};

/// Descriptions of a consumer's credentials, each with its expiry (Unix time, seconds).
pub(super) fn credentials(consumer: Option<&ir::Consumer>) -> BTreeSet<(String, Option<u64>)> {
    let consumers = || consumer.into_iter();
    let certificates = consumers().flat_map(|one| &one.certificates);
    let certificates =
        certificates.map(|one| (format!("{CERTIFICATE}{}", one.name), one.not_after));
    let tokens = consumers().flat_map(|one| &one.tokens);
    let tokens = tokens.map(|one| (one.description(), one.not_after));
    let keys = consumers().flat_map(|one| one.keys.iter().map(|key| ("key", key)));
    let basic = consumers().flat_map(|one| one.basic.iter().map(|pair| ("basic", pair)));
    let hashed = keys.chain(basic).map(|(kind, credential)| {
        let description = format!("{kind} {}", hex(&credential.sha256));
        (description, credential.not_after)
    });
    hashed.chain(certificates).chain(tokens).collect()
}

/// Digest of the plan with its limits, the groups and the claims of a consumer. Empty if the
/// consumer has none of these.
fn rights_of(gateway: &ir::Gateway, consumer: &ir::Consumer) -> String {
    let (groups, claims) = (&consumer.groups, &consumer.claims);
    if consumer.plan.is_none() && groups.is_empty() && claims.is_empty() {
        return String::new();
    }
    let rights = ir::Consumer {
        keys: Vec::new(),
        basic: Vec::new(),
        certificates: Vec::new(),
        tokens: Vec::new(),
        ..consumer.clone()
    };
    let mut bytes = bundle::codec::encode(&rights);
    for limit in plans::limits(gateway, consumer) {
        bytes.extend(bundle::codec::encode(limit));
    }
    bundle::digest::Digest::of(&bytes).hex()
}

/// Reports credentials that were added, removed, or have a later expiry. An acknowledgement of a
/// new consumer's credential covers its plan, its groups and its claims.
pub(super) fn consumers(old: &ir::Gateway, new: &ir::Gateway, plan: &mut Plan) {
    let admitting = AdmissionRules::of(new);
    let gateways = [old, new];
    let readers = LazyCell::new(|| gateways.map(Readers::of));
    let (old, new) = (&old.shared, &new.shared);
    // Certificates and tokens listed by consumers of the new side.
    let listed: BTreeSet<String> = new.consumers.iter().flat_map(foreign).collect();
    for (name, was, is) in both(&old.consumers, &new.consumers) {
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
            if let (None, Some(is), Some(change)) = (was, is, plan.changes.last_mut()) {
                change.bound = rights_of(gateways[1], is);
            }
        }
        let (mut certificate_unlisted, mut token_unlisted) = (false, false);
        for (credential, ends) in before.difference(&after) {
            if after.iter().any(|(other, _)| other == credential) {
                continue;
            }
            let is_admitted = admitting.by_certificate && credential.starts_with(CERTIFICATE)
                || admitting.has_tokens && credential.starts_with(TOKEN);
            let stays = is_admitted && !listed.contains(credential);
            certificate_unlisted |= stays && credential.starts_with(CERTIFICATE);
            token_unlisted |= stays && credential.starts_with(TOKEN);
            let class = match (stays, ends) {
                (false, _) => Class::Strengthen,
                (true, Some(_)) => Class::Grant,
                (true, None) => Class::Incomparable,
            };
            let (was, is) = match (stays, ends) {
                (false, _) => (credential.as_str().into(), Value::Null),
                (true, None) => (credential.as_str().into(), UNLISTED.into()),
                (true, Some(ends)) => (
                    json!({"credential": credential, "not_after": ends}),
                    UNLISTED.into(),
                ),
            };
            let id = "credential-removed";
            push(plan, Section::Security, class, id, subject.clone(), was, is);
            if stays && let Some(change) = plan.changes.last_mut() {
                change.why_none =
                    Some("only a certificate or token of this consumer would show the change");
            }
        }
        let is_gone = was.is_some() && is.is_none();
        let is_unnamed = is_gone && admitting.names(name);
        let is_unlisted = certificate_unlisted || token_unlisted;
        if is_unlisted || is_unnamed {
            let of_token = is_unnamed || token_unlisted;
            admitting.report_removed(&readers, name, (of_token, certificate_unlisted), plan);
        }
        // Callers of a certificate or token that is no longer listed have no consumer.
        let remaining = is.filter(|_| !is_unlisted);
        let stays = was.is_some() && (remaining.is_some() || is_unlisted || is_unnamed);
        if stays || admitting.names(name) {
            claims::compare(&readers, name, [was, remaining], plan);
        }
        let has_credentials = !before.is_empty() || !after.is_empty();
        if !has_credentials || is_unnamed {
            named((name, &subject), (was, is), &admitting, plan);
        }
        let remains = !is_gone || is_unnamed || is_unlisted;
        settings(&subject, (was, is), (&admitting, remains), plan);
    }
}

/// Compares the settings of a consumer without its credentials. `remains`: see [`rights`].
fn settings(
    subject: &str,
    (was, is): (Option<&ir::Consumer>, Option<&ir::Consumer>),
    admission: (&AdmissionRules<'_>, bool),
    plan: &mut Plan,
) {
    let claims = is.map_or_else(Claims::default, |consumer| Claims::of(&consumer.claims));
    let [was, is] =
        [was, is].map(|consumer| consumer.map_or_else(Settings::default, ir::Consumer::settings));
    rights(subject, (&was, &is), &claims, admission, plan);
    let mut lines = Vec::new();
    fields::settings(&tables::CONSUMER, subject, &was, &is, &mut lines);
    push_lines(plan, lines, |_| Section::Policy);
}

/// Reports a consumer that is added or removed, and that a verifier may identify by a claim.
fn named(
    (name, subject): (&str, &str),
    (was, is): (Option<&ir::Consumer>, Option<&ir::Consumer>),
    admitting: &AdmissionRules<'_>,
    plan: &mut Plan,
) {
    let opens = admitting.names(name) && admitting.reads("consumer", None);
    let (class, id) = match (was, is) {
        (None, Some(_)) => (Class::Grant, "consumer-added"),
        (Some(_), None) if opens => (Class::Incomparable, "consumer-removed"),
        (Some(_), None) => (Class::Strengthen, "consumer-removed"),
        (Some(_), Some(_)) | (None, None) => return,
    };
    let (was, is) = (was.is_some().into(), is.is_some().into());
    push(plan, Section::Security, class, id, subject, was, is);
}

/// Reason for a missing witness: only the identity provider can issue such a token.
const OF_TOKENS: &str = "only a token of this consumer with another value of the claim would show \
    the change";

/// Reason for a missing witness: an expression of an `authorize` policy reads the value, and gwc
/// does not evaluate expressions.
const OF_EXPRESSIONS: &str =
    "an `authorize` expression reads the value, and may also admit callers that do not have it";

/// Names of the claims of a caller that presents a client certificate.
const OF_CERTIFICATES: [&str; 6] = ["sub", "san", "spiffe", "subject", "issuer", "x5t#S256"];

/// Text that precedes the name of a certificate in the description of a credential.
const CERTIFICATE: &str = "certificate ";

/// New value in the line for a certificate that was removed but that verifiers still admit.
const UNLISTED: &str = "admitted without a consumer";

/// Text that precedes the description of tokens ([`ir::Holder::description`]).
const TOKEN: &str = "token ";

/// Descriptions of a consumer's credentials that other parties issue: certificates and tokens.
fn foreign(consumer: &ir::Consumer) -> impl Iterator<Item = String> {
    let certificates = consumer.certificates.iter();
    let certificates = certificates.map(|one| format!("{CERTIFICATE}{}", one.name));
    let tokens = consumer.tokens.iter().map(ir::Holder::description);
    certificates.chain(tokens)
}

/// Name of the consumer's claim that a setting defines, or `None` if the setting is not a claim.
fn claim(setting: &Setting) -> Option<&str> {
    let [key, name, ..] = setting.path.as_slice() else {
        return None;
    };
    (key == "claims").then_some(name)
}

/// Compares groups and claims of a consumer, because policies check these. A consumer's claim
/// overrides the claim of the same name in a token; if the consumer's claim is removed, the token's
/// claim applies. If `remains`, callers of the consumer are still admitted: an expression may then
/// admit a caller because a group or claim is missing. `claims`: claims of the new consumer, as the
/// gateway reads them. A claim that is a map or has no values overrides nothing.
fn rights(
    subject: &str,
    (old, new): (&Settings, &Settings),
    claims: &Claims,
    (admitting, remains): (&AdmissionRules<'_>, bool),
    plan: &mut Plan,
) {
    type Right = (String, String, Option<String>);
    let rights = |settings: &Settings| -> BTreeSet<Right> {
        let is_right = |one: &&Setting| ["groups", "claims"].contains(&one.key());
        let rights = settings.iter().filter(is_right).flat_map(|one| {
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
        rights.collect()
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
        let overrides = |name: &String| claims.has(name, "").is_some();
        let is_hidden = claim.as_ref().is_none_or(overrides);
        let is_certified = || {
            let name = claim.as_deref().unwrap_or_default();
            admitting.by_certificate && OF_CERTIFICATES.contains(&name)
        };
        let fallback = match is_hidden {
            false if admitting.has_tokens => Some("the token's own claim"),
            false if is_certified() => Some("the certificate's own claim"),
            _ => None,
        };
        let field = path.split('.').next().unwrap_or_default();
        let is_read = remains && admitting.reads(field, claim.as_deref());
        let subject = format!("{subject} {path}");
        let mut change = Change::new(
            Section::Security,
            match fallback.is_some() || is_read {
                true => Class::Incomparable,
                false => Class::Strengthen,
            },
            "consumer-right-removed",
            subject,
            value.as_str().into(),
            fallback.map_or(Value::Null, Value::from),
        );
        change.why_none = match fallback {
            Some(_) => Some(OF_TOKENS),
            None => is_read.then_some(OF_EXPRESSIONS),
        };
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
