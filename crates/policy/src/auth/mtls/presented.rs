//! Client certificates of a connection: the certificate of its TLS handshake, and those that a
//! trusted proxy sends in `Client-Cert` (RFC 9440). Each certificate is parsed once.

use std::cell::RefCell;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Certificate, Reason, Source};

/// Certificate, or the reason why it cannot be read.
type Read = Result<Arc<Certificate>, Reason>;

/// Client certificates that arrived on one connection.
#[derive(Debug, Default)]
pub struct PresentedCertificates {
    own: Option<Read>,
    /// Last value of `Client-Cert` with its certificate. The value changes between requests only if
    /// the proxy uses the connection for several clients.
    field: RefCell<Option<(Box<[u8]>, Read)>>,
    #[cfg(feature = "author")]
    assumed: Vec<(Source, Arc<Certificate>)>,
}

impl PresentedCertificates {
    /// Stores the certificate of the TLS handshake. `own` is this certificate in DER; `None` if the
    /// client sent none.
    #[must_use]
    pub fn new(own: Option<&[u8]>) -> Self {
        Self {
            own: own.map(|der| Certificate::parse(der).map(Arc::new)),
            ..Self::default()
        }
    }

    /// Creates the certificates of a connection for an example request in a plan.
    #[cfg(feature = "author")]
    pub(super) fn assuming(assumed: Vec<(Source, Arc<Certificate>)>) -> Self {
        Self {
            assumed,
            ..Self::default()
        }
    }

    /// Certificate from `source`. `field` is the value of `Client-Cert` that a trusted proxy sent.
    /// `None` if there is no certificate.
    #[must_use]
    pub fn get(&self, source: Source, field: Option<&[u8]>) -> Option<Read> {
        #[cfg(feature = "author")]
        if let Some((_, certificate)) = self.assumed.iter().find(|(one, _)| *one == source) {
            return Some(Ok(Arc::clone(certificate)));
        }
        match source {
            Source::Connection => self.own.clone(),
            Source::Field => Some(self.read(field?)),
        }
    }

    fn read(&self, field: &[u8]) -> Read {
        if let Some((known, read)) = &*self.field.borrow()
            && **known == *field
        {
            return read.clone();
        }
        let read = parse(field).map(Arc::new);
        *self.field.borrow_mut() = Some((field.into(), read.clone()));
        read
    }
}

/// Parses a value of `Client-Cert`: a byte sequence (RFC 9651 §3.3.5) with a certificate in DER.
///
/// # Errors
/// [`Reason::Malformed`] if the value is not a byte sequence or its certificate cannot be parsed.
pub(super) fn parse(field: &[u8]) -> Result<Certificate, Reason> {
    let text = field
        .strip_prefix(b":")
        .and_then(|rest| rest.strip_suffix(b":"));
    let der = text.and_then(|text| STANDARD.decode(text).ok());
    Certificate::parse(&der.ok_or(Reason::Malformed)?)
}
