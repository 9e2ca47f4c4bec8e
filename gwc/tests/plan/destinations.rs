//! Tests that plans show requests which upstreams receive with another path, although the text of
//! the rewrite is the same, and checks of several policies that are compared together.

use plan::{Class, Plan, compare};

use crate::gates::{UPSTREAM, gateway, upstream};
use crate::side;

/// Plan between two projects, each a gateway.yaml after its first lines, and the paths of the
/// document.
fn between(old: (&str, &str), new: (&str, &str)) -> Plan {
    let side = |(gateway, paths): (&str, &str)| {
        let gateway = format!(
            "version: 1\nname: shop\nauth: {{keys: {{kind: api_key}}}}\nupstreams: {{u: {{targets: {{a: {{url: \"http://127.0.0.1:9000/u\"}}}}}}}}\n{gateway}\n"
        );
        let document = format!(
            "openapi: 3.1.0\ninfo: {{title: t, version: \"1\"}}\n\
             components: {{securitySchemes: {{key: {{type: apiKey, in: header, name: X-Key, x-gateway: {{auth: keys}}}}}}}}\n\
             paths:\n{paths}\n"
        );
        side(&[("gateway.yaml", &gateway), ("api.yaml", &document)])
    };
    compare(Some(&side(old)), &side(new)).expect("both sides build")
}

fn lines(plan: &Plan) -> Vec<String> {
    let changes = plan.changes.iter();
    changes
        .map(|change| format!("{} {} {}", change.class.name(), change.id, change.subject))
        .collect()
}

fn has(plan: &Plan, class: Class, subject: &str) -> bool {
    let mut changes = plan.changes.iter();
    changes.any(|change| change.class == class && change.subject == subject)
}

const PLAIN: &str = "apis: {a: {path: api.yaml}}\ndefaults: {upstream: u, security: upstream}";

/// An operation at `path` with parameters of these names and this `x-gateway`.
fn operation(path: &str, names: &[&str], extension: &str) -> String {
    let parameters = names.iter().map(|name| {
        format!("{{name: {name}, in: path, required: true, schema: {{type: string}}}}")
    });
    let parameters: Vec<String> = parameters.collect();
    let id = path.replace(['/', '{', '}'], "");
    format!(
        "  {path}:\n    get: {{operationId: x{id}, parameters: [{}], x-gateway: {extension}, \
         responses: {{\"200\": {{description: d}}}}}}\n",
        parameters.join(", ")
    )
}

#[test]
fn renamed_parameters_move_rewrites() {
    let rewrite = "{rewrite: {path: \"/i/{id}\"}}";
    let old = operation("/o/{org}/{id}", &["org", "id"], rewrite);
    for names in [["id", "k"], ["id", "org"]] {
        let path = format!("/o/{{{}}}/{{{}}}", names[0], names[1]);
        let new = operation(&path, &names, rewrite);
        let plan = between((PLAIN, &old), (PLAIN, &new));
        assert!(
            has(&plan, Class::Moved, "path at the upstream"),
            "{:?}",
            lines(&plan)
        );
    }
    // The same segment under another name goes to the same path.
    let new = operation("/o/{group}/{id}", &["group", "id"], rewrite);
    let plan = between((PLAIN, &old), (PLAIN, &new));
    assert!(
        !has(&plan, Class::Moved, "path at the upstream"),
        "{:?}",
        lines(&plan)
    );
}

#[test]
fn renamed_parameters_move_policies() {
    for (kind, subject) in [
        ("rewrite", "path at the upstream"),
        ("redirect", "path of the redirect"),
    ] {
        let gateway = format!("{PLAIN}\npolicies: {{to: {{kind: {kind}, path: \"/i/{{id}}\"}}}}");
        let old = operation("/o/{org}/{id}", &["org", "id"], "{policies: [to]}");
        let new = operation("/o/{id}/{k}", &["id", "k"], "{policies: [to]}");
        let plan = between((&gateway, &old), (&gateway, &new));
        assert!(
            has(&plan, Class::Moved, subject),
            "{kind}: {:?}",
            lines(&plan)
        );
    }
}

