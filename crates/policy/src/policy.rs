//! Trait of policies: the properties that the rest of the gateway uses.

use std::fmt::Debug;

use crate::changes::Changes;
use crate::declared::Settings;
use crate::key::Key;
use crate::path_text::PathText;
use crate::phase::Phase;
use crate::plans::Plans;
use crate::protection::Protection;
use crate::reject::Reject;
use crate::secret::{SecretRef, SecretUnavailable};
use crate::step::{Run, Setting};
use crate::store;

/// Properties of a kind of policy, implemented by its `Checked` type. The default of each method is
/// for kinds that do not have the property.
pub trait Policy {
    /// Run-time filter. [`Never`] for a parameter (`timeout`, `retry`), which has no filter.
    type Filter: Run + Debug;

    /// Features that some settings of this kind need, in addition to `policy:KIND`. The names are
    /// those in a bundle's `needs`; a gateway without such a feature refuses the bundle.
    const FEATURES: &'static [&'static str] = &[];

    /// Classes of changes, for plans: how differences in the settings affect requests.
    const CHANGES: Changes;

    /// Prefixes of the ids of access changes that settings of this kind cause (`cors-`). Plans show
    /// the source location of the setting.
    const CHANGE_IDS: &'static [&'static str] = &[];

    /// Property of requests for which the policy refuses them. `None` for a policy that protects
    /// nothing.
    const PROTECTION: Option<Protection> = None;

    /// Refusals of requests by the filter.
    const REFUSALS: &'static [&'static Reject] = &[];

    /// Reason why gwc cannot know the decision of the policy about a request. Plans show the reason
    /// if they have no example of a change. `None` if gwc evaluates the policy.
    const UNKNOWN_DECISION: Option<&'static str> = None;

    /// Phase in the chain. `None` for a parameter (`timeout`, `retry`), which applies to the whole
    /// exchange.
    fn phase(&self) -> Option<Phase>;

    /// Settings in the form of [`declared::Settings`](crate::declared::Settings), for the
    /// comparison in plans.
    fn settings(&self) -> Settings;

    /// Builds the filter. `None` for a parameter (`timeout`, `retry`), which has no filter.
    ///
    /// # Errors
    /// A secret cannot be resolved.
    fn filter(&self, setting: &Setting<'_>) -> Result<Option<Self::Filter>, SecretUnavailable>;

    /// Feature of [`Self::FEATURES`] that these settings need. `None` if they need no such feature.
    fn feature(&self) -> Option<&'static str> {
        None
    }

    /// Names of the upstreams to which the policy sends requests or copies.
    fn upstreams(&self) -> Vec<&str> {
        Vec::new()
    }

    /// Replaces the name of each upstream by the result of `_name`.
    fn rename_upstreams(&mut self, _name: &dyn Fn(&str) -> String) {}

    /// Path template with which the policy replaces a request's path. `None` if the policy replaces
    /// no path.
    fn path_text(&self) -> Option<&PathText> {
        None
    }

    /// Secret references in the settings.
    fn secrets(&self) -> Vec<&SecretRef> {
        Vec::new()
    }

    /// Store of the counters. `None` if the counters are local.
    fn store(&self) -> Option<&store::Checked> {
        None
    }

    /// Store of the counters, to which gwc adds the settings of the store. `None` if the counters
    /// are local.
    fn store_mut(&mut self) -> Option<&mut store::Checked> {
        None
    }

    /// Plans to which the limit applies. Outer `None`: the policy is not a limit. Inner `None`: the
    /// limit applies to all callers.
    fn plans_mut(&mut self) -> Option<&mut Option<Plans>> {
        None
    }

    /// Key of the counters. `None` for a policy without counters.
    fn key(&self) -> Option<&Key> {
        None
    }

    /// Time in which a caller that has used up the limit gets the whole limit again, in
    /// milliseconds. `u64::MAX` if it is not known or longer. 0 for a policy without counters.
    fn recovery_ms(&self) -> u64 {
        0
    }

    /// Text that identifies the policy's counters: algorithm and key. Counters survive a new
    /// version while this text is unchanged. Empty for a policy without counters.
    fn counter(&self) -> String {
        String::new()
    }
}

/// Filter type of policies without a filter. It has no values.
#[derive(Debug)]
pub enum Never {}

impl Run for Never {}
