//! Sealed cookies, encrypted and authenticated with AES-256-GCM (NIST SP 800-38D).
//!
//! The browser stores the state of a login and of a session; the gateway stores neither. Every
//! gateway with the same secret can therefore continue a login or session. A secret has one key per
//! line. The first key encrypts cookies; every key decrypts them. To replace a key, add the new key
//! as the first line, and remove the old key when its sessions have ended.
//!
//! A cookie of more than [`CHUNK_BYTES`] bytes is split, because browsers store at most 4096 bytes
//! of name, value and attributes (RFC 6265 §6.1).

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use zeroize::Zeroizing;

use crate::auth::place::cookie_values;
use crate::secret::{SecretValue, sealing_keys};

/// Maximum length of the value of one cookie, in bytes.
const CHUNK_BYTES: usize = 3_800;
/// Maximum number of cookies into which one sealed text is split.
pub(super) const CHUNKS_MAX: usize = 4;

/// Prefix of the hash input, which separates these cookies from other uses of the secret.
const LABEL: &[u8] = b"gwd oidc cookie v1\0";

/// Use of a sealed (encrypted) text. A text that is sealed for one use cannot be opened for
/// another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// Session of a browser.
    Session,
    /// Login that waits for the provider's response.
    Login,
}

/// Encrypts and decrypts cookie contents with the keys of a secret.
pub(super) struct Sealer<'k> {
    keys: &'k SecretValue,
    /// Digest of the settings of the login to which the texts belong.
    owner: &'k [u8; 32],
}

impl<'k> Sealer<'k> {
    /// Creates a sealer with the keys of a secret. `owner` identifies the login, so that logins
    /// that share a secret do not accept each other's cookies.
    pub(super) fn new(keys: &'k SecretValue, owner: &'k [u8; 32]) -> Self {
        Self { keys, owner }
    }

    /// Pseudo-random bytes that cannot be predicted without the secret. `unique` is different in
    /// each call, `purpose` separates several values of one call.
    pub(super) fn random(&self, unique: &[u8; 32], purpose: &str) -> [u8; 32] {
        let key = sealing_keys(self.keys).next().unwrap_or_default();
        keyed(key, &[purpose.as_bytes(), b"\0", unique])
    }

    /// Encrypts a text for a use. `unique` is different in each call. `None` if there is no key.
    pub(super) fn seal(&self, used: Use, unique: &[u8; 32], text: &[u8]) -> Option<String> {
        let key = aead(sealing_keys(self.keys).next()?)?;
        let nonce: [u8; NONCE_LEN] = self.random(unique, "nonce")[..NONCE_LEN].try_into().ok()?;
        let mut sealed = nonce.to_vec();
        sealed.extend_from_slice(text);
        let mut body = sealed.split_off(NONCE_LEN);
        let nonce = Nonce::assume_unique_for_key(nonce);
        key.seal_in_place_append_tag(nonce, self.aad(used), &mut body)
            .ok()?;
        sealed.append(&mut body);
        Some(URL_SAFE_NO_PAD.encode(sealed))
    }

    /// Decrypts a text. `None` if none of the keys encrypted it for this use.
    pub(super) fn open(&self, used: Use, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let sealed = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (nonce, body) = sealed.split_at_checked(NONCE_LEN)?;
        sealing_keys(self.keys).find_map(|key| {
            let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
            let mut body = Zeroizing::new(body.to_vec());
            let key = aead(key)?;
            let length = key
                .open_in_place(nonce, self.aad(used), &mut body)
                .ok()?
                .len();
            body.truncate(length);
            Some(body)
        })
    }

    fn aad(&self, used: Use) -> Aad<Vec<u8>> {
        let used: &[u8] = match used {
            Use::Session => b"session",
            Use::Login => b"login",
        };
        Aad::from([used, b"\0", self.owner].concat())
    }
}

fn aead(secret: &[u8]) -> Option<LessSafeKey> {
    let key = Zeroizing::new(keyed(secret, &[b"aead"]));
    UnboundKey::new(&AES_256_GCM, &*key)
        .ok()
        .map(LessSafeKey::new)
}

fn keyed(secret: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, secret));
    context.update(LABEL);
    for part in parts {
        context.update(part);
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.sign().as_ref());
    hash
}

/// Splits a sealed text into the values of cookies. `None` if it needs more than [`CHUNKS_MAX`].
/// The first value begins with the number of cookies.
pub(super) fn split(sealed: &str) -> Option<Vec<String>> {
    let count = sealed.len().div_ceil(CHUNK_BYTES).max(1);
    if count > CHUNKS_MAX {
        return None;
    }
    let mut rest = sealed;
    let mut values = Vec::with_capacity(count);
    for index in 0..count {
        let (value, left) = rest.split_at(rest.len().min(CHUNK_BYTES));
        rest = left;
        values.push(match index {
            0 => format!("{count}.{value}"),
            _ => value.to_owned(),
        });
    }
    Some(values)
}

/// Joins the values of a request's cookies to a sealed text. `None` if a cookie is absent or occurs
/// twice.
pub(super) fn join(headers: &HeaderMap, name: &str) -> Option<Vec<u8>> {
    let one = |name: &str| {
        let mut values = cookie_values(headers, name);
        values.next().filter(|_| values.next().is_none())
    };
    let [digit, b'.', first @ ..] = one(name)? else {
        return None;
    };
    let count = usize::from(digit.checked_sub(b'0')?);
    if !(1..=CHUNKS_MAX).contains(&count) {
        return None;
    }
    let mut sealed = first.to_vec();
    for index in 1..count {
        sealed.extend_from_slice(one(&chunk_name(name, index))?);
    }
    Some(sealed)
}

