//! Witnesses: requests with different outcomes on the two sides. Before a witness is shown, the old
//! and the new engine confirm the outcomes.

use std::collections::BTreeSet;
use std::net::IpAddr;

use base64::Engine as _;
use bundle::ir::{self, Gateway};
use engine::{ChainStep, Verdict};
use policy::auth::{Checked, Place, dpop};
use policy::declared::{Scalar, Settings, Value};
use policy::guard::authorize::ROLES;
use sha2::{Digest as _, Sha256};

use super::values::Values;
use super::{Outcome, Witness, WitnessCredential};
use crate::ask::{OUTSIDER, Oracle, Question};
pub use crate::security::AT_S;
use crate::security::{self, Tokens};
use validator::escaped;
use validator::example_response::ResponseExample;

/// API key in a witness that needs a valid API key.
const KEY: &str = "valid";
/// User and password in a witness.
const PAIR: &str = "valid:valid";
/// Credential in a witness if only its presence is checked.
const FORGED: &str = "forged";
/// Name of the consumer that owns the credentials of witnesses. Names of consumers with roles begin
/// with this name. gateway.yaml cannot define such names.
pub(crate) const OWNER: &str = "~witness";

/// Sets of roles, and consumers, for which a gateway accepts credentials of witnesses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoleSets {
    sets: BTreeSet<BTreeSet<String>>,
    /// Names of consumers with certificates, if a requirement combines a certificate with a key or
    /// password. The key must then belong to the owner of the certificate.
    owners: BTreeSet<String>,
}

impl RoleSets {
    /// Sets of roles named in requirements of these gateways: of each alternative, and of each
    /// scheme of an API.
    pub fn of<'g>(gateways: impl IntoIterator<Item = &'g Gateway>) -> Self {
        let mut sets = BTreeSet::from([BTreeSet::new()]);
        let (mut owners, mut are_combined) = (BTreeSet::new(), false);
        for gateway in gateways {
            let listing = gateway.shared.consumers.iter();
            let listing = listing.filter(|consumer| !consumer.certificates.is_empty());
            owners.extend(listing.map(|consumer| consumer.name.clone()));
            for api in &gateway.apis {
                let security = || api.treatments.iter().map(|one| &one.security);
                let alternatives = || security().flat_map(|one| &one.0);
                sets.extend(alternatives().map(|one| required_roles(&one.0)));
                let all = security().flat_map(ir::Security::uses);
                sets.insert(required_roles(all));
                let verifiers = &gateway.shared.auth;
                are_combined |= alternatives().any(|one| has_owners(one, &api.schemes, verifiers));
            }
        }
        if !are_combined {
            owners.clear();
        }
        Self { sets, owners }
    }
}

/// Roles named in schemes of a requirement.
pub(crate) fn required_roles<'u>(
    uses: impl IntoIterator<Item = &'u ir::SchemeUse>,
) -> BTreeSet<String> {
    let roles = uses.into_iter().flat_map(|wanted| &wanted.roles);
    roles.cloned().collect()
}

/// Text that names a set of roles: empty for no roles, otherwise a dash and a part of its digest.
fn suffix(roles: &BTreeSet<String>) -> String {
    if roles.is_empty() {
        return String::new();
    }
    let names: Vec<&str> = roles.iter().map(String::as_str).collect();
    let digest = bundle::digest::Digest::of(names.join("\0").as_bytes());
    format!("-{}", &digest.hex()[..12])
}

/// Text that names a set of roles, and the owner of a certificate of the same request.
fn suffix_of(roles: &BTreeSet<String>, owner: Option<&str>) -> String {
    let suffix = suffix(roles);
    match owner {
        None => suffix,
        Some(name) => {
            let digest = bundle::digest::Digest::of(name.as_bytes());
            format!("{suffix}-{}", &digest.hex()[..12])
        }
    }
}

/// True if an alternative requires a key or password, and a certificate or signature. All of them
/// must then belong to one consumer, if a consumer lists the certificate or key id.
pub(super) fn has_owners(
    alternative: &ir::Alternative,
    schemes: &ir::Set<ir::Scheme>,
    verifiers: &ir::Set<ir::Verifier>,
) -> bool {
    let has = |kinds: [&str; 2]| {
        alternative.0.iter().any(|wanted| {
            let verify = schemes.get(&wanted.scheme).map(|scheme| &scheme.verify);
            let Some(ir::Verify::Auth(name)) = verify else {
                return false;
            };
            let checked = verifiers.get(name).map(|one| &one.checked);
            checked.is_some_and(|checked| kinds.contains(&checked.kind()))
        })
    };
    has(["api_key", "basic"]) && has(["mtls", "hmac_signature"])
}

