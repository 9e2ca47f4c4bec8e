//! Examples of RFC 7515, appendix A. Their tokens have no audience, which is checked after the
//! signature. The reason `audience` therefore means that the signature is valid.

use super::*;

const CLAIMS: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
const AT_S: u64 = 1_300_819_379;

struct Vector(Vec<u8>);

impl Secrets for Vector {
    fn cell(&self, _: &SecretRef, _: Form) -> Result<Arc<SecretCell>, SecretUnavailable> {
        Ok(SecretCell::new(self.0.clone()))
    }
}

fn decode(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

/// Verifies a token, and a copy of it with one flipped bit in the signature.
fn assert_verified(
    keys: KeySource,
    algorithm: Algorithm,
    secret: &str,
    [header, signature]: [&str; 2],
) {
    let settings = Checked {
        issuer: "joe".into(),
        ..checked(keys, &[algorithm])
    };
    let verifier = settings.verifier(&Vector(decode(secret))).unwrap();
    let mut bytes = decode(signature);
    for expected in [Reason::Audience, Reason::Signature] {
        let token = format!("{header}.{CLAIMS}.{}", URL_SAFE_NO_PAD.encode(&bytes));
        let found = verifier.verify(token.as_bytes(), AT_S).unwrap_err();
        assert_eq!(found, expected, "{algorithm:?}");
        bytes[11] ^= 1;
    }
}

fn set(material: Material) -> KeySource {
    KeySource::Set(vec![PublicKey {
        kid: None,
        algorithm: None,
        material,
    }])
}

#[test]
fn appendix_a1_hmac_sha256_is_verified() {
    assert_verified(
        KeySource::Secret(SecretRef::Env("S".into())),
        Algorithm::Hs256,
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
        [
            "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9",
            "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        ],
    );
}

#[test]
fn appendix_a2_rsa_sha256_is_verified() {
    let n = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
    assert_verified(
        set(Material::Rsa(decode(n), decode("AQAB"))),
        Algorithm::Rs256,
        "",
        [
            "eyJhbGciOiJSUzI1NiJ9",
            "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
        ],
    );
}

#[test]
fn appendix_a3_ecdsa_p256_is_verified() {
    assert_verified(
        set(Material::P256(
            decode("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"),
            decode("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"),
        )),
        Algorithm::Es256,
        "",
        [
            "eyJhbGciOiJFUzI1NiJ9",
            "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
        ],
    );
}

/// Examples that a verifier of tokens must refuse: RFC 7515 A.4 (ES512, no claims), A.5
/// (unsecured), A.6 (JSON serialization) and E (an unknown critical extension), RFC 7797 §4.2 (a
/// detached payload).
#[test]
fn examples_that_are_no_tokens_are_refused() {
    let key = set(Material::P256(
        decode("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"),
        decode("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"),
    ));
    let settings = Checked {
        issuer: "joe".into(),
        ..checked(key, &[Algorithm::Es256])
    };
    let verifier = settings.verifier(&OneSecret).unwrap();
    let es512 = "AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn";
    for (example, token, reason) in [
        (
            "A.4",
            format!("eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.{es512}"),
            Reason::Algorithm,
        ),
        (
            "A.5",
            format!("eyJhbGciOiJub25lIn0.{CLAIMS}."),
            Reason::Algorithm,
        ),
        (
            "A.6",
            format!(r#"{{"payload":"{CLAIMS}","signatures":[]}}"#),
            Reason::Malformed,
        ),
        (
            "E",
            "eyJhbGciOiJub25lIiwNCiAiY3JpdCI6WyJodHRwOi8vZXhhbXBsZS5jb20vVU5ERUZJTkVEIl0sDQogImh0dHA6Ly9leGFtcGxlLmNvbS9VTkRFRklORUQiOnRydWUNCn0.RkFJTA.".to_owned(),
            Reason::Critical,
        ),
        (
            "RFC 7797",
            "eyJhbGciOiJIUzI1NiIsImI2NCI6ZmFsc2UsImNyaXQiOlsiYjY0Il19..A5dxf2s96_n5FLueVuW1Z_vh161FwXZC4YLPff6dmDY".to_owned(),
            Reason::Critical,
        ),
    ] {
        let found = verifier.verify(token.as_bytes(), AT_S).unwrap_err();
        assert_eq!(found, reason, "{example}");
    }
}
