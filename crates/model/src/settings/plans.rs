//! Key `plans`: a plan is a named set of limits for consumers.
//!
//! Each policy that a plan names is copied. The copy contains the names of all plans that name the
//! policy. The copies are in every chain with authentication, after the operation's own limits, and
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
use vocab::lints::WRONG_KIND;

/// Name in the bundle of a plan's copy of a policy. Names in gateway.yaml contain no `:`.
pub(crate) fn copied(policy: &str) -> String {
    format!("plan:{policy}")
}

/// Adds the copies of the policies named by `plans`. Returns the names of the copies, each with the
/// source location of the first plan that names the policy.
pub(super) fn read(
    root: NodeRef<'_>,
    project: &str,
    policies: &mut Vec<Defined<ir::Policy>>,
    sink: &mut Sink,
) -> Vec<Spanned<String>> {
    let mut named: BTreeMap<String, (Spanned<String>, Vec<String>)> = BTreeMap::new();
    for (entry, plan) in root.get("plans").into_iter().flat_map(NodeRef::entries) {
        for policy in name_list(plan.get("policies")) {
            let first = Spanned::new(copied(&policy.value), policy.span);
            let (_, plans) = named
                .entry(policy.value)
                .or_insert_with(|| (first, Vec::new()));
            plans.push(entry.key.to_string());
        }
    }
    let mut names = Vec::new();
    for (policy, (name, plans)) in named {
        // An unknown name was reported.
        let original = policies.iter().find(|one| one.value.name == policy);
        let (Some(mut copy), Some(plans)) = (original.cloned(), Plans::of(plans)) else {
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
