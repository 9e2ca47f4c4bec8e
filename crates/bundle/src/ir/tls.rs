//! TLS settings of listeners and upstreams: references to certificates, versions, client
//! certificates, certificate authorities.

use minicbor::{Decode, Encode};
use policy::SecretRef;
use policy::declared::{Scalar, Settings, Value};

use super::set::{Named, Set};

/// TLS settings of a listener.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ListenerTls {
    /// Certificates by name. The server name (SNI) that a client requests selects a certificate.
    /// Never empty, because no handshake succeeds without a certificate.
    #[n(0)]
    pub certificates: Set<Certificate>,
    /// Minimum TLS version.
    #[n(1)]
    pub min_version: TlsVersion,
    /// Client certificate settings. `None`: the listener requests no certificates.
    #[n(2)]
    pub client_auth: Option<ClientAuth>,
}

/// A certificate with its key.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Certificate {
    /// Name of the certificate, for metrics and messages.
    #[n(0)]
    pub name: String,
    /// Certificate chain in PEM, the gateway's certificate first.
    #[n(1)]
    pub cert: SecretRef,
    /// Private key of the certificate in PEM.
    #[n(2)]
    pub key: SecretRef,
}

/// TLS settings towards an upstream.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(map)]
pub struct UpstreamTls {
    /// Server name for SNI (RFC 6066 §3), which the certificate must contain. `None`: the target's
    /// host.
    #[n(0)]
    pub sni: Option<String>,
    /// Trusted certificate authorities in PEM. `None`: the system's authorities.
    #[n(1)]
    pub ca: Option<SecretRef>,
    /// Client certificate that the gateway presents if the upstream requests one. `None`: the
    /// gateway has no client certificate.
    #[n(2)]
    pub client_cert: Option<ClientCertificate>,
    /// True if authority, name and validity of the upstream's certificate are verified.
    #[n(3)]
    pub verify: bool,
}

/// Client certificate of the gateway towards an upstream, with its key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(map)]
pub struct ClientCertificate {
    /// Certificate chain in PEM, the gateway's certificate first.
    #[n(0)]
    pub cert: SecretRef,
    /// Private key of the certificate in PEM.
    #[n(1)]
    pub key: SecretRef,
}

/// TLS versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    #[n(0)]
    V1_2,
    /// TLS 1.3 (RFC 8446).
    #[n(1)]
    V1_3,
}

/// Client certificate settings of a listener.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(map)]
pub struct ClientAuth {
    /// Trusted certificate authorities in PEM.
    #[n(0)]
    pub ca: SecretRef,
    /// Certificate revocation lists in PEM. `None`: revocation is not checked.
    #[n(1)]
    pub crl: Option<SecretRef>,
    /// Mode: off, optional or required.
    #[n(2)]
    pub mode: ClientAuthMode,
}

/// Mode of client certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum ClientAuthMode {
    /// The listener requests no certificate. `ca` is not used.
    #[n(0)]
    Off,
    /// A client may present a certificate. An invalid certificate ends the connection.
    #[n(1)]
    Optional,
    /// A client must present a valid certificate.
    #[n(2)]
    Required,
}

impl ListenerTls {
    /// TLS settings under their keys in gateway.yaml, which plans compare.
    #[must_use]
    pub fn settings(&self) -> Settings {
        let text = |text: &str| Value::One(Scalar::Text(text.to_owned()));
        let mut settings = Settings::default().with(
            &["tls", "min_version"],
            text(match self.min_version {
                TlsVersion::V1_2 => "1.2",
                TlsVersion::V1_3 => "1.3",
            }),
        );
        let secret = |reference: &SecretRef| Value::One(Scalar::Secret(reference.clone()));
        for one in &self.certificates {
            let path = |key| ["tls", "certificates", one.name.as_str(), key];
            settings = settings
                .with(&path("cert"), secret(&one.cert))
                .with(&path("key"), secret(&one.key));
        }
        if let Some(client) = &self.client_auth {
            let mode = match client.mode {
                ClientAuthMode::Off => "off",
                ClientAuthMode::Optional => "optional",
                ClientAuthMode::Required => "required",
            };
            settings = settings
                .with(&["tls", "client_auth", "mode"], text(mode))
                .with(&["tls", "client_auth", "ca"], secret(&client.ca));
            if let Some(crl) = &client.crl {
                settings = settings.with(&["tls", "client_auth", "crl"], secret(crl));
            }
        }
        settings
    }

    /// Secret references in the settings.
    pub fn secrets(&self) -> impl Iterator<Item = &SecretRef> {
        let pairs = self.certificates.iter();
        let client = self.client_auth.iter();
        pairs
            .flat_map(|one| [&one.cert, &one.key])
            .chain(client.flat_map(|one| std::iter::once(&one.ca).chain(&one.crl)))
    }
}

impl UpstreamTls {
    /// Settings that differ from the defaults, under their keys below `tls` in gateway.yaml, which
    /// plans compare.
    #[must_use]
    pub fn settings(&self) -> Settings {
        let secret = |reference: &SecretRef| Value::One(Scalar::Secret(reference.clone()));
        let mut settings = Settings::default();
        if let Some(sni) = &self.sni {
            settings = settings.with(&["sni"], Value::One(Scalar::Text(sni.clone())));
        }
        if let Some(ca) = &self.ca {
            settings = settings.with(&["ca"], secret(ca));
        }
        if let Some(own) = &self.client_cert {
            settings = settings
                .with(&["client_cert", "cert"], secret(&own.cert))
                .with(&["client_cert", "key"], secret(&own.key));
        }
        if !self.verify {
            settings = settings.with(&["verify"], Value::One(Scalar::Flag(false)));
        }
        settings
    }

    /// Secret references in the settings.
    pub fn secrets(&self) -> impl Iterator<Item = &SecretRef> {
        let own = self.client_cert.iter();
        self.ca
            .iter()
            .chain(own.flat_map(|own| [&own.cert, &own.key]))
    }
}

/// Default settings: the upstream's certificate is verified with the system's authorities and the
/// target's host name.
impl Default for UpstreamTls {
    fn default() -> Self {
        Self {
            sni: None,
            ca: None,
            client_cert: None,
            verify: true,
        }
    }
}

impl Named for Certificate {
    fn name(&self) -> &str {
        &self.name
    }
}
