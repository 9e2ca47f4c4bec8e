//! Tests of the operation or status for requests that no operation describes (semantics.md §1).

use std::sync::Arc;

use bundle::ir::{self, Hidden, Owns, Set, Template, TrailingSlash};
use engine::router::{self, ApiRouter, Found, HostTable, contenders};
use policy::RequestHead;

/// Base path of a mount, and its operations. `METHOD /path`: described; `~METHOD /path`: internal;
/// `+`: serves undeclared methods; `*`: serves unmatched paths.
type Mounted<'a> = (&'a str, &'a [&'a str]);

fn operation(key: &str, method: &str, path: &str, owns: Owns) -> ir::Operation {
    let below = path.strip_suffix("**");
    let template = Template::parse(below.unwrap_or(path)).expect("a template");
    let prefix = below.is_some() || !owns.is_described();
    ir::Operation {
        key: key.to_owned(),
        method: method.to_owned(),
        template: if prefix {
            template.into_prefix()
        } else {
            template
        },
        conditions: Vec::new(),
        priority: 0,
        treatment: 0,
        trailing_slash: TrailingSlash::Strict,
        owns,
    }
}

fn router(routes: &[&str]) -> ApiRouter {
    let mut operations = Vec::new();
    let mut hidden = Vec::new();
    for text in routes {
        match *text {
            "+" => operations.push(operation("+", "*", "/", Owns::Undeclared)),
            "*" => operations.push(operation("*", "*", "/", Owns::Unmatched)),
            text => {
                let (method, path) = text.split_once(' ').expect("a method and a path");
                match method.strip_prefix('~') {
                    None => operations.push(operation(text, method, path, Owns::Described)),
                    Some(method) => hidden.push(Hidden {
                        method: method.to_owned(),
                        template: operation("", method, path, Owns::Described).template,
                        conditions: Vec::new(),
                        priority: 0,
                        upstreams: Vec::new(),
                    }),
                }
            }
        }
    }
    ApiRouter::build(Set::new(operations).expect("keys differ"), &hidden).expect("no conflict")
}

