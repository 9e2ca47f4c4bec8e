//! Cells of requests: who owns them before, who after.
//!
//! For each listener and host the two tables are laid over each other. A route that stands in
//! both is one cell; a route of one side is compared with every route of the other whose template
//! it overlaps. A cell counts only if a request is found that both engines give to its two owners.

use std::collections::{BTreeMap, BTreeSet};

use bundle::ir::{self, Template};
use engine::BuildError;
use serde_json::Value;

use super::security::{Verdict, Who, describe};
use super::witness::{Draft, path, with_witness};
use super::{Change, Class, OperationRef, Outcome, Plan, Section, Side, Witness};
use crate::ask::Oracle;
use crate::lower::Lowered;
use crate::model::overlap;

/// The two gateways, ready to be asked.
pub(super) struct Sides<'a> {
    pub(super) old: Option<Asked<'a>>,
    pub(super) new: Asked<'a>,
}

/// One gateway with its engine.
pub(super) struct Asked<'a> {
    lowered: &'a Lowered,
    oracle: Oracle,
}

impl<'a> Asked<'a> {
    pub(super) fn build(side: &'a Side) -> Result<Self, BuildError> {
        let gateway = with_witness(&side.lowered.gateway);
        Ok(Self {
            lowered: &side.lowered,
            oracle: Oracle::build(&gateway, &side.bundle.to_string())?,
        })
    }
}

/// Compares who owns and may make which requests.
pub(super) fn compare(sides: &Sides<'_>, plan: &mut Plan) {
    // Tables with the same mounts are compared once, whatever their listener and host.
    let mut told = BTreeSet::new();
    for place in places(sides) {
        let old = sides
            .old
            .as_ref()
            .map(|side| table(side.lowered, &place))
            .unwrap_or_default();
        let new = table(sides.new.lowered, &place);
        let names = |table: &[Route<'_>]| {
            table
                .iter()
                .map(|route| (route.api.name.clone(), route.mount.name.clone()))
                .collect::<BTreeSet<_>>()
        };
        if told.insert((names(&old), names(&new))) {
            Overlay {
                sides,
                place: &place,
                old: &old,
                new: &new,
            }
            .compare(plan);
        }
    }
}

/// A listener, and a host that stands for all that a pattern matches.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    listener: String,
    host: String,
}

/// Every listener with every host pattern of either side.
fn places(sides: &Sides<'_>) -> BTreeSet<Place> {
    let mut places = BTreeSet::new();
    let taken: BTreeSet<&str> = sides
        .old
        .iter()
        .chain([&sides.new])
        .flat_map(|side| &side.lowered.gateway.apis)
        .flat_map(|api| &api.mounts)
        .flat_map(|mount| mount.hosts.iter().map(String::as_str))
        .collect();
    for side in sides.old.iter().chain([&sides.new]) {
        for mount in side.lowered.gateway.apis.iter().flat_map(|api| &api.mounts) {
            for listener in &mount.listeners {
                let hosts = mount
                    .hosts
                    .iter()
                    .map(String::as_str)
                    .chain(mount.hosts.is_empty().then_some(""));
                places.extend(hosts.map(|host| Place {
                    listener: listener.clone(),
                    host: instance(host, &taken),
                }));
            }
        }
    }
    places
}

/// A host that a pattern matches, and that no mount of either side names itself: its own table
/// would stand for the pattern's.
fn instance(pattern: &str, taken: &BTreeSet<&str>) -> String {
    let free = |first: &str, parent: &str| {
        (0..)
            .map(|number| match number {
                0 => format!("{first}{parent}"),
                more => format!("{first}-{more}{parent}"),
            })
            .find(|host| !taken.contains(host.as_str()))
            .unwrap_or_default()
    };
    match pattern.strip_prefix('*') {
        Some(parent) => free("any", parent),
        None if pattern.is_empty() => free("gateway", ""),
        None => pattern.to_owned(),
    }
}

struct Route<'a> {
    api: &'a ir::Api,
    mount: &'a ir::Mount,
    operation: &'a ir::Operation,
    /// Behind the mount's base path.
    template: Template,
}

