//! Tests from the examples in documents: for each operation a request with the example values of
//! its parameters. The test expects that the operation receives the request.

use std::fmt::Write as _;

use bundle::ir::{Condition, Mount};
use diag::{NodeRef, Spanned};
use openapi::spec::reference::Resolver;
use openapi::spec::schema::pattern::{self, Pattern};
use openapi::spec::{In, Parameter};
use policy::conditions::Test;
use sources::project::files::Files;

use crate::test_file::{Expected, TestCase};
use crate::{Api, Model, Operation};

/// Maximum number of example requests of one operation at one mount.
const EXAMPLES_MAX: usize = 16;

/// Values that patterns of identifiers often match.
const VALUES: [&str; 8] = [
    "1",
    "x",
    "X",
    "abc",
    "a1",
    "ABC123",
    "12345678901234567890",
    "00000000-0000-4000-8000-000000000000",
];

/// Values of an operation's parameters that belong to one named example.
struct Example<'a> {
    /// Name under `examples`. Empty: `example`, or values that the schema suggests.
    name: String,
    values: Vec<(&'a Parameter, String)>,
}

/// Tests for all served operations of a project. The second value is the number of operations
/// without a test: a path parameter has no example, and its schema suggests no value.
#[must_use]
pub fn cases(model: &Model, files: &Files) -> (Vec<TestCase>, usize) {
    let (mut cases, mut left) = (Vec::new(), 0);
    for api in &model.apis {
        let resolver = Resolver::new(files, &api.document);
        for operation in api.operations.iter().filter(|one| !one.internal) {
            let examples = examples(api, operation, &resolver);
            if examples.is_empty() {
                left += 1;
            }
            for mount in &api.mounts {
                for example in &examples {
                    let file = files.sources.file(operation.span.file).path();
                    cases.push(case((operation, file), &mount.value, example));
                }
            }
        }
    }
    (cases, left)
}

/// Examples of an operation. Empty if a path parameter has no value.
fn examples<'a>(api: &'a Api, operation: &Operation, resolver: &Resolver<'a>) -> Vec<Example<'a>> {
    let items = api.spec.paths.iter();
    let mut described = items.flat_map(|item| &item.operations);
    let Some(described) = described.find(|one| one.key_span == operation.span) else {
        return Vec::new();
    };
    let mut names: Vec<String> = Vec::new();
    for parameter in &described.parameters {
        let node = resolver.node(parameter.node);
        let named = node.get("examples").filter(|examples| examples.is_map());
        for (entry, _) in named.into_iter().flat_map(NodeRef::entries) {
            let name = entry.key.to_string();
            if !names.contains(&name) && names.len() < EXAMPLES_MAX {
                names.push(name);
            }
        }
    }
    if names.is_empty() {
        names.push(String::new());
    }
    let all = names.into_iter().map(|name| {
        let mut values = Vec::new();
        for parameter in &described.parameters {
            let needed = parameter.required || parameter.place == In::Path;
            match value(parameter, &name, resolver).filter(|value| !value.is_empty()) {
                Some(value) => values.push((parameter, value)),
                None if needed && parameter.place == In::Path => return None,
                None => {}
            }
        }
        Some(Example { name, values })
    });
    all.collect::<Option<Vec<_>>>().unwrap_or_default()
}

/// Example value of a parameter: the value of the named example, otherwise `example`, otherwise the
/// first of `examples`, otherwise a value that the schema suggests.
fn value<'a>(parameter: &Parameter, name: &str, resolver: &Resolver<'a>) -> Option<String> {
    let node = resolver.node(parameter.node);
    let examples = node.get("examples").filter(|examples| examples.is_map());
    let content = |example: NodeRef<'a>| resolver.resolve(example)?.get("value").and_then(text);
    let named = examples.and_then(|examples| content(examples.get(name)?));
    let first = || {
        examples?
            .entries()
            .find_map(|(_, example)| content(example))
    };
    named
        .or_else(|| node.get("example").and_then(text))
        .or_else(first)
        .or_else(|| {
            let schema = resolver.resolve(resolver.node(parameter.schema?))?;
            suggested(schema)
        })
}

