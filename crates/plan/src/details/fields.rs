//! Comparison of all settings of a definition, by the table of its kind (`details::tables`). No
//! setting is skipped.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use policy::changes::Absent::{self, Is, NoLimit, Unknown};
use policy::changes::Direction::{
    self, Access, Breaks, Callers, Costs, Each, Either, Hides, Holds, Identifies, Less, More,
    MoreOrOff, Moves, Names, Normalises, Off, On, Opens, Other, Outage, Protects, Restarts,
    Rewritten, Serves, Shares, Status, Stored, Until,
};
use policy::changes::Row;
use policy::declared::{Scalar, Settings, Value as Written};
use policy::traffic::cost;
use serde_json::Value;

use super::destination;
use super::groups::{is_below, together};
use super::line::Line;
use super::shown::shown;
use super::tables::{self, Table, of_policy};
use crate::Class;

/// True if no value of the setting is tighter or looser than another value.
pub(super) fn has_no_direction(table: &Table, path: &[String]) -> bool {
    let row = table.row(path);
    row.is_some_and(|row| matches!(row.direction, Either))
}

/// True if a policy sends requests, copies of requests or clients to another destination.
pub(super) fn moves(kind: &str, settings: &Settings) -> bool {
    let table = of_policy(kind);
    let mut rows = settings.iter().filter_map(|one| table.row(&one.path));
    rows.any(|row| matches!(row.direction, Moves | Shares))
}

/// Reports one line for each setting that differs. The subject of a line is `subject` followed by
/// the path of the setting.
pub(super) fn settings(
    table: &Table,
    subject: &str,
    old: &Settings,
    new: &Settings,
    lines: &mut Vec<Line>,
) {
    if old == new {
        return;
    }
    let (mut old, mut new) = (old.clone(), new.clone());
    for group in table.groups {
        let path: Vec<String> = group.path.iter().map(|key| (*key).to_owned()).collect();
        let (was, is) = (together(&old, group.path), together(&new, group.path));
        let opposite = match group.comes {
            Class::Relax => Class::Tighten,
            _ => Class::Relax,
        };
        let class = match (was.is_null(), is.is_null()) {
            (true, false) => group.comes,
            (false, true) => opposite,
            (true, true) | (false, false) => continue,
        };
        lines.push(Line {
            class,
            id: table.id,
            subject: join(subject, &path),
            old: was,
            new: is,
        });
        let sends = |path: &[String]| {
            let key = path.get(group.path.len());
            key.is_some_and(|key| group.sends.contains(&key.as_str()))
        };
        let is_in = |one: &[String]| is_below(one, group.path) && !sends(one);
        (old, new) = (old.without(is_in), new.without(is_in));
    }
    let (old, new) = (&old, &new);
    let mut paths: BTreeMap<&[String], (Option<&Written>, Option<&Written>)> = BTreeMap::new();
    for one in old.iter() {
        paths.entry(&one.path).or_default().0 = Some(&one.value);
    }
    for one in new.iter() {
        paths.entry(&one.path).or_default().1 = Some(&one.value);
    }
    let mut reported: Vec<&[&str]> = Vec::new();
    for (path, (was, is)) in paths {
        let row = table.row(path);
        if was == is || row.is_some_and(|row| is_of_one_side(row, path, (old, was), (new, is))) {
            continue;
        }
        if let Some(row) = row.filter(|row| matches!(row.direction, Shares)) {
            if !reported.contains(&row.path) {
                reported.push(row.path);
                lines.push(Line {
                    class: Class::Moved,
                    id: row.id.unwrap_or(table.id),
                    subject: join(subject, &path[..row.path.len()]),
                    old: shares(old, row.path),
                    new: shares(new, row.path),
                });
            }
            continue;
        }
        let direction = row.map_or(Other, |row| row.direction);
        let Some(class) = class_of(direction, was, is) else {
            continue;
        };
        let id = match class {
            Class::Moved if row.is_some_and(|row| matches!(row.direction, Names | Status)) => {
                Some("traffic-moved")
            }
            _ => row.and_then(|row| row.id),
        };
        lines.push(Line {
            class,
            id: id.unwrap_or(table.id),
            subject: join(subject, path),
            old: shown(was),
            new: shown(is),
        });
    }
}

