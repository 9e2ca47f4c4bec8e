//! Validation of requests against the description of their operation.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use bundle::digest::Digest;
use bytes::Bytes;
use engine::RouteRef;
use http_body::Body as _;
use policy::RequestHead;
use policy::ask::{Answer, CallKind, Outage};
use policy::invalid::{Finding, Invalid, REQUEST, TOO_LARGE};
use policy::logged::{Message, redact_findings};
use policy::validation::{BODY_BYTES_DEFAULT, BODY_BYTES_MAX, Check, Examined, Mode};
use validator::{BodyKind, BodyUse, Described, Operation};

use crate::answers::validators::{ApiValidators, Ready};
use crate::effects::items::{ItemState, ItemValidation};
use crate::effects::pending::PendingDecision;
use crate::message::failure::Kind;
use crate::message::incoming::Incoming;
use crate::message::sequence::SequenceBody;
use crate::message::transfer::Transfer;
use crate::message::whole::{self, Whole};
use crate::runtime::deadlines::{Slot, in_time};
use crate::worker::Worker;

/// Maximum time for which a request waits for the compilation of a validator: 20ms.
const COMPILE_MS: u64 = 20;
/// Maximum length of a body that a worker validates itself, in bytes.
const SHORT_BYTES: usize = 4 << 10;
/// Maximum time for which a request waits for the validation of a long body: 5s.
const LONG_MS: u64 = 5_000;

/// Validates a request.
///
/// # Errors
/// If the client's body cannot be read. The request ends with this failure.
pub(super) async fn ask(
    pending: &PendingDecision<'_>,
    route: &RouteRef<'_>,
    (check, policy): (Check, Arc<str>),
    (body_max, client): (u64, IpAddr),
    head: &RequestHead,
) -> Result<Answer, Kind> {
    let count = |outcome: &'static str| {
        let kind = CallKind::Validate.label();
        pending.worker.shard.count_policy_call(kind, outcome);
    };
    let loaded = &pending.view.current().loaded;
    let limit = pending.worker.shared.validation_limit.of(&loaded.bundle);
    let outage = |outage: Outage| {
        count(outage.label());
        match limit {
            // While an operator has reduced validation to `log` or `off`, an outage of the
            // validator must not refuse the request.
            Some(_) => Answer::Examined(Arc::default()),
            None => Answer::Outage(outage),
        }
    };
    if limit == Some(Mode::Off) {
        count("off");
        return Ok(Answer::Examined(Arc::default()));
    }
    let mode = match check.blocks {
        true => Mode::Block,
        false => Mode::Log,
    };
    let check = Check {
        blocks: check.blocks && limit.is_none(),
        ..check
    };
    let Some(api) = &loaded.validators[route.api_index as usize] else {
        count("undescribed");
        return Ok(Answer::Examined(Arc::default()));
    };
    let checking = MessageValidation {
        worker: pending.worker,
        bundle: &loaded.bundle,
        deadline: pending.deadline,
        client,
    };
    let described = match checking.described(api, route.operation_index()).await {
        Ok(Some(described)) => described,
        Ok(None) => {
            count("undescribed");
            return Ok(Answer::Examined(Arc::default()));
        }
        Err(why) => return Ok(outage(why)),
    };
    let mut examined = described.query(check, head);
    let hidden = (&*route.treatment.redacted, &*route.treatment.logged);
    if let Some(undeclared) = examined.undeclared.as_mut().and_then(Arc::get_mut) {
        redact_findings(&mut undeclared.findings, Message::Request, hidden);
    }
    examined.only_logs = limit.is_some();
    if check.schemas && examined.undeclared.is_none() {
        let found = schemas(
            pending,
            &checking,
            (route, body_max, (policy, mode)),
            described,
            (check, head, &examined),
        );
        let found = found.await?;
        match found {
            Found::Nothing => count("valid"),
            Found::Streamed => {}
            Found::Unchecked => count("unchecked"),
            Found::Outage(why) => return Ok(outage(why)),
            Found::Invalid(invalid) => {
                count("invalid");
                examined.invalid = Some(Arc::new(invalid));
            }
        }
    }
    Ok(Answer::Examined(Arc::new(examined)))
}

