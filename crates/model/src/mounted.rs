//! Limit on the routes of a project that come from further mounts of its APIs.
//!
//! Each mount has a route for each operation of its API, so a short document with many mounts makes
//! very many routes. Routes of the first mounts need no limit, because documents contain them.

use diag::shape::BAD_VALUE;
use diag::{Diagnostic, Sink};

use super::{Api, Operation};

/// Maximum number of routes of all mounts but the first mount of each API. A plan that adds
/// this number of routes takes about 17 s and 0.7 GB.
const ROUTES_MAX: usize = 50_000;

/// Error: a project has more than [`ROUTES_MAX`] routes of further mounts. The routes of such a
/// project must not be compared.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TooManyRoutes;

/// Checks the number of routes of further mounts.
///
/// # Errors
/// Returns an error, and reports it, if the project has too many of them.
pub(crate) fn check(apis: &[Api], sink: &mut Sink) -> Result<(), TooManyRoutes> {
    let routes: usize = apis.iter().map(further_routes).sum();
    let most = apis.iter().max_by_key(|api| further_routes(api));
    let Some(api) = most.filter(|_| routes > ROUTES_MAX) else {
        return Ok(());
    };
    let message = format!(
        "a project can have at most {ROUTES_MAX} routes of further mounts, this one has {routes}"
    );
    let label = format!(
        "{} mounts of {} operations",
        api.mounts.len(),
        served_operations(api)
    );
    sink.push(
        Diagnostic::new(&BAD_VALUE, api.mounts[0].span, message)
            .label(label)
            .help("mount an API once and give its mount several hosts, or split the project"),
    );
    Err(TooManyRoutes)
}

/// Number of routes of all mounts of an API but the first one.
fn further_routes(api: &Api) -> usize {
    served_operations(api) * api.mounts.len().saturating_sub(1)
}

/// Number of operations that have a route at each mount. Includes operations for requests that the
/// document does not describe, and endpoints of served documents.
fn served_operations(api: &Api) -> usize {
    let served = |operation: &&Operation| !operation.internal;
    api.operations.iter().filter(served).count() + api.rest.len()
}
