//! Shape and checks of `kind: hmac_signature` settings.

use diag::shape::{BAD_VALUE, Field, Form, Object, Rule, Shape};
use diag::{Diagnostic, NodeRef, Sink, read};

use super::{Algorithm, Checked, Style, WINDOW_MS, base};
use crate::auth::replays::{self, author::Window};
use crate::secret::SecretRef;

/// Allowed range of the setting `window`: up to 15 minutes.
const WINDOW: Window = Window {
    max_ms: 900_000,
    message: "`window` must be from 1s to 15m",
    help: "write `5m`: the gateway stores every nonce for the whole window",
};

/// Keys of `kind: hmac_signature`.
pub static SHAPE: Object = Object {
    what: "signed requests",
    fields: &[
        Field::required(
            "secrets",
            Shape::Map(&Shape::Secret),
            "Secrets by the key id in the signature, each at least as long as the hash: 32 or 64 bytes. The caller is the consumer with the name of the key id, if there is one.",
        ),
        Field::optional(
            "algorithms",
            Shape::Several(&Shape::Word(&["hmac-sha256", "hmac-sha512"])),
            "Signature algorithms of requests. Default: `hmac-sha256`.",
        ),
        Field::optional(
            "style",
            Shape::Word(&["rfc9421", "aliyun", "tencent"]),
            "Format of the signature: that of RFC 9421, of Alibaba Cloud API Gateway, or of applications at Tencent Cloud API Gateway. Default: `rfc9421`.",
        ),
        Field::optional(
            "components",
            Shape::Several(&Shape::Form(&COMPONENT)),
            "Parts that the signature must cover. Default: `@method`, `@target-uri` and `@authority`; `@method`, `@path` and `@query` with another `style`.",
        ),
        Field::optional(
            "content_digest",
            Shape::Bool,
            "Require that the signature covers the body, by `Content-Digest`, or by `Content-MD5` with another `style`. Requests without a body need none. Default: `true`.",
        ),
        Field::optional(
            "nonce",
            Shape::Word(&["required", "optional"]),
            "Nonces of signatures: each is accepted once. With `optional`, a signature without a nonce may be repeated until it is too old. Default: `required`.",
        ),
        Field::optional(
            "window",
            Shape::Timeout,
            "Maximum age of a signature. Range: `1s`–`15m`. Default: 5m.",
        ),
        replays::author::STORE,
        replays::author::ON_OUTAGE,
    ],
    rules: &[Rule::Holds(check_whole)],
};

/// Syntax of a component identifier (RFC 9421 §2), such as `content-type` or `@method`.
static COMPONENT: Form = Form {
    what: "a component of RFC 9421 §2 such as `@method`, `@query-param;name=\"id\"` or `content-type`",
    pattern: r"@?[!#$%&'*+.^_`|~0-9a-z-]+(;.+)?",
    fits: |text| base::read(text).is_some(),
};

fn check_whole(node: NodeRef<'_>, sink: &mut Sink) {
    let get = |key: &str| node.get(key).filter(|value| !value.is_null());
    replays::author::check(node, &WINDOW, sink);
    replays::author::check_store(node, sink);
    check_style(node, sink);
    if let Some(secrets) = get("secrets").filter(|all| all.entries().len() == 0) {
        sink.push(
            Diagnostic::new(&BAD_VALUE, secrets.span(), "no key can sign requests")
                .help("write `secrets: {KEYID: \"${file:PATH}\"}`"),
        );
    }
}

/// Reports settings that styles other than RFC 9421 do not support.
fn check_style(node: NodeRef<'_>, sink: &mut Sink) {
    let get = |key: &str| node.get(key).filter(|value| !value.is_null());
    let style = get("style").and_then(NodeRef::scalar_text);
    let style = style.and_then(Style::of).unwrap_or(Style::Rfc9421);
    if style == Style::Rfc9421 {
        return;
    }
    let name = style.name();
    let items = |key: &str| get(key).into_iter().flat_map(NodeRef::items);
    let plain = |text: &str| !text.contains(';') && !text.starts_with('@');
    let covered = |text: &str| plain(text) || style.components().contains(&text);
    let strange = items("components").find(|item| !item.scalar_text().is_some_and(covered));
    if let Some(item) = strange {
        let message = format!("signatures of the style `{name}` do not cover this component");
        sink.push(
            Diagnostic::new(&BAD_VALUE, item.span(), message)
                .help("write names of fields; method, path and query are always covered"),
        );
    }
    let strange = items("algorithms").find(|item| item.scalar_text() != Some("hmac-sha256"));
    if let Some(item) = strange.filter(|_| style == Style::Aliyun) {
        sink.push(
            Diagnostic::new(
                &BAD_VALUE,
                item.span(),
                "`X-Ca-Signature-Method` has no name for this algorithm",
            )
            .help("write `hmac-sha256`"),
        );
    }
    if let Some(nonce) = get("nonce").filter(|_| style == Style::Tencent) {
        sink.push(
            Diagnostic::new(
                &BAD_VALUE,
                nonce.span(),
                "signatures of the style `tencent` have no nonce",
            )
            .help("remove `nonce`: each signature is accepted once"),
        );
    }
}

/// Reads the settings of a verifier from a node that fits [`SHAPE`].
pub(in crate::auth) fn check(node: NodeRef<'_>) -> Option<Checked> {
    let get = |key: &str| node.get(key).filter(|value| !value.is_null());
    let texts = |key: &str| {
        let items = get(key).into_iter().flat_map(NodeRef::items);
        items.filter_map(|item| item.scalar_text())
    };
    let style = get("style").and_then(NodeRef::scalar_text);
    let style = style.and_then(Style::of).unwrap_or(Style::Rfc9421);
    let mut algorithms: Vec<Algorithm> = texts("algorithms").filter_map(Algorithm::of).collect();
    if algorithms.is_empty() {
        algorithms.push(Algorithm::HmacSha256);
    }
    algorithms.sort();
    algorithms.dedup();
    let mut components: Vec<String> = texts("components").filter_map(base::read).collect();
    if components.is_empty() {
        components.extend(style.components().iter().map(|one| (*one).to_owned()));
    }
    components.sort();
    components.dedup();
    let secrets = get("secrets").into_iter().flat_map(NodeRef::entries);
    let secrets = secrets.filter_map(|(entry, secret)| {
        let secret = SecretRef::parse(secret.as_str()?).ok()?;
        Some((entry.key.to_string(), secret))
    });
    let mut secrets: Vec<(String, SecretRef)> = secrets.collect();
    secrets.sort();
    let window_ms = get("window").and_then(|node| read::duration_ms(node).ok());
    Some(Checked {
        secrets,
        algorithms,
        components,
        content_digest: get("content_digest").and_then(NodeRef::as_bool) != Some(false),
        window_ms: window_ms.unwrap_or(WINDOW_MS),
        nonce: get("nonce").and_then(NodeRef::scalar_text) != Some("optional"),
        style,
        store: replays::author::store(node),
    })
}
