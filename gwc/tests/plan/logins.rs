//! Changes to the settings of logins (`kind: oidc`), in both directions.

use model::compile::Purpose;
use plan::Side;

const DOCUMENT: &str = r#"openapi: 3.1.0
info: {title: t, version: "1"}
security: [{login: []}]
paths:
  /a: {get: {operationId: one, responses: {"200": {description: fine}}}}
components: {securitySchemes: {login: {type: openIdConnect, openIdConnectUrl: "https://i/.well-known/openid-configuration", x-gateway: {auth: login}}}}
"#;

const ISSUER: &str = r#"issuer: "https://i", client_id: c"#;

fn side(issuer: &str, settings: &str, session: &str) -> Side {
    let gateway = format!(
        "version: 1\nname: s\napis: {{a: {{path: api.yaml}}}}\nupstreams: {{u: {{targets: {{a: {{url: \"http://u.org:80\"}}}}}}}}\ndefaults: {{upstream: u}}\nauth: {{login: {{kind: oidc, {issuer}, client_secret: \"${{env:GWS_A}}\", redirect_path: /cb, {settings}session: {{secret: \"${{env:GWS_B}}\"{session}}}}}}}\n"
    );
    let files = [("gateway.yaml", gateway.as_str()), ("api.yaml", DOCUMENT)];
    crate::compiled(&files, Purpose::Ask).unwrap_or_else(|errors| panic!("{errors}"))
}

/// Classes of the changes between two sides. Every witness was executed by both engines.
fn classes(old: &Side, new: &Side) -> Vec<String> {
    let plan = plan::compare(Some(old), new).expect("both sides build");
    assert_eq!(plan.bugs, Vec::<String>::new());
    let changes = plan.changes.iter();
    changes
        .map(|change| format!("{} {}", change.class.name(), change.id))
        .collect()
}

