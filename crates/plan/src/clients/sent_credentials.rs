//! Credentials in the requests that an API sends, see `model::contract::sent_credentials`.

use std::collections::BTreeSet;

use bundle::ir::Value;

/// Compares the alternatives of a request. `None` if they are equal. True if a new alternative contains
/// no old one: receivers of the old request may refuse it. Receivers ignore further credentials.
pub(super) fn is_break((old, new): (Option<&Value>, Option<&Value>)) -> Option<bool> {
    let (was, is) = (alternatives(old), alternatives(new));
    let is_accepted = |sent: &BTreeSet<&str>| was.iter().any(|accepted| accepted.is_subset(sent));
    (was != is).then(|| !is.iter().all(is_accepted))
}

/// Sets of credentials. A request without `security`, or without alternatives, has none.
fn alternatives(security: Option<&Value>) -> BTreeSet<BTreeSet<&str>> {
    let all = security.map_or(&[][..], Value::items).iter();
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
