//! Names of query parameters, form fields and cookies that some servers treat as the same name.
//!
//! | Server | Reads as `api_key` |
//! |---|---|
//! | ASP.NET (`Request.Query`, `Request.Cookies`) | `API_KEY`: names are case-insensitive |
//! | PHP (`$_GET`, `$_COOKIE`) | `api.key`, `api key`, `api[key`, ` api_key`; a name ends at NUL |
//! | PHP, Rack, `qs` of Node | `api_key[]`, `api_key[0]`: an element of a list `api_key` |
//! | `qs` of Node | `[api_key]`, `[api_key][x]` |
//! | `qs` with `allowDots` | `.api_key`, `api_key.x`: a dot is a bracket |
//! | Rack 2 (`parse_nested_query`) | `[[api_key]]`, `]api_key`, `[]api_key`, `api_key]`, `api_key[` |
//! | Spring (`WebDataBinder`) | `!api_key`: value of an absent `api_key` |
//! | Zope | `api_key:list`: the name of a converter behind a colon |
//! | WHATWG `URLSearchParams` | `?api_key` at the beginning |
//! | `body-parser` of Express, undici | a byte order mark before `api_key` |
//! | Python (`str.strip`), JavaScript (`trim`) | Unicode white space around `api_key`, as U+00A0 |
//! | cookie parsers that remove quotation marks | `"api_key"` |
//! | ASP.NET (System.Web) | `%u0061pi_key`: an escape that is not percent-encoding |
//! | `ufo` of Node (h3, Nuxt) | `=api_key`: the query `=api_key=x` |
//! | Werkzeug before 2.2.3 (CVE-2023-23934) | `=api_key`: the cookie `=api_key=x` |
//!
//! Other servers find no parameter at all: Tomcat and Go leave out a parameter with a `%` that two
//! hexadecimal digits do not follow, Go also one with a `;`.

use std::borrow::Cow;

use super::decode_query;

/// Maximum number of parts between brackets in a form of a name. Later parts are left out.
const PARTS_MAX: usize = 8;

/// Characters that some servers ignore at the beginning of a name.
const MARKS: [&[u8]; 2] = [b"?", b"!"];

/// Converters of Zope (`ZPublisher.Converters`), which a name of a field has after a colon.
const CONVERTERS: [&str; 26] = [
    "action",
    "boolean",
    "bytes",
    "date",
    "date_international",
    "default",
    "float",
    "ignore_empty",
    "int",
    "json",
    "lines",
    "list",
    "long",
    "method",
    "record",
    "records",
    "required",
    "string",
    "text",
    "tokens",
    "tuple",
    "ulines",
    "ustring",
    "utext",
    "utf-8",
    "utokens",
];

/// Calls `known` with each name that common servers may understand for the percent-decoded `name`,
/// until `known` returns a value. Returns this value.
///
/// The names are: `name` up to its first NUL, without white space around it. For `?[a][b]` and
/// similar names, also the part outside brackets or in the first brackets: alone (`a`), and with
/// the parts after it (`a[b]`). Names are given as written: `known` decides which characters it
/// compares as equal.
pub fn compared_forms<T>(name: &[u8], mut known: impl FnMut(&[u8]) -> Option<T>) -> Option<T> {
    let end = name.iter().position(|byte| *byte == 0);
    let name = name[..end.unwrap_or(name.len())].trim_ascii();
    if let Some(found) = known(name) {
        return Some(found);
    }
    forms_of_parts(name, b"[]", known)
}

/// Like [`compared_forms`], for the name of a query parameter or form field. Also calls `known`
/// with the names that `qs` with `allowDots` understands: it reads `.a` as `a`, and `a.b` as
/// `a[b]`. Does the same for the name without a converter of Zope.
pub fn compared_in_query<T>(name: &[u8], mut known: impl FnMut(&[u8]) -> Option<T>) -> Option<T> {
    let found = forms_in_query(name, &mut known);
    found.or_else(|| forms_in_query(without_converter(name)?, &mut known))
}

/// Name of a field without the converters of Zope: `role` for `role:int:list`. `None` if it has no
/// converter.
#[must_use]
pub fn without_converter(name: &[u8]) -> Option<&[u8]> {
    let colon = name.iter().position(|byte| *byte == b':')?;
    let mut behind = name[colon + 1..].split(|byte| *byte == b':');
    let is_known = |one: &[u8]| CONVERTERS.iter().any(|known| known.as_bytes() == one);
    behind.any(is_known).then_some(&name[..colon])
}

