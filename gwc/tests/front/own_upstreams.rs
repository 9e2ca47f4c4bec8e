//! Tests of upstreams that an API defines in `x-gateway.upstreams` at the root of its document:
//! references to them, and their names.

use model::compile::{self, Compiled};
use sources::project::files::Files;
use sources::syntax::Limits;

/// gateway.yaml with two APIs and their upstreams.
fn gateway(more: &str) -> String {
    format!(
        "version: 1\nname: s\napis:\n  \
         a: {{path: a.yaml, mount: {{base_path: /a}}}}\n  \
         b: {{path: b.yaml, mount: {{base_path: /b}}}}\n\
         upstreams: {{shared: {{targets: {{x: {{url: \"http://127.0.0.1:9001\"}}}}}}}}\n\
         defaults: {{upstream: shared, security: upstream, timeout: 5s}}\n{more}"
    )
}

fn own(name: &str, port: u16) -> String {
    format!("{name}: {{targets: {{x: {{url: \"http://127.0.0.1:{port}\"}}}}}}")
}

/// A document with this `x-gateway` at its root and these paths.
fn document(root: &str, paths: &str) -> String {
    format!(
        "openapi: 3.1.0\ninfo: {{title: t, version: \"1\"}}\nx-gateway: {{{root}}}\npaths:\n{paths}"
    )
}

fn project(gateway: &str, a: &str, b: &str) -> Compiled {
    let texts = [("gateway.yaml", gateway), ("a.yaml", a), ("b.yaml", b)];
    compile::project(Files::in_memory(texts, Limits::default()), &Vec::new())
}

const GET: &str = "responses: {\"200\": {description: ok}}";

fn plain() -> String {
    document("", &format!("  /p: {{get: {{operationId: p, {GET}}}}}\n"))
}

#[track_caller]
fn runs(compiled: &Compiled) -> &bundle::ir::Gateway {
    let messages: Vec<_> = compiled.findings.iter().map(|one| &one.message).collect();
    let lowered = compiled.lowered.as_ref();
    &lowered.unwrap_or_else(|| panic!("{messages:?}")).gateway
}

/// Findings, without the finding `open-operations`.
fn findings_of(compiled: &Compiled) -> Vec<(&str, &str)> {
    let findings = compiled.findings.iter();
    findings
        .map(|one| (one.lint.name, one.message.as_str()))
        .filter(|(lint, _)| *lint != "open-operations")
        .collect()
}

#[test]
fn own_upstreams_of_apis_have_separate_names() {
    let paths = format!(
        "  /operation: {{get: {{operationId: operation, x-gateway: {{upstream: orders}}, {GET}}}}}\n  \
           /shared: {{get: {{operationId: shared, {GET}}}}}\n  \
           /split: {{get: {{operationId: split, x-gateway: {{split: [{{upstream: orders, weight: 1}}, {{upstream: shared, weight: 3}}]}}, {GET}}}}}\n  \
           /mirror: {{get: {{operationId: mirror, x-gateway: {{mirror: {{upstream: orders, percent: 5%}}}}, {GET}}}}}\n  \
           /policy: {{get: {{operationId: policy, x-gateway: {{policies: [some]}}, {GET}}}}}\n  \
           /server: {{servers: [{{url: /, x-gateway: {{upstream: orders}}}}], get: {{operationId: server, {GET}}}}}\n"
    );
    let root = format!(
        "upstreams: {{{}}}, unmatched: orders, public: true, policies: {{some: {{kind: split, among: [{{upstream: orders, weight: 1}}, {{upstream: shared, weight: 1}}]}}}}",
        own("orders", 9_002)
    );
    let a = document(&root, &paths);
    let b = document(
        &format!(
            "upstreams: {{{}}}, defaults: {{upstream: orders}}",
            own("orders", 9_003)
        ),
        &format!("  /p: {{get: {{operationId: p, {GET}}}}}\n"),
    );
    let compiled = project(&gateway(""), &a, &b);
    let gateway = runs(&compiled);
    let upstreams = gateway.shared.upstreams.iter();
    let upstreams: Vec<(&str, u16)> = upstreams
        .map(|one| (one.name.as_str(), one.targets.iter().next().unwrap().port))
        .collect();
    let expected = [("a/orders", 9_002), ("b/orders", 9_003), ("shared", 9_001)];
    assert_eq!(upstreams, expected);
    let states: std::collections::BTreeSet<u64> = gateway
        .shared
        .upstreams
        .iter()
        .map(|one| one.state.0)
        .collect();
    assert_eq!(states.len(), 3, "what is known of one is not the other's");
    let goes = |api: &str, key: &str| {
        let api = gateway.apis.get(api).unwrap();
        let operation = api.operations.get(key).unwrap();
        let treatment = &api.treatments[operation.treatment as usize];
        let forwarding = &treatment.forwarding;
        let split = forwarding
            .split
            .iter()
            .flat_map(|split| policy::Policy::upstreams(split));
        let mirror = forwarding.mirror.iter().map(|mirror| mirror.upstream());
        let mut all = vec![treatment.upstream.as_str()];
        all.extend(split.chain(mirror));
        all.join(" ")
    };
    assert_eq!(goes("a", "a/operation"), "a/orders");
    assert_eq!(goes("a", "a/shared"), "shared");
    assert_eq!(goes("a", "a/split"), "shared a/orders shared");
    assert_eq!(goes("a", "a/mirror"), "shared a/orders");
    assert_eq!(goes("a", "a/server"), "a/orders");
    assert_eq!(goes("a", "a#unmatched"), "a/orders");
    assert_eq!(goes("b", "b/p"), "b/orders");
    let policies = &gateway.apis.get("a").unwrap().policies;
    assert_eq!(
        policies.get("some").unwrap().checked.upstreams(),
        ["a/orders", "shared"]
    );
}

