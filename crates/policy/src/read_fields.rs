//! Request fields that a policy reads, as its filter returns them.

use std::sync::Arc;

use http::HeaderName;

use crate::Checked;
use crate::guard::expression::Source;
use crate::ranges::RangesCell;
use crate::secret::{Form, SecretCell, SecretRef, SecretUnavailable, Secrets};
use crate::step::{NO_DOCUMENTS, Run, Setting, StateId};

/// Secrets for a filter that is not run: every secret is empty, and no file is read.
struct NoSecrets;

impl Secrets for NoSecrets {
    fn cell(&self, _: &SecretRef, _: Form) -> Result<Arc<SecretCell>, SecretUnavailable> {
        Ok(SecretCell::new(Vec::new()))
    }

    fn ranges(&self, _: &SecretRef) -> Result<Option<Arc<RangesCell>>, SecretUnavailable> {
        Ok(None)
    }
}

impl Checked {
    /// Request fields on which the decision of the policy depends ([`Run::read_fields`]), for
    /// plans. Empty for a parameter (`timeout`, `retry`) and for a kind that cannot run.
    #[must_use]
    pub fn read_fields(&self) -> Vec<HeaderName> {
        // Building a filter would compile the expression at each call.
        if let Self::Authorize(authorize) = self {
            return authorize.expression().map_or(Vec::new(), Source::fields);
        }
        let setting = Setting {
            name: self.kind(),
            state: StateId(0),
            secrets: &NoSecrets,
            documents: &NO_DOCUMENTS,
        };
        // Building fails only for `respond` with a document, which reads no fields.
        let filter = self.filter(&setting).ok().flatten();
        filter.map_or(Vec::new(), |filter| filter.read_fields())
    }
}