/// Class of a changed setting. `None` if the comparison of access reports the setting.
fn class_of(direction: Direction, was: Option<&Written>, is: Option<&Written>) -> Option<Class> {
    Some(match direction {
        Access => return None,
        More(absent) => class(amount(was, absent), amount(is, absent)),
        Less(absent) => class(amount(is, absent), amount(was, absent)),
        Holds(absent) => match class(amount(was, absent), amount(is, absent)) {
            Class::Relax => Class::Weaken,
            Class::Tighten => Class::Strengthen,
            other => other,
        },
        MoreOrOff(absent) => class(or_off(was, absent), or_off(is, absent)),
        Identifies => match (was.is_some(), is.is_some()) {
            (false, true) => Class::Incomparable,
            (true, false) => Class::Weaken,
            (true, true) | (false, false) => Class::Changed,
        },
        Protects => stronger(u8::from(was.is_some()), u8::from(is.is_some())),
        Hides => stronger(hidden(was), hidden(is)),
        Names => destination::of_names(was, is),
        Rewritten => match destination::of_names(was, is) {
            Class::Changed if has(was, "cookies") != has(is, "cookies") => Class::Incomparable,
            class => class,
        },
        Until => {
            let [was, is] = [was, is].map(|value| values(value, &[]).into_iter().next());
            until(was.as_deref(), is.as_deref())
        }
        Status => destination::of_status(was, is),
        On => flag(was, is),
        Off => flag(is, was),
        Opens => match flag(was, is) {
            Class::Relax => Class::Weaken,
            Class::Tighten => Class::Strengthen,
            other => other,
        },
        Normalises => match flag(was, is) {
            Class::Relax => Class::Weaken,
            Class::Tighten => Class::Incomparable,
            other => other,
        },
        Serves => match flag(was, is) {
            Class::Relax => Class::Weaken,
            Class::Tighten => Class::Break,
            other => other,
        },
        Breaks => Class::Break,
        Each(absent) => each(was, is, absent),
        Callers => match (was, is) {
            (None, Some(_)) => Class::Relax,
            (Some(_), None) => Class::Tighten,
            (Some(_), Some(_)) | (None, None) => Class::Changed,
        },
        Either => Class::Relax,
        Costs => match cost::compare(text(was), text(is)) {
            Some(Ordering::Less) => Class::Tighten,
            Some(Ordering::Equal) => Class::Changed,
            Some(Ordering::Greater) | None => Class::Relax,
        },
        Stored => match (was, is) {
            (None, Some(_)) => Class::Tighten,
            (Some(_), None) => Class::Relax,
            (Some(_), Some(_)) | (None, None) => Class::Changed,
        },
        Restarts => match (was, is) {
            (Some(_), Some(_)) => Class::Relax,
            (_, _) => Class::Changed,
        },
        Outage => match admitted_in_outages(is).cmp(&admitted_in_outages(was)) {
            Ordering::Less => Class::Tighten,
            Ordering::Equal => Class::Changed,
            Ordering::Greater => Class::Relax,
        },
        Moves | Shares => Class::Moved,
        Other => Class::Changed,
    })
}

/// Reports settings that are written differently but have the same meaning.
pub(super) fn restated(subject: &str, old: &Settings, new: &Settings, lines: &mut Vec<Line>) {
    settings(&tables::RESTATED, subject, old, new, lines);
}

/// Value of a setting, and all settings of its side.
type Side<'s> = (&'s Settings, Option<&'s Written>);

/// True for the form of a value that the log has on one side only. The line about the source of the
/// value reports the difference, unless the new side shows a value that is hidden by default.
fn is_of_one_side(row: &Row, path: &[String], (old, was): Side<'_>, (new, is): Side<'_>) -> bool {
    let (Hides, Some((_, outer))) = (row.direction, path.split_last()) else {
        return false;
    };
    let has_source = |settings: &Settings| {
        let mut all = settings.iter();
        all.any(|own| own.path.starts_with(outer) && own.path != path)
    };
    let is_gone = is.is_none() && has_source(old) && !has_source(new);
    let is_new = was.is_none() && has_source(new) && !has_source(old);
    is_gone || is_new && hidden(is) > hidden(None)
}

/// List of the upstreams of a split with their weights, for display, such as `orders weight 9`.
/// Null if there is none.
fn shares(settings: &Settings, path: &[&str]) -> Value {
    let mut shares: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for one in settings.iter() {
        let below = one.path.strip_prefix(
            path.iter()
                .map(|key| (*key).to_owned())
                .collect::<Vec<_>>()
                .as_slice(),
        );
        let Some((at, rest)) = below.and_then(<[String]>::split_first) else {
            continue;
        };
        let value = match shown(Some(&one.value)) {
            Value::String(text) => text,
            other => other.to_string(),
        };
        let share = shares.entry(at).or_default();
        match rest {
            [key] if key == "upstream" => share.insert(0, value),
            rest => share.push(format!("{} {value}", rest.join("."))),
        }
    }
    if shares.is_empty() {
        return Value::Null;
    }
    shares.into_values().map(|share| share.join(" ")).collect()
}

/// Joins a subject and a path, such as `upstream orders timeouts.connect`.
fn join(subject: &str, path: &[String]) -> String {
    match (subject, path.join(".")) {
        ("", path) => path,
        (subject, path) if path.is_empty() => subject.to_owned(),
        (subject, path) => format!("{subject} {path}"),
    }
}