#[test]
fn misspelt_own_upstream_gets_a_suggestion() {
    let root = format!("upstreams: {{{}}}", own("orders", 9_002));
    let paths =
        format!("  /p: {{get: {{operationId: p, x-gateway: {{upstream: ordrs}}, {GET}}}}}\n");
    let a = document(&root, &paths);
    let compiled = project(&gateway(""), &a, &plain());
    let unknown = ("unknown-upstream", "there is no upstream `ordrs`");
    assert_eq!(findings_of(&compiled), [unknown]);
    let finding = compiled.findings.iter();
    let mut finding = finding.filter(|one| one.lint.name == "unknown-upstream");
    let finding = finding.next().unwrap();
    assert_eq!(finding.help.as_deref(), Some("write `orders`"));
    let (place, _) = &finding.related[0];
    assert_eq!(compiled.files.sources.text(*place), "orders");
}

#[test]
fn timeout_of_own_upstream_holds_for_its_operations() {
    let root = "upstreams: {orders: {targets: {x: {url: \"http://127.0.0.1:9002\"}}, timeouts: {request: 3s}}}";
    let paths = format!(
        "  /o: {{get: {{operationId: o, x-gateway: {{upstream: orders}}, {GET}}}}}\n  \
           /p: {{get: {{operationId: p, {GET}}}}}\n"
    );
    let compiled = project(&gateway(""), &document(root, &paths), &plain());
    let api = runs(&compiled).apis.get("a").unwrap();
    let timeout = |key: &str| {
        let at = api.operations.get(key).unwrap().treatment as usize;
        api.treatments[at].timeout_ms
    };
    assert_eq!((timeout("a/o"), timeout("a/p")), (3_000, 5_000));
}

#[test]
fn shadowed_foreign_and_unused_names_are_reported() {
    let to_orders = |root: &str| {
        document(
            root,
            &format!("  /p: {{get: {{operationId: p, x-gateway: {{upstream: orders}}, {GET}}}}}\n"),
        )
    };
    let orders = format!("upstreams: {{{}}}", own("orders", 9_002));
    // A document cannot refer to the upstream of another API.
    let compiled = project(&gateway(""), &to_orders(&orders), &to_orders(""));
    assert_eq!(
        findings_of(&compiled),
        [("unknown-upstream", "there is no upstream `orders`")]
    );
    // gateway.yaml cannot refer to the upstream of an API either.
    let of_entry = gateway("").replace("path: b.yaml,", "path: b.yaml, unmatched: orders,");
    let compiled = project(&of_entry, &to_orders(&orders), &plain());
    assert_eq!(findings_of(&compiled)[0].0, "unknown-upstream");
    // Define an upstream with the same name in gateway.yaml and in the document.
    let shared = format!("upstreams: {{{}}}", own("shared", 9_002));
    let compiled = project(
        &gateway(""),
        &document(
            &shared,
            &format!("  /p: {{get: {{operationId: p, {GET}}}}}\n"),
        ),
        &plain(),
    );
    assert!(findings_of(&compiled).contains(&(
        "shadowed-name",
        "gateway.yaml already defines `shared` as an upstream"
    )));
    // Refer to a name without a definition.
    let compiled = project(
        &gateway(""),
        &document(
            &orders,
            &format!("  /p: {{get: {{operationId: p, {GET}}}}}\n"),
        ),
        &plain(),
    );
    assert_eq!(
        findings_of(&compiled),
        [("unused-definition", "the upstream `orders` is never used")]
    );
}

#[test]
fn mistake_in_an_own_upstream_is_at_its_place() {
    let paths =
        format!("  /p: {{get: {{operationId: p, x-gateway: {{upstream: orders}}, {GET}}}}}\n");
    for (written, lint, message) in [
        (
            "orders: {targets: {}}",
            "missing-key",
            "the upstream `a/orders` has no target",
        ),
        (
            "orders: {targets: {x: {url: \"ftp://h\"}}}",
            "bad-value",
            "`ftp://h` cannot be a target: its scheme is not `http`, `https` or `unix`",
        ),
        (
            "orders: {targets: {x: {url: \"http://127.0.0.1:8080\"}}}",
            "upstream-loop",
            "requests to this address return to the listener `public`",
        ),
    ] {
        let compiled = project(
            &gateway(""),
            &document(&format!("upstreams: {{{written}}}"), &paths),
            &plain(),
        );
        assert!(
            findings_of(&compiled).contains(&(lint, message)),
            "{:?}",
            findings_of(&compiled)
        );
        let at = compiled
            .findings
            .iter()
            .find(|one| one.message == message)
            .unwrap();
        assert_eq!(compiled.files.sources.file(at.span.file).path(), "a.yaml");
    }
}
