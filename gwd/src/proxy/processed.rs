//! Responses that external processors inspect (`kind: ext_proc` with `response: headers`).
//!
//! The processors get the head of the upstream's response before the response phase of the chain
//! runs. Responses of the gateway itself and upgraded connections are not processed.

use bytes::Bytes;
use http_body::Body as _;

use crate::effects::process::ResponseVerdict;
use crate::message::failure::{Failure, Kind};
use crate::proxy::forward::Forwarding;
use crate::proxy::record::Record;
use crate::proxy::respond::{OutgoingBody, OutgoingResponse};

/// Lets the processors of an exchange inspect a response.
///
/// # Errors
/// A processor is unavailable, and its policy refuses responses then.
pub(super) async fn response(
    forwarding: &Forwarding<'_, '_>,
    mut made: OutgoingResponse,
    record: &mut Record,
) -> Result<OutgoingResponse, Failure> {
    let stream = forwarding.stream;
    let tasks = (&stream.worker, &stream.transfer.deadline);
    let ends = match &made.body {
        OutgoingBody::Upstream(answered) => answered.response.body().is_end_stream(),
        OutgoingBody::Own(body) => body.is_empty(),
        OutgoingBody::Tunnel(_) => true,
    };
    let processors = forwarding.processors;
    let verdict = processors.response(tasks, made.status, &mut made.headers, ends);
    match verdict.await {
        ResponseVerdict::Continue { body, unavailable } => {
            for policy in unavailable {
                record.response_unprocessed(policy);
            }
            Ok(match body {
                None => made,
                Some(body) => with_body(made, body),
            })
        }
        ResponseVerdict::Reply(policy, reply) => {
            match reply.refusal {
                Some(reject) => record.refused(reject, reject.code, policy),
                None => record.answered_by_gateway(reply.status),
            }
            made.status = reply.status;
            made.headers = reply.headers;
            Ok(with_body(made, reply.body))
        }
        ResponseVerdict::Unavailable(outage) => Err(Failure::because(
            Kind::ProcessorUnavailable,
            &outage.label(),
        )),
    }
}

/// Replaces the body of a response. Drops the upstream's response, which closes its connection or
/// resets its stream unless it has ended.
fn with_body(made: OutgoingResponse, body: Bytes) -> OutgoingResponse {
    OutgoingResponse {
        body: OutgoingBody::Own(body),
        ..made
    }
}
