//! Shape, checks and findings of `kind: jwt` settings.

mod key_set;

pub use key_set::{ALGORITHM_WITHOUT_KEY, BAD_KEY, UNUSED_KEY, read as read_keys};

use diag::shape::{BAD_VALUE, Field, Object, Rule, Shape};
use diag::{Diagnostic, Level, Lint, NodeRef, Sink, read};

use super::algorithm::Algorithm;
use super::token::media_type;
use super::{Checked, GROUPS_CLAIM, KeySource, LEEWAY_MS, SCOPE_CLAIM, TOKEN_BYTES, TYPES};
use crate::forms;
use crate::secret::SecretRef;

/// Longest token that can be allowed: the fields of a request have 64 KiB together.
const TOKEN_BYTES_MAX: u64 = 64 << 10;

/// The keys of `kind: jwt`.
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
        Field::later(
            "jwks_url",
            Shape::Form(&forms::HTTPS_URL),
            "URL of the key set.",
        ),
        Field::optional(
            "jwks_file",
            Shape::Form(&forms::FILE),
            "File of the project with the public keys, a JWK set (RFC 7517 §5).",
        ),
        Field::optional(
            "jwks",
            Shape::Any,
            "Public keys written in place, a JWK set (RFC 7517 §5).",
        ),
        Field::optional(
            "secret",
            Shape::Secret,
            "Shared secret of HS algorithms, at least as long as their hash: 32, 48 or 64 bytes.",
        ),
        Field::required(
            "algorithms",
            Shape::Several(&Shape::Word(Algorithm::NAMES)),
            "Algorithms that tokens may be signed with.",
        ),
        Field::optional(
            "leeway",
            Shape::Duration,
            "Difference between clocks that is allowed for `exp`, `nbf` and `iat`. Default: 60s, which is the most.",
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
            "Length of a token, at most 64KiB. Default: 8KiB.",
        ),
        Field::optional(
            "required_claims",
            Shape::Several(&Shape::Form(&forms::WORDS)),
            "Claims that a token must have beside `iss`, `aud` and `exp`.",
        ),
        Field::optional(
            "consumer_claim",
            Shape::Form(&forms::WORDS),
            "Claim with the name of the consumer that the token belongs to. Default: none, the caller is no consumer.",
        ),
        Field::optional(
            "scope_claim",
            Shape::Form(&forms::WORDS),
            "Claim with the scopes, a text with blanks or a list. Default: `scope`.",
        ),
        Field::optional(
            "groups_claim",
            Shape::Form(&forms::WORDS),
            "Claim with the groups, a text with blanks or a list. Default: `groups`.",
        ),
    ],
    rules: &[
        Rule::One(&["jwks_url", "jwks_file", "jwks", "secret"]),
        Rule::Holds(check_whole),
    ],
};

/// Algorithms that the keys cannot be used with, or should not.
pub static ALGORITHM_MISMATCH: Lint = Lint {
    code: "GW0528",
    name: "algorithm-mismatch",
    level: Level::Error,
    summary: "algorithms that the keys cannot be meant for",
    explain: "HS algorithms use one secret for signing and checking. Allowed beside a published key set they let \
anybody sign tokens with the public key as the secret (RFC 8725 §2.1); with a secret, algorithms of key pairs can never \
check. List only algorithms of one family: HS with `secret`, all others with `jwks_url`, `jwks_file` or `jwks`.",
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
    if let Some(keys) = node.get("jwks").filter(|keys| !keys.is_null())
        && sink.findings().len() == before
    {
        key_set::read(keys, node, sink);
    }
}

fn check_families(node: NodeRef<'_>, sink: &mut Sink) {
    let secret = node.get("secret").is_some();
    for algorithm in node.get("algorithms").into_iter().flat_map(NodeRef::items) {
        let text = algorithm.scalar_text().unwrap_or_default();
        let (wrong, help) = match (secret, text.starts_with("HS")) {
            (false, true) => (
                true,
                "a published key would be the secret; list `ES256`, `RS256` or the like",
            ),
            (true, false) => (true, "a secret can only check `HS256`, `HS384` and `HS512`"),
            (false, false) | (true, true) => (false, ""),
        };
        if wrong && Algorithm::NAMES.contains(&text) {
            sink.push(
                Diagnostic::new(
                    &ALGORITHM_MISMATCH,
                    algorithm.span(),
                    format!("`{text}` does not go with these keys"),
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
        "clocks that differ by more than 60s are broken",
        "write at most `60s`: an expired token would count for that long",
    );
    let bytes = node.get("token_bytes");
    let fits = |bytes| (1..=TOKEN_BYTES_MAX).contains(&bytes);
    limit(
        bytes.filter(|node| read::size_bytes(*node).is_ok_and(|bytes| !fits(bytes))),
        "no request has a token of this length",
        "write at most `64KiB`",
    );
}

/// Reads a node that fits [`SHAPE`]. Keys of a file are added by the reader of the file.
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
        text("jwks_url").map_or_else(|| KeySource::Set(Vec::new()), KeySource::Url)
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
        groups_claim: text("groups_claim").unwrap_or_else(|| GROUPS_CLAIM.to_owned()),
    })
}

/// The algorithms of a verifier, sorted.
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
