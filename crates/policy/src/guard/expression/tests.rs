//! Tables of expressions: errors with their positions, and results for a request.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use super::*;
use crate::auth::jwt::Identity;
use crate::route_id::RouteId;

use crate::auth::jwt::json;
use crate::claims::Claims;
use crate::cx::Principal;
use crate::cx::tests::{head, with_cx};
use crate::declared::{Scalar, Settings, Value as Written};

const CLAIMS: &str = r#"{"tenant":"t-1","seats":17,"share":0.5,"beta":true,"none":null,"roles":["editor","reader"],"org":{"id":"o-1","depth":2},"exp":1800000000}"#;

fn identity() -> Arc<Identity> {
    let all = json::object(CLAIMS.as_bytes()).unwrap();
    let words = |words: &[&str]| words.iter().map(|word| (*word).into()).collect();
    Arc::new(Identity {
        issuer: "https://idp.example".into(),
        subject: Some("alice".into()),
        client: None,
        consumer: None,
        key: None,
        claims: Claims::default(),
        scopes: words(&["read", "write"]),
        groups: words(&["admin", "staff"]),
        ends_s: u64::MAX,
        sha256: [0; 32],
        bound: None,
        all,
    })
}

/// Request for which the tests evaluate expressions.
fn request() -> RequestHead {
    let mut head = head(
        "/orders/7?limit=5&q=a+b%C3%A9&twice=1&twice=2&flag&bad=%FF&t=1&t[]=2&u=1;v=2&v=1&role=admin;x&force;x=1&semi=a%3Bb",
    );
    for (name, value) in [
        ("x-tenant", "t-1"),
        ("accept", "text/html"),
        ("accept", "text/plain"),
        ("cookie", "a=1"),
        ("cookie", "b=2"),
        ("x-empty", ""),
    ] {
        head.headers.append(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    head.headers
        .insert("x-bytes", HeaderValue::from_bytes(b"\xff").unwrap());
    head
}

/// Result of an expression for [`request`]. `with_caller`: the caller is a consumer with a token.
/// Otherwise there is no caller.
fn value(source: &str, with_caller: bool) -> Result<bool, NoValue> {
    let expression = Expression::compile(source);
    let expression = expression.unwrap_or_else(|faults| panic!("{source}: {faults:?}"));
    let text = |text: &str| Scalar::Text(text.to_owned());
    let consumer = Claims::of(
        &Settings::default()
            .with(&["tier"], Written::One(text("gold")))
            .with(&["teams"], Written::Set(vec![text("x"), text("y")])),
    );
    let groups: [Box<str>; 1] = ["partners".into()];
    let route = RouteId::new("orders/getOrder", "v2");
    with_cx(|cx| {
        cx.route = Some(&route);
        cx.principal = with_caller.then(|| Principal {
            consumer: Some("acme"),
            scheme: "bearer by idp",
            claims: &consumer,
            groups: &groups,
            plan: None,
            token: Some(identity()),
        });
        expression.holds(&request(), cx)
    })
}

#[test]
fn expressions_hold_as_their_operators_say() {
    for (source, expected) in [
        ("true", Ok(true)),
        ("request.method == 'GET'", Ok(true)),
        ("request.method in ['PUT', 'POST']", Ok(false)),
        ("request.path.startsWith('/orders/')", Ok(true)),
        ("request.path.matches('^/orders/[0-9]+$')", Ok(true)),
        ("request.path.matches(r'\\d{2}')", Ok(false)),
        ("request.host == 'shop.example'", Ok(true)),
        ("request.address == '10.0.0.1'", Ok(true)),
        (
            "request.headers['x-tenant'] == auth.claims.tenant",
            Ok(true),
        ),
        (
            "request.headers.accept == 'text/html, text/plain'",
            Ok(true),
        ),
        ("request.headers.cookie == 'a=1; b=2'", Ok(true)),
        ("request.headers['x-empty'] == ''", Ok(true)),
        ("has(request.headers.accept)", Ok(true)),
        ("'x-none' in request.headers", Ok(false)),
        ("request.headers['x-none'] == 'a'", Err(NoValue::Absent)),
        ("request.headers['x-bytes'] == 'a'", Err(NoValue::Ambiguous)),
        ("request.query.limit == '5'", Ok(true)),
        ("int(request.query.limit) <= 5", Ok(true)),
        ("request.query.q == 'a bé'", Ok(true)),
        ("request.query.flag == ''", Ok(true)),
        ("request.query.twice == '1'", Err(NoValue::Ambiguous)),
        ("has(request.query.twice)", Err(NoValue::Ambiguous)),
        ("'twice' in request.query", Err(NoValue::Ambiguous)),
        ("request.query.bad == ''", Err(NoValue::Ambiguous)),
        ("request.query.none == ''", Err(NoValue::Absent)),
        ("int(request.query.q) == 1", Err(NoValue::Range)),
        ("request.query.t == '1'", Err(NoValue::Ambiguous)),
        ("request.query.v == '1'", Err(NoValue::Ambiguous)),
        ("request.query['role'] != 'admin'", Err(NoValue::Ambiguous)),
        ("!('force' in request.query)", Err(NoValue::Ambiguous)),
        ("request.query.semi == 'a;b'", Ok(true)),
        ("size(request.query) == 13", Ok(true)),
        ("request.query['li' + 'mit'] == '5'", Ok(true)),
        (
            "size(request.headers) > 0 && has(request.headers)",
            Ok(true),
        ),
        ("auth.subject == 'alice'", Ok(true)),
        ("auth.issuer == 'https://idp.example'", Ok(true)),
        ("auth.consumer == 'acme'", Ok(true)),
        ("auth.scheme == 'bearer by idp'", Ok(true)),
        ("has(auth.client)", Ok(false)),
        ("auth.client == 'a'", Err(NoValue::Absent)),
        (
            "'admin' in auth.groups && 'partners' in auth.groups",
            Ok(true),
        ),
        ("'nobody' in auth.groups", Ok(false)),
        ("auth.groups[0] == 'admin'", Ok(true)),
        ("size(auth.groups) == 3", Ok(true)),
        ("auth.groups[3] == 'a'", Err(NoValue::Range)),
        ("auth.groups[-1] == 'a'", Err(NoValue::Range)),
        ("'read' in auth.scopes", Ok(true)),
        ("auth.claims.tier == 'gold'", Ok(true)),
        ("'x' in auth.claims.teams", Ok(true)),
        ("'editor' in auth.claims.roles", Ok(true)),
        ("auth.claims.roles[1] == 'reader'", Ok(true)),
        ("size(auth.claims.roles) == 2", Ok(true)),
        ("auth.claims.seats > 16", Ok(true)),
        ("auth.claims.seats == 17.0", Ok(true)),
        ("auth.claims.seats == '17'", Ok(false)),
        ("auth.claims.share < 1.0", Ok(true)),
        ("auth.claims.beta == true", Ok(true)),
        ("auth.claims.beta && auth.claims.beta", Ok(true)),
        ("auth.claims.none == null", Ok(true)),
        ("auth.claims.org.id == 'o-1'", Ok(true)),
        ("auth.claims.org['depth'] + 1 == 3", Ok(true)),
        (
            "has(auth.claims.org.id) && !has(auth.claims.org.name)",
            Ok(true),
        ),
        ("auth.claims.absent == 1", Err(NoValue::Absent)),
        ("auth.claims.tenant && true", Err(NoValue::Type)),
        ("auth.claims.tenant > 5", Err(NoValue::Type)),
        ("auth.claims.seats / 0 == 1", Err(NoValue::Range)),
        (
            "auth.claims.seats + 9223372036854775807 > 0",
            Err(NoValue::Range),
        ),
        ("auth.claims.tenant.lowerAscii().contains('T')", Ok(false)),
        ("'A-É'.lowerAscii() == 'a-É'", Ok(true)),
        (
            "route.operation == 'orders/getOrder' && route.mount == 'v2'",
            Ok(true),
        ),
        (
            "request.method == 'PUT' ? auth.claims.absent == 1 : true",
            Ok(true),
        ),
        // `||` and `&&` ignore an operand whose evaluation fails if the other operand decides (CEL,
        // *Logical Operators*).
        ("auth.claims.absent == 1 || true", Ok(true)),
        ("false && auth.claims.absent == 1", Ok(false)),
        ("auth.claims.absent == 1 && false", Ok(false)),
    ] {
        assert_eq!(value(source, true), expected, "{source}");
    }
}

#[test]
fn request_without_caller_has_no_values_of_one() {
    for (source, expected) in [
        ("has(auth.subject) || has(auth.consumer)", Ok(false)),
        ("auth.subject == 'alice'", Err(NoValue::Absent)),
        ("'admin' in auth.groups", Ok(false)),
        ("'read' in auth.scopes", Ok(false)),
        ("size(auth.groups) + size(auth.scopes) == 0", Ok(true)),
        ("auth.claims.tenant == 't-1'", Err(NoValue::Absent)),
        ("has(auth.claims.tenant)", Ok(false)),
        ("request.method == 'GET'", Ok(true)),
    ] {
        assert_eq!(value(source, false), expected, "{source}");
    }
}

/// Checks errors and the part of the expression at which they are reported.
#[test]
fn mistakes_are_reported_at_their_place() {
    let mut wrong = Vec::new();
    for (source, part, message) in [
        ("reqest.path == '/'", "reqest", "no variable `reqest`"),
        (
            "request.headers['x-' + 'role'] == 'a'",
            "'x-' + 'role'",
            "must be a literal",
        ),
        (
            "(true ? 'x-role' : 'x-user') in request.headers",
            "true ? 'x-role' : 'x-user'",
            "must be a literal",
        ),
        (
            "request.headers[request.headers['x-a']] == 'a'",
            "request.headers['x-a']",
            "must be a literal",
        ),
        (
            "[request.headers][0]['x-role'] == 'a'",
            "request.headers",
            "is missing here",
        ),
        (
            "[request][0].headers['x-role'] == 'a'",
            "request",
            "is missing here",
        ),
        (
            "(true ? request.headers : request.headers)['x-role'] == 'a'",
            "request.headers",
            "is missing here",
        ),
        ("request.pth == '/'", "pth", "has no field `pth`"),
        (
            "auth.claims.a == 1 && auth.grups == 1",
            "grups",
            "no field `grups`",
        ),
        ("route.id == 'a'", "id", "no field `id`"),
        (
            "request.headers['X-Tenant'] == 'a'",
            "X-Tenant",
            "no field is named",
        ),
        (
            "request.headers.Accept == 'a'",
            "Accept",
            "no field is named",
        ),
        (
            "auth.groups.exists(g, g == 'a')",
            "exists",
            "its evaluation time has no limit",
        ),
        (
            "auth.groups.all(g, g == 'a')",
            "all",
            "its evaluation time has no limit",
        ),
        (
            "auth.groups.map(g, g)[0] == 'a'",
            "map",
            "its evaluation time has no limit",
        ),
        (
            "size(auth.groups.filter(g, true)) > 0",
            "filter",
            "its evaluation time has no limit",
        ),
        (
            "auth.groups.exists_one(g, true)",
            "exists_one",
            "its evaluation time has no limit",
        ),
        (
            "auth.groups.existsOne(i, g, true)",
            "existsOne",
            "its evaluation time has no limit",
        ),
        (
            "size(auth.groups.transformList(i, g, g)) > 0",
            "transformList",
            "its evaluation time has no limit",
        ),
        ("lower(request.path) == 'a'", "lower", "no function `lower`"),
        (
            "request.path.startWith('a')",
            "startWith",
            "no function `startWith`",
        ),
        (
            "startsWith(request.path, 'a')",
            "startsWith(request.path, 'a')",
            "is called on a string",
        ),
        ("request.path.matches('(')", "'('", "cannot be read"),
        ("request.path.matches('(?=a)')", "'(?=a)'", "cannot be read"),
        (
            "request.path.matches(auth.subject)",
            "auth.subject",
            "must be a literal",
        ),
        (
            "request.path.startsWith(1)",
            "request.path.startsWith(1)",
            "takes one string",
        ),
        ("request.path", "request.path", "of type string, not bool"),
        (
            "auth.claims.beta",
            "auth.claims.beta",
            "of type dyn, not bool",
        ),
        ("request.path == 1", "request.path == 1", "string and int"),
        (
            "auth.groups == ['a']",
            "auth.groups == ['a']",
            "cannot be combined",
        ),
        ("request == auth", "request == auth", "cannot be combined"),
        (
            "request.path && true",
            "request.path",
            "a condition is needed",
        ),
        ("!request.method", "request.method", "a condition is needed"),
        (
            "1 in request.headers",
            "1 in request.headers",
            "int and request.headers",
        ),
        (
            "'a' in request.path",
            "'a' in request.path",
            "string and string",
        ),
        ("1 + 1.0 == 2.0", "1 + 1.0", "int and double"),
        ("-request.path == 'a'", "-request.path", "does not apply"),
        ("{'a': 1}.a == 1", "{", "objects cannot be written"),
        ("size(1) == 1", "size(1)", "takes no int"),
        ("int(true) == 1", "int(true)", "takes no bool"),
        ("request.path.x == 'a'", "request.path.x", "has no fields"),
        (
            "auth.groups['a'] == 'a'",
            "auth.groups['a']",
            "cannot be indexed by string",
        ),
        ("request.method == ", "", "cannot be parsed"),
        ("request.method = 'GET'", "=", "cannot be parsed"),
        ("", "", "cannot be parsed"),
        ("a.?b == 1", ".", "cannot be parsed"),
        ("@pattern0 == 1", "@", "cannot be parsed"),
        ("'é' == reqest.path", "reqest", "no variable `reqest`"),
        (
            "true &&\n  reqest.path == '/'",
            "reqest",
            "no variable `reqest`",
        ),
    ] {
        let Some(faults) = Expression::compile(source).err() else {
            wrong.push(format!("{source} is taken"));
            continue;
        };
        let (start, end) = faults[0].at;
        let found = source.get(start..end);
        if found != Some(part) || !faults[0].message.contains(message) {
            wrong.push(format!("{source}: `{found:?}` {}", faults[0].message));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_mistake_is_reported() {
    let faults = Expression::compile("reqest.path == 1 || auth.grups == 2 || size(true) == 1");
    assert_eq!(faults.err().map_or(0, |all| all.len()), 3);
}

#[test]
fn length_and_depth_are_bounded() {
    let long = format!("true || '{}' == ''", "a".repeat(BYTES_MAX));
    assert!(Expression::compile(&long).is_err());
    for (open, inner, close) in [("(", "true", ")"), ("!", "true", ""), ("[", "1", "]")] {
        let deep = [open.repeat(1_000), inner.into(), close.repeat(1_000)].concat();
        let _whatever = Expression::compile(&deep);
    }
    let wide = vec!["true"; 500].join(" && ");
    assert_eq!(value(&wide, true), Ok(true));
}

#[test]
fn too_large_pattern_is_refused() {
    let large = format!("request.path.matches('{}')", "(a{1000}){1000}");
    let faults = Expression::compile(&large).err().unwrap();
    assert!(faults[0].message.contains("pattern"), "{faults:?}");
}

/// Checks that random texts never make the compiler panic, and that each accepted text can be
/// evaluated.
#[test]
fn random_texts_are_refused_or_evaluated() {
    let words = [
        "auth",
        ".",
        "claims",
        "request",
        "headers",
        "[",
        "]",
        "(",
        ")",
        "'a'",
        "1",
        "==",
        "&&",
        "||",
        "!",
        "in",
        "size",
        "has",
        "matches",
        "-",
        "?",
        ":",
        "path",
        "groups",
        "\"",
        "\\",
        "é",
        "9223372036854775808",
        "0x",
        "1e999",
        "b'\\xff'",
        "null",
        "{",
        "}",
        ",",
        "`",
        "@",
        "true",
    ];
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed % below as u64).unwrap()
    };
    let mut taken = 0;
    for _ in 0..3_000 {
        let count = 1 + next(9);
        let source: Vec<&str> = (0..count).map(|_| words[next(words.len())]).collect();
        let source = source.concat();
        if Expression::compile(&source).is_ok() {
            taken += 1;
            let _whatever = value(&source, true);
        }
    }
    assert!(taken > 0);
}

#[test]
fn nothing_of_an_expression_is_printed() {
    let expression = Expression::compile("request.headers['x-key'] == 'hunter2'").unwrap();
    assert!(!format!("{expression:?}").contains("hunter2"));
}

/// Prints the time of an evaluation, for docs/performance.md. Run with `--nocapture`.
#[test]
fn cost_of_an_evaluation_is_printed() {
    for source in [
        "request.method == 'GET'",
        "request.headers['x-tenant'] == auth.claims.tenant && 'admin' in auth.groups",
        "request.path.matches('^/orders/[0-9]+$') && int(request.query.limit) <= 100",
    ] {
        let expression = Expression::compile(source).unwrap();
        let (head, token) = (request(), identity());
        with_cx(|cx| {
            cx.principal = Some(Principal {
                consumer: None,
                scheme: "bearer by idp",
                claims: crate::claims::NO_CLAIMS,
                groups: &[],
                plan: None,
                token: Some(token),
            });
            const ROUNDS: u32 = 2_000;
            let mut best = std::time::Duration::MAX;
            for _ in 0..10 {
                let began = std::time::Instant::now();
                for _ in 0..ROUNDS {
                    assert_eq!(expression.holds(&head, cx), Ok(true));
                }
                best = best.min(began.elapsed() / ROUNDS);
            }
            println!("{best:?} {source}");
        });
    }
}
