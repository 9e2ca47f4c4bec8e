//! Tests from the examples in documents: for each operation a request with the example values of
//! its parameters, and one with each example of its body. The test expects that the operation
//! receives the request, and that no check against the description refuses the body.

mod body;

use std::fmt::Write as _;

use bundle::ir::{self, Condition, Mount};
use diag::{NodeRef, Spanned};
use openapi::spec::reference::Resolver;
use openapi::spec::schema::pattern::{self, Pattern};
use openapi::spec::{In, Parameter};
use policy::auth::Place;
use policy::conditions::Test;
use sources::project::files::Files;

use self::body::BodyExample;
use crate::test_file::{Expected, TestBody, TestCase};
use crate::{Api, Model, Operation};
use validator::escaped;

/// Field with the media type of a body.
const CONTENT_TYPE: &str = "content-type";

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

/// Values of an operation's parameters that belong to one named example, with an example of its
/// body.
struct Example<'a> {
    /// Name under `examples`. Empty: `example`, or values that the schema suggests.
    name: String,
    values: Vec<(&'a Parameter, String)>,
    /// `None`: the body has no example.
    body: Option<BodyExample>,
}

/// Tests from the examples of all served operations of a project.
#[derive(Debug, Default)]
pub struct ExampleTests {
    /// The tests.
    pub cases: Vec<TestCase>,
    /// Number of operations without a test: a path parameter has no example, and its schema suggests
    /// no value.
    pub untested: usize,
    /// Examples that no test sends, each with its operation and the reason.
    pub unsent: Vec<String>,
}

/// Makes the tests of a project.
#[must_use]
pub fn cases(model: &Model, files: &Files) -> ExampleTests {
    let mut tests = ExampleTests::default();
    for api in &model.apis {
        let resolver = Resolver::new(files, &api.document);
        for operation in api.operations.iter().filter(|one| !one.internal) {
            let examples = examples(api, operation, &resolver, &mut tests.unsent);
            if examples.is_empty() {
                tests.untested += 1;
            }
            for mount in &api.mounts {
                for example in &examples {
                    let file = files.sources.file(operation.span.file).path();
                    let case = case((api, operation, file), &mount.value, example);
                    tests.cases.push(case);
                }
            }
        }
    }
    tests
}

/// Examples of an operation that give each path parameter a value. Adds the others, and examples of
/// bodies that gwc cannot serialise, to `unsent`.
fn examples<'a>(
    api: &'a Api,
    operation: &Operation,
    resolver: &Resolver<'a>,
    unsent: &mut Vec<String>,
) -> Vec<Example<'a>> {
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
    let bodies = body::all(described, resolver);
    let key = operation.key.escape_debug();
    unsent.extend(bodies.unsent.iter().map(|body| {
        format!(
            "`{key}`: gwc cannot serialise the body {}",
            body.escape_debug()
        )
    }));
    let all = pairs(names, bodies.sent).into_iter().filter_map(|(name, body)| {
        let mut values = Vec::new();
        for parameter in &described.parameters {
            let needed = parameter.required || parameter.place == In::Path;
            match value(parameter, &name, resolver).filter(|value| !value.is_empty()) {
                Some(value) => values.push((parameter, value)),
                None if needed && parameter.place == In::Path => {
                    if !name.is_empty() {
                        let (name, parameter) = (name.escape_debug(), &parameter.name.value);
                        let parameter = parameter.escape_debug();
                        unsent.push(format!(
                            "`{key}`: the example `{name}` has no value for `{parameter}` of the path"
                        ));
                    }
                    return None;
                }
                None => {}
            }
        }
        Some(Example { name, values, body })
    });
    all.collect()
}

