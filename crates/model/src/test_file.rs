//! Tests of a project: requests with their expected decisions, from the files that `tests` in
//! gateway.yaml lists.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use bundle::digest::Digest;
use bundle::moment::Moment;
use diag::shape::{self, BAD_VALUE};
use diag::{Diagnostic, NodeRef, Sink, Span, Spanned};
use serde_json::{Value, json};

use openapi::strip::write;
use sources::project::files::Files;
use vocab::test_file::TESTS;

/// Maximum number of tests of one file.
const TESTS_MAX: usize = 100_000;

/// Maximum size of the body of a test, in bytes.
const BODY_BYTES_MAX: usize = 1 << 20;

/// Length of the digest of a check in hexadecimal digits: 128 bits, so that no two checks have the
/// same digest.
const CHECK_DIGITS: usize = 32;

/// Tests of a project, and the files from which they come.
#[derive(Clone, Debug, Default)]
pub struct Tests {
    /// Patterns of the files, from gateway.yaml.
    pub patterns: Vec<Spanned<String>>,
    /// Files that match, with the source locations of their patterns.
    pub files: Vec<Spanned<String>>,
    /// Tests of these files.
    pub cases: Vec<TestCase>,
}

/// Test: one or more requests with the same expectation.
#[derive(Clone, Debug)]
pub struct TestCase {
    /// Name of the test, unique in its file.
    pub name: Spanned<String>,
    /// Path of the file, relative to the project.
    pub file: String,
    /// Requests, each as text: method, space, URL.
    pub requests: Vec<Spanned<String>>,
    /// Header fields of each request: name and value.
    pub headers: Vec<(String, String)>,
    /// Body of each request. `None`: the body is unknown.
    pub body: Option<TestBody>,
    /// Credentials: name of the scheme, and true if its verifier accepts the credential.
    pub credentials: Vec<(Spanned<String>, bool)>,
    /// Consumer that owns the valid credentials. `None`: a consumer that gateway.yaml does not
    /// define, without groups.
    pub consumer: Option<Spanned<String>>,
    /// Address of the sender. `None`: an address that is in no configured list.
    pub peer: Option<IpAddr>,
    /// Listener that receives the requests. `None`: the listener that matches the URL.
    pub listener: Option<Spanned<String>>,
    /// Time of the requests. `None`: the time at which the test runs.
    pub at: Option<Moment>,
    /// Assumed answers of other services: name of the policy or verifier that calls the service,
    /// and the answer.
    pub assume: Vec<(Spanned<String>, String)>,
    /// Expected decision, never empty.
    pub expect: Vec<Spanned<Expected>>,
    /// True if the test is made from the examples of a document.
    pub is_example: bool,
}

/// Body of the requests of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestBody {
    /// Text of the body. Empty: the requests have no body.
    pub text: String,
    /// True if the text is a JSON value of the test file. The requests then have the media type
    /// `application/json`, unless `headers` has another one.
    pub is_json: bool,
}

/// Expected property of a decision. In strings, `*` stands for any text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Outcome: one of [`vocab::test_file::DECISIONS`].
    Decision(String),
    /// Status of the gateway's own response.
    Status(u16),
    /// Reason of the refusal.
    Reason(String),
    /// Key of the operation.
    Operation(String),
    /// Name of the mount.
    Mount(String),
    /// Name of the consumer.
    Consumer(String),
    /// Names of the policies that ran.
    Policies(Vec<String>),
    /// Name of the upstream.
    Upstream(String),
    /// URL of the request that the upstream receives.
    Url(String),
    /// Value of a field that the upstream receives. `None`: the upstream does not receive the
    /// field.
    Sent(String, Option<String>),
    /// Value of a field of the gateway's own response. `None`: the response does not have the
    /// field.
    Response(String, Option<String>),
    /// The request reaches the upstream: `sent` without any field.
    AnySent,
    /// The gateway itself responds: `response` without any field.
    AnyResponse,
    /// No check against the API description refuses the body. Only tests that are made of examples
    /// expect it.
    ValidBody,
}

impl Tests {
    /// Creates the tests of a project whose files are not read yet.
    pub(crate) fn named(patterns: Vec<Spanned<String>>) -> Self {
        Self {
            patterns,
            ..Self::default()
        }
    }
}

