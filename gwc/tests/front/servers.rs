//! Tests of `servers` of documents as destinations. The nearest list replaces outer lists as a
//! whole, and its entries can have shares.

use model::compile::{self, Compiled};
use sources::project::files::Files;
use sources::syntax::Limits;

const GATEWAY: &str = "version: 1\nname: s\napis: {api: {path: api.yaml}}\n\
    upstreams: {a: {targets: {x: {url: \"http://127.0.0.1:9001\"}}}, b: {targets: {x: {url: \"http://127.0.0.1:9002\"}}}, \
    c: {targets: {x: {url: \"http://127.0.0.1:9003\"}}}, d: {targets: {x: {url: \"http://127.0.0.1:9004\"}}}}\n\
    defaults: {upstream: d, security: upstream, timeout: 5s}\n";

/// Compiles a project whose document has these servers and paths.
fn project(servers: &str, paths: &str) -> Compiled {
    let document = format!(
        "openapi: 3.1.0\ninfo: {{title: t, version: \"1\"}}\nservers: [{servers}]\npaths:\n{paths}"
    );
    let texts = [("gateway.yaml", GATEWAY), ("api.yaml", &document)];
    compile::project(Files::in_memory(texts, Limits::default()), &Vec::new())
}

/// Destination of each operation: the name of an upstream, or shares of several upstreams.
#[track_caller]
fn destinations(compiled: &Compiled) -> Vec<(String, String)> {
    let messages: Vec<_> = compiled.findings.iter().map(|one| &one.message).collect();
    let lowered = compiled.lowered.as_ref();
    let gateway = &lowered.unwrap_or_else(|| panic!("{messages:?}")).gateway;
    let api = gateway.apis.get("api").expect("it is there");
    let all = api.operations.iter().map(|operation| {
        let treatment = &api.treatments[operation.treatment as usize];
        let shares = treatment.forwarding.split.iter();
        let shares = shares.flat_map(|split| split.shares());
        let shares: Vec<String> = shares
            .map(|share| format!("{} {}", share.upstream, share.weight))
            .collect();
        let goes = match shares.is_empty() {
            true => treatment.upstream.clone(),
            false => shares.join(", "),
        };
        (operation.key.clone(), goes)
    });
    all.collect()
}

const GET: &str = "responses: {\"200\": {description: ok}}";

fn to(upstream: &str) -> String {
    format!("{{url: /, x-gateway: {{upstream: {upstream}}}}}")
}

fn part(upstream: &str, weight: u32) -> String {
    format!("{{url: /, x-gateway: {{upstream: {upstream}, weight: {weight}}}}}")
}

#[test]
fn nearest_servers_list_replaces_outer_lists() {
    let (a, b, c) = (to("a"), to("b"), to("c"));
    let paths = format!(
        "  /document: {{get: {{operationId: document, {GET}}}}}\n  \
           /path: {{servers: [{b}], get: {{operationId: path, {GET}}}}}\n  \
           /operation: {{servers: [{b}], get: {{operationId: operation, servers: [{c}], {GET}}}}}\n  \
           /plain: {{get: {{operationId: plain, servers: [{{url: /}}], {GET}}}}}\n  \
           /nearer: {{x-gateway: {{upstream: b}}, get: {{operationId: nearer, {GET}}}}}\n  \
           /farther: {{x-gateway: {{upstream: b}}, get: {{operationId: farther, servers: [{c}], {GET}}}}}\n"
    );
    let goes = destinations(&project(&a, &paths));
    let expected = [
        ("document", "a"),
        ("farther", "c"),
        ("nearer", "b"),
        ("operation", "c"),
        ("path", "b"),
        // A list without upstreams also replaces the outer list.
        ("plain", "d"),
    ];
    let expected = expected.map(|(key, goes)| (format!("api/{key}"), goes.to_owned()));
    assert_eq!(goes, expected);
}

