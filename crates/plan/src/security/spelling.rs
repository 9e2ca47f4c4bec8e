//! Canonical spelling of response field values, so that values with the same meaning for clients
//! are equal. Also the strength of values that protect clients: a greater strength protects more.
//!
//! Each field is compared as its specification defines: without letter case (X-Frame-Options in
//! HTML, *The X-Frame-Options header*; Referrer-Policy; RFC 6797; RFC 9111), or as a set of
//! directives or members. Structured fields and Cross-Origin-Resource-Policy are compared byte by
//! byte.

/// Returns the canonical spelling of a field's value: values with the same meaning have the same
/// spelling. The field name is in lower case.
pub(super) fn canonical(name: &str, value: &str) -> String {
    match name {
        "x-frame-options"
        | "x-content-type-options"
        | "x-permitted-cross-domain-policies"
        // The order of the rules matters: the name of a search engine restricts all rules after it.
        | "x-robots-tag"
        | "content-type" => words(&value.to_ascii_lowercase()),
        "referrer-policy" => last_known(value),
        "strict-transport-security" => joined(value, ';', |one| one.to_ascii_lowercase()),
        "content-security-policy" => policy(value),
        "set-cookie" => cookie(value),
        "content-disposition" => disposition(value),
        "surrogate-control" | "accept-ch" | "critical-ch" => {
            joined(value, ',', |one| one.to_ascii_lowercase())
        }
        "clear-site-data" => joined(value, ',', str::to_owned),
        name if name.ends_with("cache-control") => {
            joined(value, ',', |one| one.to_ascii_lowercase())
        }
        _ => value.trim().to_owned(),
    }
}

