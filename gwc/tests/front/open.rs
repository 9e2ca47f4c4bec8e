//! Tests of operations that are accidentally open to everyone. gwc reports them once per cause,
//! with their names, and only if there is no other error.

use model::compile::{self, Input, Options};
use sources::project::files::Files;
use sources::syntax::Limits;

use crate::project;

/// Lints a project whose document has these security settings at its root and at three operations.
fn found(gateway: &str, root: &str, operations: [&str; 3]) -> project::Linted {
    let gateway = format!(
        "version: 1\nname: s\nupstreams: {{u: {{targets: {{a: {{url: \"http://127.0.0.1:9000\"}}}}}}}}\n\
         auth: {{keys: {{kind: api_key}}}}\napis: {{shop: {{path: api.yaml}}}}\n{gateway}\n"
    );
    let mut document =
        format!("openapi: 3.1.0\ninfo: {{title: t, version: \"1\"}}\n{root}\npaths:\n");
    for (path, operation) in ["a", "b", "c"].iter().zip(operations) {
        document.push_str(&format!(
            "  /{path}: {{get: {{operationId: {path}, {operation}responses: {{'200': {{description: ok}}}}}}}}\n"
        ));
    }
    document.push_str(
        "components: {securitySchemes: {key: {type: apiKey, in: header, name: K, x-gateway: {auth: keys}}}}\n",
    );
    let texts = [("gateway.yaml", &*gateway), ("api.yaml", &*document)];
    project::of(compile::project(
        Files::in_memory(texts, Limits::default()),
        &Vec::new(),
    ))
}

const ENFORCED: &str = "defaults: {upstream: u, timeout: 5s}";
const LEFT: &str = "defaults: {upstream: u, timeout: 5s, security: upstream}";

/// Line and text of each related location of a finding.
fn related(linted: &project::Linted, code: &str) -> Vec<(usize, String)> {
    let finding = linted.findings.iter().find(|found| found.lint.code == code);
    let finding = finding.unwrap_or_else(|| panic!("no {code}:\n{}", linted.lines()));
    let place = |(span, text): &(diag::Span, String)| {
        let line = linted.files.sources.position(*span).line;
        (usize::try_from(line).expect("few lines"), text.clone())
    };
    finding.related.iter().map(place).collect()
}

/// Lints a project with one operation with this `security`, and two verifiers in `required.auth`.
fn found_with_two_required(security: &str) -> project::Linted {
    let gateway = "version: 1\nname: s\nupstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\n\
         auth: {keys: {kind: api_key}, badges: {kind: api_key}, others: {kind: api_key}}\n\
         required: {auth: [keys, badges]}\napis: {shop: {path: api.yaml}}\ndefaults: {upstream: u}\n";
    let scheme = |name: &str, auth: &str| {
        format!(
            "    {name}: {{type: apiKey, in: header, name: {name}, x-gateway: {{auth: {auth}}}}}\n"
        )
    };
    let document = format!(
        "openapi: 3.1.0\ninfo: {{title: t, version: \"1\"}}\npaths:\n  \
         /a: {{get: {{operationId: a, security: {security}, responses: {{'200': {{description: ok}}}}}}}}\n\
         components:\n  securitySchemes:\n{}{}{}",
        scheme("key", "keys"),
        scheme("badge", "badges"),
        scheme("other", "others")
    );
    let texts = [("gateway.yaml", gateway), ("api.yaml", &*document)];
    project::of(compile::project(
        Files::in_memory(texts, Limits::default()),
        &Vec::new(),
    ))
}

#[test]
fn each_alternative_needs_a_required_verifier() {
    let cases = [
        ("[{key: []}]", false),
        ("[{key: []}, {badge: []}]", false),
        ("[{other: [], key: []}]", false),
        ("[{other: [], key: []}, {badge: []}]", false),
        ("[{other: []}]", true),
        ("[{key: []}, {other: []}]", true),
        ("[{other: []}, {key: []}]", true),
        ("[{other: [], key: []}, {other: []}]", true),
    ];
    for (security, missing) in cases {
        let lines = found_with_two_required(security).lines();
        assert_eq!(
            lines.contains("error[GW0517]"),
            missing,
            "{security}:\n{lines}"
        );
    }
}

