//! Shape, checks and lints of `kind: jwt` settings.

mod key_set;

pub use key_set::{
    ALGORITHM_WITHOUT_KEY, BAD_KEY, UNUSED_KEY, end_s as key_end_s, read as read_keys,
};

use diag::shape::{BAD_VALUE, Field, MISSING_KEY, Object, Rule, Shape};
use diag::{Diagnostic, Level, Lint, NodeRef, Sink, read};

use super::algorithm::Algorithm;
use super::token::media_type;
use super::{Checked, GROUPS_CLAIM, KeySource, LEEWAY_MS, SCOPE_CLAIM, TOKEN_BYTES, TYPES};
use crate::auth::binding::author as binding;
use crate::forms;
use crate::secret::SecretRef;

/// Maximum value of `token_bytes`: the limit of all header fields of a request together.
pub(in crate::auth) const TOKEN_BYTES_MAX: u64 = 64 << 10;

/// Keys of `kind: jwt`.
pub static SHAPE: Object = Object {
    what: "signed tokens",
    fields: &[
        Field::required(
            "issuer",
            Shape::Form(&forms::WORDS),
            "Issuer: the value of `iss`, compared byte by byte.",
        ),
        Field::required(
            "audience",
            Shape::Several(&Shape::Form(&forms::WORDS)),
            "Audiences: a token must have one of them in `aud`.",
        ),
        Field::optional(
            "jwks_url",
            Shape::Form(&forms::HTTPS_URL),
            "URL of the key set, which gwd fetches. Default: the URL in the issuer's metadata, if no keys are written.",
        ),
        Field::optional(
            "stale_for",
            Shape::Timeout,
            "With keys that gwd fetches: time for which the last set stays in use while no other can be fetched. Default: 24h.",
        ),
        Field::optional(
            "jwks_file",
            Shape::Form(&forms::FILE),
            "File of the project with the public keys, a JWK set (RFC 7517 §5). Default: none.",
        ),
        Field::optional(
            "jwks",
            Shape::Any,
            "Public keys written in place, a JWK set (RFC 7517 §5).",
        ),
        Field::optional(
            "secret",
            Shape::Secret,
            "Shared secret of HS algorithms, at least as long as their hash: 32, 48 or 64 bytes. Default: none.",
        ),
        Field::required(
            "algorithms",
            Shape::Several(&Shape::Word(Algorithm::NAMES)),
            "Algorithms that tokens may be signed with.",
        ),
        Field::optional(
            "leeway",
            Shape::Duration,
            "Allowed clock difference for `exp`, `nbf` and `iat`. Maximum: 60s. Default: 60s.",
        ),
        Field::optional(
            "max_lifetime",
            Shape::Timeout,
            "Longest time between `iat` and `exp`; `iat` is required then. Default: unlimited.",
        ),
        Field::optional(
            "types",
            Shape::Several(&Shape::Form(&forms::WORDS)),
            "Values of `typ` that are allowed, for instance `at+jwt` (RFC 9068); a token without `typ` is refused then. Default: `JWT`, `at+jwt`, or no `typ`.",
        ),
        Field::optional(
            "token_bytes",
            Shape::Size,
            "Maximum length of a token. Range: up to 64KiB. Default: 8KiB.",
        ),
        Field::optional(
            "required_claims",
            Shape::Several(&Shape::Form(&forms::WORDS)),
            "Claims that a token must have in addition to `iss`, `aud` and `exp`.",
        ),
        Field::optional(
            "consumer_claim",
            Shape::Form(&forms::WORDS),
            "Claim with the name of the consumer that the token belongs to. Default: none; only \
`tokens` of consumers then select the consumer.",
        ),
        Field::optional(
            "scope_claim",
            Shape::Form(&forms::WORDS),
            "Claim with the scopes, a space-separated string or a list. Default: `scope`.",
        ),
        Field::optional(
            "groups_claim",
            Shape::Form(&forms::WORDS),
            "Claim with the groups, a space-separated string or a list. Default: `groups`.",
        ),
        Field::optional(
            "resource_metadata",
            Shape::Form(&forms::HTTPS_URL),
            "URL of the resource's metadata (RFC 9728 §5.1), from which clients learn where to get tokens; every challenge names it. Default: none.",
        ),
        binding::BINDING,
        binding::HEADER,
    ],
    rules: &[Rule::Apart(SOURCES, &BAD_VALUE), Rule::Holds(check_whole)],
};

