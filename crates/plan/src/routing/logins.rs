//! Guards: policies that run before the gateway answers the paths of logins (`redirect_path`,
//! `logout_path`). The operations of the APIs determine the guards ([`engine::guards`]), so that an
//! edit of one operation can end the protection of a login.

use std::collections::{BTreeMap, BTreeSet};

use bundle::ir;
use engine::guards;
use policy::auth::Checked;
use rustc_hash::FxHashMap;

use super::table::{Place, UNSERVED};
use crate::ask::OUTSIDER;
use crate::details::{ApiSide, Line, of_cell};
use crate::security::{Access, Difference, Verdict, differences};
use crate::values::Values;
use crate::witness::Draft;
use crate::{Change, Class, Outcome, Plan, Witness};
use model::lower::Lowered;

/// Mounts of one listener and host, each with its API.
type Owners<'o, 'a> = &'o [(&'a ir::Api, &'a ir::Mount)];

/// Function that returns the outcomes of a request at the old and at the new version.
pub(super) type Ask<'f> = &'f dyn Fn(&Draft) -> [Outcome; 2];

/// Reason for a missing witness: the guards differ in something other than the client's address.
const ANSWERED: &str = "the gateway itself answers the path";

/// Guards of each API whose schemes name a login, by the API's name.
type Guards<'a> = FxHashMap<&'a str, Vec<&'a ir::Policy>>;

/// Path that the gateway answers for a login.
struct OwnPath<'a> {
    path: &'a str,
    login: &'a str,
    /// Key of the path in the settings of the login.
    key: &'static str,
    guards: Vec<&'a ir::Policy>,
}

/// Path of a login whose guards differ, with the names of the guards of both sides.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Changed {
    subject: String,
    path: String,
    guards: [Vec<String>; 2],
}

/// Paths of logins whose guards differ between the sides. The value of each path contains the first
/// listener and host at which the guards differ, and the names of all such listeners and hosts.
#[derive(Default)]
pub(super) struct Logins<'a> {
    known: [Guards<'a>; 2],
    changed: BTreeMap<Changed, (Option<Place>, BTreeSet<String>)>,
}