/// Calls `known` with the names that servers understand for a name without a converter.
fn forms_in_query<T>(name: &[u8], mut known: impl FnMut(&[u8]) -> Option<T>) -> Option<T> {
    let found = compared_forms(name, &mut known);
    if found.is_some() || !name.contains(&b'.') {
        return found;
    }
    let end = name.iter().position(|byte| *byte == 0);
    let name = name[..end.unwrap_or(name.len())].trim_ascii();
    forms_of_parts(name, b"[].", known)
}

/// Calls `known` with the first part of a name, and with this part and the parts after it in
/// brackets. `separators`: characters between the parts.
fn forms_of_parts<T>(
    name: &[u8],
    separators: &[u8],
    mut known: impl FnMut(&[u8]) -> Option<T>,
) -> Option<T> {
    let mut bare = name;
    while let Some(rest) = MARKS.iter().find_map(|mark| bare.strip_prefix(*mark)) {
        bare = rest;
    }
    bare = within_ascii(bare);
    let parts = bare.split(|byte| separators.contains(byte));
    let mut parts = parts.filter(|part| !part.is_empty()).take(PARTS_MAX);
    let first = parts.next().filter(|first| first.len() < name.len())?;
    if let Some(found) = known(first) {
        return Some(found);
    }
    let mut form = Cow::Borrowed(first);
    parts.find_map(|part| {
        let form = form.to_mut();
        form.push(b'[');
        form.extend_from_slice(part);
        form.push(b']');
        known(form)
    })
}

/// Name without the bytes at its ends that are white space, controls, quotation marks or not ASCII.
/// Python removes the controls 0x0B and 0x1C to 0x1F as white space. Servers that read names as
/// ISO-8859-1 or UTF-8 ignore Unicode white space and byte order marks at the ends of names.
#[must_use]
pub(super) fn within_ascii(mut name: &[u8]) -> &[u8] {
    let is_outer = |byte: &u8| *byte <= b' ' || *byte == b'"' || !byte.is_ascii();
    while let Some((_, rest)) = name.split_first().filter(|(first, _)| is_outer(first)) {
        name = rest;
    }
    while let Some((_, rest)) = name.split_last().filter(|(last, _)| is_outer(last)) {
        name = rest;
    }
    name
}

/// True if some server treats the name of a cookie as equal to `wanted`. `name` must be
/// percent-decoded.
#[must_use]
pub(super) fn is_cookie_read_as(name: &[u8], wanted: &[u8]) -> bool {
    let is_wanted = equality(wanted, plain);
    compared_forms(name, |form| is_wanted(form).then_some(())).is_some()
}

/// True if some server treats the name of a query parameter or form field as equal to `wanted`.
/// `name` must be percent-decoded.
#[must_use]
pub fn is_read_as(name: &[u8], wanted: &[u8]) -> bool {
    is_equal(name, wanted, plain)
}

/// Forms of a parameter's name that servers may compare. If [`is_read_as`] is true for two names,
/// they have a form in common. Names with a common form are not necessarily equal for a server.
#[must_use]
pub fn readings(name: &[u8]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    compared_in_query(name, |form| -> Option<()> {
        all.push(form.iter().map(|byte| plain(*byte)).collect());
        None
    });
    all
}

/// True if only some servers find a parameter `wanted` in a query. The parameter's name has a
/// different spelling, or it follows a `;`, which only some servers use as a separator. Also true
/// if the parameter [`is_malformed`]: Tomcat and Go leave it out, and System.Web decodes `%u0061`.
#[must_use]
pub fn has_lookalike(query: &str, wanted: &str) -> bool {
    query.split('&').any(|pair| {
        pair.split(';').enumerate().any(|(index, part)| {
            let (written, _) = name_and_value(part);
            let is_other = index > 0
                || part.starts_with('=')
                || *decode_query(written) != *wanted.as_bytes()
                || is_malformed(part);
            is_other && is_written_as(written, wanted)
        })
    })
}

/// True if servers may read different values of a parameter `wanted` in a query. The query has a
/// lookalike of the parameter (see [`has_lookalike`]), or the parameter has a `;`. Servers that
/// separate parameters at `;` read `admin` in `wanted=admin;x`, and Go leaves the parameter out.
#[must_use]
pub fn has_several_readings(query: &str, wanted: &str) -> bool {
    let is_cut = |pair: &str| {
        let first = pair.split_once(';').map(|(first, _)| first);
        let name = first.map(name_of);
        name.is_some_and(|name| is_written_as(name, wanted))
    };
    has_lookalike(query, wanted) || query.contains(';') && query.split('&').any(is_cut)
}

