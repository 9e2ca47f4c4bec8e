//! Plan of a first release: nothing is deployed yet, so every operation is new.
//!
//! Each API is one change per listener. Open access in a first release is configured explicitly
//! (`public: true`, `required.allow_public`, `security: upstream`). A change with open access
//! therefore has the class `expose`, and is blocked only if the project enables the gate of that
//! name.

use std::collections::{BTreeMap, BTreeSet};

use bundle::ir;
use serde_json::Value;

use super::{Change, Class, Member, OperationRef, Plan, RequestPlace, Section, Witness};

/// Maximum number of operations that a line lists for each kind of access.
const NAMED_MAX: usize = 5;

/// Operations of one API at one listener.
#[derive(Default)]
struct Served {
    all: BTreeMap<String, OperationRef>,
    /// Operations that anyone may call.
    open: BTreeMap<String, OperationRef>,
    /// Operations whose required credential gwd does not verify, so that anyone can forge it.
    unverified: BTreeMap<String, OperationRef>,
    places: BTreeSet<RequestPlace>,
    members: BTreeSet<Member>,
    witness: Option<Witness>,
    why_none: Option<&'static str>,
}

/// Replaces the lines of new operations by one line for each API and listener. All other changes
/// get the class of an addition.
pub(super) fn summarize(plan: &mut Plan, gateway: &ir::Gateway) {
    let apis = gateway.apis.iter();
    let with_credential: BTreeSet<&str> = apis
        .flat_map(|api| {
            let needs_credential = |operation: &&ir::Operation| {
                let treatment = &api.treatments[operation.treatment as usize];
                !treatment.security.admits_anyone()
            };
            api.operations.iter().filter(needs_credential)
        })
        .map(|operation| operation.key.as_str())
        .collect();
    let mut served: BTreeMap<(String, String), Served> = BTreeMap::new();
    let mut rest = Vec::new();
    for mut change in std::mem::take(&mut plan.changes) {
        if matches!(change.class, Class::Weaken | Class::Incomparable) {
            change.class = Class::Expose;
        }
        let operation = change.operation.clone();
        let is_summed = ["operation-added", "operation-exposed"].contains(&change.id);
        match operation.filter(|_| is_summed) {
            Some(operation) => {
                let listeners = change.places.iter().map(|place| place.listener.clone());
                for listener in listeners.collect::<BTreeSet<_>>() {
                    let key = (operation.api.clone(), listener);
                    let needs_credential = with_credential.contains(operation.key.as_str());
                    served
                        .entry(key)
                        .or_default()
                        .add(&operation, &change, needs_credential);
                }
            }
            None => rest.push(change),
        }
    }
    plan.changes = rest;
    let lines = served.into_iter().map(|(at, served)| served.line(&at));
    plan.changes.extend(lines);
}

impl Served {
    fn add(&mut self, operation: &OperationRef, change: &Change, needs_credential: bool) {
        self.all.insert(operation.key.clone(), operation.clone());
        self.places.extend(change.places.iter().cloned());
        let named = change.clone().named();
        self.members.insert(Member {
            about: named.about(),
            fingerprint: named.fingerprint,
            base: named.base,
            line: None,
        });
        if change.id != "operation-exposed" {
            return;
        }
        // A witness without a credential is clearer than one with a forged credential.
        let is_first_open = !needs_credential && self.open.is_empty();
        let known = match needs_credential {
            false => &mut self.open,
            true => &mut self.unverified,
        };
        known.insert(operation.key.clone(), operation.clone());
        let size = |witness: &Witness| witness.url.len();
        let is_better = match (&self.witness, &change.witness) {
            _ if is_first_open => true,
            _ if needs_credential && !self.open.is_empty() => false,
            (None, _) => true,
            (Some(_), None) => false,
            (Some(old), Some(new)) => size(new) < size(old),
        };
        if is_better {
            self.witness.clone_from(&change.witness);
            self.why_none = change.why_none;
        }
    }

    fn line(self, (api, listener): &(String, String)) -> Change {
        let count = self.all.len();
        let mut text = format!("{count} operation{}", if count == 1 { "" } else { "s" });
        let mut parts = Vec::new();
        if !self.open.is_empty() {
            let count = self.open.len();
            parts.push(format!("{count} open to anyone ({})", names(&self.open)));
        }
        if !self.unverified.is_empty() {
            let count = self.unverified.len();
            parts.push(format!(
                "{count} whose credential{} only the upstream checks ({})",
                if count == 1 { "" } else { "s" },
                names(&self.unverified)
            ));
        }
        if !parts.is_empty() {
            text.push_str(&format!(": {}", parts.join(", ")));
        }
        let first = self.open.values().chain(self.unverified.values()).next();
        let first = first.or_else(|| self.all.values().next()).cloned();
        let (section, class, named) = match parts.is_empty() {
            true => (Section::Routing, Class::Added, self.all),
            false => {
                let mut named = self.open;
                named.extend(self.unverified);
                (Section::Security, Class::Expose, named)
            }
        };
        let mut change = Change::new(
            section,
            class,
            "first-release",
            format!("api {api} at listener {listener}"),
            Value::Null,
            text.into(),
        );
        change.operations = named.keys().cloned().collect();
        change.operation = first;
        change.places = self.places;
        // Fingerprint the operations with their effective settings, so that an acknowledgement
        // covers exactly these.
        let bound = self.members.iter().map(|member| &*member.fingerprint);
        change.bound = bound.collect::<Vec<_>>().join(" ");
        change.why_none = match (&self.witness, class) {
            (Some(_), _) => None,
            (None, Class::Expose) => self.why_none,
            (None, _) => Some("no deployed version to compare with"),
        };
        change.witness = self.witness;
        change
    }
}

/// Ids of the operations, or their keys if they have no id; at most [`NAMED_MAX`].
fn names(operations: &BTreeMap<String, OperationRef>) -> String {
    let all = operations.values();
    let shown = all.map(|operation| operation.id.as_deref().unwrap_or(&operation.key));
    let names: Vec<&str> = shown.take(NAMED_MAX).collect();
    match operations.len() - names.len() {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}