impl TestCase {
    /// Digests of the checks of this test. A check is one request with one expected property. The
    /// name and the file of the test, and the order of keys, have no effect.
    pub(crate) fn checks(&self) -> BTreeSet<String> {
        let headers = self.headers.iter();
        let headers: BTreeMap<String, &str> = headers
            .map(|(name, value)| (name.to_ascii_lowercase(), value.as_str()))
            .collect();
        let credentials = self.credentials.iter();
        let credentials: BTreeMap<&str, bool> = credentials
            .map(|(scheme, is_valid)| (scheme.value.as_str(), *is_valid))
            .collect();
        let assume = self.assume.iter();
        let assume: BTreeMap<&str, &str> = assume
            .map(|(name, reply)| (name.value.as_str(), reply.as_str()))
            .collect();
        let mut context = vec![
            json!(headers),
            json!(credentials),
            json!(assume),
            json!(self.consumer.as_ref().map(|consumer| &consumer.value)),
            json!(self.peer.map(|peer| peer.to_string())),
            json!(self.listener.as_ref().map(|listener| &listener.value)),
            json!(self.at.map(|at| at.to_string())),
        ];
        let body = self.body.as_ref();
        context.extend(body.map(|body| json!([body.text, body.is_json])));
        let context = Value::from(context);
        // A check is the list of the context, the request and the expected property. The context
        // can be large, and a test can have thousands of checks.
        let checks = self.requests.iter().flat_map(|request| {
            let request = json!(request.value);
            let expected = self.expect.iter();
            expected.map(move |expected| format!("{request},{}]", expected.value.to_json()))
        });
        let start = format!("[{context},");
        let hex = Digest::of_each(start.as_bytes(), checks).map(|digest| {
            let mut digest = digest.hex();
            digest.truncate(CHECK_DIGITS);
            digest
        });
        hex.collect()
    }
}

impl Expected {
    /// Name and value of the property, as in a test file.
    fn to_json(&self) -> Value {
        match self {
            Self::Decision(text) => json!(["decision", text]),
            Self::Status(status) => json!(["status", status]),
            Self::Reason(text) => json!(["reason", text]),
            Self::Operation(text) => json!(["operation", text]),
            Self::Mount(text) => json!(["mount", text]),
            Self::Consumer(text) => json!(["consumer", text]),
            Self::Policies(names) => json!(["policies", names]),
            Self::Upstream(text) => json!(["upstream", text]),
            Self::Url(text) => json!(["sent.url", text]),
            Self::Sent(name, value) => json!(["sent", name, value]),
            Self::Response(name, value) => json!(["response", name, value]),
            Self::AnySent => json!(["sent"]),
            Self::AnyResponse => json!(["response"]),
            Self::ValidBody => json!(["body"]),
        }
    }
}

/// Reads a test file. Tests with mistakes are reported and left out.
pub fn read_file(files: &mut Files, named: (&str, Span), sink: &mut Sink) -> Vec<TestCase> {
    let Some((_, root)) = files.load(named.0, named.1, sink) else {
        return Vec::new();
    };
    let root = files.tree.at(root);
    // A null root is a file without tests.
    if root.is_null() || !shape::check(root, &TESTS, sink) && !root.is_list() {
        return Vec::new();
    }
    if let Some(more) = root.items().nth(TESTS_MAX) {
        let message = format!("a test file has at most {TESTS_MAX} tests");
        sink.push(
            Diagnostic::new(&BAD_VALUE, more.span(), message).help("split it into several files"),
        );
    }
    let mut names: BTreeMap<String, Span> = BTreeMap::new();
    let mut read = Vec::new();
    for node in root.items().take(TESTS_MAX) {
        let Some(case) = test(named.0, node, sink) else {
            continue;
        };
        if let Some(first) = names.get(&case.name.value) {
            let message = "two tests of this file have the same name";
            sink.push(
                Diagnostic::new(&BAD_VALUE, case.name.span, message)
                    .related(*first, "the other one is here")
                    .help("reports identify a test by its name: give each its own"),
            );
            continue;
        }
        names.insert(case.name.value.clone(), case.name.span);
        read.push(case);
    }
    read
}

