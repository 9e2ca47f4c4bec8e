//! Tests of verifiers that an API defines itself, in `x-gateway.auth` at its root or inside
//! security schemes: references to them, their names in the bundle, and findings.

use model::compile::{self, Compiled};
use sources::project::files::Files;
use sources::syntax::Limits;

const JWKS: &str = r#"{"keys": [{"kty": "EC", "crv": "P-256", "kid": "p1",
"x": "LXyGK_f3GqPBNJVDwndF3hXUIlmXNW17XnGHIvI76b4",
"y": "PNA21AH6d41c2gOp0zFOrKXW4aeqk2VD2rD8bLsOqFw"}]}"#;

/// JWT verifier with these additional settings.
fn jwt(more: &str) -> String {
    format!(
        "{{kind: jwt, issuer: \"https://idp.example\", audience: [s], algorithms: [ES256], {more}}}"
    )
}

fn gateway(more: &str) -> String {
    format!(
        "version: 1\nname: s\napis:\n  \
         a: {{path: a.yaml, mount: {{base_path: /a}}}}\n  \
         b: {{path: b.yaml, mount: {{base_path: /b}}}}\n\
         upstreams: {{u: {{targets: {{x: {{url: \"http://127.0.0.1:9001\"}}}}}}}}\n\
         defaults: {{upstream: u, timeout: 5s}}\n{more}"
    )
}

/// A document with this `x-gateway` at its root and these security schemes, each used by an
/// operation.
fn document(root: &str, schemes: &[(&str, &str, &str)]) -> String {
    use std::fmt::Write as _;
    let mut text = format!(
        "openapi: 3.1.0\ninfo: {{title: t, version: \"1\"}}\nx-gateway: {{{root}}}\npaths:\n"
    );
    for (name, _, _) in schemes {
        let _ = writeln!(
            text,
            "  /{name}: {{get: {{operationId: {name}, security: [{{{name}: []}}], responses: {{\"200\": {{description: ok}}}}}}}}"
        );
    }
    text.push_str("components:\n  securitySchemes:\n");
    for (name, kind, auth) in schemes {
        let _ = writeln!(text, "    {name}: {{{kind}, x-gateway: {{auth: {auth}}}}}");
    }
    text
}

const BEARER: &str = "type: http, scheme: bearer";

fn project(gateway: &str, a: &str, b: &str) -> Compiled {
    let texts = [
        ("gateway.yaml", gateway),
        ("a.yaml", a),
        ("b.yaml", b),
        ("keys.json", JWKS),
    ];
    compile::project(Files::in_memory(texts, Limits::default()), &Vec::new())
}

fn plain() -> String {
    document("", &[("p", BEARER, &jwt("jwks_file: keys.json"))])
}

#[track_caller]
fn runs(compiled: &Compiled) -> &bundle::ir::Gateway {
    let messages: Vec<_> = compiled.findings.iter().map(|one| &one.message).collect();
    let lowered = compiled.lowered.as_ref();
    &lowered.unwrap_or_else(|| panic!("{messages:?}")).gateway
}

fn findings_of(compiled: &Compiled) -> Vec<(&str, &str)> {
    let findings = compiled.findings.iter();
    findings
        .map(|one| (one.lint.name, one.message.as_str()))
        .collect()
}

/// Names of the verifiers of a gateway.
fn names(compiled: &Compiled) -> Vec<String> {
    let all = runs(compiled).shared.auth.iter();
    all.map(|one| one.name.clone()).collect()
}

