//! Properties of a policy that the other parts of the gateway ask for.

use std::fmt::Debug;

use crate::declared::Settings;
use crate::key::Key;
use crate::path_text::PathText;
use crate::phase::Phase;
use crate::secret::{SecretRef, SecretUnavailable};
use crate::step::{Run, Setting};

/// A kind of policy, implemented by its `Checked`. Only the first four are asked of every kind;
/// the defaults of the others are right for a policy that has no such thing.
pub trait Policy {
    /// The form that runs; [`Never`] for a parameter.
    type Filter: Run + Debug;

    /// Features beside `policy:KIND` that some of its settings need, in the words of a bundle's
    /// `needs`: an older gateway that lacks one refuses the bundle.
    const FEATURES: &'static [&'static str] = &[];

    /// Place in the chain; none for a parameter of the whole exchange.
    fn phase(&self) -> Option<Phase>;

    /// Settings in the form in which two versions are compared.
    fn settings(&self) -> Settings;

    /// Prepares what runs; none for a parameter.
    ///
    /// # Errors
    /// A secret cannot be resolved.
    fn filter(&self, setting: &Setting<'_>) -> Result<Option<Self::Filter>, SecretUnavailable>;

    /// The one of [`Self::FEATURES`] that these settings need.
    fn feature(&self) -> Option<&'static str> {
        None
    }

    /// Names of the services that it sends requests or copies to.
    fn upstreams(&self) -> Vec<&str> {
        Vec::new()
    }

    /// Replaces the names of the services.
    fn rename_upstreams(&mut self, _name: &dyn Fn(&str) -> String) {}

    /// The path that it makes of a request's.
    fn path_text(&self) -> Option<&PathText> {
        None
    }

    /// References to the secrets that it needs.
    fn secrets(&self) -> Vec<&SecretRef> {
        Vec::new()
    }

    /// Key by which it counts.
    fn key(&self) -> Option<&Key> {
        None
    }

    /// Name of the form in which it counts, with its key. Counters survive a switch as long as this
    /// stays the same. Empty for a policy without counters.
    fn counter(&self) -> String {
        String::new()
    }
}

/// Filter of a parameter, which is never made.
#[derive(Debug)]
pub enum Never {}

impl Run for Never {}
