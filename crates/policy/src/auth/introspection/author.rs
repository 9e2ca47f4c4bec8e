//! Shape and checks of `kind: introspection` settings.

use diag::shape::{BAD_VALUE, Field, MISSING_KEY, Object, Rule, Shape};
use diag::{Diagnostic, NodeRef, Sink, read};

use super::{Checked, SignedAnswers};
use crate::auth::binding::author as binding;
use crate::auth::jwt::Algorithm;
use crate::auth::jwt::author::TOKEN_BYTES_MAX;
use crate::forms;
use crate::secret::SecretRef;

/// Maximum value of `cache`, in milliseconds: one hour. A revoked token is accepted for at most
/// this time after its revocation.
const CACHE_MAX_MS: u64 = 3_600_000;

/// Keys of `kind: introspection`.
pub static SHAPE: Object = Object {
    what: "tokens checked by introspection",
    fields: &[
        Field::required(
            "url",
            Shape::Form(&forms::HTTPS_URL),
            "Introspection endpoint.",
        ),
        Field::required(
            "client_id",
            Shape::Form(&forms::WORDS),
            "Client id of the gateway at the endpoint.",
        ),
        Field::required(
            "client_secret",
            Shape::Secret,
            "Client secret of the gateway at the endpoint.",
        ),
        Field::optional(
            "issuer",
            Shape::Form(&forms::WORDS),
            "Issuer: the value of `iss`, compared byte by byte; a JWT of another issuer is refused \
without introspection. Default: any.",
        ),
        Field::optional(
            "audience",
            Shape::Several(&Shape::Form(&forms::WORDS)),
            "Allowed values of `aud`; one of them must be present. Default: any.",
        ),
        Field::optional(
            "timeout",
            Shape::Timeout,
            "Maximum time for a response. Default: 2s.",
        ),
        Field::optional(
            "cache",
            Shape::Duration,
            "Lifetime of an `active` response in the cache, at most until the token expires. Range: up to 1h. Default: 60s.",
        ),
        Field::optional(
            "cache_inactive",
            Shape::Duration,
            "Lifetime of an `inactive` response in the cache. Range: up to 1h. Default: 5s.",
        ),
        Field::optional(
            "on_outage",
            Shape::Word(&["closed", "cached"]),
            "Behaviour while the endpoint does not answer: `closed` refuses, `cached` uses known responses. Default: `closed`.",
        ),
        Field::optional(
            "stale_for",
            Shape::Timeout,
            "With `on_outage: cached`: time for which the last `active` response stays in use, at most until the token expires. Default: 10m.",
        ),
        Field::optional(
            "token_bytes",
            Shape::Size,
            "Maximum length of a token. Range: up to 64KiB. Default: 8KiB.",
        ),
        Field::optional(
            "required_claims",
            Shape::Several(&Shape::Form(&forms::WORDS)),
            "Members that a response must have in addition to `active`.",
        ),
        Field::optional(
            "consumer_claim",
            Shape::Form(&forms::WORDS),
            "Member with the name of the consumer that the token belongs to. Default: none; only \
`tokens` of consumers then select the consumer.",
        ),
        Field::optional(
            "scope_claim",
            Shape::Form(&forms::WORDS),
            "Member with the scopes, a space-separated string or a list. Default: `scope`.",
        ),
        Field::optional(
            "groups_claim",
            Shape::Form(&forms::WORDS),
            "Member with the groups, a space-separated string or a list. Default: `groups`.",
        ),
        Field::optional(
            "resource_metadata",
            Shape::Form(&forms::HTTPS_URL),
            "URL of the resource's metadata (RFC 9728 §5.1), from which clients learn where to get tokens; every challenge names it. Default: none.",
        ),
        Field::optional(
            "signed",
            Shape::Several(&Shape::Word(Algorithm::NAMES)),
            "Algorithms that responses must be signed with (RFC 9701); `issuer` is needed then. Default: responses are unsigned.",
        ),
        Field::optional(
            "jwks_url",
            Shape::Form(&forms::HTTPS_URL),
            "With `signed`: URL of the keys, which gwd fetches. Default: the URL in the issuer's metadata.",
        ),
        binding::BINDING,
        binding::HEADER,
    ],
    rules: &[Rule::Holds(check_amounts), Rule::Holds(check_signed)],
};