/// Value that a schema suggests: an example, the default, a fixed value, or a small value of its
/// type and format.
fn suggested(schema: NodeRef<'_>) -> Option<String> {
    let first = |key: &str| schema.get(key)?.items().find_map(text);
    let own = schema.get("example").and_then(text);
    let own = own.or_else(|| first("examples"));
    let own = own.or_else(|| schema.get("default").and_then(text));
    let own = own.or_else(|| schema.get("const").and_then(text));
    let own = own.or_else(|| first("enum"));
    own.or_else(|| {
        let word = |key: &str| schema.get(key).and_then(NodeRef::as_str);
        let of_type = |name: &str| {
            let listed = schema.get("type").into_iter().flat_map(NodeRef::items);
            word("type") == Some(name) || listed.filter_map(NodeRef::as_str).any(|one| one == name)
        };
        if let Some(pattern) = word("pattern") {
            return of_pattern(pattern);
        }
        let value = match word("format") {
            Some("uuid") => "00000000-0000-4000-8000-000000000000",
            Some("date") => "2026-01-01",
            Some("date-time") => "2026-01-01T00:00:00Z",
            Some("email") => "ann@example.org",
            _ if of_type("integer") || of_type("number") => "1",
            _ if of_type("boolean") => "true",
            _ if of_type("string") => "x",
            _ => return None,
        };
        Some(value.to_owned())
    })
}

/// First of [`VALUES`] that matches a pattern.
fn of_pattern(text: &str) -> Option<String> {
    let Pattern::Runs(regex) = pattern::read(text) else {
        return None;
    };
    let mut found = VALUES.into_iter().filter(|value| regex.is_match(value));
    found.next().map(str::to_owned)
}

/// Scalar as a string, or the scalars of a list separated by commas (`style: simple`, and `form`
/// without `explode`).
fn text(node: NodeRef<'_>) -> Option<String> {
    if node.is_list() {
        let parts: Option<Vec<&str>> = node.items().map(NodeRef::scalar_text).collect();
        return Some(parts?.join(","));
    }
    node.scalar_text().map(str::to_owned)
}

/// Builds the test of one example at one mount.
fn case((operation, file): (&Operation, &str), mount: &Mount, example: &Example<'_>) -> TestCase {
    let mut path = format!("{}{}", mount.base_path, operation.template);
    let mut query = Vec::new();
    let mut headers = Vec::new();
    let mut cookies = Vec::new();
    for (parameter, value) in &example.values {
        let name = &parameter.name.value;
        match parameter.place {
            In::Path => path = path.replace(&format!("{{{name}}}"), &escaped(value)),
            In::Query => query.push(format!("{}={}", escaped(name), escaped(value))),
            In::Header => headers.push((name.clone(), value.clone())),
            In::Cookie => cookies.push(format!("{name}={value}")),
            In::Querystring => query.push(value.clone()),
        }
    }
    for condition in &operation.conditions {
        let value = |test: &Test| match test {
            Test::Exact(text) | Test::Prefix(text) => text.clone(),
            Test::Present => "x".to_owned(),
        };
        match condition {
            Condition::Header(name, test) => {
                headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
                headers.push((name.clone(), value(test)));
            }
            Condition::Query(name, test) => {
                query.retain(|one| one.split('=').next() != Some(name.as_str()));
                query.push(format!("{}={}", escaped(name), escaped(&value(test))));
            }
        }
    }
    if !cookies.is_empty() {
        headers.push(("cookie".to_owned(), cookies.join("; ")));
    }
    if path.is_empty() {
        path.push('/');
    }
    if !query.is_empty() {
        let _ = write!(path, "?{}", query.join("&"));
    }
    if let Some(host) = mount.hosts.first() {
        headers.push(("host".to_owned(), host.replace("*.", "a.")));
    }
    let name = match example.name.as_str() {
        "" => format!("{} at {}", operation.key, mount.name),
        name => format!("{} at {}: {name}", operation.key, mount.name),
    };
    let at = |text: String| Spanned::new(text, operation.span);
    TestCase {
        name: at(name),
        file: file.to_owned(),
        requests: vec![at(format!("{} {path}", operation.method))],
        headers,
        credentials: Vec::new(),
        consumer: None,
        peer: None,
        listener: mount.listeners.first().cloned().map(at),
        at: None,
        assume: Vec::new(),
        expect: vec![Spanned::new(
            Expected::Operation(operation.key.clone()),
            operation.span,
        )],
    }
}

/// Percent-encodes all bytes except unreserved characters (RFC 3986 §2.3).
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            // Writing into a string cannot fail.
            other => drop(write!(out, "%{other:02X}")),
        }
    }
    out
}
