//! Cell of requests: the changes for its requests, and a witness for each.

use std::net::IpAddr;

use bundle::ir;
use policy::Addresses;
use rustc_hash::FxHashMap;
use serde_json::Value;

use super::table::{has, owner};
use super::{
    Engines, Found, Owner, Pair, Pairs, Place, Route, STEPS_OF_CELL, STEPS_OF_PAIR, Table, Task,
    Values, asked_for, describe, smallest, treated,
};
use crate::ask::OUTSIDER;
use crate::details::Line;
use crate::security::{Tokens, Verdict, cannot_run};
use crate::witness::{Draft, bug, credentials};
use crate::{Change, Class, Outcome, RequestPlace, Section, Witness, ids};
use model::lower::Lowered;

/// Maximum routes with which one route exchanges requests that are compared one by one. Many
/// templates that overlap would give a line for each pair.
const EXACT_MAX: usize = 64;

/// Reason for a change without a witness.
const NO_REQUEST: &str = "no request shows it";
/// Reason for a change without a witness: a filter of addresses refuses everybody.
const NO_ADDRESS: &str = "no address may call";

/// Comparison of the cells of one place.
pub(super) struct Cells<'c, 'a> {
    pub(super) place: &'c Place,
    pub(super) tables: [&'c Table<'c, 'a>; 2],
    pub(super) sides: (Option<&'c Lowered>, &'c Lowered),
    pub(super) pairs: Pairs<'c>,
    pub(super) engines: &'c Engines,
}

/// Changes found in a set of cells.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) changes: Vec<Change>,
    /// Witnesses that fail to show their change: bugs of the plan.
    pub(super) bugs: Vec<String>,
    /// Reason why the next change has no witness, if a policy in it cannot be decided here.
    undecidable: Option<&'static str>,
    /// Routes of the old table that lost requests, each with the new route that serves them.
    pub(super) moved: Vec<(u32, u32)>,
    /// Further routes of each table that may have lost or got requests.
    pub(super) others: [Vec<u32>; 2],
}

/// Requests with one owner on each side. A cell is never empty.
struct Cell {
    owners: [Owner; 2],
    /// Smallest request of the cell, without credentials.
    bare: Found,
}

/// Caller of a witness: the alternatives of a route on one side.
struct Caller<'r, 'a> {
    route: &'r Route<'a>,
    side: &'r Lowered,
    /// Address of the client, if a filter of addresses decides. Default: [`OUTSIDER`].
    client: Option<IpAddr>,
}

