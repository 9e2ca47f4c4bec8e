//! Operations that a changed definition reaches: operations of both sides that use the policy,
//! upstream, verifier, security scheme, mount, listener or API of the change.
//!
//! The operations are not part of the change's fingerprint: an acknowledged edit of a definition
//! stays acknowledged when another operation begins to use the definition.

use std::collections::{BTreeMap, BTreeSet};

use bundle::ir;
use policy::Policy as _;

use crate::reach::{LISTED_MAX, Reach};
use crate::{Change, Plan, Side};

/// Definition that operations use.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Used<'a> {
    /// Policy: its name in gateway.yaml, or `API/NAME` for a policy of a document.
    Policy(&'a str),
    Upstream(&'a str),
    /// Verifier, by its name in the bundle.
    Auth(&'a str),
    /// Security scheme, as `API/NAME`.
    Scheme(&'a str),
    /// Mount, as `API/NAME`.
    Mount(&'a str),
    Listener(&'a str),
    Api(&'a str),
}

impl<'a> Used<'a> {
    /// Definitions named by a subject, such as `upstream u targets.a.url`.
    fn of(subject: &'a str) -> Vec<Self> {
        let words: Vec<&str> = subject.split(' ').collect();
        let [kind, name, rest @ ..] = &words[..] else {
            return Vec::new();
        };
        let of = |name: &'a str| match *kind {
            "policy" => Some(Self::Policy(name)),
            "upstream" => Some(Self::Upstream(name)),
            "auth" => Some(Self::Auth(name)),
            "scheme" => Some(Self::Scheme(name)),
            "mount" => Some(Self::Mount(name)),
            "listener" => Some(Self::Listener(name)),
            "api" => Some(Self::Api(name)),
            _ => None,
        };
        let second = match rest {
            ["->", second, ..] => Some(*second),
            _ => None,
        };
        [Some(*name), second]
            .into_iter()
            .flatten()
            .filter_map(of)
            .collect()
    }
}

/// Keys of the operations that use each wanted definition.
type Users<'a> = BTreeMap<Used<'a>, BTreeSet<String>>;

/// Adds the operations that a change reaches to each change of a definition.
pub(super) fn add(plan: &mut Plan, old: Option<&Side>, new: &Side) {
    let reached = of_changes(&plan.changes, old, new);
    for (change, keys) in plan.changes.iter_mut().zip(reached) {
        if !keys.is_empty() {
            change.reaches = Some(Reach {
                count: keys.len(),
                operations: keys.into_iter().take(LISTED_MAX).collect(),
            });
        }
    }
}

/// Keys of all operations that each change of a definition reaches. Empty for a change of
/// operations.
pub(crate) fn of_changes(
    changes: &[Change],
    old: Option<&Side>,
    new: &Side,
) -> Vec<BTreeSet<String>> {
    fn used(change: &Change) -> Vec<Used<'_>> {
        match change.operations.is_empty() {
            true => Used::of(&change.subject),
            false => Vec::new(),
        }
    }
    let mut users = Users::new();
    for one in changes.iter().flat_map(used) {
        users.entry(one).or_default();
    }
    if !users.is_empty() {
        for side in old.into_iter().chain([new]) {
            collect(&side.lowered.gateway, &mut users);
        }
    }
    let reached = changes.iter().map(|change| {
        let used = used(change).into_iter();
        let keys = used.filter_map(|used| users.get(&used)).flatten();
        keys.cloned().collect()
    });
    reached.collect()
}

/// Adds the operations of a gateway to the definitions that they use.
fn collect(gateway: &ir::Gateway, users: &mut Users<'_>) {
    for api in &gateway.apis {
        let of_api = of_api(api);
        let of_treatments: Vec<Vec<String>> = api
            .treatments
            .iter()
            .map(|treatment| of_treatment(gateway, api, treatment))
            .collect();
        for (used, keys) in users.iter_mut() {
            let name = used.text();
            let all = of_api.contains(&name);
            let uses: Vec<bool> = of_treatments
                .iter()
                .map(|one| one.contains(&name))
                .collect();
            let operations = api.operations.iter().filter(|operation| {
                all || uses
                    .get(operation.treatment as usize)
                    .copied()
                    .unwrap_or(false)
            });
            keys.extend(operations.map(|operation| operation.key.clone()));
        }
    }
}

impl Used<'_> {
    /// Kind and name of the definition, such as `policy slow`.
    fn text(&self) -> String {
        let (kind, name) = match self {
            Self::Policy(name) => ("policy", name),
            Self::Upstream(name) => ("upstream", name),
            Self::Auth(name) => ("auth", name),
            Self::Scheme(name) => ("scheme", name),
            Self::Mount(name) => ("mount", name),
            Self::Listener(name) => ("listener", name),
            Self::Api(name) => ("api", name),
        };
        format!("{kind} {name}")
    }
}

/// Definitions that all operations of an API use.
fn of_api(api: &ir::Api) -> Vec<String> {
    let mut all = vec![format!("api {}", api.name)];
    for mount in &api.mounts {
        all.push(format!("mount {}/{}", api.name, mount.name));
        all.extend(
            mount
                .listeners
                .iter()
                .map(|name| format!("listener {name}")),
        );
    }
    all
}

/// Definitions that operations with a certain treatment (effective settings) use.
fn of_treatment(gateway: &ir::Gateway, api: &ir::Api, treatment: &ir::Treatment) -> Vec<String> {
    let mut all = vec![format!("upstream {}", treatment.upstream)];
    let upstream = |name: &str| format!("upstream {name}");
    for link in &treatment.chain {
        let (subject, policy) = match link {
            ir::Link::Authenticate => continue,
            ir::Link::Shared(name) => (name.clone(), gateway.shared.policies.get(name)),
            ir::Link::Own(name) => (format!("{}/{name}", api.name), api.policies.get(name)),
        };
        all.push(format!("policy {subject}"));
        let upstreams = policy.map(|policy| policy.checked.upstreams());
        all.extend(upstreams.into_iter().flatten().map(upstream));
    }
    let forwarding = &treatment.forwarding;
    let split = forwarding.split.iter().flat_map(|split| split.upstreams());
    let mirror = forwarding
        .mirror
        .iter()
        .flat_map(|mirror| mirror.upstreams());
    all.extend(split.chain(mirror).map(upstream));
    for wanted in treatment.security.uses() {
        all.push(format!("scheme {}/{}", api.name, wanted.scheme));
        if let Some(ir::Verify::Auth(name)) = api.schemes.get(&wanted.scheme).map(|one| &one.verify)
        {
            all.push(format!("auth {name}"));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_name_definitions() {
        for (subject, expected) in [
            ("policy slow limit", vec![Used::Policy("slow")]),
            ("policy a/slow", vec![Used::Policy("a/slow")]),
            (
                "upstream u -> v targets",
                vec![Used::Upstream("u"), Used::Upstream("v")],
            ),
            ("listener public address", vec![Used::Listener("public")]),
            ("timeout", Vec::new()),
            ("consumer acme", Vec::new()),
        ] {
            assert_eq!(Used::of(subject), expected, "{subject}");
        }
    }
}
