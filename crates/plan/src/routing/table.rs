//! Routes at one listener and host, and their precedence (semantics.md §1).

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use bundle::ir::{self, Segment, Template, TrailingSlash};
use engine::router::{compare_conditions, compare_templates};
use policy::auth::Checked;
use rustc_hash::FxHashMap;

use crate::OperationRef;
use crate::details::{OperationAt, is_unserved};
use model::lower::Lowered;
use model::rest::everything;

/// Listener, and a host that represents all hosts of a pattern.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) listener: String,
    pub(super) host: String,
}

impl Place {
    /// True if the listener merges slashes of paths before paths are matched.
    pub(super) fn merges_slashes(&self, side: &Lowered) -> bool {
        let listener = side.gateway.shared.listeners.get(&self.listener);
        listener.is_some_and(|listener| listener.merge_slashes)
    }
}

/// Returns a place for each listener and each host pattern of both sides. Also returns, for each
/// listener, a place with a host that no pattern matches. Only mounts without hosts serve that
/// host.
pub(super) fn places(sides: &[&Lowered]) -> BTreeSet<Place> {
    let mounts = || {
        let apis = sides.iter().flat_map(|side| &side.gateway.apis);
        apis.flat_map(|api| &api.mounts)
    };
    let taken: BTreeSet<&str> = mounts()
        .flat_map(|mount| mount.hosts.iter().map(String::as_str))
        .collect();
    let listeners: BTreeSet<&String> = mounts().flat_map(|mount| &mount.listeners).collect();
    let patterns = taken.iter().copied().chain([""]);
    let hosts: BTreeSet<String> = patterns.map(|pattern| instance(pattern, &taken)).collect();
    // A client may send the host of one listener to any other listener.
    let place = |(listener, host): (&&String, &String)| Place {
        listener: (*listener).clone(),
        host: host.clone(),
    };
    let every = listeners
        .iter()
        .flat_map(|listener| hosts.iter().map(move |host| (listener, host)));
    every.map(place).collect()
}

/// Returns a host that the pattern matches and that no mount of either side names. A host that a
/// mount names would have its own table.
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

/// Mounts of a side, each with its API, by listener and host. A gateway can have thousands of
/// hosts, and each of them is a place.
pub(super) struct Mounted<'a>(FxHashMap<&'a str, ByHost<'a>>);

/// Mounts of a listener by host. Mounts without hosts have the key `""`.
type ByHost<'a> = FxHashMap<&'a str, Vec<(&'a ir::Api, &'a ir::Mount)>>;

impl<'a> Mounted<'a> {
    pub(super) fn of(lowered: &'a Lowered) -> Self {
        let mut all: FxHashMap<&str, ByHost<'_>> = FxHashMap::default();
        let apis = lowered.gateway.apis.iter();
        for (api, mount) in apis.flat_map(|api| api.mounts.iter().map(move |mount| (api, mount))) {
            let hosts: BTreeSet<&str> = match mount.hosts.is_empty() {
                true => [""].into(),
                false => mount.hosts.iter().map(String::as_str).collect(),
            };
            let listeners: BTreeSet<&String> = mount.listeners.iter().collect();
            for listener in listeners {
                for host in &hosts {
                    let by_host = all.entry(listener).or_default();
                    by_host.entry(host).or_default().push((api, mount));
                }
            }
        }
        Self(all)
    }

    /// Mounts that serve a host: mounts with the exact host, otherwise mounts with a matching
    /// wildcard, otherwise mounts without hosts.
    pub(super) fn owners(&self, place: &Place) -> &[(&'a ir::Api, &'a ir::Mount)] {
        let parent = place.host.split_once('.').map(|(_, parent)| parent);
        let wildcard = parent.map(|parent| format!("*.{parent}"));
        let hosts = [Some(place.host.as_str()), wildcard.as_deref(), Some("")];
        let mut owners = hosts.into_iter().flatten();
        let owners = owners.find_map(|host| self.0.get(place.listener.as_str())?.get(host));
        owners.map_or(&[], Vec::as_slice)
    }
}

/// Route: an operation at a mount, with its declared path or the trailing-slash variant of that
/// path. For an operation that serves undescribed requests: with one of the paths of these
/// requests.
#[derive(Clone, Debug)]
pub(super) struct Route<'a> {
    pub(super) api: &'a ir::Api,
    pub(super) mount: &'a ir::Mount,
    pub(super) operation: &'a ir::Operation,
    /// HTTP method. `None`: any method.
    pub(super) method: Option<&'a str>,
    /// Path template, with the base path of the mount.
    pub(super) template: Arc<Template>,
    /// True if the template is the trailing-slash variant of the declared path.
    pub(super) twin: bool,
    /// Precedence tier of the route.
    pub(super) tier: Tier,
    /// Conditions on the request besides method and path.
    pub(super) conditions: &'a [ir::Condition],
    /// Priority of the route. 0 for undescribed requests.
    pub(super) priority: i32,
    /// True if the operation serves the requests of this route. False: the requests get 404, and
    /// routes of lower precedence do not receive them.
    pub(super) serves: bool,
}

