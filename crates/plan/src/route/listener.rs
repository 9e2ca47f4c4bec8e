//! The listener that a URL means: by its port, then by its address, then by its scheme.

use std::net::{IpAddr, SocketAddr};

use bundle::ir::{Listener, Protocol};

/// Listener for a URL, with a note if other parts of the URL disagree.
#[derive(Debug, PartialEq, Eq)]
pub struct Meant<'l> {
    /// Name of the listener.
    pub name: &'l str,
    /// Note for people.
    pub note: Option<String>,
}

/// Finds the listener for a URL. A URL without a port uses the default port of its scheme. If no
/// listener has that port, any listener of the scheme is used, because a load balancer may be in
/// front.
///
/// # Errors
/// Returns a message with the possible ports if no listener has the port of the URL.
pub fn meant<'l>(listeners: &[&'l Listener], url: &http::Uri) -> Result<Option<Meant<'l>>, String> {
    let Some(scheme) = url.scheme_str() else {
        return Ok(listeners.first().map(|listener| Meant {
            name: &listener.name,
            note: None,
        }));
    };
    let port = |listener: &Listener| {
        let address: Option<SocketAddr> = listener.address.parse().ok();
        address
            .map(|address| address.port())
            .filter(|port| *port != 0)
    };
    let mut here: Vec<&Listener> = match url.port_u16() {
        Some(wanted) => {
            let here = listeners.iter().copied();
            // The system chooses port 0, so that such a listener may have any.
            here.filter(|listener| port(listener).is_none_or(|port| port == wanted))
                .collect()
        }
        None => {
            let usual = if scheme == "https" { 443 } else { 80 };
            let here = listeners.iter().copied();
            here.filter(|listener| port(listener) == Some(usual))
                .collect()
        }
    };
    if here.is_empty() && url.port().is_some() {
        let known = listeners
            .iter()
            .map(|listener| format!("`{}` has {}", listener.name, listener.address));
        let known: Vec<String> = known.collect();
        return Err(format!(
            "no listener has the port of `{url}`: {}; leave the port out, or name a listener with --listener",
            known.join(", ")
        ));
    }
    if here.is_empty() {
        here = listeners.to_vec();
    }
    // The strongest first, in the order of names among equals.
    here.sort_by_key(|listener| {
        let host = url.host().map(|host| host.trim_matches(['[', ']']));
        let host: Option<IpAddr> = host.and_then(|host| host.parse().ok());
        let address: Option<SocketAddr> = listener.address.parse().ok();
        let is_there = host.is_some() && host == address.map(|address| address.ip());
        (
            port(listener).is_none(),
            !is_there,
            !speaks(listener, scheme),
        )
    });
    Ok(here.first().map(|listener| Meant {
        name: &listener.name,
        note: remark(listener, &here[1..], scheme),
    }))
}

/// True if a listener serves a URL's scheme.
fn speaks(listener: &Listener, scheme: &str) -> bool {
    match listener.protocol {
        Protocol::Http => scheme == "http",
        Protocol::Https(_) => scheme == "https",
    }
}

/// Remark on a URL whose scheme its listener does not serve.
fn remark(listener: &Listener, others: &[&Listener], scheme: &str) -> Option<String> {
    let name = &listener.name;
    if speaks(listener, scheme) {
        return None;
    }
    let others = others.iter().find(|other| speaks(other, scheme));
    Some(match (&listener.protocol, others) {
        (_, Some(other)) => format!(
            "the listener `{name}` does not speak {scheme}, `{}` does",
            other.name
        ),
        (Protocol::Http, None) => format!(
            "the listener `{name}` speaks http: for an https URL, a proxy in front of it ends TLS"
        ),
        (Protocol::Https(_), None) => format!(
            "the listener `{name}` speaks https: a client that sends http to it gets no answer"
        ),
    })
}
