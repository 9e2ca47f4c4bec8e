//! Media types of bodies: the type that describes a message, and the types of XML.

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

/// True for a media type whose values are XML.
pub(super) fn is_xml(name: &str) -> bool {
    let essence = name.split(';').next().unwrap_or_default().trim();
    let essence = essence.to_ascii_lowercase();
    essence.ends_with("/xml") || essence.ends_with("+xml")
}
