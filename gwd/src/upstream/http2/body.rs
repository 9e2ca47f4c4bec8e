//! Response body of an HTTP/2 stream. Also sends the rest of the request's body.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, RecvStream};
use http_body::{Frame, SizeHint};

use super::upload::Upload;
use super::{Error, Exchange};
use crate::limits::inbox::{UnreadBody, Watch};

/// Streamed response body. Dropping this value before the end of the body resets the stream.
pub(crate) struct Incoming {
    stream: RecvStream,
    upload: Option<Upload>,
    /// Records if the upstream has ended the response, which h2 does not report after a reset.
    /// `None` if the request was complete before the response began.
    watch: Option<Watch>,
    /// Error that ended the upload and that was not reported yet. `None`: no error.
    broken: Option<Error>,
    /// True if all data has arrived. Trailers may follow.
    trailing: bool,
    ended: bool,
    reading: UnreadBody,
    /// Number of bytes that were read and whose flow-control window was not released yet.
    owed: usize,
    exchange: Exchange,
}

impl Incoming {
    pub(super) fn new(
        stream: RecvStream,
        upload: Option<(Upload, Watch)>,
        exchange: Exchange,
    ) -> Self {
        let (upload, watch) = upload.unzip();
        Self {
            stream,
            watch,
            upload,
            broken: None,
            trailing: false,
            ended: false,
            reading: UnreadBody::new(&exchange.state.inbox),
            owed: 0,
            exchange,
        }
    }

    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.send_upload(cx);
        if let Some(error) = self.broken.take() {
            return Poll::Ready(Some(Err(error)));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        let polled = ready!(self.poll_stream(cx));
        self.exchange.state.record_event();
        let polled = polled.map(|frame| frame.map_err(|error| self.exchange.state.on_error(error)));
        self.ended |= !matches!(&polled, Some(Ok(frame)) if frame.is_data());
        Poll::Ready(polled)
    }

    /// Sends available bytes of the request's body.
    pub(crate) fn send_upload(&mut self, cx: &mut Context<'_>) {
        if let Some(upload) = &mut self.upload
            && let Poll::Ready(sent) = upload.poll(cx)
        {
            self.upload = None;
            self.broken = sent.err();
        }
    }

    fn poll_stream(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        while !self.trailing {
            let polled = self.stream.poll_data(cx);
            if polled.is_pending() {
                self.reading.mark_consumed();
            }
            match ready!(polled) {
                // Skip empty frames, which a peer may send before the end of the stream.
                Some(Ok(data)) if data.is_empty() && !self.stream.is_end_stream() => {}
                Some(Ok(data)) => {
                    self.reading.subtract_read(data.len());
                    self.owed += data.len();
                    self.give_back();
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(error)) => return Poll::Ready(self.ended_by(error)),
                None => self.trailing = true,
            }
        }
        match ready!(self.stream.poll_trailers(cx)) {
            Ok(Some(trailers)) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
            Ok(None) => Poll::Ready(None),
            Err(error) => Poll::Ready(self.ended_by(error)),
        }
    }

    /// Releases flow-control window for the bytes that were read. If the process buffers too much,
    /// waits until all received data of this response has been read.
    fn give_back(&mut self) {
        let flow = self.stream.flow_control();
        let waits = flow.used_capacity() > self.owed;
        if !waits || self.reading.may_grow() {
            let _gone = flow.release_capacity(std::mem::take(&mut self.owed));
        }
    }

    /// Returns `None`, the end of the response, for a reset with NO_ERROR if the upstream had ended
    /// the response before. The upstream then does not need the rest of the request (RFC 9113
    /// §8.1). Any other error is an error of the response.
    fn ended_by(&self, error: h2::Error) -> Option<Result<Frame<Bytes>, Error>> {
        let is_unneeded = error.is_remote()
            && error.is_reset()
            && error.reason() == Some(Reason::NO_ERROR)
            && self.watch.as_ref().is_some_and(Watch::has_ended);
        match is_unneeded {
            true => None,
            false => Some(Err(Error::Http2(error))),
        }
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.ended || self.stream.is_end_stream()
    }

    /// Remaining length: 0 at the end, otherwise unknown. The announced length is not used, because
    /// a response to HEAD has one, too.
    pub(crate) fn size_hint(&self) -> SizeHint {
        match self.is_end_stream() {
            true => SizeHint::with_exact(0),
            false => SizeHint::default(),
        }
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if !self.is_end_stream() {
            self.exchange.count_cancelled();
        }
    }
}
