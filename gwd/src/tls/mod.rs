//! TLS to clients and upstreams: certificates and CA certificates that can be replaced at run time,
//! certificate selection, and handshakes.
//!
//! Values built from secrets (certificates, CA certificates) are in cells that belong to the
//! process, one per set of secret references (release.md §7). Versions refer to cells, so that a
//! replaced certificate takes effect in all versions, and a rollback never brings back an old one.
//! A cell always has a valid value: new secrets are checked before they replace the value.

pub(crate) mod accept;
mod cell;
mod certs;
pub(crate) mod client;
mod client_auth;
pub(crate) mod connector;
#[cfg(test)]
mod freed;
pub(crate) mod peer_certificate;
mod provider;
mod sni;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use bundle::ir;
use policy::{SecretRef, SecretUnavailable, SecretValue, Secrets};
use rustls::server::{ClientHello, NoServerSessionStorage, ServerConfig};
use rustls::version::{TLS12, TLS13};
use serde_json::json;

pub(crate) use self::cell::Unusable;
use self::cell::{Cell, Sources};
use self::certs::Pair;
use self::client_auth::Admission;
use self::connector::{Connector, Roots};
pub(crate) use self::provider::PROVIDER;
use self::sni::Chooser;
use crate::runtime::program_log::{Level, event};

/// All cells of the process. Only the control thread uses them directly; workers use
/// [`TlsListener`]s and [`Connector`]s.
#[derive(Default)]
pub(crate) struct Store {
    pairs: Cells<(SecretRef, SecretRef), Pair>,
    admissions: Cells<Option<ir::ClientAuth>, Admission>,
    /// Trusted CA certificates for upstreams. The key `None` stands for the system's CA
    /// certificates.
    roots: Cells<Option<SecretRef>, Roots>,
    connectors: RefCell<BTreeMap<ir::UpstreamTls, Arc<Connector>>>,
}

/// Cells by the settings that they are built from.
type Cells<K, T> = RefCell<BTreeMap<K, Arc<Cell<T>>>>;

/// Certificate with its name in the configuration.
type Named = (Box<str>, Arc<Cell<Pair>>);

/// TLS settings of one listener in one version.
pub(crate) struct TlsListener {
    certificates: Box<[Named]>,
    chooser: Arc<Chooser>,
    admission: Arc<Cell<Admission>>,
    min_version: ir::TlsVersion,
    http2: bool,
    /// TLS server configuration, and the admission rules that it was built from.
    config: ArcSwap<(Arc<Admission>, Arc<ServerConfig>)>,
}

// === impl Store ===

impl Store {
    /// Creates the TLS settings of a listener. Certificates and CA certificates that are not loaded
    /// yet are loaded and checked.
    ///
    /// # Errors
    /// If a secret cannot be used. The error names the secret and the reason.
    pub(crate) fn tls_listener(
        &self,
        tls: &ir::ListenerTls,
        http2: bool,
        secrets: &dyn Secrets,
    ) -> Result<Arc<TlsListener>, Unusable> {
        let certificates = tls.certificates.iter().map(|one| {
            let key = (one.cert.clone(), one.key.clone());
            let cell = cell(&self.pairs, key, [&one.cert, &one.key], secrets, Pair::load)?;
            Ok((one.name.as_str().into(), cell))
        });
        let certificates = certificates.collect::<Result<Box<[_]>, Unusable>>()?;
        let client_auth = tls.client_auth.as_ref();
        let client_auth = client_auth.filter(|one| one.mode != ir::ClientAuthMode::Off);
        let sources = client_auth
            .into_iter()
            .flat_map(|one| std::iter::once(&one.ca).chain(&one.crl));
        let mode = client_auth.map(|one| one.mode);
        let admission = cell(
            &self.admissions,
            client_auth.cloned(),
            sources,
            secrets,
            move |values| Admission::load(mode, values),
        )?;
        TlsListener::new(certificates, admission, tls.min_version, http2).map(Arc::new)
    }

