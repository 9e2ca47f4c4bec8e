//! Parser of a request that a user wrote: method, URL and fields. The result is the head, and the
//! listener that receives the request.

use bundle::ir;
use engine::Snapshot;

use super::listener;

/// Request as written by a user.
#[derive(Clone, Copy, Debug)]
pub struct RequestText<'a> {
    /// HTTP method.
    pub method: &'a str,
    /// URL, or only a path.
    pub url: &'a str,
    /// Header fields.
    pub headers: &'a [(String, String)],
    /// Name of the listener. `None`: the listener that matches the URL.
    pub listener: Option<&'a str>,
}

/// Head of a request, and the listener that receives it.
#[derive(Debug)]
pub struct ReceivedHead {
    /// Head with a `Host` field.
    pub request: http::request::Parts,
    /// Index of the listener in [`Snapshot::listeners`].
    pub listener: usize,
    /// Indices of the listeners that match the URL equally well.
    pub others: Vec<usize>,
    /// Note for the user about the choice of the listener. `None`: no note is needed.
    pub note: Option<String>,
}

/// Builds a request to a gateway.
///
/// # Errors
/// Returns a message if the method, the URL, a field or the listener is invalid.
pub fn read(
    written: RequestText<'_>,
    gateway: &ir::Gateway,
    snapshot: &Snapshot,
) -> Result<ReceivedHead, String> {
    let method = http::Method::from_bytes(written.method.as_bytes())
        .map_err(|_| format!("`{}` is not a method", written.method.escape_debug()))?;
    let url: http::Uri = written
        .url
        .parse()
        .ok()
        .filter(|url: &http::Uri| url.scheme().is_some() || written.url.starts_with('/'))
        .ok_or_else(|| {
            format!(
                "`{}` is neither a URL (http://HOST/PATH) nor a path (/PATH)",
                written.url.escape_debug()
            )
        })?;
    let listeners = snapshot.listeners();
    let position = |name: &str| listeners.iter().position(|one| *one.name == *name);
    let (mut others, mut note) = (Vec::new(), None);
    let meant = match written.listener {
        Some(name) => name.to_owned(),
        None => {
            let all: Vec<_> = gateway.shared.listeners.iter().collect();
            let meant = listener::listener_of(&all, &url)?;
            if let Some(meant) = &meant {
                note.clone_from(&meant.note);
                others.extend(meant.others.iter().filter_map(|name| position(name)));
            }
            meant.map_or_else(String::new, |meant| meant.name.to_owned())
        }
    };
    let listener = position(&meant).ok_or_else(|| {
        format!(
            "there is no listener `{}`: {}",
            meant.escape_debug(),
            diag::suggest::one_of(listeners.iter().map(|listener| &*listener.name), 8)
        )
    })?;
    let host = url.authority().map_or("gateway", |host| host.as_str());
    let target = url.path_and_query().map_or("/", |target| target.as_str());
    let mut request = http::Request::builder().method(method).uri(target);
    let mut has_host = false;
    for (name, value) in written.headers {
        has_host |= name.eq_ignore_ascii_case("host");
        request = request.header(name, value);
    }
    if !has_host {
        request = request.header("host", host);
    }
    let request = request
        .body(())
        .map_err(|error| format!("this is not a request: {error}"))?;
    Ok(ReceivedHead {
        request: request.into_parts().0,
        listener,
        others,
        note,
    })
}