/// Settings that name a source of keys. At most one of them may be set.
const SOURCES: &[&str] = &["jwks_url", "jwks_file", "jwks", "secret"];

/// Lint: an algorithm that does not match the kind of keys.
pub static ALGORITHM_MISMATCH: Lint = Lint {
    code: "GW0528",
    name: "algorithm-mismatch",
    level: Level::Error,
    summary: "algorithms that do not match the keys",
    explain: "HS algorithms use one secret for signing and checking. With a published key set, \
anybody could sign tokens with the public key as the secret (RFC 8725 §2.1). Algorithms of key \
pairs can never check a token with a secret. List only algorithms of one family: HS with `secret`, \
all others with `jwks_url`, `jwks_file` or `jwks`.",
    bad: &[(
        "gateway.yaml",
        "version: 1\nname: s\nauth: {idp: {kind: jwt, issuer: a, audience: [b], jwks_url: \"https://idp.example/keys\", algorithms: [ES256, HS256]}}\n",
    )],
    good: &[(
        "gateway.yaml",
        "version: 1\nname: s\nauth: {idp: {kind: jwt, issuer: a, audience: [b], jwks_url: \"https://idp.example/keys\", algorithms: [ES256]}}\n",
    )],
};

fn check_whole(node: NodeRef<'_>, sink: &mut Sink) {
    let before = sink.findings().len();
    check_families(node, sink);
    check_amounts(node, sink);
    check_source(node, sink);
    binding::check(node, sink);
    if let Some(keys) = node.get("jwks").filter(|keys| !keys.is_null())
        && sink.findings().len() == before
    {
        key_set::read(keys, node, sink);
    }
}

/// Reports an `issuer` whose metadata must be fetched but that is not a URL, and `stale_for` if gwd
/// fetches no keys.
fn check_source(node: NodeRef<'_>, sink: &mut Sink) {
    let get = |key: &str| node.get(key).filter(|value| !value.is_null());
    let is_written = SOURCES.iter().any(|key| get(key).is_some());
    if let Some(issuer) = get("issuer").filter(|_| !is_written) {
        let text = issuer.scalar_text().unwrap_or_default();
        if !(forms::HTTPS_URL.fits)(text) || text.contains('?') {
            let message = format!(
                "the keys of `{}` cannot be found: `issuer` must be an `https` URL without a query",
                text.escape_debug()
            );
            sink.push(
                Diagnostic::new(&MISSING_KEY, issuer.span(), message)
                    .help("write where the keys are: `jwks_url`, `jwks_file`, `jwks` or `secret`"),
            );
        }
    }
    if let Some(stale) = get("stale_for").filter(|_| is_written && get("jwks_url").is_none()) {
        sink.push(
            Diagnostic::new(
                &BAD_VALUE,
                stale.span(),
                "`stale_for` has no effect: gwd does not fetch the keys",
            )
            .help("remove `stale_for`; it applies only to keys that gwd fetches"),
        );
    }
}

fn check_families(node: NodeRef<'_>, sink: &mut Sink) {
    let secret = node.get("secret").is_some();
    for algorithm in node.get("algorithms").into_iter().flat_map(NodeRef::items) {
        let text = algorithm.scalar_text().unwrap_or_default();
        let (wrong, help) = match (secret, text.starts_with("HS")) {
            (false, true) => (
                true,
                "a published key would be the secret; list an algorithm of key pairs, such as \
                 `ES256` or `RS256`",
            ),
            (true, false) => (true, "a secret can only check `HS256`, `HS384` and `HS512`"),
            (false, false) | (true, true) => (false, ""),
        };
        if wrong && Algorithm::NAMES.contains(&text) {
            sink.push(
                Diagnostic::new(
                    &ALGORITHM_MISMATCH,
                    algorithm.span(),
                    format!("`{text}` does not match these keys"),
                )
                .help(help),
            );
        }
    }
}

