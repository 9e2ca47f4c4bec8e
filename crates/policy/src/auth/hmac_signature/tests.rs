//! Examples of RFC 9421 as data, and a table of valid and manipulated signatures.

use std::borrow::Cow;
use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::base::Message;
use super::input::Input;
use super::structured::dictionary;
use super::{Algorithm, COMPONENTS, Checked, Content, FIELD, Signed, Style, Verifier, WINDOW_MS};
use crate::ask::Answers;
use crate::auth::dpop::ClientUrl;
use crate::auth::jwt::Verification;
use crate::auth::place::FoundCredential;
use crate::auth::replays::Windows;
use crate::auth::token::TokenRequest;
use crate::head::RequestHead;
use crate::secret::{Form, SecretCell, SecretRef, SecretUnavailable, Secrets};

/// Requests of RFC 9421 with their signature bases.
const EXAMPLES: &str = include_str!("examples.txt");

/// Requests with the text that their client signed, and the expected result.
const REQUESTS: &str = include_str!("requests.txt");

/// Time of most requests of the table (Unix time, seconds).
const NOW_S: u64 = 1_800_000_000;

/// Secrets of the tests, found by the name of their environment variable.
struct Named;

/// Secret of RFC 9421 §B.1.5.
const RFC: &str =
    "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==";

impl Secrets for Named {
    fn cell(
        &self,
        reference: &SecretRef,
        form: Form,
    ) -> Result<Arc<SecretCell>, SecretUnavailable> {
        let SecretRef::Env(name) = reference else {
            panic!("{reference} is not a variable");
        };
        let value = secret(name);
        assert!(form.fits(&value), "{name}");
        Ok(SecretCell::new(value))
    }
}

fn secret(name: &str) -> Vec<u8> {
    match name {
        "rfc" => STANDARD.decode(RFC).unwrap(),
        name => name.as_bytes().repeat(64)[..64].to_vec(),
    }
}

/// Example request in a test file: its name, the keywords of its second line, the head of the
/// request, and the text below `---`.
struct Written<'f> {
    name: &'f str,
    words: Vec<&'f str>,
    head: RequestHead,
    scheme: &'static str,
    text: String,
}

