//! Request that an upstream would receive, and response that the gateway itself would send.

use std::collections::BTreeSet;
use std::sync::Arc;

use bundle::ir;
use engine::edge::Admitted;
use engine::forward::{self, Origin, Relay, ThisHop};
use engine::{ChainStep, Decided, RouteRef, Verdict};
use http::HeaderMap;
use policy::Cx;
use policy::auth::Place as CredentialPlace;
use policy::logged::{LoggedParameters, SecretParameters};
use policy::traffic::split;

use super::own_fields::OwnFields;
use super::route_request::RouteRequest;
use model::source_map::Place;

/// Placeholder for a secret value.
const HIDDEN: &str = "(hidden)";
/// Header field whose value is new for each request.
const REQUEST_ID: &str = "x-request-id";

/// Upstream that receives the request, and the request that it receives.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Name of the upstream.
    pub name: String,
    /// Source location of the upstream's definition. `None` without a source map.
    pub place: Option<Place>,
    /// Targets of the upstream. One of them, selected by weight, receives the request.
    pub targets: Vec<Target>,
    /// Request that the first target receives. `None` if the targets are not known in advance.
    pub request: Option<Head>,
    /// Header fields that the gateway adds, with their values.
    pub added: Vec<(String, String)>,
    /// Header fields that the gateway changes: name, received value, forwarded value.
    pub changed: Vec<(String, String, String)>,
    /// Header fields that the gateway removes.
    pub removed: Vec<String>,
    /// Maximum size of the request body, in bytes. `None`: the gateway has no limit for this
    /// operation.
    pub max_body_bytes: Option<u64>,
    /// Timeout for the response head, in milliseconds.
    pub timeout_ms: u64,
    /// Shares of the split that applies. Empty without a split.
    pub shares: Vec<Share>,
    /// True if the request id selects the share of a split. Another request of the same client may
    /// then go to another upstream.
    pub by_request: bool,
    /// Upstreams that receive a copy of the request.
    pub mirrors: Vec<String>,
}

/// Share of the requests that a split sends to one upstream.
#[derive(Clone, Debug)]
pub struct Share {
    /// Name of the upstream.
    pub upstream: String,
    /// Weight of the share. `None` if a condition selects the upstream.
    pub weight: Option<u32>,
}

/// Target of an upstream.
#[derive(Clone, Debug)]
pub struct Target {
    /// Name of the target.
    pub name: String,
    /// Weight of the target in load balancing.
    pub weight: u32,
    /// URL of the request.
    pub url: String,
    /// Value of the `Host` field.
    pub host: String,
}

/// Request head with secret values hidden.
#[derive(Clone, Debug)]
pub struct Head {
    /// HTTP method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Header fields. For a repeated field, its last value.
    pub headers: Vec<(String, String)>,
}

/// Response that the gateway itself sends.
#[derive(Clone, Debug)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// Header fields that the decision adds, and that are known in advance.
    pub headers: Vec<(String, String)>,
    /// Header fields that gwd adds to each of its own responses.
    pub own_fields: OwnFields,
}

impl Response {
    /// Creates a response whose fields are not known in advance.
    pub(super) fn status(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            own_fields: OwnFields::without_decision(),
        }
    }
}

/// Fields and query parameters that carry credentials of an API. Their values are hidden.
struct Secrets {
    fields: BTreeSet<String>,
    parameters: Vec<Box<str>>,
    /// Parameters of the operation whose form in logs `log` or `redact` sets.
    logged: LoggedParameters,
}