#[test]
fn security_upstream_names_the_open_operations() {
    let none = [
        "",
        "security: [], ",
        "x-gateway: {public: true, security: []}, ",
    ];
    let linted = found(LEFT, "security: [{key: []}]", none);
    let lines = linted.lines();
    assert!(
        lines.contains("info[GW0512]: 1 of 3 operations of `shop` requires no credentials"),
        "{lines}"
    );
    assert_eq!(related(&linted, "GW0512"), [(6, "`shop/b`".to_owned())]);
    let linted = found(LEFT, "", ["", "", ""]);
    let names: Vec<usize> = related(&linted, "GW0512").iter().map(|it| it.0).collect();
    assert_eq!(names, [5, 6, 7]);
}

#[test]
fn many_open_operations_are_counted_after_the_first() {
    let mut document = String::from("openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\npaths:\n");
    for index in 0..9 {
        document.push_str(&format!(
            "  /p{index}: {{get: {{operationId: o{index}, responses: {{'200': {{description: ok}}}}}}}}\n"
        ));
    }
    let folder = tempfile::tempdir().expect("there is room");
    let path = folder.path().join("museum.yaml");
    std::fs::write(&path, document).expect("it can be written");
    let compiled = compile::compile(&Input::Document(path), Options::default());
    let linted = project::of(compiled.expect("it is there"));
    // For a document without a project, the finding names the document, and is at the first
    // operation.
    assert!(
        linted.lines().starts_with(
            "museum.yaml:4:9: info[GW0512]: 9 of 9 operations of `museum` require no credentials; \
help: add `security` to them, or write `x-gateway: {public: true}` if that is intended\n"
        ),
        "{}",
        linted.lines()
    );
    let named = related(&linted, "GW0512");
    assert_eq!(named.len(), 6);
    assert_eq!(named[5], (9, "`museum/o5`, and 3 more".to_owned()));
}

#[test]
fn cause_of_several_open_operations_is_one_finding() {
    let linted = found(ENFORCED, "security: [{key: []}, {}]", ["", "", ""]);
    assert_eq!(
        linted.lines(),
        "api.yaml:3:23: error[GW0511]: 3 operations of `shop` require no credentials; help: remove \
`{}`, or write `x-gateway: {public: true}` at the operation if that is intended\n"
    );
    let names: Vec<usize> = related(&linted, "GW0511").iter().map(|it| it.0).collect();
    assert_eq!(names, [5, 6, 7]);
    let own = ["security: [], ", "", "security: [{}], "];
    let linted = found(ENFORCED, "security: [{key: []}]", own);
    let lines = linted.lines();
    let starts: Vec<&str> = lines
        .lines()
        .map(|line| line.split("; ").next().unwrap_or_default())
        .collect();
    assert_eq!(
        starts,
        [
            "api.yaml:5:40: error[GW0511]: `shop/a` requires no credentials",
            "api.yaml:7:41: error[GW0511]: `shop/c` requires no credentials",
        ]
    );
    // Without any requirement in the document, each operation must state its own.
    assert_eq!(found(ENFORCED, "", ["", "", ""]).names().len(), 3);
}

#[test]
fn unreadable_security_is_not_an_open_operation() {
    for written in ["{key: []}", "[key]", "[[key]]", "key", "7"] {
        let root = found(ENFORCED, &format!("security: {written}"), ["", "", ""]);
        let names = root.names();
        assert!(
            names.contains(&"malformed-security"),
            "{written}: {names:?}"
        );
        assert!(!names.contains(&"open-operation"), "{written}: {names:?}");
        let own = ["", &*format!("security: {written}, "), ""];
        let names = found(ENFORCED, "security: [{key: []}]", own).names();
        assert!(
            names.contains(&"malformed-security"),
            "{written}: {names:?}"
        );
        assert!(!names.contains(&"open-operation"), "{written}: {names:?}");
        let ours = ["", &*format!("x-gateway: {{security: {written}}}, "), ""];
        let names = found(ENFORCED, "security: [{key: []}]", ours).names();
        assert_eq!(names, ["wrong-type"], "{written}");
    }
}

