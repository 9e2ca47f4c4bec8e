//! Rewriting of response fields: URLs and cookies of the upstream become URLs and cookies of the
//! gateway.
//!
//! A service below a base path, or with another `Host` than the client's, writes URLs and cookies
//! that do not work for the client. With `rewrite_responses` of the upstream, the removed base path
//! is added again, and the upstream's own origin is removed from URLs (RFC 9110 §10.2.2). The
//! client then resolves the URLs against the URL that it requested, also behind other proxies.
//! Compare `proxy_redirect`, `proxy_cookie_path` and `proxy_cookie_domain` of NGINX, and
//! `ProxyPassReverse` of httpd.

use std::str;

use http::header::{CONTENT_LOCATION, HeaderMap, HeaderName, HeaderValue, LOCATION, SET_COOKIE};
use policy::RequestHead;

use super::{Relay, host, is_encrypted, stripped};

/// Parts of the URL that the upstream received, and of the URL that the client requested.
#[derive(Clone, Copy, Debug)]
pub struct Places<'p> {
    /// Scheme of the request to the target.
    pub scheme: &'static str,
    /// `Host` in the request to the target.
    pub upstream_host: &'p str,
    /// Authority (host and port) of the target.
    pub own: &'p str,
    /// Base path of the target, without a final slash.
    pub path: &'p str,
    /// `Host` in the request of the client.
    pub client: &'p str,
    /// True if the client's connection is encrypted.
    pub encrypted: bool,
    /// Base path that was removed from the client's path, without a final slash.
    pub base: &'p str,
}

/// Rewrites the fields of a response as configured in the upstream's `rewrite_responses`. Does not
/// change URLs of other origins, or paths of requests that a `rewrite` policy changed.
pub fn returned(headers: &mut HeaderMap, head: &RequestHead, relay: Relay<'_, '_>) {
    let Relay {
        route,
        upstream,
        target,
        origin,
        ..
    } = relay;
    let Some(rewrites) = upstream.rewrite_responses else {
        return;
    };
    let upstream_host = host(relay);
    let own = target.authority();
    let places = Places {
        scheme: if target.tls { "https" } else { "http" },
        upstream_host: upstream_host.to_str().unwrap_or_default(),
        own: &own,
        path: &target.path,
        client: origin.hop.authority.to_str().unwrap_or_default(),
        encrypted: is_encrypted(head, origin),
        base: stripped(route),
    };
    if rewrites.location {
        each(headers, &LOCATION, |text| places.reference(text));
        each(headers, &CONTENT_LOCATION, |text| places.reference(text));
    }
    if rewrites.cookies {
        each(headers, &SET_COOKIE, |text| places.cookie(text));
    }
}

/// Replaces each value of a field for which `other` returns a new value. `None` from `other`: the
/// value stays.
fn each(headers: &mut HeaderMap, name: &HeaderName, mut other: impl FnMut(&str) -> Option<String>) {
    let http::header::Entry::Occupied(mut entry) = headers.entry(name) else {
        return;
    };
    for value in entry.iter_mut() {
        let text = str::from_utf8(value.as_bytes()).ok();
        let other = text.and_then(&mut other);
        if let Some(mut other) = other.and_then(|text| HeaderValue::try_from(text).ok()) {
            other.set_sensitive(value.is_sensitive());
            *value = other;
        }
    }
}

