//! Settings that this version can read but not run. This module lists the features that these
//! settings require, and copies the gateway without them. It also finds the requests for which gwc
//! cannot determine the decision of the gateway.

use std::borrow::Cow;
use std::collections::BTreeSet;

use policy::declared::Settings;
use policy::{Checked, auth};

use policy::auth::Place;

use super::{
    Api, Credential, Gateway, Link, Listener, Messages, Owns, Policy, Scheme, Set, Shared,
    Treatment, Upstream, Verify,
};

impl Shared {
    /// Features that a gateway must have to run the shared part.
    pub fn needs(&self) -> impl Iterator<Item = String> {
        let policies = self.policies.iter().map(|policy| policy.checked.need());
        let auth = self.auth.iter().flat_map(|one| one.checked.needs());
        let listeners = self.listeners.iter();
        let listeners =
            listeners.flat_map(|one| of_settings("listener", &one.declared).chain(one.needs()));
        let upstreams = self.upstreams.iter();
        let upstreams = upstreams.flat_map(|one| {
            let traffic = of_parameters("upstream", &one.traffic_settings());
            let at_socket = one.targets.iter().any(|target| target.socket().is_some());
            let socket = at_socket.then(|| "upstream:unix".to_owned());
            of_settings("upstream", &one.declared)
                .chain(traffic)
                .chain(socket)
        });
        let consumers = self.consumers.iter();
        let consumers = consumers.flat_map(|one| {
            let claims = (!one.claims.is_empty()).then(|| "consumer:claims".to_owned());
            let groups = (!one.groups.is_empty()).then(|| "consumer:groups".to_owned());
            let certified = !one.certificates.is_empty();
            let certified = certified.then(|| "consumer:certificates".to_owned());
            let has_tokens = (!one.tokens.is_empty()).then(|| "consumer:tokens".to_owned());
            let noted = (!one.metadata.is_empty()).then(|| "consumer:metadata".to_owned());
            let planned = one.plan.as_ref().map(|_| "consumer:plan".to_owned());
            let is_slow = |credential: &Credential| credential.password.is_some();
            let passwords = one.basic.iter().any(is_slow);
            let passwords = passwords.then(|| "consumer:argon2id".to_owned());
            of_settings("consumer", &one.declared)
                .chain(certified)
                .chain(has_tokens)
                .chain(noted)
                .chain(planned)
                .chain(claims)
                .chain(groups)
                .chain(passwords)
        });
        let errors = (!self.errors.is_empty()).then(|| "gateway:errors".to_owned());
        let own = of_settings("gateway", &self.declared).chain(errors);
        policies
            .chain(auth)
            .chain(listeners)
            .chain(upstreams)
            .chain(consumers)
            .chain(own)
    }
}

impl Api {
    /// Features that a gateway must have to run the API.
    pub fn needs(&self) -> impl Iterator<Item = String> {
        let policies = self.policies.iter().map(|policy| policy.checked.need());
        let treatments = self.treatments.iter();
        let treatments = treatments.flat_map(|one| {
            let retries = one.retries.iter().map(|_| "operation:retries".to_owned());
            let keeps = !one.path_readings.is_strict();
            let keeps = keeps.then(|| "operation:path_readings".to_owned());
            let by_role = one.security.uses().any(|wanted| !wanted.roles.is_empty());
            let by_role = by_role.then(|| "operation:roles".to_owned());
            of_settings("operation", &one.declared)
                .chain(one.forwarding.needs())
                .chain(by_role)
                .chain(retries)
                .chain(keeps)
        });
        let schemes = self.schemes.iter().flat_map(|scheme| {
            let passes = &scheme.passes;
            let forward_as = passes.forward_as.iter().map(|_| "scheme:forward_as");
            let claims = (!passes.claims.is_empty()).then_some("scheme:claims_to_headers");
            let passes = forward_as.chain(claims).map(str::to_owned);
            of_settings("scheme", &scheme.declared).chain(passes)
        });
        let errors = (!self.errors.is_empty()).then(|| "api:errors".to_owned());
        let own = of_settings("api", &self.declared).chain(errors);
        let rest = self.operations.iter().filter_map(|one| match one.owns {
            Owns::Described => None,
            Owns::Undeclared => Some("api:undeclared_methods".to_owned()),
            Owns::Unmatched => Some("api:unmatched".to_owned()),
        });
        let schemas = self.messages.iter().flat_map(|messages| &messages.schemas);
        let limits = schemas
            .into_iter()
            .find_map(|schema| schema.get("x-limits"));
        let limits = limits.map(|_| "schema:limits".to_owned());
        let splits = self.messages.as_ref().is_some_and(Messages::has_items);
        let items = splits.then(|| "media_type:item_schema".to_owned());
        policies
            .chain(treatments)
            .chain(schemes)
            .chain(own)
            .chain(rest)
            .chain(limits)
            .chain(items)
    }
}

