//! Comparison of the settings of routes that both sides have.

use rustc_hash::FxHashMap;

use super::table::Route;

/// For the routes of each side, true if the other side has no route with the same requests.
pub(super) type ChangedRoutes = [Vec<bool>; 2];

/// Comparisons of the settings of two routes. Each pair of treatments and of APIs is compared once.
#[derive(Debug, Default)]
pub(super) struct Settings {
    /// Results by the memory addresses of the compared values.
    known: FxHashMap<(usize, usize), bool>,
}

impl Settings {
    /// True if a route of both sides has other settings or other policies.
    pub(super) fn differ(&mut self, was: &Route<'_>, is: &Route<'_>) -> bool {
        let mut differ = |addresses, compare: &dyn Fn() -> bool| {
            *self.known.entry(addresses).or_insert_with(compare)
        };
        let (before, after) = (was.treatment(), is.treatment());
        let treatments = (address(before), address(after));
        let apis = (address(was.api), address(is.api));
        differ(treatments, &|| before != after)
            || differ(apis, &|| {
                (&was.api.policies, &was.api.schemes) != (&is.api.policies, &is.api.schemes)
            })
    }
}

/// Memory address of a value.
pub(super) fn address<T>(value: &T) -> usize {
    std::ptr::from_ref(value) as usize
}
