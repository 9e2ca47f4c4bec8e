//! Requests that the gateway refuses or answers itself.

use crate::fixture::*;

fn refusing() -> (Upstream, Served) {
    let upstream = Upstream::echoing();
    let mut shop = shop(
        upstream.address,
        vec![
            op("GET", "/orders"),
            op("POST", "/orders"),
            op("GET", "/mine").secured("key"),
            op("GET", "/query").secured("query"),
            op("GET", "/limited").policy("twice"),
            op("GET", "/closed").policy("closed"),
            op("GET", "/edited").policy("edits"),
            op("GET", "/files").prefix(),
        ],
    );
    shop.policies = vec![rate_limit("twice", 2), closed("closed"), edits("edits")];
    shop.expose_bundle = true;
    let served = shop.serve();
    (upstream, served)
}

#[test]
fn undescribed_path_is_404() {
    let (upstream, served) = refusing();
    let answer = get(served.address, "/nothing");
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (404, "no_route")
    );
    assert_eq!(
        answer.field("proxy-status"),
        ["gwd; error=http_request_denied"]
    );
    assert_eq!(
        answer.field("x-gateway-bundle").len(),
        1,
        "also on refusals"
    );
    assert!(upstream.seen().is_empty());
}

#[test]
fn another_method_is_405_with_the_allowed_methods() {
    let (_upstream, served) = refusing();
    let answer = fetch(served.address, "DELETE", "/orders", "");
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (405, "method_not_allowed")
    );
    assert_eq!(answer.field("allow"), ["GET, HEAD, POST"]);
}

#[test]
fn without_a_credential_it_is_401_with_a_challenge() {
    let (upstream, served) = refusing();
    for fields in ["", "x-key: wrong\r\n"] {
        let answer = fetch(served.address, "GET", "/mine", fields);
        assert_eq!(answer.status, 401);
        assert!(answer.problem().starts_with("credential_"));
        assert_eq!(
            answer.field("www-authenticate"),
            ["ApiKey in=\"header\", name=\"x-key\""]
        );
    }
    let twice = "x-key: letmein\r\nx-key: letmein\r\n";
    let answer = fetch(served.address, "GET", "/mine", twice);
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (400, "credential_ambiguous")
    );
    assert!(upstream.seen().is_empty());
    let answer = fetch(served.address, "GET", "/mine", "x-key: letmein\r\n");
    assert_eq!(answer.status, 200);
    let seen = upstream.only();
    assert_eq!(seen.field("x-consumer-name"), ["acme"]);
    assert!(
        seen.field("x-key").is_empty(),
        "the credential is taken out"
    );
}

#[test]
fn lookalike_field_is_removed_and_counted() {
    let upstream = Upstream::saying("ok");
    let served = shop(upstream.address, vec![op("GET", "/a").secured("key")]).serve();
    let fields = "x-key: letmein\r\nx_key: guess\r\nx_consumer.name: root\r\nx_mine: 1\r\n";
    assert_eq!(fetch(served.address, "GET", "/a", fields).status, 200);
    let seen = upstream.only();
    for gone in ["x_key", "x_consumer.name"] {
        assert!(seen.field(gone).is_empty(), "{gone}: {}", seen.head);
    }
    assert_eq!(seen.field("x_mine"), ["1"]);
    assert_eq!(served.metric("gwd_lookalike_fields_total", &[]), 2.0);
}

#[test]
fn query_credential_does_not_reach_the_upstream() {
    let (upstream, served) = refusing();
    let answer = get(served.address, "/query?a=1&shopkey=letmein&b=2");
    assert_eq!(answer.status, 200);
    assert_eq!(upstream.only().line(), "GET /query?a=1&b=2 HTTP/1.1");
}

#[test]
fn too_many_requests_are_429_with_retry_after() {
    let (_upstream, served) = refusing();
    for _ in 0..2 {
        let answer = get(served.address, "/limited");
        assert_eq!(answer.status, 200);
        assert_eq!(answer.field("ratelimit-policy"), ["\"twice\";q=2;w=60"]);
    }
    let answer = get(served.address, "/limited");
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (429, "rate_limited")
    );
    let seconds: u64 = answer.field("retry-after")[0].parse().unwrap();
    assert!((1..=30).contains(&seconds), "{seconds}");
    assert!(answer.field("ratelimit")[0].starts_with("\"twice\";r=0;t="));
    let name = |decision| ["policy=\"twice\"", decision];
    let decisions = "gwd_ratelimit_decisions_total";
    assert_eq!(served.metric(decisions, &name("decision=\"allow\"")), 2.0);
    assert_eq!(served.metric(decisions, &name("decision=\"deny\"")), 1.0);
}

