//! Test certificates, and the secrets folder in which gwd finds them.

use std::path::PathBuf;
use std::sync::Arc;

use bundle::ir;
use policy::SecretRef;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, SignatureAlgorithm,
    date_time_ymd,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::world::World;

/// Test certificate authority.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

/// A certificate with its key, in PEM.
#[derive(Clone)]
pub(crate) struct Pem {
    pub(crate) cert: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// A TLS client that trusts only this authority.
    pub(crate) fn client(&self, name: &'static str) -> rustls::ClientConnection {
        let mut roots = rustls::RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap();
        roots.add(root).unwrap();
        let config = rustls::ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = name.try_into().unwrap();
        rustls::ClientConnection::new(Arc::new(config), name).unwrap()
    }

    /// A TLS client that trusts only this authority and presents a certificate.
    pub(crate) fn client_with(&self, name: &'static str, shown: &Pem) -> rustls::ClientConnection {
        let name = name.try_into().unwrap();
        rustls::ClientConnection::new(self.config_with(shown), name).unwrap()
    }

    /// Settings of TLS clients that trust only this authority, present a certificate, and resume
    /// sessions.
    pub(crate) fn config_with(&self, shown: &Pem) -> Arc<rustls::ClientConfig> {
        let mut roots = rustls::RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap();
        roots.add(root).unwrap();
        let own = CertificateDer::from_pem_slice(shown.cert.as_bytes()).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::from_pem_slice(shown.key.as_bytes()).unwrap();
        let config = rustls::ClientConfig::builder()
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![own], key)
            .unwrap();
        Arc::new(config)
    }

    /// Issues a certificate that is valid for the next seconds.
    pub(crate) fn issue_for(&self, names: &[&str], seconds: u64) -> Pem {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let end = now.unwrap() + std::time::Duration::from_secs(seconds);
        let end = date_time_ymd(1970, 1, 1) + end;
        self.issue_until(names, &rcgen::PKCS_ECDSA_P256_SHA256, 1, end)
    }

    pub(crate) fn issue(&self, names: &[&str]) -> Pem {
        self.issue_as(names, &rcgen::PKCS_ECDSA_P256_SHA256, 1, 2)
    }

    pub(crate) fn issue_as(
        &self,
        names: &[&str],
        algorithm: &'static SignatureAlgorithm,
        serial: u64,
        years: i32,
    ) -> Pem {
        let end = date_time_ymd(this_year() + years, 1, 1);
        self.issue_until(names, algorithm, serial, end)
    }

    fn issue_until(
        &self,
        names: &[&str],
        algorithm: &'static SignatureAlgorithm,
        serial: u64,
        end: time::OffsetDateTime,
    ) -> Pem {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names.clone()).unwrap();
        params
            .distinguished_name
            .push(DnType::CommonName, names[0].clone());
        params.serial_number = Some(SerialNumber::from(serial));
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = end;
        let key = KeyPair::generate_for(algorithm).unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap().pem();
        let key = key.serialize_pem();
        Pem { cert, key }
    }

    /// A revocation list that revokes the certificate with this serial number.
    pub(crate) fn takes_back(&self, serial: u64) -> String {
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(this_year() + 2, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: vec![RevokedCertParams {
                serial_number: SerialNumber::from(serial),
                revocation_time: date_time_ymd(2020, 1, 1),
                reason_code: None,
                invalidity_date: None,
            }],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

pub(crate) fn this_year() -> i32 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i32::try_from(now.unwrap().as_secs() / 31_556_952).unwrap() + 1970
}

/// Secrets folder with the files named in a listener.
pub(crate) struct Secrets(PathBuf);

impl Secrets {
    pub(crate) fn of(world: &World) -> Self {
        Self(world.path("secrets").canonicalize().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Replaces a file by a rename.
    pub(crate) fn write(&self, name: &str, text: &str) -> SecretRef {
        let fresh = self.path(&format!("{name}.new"));
        std::fs::write(&fresh, text).unwrap();
        std::fs::rename(&fresh, self.path(name)).unwrap();
        SecretRef::File(self.path(name).display().to_string())
    }

    pub(crate) fn certificate(&self, name: &str, pem: &Pem) -> ir::Certificate {
        ir::Certificate {
            name: name.into(),
            cert: self.write(&format!("{name}.pem"), &pem.cert),
            key: self.write(&format!("{name}.key"), &pem.key),
        }
    }

    /// Client certificate of the gateway for upstreams, with this name and a validity of `years`.
    pub(crate) fn shown(&self, from: &Authority, name: &str, years: i32) -> ir::ClientCertificate {
        let pem = from.issue_as(&[name], &rcgen::PKCS_ECDSA_P256_SHA256, 5, years);
        ir::ClientCertificate {
            cert: self.write("own.pem", &pem.cert),
            key: self.write("own.key", &pem.key),
        }
    }
}
