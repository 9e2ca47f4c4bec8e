//! Cell of a value that is built from secrets and can be replaced at run time.

use std::sync::Arc;

use arc_swap::ArcSwap;
use policy::{SecretCell, SecretRef, SecretUnavailable, SecretValue};
use serde_json::json;

use crate::runtime::program_log::{Level, event};

/// Reason why the configured TLS cannot be used.
#[derive(Debug)]
pub(crate) enum Unusable {
    /// The secret is unavailable.
    Secret(SecretUnavailable),
    /// The content cannot be used: it is not a certificate or key, the key does not belong to the
    /// certificate, or the certificate has expired.
    Content {
        /// References of the secrets that cannot be used.
        what: String,
        why: String,
    },
}

/// Value built from secrets. A new value replaces the old one only after it was checked.
pub(crate) struct Cell<T> {
    made: ArcSwap<T>,
    sources: Sources,
    /// Secrets at the last check, valid or not.
    seen: ArcSwap<Vec<Arc<SecretValue>>>,
    /// Reason why the current secrets are not used; `None` if they are used.
    broken: ArcSwap<Option<String>>,
}

/// Secrets that a cell is built from, with their references.
pub(super) type Sources = Vec<(SecretRef, Arc<SecretCell>)>;

impl<T> Cell<T> {
    pub(super) fn new(
        sources: Sources,
        load: impl Fn(&[Arc<SecretValue>]) -> Result<T, String>,
    ) -> Result<Self, Unusable> {
        let values: Vec<_> = sources.iter().map(|(_, cell)| cell.value()).collect();
        let made = load(&values).map_err(|why| Unusable::Content {
            what: names(&sources),
            why,
        })?;
        Ok(Self {
            made: ArcSwap::from_pointee(made),
            sources,
            seen: ArcSwap::from_pointee(values),
            broken: ArcSwap::from_pointee(None),
        })
    }

    /// Current value of the cell.
    pub(crate) fn now(&self) -> Arc<T> {
        self.made.load_full()
    }

    /// References of the secrets that the value is built from.
    pub(super) fn names(&self) -> String {
        names(&self.sources)
    }

    /// References of the secrets whose current values cannot be used, with the reason. `None` if
    /// they are used.
    pub(super) fn broken(&self) -> Option<String> {
        let why = self.broken.load();
        let why = Option::as_ref(&why)?;
        Some(format!("{}: {why}", self.names()))
    }

    /// Builds the value again if a secret has changed. Keeps the previous value if that fails.
    pub(super) fn refresh(
        &self,
        what: &str,
        load: impl Fn(&[Arc<SecretValue>]) -> Result<T, String>,
    ) {
        let values: Vec<_> = self.sources.iter().map(|(_, cell)| cell.value()).collect();
        if **self.seen.load() == values {
            return;
        }
        let secrets = self.names();
        match load(&values) {
            Ok(made) => {
                self.made.store(Arc::new(made));
                self.broken.store(Arc::new(None));
                let message = format!("{what} was replaced");
                event(Level::Info, &message, json!({"secrets": secrets}));
            }
            Err(why) => {
                let message = format!("{what} cannot be used; the previous value stays in use");
                let fields = json!({"secrets": secrets, "error": &why});
                event(Level::Error, &message, fields);
                self.broken.store(Arc::new(Some(why)));
            }
        }
        self.seen.store(Arc::new(values));
    }
}

fn names(sources: &Sources) -> String {
    let names = sources.iter().map(|(reference, _)| reference.to_string());
    names.collect::<Vec<_>>().join(" and ")
}
