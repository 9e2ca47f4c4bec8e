//! Rules about limits and schemas that contradict each other, and about formats that are not
//! checked: GW0555, GW0615 and GW0616.

use diag::{Level, Lint};

/// Lints in the order of their codes.
pub const LINTS: &[&Lint] = &[&QUOTA_BELOW_RATE, &UNCHECKED_FORMAT, &MAX_BODY_BELOW_SCHEMA];

/// Sample project with these defaults and policies, whose only operation is this one.
macro_rules! project {
    ($defaults:literal, $operation:literal) => {
        &[
            (
                "gateway.yaml",
                concat!(
                    "version: 1\nname: s\napis: {a: {path: api.yaml}}\n",
                    "upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\n",
                    "defaults: {upstream: u, security: upstream, ",
                    $defaults
                ),
            ),
            (
                "api.yaml",
                concat!(
                    "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\npaths: {/a: {post: {",
                    $operation,
                    "responses: {\"200\": {description: fine}}}}}\n"
                ),
            ),
        ]
    };
}

/// A quota that is used up before a rate limit refuses a request.
pub static QUOTA_BELOW_RATE: Lint = Lint {
    code: "GW0555",
    name: "quota-below-rate",
    level: Level::Warn,
    summary: "a quota that is used up before a rate limit refuses a request",
    explain: "Both limits count the requests of the same callers by the same key. A rate limit \
admits `burst` requests at once, a sliding window `limit`. If the quota is not above that number, \
the rate limit refuses no request that the quota admits. Usually one of the two numbers is wrong. \
Limits with `mode: log` have no finding. A rate limit that runs before a step that can refuse \
requests, such as authentication, has none either, because it limits the refused requests, too.",
    bad: project!(
        "policies: [fast, daily]}\npolicies:\n  fast: {kind: rate_limit, limit: 100/s, key: address}\n  \
daily: {kind: quota, limit: 5, period: day, key: address}\n",
        ""
    ),
    good: project!(
        "policies: [fast, daily]}\npolicies:\n  fast: {kind: rate_limit, limit: 100/s, key: address}\n  \
daily: {kind: quota, limit: 50000, period: day, key: address}\n",
        ""
    ),
};

/// A `format` that gwd does not check.
pub static UNCHECKED_FORMAT: Lint = Lint {
    code: "GW0615",
    name: "unchecked-format",
    level: Level::Info,
    summary: "a `format` in a validated message that gwd does not check",
    explain: "Of the values of `format`, `validate` checks `int32`, `int64`, `date`, `date-time`, \
`uuid`, `ipv4` and `ipv6` ([validation](validation.md#what-is-checked)). It accepts each value of \
other formats, such as `email` or a misspelt `datetime`. There is one finding for each name in a \
document. Formats that allow each value of their type have no finding: `binary`, `commonmark`, \
`double`, `float`, `html` and `password`.",
    bad: project!(
        "validate: {request: block}}\n",
        "requestBody: {content: {application/json: {schema: {type: string, format: datetime}}}}, "
    ),
    good: project!(
        "validate: {request: block}}\n",
        "requestBody: {content: {application/json: {schema: {type: string, format: date-time}}}}, "
    ),
};

/// A `max_body` that no valid body satisfies.
pub static MAX_BODY_BELOW_SCHEMA: Lint = Lint {
    code: "GW0616",
    name: "max-body-below-schema",
    level: Level::Warn,
    summary: "a `max_body` that is smaller than each valid JSON body",
    explain: "gwd refuses a body that is longer than `max_body` (413). If the schema of a JSON \
body requires more bytes, by `minLength`, `minItems`, `required` or `enum`, gwd refuses each valid \
body. The bound assumes the shortest JSON text, without white space and without a content coding.",
    bad: project!(
        "max_body: 16B}\n",
        "requestBody: {content: {application/json: {schema: {type: string, minLength: 36}}}}, "
    ),
    good: project!(
        "max_body: 1KiB}\n",
        "requestBody: {content: {application/json: {schema: {type: string, minLength: 36}}}}, "
    ),
};
