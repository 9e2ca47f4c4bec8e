//! Canonical spelling of response field values, so that values with the same meaning for clients
//! are equal.
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
        | "content-type" => words(&value.to_ascii_lowercase()),
        "referrer-policy" => last_known(value),
        "strict-transport-security" => joined(value, ';', |one| one.to_ascii_lowercase()),
        "content-security-policy" => policy(value),
        "set-cookie" => cookie(value),
        "content-disposition" => disposition(value),
        "surrogate-control" => joined(value, ',', |one| one.to_ascii_lowercase()),
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

#[cfg(test)]
mod tests {
    use super::canonical;

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
        ] {
            assert_ne!(canonical(name, one), canonical(name, other), "{name}");
        }
    }
}
