//! Decision on a single request by the engine, without a running gateway. Used by `gwc route` and
//! for the witnesses of plans.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};

use bundle::ir::{ContractOperation, Gateway, Messages};
use engine::edge::Admitted;
use engine::{BuildError, ChainStep, Decided, Parts, Refusal, RouteRef, Snapshot, Verdict};
use policy::ask::{Answer, Answered, AskId, CallKind, Effect, Outage};
use policy::auth::{self, mtls};
use policy::endpoint::Endpoint;
use policy::guard::ext_proc;
use policy::invalid::{self, Invalid};
use policy::key_cell::Remote;
use policy::processing::Processed;
use policy::ranges::RangesCell;
use policy::threat;
use policy::validation::{Check, Examined};
use policy::{
    Addresses, Checked, Cx, Form, Limits, Policy as _, Reject, Reply, RequestHead, Revoked,
    SecretCell, SecretRef, SecretUnavailable, Secrets,
};
use rustc_hash::FxHashMap;
use validator::{BodyUse, Cone, Credentials, Described, Operation};

/// Peer address of requests for which the peer does not matter (documentation range, RFC 5737).
pub(crate) const OUTSIDER: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1));

/// Assumed answer to a policy or verifier: of a service that gwd would call, or of a check with a
/// secret that only gwd has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assumption {
    /// Name of the policy or verifier.
    pub asker: String,
    /// Name of the assumed answer, one of the names that [`words`] returns.
    pub answer: String,
}

impl std::str::FromStr for Assumption {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.rsplit_once('=') {
            Some((asker, answer)) if !asker.is_empty() && !answer.is_empty() => Ok(Self {
                asker: asker.to_owned(),
                answer: answer.to_owned(),
            }),
            _ => Err("write NAME=ANSWER, for instance ask=allow".to_owned()),
        }
    }
}

/// Names of the answers that an assumption can have for this kind of policy or verifier.
#[must_use]
pub fn words(kind: CallKind) -> &'static [&'static str] {
    match kind {
        CallKind::ForwardAuth | CallKind::ExtProc => &["allow", "deny", "outage"],
        CallKind::Keys => &["valid", "forged", "outage"],
        CallKind::Introspection => &["active", "inactive", "outage"],
        // gwd needs no service for the check, so there is no outage.
        CallKind::Secret => &["valid", "forged"],
        // No assumption is possible: gwc cannot decrypt the cookies that cause this lookup.
        CallKind::Login => &[],
        // No assumption is allowed, because gwc computes the result itself.
        CallKind::Password | CallKind::Signature => &[],
        // gwc assumes that no other request is in flight, so a permit is free.
        CallKind::Concurrency => &[],
        // `outage` is the only assumption. Without this assumption, the counters of the store are
        // zero.
        CallKind::Store => &["outage"],
        CallKind::Validate => &["valid", "invalid", "outage"],
    }
}

/// Error message if an assumption names an unknown policy, verifier or answer. `None` if all are
/// known.
#[must_use]
pub fn fault(gateway: &Gateway, assumption: &Assumption) -> Option<String> {
    let Assumption { asker, answer } = assumption;
    let own = gateway.apis.iter().flat_map(|api| &api.policies);
    let policies = gateway.shared.policies.iter().chain(own);
    let policies = policies.filter_map(|policy| match &policy.checked {
        Checked::ForwardAuth(_) => Some((policy.name.as_str(), CallKind::ForwardAuth)),
        Checked::ExtProc(_) => Some((policy.name.as_str(), CallKind::ExtProc)),
        Checked::Validate(_) => Some((policy.name.as_str(), CallKind::Validate)),
        other => other
            .store()
            .map(|_| (policy.name.as_str(), CallKind::Store)),
    });
    let verifiers = gateway.shared.auth.iter();
    let verifiers = verifiers.filter_map(|verifier| {
        Some((
            verifier.name.as_str(),
            VerifierCall::of(&verifier.checked)?.kind(),
        ))
    });
    let fields = gateway.apis.iter().flat_map(|api| &api.treatments);
    let mut fields = fields.filter(|one| one.forwarding.validate.is_some());
    let field = fields.next().map(|_| (FIELD, CallKind::Validate));
    let askers: Vec<(&str, CallKind)> = policies.chain(verifiers).chain(field).collect();
    let Some((_, kind)) = askers.iter().find(|(name, _)| name == asker) else {
        let known = diag::suggest::one_of(askers.iter().map(|(name, _)| *name), 8);
        return Some(format!(
            "no policy or verifier `{}` has an answer to assume; {known}",
            asker.escape_debug()
        ));
    };
    let known = words(*kind);
    (!known.contains(&answer.as_str())).then(|| {
        let known = diag::suggest::one_of(known.iter().copied(), 8);
        format!(
            "`{}` is not an answer to `{asker}`; {known}",
            answer.escape_debug()
        )
    })
}

