//! Names of the settings of gateway.yaml that cause changes of operations, such as
//! `defaults.policies`. A line about several operations shows the setting that they inherit.

use std::collections::BTreeMap;

use model::source_map::{Place, SourceMap};

use crate::{Plan, Side};

/// Settings that operations inherit, by the location of their key.
struct Inherited<'a>(BTreeMap<&'a Place, &'a str>);

/// Adds the inherited setting to each change of an operation whose value comes from one.
pub(super) fn add(plan: &mut Plan, old: Option<&Side>, new: &Side) {
    let before = old.and_then(|side| side.source.as_ref());
    let (before, after) = (
        before.map(Inherited::of),
        new.source.as_ref().map(Inherited::of),
    );
    for change in &mut plan.changes {
        if change.operation.is_none() && change.operations.is_empty() {
            continue;
        }
        let name = |settings: &Option<Inherited<'_>>, place: &Option<Place>| {
            settings.as_ref()?.at(place.as_ref()?)
        };
        let is = name(&after, &change.source_new);
        change.cause = is.or_else(|| name(&before, &change.source_old));
    }
}

impl<'a> Inherited<'a> {
    fn of(map: &'a SourceMap) -> Self {
        let all = map.definitions.iter();
        Self(
            all.map(|(subject, place)| (place, subject.as_str()))
                .collect(),
        )
    }

    /// Name of the setting whose value is at a place: `defaults.KEY` or `required.KEY`. `None` for
    /// other places. The value of a key follows the key, and precedes the next one.
    fn at(&self, place: &Place) -> Option<String> {
        let (key, subject) = self.0.range::<Place, _>(..=place).next_back()?;
        if key.file != place.file {
            return None;
        }
        // Entries of `required` are definitions of their own: `required policies NAME`.
        let mut words = subject.splitn(3, ['.', ' ']);
        let (scope, name) = (words.next()?, words.next()?);
        matches!(scope, "defaults" | "required").then(|| format!("{scope}.{name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(file: &str, line: u32, column: u32) -> Place {
        Place {
            file: file.to_owned(),
            line,
            column,
        }
    }

    #[test]
    fn value_belongs_to_the_key_before_it() {
        let definitions = [
            ("defaults", place("gateway.yaml", 5, 1)),
            ("defaults.policies", place("gateway.yaml", 6, 3)),
            ("defaults.headers.set.X-A", place("gateway.yaml", 9, 7)),
            ("policy slow", place("gateway.yaml", 12, 3)),
            ("required policies edge", place("gateway.yaml", 14, 20)),
        ];
        let map = SourceMap {
            definitions: definitions
                .into_iter()
                .map(|(subject, place)| (subject.to_owned(), place))
                .collect(),
            ..SourceMap::default()
        };
        let inherited = Inherited::of(&map);
        let at = |line, column| inherited.at(&place("gateway.yaml", line, column));
        assert_eq!(at(6, 14).as_deref(), Some("defaults.policies"));
        assert_eq!(at(7, 5).as_deref(), Some("defaults.policies"));
        assert_eq!(at(9, 12).as_deref(), Some("defaults.headers"));
        assert_eq!(at(14, 20).as_deref(), Some("required.policies"));
        for (line, column) in [(1, 1), (5, 1), (12, 3), (13, 1)] {
            assert_eq!(at(line, column), None, "{line}:{column}");
        }
        assert_eq!(inherited.at(&place("orders.yaml", 6, 14)), None);
    }
}
