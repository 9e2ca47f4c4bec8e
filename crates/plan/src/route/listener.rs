//! Listener for a URL: selected by port, then by address, then by scheme.

use std::net::{IpAddr, SocketAddr};

use bundle::ir::{Listener, Protocol};

/// Listener that matches a URL, with a note for the user if parts of the URL do not match.
#[derive(Debug, PartialEq, Eq)]
pub struct MatchedListener<'l> {
    /// Name of the listener.
    pub name: &'l str,
    /// Note for the user about the choice of the listener. `None` if the whole URL matches.
    pub note: Option<String>,
    /// Names of the listeners that match the URL equally well.
    pub others: Vec<&'l str>,
}

/// Finds the listener for a URL. A URL without a port has the default port of its scheme. If no
/// listener has the default port, all listeners are considered, because a load balancer may be in
/// front of the gateway.
///
/// # Errors
/// Returns a message with the ports of all listeners if no listener has the port in the URL.
pub fn listener_of<'l>(
    listeners: &[&'l Listener],
    url: &http::Uri,
) -> Result<Option<MatchedListener<'l>>, String> {
    let Some(scheme) = url.scheme_str() else {
        return Ok(listeners
            .split_first()
            .map(|(listener, others)| MatchedListener {
                name: &listener.name,
                note: None,
                others: others.iter().map(|other| &*other.name).collect(),
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
            // A listener with port 0 matches any port, because the operating system chooses its
            // port.
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
    // Sort the best match first: by port, then address, then scheme. The sort is stable, so equal
    // listeners keep their order by name.
    let rank = |listener: &Listener| {
        let host = url.host().map(|host| host.trim_matches(['[', ']']));
        let host: Option<IpAddr> = host.and_then(|host| host.parse().ok());
        let address: Option<SocketAddr> = listener.address.parse().ok();
        let is_there = host.is_some() && host == address.map(|address| address.ip());
        (
            port(listener).is_none(),
            !is_there,
            !serves_scheme(listener, scheme),
        )
    };
    here.sort_by_key(|listener| rank(listener));
    Ok(here.split_first().map(|(listener, others)| {
        let equal = others.iter().filter(|other| rank(other) == rank(listener));
        MatchedListener {
            name: &listener.name,
            note: remark(listener, others, scheme),
            others: equal.map(|other| &*other.name).collect(),
        }
    }))
}

/// True if the protocol of a listener (HTTP or HTTPS) matches the scheme of a URL.
fn serves_scheme(listener: &Listener, scheme: &str) -> bool {
    match listener.protocol {
        Protocol::Http => scheme == "http",
        Protocol::Https(_) => scheme == "https",
    }
}

/// Note about a URL if its scheme does not match the protocol of the listener.
fn remark(listener: &Listener, others: &[&Listener], scheme: &str) -> Option<String> {
    let name = &listener.name;
    if serves_scheme(listener, scheme) {
        return None;
    }
    let others = others.iter().find(|other| serves_scheme(other, scheme));
    Some(match (&listener.protocol, others) {
        (_, Some(other)) => format!(
            "the listener `{name}` does not serve {scheme}, `{}` does",
            other.name
        ),
        (Protocol::Http, None) => format!(
            "the listener `{name}` serves http: an https URL needs a proxy in front of it that \
ends TLS"
        ),
        (Protocol::Https(_), None) => format!(
            "the listener `{name}` serves https: a client that sends http to it gets no answer"
        ),
    })
}
