//! Effects of removing a consumer whose callers are still admitted: by a token with
//! `consumer_claim`, by a signature's key id, by a certificate, or by a token that the consumer
//! listed. Each of these callers then has no consumer (data-plane.md). Limits with `key: consumer`
//! count each such caller separately, and the upstream receives another name.

use std::collections::BTreeSet;

use bundle::ir;
use policy::{Checked, auth};
use serde_json::Value;

use super::claims::Readers;
use super::{claims, plans};
use crate::{Change, Class, Plan, Section};

/// Reason for a missing witness: plans have no certificates and tokens of real callers.
const OF_CALLERS: &str = "only a token or certificate of this consumer would show the change";

/// Parts of a gateway that determine which callers without a consumer are admitted.
pub(super) struct AdmissionRules<'a> {
    gateway: &'a ir::Gateway,
    /// True if a verifier reads the consumer's name from a token.
    by_claim: bool,
    /// Key ids of signatures. A consumer with the name of a key id is the caller of signatures with
    /// this id.
    key_ids: BTreeSet<String>,
    /// True if a verifier admits client certificates.
    pub(super) by_certificate: bool,
    /// True if callers may have tokens. The token's value of a claim applies if the consumer does
    /// not define the claim.
    pub(super) has_tokens: bool,
    /// Paths of the values that the expressions of the gateway read.
    reads: BTreeSet<Vec<String>>,
}

/// Verifiers of a gateway.
fn verifiers(gateway: &ir::Gateway) -> impl Iterator<Item = &auth::Checked> {
    let all = gateway.shared.auth.iter();
    all.map(|verifier| &verifier.checked)
}

/// Key ids of a verifier of signatures.
fn key_ids(checked: &auth::Checked) -> BTreeSet<String> {
    let settings = checked.settings();
    let ids = settings.iter().filter_map(|one| match one.path.as_slice() {
        [key, id, ..] if key == "secrets" => Some(id.clone()),
        _ => None,
    });
    ids.collect()
}

/// Policies of a gateway, each with the name that plans show.
pub(super) fn policies(gateway: &ir::Gateway) -> impl Iterator<Item = (String, &ir::Policy)> {
    let shared = gateway.shared.policies.iter();
    let shared = shared.map(|policy| (policy.name.clone(), policy));
    let own = gateway.apis.iter().flat_map(|api| {
        let policies = api.policies.iter();
        policies.map(|policy| (format!("{}/{}", api.name, policy.name), policy))
    });
    shared.chain(own)
}

/// Paths of the values that the expressions of `authorize` policies read, such as `auth`, `claims`,
/// `tenant`. An expression that this version cannot parse counts as reading all of `auth`.
fn read(gateway: &ir::Gateway) -> BTreeSet<Vec<String>> {
    let mut all = BTreeSet::new();
    for (_, policy) in policies(gateway) {
        let Checked::Authorize(authorize) = &policy.checked else {
            continue;
        };
        let Some(expression) = authorize.expression() else {
            continue;
        };
        match expression.reads() {
            Some(paths) => all.extend(paths.iter().cloned()),
            None => {
                all.insert(vec!["auth".to_owned()]);
            }
        }
    }
    all
}

impl<'a> AdmissionRules<'a> {
    pub(super) fn of(gateway: &'a ir::Gateway) -> Self {
        let any = |is: &dyn Fn(&auth::Checked) -> bool| verifiers(gateway).any(is);
        Self {
            gateway,
            by_claim: any(&|checked| checked.settings().text(&["consumer_claim"]).is_some()),
            key_ids: verifiers(gateway).flat_map(key_ids).collect(),
            by_certificate: any(&|checked| checked.kind() == "mtls"),
            has_tokens: any(&|checked| {
                !["api_key", "basic", "mtls", "hmac_signature"].contains(&checked.kind())
            }),
            reads: read(gateway),
        }
    }

    /// True if a verifier may identify a caller as this consumer without a credential of the
    /// consumer.
    pub(super) fn names(&self, consumer: &str) -> bool {
        self.by_claim || self.key_ids.contains(consumer)
    }

    /// True if an expression reads a field of `auth`, such as a claim. An expression may admit a
    /// caller because the caller lacks the value.
    pub(super) fn reads(&self, field: &str, name: Option<&str>) -> bool {
        self.reads.iter().any(|path| {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            match path.as_slice() {
                ["auth"] => true,
                ["auth", own] => *own == field,
                ["auth", own, key, ..] => *own == field && name.is_none_or(|name| name == *key),
                _ => false,
            }
        })
    }

    /// Reports the effects of a removed consumer on callers that are still admitted. These are
    /// limits that counted the callers together, limits of the consumer's plan, targets that the
    /// consumer's name selected, and fields that contain the name. The first value of `is_of` is
    /// true if tokens still admit such callers, the second if certificates do.
    pub(super) fn report_removed(
        &self,
        readers: &[Readers<'_>; 2],
        consumer: &str,
        is_of: (bool, bool),
        plan: &mut Plan,
    ) {
        let (by_token, by_certificate) = is_of;
        let of = format!("consumer {consumer}");
        claims::targets(readers, ("consumer", &of), [Some(consumer), None], plan);
        plans::removed(readers[0].gateway, consumer, plan);
        for (name, policy) in policies(self.gateway) {
            let settings = policy.checked.settings();
            let keys = settings.texts(&["key"]).unwrap_or_default();
            if !policy.checked.has_counters() || !keys.contains(&"consumer") {
                continue;
            }
            plan.changes.push(Change::new(
                Section::Policy,
                Class::Relax,
                "limit-key-changed",
                format!("policy {name} key, consumer {consumer}"),
                "one counter".into(),
                "a counter for each caller".into(),
            ));
        }
        let shared = &self.gateway.shared;
        let mut fields: BTreeSet<&str> = BTreeSet::new();
        for scheme in self.gateway.apis.iter().flat_map(|api| &api.schemes) {
            let checked = match &scheme.verify {
                ir::Verify::Auth(name) => shared.auth.get(name).map(|one| &one.checked),
                ir::Verify::Upstream => None,
            };
            let is_concerned = checked.is_some_and(|checked| match checked.kind() {
                "mtls" => by_certificate,
                "api_key" | "basic" => false,
                _ => by_token,
            });
            if is_concerned {
                fields.extend(scheme.passes.forward_as.as_deref());
            }
        }
        for field in fields {
            let mut change = Change::new(
                Section::Security,
                Class::Incomparable,
                "identity-field-changed",
                format!("consumer {consumer} request header {field}"),
                consumer.into(),
                Value::from("the subject of the token or certificate"),
            );
            change.why_none = Some(OF_CALLERS);
            plan.changes.push(change);
        }
    }
}
