//! Changes to the settings of logins (`kind: oidc`), in both directions.

use engine::Verdict;
use model::compile::Purpose;
use plan::Side;
use plan::ask::{Oracle, Question};

const DOCUMENT: &str = r#"openapi: 3.1.0
info: {title: t, version: "1"}
security: [{login: []}]
paths:
  /a: {get: {operationId: one, responses: {"200": {description: fine}}}}
components: {securitySchemes: {login: {type: openIdConnect, openIdConnectUrl: "https://i/.well-known/openid-configuration", x-gateway: {auth: login}}}}
"#;

const ISSUER: &str = r#"issuer: "https://i", client_id: c"#;

fn side(issuer: &str, settings: &str, session: &str) -> Side {
    compiled(&gateway(issuer, settings, session), DOCUMENT)
}

fn gateway(issuer: &str, settings: &str, session: &str) -> String {
    format!(
        "version: 1\nname: s\napis: {{a: {{path: api.yaml}}}}\nupstreams: {{u: {{targets: {{a: {{url: \"http://u.org:80\"}}}}}}}}\ndefaults: {{upstream: u}}\nauth: {{login: {{kind: oidc, {issuer}, client_secret: \"${{env:GWS_A}}\", redirect_path: /cb, {settings}session: {{secret: \"${{env:GWS_B}}\"{session}}}}}}}\n"
    )
}

fn compiled(gateway: &str, document: &str) -> Side {
    let files = [("gateway.yaml", gateway), ("api.yaml", document)];
    crate::compiled(&files, Purpose::Route).unwrap_or_else(|errors| panic!("{errors}"))
}

