//! Access settings at the level of the gateway: peers that may report client addresses, protection
//! of connections, requirements on all documents, and destinations of secrets.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use bundle::ir::{self, Cidr, Named};
use policy::auth;
use policy::declared::{Scalar, Settings, Value as Written};
use policy::{Addresses, SecretRef};
use serde_json::Value;

use super::covers::covers;
use super::transport::{self, Found, UNSHOWN};
use super::{Access, certificate, from, reads};
use crate::ask::OUTSIDER;
use crate::pairs::{both, listeners, reference as reference_of};
use crate::{Change, Class, Plan, Section};

/// Compares two gateways. In a first release every secret is new.
pub(crate) fn compare(old: Option<&ir::Gateway>, new: &ir::Gateway, plan: &mut Plan) {
    secrets(old, new, plan);
    let Some(old) = old else { return };
    let (was, is) = (&old.shared, &new.shared);
    let pairs = listeners(old, new);
    for (was, is) in pairs.iter().copied() {
        let mut found = proxies(was, is);
        if let (Some(was), Some(is)) = (was, is) {
            let reads = certificate::is_read(old);
            found.extend(transport::listener(was, is, reads));
            own_addresses(new, was, is, plan);
        }
        push(found, plan);
    }
    for (api, operation, found) in from::newly_reachable((old, new), &pairs, plan) {
        let changes = found.into_iter().map(change);
        let changes = changes.map(|change| change.of(reference_of(api, operation)));
        plan.changes.extend(changes);
    }
    reads::newly_spelled((old, new), plan);
    for (_, was, is) in both(&was.upstreams, &is.upstreams) {
        if let (Some(was), Some(is)) = (was, is) {
            push(transport::upstream(was, is), plan);
        }
    }
    let before = plan.changes.len();
    push(required(&was.required, &is.required), plan);
    for change in &mut plan.changes[before..] {
        if let ("required-policy-dropped", Some(name)) = (change.id, change.old.as_str()) {
            change.bound = without(new, name);
        }
    }
}

/// Names the operations whose chain does not contain a policy.
fn without(gateway: &ir::Gateway, policy: &str) -> String {
    let all = gateway.apis.iter().flat_map(|api| {
        let lacks = |operation: &&ir::Operation| {
            let chain = &api.treatments[operation.treatment as usize].chain;
            !chain.iter().any(|link| match link {
                ir::Link::Authenticate => false,
                ir::Link::Shared(name) | ir::Link::Own(name) => name == policy,
            })
        };
        api.operations.iter().filter(lacks)
    });
    let keys: Vec<&str> = all.map(|operation| operation.key.as_str()).collect();
    keys.join(" ")
}

fn push(found: Vec<Found>, plan: &mut Plan) {
    plan.changes.extend(found.into_iter().map(change));
}

/// Line about a difference, without operations.
fn change(one: Found) -> Change {
    let Found {
        subject,
        class,
        id,
        old,
        new,
    } = one;
    let shown = |text: Option<String>| text.map_or(Value::Null, Value::from);
    let section = match (is_of_documents(id), class) {
        (true, _) => Section::Rules,
        (false, Class::Relax) => Section::Policy,
        (false, _) => Section::Security,
    };
    let mut change = Change::new(section, class, id, subject, shown(old), shown(new));
    change.why_none = Some(match is_of_documents(id) {
        true => "the change affects only what documents may contain, which no request can show",
        false => UNSHOWN,
    });
    change
}

fn is_of_documents(id: &str) -> bool {
    id.starts_with("required-") || id == "allow-public-changed"
}

