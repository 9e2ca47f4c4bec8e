//! A request that is treated differently, checked with both engines before it is shown.

use std::net::IpAddr;

use base64::Engine as _;
use bundle::ir::{self, Gateway};
use engine::Verdict;
use policy::auth::Place;
use sha2::{Digest as _, Sha256};

use super::routing::Values;
use super::{Outcome, Witness, WitnessCredential};
use crate::ask::{OUTSIDER, Oracle, Question};
pub use crate::security::AT_S;
use crate::security::{self, Tokens};

/// Key of a witness that needs a valid one.
const KEY: &str = "valid";
/// User and password of a witness.
const PAIR: &str = "valid:valid";
/// Credential of which only the presence is checked.
const FORGED: &str = "forged";
/// Consumer that owns the credentials of a witness. No gateway.yaml can define this name.
pub(crate) const OWNER: &str = "~witness";

/// Adds the witness's credentials to a gateway as valid ones.
pub fn with_witness(gateway: &Gateway) -> Gateway {
    let hash = |text: &str| ir::Credential {
        sha256: Sha256::digest(text).into(),
        not_after: None,
    };
    let mut gateway = gateway.clone();
    let mut consumers: Vec<ir::Consumer> = gateway.shared.consumers.iter().cloned().collect();
    consumers.push(ir::Consumer {
        name: OWNER.into(),
        keys: vec![hash(KEY)],
        basic: vec![hash(PAIR)],
        declared: policy::declared::Settings::default(),
        claims: policy::declared::Settings::default(),
        groups: Vec::new(),
    });
    if let Ok(consumers) = ir::Set::new(consumers) {
        gateway.shared.consumers = consumers;
    }
    gateway
}

/// Request of a witness with its credentials.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) listener: String,
    pub(super) host: String,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) values: Values,
    /// Peer that opens the connection, if the peer decides.
    pub(super) peer: Option<IpAddr>,
    /// Address of the client, if a filter of addresses decides.
    pub(super) client: Option<IpAddr>,
}

/// Credentials of an alternative, and the way in which a request carries them: valid if a verifier
/// checks them, forged if only their presence counts. Default of `tokens`:
/// those that the alternative asks for.
pub(super) fn credentials(
    (alternative, tokens): (&ir::Alternative, Option<&Tokens>),
    schemes: &ir::Set<ir::Scheme>,
    verifiers: &ir::Set<ir::Verifier>,
) -> (Values, Vec<WitnessCredential>) {
    let made;
    let tokens = match tokens {
        Some(tokens) => tokens,
        None => {
            made = security::tokens(alternative, schemes, verifiers, AT_S);
            &made
        }
    };
    let mut values = Values::default();
    let mut cookies: Vec<String> = Vec::new();
    let mut credentials = Vec::new();
    for wanted in &alternative.0 {
        let Some(scheme) = schemes.get(&wanted.scheme) else {
            continue;
        };
        let valid =
            matches!(&scheme.verify, ir::Verify::Auth(name) if verifiers.get(name).is_some());
        let token = tokens.get(&scheme.place).filter(|_| valid);
        let text = token.map_or_else(|| credential(scheme, valid), Clone::clone);
        match &scheme.place {
            Place::Header(name) => values.headers.push((name.clone(), text)),
            Place::Query(name) => values.query.push((name.clone(), text)),
            Place::Cookie(name) => cookies.push(format!("{name}={text}")),
            Place::Authorization(kind) => values
                .headers
                .push(("authorization".into(), format!("{kind} {text}"))),
            // A client certificate is part of the connection, not of a request.
            Place::Certificate => {}
        }
        credentials.push(WitnessCredential {
            scheme: scheme.name.clone(),
            state: if valid { "valid" } else { "forged" },
            scopes: wanted.scopes.clone(),
        });
    }
    if !cookies.is_empty() {
        values.headers.push(("cookie".into(), cookies.join("; ")));
    }
    (values, credentials)
}

/// Returns a credential for its place: one that is valid in a gateway of [`with_witness`], or an
/// unknown one.
pub(crate) fn credential(scheme: &ir::Scheme, valid: bool) -> String {
    match (&scheme.place, valid) {
        (Place::Authorization(kind), true) if kind == "basic" => {
            base64::engine::general_purpose::STANDARD.encode(PAIR)
        }
        (_, true) => KEY.to_owned(),
        (_, false) => FORGED.to_owned(),
    }
}