/// Classes and ids of the changes between two versions. The comparison evaluates every witness with
/// the old and the new engine.
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
        (
            side(ISSUER, "algorithms: [ES256], ", ""),
            side(ISSUER, "algorithms: [ES256, RS256], ", ""),
        ),
        (plain(), side(ISSUER, "audience: [x], ", "")),
        (side(ISSUER, "", ", same_site: strict"), plain()),
        // A session continues if the provider does not answer a refresh in time, so a shorter
        // timeout admits more callers.
        (plain(), side(ISSUER, "timeout: 1s, ", "")),
        (
            side(ISSUER, "required_claims: [email], ", ""),
            side(ISSUER, "required_claims: [email], scopes: [email], ", ""),
        ),
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
        // Another token endpoint may grant other scopes.
        side(ISSUER, r#"token_url: "https://i/other", "#, ""),
        // Everyone who knows the secret can create sessions.
        compiled(&gateway(ISSUER, "", "").replace("GWS_B", "GWS_C"), DOCUMENT),
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

/// If an operation requires a scope that the login does not request, no caller is admitted. Other
/// requested scopes have no effect, because the gateway reads no claim.
#[test]
fn requested_scopes_count_where_they_are_required() {
    let requiring = DOCUMENT.replace("[{login: []}]", "[{login: [admin]}]");
    let with = |scopes: &str, document: &str| {
        compiled(
            &gateway(ISSUER, &format!("scopes: [{scopes}], "), ""),
            document,
        )
    };
    let found = |old: &Side, new: &Side| {
        let mut lines = classes(old, new);
        lines.retain(|line| line != "changed verifier-changed");
        lines
    };
    for (narrow, wide) in [("openid", "admin"), ("email", "'email', admin")] {
        let (narrow, wide) = (with(narrow, &requiring), with(wide, &requiring));
        assert_eq!(found(&narrow, &wide), ["weaken verifier-changed"]);
        assert_eq!(found(&wide, &narrow), ["strengthen verifier-changed"]);
    }
    let (narrow, wide) = (with("admin", &requiring), with("admin, email", &requiring));
    assert_eq!(found(&narrow, &wide), [""; 0], "`email` is not required");
    let (narrow, wide) = (with("openid", DOCUMENT), with("admin", DOCUMENT));
    assert_eq!(found(&narrow, &wide), [""; 0], "no scope is required");
}

/// A provider issues claims by scope (OpenID Connect Core 1.0 §5.4). Other scopes therefore lead to
/// another principal, wherever something reads the principal.
#[test]
fn other_scopes_of_a_login_are_another_principal() {
    let by_email = "consumer_claim: email, ";
    let consumer = "consumers: {c1: {plan: small}}\nplans: {small: {policies: [few]}}\n";
    let passing =
        |what: &str| DOCUMENT.replace("{auth: login}", &format!("{{auth: login, {what}}}"));
    let reading = |expression: &str| {
        let chain = "{operationId: one, x-gateway: {policies: [z]},";
        (
            format!(
                "policies: {{few: {{kind: quota, limit: 3, period: month}}, z: {{kind: authorize, expression: \"{expression}\"}}}}\n"
            ),
            DOCUMENT.replace("{operationId: one,", chain),
        )
    };
    let few = "policies: {few: {kind: quota, limit: 3, period: month}}\n".to_owned();
    let none = String::new;
    for (name, settings, parts, document) in [
        (
            "plan",
            by_email,
            (few.clone(), consumer),
            DOCUMENT.to_owned(),
        ),
        (
            "claim to header",
            "",
            (none(), ""),
            passing("claims_to_headers: {email: X-Mail}"),
        ),
        (
            "name to header",
            by_email,
            (few, consumer),
            passing("forward_as: X-User"),
        ),
        (
            "absent claim",
            "",
            (reading("!has(auth.claims.email)").0, ""),
            reading("!has(auth.claims.email)").1,
        ),
        (
            "not in group",
            "",
            (reading("!('b' in auth.groups)").0, ""),
            reading("!('b' in auth.groups)").1,
        ),
    ] {
        let with = |scopes: &str| {
            let settings = format!("scopes: [{scopes}], {settings}");
            let text = gateway(ISSUER, &settings, "") + &parts.0 + parts.1;
            compiled(&text, &document)
        };
        let (fewer, more) = (with("openid"), with("openid, email, groups"));
        for (old, new) in [(&fewer, &more), (&more, &fewer)] {
            let found = classes(old, new);
            let is_gated =
                |line: &String| line.starts_with("incomparable") || line.starts_with("weaken");
            assert!(found.iter().any(is_gated), "{name}: {found:?}");
        }
    }
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
    crate::compiled(&files, Purpose::Route)
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
        // For a scheme of type `http`, the list would name roles in OpenAPI 3.1. Use `oauth2` for a
        // list of scopes.
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
        // This also holds if another alternative admits all callers with a token, because such
        // callers get another name.
        assert!(is_weaker, "{one}: {added:?}");
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

/// Another API on the host of the login, with a template that matches the login's paths.
const OTHER: &str = r#"openapi: 3.1.0
info: {title: t, version: "1"}
security: [{key: []}]
paths:
  "/{page}":
    parameters: [{name: page, in: path, required: true, schema: {type: string}}]
    get: {operationId: page, responses: {"200": {description: fine}}}
    put: {operationId: put, responses: {"200": {description: fine}}}
  /files: {x-gateway: {match: prefix}, get: {operationId: files, responses: {"200": {description: fine}}}}
components: {securitySchemes: {key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys}}}}
"#;

/// Changes after an edit of the login's settings, with [`OTHER`] on the host `hosts[1]`: section,
/// class, id, operations and witness.
fn moved(other: &str, hosts: [&str; 2], [old, new]: [&str; 2]) -> Vec<String> {
    let [own, others] = hosts;
    let of = |settings: &str| {
        let gateway = gateway(ISSUER, settings, "").replace(
            "apis: {a: {path: api.yaml}}",
            &format!("apis: {{a: {{path: api.yaml, mount: {{hosts: [{own}]}}}}, o: {{path: other.yaml, mount: {{hosts: [{others}]}}}}}}"),
        );
        let gateway = gateway.replace("auth: {", "auth: {keys: {kind: api_key}, ");
        crate::side(&[
            ("gateway.yaml", &gateway),
            ("api.yaml", DOCUMENT),
            ("other.yaml", other),
        ])
    };
    let plan = plan::compare(Some(&of(old)), &of(new)).expect("both sides build");
    assert_eq!(plan.bugs, Vec::<String>::new());
    let changes = plan.changes.iter();
    let line = |change: &plan::Change| {
        let witness = change.witness.as_ref();
        let witness = witness.map(|one| format!(" {} {}", one.method, one.url));
        let operations = change.operations.join("+");
        let class = change.class.name();
        let witness = witness.unwrap_or_default();
        format!("{class} {} {operations}{witness}", change.id)
    };
    let mut lines: Vec<String> = changes.map(line).collect();
    // Leave out lines about the logout path itself, which another test checks.
    let is_other = |line: &String| !line.ends_with("-changed ") && !line.ends_with("-removed ");
    lines.retain(is_other);
    lines.sort();
    lines
}

