//! Context of a request to an upstream, which all its attempts share.

use std::rc::Rc;

use bundle::ir;
use engine::{RouteRef, forward};
use policy::{Cx, RequestHead};

use crate::message::transfer::Transfer;
use crate::upstream::affinity::Affinity;
use crate::upstream::call_cx::CallCx;
use crate::upstream::proxy_header::Ends;
use crate::upstream::service::Service;

/// Context of a request to an upstream, which all its attempts share.
pub(crate) struct Outgoing<'a, 's> {
    pub(crate) calls: &'a CallCx,
    pub(crate) transfer: &'a Rc<Transfer>,
    pub(crate) route: &'a RouteRef<'s>,
    pub(crate) upstream: &'s ir::Upstream,
    pub(crate) service: &'s Service,
    pub(crate) origin: &'a forward::Origin,
    pub(crate) cx: &'a Cx<'s>,
    /// Permits of `concurrency` policies that the request holds.
    pub(crate) leases: &'a policy::ConcurrencyPermits,
    /// Addresses of the client's connection.
    pub(crate) ends: Ends,
}

impl<'a, 's> Outgoing<'a, 's> {
    /// Derives the affinity of the request to a target.
    pub(super) fn affinity(&self, head: &RequestHead) -> Affinity {
        let hash_on = self.upstream.balance.hash_on.as_ref();
        Affinity::of(
            hash_on,
            head,
            self.cx,
            &self.service.set,
            &self.calls.random,
        )
    }

    /// Parameters for forwarding the request to a target.
    pub(super) fn relay(&self, target: usize) -> forward::Relay<'a, 's> {
        forward::Relay {
            route: self.route,
            upstream: self.upstream,
            target: &self.service.set.endpoints[target].target,
            origin: self.origin,
            cx: self.cx,
        }
    }
}
