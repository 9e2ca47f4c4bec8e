//! Media types of bodies: which description of one side a type of the other side has.

use bundle::ir;

/// Media type or range that describes messages of a media type which only the other side names: the
/// one by which gwd checks these messages.
pub(super) fn nearest<'a>(
    all: &'a ir::Set<ir::MediaType>,
    name: &str,
) -> Option<&'a ir::MediaType> {
    let index = validator::nearest(all.iter().map(|one| &*one.name), name)?;
    all.iter().nth(index)
}

/// True for a media type of JSON, and for a range that contains `application/json`.
pub(super) fn may_be_json(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let essence = name.split(';').next().unwrap_or_default().trim();
    name.contains("json") || matches!(essence, "*/*" | "application/*")
}

/// True for a media type whose values are XML.
pub(super) fn is_xml(name: &str) -> bool {
    let essence = name.split(';').next().unwrap_or_default().trim();
    let essence = essence.to_ascii_lowercase();
    essence.ends_with("/xml") || essence.ends_with("+xml")
}

/// True if two media types name JSON in UTF-8. JSON has no other encoding, and ignores the parameter
/// `charset` (RFC 8259, sections 8.1 and 11).
pub(super) fn is_same_json(one: &str, other: &str) -> bool {
    let essence = |name: &str| {
        let (essence, parameters) = name.split_once(';').unwrap_or((name, ""));
        let parameters = parameters.replace([' ', '"'], "").to_ascii_lowercase();
        let is_json = essence.trim().ends_with("/json") || essence.trim().ends_with("+json");
        let is_utf8 = matches!(&*parameters, "" | "charset=utf-8");
        (is_json && is_utf8).then(|| essence.trim().to_ascii_lowercase())
    };
    essence(one).is_some_and(|one| essence(other) == Some(one))
}