/// Converts the name of an assumed answer on the command line, such as `allow`, to the answer.
/// `None` for an unknown name.
fn assumed(kind: CallKind, word: &str) -> Option<Answer> {
    let status = |status| Answer::Http(Arc::new(Answered::empty(status)));
    let processed = |processed| Answer::Processed(Arc::new(processed));
    match (kind, word) {
        (CallKind::ForwardAuth, "allow") => Some(status(http::StatusCode::OK)),
        (CallKind::ForwardAuth, "deny") => Some(status(http::StatusCode::FORBIDDEN)),
        (CallKind::ExtProc, "allow") => Some(processed(Processed::Continue(Box::default()))),
        (CallKind::ExtProc, "deny") => Some(processed(Processed::Reply(Reply {
            status: http::StatusCode::FORBIDDEN,
            headers: http::HeaderMap::new(),
            body: Default::default(),
            refusal: Some(&ext_proc::DENIED),
        }))),
        (CallKind::Keys | CallKind::Secret, "valid") => Some(status(http::StatusCode::OK)),
        (CallKind::Keys | CallKind::Secret, "forged") => {
            Some(status(http::StatusCode::UNAUTHORIZED))
        }
        // Login verifiers also call the login's provider, but an outage of the provider does not
        // affect sessions.
        (CallKind::Secret, _) => None,
        (CallKind::Introspection, "active") => Some(status(http::StatusCode::OK)),
        (CallKind::Introspection, "inactive") => Some(status(http::StatusCode::UNAUTHORIZED)),
        (CallKind::Validate, "valid") => Some(Answer::Examined(Arc::default())),
        (CallKind::Validate, "invalid") => Some(Answer::Examined(Arc::new(Examined {
            invalid: Some(Arc::new(Invalid {
                reject: &invalid::REQUEST,
                findings: Vec::new(),
            })),
            ..Examined::default()
        }))),
        (_, "outage") => Some(Answer::Outage(Outage::Failed)),
        (
            CallKind::ForwardAuth
            | CallKind::Keys
            | CallKind::Introspection
            | CallKind::Login
            | CallKind::Password
            | CallKind::Signature
            | CallKind::Store
            | CallKind::Validate
            | CallKind::Concurrency
            | CallKind::ExtProc,
            _,
        ) => None,
    }
}

/// Name of the chain step that an operation's field `validate` adds.
const FIELD: &str = "validate";

/// Names of the chain's steps that check requests against the operation's description: the
/// `validate` policies and the field `validate`.
fn validating(gateway: &Gateway) -> Vec<String> {
    let own = gateway.apis.iter().flat_map(|api| &api.policies);
    let policies = gateway.shared.policies.iter().chain(own);
    let policies = policies.filter(|policy| matches!(policy.checked, Checked::Validate(_)));
    let names = policies.map(|policy| policy.name.clone());
    names.chain([FIELD.to_owned()]).collect()
}

