//! Result of one logged request on one side: the request that the upstream receives, the gateway's
//! own response, or the refusal.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use bundle::ir;
use engine::edge::Admitted;
use engine::forward::{self, Origin, Relay, ThisHop};
use engine::{Decided, RouteRef, Verdict};
use http::HeaderValue;
use policy::Cx;

use crate::ask::{Oracle, Question};
use crate::route::last_split;

/// Result of a request on one side.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The upstream receives the request.
    Forwarded(Box<Forwarded>),
    /// The gateway itself responds, for example with a redirect.
    Answered {
        /// Status of the response.
        status: u16,
        /// Value of `Location`.
        location: Option<HeaderValue>,
    },
    /// The gateway refuses the request for this reason.
    Refused(&'static str),
    /// The result depends on the answer of another service.
    Open,
}

/// Request that an upstream receives.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Forwarded {
    /// Servers that may receive the request. `None` if the request id selects the upstream.
    pub(super) servers: Option<BTreeSet<String>>,
    /// Request that the first server receives. `None` if no server is known in advance.
    pub(super) head: Option<Head>,
}

/// Head of a request to a server.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// HTTP method.
    pub(super) method: String,
    /// Path and query.
    pub(super) target: String,
    /// Values of header fields, by name.
    pub(super) fields: BTreeMap<String, Vec<Vec<u8>>>,
}

/// Decides a request on one side.
pub(super) fn of(oracle: &Oracle, question: &Question) -> Outcome {
    let decided = oracle.ask(question, |decided, admitted, cx| match &decided.verdict {
        Verdict::Forward => match &decided.route {
            Some(route) => {
                let sent = forwarded(oracle, question, (decided, route), &admitted, cx);
                Outcome::Forwarded(Box::new(sent))
            }
            None => Outcome::Open,
        },
        Verdict::Reply(reply) => Outcome::Answered {
            status: reply.status.as_u16(),
            location: reply.headers.get(http::header::LOCATION).cloned(),
        },
        Verdict::Reject(refusal) => Outcome::Refused(refusal.reason),
        Verdict::Ask(_) => Outcome::Open,
    });
    decided.unwrap_or_else(|reject| Outcome::Refused(reject.code))
}

/// Builds the request that the upstream receives.
fn forwarded(
    oracle: &Oracle,
    question: &Question,
    (decided, route): (&Decided<'_>, &RouteRef<'_>),
    admitted: &Admitted,
    cx: &Cx<'_>,
) -> Forwarded {
    let snapshot = oracle.snapshot();
    let index = decided.upstream(snapshot, cx);
    let upstream = &snapshot.upstreams()[index.unwrap_or(route.treatment.upstream) as usize];
    let is_by_request = last_split(route).is_some_and(|split| split.is_by_request(cx));
    let targets = || upstream.targets.iter().filter(|target| target.weight > 0);
    let found = upstream.discovery.as_ref().map(ir::Discovery::target);
    let found = || found.iter().filter(|target| !target.host.is_empty());
    let discovery = upstream.discovery.iter().map(|one| format!("{one:?}"));
    let servers = targets().map(server).chain(discovery).collect();
    let head = targets().chain(found()).next().map(|target| {
        let listener = &snapshot.listeners()[question.listener];
        let origin = origin(question.peer, listener.scheme, admitted);
        let relay = Relay {
            route,
            upstream,
            target,
            origin: &origin,
            cx,
        };
        head(&forward::outbound(&admitted.head, relay))
    });
    Forwarded {
        servers: (!is_by_request).then_some(servers),
        head,
    }
}

/// Connection of the request. The request id is the same on both sides.
fn origin(peer: IpAddr, scheme: &'static str, admitted: &Admitted) -> Origin {
    Origin {
        hop: Arc::new(ThisHop::new(peer, scheme, &admitted.authority)),
        version: admitted.version,
        request_id: HeaderValue::from_static("0"),
        certificate: None,
    }
}

fn server(target: &ir::Target) -> String {
    match target.socket() {
        Some(socket) => format!("unix:{socket}"),
        None => format!("{}://{}", target.scheme(), target.authority()),
    }
}

fn head(outbound: &forward::Outbound<'_>) -> Head {
    let mut fields: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    for (name, value) in &outbound.to_headers() {
        let values = fields.entry(name.as_str().to_owned()).or_default();
        values.push(value.as_bytes().to_owned());
    }
    Head {
        method: outbound.method().as_str().to_owned(),
        target: outbound.target().as_str().to_owned(),
        fields,
    }
}
