//! Sample of a group of logged requests, without the values that gwd's access log hides. The logs
//! of other servers may contain credentials and hidden parameters.

use engine::{Owner, Snapshot};
use http::Uri;
use policy::RequestHead;
use policy::auth::Place;
use policy::logged::{
    LogForm, LoggedParameters, REDACTED, SecretParameters, query_in_path, shown_path, shown_query,
};

use super::log_line::LoggedRequest;
use crate::Side;
use diag::text::printable;

/// Request that one side admits, with the index of its listener.
pub(super) struct At<'s> {
    pub(super) snapshot: &'s Snapshot,
    pub(super) listener: usize,
    pub(super) head: RequestHead,
}

/// Query parameters of the credentials of both sides.
pub(super) fn credentials(sides: [&Side; 2]) -> SecretParameters {
    let apis = sides
        .into_iter()
        .flat_map(|side| &side.lowered.gateway.apis);
    let schemes = apis.flat_map(|api| &api.schemes);
    let names = schemes.filter_map(|scheme| match &scheme.place {
        Place::Query(name) => Some(name.as_str()),
        Place::Header(_) | Place::Cookie(_) | Place::Authorization(_) | Place::Certificate => None,
    });
    SecretParameters::new(&names.collect::<Vec<&str>>())
}

/// Method, path and query of a request, safe for display. A value is hidden if at least one side
/// hides it. `sides` are the sides that admit the request; `hides_values` is true if a side hides
/// values.
pub(super) fn sample(
    request: &LoggedRequest<'_>,
    names: &SecretParameters,
    (sides, hides_values): (&[At<'_>], bool),
) -> String {
    let target: Option<Uri> = request.target.parse().ok();
    // An absolute URL can contain user information. The sample leaves it out.
    let path = target.as_ref().map_or(REDACTED, Uri::path);
    let mut query = target.as_ref().and_then(Uri::query).map(str::to_owned);
    let hide = |_: LogForm, _: &str| REDACTED.to_owned();
    let mut hidden = Vec::new();
    // If no operation matches the path, it is unknown which segments contain values.
    let mut is_known = !sides.is_empty() || !hides_values;
    for side in sides {
        let owner = engine::owner(side.snapshot, side.listener, &side.head);
        let route = match owner {
            Owner::Operation(route) => Some(route),
            Owner::Redirected(_) | Owner::Gateway | Owner::Refused(_) | Owner::Conditional => None,
        };
        let forms = side
            .snapshot
            .logged_forms(side.listener, route.as_ref(), (&side.head, names));
        is_known &= !hides_values || side.head.path() == path;
        hidden.extend(forms.path);
        if let Some(text) = &mut query
            && forms.hides_query
        {
            *text = REDACTED.to_owned();
        } else if let Some(text) = &mut query
            && let Some(shown) = shown_query(text, (names, forms.parameters), hide)
        {
            *text = shown;
        }
    }
    if sides.is_empty()
        && let Some(text) = &mut query
    {
        let shown = shown_query(text, (names, LoggedParameters::none()), hide)
            .unwrap_or_else(|| text.clone());
        *text = if hides_values {
            REDACTED.to_owned()
        } else {
            shown
        };
    }
    hidden.extend(query_in_path(path, (names, LoggedParameters::none())));
    let path = match is_known {
        true => shown_path(path, hidden, hide),
        false => REDACTED.to_owned(),
    };
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    printable(&format!("{} {path}{query}", request.method))
}
