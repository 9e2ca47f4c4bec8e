use super::*;
use crate::cx::tests::{filter, head, with_cx};

fn web() -> Checked {
    Checked {
        origins: vec!["https://*.example.org".into(), "https://app.example".into()],
        methods: None,
        headers: vec!["content-type".into(), "x-key".into()],
        expose: vec!["x-total".into()],
        credentials: true,
        max_age_ms: Some(600_000),
        private_network: false,
    }
}

fn any() -> Checked {
    Checked {
        origins: vec!["*".into()],
        methods: Some(vec!["DELETE".into(), "GET".into(), "PUT".into()]),
        headers: vec!["*".into()],
        expose: Vec::new(),
        credentials: false,
        max_age_ms: None,
        private_network: true,
    }
}

type Fields<'a> = &'a [(&'static str, &'a str)];

fn request(method: Method, fields: Fields<'_>) -> RequestHead {
    let mut head = head("/");
    head.method = method;
    for (name, value) in fields {
        let name = HeaderName::from_static(name);
        head.headers.append(name, value.parse().unwrap());
    }
    head
}

/// Fields of the response to a preflight, sorted.
fn preflight_of(checked: &Checked, fields: Fields<'_>) -> Vec<String> {
    let filter = filter(checked);
    let mut head = request(Method::OPTIONS, fields);
    with_cx(|cx| {
        cx.preflight = true;
        filter.before(&head, cx);
        let Step::Reply(reply) = filter.on_request(&mut head, cx) else {
            return vec!["no preflight".to_owned()];
        };
        assert_eq!(reply.status, StatusCode::NO_CONTENT);
        let mut response = ResponseHead {
            status: reply.status,
            headers: reply.headers,
        };
        filter.on_response(&mut response, cx);
        written(&response.headers)
    })
}

/// Fields of the response to a cross-origin request, sorted.
fn response_to(checked: &Checked, sent: Fields<'_>, upstream: Fields<'_>) -> Vec<String> {
    let filter = filter(checked);
    let mut head = request(Method::GET, sent);
    with_cx(|cx| {
        filter.before(&head, cx);
        assert!(matches!(filter.on_request(&mut head, cx), Step::Continue));
        let mut response = ResponseHead {
            status: StatusCode::OK,
            headers: request(Method::GET, upstream).headers,
        };
        filter.on_response(&mut response, cx);
        written(&response.headers)
    })
}

fn written(headers: &HeaderMap) -> Vec<String> {
    let all = headers.iter();
    let all = all.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
    let mut all: Vec<String> = all.collect();
    all.sort();
    all
}

const VARIES: [&str; 3] = [
    "vary: access-control-request-headers",
    "vary: access-control-request-method",
    "vary: origin",
];

#[test]
fn preflight_of_an_allowed_page_is_answered() {
    let request_fields = [
        ("origin", "https://app.example"),
        ("access-control-request-method", "PUT"),
        ("access-control-request-headers", "x-key, x-other"),
    ];
    let mut expected = vec![
        "access-control-allow-credentials: true",
        "access-control-allow-headers: content-type, x-key",
        "access-control-allow-methods: PUT",
        "access-control-allow-origin: https://app.example",
        "access-control-max-age: 600",
    ];
    expected.extend(VARIES);
    assert_eq!(preflight_of(&web(), &request_fields), expected);
}

#[test]
fn prepared_preflight_keeps_the_order_of_its_fields() {
    let request_fields = [
        ("origin", "https://app.example"),
        ("access-control-request-method", "PUT"),
        ("access-control-request-headers", "x-a"),
        ("access-control-request-private-network", "true"),
    ];
    let checked = Checked {
        headers: vec!["*".into()],
        private_network: true,
        ..web()
    };
    let filter = filter(&checked);
    let fields = |sent: Fields<'_>| {
        let head = request(Method::OPTIONS, sent);
        let all = filter.answer(&head).headers;
        let all = all
            .iter()
            .map(|(name, value)| format!("{name}={}", value.to_str().unwrap()));
        all.collect::<Vec<_>>()
    };
    let expected = [
        "vary=origin",
        "vary=access-control-request-method",
        "vary=access-control-request-headers",
        "access-control-allow-origin=https://app.example",
        "access-control-allow-credentials=true",
        "access-control-allow-methods=PUT",
        "access-control-allow-headers=x-a",
        "access-control-max-age=600",
        "access-control-allow-private-network=true",
    ];
    assert_eq!(fields(&request_fields), expected);
    let mut without = expected.to_vec();
    without.retain(|field| !field.contains("allow-headers") && !field.contains("private"));
    assert_eq!(fields(&request_fields[..2]), without);
}

