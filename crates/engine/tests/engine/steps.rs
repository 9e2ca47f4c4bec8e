//! Chain steps and responses: exactly the steps that ran process the response.

use bundle::ir::{self, Set};
use engine::{Parts, Snapshot, Verdict, decide, finish};
use http::{HeaderMap, StatusCode};
use policy::{Cx, Limits, RequestHead, ResponseHead, Revoked, StateId};

use crate::parts::{NoSecrets, sha256, street};

/// A policy that sets `x-tagged: yes` in responses (`kind: headers`).
fn tagged() -> ir::Policy {
    let text = |text: &str| {
        let length = u8::try_from(text.len()).expect("a short text");
        [&[0x60 + length], text.as_bytes()].concat()
    };
    let no_edits: &[u8] = &[0xa3, 0, 0x80, 1, 0x80, 2, 0x80];
    let bytes = [
        &[0x82, 2, 0x81, 0xa2, 0][..],
        no_edits,
        &[1, 0xa3, 0, 0x80, 1, 0x81, 0x82],
        &text("x-tagged"),
        &[0x82, 0, 0x81],
        &text("yes"),
        &[2, 0x80],
    ];
    ir::Policy {
        name: "tagged".into(),
        state: StateId(7),
        checked: bundle::codec::decode(&bytes.concat()).expect("a policy"),
    }
}

/// A gateway where `/a1/things0/{id}` requires a password, then sets a field in responses.
fn snapshot() -> Snapshot {
    let mut gateway = street().gateway();
    let mut apis: Vec<ir::Api> = gateway.apis.iter().cloned().collect();
    apis[1].policies = Set::new(vec![tagged()]).unwrap();
    apis[1].treatments[0]
        .chain
        .push(ir::Link::Own("tagged".into()));
    let references = apis.iter().map(|api| ir::ApiRef {
        name: api.name.clone(),
        digest: sha256(&bundle::codec::encode(api)),
    });
    gateway.shared.apis = Set::new(references.collect()).unwrap();
    gateway.apis = Set::new(apis).unwrap();
    let mut parts = Parts::default();
    let assembly = parts.assemble(&gateway).unwrap();
    engine::build(&assembly, "sha256:00", &NoSecrets, &mut parts).unwrap()
}

/// Sends a request through the chain. The first boolean is true if the request is forwarded, the
/// second if the response has the field.
fn exchange(snapshot: &Snapshot, authorization: Option<&str>) -> (bool, bool) {
    let limits = Limits::new(1, std::hash::RandomState::new);
    let revoked = Revoked::default();
    let mut cx = Cx::new(0, 0, "10.0.0.1".parse().unwrap(), &limits, &revoked);
    let mut headers = HeaderMap::new();
    if let Some(authorization) = authorization {
        headers.insert("authorization", authorization.parse().unwrap());
    }
    let mut head = RequestHead {
        is_ambiguous: false,
        method: http::Method::GET,
        target: "/a1/things0/7".parse().unwrap(),
        host: "h".into(),
        headers,
    };
    let decided = decide(snapshot, 0, &mut head, &mut cx);
    let mut response = ResponseHead {
        status: StatusCode::OK,
        headers: HeaderMap::new(),
    };
    finish(snapshot, &decided, &mut response, &mut cx);
    let forwarded = matches!(decided.verdict, Verdict::Forward);
    (forwarded, response.headers.contains_key("x-tagged"))
}

#[test]
fn only_steps_that_ran_see_the_response() {
    let snapshot = snapshot();
    // Credentials: `alice:secret`, then a wrong password.
    assert_eq!(
        exchange(&snapshot, Some("Basic YWxpY2U6c2VjcmV0")),
        (true, true)
    );
    assert_eq!(
        exchange(&snapshot, Some("Basic YWxpY2U6d3Jvbmc=")),
        (false, false)
    );
    assert_eq!(exchange(&snapshot, None), (false, false));
}
