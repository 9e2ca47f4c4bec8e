//! Lifecycle of operations: deprecation, sunset, removal and stability, as documents state them
//! (`deprecated`, `x-sunset`, `x-stability-level`), and the notice period that gateway.yaml
//! requires (`deprecations`).
//!
//! The notice period is the longer one of the two sides. An operation that is removed after its
//! sunset does not trip the gate `break`, if the old side requires a notice period. The day of the
//! comparison is an input.

use std::collections::{BTreeMap, BTreeSet};

use bundle::ir;
use jiff::civil;
use model::source_map::{Lifecycle, OperationSource, SourceMap};
use serde_json::Value;
use vocab::checks::{self, Level};

use crate::change::Message;
use crate::changelog::split_key;
use crate::clients::routed;
use crate::levels::of_operations;
use crate::routing::ServedPairs;
use crate::{Change, Class, OperationRef, Plan, Section, Side};

/// Days since 1970-01-01.
type Day = i64;

/// Adds the lines about lifecycles. `today` is the day of the comparison, `YYYY-MM-DD`. If `None`,
/// no sunset has passed, and no notice period is checked.
pub(super) fn compare(
    (old, new): (&Side, &Side),
    pairs: &EarlierKeys,
    today: Option<&str>,
    plan: &mut Plan,
) {
    let (Some(before), Some(after)) = (&old.source, &new.source) else {
        return;
    };
    let today = today.and_then(day);
    let cx = Compared {
        before,
        after,
        today,
        paths: after
            .operations
            .iter()
            .map(|(key, source)| (api_of(key), &*source.path))
            .collect(),
    };
    let mut lines = Vec::new();
    for (key, is) in &after.operations {
        for earlier in pairs.get(key) {
            let Some(was) = before.operations.get(earlier) else {
                continue;
            };
            let found = cx.kept([earlier, key], &was.lifecycle, &is.lifecycle);
            lines.extend(found.into_iter().filter_map(|found| {
                let operation = of_key(&new.lowered.gateway, key)?;
                Some(found.line(operation, (was, is)))
            }));
        }
    }
    replace_deprecated(&lines, &new.lowered.gateway, plan);
    let mut named = BTreeSet::new();
    for change in plan.changes.iter_mut() {
        let Some(operation) = change.operation.clone() else {
            continue;
        };
        if change.id != "operation-removed" {
            continue;
        }
        let Some(was) = before.operations.get(&operation.key) else {
            continue;
        };
        if cx.is_over(&was.lifecycle) && cx.old_notice_days(&operation.api).is_some() {
            change.is_retired = true;
        }
        // An operation has one line for all its mounts.
        if !named.insert(operation.key.clone()) {
            continue;
        }
        let found = cx.removed(&operation, was);
        lines.extend(found.map(|found| found.line(operation, (was, &OperationSource::default()))));
    }
    plan.changes.extend(lines);
}

/// Sources of two sides, and the day of their comparison.
struct Compared<'a> {
    before: &'a SourceMap,
    after: &'a SourceMap,
    today: Option<Day>,
    /// APIs and paths of the operations of the new side.
    paths: BTreeSet<(&'a str, &'a str)>,
}

/// A difference of the lifecycle.
struct Found {
    id: &'static str,
    keyword: &'static str,
    /// Level of the difference, if lower than the level of the check. `None`: level of the check.
    level: Option<Level>,
    old: Value,
    new: Value,
}

