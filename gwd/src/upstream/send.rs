//! One request to an upstream: a target is picked, a connection taken or opened, the request
//! sent, the response's head awaited.
//!
//! Two retries are always on because they cannot repeat work (semantics.md §3): a connect
//! failure goes to another target, and a reused connection that died before any byte of the
//! response is replaced once where the request can be sent again.

use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

use bundle::ir;
use engine::{RouteRef, forward};
use http::{Method, Request, Response, Uri};
use hyper::body::{Body as _, Incoming};
use policy::{Cx, RequestHead};

use crate::proxy::body::{Gate, Progress, RequestBody, STREAM_IDLE_MS, Upload};
use crate::proxy::failure::{Failure, Kind};
use crate::proxy::record::Record;
use crate::proxy::stream::Stream;
use crate::upstream::Service;
use crate::upstream::connect::{connect, in_time};
use crate::upstream::pool::{Lease, Pool};

/// How long an upload waits for `100 Continue` before it is sent all the same
/// (RFC 9110 §10.1.1: a proxy must not wait forever).
const CONTINUE_WAIT_MS: u64 = 1_000;

/// What is to be sent.
pub(crate) struct Outgoing<'a, 's> {
    pub(crate) stream: &'a Rc<Stream>,
    pub(crate) route: &'a RouteRef<'s>,
    pub(crate) upstream: &'s ir::Upstream,
    pub(crate) service: &'s Service,
    pub(crate) origin: &'a forward::Origin,
    pub(crate) cx: &'a Cx<'s>,
    pub(crate) head: RequestHead,
    pub(crate) body: Incoming,
    pub(crate) expects_continue: bool,
}

/// What came back: the response's head, with all that its body needs.
pub(crate) struct Answered {
    pub(crate) response: Response<Incoming>,
    pub(crate) lease: Lease,
    pub(crate) progress: Option<Rc<Progress>>,
}

/// Sends a request and waits for the response's head.
pub(crate) async fn send(out: Outgoing<'_, '_>, record: &mut Record) -> Result<Answered, Failure> {
    let repeatable = out.body.is_end_stream() && is_idempotent(&out.head.method);
    let (lease, reused, target) = take_connection(&out, repeatable, record).await?;
    let Outgoing {
        stream,
        route,
        upstream,
        service,
        origin,
        cx,
        mut head,
        body,
        expects_continue,
    } = out;
    forward::prepare(
        &mut head,
        route,
        upstream,
        &upstream.targets[target],
        origin,
        cx,
    );
    let spare = (reused && repeatable).then(|| head.clone());
    let mut sending = Sending {
        stream,
        timeout_ms: route.treatment.timeout_ms,
        progress: None,
        gate: None,
    };
    let request = sending.request(head, body, expects_continue);
    sending.begin(record.upstream_begins());
    let (failed, error) = match sending.once(lease, request).await? {
        Ok((response, lease)) => return Ok(sending.answered(response, lease, record)),
        Err(refused) => refused,
    };
    // Not a byte was written, or the request may be sent twice: once more, on a connection of
    // its own.
    let died = !error.is_parse() && !error.is_parse_too_large() && !error.is_user();
    let again = failed.or_else(|| Some(plain_request(spare?, RequestBody::Empty)));
    let Some(again) = again.filter(|_| reused && died) else {
        return Err(sending.judged(&error));
    };
    record.retried();
    let lease = connect_in_time(&service.pools[target], service, stream).await?;
    sending.begin(stream.worker.shared.clock.now_ms());
    match sending.once(lease, again).await? {
        Ok((response, lease)) => Ok(sending.answered(response, lease, record)),
        Err((_, error)) => Err(sending.judged(&error)),
    }
}

/// What both attempts at one request share.
struct Sending<'a> {
    stream: &'a Rc<Stream>,
    timeout_ms: u64,
    progress: Option<Rc<Progress>>,
    gate: Option<Arc<Gate>>,
}

/// A response with its connection, or the request, where it was not sent, with the reason.
type Outcome = Result<(Response<Incoming>, Lease), (Option<Request<RequestBody>>, hyper::Error)>;