impl Places<'_> {
    /// Rewrites a URL reference (RFC 3986 §4.1) for the client. `None` if the reference is
    /// unchanged.
    #[must_use]
    pub fn reference(&self, text: &str) -> Option<String> {
        // Control bytes and spaces are invalid in a reference, and browsers ignore some of them.
        if text.bytes().any(|byte| byte <= b' ') {
            return None;
        }
        let (scheme, authority, rest) = split(text);
        let Some(authority) = authority else {
            // Browsers read `/\` as `//`, a network-path reference.
            let own = rest.starts_with('/') && !rest.starts_with("/\\");
            let own = own && !(self.base.is_empty() && self.path.is_empty());
            return own.then(|| self.below(rest)).flatten().map(shielded);
        };
        let scheme = scheme.unwrap_or(self.scheme);
        let same = |other: &str| {
            let written = without_port(authority, scheme);
            written.eq_ignore_ascii_case(without_port(other, scheme))
        };
        // Keep the scheme of a redirect from `http` to `https`.
        let upgrades = scheme.eq_ignore_ascii_case("https") && !self.encrypted && same(self.client);
        let own = scheme.eq_ignore_ascii_case(self.scheme)
            && (same(self.upstream_host) || same(self.own));
        if own && !upgrades {
            return self.below(rest).map(shielded);
        }
        // The reference has the client's authority, because the service received the client's
        // `Host`. Keep scheme and authority.
        let origin = &text[..text.len() - rest.len()];
        let below = same(self.client).then(|| self.below(rest)).flatten()?;
        (below != rest).then(|| format!("{origin}{below}"))
    }

    /// Path for the client that corresponds to a path of the target, with its query and fragment.
    /// `None` if the path is not below the target's path.
    fn below(&self, rest: &str) -> Option<String> {
        let end = rest.find(['?', '#']).unwrap_or(rest.len());
        let (path, behind) = rest.split_at(end);
        let path = if path.is_empty() { "/" } else { path };
        let below = beneath(path, self.path)?;
        let slash = if self.base.is_empty() && below.is_empty() {
            "/"
        } else {
            ""
        };
        Some(format!("{}{slash}{below}{behind}", self.base))
    }

    /// Rewrites a value of `Set-Cookie` (RFC 6265 §4.1) for the client. `None` if the value is
    /// unchanged.
    #[must_use]
    pub fn cookie(&self, text: &str) -> Option<String> {
        let (pair, attributes) = text.split_once(';')?;
        // Browsers accept a `__Host-` cookie only with `Path=/` (RFC 6265bis §4.1.3.2).
        let fixed = pair
            .trim_start()
            .get(..7)
            .is_some_and(|start| start.eq_ignore_ascii_case("__Host-"));
        let mut changed = pair.to_owned();
        for attribute in attributes.split(';') {
            let (name, value) = attribute.split_once('=').unwrap_or((attribute, ""));
            let name = name.trim();
            let path = || {
                let path = self.cookie_path(value.trim());
                path.filter(|path| !fixed && path != value.trim())
            };
            if name.eq_ignore_ascii_case("path")
                && let Some(path) = path()
            {
                changed.push_str("; Path=");
                changed.push_str(&path);
            } else if !(name.eq_ignore_ascii_case("domain") && self.is_upstreams(value.trim())) {
                changed.push(';');
                changed.push_str(attribute);
            }
        }
        (changed != text).then_some(changed)
    }

    /// New value of a cookie's `Path` for the client: the base path, followed by the part of `path`
    /// below the target's path. If the cookie applies to the whole path of the target, nothing
    /// follows. `None` if the attribute is unchanged.
    fn cookie_path(&self, path: &str) -> Option<String> {
        if !path.starts_with('/') {
            return None;
        }
        let short = path.strip_suffix('/').unwrap_or(path);
        let below = if beneath(self.path, short).is_some() {
            ""
        } else {
            beneath(path, self.path)?
        };
        match (self.base, below) {
            ("", "") => Some("/".into()),
            (base, "/") => Some(base.into()),
            (base, below) => Some(format!("{base}{below}")),
        }
    }

    /// True if a cookie's domain matches the upstream's host and not the client's host.
    fn is_upstreams(&self, domain: &str) -> bool {
        let domain = domain.strip_prefix('.').unwrap_or(domain);
        let within = |authority: &str| is_within(host_of(authority), domain);
        !within(self.client) && (within(self.upstream_host) || within(self.own))
    }
}

/// Scheme, authority and remaining text of a reference.
fn split(text: &str) -> (Option<&str>, Option<&str>, &str) {
    let (scheme, behind) = match text.split_once("://") {
        Some((scheme, behind)) if is_scheme(scheme) => (Some(scheme), behind),
        _ => match text.strip_prefix("//") {
            Some(behind) => (None, behind),
            None => return (None, None, text),
        },
    };
    let end = behind.find(['/', '?', '#', '\\']).unwrap_or(behind.len());
    let (authority, rest) = behind.split_at(end);
    (scheme, Some(authority), rest)
}