impl Compared<'_> {
    /// Differences of an operation that both sides have.
    fn kept(&self, keys: [&str; 2], was: &Lifecycle, is: &Lifecycle) -> Vec<Found> {
        if was == is {
            return Vec::new();
        }
        let notice = self.notice_days(keys.map(api_of));
        let is_exempt = |lifecycle: &Lifecycle| is_unstable(lifecycle.stability.as_deref());
        let mut found: Vec<Found> = stability(was, is).into_iter().collect();
        if !is.deprecated {
            return found;
        }
        let sunset = |id, level| Found {
            id,
            keyword: "x-sunset",
            level,
            old: text(was.sunset.as_ref()),
            new: text(is.sunset.as_ref()),
        };
        let date = is.sunset.as_deref().map(day);
        let is_short = |date: Day| {
            let until = self.today.zip(notice).map(|(today, days)| today + days);
            !is_exempt(is) && until.is_some_and(|until| date < until)
        };
        match (was.deprecated, date) {
            (_, Some(None)) => found.push(sunset("api-deprecated-sunset-parse", None)),
            (false, None) if notice.is_some_and(|days| days > 0) && !is_exempt(is) => {
                found.push(sunset("api-deprecated-sunset-missing", None));
            }
            (false, Some(Some(date))) => found.push(match is_short(date) {
                true => sunset("api-sunset-date-too-small", None),
                false => sunset("endpoint-deprecated-with-sunset", None),
            }),
            (true, None) if was.sunset.is_some() => found.push(sunset("sunset-deleted", None)),
            (true, Some(Some(date))) => {
                let earlier = was.sunset.as_deref().and_then(day);
                if earlier.is_none() && is_short(date) {
                    // Without a sunset, or with an unreadable one, clients knew no end.
                    found.push(sunset("api-sunset-date-too-small", None));
                } else if earlier.is_some_and(|old| date < old) {
                    // Without a notice period, no day is too early.
                    let level = (!is_short(date)).then_some(Level::Info);
                    found.push(sunset("api-sunset-date-changed-too-small", level));
                }
            }
            (false | true, None) => {}
        }
        found
    }

    /// Difference for a removed operation. `None`: the line about the removal under ROUTING is
    /// enough.
    fn removed(&self, operation: &OperationRef, was: &OperationSource) -> Option<Found> {
        let has_path = self.paths.contains(&(&*operation.api, &*was.path));
        let named = |of_operation, of_path| match has_path {
            true => of_operation,
            false => of_path,
        };
        let Lifecycle {
            deprecated,
            sunset,
            stability,
        } = &was.lifecycle;
        let is_exempt = is_unstable(stability.as_deref());
        let requires = self.notice_days([&*operation.api; 2]).is_some() && !is_exempt;
        let id = match (deprecated, sunset.as_deref().map(day)) {
            (false, _) if requires => named(
                "api-removed-without-deprecation",
                "api-path-removed-without-deprecation",
            ),
            (false, _) => return None,
            (true, Some(None)) => "api-path-sunset-parse",
            (true, Some(Some(_))) if !self.is_over(&was.lifecycle) => named(
                "api-removed-before-sunset",
                "api-path-removed-before-sunset",
            ),
            (true, None) if requires => named(
                "api-removed-before-sunset",
                "api-path-removed-before-sunset",
            ),
            (true, None | Some(Some(_))) => named(
                "api-removed-with-deprecation",
                "api-path-removed-with-deprecation",
            ),
        };
        Some(Found {
            id,
            keyword: "x-sunset",
            level: None,
            old: text(sunset.as_ref()),
            new: Value::Null,
        })
    }

    /// True if the operation is deprecated and its sunset has passed.
    fn is_over(&self, was: &Lifecycle) -> bool {
        let sunset = was.sunset.as_deref().and_then(day);
        let is_over = sunset
            .zip(self.today)
            .is_some_and(|(sunset, today)| sunset < today);
        was.deprecated && is_over
    }

    /// Longer notice period of the two sides, in days. `None`: neither side requires a notice
    /// period.
    /// The API may have different names on the two sides.
    fn notice_days(&self, [old, new]: [&str; 2]) -> Option<Day> {
        let rules = self.after.rules.as_ref();
        let new = rules.and_then(|rules| rules.notice_days(new));
        self.old_notice_days(old).max(new.map(Day::from))
    }

    fn old_notice_days(&self, api: &str) -> Option<Day> {
        let rules = self.before.rules.as_ref()?;
        rules.notice_days(api).map(Day::from)
    }
}

impl Found {
    fn line(
        self,
        operation: OperationRef,
        sources: (&OperationSource, &OperationSource),
    ) -> Change {
        let check = checks::of(self.id).expect("the table has this id");
        let level = self.level.unwrap_or(check.level);
        let class = Class::of_level(level);
        let subject = format!("operation {}", self.keyword);
        let section = Section::Breaking;
        let mut change = Change::new(section, class, check.id, subject, self.old, self.new);
        change.message = Some(Box::new(Message {
            level,
            direction: check.direction,
            path: "operation".to_owned(),
            keyword: self.keyword.to_owned(),
            messages: 1,
            within: String::new(),
            decision: None,
            witness: None,
            body: None,
        }));
        let place = |source: &OperationSource| {
            let place = &source.place;
            (place.line > 0).then(|| place.clone())
        };
        (change.source_old, change.source_new) = (place(sources.0), place(sources.1));
        change.of(operation)
    }
}

/// Removes operations that are deprecated with a sunset from the lines `endpoint-deprecated`,
/// because these operations have lines of their own.
fn replace_deprecated(lines: &[Change], gateway: &ir::Gateway, plan: &mut Plan) {
    let replacing = [
        "endpoint-deprecated-with-sunset",
        "api-sunset-date-too-small",
    ];
    let replacing = lines.iter().filter(|line| replacing.contains(&line.id));
    let keys: BTreeSet<&String> = replacing.flat_map(|line| &line.operations).collect();
    if keys.is_empty() {
        return;
    }
    let all = std::mem::take(&mut plan.changes);
    plan.changes = all
        .into_iter()
        .filter_map(|change| {
            if change.id != "endpoint-deprecated" {
                return Some(change);
            }
            let left = change.operations.iter().filter(|key| !keys.contains(key));
            let left: BTreeSet<String> = left.cloned().collect();
            (!left.is_empty()).then(|| of_operations(&change, &left, gateway))
        })
        .collect();
}