/// Names of examples, each with a body: one of the same name, otherwise the first. Then the bodies
/// that belong to no name. `names` are those of parameters. At most [`EXAMPLES_MAX`].
fn pairs(names: Vec<String>, bodies: Vec<BodyExample>) -> Vec<(String, Option<BodyExample>)> {
    let mut pairs = Vec::new();
    let mut used = vec![false; bodies.len()];
    for name in names {
        let all = bodies.iter().enumerate();
        let mut chosen: Vec<usize> = all
            .filter(|(_, body)| body.name == name)
            .map(|(at, _)| at)
            .collect();
        if chosen.is_empty() && !bodies.is_empty() {
            chosen.push(0);
        }
        if chosen.is_empty() {
            pairs.push((name.clone(), None));
        }
        for at in chosen {
            used[at] = true;
            pairs.push((name.clone(), Some(bodies[at].clone())));
        }
    }
    let others = bodies.into_iter().zip(used).filter(|(_, is_used)| !is_used);
    pairs.extend(others.map(|(body, _)| (body.name.clone(), Some(body))));
    if pairs.is_empty() {
        pairs.push((String::new(), None));
    }
    pairs.truncate(EXAMPLES_MAX);
    pairs
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
fn case(
    (api, operation, file): (&Api, &Operation, &str),
    mount: &Mount,
    example: &Example<'_>,
) -> TestCase {
    let credentials = match &example.body {
        Some(_) => schemes(api, operation),
        None => Vec::new(),
    };
    let is_given = |parameter: &Parameter| {
        let carries = |scheme: &&ir::Scheme| carries(&scheme.place, parameter);
        credentials.iter().any(carries)
            || example.body.is_some() && is_field(parameter, CONTENT_TYPE)
    };
    let values = example.values.iter();
    let values = values.filter(|(parameter, _)| !is_given(parameter));
    let (target, mut headers) = head(operation, mount, values);
    let mut name = format!("{} at {}", operation.key, mount.name);
    if !example.name.is_empty() {
        let _ = write!(name, ": {}", example.name);
    }
    if let Some(body) = &example.body {
        let _ = write!(name, " ({})", body.media_type);
        let has_type = |(name, _): &(String, String)| name.eq_ignore_ascii_case(CONTENT_TYPE);
        if !headers.iter().any(has_type) {
            headers.push((CONTENT_TYPE.to_owned(), body.media_type.clone()));
        }
    }
    let at = |text: String| Spanned::new(text, operation.span);
    TestCase {
        name: at(name),
        file: file.to_owned(),
        requests: vec![at(format!("{} {target}", operation.method))],
        headers,
        body: example.body.as_ref().map(|body| TestBody {
            text: body.text.clone(),
            is_json: false,
        }),
        credentials: credentials
            .iter()
            .map(|scheme| (at(scheme.name.clone()), true))
            .collect(),
        consumer: None,
        peer: None,
        listener: mount.listeners.first().cloned().map(at),
        at: None,
        assume: Vec::new(),
        expect: [Expected::Operation(operation.key.clone())]
            .into_iter()
            .chain(example.body.as_ref().map(|_| Expected::ValidBody))
            .map(|expected| Spanned::new(expected, operation.span))
            .collect(),
        is_example: true,
    }
}

/// Target and fields of a request with these values of parameters, as the conditions of the
/// operation require.
fn head<'e>(
    operation: &Operation,
    mount: &Mount,
    values: impl Iterator<Item = &'e (&'e Parameter, String)>,
) -> (String, Vec<(String, String)>) {
    let mut path = format!("{}{}", mount.base_path, operation.template);
    let mut query = Vec::new();
    let mut headers = Vec::new();
    let mut cookies = Vec::new();
    for (parameter, value) in values {
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
    (path, headers)
}

/// Schemes of the first alternative of an operation's security. Their credentials let the request
/// reach the check of its body.
fn schemes<'a>(api: &'a Api, operation: &Operation) -> Vec<&'a ir::Scheme> {
    let first = operation.security.value.0.first();
    let uses = first.into_iter().flat_map(|alternative| &alternative.0);
    uses.filter_map(|one| api.schemes.iter().find(|scheme| scheme.name == one.scheme))
        .collect()
}

/// True if a parameter has the place of a credential.
fn carries(place: &Place, parameter: &Parameter) -> bool {
    let name = &parameter.name.value;
    match place {
        Place::Header(field) => is_field(parameter, field),
        Place::Authorization(_) => is_field(parameter, "authorization"),
        Place::Query(query) => parameter.place == In::Query && name == query,
        Place::Cookie(cookie) => parameter.place == In::Cookie && name == cookie,
        Place::Certificate => false,
    }
}

/// True if a parameter is this header field.
fn is_field(parameter: &Parameter, name: &str) -> bool {
    parameter.place == In::Header && parameter.name.value.eq_ignore_ascii_case(name)
}
