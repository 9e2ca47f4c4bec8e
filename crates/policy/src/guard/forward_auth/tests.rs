//! Tests of `forward_auth`.

use super::*;
use crate::ask::Use;
use crate::cx::tests::{filter, head, with_cx};

fn checked(open: bool) -> Checked {
    Checked {
        upstream: "identity".to_owned(),
        url: None,
        target: "/check".to_owned(),
        request_headers: None,
        response_headers: vec!["x-groups".to_owned(), "x-user".to_owned()],
        timeout_ms: None,
        open,
        cache_ms: Some(1_000),
    }
}

fn call_of(filter: &Filter, head: &mut RequestHead) -> Call {
    with_cx(|cx| match filter.on_request(head, cx) {
        Step::Ask(effect) => match *effect {
            Effect::Http(call) => *call,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    })
}

/// Runs the policy for a request to which the service gives this answer. Returns the result, and
/// the number of refusals that were only logged.
fn answered(open: bool, answer: Answer, head: &mut RequestHead) -> (Step, usize) {
    let filter: &'static Filter = Box::leak(Box::new(filter(&checked(open))));
    with_cx(|cx| {
        cx.answers.add(filter.id, answer);
        let step = filter.on_request(head, cx);
        (step, cx.noted.len())
    })
}

fn status(status: u16, fields: &[(&'static str, &'static str)]) -> Answer {
    let fields = fields.iter().map(|(name, value)| {
        (
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        )
    });
    Answer::Http(Arc::new(Answered {
        status: StatusCode::from_u16(status).unwrap(),
        headers: fields.collect(),
        body: Bytes::from_static(b"why"),
        unix_s: 0,
    }))
}

#[test]
fn question_describes_request_and_leaves_it_unchanged() {
    let mut head = head("/a/b?c=d");
    head.method = Method::PUT;
    for (name, value) in [
        ("authorization", "Bearer t"),
        ("cookie", "a=b"),
        ("x-other", "no"),
        ("x-original-uri", "/forged"),
        ("x-forwarded-for", "192.0.2.1"),
    ] {
        head.headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    let before = head.headers.clone();
    let call = call_of(&filter(&checked(false)), &mut head);
    assert_eq!(head.headers, before);
    let mut sent: Vec<(&str, &str)> = call
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect();
    sent.sort_unstable();
    let expected = [
        ("authorization", "Bearer t"),
        ("cookie", "a=b"),
        ("x-forwarded-for", "192.0.2.1"),
        ("x-forwarded-method", "PUT"),
        ("x-forwarded-uri", "/a/b?c=d"),
        ("x-original-method", "PUT"),
        ("x-original-uri", "/a/b?c=d"),
    ];
    assert_eq!(sent, expected);
    assert_eq!(
        (call.target.as_str(), &*call.upstream),
        ("/check", "identity")
    );
    assert!(!format!("{call:?}").contains("Bearer"));
}

/// The upstream must see the same single value as the service, because servers differ in the line
/// of a field that they use.
#[test]
fn repeated_field_is_one_for_service_and_upstream() {
    let mut head = head("/");
    for (name, value) in [
        ("authorization", "Bearer t"),
        ("authorization", "Bearer u"),
        ("cookie", "a=b"),
        ("cookie", "c=d"),
        ("x-other", "1"),
        ("x-other", "2"),
    ] {
        head.headers.append(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    let call = call_of(&filter(&checked(false)), &mut head);
    for (name, joined) in [
        ("authorization", "Bearer t, Bearer u"),
        ("cookie", "a=b; c=d"),
    ] {
        for fields in [&call.headers, &head.headers] {
            let lines: Vec<&HeaderValue> = fields.get_all(name).iter().collect();
            assert_eq!(lines, [joined], "{name}");
        }
    }
    assert_eq!(head.headers.get_all("x-other").iter().count(), 2);
}

#[test]
fn admission_replaces_the_clients_fields() {
    let mut head = head("/");
    for name in ["x-user", "x_user", "x-groups", "x.groups", "x-users"] {
        head.headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static("mallory"),
        );
    }
    let answer = status(202, &[("x-user", "alice"), ("x-secret", "s")]);
    let (step, _) = answered(false, answer, &mut head);
    assert!(matches!(step, Step::Continue));
    let mut left: Vec<(&str, &[u8])> = head
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .collect();
    left.sort_unstable();
    let expected: [(&str, &[u8]); 2] = [("x-user", b"alice"), ("x-users", b"mallory")];
    assert_eq!(left, expected);
}

#[test]
fn refusal_reaches_the_client_without_other_fields() {
    for code in [302, 401, 403, 429] {
        let fields = [
            ("location", "/login"),
            ("set-cookie", "s=1"),
            ("x-user", "alice"),
            ("connection", "x"),
        ];
        let (step, _) = answered(true, status(code, &fields), &mut head("/"));
        let Step::Reply(reply) = step else {
            panic!("{code}: {step:?}")
        };
        assert_eq!(reply.status.as_u16(), code);
        assert_eq!(reply.headers.len(), 2);
        assert_eq!(reply.body, "why");
        assert_eq!(
            reply.refusal.map(|one| one.code),
            Some("forward_auth_denied")
        );
    }
}

#[test]
fn outage_refuses_unless_it_is_open() {
    let none = || Answer::Outage(Outage::Timeout);
    for answer in [
        none,
        || status(500, &[]),
        || status(304, &[]),
        || status(101, &[]),
    ] {
        let (step, _) = answered(false, answer(), &mut head("/"));
        assert!(
            matches!(step, Step::Reject(one) if one.status == 503),
            "{step:?}"
        );
        let mut head = head("/");
        let forged = HeaderValue::from_static("mallory");
        head.headers.insert("x-user", forged);
        let (step, noted) = answered(true, answer(), &mut head);
        assert!(matches!(step, Step::Continue), "{step:?}");
        assert_eq!((noted, head.headers.len()), (1, 0));
    }
}

#[test]
fn limits_that_clients_can_reach_never_admit() {
    for outage in [Outage::Overflow, Outage::LargeHead] {
        for open in [false, true] {
            let (step, noted) = answered(open, Answer::Outage(outage), &mut head("/"));
            assert!(matches!(step, Step::Reject(one) if one.status == 503));
            assert_eq!(noted, 0);
        }
    }
}

#[test]
fn only_admissions_without_cookies_are_kept() {
    let call = call_of(&filter(&checked(false)), &mut head("/"));
    let kept = |answer| match answer {
        Answer::Http(answered) => match call.keep.use_of(&answered) {
            Use::Keep(kind) => Some(kind),
            Use::Once | Use::Unusable => None,
        },
        Answer::Outage(_)
        | Answer::Fetched
        | Answer::Counted(_)
        | Answer::Examined(_)
        | Answer::Permit(_)
        | Answer::Processed(_) => None,
    };
    assert_eq!(kept(status(200, &[])), Some(AnswerKind::Admits));
    assert_eq!(kept(status(200, &[("set-cookie", "s=1")])), None);
    assert_eq!(kept(status(401, &[])), None);
    assert_eq!(kept(status(302, &[])), None);
}
