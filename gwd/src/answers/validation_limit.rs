//! Limit that an operator sets on the validation of requests on this node, for an emergency.
//!
//! The limit belongs to the bundle that ran when it was set, and ends with this bundle. The limit
//! does not apply to requests that another bundle serves.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use bundle::digest::Digest;
use policy::validation::Mode;
use serde_json::{Value, json};

/// Limit on validation that an operator has set. Empty: no limit.
#[derive(Debug, Default)]
pub(crate) struct ValidationLimit(ArcSwapOption<Limit>);

/// Override by an operator: upper bound of the validation mode for the requests of one bundle.
#[derive(Debug)]
struct Limit {
    mode: Mode,
    bundle: Digest,
    why: Option<Box<str>>,
}

impl ValidationLimit {
    /// Upper bound of the validation mode for requests of a bundle. `None`: the bundle's own modes
    /// apply.
    pub(crate) fn of(&self, bundle: &Digest) -> Option<Mode> {
        let limit = self.0.load();
        let limit = limit.as_ref().filter(|limit| limit.bundle == *bundle);
        limit.map(|limit| limit.mode)
    }

    /// Limits the validation of a bundle's requests to a mode.
    pub(crate) fn set(&self, mode: Mode, bundle: Digest, why: Option<&str>) {
        let why = why.map(Box::from);
        self.0.store(Some(Arc::new(Limit { mode, bundle, why })));
    }

    /// Removes the limit. Returns its mode if there was one.
    pub(crate) fn lift(&self) -> Option<Mode> {
        self.0.swap(None).map(|limit| limit.mode)
    }

    /// Removes the limit, unless it was set for this bundle. Returns the mode of a removed limit;
    /// `None` if nothing was removed.
    pub(crate) fn lift_unless(&self, bundle: &Digest) -> Option<Mode> {
        let limit = self.0.load_full()?;
        match limit.bundle == *bundle {
            true => None,
            false => self.lift(),
        }
    }

    /// Limit for the status: `{"mode", "reason"}`, or null.
    pub(crate) fn status(&self) -> Value {
        let limit = self.0.load();
        limit.as_ref().map_or(
            Value::Null,
            |limit| json!({"mode": limit.mode.word(), "reason": limit.why}),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limit_ends_with_its_bundle() {
        let (one, two) = (Digest::of(b"one"), Digest::of(b"two"));
        let limit = ValidationLimit::default();
        assert_eq!((limit.of(&one), limit.status()), (None, Value::Null));
        limit.set(Mode::Log, one, Some("false alarms"));
        assert_eq!(limit.of(&one), Some(Mode::Log));
        assert_eq!(limit.of(&two), None, "another bundle");
        assert_eq!(
            limit.status(),
            json!({"mode": "log", "reason": "false alarms"})
        );
        assert_eq!(limit.lift_unless(&one), None);
        assert_eq!(limit.lift_unless(&two), Some(Mode::Log));
        assert_eq!(limit.of(&one), None, "the bundle runs again");
        limit.set(Mode::Off, one, None);
        assert_eq!(limit.lift(), Some(Mode::Off));
        assert_eq!(limit.lift(), None);
    }
}
