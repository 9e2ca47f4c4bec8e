//! Test files: requests and the decisions that the project expects. `tests` of gateway.yaml names
//! the files, and `gwc test` runs the tests.

use std::net::IpAddr;

use diag::shape::{Field, Form, NameKeys, Object, Rule, Shape};
use policy::forms;

use Field as F;
use NameKeys::Refer;
use Shape::{Either, Integer, Keyed, List, NamePattern, Several, Text, Word};

/// Shape of a test file.
pub static TESTS: Shape = List(&Shape::Object(&TEST));

/// Outcomes of a request, as `gwc route` prints them.
pub const DECISIONS: &[&str] = &["forward", "respond", "reject", "depends", "none"];

/// Answers of other services that a test can assume. The kind of a policy or verifier decides which
/// of these answers it accepts.
pub const ANSWERS: &[&str] = &[
    "allow", "deny", "outage", "valid", "forged", "active", "inactive",
];

static TEST: Object = Object {
    what: "a test",
    rules: &[],
    fields: &[
        F::required(
            "name",
            Shape::Form(&forms::WORDS),
            "Name of the test, unique in its file.",
        ),
        F::required(
            "request",
            Either(&[
                Several(&Shape::Form(&REQUEST_LINE)),
                Shape::Form(&REQUEST_LINE),
            ]),
            "Method and URL of the request, or method and path if the host does not matter. A list: several requests with the same expectation.",
        ),
        F::optional(
            "headers",
            Keyed(&forms::FIELD, &Text),
            "Fields of the request.",
        ),
        F::optional(
            "body",
            Shape::Any,
            "Body of each request: a string that is sent as it is, or another value that is sent as JSON. Default: the body is unknown.",
        ),
        F::optional(
            "credentials",
            Shape::ByName(Refer(&["a security scheme"]), &Word(&["valid", "forged"])),
            "Credentials by the name of their security scheme: one that its verifier accepts, or an unknown one.",
        ),
        F::optional(
            "consumer",
            NamePattern("a consumer"),
            "Consumer that owns the valid credentials. Default: one without groups, claims and plan.",
        ),
        F::optional(
            "peer",
            Shape::Form(&ADDRESS),
            "Address of the sender. Default: `203.0.113.1`.",
        ),
        F::optional(
            "listener",
            NamePattern("a listener"),
            "Listener that receives the request. Default: by the scheme, address and port of the URL.",
        ),
        F::optional(
            "at",
            Shape::Form(&MOMENT),
            "Time of the request. Default: now.",
        ),
        F::optional(
            "assume",
            Shape::ByName(Refer(&["a policy", "a verifier"]), &Word(ANSWERS)),
            "Answers of other services, by the name of the policy or verifier that calls the \
            service. Default: none; the decision is then `depends`.",
        ),
        F::required(
            "expect",
            Shape::Object(&EXPECT),
            "Expected decision; in its strings and names of fields, `*` stands for any text.",
        ),
    ],
};

static EXPECT: Object = Object {
    what: "an expectation",
    rules: &[Rule::AnyOf(&[
        "decision",
        "status",
        "reason",
        "operation",
        "mount",
        "consumer",
        "policies",
        "upstream",
        "sent",
        "response",
    ])],
    fields: &[
        F::optional(
            "decision",
            Word(DECISIONS),
            "Outcome: forwarded to the upstream, answered by the gateway, refused, dependent on the answer of another service, or matched by no operation.",
        ),
        F::optional(
            "status",
            Integer(100, 599),
            "Status of the response that the gateway itself sends.",
        ),
        F::optional(
            "reason",
            Text,
            "Reason of the refusal (`code` of the problem document).",
        ),
        F::optional(
            "operation",
            NamePattern("an operation"),
            "Key of the operation that the request matches, as `gwc route` prints it.",
        ),
        F::optional("mount", NamePattern("a mount"), "Mount of the operation."),
        F::optional(
            "consumer",
            NamePattern("a consumer"),
            "Consumer that the credentials identify.",
        ),
        F::optional(
            "policies",
            List(&NamePattern("a policy")),
            "Policies that ran, in their order, including the one that ended the chain.",
        ),
        F::optional(
            "upstream",
            NamePattern("an upstream"),
            "Upstream that receives the request.",
        ),
        F::optional(
            "sent",
            Shape::Object(&SENT),
            "Request that the upstream receives.",
        ),
        F::optional(
            "response",
            Shape::Object(&RESPONSE),
            "Response that the gateway itself sends.",
        ),
    ],
};

