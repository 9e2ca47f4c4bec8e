//! Verifiers of a gateway at run time.

use std::sync::Arc;

use bundle::ir;
use policy::auth::{Checked, TokenVerifier};
use policy::key_cell::KeyCell;
use policy::store::Store;
use policy::used::Table;

/// Verifiers of a gateway by name. Token verifiers have their run-time form.
pub(crate) struct Verifiers<'a> {
    all: &'a ir::Set<ir::Verifier>,
    /// Run-time form of each token verifier, by the index of the verifier. `None` for verifiers of
    /// other kinds.
    tokens: Vec<Option<Arc<TokenVerifier>>>,
}

impl<'a> Verifiers<'a> {
    /// Combines verifiers with the run-time forms of token verifiers, in the same order.
    pub(crate) fn new(
        all: &'a ir::Set<ir::Verifier>,
        tokens: Vec<Option<Arc<TokenVerifier>>>,
    ) -> Self {
        Self { all, tokens }
    }

    /// Key cells (caches of fetched keys) of all verifiers, without duplicates.
    pub(crate) fn key_cells(&self) -> Box<[Arc<KeyCell>]> {
        let mut cells: Vec<Arc<KeyCell>> = Vec::new();
        for cell in self.tokens.iter().flatten().flat_map(|one| one.key_cells()) {
            if cells.iter().all(|known| !Arc::ptr_eq(known, cell)) {
                cells.push(Arc::clone(cell));
            }
        }
        cells.into()
    }

    /// Stores in which verifiers record used credentials, with their tables.
    pub(crate) fn used_stores(&self) -> Box<[(Table, Arc<Store>)]> {
        let stores = self.tokens.iter().flatten().filter_map(|one| one.store());
        stores
            .map(|(table, store)| (table, Arc::clone(store)))
            .collect()
    }

    /// Names of the cookies of all logins.
    pub(crate) fn session_cookies(&self) -> Box<[Box<str>]> {
        let logins = self.tokens.iter().flatten().filter_map(|one| one.login());
        let names = logins.map(|login| login.settings().cookie().into());
        let mut names: Vec<Box<str>> = names.collect();
        names.sort();
        names.dedup();
        names.into()
    }

    /// Verifier with this name. Also returns the run-time form of a token verifier.
    ///
    /// # Errors
    /// Returns the name if there is no such verifier.
    pub(crate) fn get(
        &self,
        name: &str,
    ) -> Result<(&'a Checked, &Option<Arc<TokenVerifier>>), String> {
        let index = self.all.position(name).ok_or_else(|| name.to_owned())?;
        Ok((&self.all[index].checked, &self.tokens[index]))
    }
}
