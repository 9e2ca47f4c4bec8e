//! Names of query parameters and cookies that some servers treat as the same name.
//!
//! | Server | Reads as `api_key` |
//! |---|---|
//! | ASP.NET (`Request.Query`, `Request.Cookies`) | `API_KEY`: names are case-insensitive |
//! | PHP (`$_GET`, `$_COOKIE`) | `api.key`, `api key`, `api[key`, ` api_key`; a name ends at NUL |
//! | PHP, Rack, `qs` of Node | `api_key[]`, `api_key[0]`: an element of a list `api_key` |
//! | ASP.NET (System.Web) | `%u0061pi_key`: an escape that is no percent-encoding |

use super::decode_query;

/// True if some server treats `name` as equal to `wanted`. `name` must be percent-decoded.
#[must_use]
pub fn is_read_as(name: &[u8], wanted: &[u8]) -> bool {
    is_equal(name, wanted, plain)
}

/// Forms of a name that servers may compare. If [`is_read_as`] is true for two names, they have a
/// form in common. Names with a common form are not necessarily equal for a server.
#[must_use]
pub fn readings(name: &[u8]) -> [Vec<u8>; 2] {
    let end = name.iter().position(|byte| *byte == 0);
    let name = name[..end.unwrap_or(name.len())].trim_ascii();
    let list = name.iter().position(|byte| *byte == b'[');
    let element_of = list.filter(|at| *at > 0).map_or(name, |at| &name[..at]);
    [name, element_of].map(|name| name.iter().map(|byte| plain(*byte)).collect())
}

/// True if some servers find a parameter `wanted` in a query, and others do not. Its name has
/// another spelling, or it follows a `;`, which only some servers use as a separator.
#[must_use]
pub fn has_lookalike(query: &str, wanted: &str) -> bool {
    query.split('&').any(|pair| {
        pair.split(';').enumerate().any(|(index, part)| {
            let written = part.split('=').next().unwrap_or_default();
            let is_other = index > 0 || *decode_query(written) != *wanted.as_bytes();
            is_other && is_written_as(written, wanted)
        })
    })
}

/// A query without the parameters that some server treats as `wanted`. `None` if it has none.
#[must_use]
pub fn without(query: &str, wanted: &str) -> Option<String> {
    let is_wanted = |part: &&str| {
        let written = part.split('=').next().unwrap_or_default();
        is_written_as(written, wanted)
    };
    if !query.split(['&', ';']).any(|part| is_wanted(&part)) {
        return None;
    }
    // Remove the whole `&` part if its first name is the wanted one: servers that do not separate
    // by `;` read the rest as its value.
    let kept = query.split('&').filter(|pair| {
        let first = pair.split(';').next();
        !first.is_some_and(|first| is_wanted(&first))
    });
    let kept = kept.map(|pair| {
        let parts = pair.split(';').filter(|part| !is_wanted(part));
        parts.collect::<Vec<_>>().join(";")
    });
    Some(kept.collect::<Vec<_>>().join("&"))
}

/// True if some server treats an encoded name in a query as equal to `wanted`.
fn is_written_as(written: &str, wanted: &str) -> bool {
    let is_wanted = |text: &str| is_read_as(&decode_query(text), wanted.as_bytes());
    is_wanted(written) || without_unicode(written).is_some_and(|text| is_wanted(&text))
}

/// Decodes escapes such as `%u0061`. `None` if the text has no such escape.
fn without_unicode(text: &str) -> Option<String> {
    let escape = |rest: &str| {
        let digits = rest.strip_prefix(['u', 'U'])?.get(..4)?;
        let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        u16::from_str_radix(digits, 16).ok().filter(|_| is_hex)
    };
    let mut parts = text.split('%');
    let mut out = parts.next()?.to_owned();
    let mut found = false;
    for part in parts {
        match escape(part) {
            Some(unit) => {
                found = true;
                // Replace half of a surrogate pair by a character that no parameter name contains.
                out.push(char::from_u32(u32::from(unit)).unwrap_or(char::REPLACEMENT_CHARACTER));
                out.push_str(&part[5..]);
            }
            None => {
                out.push('%');
                out.push_str(part);
            }
        }
    }
    found.then_some(out)
}