static SENT: Object = Object {
    what: "an expected request of the upstream",
    rules: &[Rule::AnyOf(&["url", "headers", "without"])],
    fields: &[
        F::optional("url", Text, "URL at one of the upstream's targets."),
        F::optional(
            "headers",
            Keyed(&forms::FIELD, &Text),
            "Fields and their values.",
        ),
        F::optional(
            "without",
            List(&Shape::Form(&forms::FIELD)),
            "Fields that the upstream does not receive.",
        ),
    ],
};

static RESPONSE: Object = Object {
    what: "an expected response",
    rules: &[Rule::AnyOf(&["headers", "without"])],
    fields: &[
        F::optional(
            "headers",
            Keyed(&forms::FIELD, &Text),
            "Fields and their values.",
        ),
        F::optional(
            "without",
            List(&Shape::Form(&forms::FIELD)),
            "Fields that the response does not have.",
        ),
    ],
};

/// Method, a space, and a URL or path.
static REQUEST_LINE: Form = Form {
    what: "a method and a URL such as `GET http://api.example.org/orders/7`, or a method and a path",
    pattern: "[!#$%&'*+.^_`|~0-9A-Za-z-]+ +(https?:/)?/[^ ]*",
    fits: |text| {
        let Some((method, url)) = text.split_once(' ') else {
            return false;
        };
        let url = url.trim_start();
        let begins =
            url.starts_with('/') || url.starts_with("http://") || url.starts_with("https://");
        http::Method::from_bytes(method.as_bytes()).is_ok()
            && begins
            && !url.contains(char::is_whitespace)
    },
};

/// IPv4 or IPv6 address.
static ADDRESS: Form = Form {
    what: "an address such as `203.0.113.1`",
    pattern: "[0-9A-Fa-f.:]+",
    fits: |text| text.parse::<IpAddr>().is_ok(),
};

/// Time in UTC (RFC 3339).
static MOMENT: Form = Form {
    what: "a time in UTC such as `2026-07-25T18:30:00Z`",
    pattern: "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z",
    fits: |text| {
        let day = text.get(..10).and_then(diag::shape::read_date);
        let time = text.get(10..).unwrap_or_default();
        day.is_some() && is_time(time)
    },
};

/// True for a time of day in UTC such as `T18:30:00Z`.
fn is_time(text: &str) -> bool {
    let inner = text
        .strip_prefix('T')
        .and_then(|text| text.strip_suffix('Z'));
    let parts: Vec<&str> = inner.unwrap_or_default().split(':').collect();
    let below = |part: &str, limit: u8| {
        part.len() == 2
            && part.bytes().all(|byte| byte.is_ascii_digit())
            && part.parse::<u8>().is_ok_and(|number| number < limit)
    };
    matches!(parts[..], [hour, minute, second] if below(hour, 24) && below(minute, 60) && below(second, 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_line_has_a_method_and_a_url() {
        for good in [
            "GET /",
            "M-SEARCH http://h/x?y=1",
            "get  /a",
            "GET https://h",
        ] {
            assert!((REQUEST_LINE.fits)(good), "{good}");
        }
        for bad in [
            "GET",
            "/",
            "GET orders",
            "GET ftp://h/",
            "GET /a b",
            "G(T /",
            " GET /",
        ] {
            assert!(!(REQUEST_LINE.fits)(bad), "{bad}");
        }
    }

    #[test]
    fn moment_is_a_valid_day_and_time() {
        assert!((MOMENT.fits)("2026-02-28T23:59:59Z"));
        for bad in [
            "2026-02-30T00:00:00Z",
            "2026-02-28T24:00:00Z",
            "2026-02-28T00:60:00Z",
            "2026-02-28T00:00:00",
            "2026-02-28",
            "2026-02-28T0:00:00Z",
            "2026-02-28T+1:00:00Z",
        ] {
            assert!(!(MOMENT.fits)(bad), "{bad}");
        }
    }
}