/// Precedence tier of a route. A later tier takes precedence over earlier tiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Tier {
    /// Undescribed requests: no template matches them. `API#unmatched` serves them, or they get
    /// 404.
    Unmatched,
    /// Undeclared methods on a matching template. `API#undeclared` serves them, or they get 405.
    Undeclared,
    /// Requests that fail the conditions of an operation. The answer is 404.
    Withheld,
    /// Requests that an operation describes. If the operation is `internal`, the answer is 404.
    Described,
    /// Requests of a path that the gateway answers itself for a login.
    Login,
}

/// Properties that determine which requests a route matches, and its precedence.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Signature {
    tier: Tier,
    segments: Vec<Segment>,
    prefix: bool,
    method: Option<String>,
    conditions: Vec<ir::Condition>,
    priority: i32,
    twin: bool,
    serves: bool,
}

/// Builds the routes at these mounts. `auth`: verifiers of the gateway. `merges`: true if the
/// listener merges slashes. Then no request matches a template with an empty segment before another
/// one.
pub(super) fn routes<'a>(
    owners: &[(&'a ir::Api, &'a ir::Mount)],
    auth: Option<&ir::Set<ir::Verifier>>,
    merges: bool,
) -> Vec<Route<'a>> {
    let mut routes = described(owners);
    if merges {
        routes.retain(|route| {
            let segments = route.template.segments();
            let before_last = segments.len().saturating_sub(1);
            let empty = Segment::Literal(String::new());
            !segments[..before_last].contains(&empty)
        });
    }
    let mut operations = owners.iter().flat_map(|(api, _)| &api.operations);
    // Routes that match requests without serving them matter only if an operation serves requests
    // that the document does not describe.
    if operations.any(|operation| !operation.owns.is_described()) {
        let rest = owners.iter().flat_map(|(api, mount)| rest(api, mount));
        let withheld: Vec<Route<'a>> = routes
            .iter()
            .filter(|route| !route.conditions.is_empty())
            .map(|route| Route {
                operation: &UNSERVED,
                tier: Tier::Withheld,
                conditions: &[],
                priority: 0,
                serves: false,
                ..route.clone()
            })
            .collect();
        routes.extend(rest);
        routes.extend(withheld);
    }
    routes.extend(auth.into_iter().flat_map(|auth| of_logins(owners, auth)));
    routes
}

/// Routes for the paths of logins, which the gateway answers itself, at the mounts of APIs whose
/// security schemes name a login. No operation receives requests for these paths, with any method.
fn of_logins<'a>(
    owners: &[(&'a ir::Api, &'a ir::Mount)],
    auth: &ir::Set<ir::Verifier>,
) -> Vec<Route<'a>> {
    let mut known = BTreeSet::new();
    let mut routes = Vec::new();
    for &(api, mount) in owners {
        let verifiers = api
            .schemes
            .iter()
            .filter_map(|scheme| match &scheme.verify {
                ir::Verify::Auth(name) => auth.get(name),
                ir::Verify::Upstream => None,
            });
        let logins = verifiers.filter_map(|verifier| match &verifier.checked {
            Checked::Oidc(login) => Some(login),
            _ => None,
        });
        let paths = logins.flat_map(|login| {
            let redirect = std::iter::once(login.redirect_path());
            redirect.chain(login.logout_path())
        });
        for path in paths.filter(|path| known.insert((*path).to_owned())) {
            let Ok(template) = Template::parse(path) else {
                continue;
            };
            routes.push(Route {
                api,
                mount,
                operation: &UNSERVED,
                method: None,
                template: Arc::new(template),
                twin: false,
                tier: Tier::Login,
                conditions: &[],
                priority: 0,
                serves: false,
            });
        }
    }
    routes
}

/// Placeholder operation of routes that serve no requests.
pub(super) static UNSERVED: LazyLock<ir::Operation> = LazyLock::new(|| ir::Operation {
    key: String::new(),
    method: String::new(),
    template: everything(),
    conditions: Vec::new(),
    priority: 0,
    treatment: 0,
    trailing_slash: TrailingSlash::Strict,
    owns: ir::Owns::Described,
});

