//! Tables for the findings about limits and schemas that contradict each other: `cost-above-limit`,
//! `quota-below-rate` and `max-body-below-schema`.

use model::compile;
use sources::project::files::Files;
use sources::syntax::Limits;

/// Names of the findings about conflicts, for these policies in the order of the chain, these
/// further defaults, and this content of the only operation.
fn findings(policies: &[&str], defaults: &str, operation: &str) -> Vec<&'static str> {
    let names = ["p0", "p1", "p2"];
    let chain = names[..policies.len()].join(", ");
    let listed = names.iter().zip(policies);
    let listed: Vec<String> = listed
        .map(|(name, policy)| format!("{name}: {policy}"))
        .collect();
    let gateway = format!(
        "version: 1\nname: s\napis: {{a: {{path: api.yaml}}}}\n\
         upstreams: {{u: {{targets: {{a: {{url: \"http://127.0.0.1:9000\"}}}}}}}}\n\
         defaults: {{upstream: u, security: upstream, policies: [{chain}]{defaults}}}\n\
         policies: {{{}}}\n",
        listed.join(", ")
    );
    let document = format!(
        "openapi: 3.1.0\ninfo: {{title: t, version: \"1\"}}\n\
         paths: {{/a: {{post: {{{operation}responses: {{\"200\": {{description: fine}}}}}}}}}}\n"
    );
    let files = [("gateway.yaml", &*gateway), ("api.yaml", &*document)];
    let compiled = compile::project(Files::in_memory(files, Limits::default()), &Vec::new());
    let all = compiled.findings.iter().map(|finding| finding.lint);
    let errors = compiled
        .findings
        .iter()
        .filter(|one| one.level == diag::Level::Error);
    let errors: Vec<&str> = errors.map(|one| &*one.message).collect();
    assert!(errors.is_empty(), "{gateway}{document}: {errors:?}");
    let conflicts = [
        "cost-above-limit",
        "quota-below-rate",
        "max-body-below-schema",
    ];
    all.map(|lint| lint.name)
        .filter(|name| conflicts.contains(name))
        .collect()
}

#[test]
fn costs_are_compared_with_the_capacity() {
    let rate = "{kind: rate_limit, limit: 10/s, burst: 20, key: address}";
    let window = "{kind: rate_limit, limit: 10/s, algorithm: sliding_window, key: address}";
    let leaky = "{kind: rate_limit, limit: 10/s, algorithm: leaky, key: address}";
    let quota = "{kind: quota, limit: 10, period: day, key: address}";
    for (policies, cost, expected) in [
        (&[rate][..], 20, 0),
        (&[rate], 21, 1),
        (&[window], 10, 0),
        (&[window], 11, 1),
        // A leaky bucket admits one token at a time.
        (&[leaky], 1, 0),
        (&[leaky], 2, 1),
        (&[quota], 10, 0),
        (&[quota], 11, 1),
        // Each limit has a finding of its own.
        (&[rate, window], 15, 1),
        (&[rate, window], 25, 2),
    ] {
        let operation = format!("x-gateway: {{cost: {cost}}}, ");
        let found = findings(policies, "", &operation);
        assert_eq!(
            found,
            vec!["cost-above-limit"; expected],
            "{policies:?} {cost}"
        );
    }
    for (cost, expected) in [
        ("cost", 0),
        ("cost / 2", 0),
        ("20", 0),
        ("21", 1),
        ("19 + cost", 0),
        ("20 + cost", 1),
        ("request.method == 'GET' ? 30 : 20", 0),
        ("request.method == 'GET' ? 30 : 21", 1),
    ] {
        let limit =
            format!("{{kind: rate_limit, limit: 10/s, burst: 20, key: address, cost: \"{cost}\"}}");
        let found = findings(&[&limit], "", "x-gateway: {cost: 50}, ");
        assert_eq!(found, vec!["cost-above-limit"; expected], "{cost}");
    }
}

