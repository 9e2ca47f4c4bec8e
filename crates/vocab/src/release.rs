//! Vocabulary of `release` of gateway.yaml.

use diag::shape::{Field, Object, Rule, Shape};
use policy::forms;

use crate::release_lints::RELEASE_STEPS;

use Field as F;
use Shape::{Form, Integer, List, Percent, Several, Text, Timeout, Word};

pub(crate) static RELEASE: Object = Object {
    what: "the release",
    rules: &[],
    fields: &[
        F::optional(
            "store",
            Text,
            "Store folder for bundles. Default: `releases`.",
        ),
        F::optional("channel", Text, "Channel of the project. Default: `prod`."),
        F::optional(
            "steps",
            List(&Shape::Object(&RELEASE_STEP)),
            "Steps of a progressive release, with increasing shares. `gwc apply` begins with the \
first one, `gwc promote` continues; the last step, all gateways and requests, is not listed \
(`progressive-release.md`). Default: all gateways at once.",
        )
        .guard(),
        F::optional(
            "sticky",
            Shape::Object(&RELEASE_STICKY),
            "Property of a request that decides which version serves it in a step with `traffic`: \
requests with the same value get the same version. Default: the client's address.",
        ),
        F::optional(
            "testers",
            Shape::Object(&RELEASE_TESTERS),
            "Requests that select their version themselves in a step with `traffic`. Default: none.",
        ),
        F::optional(
            "guard",
            Shape::Object(&RELEASE_GUARD),
            "Conditions under which a gateway of a step returns to the previous version by itself. \
It compares its requests after the switch with those before it; in a step with `traffic`, those of \
the new version with those of the previous version. Default: none.",
        )
        .guard(),
        F::optional(
            "freeze",
            List(&Shape::Object(&RELEASE_FREEZE)),
            "Times in which `gwc apply` and `gwc promote` refuse to move the channel. `gwc rollback` \
and `gwc abort` are always possible. Default: none.",
        )
        .guard(),
    ],
};

static RELEASE_GUARD: Object = Object {
    what: "the guard of a progressive release",
    rules: &[],
    fields: &[
        F::optional(
            "errors",
            Percent,
            "Allowed increase of the share of errors of the gateway or an upstream, in percentage points, more than `0%`. Errors are responses with status 5xx, or with a gRPC status that corresponds to 5xx. Default: errors are not compared.",
        ),
        F::optional(
            "p99",
            Percent,
            "Allowed increase of the 99th percentile of the durations until the response head, in percent of that of the previous version, more than `0%`. Waits for the client do not count. Default: durations are not compared.",
        ),
        F::optional(
            "refusals",
            Percent,
            "Allowed increase of the share of requests that the gateway refuses by itself (status 4xx: credentials, limits, validation, unknown paths), in percentage points, more than `0%`. The client address with the most refusals does not count. Default: refusals are not compared.",
        ),
        F::optional(
            "requests",
            Integer(20, 1_000_000),
            "Minimum number of requests of the previous version, and of the new version, for a comparison. Default: 200.",
        ),
        F::optional(
            "for",
            Timeout,
            "Time after the switch in which the gateway compares, `1s` to `168h`. Default: `10m`.",
        ),
        F::optional(
            "webhook",
            Shape::Object(&GUARD_WEBHOOK),
            "Service that judges the release (`progressive-release.md`). The gateway sends it a POST request at an interval. Default: none.",
        ),
    ],
};

static GUARD_WEBHOOK: Object = Object {
    what: "the webhook of a guard",
    rules: &[],
    fields: &[
        F::required(
            "url",
            Form(&forms::HTTPS_URL),
            "URL of the requests, `https`, or `http` on loopback. A response with status 2xx passes, any other fails. Redirects are not followed.",
        ),
        F::optional(
            "interval",
            Timeout,
            "Time between two requests, `1s` to `1h`. Default: `10s`.",
        ),
        F::optional(
            "timeout",
            Timeout,
            "Maximum time until the response, at most `interval`. Default: `5s`, or `interval` if it is shorter.",
        ),
        F::optional(
            "failures",
            Integer(1, 100),
            "Number of failing responses in succession at which the gateway returns to the previous version. Default: 1.",
        ),
        F::optional(
            "on_outage",
            Word(&["ignore", "fail"]),
            "Effect of a request without a response (no connection, timeout): `ignore`, or `fail`, as a failing response. Default: `ignore`.",
        ),
        F::optional(
            "authorization",
            Shape::Secret,
            "Value of `Authorization` in the requests, such as `Bearer …`, from a secret of the gateway. Default: no such field.",
        ),
    ],
};

