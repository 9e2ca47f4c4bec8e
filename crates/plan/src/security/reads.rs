//! Configured values that an expression reads. If such a value changes, an expression with the same
//! text may admit other callers.
//!
//! Claims of a token are left out: the requirement on the credential is compared separately. Path,
//! host and method count only if clients send other requests to the other side
//! ([`Access::with_requests`]), or other spellings of the path ([`newly_spelled`]).

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::rc::Rc;

use bundle::ir;
use engine::credentials_remove as removes;
use policy::auth::Place;
use policy::guard::expression::{Paths, Source};
use policy::managed::{self, Allowed};
use policy::{Addresses, Checked};

use super::removals::{self, FieldNames, stripped};
use super::{
    Access, Difference, Route, Verdict, claims, gateway, identity, reads_request, verifier,
};
use crate::pairs::reference;
use crate::{Change, Class, Plan, Section};

/// Reason for a missing witness of a policy that decides by the path.
const OF_PATH: &str =
    "no example: gwc cannot know for which spellings of the path the policy decides otherwise";

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

/// Path of requests.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct PathPattern {
    segments: Vec<PathSegment>,
    /// True for all paths that begin with the segments.
    is_prefix: bool,
    /// True for the path with and without a final slash.
    has_both_slashes: bool,
}

/// Segment of a path, with `{}` instead of each parameter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct PathSegment {
    text: String,
    /// True if the letter case does not count. The text is then in lower case.
    is_folded: bool,
}