/// Result of validating parameters and body.
enum Found {
    Nothing,
    /// The items of the body are checked while the body is streamed.
    Streamed,
    /// The body was too long to be checked, and the body is streamed.
    Unchecked,
    Outage(Outage),
    Invalid(Invalid),
}

/// Validates parameters and body against their schemas.
async fn schemas(
    pending: &PendingDecision<'_>,
    checking: &MessageValidation<'_>,
    (route, body_max, step): (&RouteRef<'_>, u64, (Arc<str>, Mode)),
    described: &Described,
    (check, head, examined): (Check, &RequestHead, &Examined),
) -> Result<Found, Kind> {
    let operation = &described.operation;
    let template = (&route.operation.template, route.mount.base_path.len());
    let hidden = (&*route.treatment.redacted, &*route.treatment.logged);
    let others = engine::readings::of_route(head, route);
    let paths = (head, examined, &*others);
    let mut findings = described.parameters(template, paths, engine::edge::reaches_chain);
    redact_findings(&mut findings, Message::Request, hidden);
    if !findings.is_empty() {
        return Ok(Found::Invalid(Invalid {
            reject: &REQUEST,
            findings,
        }));
    }
    let body = std::mem::replace(&mut **pending.body.borrow_mut(), Incoming::Empty);
    let kind = match operation.body_use(&head.headers, body.is_end_stream()) {
        Ok(BodyUse::Read(kind)) => kind,
        Ok(BodyUse::Split(kind)) => {
            let message = (operation, kind, Message::Request);
            let body = checking.sequence(body, message, step, (route, pending.transfer));
            **pending.body.borrow_mut() = Incoming::Sequence(Box::new(body));
            return Ok(Found::Streamed);
        }
        Ok(BodyUse::Pass) => {
            **pending.body.borrow_mut() = body;
            return Ok(Found::Nothing);
        }
        Err((reject, finding)) => {
            **pending.body.borrow_mut() = body;
            return Ok(Found::Invalid(Invalid {
                reject,
                findings: vec![finding],
            }));
        }
    };
    let max_body = route
        .treatment
        .max_body_bytes
        .unwrap_or(u64::MAX)
        .min(body_max);
    let bytes_max = match max_body {
        u64::MAX => BODY_BYTES_DEFAULT,
        max_body => max_body.min(BODY_BYTES_MAX),
    };
    // Longer bodies are forwarded unchecked only if `max_body` is above the maximum length of a
    // checked body. Otherwise a client could avoid the check with a longer body.
    let is_upload = max_body != u64::MAX && max_body > bytes_max;
    let memory = &pending.worker.budgets.memory;
    let (body, read) = whole::read(body, bytes_max, pending.transfer, memory).await;
    **pending.body.borrow_mut() = body;
    Ok(match read? {
        Whole::Read(bytes) => {
            let Some(mut findings) = checking.body(operation, (kind, bytes)).await else {
                return Ok(Found::Outage(Outage::Timeout));
            };
            redact_findings(&mut findings, Message::Request, hidden);
            match findings.is_empty() {
                true => Found::Nothing,
                false => Found::Invalid(Invalid {
                    reject: &REQUEST,
                    findings,
                }),
            }
        }
        Whole::Longer if check.blocks && !(is_upload && operation.may_stream(&kind)) => {
            Found::Invalid(Invalid {
                reject: &TOO_LARGE,
                findings: Vec::new(),
            })
        }
        Whole::Longer => Found::Unchecked,
        Whole::NoMemory => Found::Outage(Outage::Overflow),
    })
}

/// Resources and limits for validating a request or response of an exchange.
pub(crate) struct MessageValidation<'a> {
    pub(crate) worker: &'a Rc<Worker>,
    /// Bundle of the exchange.
    pub(crate) bundle: &'a Digest,
    /// Deadline slot of the task that serves the exchange. The slot wakes the task when the
    /// deadline passes.
    pub(crate) deadline: &'a Slot,
    /// Address of the client. Client addresses take turns to use the threads for computations.
    pub(crate) client: IpAddr,
}