/// Features that a gateway must have for settings: `WHAT:KEY` for each top-level key.
fn of_settings<'s>(what: &'s str, settings: &'s Settings) -> impl Iterator<Item = String> {
    let keys: BTreeSet<&str> = settings
        .iter()
        .filter_map(|one| one.path.first().map(String::as_str))
        .collect();
    keys.into_iter().map(move |key| {
        let need = format!("{what}:{key}");
        // This version supports the key, but not the value.
        match super::provides().contains(&&*need) {
            true => format!("{need}:later"),
            false => need,
        }
    })
}

/// Features (`WHAT:KEY`) that a gateway must have for the settings of an upstream. The feature for
/// a setting of a target does not depend on the target.
fn of_parameters(what: &str, settings: &Settings) -> Vec<String> {
    let keys = settings.iter().filter_map(|one| match &one.path[..] {
        [targets, _, key] if targets == "targets" => Some(key.as_str()),
        [health, active, ..] if health == "health" && active == "active" => Some("health:active"),
        [protocol] if protocol == "protocol" => match settings.text(&["protocol"]) {
            Some("h2" | "auto") => Some("protocol:alpn"),
            _ => Some("protocol"),
        },
        [hash_on] if hash_on == "hash_on" => match settings.text(&["hash_on"]) {
            Some(text) if text.starts_with("claim:") => Some("hash_on:claim"),
            _ => Some("hash_on"),
        },
        [limits, key] if limits == "limits" => match key.as_str() {
            "connections" => Some("limits:connections"),
            "response_header_bytes" => Some("limits:response_header_bytes"),
            _ => Some("limits"),
        },
        path => path.first().map(String::as_str),
    });
    let keys: BTreeSet<&str> = keys.collect();
    keys.into_iter()
        .map(|key| format!("{what}:{key}"))
        .collect()
}

