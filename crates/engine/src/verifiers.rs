//! Verifiers of a gateway, ready to run.

use std::sync::Arc;

use bundle::ir;
use policy::auth::{Checked, jwt};

/// The verifiers of a gateway by name, with what was prepared for those of tokens.
pub(crate) struct Verifiers<'a> {
    all: &'a ir::Set<ir::Verifier>,
    /// By the index of the verifier.
    tokens: Vec<Option<Arc<jwt::Verifier>>>,
}

impl<'a> Verifiers<'a> {
    /// Verifiers with what was prepared for them, in their order.
    pub(crate) fn new(
        all: &'a ir::Set<ir::Verifier>,
        tokens: Vec<Option<Arc<jwt::Verifier>>>,
    ) -> Self {
        Self { all, tokens }
    }

    /// A verifier, or its name if there is none.
    pub(crate) fn get(
        &self,
        name: &str,
    ) -> Result<(&'a Checked, &Option<Arc<jwt::Verifier>>), String> {
        let index = self.all.position(name).ok_or_else(|| name.to_owned())?;
        Ok((&self.all[index].checked, &self.tokens[index]))
    }
}
