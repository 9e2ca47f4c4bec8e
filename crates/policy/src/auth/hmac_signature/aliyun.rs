//! Style `aliyun`: signatures of Alibaba Cloud API Gateway, for clients with its SDKs.
//!
//! | Field | Content |
//! |---|---|
//! | `X-Ca-Key` | key id |
//! | `X-Ca-Timestamp` | time in milliseconds; must be signed |
//! | `X-Ca-Nonce` | nonce; must be signed |
//! | `X-Ca-Signature-Method` | `HmacSHA256`, or absent |
//! | `X-Ca-Signature-Headers` | names of the signed fields, separated by commas |
//! | `X-Ca-Signature` | the MAC in base64 |
//!
//! The signed text has lines for the method, `Accept`, `Content-MD5`, `Content-Type` and `Date`.
//! Then follows a line `NAME:VALUE` for each field of `X-Ca-Signature-Headers`, sorted by name. The
//! last line is the path with the sorted query parameters.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::claim::{Claim, field, sorted_target, unique};
use super::content::Content;
use super::{Algorithm, Message, Reason};

/// Field with the signature.
pub const SIGNATURE: &str = "x-ca-signature";
/// Field with the names of the signed fields.
pub const HEADERS: &str = "x-ca-signature-headers";
/// Field with the name of the algorithm.
pub const METHOD: &str = "x-ca-signature-method";
/// Field with the key id.
pub const KEY: &str = "x-ca-key";
/// Field with the time.
pub const TIMESTAMP: &str = "x-ca-timestamp";
/// Field with the nonce.
pub const NONCE: &str = "x-ca-nonce";

/// Fields whose values are always in the signed text. A client that lists them as signed fields
/// does not add them a second time.
const ALWAYS: &[&str] = &["accept", "content-md5", "content-type", "date"];

/// Parses the signature of a request and builds the signed text. Does not verify the MAC.
///
/// # Errors
/// The reason of the first check of the format that the signature fails.
pub(super) fn read(message: &Message<'_>) -> Result<Claim, Reason> {
    let headers = &message.head.headers;
    let one = |name: &str| match unique(headers, name)? {
        Some(value) if !value.is_empty() => Ok(value),
        _ => Err(Reason::Malformed),
    };
    let mac = STANDARD.decode(one(SIGNATURE)?);
    let key_id = one(KEY)?.to_owned();
    let algorithm = match unique(headers, METHOD)? {
        None | Some("HmacSHA256") => Algorithm::HmacSha256,
        Some(_) => return Err(Reason::Algorithm),
    };
    let listed = unique(headers, HEADERS)?.unwrap_or_default();
    let listed = listed.split(',').map(str::trim);
    let mut names: Vec<&str> = listed.filter(|name| !name.is_empty()).collect();
    names.sort_unstable();
    let mut covered: Vec<String> = ["@method", "@path", "@query"].map(str::to_owned).into();
    covered.extend(ALWAYS.iter().map(|name| (*name).to_owned()));
    let mut text = String::new();
    text.push_str(message.head.method.as_str());
    text.push('\n');
    for name in ALWAYS {
        text.push_str(&field(headers, name)?.unwrap_or_default());
        text.push('\n');
    }
    for name in names {
        let lower = name.to_ascii_lowercase();
        if ALWAYS.contains(&&*lower) || [SIGNATURE, HEADERS].contains(&&*lower) {
            continue;
        }
        if covered.contains(&lower) {
            return Err(Reason::Component);
        }
        let value = field(headers, &lower)?.ok_or(Reason::Component)?;
        text.push_str(&format!("{name}:{value}\n"));
        covered.push(lower);
    }
    text.push_str(&sorted_target(message)?);
    let covers = |name: &str| covered.iter().any(|one| one == name);
    if !covers(TIMESTAMP) {
        return Err(Reason::Age);
    }
    let created_ms = one(TIMESTAMP)?;
    let is_time = created_ms.len() <= 15 && created_ms.bytes().all(|byte| byte.is_ascii_digit());
    let created_ms = created_ms.parse().ok().filter(|_| is_time);
    let nonce = match unique(headers, NONCE)? {
        Some(nonce) if covers(NONCE) => Some(nonce.to_owned()),
        _ => None,
    };
    let digest = unique(headers, "content-md5")?.filter(|digest| !digest.is_empty());
    let content = digest.map(|digest| {
        let bytes = STANDARD.decode(digest).ok();
        let md5 = bytes.and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
        md5.map(Content::Md5).ok_or(Reason::Digest)
    });
    Ok(Claim {
        key_id,
        algorithm: Some(algorithm),
        created_ms: created_ms.ok_or(Reason::Malformed)?,
        expires_s: None,
        nonce,
        content: content.transpose()?,
        text: text.into_bytes(),
        covered,
        mac: mac.map_err(|_| Reason::Malformed)?,
    })
}
