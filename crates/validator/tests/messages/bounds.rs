//! Messages that are built to make their check expensive. Without a limit, such a check would run
//! for hours or overflow the stack.

use super::*;

/// Operation whose body is a recursive search expression: `and` or `or` of expressions, or a field.
/// `alternatives`: the keyword `oneOf` or `anyOf`.
fn expressions(alternatives: &str) -> Operation {
    let list = |name: &str| json!({"required": ["op", "args"], "properties": {"op": {"const": name}, "args": {"type": "array", "items": {"node": 0}}}});
    let nodes = [
        json!({(alternatives): [list("and"), list("or"), {"required": ["field"], "properties": {"field": {"type": "string"}}}]}),
    ];
    let content = json!({"application/json": {"schema": {"node": 0}}});
    operation(&Json::Null, &content, &nodes)
}

/// JSON of `levels` nested `and` expressions around `inner`.
fn nested(levels: usize, inner: &str) -> String {
    let open = r#"{"op": "and", "args": ["#.repeat(levels);
    format!("{open}{inner}{}", "]}".repeat(levels))
}

#[test]
fn recursive_alternatives_are_bounded() {
    for alternatives in ["oneOf", "anyOf"] {
        let operation = expressions(alternatives);
        let faulty = r#"{"field": 1}"#;
        for levels in [0, 1, 5, 8] {
            let valid = nested(levels, r#"{"field": "a"}"#);
            assert_eq!(json_of(&operation, &valid), [""; 0]);
            assert_eq!(json_of(&operation, &nested(levels, faulty)).len(), 1);
        }
        let many = vec![nested(2, r#"{"field": "a"}"#); 10_000].join(",");
        let many = format!(r#"{{"op": "or", "args": [{many}]}}"#);
        assert_eq!(json_of(&operation, &many), [""; 0]);
        for inner in ["{}", faulty] {
            let found = json_of(&operation, &nested(31, inner));
            assert_eq!(found.len(), 1, "{found:?}");
        }
    }
    // A worker of gwd ends the check earlier, and a different thread checks the message.
    let operation = expressions("anyOf");
    let brief = |levels, inner| {
        let body = nested(levels, inner);
        validator::briefly(|| json_of(&operation, &body))
    };
    assert_eq!(brief(1, r#"{"field": "a"}"#), Some(Vec::new()));
    assert_eq!(brief(31, r#"{"field": 1}"#), None);
    // Each message has its own limit of steps, so the next message is checked completely.
    let operation = expressions("oneOf");
    assert_eq!(json_of(&operation, r#"{"field": "a"}"#), [""; 0]);
}

/// Peak of the resident memory of this process, in bytes.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.expect("a number of KiB") * 1024
}

#[test]
fn errors_of_many_alternatives_take_little_memory() {
    let names =
        |at: usize| -> Vec<String> { (0..20).map(|name| format!("n{at}_{name}")).collect() };
    let variants: Vec<Json> = (0..60)
        .map(|at| json!({"type": "object", "required": names(at)}))
        .collect();
    for alternatives in ["oneOf", "anyOf"] {
        let schema = json!({"type": "array", "items": {(alternatives): variants}});
        let before = peak_bytes();
        let found = of_body(&schema, &format!("[{}]", vec!["{}"; 9_900].join(",")));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("body - #"), "{found:?}");
        // The system counts pages of each thread late, so that the peak can seem to fall.
        assert!(peak_bytes().saturating_sub(before) < 200 << 20);
        // gwd describes each error of a small value.
        let found = of_body(&schema, "[{}, {}]");
        assert_eq!(found.len(), 2, "{found:?}");
    }
}

#[test]
fn repeated_schemas_without_recursion_are_bounded() {
    let levels = 24;
    let mut nodes: Vec<Json> = (1..=levels)
        .map(|next| json!({"allOf": [{"node": next}, {"node": next}]}))
        .collect();
    nodes.push(json!({"type": "object", "properties": {"note": {"maxLength": 3}}}));
    let content = json!({"application/json": {"schema": {"node": 0}}});
    let operation = operation(&Json::Null, &content, &nodes);
    let before = (peak_bytes(), std::time::Instant::now());
    for body in [r#"{"note": "too long"}"#, r#"{"note": "a"}"#] {
        assert_eq!(json_of(&operation, body).len(), 1);
    }
    assert!(peak_bytes() - before.0 < 200 << 20);
    assert!(before.1.elapsed().as_secs() < 20);
}

#[test]
fn many_errors_are_one_finding() {
    let schema = json!({"type": "array", "items": {"type": "string"}});
    let list = |count: usize| format!("[{}]", vec!["1"; count].join(","));
    assert_eq!(of_body(&schema, &list(100)).len(), 20);
    assert_eq!(
        of_body(&schema, &list(100_000)),
        ["body - #/0 must be of type string"]
    );
}

#[test]
fn many_fields_of_a_form_are_read_once() {
    let content = json!({"application/x-www-form-urlencoded": {"schema": {"type": "object", "properties": {"n": {"type": "integer"}}}}});
    let operation = operation(&Json::Null, &content, &[]);
    let form = |last: &str| {
        let field = |n| match n % 2 {
            0 => format!("{n:x}=1&"),
            _ => format!("[{n:x}][x].y.{n:x}=1&"),
        };
        let names: String = (0..100_000).map(field).collect();
        read(
            &operation,
            "application/x-www-form-urlencoded",
            format!("{names}{last}").as_bytes(),
        )
    };
    assert_eq!(form("n=1"), [""; 0]);
    assert_eq!(form("n=x"), ["body - #/n must be of type integer"]);
    for name in ["[n".repeat(500_000), "x.[".repeat(300_000)] {
        let body = format!("{name}=1&n=x");
        let found = read(
            &operation,
            "application/x-www-form-urlencoded",
            body.as_bytes(),
        );
        assert_eq!(found.len(), 1);
    }
}

#[test]
fn nested_names_of_fields_are_bounded() {
    let object =
        json!({"type": "object", "properties": {"o": {"type": "object", "properties": {"a": {}}}}});
    let content = json!({"application/x-www-form-urlencoded": {"schema": object}});
    let parameter =
        json!([{"in": "query", "name": "o", "style": "deepObject", "schema": {"type": "object"}}]);
    let operation = operation(&parameter, &content, &[]);
    for (levels, is_valid) in [(1, true), (60, true), (65, false), (20_000, false)] {
        for name in ["[a]", "[]"] {
            let field = format!("o{}=1", name.repeat(levels));
            let found = read(
                &operation,
                "application/x-www-form-urlencoded",
                field.as_bytes(),
            );
            assert_eq!(found.is_empty(), is_valid, "{name} {levels} {found:?}");
            let found = finding_lines(&operation.head(&Head {
                path: "/",
                bound: &[],
                query: Some(&field),
                headers: &HeaderMap::new(),
            }));
            assert_eq!(found.is_empty(), is_valid, "{name} {levels} {found:?}");
        }
    }
}

#[test]
fn recursive_objects_are_compiled_in_bounded_memory() {
    let properties: serde_json::Map<String, Json> = (0..30)
        .map(|n| (format!("p{n}"), json!({"node": 0})))
        .chain([("n".to_owned(), json!({"type": "integer"}))])
        .collect();
    let nodes = [json!({"type": "object", "properties": properties})];
    let content = json!({"application/x-www-form-urlencoded": {"schema": {"node": 0}}});
    let operation = operation(&Json::Null, &content, &nodes);
    for (form, is_valid) in [
        ("n=1", true),
        ("p0[n]=1", true),
        ("n=x", false),
        ("p0[n]=x", false),
    ] {
        let found = read(
            &operation,
            "application/x-www-form-urlencoded",
            form.as_bytes(),
        );
        assert_eq!(found.is_empty(), is_valid, "{form} {found:?}");
    }
}

#[test]
fn small_objects_are_expected_to_take_much_memory() {
    let objects = format!("[{}]", vec![r#"{"a":1}"#; 1_000].join(","));
    let text = format!("\"{}\"", "a".repeat(objects.len() - 2));
    let (of_objects, of_text) = (
        Operation::memory(objects.as_bytes()),
        Operation::memory(text.as_bytes()),
    );
    // Each object counts as a map with capacity for several members.
    assert!(of_objects > 700_000, "{of_objects}");
    assert!(of_text < 3 * text.len() as u64, "{of_text}");
}