impl PathSegment {
    /// True if `other` matches every text of this segment.
    fn is_within(&self, other: &Self) -> bool {
        let is_in_any_case = || other.is_folded && self.text.eq_ignore_ascii_case(&other.text);
        other.text == "{}" || self == other || is_in_any_case()
    }
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
        let base = route.mount.base_path.split('/').skip(1);
        let base = base.map(|segment| PathSegment {
            text: segment.to_owned(),
            is_folded: false,
        });
        let template = &route.operation.template;
        let own = template.segments().iter();
        let own = own.map(|segment| PathSegment {
            text: segment.erased().to_string(),
            is_folded: match segment {
                ir::Segment::Folded(_) => true,
                ir::Segment::Pattern(pattern) => pattern.folded,
                ir::Segment::Literal(_) | ir::Segment::Parameter(_) => false,
            },
        });
        Self {
            segments: base.chain(own).collect(),
            is_prefix: template.is_prefix(),
            has_both_slashes: route.operation.trailing_slash == ir::TrailingSlash::Ignore,
        }
    }

    /// Segments without the empty segment after a final slash.
    fn without_slash(&self) -> &[PathSegment] {
        match self.segments.split_last() {
            Some((last, segments)) if last.text.is_empty() => segments,
            _ => &self.segments,
        }
    }

    /// True if `other` matches every path of this pattern.
    fn is_within(&self, other: &Self) -> bool {
        let [own, theirs] = match other.has_both_slashes {
            true => [self, other].map(Self::without_slash),
            false => [self, other].map(|one| one.segments.as_slice()),
        };
        let has_length = match other.is_prefix {
            true => own.len() >= theirs.len(),
            false => !self.is_prefix && own.len() == theirs.len(),
        };
        let has_slashes = !self.has_both_slashes || other.has_both_slashes || other.is_prefix;
        let mut pairs = own.iter().zip(theirs);
        has_slashes && has_length && pairs.all(|(own, theirs)| own.is_within(theirs))
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.segments {
            write!(f, "/{}", segment.text)?;
        }
        match (self.is_prefix, self.segments.is_empty()) {
            (true, _) => f.write_str("/…")?,
            (false, true) => f.write_str("/")?,
            (false, false) => {}
        }
        if self.segments.iter().any(|segment| segment.is_folded) {
            f.write_str(" in any letter case")?;
        }
        if self.has_both_slashes {
            f.write_str(" with or without a final slash")?;
        }
        Ok(())
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

    /// Values that the expression of a policy of the chain reads. `changes`: changes of the fields
    /// before the readers of the chain.
    pub(super) fn of(
        policy: &ir::Policy,
        access: &Access<'_>,
        changes: Option<&ChainChanges<'_>>,
    ) -> Self {
        let Some(route) = access.route else {
            return Self::default();
        };
        let expression = match &policy.checked {
            Checked::Authorize(authorize) => authorize.expression(),
            _ => None,
        };
        // An expression that this version cannot parse may read every value.
        let every = || {
            let all = ["auth", "request", "route"].map(|variable| vec![variable.to_owned()]);
            Cow::Owned(Paths::from(all))
        };
        let paths = expression.and_then(Source::reads);
        let paths = paths.map_or_else(every, Cow::Borrowed);
        let changed = changes.and_then(|changes| changes.before(&policy.name));
        let fields = |name| changed.map(|changed| changed.described(name));
        let mut reads = Self::default();
        for path in &*paths {
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
                add(&name, Value::One(fields(key).unwrap_or_default()));
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
                Value::Path(path) => path.to_string(),
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

/// Fields that the gateway writes, as one or more readers of a chain get them.
struct WrittenFields {
    /// Descriptions of the values, by name of the field.
    by_name: BTreeMap<String, String>,
    names: FieldNames,
}

impl WrittenFields {
    fn of(fields: &identity::Fields) -> Self {
        let by_name = fields.described();
        Self {
            names: FieldNames::of(by_name.keys().cloned()),
            by_name,
        }
    }
}

/// Request fields that the gateway writes or removes before a setting reads them.
pub(super) struct ChangedFields<'a> {
    route: Route<'a>,
    written: Rc<WrittenFields>,
    /// Fields whose lookalikes the gateway removes ([`removals::decisive`]).
    decisive: Rc<FieldNames>,
    /// External processors before the reader.
    processors: String,
}

/// Request fields that the gateway writes or removes before each reader of a chain. One pass over
/// the chain computes them for all readers, because a chain can have thousands of readers.
pub(super) struct ChainChanges<'a> {
    /// Changes before each reader, by the name of its policy.
    before: BTreeMap<&'a str, ChangedFields<'a>>,
    /// Changes before the upstream.
    at_end: ChangedFields<'a>,
}

impl<'a> ChainChanges<'a> {
    /// Changes before the policies with these names. `None` if no operation serves the requests.
    pub(super) fn of(access: &Access<'a>, readers: &BTreeSet<&str>) -> Option<Self> {
        let route = access.route?;
        let decisive = Rc::new(removals::decisive(route));
        let mut fields = identity::Fields::authenticated(access);
        // Without a second side, the hosts of an upstream identify a service, and not the name of
        // the upstream.
        let nobody = Access::none();
        // Readers between the same changes share the descriptions.
        let mut written: Option<Rc<WrittenFields>> = None;
        let mut services: Vec<&str> = Vec::new();
        let mut before: BTreeMap<&str, ChangedFields<'a>> = BTreeMap::new();
        let changed = |written: Rc<WrittenFields>, services: &[&str]| ChangedFields {
            route,
            written,
            decisive: Rc::clone(&decisive),
            processors: removals::processors(services),
        };
        for policy in access.chain() {
            if fields.reach(Some(policy), access) {
                written = None;
            }
            let name = policy.name.as_str();
            // Keep the first of several policies with the same name. Lint refuses such policies
            // (`shadowed-name`).
            if readers.contains(name) && !before.contains_key(name) {
                let known = written.get_or_insert_with(|| Rc::new(WrittenFields::of(&fields)));
                before.insert(name, changed(Rc::clone(known), &services));
            }
            if fields.apply(policy, (access, &nobody)) {
                written = None;
            }
            if let Checked::ExtProc(processor) = &policy.checked {
                services.push(processor.service());
            }
        }
        if fields.reach(None, access) {
            written = None;
        }
        let written = written.unwrap_or_else(|| Rc::new(WrittenFields::of(&fields)));
        let at_end = changed(written, &services);
        Some(Self { before, at_end })
    }

    /// Changes before a policy. `None` if the policy is not among the readers.
    pub(super) fn before(&self, policy: &str) -> Option<&ChangedFields<'a>> {
        self.before.get(policy)
    }

    /// Changes before the upstream.
    pub(super) fn at_end(&self) -> &ChangedFields<'a> {
        &self.at_end
    }
}

