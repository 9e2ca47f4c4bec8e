//! Operations of both sides that requests no longer reach, because other operations serve the
//! requests, and operations that requests reach again.

use std::collections::BTreeSet;

use rustc_hash::{FxHashMap, FxHashSet};
use serde_json::Value;

use super::cell::{Cells, about};
use super::table::Tier;
use super::table::owner;
use super::{Owner, Route, Task, smallest};
use crate::values::Values;
use crate::{Change, Class, Section};

impl Cells<'_, '_> {
    /// Finds the operations that are newly hidden or revealed at this listener and host. `tasks`
    /// are the compared routes. `moved` contains pairs of an old and a new route between which
    /// requests moved. `others` are further routes of each table whose requests may have moved.
    pub(super) fn shadows(
        &self,
        tasks: &[Task],
        moved: &BTreeSet<(u32, u32)>,
        others: &[FxHashSet<u32>; 2],
    ) -> Vec<Change> {
        let mut lost: BTreeSet<u32> = moved.iter().map(|(before, _)| *before).collect();
        let mut found: BTreeSet<u32> = moved.iter().map(|(_, after)| *after).collect();
        lost.extend(&others[0]);
        found.extend(&others[1]);
        for task in tasks {
            match task {
                Task::Gone(before) => drop(lost.insert(*before)),
                Task::New(after) => drop(found.insert(*after)),
                Task::Rest(before, after) => {
                    lost.insert(*before);
                    found.insert(*after);
                }
                Task::Both(..) => {}
            }
        }
        if lost.is_empty() && found.is_empty() {
            return Vec::new();
        }
        let [old, new] = self.tables.map(|table| declared(table.routes));
        let mut givers: FxHashMap<u32, u32> = FxHashMap::default();
        for (before, after) in moved {
            givers.entry(*after).or_insert(*before);
        }
        let mut changes = Vec::new();
        for before in lost {
            let route = &self.tables[0].routes[before as usize];
            let Some(still) = new.get(&key(route)).filter(|_| is_declared(route)) else {
                continue;
            };
            if !self.reached(1, *still) && self.reached(0, before) {
                let taker = moved.range((before, 0)..=(before, u32::MAX)).next();
                let taker = taker.map(|(_, after)| &self.tables[1].routes[*after as usize]);
                changes.push(self.shadow("shadow-appears", *still, (Some(route), taker)));
            }
        }
        for after in found {
            let route = &self.tables[1].routes[after as usize];
            let Some(earlier) = old.get(&key(route)).filter(|_| is_declared(route)) else {
                continue;
            };
            if !self.reached(0, *earlier) && self.reached(1, after) {
                let giver = givers.get(&after);
                let giver = giver.map(|before| &self.tables[0].routes[*before as usize]);
                changes.push(self.shadow("shadow-disappears", after, (giver, Some(route))));
            }
        }
        changes
    }

    /// True if at least one request reaches the route `route` of the side `side` (0: old version,
    /// 1: new version).
    fn reached(&self, side: usize, route: u32) -> bool {
        let mut owners = [Owner::Anyone; 2];
        owners[side] = Owner::Route(route);
        smallest(self.tables, owners, &Values::default()).is_some()
    }

    fn shadow(
        &self,
        id: &'static str,
        of: u32,
        (was, is): (Option<&Route<'_>>, Option<&Route<'_>>),
    ) -> Change {
        let owner_value =
            |route: Option<&Route<'_>>| route.map_or(Value::Null, |it| owner(it).into());
        let mut change = Change::new(
            Section::Routing,
            Class::Shadowed,
            id,
            "route",
            owner_value(was),
            owner_value(is),
        );
        change.why_none = Some("see the examples of the lines about the moved requests");
        about(change, &self.tables[1].routes[of as usize], self.place)
    }
}

/// Name by which a route is found on both sides: operation key and mount.
fn key<'r>(route: &Route<'r>) -> (&'r str, &'r str) {
    (&route.operation.key, &route.mount.name)
}

/// Routes at declared paths, by operation key and mount. Excludes trailing-slash variants of paths,
/// and routes for undescribed requests.
fn declared<'r>(routes: &'r [Route<'_>]) -> FxHashMap<(&'r str, &'r str), u32> {
    let numbered = routes.iter().zip(0u32..);
    let declared = numbered.filter(|(route, _)| is_declared(route));
    declared.map(|(route, at)| (key(route), at)).collect()
}

/// True for the route of an operation at its declared path.
fn is_declared(route: &Route<'_>) -> bool {
    route.tier == Tier::Described && !route.twin && route.serves
}
