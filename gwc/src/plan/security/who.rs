//! Who may call: the order of requirements (plan.md, *Security order*).
//!
//! A requirement is a monotone DNF over atoms: a credential is held at a place, it is valid for a
//! kind of verifier, it gives a scope. A valid credential is held, a scope comes with a valid (or
//! held) credential. `D ≤ D′` (D lets in no more than D′) iff every alternative of D, closed under
//! these implications, contains one of D′'s.

use std::collections::BTreeSet;

use bundle::ir;
use policy::auth::Place;
use serde_json::Value;

use super::{Access, Difference};

/// What somebody must show.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Atom {
    /// Something stands at the place; anyone can forge it.
    Held(Place),
    /// What stands there is a credential of a consumer.
    Valid(&'static str, Place),
    /// It gives a scope.
    Scope(Option<&'static str>, Place, String),
}

/// Who may call: alternatives of atoms, each closed under the implications. No alternative:
/// nobody. An empty one: everyone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who(Vec<BTreeSet<Atom>>);

/// How a new requirement compares with an old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The same people.
    Equal,
    /// More people.
    Weaken,
    /// Fewer people.
    Strengthen,
    /// Some more and some fewer.
    Incomparable,
}

impl Who {
    /// Nobody: no operation owns the request.
    #[must_use]
    pub fn nobody() -> Self {
        Self(Vec::new())
    }

    /// What a requirement of an API asks.
    #[must_use]
    pub fn of(
        security: &ir::Security,
        schemes: &ir::Set<ir::Scheme>,
        verifiers: &ir::Set<ir::Verifier>,
    ) -> Self {
        if security.0.is_empty() {
            return Self(vec![BTreeSet::new()]);
        }
        let alternative = |alternative: &ir::Alternative| {
            let mut atoms = BTreeSet::new();
            for wanted in &alternative.0 {
                let Some(scheme) = schemes.get(&wanted.scheme) else {
                    continue;
                };
                let kind = match &scheme.verify {
                    ir::Verify::Upstream => None,
                    ir::Verify::Auth(name) => {
                        verifiers.get(name).map(|verifier| verifier.checked.kind())
                    }
                };
                let place = &scheme.place;
                atoms.insert(Atom::Held(place.clone()));
                atoms.extend(kind.map(|kind| Atom::Valid(kind, place.clone())));
                atoms.extend(
                    wanted
                        .scopes
                        .iter()
                        .map(|scope| Atom::Scope(kind, place.clone(), scope.clone())),
                );
            }
            atoms
        };
        Self(security.0.iter().map(alternative).collect())
    }

    /// Whether everybody whom `self` lets in is let in by `other`.
    #[must_use]
    pub fn within(&self, other: &Self) -> bool {
        self.0
            .iter()
            .all(|alternative| other.0.iter().any(|wider| wider.is_subset(alternative)))
    }

    /// How `self`, the old one, compares with the new one.
    #[must_use]
    pub fn verdict(&self, new: &Self) -> Verdict {
        match (self.within(new), new.within(self)) {
            (true, true) => Verdict::Equal,
            (true, false) => Verdict::Weaken,
            (false, true) => Verdict::Strengthen,
            (false, false) => Verdict::Incomparable,
        }
    }

    /// The index of the first alternative that `other` does not cover.
    #[must_use]
    pub fn uncovered(&self, other: &Self) -> Option<usize> {
        self.0
            .iter()
            .position(|alternative| !other.0.iter().any(|wider| wider.is_subset(alternative)))
    }

    /// Whether anyone at all is let in, or anyone who forges something.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let forged = |alternative: &BTreeSet<Atom>| {
            !alternative
                .iter()
                .any(|atom| matches!(atom, Atom::Valid(..)))
        };
        self.0.iter().any(forged)
    }

    /// The atoms of an alternative.
    #[must_use]
    pub fn alternative(&self, index: usize) -> &BTreeSet<Atom> {
        &self.0[index]
    }
}

/// The difference between two requirements, if they do not let in the same people.
pub(super) fn compare(old: &Access<'_>, new: &Access<'_>) -> Vec<Difference> {
    let verdict = old.who.verdict(&new.who);
    if verdict == Verdict::Equal {
        return Vec::new();
    }
    let open = |access: &Access<'_>| {
        let security = access.route.map(|route| &route.treatment.security);
        security.is_some_and(ir::Security::admits_anyone)
    };
    let id = match (open(old), open(new)) {
        (false, true) => "security-requirement-removed",
        (true, false) => "security-requirement-added",
        (false, false) | (true, true) => "security-requirement-changed",
    };
    let said = |access: &Access<'_>| -> Value {
        let security = access.route.map(|route| &route.treatment.security);
        security.map_or_else(|| "nobody".into(), |security| describe(security).into())
    };
    vec![Difference {
        component: "who",
        verdict,
        id,
        subject: "security".into(),
        old: said(old),
        new: said(new),
        why_none: None,
    }]
}

