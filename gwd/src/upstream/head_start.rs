//! Head start: reads the beginning of an upload before the upload takes a permit of its upstream.
//!
//! If a client address has used up its share of unfinished uploads, further uploads of that address
//! are not rejected at once. Instead their first bytes are read before the request is sent to the
//! upstream. A body that is complete by then needs no share. With a longer body, the client has
//! shown that it sends data, and a higher limit applies. The listener's `body_timeout` and
//! `min_rate` limit the time, as for a body that is kept for retries.

use http_body::Body as _;
use http_body_util::BodyExt as _;

use crate::limits::buffered::Buffered;
use crate::message::failure::{Failure, Kind};
use crate::message::pace::{Pace, SLOW_MS};
use crate::message::tee::Tee;
use crate::message::transfer::Transfer;
use crate::runtime::deadlines::in_time;
use crate::upstream::call_cx::CallCx;
use crate::upstream::source::Source;

/// Number of body bytes that are read before the request is sent to the upstream. A shorter body is
/// read to its end.
const HEAD_START_BYTES: usize = 64 << 10;

/// Result of a head start.
pub(super) enum HeadStart {
    /// The body is complete and buffered.
    Whole(Source),
    /// At least [`HEAD_START_BYTES`] bytes of the body have arrived, but not its end. The request
    /// may be sent.
    Delivers(Source),
    /// Too few bytes arrived in time, or memory is scarce.
    Refused,
}

/// Reads the beginning of a streamed body.
pub(super) async fn head_start(
    source: Source,
    transfer: &Transfer,
    calls: &CallCx,
) -> Result<HeadStart, Failure> {
    let memory = &calls.budgets.memory;
    let Some((mut body, bytes_max, copies)) = source.into_streamed(transfer) else {
        return Ok(HeadStart::Refused);
    };
    let Some(room) = Buffered::reserve(memory, 0) else {
        return Ok(HeadStart::Refused);
    };
    let time_limits = &transfer.time_limits;
    let mut pace = Pace::new(time_limits);
    let mut begun = Vec::new();
    while begun.len() < HEAD_START_BYTES {
        let now_ms = calls.clock.now_ms();
        let paced = transfer.is_upload_paced();
        transfer.deadline.set(match paced {
            true => pace.waits(now_ms),
            false => now_ms + SLOW_MS,
        });
        match in_time(&transfer.deadline, body.frame()).await {
            None if paced => return Err(Failure::new(Kind::UploadStalled)),
            None => return Ok(HeadStart::Refused),
            Some(None) => {
                if let Some(copies) = copies {
                    copies.send();
                }
                transfer.upload.mark_consumed();
                return Ok(HeadStart::Whole(Source::Kept(room.hold(begun))));
            }
            Some(Some(Err(error))) => {
                return Err(Failure::because(Kind::of_client(&error), &error));
            }
            Some(Some(Ok(frame))) => {
                let Some(data) = frame.data_ref() else {
                    continue;
                };
                pace.moved(data.len() as u64, calls.clock.now_ms(), time_limits);
                transfer.upload.count(data.len() as u64);
                if (begun.len() + data.len()) as u64 > transfer.upload.bytes_max() {
                    return Err(Failure::new(Kind::TooLarge));
                }
                if !room.may_grow() {
                    return Ok(HeadStart::Refused);
                }
                begun.extend_from_slice(data);
                room.add(data.len());
                room.publish();
                if let Some(copies) = &copies {
                    copies.take(data);
                }
                if body.is_end_stream() {
                    if let Some(copies) = copies {
                        copies.send();
                    }
                    transfer.upload.mark_consumed();
                    return Ok(HeadStart::Whole(Source::Kept(room.hold(begun))));
                }
            }
        }
    }
    let tee = Tee::begun(body, begun, room, bytes_max, copies);
    Ok(HeadStart::Delivers(Source::CopiedStream(tee)))
}
