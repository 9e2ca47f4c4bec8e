//! gRPC stream to an external processor: one message, then its answer, each answer with a deadline.

use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, TE};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body::Body as _;
use policy::RequestHead;
use policy::ask::Outage;
use policy::processing::Processing;
use policy::processing::wire::{self, Answer};

use crate::effects::call::To;
use crate::message::body::RequestBody;
use crate::message::queue::MessageQueue;
use crate::runtime::deadlines::{Slot, in_time};
use crate::upstream::pool::Lease;
use crate::upstream::proxy_header::Ends;
use crate::upstream::shared::InFlight;
use crate::upstream::transport::Incoming;
use crate::worker::{View, Worker};

/// Maximum number of empty messages that a processor may send before a message with a decision.
const EMPTY_MAX: usize = 4;
/// Maximum time for the end of the stream after its last message: 1s.
const END_MS: u64 = 1_000;
/// Maximum bytes that are read after the last message.
const END_BYTES_MAX: usize = 64 << 10;

/// Resources of the exchange for which a stream is opened.
pub(super) struct Caller<'a> {
    pub(super) worker: &'a Rc<Worker>,
    pub(super) view: &'a Rc<View>,
    /// Deadline slot of the task that serves the request.
    pub(super) deadline: &'a Slot,
    /// Addresses of the client's connection.
    pub(super) ends: Ends,
    /// Address of the client.
    pub(super) client: IpAddr,
}

/// Stream to a processor, for one exchange.
pub(crate) struct Conversation {
    processing: Arc<Processing>,
    queue: Rc<MessageQueue>,
    body: Incoming,
    received: BytesMut,
    /// True once the processor has ended its direction of the stream.
    has_ended: bool,
    /// Connection, and permit of the request to the processor.
    _held: (Lease, InFlight),
}

impl Conversation {
    /// Opens a stream with the first message, and waits for the answer to this message. Returns no
    /// answer if the processor ends the stream without an answer and without an error.
    pub(super) async fn open(
        caller: &Caller<'_>,
        processing: &Arc<Processing>,
        (first, is_last): (Bytes, bool),
    ) -> Result<(Self, Option<Answer>), Outage> {
        let (worker, view) = (caller.worker, caller.view);
        let upstream = view
            .current()
            .loaded
            .snapshot
            .upstream(&processing.upstream);
        // The engine builds no filter whose upstream does not exist.
        let upstream = upstream.ok_or(Outage::Failed)?;
        let now_ms = worker.clock.now_ms();
        let to = To {
            worker,
            view,
            upstream,
            client: Some(caller.client),
            deadline: caller.deadline,
            ends: caller.ends,
            until_ms: now_ms.saturating_add(processing.timeout_ms),
            body_bytes_max: 0,
        };
        let queue = Rc::new(MessageQueue::default());
        let body = || {
            queue.begin(first.clone(), is_last);
            RequestBody::Messages(Rc::clone(&queue))
        };
        let (begun, in_flight) = to.open(&request(), &body).await?;
        let has_ended = has_ended(begun.response.status(), begun.response.headers())?;
        let mut conversation = Self {
            processing: Arc::clone(processing),
            queue: Rc::clone(&queue),
            body: begun.response.into_body(),
            received: BytesMut::new(),
            has_ended,
            _held: (begun.lease, in_flight),
        };
        // The time limit of the first message began before the stream was opened.
        let answer = conversation.answer(caller.deadline, now_ms).await?;
        Ok((conversation, answer))
    }

    pub(super) fn processing(&self) -> &Processing {
        &self.processing
    }

    /// True if the processor has not ended the stream.
    pub(super) fn is_open(&self) -> bool {
        !self.has_ended
    }

    /// Sends a message. After the last message, ends the gateway's direction of the stream.
    pub(super) fn send(&self, message: Bytes, is_last: bool) {
        self.queue.push(message, is_last);
    }

