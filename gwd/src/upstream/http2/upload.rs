//! Sending of a request's body on an HTTP/2 stream, as far as flow control allows.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http_body::Body as _;

use super::{Error, fields_bytes};
use crate::limits::inbox::Inbox;
use crate::message::body::RequestBody;

/// Request body that is being sent. Dropping it before its end resets the stream.
pub(super) struct Upload {
    stream: SendStream<Bytes>,
    body: RequestBody,
    /// Data that waits for flow-control window.
    waiting: Bytes,
    /// True if the body ends with `waiting`.
    last: bool,
    done: bool,
    /// Has the maximum size of the trailers.
    inbox: Rc<Inbox>,
}

impl Upload {
    pub(super) fn new(stream: SendStream<Bytes>, body: RequestBody, inbox: &Rc<Inbox>) -> Self {
        Self {
            stream,
            body,
            waiting: Bytes::new(),
            last: false,
            done: false,
            inbox: Rc::clone(inbox),
        }
    }

    /// Sends available bytes. Ready when all bytes are sent, or when the upstream stops reading. In
    /// the second case, the upstream's response has the reason.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let sent = ready!(self.poll_send(cx));
        self.done = true;
        if sent.is_err() {
            self.stream.send_reset(Reason::CANCEL);
        }
        Poll::Ready(sent)
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.stream.poll_reset(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        loop {
            while !self.waiting.is_empty() {
                self.stream.reserve_capacity(self.waiting.len());
                let mut room = self.stream.capacity();
                if room == 0 {
                    room = match ready!(self.stream.poll_capacity(cx)) {
                        Some(Ok(room)) => room,
                        Some(Err(_)) | None => return Poll::Ready(Ok(())),
                    };
                }
                let piece = self.waiting.split_to(room.min(self.waiting.len()));
                let end = self.last && self.waiting.is_empty();
                if self.stream.send_data(piece, end).is_err() || end {
                    return Poll::Ready(Ok(()));
                }
            }
            let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                Some(Err(_)) => return Poll::Ready(Err(Error::Upload)),
                None => {
                    // Ignore an error: the upstream may have stopped reading.
                    let _unwanted = self.stream.send_data(Bytes::new(), true);
                    return Poll::Ready(Ok(()));
                }
            };
            match frame.into_data() {
                Ok(data) => {
                    self.last = self.body.is_end_stream();
                    self.waiting = data;
                }
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        let max = self.inbox.header_list_max().unwrap_or(u32::MAX);
                        let bytes = fields_bytes(&trailers) as u64;
                        if bytes > u64::from(max) {
                            return Poll::Ready(Err(Error::HeadTooLarge { bytes, max }));
                        }
                        let _unwanted = self.stream.send_trailers(trailers);
                        return Poll::Ready(Ok(()));
                    }
                }
            }
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if !self.done {
            self.stream.send_reset(Reason::CANCEL);
        }
    }
}
