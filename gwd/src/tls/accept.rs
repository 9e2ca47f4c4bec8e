//! The handshake with a client.

use std::sync::Arc;

use rustls::{AlertDescription, HandshakeKind, ProtocolVersion};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::Door;
use super::client_auth::Admission;

/// How long a handshake may take.
pub(crate) const HANDSHAKE_MS: u64 = 10_000;

/// What is known of a connection over TLS.
pub(crate) struct TlsFacts {
    /// `TLSv1.3`
    pub(crate) version: &'static str,
    pub(crate) cipher: &'static str,
    pub(crate) sni: Option<Box<str>>,
    /// Whom the client's certificate names.
    pub(crate) subject: Option<Box<str>>,
    /// HTTP/2 was agreed on.
    pub(crate) http2: bool,
    /// The rules that it was let in under.
    pub(crate) admission: Arc<Admission>,
}

/// What came of a handshake, as metrics tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Outcome {
    pub(crate) result: &'static str,
    pub(crate) version: &'static str,
}

/// The client took too long.
pub(crate) const TIMED_OUT: Outcome = Outcome {
    result: "timeout",
    version: "",
};

/// A handshake that came to nothing.
pub(crate) struct Failed {
    pub(crate) outcome: Outcome,
    /// The client may still have to read why.
    pub(crate) stream: TcpStream,
}

/// Makes the handshake; the caller watches the time.
///
/// # Errors
/// What became of it, and the connection, on which the alert has been sent.
pub(crate) async fn accept(
    stream: TcpStream,
    door: &Door,
) -> Result<(TlsStream<TcpStream>, TlsFacts, Outcome), Failed> {
    let (admission, config) = door.config();
    let accepted = TlsAcceptor::from(config).accept(stream).into_fallible();
    let stream = accepted.await.map_err(|(error, stream)| {
        let error = error
            .get_ref()
            .and_then(|error| error.downcast_ref::<rustls::Error>());
        let outcome = Outcome {
            result: why(error),
            version: "",
        };
        Failed { outcome, stream }
    })?;
    let (_, session) = stream.get_ref();
    let version = match session.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
        Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
        _ => "",
    };
    let suite = session.negotiated_cipher_suite();
    let certificate = session.peer_certificates().and_then(<[_]>::first);
    let subject = certificate.and_then(|certificate| {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        Some(certificate.subject().to_string().into())
    });
    let facts = TlsFacts {
        version,
        cipher: suite
            .and_then(|suite| suite.suite().as_str())
            .unwrap_or_default(),
        sni: session.server_name().map(Into::into),
        subject,
        http2: session.alpn_protocol() == Some(b"h2"),
        admission,
    };
    let result = match session.handshake_kind() {
        Some(HandshakeKind::Resumed) => "resumed",
        _ => "ok",
    };
    let outcome = Outcome { result, version };
    Ok((stream, facts, outcome))
}

/// Why a handshake failed, in a word.
fn why(error: Option<&rustls::Error>) -> &'static str {
    use rustls::Error as E;
    match error {
        None => "client_gone",
        Some(E::NoCertificatesPresented) => "no_client_certificate",
        Some(E::InvalidCertificate(rustls::CertificateError::Revoked)) => {
            "client_certificate_revoked"
        }
        Some(E::InvalidCertificate(_)) => "bad_client_certificate",
        Some(E::AlertReceived(
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired,
        )) => "client_distrusts",
        Some(E::AlertReceived(_)) => "client_refused",
        Some(E::PeerIncompatible(_)) => "nothing_in_common",
        Some(E::NoApplicationProtocol) => "no_application_protocol",
        Some(E::InvalidMessage(_)) => "not_tls",
        Some(_) => "failed",
    }
}
