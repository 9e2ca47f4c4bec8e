//! Metric ids: numbers for the names of routes and upstreams, used as keys of series.
//!
//! A name keeps its number as long as a version in memory uses the name, and for ten minutes after
//! that. Then its series are removed. If the name is used again later, it gets a new number, and
//! its counters begin at 0 (observability.md §2).

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

/// Time in milliseconds for which an unused name is kept: 10 minutes.
const GRACE_MS: u64 = 600_000;

/// Metric id of requests that match no route.
pub(crate) const UNMATCHED: u32 = 0;

/// Names of routes and upstreams, with their metric ids.
#[derive(Debug)]
pub(crate) struct Names(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    by_name: HashMap<Box<str>, u32>,
    entries: HashMap<u32, Entry>,
    next: u32,
}

#[derive(Debug)]
struct Entry {
    name: Box<str>,
    /// Path template of a route; empty for an upstream.
    template: Box<str>,
    gone_since_ms: Option<u64>,
}

impl Names {
    pub(crate) fn new() -> Self {
        let names = Self(Mutex::default());
        names.lock().number("_unmatched", "_unmatched");
        names
    }

    /// Metric id of an upstream, given by its name. A new name gets the next id.
    pub(crate) fn number(&self, name: &str) -> u32 {
        self.lock().number(name, "")
    }

    /// Metric ids of several routes, in the same order. Each route is given by its id in the
    /// contract and its path template.
    pub(crate) fn routes<'a>(&self, routes: impl Iterator<Item = (&'a str, String)>) -> Arc<[u32]> {
        let mut table = self.lock();
        let numbers = routes.map(|(id, template)| table.number(id, &template));
        numbers.collect()
    }

    /// Removes names that have been unused for [`GRACE_MS`]. `used` are the names in use now.
    pub(crate) fn retain(&self, used: &HashSet<u32>, now_ms: u64) {
        let mut table = self.lock();
        let Table {
            by_name, entries, ..
        } = &mut *table;
        entries.retain(|number, entry| {
            if *number == UNMATCHED || used.contains(number) {
                entry.gone_since_ms = None;
                return true;
            }
            let since = *entry.gone_since_ms.get_or_insert(now_ms);
            let keep = now_ms.saturating_sub(since) < GRACE_MS;
            if !keep {
                by_name.remove(&entry.name);
            }
            keep
        });
    }

    /// Name with this metric id, unless it was removed.
    pub(crate) fn resolve(&self, number: u32) -> Option<String> {
        let table = self.lock();
        table
            .entries
            .get(&number)
            .map(|entry| entry.name.to_string())
    }

    /// Path template of the route with this metric id, unless it was removed.
    pub(crate) fn template(&self, number: u32) -> Option<String> {
        let table = self.lock();
        let entry = table.entries.get(&number);
        entry.map(|entry| entry.template.to_string())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Table> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Table {
    fn number(&mut self, name: &str, template: &str) -> u32 {
        if let Some(number) = self.by_name.get(name) {
            return *number;
        }
        let number = self.next;
        self.next += 1;
        self.by_name.insert(name.into(), number);
        let entry = Entry {
            name: name.into(),
            template: template.into(),
            gone_since_ms: None,
        };
        self.entries.insert(number, entry);
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_forgotten_ten_minutes_after_they_left() {
        let names = Names::new();
        let (a, b) = (names.number("a"), names.number("b"));
        assert_eq!(names.number("a"), a);
        let used = HashSet::from([b]);
        names.retain(&used, 0);
        names.retain(&used, GRACE_MS - 1);
        assert_eq!(names.resolve(a).as_deref(), Some("a"));
        names.retain(&used, GRACE_MS);
        assert_eq!(names.resolve(a), None);
        assert_ne!(names.number("a"), a, "counters begin anew");
        assert_eq!(names.resolve(UNMATCHED).as_deref(), Some("_unmatched"));
    }
}
