//! Certificates that a connection presents: that of its TLS handshake, and those of a trusted
//! proxy in `Client-Cert` (RFC 9440). Each is parsed once.

use std::cell::RefCell;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Certificate, Reason, Source};

/// Certificate, or the reason why it cannot be read.
type Read = Result<Arc<Certificate>, Reason>;

/// Certificates of one connection.
#[derive(Debug, Default)]
pub struct Presented {
    own: Option<Read>,
    /// Last value of `Client-Cert`, with its certificate. Most requests of a proxy's connection
    /// differ in it only when the proxy shares the connection between clients.
    field: RefCell<Option<(Box<[u8]>, Read)>>,
    #[cfg(feature = "author")]
    assumed: Vec<(Source, Arc<Certificate>)>,
}

impl Presented {
    /// Certificates of a connection with this certificate of the client in DER, if there is one.
    #[must_use]
    pub fn new(own: Option<&[u8]>) -> Self {
        Self {
            own: own.map(|der| Certificate::parse(der).map(Arc::new)),
            ..Self::default()
        }
    }

    /// Connection with the certificates of a witness.
    #[cfg(feature = "author")]
    pub(super) fn assuming(assumed: Vec<(Source, Arc<Certificate>)>) -> Self {
        Self {
            assumed,
            ..Self::default()
        }
    }

    /// Certificate from a source. `field` is the value of `Client-Cert` of a trusted proxy. None if
    /// there is no certificate.
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

/// Reads a value of `Client-Cert`: a byte sequence (RFC 9651 §3.3.5) with a certificate in DER.
///
/// # Errors
/// [`Reason::Malformed`].
pub(super) fn parse(field: &[u8]) -> Result<Certificate, Reason> {
    let text = field
        .strip_prefix(b":")
        .and_then(|rest| rest.strip_suffix(b":"));
    let der = text.and_then(|text| STANDARD.decode(text).ok());
    Certificate::parse(&der.ok_or(Reason::Malformed)?)
}