/// Range of peers whose `X-Forwarded-For` is trusted, with the name of the setting that trusts the
/// range.
type TrustedRange = (&'static str, Cidr);

/// Compares the peers that may report client addresses, separately for each setting. A client that
/// a PROXY header names is no forwarding proxy. A new range within a trusted range of the same
/// setting is not a difference.
pub(super) fn proxies(old: Option<&ir::Listener>, new: Option<&ir::Listener>) -> Vec<Found> {
    let name = new.or(old).map_or("", Named::name);
    let (before, after) = (trusted_ranges(old), trusted_ranges(new));
    let (all_before, all_after) = (trusted(old), trusted(new));
    let of_key = |key: &str, all: &'_ [Addresses; 2]| match key {
        "trusted_proxies" => all[0].clone(),
        _ => all[1].clone(),
    };
    let outside = |(key, range): &&TrustedRange, other: &[Addresses; 2]| {
        !Addresses::of([range]).is_within(&of_key(key, other))
    };
    let subject = |key: &str| format!("listener {name} {key}");
    // Report only the part of a range that the other side does not trust.
    let changed_part = |range: &Cidr, other: &Addresses| {
        let part = Addresses::of([range]).without(other).ranges();
        match part.as_slice() {
            [one] if one == range => range.to_string(),
            part => {
                let shown: Vec<String> = part
                    .iter()
                    .take(PARTS_MAX)
                    .map(ToString::to_string)
                    .collect();
                let more = if part.len() > PARTS_MAX { ", …" } else { "" };
                format!("{}{more} of {range}", shown.join(", "))
            }
        }
    };
    let mut found = Vec::new();
    for (key, range) in after.iter().filter(|one| outside(one, &all_before)) {
        found.push(Found {
            subject: subject(key),
            class: Class::Weaken,
            id: "trusted-proxy-added",
            old: None,
            new: Some(changed_part(range, &of_key(key, &all_before))),
        });
    }
    // Another comparison reports a removed listener, so do not report the ranges that it trusted.
    let (Some(_), Some(_)) = (old, new) else {
        return found;
    };
    for (key, range) in before.iter().filter(|one| outside(one, &all_after)) {
        found.push(Found {
            subject: subject(key),
            // Policies, services and upstreams read the proxy's own address, host and scheme
            // instead of those that it asserts.
            class: match *key {
                "trusted_proxies" => Class::Incomparable,
                _ => Class::Strengthen,
            },
            id: "trusted-proxy-removed",
            old: Some(changed_part(range, &of_key(key, &all_after))),
            new: None,
        });
    }
    found.extend(transport::forwarding_fields(old, new));
    let shown = |list: &[TrustedRange]| {
        let all = list.iter().map(|(key, range)| format!("{key} {range}"));
        Some(all.collect::<Vec<_>>().join(", "))
    };
    if found.is_empty() && before != after {
        found.push(Found {
            subject: subject("trusted_proxies"),
            class: Class::Changed,
            id: "trusted-proxies-restated",
            old: shown(&before),
            new: shown(&after),
        });
    }
    found
}

/// Maximum number of address ranges that are listed if only a part of a range changed.
const PARTS_MAX: usize = 8;

/// Reports operations with an address filter that now checks the address of a proxy instead of the
/// client's address. The proxy is no longer trusted. A filter that admits the proxy then admits all
/// clients that connect through the proxy.
fn own_addresses(gateway: &ir::Gateway, old: &ir::Listener, new: &ir::Listener, plan: &mut Plan) {
    let (before, after) = (trusted(Some(old)), trusted(Some(new)));
    let gone = before.iter().zip(&after).map(|(was, is)| was.without(is));
    let gone = Addresses::of(&gone.flat_map(|gone| gone.ranges()).collect::<Vec<_>>());
    if gone.is_empty() {
        return;
    }
    let identities = ir::IdentityFields::of_gateway(gateway);
    for api in &gateway.apis {
        for operation in &api.operations {
            let mut mounts = api.mounts.iter();
            let Some(mount) = mounts.find(|mount| mount.listeners.contains(&new.name)) else {
                continue;
            };
            let access = Access::of(gateway, (api, mount), operation, &new.name, &identities);
            // A service of `forward_auth` or `ext_proc` receives the address and decides by rules
            // that are not known here.
            let asks = ["forward_auth", "ext_proc"];
            let asks = asks.iter().any(|kind| !access.policies(kind).is_empty());
            // gwc does not know the addresses in `deny_file` and `allow_file`.
            let filters = access.policies("ip_filter");
            let has_file = |(_, settings): &(&str, Settings)| {
                settings.has(&["deny_file"]) || settings.has(&["allow_file"])
            };
            let asks = asks || filters.iter().any(has_file);
            let filtered = access.filtered();
            let filtered = filtered.filter(|filtered| !Addresses::all().is_within(filtered));
            let admitted = filtered
                .as_ref()
                .map(|filtered| gone.intersection(filtered));
            let class = match admitted {
                Some(admitted) if !admitted.is_empty() => Class::Weaken,
                None if !asks => continue,
                _ if asks => Class::Incomparable,
                Some(_) | None => Class::Strengthen,
            };
            let ranges: Vec<String> = gone
                .ranges()
                .iter()
                .take(PARTS_MAX)
                .map(ToString::to_string)
                .collect();
            let mut change = Change::new(
                Section::Security,
                class,
                "client-address-changed",
                format!("from, at listener {}", new.name),
                format!(
                    "client addresses that {} report are used",
                    ranges.join(", ")
                )
                .into(),
                "the address of the proxy itself is used as the client address".into(),
            );
            change.why_none = Some("the same request has another client address on each side");
            change.bound = format!("{gone:?} {filtered:?}");
            plan.changes.push(change.of(reference_of(api, operation)));
        }
    }
}