/// The routes that are asked for a host: those of its exact mounts, else of the wildcard's, else
/// of mounts without hosts.
fn table<'a>(lowered: &'a Lowered, place: &Place) -> Vec<Route<'a>> {
    let mounts = || {
        let all = lowered
            .gateway
            .apis
            .iter()
            .flat_map(|api| api.mounts.iter().map(move |mount| (api, mount)));
        all.filter(|(_, mount)| mount.listeners.contains(&place.listener))
    };
    let wildcard = place
        .host
        .split_once('.')
        .map(|(_, parent)| format!("*.{parent}"));
    let exact: Vec<_> = mounts()
        .filter(|(_, mount)| mount.hosts.contains(&place.host))
        .collect();
    let wild: Vec<_> = mounts()
        .filter(|(_, mount)| {
            wildcard
                .as_ref()
                .is_some_and(|host| mount.hosts.contains(host))
        })
        .collect();
    let any: Vec<_> = mounts()
        .filter(|(_, mount)| mount.hosts.is_empty())
        .collect();
    let owners = [exact, wild, any]
        .into_iter()
        .find(|owners| !owners.is_empty())
        .unwrap_or_default();
    let routes = owners.into_iter().flat_map(|(api, mount)| {
        api.operations.iter().flat_map(move |operation| {
            let ignores = operation.trailing_slash == ir::TrailingSlash::Ignore;
            let twin = operation.template.twin().filter(|_| ignores);
            // A path that is described comes before a twin.
            let described = |twin: &Template| {
                api.operations.iter().any(|other| {
                    other.method == operation.method
                        && other.template == *twin
                        && other.conditions == operation.conditions
                })
            };
            let twin = twin.filter(|twin| !described(twin));
            let declared = operation.template.clone();
            let templates = std::iter::once(declared).chain(twin);
            templates.map(move |template| Route {
                api,
                mount,
                operation,
                template: template.behind(&mount.base_path),
            })
        })
    });
    routes.collect()
}

impl Route<'_> {
    /// What tells its requests from others'.
    fn signature(&self) -> (String, String, String, i32) {
        let erased: String =
            self.template
                .segments()
                .iter()
                .fold(String::new(), |text, segment| match segment {
                    ir::Segment::Literal(literal) => text + "/" + literal,
                    ir::Segment::Folded(literal) => text + "/~" + literal,
                    ir::Segment::Parameter(_) => text + "/{}",
                    ir::Segment::Pattern(pattern) => {
                        let case = if pattern.folded { "/~" } else { "/" };
                        text + case + &pattern.erased()
                    }
                });
        let rest = if self.template.is_prefix() { "/**" } else { "" };
        (
            self.operation.method.clone(),
            erased + rest,
            format!("{:?}", self.operation.conditions),
            self.operation.priority,
        )
    }

    fn id(&self) -> String {
        format!("{}@{}", self.operation.key, self.mount.name)
    }

    fn treatment(&self) -> &ir::Treatment {
        &self.api.treatments[self.operation.treatment as usize]
    }

    fn reference(&self) -> OperationRef {
        let key = &self.operation.key;
        let id = key
            .strip_prefix(&format!("{}/", self.api.name))
            .map(str::to_owned);
        OperationRef {
            key: key.clone(),
            id,
            method: self.operation.method.clone(),
            path: self.template.to_string(),
            mount: self.mount.name.clone(),
            host: self.mount.hosts.first().cloned().unwrap_or_default(),
            api: self.api.name.clone(),
        }
    }
}

/// Two tables of one place, laid over each other.
struct Overlay<'o, 'a> {
    sides: &'o Sides<'a>,
    place: &'o Place,
    old: &'o [Route<'a>],
    new: &'o [Route<'a>],
}