    /// Returns the connector for the TLS settings of an upstream. Certificates and CA certificates
    /// that are not loaded yet are loaded and checked.
    ///
    /// # Errors
    /// If a secret cannot be used. The error names the secret and the reason.
    pub(crate) fn connector(
        &self,
        tls: &ir::UpstreamTls,
        secrets: &dyn Secrets,
    ) -> Result<Arc<Connector>, Unusable> {
        if let Some(known) = self.connectors.borrow().get(tls) {
            return Ok(Arc::clone(known));
        }
        let roots = tls.verify.then(|| {
            let key = tls.ca.clone();
            cell(&self.roots, key, &tls.ca, secrets, Roots::load)
        });
        let own = tls.client_cert.as_ref().map(|own| {
            let key = (own.cert.clone(), own.key.clone());
            cell(&self.pairs, key, [&own.cert, &own.key], secrets, Pair::load)
        });
        let connector = Connector::new(tls, roots.transpose()?, own.transpose()?);
        let connector = Arc::new(connector.map_err(|why| {
            let what = tls.secrets().map(ToString::to_string).collect::<Vec<_>>();
            Unusable::Content {
                what: what.join(" and "),
                why,
            }
        })?);
        let mut connectors = self.connectors.borrow_mut();
        connectors.insert(tls.clone(), Arc::clone(&connector));
        Ok(connector)
    }

    /// Applies secrets that have changed, if they are valid, and drops cells that nothing uses.
    /// Returns true if rules for client certificates have changed.
    pub(crate) fn refresh(&self) -> bool {
        let mut connectors = self.connectors.borrow_mut();
        connectors.retain(|_, connector| Arc::strong_count(connector) > 1);
        let mut roots = self.roots.borrow_mut();
        roots.retain(|_, cell| Arc::strong_count(cell) > 1);
        for cell in roots.values() {
            cell.refresh("a CA certificate for upstreams", Roots::load);
        }
        let mut pairs = self.pairs.borrow_mut();
        pairs.retain(|_, cell| Arc::strong_count(cell) > 1);
        for cell in pairs.values() {
            cell.refresh("a certificate", Pair::load);
        }
        let mut admissions = self.admissions.borrow_mut();
        admissions.retain(|_, cell| Arc::strong_count(cell) > 1);
        let mut have_changed = false;
        for (client_auth, cell) in &*admissions {
            let mode = client_auth.as_ref().map(|one| one.mode);
            let before = cell.now();
            cell.refresh("a CA certificate for clients", |values| {
                Admission::load(mode, values)
            });
            have_changed |= !Arc::ptr_eq(&before, &cell.now());
        }
        for (tls, connector) in &*connectors {
            if let Err(why) = connector.renew() {
                let secrets: Vec<_> = tls.secrets().map(ToString::to_string).collect();
                event(
                    Level::Error,
                    "the TLS settings of an upstream cannot be reloaded; the previous ones stay in use",
                    json!({"secrets": secrets, "error": why}),
                );
            }
        }
        have_changed
    }

    /// Secrets whose current values cannot be used, with the reasons.
    pub(crate) fn broken(&self) -> Vec<String> {
        let pairs = self.pairs.borrow();
        let admissions = self.admissions.borrow();
        let pairs = pairs.values().filter_map(|cell| cell.broken());
        let admissions = admissions.values().filter_map(|cell| cell.broken());
        let roots = self.roots.borrow();
        let roots = roots.values().filter_map(|cell| cell.broken());
        pairs.chain(admissions).chain(roots).collect()
    }
}

/// Returns the cell for a key. If there is none yet, builds it.
fn cell<'r, K: Ord, T>(
    cells: &Cells<K, T>,
    key: K,
    references: impl IntoIterator<Item = &'r SecretRef>,
    secrets: &dyn Secrets,
    load: impl Fn(&[Arc<SecretValue>]) -> Result<T, String>,
) -> Result<Arc<Cell<T>>, Unusable> {
    if let Some(known) = cells.borrow().get(&key) {
        return Ok(Arc::clone(known));
    }
    let sources = references.into_iter().map(|reference| {
        let cell = secrets.cell(reference, policy::Form::Bytes)?;
        Ok((reference.clone(), cell))
    });
    let sources: Sources = sources
        .collect::<Result<_, SecretUnavailable>>()
        .map_err(Unusable::Secret)?;
    let cell = Arc::new(Cell::new(sources, load)?);
    cells.borrow_mut().insert(key, Arc::clone(&cell));
    Ok(cell)
}