/// Name of the consumer that lists a certificate with this description. `None` if the alternative
/// requires no key beside the certificate.
fn certificate_owner<'s>(
    (alternative, tokens): (&ir::Alternative, &Tokens),
    schemes: &ir::Set<ir::Scheme>,
    shared: &'s ir::Shared,
) -> Option<&'s str> {
    if !has_owners(alternative, schemes, &shared.auth) {
        return None;
    }
    let used = alternative.0.iter();
    let used = used.filter_map(|wanted| schemes.get(&wanted.scheme));
    let certified = used.filter(|scheme| scheme.place == Place::Certificate);
    let texts =
        certified.filter_map(|scheme| tokens.get(&security::location(scheme, &shared.auth)));
    let names: BTreeSet<String> = texts
        .flat_map(|text| text.lines())
        .map(|line| match line.split_once(' ') {
            Some(("spiffe", id)) => format!("san {id}"),
            _ => line.to_owned(),
        })
        .collect();
    let mut owners = shared.consumers.iter();
    let owner = owners.find(|one| one.certificates.iter().any(|one| names.contains(&one.name)));
    owner.map(|owner| owner.name.as_str())
}

/// Returns a gateway that accepts the credentials of witnesses.
pub fn with_witness(gateway: &Gateway, sets: &RoleSets) -> Gateway {
    with_credentials_of(gateway, None, sets)
}

/// Returns a gateway in which the consumer `consumer` owns the API keys and passwords of witnesses.
/// If `consumer` is `None`, the credentials belong to additional consumers without groups, one for
/// each set of roles. gateway.yaml cannot define the names of these consumers.
pub(crate) fn with_credentials_of(
    gateway: &Gateway,
    consumer: Option<&str>,
    RoleSets { sets, owners }: &RoleSets,
) -> Gateway {
    let hash = |text: &str| ir::Credential {
        sha256: Sha256::digest(text).into(),
        not_after: None,
        password: None,
    };
    let mut gateway = gateway.clone();
    let mut consumers: Vec<ir::Consumer> = gateway.shared.consumers.iter().cloned().collect();
    for roles in sets {
        let suffix = suffix(roles);
        let key = hash(&format!("{KEY}{suffix}"));
        let pair = hash(&format!("{PAIR}{suffix}"));
        let known = consumers
            .iter_mut()
            .find(|one| Some(one.name.as_str()) == consumer);
        match known {
            Some(known) => {
                known.keys.push(key);
                known.basic.push(pair);
            }
            None => consumers.push(ir::Consumer {
                name: format!("{OWNER}{suffix}"),
                keys: vec![key],
                basic: vec![pair],
                declared: Settings::default(),
                claims: claims(roles),
                groups: Vec::new(),
                metadata: Settings::default(),
                certificates: Vec::new(),
                plan: None,
                tokens: Vec::new(),
            }),
        }
    }
    for (roles, owner) in sets
        .iter()
        .flat_map(|roles| owners.iter().map(move |one| (roles, one)))
    {
        let suffix = suffix_of(roles, Some(owner));
        let fallback = format!("{OWNER}{}", self::suffix(roles));
        let at = |name: &str| consumers.iter().position(|one| one.name == name);
        if let Some(at) = at(owner).or_else(|| at(&fallback)) {
            consumers[at].keys.push(hash(&format!("{KEY}{suffix}")));
            consumers[at].basic.push(hash(&format!("{PAIR}{suffix}")));
        }
    }
    if let Ok(consumers) = ir::Set::new(consumers) {
        gateway.shared.consumers = consumers;
    }
    gateway
}

/// Claims of a consumer with these roles.
fn claims(roles: &BTreeSet<String>) -> Settings {
    if roles.is_empty() {
        return Settings::default();
    }
    let roles = roles.iter().cloned().map(Scalar::Text);
    Settings::default().with(&[ROLES], Value::Set(roles.collect()))
}