/// Words of a text, separated by single spaces.
fn words(text: &str) -> String {
    text.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

/// Items of a list, sorted and without duplicates.
fn joined(value: &str, separator: char, part: impl Fn(&str) -> String) -> String {
    let parts = value.split(separator).map(|one| part(&words(one)));
    let mut parts: Vec<String> = parts.filter(|one| !one.is_empty()).collect();
    parts.sort();
    parts.dedup();
    parts.join(&format!("{separator} "))
}

/// Last policy in a `Referrer-Policy` list that browsers know. Browsers use this policy (Referrer
/// Policy §8.1). Empty if browsers know no policy of the list.
fn last_known(value: &str) -> String {
    const KNOWN: [&str; 8] = [
        "no-referrer",
        "no-referrer-when-downgrade",
        "origin",
        "origin-when-cross-origin",
        "same-origin",
        "strict-origin",
        "strict-origin-when-cross-origin",
        "unsafe-url",
    ];
    let value = value.to_ascii_lowercase();
    let last = value.rsplit(',').map(str::trim);
    let mut known = last.filter(|one| KNOWN.contains(one));
    known.next().unwrap_or_default().to_owned()
}

/// Directives of a Content-Security-Policy in sorted order. If several directives have the same
/// name, the first one applies (CSP3 §2.2.1). Values keep their letter case, because paths and
/// nonces are case-sensitive.
fn policy(value: &str) -> String {
    let mut directives: Vec<(String, String)> = Vec::new();
    for directive in value.split(';') {
        let mut parts = directive.split_ascii_whitespace();
        let Some(name) = parts.next() else { continue };
        let name = name.to_ascii_lowercase();
        if directives.iter().all(|(known, _)| *known != name) {
            let mut values: Vec<&str> = parts.collect();
            values.sort_unstable();
            values.dedup();
            directives.push((name, values.join(" ")));
        }
    }
    directives.sort();
    let texts = directives
        .iter()
        .map(|(name, values)| format!("{name} {values}"));
    texts.collect::<Vec<_>>().join("; ")
}

/// `Set-Cookie` value: the cookie pair as written, with sorted attributes in lower case (RFC 6265
/// §5.2).
fn cookie(value: &str) -> String {
    let (pair, attributes) = value.split_once(';').unwrap_or((value, ""));
    let attributes = joined(attributes, ';', |one| {
        let (name, value) = one.split_once('=').unwrap_or((one, ""));
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
        match name.as_str() {
            "samesite" | "domain" => format!("{name}={}", value.to_ascii_lowercase()),
            _ => format!("{name}={value}"),
        }
    });
    format!("{}; {attributes}", pair.trim())
}

/// Content-Disposition with its type and parameter names in lower case (RFC 6266 §4.1).
fn disposition(value: &str) -> String {
    let (kind, parameters) = value.split_once(';').unwrap_or((value, ""));
    let parameters = joined(parameters, ';', |one| match one.split_once('=') {
        Some((name, value)) => format!("{}={}", name.trim().to_ascii_lowercase(), value.trim()),
        None => one.to_ascii_lowercase(),
    });
    format!("{}; {parameters}", kind.trim().to_ascii_lowercase())
}

/// Strength of a field that protects by its presence, with any value.
pub(super) fn present(value: &str) -> u64 {
    u64::from(!value.trim().is_empty())
}

/// Strength of Strict-Transport-Security (RFC 6797 §6.1.1): twice its `max-age`, plus one with
/// `includeSubDomains`.
pub(super) fn seconds(value: &str) -> u64 {
    let mut directives = value.split(';').map(|it| it.trim().to_ascii_lowercase());
    let (mut age, mut wide) = (0, false);
    for directive in &mut directives {
        match directive.split_once('=') {
            Some((key, text)) if key.trim() == "max-age" => {
                age = text.trim().trim_matches('"').parse().unwrap_or(0);
            }
            _ => wide |= directive == "includesubdomains",
        }
    }
    match age {
        0 => 0,
        age => u64::saturating_mul(age, 2).saturating_add(u64::from(wide)),
    }
}

/// Strength of X-Frame-Options (RFC 7034).
pub(super) fn frames(value: &str) -> u64 {
    match value.trim().to_ascii_lowercase().as_str() {
        "deny" => 2,
        "sameorigin" => 1,
        _ => 0,
    }
}

/// Strength of X-Content-Type-Options (Fetch §3.6).
pub(super) fn nosniff(value: &str) -> u64 {
    u64::from(value.trim().eq_ignore_ascii_case("nosniff"))
}

/// Strength of Referrer-Policy (Referrer Policy §3).
pub(super) fn referrer(value: &str) -> u64 {
    match value.trim().to_ascii_lowercase().as_str() {
        "no-referrer" => 3,
        "same-origin" | "strict-origin" | "origin" => 2,
        "" | "unsafe-url" | "no-referrer-when-downgrade" => 0,
        _ => 1,
    }
}

/// Strength of a cross-origin policy: 2 for `same-origin`, 1 for weaker values, otherwise 0.
/// Browsers compare values byte by byte (Fetch §3.7, RFC 9651 §3.3.4).
pub(super) fn same_origin(value: &str) -> u64 {
    match value.split(';').next().unwrap_or_default().trim() {
        "same-origin" => 2,
        "same-site" | "same-origin-allow-popups" | "noopener-allow-popups" => 1,
        _ => 0,
    }
}

/// Strength of Cross-Origin-Embedder-Policy (HTML §7.1.4).
pub(super) fn embedder(value: &str) -> u64 {
    match value.split(';').next().unwrap_or_default().trim() {
        "require-corp" => 2,
        "credentialless" => 1,
        _ => 0,
    }
}

/// Strength of X-Permitted-Cross-Domain-Policies (Adobe's cross-domain policy files).
pub(super) fn cross_domain(value: &str) -> u64 {
    match value.trim().to_ascii_lowercase().as_str() {
        "none" | "none-this-response" => 3,
        "master-only" => 2,
        "by-content-type" | "by-ftp-filename" => 1,
        _ => 0,
    }
}

/// Strength of Expires (RFC 9111 §5.3) and of nginx's X-Accel-Expires: 1 for the values `0` and
/// `-1`, which mean that the response has already expired.
pub(super) fn expired(value: &str) -> u64 {
    u64::from(matches!(value.trim(), "0" | "-1"))
}

/// Strength of Origin-Agent-Cluster (HTML §7.1.2).
pub(super) fn isolated(value: &str) -> u64 {
    let value = value.split(';').next().unwrap_or_default();
    u64::from(value.trim() == "?1")
}

/// Strength of X-XSS-Protection.
pub(super) fn filtered(value: &str) -> u64 {
    let value = value.to_ascii_lowercase();
    match value.trim().strip_prefix('1') {
        Some(rest) if rest.contains("block") => 2,
        Some(_) => 1,
        None => 0,
    }
}

/// Strength of X-Download-Options.
pub(super) fn unopened(value: &str) -> u64 {
    u64::from(value.trim().eq_ignore_ascii_case("noopen"))
}

/// Strength of Content-Disposition: `attachment` protects, because browsers do not display a
/// download as a page.
pub(super) fn attachment(value: &str) -> u64 {
    let kind = value.split(';').next().unwrap_or_default();
    u64::from(kind.trim().eq_ignore_ascii_case("attachment"))
}

/// Strength of Cache-Control (RFC 9111 §5.2.2): the degree to which it keeps caches from storing
/// the response.
pub(super) fn stored(value: &str) -> u64 {
    let value = value.to_ascii_lowercase();
    let has = |wanted: &str| {
        let mut directives = value.split(',').map(str::trim);
        directives.any(|one| one == wanted)
    };
    match () {
        () if has("no-store") => 3,
        () if has("private") => 2,
        () if has("no-cache") => 1,
        () => 0,
    }
}

/// Strength of Document-Isolation-Policy: 2 for `isolate-and-require-corp`, 1 for
/// `isolate-and-credentialless`, otherwise 0.
pub(super) fn isolation(value: &str) -> u64 {
    match value.split(';').next().unwrap_or_default().trim() {
        "isolate-and-require-corp" => 2,
        "isolate-and-credentialless" => 1,
        _ => 0,
    }
}

/// Strength of X-DNS-Prefetch-Control: `off` keeps browsers from resolving the hosts of links.
pub(super) fn off(value: &str) -> u64 {
    u64::from(value.trim().eq_ignore_ascii_case("off"))
}

/// Strength of X-Robots-Tag: 2 if search engines do not list the page, 1 if they do not show its
/// content, otherwise 0. The name of a search engine restricts its rule and all rules after it to
/// this engine.
pub(super) fn unindexed(value: &str) -> u64 {
    const VALUED: [&str; 4] = [
        "max-image-preview",
        "max-snippet",
        "max-video-preview",
        "unavailable_after",
    ];
    let is_for_all = |rule: &&str| {
        let name = rule.split_once(':').map(|(name, _)| name.trim());
        name.is_none_or(|name| VALUED.contains(&name))
    };
    let value = value.to_ascii_lowercase();
    let rules = value.split(',').map(str::trim).take_while(is_for_all);
    let strengths = rules.map(|rule| match rule {
        "none" | "noindex" => 2,
        "noarchive" | "nosnippet" => 1,
        _ => 0,
    });
    strengths.max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{canonical, frames, same_origin, seconds, stored, unindexed};

    #[test]
    fn equal_meanings_have_one_spelling() {
        for (name, one, other) in [
            ("x-frame-options", "DENY", " deny "),
            ("x-content-type-options", "nosniff", "NoSniff"),
            ("referrer-policy", "Origin, no-such", "no-referrer, origin"),
            (
                "strict-transport-security",
                "max-age=60; includeSubDomains",
                "INCLUDESUBDOMAINS;Max-Age=60;",
            ),
            ("cache-control", "no-store, private", "Private,no-store"),
            ("vercel-cdn-cache-control", "no-store", "NO-STORE"),
            (
                "content-security-policy",
                "default-src 'self' a.example; img-src *; img-src b",
                "Img-Src *;default-src a.example  'self'",
            ),
            (
                "set-cookie",
                "a=B; Path=/x; SameSite=Lax; Secure",
                "a=B; secure; samesite=lax; path=/x",
            ),
            (
                "content-disposition",
                "Attachment; FileName=a",
                "attachment;filename=a",
            ),
            (
                "content-type",
                "text/HTML; charset=UTF-8",
                "text/html; charset=utf-8",
            ),
        ] {
            assert_eq!(canonical(name, one), canonical(name, other), "{name}");
        }
    }

    #[test]
    fn other_meanings_keep_their_spellings() {
        for (name, one, other) in [
            ("set-cookie", "a=B", "a=b"),
            ("set-cookie", "a=b; Path=/X", "a=b; Path=/x"),
            ("content-security-policy", "img-src /A", "img-src /a"),
            ("cross-origin-resource-policy", "same-origin", "Same-Origin"),
            (
                "referrer-policy",
                "origin, no-referrer",
                "no-referrer, origin",
            ),
            ("strict-transport-security", "max-age=60", "max-age=61"),
            ("x-other", "A", "a"),
            (
                "x-robots-tag",
                "noindex, bot: nofollow",
                "bot: nofollow, noindex",
            ),
        ] {
            assert_ne!(canonical(name, one), canonical(name, other), "{name}");
        }
    }

    #[test]
    fn strength_of_known_values_is_ordered() {
        let ages = [
            "max-age=0",
            "max-age=60",
            "Max-Age=\"61\"",
            "max-age=61; includeSubDomains",
        ];
        assert!(ages.map(seconds).is_sorted_by(|a, b| a < b));
        assert!(
            ["ALLOWALL", "sameorigin", "DENY"]
                .map(frames)
                .is_sorted_by(|a, b| a < b)
        );
        let stores = [
            "public, max-age=60",
            "no-cache",
            "Private",
            "private, no-store",
        ];
        assert!(stores.map(stored).is_sorted_by(|a, b| a < b));
        assert!(
            ["Same-Origin", "same-site", "same-origin; report-to=x"]
                .map(same_origin)
                .is_sorted_by(|a, b| a < b)
        );
        let robots = ["bot: noindex, all", "nosnippet", "NoIndex, nosnippet"];
        assert!(robots.map(unindexed).is_sorted_by(|a, b| a < b));
        assert_eq!(unindexed("bot: all, noindex"), 0);
        assert_eq!(unindexed("max-snippet: 0, noindex"), 2);
    }
}
