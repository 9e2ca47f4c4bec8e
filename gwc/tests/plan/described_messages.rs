//! Tests of messages that another description covers: media types with parameters, error statuses
//! beside their class and `default`, the notation of XML, and serialisation without an effect.

use plan::{Plan, compare};

use crate::meaning::GATEWAY;
use crate::side;

/// Plan between two versions of an operation.
fn between(old: &str, new: &str) -> Plan {
    let document = |operation: &str| {
        format!(
            "openapi: 3.1.0\ninfo: {{title: t, version: '1'}}\npaths:\n  /x: {{post: {{operationId: x, {operation}}}}}\n"
        )
    };
    let side = |text: &str| side(&[("gateway.yaml", GATEWAY), ("api.yaml", &document(text))]);
    compare(Some(&side(old)), &side(new)).expect("both sides build")
}

/// Lines about clients: id, level, verdict and path, in order.
fn lines(plan: &Plan) -> Vec<String> {
    let all = plan.changes.iter();
    let all = all.filter_map(|change| Some((change, change.message.as_deref()?)));
    let line = |(change, message): (&plan::Change, &plan::Message)| {
        let verdict = message.decision.map_or("none", plan::Decision::name);
        format!(
            "{} {} {verdict} {}",
            change.id,
            change.level(),
            message.path
        )
    };
    let mut lines: Vec<String> = all.map(line).collect();
    lines.sort();
    lines
}

fn request(content: &str) -> String {
    format!(
        "requestBody: {{required: true, content: {{{content}}}}}, responses: {{'200': {{description: d}}}}"
    )
}

fn answers(responses: &str) -> String {
    format!("responses: {{'200': {{description: d}}, {responses}}}")
}

const VERSION: &str = "'application/json; v=1': {schema: {}}";
const PLAIN: &str =
    "application/json: {schema: {type: object, required: [id], properties: {id: {}}}}";

#[test]
fn media_type_beside_one_with_parameters_is_compared() {
    let both = format!("{VERSION}, {PLAIN}");
    for (old, new, expected) in [
        (
            VERSION,
            &*both,
            "request-body-media-type-added info none body application/json",
        ),
        (
            VERSION,
            PLAIN,
            "request-body-media-type-removed info proved body application/json; v=1",
        ),
        (
            "application/json: {schema: {}}",
            "'application/json; v=1': {schema: {type: object, required: [id]}}",
            "request-body-media-type-removed info proved body application/json",
        ),
        (
            "application/json: {schema: {}}",
            "application/*: {schema: {type: object, required: [id]}}",
            "request-body-media-type-removed info proved body application/json",
        ),
    ] {
        let found = lines(&between(&request(old), &request(new)));
        assert!(found.iter().any(|line| line == expected), "{found:#?}");
        let refuted = found.iter().any(|line| line.contains("error refuted body"));
        assert!(refuted, "{old} -> {new}: {found:#?}");
    }
}

#[test]
fn media_type_that_stays_described_breaks_nobody() {
    for (old, new) in [
        (VERSION, "application/json: {schema: {}}"),
        ("application/json: {schema: {}}", VERSION),
        (PLAIN, "application/*: {schema: {}}"),
    ] {
        let found = lines(&between(&request(old), &request(new)));
        assert!(
            !found.iter().any(|line| line.contains(" error ")),
            "{found:#?}"
        );
    }
    // Another value of the parameter is another type, and so is another subtype.
    for new in [
        "'application/json; v=2': {schema: {}}",
        "application/xml: {schema: {}}",
    ] {
        let found = lines(&between(&request(VERSION), &request(new)));
        let expected = "request-body-media-type-removed error none body application/json; v=1";
        assert!(found.iter().any(|line| line == expected), "{found:#?}");
    }
}

const CODE: &str = "content: {application/json: {schema: {type: object, required: [code], properties: {code: {type: integer}}}}}";
const OTHER: &str = "content: {application/json: {schema: {type: object, required: [text], properties: {text: {type: string}}}}}";

#[test]
fn error_status_that_is_gone_is_compared() {
    for (rest, status) in [
        ("default", "404"),
        ("4XX", "404"),
        ("5XX", "503"),
        ("default", "5XX"),
    ] {
        let old = answers(&format!(
            "'{status}': {{description: d, {CODE}}}, '{rest}': {{description: d, {OTHER}}}"
        ));
        let new = answers(&format!("'{rest}': {{description: d, {OTHER}}}"));
        let found = lines(&between(&old, &new));
        let status = status.to_lowercase();
        let expected =
            format!("response-required-property-removed error refuted response {status} body.code");
        assert!(found.contains(&expected), "{status} {rest}: {found:#?}");
    }
}