impl Gateway {
    /// First setting or policy (`cors`, `jwt`, `validate`) that affects access to a treatment's
    /// operations and that gwc cannot evaluate. The decision about requests to these operations is
    /// then unknown. `None` if gwc can evaluate all settings and policies.
    #[must_use]
    pub fn undecidable<'g>(
        &'g self,
        api: &'g Api,
        treatment: &'g Treatment,
        listener: &str,
    ) -> Option<&'g str> {
        let chain = treatment.chain.iter().filter_map(|link| match link {
            Link::Authenticate => None,
            Link::Shared(name) => self.shared.policies.get(name),
            Link::Own(name) => api.policies.get(name),
        });
        let policy = chain.filter_map(|policy| match &policy.checked {
            Checked::Declared(declared) => Some(declared.kind.as_str()),
            checked => {
                let kind = checked.kind();
                policy::unknown_decision(kind).map(|_| kind)
            }
        });
        let uses = treatment
            .security
            .0
            .iter()
            .flat_map(|alternative| &alternative.0);
        let schemes = uses
            .clone()
            .filter_map(|wanted| api.schemes.get(&wanted.scheme));
        let verifier = schemes.filter_map(|scheme| {
            let checked = match &scheme.verify {
                Verify::Upstream => return None,
                Verify::Auth(name) => &self.shared.auth.get(name)?.checked,
            };
            (!checked.runs()).then(|| checked.kind())
        });
        let key = |settings: &'g Settings, keys: &[&str]| {
            let mut all = settings.iter().filter_map(|one| one.path.first());
            all.find(|key| keys.is_empty() || keys.contains(&key.as_str()))
                .map(String::as_str)
        };
        let listener = self.shared.listeners.get(listener);
        let listener = listener.and_then(|one| {
            // A request that gwc evaluates has a client certificate only if the operation uses
            // `mtls`. Without a certificate, the request cannot reach a listener that requires one.
            let is_certified = |scheme: &Scheme| scheme.place == Place::Certificate;
            let certified = uses.filter_map(|wanted| api.schemes.get(&wanted.scheme));
            let is_required = one.requires_certificate();
            (is_required && !certified.into_iter().any(is_certified)).then_some("tls")
        });
        policy
            .chain(verifier)
            .chain(key(&treatment.declared, &["validate", "mock", "split"]))
            .chain(listener)
            .next()
    }

    /// Copies the gateway without the settings that this version cannot run. The copy has the same
    /// routes, but may decide about requests differently. Use the copy only for requests for which
    /// [`Self::undecidable`] returns `None`.
    #[must_use]
    pub fn runnable(&self) -> Cow<'_, Self> {
        if super::missing(&self.needs()).is_none() {
            return Cow::Borrowed(self);
        }
        let mut gateway = self.clone();
        let shared = &mut gateway.shared;
        let gone: BTreeSet<String> = strip_policies(&mut shared.policies);
        shared.declared = Settings::default();
        shared.auth = map(&shared.auth, |verifier| {
            if !verifier.checked.runs() {
                verifier.checked = auth::Checked::ApiKey(auth::api_key::Checked {});
            }
        });
        shared.listeners = map(&shared.listeners, |one: &mut Listener| {
            one.declared = Settings::default();
        });
        shared.consumers = map(&shared.consumers, |one| one.declared = Settings::default());
        let mut upstreams: Vec<Upstream> = shared.upstreams.iter().cloned().collect();
        upstreams
            .iter_mut()
            .for_each(|one| one.declared = Settings::default());
        gateway.apis = map(&gateway.apis, |api| {
            api.declared = Settings::default();
            let own = strip_policies(&mut api.policies);
            api.schemes = map(&api.schemes, |scheme| {
                scheme.declared = Settings::default();
            });
            for treatment in &mut api.treatments {
                treatment.declared = Settings::default();
                treatment.chain.retain(|link| match link {
                    Link::Authenticate => true,
                    Link::Shared(name) => !gone.contains(name),
                    Link::Own(name) => !own.contains(name),
                });
                // Add an empty upstream for a name that only the API's document defines, for
                // example by its `servers`.
                if !upstreams.iter().any(|one| one.name == treatment.upstream) {
                    upstreams.push(Upstream {
                        name: treatment.upstream.clone(),
                        state: policy::StateId(0),
                        targets: Set::default(),
                        connect_timeout_ms: 0,
                        idle_timeout_ms: 0,
                        host_header: super::HostHeader::Preserve,
                        declared: Settings::default(),
                        balance: policy::upstream::Balance::default(),
                        health: policy::upstream::Health::default(),
                        retries: None,
                        circuit_breaker: None,
                        limits: policy::upstream::Limits::default(),
                        protocol: super::UpstreamProtocol::default(),
                        discovery: None,
                        proxy_protocol: None,
                        rewrite_responses: None,
                        tls: None,
                    });
                }
            }
        });
        shared.upstreams = Set::new(upstreams).expect("each name was added once");
        Cow::Owned(gateway)
    }
}

/// Removes the policies that this version cannot run, and returns their names.
fn strip_policies(policies: &mut Set<Policy>) -> BTreeSet<String> {
    let (gone, kept): (Vec<_>, Vec<_>) = policies
        .iter()
        .cloned()
        .partition(|policy| matches!(policy.checked, Checked::Declared(_)));
    *policies = Set::new(kept).expect("a subset has unique names");
    gone.into_iter().map(|policy| policy.name).collect()
}

fn map<T: super::Named + Clone>(set: &Set<T>, mut change: impl FnMut(&mut T)) -> Set<T> {
    let mut all: Vec<T> = set.iter().cloned().collect();
    all.iter_mut().for_each(&mut change);
    Set::new(all).expect("the names are unchanged")
}
