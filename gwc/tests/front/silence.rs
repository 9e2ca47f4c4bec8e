//! Tests of settings that silence a finding, of their limits, and of findings about an `allow`
//! without effect.

use diag::Level;
use model::compile::{self, Levels, Purpose};
use sources::project::files::Files;
use sources::syntax::Limits;

use crate::project;

const BROKEN: &str = "openapi: 3.0.3
info: {title: t, version: \"1\"}
paths:
  /a:
    get: {operationId: list, responses: {'200': {description: ok}}}
    post: {sumary: x, responses: {'200': {description: ok}}}
";

fn overlay(actions: &str) -> String {
    format!("overlay: 1.0.0\ninfo: {{title: o, version: \"1\"}}\nactions:\n{actions}")
}

fn overlaid(document: &str, actions: &str) -> Vec<&'static str> {
    let overlay = overlay(actions);
    project::memory(&[("openapi.yaml", document), ("overlay.yaml", &overlay)]).names()
}

#[test]
fn an_overlay_can_add_or_remove_an_allowance() {
    assert_eq!(project::text(BROKEN).names(), ["unknown-field"]);
    let post =
        "- {target: \"$.paths['/a'].post\", update: {x-gateway-lint: {allow: [unknown-field]}}}\n";
    assert_eq!(overlaid(BROKEN, post), Vec::<&str>::new());
    // At the other node, the `allow` has no effect, which gwc reports.
    let get = post.replace("post", "get");
    assert_eq!(overlaid(BROKEN, &get), ["unknown-field", "unused-allow"]);
    // An overlay can remove an allowance of the document.
    let allowing = BROKEN.replace(
        "post: {",
        "post: {x-gateway-lint: {allow: [unknown-field]}, ",
    );
    assert_eq!(project::text(&allowing).names(), Vec::<&str>::new());
    let removal = "- {target: \"$.paths['/a'].post['x-gateway-lint']\", remove: true}\n";
    assert_eq!(overlaid(&allowing, removal), ["unknown-field"]);
}

#[test]
fn rule_is_allowed_by_code_and_with_a_reason() {
    let allowing = |settings: &str| {
        BROKEN.replace(
            "post: {",
            &format!("post: {{x-gateway-lint: {{{settings}}}, "),
        )
    };
    let names = |settings: &str| project::text(&allowing(settings)).names();
    assert_eq!(names("allow: [GW0302]"), [""; 0]);
    assert_eq!(
        names("allow: [gw0302], reason: as the client wrote it"),
        [""; 0]
    );
    assert_eq!(names("allow: [unknown-field], reason: [x]"), ["wrong-type"]);
    assert_eq!(names("allow: [unknown-field], because: x"), ["unknown-key"]);
    assert_eq!(names("allow: [GW0302, GW0325]"), ["unused-allow"]);
    // A rule that cannot be silenced is refused, whether given by name or by code.
    assert_eq!(names("allow: [unknown-field, GW0348]"), ["unknown-rule"]);
    let theirs = project::text(&allowing("allow: [unknown-field, operation-tags]"));
    assert_eq!(theirs.names(), ["unknown-rule"]);
    assert_eq!(
        theirs.findings[0].label,
        "gwc's name of the rule is `missing-operation-tags`"
    );
    assert_eq!(theirs.findings[0].fix[0].text, "missing-operation-tags");
}

#[test]
fn allowance_covers_values_of_an_overlay() {
    let add = "- {target: \"$.paths['/a']\", update: {put: {operationId: put, sumary: x, responses: {'200': {description: ok}}}}}\n";
    let one = BROKEN.replace("post: {sumary: x", "post: {summary: x");
    assert_eq!(overlaid(&one, add), ["unknown-field"]);
    let allowing = one.replace(
        "  /a:\n",
        "  /a:\n    x-gateway-lint: {allow: [unknown-field]}\n",
    );
    assert_eq!(overlaid(&allowing, add), Vec::<&str>::new());
}

#[test]
fn unused_allowance_is_reported_and_can_be_allowed() {
    let text = BROKEN.replace(
        "get: {",
        "get: {x-gateway-lint: {allow: [unknown-field, duplicate-tag]}, ",
    );
    let linted = project::text(&text);
    let unused: Vec<String> = linted.lines().lines().map(str::to_owned).collect();
    assert_eq!(linted.names().len(), 3, "{unused:?}");
    assert!(
        unused[0]
            .starts_with("openapi.yaml:5:36: info[GW0309]: `unknown-field` has no finding here"),
        "{unused:?}"
    );
    assert!(unused[1].contains(":5:51: info[GW0309]"), "{unused:?}");

    let quiet = text.replace("duplicate-tag]", "duplicate-tag, unused-allow]");
    assert_eq!(project::text(&quiet).names(), ["unknown-field"]);
}

