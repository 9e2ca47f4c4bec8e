//! Shape and checks of `kind: oidc` settings.

use diag::shape::{BAD_VALUE, Field, Object, Rule, Shape};
use diag::{Diagnostic, NodeRef, Sink, read};

use super::{COOKIE, Checked, LIFETIME_MS, SCOPES, TIMEOUT_MS};
use crate::auth::jwt::{Algorithm, GROUPS_CLAIM};
use crate::forms;
use crate::secret::SecretRef;

/// Maximum value of `session.lifetime`, in milliseconds: 30 days.
const LIFETIME_MAX_MS: u64 = 30 * 86_400_000;
/// Maximum length of the name of a cookie, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// Keys of `kind: oidc`.
pub static SHAPE: Object = Object {
    what: "logins by OpenID Connect",
    fields: &[
        Field::required(
            "issuer",
            Shape::Form(&forms::HTTPS_URL),
            "Issuer; its discovery document must name the same issuer.",
        ),
        Field::required(
            "client_id",
            Shape::Form(&forms::WORDS),
            "Client id of the gateway at the provider.",
        ),
        Field::required(
            "client_secret",
            Shape::Secret,
            "Client secret of the gateway at the token endpoint.",
        ),
        Field::required(
            "redirect_path",
            Shape::Form(&forms::PATH),
            "Path of the redirect URI, to which the provider sends browsers. The gateway answers it on each host of the APIs that use the login.",
        ),
        Field::optional(
            "logout_path",
            Shape::Form(&forms::PATH),
            "Path that ends the session, here and at the provider (RP-Initiated Logout 1.0). Default: none.",
        ),
        Field::optional(
            "after_logout",
            Shape::Form(&forms::PATH),
            "Path to which browsers go after the logout. Its URL must be registered at the provider. Default: the page of the provider, or a line of text.",
        ),
        Field::optional(
            "scopes",
            Shape::Several(&Shape::Form(&forms::WORDS)),
            "Requested scopes; `openid` is always requested. Default: `openid`.",
        ),
        Field::optional(
            "audience",
            Shape::Several(&Shape::Form(&forms::WORDS)),
            "Values of `aud` that an ID token may have in addition to the client's id. Default: none.",
        ),
        Field::optional(
            "algorithms",
            Shape::Several(&Shape::Word(Algorithm::NAMES)),
            "Algorithms that ID tokens may be signed with. Default: `RS256`.",
        ),
        Field::optional(
            "jwks_url",
            Shape::Form(&forms::HTTPS_URL),
            "URL of the key set. Default: the URL in the issuer's metadata, which must be at the issuer's origin.",
        ),
        Field::optional(
            "token_url",
            Shape::Form(&forms::HTTPS_URL),
            "Token endpoint. Default: the URL in the issuer's metadata, which must be at the issuer's origin.",
        ),
        Field::optional(
            "timeout",
            Shape::Timeout,
            "Maximum time for a response of the token endpoint. Default: 5s.",
        ),
        Field::optional(
            "required_claims",
            Shape::Several(&Shape::Form(&forms::WORDS)),
            "Claims that an ID token must have in addition to `iss`, `sub`, `aud`, `exp` and `iat`.",
        ),
        Field::optional(
            "consumer_claim",
            Shape::Form(&forms::WORDS),
            "Claim with the name of the consumer that the session belongs to. Default: none; only \
`tokens` of consumers then select the consumer.",
        ),
        Field::optional(
            "groups_claim",
            Shape::Form(&forms::WORDS),
            "Claim with the groups, a space-separated string or a list. Default: `groups`.",
        ),
        Field::optional(
            "bearer",
            Shape::Name("a verifier"),
            "Verifier of tokens in `Authorization` that the schemes of the login accept in addition to sessions: a `jwt`, `introspection` or `dpop`. Default: sessions only.",
        ),
        Field::required("session", Shape::Object(&SESSION), "Session settings."),
    ],
    rules: &[Rule::Holds(check_whole)],
};

static SESSION: Object = Object {
    what: "a session",
    fields: &[
        Field::required(
            "secret",
            Shape::Secret,
            "Keys that seal the cookies, one per line, each of at least 32 bytes. The first key seals cookies; every key opens the cookies that it sealed.",
        ),
        Field::optional(
            "cookie",
            Shape::Form(&forms::FIELD),
            "Name of the cookie; begins with `__Host-`. Default: `__Host-session`.",
        ),
        Field::optional(
            "lifetime",
            Shape::Timeout,
            "Lifetime of a session from the login. Range: up to 720h. Default: 1h.",
        ),
        Field::optional(
            "idle",
            Shape::Timeout,
            "Time without requests after which a session ends. Default: unlimited within `lifetime`.",
        ),
        Field::optional(
            "same_site",
            Shape::Word(&["strict", "lax"]),
            "`SameSite` of the cookie. Default: `lax`.",
        ),
    ],
    rules: &[],
};

