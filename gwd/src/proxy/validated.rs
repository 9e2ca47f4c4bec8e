//! Validation of responses against the description of their operation (`validate: {response: …}`).
//!
//! A response is checked before the response phase of the chain, so that fields and bodies that
//! policies change are not checked. gwd reads a body of a described type up to a maximum length
//! before it sends the head to the client. Other bodies are streamed unchecked.

use std::sync::Arc;

use engine::{ResponseValidation, RouteRef};
use http::header::{ACCEPT_ENCODING, IF_RANGE, RANGE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use policy::ask::Outage;
use policy::invalid::{Finding, Invalid, RESPONSE, UNAVAILABLE};
use policy::logged::{Message, redact_findings};
use policy::validation::{BODY_BYTES_DEFAULT, BODY_BYTES_MAX, Mode};
use validator::{BodyKind, Operation, ResponseUse};

use crate::effects::messages::MessageValidation;
use crate::message::failure::{Failure, Kind};
use crate::proxy::forwarding::Forwarding;
use crate::proxy::record::Record;
use crate::proxy::whole_response::{self, Read};
use crate::upstream::send::Answered;
use crate::upstream::transport::Incoming;

/// Label of the outcomes in `gwd_policy_calls_total`.
const CALL_KIND: &str = "validate_response";

const IDENTITY: HeaderValue = HeaderValue::from_static("identity");

/// Changes a request whose response will be validated: the upstream must send the whole content
/// without a coding.
pub(super) fn prepare(headers: &mut HeaderMap) {
    headers.insert(ACCEPT_ENCODING, IDENTITY);
    headers.remove(RANGE);
    headers.remove(IF_RANGE);
}

/// Mode in which the responses of a route are validated. `Off` if an operator has switched
/// validation off.
pub(super) fn mode(forwarding: &Forwarding<'_, '_>, validation: &ResponseValidation) -> Mode {
    let loaded = &forwarding.version.view.current().loaded;
    let limits = &forwarding.stream.worker.shared.validation_limit;
    let limit = limits.of(&loaded.bundle);
    limit.map_or(validation.mode, |limit| limit.min(validation.mode))
}

/// Validates a response. Returns the response, whose body begins with the bytes that were read.
///
/// # Errors
/// If the response does not match, is too long to be checked, or its body broke. The exchange ends
/// with this failure.
pub(super) async fn response(
    forwarding: &Forwarding<'_, '_>,
    (route, validation, mode): (&RouteRef<'_>, &ResponseValidation, Mode),
    method: &Method,
    mut answered: Answered,
    record: &mut Record,
) -> Result<Answered, Failure> {
    let worker = &forwarding.stream.worker;
    let subject = (route, validation, mode);
    let verdict = check(forwarding, subject, method, &mut answered, record).await?;
    let outcome = match &verdict {
        Verdict::Valid => "valid",
        Verdict::Unchecked => "unchecked",
        Verdict::Undescribed => "undescribed",
        Verdict::Invalid(_) => "invalid",
        Verdict::Outage(why) => why.label(),
        Verdict::Streamed => return Ok(answered),
    };
    worker.shard.count_policy_call(CALL_KIND, outcome);
    let (reject, kind, findings) = match verdict {
        Verdict::Valid | Verdict::Unchecked | Verdict::Undescribed | Verdict::Streamed => {
            return Ok(answered);
        }
        Verdict::Outage(_) => (&UNAVAILABLE, Kind::ValidatorUnavailable, Vec::new()),
        Verdict::Invalid(mut findings) => {
            let hidden = (&*route.treatment.redacted, &*route.treatment.logged);
            redact_findings(&mut findings, Message::Response, hidden);
            (&RESPONSE, Kind::ResponseInvalid, findings)
        }
    };
    let findings = Invalid {
        reject: &RESPONSE,
        findings,
    };
    let refuses = mode == Mode::Block;
    record.response_refused(&validation.policy, reject, &findings, refuses);
    match refuses {
        false => Ok(answered),
        true => {
            let Answered {
                mut response,
                lease,
                progress,
            } = answered;
            // The connection can be used again if the request has been sent and the response was
            // read completely.
            let is_sent = progress.is_none_or(|progress| progress.done.get());
            if is_sent {
                lease.give_back(response.body_mut(), worker.clock.now_ms());
            }
            Err(Failure::because(kind, &findings.summary()))
        }
    }
}

/// Result of validating a response.
enum Verdict {
    Valid,
    /// The items of the body are checked while the body is streamed. That check counts the outcome.
    Streamed,
    /// The body was too long to be checked, and is streamed.
    Unchecked,
    /// The description has nothing to check the response against.
    Undescribed,
    Invalid(Vec<Finding>),
    Outage(Outage),
}

async fn check(
    forwarding: &Forwarding<'_, '_>,
    (route, validation, mode): (&RouteRef<'_>, &ResponseValidation, Mode),
    method: &Method,
    answered: &mut Answered,
    record: &mut Record,
) -> Result<Verdict, Failure> {
    let stream = forwarding.stream;
    let loaded = &forwarding.version.view.current().loaded;
    let Some(api) = &loaded.validators[route.api_index as usize] else {
        return Ok(Verdict::Undescribed);
    };
    let checking = MessageValidation {
        worker: &stream.worker,
        bundle: &loaded.bundle,
        deadline: &stream.transfer.deadline,
        client: forwarding.cx.client,
    };
    let described = match checking.described(api, route.operation_index()).await {
        Ok(Some(described)) => described,
        Ok(None) => return Ok(Verdict::Undescribed),
        Err(why) => return Ok(Verdict::Outage(why)),
    };
    let is_checked = |name: &HeaderName| route.treatment.validates_response_field(name);
    let response = &mut answered.response;
    let status = response.status();
    let has_body = *method != Method::HEAD
        && !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let operation = &described.operation;
    let is_endless = stream.transfer.endless.get();
    let used = operation.response(status, response.headers(), (has_body, is_checked));
    let kind = match used {
        // A body that may never end is not read.
        Ok(ResponseUse::Read(_)) if is_endless => return Ok(Verdict::Valid),
        Ok(ResponseUse::Read(kind)) => kind,
        Ok(ResponseUse::Split(kind)) => {
            let body = std::mem::replace(response.body_mut(), Incoming::Gone);
            let message = (operation, kind, Message::Response);
            let step = (Arc::clone(&validation.policy), validation.mode);
            let body = checking.sequence(body, message, step, (route, &stream.transfer));
            *response.body_mut() = Incoming::Sequence(Box::new(body));
            return Ok(Verdict::Streamed);
        }
        Ok(ResponseUse::Pass) => return Ok(Verdict::Valid),
        Ok(ResponseUse::Undescribed) => return Ok(Verdict::Undescribed),
        Err(findings) => return Ok(Verdict::Invalid(findings)),
    };
    let bytes_max = match forwarding.cx.body_limits.response {
        u64::MAX => BODY_BYTES_DEFAULT,
        limit => limit.min(BODY_BYTES_MAX),
    };
    let began_ns = record.now_ns();
    let read = whole_response::read(forwarding, response.body_mut(), bytes_max).await;
    record.read_body(began_ns);
    let bytes = match read? {
        Read::Whole(bytes) => bytes,
        Read::NoMemory => return Ok(Verdict::Outage(Outage::Overflow)),
        Read::Longer if mode == Mode::Block => {
            let why = format!("the body is longer than {bytes_max} bytes and cannot be validated");
            return Err(Failure::because(Kind::ResponseTooLarge, &why));
        }
        Read::Longer => return Ok(Verdict::Unchecked),
    };
    body(&checking, operation, (kind, bytes)).await
}

async fn body(
    checking: &MessageValidation<'_>,
    operation: &Arc<Operation>,
    message: (BodyKind, bytes::Bytes),
) -> Result<Verdict, Failure> {
    Ok(match checking.body(operation, message).await {
        None => Verdict::Outage(Outage::Timeout),
        Some(findings) if findings.is_empty() => Verdict::Valid,
        Some(findings) => Verdict::Invalid(findings),
    })
}