impl Sending<'_> {
    fn request(
        &mut self,
        head: RequestHead,
        body: Incoming,
        expects_continue: bool,
    ) -> Request<RequestBody> {
        if body.is_end_stream() {
            return plain_request(head, RequestBody::Empty);
        }
        self.gate = expects_continue.then(Arc::default);
        let gate = self.gate.clone();
        let (upload, progress) = Upload::new(body, self.stream, self.timeout_ms, gate);
        self.progress = Some(progress);
        let mut request = plain_request(head, RequestBody::Upload(upload));
        if let Some(gate) = &self.gate {
            let gate = Arc::clone(gate);
            hyper::ext::on_informational(&mut request, move |response| {
                if response.status() == http::StatusCode::CONTINUE {
                    gate.open();
                }
            });
        }
        request
    }

    /// Sets the first deadline; an upload moves it on, and sets it anew at its end.
    fn begin(&self, now_ms: u64) {
        let wait_ms = match (&self.progress, &self.gate) {
            (Some(_), Some(_)) => CONTINUE_WAIT_MS.min(self.timeout_ms),
            (Some(progress), None) if !progress.done.get() => STREAM_IDLE_MS,
            _ => self.timeout_ms,
        };
        self.stream.deadline.set(now_ms + wait_ms);
    }

    async fn once(
        &mut self,
        mut lease: Lease,
        request: Request<RequestBody>,
    ) -> Result<Outcome, Failure> {
        let mut sent = pin!(lease.sender.try_send_request(request));
        let outcome = loop {
            match in_time(&self.stream.deadline, sent.as_mut()).await {
                Some(outcome) => break outcome,
                None => match self.gate.take() {
                    // The upstream does not know 100-continue: sent all the same.
                    Some(gate) => {
                        gate.open();
                        self.begin(self.stream.worker.shared.clock.now_ms());
                    }
                    None => return Err(Failure::new(self.stalled())),
                },
            }
        };
        Ok(match outcome {
            Ok(response) => Ok((response, lease)),
            Err(mut refused) => Err((refused.take_message(), refused.into_error())),
        })
    }

    fn answered(self, response: Response<Incoming>, lease: Lease, record: &mut Record) -> Answered {
        record.upstream_head(response.status());
        Answered {
            response,
            lease,
            progress: self.progress,
        }
    }

    /// What was awaited when the deadline passed.
    fn stalled(&self) -> Kind {
        match &self.progress {
            Some(progress) if !progress.done.get() => Kind::UploadStalled,
            _ => Kind::Timeout,
        }
    }

    fn judged(&self, error: &hyper::Error) -> Failure {
        match &self.progress {
            Some(progress) if progress.too_large.get() => Failure::new(Kind::TooLarge),
            Some(progress) if progress.client_failed.get() => {
                Failure::because(Kind::ClientBody, error)
            }
            _ => Failure::of(error),
        }
    }
}

/// A connection to a target, idle or new; the targets that cannot be reached are passed over.
async fn take_connection(
    out: &Outgoing<'_, '_>,
    repeatable: bool,
    record: &mut Record,
) -> Result<(Lease, bool, usize), Failure> {
    let mut tried = 0u64;
    let mut last = Failure::new(Kind::NoTarget);
    while let Some(target) = out.service.balance.pick(tried) {
        let pool = &out.service.pools[target];
        record.upstream_tried(&pool.endpoint);
        let now_ms = record.started_ns() / 1_000_000;
        if let Some(lease) = pool.checkout(repeatable, now_ms) {
            return Ok((lease, true, target));
        }
        record.connect_begins();
        match connect_in_time(pool, out.service, out.stream).await {
            Ok(lease) => {
                record.connect_ends();
                return Ok((lease, false, target));
            }
            Err(failure) => {
                record.connect_ends();
                last = failure;
            }
        }
        if target >= 64 {
            break;
        }
        tried |= 1 << target;
    }
    Err(last)
}

async fn connect_in_time(
    pool: &Rc<Pool>,
    service: &Service,
    stream: &Stream,
) -> Result<Lease, Failure> {
    let now_ms = stream.worker.shared.clock.now_ms();
    stream.deadline.set(now_ms + service.connect_timeout_ms);
    connect(pool, &stream.deadline).await
}

fn plain_request(head: RequestHead, body: RequestBody) -> Request<RequestBody> {
    let mut request = Request::new(body);
    *request.method_mut() = head.method;
    *request.uri_mut() = Uri::from(head.target);
    *request.headers_mut() = head.headers;
    request
}

/// RFC 9110 §9.2.2.
fn is_idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE | Method::TRACE
    )
}
