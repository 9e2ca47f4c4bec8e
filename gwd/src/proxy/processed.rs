//! Inspection of responses by the external processors of an exchange (`kind: ext_proc`).
//!
//! The processors get the head of the upstream's response, and its body if their policies want it,
//! in reverse order of the chain and before the response phase of the chain. The client gets
//! nothing before. Responses of the gateway itself and upgraded connections are not processed.

use bytes::Bytes;
use http_body::Body as _;
use policy::Reply;
use policy::ask::Outage;

use crate::effects::inspection::{Inspected, Inspection};
use crate::limits::buffered::Buffered;
use crate::message::failure::{Failure, Kind};
use crate::proxy::forwarding::Forwarding;
use crate::proxy::outgoing::{OutgoingBody, OutgoingResponse};
use crate::proxy::record::Record;
use crate::proxy::whole_response::{self, Read};
use crate::upstream::transport::Incoming;

/// Response that the processors inspect.
struct Subject {
    made: OutgoingResponse,
    /// Content of the body. `None`: the body was not read.
    whole: Option<Bytes>,
}

/// Lets the processors inspect and change the response of the upstream.
///
/// # Errors
/// If a processor is unavailable and its policy then refuses responses, if the body of the response
/// is longer than a processor may receive, or if the body broke.
pub(super) async fn response(
    forwarding: &Forwarding<'_, '_>,
    made: OutgoingResponse,
    record: &mut Record,
) -> Result<OutgoingResponse, Failure> {
    let worker = &forwarding.stream.worker;
    let mut subject = Subject { made, whole: None };
    while let Some(mut inspection) = forwarding.processors.next() {
        let (policy, is_open) = (inspection.policy(), inspection.processing().is_open);
        let verdict = inspect(forwarding, &mut subject, &mut inspection, record).await;
        let verdict = match verdict {
            Ok(verdict) => verdict,
            Err(failure) => {
                if failure.kind == Kind::ResponseTooLarge {
                    inspection.end_too_large(worker);
                }
                return Err(failure);
            }
        };
        inspection.end(worker, &verdict);
        match verdict {
            Ok(Inspected::More | Inspected::Done(None)) => {}
            Ok(Inspected::Done(Some(body))) => {
                let limit = &forwarding.stream.response;
                if limit.is_limited() && limit.is_too_long(body.len() as u64) {
                    return Err(Failure::new(Kind::ResponseTooLarge));
                }
                if let Err(outage) = subject.replace(forwarding, body) {
                    return Err(unavailable(outage));
                }
            }
            Ok(Inspected::Reply(reply)) => {
                match reply.refusal {
                    Some(reject) => record.refused(reject, reject.code, policy),
                    None => record.answered_by_gateway(reply.status),
                }
                return Ok(subject.replaced_by(reply));
            }
            // Upstreams can make memory scarce while the processor is healthy.
            Err(outage) if is_open && outage != Outage::Overflow => {
                record.response_unprocessed(policy);
            }
            Err(outage) => return Err(unavailable(outage)),
        }
    }
    Ok(subject.made)
}

fn unavailable(outage: Outage) -> Failure {
    Failure::because(Kind::ProcessorUnavailable, &outage.label())
}

/// Sends the parts of the response to one processor, and returns the processor's verdict.
async fn inspect(
    forwarding: &Forwarding<'_, '_>,
    subject: &mut Subject,
    inspection: &mut Inspection,
    record: &mut Record,
) -> Result<Result<Inspected, Outage>, Failure> {
    let tasks = (
        &forwarding.stream.worker,
        &forwarding.stream.transfer.deadline,
    );
    let ends = subject.ends();
    let made = &mut subject.made;
    let verdict = inspection.head(tasks, (made.status, &mut made.headers), ends);
    let verdict = verdict.await;
    if !matches!(verdict, Ok(Inspected::More)) {
        return Ok(verdict);
    }
    let bytes_max = inspection.processing().body_bytes_max;
    let body = match subject.read(forwarding, bytes_max, record).await? {
        Read::Whole(body) => body,
        Read::NoMemory => return Ok(Err(Outage::Overflow)),
        Read::Longer => {
            let why = format!(
                "the body is longer than {bytes_max} bytes and `{}` cannot inspect it",
                inspection.processing().policy
            );
            return Err(Failure::because(Kind::ResponseTooLarge, &why));
        }
    };
    let made = &mut subject.made;
    let verdict = inspection.body(tasks, (made.status, &mut made.headers), &body);
    Ok(verdict.await)
}

impl Subject {
    /// True if the response has no body.
    fn ends(&self) -> bool {
        match (&self.whole, &self.made.body) {
            (Some(whole), _) => whole.is_empty(),
            (None, OutgoingBody::Upstream(answered)) => answered.response.body().is_end_stream(),
            (None, OutgoingBody::Own(body)) => body.is_empty(),
            (None, OutgoingBody::Tunnel(_)) => true,
        }
    }

    /// Reads the body up to `bytes_max`.
    async fn read(
        &mut self,
        forwarding: &Forwarding<'_, '_>,
        bytes_max: u64,
        record: &mut Record,
    ) -> Result<Read, Failure> {
        let read = match (&self.whole, &mut self.made.body) {
            (Some(whole), _) => Read::Whole(whole.clone()),
            (None, OutgoingBody::Own(body)) => Read::Whole(body.clone()),
            (None, OutgoingBody::Tunnel(_)) => Read::Whole(Bytes::new()),
            (None, OutgoingBody::Upstream(answered)) => {
                let began_ns = record.now_ns();
                let body = answered.response.body_mut();
                let read = whole_response::read(forwarding, body, bytes_max).await;
                record.read_body(began_ns);
                read?
            }
        };
        Ok(match read {
            Read::Whole(whole) if whole.len() as u64 > bytes_max => Read::Longer,
            Read::Whole(whole) => {
                self.whole = Some(whole.clone());
                Read::Whole(whole)
            }
            read => read,
        })
    }

    /// Replaces the body. Trailers of a body that was read stay.
    fn replace(&mut self, forwarding: &Forwarding<'_, '_>, body: Bytes) -> Result<(), Outage> {
        let memory = &forwarding.stream.worker.budgets.memory;
        let buffered = Buffered::reserve(memory, body.len() as u64).ok_or(Outage::Overflow)?;
        let body = buffered.hold(body.into());
        let was_read = self.whole.replace(body.clone()).is_some();
        if was_read
            && let OutgoingBody::Upstream(answered) = &mut self.made.body
            && let Incoming::Prefixed(kept) = answered.response.body_mut()
        {
            kept.replace(body);
        } else {
            // This drops the upstream's response, which closes its connection or resets its stream
            // unless it has ended.
            self.made.body = OutgoingBody::Own(body);
        }
        Ok(())
    }

    /// Response of a processor, which the client gets instead.
    fn replaced_by(self, reply: Reply) -> OutgoingResponse {
        OutgoingResponse {
            status: reply.status,
            headers: reply.headers,
            body: OutgoingBody::Own(reply.body),
            ..self.made
        }
    }
}
