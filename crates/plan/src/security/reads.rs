//! Configured values that an expression reads. If such a value changes, an expression with the same
//! text may admit other callers.
//!
//! Claims of a token are left out: the requirement on the credential is compared separately. Path,
//! host and method count only if clients send other requests to the other side
//! ([`Access::with_requests`]).

use std::collections::{BTreeMap, BTreeSet};

use bundle::ir;
use engine::credentials_remove as removes;
use policy::Addresses;
use policy::auth::Place;
use policy::guard::expression::Expression;
use policy::managed::{self, Allowed};

use super::removals::{self, stripped};
use super::{Access, Route, gateway, identity, verifier};

/// Values that an expression reads, by the path in the expression, such as `auth.scheme`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Reads(BTreeMap<String, Value>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    /// Single value, or a description of all possible values.
    One(String),
    /// Possible values, one for each alternative of the security requirement.
    OneOf(BTreeSet<String>),
    /// Name of the consumer of each credential, and the value for this consumer. The comparison of
    /// consumers reports a new value for the same consumer.
    PerCredential(BTreeMap<String, (String, String)>),
    /// Hosts of requests. Empty: any host.
    Hosts(BTreeSet<String>),
    /// Path of requests.
    Path(PathPattern),
}

/// Path of requests: its segments, with `{}` instead of each parameter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct PathPattern {
    segments: Vec<String>,
    /// True for all paths that begin with the segments.
    is_prefix: bool,
}

impl Value {
    /// True if `other`, the value in the other version, includes this value.
    fn is_within(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::OneOf(own), Self::OneOf(theirs)) => own.is_subset(theirs),
            (Self::PerCredential(own), Self::PerCredential(theirs)) => {
                own.iter().all(|(credential, (name, value))| {
                    let known = theirs.get(credential);
                    known.is_none_or(|(other, was)| name == other || value == was)
                })
            }
            (Self::Hosts(own), Self::Hosts(theirs)) => {
                let is_known = |host: &String| theirs.iter().any(|known| has_host(known, host));
                theirs.is_empty() || !own.is_empty() && own.iter().all(is_known)
            }
            (Self::Path(own), Self::Path(theirs)) => own.is_within(theirs),
            (own, other) => own == other,
        }
    }
}

impl PathPattern {
    fn of(route: Route<'_>) -> Self {
        let base = route.mount.base_path.split('/').skip(1).map(str::to_owned);
        let template = &route.operation.template;
        let own = template.segments().iter();
        let own = own.map(|segment| segment.erased().to_string());
        Self {
            segments: base.chain(own).collect(),
            is_prefix: template.is_prefix(),
        }
    }

    /// True if `other` matches every path of this pattern.
    fn is_within(&self, other: &Self) -> bool {
        let mut pairs = self.segments.iter().zip(&other.segments);
        let has_length = match other.is_prefix {
            true => self.segments.len() >= other.segments.len(),
            false => !self.is_prefix && self.segments.len() == other.segments.len(),
        };
        has_length && pairs.all(|(own, theirs)| theirs == "{}" || own == theirs)
    }
}

/// True if a host of a mount contains another host: it is equal, or a wildcard such as `*.example`.
fn has_host(known: &str, host: &str) -> bool {
    let suffix = known.strip_prefix('*');
    known == host || suffix.is_some_and(|suffix| host.ends_with(suffix))
}

/// Values of a client's request that the route determines, by their fields in `request`.
fn request_values(route: Route<'_>) -> [(&'static str, Value); 3] {
    let method = match route.operation.owns.is_described() {
        true => route.operation.method.clone(),
        false => "any".to_owned(),
    };
    [
        ("method", Value::One(method)),
        (
            "host",
            Value::Hosts(route.mount.hosts.iter().cloned().collect()),
        ),
        ("path", Value::Path(PathPattern::of(route))),
    ]
}

impl Reads {
    /// Path, host and method of requests, which another service gets. Empty unless clients send
    /// other requests to the other side.
    pub(super) fn of_request(access: &Access<'_>) -> Self {
        let route = access.route.filter(|_| access.compares_requests);
        let values = route.into_iter().flat_map(request_values);
        let named = values.map(|(field, value)| (format!("request.{field}"), value));
        Self(named.collect())
    }

