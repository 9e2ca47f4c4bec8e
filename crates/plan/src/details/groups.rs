//! Groups of settings that are enabled and disabled together: circuit breaker, health checks,
//! retries.

use policy::declared::Settings;
use serde_json::Value;

use super::shown::shown;
use crate::Class;

/// Group of settings below one path. If all settings of the group are added or removed together,
/// the plan has one line for the group.
pub(super) struct Group {
    pub(super) path: &'static [&'static str],
    /// Class of the line if the group is added. The removal has the opposite class.
    pub(super) comes: Class,
    /// Settings that determine the path, host or fields of requests that the gateway sends. Each of
    /// these settings has a separate line, even if the whole group is added.
    pub(super) sends: &'static [&'static str],
}

pub(super) const RETRIES: Group = Group {
    path: &["retries"],
    comes: Class::Relax,
    sends: &[],
};
pub(super) const CIRCUIT_BREAKERS: Group = Group {
    path: &["circuit_breaker"],
    comes: Class::Tighten,
    sends: &[],
};
pub(super) const ACTIVE_CHECKS: Group = Group {
    path: &["health", "active"],
    comes: Class::Tighten,
    sends: &["path", "host", "headers"],
};
pub(super) const PASSIVE_CHECKS: Group = Group {
    path: &["health", "passive"],
    comes: Class::Tighten,
    sends: &[],
};

/// True if a setting is at the path `group` or below this path.
pub(super) fn is_below(path: &[String], group: &[&str]) -> bool {
    path.len() >= group.len() && group.iter().zip(path).all(|(key, own)| key == own)
}

/// All settings at and below a path, for display. Null if there are none.
pub(super) fn together(settings: &Settings, group: &[&str]) -> Value {
    let below = settings.iter().filter(|one| is_below(&one.path, group));
    let mut all = serde_json::Map::new();
    let mut is_there = false;
    for one in below {
        is_there = true;
        if let rest @ [_, ..] = &one.path[group.len()..] {
            all.insert(rest.join("."), shown(Some(&one.value)));
        }
    }
    match is_there {
        true => Value::Object(all),
        false => Value::Null,
    }
}