/// Routes a request and returns the result: `mount key`, `404`, or `405 METHODS`.
fn answer(mounts: &[Mounted<'_>], request: &str) -> String {
    let mut hosts = HostTable::default();
    let mut routers = Vec::new();
    for (number, (base, routes)) in (0u32..).zip(mounts) {
        let router = Arc::new(router(routes));
        hosts.add(None, base, number, &router);
        routers.push(router);
    }
    let (method, target) = request.split_once(' ').expect("a method and a target");
    let head = RequestHead {
        is_ambiguous: false,
        method: method.parse().expect("a method"),
        target: target.parse().expect("a target"),
        host: "h".into(),
        headers: http::HeaderMap::new(),
    };
    let found = router::find(&hosts, &head);
    let first = contenders(&hosts, &head).into_iter().next();
    let owner = first.filter(|one| one.reject_reason.is_none());
    let operation_index = owner.map(|one| (one.mount, one.operation));
    match found {
        Found::Operation {
            mount, operation, ..
        } => {
            assert_eq!(operation_index, Some((mount, operation)), "{request}");
            let key = &routers[mount as usize].operations()[operation as usize].key;
            let (base, _) = mounts[mount as usize];
            format!("{base} {key}")
        }
        other => {
            assert_eq!(operation_index, None, "{request}");
            match other {
                Found::MethodNotAllowed(methods) => {
                    let methods: Vec<&str> = methods.iter().map(http::Method::as_str).collect();
                    format!("405 {}", methods.join(" "))
                }
                _ => "404".to_owned(),
            }
        }
    }
}

#[test]
fn template_of_highest_precedence_decides_the_rest() {
    let one: &[Mounted<'_>] = &[("", &["GET /a/{x}", "~DELETE /a/{x}", "~GET /in", "+", "*"])];
    let deny: &[Mounted<'_>] = &[("", &["GET /a/{x}", "*"])];
    let nested: &[Mounted<'_>] = &[("", &["GET /a", "*"]), ("/b", &["GET /c"])];
    let both: &[Mounted<'_>] = &[("", &["GET /a"]), ("", &["POST /a", "+", "*"])];
    let wide: &[Mounted<'_>] = &[("", &["GET /{x}", "+"]), ("", &["GET /a"])];
    let narrow: &[Mounted<'_>] = &[("", &["GET /{x}"]), ("", &["GET /a", "+"])];
    let prefix: &[Mounted<'_>] = &[("/b", &["GET /**", "+"]), ("", &["*"])];
    let above: &[Mounted<'_>] = &[("", &["GET /b/{x}", "GET /c/in"]), ("/b", &["~GET /in"])];
    let equal: &[Mounted<'_>] = &[("", &["GET /in", "~GET /{x}"]), ("", &["~GET /in"])];
    let cases: &[(&[Mounted<'_>], &str, &str)] = &[
        // An internal operation takes precedence over less specific templates of the same API and
        // of other APIs.
        (above, "GET /b/in", "404"),
        (above, "GET /b/in/", "404"),
        (above, "GET /b/out", " GET /b/{x}"),
        // A served operation takes precedence over an internal operation with the same template.
        (equal, "GET /in", " GET /in"),
        (equal, "GET /out", "404"),
        (one, "GET /a/1", " GET /a/{x}"),
        (one, "HEAD /a/1", " GET /a/{x}"),
        (one, "PUT /a/1", " +"),
        (one, "OPTIONS /a/1", " +"),
        (one, "POST /other", " *"),
        (one, "GET /", " *"),
        (one, "GET /a", " *"),
        (one, "GET /a/1/", "404"),
        // An internal operation stays hidden, with any final slash and any method.
        (one, "DELETE /a/1", "405 GET HEAD"),
        (one, "DELETE /a/1/", "404"),
        (one, "PUT /a/1/", "404"),
        (one, "GET /in", "404"),
        (one, "HEAD /in", "404"),
        (one, "PUT /in", "404"),
        (one, "GET /in/", "404"),
        (one, "GET /in/x", " *"),
        // `API#unmatched` does not receive methods of a described path.
        (deny, "PUT /a/1", "405 GET HEAD"),
        (deny, "PUT /b", " *"),
        // The longest base path decides.
        (nested, "GET /x", " *"),
        (nested, "GET /b", "404"),
        (nested, "GET /b/x", "404"),
        (nested, "GET /bc", " *"),
        (nested, "PUT /b/c", "405 GET HEAD"),
        // If two documents describe the same path, the document with an operation for undeclared
        // methods decides.
        (both, "PUT /a", " +"),
        (both, "PUT /x", " *"),
        // The template of highest precedence that matches a path decides.
        (wide, "PUT /x", " +"),
        (wide, "PUT /a", "405 GET HEAD"),
        (narrow, "PUT /x", "405 GET HEAD"),
        (narrow, "PUT /a", " +"),
        (prefix, "GET /b/c/d", "/b GET /**"),
        (prefix, "PUT /b/c/d", "/b +"),
        (prefix, "PUT /c", " *"),
    ];
    for (mounts, request, expected) in cases {
        assert_eq!(
            answer(mounts, request),
            *expected,
            "{request} at {mounts:?}"
        );
    }
}

#[test]
fn failed_condition_is_not_an_undeclared_method() {
    let mut get = operation("get", "GET", "/a", Owns::Described);
    get.conditions = vec![ir::Condition::Query("v".into(), ir::Test::Present)];
    let rest = operation("+", "*", "/", Owns::Undeclared);
    let more = operation("*", "*", "/", Owns::Unmatched);
    let router = ApiRouter::build(Set::new(vec![get, rest, more]).unwrap(), &[]).unwrap();
    let mut hosts = HostTable::default();
    hosts.add(None, "", 0, &Arc::new(router));
    let head = RequestHead {
        is_ambiguous: false,
        method: http::Method::GET,
        target: "/a?w=1".parse().unwrap(),
        host: "h".into(),
        headers: http::HeaderMap::new(),
    };
    assert_eq!(router::find(&hosts, &head), Found::NoConditionMatched);
}

#[test]
fn an_api_has_one_operation_for_each_kind_of_rest() {
    for owns in [Owns::Undeclared, Owns::Unmatched] {
        let two = ["a", "b"].map(|key| operation(key, "*", "/", owns));
        let refused = ApiRouter::build(Set::new(two.to_vec()).unwrap(), &[]).unwrap_err();
        assert_eq!(
            (refused.first.as_str(), refused.second.as_str()),
            ("a", "b")
        );
    }
}
