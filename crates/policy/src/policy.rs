//! Trait of policies: the properties that the rest of the gateway uses.

use std::fmt::Debug;

use crate::declared::Settings;
use crate::key::Key;
use crate::path_text::PathText;
use crate::phase::Phase;
use crate::secret::{SecretRef, SecretUnavailable};
use crate::step::{Run, Setting};
use crate::store;

/// Properties of a kind of policy. Its `Checked` type implements this trait. The default methods
/// are for policies that lack the property.
pub trait Policy {
    /// Run-time filter; [`Never`] for a parameter.
    type Filter: Run + Debug;

    /// Features that some settings need in addition to `policy:KIND`, as in a bundle's `needs`. An
    /// older gateway without such a feature refuses the bundle.
    const FEATURES: &'static [&'static str] = &[];

    /// Phase in the chain. None for a parameter of the whole exchange.
    fn phase(&self) -> Option<Phase>;

    /// Settings in the common form for comparison.
    fn settings(&self) -> Settings;

    /// Builds the filter. None for a parameter.
    ///
    /// # Errors
    /// A secret cannot be resolved.
    fn filter(&self, setting: &Setting<'_>) -> Result<Option<Self::Filter>, SecretUnavailable>;

    /// Feature of [`Self::FEATURES`] that these settings need, if any.
    fn feature(&self) -> Option<&'static str> {
        None
    }

    /// Names of the upstreams to which the policy sends requests or copies.
    fn upstreams(&self) -> Vec<&str> {
        Vec::new()
    }

    /// Renames the upstreams.
    fn rename_upstreams(&mut self, _name: &dyn Fn(&str) -> String) {}

    /// Path template with which the policy replaces a request's path.
    fn path_text(&self) -> Option<&PathText> {
        None
    }

    /// Secrets in the settings.
    fn secrets(&self) -> Vec<&SecretRef> {
        Vec::new()
    }

    /// Store of the counters, if they are not local.
    fn store(&self) -> Option<&store::Checked> {
        None
    }

    /// Store of the counters, to add its settings.
    fn store_mut(&mut self) -> Option<&mut store::Checked> {
        None
    }

    /// Counter key.
    fn key(&self) -> Option<&Key> {
        None
    }

    /// Identity of the policy's counters: algorithm and key. Counters survive a new version while
    /// this is unchanged. Empty for a policy without counters.
    fn counter(&self) -> String {
        String::new()
    }
}

/// Filter type of policies without a filter. It has no values.
#[derive(Debug)]
pub enum Never {}

impl Run for Never {}
