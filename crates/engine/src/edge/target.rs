//! Request target with a normalised path (semantics.md §2).

use http::Method;
use http::uri::PathAndQuery;
use policy::Reject;

use crate::edge::{PATH_INVALID, TARGET_INVALID};
use crate::path::{Normal, Slashes, normalise_with};

/// The target with a normalised path, and true if upstreams may read the path as another one. The
/// client's bytes are kept if normalisation changes nothing.
pub(super) fn target(
    method: &Method,
    target: Option<PathAndQuery>,
    slashes: Slashes,
) -> Result<(PathAndQuery, bool), &'static Reject> {
    let target = target.unwrap_or(PathAndQuery::from_static("/"));
    if target.as_str() == "*" {
        return if method == Method::OPTIONS {
            Ok((target, false))
        } else {
            Err(&TARGET_INVALID)
        };
    }
    if target
        .query()
        .is_some_and(|query| query.bytes().any(|b| matches!(b, 0..=0x1F | 0x7F.. | b'#')))
    {
        return Err(&TARGET_INVALID);
    }
    let normal = normalise_with(target.path(), slashes).map_err(|_| &PATH_INVALID)?;
    let Normal { path, is_ambiguous } = normal;
    if let std::borrow::Cow::Borrowed(_) = path {
        return Ok((target, is_ambiguous));
    }
    let text = match target.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.into_owned(),
    };
    let target = PathAndQuery::try_from(text).map_err(|_| &PATH_INVALID)?;
    Ok((target, is_ambiguous))
}