/// Reads the example requests of a file. Each has a line with `###` and its name, a line with
/// keywords, the request with a URL in its request line, and a text below `---`.
fn written(file: &'static str) -> Vec<Written<'static>> {
    let parts = file.split("### ").skip(1);
    parts.map(read).collect()
}

fn read(part: &'static str) -> Written<'static> {
    let (message, text) = part.split_once("\n---\n").unwrap_or((part, ""));
    let mut lines = message.lines();
    let name = lines.next().unwrap();
    let words = lines.next().unwrap().split(' ').collect();
    let (method, url) = lines.next().unwrap().split_once(' ').unwrap();
    let (scheme, rest) = url.split_once("://").unwrap();
    let (host, path) = rest.split_at(rest.find('/').unwrap());
    let mut headers = HeaderMap::new();
    for line in lines.filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').expect(line);
        let value =
            HeaderValue::from_bytes(value.trim_start().replace("\\xE9", "é").as_bytes()).unwrap();
        headers.append(HeaderName::try_from(name).unwrap(), value);
    }
    Written {
        name,
        words,
        head: RequestHead {
            is_ambiguous: false,
            method: Method::try_from(method).unwrap(),
            target: path.parse().unwrap(),
            host: host.into(),
            headers,
        },
        scheme: if scheme == "https" { "https" } else { "http" },
        text: text.trim_end_matches('\n').to_owned(),
    }
}

#[test]
fn signature_bases_are_those_of_the_rfc() {
    let all = written(EXAMPLES);
    assert!(all.len() >= 22, "{}", all.len());
    for one in all {
        let url = ClientUrl::new(one.scheme, &one.head.host, None, one.head.path().into());
        let bases = Message::new(&one.head, None, url).bases();
        let bases = bases.unwrap_or_else(|reason| panic!("{}: {reason:?}", one.name));
        let [(base, _)] = &bases[..] else {
            panic!("{}", one.name);
        };
        assert_eq!(std::str::from_utf8(base), Ok(&*one.text), "{}", one.name);
    }
}

fn checked(words: &[&str]) -> Checked {
    let has = |word: &str| words.contains(&word);
    let secret = |id: &str, name: &str| (id.to_owned(), SecretRef::Env(name.to_owned()));
    let components: Vec<&str> = match words.iter().find_map(|word| word.strip_prefix("covers=")) {
        Some("") => Vec::new(),
        Some(names) => names.split(',').collect(),
        None if has("aliyun") || has("tencent") => Style::Aliyun.components().to_vec(),
        None => COMPONENTS.to_vec(),
    };
    Checked {
        secrets: vec![
            secret("acme", "acme"),
            secret("other", "other"),
            secret("test-shared-secret", "rfc"),
        ],
        algorithms: match (has("both"), has("sha512")) {
            (true, _) => Algorithm::ALL.to_vec(),
            (false, true) => vec![Algorithm::HmacSha512],
            (false, false) => vec![Algorithm::HmacSha256],
        },
        components: components.iter().map(|one| (*one).to_owned()).collect(),
        content_digest: !has("no-digest"),
        window_ms: WINDOW_MS,
        nonce: !has("no-nonce"),
        style: match (has("aliyun"), has("tencent")) {
            (true, _) => Style::Aliyun,
            (_, true) => Style::Tencent,
            _ => Style::Rfc9421,
        },
        store: None,
    }
}

fn verifier(words: &[&str]) -> Verifier {
    checked(words).verifier(&Named).unwrap()
}

fn verify(verifier: &Verifier, one: &Written<'_>, now_s: u64) -> Verification {
    let answers = Answers::default();
    let head = &one.head;
    let seen = || ClientUrl::new(one.scheme, &head.host, None, head.path().to_owned());
    let found = verifier.style().place().find(head);
    let credential = match &found {
        FoundCredential::One(credential) => credential,
        _ => &Cow::Borrowed(&b""[..]),
    };
    verifier.verify(
        credential,
        &TokenRequest {
            unix_s: now_s,
            cache: None,
            answers: &answers,
            presented: None,
            client_cert: None,
            head,
            url: &seen,
            received: None,
            normalise: |path| Some(path.to_owned()),
        },
    )
}

fn label(verification: &Verification) -> String {
    match verification {
        Verification::Signed(identity, signed) => {
            let content = match signed.content {
                None => "any content",
                Some(Content::Empty) => "no content",
                Some(Content::Digests { .. } | Content::Md5(_)) => "hashed content",
            };
            let once = if signed.used.is_some() {
                "once"
            } else {
                "often"
            };
            let caller = identity.consumer.as_deref().unwrap_or_default();
            format!("{caller}, {once}, {content}")
        }
        Verification::Unsigned(reason) => reason.label().to_owned(),
        other => panic!("{other:?}"),
    }
}

/// Replaces the placeholder `MAC` in the signature fields with the MAC of the signed text.
fn sign(one: &mut Written<'_>) {
    let key = one.words.iter().find_map(|word| word.strip_prefix("key="));
    let is_512 = one.words.contains(&"mac512");
    let algorithm = if is_512 {
        hmac::HMAC_SHA512
    } else {
        hmac::HMAC_SHA256
    };
    let key = hmac::Key::new(algorithm, &secret(key.unwrap_or("acme")));
    let mac = STANDARD.encode(hmac::sign(&key, one.text.as_bytes()));
    for name in [FIELD, "x-ca-signature", "authorization"] {
        let signatures = one.head.headers.get_all(name).iter();
        let signatures: Vec<String> = signatures
            .map(|line| line.to_str().unwrap().replace("MAC", &mac))
            .collect();
        one.head.headers.remove(name);
        for line in signatures {
            one.head.headers.append(name, line.parse().unwrap());
        }
    }
}

#[test]
fn signatures_are_verified_as_in_the_table() {
    let all = written(REQUESTS);
    assert!(all.len() >= 60, "{}", all.len());
    for mut one in all {
        sign(&mut one);
        let at = one.words.iter().find_map(|word| word.strip_prefix("at="));
        let now_s = at.map_or(NOW_S, |at| at.parse().unwrap());
        let verification = verify(&verifier(&one.words), &one, now_s);
        assert_eq!(
            label(&verification).replace(' ', "_"),
            one.words[0],
            "{}",
            one.name
        );
    }
}

#[test]
fn every_reason_of_a_signature_has_a_row() {
    let all = written(REQUESTS);
    let rows: Vec<&str> = all.iter().map(|one| one.words[0]).collect();
    for reason in super::Reason::ALL {
        // The crate `engine` returns these reasons, because they depend on the state of the
        // process.
        if !["revoked", "replayed", "full", "store_unavailable"].contains(&reason.label()) {
            assert!(rows.contains(&reason.label()), "{}", reason.label());
        }
    }
}

/// Verified signature of the example request with this name.
fn used(name: &str) -> Signed {
    let mut all = written(REQUESTS).into_iter();
    let mut one = all.find(|one| one.name == name).unwrap();
    sign(&mut one);
    match verify(&verifier(&one.words), &one, NOW_S) {
        Verification::Signed(_, signed) => signed,
        other => panic!("{other:?}"),
    }
}

#[test]
fn nonce_is_identified_by_key_and_text() {
    let plain = used("a signature with all defaults").used.unwrap();
    let again = used("the same nonce with another body").used.unwrap();
    let other = used("the same nonce by another key").used.unwrap();
    assert_eq!(plain.hash, again.hash);
    assert_ne!(plain.hash, other.hash);
    assert_eq!(plain.life.ends_s, NOW_S + 301);
    let expires = used("a signature that expires").used.unwrap();
    assert_eq!(expires.life.ends_s, NOW_S + 1);
}

#[test]
fn secrets_and_digests_are_never_printed() {
    let verifier = verifier(&[]);
    let text = format!(
        "{verifier:?} {:?}",
        used("the same nonce with another body")
    );
    assert!(
        !text.contains("acmeacme") && !text.contains("97, 99, 109"),
        "{text}"
    );
    assert!(text.contains("Digests(…)"), "{text}");
}

#[test]
fn accept_signature_lists_the_wanted_components() {
    assert_eq!(
        checked(&[]).accept_signature().as_deref(),
        Some(
            r#"sig=("@authority" "@method" "@target-uri" "content-digest");created;alg="hmac-sha256""#
        )
    );
    let other = checked(&["both", "no-digest", r#"covers=@query-param;name="a",date"#]);
    assert_eq!(
        other.accept_signature().as_deref(),
        Some(r#"sig=("@query-param";name="a" "date");created"#)
    );
}

#[test]
fn only_one_signature_by_a_known_key_is_taken() {
    let inputs = dictionary(br#"a=();keyid="x", b=();keyid="y", c=("@method")"#).unwrap();
    let signatures = dictionary(b"a=:AA==:, b=:AQ==:").unwrap();
    let find = |known: &'static [&'static str]| {
        let found = Input::find(&inputs, &signatures, |id| known.contains(&id));
        found.map(|one| (one.key_id, one.signature))
    };
    assert_eq!(find(&["y"]), Ok(("y", &[1][..])));
    assert_eq!(find(&["x", "y"]), Err(super::Reason::Several));
    assert_eq!(find(&["z"]), Err(super::Reason::Key));
}

#[test]
fn longest_window_of_all_verifiers_counts() {
    let verifiers = [2_000, 297_000, 60_000].map(|window_ms| {
        crate::auth::Checked::HmacSignature(Box::new(Checked {
            window_ms,
            ..checked(&[])
        }))
    });
    let windows = Windows::of(verifiers.iter());
    assert_eq!((windows.nonces_ms(), windows.proofs_ms()), (297_000, 0));
}