/// Checks a request against its operation's description, as the `validate` step does in gwd. `None`
/// if the result depends on a body that is not known. The scan that refuses the body is the error:
/// gwd scans the body while the step reads it.
fn examined<'s>(
    oracle: &Oracle,
    decided: &Decided<'_>,
    check: Check,
    (head, body, scans): (&RequestHead, Option<&[u8]>, &[&'s threat::Scan]),
) -> Option<Result<Answer, &'s threat::Scan>> {
    let fine = || Some(Ok(Answer::Examined(Arc::default())));
    let route = decided.route.as_ref()?;
    let part = oracle.snapshot.apis().nth(route.api_index as usize)?;
    let messages = part.messages();
    let operation = messages.and_then(|all| all.operations.get(&route.operation.key));
    let (Some(messages), Some(operation)) = (messages, operation) else {
        return fine();
    };
    let described = Described {
        operation: oracle.compiled(route, (operation, messages))?,
        credentials: Credentials::of(part.schemes(), part.security(route.operation_index())?),
    };
    let mut examined = described.query(check, head);
    if check.schemas {
        let template = (&route.operation.template, route.mount.base_path.len());
        let reaches = engine::edge::reaches_chain;
        let others = engine::readings::of_route(head, route);
        let mut findings = described.parameters(template, (head, &examined, &others), reaches);
        let mut reject = &invalid::REQUEST;
        let has_body = head.headers.contains_key(http::header::CONTENT_LENGTH);
        if findings.is_empty() && examined.undeclared.is_none() {
            let no_body = match body {
                Some(body) => body.is_empty(),
                None => !has_body && head.headers.get(http::header::CONTENT_TYPE).is_none(),
            };
            match described.operation.body_use(&head.headers, no_body) {
                Ok(BodyUse::Pass) => {}
                Ok(read) => {
                    let body = body?;
                    if let Some(found) = refusing_scan(scans, (head, body)) {
                        return Some(Err(found));
                    }
                    findings = match read {
                        BodyUse::Read(kind) => described.operation.body(&kind, body),
                        BodyUse::Split(kind) => described.operation.sequence(&kind, body),
                        BodyUse::Pass => Vec::new(),
                    };
                }
                // The result depends on the body, which is unknown.
                Err(_) if no_body && body.is_none() => return None,
                Err((refusal, finding)) => {
                    reject = refusal;
                    findings.push(finding);
                }
            }
        }
        if !findings.is_empty() {
            examined.invalid = Some(Arc::new(Invalid { reject, findings }));
        }
    }
    Some(Ok(Answer::Examined(Arc::new(examined))))
}

/// First threat scan whose limit a body exceeds.
fn refusing_scan<'s>(
    scans: &[&'s threat::Scan],
    (head, body): (&RequestHead, &[u8]),
) -> Option<&'s threat::Scan> {
    let refuses = |scan: &&&threat::Scan| {
        let scanner = scan.scanner(&head.headers);
        let scanner = scanner.filter(|_| !scan.logs && !body.is_empty());
        scanner.is_some_and(|mut one| one.read(body).and_then(|()| one.end()).is_err())
    };
    scans.iter().find(refuses).copied()
}

/// Refuses a request whose body exceeds a limit of a threat scan. gwd runs the scan while a step
/// reads the body, or while it forwards the body.
fn refuse_threat(decided: &mut Decided<'_>, found: &threat::Scan) {
    let Some(route) = &decided.route else { return };
    let is_found =
        |step: &ChainStep| matches!(step, ChainStep::Filter(name, _) if *name == found.policy);
    let position = route.treatment.chain.iter().position(is_found);
    decided.ran = position.map_or(decided.ran, |position| position + 1);
    decided.verdict = Verdict::Reject(Refusal {
        reject: &threat::REFUSED,
        reason: threat::REFUSED.code,
        allow: None,
    });
}