#[test]
fn a_policy_may_answer_in_the_upstreams_place() {
    let (upstream, served) = refusing();
    let answer = get(served.address, "/closed");
    assert_eq!((answer.status, answer.text()), (503, "closed\n"));
    assert!(
        answer.field("proxy-status").is_empty(),
        "it is the answer, not an error"
    );
    assert!(upstream.seen().is_empty());
}

#[test]
fn fields_are_edited_and_secrets_reach_only_upstreams() {
    let (upstream, served) = refusing();
    let answer = fetch(served.address, "GET", "/edited", "x-edge: mine\r\n");
    assert_eq!(answer.field("x-edge"), ["said"]);
    assert_eq!(upstream.only().field("x-edge"), ["hunter2"]);
}

#[test]
fn a_path_read_as_another_operation_is_refused() {
    let (upstream, served) = refusing();
    let answer = get(served.address, "/files/..%2forders");
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (400, "path_ambiguous")
    );
    assert!(upstream.seen().is_empty());
    assert_eq!(get(served.address, "/files/a%2fb").status, 200);
    assert_eq!(get(served.address, "/files/a/b").status, 200);
}

#[test]
fn refused_valid_request_keeps_the_connection() {
    let (_upstream, served) = refusing();
    let mut client = Client::connect(served.address);
    for path in ["/nothing", "/orders", "/nothing"] {
        client.send(&format!("GET {path} HTTP/1.1\r\nhost: h\r\n\r\n"));
        let expected = if path == "/orders" { 200 } else { 404 };
        assert_eq!(client.answer().status, expected);
    }
}

#[test]
fn browsers_get_refusals_as_a_page() {
    const BROWSER: &str = "accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n";
    let served = shop(
        dead(),
        vec![op("GET", "/a"), op("GET", "/mine").secured("key")],
    )
    .serve();
    for (path, status, says) in [
        ("/nowhere<b>", 400, None),
        (
            "/nowhere",
            404,
            Some("No operation matches the host, path and conditions of the request."),
        ),
        ("/mine", 401, Some("A valid credential is required")),
        ("/a", 502, Some("<code>502 upstream_connect_failed</code>")),
    ] {
        let answer = fetch(served.address, "GET", path, BROWSER);
        assert_eq!(answer.status, status, "{path}");
        let Some(says) = says else {
            // The request head is malformed, so its `Accept` field is ignored.
            assert_eq!(answer.field("content-type"), ["application/problem+json"]);
            continue;
        };
        assert_eq!(answer.field("content-type"), ["text/html; charset=utf-8"]);
        assert_eq!(
            answer.field("content-security-policy"),
            ["default-src 'none'"]
        );
        assert_eq!(answer.field("vary"), ["accept"]);
        let id = answer.field("x-request-id")[0];
        let text = answer.text();
        assert!(
            text.starts_with("<!doctype html>") && text.contains(says),
            "{text}"
        );
        assert!(
            text.contains(&format!("request <code>{id}</code>")),
            "{text}"
        );
        let length = text.len().to_string();
        assert_eq!(answer.field("content-length"), [length]);
    }
    assert_eq!(
        fetch(served.address, "GET", "/mine", BROWSER)
            .field("www-authenticate")
            .len(),
        1
    );
    let program = fetch(served.address, "GET", "/nowhere", "accept: */*\r\n");
    assert_eq!(program.field("content-type"), ["application/problem+json"]);
    assert!(program.field("vary").is_empty());
}

#[test]
fn trace_is_405_with_the_methods_of_its_target() {
    let upstream = Upstream::saying("ok");
    let served = shop(
        upstream.address,
        vec![op("GET", "/a"), op("DELETE", "/a"), op("POST", "/b")],
    )
    .serve();
    for (path, allow) in [("/a", "DELETE, GET, HEAD"), ("/b", "POST"), ("/none", "")] {
        let answer = fetch(served.address, "TRACE", path, "");
        assert_eq!(answer.problem(), "trace_refused");
        assert_eq!((answer.status, answer.field("allow")), (405, vec![allow]));
    }
    assert!(upstream.seen().is_empty());
}