#[test]
fn new_error_status_is_compared_with_default() {
    let body = |kind: &str| {
        format!("{{description: d, content: {{application/json: {{schema: {{type: {kind}}}}}}}}}")
    };
    let of_default = format!("default: {}", body("integer"));
    for status in ["500", "4XX"] {
        let new = answers(&format!("{of_default}, {status}: {}", body("string")));
        let found = lines(&between(&answers(&of_default), &new));
        let part = status.to_lowercase();
        let changed = format!("response-body-type-changed error refuted response {part} body");
        assert!(found.contains(&changed), "{found:?}");
        let same = answers(&format!("{of_default}, {status}: {}", body("integer")));
        assert_eq!(lines(&between(&answers(&of_default), &same)).len(), 1);
    }
}

#[test]
fn gone_status_without_another_content_is_info() {
    let one = |status: &str, content: &str| format!("'{status}': {{description: d{content}}}");
    let (code, other) = (format!(", {CODE}"), format!(", {OTHER}"));
    for (gone, rest) in [
        // The rest has the same content, or none is described on one side.
        (one("404", &code), one("default", &code)),
        (one("404", &code), one("default", "")),
        (one("404", ""), one("default", &other)),
        (one("404", &code), one("5XX", &other)),
        // `default` describes errors.
        (one("304", &code), one("default", &other)),
    ] {
        let old = answers(&format!("{gone}, {rest}"));
        let found = lines(&between(&old, &answers(&rest)));
        let status = if gone.contains("304") { "304" } else { "404" };
        let expected = format!("response-non-success-status-removed info none response {status}");
        assert_eq!(found, [expected], "{gone} beside {rest}");
    }
}

#[test]
fn body_of_a_status_that_its_class_covers_is_compared() {
    let body = |status: &str, kind: &str| {
        format!(
            "responses: {{'{status}': {{description: d, content: {{application/json: {{schema: {{type: {kind}}}}}}}}}}}"
        )
    };
    let statuses = [
        "response-success-status-added info none response 2xx",
        "response-success-status-removed error none response 200",
    ];
    let old = body("200", "string");
    assert_eq!(lines(&between(&old, &body("2XX", "string"))), statuses);
    let changed = "response-body-type-changed error refuted response 200 body";
    let all = [&[changed][..], &statuses].concat();
    assert_eq!(lines(&between(&old, &body("2XX", "integer"))), all);
}

#[test]
fn serialisation_without_an_effect_breaks_nobody() {
    let parameter = |place: &str, more: &str| {
        format!(
            "parameters: [{{name: q, in: {place}, {more}}}], responses: {{'200': {{description: d}}}}"
        )
    };
    let (scalar, list) = (
        "schema: {type: integer}",
        "schema: {type: array, items: {type: string}}",
    );
    let object = "schema: {type: object, properties: {a: {type: string}}}";
    let either = "schema: {anyOf: [{type: integer}, {allOf: [{type: string}, {maxLength: 3}]}]}";
    for (place, schema, key, level) in [
        ("query", scalar, "explode: false", "info proved"),
        ("query", either, "explode: false", "info proved"),
        ("query", list, "explode: false", "error none"),
        ("query", "schema: {}", "explode: false", "error none"),
        ("header", scalar, "explode: true", "info proved"),
        ("header", list, "explode: true", "info proved"),
        ("header", object, "explode: true", "error none"),
        ("query", scalar, "allowReserved: true", "info proved"),
    ] {
        let (old, new) = (
            parameter(place, schema),
            parameter(place, &format!("{key}, {schema}")),
        );
        let expected = format!("request-serialization-changed {level} {place} q");
        assert_eq!(
            lines(&between(&old, &new)),
            [expected],
            "{place} {schema} {key}"
        );
    }
    // Without `allowReserved`, clients must encode what they sent as it is.
    let reserved = parameter("query", &format!("allowReserved: true, {scalar}"));
    assert_eq!(
        lines(&between(&reserved, &parameter("query", scalar))),
        ["request-serialization-changed error none query q"]
    );
    // A single value has the same text as a list of it.
    let choices = "{type: string, enum: [x, y]}";
    let list = format!("explode: false, schema: {{type: array, items: {choices}}}");
    let found = lines(&between(
        &parameter("query", &format!("schema: {choices}")),
        &parameter("query", &list),
    ));
    assert!(
        !found.is_empty() && found.iter().all(|line| line.contains(" info ")),
        "{found:#?}"
    );
}