#[test]
fn paths_of_a_login_take_and_give_requests() {
    let same = ["h.test", "h.test"];
    let paths = |logout: &'static str| ["logout_path: /x/out, ", logout];
    assert_eq!(
        moved(OTHER, same, paths("logout_path: /out, ")),
        [
            "removed requests-removed o/page GET http://h.test/out",
            "removed requests-removed o/put PUT http://h.test/out",
        ]
    );
    let [old, new] = paths("logout_path: /out, ");
    assert_eq!(
        moved(OTHER, same, [new, old]),
        [
            "added requests-added o/page GET http://h.test/out",
            "added requests-added o/put PUT http://h.test/out",
            "expose operation-exposed o/page+o/put GET http://h.test/out",
        ]
    );
    assert_eq!(
        moved(OTHER, same, paths("logout_path: /files/a/b, ")),
        ["removed requests-removed o/files GET http://h.test/files/a/b"]
    );
    assert_eq!(
        moved(OTHER, ["h.test", "i.test"], paths("logout_path: /out, ")),
        [""; 0],
        "another host"
    );
    let rest = OTHER.replacen("security:", "x-gateway: {unmatched: u}\nsecurity:", 1);
    assert_eq!(
        moved(
            &rest,
            same,
            ["logout_path: /x/out, ", "logout_path: /x/y, "]
        ),
        [
            "added requests-added o#unmatched GET http://h.test/x/out",
            "expose operation-exposed o#unmatched GET http://h.test/x/out",
            "removed requests-removed o#unmatched GET http://h.test/x/y",
        ]
    );
}

/// A new login serves the requests of its paths instead of other operations.
#[test]
fn paths_of_a_new_login_are_removed_elsewhere() {
    let same = ["h.test", "h.test"];
    let found = moved(OTHER, same, ["", "logout_path: /out, "]);
    let removed = "removed requests-removed o/page GET http://h.test/out".to_owned();
    assert!(found.contains(&removed), "{found:?}");
}

/// The witness must contain a token with a suitable algorithm and key.
#[test]
fn algorithm_of_fetched_keys_has_a_witness() {
    let of = |algorithms: &str| {
        let gateway = gateway(ISSUER, "", "").replace(
            "auth: {",
            &format!("auth: {{idp: {{kind: jwt, issuer: \"https://i\", audience: [a], algorithms: [{algorithms}], jwks_url: \"https://i/keys\"}}, "),
        );
        let document = DOCUMENT.replace(
            "login: {type",
            "token: {type: http, scheme: bearer, x-gateway: {auth: idp}}, login: {type",
        );
        compiled(
            &gateway,
            &document.replace("[{login: []}]", "[{login: []}, {token: []}]"),
        )
    };
    let plan = plan::compare(Some(&of("ES256")), &of("ES256, RS256")).expect("both sides build");
    assert_eq!(plan.bugs, Vec::<String>::new());
    assert!(plan.changes.iter().any(|change| change.witness.is_some()));
}

/// Sends a request for the login's path from `peer`. Returns the code of the refusal.
fn refusal(side: &Side, peer: [u8; 4]) -> &'static str {
    let oracle = Oracle::build(&side.lowered.gateway, "test").expect("a gateway");
    let request = http::Request::get("/cb?code=x&state=y").header("host", "h");
    let question = Question {
        listener: 0,
        request: request.body(()).expect("a request").into_parts().0,
        peer: peer.into(),
        certificates: Vec::new(),
        body: Some(Vec::new()),
        unix_s: 1,
    };
    let answer = oracle.ask(&question, |decided, _, _| match &decided.verdict {
        Verdict::Reject(refusal) => refusal.reject.code,
        _ => "-",
    });
    answer.unwrap_or_else(|reject| reject.code)
}