/// Reads one test. `None` if the test has a mistake, which is reported.
fn test(file: &str, node: NodeRef<'_>, sink: &mut Sink) -> Option<TestCase> {
    if !shape::fits(node, item_shape()) {
        return None;
    }
    let request = node.get("request")?;
    let requests = match request.is_list() {
        true => request.items().filter_map(text).collect(),
        false => text(request).into_iter().collect(),
    };
    let credentials = pairs(node.get("credentials"));
    let credentials = credentials.map(|(scheme, state)| (scheme, state == "valid"));
    let body = match node.get("body") {
        Some(value) => Some(body(value, sink)?),
        None => None,
    };
    Some(TestCase {
        name: text(node.get("name")?)?,
        file: file.to_owned(),
        requests,
        headers: pairs(node.get("headers"))
            .map(|(name, value)| (name.value, value))
            .collect(),
        body,
        credentials: credentials.collect(),
        consumer: node.get("consumer").and_then(text),
        peer: node
            .get("peer")
            .and_then(NodeRef::scalar_text)
            .and_then(|text| text.parse().ok()),
        listener: node.get("listener").and_then(text),
        at: node
            .get("at")
            .and_then(NodeRef::scalar_text)
            .and_then(|text| text.parse().ok()),
        assume: pairs(node.get("assume")).collect(),
        expect: node.get("expect").map(expected).unwrap_or_default(),
        is_example: false,
    })
}

/// Reads `body`. `None` if it is too large, which is reported.
fn body(value: NodeRef<'_>, sink: &mut Sink) -> Option<TestBody> {
    let text = match value.as_str() {
        Some(text) => (text.len() <= BODY_BYTES_MAX).then(|| text.to_owned()),
        None => write::json_line(value, BODY_BYTES_MAX),
    };
    if text.is_none() {
        let message = format!("the body of a test has at most {BODY_BYTES_MAX} bytes");
        sink.push(
            Diagnostic::new(&BAD_VALUE, value.span(), message)
                .help("write a shorter body, or assume the result of `validate`"),
        );
    }
    Some(TestBody {
        text: text?,
        is_json: value.as_str().is_none(),
    })
}

/// Shape of one test.
fn item_shape() -> &'static shape::Shape {
    match &TESTS {
        shape::Shape::List(item) => item,
        other => other,
    }
}

/// Reads `expect`.
fn expected(node: NodeRef<'_>) -> Vec<Spanned<Expected>> {
    let mut all = Vec::new();
    let mut add = |value: Expected, span: Span| all.push(Spanned::new(value, span));
    for (key, make) in [
        ("decision", Expected::Decision as fn(String) -> Expected),
        ("reason", Expected::Reason),
        ("operation", Expected::Operation),
        ("mount", Expected::Mount),
        ("consumer", Expected::Consumer),
        ("upstream", Expected::Upstream),
    ] {
        if let Some(text) = node.get(key).and_then(text) {
            add(make(text.value), text.span);
        }
    }
    if let Some(status) = node.get("status") {
        let number = status.scalar_text().and_then(|text| text.parse().ok());
        number
            .into_iter()
            .for_each(|number| add(Expected::Status(number), status.span()));
    }
    if let Some(policies) = node.get("policies") {
        let names = policies.items().filter_map(NodeRef::scalar_text);
        add(
            Expected::Policies(names.map(str::to_owned).collect()),
            policies.span(),
        );
    }
    if let Some(url) = node
        .get("sent")
        .and_then(|sent| sent.get("url"))
        .and_then(text)
    {
        add(Expected::Url(url.value), url.span);
    }
    for (key, make, any) in [
        (
            "sent",
            Expected::Sent as fn(String, Option<String>) -> Expected,
            Expected::AnySent,
        ),
        ("response", Expected::Response, Expected::AnyResponse),
    ] {
        let Some(message) = node.get(key) else {
            continue;
        };
        // `headers: {}` and `without: []` name no field. They require only that the message exists.
        let mut names_nothing = message.get("url").is_none();
        for (name, value) in pairs(message.get("headers")) {
            names_nothing = false;
            add(
                make(name.value.to_ascii_lowercase(), Some(value)),
                name.span,
            );
        }
        let without = message.get("without").into_iter().flat_map(NodeRef::items);
        for name in without.filter_map(text) {
            names_nothing = false;
            add(make(name.value.to_ascii_lowercase(), None), name.span);
        }
        if names_nothing {
            add(any, message.span());
        }
    }
    all
}

fn text(node: NodeRef<'_>) -> Option<Spanned<String>> {
    Some(Spanned::new(node.scalar_text()?.to_owned(), node.span()))
}

/// Entries of a map of strings, with the source locations of their keys.
fn pairs(node: Option<NodeRef<'_>>) -> impl Iterator<Item = (Spanned<String>, String)> {
    let entries: Vec<_> = node
        .into_iter()
        .flat_map(NodeRef::entries)
        .filter_map(|(entry, value)| {
            let key = Spanned::new(entry.key.to_string(), entry.key_span);
            Some((key, value.scalar_text()?.to_owned()))
        })
        .collect();
    entries.into_iter()
}