/// Checks the settings of signed answers: gwd must be able to find the keys, and no algorithm may
/// use a shared secret.
fn check_signed(node: NodeRef<'_>, sink: &mut Sink) {
    let get = |key: &str| node.get(key).filter(|value| !value.is_null());
    let Some(signed) = get("signed") else {
        if let Some(url) = get("jwks_url") {
            let message = "`jwks_url` has no effect without `signed`";
            let finding = Diagnostic::new(&BAD_VALUE, url.span(), message);
            sink.push(finding.help("add `signed: [ES256]`, or remove `jwks_url`"));
        }
        return;
    };
    for algorithm in signed.items() {
        let text = algorithm.scalar_text().unwrap_or_default();
        if text.starts_with("HS") {
            let message = "responses are checked with the issuer's public keys";
            let finding = Diagnostic::new(&BAD_VALUE, algorithm.span(), message);
            sink.push(finding.help("list an algorithm of key pairs, such as `ES256` or `RS256`"));
        }
    }
    let issuer = get("issuer").and_then(NodeRef::scalar_text);
    let Some(issuer) = issuer else {
        let message = "signed responses need `issuer`, which they must name";
        let finding = Diagnostic::new(&MISSING_KEY, signed.span(), message);
        sink.push(finding.help("add `issuer`: the value of `iss`"));
        return;
    };
    let has_metadata = (forms::HTTPS_URL.fits)(issuer) && !issuer.contains('?');
    if get("jwks_url").is_none() && !has_metadata {
        let message = format!(
            "the keys of `{}` cannot be found: `issuer` must be an `https` URL without a query",
            issuer.escape_debug()
        );
        let finding = Diagnostic::new(&MISSING_KEY, signed.span(), message);
        sink.push(finding.help("add `jwks_url`: the URL of the keys"));
    }
}

fn check_amounts(node: NodeRef<'_>, sink: &mut Sink) {
    let mut refuse = |wrong: Option<NodeRef<'_>>, message: &str, help: &str| {
        if let Some(wrong) = wrong {
            sink.push(Diagnostic::new(&BAD_VALUE, wrong.span(), message).help(help));
        }
    };
    let get = |key: &str| node.get(key).filter(|value| !value.is_null());
    for key in ["cache", "cache_inactive"] {
        let is_long = |node: &NodeRef<'_>| {
            let ms = read::duration_ms(*node);
            ms.is_ok_and(|ms| ms > CACHE_MAX_MS)
        };
        refuse(
            get(key).filter(is_long),
            "a response can be cached for at most one hour",
            "write at most `1h`: a revoked token is accepted for this time",
        );
    }
    let is_cached = get("on_outage").and_then(NodeRef::as_str) == Some("cached");
    refuse(
        get("stale_for").filter(|_| !is_cached),
        "`stale_for` has no effect without `on_outage: cached`",
        "add `on_outage: cached`, or remove `stale_for`",
    );
    let fits = |bytes| (1..=TOKEN_BYTES_MAX).contains(&bytes);
    let is_long = |node: &NodeRef<'_>| read::size_bytes(*node).is_ok_and(|bytes| !fits(bytes));
    refuse(
        get("token_bytes").filter(is_long),
        "`token_bytes` must be from 1B to 64KiB",
        "write at most `64KiB`",
    );
    binding::check(node, sink);
}

/// Reads the settings of a verifier from a node that fits [`SHAPE`]. `None` if a required key is
/// missing.
pub(in crate::auth) fn check(node: NodeRef<'_>) -> Option<Checked> {
    let get = |key: &str| node.get(key).filter(|value| !value.is_null());
    let text = |key: &str| Some(get(key)?.scalar_text()?.to_owned());
    let texts = |key: &str| -> Vec<String> {
        let items = get(key).into_iter().flat_map(NodeRef::items);
        let texts = items.filter_map(NodeRef::scalar_text);
        let mut all: Vec<String> = texts.map(str::to_owned).collect();
        all.sort();
        all.dedup();
        all
    };
    let time = |key: &str| get(key).and_then(|node| read::duration_ms(node).ok());
    let mut algorithms: Vec<Algorithm> = texts("signed")
        .iter()
        .filter_map(|one| Algorithm::of(one))
        .collect();
    algorithms.sort();
    algorithms.dedup();
    Some(Checked {
        signed: get("signed").map(|_| SignedAnswers {
            algorithms,
            jwks_url: text("jwks_url"),
        }),
        url: text("url")?,
        client_id: text("client_id")?,
        client_secret: SecretRef::parse(get("client_secret")?.as_str()?).ok()?,
        issuer: text("issuer"),
        audience: texts("audience"),
        timeout_ms: time("timeout"),
        cache_ms: time("cache"),
        cache_inactive_ms: time("cache_inactive"),
        cached: text("on_outage").as_deref() == Some("cached"),
        stale_for_ms: time("stale_for"),
        required_claims: texts("required_claims"),
        consumer_claim: text("consumer_claim"),
        scope_claim: text("scope_claim"),
        groups_claim: text("groups_claim"),
        binding: binding::read(node),
        resource_metadata: text("resource_metadata"),
        token_bytes: get("token_bytes").and_then(|node| read::size_bytes(node).ok()),
    })
}
