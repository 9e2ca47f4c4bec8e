//! Credentials in the requests that an API sends, see `model::contract::sent_credentials`.

use std::collections::BTreeSet;

use bundle::ir::Value;
use model::contract::sent_credentials::ROOT;

/// Effect of changed credentials on receivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Each new alternative contains an old one. Receivers ignore further credentials.
    Proved,
    /// Both sides have the credentials of the root, which mainly describes the requests of clients.
    OfRoot,
    /// Receivers of the old request may refuse a new alternative.
    Break,
}

/// Compares the alternatives of a request. `None` if they are equal.
pub(super) fn effect((old, new): (Option<&Value>, Option<&Value>)) -> Option<Effect> {
    let (was, is) = (alternatives(old), alternatives(new));
    if was == is {
        return None;
    }
    let is_accepted = |sent: &BTreeSet<&str>| was.iter().any(|accepted| accepted.is_subset(sent));
    let of_root = |side: Option<&Value>| side.is_some_and(|side| side.get(ROOT).is_some());
    Some(match is.iter().all(is_accepted) {
        true => Effect::Proved,
        false if of_root(old) && of_root(new) => Effect::OfRoot,
        false => Effect::Break,
    })
}

/// Sets of credentials. A request without `security` has none.
fn alternatives(security: Option<&Value>) -> BTreeSet<BTreeSet<&str>> {
    let all = security.map(|all| all.get(ROOT).unwrap_or(all));
    let all = all.map_or(&[][..], Value::items).iter();
    let mut sets: BTreeSet<_> = all.map(credentials).collect();
    if sets.is_empty() {
        sets.insert(BTreeSet::new());
    }
    sets
}

fn credentials(alternative: &Value) -> BTreeSet<&str> {
    let texts = alternative.items().iter().filter_map(|one| match one {
        Value::Text(text) => Some(&**text),
        _ => None,
    });
    texts.collect()
}