impl ChangedFields<'_> {
    /// External processors before the reader.
    pub(super) fn processors(&self) -> &str {
        &self.processors
    }

    /// Description of the value of a written field.
    pub(super) fn written(&self, name: &str) -> Option<&str> {
        self.written.by_name.get(name).map(String::as_str)
    }

    /// Description of the changes, with the processors. With `name`: only changes of this field.
    /// Empty if the reader gets the client's own values.
    pub(super) fn described(&self, name: Option<&str>) -> String {
        let mut parts = vec![of_field(self, name), self.processors.clone()];
        parts.retain(|part| !part.is_empty());
        parts.join(", ")
    }
}

/// Description of the changes without the processors. With `name`: only changes of this field.
fn of_field(changed: &ChangedFields<'_>, name: Option<&str>) -> String {
    let route = changed.route;
    let written = |name: &str| Some(format!("{name} {}", changed.written(name)?));
    let mut parts: Vec<String> = match name {
        Some(name) => {
            let alike = changed.written.names.alike(name);
            alike.filter_map(written).collect()
        }
        None => {
            let names = changed.written.by_name.keys();
            names.filter_map(|name| written(name)).collect()
        }
    };
    parts.push(stripped(route, |place| match (name, place) {
        (_, Place::Query(_) | Place::Certificate) => false,
        (Some(name), place) => removes(place, &Place::Header(name.to_owned())),
        (None, _) => true,
    }));
    if let Some(name) = name {
        parts.push(removals::lookalikes(&changed.decisive, name));
        parts.push(removals::override_field(route, name));
    }
    // The gateway accepts these fields only from trusted peers.
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

/// Operation of an API at one of its mounts.
type Mounted<'g> = (&'g ir::Api, &'g ir::Mount, &'g ir::Operation);

/// Operations by their method and path. The path is in lower case, without a final slash.
type ByPath<'g> = BTreeMap<(&'g str, String), Vec<Mounted<'g>>>;

/// Reports policies that decide by the path of requests, if their operations newly serve other
/// spellings of the path: `case_insensitive`, `trailing_slash: ignore`. For clients, these are new
/// requests, but upstreams may read them as the same path.
pub(super) fn newly_spelled((old, new): (&ir::Gateway, &ir::Gateway), plan: &mut Plan) {
    let is_spelled = |(api, _, operation): &Mounted<'_>| {
        let is_ignored = operation.trailing_slash == ir::TrailingSlash::Ignore;
        let treatment = &api.treatments[operation.treatment as usize];
        (is_ignored || operation.template.is_folded()) && reads_request(new, api, treatment)
    };
    let mut all = mounted(new).filter(is_spelled).peekable();
    if all.peek().is_none() {
        return;
    }
    let mut before: ByPath<'_> = BTreeMap::new();
    for one in mounted(old) {
        before.entry(path_of(one)).or_default().push(one);
    }
    let identities = [old, new].map(ir::IdentityFields::of_gateway);
    let mut reported = BTreeSet::new();
    for one in all {
        let (api, mount, operation) = one;
        let known = before.get(&path_of(one)).into_iter().flatten();
        let known = known.filter(|(its, at, was)| {
            let mut listeners = at.listeners.iter();
            let is_here = at.hosts == mount.hosts
                && listeners.any(|listener| mount.listeners.contains(listener));
            is_here || (&its.name, &was.key) == (&api.name, &operation.key)
        });
        let found = known.map(|was| {
            let sides = [(old, *was, &identities[0]), (new, one, &identities[1])];
            of_spellings(sides.map(|(gateway, one, identities)| access(gateway, one, identities)))
        });
        let found = found.min_by_key(Vec::len).unwrap_or_default();
        if !found.is_empty() && reported.insert(operation.key.as_str()) {
            let lines = found.into_iter().map(spelling_line);
            plan.changes
                .extend(lines.map(|line| line.of(reference(api, operation))));
        }
    }
}