/// Peers that may connect on one side only, with an example of each kind, and both sets for
/// display.
#[derive(Debug)]
pub(crate) struct Peers {
    /// A peer that only the new side admits. `None`: there is no such peer.
    pub(crate) admitted: Option<IpAddr>,
    /// A peer that only the old side admits. `None`: there is no such peer.
    pub(crate) refused: Option<IpAddr>,
    /// Peers that may connect to the listener on the old side, for display: `every peer`, or
    /// address ranges separated by commas.
    pub(crate) old: String,
    /// Peers that may connect on the new side, in the same form.
    pub(crate) new: String,
}

/// Compares the peers that may connect to a listener: all peers or, with `proxy_protocol`, only the
/// peers in `proxy_protocol.from`.
pub(crate) fn peers(old: &ir::Listener, new: &ir::Listener) -> Option<Peers> {
    let admitted = |listener: &ir::Listener| match &listener.proxy_protocol {
        None => (Addresses::all(), "every peer".to_owned()),
        Some(header) => {
            let ranges: Vec<String> = header.from.iter().map(Cidr::to_string).collect();
            (Addresses::of(&header.from), ranges.join(", "))
        }
    };
    let ((was, before), (is, after)) = (admitted(old), admitted(new));
    let peers = Peers {
        admitted: is.without(&was).example(OUTSIDER),
        refused: was.without(&is).example(OUTSIDER),
        old: before,
        new: after,
    };
    (peers.admitted.is_some() || peers.refused.is_some()).then_some(peers)
}

/// Peers whose `X-Forwarded-For` is trusted, and peers whose PROXY header is trusted.
pub(super) fn trusted(listener: Option<&ir::Listener>) -> [Addresses; 2] {
    let ranges = trusted_ranges(listener);
    ["trusted_proxies", "proxy_protocol.from"].map(|key| {
        let own = ranges.iter().filter(|(other, _)| *other == key);
        Addresses::of(own.map(|(_, range)| range))
    })
}

fn trusted_ranges(listener: Option<&ir::Listener>) -> Vec<TrustedRange> {
    let Some(listener) = listener else {
        return Vec::new();
    };
    let trusted = listener.trusted_proxies.iter();
    let trusted = trusted.map(|range| ("trusted_proxies", *range));
    let shown = listener.proxy_protocol.iter();
    let shown = shown.flat_map(|header| &header.from);
    trusted
        .chain(shown.map(|range| ("proxy_protocol.from", *range)))
        .collect()
}

/// Compares the requirements on all documents, and the operations that may be public.
fn required(old: &Settings, new: &Settings) -> Vec<Found> {
    let names = |settings: &Settings, key: &str| -> BTreeSet<String> {
        let names = settings.texts(&[key]).unwrap_or_default();
        names.into_iter().map(str::to_owned).collect()
    };
    let mut found = Vec::new();
    let mut add = |key: &str, name: &str, class, id, gone: bool| {
        found.push(Found {
            subject: format!("required {key} {name}"),
            class,
            id,
            old: gone.then(|| name.to_owned()),
            new: (!gone).then(|| name.to_owned()),
        });
    };
    let (was, is) = (names(old, "policies"), names(new, "policies"));
    for name in was.difference(&is) {
        add(
            "policies",
            name,
            Class::Weaken,
            "required-policy-dropped",
            true,
        );
    }
    for name in is.difference(&was) {
        add(
            "policies",
            name,
            Class::Strengthen,
            "required-policy-added",
            false,
        );
    }
    // A document must use one of the listed verifiers, so each additional verifier admits more
    // callers. Without a list there is no such requirement, so the first listed verifier restricts
    // access.
    let (was, is) = (names(old, "auth"), names(new, "auth"));
    let (dropped, added) = match was.is_empty() || is.is_empty() {
        true => (Class::Weaken, Class::Strengthen),
        false => (Class::Strengthen, Class::Weaken),
    };
    for name in was.difference(&is) {
        add("auth", name, dropped, "required-auth-dropped", true);
    }
    for name in is.difference(&was) {
        add("auth", name, added, "required-auth-added", false);
    }
    found.extend(public(old, new));
    found
}

