//! Comparison of messages with expected fields. The gateway's own response is compared before it
//! exists.
//!
//! gwc knows the fields that the decision adds, and those that gwd always adds. Policies and the
//! connection may add others. An expectation about such a field is not compared.

use model::wildcard::star;

use crate::route::{Answer, Response};

/// Field whose value is new for each request, and that no policy changes.
const REQUEST_ID: &str = "x-request-id";
/// Placeholder for a value that gwc does not know.
const ANY_VALUE: &str = "(any value)";

/// Text for a field that the message does not have.
const NONE: &str = "(none)";

/// Kinds of steps, with the beginnings of the names of fields that they add to own responses of the
/// gateway. Steps of other kinds may add, change and remove any field.
const ADDED: [(&str, &[&str]); 17] = [
    ("authorize", &[]),
    ("body_limit", &[]),
    ("circuit_breaker", &["retry-after"]),
    ("concurrency", &["retry-after"]),
    ("cors", &["access-control-", "vary"]),
    ("deprecation", &["deprecation", "link", "sunset"]),
    ("ip_filter", &[]),
    ("listener", &[]),
    ("mirror", &[]),
    (
        "quota",
        &["quota-warning", "ratelimit", "retry-after", "x-ratelimit-"],
    ),
    ("rate_limit", &["ratelimit", "retry-after", "x-ratelimit-"]),
    ("retry", &[]),
    ("rewrite", &[]),
    (
        "security",
        &[
            "accept-signature",
            "cache-control",
            "dpop-nonce",
            "set-cookie",
            "www-authenticate",
        ],
    ),
    ("split", &[]),
    ("timeout", &[]),
    ("validate", &[]),
];

/// Result of a comparison with a field of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Compared {
    /// The response has the expected field, or certainly lacks it.
    Equal,
    /// Name, expected value and actual value.
    Different((String, String, String)),
    /// The response may have the field or not, or its value is not known.
    Unknown,
}

/// Compares an expected field with the gateway's own response. `name` is in lower case; `*` in it
/// stands for any text. `wanted` is `None` if the response must not have the field.
pub(super) fn compare(answer: &Answer, name: &str, wanted: Option<&str>) -> Compared {
    let Some(response) = &answer.response else {
        let different = field("response", None, name, wanted);
        return different.map_or(Compared::Equal, Compared::Different);
    };
    let any_step = answer.chain.iter().any(|step| added(&step.kind).is_none());
    // A step may change all fields of gwd, except the request id.
    let is_certain = |own: &str| !any_step || own == REQUEST_ID;
    let takes_any_value = wanted.is_none_or(|wanted| wanted == "*");
    let mut fields = response.headers.clone();
    let mut is_unknown = false;
    for (own, value) in &response.own_fields.present {
        let value = value.as_deref();
        let value = value.or(takes_any_value.then_some(ANY_VALUE));
        match value.filter(|_| is_certain(own)) {
            Some(value) => fields.push(((*own).to_owned(), value.to_owned())),
            None => is_unknown |= star(name, own),
        }
    }
    let different = field("response", Some(fields.as_slice()), name, wanted);
    match (wanted, different) {
        (Some(_), Some(_)) if is_unknown => Compared::Unknown,
        (_, Some(different)) => Compared::Different(different),
        (None, None) if is_unknown || may_have(answer, response, name, any_step) => {
            Compared::Unknown
        }
        (_, None) => Compared::Equal,
    }
}

/// Compares the header fields of a message with an expectation. `name` is in lower case; `*` in it
/// stands for any text. One field that matches `name` must have the value `wanted`. If `wanted` is
/// `None`, no field may match. Without a message (`headers` is `None`), the expectation fails.
pub(super) fn field(
    message: &str,
    headers: Option<&[(String, String)]>,
    name: &str,
    wanted: Option<&str>,
) -> Option<(String, String, String)> {
    let what = format!("{message}.headers.{name}");
    let Some(headers) = headers else {
        let wanted = wanted.unwrap_or("(no such field)").to_owned();
        return Some((what, wanted, "(no message)".to_owned()));
    };
    let mut values = headers
        .iter()
        .filter(|(other, _)| star(name, &other.to_ascii_lowercase()))
        .map(|(_, value)| value.as_str());
    let first = values.clone().next();
    let holds = match wanted {
        Some(wanted) => values.any(|value| star(wanted, value)),
        None => first.is_none(),
    };
    (!holds).then(|| {
        (
            what,
            wanted.unwrap_or("(no such field)").to_owned(),
            first.unwrap_or(NONE).to_owned(),
        )
    })
}

/// Beginnings of the names of fields that a step of this kind adds. `None`: any field.
fn added(kind: &str) -> Option<&'static [&'static str]> {
    let found = ADDED.iter().find(|(known, _)| *known == kind);
    found.map(|(_, added)| *added)
}

/// True if a response may have a field that matches `name`, which is not known in advance.
fn may_have(answer: &Answer, response: &Response, name: &str, any_step: bool) -> bool {
    let steps = answer.chain.iter().filter_map(|step| added(&step.kind));
    let possible = response.own_fields.possible.iter().copied();
    let mut begins = possible.chain(steps.flatten().copied());
    any_step || begins.any(|begin| may_begin(name, begin))
}

/// True if a text that begins with `begin` can match a name in which `*` stands for any text.
fn may_begin(name: &str, begin: &str) -> bool {
    match name.split_once('*') {
        Some((start, _)) => start.starts_with(begin) || begin.starts_with(start),
        None => name.starts_with(begin),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pattern_can_match_names_with_a_beginning() {
        for (name, begin, expected) in [
            ("retry-after", "retry-after", true),
            ("ratelimit-policy", "ratelimit", true),
            ("x-*", "x-ratelimit-", true),
            ("x-ratelimit-a*", "x-ratelimit-", true),
            ("*", "date", true),
            ("x-powered-by", "x-ratelimit-", false),
            ("x-p*", "x-ratelimit-", false),
            ("server", "date", false),
        ] {
            assert_eq!(may_begin(name, begin), expected, "{name} {begin}");
        }
    }
}