    /// Waits for the answer to the message that was sent at `since_ms`. `None` if the processor has
    /// ended the stream without an error.
    pub(super) async fn answer(
        &mut self,
        deadline: &Slot,
        since_ms: u64,
    ) -> Result<Option<Answer>, Outage> {
        deadline.set(since_ms.saturating_add(self.processing.timeout_ms));
        let answer = in_time(deadline, self.next()).await;
        answer.unwrap_or(Err(Outage::Timeout))
    }

    async fn next(&mut self) -> Result<Option<Answer>, Outage> {
        for _ in 0..=EMPTY_MAX {
            let Some(message) = self.message().await? else {
                return Ok(None);
            };
            match wire::answer(message).map_err(|_| Outage::Failed)? {
                Answer::Nothing => {}
                answer => return Ok(Some(answer)),
            }
        }
        Err(Outage::Failed)
    }

    /// Reads the next message.
    async fn message(&mut self) -> Result<Option<Bytes>, Outage> {
        let processing = &self.processing;
        let body_max = if processing.has_body() {
            processing.body_bytes_max
        } else {
            0
        };
        let body_max = usize::try_from(body_max).unwrap_or(usize::MAX);
        let bytes_max = body_max.saturating_add(wire::MESSAGE_BYTES_MAX);
        loop {
            let message = wire::take_message(&mut self.received, bytes_max);
            if let Some(message) = message.map_err(|_| Outage::TooLarge)? {
                return Ok(Some(message));
            }
            if self.has_ended {
                // Fail if an incomplete message is left, because the message could be a refusal.
                let is_complete = self.received.is_empty();
                return is_complete.then_some(None).ok_or(Outage::Failed);
            }
            let frame = poll_fn(|cx| Pin::new(&mut self.body).poll_frame(cx)).await;
            let frame = frame.ok_or(Outage::Failed)?.map_err(|_| Outage::Failed)?;
            match frame.into_data() {
                Ok(data) => self.received.extend_from_slice(&data),
                Err(frame) => {
                    let trailers = frame.into_trailers().map_err(|_| Outage::Failed)?;
                    self.has_ended = true;
                    status(&trailers)?;
                }
            }
        }
    }

    /// Ends the stream. Another task reads the stream to its end instead of resetting it, because a
    /// server may close a connection after many resets.
    pub(super) fn finish(self, worker: &Worker) {
        self.queue.end();
        if self.has_ended {
            return;
        }
        let deadline = worker.deadlines.slot();
        let until_ms = worker.clock.now_ms() + END_MS;
        let Self {
            mut body, _held, ..
        } = self;
        tokio::task::spawn_local(async move {
            // Register this task with the deadline, so that it is woken when the deadline passes.
            poll_fn(|cx| {
                deadline.register(cx.waker());
                Poll::Ready(())
            })
            .await;
            deadline.set(until_ms);
            let _ended = in_time(&deadline, drain(&mut body)).await;
            drop(_held);
        });
    }
}

/// Reads and discards the rest of a stream, up to a maximum length.
async fn drain(body: &mut Incoming) {
    let mut left = END_BYTES_MAX;
    while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await {
        match left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

/// Head of the request that opens a stream.
fn request() -> RequestHead {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(TE, HeaderValue::from_static("trailers"));
    RequestHead {
        method: Method::POST,
        target: PathAndQuery::from_static(wire::PATH),
        host: Box::default(),
        headers,
        is_ambiguous: false,
    }
}

/// True if the head of a response is also its end (*Trailers-Only*).
fn has_ended(code: StatusCode, headers: &HeaderMap) -> Result<bool, Outage> {
    let media_type = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let is_grpc = media_type.is_some_and(|text| text.starts_with(b"application/grpc"));
    if code != StatusCode::OK || !is_grpc {
        return Err(Outage::Failed);
    }
    if !headers.contains_key("grpc-status") {
        return Ok(false);
    }
    status(headers)?;
    Ok(true)
}

/// Checks the status with which a processor ends a stream.
fn status(fields: &HeaderMap) -> Result<(), Outage> {
    let status = fields.get("grpc-status").map(HeaderValue::as_bytes);
    (status == Some(b"0")).then_some(()).ok_or(Outage::Failed)
}
