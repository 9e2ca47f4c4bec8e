//! Plans of edits that no request shows: operations that the gateway never serves, and other
//! spellings of one meaning. Also edits for which gwc took its own example for a bug.

use plan::{Outcome, Plan};

use crate::{DOCUMENT, GATEWAY, edit, lines, plan};

/// Asserts that a plan has no line about a bug of the comparison or about an unknown difference.
fn explained(plan: &Plan) {
    assert_eq!(plan.bugs, [""; 0]);
    let ids = plan.changes.iter().map(|change| change.id);
    let unexplained: Vec<&str> = ids
        .filter(|id| ["unclassified", "self-check-failed"].contains(id))
        .collect();
    assert_eq!(unexplained, [""; 0]);
}

#[test]
fn trace_operation_is_never_served() {
    let gateway = edit(GATEWAY, "defaults: {", "defaults: {security: upstream, ");
    let with = |text: &str| {
        let status = "  /status:\n";
        edit(DOCUMENT, status, &format!("{status}{text}"))
    };
    let public = with(
        "    trace: {operationId: t, security: [], x-gateway: {public: true}, responses: {\"200\": {description: fine}}}\n",
    );
    let closed = with(
        "    trace: {operationId: t, security: [{key: []}], responses: {\"200\": {description: fine}}}\n",
    );
    for (old, new) in [
        (DOCUMENT, &*public),
        (&public, DOCUMENT),
        (&closed, &public),
        (&public, &closed),
    ] {
        let found = plan((&gateway, old), (&gateway, new));
        explained(&found);
        let lines = lines(&found);
        let expected = "routing changed unserved-operation-changed a/t";
        assert!(lines.iter().any(|line| line == expected), "{lines:?}");
        let gated = ["weaken", "incomparable", "expose", "removed", "moved"];
        let is_gated = |line: &&String| gated.iter().any(|class| line.contains(class));
        assert_eq!(lines.iter().find(is_gated), None);
    }
}

#[test]
fn empty_tls_of_plain_targets_has_no_effect() {
    let with = |tls: &str| {
        let target = "u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}";
        edit(GATEWAY, target, &format!("{target}{tls}"))
    };
    let found = plan((GATEWAY, DOCUMENT), (&with(", tls: {}"), DOCUMENT));
    assert_eq!(lines(&found), [""; 0]);
    assert_eq!(found.old, Some(found.new));
    // Hosts of a name use TLS if `tls` is present.
    let named = |tls: &str| {
        let target = "targets: {a: {url: \"http://127.0.0.1:9000\"}}";
        edit(
            GATEWAY,
            target,
            &format!("dns: {{name: u.example, port: 443}}{tls}"),
        )
    };
    let found = plan((&named(""), DOCUMENT), (&named(", tls: {}"), DOCUMENT));
    assert_ne!(found.old, Some(found.new));
}

#[test]
fn ignored_final_slash_of_a_path_is_one_line() {
    for id in ["operationId: getStatus, ", ""] {
        let at = |path: &str| {
            let document = edit(DOCUMENT, "operationId: getStatus, ", id);
            edit(
                &document,
                "  /status:\n",
                &format!("  {path}:\n    x-gateway: {{trailing_slash: ignore}}\n"),
            )
        };
        for (old, new) in [("/status", "/status/"), ("/status/", "/status")] {
            let found = plan((GATEWAY, &at(old)), (GATEWAY, &at(new)));
            explained(&found);
            let found = lines(&found);
            let is_line =
                |line: &String| line.starts_with("policy changed trailing-slash-changed ");
            assert!(found.iter().any(is_line), "{old} {id}: {found:?}");
        }
    }
}

#[test]
fn other_status_of_ambiguous_paths_is_no_bug() {
    let gateway = format!("{GATEWAY}errors: {{path_ambiguous: {{status: 404, body: nope}}}}\n");
    let at = |path: &str| {
        let parameters = match path.contains('{') {
            true => "parameters: [{name: zz, in: path, required: true, schema: {type: string}}], ",
            false => "",
        };
        format!(
            "openapi: 3.1.0\ninfo: {{title: t, version: \"1\"}}\n\
            components: {{securitySchemes: {{key: {{type: apiKey, in: header, name: X-Key, x-gateway: {{auth: keys}}}}}}}}\n\
            paths:\n  /items/{{id}}:\n    get: {{operationId: item, security: [{{key: []}}], parameters: [{{name: id, in: path, required: true, schema: {{type: string}}}}], responses: {{\"200\": {{description: fine}}}}}}\n  \
            {path}:\n    x-gateway: {{match: prefix, path_readings: keep}}\n    \
            get: {{operationId: files, security: [], x-gateway: {{public: true}}, {parameters}responses: {{\"200\": {{description: fine}}}}}}\n"
        )
    };
    let found = plan((&gateway, &at("/files")), (&gateway, &at("/items/{zz}")));
    explained(&found);
}

#[test]
fn key_beside_a_certificate_belongs_to_its_owner() {
    let gateway = |consumer: &str| {
        format!(
            "version: 1\nname: shop\napis: {{a: {{path: api.yaml}}}}\n\
            listeners: {{secure: {{address: \"127.0.0.1:8443\", protocol: https, tls: {{certificates: {{a: {{cert: \"${{file:/a.crt}}\", key: \"${{file:/a.key}}\"}}}}, client_auth: {{ca: \"${{file:/ca.crt}}\", mode: optional}}}}}}}}\n\
            upstreams: {{u: {{targets: {{a: {{url: \"http://127.0.0.1:9000\"}}}}}}}}\n\
            auth: {{keys: {{kind: api_key}}, staff: {{kind: basic}}, certs: {{kind: mtls, sans: [partner.example]}}}}\n\
            consumers: {{{consumer}}}\ndefaults: {{upstream: u}}\n"
        )
    };
    let document = |security: &str| {
        format!(
            "openapi: 3.1.0\ninfo: {{title: t, version: \"1\"}}\n\
            components:\n  securitySchemes:\n    key: {{type: apiKey, in: header, name: X-Key, x-gateway: {{auth: keys}}}}\n    \
            basic: {{type: http, scheme: basic, x-gateway: {{auth: staff}}}}\n    \
            cert: {{type: mutualTLS, x-gateway: {{auth: certs}}}}\n\
            paths:\n  /a: {{get: {{operationId: a, security: [{security}], responses: {{\"200\": {{description: fine}}}}}}}}\n"
        )
    };
    let listed = "beta: {certificates: [{san: partner.example}], keys: [{sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08}]}";
    let other = "beta: {certificates: [{san: other.example}]}, partner: {certificates: [{san: partner.example}]}";
    for consumers in [listed, other] {
        let gateway = gateway(consumers);
        for (old, new) in [
            ("{basic: []}", "{cert: [], key: []}"),
            ("{key: []}", "{cert: [], basic: []}"),
            ("{cert: [], key: []}", "{cert: [], basic: []}"),
        ] {
            let found = plan((&gateway, &document(old)), (&gateway, &document(new)));
            explained(&found);
            let witnesses = found
                .changes
                .iter()
                .filter_map(|change| change.witness.as_ref());
            let served = |witness: &plan::Witness| matches!(witness.new, Outcome::Served { .. });
            assert!(witnesses.into_iter().any(served), "{old} -> {new}");
        }
    }
    // The consumers of the two sides differ.
    let found = plan(
        (&gateway("beta: {groups: [g]}"), &document("{basic: []}")),
        (&gateway(listed), &document("{cert: [], key: []}")),
    );
    explained(&found);
}
