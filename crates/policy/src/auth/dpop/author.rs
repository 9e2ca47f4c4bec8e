//! Shape and checks of `kind: dpop` settings.

use diag::shape::{BAD_VALUE, Field, Object, Rule, Shape};
use diag::{Diagnostic, NodeRef, Sink, read};

use super::{Checked, WINDOW_MS};
use crate::auth::jwt::Algorithm;
use crate::auth::replays::{self, author::Window};
use crate::secret::SecretRef;

/// Allowed range of the setting `window`: up to ten minutes.
const WINDOW: Window = Window {
    max_ms: 600_000,
    message: "`window` must be from 1s to 10m",
    help: "write `1m`: during the window, a stolen proof can be replayed at any other gateway",
};

/// Keys of `kind: dpop`.
pub static SHAPE: Object = Object {
    what: "tokens with proof of possession",
    fields: &[
        Field::required(
            "token",
            Shape::Name("a verifier"),
            "Verifier of the token itself: a `jwt` or `introspection`.",
        ),
        Field::optional(
            "algorithms",
            Shape::Several(&Shape::Word(&[
                "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA",
            ])),
            "Signature algorithms of proofs. Default: `ES256`.",
        ),
        Field::optional(
            "window",
            Shape::Timeout,
            "Maximum age of a proof. Range: `1s`–`10m`. Default: 1m.",
        ),
        Field::optional(
            "nonce",
            Shape::Bool,
            "Require a nonce from the gateway in proofs (RFC 9449 §9). Default: `false`.",
        ),
        Field::optional(
            "nonce_secret",
            Shape::Secret,
            "With `nonce`: secret of at least 32 bytes for nonces. Gateways with the same secret \
            accept each other's nonces. Default: a random secret per process.",
        ),
        replays::author::STORE,
        replays::author::ON_OUTAGE,
    ],
    rules: &[Rule::Holds(check_whole)],
};

fn check_whole(node: NodeRef<'_>, sink: &mut Sink) {
    let get = |key: &str| node.get(key).filter(|value| !value.is_null());
    replays::author::check(node, &WINDOW, sink);
    replays::author::check_store(node, sink);
    let needs = get("nonce").and_then(NodeRef::as_bool) == Some(true);
    if let Some(secret) = get("nonce_secret").filter(|_| !needs) {
        sink.push(
            Diagnostic::new(
                &BAD_VALUE,
                secret.span(),
                "`nonce_secret` has no effect without `nonce: true`",
            )
            .help("add `nonce: true`, or remove `nonce_secret`"),
        );
    }
}

/// Reads the settings of a verifier from a node that fits [`SHAPE`]. `None` if the setting `token`
/// is absent.
pub(in crate::auth) fn check(node: NodeRef<'_>) -> Option<Checked> {
    let get = |key: &str| node.get(key).filter(|value| !value.is_null());
    let items = get("algorithms").into_iter().flat_map(NodeRef::items);
    let mut algorithms: Vec<Algorithm> = items
        .filter_map(|item| Algorithm::of(item.scalar_text()?))
        .collect();
    if algorithms.is_empty() {
        algorithms.push(Algorithm::Es256);
    }
    algorithms.sort();
    algorithms.dedup();
    let window_ms = get("window").and_then(|node| read::duration_ms(node).ok());
    let secret = get("nonce_secret").and_then(NodeRef::as_str);
    Some(Checked {
        token: get("token")?.scalar_text()?.to_owned(),
        algorithms,
        window_ms: window_ms.unwrap_or(WINDOW_MS),
        nonce: get("nonce").and_then(NodeRef::as_bool) == Some(true),
        nonce_secret: secret.and_then(|text| SecretRef::parse(text).ok()),
        store: replays::author::store(node),
    })
}
