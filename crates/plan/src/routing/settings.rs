//! Comparison of the settings of routes that both sides have.

use bundle::ir;
use rustc_hash::FxHashMap;

use super::table::Route;

/// True for a route of a side if the other side has no route with the same requests.
pub(super) type ChangedRoutes = [Vec<bool>; 2];

/// Comparisons of the settings of two routes. Each pair of treatments and of APIs is compared once.
#[derive(Debug, Default)]
pub(super) struct Settings {
    /// Results by the memory addresses of the compared values.
    known: FxHashMap<(usize, usize), bool>,
}

impl Settings {
    /// True if a route of both sides has other settings on which the refusals of ambiguous paths
    /// depend: its security, policies, validation, upstream and `path_readings`.
    pub(super) fn differ(&mut self, was: &Route<'_>, is: &Route<'_>) -> bool {
        let mut differ = |addresses, compare: &dyn Fn() -> bool| {
            *self.known.entry(addresses).or_insert_with(compare)
        };
        let (before, after) = (was.treatment(), is.treatment());
        let treatments = (address(before), address(after));
        let apis = (address(was.api), address(is.api));
        let refusing = |one: &ir::Treatment| {
            let validate = one.forwarding.validate.clone();
            let names = (one.chain.clone(), one.upstream.clone());
            (one.security.clone(), names, validate, one.path_readings)
        };
        differ(treatments, &|| refusing(before) != refusing(after))
            || differ(apis, &|| {
                (&was.api.policies, &was.api.schemes) != (&is.api.policies, &is.api.schemes)
            })
    }
}

/// Memory address of a value.
pub(super) fn address<T>(value: &T) -> usize {
    std::ptr::from_ref(value) as usize
}
