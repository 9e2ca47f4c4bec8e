//! Requests that an API sends: what their receivers lose.

use plan::{Plan, compare};

use crate::side;

const GATEWAY: &str = "version: 1
name: shop
apis: {a: {path: api.yaml}}
upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9001\"}}}}
defaults: {upstream: u, security: upstream}
";
/// Parameter that receivers of a request check.
const SIGNATURE: &str = "{name: X-Sig, in: header, required: true, schema: {type: string}}";
const BODY: &str = "requestBody: {required: true, content: {application/json: {schema: {type: object, properties: {n: {type: string}}}}}}";

const SCHEMES: &str = "components:
  securitySchemes:
    key: {type: apiKey, in: header, name: X-Key}
    renamed: {type: apiKey, in: header, name: x-key}
    query: {type: apiKey, in: query, name: X-Key}
    bearer: {type: http, scheme: Bearer}
    oauth: {type: oauth2, flows: {clientCredentials: {tokenUrl: \"https://a.test/t\", scopes: {r: r, w: w}}}}
    other: {type: oauth2, flows: {clientCredentials: {tokenUrl: \"https://b.test/t\", scopes: {r: r, w: w}}}}
";

/// Plan between two versions of a request that the API sends as a webhook, or as a callback.
fn between(is_webhook: bool, old: &str, new: &str) -> Plan {
    let whole = |request: &str| format!("{request}, responses: {{\"200\": {{description: d}}}}");
    between_whole(is_webhook, &whole(old), &whole(new))
}

/// Like [`between`], for requests with their responses.
fn between_whole(is_webhook: bool, old: &str, new: &str) -> Plan {
    let document = |request: &str| {
        let request = format!("{{post: {{{request}}}}}");
        let (callbacks, webhooks) = match is_webhook {
            true => (String::new(), format!("webhooks: {{sent: {request}}}\n")),
            false => (
                format!("callbacks: {{sent: {{'{{$request.body#/url}}': {request}}}}}, "),
                String::new(),
            ),
        };
        format!(
            "openapi: 3.1.0\ninfo: {{title: t, version: '1'}}\npaths:\n  /x: {{post: {{operationId: x, \
             {callbacks}responses: {{\"200\": {{description: d}}}}}}}}\n{webhooks}{SCHEMES}"
        )
    };
    let side = |request: &str| side(&[("gateway.yaml", GATEWAY), ("api.yaml", &document(request))]);
    compare(Some(&side(old)), &side(new)).expect("both build")
}

#[test]
fn what_receivers_lose_is_a_break() {
    let parameters = |list: &str| format!("parameters: [{list}], {BODY}");
    let signed = parameters(SIGNATURE);
    let with = |from: &str, to: &str| crate::edit(&signed, from, to);
    for (new, expected) in [
        (parameters(""), "error outgoing-required-parameter-removed"),
        (
            with("X-Sig, in: header, required: true", "X-Sig, in: header"),
            "error outgoing-parameter-became-optional",
        ),
        (
            with("requestBody: {required: true, ", "requestBody: {"),
            "error outgoing-body-became-optional",
        ),
        (with(&format!(", {BODY}"), ""), "error request-body-removed"),
        (
            with("application/json:", "application/xml:"),
            "error request-body-media-type-removed, error request-body-media-type-added",
        ),
    ] {
        for is_webhook in [true, false] {
            assert_eq!(ids(&between(is_webhook, &signed, &new)), expected, "{new}");
        }
    }
}

#[test]
fn what_receivers_get_newly_is_no_break() {
    let old = format!(
        "parameters: [{{name: X-Sig, in: header, schema: {{type: string}}}}], {}",
        BODY.replace("required: true, ", "")
    );
    let new = format!(
        "parameters: [{SIGNATURE}, {{name: q, in: query, required: true, schema: {{type: string}}}}], {BODY}"
    );
    for is_webhook in [true, false] {
        assert_eq!(
            ids(&between(is_webhook, &old, &new)),
            "info request-body-became-required, info request-parameter-became-required, info new-required-request-parameter"
        );
    }
}

#[test]
fn optional_and_deprecated_parts_have_lines() {
    let optional = "parameters: [{name: X-Id, in: header, schema: {type: string}}]";
    let body =
        |more: &str| BODY.replace("n: {type: string}", &format!("n: {{type: string{more}}}"));
    for is_webhook in [true, false] {
        let removed = between(is_webhook, &format!("{optional}, {BODY}"), BODY);
        assert_eq!(ids(&removed), "warn request-parameter-removed");
        for (more, id) in [
            (", deprecated: true", "info response-property-deprecated"),
            (
                ", deprecated: true, x-sunset: 2030-01-01",
                "info response-property-deprecated-with-sunset",
            ),
        ] {
            let deprecated = between(is_webhook, BODY, &body(more));
            assert_eq!(ids(&deprecated), id);
        }
    }
}

#[test]
fn callbacks_of_any_operation_id_are_compared() {
    let document = |id: &str, kind: &str| {
        let body = BODY.replace("string", kind);
        format!(
            "openapi: 3.1.0\ninfo: {{title: t, version: '1'}}\npaths:\n  /x: {{post: {{operationId: {id}, \
             callbacks: {{sent: {{'{{$request.body#/url}}': {{post: {{{body}, responses: {{\"200\": {{description: d}}}}}}}}}}}}, \
             responses: {{\"200\": {{description: d}}}}}}}}\n"
        )
    };
    let side = |document: String| side(&[("gateway.yaml", GATEWAY), ("api.yaml", &document)]);
    for id in ["x", "x callback y", "webhook x", "callback"] {
        let (old, new) = (side(document(id, "string")), side(document(id, "integer")));
        let plan = compare(Some(&old), &new).expect("both build");
        assert_eq!(ids(&plan), "error response-property-type-changed", "{id}");
    }
}

#[test]
fn callbacks_of_callbacks_are_compared() {
    // Each callback has another one, and the last one has the first one.
    let document = |kind: &str| {
        let item = |at: usize| {
            let schema = if at == 7 { kind } else { "string" };
            let body = BODY.replace("string", schema);
            let next = (at + 1) % 8;
            format!(
                "    I{at}: {{post: {{{body}, callbacks: {{c: {{'{{$request.body#/u}}': {{$ref: '#/components/pathItems/I{next}'}}}}}}, \
                 responses: {{\"200\": {{description: d}}}}}}}}\n"
            )
        };
        let items: String = (0..8).map(item).collect();
        format!(
            "openapi: 3.1.0\ninfo: {{title: t, version: '1'}}\npaths:\n  /x: {{$ref: '#/components/pathItems/I0'}}\n\
             components:\n  pathItems:\n{items}"
        )
    };
    let side = |kind: &str| side(&[("gateway.yaml", GATEWAY), ("api.yaml", &document(kind))]);
    let plan = compare(Some(&side("string")), &side("integer")).expect("both build");
    assert_eq!(ids(&plan), "error response-property-type-changed");
}

/// Level and id of each change.
fn ids(plan: &Plan) -> String {
    let changes = plan.changes.iter();
    let all = changes.map(|change| format!("{} {}", change.level(), change.id));
    all.collect::<Vec<_>>().join(", ")
}

/// Lines of level `error` of [`ids`].
fn errors(plan: &Plan) -> Vec<String> {
    let ids = ids(plan);
    let ids = ids.split(", ").filter(|line| line.starts_with("error"));
    ids.map(str::to_owned).collect()
}

#[test]
fn receivers_read_and_send_what_the_api_selects() {
    let with = |response: &str, more: &str| {
        format!(
            "requestBody: {{content: {{application/json: {{schema: {{type: string}}}}{more}}}}}, responses: {{\"200\": {{description: d{response}}}}}"
        )
    };
    let header = |required: bool| {
        format!(", headers: {{X-Ack: {{required: {required}, schema: {{type: string}}}}}}")
    };
    let plain = with("", "");
    let xml = with("", ", application/xml: {schema: {type: string}}");
    let (needed, optional) = (with(&header(true), ""), with(&header(false), ""));
    for is_webhook in [true, false] {
        for (old, new, expected) in [
            (&plain, &needed, vec!["error response-schema-narrowed"]),
            (&optional, &needed, vec!["error response-schema-narrowed"]),
            (&needed, &optional, vec![]),
            (&needed, &plain, vec![]),
            (&plain, &xml, vec!["error request-body-media-type-added"]),
        ] {
            let plan = between_whole(is_webhook, old, new);
            assert_eq!(errors(&plan), expected, "{is_webhook} {old} {new}");
        }
    }
}

#[test]
fn clients_send_the_callbacks_of_callbacks() {
    let inner = |schema: &str| {
        format!(
            "callbacks: {{back: {{'{{$request.body#/url}}': {{post: {{requestBody: {{content: {{application/json: {{schema: {schema}}}}}}}, responses: {{\"200\": {{description: d}}}}}}}}}}}}, responses: {{\"200\": {{description: d}}}}"
        )
    };
    let (wide, narrow) = (inner("{type: string}"), inner("{type: string, enum: [a]}"));
    for is_webhook in [true, false] {
        let of = |old: &str, new: &str| errors(&between_whole(is_webhook, old, new)).len();
        assert_eq!(
            (of(&wide, &narrow), of(&narrow, &wide)),
            (1, 0),
            "{is_webhook}"
        );
    }
}

#[test]
fn credentials_that_receivers_check_are_compared() {
    let error = "error outgoing-security-changed";
    let info = "info outgoing-security-changed";
    for (old, new, expected) in [
        ("[{key: []}]", "[{bearer: []}]", error),
        ("[{key: []}]", "[{query: []}]", error),
        ("[{key: []}]", "", error),
        ("[{key: []}]", "[]", error),
        ("[{key: []}]", "[{}, {key: []}]", error),
        ("[{key: []}]", "[{bearer: []}, {key: []}]", error),
        ("[{key: [], bearer: []}]", "[{key: []}]", error),
        ("[{oauth: [r, w]}]", "[{oauth: [r]}]", error),
        ("[{oauth: [r]}]", "[{other: [r]}]", error),
        ("[{oauth: [r]}]", "[{oauth: [r, w]}]", info),
        ("[{bearer: []}, {key: []}]", "[{key: []}]", info),
        ("[{key: []}]", "[{key: [], bearer: []}]", info),
        ("", "[{key: []}]", info),
        ("[{key: []}]", "[{renamed: []}]", ""),
        ("[{key: []}, {bearer: []}]", "[{bearer: []}, {key: []}]", ""),
        ("", "[]", ""),
        ("", "[{}]", ""),
    ] {
        let request = |security: &str| match security {
            "" => BODY.to_owned(),
            security => format!("security: {security}, {BODY}"),
        };
        for is_webhook in [true, false] {
            let plan = between(is_webhook, &request(old), &request(new));
            assert_eq!(ids(&plan), expected, "{is_webhook} {old} -> {new}");
        }
    }
}

#[test]
fn name_of_a_callback_is_no_part_of_the_request() {
    let document = |name: &str, kind: &str| {
        format!(
            "{name}: {{'{{$request.body#/url}}': {{post: {{{}, responses: {{\"200\": {{description: d}}}}}}}}}}",
            BODY.replace("string", kind)
        )
    };
    let between = |old: &[String], new: &[String]| {
        let side = |callbacks: &[String]| {
            let document = format!(
                "openapi: 3.1.0\ninfo: {{title: t, version: '1'}}\npaths:\n  /x: {{post: {{operationId: x, \
                 callbacks: {{{}}}, responses: {{\"200\": {{description: d}}}}}}}}\n",
                callbacks.join(", ")
            );
            side(&[("gateway.yaml", GATEWAY), ("api.yaml", &document)])
        };
        errors(&compare(Some(&side(old)), &side(new)).expect("both build"))
    };
    let of = |name: &str| document(name, "string");
    let none: [&str; 0] = [];
    assert_eq!(between(&[of("a")], &[of("b")]), none);
    let changed = between(&[of("a")], &[document("b", "integer")]);
    assert_eq!(changed, ["error response-property-type-changed"]);
    let ambiguous = between(&[of("a"), of("b")], &[of("c")]);
    assert_eq!(ambiguous, ["error callback-removed"; 2]);
}

#[test]
fn credentials_of_the_root_are_those_of_a_request() {
    let document = |root: &str, own: &str| {
        let own = match own {
            "" => String::new(),
            own => format!("security: {own}, "),
        };
        format!(
            "openapi: 3.1.0\ninfo: {{title: t, version: '1'}}\nsecurity: {root}\npaths: {{}}\nwebhooks:\n  \
             sent: {{post: {{{own}{BODY}, responses: {{\"200\": {{description: d}}}}}}}}\n{SCHEMES}"
        )
    };
    let side = |(root, own): (&str, &str)| {
        side(&[
            ("gateway.yaml", GATEWAY),
            ("api.yaml", &document(root, own)),
        ])
    };
    let (key, bearer) = ("[{key: []}]", "[{bearer: []}]");
    for (old, new, expected) in [
        ((key, ""), (key, key), ""),
        ((key, ""), (key, bearer), "error outgoing-security-changed"),
        ((key, ""), (key, "[]"), "error outgoing-security-changed"),
        ((key, bearer), (key, ""), "error outgoing-security-changed"),
        ((key, ""), (bearer, ""), "info outgoing-security-changed"),
        ((key, "[]"), (bearer, "[]"), ""),
    ] {
        let plan = compare(Some(&side(old)), &side(new)).expect("both build");
        assert_eq!(ids(&plan), expected, "{old:?} -> {new:?}");
    }
}

/// A receiver may answer with any success status if no other one than `default` is described.
#[test]
fn default_response_admits_every_success_status() {
    let of = |statuses: &[&str]| {
        let each = statuses.iter();
        let each = each.map(|status| format!("'{status}': {{description: d}}"));
        format!("responses: {{{}}}", each.collect::<Vec<_>>().join(", "))
    };
    for (old, new, expected) in [
        (
            &["default"][..],
            &["200"][..],
            "error response-success-status-removed",
        ),
        (&["default"], &["2XX"], ""),
        (&["200", "default"], &["200"], ""),
    ] {
        let plan = between_whole(true, &of(old), &of(new));
        assert_eq!(errors(&plan).join(", "), expected, "{old:?} {new:?}");
    }
}

#[test]
fn first_body_of_an_acknowledgement_is_a_warning() {
    let with = |content: &str| {
        format!("{BODY}, responses: {{\"200\": {{description: d, content: {{{content}}}}}}}")
    };
    let (empty, text) = (with(""), with("text/plain: {}"));
    let both = with("text/plain: {}, text/html: {}");
    for is_webhook in [true, false] {
        let of = |old: &str, new: &str| ids(&between_whole(is_webhook, old, new));
        assert_eq!(of(&empty, &text), "warn response-media-type-added");
        assert_eq!(of(&text, &both), "info response-media-type-added");
    }
}

/// A level that an operation sets does not apply to webhooks with the same schema.
#[test]
fn settings_of_operations_do_not_apply_to_webhooks() {
    let document = |kind: &str| {
        let schema = "content: {application/json: {schema: {$ref: '#/components/schemas/S'}}}";
        format!(
            "openapi: 3.1.0\ninfo: {{title: t, version: '1'}}\npaths:\n  /x: {{get: {{operationId: x, \
             x-gateway-lint: {{allow: [response-property-type-changed]}}, responses: {{\"200\": {{description: d, {schema}}}}}}}}}\n\
             webhooks: {{w: {{post: {{requestBody: {{required: true, {schema}}}, responses: {{\"200\": {{description: d}}}}}}}}}}\n\
             components: {{schemas: {{S: {{type: object, properties: {{n: {{type: {kind}}}}}}}}}}}\n"
        )
    };
    let side = |kind: &str| side(&[("gateway.yaml", GATEWAY), ("api.yaml", &document(kind))]);
    let plan = compare(Some(&side("string")), &side("integer")).expect("both build");
    let lines = plan.changes.iter().map(|change| {
        let operation = change
            .operation
            .as_ref()
            .map_or("", |operation| &operation.key);
        let path = change.message.as_ref().map_or("", |message| &message.path);
        format!("{} {operation} {path}", change.level())
    });
    let mut lines: Vec<String> = lines.collect();
    lines.sort();
    assert_eq!(
        lines,
        [
            "error  webhook w POST body.n type",
            "info a/x response 200 body.n type"
        ]
        .map(|line| line.trim_end_matches(" type"))
    );
}
