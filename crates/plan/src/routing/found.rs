//! Requests that the searches find.

use super::table::Place;
use crate::values::Values;
use crate::witness::Draft;

/// Method, path, fields and query parameters of a request, without listener and host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) values: Values,
}

impl Found {
    /// Draft of the request at a listener and host, without credentials.
    pub(super) fn draft(&self, place: &Place) -> Draft {
        Draft {
            listener: place.listener.clone(),
            host: place.host.clone(),
            method: self.method.clone(),
            path: self.path.clone(),
            values: self.values.clone(),
            peer: None,
            client: None,
            body: None,
            response: None,
        }
    }

    pub(super) fn length(&self) -> usize {
        self.method.len() + self.path.len() + self.values.length()
    }
}
