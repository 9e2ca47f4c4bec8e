//! Reuse of built parts: the decisions are the same, and only changed parts are built again.
//!
//! The test gateway has the APIs `a0` … `a5`, each below `/a0` … with operations `GET
//! /things0/{id}` …. The expected result of each request follows from its path.

use std::sync::Arc;

use bundle::ir::{self, Set, Template};
use engine::{BuildError, Parts, Snapshot, Verdict, decide};
use policy::auth::Place;
use policy::{
    Cx, Form, Limits, RequestHead, Revoked, SecretCell, SecretRef, SecretUnavailable, Secrets,
    StateId,
};
use sha2::{Digest as _, Sha256};

const APIS: usize = 6;
const THINGS: usize = 4;

/// Test gateway whose settings change between two versions.
#[derive(Clone, Debug)]
pub(crate) struct Street {
    /// Number of operations, by API.
    things: [usize; APIS],
    /// Base path, by API.
    bases: [String; APIS],
    /// Response text of the shared policy, which the APIs with an even number use.
    closed: &'static str,
    /// Response text of the API's own policy in `a5`.
    own: &'static str,
    /// Realm of the verifier `staff`, which `a1` and `a3` use.
    realm: &'static str,
    /// Names of the upstreams, sorted. `a5` uses `second`, the other APIs `main`.
    upstreams: Vec<&'static str>,
    port: u16,
    password: &'static str,
}

