//! TLS to upstreams: trusted CA certificates, the gateway's own certificate, and handshakes.
//!
//! A [`Connector`] is a TLS client configuration that all upstreams with the same settings share.
//! Its certificates and CA certificates can be replaced at run time. Each replacement begins a new
//! round: connections of earlier rounds get no more requests, and sessions are not resumed across
//! rounds.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use bundle::ir;
use policy::SecretValue;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::SingleCertAndKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::PROVIDER;
use super::cell::Cell;
use super::certs::Pair;
use super::client;

/// Trusted CA certificates for upstreams.
pub(super) struct Roots(Arc<RootCertStore>);

/// Protocols to offer by ALPN (RFC 7301), in order of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    /// Only `http/1.1`.
    Http1,
    /// Only `h2`.
    Http2,
    /// `h2`, and `http/1.1` as second choice.
    Either,
}

/// TLS client configuration for upstreams.
pub(crate) struct Connector {
    /// Id of the connector, unique in the process.
    pub(crate) id: u64,
    sni: Option<Box<str>>,
    /// Trusted CA certificates; `None` if certificates are not verified.
    roots: Option<Arc<Cell<Roots>>>,
    own: Option<Arc<Cell<Pair>>>,
    made: ArcSwap<ClientConfigs>,
}

/// Built TLS client configurations of one round. Each replacement of the configuration begins a new
/// round.
struct ClientConfigs {
    /// Number of the round: 0 at first, incremented with each replacement of the configuration.
    round: u64,
    roots: Option<Arc<Roots>>,
    own: Option<Arc<Pair>>,
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
    either: Arc<ClientConfig>,
}

/// TLS connection to an upstream, with the result of its handshake.
pub(crate) struct TlsConnection {
    pub(crate) stream: Box<TlsStream<TcpStream>>,
    /// True if HTTP/2 was negotiated.
    pub(crate) http2: bool,
    /// Round of the connector at the start of the handshake.
    pub(crate) round: u64,
}

// === impl Roots ===

impl Roots {
    /// Reads CA certificates in PEM. Without a value, reads the CA certificates of the system, or
    /// of `SSL_CERT_FILE` and `SSL_CERT_DIR` if set.
    ///
    /// # Errors
    /// If there is no CA certificate, or one cannot be used.
    pub(super) fn load(values: &[Arc<SecretValue>]) -> Result<Self, String> {
        let roots = match values {
            [] => client::system_roots("tls.ca")?,
            [pem, ..] => client::roots(pem)?,
        };
        Ok(Self(Arc::new(roots)))
    }
}

// === impl Connector ===

impl Connector {
    /// Creates a connector from the settings of upstreams and the cells with the CA certificates
    /// and the gateway's certificate.
    ///
    /// # Errors
    /// If TLS cannot be configured with these values. The error is the reason.
    pub(super) fn new(
        tls: &ir::UpstreamTls,
        roots: Option<Arc<Cell<Roots>>>,
        own: Option<Arc<Cell<Pair>>>,
    ) -> Result<Self, String> {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let made = ClientConfigs::new(
            0,
            roots.as_ref().map(|cell| cell.now()),
            own.as_ref().map(|cell| cell.now()),
        )?;
        Ok(Self {
            id: LAST.fetch_add(1, Ordering::Relaxed),
            sni: tls.sni.as_deref().map(Box::from),
            roots,
            own,
            made: ArcSwap::from_pointee(made),
        })
    }

    /// Applies certificates and CA certificates that were replaced. If any were replaced, begins a
    /// new round.
    ///
    /// # Errors
    /// If the new values cannot be used. The error is the reason; the previous configuration stays
    /// in use.
    pub(super) fn renew(&self) -> Result<(), String> {
        let before = self.made.load();
        let roots = self.roots.as_ref().map(|cell| cell.now());
        let own = self.own.as_ref().map(|cell| cell.now());
        if !same(before.roots.as_ref(), roots.as_ref()) || !same(before.own.as_ref(), own.as_ref())
        {
            let made = ClientConfigs::new(before.round + 1, roots, own)?;
            self.made.store(Arc::new(made));
        }
        Ok(())
    }

    /// Number of times that the CA certificates or the gateway's certificate were replaced.
    pub(crate) fn round(&self) -> u64 {
        self.made.load().round
    }

    /// Expiry of the gateway's own certificate (Unix time in seconds), if it has one.
    pub(crate) fn expiry(&self) -> Option<i64> {
        self.own.as_ref().map(|own| own.now().not_after_s)
    }

    /// Performs the handshake with an upstream's host. The caller limits the time.
    ///
    /// # Errors
    /// If TLS or I/O fails. A TLS failure has the kind `InvalidData` and contains a
    /// [`rustls::Error`].
    pub(crate) async fn connect(
        &self,
        host: &str,
        offer: Offer,
        stream: TcpStream,
    ) -> io::Result<TlsConnection> {
        let name = self.sni.as_deref().unwrap_or(host);
        let name = ServerName::try_from(name.to_owned()).map_err(|_| {
            let error = rustls::Error::UnsupportedNameType;
            io::Error::new(io::ErrorKind::InvalidData, error)
        })?;
        let (config, round) = {
            let made = self.made.load();
            let config = match offer {
                Offer::Http1 => &made.http1,
                Offer::Http2 => &made.http2,
                Offer::Either => &made.either,
            };
            (Arc::clone(config), made.round)
        };
        let stream = TlsConnector::from(config).connect(name, stream).await?;
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok(TlsConnection {
            stream: Box::new(stream),
            http2,
            round,
        })
    }
}

fn same<T>(one: Option<&Arc<T>>, other: Option<&Arc<T>>) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

impl ClientConfigs {
    fn new(round: u64, roots: Option<Arc<Roots>>, own: Option<Arc<Pair>>) -> Result<Self, String> {
        let builder = ClientConfig::builder_with_provider(Arc::clone(&PROVIDER))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|error| error.to_string())?;
        let builder = match &roots {
            Some(roots) => {
                let roots = Arc::clone(&roots.0);
                let verifier =
                    WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&PROVIDER));
                let verifier = verifier.build().map_err(|error| error.to_string())?;
                builder.with_webpki_verifier(verifier)
            }
            None => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AcceptAnyCertificate)),
        };
        let config = match &own {
            Some(own) => {
                let shown = SingleCertAndKey::from(Arc::clone(&own.key));
                builder.with_client_cert_resolver(Arc::new(shown))
            }
            None => builder.with_no_client_auth(),
        };
        // All three configurations (one for each [`Offer`]) share the cache of resumable sessions.
        let offering = |protocols: &[&[u8]]| {
            let mut config = config.clone();
            config.alpn_protocols = protocols.iter().map(|one| one.to_vec()).collect();
            Arc::new(config)
        };
        Ok(Self {
            round,
            http1: offering(&[b"http/1.1"]),
            http2: offering(&[b"h2"]),
            either: offering(&[b"h2", b"http/1.1"]),
            roots,
            own,
        })
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connector({})", self.id)
    }
}

/// Verifier that accepts every certificate (`verify: false`). The peer must still prove that it has
/// the private key.
#[derive(Debug)]
struct AcceptAnyCertificate;

impl ServerCertVerifier for AcceptAnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &PROVIDER.signature_verification_algorithms;
        verify_tls12_signature(message, cert, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &PROVIDER.signature_verification_algorithms;
        verify_tls13_signature(message, cert, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        PROVIDER
            .signature_verification_algorithms
            .supported_schemes()
    }
}
