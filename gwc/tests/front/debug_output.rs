//! Tests that secrets and tokens never appear in `Debug` output: of settings, of values built from
//! settings, and of requests that verifiers send to services. The test fails for a new kind of
//! verifier with a secret until the project below defines this secret.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;

use diag::shape::{Object, Shape};
use http::{HeaderMap, HeaderValue, Method};
use model::compile;
use policy::ask::Answers;
use policy::auth::{TokenRequest, TokenVerifier};
use policy::ranges::RangesCell;
use policy::{Form, RequestHead, SecretCell, SecretRef, SecretUnavailable, Secrets, Setting, auth};
use sources::project::files::Files;
use sources::syntax::Limits;

/// Value of every secret and token in the tests.
const PLANTED: &str = "PLANTED-secret-that-nobody-may-see-in-any-output-of-Debug-0123456789-abcdef";

const GATEWAY: &str = r#"
version: 1
name: s
apis: {a: {path: api.yaml}}
upstreams: {u: {targets: {a: {url: "http://127.0.0.1:9000"}}}}
stores: {shared: {kind: redis, url: "${env:GWS_STORE}"}}
auth:
  signed: {kind: jwt, issuer: i, audience: [a], secret: "${env:GWS_JWT}", algorithms: [HS256]}
  asked: {kind: introspection, url: "https://idp.example/i", client_id: c, client_secret: "${env:GWS_I}"}
  login: {kind: oidc, issuer: "https://idp.example", client_id: c, client_secret: "${env:GWS_O}", redirect_path: /login, session: {secret: "${env:GWS_S}"}}
  requests: {kind: hmac_signature, secrets: {k1: "${env:GWS_H}"}}
  proofs: {kind: dpop, token: asked, nonce: true, nonce_secret: "${env:GWS_N}"}
policies:
  set: {kind: headers, request: {set: {X-A: "${env:GWS_SET}"}, add: {X-B: "${env:GWS_ADD}"}}, response: {set: {X-C: "${env:GWS_RESPONSE}"}}}
  office: {kind: ip_filter, allow_file: "${file:/run/allow}"}
  rate: {kind: rate_limit, limit: 5/s, store: shared}
  day: {kind: quota, limit: 5, period: day, store: shared}
defaults: {upstream: u, timeout: 5s, policies: [set, office, rate, day]}
"#;

/// Kinds of verifiers without secrets. Their settings may appear in the output.
const PUBLIC: [&str; 3] = ["api_key", "basic", "mtls"];

struct Planted;

impl Secrets for Planted {
    fn cell(&self, _: &SecretRef, _: Form) -> Result<Arc<SecretCell>, SecretUnavailable> {
        Ok(SecretCell::new(PLANTED.as_bytes().to_vec()))
    }

    fn ranges(&self, _: &SecretRef) -> Result<Option<Arc<RangesCell>>, SecretUnavailable> {
        Ok(None)
    }
}

/// True if the object, or an object inside it, has a key whose value is a secret.
fn has_secret(object: &Object) -> bool {
    fn is_secret(shape: &Shape) -> bool {
        match shape {
            Shape::Secret => true,
            Shape::Map(inner) | Shape::ByName(_, inner) => is_secret(inner),
            Shape::Object(inner) => has_secret(inner),
            _ => false,
        }
    }
    object.fields.iter().any(|field| is_secret(&field.shape))
}

#[track_caller]
fn assert_hidden(what: &str, value: &dyn Debug) {
    let bytes: Vec<String> = PLANTED
        .bytes()
        .take(6)
        .map(|byte| byte.to_string())
        .collect();
    let hidden = [PLANTED[..12].to_owned(), bytes.join(", ")];
    for text in [format!("{value:?}"), format!("{value:#?}")] {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for secret in &hidden {
            assert!(!text.contains(secret), "{what}: {text}");
        }
    }
}

fn gateway() -> bundle::ir::Gateway {
    let document = "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\npaths: {/a: {get: {operationId: a, \
         x-gateway: {public: true}, responses: {'200': {description: ok}}}}}\n";
    let texts = [("gateway.yaml", GATEWAY), ("api.yaml", document)];
    let compiled = compile::project(Files::in_memory(texts, Limits::default()), &Vec::new());
    let errors: Vec<&str> = compiled
        .findings
        .iter()
        .filter(|found| found.level == diag::Level::Error)
        .map(|found| found.message.as_str())
        .collect();
    assert_eq!(errors, Vec::<&str>::new());
    compiled.lowered.expect("a gateway").gateway
}

#[test]
fn debug_output_of_verifiers_hides_secrets() {
    let gateway = gateway();
    let shared = &gateway.shared;
    let defined: BTreeSet<&str> = shared.auth.iter().map(|one| one.checked.kind()).collect();
    for variant in auth::KINDS {
        let expected = has_secret(variant.object);
        assert_eq!(defined.contains(variant.kind), expected, "{}", variant.kind);
        assert_eq!(
            PUBLIC.contains(&variant.kind),
            !expected,
            "{}",
            variant.kind
        );
    }
    let build = |checked: &auth::Checked, named: Option<&Arc<TokenVerifier>>| {
        let built = TokenVerifier::of(checked, named, &Planted).expect("secrets are there");
        Arc::new(built.expect("a verifier of tokens"))
    };
    let mut headers = HeaderMap::new();
    for name in ["authorization", "cookie", "dpop", "signature", "x-any"] {
        headers.insert(name, HeaderValue::from_static(PLANTED));
    }
    let head = RequestHead {
        method: Method::GET,
        target: "/a".parse().expect("a path"),
        host: "h".into(),
        headers,
        is_ambiguous: false,
    };
    assert_hidden("head", &head);
    let answers = Answers::default();
    for one in &shared.auth {
        let named = one
            .checked
            .token_verifier()
            .and_then(|name| shared.auth.get(name));
        let named = named.map(|named| build(&named.checked, None));
        let verifier = build(&one.checked, named.as_ref());
        let kind = one.checked.kind();
        assert_hidden(kind, &one.checked);
        assert_hidden(kind, &verifier);
        let request = TokenRequest {
            unix_s: 1,
            cache: None,
            answers: &answers,
            presented: None,
            client_cert: None,
            head: &head,
            url: &|| None,
            received: None,
            normalise: |path| Some(path.to_owned()),
        };
        assert_hidden(kind, &verifier.verify(PLANTED.as_bytes(), &request));
    }
    assert_hidden("gateway", &gateway);
}

#[test]
fn debug_output_of_policies_hides_secrets() {
    let gateway = gateway();
    let policies = &gateway.shared.policies;
    assert_eq!(policies.len(), 4);
    for policy in policies {
        let setting = Setting {
            name: &policy.name,
            state: policy.state,
            secrets: &Planted,
            documents: &policy::NO_DOCUMENTS,
        };
        let filter = policy.checked.filter(&setting).expect("secrets are there");
        assert_hidden(policy.checked.kind(), &policy.checked);
        assert_hidden(policy.checked.kind(), &filter.expect("a filter"));
    }
}