/// Answer of a store of counters in which all counters are zero, as after the start of a gateway.
fn counted(count: &policy::store::Count) -> Answer {
    let (capacity, cost) = (count.tokens.capacity(), count.cost.unsigned_abs());
    let admitted = cost <= capacity;
    Answer::Counted(policy::Admission {
        admitted,
        remaining: if admitted { capacity - cost } else { capacity },
        wait_ticks: 0,
    })
}

/// Answer to the check of a password or a signature, which gwd computes on another thread.
fn computed(holds: bool) -> Answer {
    let status = match holds {
        true => http::StatusCode::OK,
        false => http::StatusCode::FORBIDDEN,
    };
    Answer::Http(Arc::new(Answered::empty(status)))
}

/// Engine that decides single requests. For each request, counters start at zero and secrets are
/// empty. No credential is revoked, except with [`Oracle::with_revoked`].
pub struct Oracle {
    snapshot: Snapshot,
    revoked: Revoked,
    /// Verifiers that need an answer which gwc does not have, by name.
    verifiers: Vec<(String, VerifierCall)>,
    /// Assumed answers for verifiers and policies if the caller gives none: every token is forged,
    /// and every message is valid.
    usual: Vec<Assumption>,
    /// Number of entries of `usual` that are about tokens. These entries come first.
    about_tokens: usize,
    /// Compiled descriptions of the operations that requests with a body matched.
    descriptions: Descriptions,
}

/// Maximum estimated memory of the compiled descriptions that an [`Oracle`] keeps, in bytes. A plan
/// decides the requests of one operation after another, so that few descriptions are in use.
const DESCRIPTIONS_BYTES_MAX: u64 = 64 << 20;

/// Cache of compiled descriptions. A plan decides several requests for each changed parameter of an
/// operation, and each compilation covers all parameters of the operation.
#[derive(Default)]
struct Descriptions(Mutex<KeptDescriptions>);

#[derive(Default)]
struct KeptDescriptions {
    /// Descriptions by the index of the API and the index of the operation in it. `None` if a
    /// schema is not valid.
    of: FxHashMap<(u32, usize), Option<Arc<Operation>>>,
    /// Estimated memory of `of`, in bytes.
    bytes: u64,
}

impl Descriptions {
    /// Returns the compiled description of the operation at this position. Compiles it with
    /// `compile` if it is not in the cache.
    fn of(
        &self,
        position: (u32, usize),
        compile: impl FnOnce() -> Option<Operation>,
    ) -> Option<Arc<Operation>> {
        let kept = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = kept().of.get(&position).cloned();
        if let Some(known) = known {
            return known;
        }
        let compiled = compile().map(Arc::new);
        let bytes = compiled.as_ref().map_or(0, |one| one.bytes());
        let mut kept = kept();
        if kept.bytes.saturating_add(bytes) > DESCRIPTIONS_BYTES_MAX {
            *kept = KeptDescriptions::default();
        }
        kept.bytes = kept.bytes.saturating_add(bytes);
        kept.of.insert(position, compiled.clone());
        compiled
    }
}

/// Answer that a verifier needs and gwc does not have: the response of another service, or the
/// result of a check with a secret.
enum VerifierCall {
    /// Request for the keys of this source.
    Keys(Remote),
    /// Requests for the metadata and the keys of a login, and the check of its sessions.
    Login([Remote; 2], AskId),
    /// Check of a token, a signature or a nonce with a secret.
    Secret(AskId),
    /// Introspection of a token, at the endpoint with this URL.
    Token(Endpoint),
}

impl VerifierCall {
    /// Answer that a verifier needs. `None` for a verifier whose credentials gwc can check.
    fn of(checked: &auth::Checked) -> Option<Self> {
        match checked {
            auth::Checked::Jwt(jwt) => {
                let secret = jwt.secret_question().map(Self::Secret);
                secret.or_else(|| jwt.remote().map(Self::Keys))
            }
            auth::Checked::Introspection(introspection) => {
                Endpoint::of(introspection.url()).map(Self::Token)
            }
            auth::Checked::Oidc(login) => {
                Some(Self::Login(login.remotes(), login.secret_question()))
            }
            auth::Checked::Dpop(bound) => bound.secret_question().map(Self::Secret),
            auth::Checked::HmacSignature(signed) => Some(Self::Secret(signed.secret_question())),
            auth::Checked::ApiKey(_)
            | auth::Checked::Basic(_)
            | auth::Checked::Mtls(_)
            | auth::Checked::Declared(_) => None,
        }
    }

