//! TLS handshake with a client.

use std::cell::{Cell, RefCell};
use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::UnixTime;
use rustls::server::{Accepted, Acceptor};
use rustls::{AlertDescription, HandshakeKind, ProtocolVersion, ServerConfig};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{StartHandshake, TlsAcceptor};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::TlsListener;
use super::client_auth::Admission;
use super::peer_certificate::PeerCertificate;
use crate::runtime::compute::Compute;

/// Maximum time for a TLS handshake with a client: 10s.
pub(crate) const HANDSHAKE_MS: u64 = 10_000;

/// Properties of an established TLS connection.
pub(crate) struct TlsFacts {
    /// Protocol version, such as `TLSv1.3`.
    pub(crate) version: &'static str,
    pub(crate) cipher: &'static str,
    pub(crate) sni: Option<Box<str>>,
    /// Subject of the client's certificate. `None`: the client presented no certificate.
    pub(crate) subject: Option<Box<str>>,
    /// Certificate that the client presented. `None`: none.
    pub(crate) certificate: Option<PeerCertificate>,
    /// True if HTTP/2 was negotiated.
    pub(crate) http2: bool,
    /// Admission rules under which the client was accepted.
    pub(crate) admission: Arc<Admission>,
    /// Last comparison with newer admission rules: these rules, and true if they admit the client.
    /// `None`: the rules have not changed.
    pub(super) compared: RefCell<Option<(Arc<Admission>, bool)>>,
    /// Unix time in seconds after which the client's certificate is verified again: the earliest
    /// expiry of the certificates that the client sent. `u64::MAX` without a certificate.
    verify_after_s: Cell<u64>,
    /// True once the client's certificate has expired.
    expired: Cell<bool>,
}

/// Result of comparing the current admission rules with the rules under which a connection was
/// accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StillAdmitted {
    /// The rules are the same.
    Unchanged,
    /// The rules differ, and admit the client's certificate as well.
    AdmittedByNewRules,
    /// The client is no longer admitted: its certificate has expired, the rules refuse the
    /// certificate, or they require one that the client did not present.
    No,
}

/// Reason why a client with a certificate is no longer admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AdmissionLoss {
    /// The certificate has expired.
    Expired,
    /// The rules refuse the certificate.
    Refused,
}

impl TlsFacts {
    /// Compares the listener's admission rules with those under which the client was accepted. The
    /// certificate is verified once for each change of the rules, and again when a certificate of
    /// its chain may have expired. TLS verifies no certificate when a session is resumed (RFC 8446
    /// §4.6.1). `now_s` is the Unix time in seconds.
    pub(crate) fn still_admitted(&self, listener: &TlsListener, now_s: u64) -> StillAdmitted {
        if self.has_expired(now_s) {
            return StillAdmitted::No;
        }
        let now = listener.admission();
        if Arc::ptr_eq(&now, &self.admission) {
            return StillAdmitted::Unchanged;
        }
        let mut compared = self.compared.borrow_mut();
        let known = compared
            .as_ref()
            .filter(|(known, _)| Arc::ptr_eq(known, &now));
        let is_admitted = known.map_or_else(|| self.is_admitted_by(&now), |(_, result)| *result);
        *compared = Some((now, is_admitted));
        match is_admitted {
            true => StillAdmitted::AdmittedByNewRules,
            false => StillAdmitted::No,
        }
    }

    /// Reason why the client must no longer be served. `None`: it may be served, it presented no
    /// certificate, or the listener requests none.
    pub(crate) fn admission_loss(
        &self,
        listener: &TlsListener,
        now_s: u64,
    ) -> Option<AdmissionLoss> {
        self.certificate.as_ref()?;
        listener.admission().verifier.as_ref()?;
        match (self.still_admitted(listener, now_s), self.expired.get()) {
            (StillAdmitted::No, true) => Some(AdmissionLoss::Expired),
            (StillAdmitted::No, false) => Some(AdmissionLoss::Refused),
            (StillAdmitted::Unchanged | StillAdmitted::AdmittedByNewRules, _) => None,
        }
    }

    /// Time after which the client's certificate must be verified again, as Unix time in seconds.
    pub(crate) fn verify_after_s(&self) -> u64 {
        self.verify_after_s.get()
    }

    /// True if the client's certificate, or a certificate that its chain needs, has expired.
    fn has_expired(&self, now_s: u64) -> bool {
        if now_s <= self.verify_after_s.get() {
            return false;
        }
        if !self.expired.get() {
            let shown = self.certificate.as_ref();
            let verified = self.admission.verifier.as_ref().zip(shown);
            let is_valid = verified.is_none_or(|(verifier, shown)| {
                let (own, others) = shown.chain();
                let now = UnixTime::since_unix_epoch(Duration::from_secs(now_s));
                verifier.verify_client_cert(own, others, now).is_ok()
            });
            self.expired.set(!is_valid);
            if is_valid {
                let next_s = shown.map_or(u64::MAX, |shown| shown.first_end_s(now_s));
                self.verify_after_s.set(next_s);
            }
        }
        self.expired.get()
    }

    fn is_admitted_by(&self, newer: &Admission) -> bool {
        match (&newer.verifier, &self.certificate) {
            (None, shown) => shown.is_none(),
            (Some(verifier), None) => !verifier.client_auth_mandatory(),
            (Some(verifier), Some(shown)) => {
                let (own, others) = shown.chain();
                let verified = verifier.verify_client_cert(own, others, UnixTime::now());
                verified.is_ok()
            }
        }
    }
}

/// Outcome of a handshake, as shown in metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Outcome {
    pub(crate) result: &'static str,
    pub(crate) version: &'static str,
}

/// Outcome of a handshake that exceeded its time limit.
pub(crate) const TIMED_OUT: Outcome = Outcome {
    result: "timeout",
    version: "",
};