fn check_amounts(node: NodeRef<'_>, sink: &mut Sink) {
    let mut limit = |wrong: Option<NodeRef<'_>>, message: &str, help: &str| {
        if let Some(wrong) = wrong {
            sink.push(Diagnostic::new(&BAD_VALUE, wrong.span(), message).help(help));
        }
    };
    let leeway = node.get("leeway");
    limit(
        leeway.filter(|node| read::duration_ms(*node).is_ok_and(|ms| ms > LEEWAY_MS)),
        "`leeway` must be at most 60s",
        "write at most `60s`: an expired token stays valid for that long",
    );
    let bytes = node.get("token_bytes");
    let fits = |bytes| (1..=TOKEN_BYTES_MAX).contains(&bytes);
    limit(
        bytes.filter(|node| read::size_bytes(*node).is_ok_and(|bytes| !fits(bytes))),
        "`token_bytes` must be from 1B to 64KiB",
        "write at most `64KiB`",
    );
}

/// Reads the settings of a verifier from a node that fits [`SHAPE`]. The caller adds the keys of
/// `jwks_file` later.
pub(in crate::auth) fn check(node: NodeRef<'_>) -> Option<Checked> {
    let get = |key: &str| node.get(key).filter(|value| !value.is_null());
    let text = |key: &str| Some(get(key)?.scalar_text()?.to_owned());
    let texts = |key: &str| -> Vec<String> {
        let items = get(key).into_iter().flat_map(NodeRef::items);
        let mut all: Vec<String> = items
            .filter_map(|item| Some(item.scalar_text()?.to_owned()))
            .collect();
        all.sort();
        all.dedup();
        all
    };
    let keys = if let Some(secret) = get("secret") {
        KeySource::Secret(SecretRef::parse(secret.as_str()?).ok()?)
    } else if let Some(keys) = get("jwks") {
        KeySource::Set(key_set::read(keys, node, &mut Sink::default()))
    } else {
        match text("jwks_url") {
            Some(url) => KeySource::Url(url),
            None if get("jwks_file").is_some() => KeySource::Set(Vec::new()),
            None => KeySource::Discovered,
        }
    };
    let mut types: Vec<String> = texts("types").iter().map(|one| media_type(one)).collect();
    if types.is_empty() {
        types = TYPES.iter().map(|one| (*one).to_owned()).collect();
    }
    types.sort();
    types.dedup();
    let leeway = get("leeway").and_then(|node| read::duration_ms(node).ok());
    let lifetime = get("max_lifetime").and_then(|node| read::duration_ms(node).ok());
    let bytes = get("token_bytes").and_then(|node| read::size_bytes(node).ok());
    Some(Checked {
        issuer: text("issuer")?,
        audience: texts("audience"),
        algorithms: algorithms(node),
        keys,
        leeway_ms: leeway.unwrap_or(LEEWAY_MS),
        max_lifetime_ms: lifetime,
        types,
        token_bytes: bytes.unwrap_or(TOKEN_BYTES),
        required_claims: texts("required_claims"),
        consumer_claim: text("consumer_claim"),
        scope_claim: text("scope_claim").unwrap_or_else(|| SCOPE_CLAIM.to_owned()),
        stale_for_ms: get("stale_for").and_then(|node| read::duration_ms(node).ok()),
        groups_claim: text("groups_claim").unwrap_or_else(|| GROUPS_CLAIM.to_owned()),
        binding: binding::read(node),
        resource_metadata: text("resource_metadata"),
    })
}

/// Allowed algorithms of a verifier, sorted.
fn algorithms(verifier: NodeRef<'_>) -> Vec<Algorithm> {
    let items = verifier.get("algorithms").into_iter();
    let items = items.flat_map(NodeRef::items);
    let mut all: Vec<Algorithm> = items
        .filter_map(|item| Algorithm::of(item.scalar_text()?))
        .collect();
    all.sort();
    all.dedup();
    all
}