#[test]
fn login_settings_are_compared_as_access() {
    let plain = || side(ISSUER, "", "");
    let mut wrong = Vec::new();
    for (narrow, wide) in [
        (plain(), side(ISSUER, "", ", lifetime: 8h")),
        (side(ISSUER, "", ", idle: 10m"), plain()),
        (
            side(ISSUER, "", ", idle: 10m"),
            side(ISSUER, "", ", idle: 30m"),
        ),
        (side(ISSUER, "required_claims: [email], ", ""), plain()),
        (plain(), side(ISSUER, "algorithms: [RS256, ES256], ", "")),
        (plain(), side(ISSUER, "audience: [x], ", "")),
    ] {
        for (old, new, expected, other) in [
            (&narrow, &wide, "weaken", "strengthen"),
            (&wide, &narrow, "strengthen", "weaken"),
        ] {
            let found = classes(old, new);
            let has = |class: &str| found.iter().any(|line| line.starts_with(class));
            if !has(expected) || has(other) || has("incomparable") {
                wrong.push(format!("not {expected}: {found:?}"));
            }
        }
    }
    for other in [
        side(r#"issuer: "https://j", client_id: c"#, "", ""),
        side(r#"issuer: "https://i", client_id: d"#, "", ""),
        side(ISSUER, r#"jwks_url: "https://i/keys", "#, ""),
        side(ISSUER, "", ", cookie: __Host-other"),
    ] {
        for (old, new) in [(&plain(), &other), (&other, &plain())] {
            let found = classes(old, new);
            if !found.iter().any(|line| line.starts_with("incomparable")) {
                wrong.push(format!("not incomparable: {found:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn restated_default_of_a_login_is_no_change() {
    for (settings, session) in [
        ("algorithms: [RS256], ", ""),
        ("scopes: [openid], ", ""),
        ("timeout: 5s, groups_claim: groups, ", ""),
        ("", ", lifetime: 1h, same_site: lax, cookie: __Host-session"),
    ] {
        let found = classes(&side(ISSUER, "", ""), &side(ISSUER, settings, session));
        let is_restated = |line: &String| line.ends_with(" setting-restated");
        assert!(
            found.iter().all(is_restated),
            "{settings}{session}: {found:?}"
        );
    }
}

/// Compiles a project with a login, a verifier of tokens, and this document.
fn with_tokens(bearer: &str, schemes: &str, security: &str) -> Result<Side, String> {
    let gateway = format!(
        "version: 1\nname: s\napis: {{a: {{path: api.yaml}}}}\nupstreams: {{u: {{targets: {{a: {{url: \"http://u.org:80\"}}}}}}}}\ndefaults: {{upstream: u}}\nauth:\n  login: {{kind: oidc, {ISSUER}, client_secret: \"${{env:GWS_A}}\", redirect_path: /cb, {bearer}session: {{secret: \"${{env:GWS_B}}\"}}}}\n  api: {{kind: jwt, issuer: \"https://i\", audience: [shop], algorithms: [RS256]}}\n  proof: {{kind: dpop, token: api}}\n  keys: {{kind: api_key}}\n"
    );
    let public = match security.contains("{}") {
        true => "x-gateway: {public: true}, ",
        false => "",
    };
    let document = format!(
        "openapi: 3.1.0\ninfo: {{title: t, version: \"1\"}}\nsecurity: {security}\npaths: {{/a: {{get: {{{public}responses: {{\"200\": {{description: fine}}}}}}}}}}\ncomponents:\n  securitySchemes:\n    key: {{type: apiKey, in: header, name: X-Key, x-gateway: {{auth: keys}}}}\n    login: {{type: openIdConnect, openIdConnectUrl: \"https://i/.well-known/openid-configuration\", x-gateway: {{auth: login, strip_credential: true, forward_as: X-User}}}}\n{schemes}"
    );
    let files = [
        ("gateway.yaml", gateway.as_str()),
        ("api.yaml", document.as_str()),
    ];
    crate::compiled(&files, Purpose::Ask)
}

#[test]
fn bearer_of_a_login_is_another_alternative() {
    let scheme = |auth: &str, kind: &str| {
        format!(
            "    token: {{{kind}, x-gateway: {{auth: {auth}, strip_credential: true, forward_as: X-User}}}}\n"
        )
    };
    let bearer = "type: http, scheme: bearer";
    for (auth, kind, one, both) in [
        (
            "api",
            bearer,
            "[{login: [read]}]",
            "[{login: [read]}, {token: [read]}]",
        ),
        (
            "api",
            bearer,
            "[{login: [], key: []}, {key: []}]",
            "[{login: [], key: []}, {token: [], key: []}, {key: []}]",
        ),
        (
            "proof",
            "type: http, scheme: dpop",
            "[{login: []}]",
            "[{login: []}, {token: []}]",
        ),
        (
            "api",
            bearer,
            "[{login: []}, {}]",
            "[{login: []}, {token: []}, {}]",
        ),
    ] {
        // In OpenAPI 3.1, the list of the scheme `http` would name roles.
        let kind = match one.contains("read") {
            true => {
                "type: oauth2, flows: {clientCredentials: {tokenUrl: \"https://i/t\", scopes: {read: r}}}"
            }
            false => kind,
        };
        let named = with_tokens(&format!("bearer: {auth}, "), "", one).expect("it compiles");
        let written = with_tokens("", &scheme(auth, kind), both).expect("it compiles");
        let found = classes(&written, &named);
        let is_same =
            |line: &String| line.starts_with("doc ") || line.ends_with(" setting-restated");
        assert!(found.iter().all(is_same), "{one}: {found:?}");
        let apis = |side: &Side| side.lowered.gateway.apis.clone();
        let security = |side: &Side| {
            let apis = apis(side);
            let api = apis.iter().next().expect("an API");
            api.treatments
                .iter()
                .map(|one| one.security.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(security(&named), security(&written), "{one}");
        let alone = with_tokens("", "", one).expect("it compiles");
        let added = classes(&alone, &named);
        let is_weaker = added.iter().any(|line| line.starts_with("weaken"));
        // Other alternatives may admit all callers with a token.
        let is_covered = one.contains("{}") || one.contains(", {key: []}");
        assert_eq!(is_weaker, !is_covered, "{one}: {added:?}");
    }
}

#[test]
fn bearer_of_a_login_must_check_tokens() {
    for (bearer, wanted) in [
        (
            "bearer: keys, ",
            Some("`keys` checks no tokens: it is of kind `api_key`"),
        ),
        (
            "bearer: login, ",
            Some("`login` checks no tokens: it is of kind `oidc`"),
        ),
        ("bearer: missing, ", Some("missing")),
        ("bearer: api, ", None),
    ] {
        let found = with_tokens(bearer, "", "[{login: []}]");
        match (found, wanted) {
            (Ok(_), None) => {}
            (Err(errors), Some(wanted)) => assert!(errors.contains(wanted), "{bearer}: {errors}"),
            (found, _) => panic!("{bearer}: {:?}", found.err()),
        }
    }
}
