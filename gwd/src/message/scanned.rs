//! Request body that the scans of `kind: threat` policies read while it is received.
//!
//! Each part of the body is scanned before it is released, so that no later reader keeps or parses
//! bytes beyond a limit. The last part of a body with a known length is withheld until the whole
//! body is accepted. If a body without a known length is refused, the end of the body is not sent.
//! An upstream therefore never receives a complete body that a scan refuses.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};
use policy::threat::{Scan, Scanner, Violation};

use crate::message::incoming::{Broken, Incoming};
use crate::message::transfer::Transfer;

/// Request body with the state of its scans.
pub(crate) struct Scanned {
    incoming: Incoming,
    scans: Vec<Running>,
    transfer: Rc<Transfer>,
    /// True once the end of the body was scanned.
    ended: bool,
    refused: bool,
}

/// Scan that has found no violation yet.
struct Running {
    policy: Arc<str>,
    logs: bool,
    scanner: Scanner,
}

/// Violation that a scan found.
pub(crate) struct Found {
    /// Name of the policy whose scan found the violation.
    pub(crate) policy: Arc<str>,
    /// True if the policy only logs violations.
    pub(crate) logs: bool,
    pub(crate) violation: Violation,
}

impl Scanned {
    /// Wraps a request body so that `scans` read it. Returns the body unchanged if it is empty, or
    /// if none of the scans reads its format.
    pub(crate) fn of(
        incoming: Incoming,
        scans: &[&Scan],
        headers: &HeaderMap,
        transfer: &Rc<Transfer>,
    ) -> Incoming {
        if incoming.is_end_stream() {
            return incoming;
        }
        let scans = scans.iter().filter_map(|scan| {
            Some(Running {
                policy: Arc::clone(&scan.policy),
                logs: scan.logs,
                scanner: scan.scanner(headers)?,
            })
        });
        let scans: Vec<Running> = scans.collect();
        match scans.is_empty() {
            true => incoming,
            false => Incoming::Scanned(Box::new(Self {
                incoming,
                scans,
                transfer: Rc::clone(transfer),
                ended: false,
                refused: false,
            })),
        }
    }

    pub(crate) fn has_begun(&mut self) -> bool {
        self.incoming.has_begun()
    }

    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if self.refused {
            return Poll::Ready(Some(Err(Broken::Refused)));
        }
        let frame = match ready!(Pin::new(&mut self.incoming).poll_frame(cx)) {
            Some(Ok(frame)) => Some(frame),
            Some(Err(error)) => return Poll::Ready(Some(Err(error))),
            None => None,
        };
        if let Some(data) = frame.as_ref().and_then(Frame::data_ref) {
            self.each(|scanner| scanner.read(data));
        }
        let is_last = match &frame {
            None => true,
            Some(frame) => {
                let hint = self.incoming.size_hint().exact();
                frame.is_trailers() || self.incoming.is_end_stream() || hint == Some(0)
            }
        };
        if is_last && !std::mem::replace(&mut self.ended, true) {
            self.each(Scanner::end);
        }
        match self.refused {
            true => Poll::Ready(Some(Err(Broken::Refused))),
            false => Poll::Ready(frame.map(Ok)),
        }
    }

    /// Runs the scans that have found no violation.
    fn each(&mut self, mut run: impl FnMut(&mut Scanner) -> Result<(), Violation>) {
        let Self {
            scans,
            transfer,
            refused,
            ..
        } = self;
        scans.retain_mut(|scan| {
            let Err(violation) = run(&mut scan.scanner) else {
                return true;
            };
            *refused |= !scan.logs;
            transfer.upload.found(Found {
                policy: Arc::clone(&scan.policy),
                logs: scan.logs,
                violation,
            });
            false
        });
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        !self.refused && self.ended && self.incoming.is_end_stream()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