#[test]
fn several_servers_become_a_weighted_split() {
    let document = format!("{}, {{url: /plain}}, {}", part("a", 95), part("b", 5));
    let (b, c) = (part("b", 1), part("c", 0));
    let paths = format!(
        "  /document: {{get: {{operationId: document, {GET}}}}}\n  \
           /nearer: {{x-gateway: {{upstream: d}}, get: {{operationId: nearer, {GET}}}}}\n  \
           /operation: {{get: {{operationId: operation, servers: [{b}, {c}], {GET}}}}}\n  \
           /split: {{get: {{operationId: split, x-gateway: {{split: [{{upstream: c}}, {{upstream: d}}]}}, {GET}}}}}\n"
    );
    let goes = destinations(&project(&document, &paths));
    let expected = [
        ("document", "a 95, b 5"),
        ("nearer", "d"),
        ("operation", "b 1, c 0"),
        ("split", "c 1, d 1"),
    ];
    let expected = expected.map(|(key, goes)| (format!("api/{key}"), goes.to_owned()));
    assert_eq!(goes, expected);
}

#[test]
fn undescribed_requests_go_to_the_documents_servers() {
    let document = format!("{}, {}", part("a", 95), part("b", 5));
    let paths = format!(
        "  /p: {{get: {{operationId: p, servers: [{}], {GET}}}}}\n\
         x-gateway: {{undeclared_methods: pass, public: true}}\n",
        to("c")
    );
    let goes = destinations(&project(&document, &paths));
    let expected = [("api#undeclared", "a 95, b 5"), ("api/p", "c")];
    let expected = expected.map(|(key, goes)| (key.to_owned(), goes.to_owned()));
    assert_eq!(goes, expected);
}

#[test]
fn contradictory_shares_of_servers_are_reported() {
    let plain = format!("  /p: {{get: {{operationId: p, {GET}}}}}\n");
    let beside = |extension: &str, servers: &str| {
        format!(
            "  /p: {{get: {{operationId: p, servers: [{servers}], x-gateway: {extension}, {GET}}}}}\n"
        )
    };
    let (a, b) = (to("a"), to("b"));
    let both = format!("{}, {}", part("a", 1), part("b", 1));
    for (servers, paths, expected) in [
        (
            "{url: /, x-gateway: {weight: 1}}".to_owned(),
            plain.clone(),
            "this share has no upstream",
        ),
        (
            format!("{}, {b}", part("a", 1)),
            plain.clone(),
            "several servers name an upstream, and this one has no share",
        ),
        (
            format!("{}, {}", part("a", 0), part("b", 0)),
            plain.clone(),
            "every share is 0",
        ),
        (
            part("a", 2),
            plain.clone(),
            "there is no other upstream to share with",
        ),
        (
            String::new(),
            beside("{upstream: b}", &a),
            "the upstream is named twice",
        ),
        (
            String::new(),
            beside("{split: [{upstream: a}]}", &both),
            "the upstream is named twice",
        ),
        (to("nobody"), plain, "no upstream `nobody`"),
    ] {
        let compiled = project(&servers, &paths);
        let messages: Vec<&str> = compiled.findings.iter().map(|one| &*one.message).collect();
        let found = messages.iter().filter(|message| message.contains(expected));
        assert_eq!(found.count(), 1, "{expected}: {messages:#?}");
    }
}

#[test]
fn changed_share_is_the_only_new_bundle_id() {
    let paths = format!("  /p: {{get: {{operationId: p, {GET}}}}}\n");
    let with = |servers: &str| {
        let compiled = project(servers, &paths);
        compiled.lowered.expect("it compiles").gateway
    };
    let one = with(&format!("{}, {}", part("a", 95), part("b", 5)));
    let same = with(&format!(
        "{}, {{url: /more}}, {}",
        part("a", 95),
        part("b", 5)
    ));
    let other = with(&format!("{}, {}", part("a", 94), part("b", 6)));
    assert_eq!(one, same);
    assert_ne!(one, other);
}