/// Compares the operations that may be public. Default: all.
fn public(old: &Settings, new: &Settings) -> Option<Found> {
    let patterns = |settings: &Settings| -> Option<Vec<String>> {
        let patterns = settings.texts(&["allow_public"])?;
        Some(patterns.into_iter().map(str::to_owned).collect())
    };
    let (was, is) = (patterns(old), patterns(new));
    let within = |a: &Option<Vec<String>>, b: &Option<Vec<String>>| match (a, b) {
        (_, None) => true,
        (None, Some(wider)) => wider.iter().any(|pattern| pattern == "*"),
        (Some(own), Some(wider)) => own
            .iter()
            .all(|own| wider.iter().any(|wider| covers(wider, own))),
    };
    let class = match (within(&was, &is), within(&is, &was)) {
        (true, true) if was == is => return None,
        (true, true) => Class::Changed,
        (true, false) => Class::Weaken,
        (false, true) => Class::Strengthen,
        (false, false) => Class::Incomparable,
    };
    let shown = |list: Option<Vec<String>>| match list {
        None => Some("every operation".to_owned()),
        Some(list) => Some(list.join(", ")),
    };
    Some(Found {
        subject: "required allow_public".into(),
        class,
        id: "allow-public-changed",
        old: shown(was),
        new: shown(is),
    })
}

/// Flow of a secret: the definition, the path of the field, and the reference.
type Flow = (String, String, SecretRef);

/// Reports every secret reference in a field of the new gateway that is not in the same field of
/// the old gateway. In a first release, all references are reported. Also counts the references
/// that both sides have.
fn secrets(old: Option<&ir::Gateway>, new: &ir::Gateway, plan: &mut Plan) {
    let before: BTreeSet<Flow> = old.into_iter().flat_map(flows).collect();
    let (known, added): (Vec<Flow>, Vec<Flow>) = flows(new)
        .into_iter()
        .partition(|flow| before.contains(flow));
    let leaving = SecretFlows::of(old, new);
    for flow in added {
        let (subject, path, reference) = &flow;
        // A first release has no old side to compare with.
        let class = match old.is_some() && leaving.is_new(&flow) {
            true => Class::Weaken,
            false => Class::Changed,
        };
        let subject = format!("{subject} {path}");
        let mut change = Change::new(
            Section::Security,
            class,
            "secret-flow-added",
            subject.trim_start(),
            Value::Null,
            reference.to_string().into(),
        );
        change.why_none = Some(NO_SECRET);
        change.bound = leaving.ends(&flow, new);
        plan.changes.push(change);
    }
    if old.is_some() {
        new_places(new, &before, &leaving, plan);
    }
    match known.len() {
        0 => {}
        1 => plan
            .notes
            .push("1 secret or file that gwd reads at load time is not compared".to_owned()),
        many => plan.notes.push(format!(
            "{many} secrets or files that gwd reads at load time are not compared"
        )),
    }
}

/// Reason for a missing witness: requests do not show from which source a secret comes.
const NO_SECRET: &str = "no request can show where a secret comes from";

/// Flow of a secret, with a destination that receives the secret: the upstream and one of its
/// hosts.
type Reach = (Flow, String, String);

/// Secret at a destination: path of the field, reference, host.
type End = (String, SecretRef, String);

/// Secrets that leave the gateway in message fields.
struct SecretFlows {
    before: BTreeSet<End>,
    /// Destinations of each flow on the new side.
    after: BTreeMap<Flow, BTreeSet<End>>,
    /// Upstreams of the new side that receive the secret of each flow.
    upstreams: BTreeMap<Flow, BTreeSet<String>>,
}