impl MessageValidation<'_> {
    /// Returns the validator of an operation. Compiles it if necessary. `None` if the operation
    /// describes nothing that can be checked.
    ///
    /// # Errors
    /// If the validator was not ready within [`COMPILE_MS`], or does not compile.
    pub(crate) async fn described<'v>(
        &self,
        api: &'v Arc<ApiValidators>,
        operation: usize,
    ) -> Result<Option<&'v Described>, Outage> {
        if api.ready(operation).is_none() {
            let shared = &self.worker.shared;
            self.deadline.set(shared.clock.now_ms() + COMPILE_MS);
            let prepared = in_time(self.deadline, api.prepare(operation, &shared.compute)).await;
            match prepared {
                Some(true) => {}
                Some(false) => return Err(Outage::Failed),
                None => return Err(Outage::Timeout),
            }
        }
        match api.ready(operation) {
            Some(Ready::Compiled(described)) => Ok(Some(described)),
            Some(Ready::Undescribed) => Ok(None),
            Some(Ready::Unusable) | None => Err(Outage::Failed),
        }
    }

    /// Returns a body whose items are checked while the body is read. `step`: name and mode of the
    /// policy.
    pub(crate) fn sequence<B: http_body::Body<Data = Bytes> + Unpin>(
        &self,
        body: B,
        (operation, kind, message): (&Arc<Operation>, BodyKind, Message),
        (policy, mode): (Arc<str>, Mode),
        (route, transfer): (&RouteRef<'_>, &Rc<Transfer>),
    ) -> SequenceBody<B> {
        let splitter = operation.splitter(&kind);
        let redacted = route.treatment.redacted.iter();
        let redacted = redacted.filter(|one| one.message == message && one.parameter.is_none());
        let check = ItemValidation {
            worker: Rc::clone(self.worker),
            transfer: Rc::clone(transfer),
            operation: Arc::clone(operation),
            kind,
            client: self.client,
            policy,
            mode,
            message,
            bundle: *self.bundle,
            redacted: redacted.cloned().collect(),
            state: ItemState::default(),
        };
        let splitter = splitter.expect("the body is a sequence");
        let checks = (Box::new(check) as Box<_>, mode == Mode::Block);
        SequenceBody::new(body, splitter, checks, &self.worker.budgets.memory)
    }

    /// Validates a body: a short body on this worker, unless the check takes long. Other bodies are
    /// validated on a thread for computations, for which client addresses take turns. `None` if the
    /// memory is used up, or if the result takes too long.
    pub(crate) async fn body(
        &self,
        operation: &Arc<Operation>,
        (kind, bytes): (BodyKind, Bytes),
    ) -> Option<Vec<Finding>> {
        if bytes.len() <= SHORT_BYTES
            && let Some(findings) = validator::briefly(|| operation.body(&kind, &bytes))
        {
            return Some(findings);
        }
        let shared = &self.worker.shared;
        self.deadline.set(shared.clock.now_ms() + LONG_MS);
        let permit = in_time(self.deadline, shared.validations.take(self.client)).await??;
        // Take the memory of the check only after the permit. Exchanges that wait for a permit hold
        // only the bytes of their bodies.
        let memory = self.worker.budgets.memory.take(Operation::memory(&bytes))?;
        let operation = Arc::clone(operation);
        // The permit is held until the computation ends, even if the client disconnects.
        let work = move || {
            let _resources = (permit, memory);
            operation.body(&kind, &bytes)
        };
        in_time(self.deadline, shared.compute.run(work)).await?
    }
}