pub(crate) fn street() -> Street {
    Street {
        things: [THINGS; APIS],
        bases: std::array::from_fn(|api| format!("/a{api}")),
        closed: "closed",
        own: "own",
        realm: "one",
        upstreams: vec!["main", "second"],
        port: 80,
        password: "alice:secret",
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// A policy that answers 503 with a text.
fn closed(name: &str, text: &str) -> ir::Policy {
    let short = |text: &str| {
        let length = u8::try_from(text.len()).expect("a short text");
        [&[0x60 + length], text.as_bytes()].concat()
    };
    let bytes = [
        &[0x82, 3, 0x81, 0xa4, 0, 0x19, 0x01, 0xf7, 1][..],
        &short("text/plain"),
        &[2],
        &short(text),
        &[3, 0x80],
    ];
    ir::Policy {
        name: name.into(),
        state: StateId(1),
        checked: bundle::codec::decode(&bytes.concat()).expect("a policy"),
    }
}

/// A verifier for Basic credentials.
fn staff(realm: &str) -> ir::Verifier {
    let length = u8::try_from(realm.len()).expect("a short text");
    let bytes = [&[0x82, 2, 0x81, 0xa1, 0, 0x60 + length], realm.as_bytes()];
    ir::Verifier {
        name: "staff".into(),
        checked: bundle::codec::decode(&bytes.concat()).expect("a verifier"),
    }
}

impl Street {
    fn api(&self, number: usize) -> ir::Api {
        let mut chain = Vec::new();
        let mut security = ir::Security::default();
        if number == 1 || number == 3 {
            chain.push(ir::Link::Authenticate);
            let scheme = "staff".to_owned();
            let scopes = Vec::new();
            security = ir::Security(vec![ir::Alternative(vec![ir::SchemeUse {
                roles: Vec::new(),
                scheme,
                scopes,
            }])]);
        }
        if number.is_multiple_of(2) {
            chain.push(ir::Link::Shared("closed".into()));
        }
        if number == 5 {
            chain.push(ir::Link::Own("own".into()));
        }
        let operation = |thing: usize| ir::Operation {
            key: format!("a{number}/thing{thing}"),
            method: "GET".into(),
            template: Template::parse(&format!("/things{thing}/{{id}}")).expect("a template"),
            conditions: Vec::new(),
            priority: 0,
            treatment: 0,
            trailing_slash: ir::TrailingSlash::Strict,
            owns: ir::Owns::Described,
        };
        ir::Api {
            name: format!("a{number}"),
            mounts: Set::new(vec![ir::Mount {
                name: "default".into(),
                hosts: Vec::new(),
                base_path: self.bases[number].clone(),
                strip_base_path: false,
                listeners: vec!["public".into()],
            }])
            .unwrap(),
            schemes: Set::new(vec![ir::Scheme {
                name: "staff".into(),
                place: Place::Authorization("basic".into()),
                verify: ir::Verify::Auth("staff".into()),
                strip_credential: true,
                declared: policy::declared::Settings::default(),
                passes: ir::Passes::default(),
            }])
            .map(|schemes| {
                if chain.contains(&ir::Link::Authenticate) {
                    schemes
                } else {
                    Set::default()
                }
            })
            .unwrap(),
            policies: Set::new(vec![closed("own", self.own)])
                .map(|own| if number == 5 { own } else { Set::default() })
                .unwrap(),
            treatments: vec![ir::Treatment {
                path_readings: ir::PathReadings::Strict,
                security,
                chain,
                upstream: if number == 5 { "second" } else { "main" }.into(),
                timeout_ms: 1_000,
                max_body_bytes: None,
                retries: None,
                declared: policy::declared::Settings::default(),
                forwarding: ir::Forwarding::default(),
            }],
            operations: Set::new((0..self.things[number]).map(operation).collect()).unwrap(),
            declared: policy::declared::Settings::default(),
            errors: policy::declared::Settings::default(),
            hidden: Vec::new(),
            messages: None,
        }
    }

    pub(crate) fn gateway(&self) -> ir::Gateway {
        let apis: Vec<ir::Api> = (0..APIS).map(|number| self.api(number)).collect();
        let references = apis.iter().map(|api| ir::ApiRef {
            name: api.name.clone(),
            digest: sha256(&bundle::codec::encode(api)),
        });
        let upstreams = self.upstreams.iter().map(|name| ir::Upstream {
            name: (*name).into(),
            state: StateId(2),
            targets: Set::new(vec![ir::Target {
                name: "t".into(),
                host: "127.0.0.1".into(),
                port: self.port,
                path: String::new(),
                weight: 1,
                zone: None,
                tls: false,
            }])
            .unwrap(),
            connect_timeout_ms: 1_000,
            idle_timeout_ms: 1_000,
            host_header: ir::HostHeader::Preserve,
            balance: policy::upstream::Balance::default(),
            health: policy::upstream::Health::default(),
            retries: None,
            circuit_breaker: None,
            limits: policy::upstream::Limits::default(),
            protocol: ir::UpstreamProtocol::default(),
            discovery: None,
            proxy_protocol: None,
            rewrite_responses: None,
            tls: None,
            declared: policy::declared::Settings::default(),
        });
        ir::Gateway {
            shared: ir::Shared {
                documents: Vec::new(),
                project: "street".into(),
                listeners: Set::new(vec![ir::Listener {
                    merge_slashes: false,
                    forward_client_cert: None,
                    forwarding_fields: None,
                    name: "public".into(),
                    address: "127.0.0.1:0".into(),
                    protocol: ir::Protocol::Http,
                    limits: ir::ListenerLimits {
                        connections: 1,
                        header_bytes: 1,
                        headers: 1,
                        header_timeout_ms: 1,
                        idle_timeout_ms: 1,
                        target_bytes: 1,
                        body_timeout_ms: 60_000,
                        min_rate_bytes: 240,
                        stream_idle_timeout_ms: 300_000,
                    },
                    trusted_proxies: Vec::new(),
                    http2: false,
                    proxy_protocol: None,
                    declared: policy::declared::Settings::default(),
                }])
                .unwrap(),
                upstreams: Set::new(upstreams.collect()).unwrap(),
                auth: Set::new(vec![staff(self.realm)]).unwrap(),
                consumers: Set::new(vec![ir::Consumer {
                    name: "alice".into(),
                    keys: Vec::new(),
                    basic: vec![ir::Credential {
                        sha256: sha256(self.password.as_bytes()),
                        not_after: None,
                        password: None,
                    }],
                    declared: policy::declared::Settings::default(),
                    groups: Vec::new(),
                    metadata: policy::declared::Settings::default(),
                    certificates: Vec::new(),
                    plan: None,
                    tokens: Vec::new(),
                    claims: policy::declared::Settings::default(),
                }])
                .unwrap(),
                policies: Set::new(vec![closed("closed", self.closed)]).unwrap(),
                apis: Set::new(references.collect()).unwrap(),
                expose_bundle: false,
                required: policy::declared::Settings::default(),
                declared: policy::declared::Settings::default(),
                errors: policy::declared::Settings::default(),
            },
            apis: Set::new(apis).unwrap(),
        }
    }

    fn build(&self, parts: &mut Parts) -> Result<Snapshot, BuildError> {
        let assembly = parts.assemble(&self.gateway())?;
        engine::build(&assembly, "sha256:00", &NoSecrets, parts)
    }

    /// Requests of the test, each with the expected route and result.
    fn expected(&self) -> Vec<(String, Option<String>, String)> {
        let mut all = Vec::new();
        for number in 0..APIS {
            for thing in 0..=THINGS {
                let path = format!("/a{number}/things{thing}/7");
                let id = format!("a{number}/thing{thing}@default");
                let (id, decision) = match number {
                    _ if thing >= self.things[number] => (None, "404".to_owned()),
                    0 | 2 | 4 => (Some(id), format!("503 {}", self.closed)),
                    1 | 3 => (Some(id), format!("401 {}", self.realm)),
                    _ => (Some(id), format!("503 {}", self.own)),
                };
                all.push((path, id, decision));
            }
        }
        all
    }
}

pub(crate) struct NoSecrets;

impl Secrets for NoSecrets {
    fn cell(&self, _: &SecretRef, _: Form) -> Result<Arc<SecretCell>, SecretUnavailable> {
        unreachable!("no policy here has a secret")
    }
}

fn decision_of(
    snapshot: &Snapshot,
    path: &str,
    authorization: Option<&str>,
) -> (Option<String>, String) {
    let limits = Limits::new(1, std::hash::RandomState::new);
    let revoked = Revoked::default();
    let mut cx = Cx::new(0, 0, "10.0.0.1".parse().unwrap(), &limits, &revoked);
    let mut headers = http::HeaderMap::new();
    if let Some(authorization) = authorization {
        headers.insert("authorization", authorization.parse().unwrap());
    }
    let mut head = RequestHead {
        is_ambiguous: false,
        method: http::Method::GET,
        target: path.parse().unwrap(),
        host: "h".into(),
        headers,
    };
    let decided = decide(snapshot, 0, &mut head, &mut cx);
    let decision = match &decided.verdict {
        Verdict::Forward => {
            let route = decided.route.expect("a route");
            format!(
                "-> {}",
                snapshot.upstreams()[route.treatment.upstream as usize].name
            )
        }
        Verdict::Ask(effect) => format!("asks {}", effect.kind().label()),
        Verdict::Reply(reply) => format!(
            "{} {}",
            reply.status.as_u16(),
            String::from_utf8_lossy(&reply.body)
        ),
        Verdict::Reject(refusal) if refusal.reject.status == 401 => {
            let route = decided.route.expect("a route");
            let challenge = route.treatment.challenges(refusal.reject)[0]
                .to_str()
                .unwrap()
                .to_owned();
            format!("401 {}", challenge.split('"').nth(1).unwrap())
        }
        Verdict::Reject(refusal) => refusal.reject.status.to_string(),
    };
    (
        decided.route.map(|route| route.id.as_str().to_owned()),
        decision,
    )
}

fn assert_decides(snapshot: &Snapshot, street: &Street) {
    for (path, id, decision) in street.expected() {
        assert_eq!(
            decision_of(snapshot, &path, None),
            (id, decision),
            "{path} {street:?}"
        );
    }
}

/// Indices of the APIs whose routing tables differ between two snapshots, and indices of the APIs
/// whose treatments differ.
fn rebuilt(a: &Snapshot, b: &Snapshot) -> (Vec<usize>, Vec<usize>) {
    let tables = a.apis().zip(b.apis()).enumerate();
    let tables = tables.filter(|(_, (a, b))| !Arc::ptr_eq(a, b));
    let treatments = (0..APIS).filter(|number| {
        let first = |snapshot: &Snapshot| {
            let mut routes = snapshot.routes();
            let route = routes.find(|route| route.api == format!("a{number}"));
            std::ptr::from_ref(route.expect("an API has routes").treatment)
        };
        first(a) != first(b)
    });
    (
        tables.map(|(number, _)| number).collect(),
        treatments.collect(),
    )
}

#[test]
fn versions_with_shared_parts_decide_alike() {
    let mut parts = Parts::default();
    let mut kept = Vec::new();
    let changes: [fn(&mut Street); 8] = [
        |_| {},
        |street| street.things[2] = 2,
        |street| street.closed = "shut",
        |street| street.own = "mine",
        |street| street.realm = "two",
        |street| street.upstreams.insert(0, "first"),
        |street| street.things[2] = 3,
        |street| *street = self::street(),
    ];
    let mut street = street();
    for change in changes {
        change(&mut street);
        let shared = street.build(&mut parts).unwrap();
        assert_decides(&shared, &street);
        assert_decides(&street.build(&mut Parts::default()).unwrap(), &street);
        kept.push((shared, street.clone()));
    }
    for (snapshot, street) in &kept {
        assert_decides(snapshot, street);
    }
}

#[test]
fn change_rebuilds_only_the_apis_that_it_touches() {
    type Change = fn(&mut Street);
    let cases: [(&str, Change, &[usize], &[usize]); 9] = [
        ("nothing", |_| {}, &[], &[]),
        ("one API", |street| street.things[4] = 2, &[4], &[4]),
        (
            "a shared policy",
            |street| street.closed = "shut",
            &[],
            &[0, 2, 4],
        ),
        (
            "an API's own policy",
            |street| street.own = "mine",
            &[5],
            &[5],
        ),
        ("a verifier", |street| street.realm = "two", &[], &[1, 3]),
        (
            "an upstream that comes first",
            |street| street.upstreams.insert(0, "first"),
            &[],
            &[0, 1, 2, 3, 4, 5],
        ),
        (
            "an upstream in between",
            |street| street.upstreams.insert(1, "other"),
            &[],
            &[5],
        ),
        ("a target", |street| street.port = 81, &[], &[]),
        (
            "a credential",
            |street| street.password = "alice:other",
            &[],
            &[],
        ),
    ];
    for (what, change, tables, treatments) in cases {
        let mut parts = Parts::default();
        let before = street().build(&mut parts).unwrap();
        let mut changed = street();
        change(&mut changed);
        let after = changed.build(&mut parts).unwrap();
        assert_eq!(
            rebuilt(&before, &after),
            (tables.to_vec(), treatments.to_vec()),
            "{what}"
        );
        assert_decides(&after, &changed);
    }
}

#[test]
fn each_version_knows_its_own_targets_and_credentials() {
    let mut parts = Parts::default();
    let mut other = street();
    other.port = 81;
    other.password = "alice:other";
    let versions = [street(), other].map(|street| (street.build(&mut parts).unwrap(), street));
    for (snapshot, street) in &versions {
        assert_eq!(snapshot.upstreams()[0].targets[0].port, street.port);
        for password in ["alice:secret", "alice:other"] {
            use base64::Engine as _;
            let token = base64::engine::general_purpose::STANDARD.encode(password);
            let (_, decision) =
                decision_of(snapshot, "/a1/things0/7", Some(&format!("Basic {token}")));
            assert_eq!(
                decision == "-> main",
                password == street.password,
                "{decision} {password}"
            );
        }
    }
}

#[test]
fn overlapping_apis_built_before_are_refused() {
    let mut parts = Parts::default();
    // Each of the two APIs has been built in a gateway before, but never together with the other.
    let (mut with_one, mut with_other, mut both) = (street(), street(), street());
    with_one.bases[1] = "/shared".into();
    with_other.bases[4] = "/shared".into();
    both.bases[1] = "/shared".into();
    both.bases[4] = "/shared".into();
    let _kept = [with_one, with_other].map(|street| street.build(&mut parts).unwrap());
    let known = both.gateway().shared.apis;
    assert!(
        known.iter().all(|api| parts.api(&api.digest).is_some()),
        "all are in memory"
    );
    let refused = both.build(&mut parts).unwrap_err();
    let (first, second) = (
        "a1/thing0@default".to_owned(),
        "a4/thing0@default".to_owned(),
    );
    assert_eq!(refused, BuildError::RouteConflict(first, second));
}

#[test]
fn base_path_that_equals_a_longer_template_is_refused() {
    let mut gateway = street().gateway();
    let mut apis: Vec<ir::Api> = gateway.apis.clone().into_vec();
    // `/a0` + `/things0/{id}` is the same path as an empty base path + `/a0/things0/{other}`.
    let mut mount = apis[1].mounts.clone().into_vec();
    mount[0].base_path = String::new();
    apis[1].mounts = Set::new(mount).unwrap();
    let mut operations = apis[1].operations.clone().into_vec();
    operations[3].template = Template::parse("/a0/things0/{other}").unwrap();
    apis[1].operations = Set::new(operations).unwrap();
    let mut build = |method: &str| {
        let mut apis = apis.clone();
        let mut operations = apis[1].operations.clone().into_vec();
        operations[3].method = method.into();
        apis[1].operations = Set::new(operations).unwrap();
        let named = apis.iter().map(|api| ir::ApiRef {
            name: api.name.clone(),
            digest: sha256(&bundle::codec::encode(api)),
        });
        gateway.shared.apis = Set::new(named.collect()).unwrap();
        gateway.apis = Set::new(apis).unwrap();
        let mut parts = Parts::default();
        let assembly = parts.assemble(&gateway)?;
        engine::build(&assembly, "sha256:00", &NoSecrets, &mut parts)
    };
    let (first, second) = (
        "a0/thing0@default".to_owned(),
        "a1/thing3@default".to_owned(),
    );
    assert_eq!(
        build("GET").unwrap_err(),
        BuildError::RouteConflict(first, second)
    );
    assert!(build("POST").is_ok(), "another method is another request");
}

#[test]
fn part_is_never_used_for_another_digest_or_kind() {
    let mut parts = Parts::default();
    let gateway = street().gateway();
    let mut assembly = parts.assemble(&gateway).unwrap();
    let digest = gateway.shared.apis[0].digest;
    assert!(parts.api(&digest).is_some());
    assert!(
        parts.consumers(&digest).is_none(),
        "an API is not a list of consumers"
    );
    let consumers = parts
        .add_consumers(digest, &gateway.shared.consumers)
        .unwrap();
    assert!(Arc::ptr_eq(&parts.api(&digest).unwrap(), &assembly.apis[0]));
    assert!(Arc::ptr_eq(&parts.consumers(&digest).unwrap(), &consumers));

    let mut build = |assembly: &engine::Assembly| {
        engine::build(assembly, "sha256:00", &NoSecrets, &mut parts).map(|_| ())
    };
    assert_eq!(build(&assembly), Ok(()));
    assembly.apis.swap(0, 1);
    assert_eq!(
        build(&assembly),
        Err(BuildError::OtherApis),
        "another API's part"
    );
    assembly.apis.swap(0, 1);
    let mut stranger = street();
    stranger.things[0] = 1;
    let other = Parts::default().assemble(&stranger.gateway()).unwrap();
    let kept = std::mem::replace(&mut assembly.apis[0], Arc::clone(&other.apis[0]));
    assert_eq!(
        build(&assembly),
        Err(BuildError::OtherApis),
        "another version's part"
    );
    assembly.apis[0] = kept;
    assembly.apis.pop();
    assert_eq!(
        build(&assembly),
        Err(BuildError::OtherApis),
        "one is missing"
    );
}

#[test]
fn parts_are_freed_with_their_last_snapshot() {
    let mut parts = Parts::default();
    let first = street().build(&mut parts).unwrap();
    let mut changed = street();
    changed.things[3] = 1;
    let second = changed.build(&mut parts).unwrap();
    let parts_of = |snapshot: &Snapshot| snapshot.apis().map(Arc::downgrade).collect::<Vec<_>>();
    let (of_first, of_second) = (parts_of(&first), parts_of(&second));
    drop(first);
    let alive = |parts: &[std::sync::Weak<engine::ApiPart>]| {
        let alive = parts.iter().map(|part| part.strong_count() > 0);
        alive.collect::<Vec<_>>()
    };
    assert_eq!(alive(&of_first), [true, true, true, false, true, true]);
    assert!(alive(&of_second).iter().all(|alive| *alive));
    drop(second);
    assert!(alive(&of_second).iter().all(|alive| !alive));
    let digest = street().gateway().shared.apis[0].digest;
    assert!(parts.api(&digest).is_none());
    assert_decides(&street().build(&mut parts).unwrap(), &street());
}
