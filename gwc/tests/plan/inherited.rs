//! Tests of requests that an unchanged operation inherits: another operation received them, and the
//! pull request removes it or limits its requests.

use crate::{lines, side};
use plan::compare;

/// API `a` at `a.example` protects the upstream path. API `b` at `b.example` has an open catch-all
/// operation at the same upstream.
const GATEWAY: &str = "version: 1
name: shop
apis:
  a: {path: api.yaml, mount: {hosts: [a.example]}}
  b: {path: other.yaml, mount: {hosts: [b.example]}}
auth: {keys: {kind: api_key}}
upstreams:
  u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}
  v: {targets: {a: {url: \"http://other.example:9000\"}}}
defaults: {upstream: u}
";

const PROTECTED: &str = "openapi: 3.1.0
info: {title: t, version: \"1\"}
paths:
  /secret/1:
    get: {operationId: secret, security: [{key: []}], responses: {\"200\": {description: fine}}}
components:
  securitySchemes: {key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys}}}
";

/// Path item of API `b` with one open operation. `settings`: further keys of its `x-gateway`.
fn item(path: &str, settings: &str) -> String {
    let parameters = match path.contains("{x}") {
        true => "parameters: [{name: x, in: path, required: true, schema: {type: string}}], ",
        false => "",
    };
    let id: String = path.chars().filter(char::is_ascii_alphanumeric).collect();
    format!(
        "  {path}: {{{parameters}get: {{operationId: c{id}, security: [], x-gateway: {{{settings}}}, responses: {{\"200\": {{description: fine}}}}}}}}\n"
    )
}

/// Path item of a catch-all operation.
const ALL: &str = "  /:
    x-gateway: {match: prefix}
    get: {operationId: all, security: [], x-gateway: {public: true}, responses: {\"200\": {description: fine}}}
";

/// Lines about bypasses of a change of the path items of API `b`, beside its catch-all operation.
fn bypasses(old: &str, new: &str) -> Vec<String> {
    bypasses_beside(ALL, [old, new])
}

/// Lines about bypasses of a change of the path items of API `b`, beside another path item of it.
fn bypasses_beside(unchanged: &str, sides: [&str; 2]) -> Vec<String> {
    let of = |items: &str| {
        let document = format!(
            "openapi: 3.1.0
info: {{title: t, version: \"1\"}}
paths:
{items}{unchanged}"
        );
        side(&[
            ("gateway.yaml", GATEWAY),
            ("api.yaml", PROTECTED),
            ("other.yaml", &document),
        ])
    };
    let [old, new] = sides.map(of);
    let plan = compare(Some(&old), &new).expect("both sides build");
    let lines = lines(&plan).into_iter();
    lines.filter(|line| line.contains("way-round")).collect()
}

const INHERITED: &str = "security weaken way-round-added b/all";

#[test]
fn requests_of_a_removed_operation_are_inherited() {
    for separating in [
        item("/secret/1", "public: true, upstream: v"),
        item("/secret/{x}", "public: true, upstream: v"),
        item("/secret/1", "internal: true"),
    ] {
        assert_eq!(bypasses(&separating, ""), [INHERITED], "{separating}");
        assert_eq!(bypasses("", &separating), [""; 0], "{separating}");
    }
}

#[test]
fn requests_that_a_condition_leaves_are_inherited() {
    let old = item("/secret/1", "public: true, upstream: v");
    let settings = "public: true, upstream: v, match: {headers: {X-Beta: {present: true}}}";
    assert_eq!(bypasses(&old, &item("/secret/1", settings)), [INHERITED]);
}

#[test]
fn inherited_requests_that_were_open_have_no_line() {
    // The removed operation was open at the same upstream.
    let open = item("/secret/1", "public: true");
    assert_eq!(bypasses(&open, ""), [""; 0]);
    // Another operation still receives the requests.
    let both = [
        item("/secret/1", "public: true, upstream: v"),
        item("/secret/{x}", "public: true, upstream: v"),
    ];
    assert_eq!(bypasses(&both.concat(), &both[1]), [""; 0]);
    // No protected operation has the path.
    let other = item("/other", "public: true, upstream: v");
    assert_eq!(bypasses(&other, ""), [""; 0]);
}

/// An operation with a wider path than the protected one received the requests, not the catch-all.
#[test]
fn operation_with_parameters_separates_paths() {
    let separating = item("/secret/{x}", "public: true, upstream: v");
    let rewritten = |settings: &str| separating.clone() + &item("/y", settings);
    let (old, new) = (
        rewritten("public: true"),
        rewritten("public: true, rewrite: {path: /secret/1}"),
    );
    assert_eq!(
        bypasses(&old, &new),
        ["security weaken way-round-added b/cy"]
    );
}

/// The operation that inherits requests rewrites their paths.
#[test]
fn inherited_requests_are_rewritten() {
    let separating = item("/1", "public: true, upstream: v");
    let prefixed = ALL.replace(
        "public: true",
        "public: true, rewrite: {path: \"/secret{path}\"}",
    );
    let captured = item("/{x}", "public: true, rewrite: {path: \"/secret/{x}\"}");
    for (unchanged, key) in [(&prefixed, "all"), (&captured, "cx")] {
        let found = bypasses_beside(unchanged, [&separating, ""]);
        assert_eq!(found, [format!("security weaken way-round-added b/{key}")]);
        assert_eq!(bypasses_beside(unchanged, ["", &separating]), [""; 0]);
        // The unchanged operation was no earlier way, because the router separated the path.
        let opened = item("/y", "public: true, rewrite: {path: /secret/1}");
        let (old, new) = (item("/y", "public: true"), separating.clone() + &opened);
        let found = bypasses_beside(unchanged, [&(separating.clone() + &old), &new]);
        assert_eq!(found, ["security weaken way-round-added b/cy"], "{key}");
        // Without a separating operation, it was one.
        assert_eq!(bypasses_beside(unchanged, [&old, &opened]), [""; 0]);
    }
}

/// The removed operation also served another host than the one that inherits its requests.
#[test]
fn requests_of_one_host_are_inherited() {
    let catching = item("/secret/{x}", "public: true");
    let separating = item("/secret/1", "public: true, upstream: v");
    let of = |hosts: &str| {
        let gateway = GATEWAY.replace(
            "auth:",
            &format!("  c: {{path: c.yaml, mount: {{hosts: [{hosts}]}}}}\nauth:"),
        );
        let document = |items: &str| {
            format!("openapi: 3.1.0\ninfo: {{title: t, version: \"1\"}}\npaths:\n{items}")
        };
        side(&[
            ("gateway.yaml", &gateway),
            ("api.yaml", PROTECTED),
            ("other.yaml", &document(&catching)),
            ("c.yaml", &document(&separating)),
        ])
    };
    let plan = compare(Some(&of("b.example, c.example")), &of("c.example"));
    let lines = lines(&plan.expect("both sides build")).into_iter();
    let lines: Vec<String> = lines.filter(|line| line.contains("way-round")).collect();
    assert_eq!(lines, ["security weaken way-round-added b/csecretx"]);
}