/// Response that the gateway itself sends. `None` if the request is forwarded.
pub(super) fn response(route_request: RouteRequest<'_>, decided: &Decided<'_>) -> Option<Response> {
    let snapshot = route_request.oracle.snapshot();
    let own_fields = || OwnFields::of(route_request, decided);
    match &decided.verdict {
        Verdict::Forward | Verdict::Ask(_) => None,
        Verdict::Reply(reply) => Some(Response {
            status: reply.status.as_u16(),
            headers: fields(&reply.headers),
            own_fields: own_fields(),
        }),
        Verdict::Reject(refusal) => {
            let mut headers = Vec::new();
            let text =
                |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
            if let Some(allow) = &refusal.allow {
                headers.push(("allow".to_owned(), text(allow)));
            }
            let status = snapshot.status_of(decided.route.as_ref(), refusal.reject);
            if let (401 | 403, Some(route)) = (status, &decided.route) {
                let challenges = route.treatment.challenges(refusal.reject).iter();
                headers.extend(challenges.map(|one| ("www-authenticate".to_owned(), text(one))));
                let wanted = route.treatment.accepted_signatures(refusal.reject).iter();
                headers.extend(wanted.map(|one| ("accept-signature".to_owned(), text(one))));
            }
            Some(Response {
                status,
                headers,
                own_fields: own_fields(),
            })
        }
    }
}

/// Upstream of the request, and the request as the gateway forwards it to each target.
pub(super) fn upstream(
    route_request: RouteRequest<'_>,
    decided: &Decided<'_>,
    route: &RouteRef<'_>,
    admitted: &Admitted,
    cx: &Cx<'_>,
) -> Upstream {
    let snapshot = route_request.oracle.snapshot();
    let chosen = decided.upstream(snapshot, cx);
    let service = &snapshot.upstreams()[chosen.unwrap_or(route.treatment.upstream) as usize];
    let origin = Origin {
        hop: Arc::new(ThisHop::new(
            route_request.question.peer,
            snapshot.listeners()[route_request.question.listener].scheme,
            &admitted.authority,
        )),
        version: admitted.version,
        request_id: admitted
            .request_id
            .clone()
            .unwrap_or(http::HeaderValue::from_static("0")),
        certificate: None,
    };
    let secrets = Secrets::of(route_request, route);
    let mut targets = Vec::new();
    let mut first: Option<policy::RequestHead> = None;
    let found = service.discovery.as_ref().map(ir::Discovery::target);
    let found = found.iter().filter(|target| !target.host.is_empty());
    let meant = service.targets.iter().chain(found);
    for target in meant.filter(|target| target.weight > 0) {
        let mut head = admitted.head.clone();
        let relay = Relay {
            route,
            upstream: service,
            target,
            origin: &origin,
            cx,
        };
        forward::prepare(&mut head, relay);
        targets.push(Target {
            name: target.name.clone(),
            weight: target.weight,
            url: url(target, &secrets.target(head.target.as_str())),
            host: head
                .headers
                .get(http::header::HOST)
                .map(|host| String::from_utf8_lossy(host.as_bytes()).into_owned())
                .unwrap_or_default(),
        });
        first.get_or_insert(head);
    }
    let split = last_split(route);
    let mut shown = Upstream {
        name: service.name.clone(),
        place: route_request
            .definition(&format!("upstream {}", service.name))
            .cloned(),
        targets,
        request: None,
        added: Vec::new(),
        changed: Vec::new(),
        removed: Vec::new(),
        max_body_bytes: route.treatment.max_body_bytes,
        timeout_ms: route.treatment.timeout_ms,
        shares: split.map(shares).unwrap_or_default(),
        by_request: cx.upstream.is_some() && split.is_some_and(|split| split.is_by_request(cx)),
        mirrors: cx
            .mirrors
            .iter()
            .map(|one| one.upstream.to_owned())
            .collect(),
    };
    if let Some(head) = first {
        // The request id of a trusted peer is forwarded unchanged.
        let is_kept = admitted.request_id.is_some();
        shown.differ(
            &route_request.question.request.headers,
            &head.headers,
            &secrets,
            is_kept,
        );
        let headers = head.headers.iter();
        let headers = headers.filter(|(name, _)| is_kept || *name != REQUEST_ID);
        shown.request = Some(Head {
            method: head.method.as_str().to_owned(),
            path: secrets.target(head.target.as_str()),
            headers: headers
                .map(|(name, value)| (name.to_string(), secrets.value(name.as_str(), value)))
                .collect(),
        });
    }
    shown
}