impl SecretFlows {
    fn of(old: Option<&ir::Gateway>, new: &ir::Gateway) -> Self {
        let each = |gateway: &'_ ir::Gateway| -> Vec<Reach> {
            let treatments = gateway
                .apis
                .iter()
                .flat_map(|api| api.treatments.iter().map(move |treatment| (api, treatment)));
            treatments
                .flat_map(|(api, treatment)| reaches(gateway, api, treatment))
                .collect()
        };
        let before = old.into_iter().flat_map(each);
        let mut after: BTreeMap<Flow, BTreeSet<End>> = BTreeMap::new();
        let mut upstreams: BTreeMap<Flow, BTreeSet<String>> = BTreeMap::new();
        for reach in each(new) {
            let flow = reach.0.clone();
            let named = upstreams.entry(flow.clone()).or_default();
            named.extend(upstream_of(&reach).map(str::to_owned));
            after.entry(flow).or_default().insert(end(reach));
        }
        Self {
            before: before.map(end).collect(),
            after,
            upstreams,
        }
    }

    /// True if a flow has a destination that did not receive the secret in this field before.
    fn is_new(&self, flow: &Flow) -> bool {
        let ends = self.after.get(flow);
        ends.is_some_and(|ends| !ends.is_subset(&self.before))
    }

    /// All hosts of a flow and a digest of its upstreams, for fingerprints.
    fn ends(&self, flow: &Flow, new: &ir::Gateway) -> String {
        let ends = self.after.get(flow).into_iter().flatten();
        let hosts: BTreeSet<&str> = ends.map(|(_, _, host)| host.as_str()).collect();
        let names = self
            .upstreams
            .get(flow)
            .into_iter()
            .flatten()
            .map(String::as_str);
        let defined = super::defined(&new.shared, names);
        hosts.into_iter().collect::<Vec<_>>().join(" ") + &defined
    }
}

/// Name of the upstream that receives a secret. `None` if clients receive it.
fn upstream_of((_, place, _): &Reach) -> Option<&str> {
    place.strip_prefix("upstream ")
}

fn end(((_, path, reference), _, host): Reach) -> End {
    (path, reference, host)
}

/// Reports known secrets in request fields that reach a new host because the chain, the upstream or
/// the targets of an operation changed. New references to secrets are reported separately.
fn new_places(new: &ir::Gateway, known: &BTreeSet<Flow>, leaving: &SecretFlows, plan: &mut Plan) {
    for api in &new.apis {
        let each = api.treatments.iter();
        let added: Vec<Vec<Reach>> = each
            .map(|treatment| {
                let mut all = reaches(new, api, treatment);
                all.retain(|reach| {
                    known.contains(&reach.0) && !leaving.before.contains(&end(reach.clone()))
                });
                all
            })
            .collect();
        for operation in &api.operations {
            for reach in &added[operation.treatment as usize] {
                let ((subject, path, reference), upstream, host) = reach;
                let mut change = Change::new(
                    Section::Security,
                    Class::Weaken,
                    "secret-flow-added",
                    format!("{subject} {path}"),
                    Value::Null,
                    format!("{reference} to {upstream}, {host}").into(),
                );
                change.why_none = Some(NO_SECRET);
                change.bound = super::defined(&new.shared, upstream_of(reach));
                plan.changes.push(change.of(reference_of(api, operation)));
            }
        }
    }
}

/// Destinations of the secrets in messages of an operation treatment: hosts of upstreams, or
/// clients.
fn reaches(gateway: &ir::Gateway, api: &ir::Api, treatment: &ir::Treatment) -> Vec<Reach> {
    let policies = treatment.chain.iter().filter_map(|link| match link {
        ir::Link::Authenticate => None,
        ir::Link::Shared(name) => Some((name.clone(), gateway.shared.policies.get(name)?)),
        ir::Link::Own(name) => Some((format!("{}/{name}", api.name), api.policies.get(name)?)),
    });
    let (mut sent, mut answered): (Vec<Flow>, Vec<Flow>) = Default::default();
    let mut upstreams = BTreeSet::from([treatment.upstream.clone()]);
    upstreams.extend(named(&treatment.settings()));
    for (name, policy) in policies {
        let settings = policy.checked.settings();
        match policy.checked.kind() {
            "headers" => {
                for (path, reference) in settings.secrets() {
                    let flows = match path.first().is_some_and(|key| key == "request") {
                        true => &mut sent,
                        false => &mut answered,
                    };
                    flows.push((format!("policy {name}"), path.join("."), reference.clone()));
                }
            }
            "split" | "mirror" => upstreams.extend(named(&settings)),
            _ => {}
        }
    }
    let upstreams = upstreams
        .iter()
        .filter_map(|name| gateway.shared.upstreams.get(name));
    let ends: Vec<(&str, String)> = upstreams
        .flat_map(|one| hosts(one).into_iter().map(|host| (one.name.as_str(), host)))
        .collect();
    let all = sent.iter().flat_map(|flow| {
        let ends = ends.iter();
        ends.map(|(name, host)| (flow.clone(), format!("upstream {name}"), host.clone()))
    });
    let clients = answered
        .into_iter()
        .map(|flow| (flow, "clients".to_owned(), "in responses".to_owned()));
    all.chain(clients)
        .chain(proofs(gateway, api, treatment))
        .collect()
}