#[test]
fn quotas_are_compared_with_rates_of_their_key() {
    let rate = "{kind: rate_limit, limit: 100/s, burst: 50, key: address}";
    let slow = "{kind: rate_limit, limit: 5/h, burst: 50, key: address}";
    let quota = |text: &str| format!("{{kind: quota, key: address, {text}}}");
    for (first, second, is_hidden) in [
        // The quota is used up before the bucket is empty.
        (quota("limit: 5, period: day"), rate.to_owned(), true),
        (quota("limit: 50, period: day"), rate.to_owned(), true),
        (quota("limit: 51, period: day"), rate.to_owned(), false),
        (quota("limit: 50, window: 1h"), rate.to_owned(), true),
        // The order of the two limits does not matter.
        (rate.to_owned(), quota("limit: 5, period: day"), true),
        // The bucket is refilled slower than the quota: 48 requests of a second hour are refused
        // by the rate limit.
        (quota("limit: 50, window: 1h"), slow.to_owned(), false),
        (quota("limit: 5, window: 1h"), slow.to_owned(), true),
        // A sliding window admits `limit` requests at once.
        (
            quota("limit: 10, period: day"),
            "{kind: rate_limit, limit: 10/s, algorithm: sliding_window, key: address}".to_owned(),
            true,
        ),
        (
            quota("limit: 11, period: day"),
            "{kind: rate_limit, limit: 10/s, algorithm: sliding_window, key: address}".to_owned(),
            false,
        ),
        // Limits that only log, and limits of other requests.
        (
            quota("limit: 5, period: day, mode: log"),
            rate.to_owned(),
            false,
        ),
        (
            quota("limit: 5, period: day"),
            "{kind: rate_limit, limit: 100/s, key: address, mode: log}".to_owned(),
            false,
        ),
        (
            quota("limit: 5, period: day"),
            "{kind: rate_limit, limit: 100/s, key: [\"header:X-Team\"]}".to_owned(),
            false,
        ),
        (
            quota("limit: 5, period: day, cost: \"1\""),
            rate.to_owned(),
            false,
        ),
    ] {
        let found = findings(&[&first, &second], "", "");
        let expected = vec!["quota-below-rate"; usize::from(is_hidden)];
        assert_eq!(found, expected, "{first} {second}");
    }
}

#[test]
fn body_limits_are_compared_with_schemas() {
    for (schema, least) in [
        // `"` and at least 36 bytes of UTF-8.
        ("{type: string, minLength: 36}", 38),
        ("{type: [string, 'null'], minLength: 36}", 4),
        ("{enum: [north, south-east]}", 7),
        ("{const: true}", 4),
        ("{type: array, minItems: 3, items: {type: boolean}}", 16),
        ("{type: array, minItems: 3}", 7),
        // `{"id":0}`
        (
            "{type: object, required: [id], properties: {id: {type: integer}}}",
            8,
        ),
        // A request need not have a read-only member.
        (
            "{type: object, required: [id], properties: {id: {type: integer, readOnly: true}}}",
            2,
        ),
        ("{type: object, minProperties: 2}", 11),
        (
            "{allOf: [{type: string, minLength: 3}, {minLength: 9, type: string}]}",
            11,
        ),
        (
            "{anyOf: [{type: string, minLength: 30}, {type: integer}]}",
            1,
        ),
        ("{pattern: '^a{50}$', type: string}", 2),
    ] {
        let body =
            |name: &str| format!("requestBody: {{content: {{{name}: {{schema: {schema}}}}}}}, ");
        for (max_body, is_reported) in [(least - 1, true), (least, false)] {
            let defaults = format!(", max_body: {max_body}B");
            if max_body == 0 {
                continue;
            }
            let found = findings(&[], &defaults, &body("application/json"));
            let expected = vec!["max-body-below-schema"; usize::from(is_reported)];
            assert_eq!(found, expected, "{schema} {max_body}");
            let found = findings(&[], &defaults, &body("application/merge-patch+json"));
            assert_eq!(found, expected, "{schema} {max_body}");
        }
        // Other media types are not compared.
        let found = findings(&[], ", max_body: 1B", &body("application/xml"));
        assert_eq!(found, [""; 0], "{schema}");
    }
}
