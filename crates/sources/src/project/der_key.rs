//! Private keys as bare DER: the base64 or hexadecimal digits of a PEM file without its first and
//! last line. Detects PKCS#8 and encrypted PKCS#8 (RFC 5958), PKCS#1 (RFC 8017 A.1.2), and SEC 1
//! (RFC 5915).

/// Number of digits that are decoded. The structure of a key is in its first bytes.
const DIGITS: usize = 64;

/// Minimum number of digits of a key. Samples of keys have `...` after fewer digits.
const DIGITS_MIN: usize = 44;

/// Minimum length of a key in bytes.
const KEY_BYTES_MIN: usize = 32;
/// Minimum length of the modulus of a key in bytes.
const MODULUS_BYTES_MIN: usize = 64;

const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;

/// First bytes of the object identifiers of password-based encryption in PKCS#5 and PKCS#12.
const ENCRYPTIONS: [&[u8]; 2] = [
    &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05],
    &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x01],
];

/// Finds the first private key in a text and returns its offset.
pub(super) fn find(text: &[u8]) -> Option<usize> {
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=-_".contains(byte);
    let mut at = 0;
    while at < text.len() {
        let run = text[at..].iter().take_while(|byte| is_digit(byte)).count();
        if is_key(&text[at..at + run]) {
            return Some(at);
        }
        at += run.max(1);
    }
    // Hexadecimal digits may be written in pairs, such as `30:82:01`.
    let is_pair = |byte: &u8| byte.is_ascii_hexdigit() || b": \r\n\t".contains(byte);
    let has_pairs = text.contains(&b':') && text.iter().all(is_pair);
    let digits = || text.iter().copied().filter(u8::is_ascii_hexdigit);
    (has_pairs && is_key(&digits().take(DIGITS).collect::<Vec<u8>>())).then_some(0)
}

/// True if the digits have the beginning of a private key in DER.
fn is_key(digits: &[u8]) -> bool {
    // The first byte, the tag of a SEQUENCE, gives `M` in base64 and `30` in hexadecimal digits.
    if digits.len() < DIGITS_MIN {
        return false;
    }
    let digits = &digits[..digits.len().min(DIGITS)];
    match digits {
        [b'M', ..] => is_structure(&from_base64(digits)),
        [b'3', b'0', ..] => is_structure(&from_hex(digits)),
        _ => false,
    }
}

fn from_base64(digits: &[u8]) -> Vec<u8> {
    let value = |digit: &u8| -> Option<u32> {
        Some(u32::from(match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        }))
    };
    let groups = digits.chunks_exact(4).map_while(|group| {
        let mut values = group.iter().map(value);
        values.try_fold(0, |all, value| Some(all << 6 | value?))
    });
    groups
        .flat_map(|group: u32| group.to_be_bytes().into_iter().skip(1))
        .collect()
}

fn from_hex(digits: &[u8]) -> Vec<u8> {
    let value = |digit: u8| {
        char::from(digit)
            .to_digit(16)
            .and_then(|it| u8::try_from(it).ok())
    };
    let pairs = digits.chunks_exact(2);
    pairs
        .map_while(|pair| Some(value(pair[0])? << 4 | value(pair[1])?))
        .collect()
}

/// True if the bytes have the beginning of a private key's DER structure.
fn is_structure(der: &[u8]) -> bool {
    let Some((length, inside)) = header(der, SEQUENCE) else {
        return false;
    };
    if length < KEY_BYTES_MIN {
        return false;
    }
    if let [INTEGER, 1, version @ (0 | 1), rest @ ..] = inside {
        let is_pkcs8 =
            header(rest, SEQUENCE).is_some_and(|(_, rest)| rest.first() == Some(&IDENTIFIER));
        let is_within = |tag: u8, least: usize| {
            header(rest, tag).is_some_and(|(own, _)| own >= least && own < length)
        };
        return is_pkcs8
            || *version == 0 && is_within(INTEGER, MODULUS_BYTES_MIN)
            || *version == 1 && is_within(OCTETS, KEY_BYTES_MIN / 2);
    }
    let algorithm = header(inside, SEQUENCE).and_then(|(_, rest)| header(rest, IDENTIFIER));
    algorithm.is_some_and(|(_, rest)| ENCRYPTIONS.iter().any(|known| rest.starts_with(known)))
}

/// Length of a DER value with this tag, and the bytes after the header. `None` if the tag differs.
fn header(der: &[u8], tag: u8) -> Option<(usize, &[u8])> {
    let (first, rest) = der.split_first()?;
    let (length, rest) = rest.split_first().filter(|_| *first == tag)?;
    match length {
        0x81..=0x84 => {
            let (length, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
            let length = length
                .iter()
                .fold(0, |all, byte| all << 8 | usize::from(*byte));
            Some((length, rest))
        }
        0x80 | 0x85.. => None,
        length => Some((usize::from(*length), rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Beginnings of keys: PKCS#8 (RSA, EC, Ed25519), encrypted PKCS#8, PKCS#1, SEC 1.
    const KEYS: [&str; 7] = [
        "MIIEvgIBADANBgkqhkiG9w0BAQEFAASCBKgwggSkAgEAAoIBAQD",
        "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgAAA",
        "MC4CAQAwBQYDK2VwBCIEIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAhw7Rx",
        "MIICXAIBAAKBgQClTbWE9PuWXReX0n6QcsVWKlOSjPX3hFrZgFS",
        "MHcCAQEEIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAoAoG",
        "MIIEvgIBADANBgkqhkiG9w0BAQEFAASCBKgwggSkAgEAAoIBAQ==",
    ];

    fn hex(text: &str, between: &str) -> String {
        let bytes = from_base64(text.as_bytes());
        let pairs: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        pairs.join(between)
    }

    #[test]
    fn der_keys_without_pem_lines_are_found() {
        for key in KEYS {
            let url = key.replace('+', "-").replace('/', "_");
            for text in [
                key.to_owned(),
                url,
                format!("data:application/pkcs8;base64,{key}"),
                format!("a key:\n  {key}\n  {key}"),
                hex(key, ""),
                hex(key, "").to_uppercase(),
                hex(key, ":"),
            ] {
                assert!(find(text.as_bytes()).is_some(), "{text}");
            }
        }
        assert_eq!(find(format!("key: {}", KEYS[0]).as_bytes()), Some(5));
    }

    #[test]
    fn other_structures_are_no_keys() {
        // A certificate, a certificate request, two public keys, PKCS#12, and samples of keys.
        for text in [
            "MIIBbjCCAROgAwIBAgIURm2/AzU5GrFEgGFPdIMwwTpEydUwCgYI",
            "MIHJMHECAQAwDzENMAsGA1UEAwwEdGVzdDBZMBMGByqGSM49AgEG",
            "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAErmxYiByjxEWFZUw0",
            "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAwVACPi9w",
            "MIIJqQIBAzCCCW8GCSqGSIb3DQEHAaCCCWAEgglcMIIJWDCCA88G",
            "MIIEvgIBADANBgkqhkiG9w0BAQEFAASC...",
            "MMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMM",
            "30303030303030303030303030303030303030303030303030303030",
            "3082",
            "",
        ] {
            assert_eq!(find(text.as_bytes()), None, "{text}");
        }
    }
}
