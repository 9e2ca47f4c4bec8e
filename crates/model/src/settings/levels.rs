//! Levels that gateway.yaml sets: of lint rules (`lint`) and of checks of client contracts
//! (`break_levels`), and the notice periods of deprecations (`deprecations`).

use std::collections::BTreeMap;

use diag::{Level, NodeRef, Span};
use vocab::checks;

/// Levels of lint rules. `None`: the rule is off.
pub(super) fn levels(root: NodeRef<'_>) -> BTreeMap<String, (Option<Level>, Span)> {
    let entries = root.get("lint").into_iter().flat_map(NodeRef::entries);
    let levels = entries.filter_map(|(entry, node)| {
        let level = match node.scalar_text()? {
            // YAML 1.1 reads an unquoted `off` as false. Here it is a string; `false` is not
            // accepted.
            "off" => None,
            "info" => Some(Level::Info),
            "warn" => Some(Level::Warn),
            "error" => Some(Level::Error),
            _ => return None,
        };
        Some((entry.key.to_string(), (level, entry.key_span)))
    });
    levels.collect()
}

/// Levels of checks of client contracts.
pub(super) fn break_levels(root: NodeRef<'_>) -> BTreeMap<String, (checks::Level, Span)> {
    let entries = root.get("break_levels").into_iter();
    let entries = entries.flat_map(NodeRef::entries);
    let levels = entries.filter_map(|(entry, node)| {
        let level = checks::Level::named(node.scalar_text()?);
        Some((entry.key.to_string(), (level, entry.key_span)))
    });
    levels.collect()
}

/// Notice periods in days by API. The key `*` is for all other APIs.
pub(super) fn notice_days(root: NodeRef<'_>) -> BTreeMap<String, u32> {
    let Some(node) = root.get("deprecations") else {
        return BTreeMap::new();
    };
    let days = |node: NodeRef<'_>| u32::try_from(node.as_i64()?).ok();
    let own = node.get("apis").into_iter().flat_map(NodeRef::entries);
    let own = own.filter_map(|(entry, value)| Some((entry.key.to_string(), days(value)?)));
    let all = node.get("notice_days").and_then(days);
    own.chain(all.map(|days| ("*".to_owned(), days))).collect()
}
