//! Guards of logins: policies that also run before the gateway answers the paths of an API's logins
//! (`redirect_path`, `logout_path`).
//!
//! Guards are policies that all operations of the API have in common: address lists, rate limits by
//! address, and rules about paths and queries. Policies with equal settings count as the same
//! policy, even if their names differ.

use std::collections::BTreeMap;

use bundle::codec::encode;
use bundle::ir::{Link, Policy, Shared, Treatment};
use policy::{Checked, Phase};

/// Settings of a guard in canonical bytes. Two guards with equal content refuse the same requests.
#[must_use]
pub fn content(policy: &Policy) -> Vec<u8> {
    encode(&policy.checked)
}

/// Guards of an API with these treatments, as indices into the policies of gateway.yaml, in the
/// order of the first treatment. If several policies have equal settings, the first by name is
/// used.
#[must_use]
pub fn of_logins(shared: &Shared, treatments: &[Treatment]) -> Vec<usize> {
    // Index of the first guard policy with given settings, by the encoded settings.
    let mut first: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    let mut common: Option<Vec<Vec<u8>>> = None;
    for treatment in treatments {
        let links = treatment.chain.iter();
        let used = links.filter_map(|link| match link {
            Link::Shared(name) => shared.policies.position(name),
            Link::Authenticate | Link::Own(_) => None,
        });
        let mut own = Vec::new();
        for index in used.filter(|index| is_guard(&shared.policies[*index].checked)) {
            let content = content(&shared.policies[index]);
            let least = first.entry(content.clone()).or_insert(index);
            *least = index.min(*least);
            if !own.contains(&content) {
                own.push(content);
            }
        }
        match &mut common {
            None => common = Some(own),
            Some(common) => common.retain(|one| own.contains(one)),
        }
    }
    let common = common.unwrap_or_default();
    common.iter().map(|content| first[content]).collect()
}

fn is_guard(checked: &Checked) -> bool {
    match checked {
        Checked::IpFilter(_) | Checked::Threat(_) => true,
        // A permit is held for an exchange with an upstream, which the paths of a login do not have.
        Checked::Concurrency(_) => false,
        _ => checked.has_counters() && checked.phase() == Some(Phase::Address),
    }
}