#[test]
fn renamed_parameter_shows_another_segment() {
    let parameter = |name: &str, more: &str| {
        format!("{{name: {name}, in: path, required: true, schema: {{type: string}}{more}}}")
    };
    let redacted = ", x-gateway: {log: redact}";
    let paths = |path: &str, parameters: [String; 2]| {
        format!(
            "  {path}:\n    get: {{operationId: x, parameters: [{}], responses: {{\"200\": {{description: d}}}}}}\n",
            parameters.join(", ")
        )
    };
    let old = paths(
        "/o/{org}/{id}",
        [parameter("org", ""), parameter("id", redacted)],
    );
    let new = paths(
        "/o/{id}/{k}",
        [parameter("id", redacted), parameter("k", "")],
    );
    let plan = between((PLAIN, &old), (PLAIN, &new));
    assert!(
        has(&plan, Class::Weaken, "parameters.path.k.log"),
        "{:?}",
        lines(&plan)
    );
}

#[test]
fn renamed_parameter_opens_a_protected_path() {
    let gateway = "apis: {a: {path: api.yaml}}\n\
                   defaults: {upstream: u, security: enforce}";
    let paths = |path: &str, names: [&str; 2]| {
        let open = operation(path, &names, "{public: true, rewrite: {path: \"/i/{id}\"}}");
        format!(
            "{open}  /o/{{org}}/root:\n    get: {{operationId: root, security: [{{key: []}}], \
             parameters: [{{name: org, in: path, required: true, schema: {{type: string}}}}], \
             x-gateway: {{rewrite: {{path: /i/root}}}}, responses: {{\"200\": {{description: d}}}}}}\n"
        )
    };
    let old = paths("/o/{org}/{id}", ["org", "id"]);
    let new = paths("/o/{id}/{k}", ["id", "k"]);
    let plan = between((gateway, &old), (gateway, &new));
    let mut changes = plan.changes.iter();
    let opens =
        changes.any(|change| change.class == Class::Weaken && change.id == "way-round-added");
    assert!(opens, "{:?}", lines(&plan));
}

#[test]
fn border_of_the_base_path_moves_requests() {
    let gateway = |base: &str, more: &str| {
        format!(
            "apis: {{a: {{path: api.yaml, mount: {{base_path: {base}, strip_base_path: true}}}}}}\n\
             defaults: {{upstream: u, security: upstream{more}}}"
        )
    };
    let paths = |path: &str| {
        operation(path, &["id"], "{}")
            .replace("xxid", "x")
            .replace("xid", "x")
    };
    for more in ["", ", timeout: 7s"] {
        let old = (gateway("/b", ""), paths("/x/{id}"));
        let new = (gateway("/b/x", more), paths("/{id}"));
        let plan = between((&old.0, &old.1), (&new.0, &new.1));
        assert!(
            has(&plan, Class::Moved, "path at the upstream"),
            "{:?}",
            lines(&plan)
        );
    }
}

#[test]
fn lowest_limit_of_several_policies_counts() {
    let gateway = format!(
        "{PLAIN}\npolicies:\n  strict: {{kind: threat, json: {{depth: 3}}}}\n  wide: {{kind: threat, json: {{depth: 30}}}}"
    );
    for (old, new, class) in [
        ("[strict, wide]", "[wide]", Some(Class::Weaken)),
        ("[wide, strict]", "[wide]", Some(Class::Weaken)),
        ("[wide]", "[wide, strict]", Some(Class::Strengthen)),
        ("[strict, wide]", "[strict]", None),
    ] {
        let paths = |policies: &str| operation("/x", &[], &format!("{{policies: {policies}}}"));
        let plan = between((&gateway, &paths(old)), (&gateway, &paths(new)));
        let mut changes = plan.changes.iter();
        let found = changes.find(|change| change.id.starts_with("guard-"));
        assert_eq!(
            found.map(|change| change.class),
            class,
            "{old} {new}: {:?}",
            lines(&plan)
        );
    }
}