/// Reads a limit like [`amount`], except that the value 0 means no limit.
fn or_off(value: Option<&Written>, absent: u128) -> Amount {
    match amount(value, Is(absent)) {
        Amount::Of(0, _) => Amount::Endless,
        amount => amount,
    }
}

/// Limit that a setting defines, as a fraction. [`Amount::Endless`]: no limit.
enum Amount {
    Of(u128, u128),
    Endless,
    Unknown,
}

fn amount(value: Option<&Written>, absent: Absent) -> Amount {
    match (value, absent) {
        (None, Is(amount)) => Amount::Of(amount, 1),
        (None, NoLimit) => Amount::Endless,
        (None, Unknown) => Amount::Unknown,
        (Some(Written::One(scalar)), _) => match scalar.amount() {
            Some((amount, per)) => Amount::Of(amount, per),
            None => Amount::Unknown,
        },
        (Some(_), _) => Amount::Unknown,
    }
}

fn class(old: Amount, new: Amount) -> Class {
    match (old, new) {
        (Amount::Of(a, per_a), Amount::Of(b, per_b)) => {
            match (b.saturating_mul(per_a)).cmp(&a.saturating_mul(per_b)) {
                Ordering::Greater => Class::Relax,
                Ordering::Less => Class::Tighten,
                // Amounts are equal although the settings differ: for example, a default is written
                // explicitly, or the unit differs.
                Ordering::Equal => Class::Changed,
            }
        }
        (Amount::Of(..), Amount::Endless) => Class::Relax,
        (Amount::Endless, Amount::Of(..)) => Class::Tighten,
        (Amount::Endless, Amount::Endless) | (Amount::Unknown, _) | (_, Amount::Unknown) => {
            Class::Changed
        }
    }
}

fn flag(old: Option<&Written>, new: Option<&Written>) -> Class {
    let is_on = |value| matches!(value, Some(&Written::One(Scalar::Flag(true))));
    match (is_on(old), is_on(new)) {
        (false, true) => Class::Relax,
        (true, false) => Class::Tighten,
        (true, true) | (false, false) => Class::Changed,
    }
}

fn text(value: Option<&Written>) -> Option<&str> {
    match value {
        Some(Written::One(Scalar::Text(text))) => Some(text),
        _ => None,
    }
}

/// Degree to which a limit admits requests while its store does not answer. Default: `local`.
fn admitted_in_outages(on_outage: Option<&Written>) -> u8 {
    match on_outage {
        Some(Written::One(Scalar::Text(word))) if word == "closed" => 0,
        Some(Written::One(Scalar::Text(word))) if word == "open" => 2,
        _ => 1,
    }
}

/// Class of a change between two degrees of protection: a greater degree protects more.
fn stronger(old: u8, new: u8) -> Class {
    match old.cmp(&new) {
        Ordering::Less => Class::Strengthen,
        Ordering::Greater => Class::Weaken,
        Ordering::Equal => Class::Changed,
    }
}

/// Degree to which a setting hides values in logs. A greater degree hides more.
pub(crate) fn hidden(form: Option<&Written>) -> u8 {
    match form {
        Some(Written::One(Scalar::Text(form))) => match form.as_str() {
            "redact" => 3,
            "hash" => 2,
            _ => 0,
        },
        _ => 1,
    }
}

/// True if the setting is a set of values that contains `member`.
fn has(value: Option<&Written>, member: &str) -> bool {
    values(value, &[]).contains(member)
}

/// Compares two days (`YYYY-MM-DD`) until which requests are served. `None`: requests are always
/// served.
pub(super) fn until(old: Option<&str>, new: Option<&str>) -> Class {
    match (old, new) {
        (None, _) => Class::Tighten,
        (Some(_), None) => Class::Relax,
        (Some(was), Some(is)) => match is.cmp(was) {
            Ordering::Greater => Class::Relax,
            Ordering::Less => Class::Tighten,
            Ordering::Equal => Class::Changed,
        },
    }
}

/// Members of a set of values. If the setting is missing: the members of `absent`.
fn values(value: Option<&Written>, absent: &[&str]) -> BTreeSet<String> {
    match value {
        None => absent.iter().map(|word| (*word).to_owned()).collect(),
        Some(Written::One(one)) => BTreeSet::from([one.to_string()]),
        Some(Written::Set(all) | Written::List(all)) => {
            all.iter().map(ToString::to_string).collect()
        }
        Some(Written::Empty) => BTreeSet::new(),
    }
}

/// Class of a change of a set of values: `relax` if the new set contains a value that the old set
/// does not.
fn each(old: Option<&Written>, new: Option<&Written>, absent: &[&str]) -> Class {
    let (old, new) = (values(old, absent), values(new, absent));
    match (new.is_subset(&old), old.is_subset(&new)) {
        (true, true) => Class::Changed,
        (true, false) => Class::Tighten,
        (false, true | false) => Class::Relax,
    }
}
