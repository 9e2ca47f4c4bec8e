//! Tests of operations whose requests another policy or the listener refuses, and of
//! case-insensitive paths with escapes. The comparison must be correct with or without an example
//! request.

use plan::Plan;

use crate::{DOCUMENT, GATEWAY, edit, plan};

/// Plan for the addition of an operation with these settings.
fn added(gateway: &str, path: &str, settings: &str) -> Plan {
    added_at(gateway, (path, "summary: s"), settings)
}

/// Plan for the addition of an operation with these settings, and with settings of its path item.
fn added_at(gateway: &str, (path, of_path): (&str, &str), settings: &str) -> Plan {
    let responses = "responses: {\"200\": {description: fine}}";
    let operation = format!(
        "  {path}: {{{of_path}, get: {{operationId: more, security: [{{key: []}}], {responses}, {settings}}}}}\ncomponents:"
    );
    let document = edit(DOCUMENT, "components:", &operation);
    plan((gateway, DOCUMENT), (gateway, &document))
}

/// URL of the example request of each line about the new operation, or the reason for its absence.
fn examples(plan: &Plan) -> Vec<String> {
    assert_eq!(plan.bugs, Vec::<String>::new());
    let shown = plan.changes.iter().map(|change| {
        let example = change.witness.as_ref().map(|witness| witness.url.clone());
        let example = example.or(change.why_none.map(str::to_owned));
        format!("{} {}", change.id, example.unwrap_or_default())
    });
    shown.collect()
}

fn listener(settings: &str) -> String {
    let listener = format!("listeners: {{public: {{address: \"127.0.0.1:8080\", {settings}}}}}\n");
    edit(GATEWAY, "auth:", &format!("{listener}auth:"))
}

#[test]
fn operation_that_a_limit_refuses_has_no_example() {
    let why = "another policy refuses each example request";
    let expected = [
        format!("operation-exposed {why}"),
        format!("operation-added {why}"),
    ];
    let costly = added(GATEWAY, "/more", "x-gateway: {cost: 6}");
    assert_eq!(examples(&costly), expected);
    // Five tokens are enough for one request.
    let cheap = added(GATEWAY, "/more", "x-gateway: {cost: 5}");
    let url = "http://gateway/more";
    let shown = [
        format!("operation-exposed {url}"),
        format!("operation-added {url}"),
    ];
    assert_eq!(examples(&cheap), shown);
}

#[test]
fn request_too_large_for_its_listener_is_no_example() {
    let why = "no request is handled differently because of the change";
    let expected = [
        format!("operation-exposed {why}"),
        format!("operation-added {why}"),
    ];
    let fields = listener("limits: {headers: 1}");
    assert_eq!(examples(&added(&fields, "/more", "summary: s")), expected);
}

/// A listener that merges slashes never matches a template with an empty segment before another
/// segment.
#[test]
fn listener_that_merges_slashes_is_compared() {
    let parameter = "parameters: [{name: x, in: path, required: true, schema: {type: string}}]";
    for path in ["/b//{x}", "\"/{x}//\"", "//{x}"] {
        // The plan reports the operation, because clients see it in the document.
        let merging = added(&listener("merge_slashes: true"), path, parameter);
        assert_eq!(examples(&merging), ["operation-added "], "{path}");
        let keeping = added(&listener("merge_slashes: false"), path, parameter);
        assert!(examples(&keeping)[0].contains("http://gateway/"), "{path}");
    }
    let merging = added(&listener("merge_slashes: true"), "/b/{x}/", parameter);
    assert!(examples(&merging)[0].ends_with("http://gateway/b/0/"));
    // Only one version merges slashes.
    let (off, on) = (
        listener("merge_slashes: false"),
        listener("merge_slashes: true"),
    );
    let document = edit(
        DOCUMENT,
        "components:",
        "  //more: {get: {operationId: more, responses: {\"200\": {description: fine}}}}\ncomponents:",
    );
    for (old, new) in [(&off, &on), (&on, &off)] {
        let plan = plan((old, &document), (new, &document));
        assert_eq!(plan.bugs, Vec::<String>::new());
        assert!(!plan.no_op);
    }
}

#[test]
fn folded_paths_with_escapes_have_examples() {
    let parameter = "parameters: [{name: x, in: path, required: true, schema: {type: string}}]";
    for (path, parameters, url) in [
        ("/Caf\u{e9}", "summary: s", "caf%C3%A9"),
        ("/a%2Db%20c", "summary: s", "a-b%20c"),
        ("\"/%E9{x}\u{e9}B\"", parameter, "%E90%C3%A9b"),
    ] {
        let folded = (path, "x-gateway: {case_insensitive: true}");
        let found = examples(&added_at(GATEWAY, folded, parameters));
        assert_eq!(found[0], format!("operation-exposed http://gateway/{url}"));
    }
}
