//! Comparison of `path_readings`: the setting decides whether the gateway admits paths that
//! upstreams may understand as other paths.

use bundle::ir::PathReadings;

use super::{Access, Difference, Verdict};

/// Compares `path_readings`. The value `keep` admits paths that `strict` refuses.
pub(super) fn compare(old: &Access<'_>, new: &Access<'_>) -> Vec<Difference> {
    let readings_of = |access: &Access<'_>| access.route.map(|route| route.treatment.path_readings);
    let (was, is) = (
        readings_of(old).unwrap_or_default(),
        readings_of(new).unwrap_or_default(),
    );
    let word = |readings: PathReadings| match readings {
        PathReadings::Strict => "strict".to_owned(),
        PathReadings::Keep => "keep".to_owned(),
    };
    let verdict = Verdict::of(was <= is, is <= was);
    super::one(
        "readings",
        verdict,
        "path-readings-changed",
        "path_readings",
        (word(was), word(is)),
    )
}
