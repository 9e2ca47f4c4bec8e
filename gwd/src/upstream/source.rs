//! Request body for the attempts: none, kept for retries, or streamed.

use std::rc::Rc;

use bytes::Bytes;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use policy::traffic::retry::Checked;

use crate::limits::buffered::Buffered;
use crate::message::copies::Copies;
use crate::message::failure::{Failure, Kind};
use crate::message::incoming::Incoming;
use crate::message::pace::{Pace, SLOW_MS};
use crate::message::tee::Tee;
use crate::message::transfer::Transfer;
use crate::message::upload::Progress;
use crate::runtime::deadlines::in_time;
use crate::upstream::call_cx::CallCx;
use crate::upstream::sending::no_room_for_slow;

/// Body of a request to an upstream, for all its attempts.
pub(super) enum Source {
    None,
    /// Body that was received completely and is kept for retries.
    Kept(Bytes),
    /// Body that is streamed, with a copy for retries as long as the copy fits.
    Teed(Rc<Tee>),
    /// Body that is streamed without a copy, and can be sent only once.
    Stream {
        body: Incoming,
        expects_continue: bool,
    },
}

impl Source {
    /// Prepares the body of a request. If retries are possible, a body of known length is received
    /// completely first. If the client waits for 100 (Continue), or the length is unknown, the body
    /// is streamed with a copy. If the body is too long, or memory is scarce, it is streamed
    /// without a copy.
    pub(super) async fn take(
        body: Incoming,
        transfer: &Transfer,
        calls: &CallCx,
        retry: Option<&Checked>,
        expects_continue: bool,
        leases: &policy::ConcurrencyPermits,
    ) -> Result<Self, Failure> {
        if body.is_end_stream() {
            return Ok(Self::None);
        }
        let most = retry.map_or(0, |retry| retry.times.max_body_bytes);
        let length = body.size_hint().exact();
        let length = length.filter(|length| *length <= most && !expects_continue);
        let memory = &calls.budgets.memory;
        if let Some(room) = length.and_then(|length| Buffered::reserve(memory, length)) {
            return Ok(Self::Kept(
                Box::pin(keep(body, transfer, room, leases)).await?,
            ));
        }
        let may_fit = body.size_hint().lower() <= most;
        if most == 0 || !may_fit {
            return Ok(Self::Stream {
                body,
                expects_continue,
            });
        }
        let copies = transfer.upload.take_copies();
        match Tee::new(body, memory, most, expects_continue, copies) {
            Ok(tee) => Ok(Self::Teed(tee)),
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
            Self::Teed(tee) => Rc::into_inner(tee).map(Tee::into_streamed),
        }
    }

    /// Body for another attempt. Empty in place of a body that can be sent only once.
    pub(super) fn again(&self) -> Self {
        match self {
            Self::Kept(bytes) => Self::Kept(bytes.clone()),
            Self::Teed(tee) => match tee.whole() {
                Some(bytes) => Self::Kept(bytes),
                None => Self::Teed(Rc::clone(tee)),
            },
            Self::None | Self::Stream { .. } => Self::None,
        }
    }

    /// True if another attempt can send the body.
    pub(super) fn is_repeatable(&self) -> bool {
        match self {
            Self::None | Self::Kept(_) => true,
            Self::Teed(tee) => tee.is_repeatable() && tee.kept_bytes() <= tee.bytes_max(),
            Self::Stream { .. } => false,
        }
    }

    /// True if the body is streamed.
    pub(super) const fn is_streamed(&self) -> bool {
        matches!(self, Self::Teed(_) | Self::Stream { .. })
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
    let mut is_slow = false;
    let mut whole = Vec::new();
    let copies = transfer.upload.take_copies();
    let patience = &transfer.patience;
    let mut pace = Pace::new(patience);
    loop {
        let until_ms = pace.waits(transfer.clock.now_ms());
        let slow_at_ms = match is_slow {
            true if leases.may_be_wanted() => transfer.clock.now_ms() + SLOW_MS,
            true => u64::MAX,
            false => pace.slow_at_ms(),
        };
        transfer.deadline.set(until_ms.min(slow_at_ms));
        match in_time(&transfer.deadline, body.frame()).await {
            None if slow_at_ms < until_ms => {
                if !leases.become_slow() || leases.are_wanted() {
                    return Err(no_room_for_slow());
                }
                is_slow = true;
            }
            None => return Err(Failure::new(Kind::UploadStalled)),
            Some(None) => {
                if let Some(copies) = copies {
                    copies.send();
                }
                transfer.upload.is_through();
                return Ok(room.hold(whole));
            }
            Some(Some(Err(error))) => {
                return Err(Failure::because(Kind::of_client(&error), &error));
            }
            Some(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    let now_ms = transfer.clock.now_ms();
                    pace.moved(data.len() as u64, now_ms, patience);
                    transfer.upload.count(data.len() as u64);
                    whole.extend_from_slice(data);
                    if let Some(copies) = &copies {
                        copies.take(data);
                    }
                }
            }
        }
    }
}
