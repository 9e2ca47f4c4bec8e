//! Conditions on a caller beside its credential: `authorize` and `forward_auth`.
//!
//! All conditions must hold: scopes, lists of which one item is enough, and opaque conditions
//! (expressions, other services), which are either equal or different.

use std::collections::BTreeSet;

use policy::declared::Settings;

use super::{Access, Difference, Verdict, verifier::told as value};

/// Condition on a caller.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Clause {
    /// A scope that the credential must have.
    Scope(String),
    /// One of these values must occur at a claim, among the groups or among the roles.
    OneOf(String, BTreeSet<String>),
    /// Condition that cannot be inspected: equal or not.
    Opaque(String),
    /// Another service admits it; the number is 1 where its silence means yes.
    Answer(String, u8),
}

impl Clause {
    fn implies(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::OneOf(what, own), Self::OneOf(theirs, wider)) => {
                what == theirs && own.is_subset(wider)
            }
            (Self::Answer(service, open), Self::Answer(theirs, wider)) => {
                service == theirs && open <= wider
            }
            (own, other) => own == other,
        }
    }
}

/// Compares the conditions of two chains on a caller.
pub(super) fn compare(old: &Access<'_>, new: &Access<'_>) -> Vec<Difference> {
    let (was, is) = (Asked::of(old), Asked::of(new));
    let verdict = Verdict::of(was.implies(&is), is.implies(&was));
    let id = super::comes_or_goes(
        (was.clauses.is_empty(), is.clauses.is_empty()),
        [
            "authorization-added",
            "authorization-removed",
            "authorization-changed",
        ],
    );
    super::one("claims", verdict, id, "authorize", (was.told, is.told))
}

struct Asked {
    clauses: BTreeSet<Clause>,
    told: String,
}

impl Asked {
    fn of(access: &Access<'_>) -> Self {
        let mut clauses = BTreeSet::new();
        let authorize = access.policies("authorize");
        authorize
            .iter()
            .for_each(|(_, settings)| authorized(settings, &mut clauses));
        let forward = access.policies("forward_auth");
        for (_, settings) in &forward {
            let text = |key| settings.text(&[key]).unwrap_or_default();
            let service = [text("url"), text("upstream"), text("path")].join(" ");
            let open = u8::from(settings.text(&["on_outage"]) == Some("open"));
            clauses.insert(Clause::Answer(service, open));
        }
        let told = authorize.iter().chain(&forward).map(|(name, settings)| {
            let settings = settings.iter();
            let settings =
                settings.map(|one| format!(" {}: {}", one.path.join("."), value(&one.value)));
            format!("{name}{}", settings.collect::<String>())
        });
        let told: Vec<String> = told.collect();
        let told = match told.is_empty() {
            true => "nothing more".to_owned(),
            false => told.join(", and "),
        };
        Self { clauses, told }
    }

    fn implies(&self, other: &Self) -> bool {
        let implied = |asked: &Clause| self.clauses.iter().any(|own| own.implies(asked));
        other.clauses.iter().all(implied)
    }
}

fn authorized(settings: &Settings, clauses: &mut BTreeSet<Clause>) {
    for one in settings.iter() {
        let path: Vec<&str> = one.path.iter().map(String::as_str).collect();
        let values = settings.texts(&path).unwrap_or_default();
        let values = values.into_iter().map(str::to_owned);
        match path[0] {
            "scopes" => clauses.extend(values.map(Clause::Scope)),
            "expression" => clauses.extend(values.map(Clause::Opaque)),
            _ => {
                clauses.insert(Clause::OneOf(path.join(" "), values.collect()));
            }
        }
    }
}