/// Treatment of [`UNSERVED`] in an API without operations, which has no treatments.
static NO_TREATMENT: LazyLock<ir::Treatment> = LazyLock::new(|| ir::Treatment {
    security: ir::Security::default(),
    chain: Vec::new(),
    upstream: String::new(),
    timeout_ms: 0,
    max_body_bytes: None,
    declared: policy::declared::Settings::default(),
    forwarding: ir::Forwarding::default(),
    retries: None,
    path_readings: ir::PathReadings::default(),
});

/// Routes at a mount for requests that the document does not describe.
fn rest<'a>(api: &'a ir::Api, mount: &'a ir::Mount) -> Vec<Route<'a>> {
    let getting = |owns: ir::Owns| api.operations.iter().find(|one| one.owns == owns);
    let (undeclared, unmatched) = (getting(ir::Owns::Undeclared), getting(ir::Owns::Unmatched));
    let route = |tier, gets: Option<&'a ir::Operation>, template: Template| Route {
        api,
        mount,
        operation: gets.unwrap_or(&UNSERVED),
        method: None,
        template: Arc::new(template.behind(&mount.base_path)),
        twin: false,
        tier,
        conditions: &[],
        priority: 0,
        serves: gets.is_some(),
    };
    let mut routes = vec![route(Tier::Unmatched, unmatched, everything())];
    let described = api.operations.iter().filter(|one| one.owns.is_described());
    let described = described.flat_map(|one| {
        let twins = one.trailing_slash != TrailingSlash::Strict;
        let twin = one.template.twin().filter(|_| twins);
        [Some(one.template.clone()), twin].into_iter().flatten()
    });
    let templates: BTreeSet<Template> = described.collect();
    routes.extend(
        templates
            .into_iter()
            .map(|template| route(Tier::Undeclared, undeclared, template)),
    );
    for hidden in &api.hidden {
        for template in [Some(hidden.template.clone()), hidden.template.twin()] {
            let Some(template) = template else { continue };
            routes.push(route(Tier::Undeclared, None, template));
        }
    }
    routes
}

/// Routes of the operations that the documents describe. Routes of `internal` operations serve no
/// requests. Leaves out operations with methods that are never served.
fn described<'a>(owners: &[(&'a ir::Api, &'a ir::Mount)]) -> Vec<Route<'a>> {
    let of = |&(api, mount): &(&'a ir::Api, &'a ir::Mount)| {
        let all = api.operations.iter();
        let served = all
            .filter(|operation| operation.owns.is_described() && !is_unserved(&operation.method));
        let served = served.flat_map(move |operation| {
            let has_twin = operation.trailing_slash != TrailingSlash::Strict;
            let forms = forms(&operation.template, has_twin);
            forms.map(move |(template, twin)| Route {
                api,
                mount,
                operation,
                method: Some(&operation.method),
                template: Arc::new(template.behind(&mount.base_path)),
                twin,
                tier: Tier::Described,
                conditions: &operation.conditions,
                priority: operation.priority,
                serves: true,
            })
        });
        let internal = api.hidden.iter().flat_map(move |hidden| {
            forms(&hidden.template, true).map(move |(template, twin)| Route {
                api,
                mount,
                operation: &UNSERVED,
                method: Some(&hidden.method),
                template: Arc::new(template.behind(&mount.base_path)),
                twin,
                tier: Tier::Described,
                conditions: &hidden.conditions,
                priority: hidden.priority,
                serves: false,
            })
        });
        served.chain(internal)
    };
    owners.iter().flat_map(of).collect()
}

/// Declared path of an operation and, if `has_twin`, the trailing-slash variant of that path.
fn forms(template: &Template, has_twin: bool) -> impl Iterator<Item = (Template, bool)> + use<> {
    let twin = template.twin().filter(|_| has_twin);
    let declared = (template.clone(), false);
    let forms = [Some(declared), twin.map(|twin| (twin, true))];
    forms.into_iter().flatten()
}

impl<'a> Route<'a> {
    /// Operation of the route, with its API and mount.
    pub(super) fn operation_at(&self) -> OperationAt<'a> {
        OperationAt {
            api: self.api,
            mount: self.mount,
            operation: self.operation,
        }
    }
}

