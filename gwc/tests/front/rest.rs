//! Tests of `unmatched` and `undeclared_methods`: operations that receive requests which no
//! document describes.

use bundle::ir::{Hidden, Owns};
use diag::Level;
use model::compile::{self, Compiled};
use sources::project::files::Files;
use sources::syntax::Limits;

const A: &str = "openapi: 3.1.0
info: {title: t, version: \"1\"}
x-gateway: {}
security: [{key: []}]
paths:
  /a/{x}:
    parameters: [{name: x, in: path, required: true, schema: {type: string}}]
    get: {operationId: get, responses: {\"200\": {description: fine}}}
    put: {operationId: put, x-gateway: {internal: true}, responses: {\"200\": {description: fine}}}
components: {securitySchemes: {key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys}}}}
";

fn gateway(apis: &str, more: &str) -> String {
    format!(
        "version: 1\nname: s\napis: {{{apis}}}\nauth: {{keys: {{kind: api_key}}}}\n\
         upstreams: {{u: {{targets: {{a: {{url: \"http://127.0.0.1:9000\"}}}}}}, v: {{targets: {{a: {{url: \"http://127.0.0.1:9001\"}}}}}}}}\n\
         {more}defaults: {{upstream: u, timeout: 5s}}\n"
    )
}

fn compiled(gateway: &str, a: &str) -> Compiled {
    let files = [("gateway.yaml", gateway), ("a.yaml", a)];
    compile::project(Files::in_memory(files, Limits::default()), &Vec::new())
}

/// Findings as `RULE: MESSAGE`, without infos and without findings about unused definitions.
fn wrong(gateway: &str, a: &str) -> Vec<String> {
    let compiled = compiled(gateway, a);
    let findings = compiled.findings.iter();
    findings
        .filter(|finding| finding.level != Level::Info && finding.lint.name != "unused-definition")
        .map(|finding| format!("{}: {}", finding.lint.name, finding.message))
        .collect()
}

fn root(settings: &str) -> String {
    A.replace("x-gateway: {}", &format!("x-gateway: {{{settings}}}"))
}

/// Key, kind of requests, upstream, and number of policies of each operation.
fn operations(gateway: &str, a: &str) -> Vec<(String, Owns, String, usize)> {
    let compiled = compiled(gateway, a);
    let lowered = compiled.lowered.as_ref().expect("it compiles");
    let api = lowered.gateway.apis.get("a").expect("the API");
    let operations = api.operations.iter().map(|operation| {
        let treatment = &api.treatments[operation.treatment as usize];
        let upstream = treatment.upstream.clone();
        (
            operation.key.clone(),
            operation.owns,
            upstream,
            treatment.chain.len(),
        )
    });
    operations.collect()
}

#[test]
fn unmatched_has_security_and_policies_of_the_root() {
    let slow = "policies: {slow: {kind: rate_limit, limit: 10/s}}\n";
    let apis = "a: {path: a.yaml, unmatched: v}";
    let a = root("defaults: {policies: [slow]}, undeclared_methods: pass");
    let all = operations(&gateway(apis, slow), &a);
    // The chain has two entries: the rate limit and the access check.
    let expected = [
        ("a#undeclared", Owns::Undeclared, "u", 2),
        ("a#unmatched", Owns::Unmatched, "v", 2),
        ("a/get", Owns::Described, "u", 2),
    ];
    assert_eq!(
        all,
        expected.map(|(key, owns, upstream, chain)| (key.into(), owns, upstream.into(), chain))
    );
}

#[test]
fn unmatched_setting_of_gateway_yaml_has_precedence() {
    let root = root("unmatched: u, undeclared_methods: pass");
    let keys = |apis: &str| -> Vec<String> {
        let all = operations(&gateway(apis, ""), &root);
        all.into_iter().map(|(key, ..)| key).collect()
    };
    assert_eq!(
        keys("a: {path: a.yaml}"),
        ["a#undeclared", "a#unmatched", "a/get"]
    );
    assert_eq!(
        keys("a: {path: a.yaml, unmatched: deny}"),
        ["a#undeclared", "a/get"]
    );
    assert_eq!(
        keys("a: {path: a.yaml, undeclared_methods: deny}"),
        ["a#unmatched", "a/get"]
    );
}

#[test]
fn internal_paths_are_listed() {
    let hidden = |apis: &str| -> Vec<Hidden> {
        let compiled = compiled(&gateway(apis, ""), A);
        let lowered = compiled.lowered.expect("it compiles");
        lowered
            .gateway
            .apis
            .get("a")
            .expect("the API")
            .hidden
            .clone()
    };
    for apis in ["a: {path: a.yaml}", "a: {path: a.yaml, unmatched: v}"] {
        let [one] = &hidden(apis)[..] else {
            panic!("one is hidden");
        };
        assert_eq!(
            (one.method.as_str(), one.template.to_string().as_str()),
            ("PUT", "/a/{x}")
        );
    }
}

#[test]
fn unmatched_without_security_needs_public() {
    let open = |settings: &str| {
        root(settings)
            .replace("security: [{key: []}]\n", "")
            .replace(
                "{operationId: get, ",
                "{operationId: get, security: [{key: []}], ",
            )
    };
    let plain = gateway("a: {path: a.yaml}", "");
    let round = "way-round: `a#unmatched` may bypass the protection of 2 of the operations beside \
it";
    assert_eq!(
        wrong(&plain, &open("unmatched: v")),
        [
            "open-operation: `a#unmatched` requires no credentials",
            round
        ]
    );
    assert_eq!(wrong(&plain, &open("unmatched: v, public: true")), [round]);
    let listed = gateway("a: {path: a.yaml}", "required: {allow_public: [a/get]}\n");
    assert_eq!(
        wrong(&listed, &open("unmatched: v, public: true")),
        [
            round,
            "public-not-allowed: `a#unmatched` is not among the operations that may be public"
        ]
    );
    let listed = gateway("a: {path: a.yaml}", "required: {allow_public: [\"a#*\"]}\n");
    assert_eq!(
        wrong(&listed, &open("undeclared_methods: pass, public: true")),
        [""; 0]
    );
    assert_eq!(
        wrong(&plain, &root("public: true")),
        [
            "public-without-effect: `public: true` here has no effect: only described operations are \
             served"
        ]
    );
    assert_eq!(
        wrong(&plain, &root("unmatched: v, public: true")),
        [
            "way-round: `a#unmatched` may bypass the protection of 1 of the operations beside it",
            "public-without-effect: `a#unmatched` still requires a credential"
        ]
    );
    let staff = gateway("a: {path: a.yaml}", "required: {auth: [keys]}\n");
    assert_eq!(
        wrong(&staff, &root("unmatched: v")),
        ["way-round: `a#unmatched` may bypass the protection of 1 of the operations beside it"]
    );
}

#[test]
fn unmatched_reports_other_apis_of_its_upstream() {
    let a = A.replace("security: [{key: []}]\n", "").replace(
        "{operationId: get, ",
        "{operationId: get, security: [{key: []}], ",
    );
    let a = a.replace("x-gateway: {}", "x-gateway: {public: true}");
    for (upstream, mount, count) in [
        ("u", "base_path: /b", 4),
        ("v", "base_path: /b", 2),
        ("u", "base_path: /b, hosts: [b.example]", 2),
    ] {
        let b = format!("b: {{path: a.yaml, mount: {{{mount}}}}}");
        let apis = format!("a: {{path: a.yaml, unmatched: {upstream}}}, {b}");
        let round = format!(
            "way-round: `a#unmatched` may bypass the protection of {count} of the operations \
beside it"
        );
        let all = wrong(&gateway(&apis, ""), &a);
        assert!(all.contains(&round), "{upstream} {mount}: {all:?}");
    }
}

#[test]
fn internal_operation_of_another_api_is_no_way_round() {
    let document = "openapi: 3.1.0
info: {title: t, version: \"1\"}
security: [{}]
paths:
  /a:
    x-gateway: {match: prefix}
    put: {operationId: any, x-gateway: {public: true}, responses: {\"200\": {description: fine}}}
  /in:
    put: {operationId: hide, x-gateway: {internal: true}, responses: {\"200\": {description: fine}}}
";
    for mount in ["/a", "/b"] {
        let apis =
            format!("a: {{path: a.yaml}}, b: {{path: a.yaml, mount: {{base_path: {mount}}}}}");
        let all = wrong(&gateway(&apis, ""), document);
        let mut all = all.iter();
        assert!(!all.any(|one| one.contains("b/hide")), "{mount}");
    }
}

#[test]
fn unmatched_and_undeclared_values_are_checked() {
    assert_eq!(
        wrong(&gateway("a: {path: a.yaml, unmatched: vv}", ""), A),
        ["unknown-upstream: there is no upstream `vv`"]
    );
    assert_eq!(
        wrong(&gateway("a: {path: a.yaml}", ""), &root("unmatched: dany"))[0],
        "unknown-upstream: there is no upstream `dany`"
    );
    let passes = wrong(
        &gateway("a: {path: a.yaml, undeclared_methods: passs}", ""),
        A,
    );
    assert_eq!(passes.len(), 1, "{passes:?}");
    assert!(passes[0].contains("passs"), "{passes:?}");
}

#[test]
fn two_apis_cannot_own_equal_unmatched_requests() {
    let two = |first: &str, second: &str| {
        gateway(
            &format!("a: {{path: a.yaml{first}}}, b: {{path: b.yaml{second}}}"),
            "",
        )
    };
    let b = A
        .replace("/a/{x}", "/a/{y}")
        .replace("name: x", "name: y")
        .replace("get:", "post:");
    let wrong = |gateway: &str| -> Vec<String> {
        let files = [("gateway.yaml", gateway), ("a.yaml", A), ("b.yaml", &b)];
        let compiled = compile::project(Files::in_memory(files, Limits::default()), &Vec::new());
        let findings = compiled
            .findings
            .iter()
            .filter(|one| one.level == Level::Error);
        findings
            .map(|finding| format!("{}: {}", finding.lint.name, finding.message))
            .collect()
    };
    assert_eq!(
        wrong(&two(", unmatched: u", ", unmatched: v")),
        ["identical-route: `b#unmatched` and `a#unmatched` match exactly the same requests"]
    );
    assert_eq!(
        wrong(&two(
            ", undeclared_methods: pass",
            ", undeclared_methods: pass"
        )),
        ["identical-route: `b#undeclared` and `a#undeclared` match exactly the same requests"]
    );
    let based = ", unmatched: v, undeclared_methods: pass, mount: {base_path: /b}";
    assert_eq!(
        wrong(&two(", unmatched: u, undeclared_methods: pass", based)),
        [""; 0]
    );
    assert_eq!(
        wrong(&two(", unmatched: u", ", undeclared_methods: pass")),
        [""; 0]
    );
}

/// Document with protected operations, and with an open path item that has these settings in its
/// `x-gateway`.
fn beside(settings: &str) -> String {
    let open = format!(
        "paths:\n  /open:\n    x-gateway: {{{settings}}}\n    get: {{operationId: open, security: [], \
         x-gateway: {{public: true}}, responses: {{\"200\": {{description: fine}}}}}}\n  \
         /open/own: {{get: {{operationId: own, responses: {{\"200\": {{description: fine}}}}}}}}\n"
    );
    A.replace("paths:\n", &open)
}

#[test]
fn way_round_finds_a_prefix_above_protected_ones() {
    let plain = gateway("a: {path: a.yaml}", "");
    assert_eq!(wrong(&plain, &beside("")), [""; 0]);
    // The default `strict` refuses paths that upstreams could read as another path, so there is no
    // finding.
    assert_eq!(
        wrong(&plain, &beside("match: prefix")),
        ["way-round: `a/open` may bypass the protection of 1 of the operations below it"]
    );
}

#[test]
fn template_with_an_internal_path_is_no_way_round() {
    let plain = gateway("a: {path: a.yaml}", "");
    let with = |method: &str, internal: &str| {
        let own = format!(
            "paths:\n  /{{x}}: {{parameters: [{{name: x, in: path, required: true, schema: \
{{type: string}}}}], get: {{operationId: any, responses: {{\"200\": {{description: fine}}}}}}}}\n  \
/own: {{{method}: {{operationId: own, x-gateway: {{internal: {internal}}}, responses: {{\"200\": {{description: fine}}}}}}}}\n"
        );
        wrong(&plain, &A.replace("paths:\n", &own))
    };
    // The path of an internal operation is never served by the template of another operation.
    for (method, internal) in [("get", "true"), ("post", "true"), ("get", "false")] {
        assert_eq!(with(method, internal), [""; 0], "{method} {internal}");
    }
}

#[test]
fn way_round_finds_path_readings_keep() {
    let plain = gateway("a: {path: a.yaml}", "");
    let round = "way-round: `a/open` may bypass the protection of 3 of the operations beside it";
    assert_eq!(wrong(&plain, &beside("path_readings: keep")), [round]);
    assert_eq!(wrong(&plain, &beside("path_readings: strict")), [""; 0]);
    let kept = plain.replace("timeout: 5s", "timeout: 5s, path_readings: keep");
    assert_eq!(wrong(&kept, &beside("")), [round]);
}

/// An API on another host or listener has protected operations. The finding depends on the servers
/// of the upstreams.
#[test]
fn way_round_finds_operations_of_the_same_server() {
    let b = A
        .replace("/a/{x}", "/b/{x}")
        .replace("title: t", "title: b");
    let open = "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\npaths:\n  /open/{x}:\n    \
        x-gateway: {path_readings: keep}\n    \
        parameters: [{name: x, in: path, required: true, schema: {type: string}}]\n    \
        get: {operationId: open, security: [], x-gateway: {public: true}, responses: {\"200\": {description: fine}}}\n";
    let found = |own: &str, other: &str, url: &str, open: &str| -> Vec<String> {
        let apis = format!("a: {{path: a.yaml{own}}}, b: {{path: b.yaml{other}}}");
        let gateway = gateway(&apis, "").replace("http://127.0.0.1:9001", url);
        let files = [
            ("gateway.yaml", &*gateway),
            ("a.yaml", open),
            ("b.yaml", &b),
        ];
        let compiled = compile::project(Files::in_memory(files, Limits::default()), &Vec::new());
        let findings = compiled.findings.iter();
        findings
            .filter(|finding| finding.lint.name == "way-round")
            .map(|finding| finding.message.clone())
            .collect()
    };
    let hosts = (", mount: {hosts: [a.test]}", ", mount: {hosts: [b.test]}");
    let moved = "x-gateway: {defaults: {upstream: v}}\npaths:\n";
    let moved = open.replace("paths:\n", moved);
    let (same, other) = ("http://localhost:9000/v", "http://127.0.0.1:9001");
    let expected =
        ["`a/open` may bypass the protection of 2 of the operations of other APIs at its server"];
    assert_eq!(found(hosts.0, hosts.1, other, open), expected);
    assert_eq!(found(hosts.0, hosts.1, same, &moved), expected);
    assert_eq!(found(hosts.0, hosts.1, other, &moved), [""; 0]);
    let strict = open.replace("keep", "strict");
    assert_eq!(found(hosts.0, hosts.1, other, &strict), [""; 0]);
}

#[test]
fn path_readings_keep_bypasses_forward_auth() {
    let plain = gateway("a: {path: a.yaml}", "").replace(
        "defaults:",
        "policies: {ask: {kind: forward_auth, upstream: v}}\ndefaults:",
    );
    let round = "way-round: `a/open` may bypass the decision of `v` about its path";
    let document = |settings: &str| {
        let open = format!(
            "paths:\n  /open:\n    x-gateway: {{{settings}}}\n    get: {{operationId: open, \
             responses: {{\"200\": {{description: fine}}}}}}\n"
        );
        A.replace("paths:\n", &open)
    };
    let found = |gateway: &str, document: &str| -> Vec<String> {
        let found = wrong(gateway, document).into_iter();
        found
            .filter(|one| one.contains("the decision of"))
            .collect()
    };
    let asking = "match: prefix, policies: [ask]";
    assert_eq!(found(&plain, &document(asking)), [""; 0]);
    let kept = format!("{asking}, path_readings: keep");
    assert_eq!(found(&plain, &document(&kept)), [round]);
    let quiet = "match: prefix, path_readings: keep";
    assert_eq!(found(&plain, &document(quiet)), [""; 0]);
    // The finding is reported once, at the position of the setting in gateway.yaml.
    let defaults = plain.replace("timeout: 5s", "timeout: 5s, path_readings: keep");
    assert_eq!(found(&defaults, &document(asking)), [round]);
}

#[test]
fn path_readings_keep_without_effect_is_found() {
    let plain = gateway("a: {path: a.yaml}", "").replace(
        "defaults:",
        "policies:\n  below: {kind: authorize, expression: \"request.path.startsWith('/open')\"}\n  \
         quick: {kind: authorize, expression: \"request.method == 'GET'\"}\ndefaults:",
    );
    let idle = "way-round: `keep` has no effect on `a/open`";
    let document = |settings: &str| {
        let open = format!(
            "paths:\n  /open:\n    x-gateway: {{{settings}}}\n    get: {{operationId: open, \
             responses: {{\"200\": {{description: fine}}}}}}\n"
        );
        A.replace("paths:\n", &open)
    };
    let found = |gateway: &str, document: &str| -> Vec<String> {
        let found = wrong(gateway, document).into_iter();
        found.filter(|one| one.contains("has no effect")).collect()
    };
    let reading = "policies: [below]";
    assert_eq!(found(&plain, &document(reading)), [""; 0]);
    let kept = format!("{reading}, path_readings: keep");
    assert_eq!(found(&plain, &document(&kept)), [idle]);
    let strict = format!("{reading}, path_readings: strict");
    assert_eq!(found(&plain, &document(&strict)), [""; 0]);
    let other = "policies: [quick], path_readings: keep";
    assert_eq!(found(&plain, &document(other)), [""; 0]);
    // The finding is reported once, at the position of the setting in gateway.yaml.
    let defaults = plain.replace("timeout: 5s", "timeout: 5s, path_readings: keep");
    assert_eq!(
        found(&defaults, &document("policies: [quick, below]")),
        [idle]
    );
}

#[test]
fn nearest_path_readings_setting_applies() {
    let kept_readings = |gateway: &str, a: &str| -> Vec<(String, bool)> {
        let compiled = compiled(gateway, a);
        let lowered = compiled.lowered.as_ref().expect("it compiles");
        let api = lowered.gateway.apis.get("a").expect("the API");
        let operations = api.operations.iter().map(|operation| {
            let treatment = &api.treatments[operation.treatment as usize];
            (operation.key.clone(), !treatment.path_readings.is_strict())
        });
        operations.collect()
    };
    let keys = |keeps: [bool; 3]| -> Vec<(String, bool)> {
        let keys = ["a/get", "a/open", "a/own"].map(str::to_owned);
        keys.into_iter().zip(keeps).collect()
    };
    let plain = gateway("a: {path: a.yaml}", "");
    let kept = plain.replace("timeout: 5s", "timeout: 5s, path_readings: keep");
    assert_eq!(
        kept_readings(&plain, &beside("")),
        keys([false, false, false])
    );
    assert_eq!(kept_readings(&kept, &beside("")), keys([true, true, true]));
    let strict = "path_readings: strict";
    assert_eq!(
        kept_readings(&kept, &beside(strict)),
        keys([true, false, true])
    );
    let root = beside("path_readings: keep").replace(
        "x-gateway: {}\n",
        "x-gateway: {defaults: {path_readings: strict}}\n",
    );
    assert_eq!(kept_readings(&kept, &root), keys([false, true, false]));
    // If servers can read the declared path as another path, the default is `keep`. Only
    // `path_readings` of the path item changes it.
    let loose = beside("").replace("/open:", "\"/open;v=1\":");
    assert_eq!(kept_readings(&plain, &loose), keys([false, true, false]));
    let loose = beside(strict).replace("/open:", "\"/open;v=1\":");
    assert_eq!(kept_readings(&plain, &loose), keys([false, false, false]));
}

#[test]
fn streams_are_inherited_also_by_undescribed_requests() {
    let closing = |gateway: &str, document: &str, operation: &str| {
        let gateway = format!(
            "version: 1\nname: s\nupstreams: {{u: {{targets: {{a: {{url: \"http://127.0.0.1:9000\"}}}}}}}}\n\
             apis: {{a: {{path: api.yaml, unmatched: u, undeclared_methods: pass}}}}\n\
             defaults: {{upstream: u, timeout: 5s{gateway}}}\n"
        );
        let document = format!(
            "openapi: 3.1.0\ninfo: {{title: t, version: \"1\"}}\nx-gateway: {{public: true, defaults: {{{document}}}}}\n\
             paths: {{/a: {{get: {{operationId: a, x-gateway: {{public: true{operation}}}, responses: {{'200': {{description: ok}}}}}}}}}}\n"
        );
        let texts = [("gateway.yaml", &*gateway), ("api.yaml", &*document)];
        let files = Files::in_memory(texts, Limits::default());
        let compiled = compile::project(files, &Vec::new());
        let lowered = compiled
            .lowered
            .unwrap_or_else(|| panic!("{:?}", compiled.findings));
        let api = lowered.gateway.apis.iter().next().expect("an API");
        let closes = |key: &str| {
            let mut operations = api.operations.iter();
            let operation = operations.find(|one| one.key == key).expect("an operation");
            let treatment = usize::try_from(operation.treatment).expect("few");
            api.treatments[treatment].forwarding.closes_streams
        };
        ["a/a", "a#unmatched", "a#undeclared"].map(closes)
    };
    assert_eq!(closing("", "", ""), [false; 3]);
    assert_eq!(closing(", streams: close", "", ""), [true; 3]);
    assert_eq!(closing("", "streams: close", ""), [true; 3]);
    assert_eq!(closing(", streams: close", "streams: keep", ""), [false; 3]);
    assert_eq!(
        closing(", streams: close", "", ", streams: keep"),
        [false, true, true]
    );
    assert_eq!(closing("", "", ", streams: close"), [true, false, false]);
    // `null` restores the default.
    assert_eq!(closing(", streams: close", "streams: null", ""), [false; 3]);
}