/// Findings of a project whose document breaks a rule twice, with lint levels from gateway.yaml and
/// the command line.
fn leveled(gateway: &str, levels: &Levels) -> Vec<(&'static str, Level)> {
    let gateway = format!(
        "version: 1\nname: s\napis: {{a: {{path: a.yaml}}}}\nupstreams: {{u: {{targets: {{a: {{url: \"http://127.0.0.1:1\"}}}}}}}}\n\
         defaults: {{upstream: u, security: upstream}}\n{gateway}"
    );
    let document = format!("{BROKEN}tags: [{{name: x}}, {{name: x}}]\n").replace(
        "post: {sumary: x",
        "post: {x-gateway-lint: {allow: [unknown-field]}, sumary: x",
    );
    let files = [
        ("gateway.yaml", gateway.as_str()),
        ("a.yaml", document.as_str()),
    ];
    let files = Files::in_memory(files, Limits::default());
    let found = compile::project(files, levels).findings;
    found
        .iter()
        .filter(|found| {
            ["duplicate-tag", "unknown-field", "unused-allow"].contains(&found.lint.name)
        })
        .map(|found| (found.lint.name, found.level))
        .collect()
}

#[test]
fn command_line_level_overrides_gateway_yaml() {
    let level = |name: &str, level| vec![(name.to_owned(), level)];
    let own = leveled("", &Levels::new());
    assert_eq!(own, [("duplicate-tag", Level::Error)]);
    let file = "lint: {duplicate-tag: warn}\n";
    assert_eq!(
        leveled(file, &Levels::new()),
        [("duplicate-tag", Level::Warn)]
    );
    let line = leveled(file, &level("duplicate-tag", Some(Level::Info)));
    assert_eq!(line, [("duplicate-tag", Level::Info)]);
    assert_eq!(leveled(file, &level("duplicate-tag", None)), []);
    let mut twice = level("duplicate-tag", None);
    twice.extend(level("duplicate-tag", Some(Level::Warn)));
    assert_eq!(leveled(file, &twice), [("duplicate-tag", Level::Warn)]);
    // An allowance at a node has precedence over every level.
    let loud = level("unknown-field", Some(Level::Error));
    assert_eq!(leveled("", &loud), own);
    // An allowance for a rule that is off is not reported as unused.
    let off = "lint: {unknown-field: off}\n";
    assert_eq!(leveled(off, &Levels::new()), own);
}

#[test]
fn levels_of_unknown_and_hard_rules_are_refused() {
    let gateway =
        "version: 1\nname: s\nlint: {duplicate-tagg: off, undefined-security-scheme: off}\n";
    let files = Files::in_memory([("gateway.yaml", gateway)], Limits::default());
    let found = compile::project(files, &Levels::new()).findings;
    let messages: Vec<(&str, &str)> = found
        .iter()
        .filter(|found| found.lint.name == "unknown-rule")
        .map(|found| (found.message.as_str(), found.label.as_str()))
        .collect();
    assert_eq!(
        messages,
        [
            (
                "there is no rule `duplicate-tagg`",
                "did you mean `duplicate-tag`?"
            ),
            (
                "`undefined-security-scheme` cannot be set below an error",
                ""
            ),
        ]
    );
}

#[test]
fn gateway_yaml_and_x_gateway_may_allow_rules() {
    let found = |gateway: &str| {
        let files = Files::in_memory([("gateway.yaml", gateway)], Limits::default());
        let findings = compile::project(files, &Levels::new()).findings;
        let names = findings.iter().map(|finding| finding.lint.name);
        names.collect::<Vec<_>>()
    };
    let unused = |allow: &str| {
        found(&format!(
            "version: 1\nname: s\npolicies: {{p: {{kind: rate_limit, limit: 1/s{allow}}}}}\n"
        ))
    };
    assert_eq!(unused(""), ["unused-definition"]);
    let allowed = ", x-gateway-lint: {allow: [unused-definition]}";
    assert_eq!(unused(allowed), [""; 0]);
    let unknown = ", x-gateway-lint: {allow: [unused-definitoin]}";
    assert_eq!(unused(unknown), ["unused-definition", "unknown-rule"]);
    let hard = ", x-gateway-lint: {allow: [not-available]}";
    assert_eq!(unused(hard), ["unused-definition", "unknown-rule"]);
}