#[test]
fn verifiers_of_documents_have_names_of_their_own() {
    let file = jwt("jwks_file: keys.json");
    let other = jwt("jwks_file: keys.json, leeway: 1s");
    let proofs = "{kind: dpop, token: idp}";
    let root = format!("auth: {{idp: {file}, bound: {proofs}}}");
    let a = document(
        &root,
        &[
            ("own", BEARER, "idp"),
            ("proved", BEARER, "bound"),
            ("inside", "type: apiKey, in: header, name: X-Token", &file),
            ("same", "type: apiKey, in: header, name: x-token", &file),
            (
                "signed",
                "type: apiKey, in: header, name: Authorization",
                &file,
            ),
            ("again", BEARER, proofs),
        ],
    );
    let b = document(
        "",
        &[
            ("shared", BEARER, "idp"),
            ("one", BEARER, &file),
            ("two", BEARER, &other),
            (
                "key",
                "type: apiKey, in: query, name: \"k,=\"",
                "{kind: api_key}",
            ),
        ],
    );
    let gateway = gateway(&format!(
        "auth: {{idp: {}}}\n",
        jwt("jwks_file: keys.json, leeway: 2s")
    ));
    // The document and gateway.yaml both define `idp`, so one of the verifiers must be renamed.
    let compiled = project(&gateway, &a, &b);
    let shadowed = (
        "shadowed-name",
        "gateway.yaml already defines `idp` as a verifier",
    );
    assert!(
        findings_of(&compiled).contains(&shadowed),
        "{:?}",
        findings_of(&compiled)
    );
    let gateway = gateway.replace("auth: {idp:", "auth: {shared:");
    let b = b.replace("auth: idp", "auth: shared");
    let compiled = project(&gateway, &a, &b);
    let all = names(&compiled);
    let of_b: Vec<&String> = all
        .iter()
        .filter(|name| name.starts_with("b/jwt"))
        .collect();
    assert_eq!(of_b.len(), 2, "{all:?}");
    assert!(of_b.iter().all(|name| name.starts_with("b/jwt@bearer#")));
    let rest: Vec<&String> = all.iter().filter(|name| !of_b.contains(name)).collect();
    let expected = [
        "a/bound",
        "a/dpop@bearer",
        "a/idp",
        "a/jwt@header:authorization",
        "a/jwt@header:x-token",
        "b/api_key@query:k__",
        "shared",
    ];
    assert_eq!(rest, expected);
    // Verifiers of proofs use the tokens of the document's own verifier.
    let auth = &runs(&compiled).shared.auth;
    for name in ["a/bound", "a/dpop@bearer"] {
        let checked = &auth.get(name).unwrap().checked;
        assert_eq!(checked.token_verifier(), Some("a/idp"));
    }
    // Each JWT verifier in the bundle contains the keys of its file.
    for one in auth.iter().filter(|one| one.checked.kind() == "jwt") {
        let policy::auth::Checked::Jwt(jwt) = &one.checked else {
            unreachable!()
        };
        assert!(!jwt.signings().is_empty(), "{}", one.name);
    }
}

#[test]
fn wrong_verifiers_are_reported_at_their_place() {
    let missing = jwt("jwks_file: none.json");
    for (root, scheme, lint, message) in [
        (
            "auth: {idp: {kind: jwt}}",
            "idp",
            "missing-key",
            "signed tokens needs the key `algorithms`",
        ),
        (
            "",
            "{kind: jwt}",
            "missing-key",
            "signed tokens needs the key `algorithms`",
        ),
        ("", "{kind: jtw}", "bad-value", ""),
        (
            "",
            "{kind: basic}",
            "wrong-kind",
            "this verifier cannot check this scheme: it is of kind `basic`",
        ),
        (
            "auth: {idp: {kind: basic}}",
            "idp",
            "wrong-kind",
            "`idp` cannot check this scheme: it is of kind `basic`",
        ),
        ("", &missing, "missing-file", ""),
        (
            "",
            "{kind: dpop, token: idp}",
            "unknown-auth",
            "there is no verifier `idp`",
        ),
        (
            "auth: {idp: {kind: api_key}}",
            "{kind: dpop, token: idp}",
            "wrong-kind",
            "`idp` checks no tokens: it is of kind `api_key`",
        ),
        (
            "auth: {idp: {kind: api_key}, spare: {kind: api_key}}",
            "idp",
            "unused-definition",
            "the verifier `spare` is never used",
        ),
    ] {
        let a = document(root, &[("p", BEARER, scheme)]);
        let compiled = project(&gateway(""), &a, &plain());
        let found = compiled.findings.iter();
        let mut found = found.filter(|one| one.lint.name == lint);
        let found = found
            .next()
            .unwrap_or_else(|| panic!("{root} {scheme}: {:?}", findings_of(&compiled)));
        assert!(found.message.starts_with(message), "{}", found.message);
        let path = compiled.files.sources.file(found.span.file).path();
        assert_eq!(path, "a.yaml", "{root} {scheme}");
    }
}

#[test]
fn required_verifiers_are_those_of_gateway_yaml() {
    let a = document("auth: {idp: {kind: api_key}}", &[("p", BEARER, "idp")]);
    let more = "auth: {keys: {kind: api_key}}\nrequired: {auth: [keys]}\n";
    let compiled = project(&gateway(more), &a, &plain());
    let missing = findings_of(&compiled)
        .into_iter()
        .filter(|(lint, _)| *lint == "required-auth-missing");
    assert_eq!(missing.count(), 2);
}

