//! Body of a signed request, hashed while it is read (RFC 9530).
//!
//! The body withholds its newest data until more data arrives. At the end of the body it compares
//! the digest before it releases the last data. If the digest differs, the body fails and the
//! request to the upstream is aborted. An upstream therefore never receives a complete body that
//! was not signed.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};
use policy::auth::hmac_signature::{Content, Hashing};

use crate::message::incoming::{Broken, Incoming};

/// Request body with the state of its digest.
pub(crate) struct Hashed {
    incoming: Incoming,
    /// Digest of the data that was read. `None` after the comparison.
    hashing: Option<Hashing>,
    /// Newest data of the body, which is not released yet. `None`: all data was released.
    withheld: Option<Bytes>,
    trailers: Option<HeaderMap>,
    failed: bool,
}

impl Hashed {
    /// Wraps a request body whose content must match the signature.
    ///
    /// # Errors
    /// [`Broken::Content`] if it is already known that the content does not match: the body is
    /// empty but the signed content is not, or the reverse.
    pub(crate) fn of(incoming: Incoming, content: Content) -> Result<Incoming, Broken> {
        if incoming.is_end_stream() {
            let is_signed = content.is(b"");
            return is_signed.then_some(incoming).ok_or(Broken::Content);
        }
        if content == Content::Empty && incoming.size_hint().lower() > 0 {
            return Err(Broken::Content);
        }
        Ok(Incoming::Hashed(Box::new(Self {
            incoming,
            hashing: Some(content.hashing()),
            withheld: None,
            trailers: None,
            failed: false,
        })))
    }

    pub(crate) fn has_begun(&mut self) -> bool {
        self.withheld.is_some() || self.incoming.has_begun()
    }

    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        loop {
            if self.failed {
                return Poll::Ready(Some(Err(Broken::Content)));
            }
            if self.hashing.is_none() {
                let data = self.withheld.take().map(Frame::data);
                let next = data.or_else(|| self.trailers.take().map(Frame::trailers));
                return Poll::Ready(next.map(Ok));
            }
            let frame = match ready!(Pin::new(&mut self.incoming).poll_frame(cx)) {
                None => {
                    self.compare();
                    continue;
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(frame)) => frame,
            };
            let data = match frame.into_data() {
                Ok(data) => data,
                Err(frame) => {
                    self.trailers = frame.into_trailers().ok();
                    self.compare();
                    continue;
                }
            };
            if let Some(hashing) = &mut self.hashing {
                hashing.add(&data);
                self.failed = hashing.is_hopeless();
            }
            if self.failed || data.is_empty() {
                continue;
            }
            let before = self.withheld.replace(data);
            if self.incoming.is_end_stream() {
                self.compare();
            }
            if let Some(before) = before.filter(|_| !self.failed) {
                return Poll::Ready(Some(Ok(Frame::data(before))));
            }
        }
    }

    /// Compares the digest at the end of the body.
    fn compare(&mut self) {
        if let Some(hashing) = self.hashing.take() {
            self.failed = !hashing.is_expected();
        }
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        !self.failed && self.hashing.is_none() && self.withheld.is_none() && self.trailers.is_none()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        let withheld = self.withheld.as_ref().map_or(0, Bytes::len) as u64;
        let hint = self.incoming.size_hint();
        match hint.exact() {
            Some(left) => SizeHint::with_exact(left + withheld),
            None => hint,
        }
    }
}