#[test]
fn guards_of_all_operations_run_at_paths_of_a_login() {
    let policies = "policies: {office: {kind: ip_filter, allow: [10.0.0.0/8]}}\n";
    let gateway = gateway(ISSUER, "", "").replace("defaults: {", "defaults: {policies: [office], ");
    let gateway = gateway + policies;
    let all = compiled(&gateway, DOCUMENT);
    assert_eq!(refusal(&all, [203, 0, 113, 1]), "ip_denied");
    assert_eq!(refusal(&all, [10, 0, 0, 1]), "login_failed");
    // If an operation admits every address, the login must serve every address, too.
    let second = "  /b: {get: {operationId: two, x-gateway: {policies: []}, responses: {\"200\": {description: fine}}}}\ncomponents";
    let some = compiled(&gateway, &DOCUMENT.replace("components", second));
    assert_eq!(refusal(&some, [203, 0, 113, 1]), "login_failed");
}

/// Version with two operations. `first`, `second`: policies of each operation.
fn guarded(first: &str, second: &str) -> Side {
    let policies = "policies:\n  office: {kind: ip_filter, allow: [10.0.0.0/8]}\n  other: {kind: ip_filter, allow: [10.0.0.0/8]}\n  slow: {kind: rate_limit, limit: 5/min, key: address}\n  waf: {kind: threat, rules: [sql_union]}\n";
    let gateway = gateway(ISSUER, "logout_path: /out, ", "") + policies;
    let own = format!("operationId: one, x-gateway: {{policies: [{first}]}}");
    let more = format!(
        "  /b: {{get: {{operationId: two, x-gateway: {{policies: [{second}]}}, responses: {{\"200\": {{description: fine}}}}}}}}\ncomponents"
    );
    let document = DOCUMENT
        .replace("operationId: one", &own)
        .replace("components", &more);
    compiled(&gateway, &document)
}

#[test]
fn guards_with_equal_settings_count_as_one() {
    let both = guarded("office", "other");
    assert_eq!(refusal(&both, [203, 0, 113, 1]), "ip_denied");
    assert_eq!(refusal(&both, [10, 0, 0, 1]), "login_failed");
    let found = classes(&guarded("office", "office"), &both);
    assert!(
        !found.iter().any(|line| line.contains("address-filter")),
        "{found:?}"
    );
}

#[test]
fn guards_of_login_paths_are_compared() {
    for (policy, class, id) in [
        ("office", "weaken", "address-filter-removed"),
        ("waf", "weaken", "guard-removed"),
        ("slow", "relax", "policies-changed"),
    ] {
        let (old, new) = (guarded(policy, policy), guarded(policy, ""));
        let plan = plan::compare(Some(&old), &new).expect("both sides build");
        assert_eq!(plan.bugs, Vec::<String>::new());
        for path in [
            "redirect_path /cb of login login",
            "logout_path /out of login login",
        ] {
            let mut all = plan.changes.iter();
            let found = all.find(|change| change.id == id && change.subject.starts_with(path));
            let Some(found) = found else {
                panic!("{policy} {path}: {:?}", plan.changes);
            };
            assert_eq!(found.class.name(), class, "{policy}");
            let is_shown = policy == "office" && path.starts_with("redirect");
            assert!(!is_shown || found.witness.is_some(), "{found:?}");
        }
    }
}

#[test]
fn logout_path_that_ends_is_removed() {
    let with = |path: &str| side(ISSUER, path, "");
    let removed = |old: &Side, new: &Side| {
        let classes = classes(old, new);
        let is_one = |line: &&String| *line == "removed logout-path-removed";
        classes.iter().filter(is_one).count()
    };
    let (none, out, bye) = (
        with(""),
        with("logout_path: /out, "),
        with("logout_path: /bye, "),
    );
    assert_eq!(removed(&out, &none), 1);
    assert_eq!(removed(&out, &bye), 1);
    assert_eq!(removed(&none, &out), 0);
    // Renaming the login changes nothing for users.
    let renamed = gateway(ISSUER, "logout_path: /out, ", "").replace("login:", "other:");
    let renamed = compiled(&renamed, &DOCUMENT.replace("auth: login", "auth: other"));
    assert_eq!(removed(&out, &renamed), 0);
    let gone = gateway(ISSUER, "", "").replace("login:", "other:");
    let gone = compiled(&gone, &DOCUMENT.replace("auth: login", "auth: other"));
    assert_eq!(removed(&out, &gone), 1);
}