impl<'a> Cells<'_, 'a> {
    /// Compares every cell that the route of a task is part of.
    pub(super) fn of(&self, task: Task) -> Told {
        let mut told = Told::default();
        match task {
            Task::Both(before, after) => {
                if !self.served_by_both(before, after, &mut told) {
                    self.unreached(before, after, &mut told);
                }
            }
            Task::New(after) => {
                let route = self.after(after);
                let others = self.tables[0].exchanging(route);
                self.exchanged(0, (after, &others), &mut told);
                self.newly_served(after, &mut told);
            }
            Task::Gone(before) => {
                let route = self.before(before);
                // Exchanges with a new route were compared by the task of that route.
                let others = self.tables[1].exchanging(route);
                self.exchanged(1, (before, &others), &mut told);
                self.no_longer_served(before, &mut told);
            }
            Task::Rest(before, after) => {
                self.newly_served(after, &mut told);
                self.no_longer_served(before, &mut told);
            }
        }
        told
    }

    fn before(&self, at: u32) -> &Route<'a> {
        &self.tables[0].routes[at as usize]
    }

    fn after(&self, at: u32) -> &Route<'a> {
        &self.tables[1].routes[at as usize]
    }

    /// Compares the requests that a route exchanges with routes of the table `side`. Of several
    /// routes with equal treatment, the first one that exchanges requests represents the others.
    fn exchanged(&self, side: usize, (route, others): (u32, &[u32]), told: &mut Told) {
        let exchange = |other: u32, told: &mut Told| match side {
            0 => self.served_by_both(other, route, told),
            _ => self.served_by_both(route, other, told),
        };
        if others.len() <= EXACT_MAX {
            for other in others {
                exchange(*other, told);
            }
            return;
        }
        let mut alike: FxHashMap<_, Vec<u32>> = FxHashMap::default();
        for other in others {
            let it = &self.tables[side].routes[*other as usize];
            let treatment = std::ptr::from_ref(it.treatment()) as usize;
            let same = (treatment, it.method, it.redirects(), &*it.mount.name);
            alike.entry(same).or_default().push(*other);
        }
        let mut alike: Vec<Vec<u32>> = alike.into_values().collect();
        alike.sort_unstable();
        for group in alike {
            let before = told.changes.len();
            let mut members = group.iter();
            let Some(first) = members.find(|other| exchange(**other, told)) else {
                continue;
            };
            let rest: Vec<u32> = members.copied().collect();
            told.others[side].extend(&rest);
            if rest.is_empty() {
                continue;
            }
            let digest = self.tables[side].digest_of(&rest).hex();
            let first = &self.tables[side].routes[*first as usize];
            for change in &mut told.changes[before..] {
                change.bound.push_str(&digest);
                if change.id == "owner-changed" {
                    let text = format!("{} and up to {} more", owner(first), rest.len());
                    match side {
                        0 => change.old = text.into(),
                        _ => change.new = text.into(),
                    }
                }
            }
        }
    }

    /// Compares the requests that `before` owned and `after` owns. Returns false if there are none.
    fn served_by_both(&self, before: u32, after: u32, told: &mut Told) -> bool {
        let (was, is) = (self.before(before), self.after(after));
        let pair = self.pairs.of(was, is);
        // Two operations that redirect give the same answer.
        let moved = was.id() != is.id() && !(was.redirects() && is.redirects());
        if !moved && !pair.differs() {
            return true;
        }
        let searches = &self.tables[0].searches;
        let owners = [Owner::Route(before), Owner::Route(after)];
        let searched = searches.take(STEPS_OF_PAIR).then(|| self.cell(owners));
        let Some(cell) = searched.flatten().filter(|_| searches.take(STEPS_OF_CELL)) else {
            return false;
        };
        if moved || was.signature() != is.signature() {
            told.moved.push((before, after));
        }
        if moved {
            let mut change = Change::new(
                Section::Routing,
                Class::Moved,
                "owner-changed",
                "route",
                owner(was).into(),
                owner(is).into(),
            );
            change.bound = self.servers(was, is);
            let witness = self.differs(&cell, told);
            self.push(told, change, is, witness, NO_REQUEST);
        }
        if was.redirects() || is.redirects() {
            // The comparison of policies reports a change of redirection.
            return true;
        }
        if pair.upstream {
            let mut change = Change::new(
                Section::Routing,
                Class::Moved,
                "upstream-changed",
                "upstream",
                self.pairs.goes(was).into(),
                self.pairs.goes(is).into(),
            );
            change.bound = self.servers(was, is);
            let witness = self.differs(&cell, told);
            self.push(
                told,
                change,
                is,
                witness,
                "no request that both sides serve shows it",
            );
        }
        for line in self.pairs.lines(was, is) {
            let section = line.section();
            let Line {
                class,
                id,
                subject,
                old,
                new,
            } = line;
            let change = Change::new(section, class, id, subject, old, new);
            self.push(told, change, is, None, NO_REQUEST);
        }
        self.doors(&pair, &cell, (before, after), told);
        if let Some(said) = &pair.restated {
            self.push(
                told,
                restated(said),
                is,
                None,
                "the same requests are let in",
            );
        }
        true
    }

    /// Reports differences in access.
    fn doors(&self, pair: &Pair, cell: &Cell, (before, after): (u32, u32), told: &mut Told) {
        let (was, is) = (self.before(before), self.after(after));
        // A policy that refused every caller admitted none.
        let nobody = self.pairs.before(was).is_nobody();
        for difference in &pair.access {
            let (class, id) = match difference.verdict {
                Verdict::Equal => continue,
                Verdict::Weaken if nobody && !self.pairs.after(is).is_open() => {
                    (Class::Expose, "operation-exposed")
                }
                Verdict::Weaken if nobody => (Class::Weaken, "operation-exposed"),
                Verdict::Weaken => (Class::Weaken, difference.id),
                Verdict::Strengthen => (Class::Strengthen, difference.id),
                Verdict::Incomparable => (Class::Incomparable, difference.id),
            };
            let mut change = Change::new(
                Section::Security,
                class,
                id,
                difference.subject.clone(),
                difference.old.clone(),
                difference.new.clone(),
            );
            change.bound = was.requests();
            if difference.component == "who" {
                change.bound.push_str(&pair.asked);
            }
            if id == "operation-exposed" {
                change.bound.push_str(&treated(self.sides, is));
            }
            let mut witness = None;
            if difference.component == "who" && difference.why_none.is_none() {
                let (old_who, new_who) = (self.pairs.before(was), self.pairs.after(is));
                // A caller admitted on one side only: on the new side, unless access only narrows.
                let opens = class != Class::Strengthen;
                let uncovered = if opens {
                    new_who.who().uncovered(old_who.who())
                } else {
                    old_who.who().uncovered(new_who.who())
                };
                if let Some(uncovered) = uncovered {
                    let alternative = (uncovered.index, Some(&uncovered.tokens));
                    witness = self.somebody(cell, &[alternative], opens, told);
                }
            }
            if difference.component == "from" && difference.why_none.is_none() {
                witness = self.caller_from(cell, class != Class::Strengthen, told);
            }
            let why_none = difference.why_none.unwrap_or(NO_REQUEST);
            self.push(told, change, is, witness, why_none);
        }
    }

    /// Compares a route that exists on both sides but owns no request on one of them, because other
    /// routes take all. Reports differences in its settings, not in access.
    fn unreached(&self, before: u32, after: u32, told: &mut Told) {
        let (was, is) = (self.before(before), self.after(after));
        let said = (
            describe(&was.treatment().security),
            describe(&is.treatment().security),
        );
        if said.0 != said.1 {
            self.push(told, restated(&said), is, None, "no request reaches it");
        }
        if was.treatment().upstream != is.treatment().upstream {
            let change = Change::new(
                Section::Upstream,
                Class::Changed,
                "upstream-changed",
                "upstream",
                was.treatment().upstream.clone().into(),
                is.treatment().upstream.clone().into(),
            );
            self.push(told, change, is, None, "no request reaches it");
        }
    }

    /// Requests without an owner before.
    fn newly_served(&self, after: u32, told: &mut Told) {
        let route = self.after(after);
        let owners = [Owner::Nobody, Owner::Route(after)];
        let Some(cell) = self.cell(owners).filter(|_| !route.redirects()) else {
            return;
        };
        let known = self.sides.0.is_some_and(|side| has(side, route));
        let id = if known {
            "requests-added"
        } else {
            "operation-added"
        };
        let change = Change::new(
            Section::Routing,
            Class::Added,
            id,
            "route",
            Value::Null,
            owner(route).into(),
        );
        let access = self.pairs.after(route);
        let before = self.tables[0].requests_of(&route.operation.key);
        let mut change = change;
        change.bound.clone_from(&before);
        let every = 0..route.treatment().security.0.len().max(1);
        let every: Vec<(usize, Option<&Tokens>)> = every.map(|index| (index, None)).collect();
        let witness = match access.is_nobody() {
            true => self.differs(&cell, told),
            false => self.somebody(&cell, &every, true, told),
        };
        self.push(told, change, route, witness.clone(), NO_REQUEST);
        // In the first release every operation is new, so only open ones get a line each. A policy
        // that refuses every caller opens no access.
        if access.is_nobody() || self.sides.0.is_none() && !access.is_open() {
            return;
        }
        let class = if access.is_open() {
            Class::Weaken
        } else {
            Class::Expose
        };
        let change = Change::new(
            Section::Security,
            class,
            "operation-exposed",
            "security",
            "nobody".into(),
            describe(&route.treatment().security).into(),
        );
        let mut change = change;
        change.bound = before + &asked_for(self.sides.1, route) + &treated(self.sides, route);
        self.push(told, change, route, witness, NO_REQUEST);
    }

    /// Requests without an owner now.
    fn no_longer_served(&self, before: u32, told: &mut Told) {
        let route = self.before(before);
        let owners = [Owner::Route(before), Owner::Nobody];
        let Some(cell) = self.cell(owners).filter(|_| !route.redirects()) else {
            return;
        };
        let id = if has(self.sides.1, route) {
            "requests-removed"
        } else {
            "operation-removed"
        };
        let change = Change::new(
            Section::Routing,
            Class::Removed,
            id,
            "route",
            owner(route).into(),
            Value::Null,
        );
        let mut change = change;
        change.bound = self.tables[1].requests_of(&route.operation.key);
        let every = 0..route.treatment().security.0.len().max(1);
        let every: Vec<(usize, Option<&Tokens>)> = every.map(|index| (index, None)).collect();
        let witness = match self.pairs.before(route).is_nobody() {
            true => self.differs(&cell, told),
            false => self.somebody(&cell, &every, false, told),
        };
        self.push(told, change, route, witness, NO_REQUEST);
    }

    /// Finds a witness with the credentials of one alternative that is admitted on one side only:
    /// on the new side if `opens` is set.
    fn somebody(
        &self,
        cell: &Cell,
        alternatives: &[(usize, Option<&Tokens>)],
        opens: bool,
        told: &mut Told,
    ) -> Option<Witness> {
        let caller = self.caller(cell.owners, opens, told)?;
        let security = &caller.route.treatment().security;
        let none = ir::Alternative::default();
        for (index, tokens) in alternatives {
            let alternative = security.0.get(*index).unwrap_or(&none);
            let Some((witness, owned)) = self.ask(cell, &caller, (alternative, *tokens)) else {
                continue;
            };
            let (inside, outside) = if opens {
                (&witness.new, &witness.old)
            } else {
                (&witness.old, &witness.new)
            };
            let served = |outcome: &Outcome| matches!(outcome, Outcome::Served { .. });
            if owned && served(inside) && !served(outside) {
                return Some(witness);
            }
            // An escaped separator is refused wherever a path is split, so no caller is admitted.
            if owned && *inside == (Outcome::Refused { status: 400 }) {
                continue;
            }
            // The token belongs to another caller, or the upstream checks its scopes.
            let agree = self.sources_differ(cell.owners) || self.asks_for_scopes(cell.owners);
            if owned && served(inside) && agree {
                continue;
            }
            told.bugs.push(bug(&witness, &caller.route.operation.key));
            return None;
        }
        None
    }

    /// Finds a caller whose address is admitted on one side only: on the new side if `opens` is
    /// set.
    fn caller_from(&self, cell: &Cell, opens: bool, told: &mut Told) -> Option<Witness> {
        let mut caller = self.caller(cell.owners, opens, told)?;
        let [before, after] = self.addresses(cell.owners);
        let only = match opens {
            true => after.without(&before),
            false => before.without(&after),
        };
        caller.client = Some(only.example(OUTSIDER)?);
        let security = &caller.route.treatment().security;
        let none = ir::Alternative::default();
        let alternatives = security
            .0
            .iter()
            .chain(security.0.is_empty().then_some(&none));
        alternatives.into_iter().find_map(|alternative| {
            let (witness, owned) = self.ask(cell, &caller, (alternative, None))?;
            let (inside, outside) = match opens {
                true => (&witness.new, &witness.old),
                false => (&witness.old, &witness.new),
            };
            let served = |outcome: &Outcome| matches!(outcome, Outcome::Served { .. });
            (owned && served(inside) && !served(outside)).then_some(witness)
        })
    }

    /// Returns the admitted client addresses of both sides. All addresses if no route owns the
    /// requests.
    fn addresses(&self, owners: [Owner; 2]) -> [Addresses; 2] {
        let before = match owners[0] {
            Owner::Route(route) => self.pairs.before(self.before(route)).addresses(),
            Owner::Nobody | Owner::Anyone => Addresses::all(),
        };
        let after = match owners[1] {
            Owner::Route(route) => self.pairs.after(self.after(route)).addresses(),
            Owner::Nobody | Owner::Anyone => Addresses::all(),
        };
        [before, after]
    }

    /// True if the requirements ask for credentials of two sources, or with two names of claims.
    fn sources_differ(&self, owners: [Owner; 2]) -> bool {
        let [Owner::Route(was), Owner::Route(is)] = owners else {
            return false;
        };
        let old = self.pairs.before(self.before(was));
        let new = self.pairs.after(self.after(is));
        old.who().sources() != new.who().sources()
    }

    /// Returns true if a requirement of either side names scopes.
    fn asks_for_scopes(&self, owners: [Owner; 2]) -> bool {
        owners.into_iter().zip(self.tables).any(|(owner, table)| {
            let Owner::Route(route) = owner else {
                return false;
            };
            let security = &table.routes[route as usize].treatment().security;
            let mut uses = security.0.iter().flat_map(|alternative| &alternative.0);
            uses.any(|wanted| !wanted.scopes.is_empty())
        })
    }

    /// Finds a caller whom the two sides treat differently, preferring one that both sides serve.
    fn differs(&self, cell: &Cell, told: &mut Told) -> Option<Witness> {
        let none = ir::Alternative::default();
        let mut best: Option<Witness> = None;
        for opens in [true, false] {
            let caller = self.caller(cell.owners, opens, told)?;
            let security = &caller.route.treatment().security;
            for alternative in security.0.iter().chain([&none]) {
                let Some((witness, owned)) = self.ask(cell, &caller, (alternative, None)) else {
                    continue;
                };
                if !owned {
                    told.bugs.push(bug(&witness, &caller.route.operation.key));
                    return None;
                }
                let served = |outcome: &Outcome| matches!(outcome, Outcome::Served { .. });
                if witness.old == witness.new {
                    continue;
                }
                if served(&witness.old) && served(&witness.new) {
                    return Some(witness);
                }
                best = best.or(Some(witness));
            }
        }
        best
    }

    /// Returns the cell of these owners, or none if it has no requests.
    fn cell(&self, owners: [Owner; 2]) -> Option<Cell> {
        let bare = smallest(self.tables, owners, &Values::default())?;
        Some(Cell { owners, bare })
    }

    /// Addresses of the servers behind two routes: with names alone, an acknowledgement would cover
    /// another server.
    fn servers(&self, was: &Route<'_>, is: &Route<'_>) -> String {
        let sides = [self.sides.0, Some(self.sides.1)];
        let said = sides.into_iter().zip([was, is]).map(|(side, route)| {
            let name = &route.treatment().upstream;
            let upstream = side.and_then(|side| side.gateway.shared.upstreams.get(name));
            let written = upstream.map(bundle::codec::encode).unwrap_or_default();
            let digest = bundle::digest::Digest::of(&written).hex();
            format!("{} {digest}", route.requests())
        });
        said.collect::<Vec<_>>().join("; ")
    }

    fn push(
        &self,
        told: &mut Told,
        change: Change,
        route: &Route<'_>,
        witness: Option<Witness>,
        why_none: &'static str,
    ) {
        let mut change = about(change, route, self.place);
        let why_none = told.undecidable.take().unwrap_or(why_none);
        change.why_none = witness.is_none().then_some(why_none);
        change.witness = witness;
        told.changes.push(change);
    }

    /// Chooses whose credentials the witness carries. None if a side has settings that this version
    /// cannot run, because the engine's decision would then show nothing.
    fn caller(&self, owners: [Owner; 2], of_new: bool, told: &mut Told) -> Option<Caller<'_, 'a>> {
        told.undecidable = self.undecidable(owners);
        if told.undecidable.is_some() {
            return None;
        }
        let (route, side) = match (owners, of_new) {
            ([_, Owner::Route(route)], true) => (self.after(route), self.sides.1),
            ([Owner::Route(route), _], false) => (self.before(route), self.sides.0?),
            _ => return None,
        };
        // An address that both sides let through shows what else differs.
        let [before, after] = self.addresses(owners);
        let own = if of_new { &after } else { &before };
        let both = before.intersection(&after).example(OUTSIDER);
        let Some(client) = both.or_else(|| own.example(OUTSIDER)) else {
            told.undecidable = Some(NO_ADDRESS);
            return None;
        };
        Some(Caller {
            route,
            side,
            client: (client != OUTSIDER).then_some(client),
        })
    }

    fn undecidable(&self, owners: [Owner; 2]) -> Option<&'static str> {
        let of = |side: &Lowered, route: &Route<'_>| {
            let (treatment, listener) = (route.treatment(), &self.place.listener);
            let word = side.gateway.undecidable(route.api, treatment, listener);
            word.map(cannot_run)
        };
        let before = match (owners[0], self.sides.0) {
            (Owner::Route(route), Some(side)) => of(side, self.before(route)),
            _ => None,
        };
        before.or_else(|| match owners[1] {
            Owner::Route(route) => of(self.sides.1, self.after(route)),
            Owner::Nobody | Owner::Anyone => None,
        })
    }

    /// Smallest limit, of both sides, on the bytes of a request target at this listener.
    fn target_bytes_max(&self) -> u64 {
        let sides = self.sides.0.into_iter().chain([self.sides.1]);
        let limits = sides.filter_map(|side| {
            let listener = side.gateway.shared.listeners.get(&self.place.listener)?;
            Some(listener.limits.target_bytes)
        });
        limits.min().unwrap_or(u64::MAX)
    }

    /// Finds the smallest request of a cell with these credentials, and runs it through both
    /// engines. Returns the outcomes and true if both engines give it to these owners. None if no
    /// request of the cell can carry the credentials.
    fn ask(
        &self,
        cell: &Cell,
        caller: &Caller<'_, 'a>,
        (alternative, tokens): (&ir::Alternative, Option<&Tokens>),
    ) -> Option<(Witness, bool)> {
        let auth = &caller.side.gateway.shared.auth;
        let schemes = &caller.route.api.schemes;
        let (sent, credentials) = credentials((alternative, tokens), schemes, auth);
        // Credentials affect ownership only if a route has conditions.
        let found = if self.tables.iter().any(|table| table.conditioned) {
            smallest(self.tables, cell.owners, &sent)?
        } else {
            cell.bare.clone()
        };
        let mut values = found.values;
        values.headers.extend(sent.headers);
        values.query.extend(sent.query);
        let draft = Draft {
            listener: self.place.listener.clone(),
            host: self.place.host.clone(),
            method: found.method,
            path: found.path,
            values,
            peer: None,
            client: caller.client,
        };
        // No client can send a target this long, so its refusal shows nothing.
        if draft.target_bytes() as u64 > self.target_bytes_max() {
            return None;
        }
        let engines = [self.engines.old.as_ref(), Some(&self.engines.new)];
        let [(before, old), (after, new)] = engines.map(|engine| {
            let asked = engine.and_then(|engine| draft.ask(engine));
            asked.unwrap_or((None, Outcome::Nothing))
        });
        let new = if ids::falsifies() { old.clone() } else { new };
        let mut owned = [before, after]
            .into_iter()
            .zip(cell.owners)
            .zip(self.tables);
        let owned = owned.all(|((owns, owner), table)| match owner {
            Owner::Anyone => true,
            Owner::Nobody => owns.is_none(),
            Owner::Route(route) => {
                let route = &table.routes[route as usize];
                // The gateway refuses, instead of redirecting to, a path that could name a host.
                owns == Some(route.id()) || route.redirects() && owns.is_none()
            }
        });
        Some((draft.shown(credentials, old, new), owned))
    }
}

/// Reports a change that admits the same callers in another way: another verifier name, another
/// order, or a credential that the upstream newly receives or no longer receives.
fn restated((was, is): &(String, String)) -> Change {
    Change::new(
        Section::Policy,
        Class::Changed,
        "security-restated",
        "security",
        was.as_str().into(),
        is.as_str().into(),
    )
}

/// Completes a change with the operation and place of a route.
pub(super) fn about(change: Change, route: &Route<'_>, place: &Place) -> Change {
    let mut change = change.of(route.reference());
    change.places.insert(RequestPlace {
        listener: place.listener.clone(),
        hosts: route.mount.hosts.clone(),
        template: route.template.to_string(),
        requests: route.requests(),
    });
    change
}