    /// Values that an expression in a policy of the chain reads.
    pub(super) fn of(source: &str, access: &Access<'_>, policy: &str) -> Self {
        let Some(route) = access.route else {
            return Self::default();
        };
        let paths = match Expression::compile(source) {
            Ok(expression) => expression.reads(),
            // An expression that this version cannot parse may read every value.
            Err(_) => ["auth", "request", "route"]
                .map(|variable| vec![variable.to_owned()])
                .into(),
        };
        let mut reads = Self::default();
        for path in &paths {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            let is = |variable: &str, field: &str| match path.as_slice() {
                [own] => *own == variable,
                [own, name, ..] => *own == variable && *name == field,
                [] => true,
            };
            let key = path.get(2).copied();
            let mut add = |name: &str, value: Value| {
                reads.0.insert(name.to_owned(), value);
            };
            if is("route", "operation") {
                add("route.operation", Value::One(route.operation.key.clone()));
            }
            if is("route", "mount") {
                add("route.mount", Value::One(route.mount.name.clone()));
            }
            for (name, value) in Self::of_request(access).0 {
                if name
                    .strip_prefix("request.")
                    .is_some_and(|field| is("request", field))
                {
                    add(&name, value);
                }
            }
            if is("request", "address") {
                add("request.address", Value::One(trusted(route)));
            }
            if is("request", "headers") {
                let name = path.join(".");
                add(&name, Value::One(fields(access, policy, key)));
            }
            if is("request", "query") {
                let name = path.join(".");
                add(
                    &name,
                    Value::One(stripped(route, |place| match key {
                        Some(key) => removes(place, &Place::Query(key.to_owned())),
                        None => matches!(place, Place::Query(_)),
                    })),
                );
            }
            if is("auth", "scheme") {
                add("auth.scheme", Value::OneOf(schemes(route)));
            }
            for field in ["consumer", "groups", "claims"] {
                if is("auth", field) {
                    let name = path.join(".");
                    let of = |one: &ir::Consumer| of_consumer(one, field, key);
                    add(&name, Value::PerCredential(by_credential(route, of)));
                }
            }
        }
        reads
    }

    /// True if an expression that admits a caller with these values also admits the caller with the
    /// values of `other`.
    pub(super) fn implies(&self, other: &Self) -> bool {
        let mut all = self.0.iter();
        self.0.len() == other.0.len()
            && all.all(|(path, value)| {
                let theirs = other.0.get(path);
                theirs.is_some_and(|theirs| value.is_within(theirs))
            })
    }

    /// Descriptions of the values, for plans.
    pub(super) fn descriptions(&self) -> Vec<String> {
        let all = self.0.iter().filter_map(|(path, value)| {
            let value = match value {
                Value::One(value) => value.clone(),
                Value::OneOf(values) => {
                    let values: Vec<&str> = values.iter().map(String::as_str).collect();
                    values.join(" or ")
                }
                Value::PerCredential(credentials) => {
                    let names = credentials.values().map(|(name, _)| name.as_str());
                    let names: BTreeSet<&str> = names.collect();
                    Vec::from_iter(names).join(" or ")
                }
                Value::Hosts(hosts) if hosts.is_empty() => "any host".to_owned(),
                Value::Hosts(hosts) => {
                    let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
                    hosts.join(" or ")
                }
                Value::Path(path) => {
                    let rest = if path.is_prefix { "/…" } else { "" };
                    format!("/{}{rest}", path.segments.join("/"))
                }
            };
            (!value.is_empty()).then(|| format!("{path} is {value}"))
        });
        all.collect()
    }
}

/// Peers that assert the client's address at a listener.
pub(super) fn trusted(route: Route<'_>) -> String {
    let listener = route.gateway.shared.listeners.get(route.listener);
    let [trusted, by_header] = gateway::trusted(listener);
    let ranges =
        |all: &Addresses| -> Vec<String> { all.ranges().iter().map(ToString::to_string).collect() };
    let parts = [
        ("trusted_proxies", ranges(&trusted)),
        ("proxy_protocol.from", ranges(&by_header)),
    ];
    let parts = parts.into_iter().filter(|(_, ranges)| !ranges.is_empty());
    let mut parts: Vec<String> = parts
        .map(|(key, ranges)| format!("{key} {}", ranges.join(" ")))
        .collect();
    if let Some(listener) = listener.filter(|one| !one.trusted_proxies.is_empty()) {
        let fields = listener.forwarding_fields().iter();
        let fields: Vec<&str> = fields.map(|field| field.name()).collect();
        parts.push(fields.join(" "));
    }
    match parts.is_empty() {
        true => "the peer".to_owned(),
        false => format!("as reported by {}", parts.join(" and ")),
    }
}

