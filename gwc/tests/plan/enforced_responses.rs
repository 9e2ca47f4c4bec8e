//! Tests of enforced descriptions of responses: each change that affects which responses `validate:
//! {response: block}` replaces must have a line with a class. Its witness must have a response that
//! the engine of only one version replaces.

use plan::{Change, Outcome, Plan};

use crate::{edit, plan};

const GATEWAY: &str = "version: 1
name: shop
apis: {a: {path: api.yaml, mount: {name: m, base_path: /v1}}}
upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}
defaults: {upstream: u, security: upstream, validate: {response: block}}
";

const DOCUMENT: &str = "openapi: 3.1.0
info: {title: t, version: \"1\"}
paths:
  /orders:
    get:
      operationId: list
      parameters: [{name: limit, in: query, schema: {type: integer, maximum: 100}}]
      responses:
        \"200\":
          description: fine
          headers: {X-Total: {required: true, schema: {type: integer, maximum: 1000}}}
          content:
            application/json: {schema: {$ref: '#/components/schemas/Order'}}
        \"404\":
          description: absent
          content: {application/json: {schema: {type: string, maxLength: 9}}}
components:
  schemas:
    Order:
      type: object
      additionalProperties: false
      required: [id, secret]
      properties:
        id: {type: integer}
        secret: {type: string, writeOnly: true}
";

/// Lines about checks of messages, as `CLASS ID SUBJECT`.
fn checks(plan: &Plan) -> Vec<String> {
    let all = plan.changes.iter();
    let all = all.filter(|one| {
        one.message.is_none() && (one.id.starts_with("request-") || one.id.starts_with("response-"))
    });
    all.map(|one| {
        // A change of the mode has no witness.
        let is_of_mode = one.id == "response-validation-changed";
        assert_eq!(
            one.witness.is_none(),
            is_of_mode,
            "{}: {:?}",
            one.subject,
            one.why_none
        );
        format!("{} {} {}", one.class.name(), one.id, one.subject)
    })
    .collect()
}

/// Witness of the only line about checks of responses, as `STATUS FIELDS BODY OLD -> NEW`.
fn witness(plan: &Plan) -> String {
    let all = plan.changes.iter();
    let mut all = all.filter(|one| one.message.is_none() && one.id.starts_with("response-"));
    let (one, None) = (all.next().expect("a line"), all.next()) else {
        panic!("several lines");
    };
    shown(one)
}

fn shown(change: &Change) -> String {
    let Some(witness) = &change.witness else {
        return change.why_none.unwrap_or_default().to_owned();
    };
    let outcome = |outcome: &Outcome| match outcome {
        Outcome::Refused { status } => status.to_string(),
        Outcome::Served { .. } => "passes".to_owned(),
        Outcome::Interrupted { .. } => "interrupted".to_owned(),
        other => format!("{other:?}"),
    };
    let response = witness.response.as_ref().expect("a response");
    let fields = response.headers.iter();
    let mut text = response.status.to_string();
    fields.for_each(|(name, value)| text.push_str(&format!(" {name}: {value}")));
    if let Some((media_type, body)) = &response.body {
        text.push_str(&format!(" {media_type} {body}"));
    }
    format!(
        "{text} {} -> {}",
        outcome(&witness.old),
        outcome(&witness.new)
    )
}

#[test]
fn witnesses_have_the_smallest_responses() {
    let order = "{$ref: '#/components/schemas/Order'}";
    for (from, to, expected) in [
        // The write-only `secret` is left out.
        (
            "id: {type: integer}",
            "id: {type: [integer, string]}",
            "200 x-total: 0 application/json {\"id\":\"\"} 502 -> passes",
        ),
        (
            "id: {type: integer}",
            "id: {type: integer, minimum: 0}",
            "200 x-total: 0 application/json {\"id\":-1} passes -> 502",
        ),
        (
            "required: true, schema",
            "schema",
            "200 application/json {\"id\":0} 502 -> passes",
        ),
        (
            "maximum: 1000",
            "maximum: 100",
            "200 x-total: 101 application/json {\"id\":0} passes -> 502",
        ),
        (
            &format!("application/json: {{schema: {order}}}"),
            "application/json: {}",
            "200 x-total: 0 502 -> passes",
        ),
        // Class of statuses: 404 keeps its own description.
        (
            "        \"404\":\n",
            "        \"4XX\": {description: d, content: {application/json: {schema: {type: integer}}}}\n        \"404\":\n",
            "400 passes -> 502",
        ),
        (
            "        \"404\":\n",
            "        \"201\": {description: made}\n        \"404\":\n",
            "201 502 -> passes",
        ),
        (
            "        \"404\":\n",
            "        default: {description: d}\n        \"404\":\n",
            "201 502 -> passes",
        ),
    ] {
        let found = plan((GATEWAY, DOCUMENT), (GATEWAY, &edit(DOCUMENT, from, to)));
        assert_eq!(witness(&found), expected, "{from} -> {to}");
    }
}

#[test]
fn responses_with_special_bodies_have_witnesses() {
    let with = |operation: &str, content: &str| {
        let order = "content:\n            application/json: {schema: {$ref: '#/components/schemas/Order'}}";
        let document = edit(DOCUMENT, order, content);
        let document = edit(&document, "openapi: 3.1.0", "openapi: 3.2.0");
        edit(
            &document,
            "operationId: list\n",
            &format!("operationId: list\n{operation}"),
        )
    };
    let items =
        |schema: &str| format!("content: {{application/x-ndjson: {{itemSchema: {schema}}}}}");
    let forms = |schema: &str| {
        format!("content: {{application/x-www-form-urlencoded: {{schema: {schema}}}}}")
    };
    let json = |schema: &str| format!("content: {{application/json: {{schema: {schema}}}}}");
    let (stream, get) = ("      x-gateway: {stream: true}\n", "");
    for (operation, old, new, expected) in [
        (
            get,
            items("{type: integer}"),
            items("{type: integer, maximum: 5}"),
            "200 x-total: 0 application/x-ndjson 6\n passes -> interrupted",
        ),
        // The items of an endless response are checked, but not its body.
        (
            stream,
            items("{type: integer}"),
            items("{type: integer, maximum: 5}"),
            "200 x-total: 0 application/x-ndjson 6\n passes -> interrupted",
        ),
        (
            stream,
            json("{type: integer}"),
            json("{type: integer, maximum: 5}"),
            "no example: both versions treat every generated message alike",
        ),
        (
            get,
            forms("{type: object, required: [a], properties: {a: {enum: [x, yy]}}}"),
            forms("{type: object, required: [a], properties: {a: {enum: [x]}}}"),
            "200 x-total: 0 application/x-www-form-urlencoded a=yy passes -> 502",
        ),
        (
            get,
            json(
                "{type: array, items: {required: [a], properties: {a: {type: integer}, b: {type: integer}}}, minItems: 1}",
            ),
            json(
                "{type: array, items: {required: [a, c], properties: {a: {type: integer}, b: {type: integer}}}, minItems: 1}",
            ),
            "200 x-total: 0 application/json [{\"a\":0}] passes -> 502",
        ),
        // The members beside the changed one must match their own schemas.
        (
            get,
            json(
                "{required: [a, b], properties: {a: {type: integer, minimum: 7}, b: {type: string, pattern: '^ord_[0-9]{4}$'}, c: {type: integer}}}",
            ),
            json(
                "{required: [a, b], properties: {a: {type: integer, minimum: 7}, b: {type: string, pattern: '^ord_[0-9]{4}$'}, c: {type: integer, maximum: 5}}}",
            ),
            "200 x-total: 0 application/json {\"a\":7,\"b\":\"ord_0000\",\"c\":6} passes -> 502",
        ),
    ] {
        let (old, new) = (with(operation, &old), with(operation, &new));
        let found = plan((GATEWAY, &old), (GATEWAY, &new));
        assert_eq!(witness(&found), expected, "{old} -> {new}");
    }
}

/// The request must match both descriptions, because both gateways refuse other requests.
#[test]
fn witness_has_request_that_both_versions_forward() {
    let gateway = GATEWAY.replace("{response: block}", "{request: block, response: block}");
    let required = edit(
        DOCUMENT,
        "in: query, schema",
        "in: query, required: true, schema",
    );
    let narrowed = edit(&required, "maxLength: 9", "maxLength: 8");
    let found = plan((&gateway, &required), (&gateway, &narrowed));
    assert_eq!(
        witness(&found),
        "404 application/json \"000000000\" passes -> 502"
    );
    let witness = found.changes.iter().find_map(|one| one.witness.as_ref());
    let url = &witness.expect("a witness").url;
    let limit = url.strip_prefix("http://gateway/v1/orders?limit=");
    let limit: i64 = limit.expect(url).parse().expect("a number");
    assert!(limit <= 100, "{limit}");
}

/// gwd does not check fields that it sets itself, so no response shows such a change.
#[test]
fn fields_of_the_gateway_have_no_witness() {
    let named = edit(DOCUMENT, "X-Total", "X-Request-Id");
    let found = plan(
        (GATEWAY, &named),
        (GATEWAY, &edit(&named, "maximum: 1000", "maximum: 9")),
    );
    let why = "no example: no generated request reaches the upstream in both versions";
    assert_eq!(witness(&found), why);
}

#[test]
fn changed_descriptions_of_responses_have_lines() {
    for (from, to, expected) in [
        (
            "id: {type: integer}",
            "id: {type: [integer, string]}",
            "relax response-check-widened response 200 body application/json",
        ),
        (
            "id: {type: integer}",
            "id: {type: integer, minimum: 0}",
            "tighten response-check-narrowed response 200 body application/json",
        ),
        (
            "      additionalProperties: false\n",
            "",
            "relax response-check-widened response 200 body application/json",
        ),
        (
            "maxLength: 9",
            "pattern: '^a'",
            "incomparable response-check-changed response 404 body application/json",
        ),
        (
            "required: true, schema",
            "schema",
            "relax response-check-widened response 200 header x-total",
        ),
        (
            "maximum: 1000",
            "maximum: 100",
            "tighten response-check-narrowed response 200 header x-total",
        ),
        (
            "application/json: {schema: {$ref: '#/components/schemas/Order'}}",
            "application/json: {}",
            "weaken response-unchecked response 200 body application/json",
        ),
        (
            "application/json: {schema: {$ref",
            "text/plain: {schema: {enum: [a, b]}}\n            application/json: {schema: {$ref",
            "relax response-check-widened response 200 body",
        ),
        // The schemas accept a string with any content, and any object.
        (
            "application/json: {schema: {$ref",
            "text/plain: {schema: {type: string, maxLength: 999}}\n            application/json: {schema: {$ref",
            "weaken response-unchecked response 200 body",
        ),
        (
            "application/json: {schema: {$ref: '#/components/schemas/Order'}}",
            "application/json: {schema: {type: object}}",
            "weaken response-unchecked response 200 body application/json",
        ),
        // The upstream chooses the content type. If one content type is not checked, the upstream
        // can send any body with it.
        (
            "application/json: {schema: {$ref",
            "text/plain: {}\n            application/json: {schema: {$ref",
            "weaken response-unchecked response 200 body",
        ),
        (
            "application/json: {schema: {$ref",
            "text/event-stream: {schema: {maxLength: 9}}\n            application/json: {schema: {$ref",
            "weaken response-unchecked response 200 body",
        ),
        (
            "        \"404\":\n",
            "        \"4XX\":\n",
            "tighten response-check-narrowed response 4xx",
        ),
    ] {
        let found = plan((GATEWAY, DOCUMENT), (GATEWAY, &edit(DOCUMENT, from, to)));
        assert_eq!(checks(&found), [expected], "{from} -> {to}");
    }
}

/// The upstream chooses the status of a response, just as it chooses the content type.
#[test]
fn status_with_fewer_checks_is_weaker() {
    let (weaken, relax) = ("weaken response-unchecked", "relax response-check-widened");
    let json = |schema: &str| {
        format!("{{description: d, content: {{application/json: {{schema: {schema}}}}}}}")
    };
    for (status, response, expected) in [
        ("201", "{description: made}".to_owned(), weaken),
        ("2XX", "{description: made}".to_owned(), weaken),
        ("206", json("{}"), weaken),
        ("206", json("{type: object}"), weaken),
        ("206", json("{anyOf: [{enum: [1]}, {type: array}]}"), weaken),
        // The schema checks only the new property `job`, and accepts any value of the properties
        // that were checked before.
        (
            "202",
            json("{type: object, properties: {job: {type: integer}}}"),
            weaken,
        ),
        (
            "202",
            json("{type: object, additionalProperties: false, properties: {job: {type: integer}}}"),
            relax,
        ),
        ("201", json("{$ref: '#/components/schemas/Order'}"), relax),
        (
            "201",
            json("{allOf: [{$ref: '#/components/schemas/Order'}, {minProperties: 1}]}"),
            relax,
        ),
        // Responses with status 204 have no body.
        ("204", "{description: none}".to_owned(), relax),
        ("205", "{description: none}".to_owned(), weaken),
    ] {
        let document = edit(
            DOCUMENT,
            "        \"404\":\n",
            &format!("        \"{status}\": {response}\n        \"404\":\n"),
        );
        let found = plan((GATEWAY, DOCUMENT), (GATEWAY, &document));
        let status = status.to_ascii_lowercase();
        let expected = format!("{expected} response {status}");
        assert_eq!(checks(&found), [expected], "{response}");
    }
    // No body was validated before, so no check is removed.
    let open = edit(
        DOCUMENT,
        "{application/json: {schema: {type: string, maxLength: 9}}}",
        "{application/json: {}}",
    );
    let open = edit(
        &open,
        "{schema: {$ref: '#/components/schemas/Order'}}",
        "{}",
    );
    let made = edit(
        &open,
        "        \"404\":\n",
        "        \"201\": {description: made}\n        \"404\":\n",
    );
    let found = plan((GATEWAY, &open), (GATEWAY, &made));
    assert_eq!(checks(&found), [format!("{relax} response 201")]);
}

/// Another notation of a response's schema, or a change of a request parameter, must not give a
/// line about responses.
#[test]
fn refactorings_have_no_lines() {
    for (from, to) in [
        ("id: {type: integer}", "id: {type: [integer]}"),
        ("maximum: 100}", "maximum: 200}"),
    ] {
        let found = plan((GATEWAY, DOCUMENT), (GATEWAY, &edit(DOCUMENT, from, to)));
        assert_eq!(checks(&found), [""; 0], "{from} -> {to}");
    }
}

#[test]
fn modes_are_compared() {
    for (from, to, expected) in [
        ("block", "log", "weaken"),
        ("block", "off", "weaken"),
        ("log", "block", "strengthen"),
    ] {
        let (old, new) = (GATEWAY.replace("block", from), GATEWAY.replace("block", to));
        let found = plan((&old, DOCUMENT), (&new, DOCUMENT));
        assert_eq!(
            checks(&found),
            [format!(
                "{expected} response-validation-changed validate.response"
            )]
        );
    }
}

#[test]
fn stream_ends_the_check_of_bodies() {
    let streams = edit(
        DOCUMENT,
        "operationId: list\n",
        "operationId: list\n      x-gateway: {stream: true}\n",
    );
    let of = |mode: &str, old: &str, new: &str| {
        let gateway = GATEWAY.replace("block", mode);
        checks(&plan((&gateway, old), (&gateway, new)))
    };
    let line = |class: &str| format!("{class} response-validation-changed validate.response");
    for mode in ["block", "log"] {
        assert_eq!(of(mode, DOCUMENT, &streams), [line("weaken")], "{mode}");
        assert_eq!(of(mode, &streams, DOCUMENT), [line("strengthen")], "{mode}");
    }
    assert_eq!(of("off", DOCUMENT, &streams), [""; 0]);
}
