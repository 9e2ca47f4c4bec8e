//! Signed tokens (RFC 7519, RFC 8725, RFC 9068).
//!
//! ```yaml
//! auth:
//!   idp: {kind: jwt, issuer: "https://idp.example.org", audience: [orders], jwks_url: "https://idp.example.org/keys", algorithms: [ES256]}
//! ```
//! The algorithms are a list of what is allowed, never taken from the token; `none` does not exist.

#[cfg(feature = "author")]
pub mod author {
    //! Shape, checks and findings of `kind: jwt` settings.

    use diag::shape::{BAD_VALUE, Field, Object, Rule, Shape};
    use diag::{Diagnostic, Level, Lint, NodeRef, Sink, read};

    use crate::forms;

    /// The keys of `kind: jwt`.
    pub static SHAPE: Object = Object {
        what: "signed tokens",
        fields: &[
            Field::required(
                "issuer",
                Shape::Form(&forms::WORDS),
                "The value of `iss`, compared as it is.",
            ),
            Field::required(
                "audience",
                Shape::Several(&Shape::Form(&forms::WORDS)),
                "Values of `aud`, of which one must be there.",
            ),
            Field::optional(
                "jwks_url",
                Shape::Form(&forms::HTTPS_URL),
                "Where the keys are fetched from.",
            ),
            Field::optional(
                "jwks_file",
                Shape::Form(&forms::FILE),
                "A file of the project with the keys.",
            ),
            Field::optional("secret", Shape::Secret, "The key of HS algorithms."),
            Field::required(
                "algorithms",
                Shape::Several(&Shape::Word(ALGORITHMS)),
                "What tokens may be signed with.",
            ),
            Field::optional(
                "leeway",
                Shape::Duration,
                "How far clocks may differ, at most 60s; 60s where nothing is said.",
            ),
            Field::optional(
                "max_lifetime",
                Shape::Timeout,
                "The most between `iat` and `exp`.",
            ),
            Field::optional(
                "types",
                Shape::Several(&Shape::Form(&forms::WORDS)),
                "Values of `typ`, for instance `at+jwt`.",
            ),
            Field::optional(
                "token_bytes",
                Shape::Size,
                "The length of a token; 8KiB where nothing is said.",
            ),
            Field::optional(
                "required_claims",
                Shape::Several(&Shape::Form(&forms::WORDS)),
                "Claims that must be there beside `iss`, `aud` and `exp`.",
            ),
            Field::optional(
                "consumer_claim",
                Shape::Form(&forms::WORDS),
                "The claim that names the consumer; `sub` where nothing is said.",
            ),
            Field::optional(
                "scope_claim",
                Shape::Form(&forms::WORDS),
                "The claim with the scopes; `scope` where nothing is said.",
            ),
            Field::optional(
                "groups_claim",
                Shape::Form(&forms::WORDS),
                "The claim with the groups; `groups` where nothing is said.",
            ),
        ],
        rules: &[
            Rule::One(&["jwks_url", "jwks_file", "secret"]),
            Rule::Holds(check),
        ],
    };

    const ALGORITHMS: &[&str] = &[
        "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA", "HS256",
        "HS384", "HS512",
    ];

    /// Algorithms that the keys cannot be used with, or should not.
    pub static ALGORITHM_MISMATCH: Lint = Lint {
        code: "GW0528",
        name: "algorithm-mismatch",
        level: Level::Error,
        summary: "algorithms that the keys cannot be meant for",
        explain: "HS algorithms use one secret for signing and checking. Allowed beside a published key set they let \
anybody sign tokens with the public key as the secret (RFC 8725 §2.1); with a secret, algorithms of key pairs can never \
check. List only algorithms of one family: HS with `secret`, all others with `jwks_url` or `jwks_file`.",
        bad: &[(
            "gateway.yaml",
            "version: 1\nname: s\nauth: {idp: {kind: jwt, issuer: a, audience: [b], jwks_url: \"https://idp.example/keys\", algorithms: [ES256, HS256]}}\n",
        )],
        good: &[(
            "gateway.yaml",
            "version: 1\nname: s\nauth: {idp: {kind: jwt, issuer: a, audience: [b], jwks_url: \"https://idp.example/keys\", algorithms: [ES256]}}\n",
        )],
    };

    fn check(node: NodeRef<'_>, sink: &mut Sink) {
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
            if wrong && ALGORITHMS.contains(&text) {
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
        let leeway = node.get("leeway");
        if let Some(leeway) =
            leeway.filter(|node| read::duration_ms(*node).is_ok_and(|ms| ms > 60_000))
        {
            sink.push(
                Diagnostic::new(
                    &BAD_VALUE,
                    leeway.span(),
                    "clocks that differ by more than 60s are broken",
                )
                .help("write at most `60s`: an expired token would count for that long"),
            );
        }
    }
}
