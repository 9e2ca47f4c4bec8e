//! Data of an admitted request that is forwarded.

use std::rc::Rc;

use engine::Decided;
use http::{HeaderValue, Version as HttpVersion};
use policy::Cx;

use crate::effects::process::Processors;
use crate::proxy::stream::Stream;
use crate::proxy::version::Version;

/// Admitted request, with the data that forwarding needs.
pub(super) struct Forwarding<'a, 's> {
    pub(super) stream: &'a Rc<Stream>,
    pub(super) version: &'s Version,
    pub(super) decided: &'a Decided<'s>,
    pub(super) cx: &'a Cx<'s>,
    /// Requested host, as the client wrote it in `Host` or `:authority`.
    pub(super) authority: &'a HeaderValue,
    /// Version of HTTP that the client uses.
    pub(super) http_version: HttpVersion,
    /// True if the client waits for 100 (Continue).
    pub(super) expects_continue: bool,
    pub(super) request_id: &'a HeaderValue,
    /// Conversations with external processors that continue with the response.
    pub(super) processors: &'a Processors,
}