/// Last split of the chain. Earlier splits have no effect.
pub(crate) fn last_split<'a>(route: &RouteRef<'a>) -> Option<&'a split::Filter> {
    let mut steps = route.treatment.chain.iter().rev();
    steps.find_map(|step| match step {
        ChainStep::Filter(_, filter) => match &**filter {
            policy::Filter::Split(split) => Some(split),
            _ => None,
        },
        ChainStep::Authenticate | ChainStep::Strip | ChainStep::RemoveParameters => None,
    })
}

/// Shares of a split.
fn shares(split: &split::Filter) -> Vec<Share> {
    let share = |share: &split::Share| Share {
        upstream: share.upstream.clone(),
        weight: share.when.is_none().then_some(share.weight),
    };
    split.shares().iter().map(share).collect()
}

/// URL of a request. For a UNIX socket: the path of the socket, followed by the path of the
/// request.
fn url(target: &ir::Target, path: &str) -> String {
    match target.socket() {
        Some(socket) => format!("unix:{socket}:{path}"),
        None => format!("{}://{}{path}", target.scheme(), target.authority()),
    }
}

impl Upstream {
    /// Records fields that differ between the client's request and the forwarded request. `is_kept`
    /// is true if the client's request id is forwarded.
    fn differ(&mut self, sent: &HeaderMap, gets: &HeaderMap, secrets: &Secrets, is_kept: bool) {
        let all = |fields: &HeaderMap, name: &str| -> Vec<Vec<u8>> {
            let values = fields.get_all(name).iter();
            values.map(|value| value.as_bytes().to_owned()).collect()
        };
        let shown = |fields: &HeaderMap, name: &str| -> String {
            let values = fields.get_all(name).iter();
            let values: Vec<String> = values.map(|value| secrets.value(name, value)).collect();
            values.join(", ")
        };
        let names: BTreeSet<&str> = sent
            .keys()
            .chain(gets.keys())
            .map(|name| name.as_str())
            .collect();
        for name in names {
            let (before, after) = (all(sent, name), all(gets, name));
            if name == REQUEST_ID && !is_kept {
                self.added
                    .push((name.to_owned(), "(one per request)".to_owned()));
            } else if before.is_empty() {
                self.added.push((name.to_owned(), shown(gets, name)));
            } else if after.is_empty() {
                self.removed.push(name.to_owned());
            } else if before != after {
                let (old, new) = (shown(sent, name), shown(gets, name));
                self.changed.push((name.to_owned(), old, new));
            }
        }
    }
}

impl Secrets {
    fn of(route_request: RouteRequest<'_>, route: &RouteRef<'_>) -> Self {
        let mut secrets = Self {
            fields: ["authorization", "cookie", "proxy-authorization"]
                .map(str::to_owned)
                .into(),
            parameters: Vec::new(),
            logged: route.treatment.logged.clone(),
        };
        let api = route_request.gateway().apis.get(route.api);
        for scheme in api.into_iter().flat_map(|api| &api.schemes) {
            match &scheme.place {
                CredentialPlace::Header(name) => drop(secrets.fields.insert(name.clone())),
                CredentialPlace::Query(name) => secrets.parameters.push(name.as_str().into()),
                CredentialPlace::Cookie(_)
                | CredentialPlace::Authorization(_)
                | CredentialPlace::Certificate => {}
            }
        }
        secrets
    }

    fn value(&self, name: &str, value: &http::HeaderValue) -> String {
        if value.is_sensitive() || self.fields.contains(name) {
            return HIDDEN.to_owned();
        }
        match &*String::from_utf8_lossy(value.as_bytes()) {
            text if name == "x-consumer-name" => super::credential::owner(text),
            text => text.to_owned(),
        }
    }

    /// Returns the request target. Hides the values of credential parameters and of parameters that
    /// logs do not show.
    fn target(&self, target: &str) -> String {
        let secret = SecretParameters::new(&self.parameters);
        policy::logged::shown_target(target, (&secret, &self.logged), HIDDEN)
    }
}

fn fields(headers: &HeaderMap) -> Vec<(String, String)> {
    let all = headers.iter();
    all.map(|(name, value)| {
        let text = match value.is_sensitive() {
            true => HIDDEN.to_owned(),
            false => String::from_utf8_lossy(value.as_bytes()).into_owned(),
        };
        (name.to_string(), text)
    })
    .collect()
}
