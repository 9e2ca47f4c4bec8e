//! Requests of a shadow step: copies of their heads, and the base's decisions about them
//! ([`crate::published::shadow`]).

use std::rc::Rc;

use engine::{Decided, edge};
use http::Request;
use http::request::Parts;
use policy::{Cx, Reject, RequestHead};

use crate::proxy::record::Record;
use crate::proxy::stream::Stream;
use crate::proxy::version::{Version, accepts};
use crate::published::shadow::CopiedHead;
use crate::telemetry::shard::Served;
use crate::tls::peer_certificate::PeerCertificate;
use crate::worker::View;

/// Copies the head of a request that the candidate should decide, too. `None`: the choice leaves
/// the request out, or the candidate would accept its connection under other rules.
#[cold]
pub(super) fn copy(stream: &Stream, base: &Rc<View>, parts: &Parts) -> Option<Box<CopiedHead>> {
    let current = base.current();
    let shadow = current.shadow.as_ref()?;
    let of_base = base.listener(stream.socket.id)?;
    let rules = &current.loaded.snapshot.listeners()[of_base];
    let client = || edge::client_address(&parts.headers, rules, stream.peer);
    let chosen = shadow.choice.version(&parts.headers, client);
    if !Served::OF_CANDIDATE.contains(&chosen) {
        return None;
    }
    let listeners = &shadow.version.listener_of_socket;
    let listener = listeners.get(stream.socket.id as usize).copied().flatten();
    if listener.is_some_and(|listener| !accepts(stream, &shadow.version, listener)) {
        shadow.queue.skip_connection();
        return None;
    }
    let certificate = stream
        .tls
        .get()
        .and_then(|facts| facts.certificate.as_ref());
    let mut copied = Request::new(()).into_parts().0;
    copied.method = parts.method.clone();
    copied.uri = parts.uri.clone();
    copied.version = parts.version;
    copied.headers = parts.headers.clone();
    Some(Box::new(CopiedHead {
        parts: copied,
        peer: stream.peer,
        certificate: certificate.map(|certificate| PeerCertificate::der(certificate).into()),
        listener,
    }))
}

impl Version {
    /// Lets the candidate decide a request that the edge refused, if its head was copied.
    pub(super) fn compare_refused(
        &self,
        copied: Option<Box<CopiedHead>>,
        reject: &'static Reject,
        record: &Record,
    ) {
        if let (Some(copied), Some(shadow)) = (copied, &self.newest.current().shadow) {
            let at = (record.started_ns(), record.unix_ms() / 1_000);
            shadow.queue.compare_refused(*copied, reject, at);
        }
    }

    /// Lets the candidate decide a request, if its head was copied. `decided` and `head` are the
    /// base's decision, and the head after its chain.
    #[inline]
    pub(super) fn compare(
        &self,
        copied: Option<Box<CopiedHead>>,
        base: (&RequestHead, &Decided<'_>, &Cx<'_>),
    ) {
        if let Some(copied) = copied {
            self.compare_copied(copied, base);
        }
    }

    #[cold]
    fn compare_copied(&self, copied: Box<CopiedHead>, base: (&RequestHead, &Decided<'_>, &Cx<'_>)) {
        if let Some(shadow) = &self.newest.current().shadow {
            shadow.queue.compare(*copied, self.snapshot(), base);
        }
    }
}