/// True for a valid scheme (RFC 3986 §3.1).
fn is_scheme(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// Rest of `path` after the prefix `above`: empty, or beginning with `/`. `None` if `path` is
/// neither `above` nor below it. `above` has no final slash.
fn beneath<'t>(path: &'t str, above: &str) -> Option<&'t str> {
    let below = path.strip_prefix(above)?;
    (below.is_empty() || below.starts_with('/')).then_some(below)
}

/// Adds the prefix `/.` to a path that clients would otherwise interpret as `//HOST/…` (RFC 3986
/// §4.2; browsers treat `\` as `/`).
fn shielded(path: String) -> String {
    match path.as_bytes() {
        [b'/', b'/' | b'\\', ..] => format!("/.{path}"),
        _ => path,
    }
}

/// An authority without the default port of the scheme.
fn without_port<'t>(authority: &'t str, scheme: &str) -> &'t str {
    let own = match scheme.eq_ignore_ascii_case("https") {
        true => ":443",
        false => ":80",
    };
    authority.strip_suffix(own).unwrap_or(authority)
}

/// Host of an authority, without the port.
fn host_of(authority: &str) -> &str {
    let (host, port) = authority.rsplit_once(':').unwrap_or((authority, ""));
    match port.bytes().all(|byte| byte.is_ascii_digit()) {
        true => host,
        false => authority,
    }
}