/// A requirement for people: `(x-key by keys) or (basic by staff and cookie sid by *upstream)`.
#[must_use]
pub fn describe(security: &ir::Security) -> String {
    if security.0.is_empty() {
        return "anyone".into();
    }
    let wanted = |wanted: &ir::SchemeUse| {
        let scopes = if wanted.scopes.is_empty() {
            String::new()
        } else {
            format!(" with {}", wanted.scopes.join(" "))
        };
        format!("{}{scopes}", wanted.scheme)
    };
    let alternative = |alternative: &ir::Alternative| match alternative.0.as_slice() {
        [] => "anyone without a credential".to_owned(),
        uses => uses.iter().map(wanted).collect::<Vec<_>>().join(" and "),
    };
    security
        .0
        .iter()
        .map(alternative)
        .collect::<Vec<_>>()
        .join(", or ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `a`, `b`, … are keys in fields of that name, `A`, … the same left to the upstream.
    fn who(text: &str) -> Who {
        let atoms = |name: char| {
            let place = Place::Header(name.to_ascii_lowercase().to_string());
            let mut atoms = vec![Atom::Held(place.clone())];
            if name.is_ascii_lowercase() {
                atoms.push(Atom::Valid("api_key", place));
            }
            atoms
        };
        match text {
            "nobody" => Who::nobody(),
            _ => Who(text
                .split('|')
                .map(|part| {
                    part.chars()
                        .filter(char::is_ascii_alphabetic)
                        .flat_map(atoms)
                        .collect()
                })
                .collect()),
        }
    }

    #[test]
    fn doors_open_and_close() {
        use Verdict::{Equal, Incomparable, Strengthen, Weaken};
        let cases = [
            ("a", "a", Equal),
            ("a", "", Weaken),
            ("", "a", Strengthen),
            ("a", "a|b", Weaken),
            ("a|b", "a", Strengthen),
            ("ab", "a", Weaken),
            ("a", "ab", Strengthen),
            ("a", "b", Incomparable),
            ("a", "A", Weaken),
            ("A", "a", Strengthen),
            ("a|ab", "a", Equal),
            ("a|", "", Equal),
            ("a|", "a", Strengthen),
            ("ab|c", "a|cd", Incomparable),
            ("nobody", "a", Weaken),
            ("a", "nobody", Strengthen),
            ("nobody", "nobody", Equal),
            ("aB", "AB", Weaken),
        ];
        for (old, new, expected) in cases {
            assert_eq!(who(old).verdict(&who(new)), expected, "{old} -> {new}");
        }
    }

    #[test]
    fn the_order_agrees_with_every_possible_caller() {
        // Every requirement of up to two alternatives over two places, against every caller who
        // holds nothing, something or a valid key at each place.
        let parts = ["", "a", "A", "b", "B", "ab", "aB", "Ab", "AB"];
        let mut all: Vec<String> = vec!["nobody".into()];
        all.extend(parts.iter().map(|part| (*part).to_owned()));
        all.extend(
            parts
                .iter()
                .flat_map(|a| parts.iter().map(move |b| format!("{a}|{b}"))),
        );
        let callers: Vec<(u8, u8)> = (0..3).flat_map(|a| (0..3).map(move |b| (a, b))).collect();
        let admits = |text: &str, caller: (u8, u8)| {
            text != "nobody"
                && text.split('|').any(|part| {
                    part.chars().all(|name| {
                        let level = if name.eq_ignore_ascii_case(&'a') {
                            caller.0
                        } else {
                            caller.1
                        };
                        level >= if name.is_ascii_lowercase() { 2 } else { 1 }
                    })
                })
        };
        for old in &all {
            for new in &all {
                let more = callers
                    .iter()
                    .any(|caller| admits(new, *caller) && !admits(old, *caller));
                let fewer = callers
                    .iter()
                    .any(|caller| admits(old, *caller) && !admits(new, *caller));
                let expected = match (more, fewer) {
                    (false, false) => Verdict::Equal,
                    (true, false) => Verdict::Weaken,
                    (false, true) => Verdict::Strengthen,
                    (true, true) => Verdict::Incomparable,
                };
                assert_eq!(who(old).verdict(&who(new)), expected, "{old} -> {new}");
            }
        }
    }
}