    fn kind(&self) -> CallKind {
        match self {
            Self::Keys(_) | Self::Login(..) => CallKind::Keys,
            Self::Secret(_) => CallKind::Secret,
            Self::Token(_) => CallKind::Introspection,
        }
    }

    /// True if an effect of the chain is the request that this value describes.
    fn matches(&self, effect: &Effect) -> bool {
        match (self, effect) {
            (Self::Keys(source), Effect::Keys(cell)) => source == cell.source(),
            (Self::Login(sources, _), Effect::Keys(cell)) => sources.contains(cell.source()),
            (Self::Login(_, own) | Self::Secret(own), Effect::Secret(id)) => own == id,
            (Self::Token(endpoint), Effect::Http(call)) => {
                *call.upstream == *endpoint.origin && call.target.as_str() == endpoint.target
            }
            (Self::Keys(_) | Self::Login(..) | Self::Secret(_) | Self::Token(_), _) => false,
        }
    }
}

/// Request of a client.
#[derive(Clone, Debug)]
pub struct Question {
    /// Index of the listener in [`Snapshot::listeners`].
    pub listener: usize,
    /// Method, target and header fields, including `Host`.
    pub request: http::request::Parts,
    /// Address of the connecting peer.
    pub peer: IpAddr,
    /// Client certificates as [`mtls::witness`] writes them, with their sources.
    pub certificates: Vec<(mtls::Source, String)>,
    /// Body of the request; empty if the request has none. The engine checks the request with this
    /// body against the operation's description. `None`: the body is unknown, and assumptions
    /// decide.
    pub body: Option<Vec<u8>>,
    /// Time of the request (Unix time, seconds), by which credentials expire.
    pub unix_s: u64,
}

/// Ranges of the files named by `allow_file` and `deny_file`, by reference (`${file:PATH}`).
pub type RangeFiles = BTreeMap<String, Addresses>;

/// References of all `allow_file` and `deny_file` of a gateway.
#[must_use]
pub fn range_files(gateway: &Gateway) -> BTreeSet<String> {
    let own = gateway.apis.iter().flat_map(|api| &api.policies);
    let filters = gateway.shared.policies.iter().chain(own);
    let filters = filters.filter_map(|policy| match &policy.checked {
        Checked::IpFilter(filter) => Some(filter.secrets()),
        _ => None,
    });
    filters.flatten().map(ToString::to_string).collect()
}

/// Secrets of the engine: every secret is empty. Only files of address ranges, which the map
/// contains, have content.
struct NoSecrets<'r>(&'r RangeFiles);

impl Secrets for NoSecrets<'_> {
    fn cell(&self, _: &SecretRef, _: Form) -> Result<Arc<SecretCell>, SecretUnavailable> {
        Ok(SecretCell::new(Vec::new()))
    }

    fn ranges(&self, reference: &SecretRef) -> Result<Option<Arc<RangesCell>>, SecretUnavailable> {
        let known = self.0.get(&reference.to_string());
        Ok(known.map(|ranges| RangesCell::new(ranges.clone())))
    }

    fn takes_witnesses(&self) -> bool {
        true
    }
}

impl Oracle {
    /// Builds an engine from the part of a gateway that gwd supports. If [`Gateway::undecidable`]
    /// returns a value, answers contain the operation that a request matches, but no access
    /// decision.
    ///
    /// # Errors
    /// Returns the error with which gwd would refuse this gateway.
    pub fn build(gateway: &Gateway, bundle: &str) -> Result<Self, BuildError> {
        Self::with_ranges(gateway, bundle, &RangeFiles::new())
    }