/// True if an alternative of a security requirement requires roles for a client certificate or a
/// signature. Witnesses have no consumers with roles for these credentials.
pub(super) fn lacks_roles(
    alternative: &ir::Alternative,
    schemes: &ir::Set<ir::Scheme>,
    verifiers: &ir::Set<ir::Verifier>,
) -> bool {
    let is_of_consumer = |wanted: &ir::SchemeUse| {
        let verify = schemes.get(&wanted.scheme).map(|scheme| &scheme.verify);
        let Some(ir::Verify::Auth(name)) = verify else {
            return false;
        };
        let checked = verifiers.get(name).map(|one| &one.checked);
        matches!(checked, Some(Checked::Mtls(_) | Checked::HmacSignature(_)))
    };
    let mut uses = alternative.0.iter();
    uses.any(|wanted| !wanted.roles.is_empty() && is_of_consumer(wanted))
}

/// Request from which a witness is built.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) listener: String,
    pub(super) host: String,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) values: Values,
    /// Address of the connecting peer, if the outcome depends on it. `None`: [`OUTSIDER`].
    pub(super) peer: Option<IpAddr>,
    /// Client address that a trusted proxy reports, if an address filter decides by it.
    pub(super) client: Option<IpAddr>,
    /// Body of the request, if the outcome depends on the check of the message. Empty if the
    /// request has no body.
    pub(super) body: Option<String>,
    /// Response of the upstream, if the outcome depends on its check.
    pub(super) response: Option<ResponseExample>,
}

/// Returns the header fields and query parameters that carry the credentials of one alternative of
/// a security requirement, and a description of the credentials. A credential is valid if a
/// verifier checks it, and forged if only its presence is checked. Without `tokens`, the tokens
/// meet exactly the requirements of the alternative.
pub(super) fn credentials(
    (alternative, tokens): (&ir::Alternative, Option<&Tokens>),
    schemes: &ir::Set<ir::Scheme>,
    shared: &ir::Shared,
) -> (Values, Vec<WitnessCredential>) {
    let verifiers = &shared.auth;
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
    // Use one caller for all credentials, so that each credential belongs to a consumer with all
    // roles.
    let roles = required_roles(&alternative.0);
    let owner = certificate_owner((alternative, tokens), schemes, shared);
    for wanted in &alternative.0 {
        let Some(scheme) = schemes.get(&wanted.scheme) else {
            continue;
        };
        let valid =
            matches!(&scheme.verify, ir::Verify::Auth(name) if verifiers.get(name).is_some());
        let token = tokens
            .get(&security::location(scheme, verifiers))
            .filter(|_| valid);
        let text = token.map_or_else(|| text_of(scheme, valid, (&roles, owner)), Clone::clone);
        let mut certificate = None;
        match &scheme.place {
            Place::Header(name) => values.headers.push((name.clone(), text)),
            Place::Query(name) => values.query.push((name.clone(), text)),
            Place::Cookie(name) => cookies.push(format!("{name}={text}")),
            Place::Authorization(kind) => {
                let proof = security::proof_of(&text);
                let field = format!("{kind} {text}");
                values.headers.push(("authorization".into(), field));
                let proof = proof.map(|proof| (dpop::SCHEME.to_owned(), proof));
                values.headers.extend(proof);
            }
            Place::Certificate => {
                let names = token.cloned().unwrap_or_default();
                certificate = Some((security::certificate_source(scheme, verifiers), names));
            }
        }
        // A token may be bound to a certificate that another scheme requires, too. List such a
        // certificate once.
        let bound = token.and_then(|token| security::certificate_of(token));
        for one in certificate.iter().chain(&bound) {
            if !values.certificates.contains(one) {
                values.certificates.push(one.clone());
            }
        }
        let shown = tokens.get(&Place::Certificate);
        let certificate = certificate.or(bound.filter(|(_, own)| shown != Some(own)));
        credentials.push(WitnessCredential {
            scheme: scheme.name.clone(),
            state: if valid { "valid" } else { "forged" },
            scopes: wanted.scopes.clone(),
            roles: wanted.roles.clone(),
            certificate,
        });
    }
    if !cookies.is_empty() {
        values.headers.push(("cookie".into(), cookies.join("; ")));
    }
    (values, credentials)
}