/// A rule holds for JSON only in a policy that has limits of JSON.
#[test]
fn rules_of_threat_policies_hold_for_their_formats() {
    let gateway = format!(
        "{PLAIN}\npolicies:\n  a: {{kind: threat, json: {{depth: 5}}, rules: [sql_union]}}\n  \
         b: {{kind: threat, json: {{depth: 5}}}}\n  d: {{kind: threat, rules: [sql_union]}}\n  \
         e: {{kind: threat, xml: {{depth: 5}}, rules: [sql_union]}}"
    );
    for (old, new, class) in [
        ("[a, b, d]", "[b, d]", Some(Class::Weaken)),
        ("[b, d]", "[a, b, d]", Some(Class::Strengthen)),
        ("[a, b, d]", "[a, b]", None),
        ("[a, d]", "[b, e]", Some(Class::Incomparable)),
        ("[b, d]", "[a]", Some(Class::Strengthen)),
    ] {
        let paths = |policies: &str| operation("/x", &[], &format!("{{policies: {policies}}}"));
        let plan = between((&gateway, &paths(old)), (&gateway, &paths(new)));
        let mut changes = plan.changes.iter();
        let found = changes.find(|change| change.id.starts_with("guard-"));
        let found = found.map(|change| change.class);
        assert_eq!(found, class, "{old} {new}: {:?}", lines(&plan));
    }
}

#[test]
fn shortest_cache_of_a_question_counts() {
    let gateway = format!(
        "{PLAIN}\npolicies:\n  p: {{kind: forward_auth, url: \"http://127.0.0.1:9001/\"}}\n  \
         q: {{kind: forward_auth, url: \"http://127.0.0.1:9001/\", cache: 1h}}"
    );
    for (old, new, weakens) in [
        ("[p, q]", "[q]", true),
        ("[p]", "[q]", true),
        ("[p, q]", "[p]", false),
        ("[q]", "[p]", false),
    ] {
        let paths = |policies: &str| operation("/x", &[], &format!("{{policies: {policies}}}"));
        let plan = between((&gateway, &paths(old)), (&gateway, &paths(new)));
        let mut changes = plan.changes.iter();
        let found = changes.any(|change| change.class == Class::Weaken);
        assert_eq!(found, weakens, "{old} {new}: {:?}", lines(&plan));
    }
}

/// The other policy still ends the operation.
#[test]
fn remaining_sunset_is_the_new_date() {
    let gateway = format!(
        "{PLAIN}\npolicies:\n  soon: {{kind: deprecation, sunset: 2127-01-01}}\n  \
         late: {{kind: deprecation, sunset: 2135-01-01}}"
    );
    for (old, new, dates) in [
        (
            "[soon, late]",
            "[late]",
            Some(["\"2127-01-01\"", "\"2135-01-01\""]),
        ),
        ("[soon, late]", "[soon]", None),
        ("[late]", "[]", Some(["\"2135-01-01\"", "null"])),
    ] {
        let paths = |policies: &str| operation("/x", &[], &format!("{{policies: {policies}}}"));
        let plan = between((&gateway, &paths(old)), (&gateway, &paths(new)));
        let mut changes = plan.changes.iter();
        let found = changes.find(|change| change.id == "sunset-changed");
        let found = found.map(|change| [change.old.to_string(), change.new.to_string()]);
        let expected = dates.map(|all| all.map(str::to_owned));
        assert_eq!(found, expected, "{old} {new}: {:?}", lines(&plan));
    }
}

/// With `preserve`, clients choose the virtual host of the server.
#[test]
fn host_that_clients_choose_weakens() {
    for fixed in [", host_header: upstream", ", host_header: a.example"] {
        let sides = (upstream(fixed), upstream(""));
        let classes = ("weaken", "moved");
        gateway(
            "host-header-changed",
            UPSTREAM,
            (&sides.0, &sides.1),
            classes,
        );
    }
}