#[test]
fn document_found_by_pattern_names_its_api() {
    let gateway = "version: 1\nname: s\napis_glob: [\"apis/*.yaml\"]\n\
        upstreams: {u: {targets: {x: {url: \"http://127.0.0.1:9001\"}}}}\n\
        defaults: {upstream: u, security: upstream}\n";
    let named = |name: &str, path: &str| {
        format!(
            "openapi: 3.1.0\ninfo: {{title: t, version: \"1\"}}\n{name}paths:\n  \
             /{path}: {{get: {{operationId: o, responses: {{\"200\": {{description: ok}}}}}}}}\n"
        )
    };
    let compiled = |first: &str, second: &str| {
        let (first, second) = (named(first, "p"), named(second, "q"));
        let texts = [
            ("gateway.yaml", gateway),
            ("apis/one.yaml", &first),
            ("apis/two.yaml", &second),
        ];
        compile::project(Files::in_memory(texts, Limits::default()), &Vec::new())
    };
    let apis = |compiled: &Compiled| -> Vec<String> {
        let all = runs(compiled).apis.iter();
        all.map(|api| api.name.clone()).collect()
    };
    let all = compiled("x-gateway: {api: orders}\n", "");
    assert_eq!(apis(&all), ["orders", "two"]);
    let all = compiled("x-gateway: {api: orders}\n", "x-gateway: {api: orders}\n");
    assert!(
        findings_of(&all)
            .iter()
            .any(|(lint, _)| *lint == "api-name-clash"),
        "{:?}",
        findings_of(&all)
    );
    let all = compiled("x-gateway: {api: \"a b\"}\n", "");
    let wrong = ("bad-value", "`a b` cannot name an API");
    assert!(
        findings_of(&all).contains(&wrong),
        "{:?}",
        findings_of(&all)
    );
}

#[test]
fn verifiers_of_one_scheme_need_different_issuers() {
    let gateway = "version: 1\nname: s\nupstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\n\
         defaults: {upstream: u, timeout: 5s}\napis: {a: {path: api.yaml}}\nauth:\n  \
         keys: {kind: api_key}\n  \
         idp: {kind: jwt, issuer: \"https://idp.example\", audience: [s], algorithms: [ES256]}\n  \
         same: {kind: jwt, issuer: \"https://idp.example\", audience: [t], algorithms: [ES256]}\n  \
         partner: {kind: jwt, issuer: \"https://partner.example\", audience: [s], algorithms: [ES256]}\n  \
         any: {kind: introspection, url: \"https://i.example/i\", client_id: c, client_secret: \"${env:GWS_I}\"}\n";
    for (list, expected) in [
        ("[idp, partner]", None),
        ("[idp]", None),
        (
            "[idp, keys]",
            Some("`keys` of kind `api_key` cannot share a scheme"),
        ),
        (
            "[idp, any]",
            Some("`any` has no `issuer`, which selects the verifier of a token"),
        ),
        (
            "[idp, partner, same]",
            Some("`same` has the same issuer as `idp`"),
        ),
        ("[idp, idp]", Some("`idp` occurs twice")),
        ("[idp, nowhere]", Some("there is no verifier `nowhere`")),
        ("[]", Some("this list is empty")),
    ] {
        let document = format!(
            "openapi: 3.1.0\ninfo: {{title: t, version: \"1\"}}\nsecurity: [{{token: []}}]\n\
             paths: {{/a: {{get: {{operationId: a, responses: {{'200': {{description: ok}}}}}}}}}}\n\
             components: {{securitySchemes: {{token: {{type: http, scheme: bearer, x-gateway: {{auth: {list}}}}}}}}}\n"
        );
        let texts = [("gateway.yaml", gateway), ("api.yaml", &*document)];
        let files = Files::in_memory(texts, Limits::default());
        let findings = compile::project(files, &Vec::new()).findings;
        let errors: Vec<&str> = findings
            .iter()
            .filter(|found| found.level == diag::Level::Error)
            .map(|found| found.message.as_str())
            .collect();
        assert_eq!(errors, expected.into_iter().collect::<Vec<_>>(), "{list}");
    }
}
