//! Tests of `collectionFormat` in Swagger 2.0: separators that OpenAPI 3.0 cannot express.

use plan::compare;

use crate::meaning::GATEWAY;
use crate::side;

/// Ids and keywords of the lines between two documents that contain a parameter and a header.
fn between(old: (&str, &str), new: (&str, &str)) -> Vec<String> {
    let side = |(parameter, header): (&str, &str)| {
        let document = format!(
            "swagger: '2.0'\ninfo: {{title: t, version: \"1\"}}\npaths: {{/x: {{post: {{operationId: x, parameters: [{{{parameter}}}], responses: {{'200': {{description: d, headers: {{X-L: {{{header}}}}}}}}}}}}}}}\n"
        );
        side(&[("gateway.yaml", GATEWAY), ("api.yaml", &document)])
    };
    let plan = compare(Some(&side(old)), &side(new)).expect("both sides build");
    let line = |change: &plan::Change| {
        format!(
            "{} {} {} {} -> {}",
            change.level(),
            change.id,
            change.subject,
            change.old,
            change.new
        )
    };
    plan.changes.iter().map(line).collect()
}

#[test]
fn separator_of_an_inner_list_is_a_break() {
    let list = |place: &str, inner: &str| {
        format!(
            "name: a, in: {place}, type: array, items: {{type: array, {inner}items: {{type: string}}}}"
        )
    };
    for place in ["query", "header", "formData"] {
        let of = |inner: &str| list(place, inner);
        let (none, csv, pipes, ssv) = (
            of(""),
            of("collectionFormat: csv, "),
            of("collectionFormat: pipes, "),
            of("collectionFormat: ssv, "),
        );
        let between = |old: &str, new: &str| between((old, "type: string"), (new, "type: string"));
        assert_eq!(between(&none, &csv), [""; 0], "{place}");
        assert_eq!(between(&pipes, &pipes), [""; 0], "{place}");
        for (old, new) in [(&none, &pipes), (&csv, &pipes), (&pipes, &ssv)] {
            let found = between(old, new);
            assert!(
                matches!(&found[..], [one] if one.starts_with("error request-serialization-changed")),
                "{place} {found:?}"
            );
        }
    }
    let deep = |format: &str| {
        format!(
            "name: a, in: query, type: array, items: {{type: array, items: {{type: array, collectionFormat: {format}, items: {{type: string}}}}}}"
        )
    };
    let found = between(
        (&deep("ssv"), "type: string"),
        (&deep("tsv"), "type: string"),
    );
    assert_eq!(
        found,
        [
            "error request-serialization-changed query a collectionFormat \"items.items: ssv\" -> \"items.items: tsv\""
        ]
    );
}

#[test]
fn separator_of_a_whole_value_is_a_break() {
    let parameter = "name: a, in: query, type: string";
    let header = |format: &str| format!("type: array, {format}items: {{type: string}}");
    let pipes = header("collectionFormat: pipes, ");
    assert_eq!(
        between((parameter, &header("")), (parameter, &pipes)),
        [
            "error response-serialization-changed response 200 header x-l collectionFormat null -> \"pipes\""
        ]
    );
    let csv = header("collectionFormat: csv, ");
    assert_eq!(
        between((parameter, &header("")), (parameter, &csv)),
        [""; 0]
    );
    let query = |format: &str| {
        format!(
            "name: a, in: query, type: array, collectionFormat: {format}, items: {{type: string}}"
        )
    };
    assert_eq!(
        between((&query("csv"), &csv), (&query("tsv"), &csv)),
        ["error request-serialization-changed query a collectionFormat null -> \"tsv\""]
    );
    // Commas are the default of forms, too.
    let form = |format: &str| query(format).replace("query", "formData");
    let default = form("csv").replace("collectionFormat: csv, ", "");
    assert_eq!(between((&default, &csv), (&form("csv"), &csv)), [""; 0]);
    let found = between((&default, &csv), (&form("multi"), &csv));
    assert!(
        matches!(&found[..], [one] if one.starts_with("error request-serialization-changed")),
        "{found:?}"
    );
    // A single value has no separators.
    let single = |format: &str| format!("name: a, in: header, type: string, {format}");
    assert_eq!(
        between(
            (&single(""), &csv),
            (&single("collectionFormat: tsv"), &csv)
        ),
        [""; 0]
    );
}
