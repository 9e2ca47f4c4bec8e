//! Bodies of requests to upstreams, read frame by frame.

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::message::flow::Flow;
use crate::message::queue::MessageQueue;
use crate::message::sends::Sends;
use crate::message::upload::Upload;

/// Body of a request to an upstream.
pub(crate) enum RequestBody {
    /// No body.
    Empty,
    /// Buffered body.
    Whole(Bytes),
    /// Body that is streamed from the client.
    Upload(Box<Upload>),
    /// Copy of another request's buffered body, for a mirror.
    Copy(Option<Bytes>),
    /// Copy of another request's body, streamed to a mirror as it arrives.
    Flow(Rc<Flow>),
    /// Messages of the gateway itself, each of which is sent at once.
    Messages(Rc<MessageQueue>),
}

/// Blocks an upload until the upstream sends 100 (Continue) (RFC 9110 §10.1.1).
#[derive(Debug, Default)]
pub(crate) struct Gate {
    open: AtomicBool,
    waker: std::sync::Mutex<Option<Waker>>,
}

/// Error of an upload that ended early. The exchange has the cause and describes it in the
/// response.
#[derive(Debug)]
pub(crate) struct IncompleteUpload;

// === impl RequestBody ===

impl RequestBody {
    /// True if trailers may be passed on over HTTP/2: the operation has `stream: true`.
    pub(crate) fn passes_trailers(&self) -> bool {
        matches!(self, Self::Upload(upload) if upload.is_stream())
    }

    /// Size of the pieces in which the body is sent after the head.
    pub(crate) fn sends(&self) -> Sends {
        match self {
            Self::Upload(upload) => upload.sends(),
            Self::Flow(_) => Sends::Upload,
            Self::Messages(_) => Sends::Pieces,
            Self::Empty | Self::Whole(_) | Self::Copy(_) => Sends::Nothing,
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = IncompleteUpload;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, IncompleteUpload>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Upload(upload) => upload.poll(cx),
            Self::Copy(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Flow(flow) => flow
                .poll(cx)
                .map(|next| next.map(|next| next.map(Frame::data).map_err(|_| IncompleteUpload))),
            Self::Messages(queue) => queue
                .poll(cx)
                .map(|next| next.map(|data| Ok(Frame::data(data)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Upload(upload) => upload.is_end_stream(),
            Self::Copy(bytes) => bytes.is_none(),
            Self::Flow(flow) => flow.is_end(),
            Self::Messages(queue) => queue.is_end(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Upload(upload) => upload.size_hint(),
            Self::Copy(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Self::Flow(flow) => flow.left().map_or_else(SizeHint::new, SizeHint::with_exact),
            Self::Messages(_) => SizeHint::new(),
        }
    }
}

impl fmt::Display for IncompleteUpload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the request's body ended early")
    }
}

impl std::error::Error for IncompleteUpload {}

// === impl Gate ===

impl Gate {
    /// Lets the upload begin, because the upstream has sent 100 (Continue).
    pub(crate) fn open(&self) {
        self.open.store(true, Ordering::Release);
        let waker = self.waker.lock().ok().and_then(|mut waker| waker.take());
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    #[cfg(test)]
    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    pub(super) fn poll_shut(&self, cx: &Context<'_>) -> bool {
        if let Ok(mut waker) = self.waker.lock() {
            *waker = Some(cx.waker().clone());
        }
        !self.open.load(Ordering::Acquire)
    }
}