/// True if a host matches a cookie's domain (RFC 6265 §5.1.3).
fn is_within(host: &str, domain: &str) -> bool {
    let start = host.len().checked_sub(domain.len());
    let Some((before, end)) = start.and_then(|at| host.split_at_checked(at)) else {
        return false;
    };
    !domain.is_empty()
        && end.eq_ignore_ascii_case(domain)
        && (before.is_empty() || before.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Example: mount at `/shop`. The target is `http://orders.internal:8080/v1` and receives its
    /// own authority as `Host`.
    const MOUNTED: Places<'static> = Places {
        scheme: "http",
        upstream_host: "orders.internal:8080",
        own: "orders.internal:8080",
        path: "/v1",
        client: "api.example",
        encrypted: true,
        base: "/shop",
    };
    /// Example: mount at the root. The target has no path and receives the client's `Host`.
    const PLAIN: Places<'static> = Places {
        scheme: "http",
        upstream_host: "api.example",
        own: "10.0.0.9",
        path: "",
        client: "api.example",
        encrypted: true,
        base: "",
    };

    #[test]
    fn references_to_the_upstream_lead_to_the_gateway() {
        for (text, expected) in [
            ("/v1/orders/7?x=/v1#y", "/shop/orders/7?x=/v1#y"),
            ("/v1", "/shop"),
            ("/v1/", "/shop/"),
            ("/v1?x", "/shop?x"),
            ("/v1//a", "/shop//a"),
            ("http://orders.internal:8080/v1/a", "/shop/a"),
            ("HTTP://Orders.Internal:8080/v1/a", "/shop/a"),
            ("//orders.internal:8080/v1/a", "/shop/a"),
            ("https://api.example/v1/a", "https://api.example/shop/a"),
            ("http://api.example:80/v1", "http://api.example:80/shop"),
        ] {
            let changed = MOUNTED.reference(text);
            assert_eq!(changed.as_deref(), Some(expected), "{text}");
        }
        for (text, expected) in [
            ("http://api.example", "/"),
            ("http://api.example?x", "/?x"),
            ("http://api.example:80/a", "/a"),
            ("http://10.0.0.9/a", "/a"),
        ] {
            let changed = PLAIN.reference(text);
            assert_eq!(changed.as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn other_references_are_unchanged() {
        for text in [
            "orders/7",
            "../a",
            "?page=2",
            "",
            "#x",
            "/v2/a",
            "/v1x",
            "/\\evil.example/v1",
            "http://orders.internal:8080/v2",
            "http://orders.internal/v1/a",
            "https://orders.internal:8080/v1/a",
            "http://x@orders.internal:8080/v1/a",
            "http://orders.internal:8080.evil.example/v1",
            "https://elsewhere.example/v1/a",
            "mailto:somebody@orders.internal",
            "http://",
        ] {
            assert_eq!(MOUNTED.reference(text), None, "{text}");
        }
        for text in ["/a", "/", "https://api.example/a", "https://10.0.0.9/a"] {
            assert_eq!(PLAIN.reference(text), None, "{text}");
        }
    }

    #[test]
    fn no_reference_leads_to_another_host() {
        let unmounted = Places {
            base: "",
            ..MOUNTED
        };
        for (places, text, expected) in [
            (&PLAIN, "http://10.0.0.9//evil.example", "/.//evil.example"),
            (
                &PLAIN,
                "http://10.0.0.9/\\evil.example",
                "/./\\evil.example",
            ),
            (&unmounted, "/v1//evil.example", "/.//evil.example"),
        ] {
            let changed = places.reference(text);
            assert_eq!(changed.as_deref(), Some(expected), "{text}");
        }
        assert_eq!(PLAIN.reference("http://10.0.0.9\\@evil.example/"), None);
        // Browsers ignore tabs, and spaces around a reference.
        for text in [
            "/v1/\t/evil.example",
            "/v1\t//evil.example",
            "http://orders.internal:8080/v1/\t\\evil.example",
            " /v1/a",
        ] {
            assert_eq!(unmounted.reference(text), None, "{text:?}");
        }
    }

    #[test]
    fn redirect_from_http_to_https_is_kept() {
        let (tls, clear) = (
            Places {
                scheme: "https",
                ..PLAIN
            },
            Places {
                scheme: "https",
                encrypted: false,
                ..PLAIN
            },
        );
        let to = "https://api.example/a";
        assert_eq!(tls.reference(to).as_deref(), Some("/a"));
        assert_eq!(clear.reference(to), None);
        let mounted = Places {
            base: "/shop",
            ..clear
        };
        let changed = mounted.reference(to);
        assert_eq!(changed.as_deref(), Some("https://api.example/shop/a"));
        // Clients cannot resolve the target's own authority.
        let own = clear.reference("https://10.0.0.9/a");
        assert_eq!(own.as_deref(), Some("/a"));
    }

    #[test]
    fn cookies_of_the_upstream_get_the_clients_path() {
        for (text, expected) in [
            (
                "a=b; Path=/v1/orders; HttpOnly",
                "a=b; Path=/shop/orders; HttpOnly",
            ),
            ("a=b;path=/v1", "a=b; Path=/shop"),
            ("a=b; Path=/v1/", "a=b; Path=/shop"),
            ("a=b; Path=/", "a=b; Path=/shop"),
            ("a=b; Domain=orders.internal; Secure", "a=b; Secure"),
            ("a=b; domain=.INTERNAL", "a=b"),
            ("a=\"x;\"; Path=/v1", "a=\"x;\"; Path=/shop"),
            ("__Host-a=b; Path=/; Domain=internal", "__Host-a=b; Path=/"),
        ] {
            assert_eq!(MOUNTED.cookie(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn other_cookies_are_unchanged() {
        for text in [
            "a=b",
            "a=b; HttpOnly",
            "a=b; Path=/v2",
            "a=b; Path=/v1x",
            "a=b; Path",
            "a=b; Path=v1",
            "a=b; Domain=example",
            "a=b; Domain=api.example",
            "a=b; Domain=elsewhere.test",
            "a=b; Domain=",
            "__host-a=b; Path=/",
            "Path=/v1",
        ] {
            assert_eq!(MOUNTED.cookie(text), None, "{text}");
        }
        assert_eq!(PLAIN.cookie("a=b; Path=/"), None);
        assert_eq!(PLAIN.cookie("a=b; Domain=api.example; Path=/x"), None);
    }
}