impl Route<'_> {
    pub(super) fn signature(&self) -> Signature {
        Signature {
            tier: self.tier,
            segments: self
                .template
                .segments()
                .iter()
                .map(Segment::erased)
                .collect(),
            prefix: self.template.is_prefix(),
            method: self.method.map(str::to_owned),
            conditions: self.conditions.to_vec(),
            priority: self.priority,
            twin: self.twin,
            serves: self.serves,
        }
    }

    /// Text that identifies the requests of the route, for fingerprints: all parts of its
    /// signature.
    pub(super) fn requests(&self) -> String {
        let Signature {
            tier,
            segments,
            prefix,
            method,
            conditions,
            priority,
            twin,
            serves: _,
        } = self.signature();
        let method = match tier {
            Tier::Described => method.unwrap_or_default(),
            Tier::Login | Tier::Withheld | Tier::Undeclared | Tier::Unmatched => {
                format!("{tier:?}")
            }
        };
        let mut text = format!("{method} {priority} {prefix} {twin} {conditions:?}");
        for segment in segments {
            let folded = match &segment {
                Segment::Folded(_) => "~",
                Segment::Pattern(pattern) if pattern.folded => "~",
                Segment::Literal(_) | Segment::Parameter(_) | Segment::Pattern(_) => "",
            };
            text.push_str(&format!(" /{folded}{segment}"));
        }
        text
    }

    /// True if the route matches requests of this method. A GET route also matches HEAD.
    pub(super) fn takes(&self, method: &str) -> bool {
        self.method
            .is_none_or(|own| own == method || method == "HEAD" && own == "GET")
    }

    /// Compares the precedence of two routes that match a request of this method: by tier,
    /// priority, template, exact method, declared path before trailing-slash variant, conditions.
    /// Last, a served operation precedes an `internal` operation.
    pub(super) fn compare(&self, other: &Self, method: &str) -> Ordering {
        let tiers = self.tier.cmp(&other.tier);
        if tiers.is_ne() {
            return tiers;
        }
        let templates = || compare_templates(&self.template, &other.template);
        let has_method = |route: &Self| route.method == Some(method);
        match self.tier {
            Tier::Described => self
                .priority
                .cmp(&other.priority)
                .then_with(templates)
                .then_with(|| has_method(self).cmp(&has_method(other)))
                .then_with(|| other.twin.cmp(&self.twin))
                .then_with(|| compare_conditions(self.conditions, other.conditions))
                // A served operation precedes an `internal` operation with the same requests.
                .then_with(|| self.serves.cmp(&other.serves)),
            // No operation serves the requests of these routes, so the order of the routes does not
            // matter.
            Tier::Withheld | Tier::Login => Ordering::Equal,
            Tier::Undeclared | Tier::Unmatched => {
                templates().then_with(|| self.serves.cmp(&other.serves))
            }
        }
    }

    /// True if both routes can match a request with the same method. A route without a method
    /// matches every method. A GET route also matches HEAD, even if there is a HEAD route.
    pub(super) fn meets(&self, other: &Self) -> bool {
        match (self.method, other.method) {
            (Some(a), Some(b)) => self.takes(b) || other.takes(a),
            (None, _) | (_, None) => true,
        }
    }

    /// True if both routes have the same API, mount, method and path, so that only the name of the
    /// operation may differ.
    pub(super) fn is_renamed(&self, other: &Self) -> bool {
        self.api.name == other.api.name
            && self.mount.name == other.mount.name
            && self.operation.owns == other.operation.owns
            && self.redirects() == other.redirects()
            && self.signature() == other.signature()
    }

    /// True if the route only redirects to the declared path.
    pub(super) fn redirects(&self) -> bool {
        self.twin && self.operation.trailing_slash == TrailingSlash::Redirect
    }

    /// True if upstreams may read paths that the template matches in several ways because of its
    /// literals.
    pub(super) fn is_ambiguous(&self) -> bool {
        // Case-insensitive literals are in lower case, but the check expects escapes in upper case.
        let text = self.template.to_string().to_ascii_uppercase();
        engine::path::is_ambiguous(&text)
    }

    /// Route id as in the engine: `KEY@MOUNT`.
    pub(super) fn id(&self) -> String {
        format!("{}@{}", self.operation.key, self.mount.name)
    }

    pub(super) fn treatment(&self) -> &ir::Treatment {
        let own = self.api.treatments.get(self.operation.treatment as usize);
        own.unwrap_or(&NO_TREATMENT)
    }

    pub(super) fn reference(&self) -> OperationRef {
        let key = &self.operation.key;
        let id = key.strip_prefix(&format!("{}/", self.api.name));
        OperationRef {
            key: key.clone(),
            id: id.map(str::to_owned),
            method: self.operation.method.clone(),
            path: self.template.to_string(),
            mount: self.mount.name.clone(),
            host: self.mount.hosts.first().cloned().unwrap_or_default(),
            api: self.api.name.clone(),
        }
    }
}

/// True if a side has the operation of a route, at any mount.
pub(super) fn has(side: &Lowered, route: &Route<'_>) -> bool {
    let api = side.gateway.apis.get(&route.api.name);
    api.is_some_and(|api| api.operations.get(&route.operation.key).is_some())
}

/// Name of a route's operation, for display.
pub(super) fn owner(route: &Route<'_>) -> String {
    let redirects = if route.redirects() {
        " (redirects)"
    } else {
        ""
    };
    format!("{}{redirects}", route.id())
}