    /// Builds an engine as [`Oracle::build`] does. `ranges` contains the address ranges of files
    /// named by `allow_file` and `deny_file`. Files that are not in `ranges` count as unknown: they
    /// admit every address.
    ///
    /// # Errors
    /// Returns the error with which gwd would refuse this gateway.
    pub fn with_ranges(
        gateway: &Gateway,
        bundle: &str,
        ranges: &RangeFiles,
    ) -> Result<Self, BuildError> {
        let mut parts = Parts::default();
        // Leave out settings that gwd does not support yet; they do not affect routing.
        let assembly = parts.assemble(&gateway.runnable())?;
        let snapshot = engine::build(&assembly, bundle, &NoSecrets(ranges), &mut parts)?;
        let verifiers = gateway.shared.auth.iter();
        let calls =
            verifiers.filter_map(|one| Some((one.name.clone(), VerifierCall::of(&one.checked)?)));
        let verifiers: Vec<(String, VerifierCall)> = calls.collect();
        let forged = verifiers.iter().map(|(asker, about)| Assumption {
            asker: asker.clone(),
            answer: words(about.kind())[1].to_owned(),
        });
        let valid = validating(gateway).into_iter().map(|asker| Assumption {
            asker,
            answer: words(CallKind::Validate)[0].to_owned(),
        });
        Ok(Self {
            snapshot,
            revoked: Revoked::default(),
            usual: forged.chain(valid).collect(),
            about_tokens: verifiers.len(),
            verifiers,
            descriptions: Descriptions::default(),
        })
    }

    /// Adds a revocation list to the engine: the SHA-256 of each revoked credential.
    #[must_use]
    pub fn with_revoked(mut self, hashes: impl IntoIterator<Item = [u8; 32]>) -> Self {
        self.revoked = Revoked::new(hashes);
        self
    }