#[test]
fn unmatched_allow_public_pattern_gets_a_suggestion() {
    let required = "defaults: {upstream: u, timeout: 5s}\nrequired: {allow_public: [shop/lisst, \"shop/*\", \"nowhere/*\"]}";
    let root = "security: [{key: []}]";
    let linted = found(required, root, ["", "", ""]);
    let lines = linted.lines();
    let findings: Vec<&str> = lines
        .lines()
        .filter(|line| line.contains("GW0537"))
        .collect();
    assert_eq!(findings.len(), 2, "{lines}");
    assert!(
        findings[0].contains("warn[GW0537]: no operation is called `shop/lisst`"),
        "{lines}"
    );
    assert!(findings[1].contains("`nowhere/*`"), "{lines}");
    let near = "defaults: {upstream: u, timeout: 5s}\nrequired: {allow_public: [shpo/a]}";
    let lines = found(near, root, ["", "x-gateway: {internal: true}, ", ""]).lines();
    // `shop/a` is the nearest name: `shop/b` and `shop/c` differ in one more letter.
    assert!(lines.contains("help: write `shop/a`"), "{lines}");
}

#[test]
fn failed_overlay_has_no_findings_of_its_consequences() {
    let gateway = "version: 1\nname: s\nupstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\n\
         auth: {keys: {kind: api_key}}\napis: {shop: {path: api.yaml, overlays: [more.yaml]}}\n\
         defaults: {upstream: u, timeout: 5s}\n";
    let document = "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\npaths:\n  /a:\n    parameters: []\n    \
         get: {operationId: a, responses: {'200': {description: ok}}}\n  \
         /b: {get: {operationId: b, responses: {'200': {description: ok}}}}\n\
         components: {securitySchemes: {key: {type: apiKey, in: header, name: K, x-gateway: {auth: keys}}}}\n";
    let overlay = |target: &str| {
        format!(
            "overlay: 1.0.0\ninfo: {{title: o, version: \"1\"}}\nactions:\n  \
             - {{target: \"{target}\", update: {{x-gateway: {{security: [{{key: []}}]}}}}}}\n"
        )
    };
    let linted = |target: &str| {
        let more = overlay(target);
        let texts = [
            ("gateway.yaml", gateway),
            ("api.yaml", document),
            ("more.yaml", &more),
        ];
        project::of(compile::project(
            Files::in_memory(texts, Limits::default()),
            &Vec::new(),
        ))
    };
    // Without the overlay's `security`, both operations would be open.
    let failed = linted("$.paths.*.*");
    assert_eq!(
        failed.lines(),
        "more.yaml:4:14: error[GW0405]: the target selects a map as well as a list; help: to select \
         the operations without `parameters` and the other keys beside them, write \
         `$.paths.*[?@.responses]`\n"
    );
    assert_eq!(linted("$.paths.*[?@.responses]").lines(), "");
}

#[test]
fn unchecked_alternative_names_what_it_opens() {
    let gateway = "version: 1\nname: s\nupstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\n\
         auth: {keys: {kind: api_key}}\napis: {shop: {path: api.yaml}}\n\
         defaults: {upstream: u, security: upstream, timeout: 5s}\n";
    let operation = |name: &str, security: &str| {
        format!(
            "  /{name}: {{get: {{operationId: {name}, security: {security}, responses: {{'200': {{description: ok}}}}}}}}\n"
        )
    };
    let document = format!(
        "openapi: 3.1.0\ninfo: {{title: t, version: \"1\"}}\npaths:\n{}{}{}{}{}\
         components: {{securitySchemes: {{key: {{type: apiKey, in: header, name: K, x-gateway: {{auth: keys}}}}, \
         other: {{type: apiKey, in: header, name: O}}}}}}\n",
        operation("a", "[{key: []}, {other: []}]"),
        operation("b", "[{other: []}, {key: []}]"),
        // These operations have no finding. Each request to `c` and `d` needs a credential that gwd
        // checks, and gwd checks no credential of `e`.
        operation("c", "[{key: []}]"),
        operation("d", "[{key: [], other: []}]"),
        operation("e", "[{other: []}]"),
    );
    let texts = [("gateway.yaml", gateway), ("api.yaml", &*document)];
    let linted = project::of(compile::project(
        Files::in_memory(texts, Limits::default()),
        &Vec::new(),
    ));
    assert_eq!(
        linted.lines(),
        "api.yaml:9:99: warn[GW0573]: any value of `other` bypasses the verifiers of 2 operations \
         of `shop`; help: bind a verifier here (`x-gateway: {auth: NAME}`), or leave this \
         alternative out of `security`\n"
    );
    let names: Vec<String> = related(&linted, "GW0573")
        .into_iter()
        .map(|(_, name)| name)
        .collect();
    assert_eq!(names, ["`shop/a`", "`shop/b`"]);
}