impl<'a> Overlay<'_, 'a> {
    fn compare(&self, plan: &mut Plan) {
        let index = |routes: &[Route<'_>]| -> BTreeMap<_, usize> {
            routes
                .iter()
                .enumerate()
                .map(|(at, route)| (route.signature(), at))
                .collect()
        };
        let (old_index, new_index) = (index(self.old), index(self.new));
        for (signature, at) in &new_index {
            if let Some(before) = old_index.get(signature) {
                let (before, after) = (&self.old[*before], &self.new[*at]);
                if !self.cell(before, after, plan) {
                    self.unseen(before, after, plan);
                }
            }
        }
        let only = |mine: &BTreeMap<_, usize>, theirs: &BTreeMap<_, usize>| -> Vec<usize> {
            mine.iter()
                .filter(|(signature, _)| !theirs.contains_key(*signature))
                .map(|(_, at)| *at)
                .collect()
        };
        let (old_only, new_only) = (only(&old_index, &new_index), only(&new_index, &old_index));
        let mut templates: Vec<&Template> = self.old.iter().map(|route| &route.template).collect();
        templates.extend(self.new.iter().map(|route| &route.template));
        let shifted = |at: usize| at + self.old.len();
        for &at in &new_only {
            let route = &self.new[at];
            let rivals: Vec<usize> = (0..self.old.len())
                .filter(|other| same_method(&self.old[*other], route))
                .collect();
            let mut seen = false;
            for (before, _) in overlap::between(&templates, &rivals, &[shifted(at)]) {
                seen |= self.cell(&self.old[before], route, plan);
            }
            self.newly_served(route, seen, plan);
        }
        for &at in &old_only {
            let route = &self.old[at];
            let rivals: Vec<usize> = (0..self.new.len())
                .filter(|other| same_method(&self.new[*other], route))
                .map(shifted)
                .collect();
            for (_, after) in overlap::between(&templates, &[at], &rivals) {
                let after = after - self.old.len();
                // Routes that are new as well were compared above.
                if !new_only.contains(&after) {
                    self.cell(route, &self.new[after], plan);
                }
            }
            self.no_longer_served(route, plan);
        }
    }

    /// The requests that `before` owned and `after` owns; false where something differs and no
    /// such request was found.
    fn cell(&self, before: &Route<'a>, after: &Route<'a>, plan: &mut Plan) -> bool {
        let same_owner = before.operation.key == after.operation.key;
        let (was, is) = (before.treatment(), after.treatment());
        let verdict = self
            .who(self.sides.old.as_ref(), before)
            .verdict(&self.who(Some(&self.sides.new), after));
        let moved =
            !same_owner || was.upstream != is.upstream || before.mount.name != after.mount.name;
        let restated = describe(&was.security) != describe(&is.security);
        if verdict == Verdict::Equal && !moved && !restated {
            return true;
        }
        let Some(draft) = self.draft(Some(before), Some(after)) else {
            return false;
        };
        if !same_owner || before.mount.name != after.mount.name {
            let change = Change::new(
                Section::Routing,
                Class::Moved,
                "owner-changed",
                "route",
                before.id().into(),
                after.id().into(),
            );
            let witness = self.served_by_both(&draft, before, after);
            plan.changes.push(with(
                change.of(after.reference()),
                witness,
                "no one request is served by both",
            ));
        }
        if was.upstream != is.upstream {
            let change = Change::new(
                Section::Routing,
                Class::Moved,
                "upstream-changed",
                "upstream",
                was.upstream.clone().into(),
                is.upstream.clone().into(),
            );
            plan.changes.push(with(
                change.of(after.reference()),
                None,
                "a decision does not show the upstream",
            ));
        }
        self.door(Some(&draft), before, after, verdict, plan);
        if verdict == Verdict::Equal && restated {
            plan.changes.push(restatement(before, after));
        }
        true
    }

    /// Two routes that look alike and differ, with no request at hand that both own: every path
    /// that was tried belongs to a neighbour. The doors are compared all the same; a neighbour
    /// must not hide that one opened.
    fn unseen(&self, before: &Route<'a>, after: &Route<'a>, plan: &mut Plan) {
        let verdict = self
            .who(self.sides.old.as_ref(), before)
            .verdict(&self.who(Some(&self.sides.new), after));
        self.door(None, before, after, verdict, plan);
        if verdict == Verdict::Equal
            && describe(&before.treatment().security) != describe(&after.treatment().security)
        {
            plan.changes.push(restatement(before, after));
        }
        if before.treatment().upstream != after.treatment().upstream {
            let change = Change::new(
                Section::Routing,
                Class::Moved,
                "upstream-changed",
                "upstream",
                before.treatment().upstream.clone().into(),
                after.treatment().upstream.clone().into(),
            );
            plan.changes.push(with(
                change.of(after.reference()),
                None,
                "a decision does not show the upstream",
            ));
        }
    }

    fn door(
        &self,
        draft: Option<&Draft>,
        before: &Route<'a>,
        after: &Route<'a>,
        verdict: Verdict,
        plan: &mut Plan,
    ) {
        let class = match verdict {
            Verdict::Equal => return,
            Verdict::Weaken => Class::Weaken,
            Verdict::Strengthen => Class::Strengthen,
            Verdict::Incomparable => Class::Incomparable,
        };
        let (was, is) = (&before.treatment().security, &after.treatment().security);
        let id = match (was.admits_anyone(), is.admits_anyone()) {
            (false, true) => "security-requirement-removed",
            (true, false) => "security-requirement-added",
            _ => "security-requirement-changed",
        };
        let change = Change::new(
            Section::Security,
            class,
            id,
            "security",
            describe(was).into(),
            describe(is).into(),
        )
        .of(after.reference());
        let (old_who, new_who) = (
            self.who(self.sides.old.as_ref(), before),
            self.who(Some(&self.sides.new), after),
        );
        // Somebody who is let in on one side only: on the new one unless the door only closes.
        let (route, uncovered, opens) = match class {
            Class::Strengthen => (before, old_who.uncovered(&new_who), false),
            _ => (after, new_who.uncovered(&old_who), true),
        };
        let witness = draft.zip(uncovered).and_then(|(draft, index)| {
            self.somebody(draft, route, index, opens, plan, &change.operations[0])
        });
        plan.changes
            .push(with(change, witness, "no request shows it"));
    }

    /// Requests that nobody owned. A route for which no request at all was found (`seen` tells
    /// whether one that somebody else owned was) is told without one.
    fn newly_served(&self, route: &Route<'a>, seen: bool, plan: &mut Plan) {
        let draft = self.draft(None, Some(route));
        if draft.is_none() && seen {
            return;
        }
        let shown = Change::new(
            Section::Routing,
            Class::Added,
            "operation-added",
            "route",
            Value::Null,
            route.id().into(),
        )
        .of(route.reference());
        let who = self.who(Some(&self.sides.new), route);
        let witness = draft
            .and_then(|draft| self.somebody(&draft, route, 0, true, plan, &route.operation.key));
        plan.changes
            .push(with(shown, witness.clone(), "no request shows it"));
        if self.sides.old.is_none() && !who.is_open() {
            // The first release opens every door there is: only open ones are worth a line each.
            return;
        }
        let class = if who.is_open() {
            Class::Weaken
        } else {
            Class::Expose
        };
        let security = &route.treatment().security;
        let change = Change::new(
            Section::Security,
            class,
            "operation-exposed",
            "security",
            "nobody".into(),
            describe(security).into(),
        );
        plan.changes.push(with(
            change.of(route.reference()),
            witness,
            "no request shows it",
        ));
    }

    /// Requests that nobody owns any more.
    fn no_longer_served(&self, route: &Route<'a>, plan: &mut Plan) {
        let Some(draft) = self.draft(Some(route), None) else {
            return;
        };
        let change = Change::new(
            Section::Routing,
            Class::Removed,
            "operation-removed",
            "route",
            route.id().into(),
            Value::Null,
        );
        let witness = self.somebody(&draft, route, 0, false, plan, &route.operation.key);
        plan.changes.push(with(
            change.of(route.reference()),
            witness,
            "no request shows it",
        ));
    }

    /// Who may make a route's requests.
    fn who(&self, side: Option<&Asked<'_>>, route: &Route<'_>) -> Who {
        match side {
            Some(side) => Who::of(
                &route.treatment().security,
                &route.api.schemes,
                &side.lowered.gateway.shared.auth,
            ),
            None => Who::nobody(),
        }
    }

    /// A request that these two own; none where nobody can find one.
    fn draft(&self, before: Option<&Route<'a>>, after: Option<&Route<'a>>) -> Option<Draft> {
        let route = after.or(before)?;
        let conditions: Vec<ir::Condition> = before
            .iter()
            .chain(&after)
            .flat_map(|route| route.operation.conditions.iter().cloned())
            .collect();
        // HEAD falls back to GET: what a HEAD and a GET share is HEAD.
        let head = before
            .iter()
            .chain(&after)
            .any(|route| route.operation.method == "HEAD");
        let method = if head {
            "HEAD"
        } else {
            &route.operation.method
        };
        let overlap = before
            .zip(after)
            .and_then(|(before, after)| overlap::witness(&before.template, &after.template));
        let fills = [
            "x",
            "0",
            "xy",
            "x1",
            "~",
            "00000000-0000-4000-8000-000000000000",
        ];
        let paths = overlap
            .into_iter()
            .chain(fills.iter().map(|fill| path(&route.template, fill)))
            .chain(before.into_iter().map(|before| path(&before.template, "x")));
        let owner = |asked: Option<&Asked<'_>>, draft: &Draft| {
            asked.and_then(|asked| draft.owner(&asked.oracle))
        };
        let owned = |draft: &Draft| {
            owner(self.sides.old.as_ref(), draft) == before.map(Route::id)
                && owner(Some(&self.sides.new), draft) == after.map(Route::id)
        };
        paths
            .map(|path| {
                Draft::new(
                    &self.place.listener,
                    &self.place.host,
                    method,
                    path,
                    &conditions,
                )
            })
            .find(owned)
    }

    /// A caller with the credentials of an alternative, let in on one side only.
    fn somebody(
        &self,
        draft: &Draft,
        route: &Route<'a>,
        alternative: usize,
        opens: bool,
        plan: &mut Plan,
        key: &str,
    ) -> Option<Witness> {
        let side = if opens {
            Some(&self.sides.new)
        } else {
            self.sides.old.as_ref()
        }?;
        let none = ir::Alternative::default();
        let wanted = route
            .treatment()
            .security
            .0
            .get(alternative)
            .unwrap_or(&none);
        let (draft, credentials) = draft.with_credentials(
            wanted,
            &route.api.schemes,
            &side.lowered.gateway.shared.auth,
        );
        let old = self
            .sides
            .old
            .as_ref()
            .map_or(Some(Outcome::Nothing), |old| draft.ask(&old.oracle))
            .unwrap_or(Outcome::Nothing);
        let new = draft
            .ask(&self.sides.new.oracle)
            .unwrap_or(Outcome::Nothing);
        let (inside, outside) = if opens { (&new, &old) } else { (&old, &new) };
        let shows =
            matches!(inside, Outcome::Served { .. }) && !matches!(outside, Outcome::Served { .. });
        if !shows {
            plan.bugs.push(format!(
                "{} {} does not show what changed for `{key}`: {old:?} before, {new:?} after",
                draft.method, draft.path
            ));
            return None;
        }
        Some(draft.shown(credentials, old, new))
    }

    /// A caller whom both operations serve.
    fn served_by_both(
        &self,
        draft: &Draft,
        before: &Route<'a>,
        after: &Route<'a>,
    ) -> Option<Witness> {
        let none = ir::Alternative::default();
        let old = self.sides.old.as_ref()?;
        let first = |route: &Route<'a>| {
            route
                .treatment()
                .security
                .0
                .first()
                .cloned()
                .unwrap_or_else(|| none.clone())
        };
        let tries = [
            draft.with_credentials(
                &none,
                &after.api.schemes,
                &self.sides.new.lowered.gateway.shared.auth,
            ),
            draft.with_credentials(
                &first(after),
                &after.api.schemes,
                &self.sides.new.lowered.gateway.shared.auth,
            ),
            draft.with_credentials(
                &first(before),
                &before.api.schemes,
                &old.lowered.gateway.shared.auth,
            ),
        ];
        tries.into_iter().find_map(|(draft, credentials)| {
            let (was, is) = (draft.ask(&old.oracle)?, draft.ask(&self.sides.new.oracle)?);
            let both = matches!((&was, &is), (Outcome::Served { operation: a }, Outcome::Served { operation: b }) if a != b);
            both.then(|| draft.shown(credentials, was, is))
        })
    }
}

/// The same people are let in, but not in the same way: another verifier's name, another order,
/// a credential that the upstream newly sees or no longer sees.
fn restatement(before: &Route<'_>, after: &Route<'_>) -> Change {
    let change = Change::new(
        Section::Policy,
        Class::Changed,
        "security-restated",
        "security",
        describe(&before.treatment().security).into(),
        describe(&after.treatment().security).into(),
    );
    with(
        change.of(after.reference()),
        None,
        "the same requests are let in",
    )
}

fn with(mut change: Change, witness: Option<Witness>, why_none: &'static str) -> Change {
    change.why_none = witness.is_none().then_some(why_none);
    change.witness = witness;
    change
}

/// HEAD falls back to GET, so that an explicit HEAD takes requests from it.
fn same_method(a: &Route<'_>, b: &Route<'_>) -> bool {
    let (a, b) = (a.operation.method.as_str(), b.operation.method.as_str());
    a == b || matches!((a, b), ("GET", "HEAD") | ("HEAD", "GET"))
}