/// True if [`is_read_as`] is true for `name` and `wanted`, or if they differ only in `-` and `_`.
/// Used for parameters that contain credentials in some APIs.
pub(super) fn resembles(name: &[u8], wanted: &[u8]) -> bool {
    is_equal(name, wanted, |byte| match plain(byte) {
        b'-' => b'_',
        byte => byte,
    })
}

fn is_equal(name: &[u8], wanted: &[u8], plain: impl Fn(u8) -> u8) -> bool {
    let end = |byte| name.iter().position(|one| *one == byte);
    let name = name[..end(0).unwrap_or(name.len())].trim_ascii();
    let wanted = wanted.trim_ascii();
    let is_same = |one: &[u8]| {
        let mut pairs = one.iter().zip(wanted);
        one.len() == wanted.len() && pairs.all(|(a, b)| plain(*a) == plain(*b))
    };
    let list = name.iter().position(|byte| *byte == b'[');
    is_same(name) || list.is_some_and(|at| at > 0 && is_same(&name[..at]))
}

/// Maps a byte of a name to the byte that PHP or ASP.NET would compare in its place.
fn plain(byte: u8) -> u8 {
    match byte {
        b'.' | b' ' | b'[' => b'_',
        byte => byte.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::{has_lookalike, is_read_as, readings, resembles, without};

    #[test]
    fn lookalikes_of_a_parameter_are_found_and_removed() {
        for (query, is_found, kept) in [
            ("q=1&r=2", false, Some("r=2")),
            ("q=1&q=2", false, Some("")),
            ("r=q;s=q", false, None),
            ("q=1&q[]=2&r=1", true, Some("r=1")),
            ("q%5B0%5D=2", true, Some("")),
            ("r=1;q=2", true, Some("r=1")),
            ("Q=1&%2Bq=1&+q=1", true, Some("%2Bq=1")),
            ("q%00x=1", true, Some("")),
            ("%u0071=1&r=2", true, Some("r=2")),
            ("r=1;%U0051%5b%u005D=1", true, Some("r=1")),
            ("%u00zz=q&%u+071=q&%u007=1&%25u0071=1&%u0072=q", false, None),
        ] {
            assert_eq!(has_lookalike(query, "q"), is_found, "{query}");
            assert_eq!(without(query, "q").as_deref(), kept, "{query}");
        }
    }

    #[test]
    fn names_that_servers_read_alike_are_one() {
        for name in [
            &b"api_key"[..],
            b"API_Key",
            b"api.key",
            b"api key",
            b"api[key",
            b" api_key",
            b"api_key\0x",
            b"api_key[]",
            b"Api.Key[0]",
        ] {
            assert!(is_read_as(name, b"api_key"), "{name:?}");
            assert!(readings(name).contains(&b"api_key".to_vec()), "{name:?}");
        }
        for name in [
            &b"apikey"[..],
            b"api-key",
            b"api__key",
            b"xapi_key",
            b"api_keys",
            b"api_key]",
            b"x[api_key]",
            b"",
            b"[",
        ] {
            assert!(!is_read_as(name, b"api_key"), "{name:?}");
        }
        assert!(is_read_as(b"filter[key]", b"filter[key]"));
        assert!(is_read_as(b"api_key", b"api.key"));
    }

    #[test]
    fn hyphen_is_another_name_except_in_logs() {
        assert!(!is_read_as(b"access-token", b"access_token"));
        assert!(resembles(b"Access-Token", b"access_token"));
        assert!(!resembles(b"accesstoken", b"access_token"));
    }
}
