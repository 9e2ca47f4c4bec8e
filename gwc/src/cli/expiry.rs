//! Expiry of signing keys. Gateways refuse a signature that a key made after its `not_after`.

use std::path::Path;

use bundle::moment::Moment;
use bundle::statement::predicate::Role;
use bundle::trust::{KeyState, Trust, TrustedKey};
use serde_json::{Value, json};

use super::advice;

const DAY_S: u64 = 86_400;
/// Remaining validity below which a key is reported: 30 days.
const SOON_S: u64 = 30 * DAY_S;

/// Returns the active keys of a trust file that have expired or expire within 30 days, in file
/// order.
pub(super) fn ending(trust: &Trust, now: Moment) -> Vec<&TrustedKey> {
    let ends_soon = |key: &&TrustedKey| {
        matches!(key.state, KeyState::Active) && key.not_after <= now.plus_s(SOON_S)
    };
    trust.keys().iter().filter(ends_soon).collect()
}

/// Returns a warning about the expiry of a key, with a command that makes a new key. `project` is
/// the value of `--project`.
pub(super) fn warning(key: &TrustedKey, now: Moment, project: Option<&Path>) -> String {
    let left_s = key.not_after.unix_s().saturating_sub(now.unix_s());
    let ends = match left_s / DAY_S {
        _ if key.not_after <= now => "has expired".to_owned(),
        0 => "expires today".to_owned(),
        1 => "expires in 1 day".to_owned(),
        days => format!("expires in {days} days"),
    };
    let name = format!("release-{}", &day(now)[..4]);
    format!(
        "warning: the key {} of `{}` {ends} ({}); make a new one with `{}` and commit the trust file",
        &key.id.to_string()[..12],
        key.owner.escape_debug(),
        day(key.not_after),
        advice::in_project(project, &["keygen", &name]),
    )
}

/// Returns the warning about the expiry of a key as JSON.
pub(super) fn document(key: &TrustedKey) -> Value {
    let roles: Vec<&str> = key.roles.iter().copied().map(Role::as_str).collect();
    json!({"id": key.id, "owner": key.owner, "roles": roles, "not_after": key.not_after})
}

/// Date of a moment, `YYYY-MM-DD` (UTC).
pub(super) fn day(moment: Moment) -> String {
    moment.to_string().chars().take(10).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use bundle::keys::PrivateKey;
    use bundle::trust::Scope;

    use super::*;

    const NOW: Moment = Moment::from_unix_s(1_790_000_000);

    fn key(number: u8, not_after: Moment, state: KeyState) -> TrustedKey {
        let public = PrivateKey::from_entropy(&[number; 32]).unwrap().public();
        TrustedKey {
            id: public.id(),
            owner: "rita".to_owned(),
            spki: public,
            roles: BTreeSet::from([Role::Release]),
            channels: BTreeSet::from([Scope::All]),
            not_before: Moment::EPOCH,
            not_after,
            state,
        }
    }

    #[test]
    fn active_keys_are_reported_30_days_before_their_end() {
        let days = |days: u64| NOW.plus_s(days * DAY_S);
        let keys = [
            key(1, days(31), KeyState::Active),
            key(2, days(30), KeyState::Active),
            key(3, days(2), KeyState::Retired),
            key(4, days(1), KeyState::Active),
            key(5, NOW, KeyState::Active),
        ];
        let empty = Trust::new("shop".parse().unwrap());
        let trust = keys
            .iter()
            .cloned()
            .fold(empty, |trust, key| trust.add_key(key).unwrap());
        let found: BTreeSet<_> = ending(&trust, NOW).iter().map(|key| key.id).collect();
        let expected = BTreeSet::from([keys[1].id, keys[3].id, keys[4].id]);
        assert_eq!(found, expected);
        let warning_for = |key: &TrustedKey| warning(key, NOW, None);
        assert!(
            warning_for(&keys[1]).contains("expires in 30 days"),
            "{}",
            warning_for(&keys[1])
        );
        assert!(
            warning_for(&keys[3]).contains("expires in 1 day ("),
            "{}",
            warning_for(&keys[3])
        );
        assert!(
            warning_for(&keys[4]).contains("has expired"),
            "{}",
            warning_for(&keys[4])
        );
        assert!(warning_for(&keys[4]).contains("`gwc keygen release-2026`"));
        let there = warning(&keys[4], NOW, Some(Path::new("my shop")));
        assert!(there.contains("`gwc --project 'my shop' keygen release-2026`"));
    }
}
