//! Key `plans`: a plan is a named set of limits for consumers and groups.
//!
//! Each policy that a plan names is copied. The copy contains the names of all plans that name the
//! policy, and the groups of these plans. The copies are in every chain with authentication, after the operation's own limits, and
//! have separate counters.

use std::collections::BTreeMap;

use bundle::ir;
use diag::shape::BAD_VALUE;
use diag::{Diagnostic, NodeRef, Sink, Spanned};
use policy::Checked;
use policy::plans::Plans;

use super::state::state_id;
use super::values::name_list;
use crate::Defined;
use crate::names::{AllNames, Kind};
use vocab::lints::WRONG_KIND;

/// Policy that plans name.
struct NamedLimit {
    /// Name of the copy, at the first plan that names the policy.
    first: Spanned<String>,
    /// Names of the plans.
    plans: Vec<String>,
    /// Groups of the plans.
    groups: Vec<String>,
}

/// Prefix of the name of a plan's copy of a policy.
pub(crate) const COPY: &str = "plan:";

/// Name in the bundle of a plan's copy of a policy. Names in gateway.yaml contain no `:`.
pub(crate) fn copied(policy: &str) -> String {
    format!("{COPY}{policy}")
}

/// Adds the copies of the policies named by `plans`. Returns the names of the copies, each with the
/// source location of the first plan that names the policy.
pub(super) fn read(
    root: NodeRef<'_>,
    project: &str,
    policies: &mut Vec<Defined<ir::Policy>>,
    sink: &mut Sink,
) -> Vec<Spanned<String>> {
    let mut named: BTreeMap<String, NamedLimit> = BTreeMap::new();
    for (entry, plan) in root.get("plans").into_iter().flat_map(NodeRef::entries) {
        let groups = name_list(plan.get("groups"));
        for policy in name_list(plan.get("policies")) {
            let first = Spanned::new(copied(&policy.value), policy.span);
            let limit = named.entry(policy.value).or_insert_with(|| NamedLimit {
                first,
                plans: Vec::new(),
                groups: Vec::new(),
            });
            limit.plans.push(entry.key.to_string());
            limit
                .groups
                .extend(groups.iter().map(|group| group.value.clone()));
        }
    }
    let mut names = Vec::new();
    for (policy, limit) in named {
        let name = limit.first;
        // An unknown name was reported.
        let original = policies.iter().find(|one| one.value.name == policy);
        let (Some(mut copy), Some(plans)) =
            (original.cloned(), Plans::of(limit.plans, limit.groups))
        else {
            continue;
        };
        let checked = &mut copy.value.checked;
        if !checked.limit_to(plans) {
            report(&name, &policy, checked, sink);
            continue;
        }
        let counter = checked.counter();
        copy.value.state = state_id(&[project, checked.kind(), "plan", &policy, &counter]);
        copy.value.name.clone_from(&name.value);
        policies.push(copy);
        names.push(name);
    }
    names
}

/// Marks plans with groups as used: groups of tokens are not known to gwc.
pub(super) fn mark_grouped(root: NodeRef<'_>, names: &AllNames) {
    for (entry, plan) in root.get("plans").into_iter().flat_map(NodeRef::entries) {
        if !name_list(plan.get("groups")).is_empty() {
            let _defined = names.kind(Kind::Plan).knows(&entry.key);
        }
    }
}

fn report(name: &Spanned<String>, policy: &str, checked: &Checked, sink: &mut Sink) {
    let policy = policy.escape_debug();
    let finding = match checked.kind() {
        // A policy that gwd does not support yet has its own finding.
        _ if matches!(checked, Checked::Declared(_)) => return,
        "rate_limit" | "concurrency" => Diagnostic::new(
            &BAD_VALUE,
            name.span,
            format!("`{policy}` counts by address, before the caller and its plan are known"),
        )
        .help("write `key: consumer` in the policy"),
        kind => Diagnostic::new(
            &WRONG_KIND,
            name.span,
            format!("a plan cannot have `{policy}`: it is of kind `{kind}`"),
        )
        .help("name policies of kind `rate_limit`, `quota` or `concurrency`"),
    };
    sink.push(finding);
}