/// Project with two logins on one host. `first`, `second`: their settings without those that differ
/// in no test.
fn two_logins([first, second]: [&str; 2], hosts: [&str; 2]) -> Result<Side, String> {
    let login = |name: &str, settings: &str| {
        format!(
            "  {name}: {{kind: oidc, {ISSUER}, client_secret: \"${{env:GWS_A}}\", {settings}}}\n"
        )
    };
    let [one, other] = hosts;
    let gateway = format!(
        "version: 1\nname: s\napis:\n  a: {{path: a.yaml, mount: {{hosts: [{one}]}}}}\n  b: {{path: b.yaml, mount: {{hosts: [{other}]}}}}\nupstreams: {{u: {{targets: {{a: {{url: \"http://u.org:80\"}}}}}}}}\ndefaults: {{upstream: u}}\nauth:\n{}{}",
        login("shop", first),
        login("staff", second),
    );
    let document = |path: &str, login: &str| {
        let document = DOCUMENT.replace("auth: login", &format!("auth: {login}"));
        document.replace("/a:", &format!("{path}:"))
    };
    let (shop, staff) = (document("/a", "shop"), document("/b", "staff"));
    let files = [
        ("gateway.yaml", gateway.as_str()),
        ("a.yaml", shop.as_str()),
        ("b.yaml", staff.as_str()),
    ];
    crate::compiled(&files, Purpose::Route)
}

/// Settings of a login for [`two_logins`].
fn paths(redirect: &str, logout: &str, session: &str) -> String {
    format!("redirect_path: {redirect}, {logout}session: {{secret: \"${{env:GWS_B}}\"{session}}}")
}

#[test]
fn logins_that_share_a_path_or_cookie_are_refused() {
    let out = "logout_path: /out, ";
    let (shop, staff) = (", cookie: __Host-shop", ", cookie: __Host-staff");
    let first = paths("/cb", out, shop);
    for (second, shared) in [
        (paths("/cb", "", staff), Some("the `redirect_path` `/cb`")),
        (paths("/cb2", out, staff), Some("the `logout_path` `/out`")),
        (paths("/out", "", staff), Some("the path `/out`")),
        (
            paths("/cb2", "logout_path: /cb, ", staff),
            Some("the path `/cb`"),
        ),
        (
            paths("/cb2", "", shop) + ", scopes: [email]",
            Some("the cookie `__Host-shop`"),
        ),
        (
            paths("/cb2", "", shop).replace("GWS_B", "GWS_C"),
            Some("the cookie `__Host-shop`"),
        ),
        // Long sessions are sent in the cookies `NAME`, `NAME.1` and so on.
        (
            paths("/cb2", "", ", cookie: __Host-shop.1"),
            Some("the cookie `__Host-shop`"),
        ),
        (paths("/cb2", "logout_path: /out2, ", staff), None),
        // The logins accept each other's sessions.
        (paths("/cb", out, shop), None),
        (paths("/out", "", shop), Some("the path `/out`")),
    ] {
        let found = two_logins([&first, &second], ["h.test", "h.test"]);
        match (found, shared) {
            (Ok(_), None) => {}
            (Err(errors), Some(shared)) => {
                let message = format!("the logins `shop` and `staff` share {shared} on one host");
                assert!(errors.contains(&message), "{second}: {errors}");
            }
            (found, _) => panic!("{second}: {:?}", found.err()),
        }
        let apart = two_logins([&first, &second], ["h.test", "i.test"]);
        assert!(apart.is_ok(), "{second}: {:?}", apart.err());
    }
}

/// A path that another login takes over does not end the sessions of the first one.
#[test]
fn logout_path_of_another_login_is_removed() {
    let (shop, staff) = (", cookie: __Host-shop", ", cookie: __Host-staff");
    let removed = |old: [&str; 2], new: [&str; 2]| {
        let side = |[first, second]: [&str; 2]| {
            let settings = [paths("/cb", first, shop), paths("/cb2", second, staff)];
            two_logins(settings.each_ref().map(String::as_str), ["h.test"; 2]).expect("it compiles")
        };
        let plan = plan::compare(Some(&side(old)), &side(new)).expect("both sides build");
        assert_eq!(plan.bugs, Vec::<String>::new());
        let changes = plan.changes.iter();
        let lost = changes.filter(|change| change.id == "logout-path-removed");
        lost.count()
    };
    let (out, bye) = ("logout_path: /out, ", "logout_path: /bye, ");
    assert_eq!(removed([out, ""], ["", out]), 1);
    assert_eq!(removed([out, ""], [bye, out]), 1);
    assert_eq!(removed([out, bye], [bye, out]), 2);
    assert_eq!(removed([out, ""], [out, bye]), 0);
}