#[test]
fn preflight_of_a_foreign_page_gets_no_permission() {
    for origin in [
        "https://app.example.evil.example",
        "http://app.example",
        "https://app.example:8443",
        "https://example.org",
        "https://evilexample.org",
        "https://a/.example.org",
        "null",
        "https://",
    ] {
        let request_fields = [("origin", origin), ("access-control-request-method", "GET")];
        assert_eq!(preflight_of(&web(), &request_fields), VARIES, "{origin}");
    }
}

#[test]
fn open_policy_answers_every_preflight() {
    let request_fields = [
        ("origin", "https://page.example"),
        ("access-control-request-method", "PUT"),
        ("access-control-request-headers", "x-a,x-b"),
        ("access-control-request-private-network", "true"),
    ];
    let mut expected = vec![
        "access-control-allow-headers: x-a,x-b",
        "access-control-allow-methods: GET, HEAD, POST, DELETE, PUT",
        "access-control-allow-origin: *",
        "access-control-allow-private-network: true",
    ];
    expected.extend(VARIES);
    assert_eq!(preflight_of(&any(), &request_fields), expected);
    let markup = ("access-control-request-headers", "x<script>");
    let fields = preflight_of(&any(), &[request_fields[0], request_fields[1], markup]);
    assert!(!fields.iter().any(|field| field.contains("script")));
}

#[test]
fn wildcard_is_never_sent_with_credentials() {
    let open = Checked {
        credentials: true,
        ..any()
    };
    let fields = response_to(&open, &[("origin", "https://page.example")], &[]);
    assert_eq!(fields, ["access-control-allow-origin: *"]);
}

#[test]
fn preflight_needs_method_origin_and_requested_method() {
    let origin = ("origin", "https://app.example");
    let method = ("access-control-request-method", "GET");
    assert!(preflight(&request(Method::OPTIONS, &[origin, method])).is_some());
    for fields in [&[origin][..], &[method], &[origin, method, method], &[]] {
        assert_eq!(preflight(&request(Method::OPTIONS, fields)), None);
    }
    assert_eq!(preflight(&request(Method::POST, &[origin, method])), None);
    let bad = ("access-control-request-method", "a b");
    assert_eq!(preflight(&request(Method::OPTIONS, &[origin, bad])), None);
}

#[test]
fn preflight_of_another_operation_permits_nothing() {
    let filter = filter(&web());
    let mut head = request(
        Method::OPTIONS,
        &[
            ("origin", "https://app.example"),
            ("access-control-request-method", "DELETE"),
        ],
    );
    with_cx(|cx| {
        filter.before(&head, cx);
        assert!(matches!(filter.on_request(&mut head, cx), Step::Continue));
        let mut response = ResponseHead {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
        };
        filter.on_response(&mut response, cx);
        assert_eq!(written(&response.headers), ["vary: origin"]);
    });
}

#[test]
fn fields_of_the_upstream_are_replaced() {
    let upstream = [
        ("access-control-allow-origin", "*"),
        ("access-control-allow-credentials", "true"),
        ("access-control-expose-headers", "x-secret"),
        ("vary", "Accept"),
    ];
    assert_eq!(
        response_to(&web(), &[("origin", "https://x.y.example.org")], &upstream),
        [
            "access-control-allow-credentials: true",
            "access-control-allow-origin: https://x.y.example.org",
            "access-control-expose-headers: x-total",
            "vary: Accept",
            "vary: origin",
        ]
    );
    let foreign = ["vary: Accept", "vary: origin"];
    assert_eq!(response_to(&web(), &[], &upstream), foreign);
    let two = [
        ("origin", "https://app.example"),
        ("origin", "https://evil.example"),
    ];
    assert_eq!(response_to(&web(), &two, &upstream), foreign);
    let varies = [("vary", "Accept-Encoding, Origin")];
    let expected = ["vary: Accept-Encoding, Origin"];
    assert_eq!(response_to(&web(), &[], &varies), expected);
}
