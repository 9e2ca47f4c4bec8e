//! The first release: nothing is deployed, so that every operation is new.
//!
//! Each API is one line at each listener. What lets callers in against nothing deployed was written
//! on purpose (`public: true`, `required.allow_public`, `security: upstream`): its class is
//! `expose`, and the gate of that name stops it where the project asks for it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Change, Class, Member, OperationRef, Plan, RequestPlace, Section, Witness};

/// Operations of an API at a listener.
#[derive(Default)]
struct Served {
    all: BTreeMap<String, OperationRef>,
    /// Those that anyone may call, or anyone who forges something.
    open: BTreeMap<String, OperationRef>,
    places: BTreeSet<RequestPlace>,
    members: BTreeSet<Member>,
    witness: Option<Witness>,
    why_none: Option<&'static str>,
}

/// Replaces the lines of new operations by one for each API and listener, and judges the others
/// as additions.
pub(super) fn summarize(plan: &mut Plan) {
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
                    served.entry(key).or_default().add(&operation, &change);
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
    fn add(&mut self, operation: &OperationRef, change: &Change) {
        self.all.insert(operation.key.clone(), operation.clone());
        self.places.extend(change.places.iter().cloned());
        let named = change.clone().named();
        self.members.insert(Member {
            about: named.about(),
            fingerprint: named.fingerprint,
        });
        let is_open = change.id == "operation-exposed";
        if is_open {
            self.open.insert(operation.key.clone(), operation.clone());
        }
        let size = |witness: &Witness| witness.url.len();
        let is_better = match (&self.witness, &change.witness) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(old), Some(new)) => size(new) < size(old),
        };
        if is_better && is_open {
            self.witness.clone_from(&change.witness);
            self.why_none = change.why_none;
        }
    }

    fn line(self, (api, listener): &(String, String)) -> Change {
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        let count = self.all.len();
        let mut text = format!("{count} operation{}", plural(count));
        let (section, class, named) = match self.open.is_empty() {
            true => (Section::Routing, Class::Added, self.all),
            false => {
                text.push_str(&format!(
                    ", {} of them without a credential that the gateway checks",
                    self.open.len()
                ));
                (Section::Security, Class::Expose, self.open)
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
        change.operation = named.into_values().next();
        change.places = self.places;
        // An acknowledgement covers these operations with their treatment.
        let bound = self.members.iter().map(|member| &*member.fingerprint);
        change.bound = bound.collect::<Vec<_>>().join(" ");
        change.why_none = match (&self.witness, class) {
            (Some(_), _) => None,
            (None, Class::Expose) => self.why_none,
            (None, _) => Some("nothing is deployed to compare with"),
        };
        change.witness = self.witness;
        change
    }
}