/// Compiles a project with the operations `odd` (with a key) and `other` (public). `path`: path of
/// `odd`. `level`: level of `unroutable-template`.
fn unroutable(path: &str, level: &str) -> compile::Compiled {
    let names = path
        .split('{')
        .skip(1)
        .filter_map(|rest| rest.split('}').next());
    let parameters: Vec<String> = names
        .map(|name| format!("{{name: {name}, in: path, required: true, schema: {{type: string}}}}"))
        .collect();
    let parameters = parameters.join(", ");
    let document = format!(
        "openapi: 3.1.0
info: {{title: t, version: \"1\"}}
paths:
  \"{path}\":
    get: {{operationId: odd, parameters: [{parameters}], security: [{{key: []}}], responses: {{'200': {{description: ok}}}}}}
  /other:
    get: {{operationId: other, security: [], x-gateway: {{public: true}}, responses: {{'200': {{description: ok}}}}}}
components: {{securitySchemes: {{key: {{type: apiKey, in: header, name: X-Key, x-gateway: {{auth: keys}}}}}}}}
"
    );
    let gateway = format!(
        "version: 1\nname: s\napis: {{a: {{path: a.yaml}}}}\nauth: {{keys: {{kind: api_key}}}}\n\
         upstreams: {{u: {{targets: {{a: {{url: \"http://127.0.0.1:1\"}}}}}}}}\n\
         defaults: {{upstream: u, timeout: 5s}}\nlint: {{unroutable-template: {level}}}\n"
    );
    let files = [("gateway.yaml", &*gateway), ("a.yaml", &*document)];
    let files = Files::in_memory(files, Limits::default());
    compile::project_for(files, &Levels::new(), None, Purpose::Run).expect("no environment")
}

#[test]
fn unroutable_path_is_an_error_or_not_served() {
    for path in [
        "/a/{x}{y}",
        "/w/**",
        "/{a}-{b}-{c}-{d}-{e}-{f}-{g}-{h}-{i}",
        "/a%00b",
        "/a%0a/b",
        "/%1F{x}",
        "/a%7f",
        "/../b",
        "/a/%2e%2E",
    ] {
        let parameters = unroutable(path, "error");
        let found = parameters.findings.iter();
        let errors: Vec<&str> = found
            .filter(|found| found.level == Level::Error && found.lint.name == "unroutable-template")
            .map(|found| found.help.as_deref().unwrap_or_default())
            .collect();
        assert_eq!(errors.len(), 1, "{path}");
        assert!(errors[0].contains("lint: {unroutable-template: warn}"));
        assert!(parameters.lowered.is_none(), "{path}");
        for level in ["warn", "info", "off"] {
            let compiled = unroutable(path, level);
            let lowered = compiled.lowered.expect("it compiles");
            let api = lowered.gateway.apis.iter().next().expect("an API");
            let keys: Vec<&str> = api.operations.iter().map(|one| &*one.key).collect();
            assert_eq!(keys, ["a/other"], "{path} {level}");
        }
    }
}

#[test]
fn unroutable_path_is_hidden() {
    let served = |rest: &str| {
        let document = "openapi: 3.1.0
info: {title: t, version: \"1\"}
paths:
  /a/{x}{y}:
    get: {operationId: odd, parameters: [{name: x, in: path, required: true, schema: {type: string}}, {name: y, in: path, required: true, schema: {type: string}}], security: [], x-gateway: {public: true}, responses: {'200': {description: ok}}}
";
        let gateway = format!(
            "version: 1\nname: s\napis: {{a: {{path: a.yaml{rest}}}}}\n\
             upstreams: {{u: {{targets: {{a: {{url: \"http://127.0.0.1:1\"}}}}}}}}\n\
             defaults: {{upstream: u, timeout: 5s, security: upstream}}\nlint: {{unroutable-template: off}}\n"
        );
        let files = [("gateway.yaml", &*gateway), ("a.yaml", document)];
        let files = Files::in_memory(files, Limits::default());
        let compiled = compile::project_for(files, &Levels::new(), None, Purpose::Run);
        let compiled = compiled.expect("no environment");
        let wrong: Vec<&str> = compiled
            .findings
            .iter()
            .map(|found| &*found.message)
            .collect();
        let lowered = compiled.lowered.unwrap_or_else(|| panic!("{wrong:?}"));
        let api = lowered.gateway.apis.iter().next().expect("an API");
        let hidden = api.hidden.iter();
        hidden
            .map(|one| format!("{} {}", one.method, one.template))
            .collect::<Vec<_>>()
    };
    assert_eq!(served(""), ["GET /a/{segment 2}"]);
    assert_eq!(served(", unmatched: u"), ["GET /a/{segment 2}"]);
}