impl Draft {
    /// Runs the request through a gateway. Returns the route that owns it (`KEY@MOUNT`), whatever
    /// its chain decides, and the outcome. None if the gateway has no such listener.
    pub(super) fn ask(&self, oracle: &Oracle) -> Option<(Option<String>, Outcome)> {
        let question = self.question(oracle)?;
        let listener = &oracle.snapshot().listeners()[question.listener];
        if let (Some(peer), Some(header)) = (self.peer, &listener.proxy_protocol)
            && !header.from.iter().any(|range| range.contains(peer))
        {
            return Some((None, Outcome::Closed));
        }
        let said = oracle.ask(&question, |decided, _, _| {
            let owner = decided.route.map(|route| route.id.as_str().to_owned());
            let outcome = match (&decided.verdict, &decided.route) {
                (Verdict::Reject(refusal), route) => Outcome::Refused {
                    status: oracle.snapshot().status_of(route.as_ref(), refusal.reject),
                },
                // The request is redirected to the declared path, so no operation served it.
                (Verdict::Reply(reply), Some(route)) if decided.ran == 0 && redirects(route) => {
                    Outcome::Refused {
                        status: reply.status.as_u16(),
                    }
                }
                // A policy with such a response admits no request.
                (Verdict::Reply(reply), Some(_)) if reply.status.as_u16() >= 400 => {
                    Outcome::Refused {
                        status: reply.status.as_u16(),
                    }
                }
                (Verdict::Reply(_), Some(route)) => Outcome::Served {
                    operation: route.operation.key.clone(),
                    upstream: None,
                },
                (Verdict::Forward, Some(route)) => {
                    let upstream = route.treatment.upstream as usize;
                    let upstreams = oracle.snapshot().upstreams();
                    Outcome::Served {
                        operation: route.operation.key.clone(),
                        upstream: upstreams.get(upstream).map(|it| it.name.to_string()),
                    }
                }
                (Verdict::Forward | Verdict::Reply(_), None) => Outcome::Refused { status: 404 },
            };
            (owner, outcome)
        });
        Some(said.unwrap_or_else(|reject| {
            let status = oracle.snapshot().status_of(None, reject);
            (None, Outcome::Refused { status })
        }))
    }

    /// Request as sent by [`OUTSIDER`] or the peer. None if the gateway has no such listener.
    fn question(&self, oracle: &Oracle) -> Option<Question> {
        let listener = oracle
            .snapshot()
            .listeners()
            .iter()
            .position(|listener| *listener.name == *self.listener)?;
        let mut request = http::Request::builder()
            .method(self.method.as_str())
            .uri(self.target())
            .header("host", &self.host);
        for (name, value) in &self.values.headers {
            request = request.header(name, value);
        }
        let request = request.body(()).ok()?.into_parts().0;
        Some(Question {
            listener,
            request,
            peer: self.client.or(self.peer).unwrap_or(OUTSIDER),
            unix_s: AT_S,
        })
    }

    /// Size of the request target, in bytes.
    pub(super) fn target_bytes(&self) -> usize {
        self.target().len()
    }

    fn target(&self) -> String {
        let pairs: Vec<String> = self
            .values
            .query
            .iter()
            .map(|(name, value)| format!("{}={}", escaped(name), escaped(value)))
            .collect();
        if pairs.is_empty() {
            self.path.clone()
        } else {
            format!("{}?{}", self.path, pairs.join("&"))
        }
    }

    /// Witness as plans show it.
    pub(super) fn shown(
        &self,
        credentials: Vec<WitnessCredential>,
        old: Outcome,
        new: Outcome,
    ) -> Witness {
        Witness {
            method: self.method.clone(),
            url: format!("http://{}{}", self.host, self.target()),
            headers: self.values.headers.clone(),
            credentials,
            listener: self.listener.clone(),
            peer: self.client.or(self.peer),
            old,
            new,
        }
    }
}

/// True if the operation redirects a path that differs from the declared one by a final slash.
fn redirects(route: &engine::RouteRef<'_>) -> bool {
    route.operation.trailing_slash == ir::TrailingSlash::Redirect
}

/// Message about a witness that does not show the change of an operation.
pub(super) fn bug(witness: &Witness, key: &str) -> String {
    format!(
        "{} {} does not show what changed for `{key}`: {:?} before, {:?} after",
        witness.method, witness.url, witness.old, witness.new
    )
}

/// Name or value, escaped for a query.
pub(crate) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(char::from(byte));
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}
