//! Selection of the certificate for a client by server name (RFC 6066 §3). A certificate with
//! exactly the requested name comes first, then one with a wildcard for the first label, then the
//! listener's first certificate.

use std::fmt;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::cell::Cell;
use super::certs::Pair;

/// Certificates of a listener, ordered by name.
pub(super) struct Chooser(Box<[Arc<Cell<Pair>>]>);

/// Kind of match between a certificate's name and a requested name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fit {
    Exact,
    Wildcard,
}

impl Chooser {
    pub(super) fn new(cells: Box<[Arc<Cell<Pair>>]>) -> Self {
        Self(cells)
    }

    /// Certificates for a name. Certificates without an RSA key come first, because they are
    /// smaller and faster.
    fn choose(&self, name: Option<&str>) -> Vec<Arc<Pair>> {
        let all: Vec<Arc<Pair>> = self.0.iter().map(|cell| cell.now()).collect();
        let fitting = |wanted: Fit| -> Vec<Arc<Pair>> {
            let fits = all.iter().filter(|pair| {
                let mut fits = name
                    .into_iter()
                    .flat_map(|name| pair.names.iter().filter_map(move |own| fit(own, name)));
                fits.any(|fit| fit == wanted)
            });
            fits.cloned().collect()
        };
        let mut chosen = fitting(Fit::Exact);
        if chosen.is_empty() {
            chosen = fitting(Fit::Wildcard);
        }
        if chosen.is_empty() {
            // Take the default certificate, and certificates for the same names with another type
            // of key.
            let default = all.first();
            let same = |pair: &&Arc<Pair>| default.is_some_and(|one| one.names == pair.names);
            chosen = all.iter().filter(same).cloned().collect();
        }
        chosen.sort_by_key(|pair| pair.is_rsa());
        chosen
    }

    /// True if the two server names get the same certificates.
    pub(super) fn same(&self, one: Option<&str>, other: &str) -> bool {
        if one.is_some_and(|one| one.eq_ignore_ascii_case(other)) || self.0.len() == 1 {
            return true;
        }
        let (one, other) = (self.choose(one), self.choose(Some(other)));
        one.len() == other.len() && one.iter().zip(&other).all(|(a, b)| Arc::ptr_eq(a, b))
    }

    /// Certificate for the requested name with a key type that the client supports; otherwise the
    /// first certificate for the name. `None` only if the listener has no certificates.
    fn for_client(&self, hello: &ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let chosen = self.choose(hello.server_name());
        let schemes = hello.signature_schemes();
        let able = |pair: &&Arc<Pair>| pair.key.key.choose_scheme(schemes).is_some();
        let pair = chosen.iter().find(able).or(chosen.first())?;
        Some(Arc::clone(&pair.key))
    }

    /// True if the handshake may need an RSA signature. Which of several certificates is used
    /// depends on other negotiated parameters.
    pub(super) fn may_sign_with_rsa(&self, hello: &ClientHello<'_>) -> bool {
        let chosen = self.choose(hello.server_name());
        chosen.iter().any(|pair| pair.is_rsa())
    }

    /// True if any certificate has an RSA key.
    pub(super) fn has_rsa(&self) -> bool {
        self.0.iter().any(|cell| cell.now().is_rsa())
    }
}

impl ResolvesServerCert for Chooser {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.for_client(&hello)
    }
}

impl fmt::Debug for Chooser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chooser({} certificates)", self.0.len())
    }
}

/// Match between a certificate's name and a requested name, or `None` if they do not match. A
/// wildcard stands for one complete label.
fn fit(own: &str, requested: &str) -> Option<Fit> {
    let requested = requested.trim_end_matches('.');
    if own.eq_ignore_ascii_case(requested) {
        return Some(Fit::Exact);
    }
    let (label, rest) = requested.split_once('.')?;
    let wild = own.strip_prefix("*.")?;
    (!label.is_empty() && wild.eq_ignore_ascii_case(rest)).then_some(Fit::Wildcard)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_is_one_whole_label() {
        for (own, requested, exact) in [
            ("shop.example", "shop.example", Some(true)),
            ("shop.example", "SHOP.example.", Some(true)),
            ("*.shop.example", "a.shop.example", Some(false)),
            ("*.shop.example", "a.b.shop.example", None),
            ("*.shop.example", "shop.example", None),
            ("*.shop.example", ".shop.example", None),
            ("a*.shop.example", "ab.shop.example", None),
            ("shop.example", "other.example", None),
        ] {
            let fit = fit(own, requested).map(|fit| fit == Fit::Exact);
            assert_eq!(fit, exact, "{own} {requested}");
        }
    }
}
