//! Request fields with which a client can override the path or method at an upstream
//! ([`ir::OVERRIDE_FIELDS`]). The gateway authorises the path and method of the request line. It
//! therefore forwards such a field only for operations that declare it.

use bundle::ir;
use http::header::{HeaderMap, HeaderName};
use policy::managed::is_lookalike;

/// Removes override fields that the operation does not declare, including lookalikes with `_` or
/// `.` for `-`. Returns the number of removed names.
pub(crate) fn strip(headers: &mut HeaderMap, declared: &[String]) -> u32 {
    let removed = |name: &&HeaderName| {
        let name = name.as_str();
        is_override(name) && !declared.iter().any(|one| one == name)
    };
    // Most requests have no such field. An empty `Vec` allocates nothing.
    let removed: Vec<HeaderName> = headers.keys().filter(removed).cloned().collect();
    for name in &removed {
        headers.remove(name);
    }
    u32::try_from(removed.len()).unwrap_or(u32::MAX)
}

/// True for a field that overrides the path or method, or for a lookalike of such a field.
pub(crate) fn is_override(name: &str) -> bool {
    // Fast path: the first three bytes exclude most names.
    if !matches!(
        name.as_bytes(),
        [b'x', b'-' | b'_' | b'.', b'h' | b'm' | b'o' | b'r', ..]
            | [b'p', b'a', b't', ..]
            | [b's', b'c', b'r', ..]
    ) {
        return false;
    }
    let mut known = ir::OVERRIDE_FIELDS.iter();
    known.any(|known| *known == name || is_lookalike(name, known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn override_field_in_any_spelling_is_removed() {
        let names = [
            "x-original-url",
            "x_original_url",
            "x.rewrite-url",
            "x-http-method-override",
            "x-http-method",
            "x-method-override",
            "x-original-uri",
            "x-original-method",
            "path_info",
            "script-name",
            "x-http-methods",
            "path-infos",
            "x-real-ip",
        ];
        let headers = names.iter().map(|name| {
            let name = HeaderName::from_static(name);
            (name, http::HeaderValue::from_static("/admin"))
        });
        let headers: HeaderMap = headers.collect();
        let left = |declared: &[&str]| {
            let declared: Vec<String> = declared.iter().map(|name| (*name).into()).collect();
            let mut headers = headers.clone();
            let taken = strip(&mut headers, &declared);
            assert_eq!(taken as usize, names.len() - headers.len());
            let left = names.iter().filter(|name| headers.contains_key(**name));
            left.copied().collect::<Vec<_>>()
        };
        let others = ["x-http-methods", "path-infos", "x-real-ip"];
        assert_eq!(left(&[]), others);
        let declared = left(&["x-original-url", "x-http-method"]);
        let expected = [&["x-original-url", "x-http-method"][..], &others].concat();
        assert_eq!(
            declared, expected,
            "the documents declare only the exact names"
        );
    }
}