static RELEASE_STEP: Object = Object {
    what: "a step of a progressive release",
    rules: &[
        Rule::AnyOf(&["nodes", "traffic", "shadow"]),
        Rule::Apart(&["traffic", "shadow"], &RELEASE_STEPS),
    ],
    fields: &[
        F::optional(
            "nodes",
            Percent,
            "Share of the gateways that run the bundle, more than `0%`. Default: `100%`.",
        ),
        F::optional(
            "traffic",
            Percent,
            "Share of the requests of these gateways that the bundle serves, more than `0%`. The \
previous version serves the others. Default: `100%`.",
        ),
        F::optional(
            "shadow",
            Percent,
            "Share of the requests of these gateways that the bundle decides too, more than `0%`. \
The previous version serves all requests; differences are counted and shown. Not with `traffic`. \
Steps with `shadow` come first. Default: not compared.",
        ),
    ],
};

static RELEASE_FREEZE: Object = Object {
    what: "a freeze window",
    rules: &[],
    fields: &[
        F::optional(
            "from",
            Form(&BOUNDARY),
            "Beginning of the window: a date (`2026-12-20`), a time of a date (`2026-12-20T18:00`), \
or a time of day (`18:00`) for a window that repeats. Default: the beginning of each of the `days`.",
        ),
        F::optional(
            "to",
            Form(&BOUNDARY),
            "End of the window, in the same form as `from`. A date is the last day of the window. \
`24:00` is the end of the day. A time of day that is not after `from` is on the next day. Default: \
the end of each of the `days`.",
        ),
        F::optional(
            "days",
            Several(&Word(&["mon", "tue", "wed", "thu", "fri", "sat", "sun"])),
            "Days on which a window that repeats begins. Default: every day.",
        ),
        F::optional(
            "zone",
            Form(&forms::TIME_ZONE),
            "Time zone of the window, by its name in the IANA database. Default: `UTC`.",
        ),
        F::required(
            "reason",
            Form(&forms::WORDS),
            "Reason of the window, which `gwc apply` and `gwc promote` show.",
        ),
    ],
};

/// Boundary of a freeze window.
static BOUNDARY: diag::shape::Form = diag::shape::Form {
    what: "a date such as `2026-12-20`, a time such as `2026-12-20T18:00`, or a time of day such as `18:00`",
    pattern: r"\d{4}-\d{2}-\d{2}(T\d{2}:\d{2})?|\d{2}:\d{2}",
    fits: |text| {
        // The form: digits, and other characters at their places.
        let form: String = text
            .chars()
            .map(|c| if c.is_ascii_digit() { '0' } else { c })
            .collect();
        matches!(&*form, "0000-00-00" | "0000-00-00T00:00" | "00:00")
    },
};

static RELEASE_STICKY: Object = Object {
    what: "the property of requests that decides their version",
    rules: &[Rule::One(&["header", "cookie"])],
    fields: &[
        F::optional(
            "header",
            Form(&forms::FIELD),
            "Name of a request field. Its value decides. A request without the field, or with \
several, is decided by the client's address.",
        ),
        F::optional(
            "cookie",
            Form(&forms::FIELD),
            "Name of a cookie. Its value decides. A request without the cookie, or with several, is \
decided by the client's address.",
        ),
    ],
};

static RELEASE_TESTERS: Object = Object {
    what: "the selection of a version by testers",
    rules: &[],
    fields: &[F::required(
        "header",
        Form(&forms::FIELD),
        "Name of a request field. The value `candidate` selects the new version, and `base` the \
previous version. Any client can send it.",
    )],
};