/// Text of a credential for the field or parameter of a security scheme. If `valid`: a credential
/// that a gateway of [`with_witness`] accepts, whose owner has `roles`. Otherwise an unknown
/// credential.
pub(crate) fn credential(scheme: &ir::Scheme, valid: bool, roles: &BTreeSet<String>) -> String {
    text_of(scheme, valid, (roles, None))
}

/// Like [`credential`], for the owner of a certificate of the same request.
fn text_of(
    scheme: &ir::Scheme,
    valid: bool,
    (roles, owner): (&BTreeSet<String>, Option<&str>),
) -> String {
    match (&scheme.place, valid) {
        (Place::Authorization(kind), true) if kind == "basic" => {
            let pair = format!("{PAIR}{}", suffix_of(roles, owner));
            base64::engine::general_purpose::STANDARD.encode(pair)
        }
        (_, true) => format!("{KEY}{}", suffix_of(roles, owner)),
        (_, false) => FORGED.to_owned(),
    }
}

impl Draft {
    /// Runs the request through an engine. Returns the route that the request matches
    /// (`KEY@MOUNT`), even if its chain refuses the request, and the outcome. `None` if the gateway
    /// does not have the listener.
    pub(super) fn ask(&self, oracle: &Oracle) -> Option<(Option<String>, Outcome)> {
        let question = self.question(oracle)?;
        let listener = &oracle.snapshot().listeners()[question.listener];
        if let (Some(peer), Some(header)) = (self.peer, &listener.proxy_protocol)
            && !header.from.iter().any(|range| range.contains(peer))
        {
            return Some((None, Outcome::Closed));
        }
        let decision = oracle.ask(&question, |decided, _, cx| {
            let route = decided.route.filter(|_| !is_ambiguous(decided));
            let owner = route.map(|route| route.id.as_str().to_owned());
            let of_response = self
                .response
                .as_ref()
                .filter(|_| matches!(decided.verdict, Verdict::Forward));
            if let (Some(response), Some(route)) = (of_response, &decided.route) {
                let message = (self.method.as_str(), response);
                return (owner, oracle.outcome_of_response(route, message, cx));
            }
            let outcome = match (&decided.verdict, &decided.route) {
                (Verdict::Reject(refusal), route) => Outcome::Refused {
                    status: oracle.snapshot().status_of(route.as_ref(), refusal.reject),
                },
                // The router redirects to the declared path, so no operation serves the request.
                (Verdict::Reply(reply), Some(route)) if decided.ran == 0 && redirects(route) => {
                    Outcome::Refused {
                        status: reply.status.as_u16(),
                    }
                }
                // A policy that responds with an error status admits no request.
                (Verdict::Reply(reply), Some(_)) if reply.status.as_u16() >= 400 => {
                    Outcome::Refused {
                        status: reply.status.as_u16(),
                    }
                }
                (Verdict::Reply(_), Some(route)) => Outcome::Served {
                    operation: route.operation.key.clone(),
                    upstream: None,
                },
                // The outcome counts as served, because the comparison does not consider answers of
                // other services.
                (Verdict::Forward | Verdict::Ask(_), Some(route)) => oracle.forwarded(route),
                // The gateway itself answers the path of a login.
                (Verdict::Reply(reply), None) => Outcome::Refused {
                    status: reply.status.as_u16(),
                },
                (Verdict::Forward | Verdict::Ask(_), None) => Outcome::Refused { status: 404 },
            };
            (owner, outcome)
        });
        Some(decision.unwrap_or_else(|reject| {
            let status = oracle.snapshot().status_of(None, reject);
            (None, Outcome::Refused { status })
        }))
    }

    /// True if an engine refuses the request because of its path.
    pub(super) fn is_path_refused(&self, oracle: &Oracle) -> bool {
        self.path_refusal(oracle)
            .is_some_and(|(_, is_refused)| is_refused)
    }