#[test]
fn changed_xml_breaks_clients_of_xml() {
    let body = |media: &str, xml: &str| {
        let schema = format!("{{type: object, properties: {{id: {{type: string{xml}}}}}}}");
        request(&format!("{media}: {{schema: {schema}}}"))
    };
    let (name, other) = (", xml: {name: a}", ", xml: {name: b}");
    for (media, old, new, expected) in [
        (
            "application/xml",
            "",
            ", xml: {attribute: true}",
            "serialization-changed error",
        ),
        (
            "application/atom+xml",
            ", xml: {attribute: true}",
            "",
            "serialization-changed error",
        ),
        (
            "text/xml; charset=utf-8",
            name,
            other,
            "serialization-changed error",
        ),
        (
            "application/xml",
            "",
            ", xml: {namespace: 'urn:a'}",
            "serialization-changed error",
        ),
        // The name may be the default.
        ("application/xml", "", name, "serialization-changed warn"),
        (
            "application/xml",
            "",
            ", xml: {prefix: a}",
            "serialization-changed info",
        ),
        (
            "application/json",
            "",
            ", xml: {attribute: true}",
            "schema-changed info",
        ),
    ] {
        let found = lines(&between(&body(media, old), &body(media, new)));
        let expected = format!("request-{expected} none body.id");
        assert_eq!(found, [expected], "{media} {old} -> {new}");
    }
    let list = |xml: &str| {
        let schema = format!("{{type: array, items: {{type: string}}{xml}}}");
        answers(&format!(
            "'201': {{description: d, content: {{application/xml: {{schema: {schema}}}}}}}"
        ))
    };
    let found = lines(&between(&list(""), &list(", xml: {wrapped: true}")));
    assert_eq!(
        found,
        ["response-serialization-changed error none response 201 body"]
    );
}

#[test]
fn success_status_of_the_old_range_is_no_loss() {
    let of = |status: &str, kind: &str| {
        format!(
            "responses: {{'{status}': {{description: d, content: {{application/json: {{schema: {{type: {kind}}}}}}}}}}}"
        )
    };
    let errors = |old: &str, new: &str| -> Vec<String> {
        let lines = lines(&between(old, new)).into_iter();
        lines.filter(|line| line.contains(" error ")).collect()
    };
    let none: [&str; 0] = [];
    let empty = |status: &str| format!("responses: {{'{status}': {{description: d}}}}");
    let with = |status: &str| {
        of("2XX", "string").replace(
            "responses: {",
            &format!("responses: {{'{status}': {{description: d}}, "),
        )
    };
    assert_eq!(
        errors(&of("2XX", "string"), &empty("204")),
        ["response-success-status-removed error none response 2xx"]
    );
    assert_eq!(errors(&of("2XX", "string"), &with("204")), none);
    assert_eq!(
        errors(&of("2XX", "string"), &with("206")),
        ["response-media-type-removed error none response 206 body application/json"]
    );
    assert_eq!(errors(&empty("2XX"), &empty("200")), none);
    assert_eq!(errors(&of("2XX", "string"), &of("200", "string")), none);
    assert_eq!(
        errors(&of("2XX", "string"), &of("200", "integer")),
        ["response-body-type-changed error refuted response 200 body"]
    );
    for (old, new) in [("200", "2XX"), ("200", "201"), ("2XX", "default")] {
        let removed = format!(
            "response-success-status-removed error none response {}",
            old.to_lowercase()
        );
        assert_eq!(
            errors(&of(old, "string"), &of(new, "string")),
            [removed],
            "{old} {new}"
        );
    }
}

#[test]
fn charset_of_json_has_no_effect() {
    let of = |name: &str| {
        answers(&format!(
            "'201': {{description: d, content: {{'{name}': {{schema: {{type: string}}}}}}}}"
        ))
    };
    for (name, level) in [
        ("application/json; charset=utf-8", "info"),
        ("application/json;charset=\"UTF-8\"", "info"),
        ("application/json; charset=utf-16", "error"),
        ("application/json; v=2", "error"),
        ("text/plain; charset=utf-8", "error"),
    ] {
        let lines = lines(&between(&of("application/json"), &of(name)));
        let removed = lines
            .iter()
            .find(|line| line.starts_with("response-media-type-removed"));
        let found = removed.and_then(|line| line.split(' ').nth(1));
        assert_eq!(found, Some(level), "{name}: {lines:?}");
    }
}

#[test]
fn bound_in_its_other_form_is_compared() {
    let of = |schema: &str| {
        request(&format!(
            "application/json: {{schema: {{type: number, {schema}}}}}"
        ))
    };
    for (old, new, expected) in [
        (
            "maximum: 100",
            "exclusiveMaximum: 10",
            "request-body-exclusive-max-decreased error refuted body",
        ),
        (
            "exclusiveMaximum: 100",
            "maximum: 10",
            "request-body-max-decreased error refuted body",
        ),
        (
            "minimum: 1",
            "exclusiveMinimum: 1",
            "request-body-exclusive-min-increased error refuted body",
        ),
        (
            "exclusiveMinimum: 1",
            "minimum: 1",
            "request-body-min-decreased info none body",
        ),
        (
            "maximum: 10",
            "exclusiveMaximum: 11",
            "request-body-exclusive-max-increased info none body",
        ),
    ] {
        let lines = lines(&between(&of(old), &of(new)));
        assert_eq!(lines, [expected], "{old} -> {new}");
    }
}
