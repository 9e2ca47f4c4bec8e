//! Style `tencent`: signatures of applications at Tencent Cloud API Gateway.
//!
//! ```http
//! X-Date: Fri, 15 Jan 2027 08:00:00 GMT
//! Authorization: hmac id="KEYID", algorithm="hmac-sha256", headers="x-date", signature="BASE64"
//! ```
//! The signed text has a line `NAME: VALUE` for each field of `headers`. Then follow lines for the
//! method, `Accept`, `Content-Type` and `Content-MD5`. The last line is the path with the sorted
//! query parameters. The format has no nonce, so each signature is accepted once. Tencent's
//! signatures of key pairs cover neither method nor path; this verifier refuses them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::fmt::rfc2822::DateTimeParser;

use super::claim::{Claim, field, sorted_target, unique};
use super::content::Content;
use super::{Algorithm, Message, Reason};

/// Authentication scheme of these signatures, in lower case.
pub const SCHEME: &str = "hmac";
/// Field with the time.
pub const DATE: &str = "x-date";

/// Parses the signature that follows the scheme `hmac`, and builds the signed text. Does not verify
/// the MAC.
///
/// # Errors
/// The reason of the first check of the format that the signature fails.
pub(super) fn read(message: &Message<'_>, credential: &[u8]) -> Result<Claim, Reason> {
    let headers = &message.head.headers;
    let [key_id, algorithm, names, signature] = parameters(credential)?;
    let algorithm = Algorithm::of(algorithm).ok_or(Reason::Algorithm)?;
    let mac = STANDARD.decode(signature).map_err(|_| Reason::Malformed)?;
    let mut covered: Vec<String> = Vec::new();
    let mut text = String::new();
    for name in names.split(' ').filter(|name| !name.is_empty()) {
        let lower = name.to_ascii_lowercase();
        if covered.contains(&lower) {
            return Err(Reason::Component);
        }
        let value = field(headers, &lower)?.ok_or(Reason::Component)?;
        text.push_str(&format!("{name}: {value}\n"));
        covered.push(lower);
    }
    if !covered.iter().any(|name| name == DATE) {
        return Err(Reason::Age);
    }
    text.push_str(message.head.method.as_str());
    text.push('\n');
    for name in ["accept", "content-type", "content-md5"] {
        text.push_str(&field(headers, name)?.unwrap_or_default());
        text.push('\n');
        covered.push(name.to_owned());
    }
    text.push_str(&sorted_target(message)?);
    covered.extend(["@method", "@path", "@query"].map(str::to_owned));
    let date = unique(headers, DATE)?.unwrap_or_default();
    let created = DateTimeParser::new().parse_timestamp(date);
    let created_ms = created
        .ok()
        .and_then(|at| u64::try_from(at.as_millisecond()).ok());
    let digest = unique(headers, "content-md5")?.filter(|digest| !digest.is_empty());
    Ok(Claim {
        key_id: key_id.to_owned(),
        algorithm: Some(algorithm),
        created_ms: created_ms.ok_or(Reason::Malformed)?,
        expires_s: None,
        nonce: Some(STANDARD.encode(&mac)),
        content: digest
            .map(|digest| md5(digest).ok_or(Reason::Digest))
            .transpose()?,
        text: text.into_bytes(),
        covered,
        mac,
    })
}

/// Decodes a value of `Content-MD5` in Tencent's format: base64 of the digest in hexadecimal
/// digits.
fn md5(digest: &str) -> Option<Content> {
    let digits = STANDARD.decode(digest).ok()?;
    let digits = std::str::from_utf8(&digits)
        .ok()
        .filter(|digits| digits.len() == 32)?;
    let mut bytes = [0; 16];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(Content::Md5(bytes))
}

/// Values of the parameters `id`, `algorithm`, `headers` and `signature`, each of which must occur
/// once.
fn parameters(credential: &[u8]) -> Result<[&str; 4], Reason> {
    const NAMES: [&str; 4] = ["id", "algorithm", "headers", "signature"];
    let mut rest = std::str::from_utf8(credential).map_err(|_| Reason::Malformed)?;
    if rest.len() > super::structured::BYTES_MAX {
        return Err(Reason::TooLarge);
    }
    let mut found: [Option<&str>; 4] = [None; 4];
    loop {
        let (name, value) = rest.split_once("=\"").ok_or(Reason::Malformed)?;
        let (value, behind) = value.split_once('"').ok_or(Reason::Malformed)?;
        let index = NAMES.iter().position(|one| *one == name.trim());
        let place = &mut found[index.ok_or(Reason::Malformed)?];
        if value.contains('\\') || place.replace(value).is_some() {
            return Err(Reason::Malformed);
        }
        match behind.trim_start().strip_prefix(',') {
            Some(next) => rest = next,
            None if behind.trim().is_empty() => break,
            None => return Err(Reason::Malformed),
        }
    }
    match found {
        [Some(id), Some(algorithm), Some(headers), Some(signature)] => {
            Ok([id, algorithm, headers, signature])
        }
        _ => Err(Reason::Malformed),
    }
}
