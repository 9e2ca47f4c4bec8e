//! Example requests of a cell (set of requests that the same routes handle): selection of the
//! caller, and search for requests that show a difference.

use std::net::IpAddr;

use bundle::ir;
use policy::Addresses;
use validator::example::Example;
use validator::example_response::ResponseExample;

use super::cell::{Cell, CellResults, Cells};
use super::{Owner, Route, smallest};
use crate::ask::OUTSIDER;
use crate::security::{Tokens, cannot_run};
use crate::values::Values;
use crate::witness::{Draft, bug, credentials, has_owners, lacks_roles};
use crate::{Outcome, Witness, ids};
use model::lower::Lowered;

/// Reason for a missing witness: the address filters refuse all addresses.
const NO_ADDRESS: &str = "the address filters refuse every client address";

/// Reason for a missing witness: a limit or check that has nothing to do with access refuses the
/// example.
const REFUSED: &str = "another policy refuses each example request";
/// Reason for a missing witness: the engines do not confirm the example.
const UNCONFIRMED: &str = "the engines do not confirm the example, which is a bug in gwc";

/// Request of a cell with its outcomes.
struct EvaluatedRequest {
    witness: Witness,
    /// True if the engines select the operations that the cell expects.
    owned: bool,
    /// True on a side if a policy of the operation refuses the request, and not the security
    /// requirement.
    refused: [bool; 2],
    /// True on a side if the gateway refuses the request as malformed or ambiguous.
    malformed: [bool; 2],
}

/// Side and route for which the credentials of a witness are built.
struct Caller<'r, 'a> {
    route: &'r Route<'a>,
    side: &'r Lowered,
    /// Address of the client, if an address filter decides. `None`: [`OUTSIDER`].
    client: Option<IpAddr>,
    /// Parameters and body of the request, if their check decides.
    message: Option<Example>,
    /// Response of the upstream, if its check decides.
    response: Option<ResponseExample>,
}