    /// Route that the request matches (`KEY@MOUNT`), and true if the engine refuses the request
    /// because of its path. `None` if the request matches no route, or if the router redirects it
    /// to the declared path.
    pub(super) fn path_refusal(&self, oracle: &Oracle) -> Option<(String, bool)> {
        let question = self.question(oracle)?;
        let decided = oracle.ask(&question, |decided, _, _| {
            let route = decided.route.as_ref()?;
            let is_refused = match &decided.verdict {
                Verdict::Reject(refusal) => refusal.reject.code == engine::PATH_AMBIGUOUS.code,
                Verdict::Reply(_) if decided.ran == 0 && redirects(route) => return None,
                Verdict::Forward | Verdict::Reply(_) | Verdict::Ask(_) => false,
            };
            Some((route.id.as_str().to_owned(), is_refused))
        });
        decided.ok().flatten()
    }

    /// True if the gateway refuses the request with 400, whatever status `errors` set instead.
    pub(super) fn is_malformed(&self, oracle: &Oracle) -> bool {
        let answer = self.question(oracle).map(|question| {
            oracle.ask(&question, |decided, _, _| match &decided.verdict {
                Verdict::Reject(refusal) => refusal.reject.status == 400,
                Verdict::Forward | Verdict::Reply(_) | Verdict::Ask(_) => false,
            })
        });
        match answer {
            Some(Ok(is_refused)) => is_refused,
            Some(Err(reject)) => reject.status == 400,
            None => false,
        }
    }

    /// True if a policy of the matched operation refuses the request, and not its security
    /// requirement: a limit, or a check of something other than the caller.
    pub(super) fn is_limited(&self, oracle: &Oracle) -> bool {
        let answer = self.question(oracle).map(|question| {
            oracle.ask(&question, |decided, _, _| {
                let chain = decided.route.map(|route| &route.treatment.chain);
                let last = decided.ran.checked_sub(1);
                let step = chain.zip(last).and_then(|(chain, last)| chain.get(last));
                let is_of_policy = match &decided.verdict {
                    Verdict::Reject(refusal) => {
                        refusal.reject.code != engine::PATH_AMBIGUOUS.code && !is_ambiguous(decided)
                    }
                    Verdict::Forward | Verdict::Reply(_) | Verdict::Ask(_) => false,
                };
                is_of_policy && matches!(step, Some(ChainStep::Filter(..)))
            })
        });
        matches!(answer, Some(Ok(true)))
    }

    /// True if the listener refuses the request because of the size or number of its fields, or of
    /// its target.
    pub(super) fn is_too_large(&self, oracle: &Oracle) -> bool {
        let answer = self
            .question(oracle)
            .map(|question| oracle.ask(&question, |_, _, _| ()));
        matches!(answer, Some(Err(reject)) if matches!(reject.status, 414 | 431))
    }

    /// Builds the request, sent by the peer of the draft or by [`OUTSIDER`]. `None` if the gateway
    /// does not have the listener.
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
        if let Some(body) = self.body.as_ref().filter(|body| !body.is_empty()) {
            request = request.header("content-length", body.len());
        }
        let request = request.body(()).ok()?.into_parts().0;
        Some(Question {
            listener,
            request,
            peer: self.client.or(self.peer).unwrap_or(OUTSIDER),
            unix_s: AT_S,
            certificates: self.values.certificates.clone(),
            body: self.body.clone().map(String::into_bytes),
        })
    }

    /// Length of the request target, in bytes.
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

    /// Converts a request and its outcomes to the witness that a plan shows.
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
            body: self.body.clone().filter(|body| !body.is_empty()),
            response: self.response.clone(),
            old,
            new,
        }
    }
}

/// True if the engine refuses the request as ambiguous, because servers may select different
/// operations for the request. No operation then receives the request.
fn is_ambiguous(decided: &engine::Decided<'_>) -> bool {
    match &decided.verdict {
        Verdict::Reject(refusal) => {
            decided.ran == 0 && refusal.reject.code == engine::CONDITION_AMBIGUOUS.code
        }
        Verdict::Forward | Verdict::Reply(_) | Verdict::Ask(_) => false,
    }
}

/// True if the operation redirects a path that differs from the declared path only in the final
/// slash.
fn redirects(route: &engine::RouteRef<'_>) -> bool {
    route.operation.trailing_slash == ir::TrailingSlash::Redirect
}

/// Message about a witness that does not show the change of an operation, which is a bug.
pub(super) fn bug(witness: &Witness, key: &str) -> String {
    format!(
        "{} {} does not show what changed for `{key}`: {:?} before, {:?} after",
        witness.method, witness.url, witness.old, witness.new
    )
}