/// Operations of a gateway at their mounts.
fn mounted(gateway: &ir::Gateway) -> impl Iterator<Item = Mounted<'_>> {
    let mounts = gateway.apis.iter();
    let mounts = mounts.flat_map(|api| api.mounts.iter().map(move |mount| (api, mount)));
    mounts.flat_map(|(api, mount)| {
        let operations = api.operations.iter();
        operations.map(move |operation| (api, mount, operation))
    })
}

/// Key of an operation in [`ByPath`].
fn path_of<'g>((_, mount, operation): Mounted<'g>) -> (&'g str, String) {
    let mut path = mount.base_path.clone();
    for segment in operation.template.segments() {
        path.push('/');
        path.push_str(&segment.erased().to_string());
    }
    path.make_ascii_lowercase();
    path.truncate(path.trim_end_matches('/').len());
    (&operation.method, path)
}

fn access<'g>(
    gateway: &'g ir::Gateway,
    (api, mount, operation): Mounted<'g>,
    identities: &'g ir::IdentityFields,
) -> Access<'g> {
    let listener = mount.listeners.first().map_or("", String::as_str);
    Access::of(gateway, (api, mount), operation, listener, identities)
}

/// Differences between the conditions of two operations that exist only because of the paths that
/// policies read. Empty if there are other differences, which have lines of their own.
fn of_spellings([was, is]: [Access<'_>; 2]) -> Vec<Difference> {
    let opens = |was: &Access<'_>, is: &Access<'_>| {
        let mut found = claims::compare(was, is);
        found.retain(|one| matches!(one.verdict, Verdict::Weaken | Verdict::Incomparable));
        found
    };
    if !opens(&was, &is).is_empty() {
        return Vec::new();
    }
    opens(&was.with_requests(), &is.with_requests())
}

/// Line about a condition that decides by other spellings of a path. The caller adds the operation
/// to the line.
fn spelling_line(one: Difference) -> Change {
    let class = match one.verdict {
        Verdict::Weaken | Verdict::Equal => Class::Weaken,
        Verdict::Incomparable => Class::Incomparable,
        Verdict::Strengthen => Class::Strengthen,
    };
    let subject = format!("{} for other spellings of the path", one.subject);
    let mut change = Change::new(Section::Security, class, one.id, subject, one.old, one.new);
    change.bound = one.bound;
    change.why_none = Some(OF_PATH);
    change
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Path of a test. `~` before a segment makes the segment match in any letter case. `?` at the
    /// end stands for a path with and without a final slash, `*` at the end for a prefix.
    fn pattern(text: &str) -> PathPattern {
        let path = text.trim_end_matches(['?', '*']);
        let segments = path.split('/').skip(1);
        PathPattern {
            segments: segments
                .map(|segment| PathSegment {
                    text: segment.trim_start_matches('~').to_owned(),
                    is_folded: segment.starts_with('~'),
                })
                .collect(),
            is_prefix: text.ends_with('*'),
            has_both_slashes: text.ends_with('?'),
        }
    }

    #[test]
    fn spellings_of_a_path_contain_the_path() {
        for (own, other, expected) in [
            ("/x", "/x", true),
            ("/x", "/~x", true),
            ("/X", "/~x", true),
            ("/~x", "/x", false),
            ("/~x", "/{}", true),
            ("/y", "/~x", false),
            ("/x", "/x?", true),
            ("/x/", "/x?", true),
            ("/x?", "/x", false),
            ("/x?", "/x/", false),
            ("/x/?", "/x?", true),
            ("/x?", "/x*", true),
            ("/x/y", "/x?", false),
            ("/x*", "/x?", false),
        ] {
            let is_within = pattern(own).is_within(&pattern(other));
            assert_eq!(is_within, expected, "{own} {other}");
        }
    }
}