impl<'a> Logins<'a> {
    pub(super) fn new(was: &'a ir::Gateway, is: &'a ir::Gateway) -> Self {
        Self {
            known: [was, is].map(of_gateway),
            changed: BTreeMap::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.changed.is_empty()
    }

    /// Compares the login paths of a host.
    pub(super) fn add(
        &mut self,
        place: &Place,
        (old, before): (&'a ir::Gateway, Owners<'_, 'a>),
        (new, after): (&'a ir::Gateway, Owners<'_, 'a>),
    ) {
        if self.known.iter().any(Guards::is_empty) {
            return;
        }
        let was = paths(old, before, &self.known[0]);
        for own in paths(new, after, &self.known[1]) {
            let same_path = was.iter().find(|one| one.path == own.path);
            let same_login = || {
                let mut all = was.iter();
                all.find(|one| one.login == own.login && one.key == own.key)
            };
            let Some(earlier) = same_path.or_else(same_login) else {
                continue;
            };
            if contents(earlier).eq(contents(&own)) {
                continue;
            }
            let changed = Changed {
                subject: format!("{} {} of login {}", own.key, own.path, own.login),
                path: own.path.to_owned(),
                guards: [earlier, &own].map(|one| {
                    let names = one.guards.iter().map(|policy| policy.name.clone());
                    names.collect()
                }),
            };
            let host = format!("{} {}", place.listener, place.host);
            let (first, hosts) = self.changed.entry(changed).or_default();
            first.get_or_insert_with(|| place.clone());
            hosts.insert(host);
        }
    }

    /// Reports the changed guards of each login path.
    pub(super) fn report(
        &self,
        (was, is): (&Lowered, &Lowered),
        (identities, ask): ([&ir::IdentityFields; 2], Ask<'_>),
        plan: &mut Plan,
    ) {
        for (changed, (place, hosts)) in &self.changed {
            let Some(place) = place else { continue };
            let [old, new] = changed.guards.each_ref().map(|names| alone(names));
            let mount = mount();
            let (listener, operation) = (place.listener.as_str(), &*UNSERVED);
            let before = (&old, &mount);
            let before = Access::of(&was.gateway, before, operation, listener, identities[0]);
            let after = (&new, &mount);
            let after = Access::of(&is.gateway, after, operation, listener, identities[1]);
            let bound = Vec::from_iter(hosts.iter().cloned()).join("; ");
            let all = differences(&before, &after).into_iter();
            for one in all.filter(|one| matches!(one.component, "from" | "guards" | "inputs")) {
                let witness = (one.component == "from" && one.why_none.is_none())
                    .then(|| witness((changed, place), (&before, &after), &one, ask))
                    .flatten();
                plan.changes
                    .push(of_difference(changed, one, witness, &bound));
            }
            let (before, after) = (
                ApiSide {
                    api: &old,
                    shared: &was.gateway.shared,
                },
                ApiSide {
                    api: &new,
                    shared: &is.gateway.shared,
                },
            );
            let lines = of_cell((before, &old.treatments[0]), (after, &new.treatments[0]));
            let limits = lines
                .into_iter()
                .filter(|line| matches!(line.class, Class::Relax | Class::Tighten));
            for line in limits {
                plan.changes.push(of_line(changed, line, &bound));
            }
        }
    }
}

fn of_difference(
    changed: &Changed,
    difference: Difference,
    witness: Option<Witness>,
    bound: &str,
) -> Change {
    let class = match difference.verdict {
        Verdict::Strengthen => Class::Strengthen,
        Verdict::Equal | Verdict::Incomparable => Class::Incomparable,
        Verdict::Weaken => Class::Weaken,
    };
    let subject = format!("{}, {}", changed.subject, difference.subject);
    let mut change = Change::new(
        difference.section(),
        difference.class.unwrap_or(class),
        difference.id,
        subject,
        difference.old,
        difference.new,
    );
    let why_none = difference.why_none.unwrap_or(ANSWERED);
    change.why_none = witness.is_none().then_some(why_none);
    change.witness = witness;
    change.bound = format!("{bound} {}", difference.bound);
    change
}

fn of_line(changed: &Changed, line: Line, bound: &str) -> Change {
    let section = line.section();
    let mut change = line.in_section(section);
    change.subject = format!("{}, {}", changed.subject, change.subject);
    change.why_none = Some(ANSWERED);
    change.bound = bound.to_owned();
    change
}

/// Request to the path from an address that only one side admits.
fn witness(
    (changed, place): (&Changed, &Place),
    (before, after): (&Access<'_>, &Access<'_>),
    difference: &Difference,
    ask: Ask<'_>,
) -> Option<Witness> {
    let (was, is) = (before.addresses(), after.addresses());
    let only = match difference.verdict {
        Verdict::Strengthen => was.without(&is),
        Verdict::Equal | Verdict::Incomparable | Verdict::Weaken => is.without(&was),
    };
    let draft = Draft {
        listener: place.listener.clone(),
        host: place.host.clone(),
        method: "GET".to_owned(),
        path: changed.path.clone(),
        values: Values::default(),
        peer: None,
        client: Some(only.example(OUTSIDER)?),
        body: None,
        response: None,
    };
    let [old, new] = ask(&draft);
    (old != new).then(|| draft.shown(Vec::new(), old, new))
}

/// Guards of the APIs whose schemes name a login.
fn of_gateway(gateway: &ir::Gateway) -> Guards<'_> {
    let apis = gateway.apis.iter();
    let with_logins = apis.filter(|api| logins(gateway, api).next().is_some());
    let guards = with_logins.map(|api| {
        let indices = guards::of_logins(&gateway.shared, &api.treatments);
        let policies = indices.into_iter();
        let policies = policies.map(|index| &gateway.shared.policies[index]);
        (api.name.as_str(), policies.collect())
    });
    guards.collect()
}

/// Logins named in the schemes of an API.
fn logins<'a>(
    gateway: &'a ir::Gateway,
    api: &'a ir::Api,
) -> impl Iterator<Item = (&'a str, &'a policy::auth::oidc::Checked)> {
    let verifiers = api
        .schemes
        .iter()
        .filter_map(|scheme| match &scheme.verify {
            ir::Verify::Auth(name) => gateway.shared.auth.get(name),
            ir::Verify::Upstream => None,
        });
    verifiers.filter_map(|verifier| match &verifier.checked {
        Checked::Oidc(login) => Some((verifier.name.as_str(), &**login)),
        _ => None,
    })
}

/// Paths of the logins that these APIs use, with their guards. A policy guards a path only if it is
/// a guard of all APIs with the login.
fn paths<'a>(
    gateway: &'a ir::Gateway,
    owners: Owners<'_, 'a>,
    guards: &Guards<'a>,
) -> Vec<OwnPath<'a>> {
    let mut all: Vec<OwnPath<'a>> = Vec::new();
    for (api, _) in owners {
        let own = guards.get(api.name.as_str()).map_or(&[][..], Vec::as_slice);
        for (login, settings) in logins(gateway, api) {
            let redirect = Some(("redirect_path", settings.redirect_path()));
            let logout = settings.logout_path().map(|path| ("logout_path", path));
            for (key, path) in redirect.into_iter().chain(logout) {
                let mut known = all.iter_mut();
                let known = known.find(|one| one.path == path && one.login == login);
                match known {
                    Some(known) => known.guards.retain(|one| {
                        let content = guards::content(one);
                        own.iter().any(|other| guards::content(other) == content)
                    }),
                    None => all.push(OwnPath {
                        path,
                        login,
                        key,
                        guards: own.to_vec(),
                    }),
                }
            }
        }
    }
    all
}

fn contents<'p>(own: &'p OwnPath<'_>) -> impl Iterator<Item = Vec<u8>> + 'p {
    own.guards.iter().map(|policy| guards::content(policy))
}

/// Builds an API with one operation that is open to everyone. Its chain has these policies of
/// gateway.yaml.
fn alone(policies: &[String]) -> ir::Api {
    let chain = policies.iter().cloned().map(ir::Link::Shared);
    ir::Api {
        name: String::new(),
        mounts: ir::Set::default(),
        schemes: ir::Set::default(),
        policies: ir::Set::default(),
        treatments: vec![ir::Treatment {
            security: ir::Security::default(),
            chain: chain.collect(),
            upstream: String::new(),
            timeout_ms: 0,
            max_body_bytes: None,
            declared: Default::default(),
            forwarding: ir::Forwarding::default(),
            retries: None,
            path_readings: ir::PathReadings::default(),
        }],
        operations: ir::Set::default(),
        declared: Default::default(),
        hidden: Vec::new(),
        errors: Default::default(),
        messages: None,
    }
}

fn mount() -> ir::Mount {
    ir::Mount {
        name: String::new(),
        hosts: Vec::new(),
        base_path: String::new(),
        strip_base_path: false,
        listeners: Vec::new(),
    }
}
