//! Differences of two lifecycles, and the old keys of operations.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bundle::ir;
use jiff::civil;
use model::source_map::{Lifecycle, OperationSource, Place, SourceMap, stability_rank};
use rustc_hash::FxHashMap;
use serde_json::Value;
use vocab::checks::{self, Level};

use crate::change::Message;
use crate::changelog::split_key;
use crate::levels::of_operations;
use crate::routing::ServedPairs;
use crate::{Change, Class, OperationRef, Plan, Section};

/// Days since 1970-01-01.
pub(super) type Day = i64;
/// Sources of two sides, and the day of their comparison.
pub(super) struct Compared<'a> {
    pub(super) before: &'a SourceMap,
    pub(super) after: &'a SourceMap,
    pub(super) today: Option<Day>,
    /// APIs and paths of the operations of the new side.
    pub(super) paths: BTreeSet<(&'a str, &'a str)>,
}

/// Difference between two lifecycles.
pub(super) struct Found {
    pub(super) id: &'static str,
    keyword: &'static str,
    /// Level of the difference, if lower than the level of the check. `None`: level of the check.
    level: Option<Level>,
    old: Value,
    new: Value,
}

impl Compared<'_> {
    /// Differences of an operation that both sides have.
    pub(super) fn kept(&self, keys: [&str; 2], was: &Lifecycle, is: &Lifecycle) -> Vec<Found> {
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
        let is_short = |date: Day| !is_exempt(is) && self.is_short(date, notice);
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
                    // The old version had no readable sunset, so clients did not know the day on
                    // which the operation ends.
                    found.push(sunset("api-sunset-date-too-small", None));
                } else if earlier.is_some_and(|old| date < old) {
                    // An earlier sunset that still leaves the notice period is only an `info`.
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
    pub(super) fn removed(&self, operation: &OperationRef, was: &OperationSource) -> Option<Found> {
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
    pub(super) fn is_over(&self, was: &Lifecycle) -> bool {
        let sunset = was.sunset.as_deref().and_then(day);
        let is_over = sunset
            .zip(self.today)
            .is_some_and(|(sunset, today)| sunset < today);
        was.deprecated && is_over
    }

    /// True if a sunset is earlier than the notice period requires, counted from today.
    pub(super) fn is_short(&self, sunset: Day, notice: Option<Day>) -> bool {
        let until = self.today.zip(notice).map(|(today, days)| today + days);
        until.is_some_and(|until| sunset < until)
    }

    /// Longer notice period of the two sides, in days. `None`: neither side requires a notice
    /// period. The API may have different names on the two sides.
    pub(super) fn notice_days(&self, [old, new]: [&str; 2]) -> Option<Day> {
        let rules = self.after.rules.as_ref();
        let new = rules.and_then(|rules| rules.notice_days(new));
        self.old_notice_days(old).max(new.map(Day::from))
    }

    pub(super) fn old_notice_days(&self, api: &str) -> Option<Day> {
        let rules = self.before.rules.as_ref()?;
        rules.notice_days(api).map(Day::from)
    }
}

impl Found {
    /// Creates the line of a plan. `part`: `operation`, or the path of a parameter in the message.
    pub(super) fn line(
        self,
        part: &str,
        operation: OperationRef,
        places: (Option<Place>, Option<Place>),
    ) -> Change {
        let check = checks::of(self.id).expect("the table has this id");
        let level = self.level.unwrap_or(check.level);
        let class = Class::of_level(level);
        let subject = format!("{part} {}", self.keyword);
        let section = Section::Breaking;
        let mut change = Change::new(section, class, check.id, subject, self.old, self.new);
        change.message = Some(Box::new(Message {
            level,
            direction: check.direction,
            path: part.to_owned(),
            keyword: self.keyword.to_owned(),
            messages: 1,
            within: String::new(),
            decision: None,
            witness: None,
            body: None,
            is_plain: false,
        }));
        (change.source_old, change.source_new) = places;
        change.of(operation)
    }
}

/// Source location of an operation, or of a part of it that has a line number. `None`: unknown.
pub(super) fn place_of(source: &OperationSource, part: &str) -> Option<Place> {
    let place = &source.place;
    let own = source.lines.get(part);
    let own = own.map(|line| Place {
        line: *line,
        column: 1,
        ..place.clone()
    });
    (place.line > 0).then(|| own.unwrap_or_else(|| place.clone()))
}

/// True for an operation that may change without notice.
pub(super) fn is_unstable(stability: Option<&str>) -> bool {
    matches!(stability, Some("draft" | "alpha"))
}

/// Difference for a changed stability level. `None`: the level is unchanged or unknown.
fn stability(was: &Lifecycle, is: &Lifecycle) -> Option<Found> {
    let rank = |of: &Lifecycle| stability_rank(of.stability.as_deref());
    if was.stability == is.stability {
        return None;
    }
    let id = match (rank(was), rank(is)) {
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

/// Keys of old operations, by the key of a new operation.
type KeysByNewKey = BTreeMap<String, BTreeSet<Arc<str>>>;

/// Keys of the old operations that served the requests of a new operation, by the new key.
#[derive(Debug, Default)]
pub(crate) struct EarlierKeys {
    /// Keys of the old operations whose lifecycle the new operation continues. Contains only
    /// operations that have at least one old key that differs from their own.
    continued: KeysByNewKey,
    /// Keys of all old operations that served some of the requests, except the new operation's own
    /// key.
    others: KeysByNewKey,
}

impl EarlierKeys {
    /// Collects the keys from the pairs of operations that serve the same requests. If the old
    /// operation remains, only a new operation that matches the same paths counts: any other new
    /// operation has a lifecycle of its own. A new operation id, a different API, or ids that two
    /// operations exchange therefore hide no lifecycle.
    pub(crate) fn of<'a>(new: &ir::Gateway, served: &ServedPairs<'a>) -> Self {
        let operations = new.apis.iter().flat_map(|api| &api.operations);
        let remaining: BTreeSet<&str> = operations.map(|one| &*one.key).collect();
        let mut all = Self::default();
        // Share the old keys, because thousands of operations can have served requests of one new
        // operation.
        let mut shared: FxHashMap<&str, Arc<str>> = FxHashMap::default();
        let mut add = |keys: &mut KeysByNewKey, [was, is]: [&'a str; 2]| {
            let was = shared.entry(was).or_insert_with(|| was.into());
            keys.entry(is.to_owned()).or_default().insert(was.clone());
        };
        for (keys, same_paths) in served.keys().filter(|([was, is], _)| was != is) {
            add(&mut all.others, keys);
            if same_paths || !remaining.contains(keys[0]) {
                add(&mut all.continued, keys);
            }
        }
        for ([was, is], _) in served.keys().filter(|([was, is], _)| was == is) {
            if all.continued.contains_key(is) {
                add(&mut all.continued, [was, is]);
            }
        }
        all
    }

    /// Keys of the other old operations that served some of the requests of a new operation, by the
    /// new key.
    pub(crate) fn others(&self) -> &BTreeMap<String, BTreeSet<Arc<str>>> {
        &self.others
    }

    /// Keys of the old operations of a new operation: its own key, unless another operation served
    /// its requests.
    pub(crate) fn get<'k>(&'k self, key: &'k str) -> impl Iterator<Item = &'k str> {
        let earlier = self.continued.get(key);
        let own = earlier.is_none().then_some(key);
        own.into_iter()
            .chain(earlier.into_iter().flatten().map(AsRef::as_ref))
    }
}

/// Splits the changes with these ids by the check that applies to each of their operations. `check`
/// returns the id of this check. `None`: a different line of the plan reports the operation. Keeps
/// a change without operations, which is one of a webhook: webhooks have no lifecycle.
pub(super) fn by_check(
    plan: &mut Plan,
    gateway: &ir::Gateway,
    ids: &[&str],
    check: impl Fn(&Change, &str) -> Option<&'static str>,
) {
    let all = std::mem::take(&mut plan.changes);
    for change in all {
        if !ids.contains(&change.id) || change.operations.is_empty() {
            plan.changes.push(change);
            continue;
        }
        let mut by_id: BTreeMap<&'static str, BTreeSet<String>> = BTreeMap::new();
        for key in &change.operations {
            if let Some(id) = check(&change, key) {
                by_id.entry(id).or_default().insert(key.clone());
            }
        }
        let parts = by_id.into_iter();
        plan.changes
            .extend(parts.map(|(id, keys)| with_check(of_operations(&change, &keys, gateway), id)));
    }
}

/// Returns the change with the check `id` and the level of this check.
fn with_check(mut change: Change, id: &'static str) -> Change {
    if change.id == id {
        return change;
    }
    let check = checks::of(id).expect("the table has this id");
    change.id = check.id;
    change.class = Class::of_level(check.level);
    if let Some(message) = &mut change.message {
        message.level = check.level;
    }
    change
}

/// Name of the API in the key of an operation.
pub(crate) fn api_of(key: &str) -> &str {
    split_key(key).0
}

fn text(value: Option<&String>) -> Value {
    value.map_or(Value::Null, |text| text.as_str().into())
}

/// Number of a day (`YYYY-MM-DD`, also with a time after it). `None`: the text is no date.
pub(super) fn day(text: &str) -> Option<Day> {
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