/// True if a text has the form of a sealed text: base64url of a nonce, a text and a tag. A text of
/// another form is not sealed with any key.
#[cfg(feature = "author")]
pub(super) fn is_sealed(text: &[u8]) -> bool {
    let bytes = URL_SAFE_NO_PAD.decode(text);
    bytes.is_ok_and(|bytes| bytes.len() > NONCE_LEN + AES_256_GCM.tag_len())
}

/// Name of the cookie with a part of the sealed text; part 0 has the name of the session's cookie.
pub(super) fn chunk_name(name: &str, index: usize) -> String {
    match index {
        0 => name.to_owned(),
        index => format!("{name}.{index}"),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::COOKIE;

    use super::*;

    const NEW: &[u8] = b"new-new-new-new-new-new-new-new-";
    const OLD: &[u8] = b"old-old-old-old-old-old-old-old-";

    fn secret(lines: &[&[u8]]) -> SecretValue {
        SecretValue::new(lines.join(&b'\n'))
    }

    #[test]
    fn sealed_text_is_opened_by_its_key_and_use() {
        let (new, old) = (secret(&[NEW]), secret(&[OLD]));
        let both = secret(&[NEW, OLD]);
        let owner = [1; 32];
        let text = b"claims of alice";
        let sealed = |keys| Sealer::new(keys, &owner).seal(Use::Session, &[7; 32], text);
        let by_old = sealed(&old).unwrap();
        let opened = |keys, owner, used, sealed: &str| {
            let opened = Sealer::new(keys, owner).open(used, sealed.as_bytes());
            opened.map(|text| text.to_vec())
        };
        let known = Some(text.to_vec());
        assert_eq!(opened(&old, &owner, Use::Session, &by_old), known);
        assert_eq!(opened(&both, &owner, Use::Session, &by_old), known);
        assert_eq!(opened(&new, &owner, Use::Session, &by_old), None);
        assert_eq!(opened(&old, &[2; 32], Use::Session, &by_old), None);
        assert_eq!(opened(&old, &owner, Use::Login, &by_old), None);
        let by_both = sealed(&both).unwrap();
        assert_eq!(opened(&new, &owner, Use::Session, &by_both), known);
        assert!(!by_both.contains("alice"));
        assert!(
            Sealer::new(&secret(&[]), &owner)
                .seal(Use::Login, &[0; 32], text)
                .is_none()
        );
    }

    #[test]
    fn changed_text_is_not_opened() {
        let keys = secret(&[NEW]);
        let sealer = Sealer::new(&keys, &[1; 32]);
        let sealed = sealer.seal(Use::Session, &[7; 32], b"text").unwrap();
        let bytes = URL_SAFE_NO_PAD.decode(&sealed).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let changed = URL_SAFE_NO_PAD.encode(changed);
            assert!(
                sealer.open(Use::Session, changed.as_bytes()).is_none(),
                "{at}"
            );
        }
        for other in [
            "",
            "x",
            "é",
            "====",
            &sealed[..sealed.len() - 1],
            &format!("{sealed}A"),
        ] {
            assert!(
                sealer.open(Use::Session, other.as_bytes()).is_none(),
                "{other}"
            );
        }
    }

    #[test]
    fn random_values_differ_by_call_purpose_and_key() {
        let (new, old) = (secret(&[NEW]), secret(&[OLD]));
        let owner = [1; 32];
        let one = Sealer::new(&new, &owner);
        let all = [
            one.random(&[1; 32], "a"),
            one.random(&[2; 32], "a"),
            one.random(&[1; 32], "b"),
            Sealer::new(&old, &owner).random(&[1; 32], "a"),
        ];
        for (at, first) in all.iter().enumerate() {
            assert!(!all[at + 1..].contains(first), "{at}");
        }
    }

    fn joined(cookies: &[(String, String)]) -> Option<Vec<u8>> {
        let mut headers = HeaderMap::new();
        for (name, value) in cookies {
            let value = HeaderValue::try_from(format!("a=1; {name}={value}")).unwrap();
            headers.append(COOKIE, value);
        }
        join(&headers, "s")
    }

    #[test]
    fn long_text_is_split_and_joined() {
        for length in [0, 1, 3_799, 3_800, 3_801, 7_600, 7_601, 15_200] {
            let text = "x".repeat(length);
            let values = split(&text).unwrap();
            assert!(values.iter().all(|value| value.len() <= CHUNK_BYTES + 2));
            let cookies = values.into_iter().enumerate();
            let mut cookies: Vec<_> = cookies
                .map(|(index, value)| (chunk_name("s", index), value))
                .collect();
            assert_eq!(joined(&cookies), Some(text.into_bytes()), "{length}");
            // An earlier, longer session left a cookie with a higher number. It is ignored.
            cookies.push((chunk_name("s", 9), "y".to_owned()));
            assert!(joined(&cookies).is_some(), "{length}");
            cookies.push(cookies[0].clone());
            assert_eq!(joined(&cookies), None, "twice");
        }
        assert_eq!(split(&"x".repeat(15_201)), None);
        for value in ["", "x", "0.x", "5.x", "9.x", "2.x", "1x", "é.x"] {
            assert_eq!(
                joined(&[("s".to_owned(), value.to_owned())]),
                None,
                "{value}"
            );
        }
    }
}