/// Secrets with which the gateway identifies itself to the endpoints of verifiers that a treatment
/// requires, such as `client_secret` of token introspection.
fn proofs(gateway: &ir::Gateway, api: &ir::Api, treatment: &ir::Treatment) -> Vec<Reach> {
    let wanted = treatment.security.0.iter();
    let wanted = wanted.flat_map(|alternative| &alternative.0);
    let schemes = wanted.filter_map(|wanted| api.schemes.get(&wanted.scheme));
    let mut all = Vec::new();
    for verifier in schemes.flat_map(|scheme| super::verifiers_of(&gateway.shared, scheme)) {
        let (subject, checked) = (format!("auth {}", verifier.name), &verifier.checked);
        let settings = checked.settings();
        let end = match checked {
            auth::Checked::Oidc(login) => login.token_origin(),
            other => other.origins().pop(),
        };
        let end = end.or_else(|| {
            let keys = ["url", "issuer"].iter();
            let mut urls = keys.filter_map(|key| settings.text(&[*key]));
            urls.next().map(str::to_owned)
        });
        let Some(end) = end else { continue };
        let upstream = gateway.shared.upstreams.get(&end);
        let hosts = upstream.map_or_else(|| vec![end.clone()], hosts);
        let sent = settings.secrets();
        for (path, reference) in
            sent.filter(|(path, _)| path.first().is_some_and(|key| key == "client_secret"))
        {
            let flow = (subject.clone(), path.join("."), reference.clone());
            let named = format!("upstream {end}");
            all.extend(
                hosts
                    .iter()
                    .map(|host| (flow.clone(), named.clone(), host.clone())),
            );
        }
    }
    all
}

/// Names of the upstreams to which the settings send requests.
fn named(settings: &Settings) -> impl Iterator<Item = String> + '_ {
    settings.iter().filter_map(|one| match &one.value {
        Written::One(Scalar::Name(name) | Scalar::Text(name)) => {
            let is_upstream = one.path.last().is_some_and(|key| key == "upstream");
            is_upstream.then(|| name.clone())
        }
        _ => None,
    })
}

/// Hosts to which the requests of an upstream are sent.
pub(crate) fn hosts(upstream: &ir::Upstream) -> Vec<String> {
    if let Some(discovery) = &upstream.discovery {
        return match discovery {
            ir::Discovery::Dns(dns) => vec![dns.host().to_owned()],
            ir::Discovery::File(file) => vec![format!("file:{}", file.path)],
        };
    }
    let targets = upstream.targets.iter();
    let host = |target: &ir::Target| match target.socket() {
        Some(_) => target.url(),
        None => target.authority(),
    };
    targets.map(host).collect()
}

fn flows(gateway: &ir::Gateway) -> Vec<Flow> {
    let mut flows = Vec::new();
    let mut add = |subject: String, settings: &Settings| {
        for (path, reference) in settings.secrets() {
            flows.push((subject.clone(), path.join("."), reference.clone()));
        }
    };
    let shared = &gateway.shared;
    add(String::new(), &shared.declared);
    for one in &shared.listeners {
        add(format!("listener {}", one.name), &one.settings());
    }
    for one in &shared.upstreams {
        add(format!("upstream {}", one.name), &one.declared);
        add(format!("upstream {}", one.name), &one.traffic_settings());
    }
    for one in &shared.auth {
        add(format!("auth {}", one.name), &one.checked.settings());
    }
    for one in &shared.policies {
        add(format!("policy {}", one.name), &one.checked.settings());
    }
    for api in &gateway.apis {
        add(format!("api {}", api.name), &api.declared);
        for one in &api.policies {
            add(
                format!("policy {}/{}", api.name, one.name),
                &one.checked.settings(),
            );
        }
    }
    flows
}