/// Query without the parameters that some server treats as `wanted`. `None` if there are no such
/// parameters.
#[must_use]
pub fn without(query: &str, wanted: &str) -> Option<String> {
    without_names(query, |written| is_written_as(written, wanted))
}

/// Query without the parameters whose encoded names are `unwanted`. `None` if there are no such
/// parameters.
#[must_use]
pub(super) fn without_names(query: &str, unwanted: impl Fn(&str) -> bool) -> Option<String> {
    let is_unwanted = |part: &&str| unwanted(name_of(part));
    if !query.split(['&', ';']).any(|part| is_unwanted(&part)) {
        return None;
    }
    // Remove the whole `&` part if its first name is unwanted: servers that do not separate at `;`
    // use the rest as its value.
    let kept = query.split('&').filter(|pair| {
        let first = pair.split(';').next();
        !first.is_some_and(|first| is_unwanted(&first))
    });
    let kept = kept.map(|pair| {
        let parts = pair.split(';').filter(|part| !is_unwanted(part));
        parts.collect::<Vec<_>>().join(";")
    });
    Some(kept.collect::<Vec<_>>().join("&"))
}

/// True if a text has a `%` without two hexadecimal digits. Servers read it literally, decode it as
/// `%u0061`, or leave out the parameter.
#[must_use]
pub fn is_malformed(text: &str) -> bool {
    let mut escapes = text.split('%').skip(1);
    escapes.any(|rest| {
        let digits = rest.as_bytes().get(..2);
        !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

/// Part of a query without `=` at its beginning. The `ufo` package of Node (h3, Nuxt) reads
/// `=api_key=x` as the parameter `api_key`.
#[must_use]
pub(crate) fn without_equals(part: &str) -> &str {
    part.trim_start_matches('=')
}

/// Encoded name of a cookie. `pair`: text between two semicolons. The name has no `=` or white
/// space at its beginning: Werkzeug before 2.2.3 reads `=sid=x` as the cookie `sid`. Some browsers
/// send this text for a cookie without a name that has the value `sid=x`.
#[must_use]
pub(super) fn cookie_name(pair: &[u8]) -> &[u8] {
    let mut bare = pair.trim_ascii();
    while let Some(rest) = bare.strip_prefix(b"=") {
        bare = rest.trim_ascii_start();
    }
    let end = bare.iter().position(|byte| *byte == b'=');
    &bare[..end.unwrap_or(bare.len())]
}

/// Encoded name and value of a parameter in a query. `part`: text between two separators. Excludes
/// the `=` at the beginning of the part, which `ufo` ignores. The value of a part without any
/// further `=` is empty.
#[must_use]
pub fn name_and_value(part: &str) -> (&str, &str) {
    let bare = without_equals(part);
    bare.split_once('=').unwrap_or((bare, ""))
}

/// Encoded name of a parameter in a query. `part`: text between two separators.
fn name_of(part: &str) -> &str {
    name_and_value(part).0
}

/// True if some server treats an encoded name in a query as equal to `wanted`.
#[must_use]
pub(crate) fn is_written_as(written: &str, wanted: &str) -> bool {
    let is_wanted = |name: &[u8]| is_read_as(name, wanted.as_bytes());
    let decoded = decode_query(written);
    is_wanted(&decoded)
        || without_unicode(written).is_some_and(|text| is_wanted(&decode_query(&text)))
        || without_invalid_utf8(&decoded).is_some_and(|name| is_wanted(&name))
}

/// Decoded name without the bytes that are not UTF-8, which some servers leave out: `role` for
/// `r%FFole`. `None` if the name is UTF-8.
#[must_use]
pub(super) fn without_invalid_utf8(name: &[u8]) -> Option<Vec<u8>> {
    std::str::from_utf8(name).err()?;
    let chunks = name.utf8_chunks().flat_map(|chunk| chunk.valid().bytes());
    Some(chunks.collect())
}

/// Decodes escapes such as `%u0061`. `None` if the text has no such escape.
#[must_use]
pub(crate) fn without_unicode(text: &str) -> Option<String> {
    let escape = |rest: &str| {
        let digits = rest.strip_prefix(['u', 'U'])?.get(..4)?;
        let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        u16::from_str_radix(digits, 16).ok().filter(|_| is_hex)
    };
    if !text.contains('%') {
        return None;
    }
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
#[cfg(test)]
pub(super) fn resembles(name: &[u8], wanted: &[u8]) -> bool {
    is_equal(name, wanted, resembling)
}

fn is_equal(name: &[u8], wanted: &[u8], plain: fn(u8) -> u8) -> bool {
    let is_wanted = equality(wanted, plain);
    if compared_in_query(name, |form| is_wanted(form).then_some(())).is_some() {
        return true;
    }
    let has_parts = name.iter().any(|byte| matches!(byte, b'[' | b'.'));
    has_parts
        && with_brackets(wanted).is_some_and(|written| {
            let is_wanted = equality(&written, plain);
            compared_in_query(name, |form| is_wanted(form).then_some(())).is_some()
        })
}

/// The wanted name `a.b` as `a[b]`, which `qs` with `allowDots` reads as the same name. `None` if
/// the name has no dot between parts.
#[must_use]
pub(super) fn with_brackets(wanted: &[u8]) -> Option<Vec<u8>> {
    if !wanted.contains(&b'.') {
        return None;
    }
    let mut written = Vec::new();
    forms_of_parts(wanted.trim_ascii(), b"[].", |form| -> Option<()> {
        form.clone_into(&mut written);
        None
    });
    (!written.is_empty()).then_some(written)
}

/// The wanted name `a[]` without its brackets: servers treat `a[0]` as equal to it.
#[must_use]
pub(super) fn list_name(wanted: &[u8]) -> Option<&[u8]> {
    wanted.strip_suffix(b"[]").filter(|list| !list.is_empty())
}

/// Comparison of a form of a name with `wanted`.
fn equality(wanted: &[u8], plain: fn(u8) -> u8) -> impl Fn(&[u8]) -> bool {
    let wanted = wanted.trim_ascii();
    let list = list_name(wanted);
    let is_same = move |form: &[u8], wanted: &[u8]| {
        let mut pairs = form.iter().zip(wanted);
        form.len() == wanted.len() && pairs.all(|(a, b)| plain(*a) == plain(*b))
    };
    move |form: &[u8]| is_same(form, wanted) || list.is_some_and(|list| is_same(form, list))
}

/// Maps a byte of a name to the byte that PHP or ASP.NET uses in comparisons.
#[must_use]
pub(crate) fn plain(byte: u8) -> u8 {
    match byte {
        b'.' | b' ' | b'[' => b'_',
        byte => byte.to_ascii_lowercase(),
    }
}

/// Like [`plain`], and maps `-` to `_`.
#[must_use]
pub(crate) fn resembling(byte: u8) -> u8 {
    match plain(byte) {
        b'-' => b'_',
        byte => byte,
    }
}

#[cfg(test)]
mod tests {
    use super::{
        cookie_name, has_lookalike, has_several_readings, is_cookie_read_as, is_read_as, readings,
        resembles, without,
    };

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
            ("q=%u0071&r=2", true, Some("r=2")),
            ("[q]=1&r=2&%5Bq%5D[x]=1", true, Some("r=2")),
            ("?q=1&]q=2&q]=3&[[q]]=4&[]q=5&!q=6&r=7", true, Some("r=7")),
            ("r=1;%U0051%5b%u005D=1", true, Some("r=1")),
            ("=q=1&==Q=2&r==q=1", true, Some("r==q=1")),
            (".q=1&q.x=2&%2Eq=3&x.q=4", true, Some("x.q=4")),
            ("q=1%zz&r=%", true, Some("r=%")),
            ("r=2&q=%", true, Some("r=2")),
            ("q=1%4", true, Some("")),
            ("q=%C3%A4%25zz&q=%fF&%zz=1&r%=1", false, Some("%zz=1&r%=1")),
            ("q%FF%FE=1&%C3q=2&r=3", true, Some("r=3")),
            ("%u00zz=q&%u+071=q&%u007=1&%25u0071=1&%u0072=q", false, None),
        ] {
            assert_eq!(has_lookalike(query, "q"), is_found, "{query}");
            assert_eq!(without(query, "q").as_deref(), kept, "{query}");
        }
    }

    #[test]
    fn names_are_compared_without_invalid_utf8() {
        for (query, is_found) in [
            ("r%FFole=1", true),
            ("ro%C3le=1", true),
            ("R%F0%9Fole[0]=1", true),
            ("a=1;r%FFole=2", true),
            ("r%C3%A4ole=1", false),
            ("r%FFoles=1", false),
            ("ro%25%36%63e=1", false),
        ] {
            assert_eq!(has_several_readings(query, "role"), is_found, "{query}");
            assert_eq!(without(query, "role").is_some(), is_found, "{query}");
        }
    }

    #[test]
    fn semicolon_makes_two_readings_of_a_parameter() {
        for (query, is_found) in [
            ("q=1", false),
            ("q=1%3Bx&r=a;b", false),
            ("r=1;s&q=1", false),
            ("qs=1;x&q=1", false),
            ("q=1;x", true),
            ("q=1;", true),
            ("q;x=1", true),
            ("=q;x=1", true),
            ("q;", true),
            ("%71;x=1", true),
            ("r=1;s=2&q;x", true),
            ("x;q=1", true),
            ("Q=1", true),
        ] {
            assert_eq!(has_several_readings(query, "q"), is_found, "{query}");
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
            b"[api_key]",
            b"[api_key][x]",
            b"[[api.key]]",
            b"]api_key",
            b"[]api_key",
            b"api_key]",
            b"api_key[",
            b"api_key]x",
            b"?api_key",
            b"?[Api_key]",
            b"!api_key",
            b".api_key",
            b".[Api_key]",
            b"?.api_key",
            b"api_key.x",
            b"api_key.x[y]",
            b"\xef\xbb\xbfapi_key",
            b"\xa0api_key",
            b"api_key\x85",
            b"\"api_key\"",
            b"\"api_key",
            b"api_key:list",
            b"Api.Key[0]:record:int",
            "\u{3000} api_key\u{a0}".as_bytes(),
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
            b"x[api_key]",
            b"[x]api_key",
            b"x!api_key",
            b"x.api_key",
            b"_api_key",
            b"api_key:",
            b"api_key:x",
            b":list",
            b"",
            b"[",
            b"[][]",
            b"?",
        ] {
            assert!(!is_read_as(name, b"api_key"), "{name:?}");
        }
        for name in [
            &b"filter[key]"[..],
            b"[filter][key]",
            b"filter[KEY][0]",
            b"filter]key",
            b"filter.key",
            b".filter.key.x",
        ] {
            assert!(is_read_as(name, b"filter[key]"), "{name:?}");
            let known = readings(b"filter[key]");
            assert!(
                readings(name).iter().any(|one| known.contains(one)),
                "{name:?}"
            );
        }
        assert!(
            !is_read_as(b"filter", b"filter[key]") && !is_read_as(b"filter[x]", b"filter[key]")
        );
        assert!(is_read_as(b"ids[0]", b"ids[]") && is_read_as(b"[ids]", b"ids[]"));
        assert!(!is_read_as(b"x", b"[]") && !is_read_as(b"x", b"["));
        assert!(is_read_as(b"api_key", b"api.key"));
        for name in [
            &b"user.name"[..],
            b".user.name",
            b"user[name]",
            b"User.Name.x",
        ] {
            assert!(is_read_as(name, b"user.name"), "{name:?}");
            let known = readings(b"user.name");
            let is_known = readings(name).iter().any(|one| known.contains(one));
            assert!(is_known, "{name:?}");
        }
        for name in [&b"user"[..], b"user.names", b"name", b".name", b"user[id]"] {
            assert!(!is_read_as(name, b"user.name"), "{name:?}");
        }
        assert!(is_read_as(b"user.name", b"user") && !is_read_as(b"user.name", b"name"));
    }

    #[test]
    fn name_of_a_cookie_begins_after_equals_signs() {
        for (pair, name) in [
            ("sid=x", "sid"),
            ("sid", "sid"),
            ("=sid=x", "sid"),
            ("= = sid=x", "sid"),
            ("==sid", "sid"),
            ("a==sid", "a"),
            ("=", ""),
            ("", ""),
        ] {
            assert_eq!(cookie_name(pair.as_bytes()), name.as_bytes(), "{pair}");
        }
    }

    /// `session.sig` is the signature of a cookie `session` in Node applications.
    #[test]
    fn dot_in_a_cookie_is_no_bracket() {
        for name in [&b"session.sig"[..], b".session"] {
            assert!(!is_cookie_read_as(name, b"session"), "{name:?}");
        }
        assert!(is_cookie_read_as(b"Session[0]", b"session"));
        assert!(is_cookie_read_as(b"api.key", b"api_key"));
    }

    #[test]
    fn hyphen_is_another_name_except_in_logs() {
        assert!(!is_read_as(b"access-token", b"access_token"));
        assert!(resembles(b"Access-Token", b"access_token"));
        assert!(!resembles(b"accesstoken", b"access_token"));
    }
}
