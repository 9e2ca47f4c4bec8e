//! Request target with a normalised path (semantics.md §2).

use http::Method;
use http::uri::PathAndQuery;
use policy::Reject;

use crate::edge::refusals::{PATH_INVALID, TARGET_INVALID};
use crate::path::{Normal, Slashes, normalise_with};

/// Target of a request.
pub(super) struct Target {
    /// Target with a normalised path. It has the client's bytes if normalisation changes nothing.
    pub(super) normal: PathAndQuery,
    /// Target as the client sent it. `None` if normalisation did not change it.
    pub(super) received: Option<PathAndQuery>,
    /// True if common upstreams may interpret the path as another path.
    pub(super) is_ambiguous: bool,
}

/// Normalises the path of a target.
pub(super) fn target(
    method: &Method,
    target: Option<PathAndQuery>,
    slashes: Slashes,
) -> Result<Target, &'static Reject> {
    let unchanged = |normal, is_ambiguous| Target {
        normal,
        received: None,
        is_ambiguous,
    };
    let target = target.unwrap_or(PathAndQuery::from_static("/"));
    // Replace an empty path, which in a URI is equal to `/` (RFC 9110 §4.2.3).
    let target = match target.as_str().starts_with('?') {
        true => {
            PathAndQuery::try_from(format!("/{}", target.as_str())).map_err(|_| &TARGET_INVALID)?
        }
        false => target,
    };
    if target.as_str() == "*" {
        return if method == Method::OPTIONS {
            Ok(unchanged(target, false))
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
        return Ok(unchanged(target, is_ambiguous));
    }
    let text = match target.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.into_owned(),
    };
    let normal = PathAndQuery::try_from(text).map_err(|_| &PATH_INVALID)?;
    Ok(Target {
        normal,
        received: Some(target),
        is_ambiguous,
    })
}
