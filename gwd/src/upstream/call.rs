//! Request to send to an upstream, independent of the HTTP version.

use std::net::IpAddr;

use engine::forward::Outbound;
use http::{HeaderMap, Request, Uri};

use crate::message::body::RequestBody;

/// Maximum status of a response (RFC 9110 §15). Clients read a higher status in different ways.
pub(crate) const STATUS_MAX: u16 = 599;

/// Request to send to an upstream.
pub(crate) struct Call<'c, 'h> {
    pub(crate) head: &'c mut Outbound<'h>,
    pub(crate) body: RequestBody,
    /// Empty map to be filled with the fields of the response.
    pub(crate) fields: HeaderMap,
    /// Address of the client. `None` for a request of the gateway itself.
    pub(crate) client: Option<IpAddr>,
}

impl Call<'_, '_> {
    /// Request with a copy of the head's fields.
    pub(super) fn into_request(self) -> Request<RequestBody> {
        let mut request = Request::new(self.body);
        *request.method_mut() = self.head.method().clone();
        *request.uri_mut() = Uri::from(self.head.target().clone());
        *request.headers_mut() = self.head.to_headers();
        request
    }
}
