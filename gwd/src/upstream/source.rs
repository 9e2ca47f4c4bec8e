//! Request body for the attempts: none, kept for retries, or streamed.

use std::rc::Rc;

use bytes::Bytes;
use http_body::Body as _;
use policy::traffic::retry::Checked;

use crate::limits::buffered::Buffered;
use crate::message::copies::Copies;
use crate::message::failure::{Failure, Kind};
use crate::message::incoming::Incoming;
use crate::message::sends::Sends;
use crate::message::tee::Tee;
use crate::message::transfer::Transfer;
use crate::message::upload::Progress;
use crate::upstream::gathering::{BodyReader, BufferedBody, GATHERED_MAX, read_beginning};
use crate::upstream::outgoing::Outgoing;

/// Body of a request to an upstream, for all its attempts.
pub(super) enum Source {
    None,
    /// Body that was received completely and is kept for retries.
    Kept(Bytes),
    /// Body that is streamed, with a copy for retries as long as the copy fits.
    CopiedStream(Rc<Tee>),
    /// Body that is streamed without a copy, and can be sent only once.
    Stream {
        body: Incoming,
        expects_continue: bool,
    },
}

impl Source {
    /// Prepares the body of a request. If retries are possible or the request shares a connection,
    /// a body of known length is received completely first. If the client waits for 100 (Continue),
    /// or the length is unknown, the body is streamed with a copy. If the body is too long, or
    /// memory is scarce, the body is streamed without a copy.
    pub(super) async fn take(
        body: Incoming,
        out: &Outgoing<'_, '_>,
        retry: Option<&Checked>,
        expects_continue: bool,
    ) -> Result<Self, Failure> {
        let (transfer, calls, leases) = (out.transfer, out.calls, out.leases);
        let is_shared = out.service.pools.iter().any(|pool| pool.shares());
        if body.is_end_stream() {
            return Ok(Self::None);
        }
        let most = retry.map_or(0, |retry| retry.times.max_body_bytes);
        let whole_max = match is_shared {
            true => most.max(GATHERED_MAX),
            false => most,
        };
        let length = body.size_hint().exact();
        let is_whole = |length: &u64| *length <= whole_max && !expects_continue;
        let length = length.filter(is_whole);
        let memory = &calls.budgets.memory;
        if let Some(room) = length.and_then(|length| Buffered::reserve(memory, length)) {
            return Ok(Self::Kept(
                Box::pin(keep(body, transfer, room, leases)).await?,
            ));
        }
        let is_gathered = is_shared && !expects_continue && body.size_hint().exact().is_none();
        let body = match is_gathered && transfer.awaits_upload() {
            false => body,
            true => match Box::pin(read_beginning(body, transfer, memory, leases)).await? {
                BufferedBody::Part(body) => body,
                BufferedBody::Whole(bytes) => {
                    if let Some(copies) = transfer.upload.take_copies() {
                        copies.take(&bytes);
                        copies.send();
                    }
                    return Ok(Self::Kept(bytes));
                }
            },
        };
        let may_fit = body.size_hint().lower() <= most;
        if most == 0 || !may_fit {
            return Ok(Self::Stream {
                body,
                expects_continue,
            });
        }
        let copies = transfer.upload.take_copies();
        match Tee::new(body, memory, most, expects_continue, copies) {
            Ok(tee) => Ok(Self::CopiedStream(tee)),
            Err((body, copies)) => {
                transfer.upload.copy_to(copies);
                Ok(Self::Stream {
                    body,
                    expects_continue,
                })
            }
        }
    }

    /// Returns the parts of a streamed body that was not read yet: the client's body, the maximum
    /// bytes to keep for retries, and the mirror copies. `None` for other bodies.
    pub(super) fn into_streamed(
        self,
        transfer: &Transfer,
    ) -> Option<(Incoming, u64, Option<Rc<Copies>>)> {
        match self {
            Self::None | Self::Kept(_) => None,
            Self::Stream { body, .. } => Some((body, 0, transfer.upload.take_copies())),
            Self::CopiedStream(tee) => Rc::into_inner(tee).map(Tee::into_streamed),
        }
    }

    /// Body for another attempt: the complete body or the shared copy. Returns [`Source::None`] for
    /// a body that can be sent only once.
    pub(super) fn again(&self) -> Self {
        match self {
            Self::Kept(bytes) => Self::Kept(bytes.clone()),
            Self::CopiedStream(tee) => match tee.whole() {
                Some(bytes) => Self::Kept(bytes),
                None => Self::CopiedStream(Rc::clone(tee)),
            },
            Self::None | Self::Stream { .. } => Self::None,
        }
    }

    /// True if another attempt can send the body.
    pub(super) fn is_repeatable(&self) -> bool {
        match self {
            Self::None | Self::Kept(_) => true,
            Self::CopiedStream(tee) => tee.is_repeatable() && tee.kept_bytes() <= tee.bytes_max(),
            Self::Stream { .. } => false,
        }
    }

    /// Size of the pieces in which the body is sent after the head.
    pub(super) fn sends(&self, transfer: &Transfer) -> Sends {
        match self {
            Self::None | Self::Kept(_) => Sends::Nothing,
            Self::CopiedStream(_) | Self::Stream { .. } => transfer.sends(),
        }
    }

    /// True if the body is streamed.
    pub(super) const fn is_streamed(&self) -> bool {
        matches!(self, Self::CopiedStream(_) | Self::Stream { .. })
    }

    /// Progress of a body that was received completely; `None` for other bodies.
    pub(super) fn progress(&self) -> Option<Rc<Progress>> {
        let Self::Kept(_) = self else { return None };
        Some(Progress::done())
    }
}

/// Receives a body of known length completely.
async fn keep(
    mut body: Incoming,
    transfer: &Transfer,
    room: Buffered,
    leases: &policy::ConcurrencyPermits,
) -> Result<Bytes, Failure> {
    let mut whole = Vec::new();
    let copies = transfer.upload.take_copies();
    let mut reading = BodyReader::new(transfer, leases);
    while let Some(frame) = reading.next(&mut body).await? {
        let frame = frame.map_err(|error| Failure::because(Kind::of_client(&error), &error))?;
        if let Some(data) = frame.data_ref() {
            reading.moved(data);
            whole.extend_from_slice(data);
            if let Some(copies) = &copies {
                copies.take(data);
            }
        }
    }
    if let Some(copies) = copies {
        copies.send();
    }
    transfer.upload.mark_consumed();
    Ok(room.hold(whole))
}