/// Outcome of a handshake for which the queue of the compute threads was full.
const OVERLOADED: Outcome = Outcome {
    result: "overload",
    version: "",
};

/// Signing state of a handshake, which waits either for a signature of the gateway or for the
/// client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signing {
    /// The handshake waits for the client.
    Not,
    Now,
    /// A signature was completed since the last check. The handshake waits for the client again.
    Done,
}

/// Failed TLS handshake with a client.
pub(crate) struct Failed {
    pub(crate) outcome: Outcome,
    /// Connection, which stays open so that the client can read the alert.
    pub(crate) stream: TcpStream,
}

/// Performs the handshake. The caller limits the time. `signing` shows the caller if the handshake
/// waits for a signature; this time is not the client's delay.
///
/// # Errors
/// If the handshake fails. The error has the outcome and the connection, after the alert was sent.
pub(crate) async fn accept(
    stream: TcpStream,
    tls_listener: &TlsListener,
    compute: &Compute,
    signing: &Cell<Signing>,
) -> Result<(TlsStream<TcpStream>, TlsFacts, Outcome), Failed> {
    let (admission, config) = tls_listener.config();
    let shaken = if tls_listener.has_rsa() {
        let (hello, stream) = hello(stream).await?;
        if tls_listener.may_sign_with_rsa(&hello.client_hello()) {
            signing.set(Signing::Now);
            let signed = signed_elsewhere(hello, stream, config, compute).await;
            signing.set(Signing::Done);
            signed?
        } else {
            StartHandshake::from_parts(hello, stream).into_stream(config)
        }
    } else {
        TlsAcceptor::from(config).accept(stream)
    };
    let stream = shaken.into_fallible().await.map_err(|(error, stream)| {
        let error = error.get_ref();
        Failed::because(error.and_then(|error| error.downcast_ref()), stream)
    })?;
    let (_, session) = stream.get_ref();
    let version = match session.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
        Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
        _ => "",
    };
    let suite = session.negotiated_cipher_suite();
    let shown = session.peer_certificates().unwrap_or_default();
    let subject = shown.first().and_then(|certificate| {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        Some(certificate.subject().to_string().into())
    });
    let certificate = PeerCertificate::of(shown, &admission);
    let first_end_s = certificate.as_ref().map(|shown| shown.first_end_s(0));
    let facts = TlsFacts {
        version,
        cipher: suite
            .and_then(|suite| suite.suite().as_str())
            .unwrap_or_default(),
        sni: session.server_name().map(Into::into),
        subject,
        certificate,
        http2: session.alpn_protocol() == Some(b"h2"),
        admission,
        compared: RefCell::default(),
        verify_after_s: Cell::new(first_end_s.unwrap_or(u64::MAX)),
        expired: Cell::new(false),
    };
    let result = match session.handshake_kind() {
        Some(HandshakeKind::Resumed) => "resumed",
        _ => "ok",
    };
    let outcome = Outcome { result, version };
    Ok((stream, facts, outcome))
}

/// Reads the ClientHello, which determines the certificate.
async fn hello(stream: TcpStream) -> Result<(Accepted, TcpStream), Failed> {
    let mut acceptor = Acceptor::default();
    loop {
        match acceptor.accept() {
            Ok(Some(accepted)) => return Ok((accepted, stream)),
            Ok(None) => {}
            Err((error, mut alert)) => {
                let mut alert_bytes = Vec::new();
                let _whole = alert.write_all(&mut alert_bytes);
                return Err(Failed::send_alert(&error, &alert_bytes, stream).await);
            }
        }
        if stream.readable().await.is_err() {
            return Err(Failed::because(None, stream));
        }
        match acceptor.read_tls(&mut Now(&stream)) {
            Ok(1..) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(0) | Err(_) => return Err(Failed::because(None, stream)),
        }
    }
}

/// Processes the ClientHello on a compute thread, because an RSA signature may be needed: 0.6 ms
/// with 2,048 bits, 4 ms with 4,096 bits (data-plane.md §5).
async fn signed_elsewhere(
    hello: Accepted,
    stream: TcpStream,
    config: Arc<ServerConfig>,
    compute: &Compute,
) -> Result<tokio_rustls::Accept<TcpStream>, Failed> {
    let acceptor = TlsAcceptor::from(Arc::clone(&config));
    let answered = compute.run(move || match hello.into_connection(config) {
        Ok(connection) => Ok(connection),
        Err((error, mut alert)) => {
            let mut alert_bytes = Vec::new();
            let _whole = alert.write_all(&mut alert_bytes);
            Err((error, alert_bytes))
        }
    });
    match answered.await {
        Some(Ok(connection)) => {
            // `accept_with` creates a session; replace it with the one that was processed already.
            Ok(acceptor.accept_with(stream, |session| *session = connection))
        }
        Some(Err((error, alert_bytes))) => {
            Err(Failed::send_alert(&error, &alert_bytes, stream).await)
        }
        None => Err(Failed {
            outcome: OVERLOADED,
            stream,
        }),
    }
}

/// Reader that returns the available bytes and never waits.
struct Now<'s>(&'s TcpStream);

impl Read for Now<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl Failed {
    fn because(error: Option<&rustls::Error>, stream: TcpStream) -> Self {
        let outcome = Outcome {
            result: why(error),
            version: "",
        };
        Self { outcome, stream }
    }

    /// Sends the alert that describes the error to the client.
    async fn send_alert(error: &rustls::Error, alert_bytes: &[u8], mut stream: TcpStream) -> Self {
        let _gone = stream.write_all(alert_bytes).await;
        Self::because(Some(error), stream)
    }
}

/// Reason why a handshake failed, as a metric label.
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