/// Description of the request fields that the gateway writes or removes before a policy reads the
/// fields. With `name`: only this field.
pub(super) fn fields(access: &Access<'_>, policy: &str, name: Option<&str>) -> String {
    let written = || identity::read_by(access, policy);
    let described = |route| described(route, &written(), name);
    let mut parts = vec![
        access.route.map(described).unwrap_or_default(),
        removals::processors(access, Some(policy)),
    ];
    parts.retain(|part| !part.is_empty());
    parts.join(", ")
}

/// Like [`fields`], before a reader that is no policy. `written`: the fields that the gateway
/// changes before the reader. Empty if the reader gets the client's own values.
pub(super) fn described(
    route: Route<'_>,
    written: &BTreeMap<String, String>,
    name: Option<&str>,
) -> String {
    let is_named =
        |field: &str| name.is_none_or(|name| name == field || managed::is_lookalike(name, field));
    let mut parts: Vec<String> = written
        .iter()
        .filter(|(field, _)| is_named(field))
        .map(|(field, value)| format!("{field} {value}"))
        .collect();
    parts.push(stripped(route, |place| match (name, place) {
        (_, Place::Query(_) | Place::Certificate) => false,
        (Some(name), place) => removes(place, &Place::Header(name.to_owned())),
        (None, _) => true,
    }));
    if let Some(name) = name {
        parts.push(removals::lookalikes(route, name));
        parts.push(removals::override_field(route, name));
    }
    // Only trusted peers may send these fields.
    if name.is_none_or(|name| managed::is_managed(name, Allowed::default())) {
        parts.push(trusted(route));
    }
    if name.is_none_or(managed::is_certificate) {
        let listener = route.gateway.shared.listeners.get(route.listener);
        let passed = listener.and_then(|listener| listener.forward_client_cert.as_ref());
        parts.extend(passed.map(|passed| format!("{passed:?}")));
    }
    parts.retain(|part| !part.is_empty());
    parts.join(", ")
}

/// Names of the schemes of each alternative, which are the possible values of `auth.scheme`.
fn schemes(route: Route<'_>) -> BTreeSet<String> {
    let alternatives = route.treatment.security.0.iter();
    alternatives.map(removals::alternative).collect()
}

/// Name of the consumer of each credential, and a value of the consumer.
fn by_credential(
    route: Route<'_>,
    of: impl Fn(&ir::Consumer) -> String,
) -> BTreeMap<String, (String, String)> {
    let mut all = BTreeMap::new();
    for one in &route.gateway.shared.consumers {
        let hashed = one.keys.iter().map(|key| ("key", key));
        let hashed = hashed.chain(one.basic.iter().map(|pair| ("basic", pair)));
        let hashed = hashed.map(|(kind, credential)| format!("{kind} {:?}", credential.sha256));
        let certificates = one.certificates.iter();
        let certificates = certificates.map(|one| format!("certificate {}", one.name));
        let tokens = one.tokens.iter().map(ir::Holder::description);
        for credential in hashed.chain(certificates).chain(tokens) {
            all.insert(credential, (one.name.clone(), of(one)));
        }
    }
    all
}

/// Value of a field of `auth` for a consumer. With a key: only that group or claim.
fn of_consumer(consumer: &ir::Consumer, field: &str, key: Option<&str>) -> String {
    let is_read = |name: &str| key.is_none_or(|key| key == name);
    match field {
        "consumer" => consumer.name.clone(),
        "groups" => {
            let groups = consumer.groups.iter().filter(|group| is_read(group));
            groups.cloned().collect::<Vec<_>>().join(" ")
        }
        _ => {
            let claims = consumer.claims.iter();
            let claims = claims.filter(|one| one.path.first().is_some_and(|name| is_read(name)));
            let claims = claims.map(|one| {
                format!(
                    "{} {}",
                    one.path.join("."),
                    verifier::value_text(&one.value)
                )
            });
            claims.collect::<Vec<_>>().join(", ")
        }
    }
}