fn check_whole(node: NodeRef<'_>, sink: &mut Sink) {
    let get = |key: &str| node.get(key).filter(|value| !value.is_null());
    let text = |key: &str| get(key).and_then(|node| node.scalar_text());
    let session = get("session");
    let of_session = |key: &str| {
        let value = session.and_then(|node| node.get(key));
        value.filter(|value| !value.is_null())
    };
    let mut refuse = |wrong: Option<NodeRef<'_>>, message: &str, help: &str| {
        if let Some(wrong) = wrong {
            sink.push(Diagnostic::new(&BAD_VALUE, wrong.span(), message).help(help));
        }
    };
    for key in ["redirect_path", "logout_path", "after_logout"] {
        let is_plain = |text: &str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
            let mut segments = text.split('/').skip(1);
            text.bytes().all(plain)
                && (text == "/" || segments.all(|one| !matches!(one, "" | "." | "..")))
        };
        refuse(
            get(key).filter(|node| !node.scalar_text().is_none_or(is_plain)),
            "the path is not normalised",
            "write segments of letters, digits, `-`, `.`, `_` and `~`, without a final slash",
        );
        refuse(
            get(key).filter(|_| key != "after_logout" && text(key) == Some("/")),
            "`/` cannot be a login path: the gateway would answer it instead of the upstream",
            "write a path that no operation uses, such as `/login/done`",
        );
    }
    let is_same = text("redirect_path").is_some() && text("redirect_path") == text("logout_path");
    refuse(
        get("logout_path").filter(|_| is_same),
        "login and logout have the same path",
        "write another path, such as `/logout`",
    );
    refuse(
        get("after_logout").filter(|_| text("logout_path").is_none()),
        "`after_logout` has no effect without `logout_path`",
        "add `logout_path`, or remove `after_logout`",
    );
    let algorithms = get("algorithms").into_iter().flat_map(NodeRef::items);
    for algorithm in algorithms {
        let is_shared = algorithm
            .scalar_text()
            .is_some_and(|one| one.starts_with("HS"));
        refuse(
            Some(algorithm).filter(|_| is_shared),
            "ID tokens are checked with the provider's public keys",
            "list an algorithm of key pairs, such as `ES256` or `RS256`",
        );
    }
    let cookie = of_session("cookie").and_then(|node| Some((node, node.scalar_text()?)));
    let has_prefix = |name: &str| name.starts_with("__Host-");
    let help =
        "write a name that begins with `__Host-`, of at most 64 bytes (RFC 6265bis §4.1.3.2)";
    refuse(
        cookie
            .filter(|(_, name)| !has_prefix(name))
            .map(|(node, _)| node),
        "the cookie name lacks the prefix `__Host-`: other hosts of the domain could overwrite the cookie",
        help,
    );
    let is_long = |name: &str| has_prefix(name) && name.len() > NAME_BYTES_MAX;
    refuse(
        cookie
            .filter(|(_, name)| is_long(name))
            .map(|(node, _)| node),
        "the cookie name is too long",
        help,
    );
    let ms = |key: &str| of_session(key).and_then(|node| read::duration_ms(node).ok());
    refuse(
        of_session("lifetime").filter(|_| ms("lifetime").is_some_and(|ms| ms > LIFETIME_MAX_MS)),
        "a session can last at most 720h",
        "write at most `720h`: a stolen cookie is valid for that long",
    );
    let lifetime_ms = ms("lifetime").unwrap_or(LIFETIME_MS);
    refuse(
        of_session("idle").filter(|_| ms("idle").is_some_and(|ms| ms >= lifetime_ms)),
        "`idle` has no effect: it is not shorter than `lifetime`",
        "write a shorter time, or remove `idle`",
    );
}

/// Reads login settings from a node that fits [`SHAPE`]. `None` if a required key is missing.
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
    let session = get("session")?;
    let of_session = |key: &str| session.get(key).filter(|value| !value.is_null());
    let time = |node: Option<NodeRef<'_>>| node.and_then(|node| read::duration_ms(node).ok());
    let secret = |node: Option<NodeRef<'_>>| SecretRef::parse(node?.as_str()?).ok();
    let mut scopes = texts("scopes");
    scopes.extend(SCOPES.iter().map(|one| (*one).to_owned()));
    scopes.sort();
    scopes.dedup();
    let algorithms = texts("algorithms");
    let algorithms = algorithms.iter().filter_map(|one| Algorithm::of(one));
    let mut algorithms: Vec<Algorithm> = algorithms.collect();
    if algorithms.is_empty() {
        algorithms.push(Algorithm::Rs256);
    }
    algorithms.sort();
    Some(Checked {
        issuer: text("issuer")?,
        client_id: text("client_id")?,
        client_secret: secret(get("client_secret"))?,
        redirect_path: text("redirect_path")?,
        logout_path: text("logout_path"),
        after_logout: text("after_logout"),
        scopes,
        audience: texts("audience"),
        algorithms,
        jwks_url: text("jwks_url"),
        token_url: text("token_url"),
        timeout_ms: time(get("timeout")).filter(|ms| *ms != TIMEOUT_MS),
        required_claims: texts("required_claims"),
        consumer_claim: text("consumer_claim"),
        groups_claim: text("groups_claim").filter(|claim| claim != GROUPS_CLAIM),
        session_secret: secret(of_session("secret"))?,
        cookie: of_session("cookie")
            .and_then(|node| Some(node.scalar_text()?.to_owned()))
            .filter(|name| name != COOKIE),
        lifetime_ms: time(of_session("lifetime")).filter(|ms| *ms != LIFETIME_MS),
        idle_ms: time(of_session("idle")),
        strict: of_session("same_site").and_then(|node| node.scalar_text()) == Some("strict"),
    })
}
