//! Comparison of the peers that may connect to a listener: all peers or, with `proxy_protocol`,
//! only the peers in `proxy_protocol.from`.

use bundle::ir;

use super::Engines;
use super::search::{Owner, Table, smallest};
use super::table::{Mounted, places, routes};
use crate::pairs::listeners;
use crate::security::gateway::{Peers, peers};
use crate::values::Values;
use crate::witness::{Draft, credentials};
use crate::{Change, Class, Outcome, Plan, Section, Witness};
use model::lower::Lowered;

/// Reason for a missing witness: the listener serves no operation.
const NO_OPERATION: &str = "the listener serves no operation";

/// Listener whose set of admitted peers differs.
pub(super) struct Changed<'a> {
    name: &'a str,
    peers: Peers,
}

impl<'a> Changed<'a> {
    /// Finds the listeners of both sides whose admitted peers differ.
    pub(super) fn of(was: Option<&'a Lowered>, is: &'a Lowered) -> Vec<Self> {
        let Some(was) = was else { return Vec::new() };
        let all = listeners(&was.gateway, &is.gateway).into_iter();
        let changed = all.filter_map(|(old, new)| {
            let (old, new) = (old?, new?);
            let peers = peers(old, new)?;
            let name = new.name.as_str();
            // A witness names one listener, so compare only listeners with the same name.
            (old.name == new.name).then_some(Self { name, peers })
        });
        changed.collect()
    }

    pub(super) fn compare(
        &self,
        (was, is): (Option<&Lowered>, &Lowered),
        engines: &Engines,
        plan: &mut Plan,
    ) {
        if let Some(peer) = self.peers.admitted {
            let class = match is_open(is, self.name) {
                true => Class::Weaken,
                false => Class::Expose,
            };
            let change = self.change(Section::Security, class, "peers-admitted");
            self.push(change, self.witness(is, peer, engines), plan);
        }
        if let (Some(peer), Some(was)) = (self.peers.refused, was) {
            let change = self.change(Section::Routing, Class::Removed, "peers-refused");
            self.push(change, self.witness(was, peer, engines), plan);
        }
    }

    fn change(&self, section: Section, class: Class, id: &'static str) -> Change {
        let subject = format!("listener {} proxy_protocol", self.name);
        let (old, new) = (self.peers.old.as_str(), self.peers.new.as_str());
        Change::new(section, class, id, subject, old.into(), new.into())
    }

    fn push(&self, mut change: Change, witness: Option<Witness>, plan: &mut Plan) {
        let closed = |witness: &Witness| {
            [&witness.old, &witness.new]
                .into_iter()
                .filter(|outcome| **outcome == Outcome::Closed)
                .count()
        };
        if let Some(witness) = witness.as_ref().filter(|witness| closed(witness) != 1) {
            plan.bugs.push(format!(
                "the example request `{} {}` does not show that the listener `{}` admits other peers",
                witness.method, witness.url, self.name
            ));
        }
        change.why_none = witness.is_none().then_some(NO_OPERATION);
        change.witness = witness;
        plan.changes.push(change);
    }

    /// Finds the smallest request to the listener on one side. Prefers a request to an open
    /// operation.
    fn witness(
        &self,
        side: &Lowered,
        peer: std::net::IpAddr,
        engines: &Engines,
    ) -> Option<Witness> {
        let mut best: Option<(bool, usize, Draft, Vec<_>)> = None;
        let mounted = Mounted::of(side);
        let places = places(&[side]).into_iter();
        for place in places.filter(|place| place.listener == self.name) {
            let owners = mounted.owners(&place);
            let merges = place.merges_slashes(side);
            let routes = routes(owners, Some(&side.gateway.shared.auth), merges);
            let table = Table::alone(&routes);
            let serving = routes.iter().zip(0u32..);
            for (route, at) in serving.filter(|(route, _)| route.serves) {
                let security = &route.treatment().security;
                let closed = !security.admits_anyone();
                let known = best.as_ref().is_some_and(|(other, ..)| *other <= closed);
                if known {
                    continue;
                }
                let wanted = [Owner::Anyone, Owner::Route(at)];
                let Some(found) = smallest([&table, &table], wanted, &Values::default()) else {
                    continue;
                };
                let first = security.0.first().cloned().unwrap_or_default();
                let alternative = if closed {
                    first
                } else {
                    ir::Alternative::default()
                };
                let shared = &side.gateway.shared;
                let (sent, shown) = credentials((&alternative, None), &route.api.schemes, shared);
                let mut values = found.values;
                values.headers.extend(sent.headers);
                values.query.extend(sent.query);
                values.certificates = sent.certificates;
                let draft = Draft {
                    listener: place.listener.clone(),
                    host: place.host.clone(),
                    method: found.method,
                    path: found.path,
                    values,
                    peer: Some(peer),
                    client: None,
                    body: None,
                    response: None,
                };
                best = Some((closed, draft.target_bytes(), draft, shown));
            }
        }
        let (_, _, draft, shown) = best?;
        let old = engines.old.as_ref().and_then(|old| draft.ask(old));
        let new = draft.ask(&engines.new);
        let outcome = |answer: Option<(Option<String>, Outcome)>| {
            answer.map_or(Outcome::Nothing, |(_, outcome)| outcome)
        };
        Some(draft.shown(shown, outcome(old), outcome(new)))
    }
}

/// True if at least one operation at a listener is open to everyone.
fn is_open(side: &Lowered, listener: &str) -> bool {
    let apis = side.gateway.apis.iter();
    let mut reached = apis.filter(|api| {
        let mut mounts = api.mounts.iter();
        mounts.any(|mount| mount.listeners.iter().any(|name| name == listener))
    });
    reached.any(|api| {
        let mut treatments = api.treatments.iter();
        treatments.any(|treatment| treatment.security.admits_anyone())
    })
}