// === impl TlsListener ===

impl TlsListener {
    fn new(
        certificates: Box<[Named]>,
        admission: Arc<Cell<Admission>>,
        min_version: ir::TlsVersion,
        http2: bool,
    ) -> Result<Self, Unusable> {
        let cells = certificates.iter().map(|(_, cell)| Arc::clone(cell));
        let chooser = Arc::new(Chooser::new(cells.collect()));
        let now = admission.now();
        let config = config(&now, &chooser, min_version, http2).map_err(|why| {
            let what = admission.names();
            Unusable::Content { what, why }
        })?;
        Ok(Self {
            certificates,
            chooser,
            admission,
            min_version,
            http2,
            config: ArcSwap::from_pointee((now, config)),
        })
    }

    /// Current TLS server configuration. After the CA certificates for clients were replaced,
    /// builds a new configuration with new session tickets. No session is then resumed under other
    /// CA certificates.
    fn config(&self) -> (Arc<Admission>, Arc<ServerConfig>) {
        let now = self.admission.now();
        let made = self.config.load();
        if Arc::ptr_eq(&made.0, &now) {
            return (now, Arc::clone(&made.1));
        }
        match config(&now, &self.chooser, self.min_version, self.http2) {
            Ok(config) => {
                let both = (Arc::clone(&now), Arc::clone(&config));
                self.config.store(Arc::new(both));
                (now, config)
            }
            // Keep the previous configuration, which is at least as strict. This error is not
            // expected: the certificates and settings were accepted before.
            Err(_) => (Arc::clone(&made.0), Arc::clone(&made.1)),
        }
    }

    /// True if the handshake may need an RSA signature, which takes several times as long as other
    /// signatures.
    fn may_sign_with_rsa(&self, hello: &ClientHello<'_>) -> bool {
        self.chooser.may_sign_with_rsa(hello)
    }

    /// True if any certificate of the listener has an RSA key.
    fn has_rsa(&self) -> bool {
        self.chooser.has_rsa()
    }

    /// Current rules for admitting clients by certificate.
    fn admission(&self) -> Arc<Admission> {
        self.admission.now()
    }

    /// True if `host` is served with the same certificates as the name `sni`.
    pub(crate) fn same_certificate(&self, sni: Option<&str>, host: &str) -> bool {
        self.chooser.same(sni, host)
    }

    /// Expiry of each certificate (Unix time in seconds), with the certificate's name.
    pub(crate) fn expiries(&self) -> impl Iterator<Item = (&str, i64)> {
        let all = self.certificates.iter();
        all.map(|(name, cell)| (&**name, cell.now().not_after_s))
    }
}

fn config(
    admission: &Admission,
    chooser: &Arc<Chooser>,
    min_version: ir::TlsVersion,
    http2: bool,
) -> Result<Arc<ServerConfig>, String> {
    let versions: &[_] = match min_version {
        ir::TlsVersion::V1_2 => &[&TLS13, &TLS12],
        ir::TlsVersion::V1_3 => &[&TLS13],
    };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&PROVIDER))
        .with_protocol_versions(versions)
        .map_err(|error| error.to_string())?;
    let builder = match &admission.verifier {
        Some(verifier) => builder.with_client_cert_verifier(Arc::clone(verifier)),
        None => builder.with_no_client_auth(),
    };
    let chooser: Arc<Chooser> = Arc::clone(chooser);
    let mut config = builder.with_cert_resolver(chooser);
    config.alpn_protocols = match http2 {
        true => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        false => vec![b"http/1.1".to_vec()],
    };
    // Sessions are stored only in tickets: the gateway keeps no state per client, and allows no
    // 0-RTT.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = Arc::clone(&admission.tickets);
    Ok(Arc::new(config))
}

impl fmt::Debug for TlsListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsListener(…)")
    }
}