impl<'a> Cells<'_, 'a> {
    /// Finds a witness whose credentials satisfy one of these security alternatives, and that only
    /// one side admits: the new side if `opens` is true, otherwise the old side.
    pub(super) fn admitted_caller(
        &self,
        cell: &Cell,
        alternatives: &[(usize, Option<&Tokens>)],
        opens: bool,
        results: &mut CellResults,
    ) -> Option<Witness> {
        let caller = self.caller(cell.owners, opens, results)?;
        let security = &caller.route.treatment().security;
        let none = ir::Alternative::default();
        let mut is_refused = false;
        for (index, tokens) in alternatives {
            let alternative = security.0.get(*index).unwrap_or(&none);
            let Some(example) = self.ask(cell, &caller, (alternative, *tokens)) else {
                continue;
            };
            let EvaluatedRequest { witness, owned, .. } = example;
            let (inside, outside) = if opens {
                (&witness.new, &witness.old)
            } else {
                (&witness.old, &witness.new)
            };
            let served = |outcome: &Outcome| matches!(outcome, Outcome::Served { .. });
            if owned && served(inside) && !served(outside) {
                return Some(witness);
            }
            if owned && example.refused[usize::from(opens)] {
                is_refused = true;
                continue;
            }
            // The gateway refuses the path because of an escaped separator. Try the credentials of
            // the next alternative.
            if owned && example.malformed[usize::from(opens)] {
                continue;
            }
            // Both versions serve the request, so the request shows no difference. This is no bug
            // if the requirements differ in the sources of credentials or in claims. It is also no
            // bug if a requirement contains scopes or roles: the upstream may check the scopes, and
            // another credential of the caller may have the role.
            let agree = self.sources_differ(cell.owners) || self.asks_for_rights(cell.owners);
            // A witness has no certificate or signature of a consumer with roles.
            let is_unroled = lacks_roles(
                alternative,
                &caller.route.api.schemes,
                &caller.side.gateway.shared.auth,
            );
            // The certificate or signature may belong to another consumer than the key of the
            // witness.
            let has_owners = has_owners(
                alternative,
                &caller.route.api.schemes,
                &caller.side.gateway.shared.auth,
            );
            if owned && (served(inside) && agree || is_unroled || has_owners) {
                continue;
            }
            results
                .bugs
                .push(bug(&witness, &caller.route.operation.key));
            results.undecidable = Some(UNCONFIRMED);
            return None;
        }
        if is_refused {
            results.undecidable = Some(REFUSED);
        }
        None
    }

    /// Finds a witness from a client address that only one side admits: the new side if `opens` is
    /// true, otherwise the old side.
    pub(super) fn caller_from(
        &self,
        cell: &Cell,
        opens: bool,
        results: &mut CellResults,
    ) -> Option<Witness> {
        let mut caller = self.caller(cell.owners, opens, results)?;
        let [before, after] = self.addresses(cell.owners);
        let only = match opens {
            true => after.without(&before),
            false => before.without(&after),
        };
        caller.client = Some(only.example(OUTSIDER)?);
        self.served_on_one_side(cell, &caller, opens)
    }

    /// Finds a witness with a message that only one side admits: the new side if `opens` is true,
    /// otherwise the old side.
    pub(super) fn with_message(
        &self,
        cell: &Cell,
        (message, opens): (Example, bool),
        results: &mut CellResults,
    ) -> Option<Witness> {
        let mut caller = self.caller(cell.owners, opens, results)?;
        caller.message = Some(message);
        self.served_on_one_side(cell, &caller, opens)
    }

    /// Finds a witness whose response only one side passes to the client: the new side if `opens` is
    /// true, otherwise the old side. `message`: parameters and body of the request. `None`: neither
    /// side checks them.
    pub(super) fn with_response(
        &self,
        cell: &Cell,
        (message, response): (Option<Example>, ResponseExample),
        opens: bool,
        results: &mut CellResults,
    ) -> Option<Witness> {
        let mut caller = self.caller(cell.owners, opens, results)?;
        caller.message = message;
        caller.response = Some(response);
        self.served_on_one_side(cell, &caller, opens)
    }

    /// Finds a witness of the caller, with the credentials of one alternative, that only one side
    /// serves: the new side if `opens` is true, otherwise the old side.
    fn served_on_one_side(
        &self,
        cell: &Cell,
        caller: &Caller<'_, 'a>,
        opens: bool,
    ) -> Option<Witness> {
        let security = &caller.route.treatment().security;
        let none = ir::Alternative::default();
        let alternatives = security
            .0
            .iter()
            .chain(security.0.is_empty().then_some(&none));
        alternatives.into_iter().find_map(|alternative| {
            let EvaluatedRequest { witness, owned, .. } =
                self.ask(cell, caller, (alternative, None))?;
            let (inside, outside) = match opens {
                true => (&witness.new, &witness.old),
                false => (&witness.old, &witness.new),
            };
            let served = |outcome: &Outcome| matches!(outcome, Outcome::Served { .. });
            (owned && served(inside) && !served(outside)).then_some(witness)
        })
    }

    /// Returns the client addresses that each side admits. Returns all addresses if no route serves
    /// the requests.
    fn addresses(&self, owners: [Owner; 2]) -> [Addresses; 2] {
        let before = match owners[0] {
            Owner::Route(route) => self.pairs.before(self.before(route)).addresses(),
            Owner::Unserved | Owner::Refused(_) | Owner::Anyone => Addresses::all(),
        };
        let after = match owners[1] {
            Owner::Route(route) => self.pairs.after(self.after(route)).addresses(),
            Owner::Unserved | Owner::Refused(_) | Owner::Anyone => Addresses::all(),
        };
        [before, after]
    }

    /// True if the requirements differ in the sources of credentials, in claim names, or in
    /// requirements that no witness can show.
    fn sources_differ(&self, owners: [Owner; 2]) -> bool {
        let [Owner::Route(was), Owner::Route(is)] = owners else {
            return false;
        };
        let old = self.pairs.before(self.before(was));
        let new = self.pairs.after(self.after(is));
        old.who().sources() != new.who().sources() || old.who().unshown() != new.who().unshown()
    }

    /// True if a requirement of either side contains scopes or roles.
    fn asks_for_rights(&self, owners: [Owner; 2]) -> bool {
        owners.into_iter().zip(self.tables).any(|(owner, table)| {
            let Owner::Route(route) = owner else {
                return false;
            };
            let security = &table.routes[route as usize].treatment().security;
            let mut uses = security.uses();
            uses.any(|wanted| !wanted.scopes.is_empty() || !wanted.roles.is_empty())
        })
    }

    /// Finds a witness with different outcomes on the two sides, preferably a request that both
    /// sides serve.
    pub(super) fn differs(&self, cell: &Cell, results: &mut CellResults) -> Option<Witness> {
        let none = ir::Alternative::default();
        let mut best: Option<Witness> = None;
        for opens in [true, false] {
            let caller = self.caller(cell.owners, opens, results)?;
            let security = &caller.route.treatment().security;
            for alternative in security.0.iter().chain([&none]) {
                let Some(example) = self.ask(cell, &caller, (alternative, None)) else {
                    continue;
                };
                let EvaluatedRequest { witness, owned, .. } = example;
                if !owned {
                    results
                        .bugs
                        .push(bug(&witness, &caller.route.operation.key));
                    results.undecidable = Some(UNCONFIRMED);
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

    /// Selects the side for which the credentials of the witness are built. `None` if a side has
    /// policies that gwc cannot run, because the engine then cannot decide the request.
    fn caller(
        &self,
        owners: [Owner; 2],
        of_new: bool,
        results: &mut CellResults,
    ) -> Option<Caller<'_, 'a>> {
        results.undecidable = self.undecidable(owners);
        if results.undecidable.is_some() {
            return None;
        }
        let (route, side) = match (owners, of_new) {
            ([_, Owner::Route(route)], true) => (self.after(route), self.sides.1),
            ([Owner::Route(route), _], false) => (self.before(route), self.sides.0?),
            _ => return None,
        };
        // Prefer an address that both sides admit, so that the witness shows another difference.
        let [before, after] = self.addresses(owners);
        let own = if of_new { &after } else { &before };
        let both = before.intersection(&after).example(OUTSIDER);
        let Some(client) = both.or_else(|| own.example(OUTSIDER)) else {
            results.undecidable = Some(NO_ADDRESS);
            return None;
        };
        Some(Caller {
            route,
            side,
            client: (client != OUTSIDER).then_some(client),
            message: None,
            response: None,
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
            Owner::Unserved | Owner::Refused(_) | Owner::Anyone => None,
        })
    }

    /// Limit on the length of a request target at this listener, in bytes: the smaller limit of the
    /// two sides.
    fn target_bytes_max(&self) -> u64 {
        let sides = self.sides.0.into_iter().chain([self.sides.1]);
        let limits = sides.filter_map(|side| {
            let listener = side.gateway.shared.listeners.get(&self.place.listener)?;
            Some(listener.limits.target_bytes)
        });
        limits.min().unwrap_or(u64::MAX)
    }

    /// Finds the smallest request of a cell with these credentials and evaluates it with the old
    /// and the new engine. `None` if no request of the cell can carry the credentials, or if the
    /// listener would refuse or rewrite the request.
    fn ask(
        &self,
        cell: &Cell,
        caller: &Caller<'_, 'a>,
        (alternative, tokens): (&ir::Alternative, Option<&Tokens>),
    ) -> Option<EvaluatedRequest> {
        let shared = &caller.side.gateway.shared;
        let schemes = &caller.route.api.schemes;
        let (sent, credentials) = credentials((alternative, tokens), schemes, shared);
        // Credentials affect ownership only through conditions of routes.
        let is_conditioned = self.tables.iter().any(|table| table.conditioned);
        let found = if is_conditioned && !cell.has_fixed_path {
            smallest(self.tables, cell.owners, &sent)?
        } else {
            cell.bare.clone()
        };
        let mut values = found.values.clone();
        values.headers.extend(sent.headers);
        values.query.extend(sent.query);
        values.certificates = sent.certificates;
        let mut path = found.path.clone();
        let mut body = None;
        if let Some(message) = &caller.message {
            let base = caller.route.mount.base_path.len();
            path = with_parameters(&path, &caller.route.operation.template, base, message)?;
            add(&mut values, message);
            let text = message.body.as_ref().map(|(_, text)| text.clone());
            body = Some(text.unwrap_or_default());
        }
        let draft = Draft {
            path,
            values,
            client: caller.client,
            body,
            response: caller.response.clone(),
            ..found.draft(self.place)
        };
        // The listener refuses such a long target, so the outcome would show nothing.
        if draft.target_bytes() as u64 > self.target_bytes_max() {
            return None;
        }
        let engines = [self.engines.old.as_ref(), Some(&self.engines.new)];
        let mut known = engines.into_iter().flatten();
        if known.any(|engine| draft.is_too_large(engine)) {
            return None;
        }
        let [(before, old), (after, new)] = engines.map(|engine| {
            let outcome = engine.and_then(|engine| draft.ask(engine));
            outcome.unwrap_or((None, Outcome::Nothing))
        });
        let new = if ids::falsifies() { old.clone() } else { new };
        let selected = [before, after];
        if draft.path.contains("//") && self.is_merged(&selected) {
            return None;
        }
        let owned = self.are_owners(cell.owners, selected, &draft);
        let refused = engines.map(|engine| engine.is_some_and(|engine| draft.is_limited(engine)));
        let malformed =
            engines.map(|engine| engine.is_some_and(|engine| draft.is_malformed(engine)));
        let witness = draft.shown(credentials, old, new);
        Some(EvaluatedRequest {
            witness,
            owned,
            refused,
            malformed,
        })
    }

    /// True if both engines select the operations that a cell expects. `selected` are the routes
    /// that the engines selected for the request.
    fn are_owners(&self, owners: [Owner; 2], selected: [Option<String>; 2], draft: &Draft) -> bool {
        let mut sides = selected
            .into_iter()
            .zip(owners)
            .zip(self.tables)
            .enumerate();
        sides.all(|(side, ((selected, owner), table))| match owner {
            Owner::Anyone => true,
            Owner::Unserved | Owner::Refused(_) => {
                selected.is_none() || self.engines.refuses_path(side, draft)
            }
            Owner::Route(route) => {
                let route = &table.routes[route as usize];
                // The gateway refuses to redirect to a path that could be read as a host
                // (`//host`).
                selected == Some(route.id()) || route.redirects() && selected.is_none()
            }
        })
    }

    /// True if a side selects a route for another path than the request has, because its listener
    /// merges slashes.
    fn is_merged(&self, selected: &[Option<String>; 2]) -> bool {
        let sides = [self.sides.0, Some(self.sides.1)].into_iter().zip(selected);
        let mut merging =
            sides.filter(|(side, _)| side.is_some_and(|side| self.place.merges_slashes(side)));
        merging.any(|(_, selected)| selected.is_some())
    }
}

/// Replaces the parameter values in a request path by the values of a message. `None` if the
/// message has another number of path values.
fn with_parameters(
    path: &str,
    template: &ir::Template,
    base: usize,
    message: &Example,
) -> Option<String> {
    let bound = template.bind(path, base);
    if message.path.is_empty() {
        return Some(path.to_owned());
    }
    if bound.len() != message.path.len() {
        return None;
    }
    let mut path = path.to_owned();
    for ((_, range), value) in bound.iter().zip(&message.path).rev() {
        path.replace_range(range.clone(), value);
    }
    Some(path)
}

/// Adds query parameters, header fields and the media type of a message. All cookies form one
/// field.
fn add(values: &mut Values, message: &Example) {
    values.query.extend(message.query.iter().cloned());
    for (name, value) in &message.headers {
        let mut fields = values.headers.iter_mut();
        match fields.find(|(known, _)| name == "cookie" && known == name) {
            Some((_, cookies)) => *cookies = format!("{cookies}; {value}"),
            None => values.headers.push((name.clone(), value.clone())),
        }
    }
    if let Some((media_type, _)) = &message.body {
        let field = ("content-type".to_owned(), media_type.clone());
        values.headers.push(field);
    }
}