/// Stability levels, the least stable first.
const STABILITY: [&str; 4] = ["draft", "alpha", "beta", "stable"];

/// True for an operation that may change without notice.
fn is_unstable(stability: Option<&str>) -> bool {
    matches!(stability, Some("draft" | "alpha"))
}

/// Difference for a changed stability level. `None`: the level is unchanged or unknown.
fn stability(was: &Lifecycle, is: &Lifecycle) -> Option<Found> {
    let rank = |level: &Option<String>| match level {
        // An operation without a level is stable.
        None => Some(STABILITY.len()),
        Some(level) => STABILITY.iter().position(|known| known == level),
    };
    if was.stability == is.stability {
        return None;
    }
    let id = match (rank(&was.stability), rank(&is.stability)) {
        (_, None) => "api-invalid-stability-level",
        (Some(old), Some(new)) if new < old => "api-stability-decreased",
        (_, Some(_)) => "api-stability-increased",
    };
    Some(Found {
        id,
        keyword: "x-stability-level",
        level: None,
        old: text(was.stability.as_ref()),
        new: text(is.stability.as_ref()),
    })
}

/// Keys of the old operations that served the requests of a new operation, by the new key. Contains
/// only operations that have at least one old key that differs from their own.
#[derive(Debug, Default)]
pub(super) struct EarlierKeys(BTreeMap<String, BTreeSet<String>>);

impl EarlierKeys {
    /// Collects the keys from the pairs of operations that serve the same requests. An old operation
    /// that remains counts only for new operations that match the same paths: a new operation
    /// beside it has a lifecycle of its own. A new operation id, another API, or ids that two
    /// operations exchange therefore hide no lifecycle.
    pub(super) fn of(new: &ir::Gateway, served: &ServedPairs<'_>) -> Self {
        let operations = new.apis.iter().flat_map(|api| &api.operations);
        let remaining: BTreeSet<&str> = operations.map(|one| &*one.key).collect();
        let mut keys: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for ([was, is], same_paths) in served.keys() {
            if was != is && (same_paths || !remaining.contains(was)) {
                keys.entry(is.to_owned())
                    .or_default()
                    .insert(was.to_owned());
            }
        }
        for ([was, is], _) in served.keys().filter(|([was, is], _)| was == is) {
            if let Some(keys) = keys.get_mut(is) {
                keys.insert(was.to_owned());
            }
        }
        Self(keys)
    }

    /// Keys of the old operations of a new operation: its own key, unless another operation served
    /// its requests.
    fn get<'k>(&'k self, key: &'k str) -> impl Iterator<Item = &'k str> {
        let earlier = self.0.get(key);
        let own = earlier.is_none().then_some(key);
        own.into_iter()
            .chain(earlier.into_iter().flatten().map(String::as_str))
    }
}

/// Name of the API in the key of an operation.
fn api_of(key: &str) -> &str {
    split_key(key).0
}

fn of_key(gateway: &ir::Gateway, key: &str) -> Option<OperationRef> {
    routed(gateway, api_of(key), key)
}

fn text(value: Option<&String>) -> Value {
    value.map_or(Value::Null, |text| text.as_str().into())
}

/// Number of a day (`YYYY-MM-DD`, also with a time after it). `None`: the text is no date.
fn day(text: &str) -> Option<Day> {
    let date = match text.split_once(['T', 't', ' ']) {
        Some((date, _)) => date,
        None => text,
    };
    let bytes = date.as_bytes();
    let is_written = bytes.len() == 10 && bytes[4] == b'-' && bytes[7] == b'-';
    let date: civil::Date = date.parse().ok().filter(|_| is_written)?;
    Some(date.duration_since(civil::date(1970, 1, 1)).as_hours() / 24)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_between_dates_count_leap_years() {
        for (from, to, days) in [
            ("2026-01-01", "2026-04-01", 90),
            ("2024-02-28", "2024-03-01", 2),
            ("2023-02-28", "2023-03-01", 1),
            ("2000-02-28", "2000-03-01", 2),
            ("1900-02-28", "1900-03-01", 1),
            ("2025-12-31", "2026-01-01", 1),
            ("2026-01-01", "2026-01-01T23:59:59Z", 0),
        ] {
            let between = day(to).zip(day(from)).map(|(to, from)| to - from);
            assert_eq!(between, Some(days), "{from} {to}");
        }
        for text in [
            "",
            "soon",
            "2026-1",
            "2026-02-30",
            "2026-13-01",
            "2026-01-01-1",
            "+2026-01-01",
        ] {
            assert_eq!(day(text), None, "{text}");
        }
    }

    #[test]
    fn key_of_an_operation_has_its_api() {
        assert_eq!(api_of("orders/list"), "orders");
        assert_eq!(api_of("GET orders:/a/b"), "orders");
    }
}