    /// Snapshot on which the engine decides.
    #[must_use]
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Decides a request, unless the listener refuses it. If the verifier of a credential calls
    /// another service or has a secret, the credential counts as forged, except that of a witness.
    /// Without [`Question::body`], the request counts as valid for its description. Passwords are
    /// checked, and the counters of stores are zero. A decision that depends on any other answer
    /// stays open ([`Verdict::Ask`]).
    ///
    /// # Errors
    /// Returns the refusal if the listener refuses the request.
    pub fn ask<T>(
        &self,
        question: &Question,
        see: impl FnOnce(&Decided<'_>, Admitted, &Cx<'_>) -> T,
    ) -> Result<T, &'static Reject> {
        let usual = match &question.body {
            None => &self.usual[..],
            Some(_) => &self.usual[..self.about_tokens],
        };
        self.decide_with(question, usual, see)
    }

    /// Decides a request with assumed answers of other services, unless the listener refuses it.
    /// `see` receives the decision, the request head after the chain, and the context.
    ///
    /// # Errors
    /// Returns the refusal if the listener refuses the request.
    pub fn decide_with<T>(
        &self,
        question: &Question,
        assumptions: &[Assumption],
        see: impl FnOnce(&Decided<'_>, Admitted, &Cx<'_>) -> T,
    ) -> Result<T, &'static Reject> {
        let listener = &self.snapshot.listeners()[question.listener];
        let mut admitted = engine::edge::admit(question.request.clone(), listener, question.peer)?;
        let limits = Limits::new(1, std::hash::RandomState::new);
        let presented = mtls::witness::presented(&question.certificates);
        let mut cx = Cx::new(0, question.unix_s, question.peer, &limits, &self.revoked);
        cx.client = admitted.client;
        cx.client_cert = admitted.client_cert.take();
        cx.presented = Some(&presented);
        let authority = admitted.authority.clone();
        let received = admitted.received.clone();
        cx.authority = Some(&authority);
        cx.received = received.as_ref();
        // Random draws depend on the request id. If the request has none, use a fixed id.
        let id = admitted.request_id.as_ref();
        cx.draw = policy::draw::of_request_id(id.map_or(b"0", |id| id.as_bytes()));
        let mut decided = engine::decide(
            &self.snapshot,
            question.listener,
            &mut admitted.head,
            &mut cx,
        );
        while let Verdict::Ask(effect) = &decided.verdict {
            let askers = self.asker_names(&decided, effect);
            let mut fitting = assumptions
                .iter()
                .filter(|one| askers.contains(&&*one.asker));
            let answer = match &**effect {
                Effect::Password(check) => Some(computed(check.holds())),
                Effect::Signature(check) => Some(computed(check.holds())),
                // gwc assumes that no gateway has accepted the credential before.
                Effect::FirstUse(_) => Some(computed(true)),
                Effect::Store(count) => fitting
                    .find_map(|one| assumed(CallKind::Store, &one.answer))
                    .or_else(|| Some(counted(count))),
                Effect::Message(check) => {
                    let given = fitting.find_map(|one| assumed(CallKind::Validate, &one.answer));
                    let body = question.body.as_deref();
                    let message = (&admitted.head, body, &cx.scans[..]);
                    let answer = given
                        .map(Ok)
                        .or_else(|| examined(self, &decided, *check, message));
                    match answer.transpose() {
                        Ok(answer) => answer,
                        Err(found) => {
                            refuse_threat(&mut decided, found);
                            break;
                        }
                    }
                }
                Effect::Http(_)
                | Effect::Keys(_)
                | Effect::Permit(_)
                | Effect::Process(..)
                | Effect::Secret(_) => fitting.find_map(|one| assumed(effect.kind(), &one.answer)),
            };
            let Some(answer) = answer else { break };
            cx.answers.add(effect.id(), answer);
            decided = engine::resume(&self.snapshot, decided, &mut admitted.head, &mut cx);
        }
        if let (Verdict::Forward, Some(body)) = (&decided.verdict, &question.body)
            && let Some(found) = refusing_scan(&cx.scans, (&admitted.head, body))
        {
            refuse_threat(&mut decided, found);
        }
        Ok(see(&decided, admitted, &cx))
    }

    /// Compiled description of the messages of a route. `None` if a schema is not valid.
    pub(crate) fn compiled(
        &self,
        route: &RouteRef<'_>,
        (operation, messages): (&ContractOperation, &Messages),
    ) -> Option<Arc<Operation>> {
        let position = (route.api_index, route.operation_index());
        self.descriptions.of(position, || {
            Operation::compile(&Cone::of(operation, &messages.schemas)).ok()
        })
    }

    /// Names of the policy or the verifiers that need the result of an effect.
    #[must_use]
    pub fn asker_names<'o>(&'o self, decided: &'o Decided<'_>, effect: &Effect) -> Vec<&'o str> {
        let step = |route: &'o RouteRef<'_>| {
            let chain = &route.treatment.chain;
            chain.get(decided.ran.checked_sub(1)?)
        };
        match (effect, decided.route.as_ref().and_then(step)) {
            (
                Effect::Http(_) | Effect::Message(_) | Effect::Process(..),
                Some(ChainStep::Filter(name, _)),
            ) => {
                vec![name]
            }
            (effect, _) => {
                let same = self.verifiers.iter().filter(|(_, one)| one.matches(effect));
                same.map(|(name, _)| name.as_str()).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::schemas::nothing_described;

    #[test]
    fn description_is_compiled_once_per_operation() {
        let cone = nothing_described();
        let descriptions = Descriptions::default();
        let mut compilations = 0;
        for position in [(0, 0), (0, 1), (0, 0), (1, 0), (0, 1), (0, 0)] {
            let compiled = descriptions.of(position, || {
                compilations += 1;
                Operation::compile(&cone).ok()
            });
            assert!(compiled.is_some(), "{position:?}");
        }
        assert_eq!(compilations, 3);
    }
}
