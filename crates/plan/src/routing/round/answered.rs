//! Requests that a policy of the old side answered (`redirect`, `respond`), and that the new side
//! sends to an upstream. The upstream got no such request before, so callers have new access, as to a
//! new operation. The comparison of routes reports requests that the old side answered with an error.

use policy::Checked;
use rustc_hash::{FxHashMap, FxHashSet};

use super::{Accesses, digest, has_same_requests, number, treatment};
use crate::details::OperationAt;
use crate::pairs::reference;
use crate::security::{differences, policies};
use crate::{Change, Plan};
use model::outbound::{Side, answers};

/// Reason for a missing witness.
const ANSWERED: &str = "no example: the old side answered the requests of every caller itself";

impl Accesses<'_, '_> {
    /// Reports operations of the new side that send requests which the old side answered
    /// itself.
    pub(super) fn answered(&self, plan: &mut Plan) {
        let mut olds: FxHashMap<String, Vec<OperationAt<'_>>> = FxHashMap::default();
        let places = self.places[number(Side::Old)].iter();
        for before in places.filter(|one| self.is_answered(**one)) {
            let template = before.operation.template.to_string();
            olds.entry(template).or_default().push(*before);
        }
        if olds.is_empty() {
            return;
        }
        let mut reported: FxHashSet<(&str, String)> = FxHashSet::default();
        for (at, after) in self.places[number(Side::New)].iter().enumerate() {
            if self.outbound[number(Side::New)].sends_nothing(at) {
                continue;
            }
            let template = after.operation.template.to_string();
            let mut same = olds.get(&template).into_iter().flatten();
            let Some(before) = same.find(|before| serves_same(**before, *after)) else {
                continue;
            };
            let [was, is] = self.accesses((Side::Old, *before), *after);
            let opened = Some(is.is_open());
            for one in differences(&was.refused(), &is) {
                let Some((class, id)) = one.class_and_id(opened) else {
                    continue;
                };
                let line = (after.operation.key.as_str(), one.subject.clone());
                if !reported.insert(line) {
                    continue;
                }
                let section = one.section();
                let mut change = Change::new(section, class, id, one.subject, one.old, one.new);
                change.bound = format!("{}; {}", digest(*before), digest(*after));
                change.why_none = Some(ANSWERED);
                let operation = reference(after.api, after.operation);
                plan.changes.push(change.of(operation));
            }
        }
    }

    /// True if a policy answers the requests of an old operation, and not with an error status.
    fn is_answered(&self, one: OperationAt<'_>) -> bool {
        let gateway = self.gateways[number(Side::Old)];
        let chain = policies(gateway, one.api, treatment(one));
        let mut replies = chain.map(|policy| &policy.checked);
        let first = replies.find(|checked| answers(checked));
        let is_error =
            |checked: &&Checked| matches!(checked, Checked::Respond(one) if one.status() >= 400);
        first.is_some_and(|first| !is_error(&first))
    }
}

/// True if two operations serve the same requests at a common listener.
fn serves_same(before: OperationAt<'_>, after: OperationAt<'_>) -> bool {
    let mut listeners = before.mount.listeners.iter();
    has_same_requests(before, after)
        && before.operation.owns == after.operation.owns
        && before.operation.conditions == after.operation.conditions
        && listeners.any(|name| after.mount.listeners.contains(name))
}
