//! Verifiers of a gateway, ready to run.

use std::sync::Arc;

use bundle::ir;
use policy::auth::{Checked, TokenVerifier};
use policy::key_cell::KeyCell;

/// Verifiers of a gateway by name, with the run-time state of token verifiers.
pub(crate) struct Verifiers<'a> {
    all: &'a ir::Set<ir::Verifier>,
    /// Run-time token verifiers, by index of the verifier. None for other kinds.
    tokens: Vec<Option<Arc<TokenVerifier>>>,
}

impl<'a> Verifiers<'a> {
    /// Combines verifiers with their run-time token verifiers, in the same order.
    pub(crate) fn new(
        all: &'a ir::Set<ir::Verifier>,
        tokens: Vec<Option<Arc<TokenVerifier>>>,
    ) -> Self {
        Self { all, tokens }
    }

    /// Cells of all keys that the verifiers fetch, without duplicates.
    pub(crate) fn key_cells(&self) -> Box<[Arc<KeyCell>]> {
        let mut cells: Vec<Arc<KeyCell>> = Vec::new();
        for cell in self
            .tokens
            .iter()
            .flatten()
            .filter_map(|one| one.key_cell())
        {
            if cells.iter().all(|known| !Arc::ptr_eq(known, cell)) {
                cells.push(Arc::clone(cell));
            }
        }
        cells.into()
    }

    /// Verifier with this name.
    ///
    /// # Errors
    /// The name, if there is no such verifier.
    pub(crate) fn get(
        &self,
        name: &str,
    ) -> Result<(&'a Checked, &Option<Arc<TokenVerifier>>), String> {
        let index = self.all.position(name).ok_or_else(|| name.to_owned())?;
        Ok((&self.all[index].checked, &self.tokens[index]))
    }
}
