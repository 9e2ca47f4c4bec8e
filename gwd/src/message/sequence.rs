//! Body of a sequence whose items are checked while they pass (`validate`), for requests and
//! responses.
//!
//! Under `block`, the bytes of an item are held until the item was checked. At the first item that
//! is refused, the body ends with an error, so that its receiver never gets the complete body.
//! Under `log`, the bytes pass at once, and a copy of each item is checked before more bytes are
//! read. In both modes, the body keeps at most one incomplete item.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use validator::{Piece, Splitter};

use crate::limits::budget::Memory;
use crate::limits::buffered::Buffered;
use crate::message::kept::with_kept;

/// Maximum length of an item that is checked: 1 MiB.
pub(crate) const ITEM_BYTES_MAX: usize = 1 << 20;
/// Number of bytes of items that are checked before other tasks of the worker run: 4 KiB.
const TURN_BYTES: usize = 4 << 10;
/// Minimum number of bytes that each item uses up of [`TURN_BYTES`], however short the item is.
const TURN_BYTES_MIN: usize = 64;

/// Reason why the body ends with an error at an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ItemRefusal {
    /// The item does not match its description.
    Invalid,
    /// The item is longer than [`ITEM_BYTES_MAX`].
    TooLong,
    /// The item cannot be checked now: too little memory, or no result in time.
    Unavailable,
}

/// Reason why an item is not checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unchecked {
    /// The item is longer than [`ITEM_BYTES_MAX`].
    TooLong,
    /// The process has too little memory to keep the item.
    NoMemory,
}

/// Check of the items of one body. An error ends the body.
pub(crate) trait ItemCheck {
    /// Begins to check an item. If the result is pending, [`Self::poll`] returns it.
    fn begin(&mut self, item: &Bytes) -> Poll<Result<(), ItemRefusal>>;

    /// Polls the check that has begun.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ItemRefusal>>;

    /// Records that `bytes` of an incomplete item were received, and are withheld until the item
    /// ends.
    fn hold(&mut self, bytes: u64);

    /// Decides about an item that cannot be checked.
    fn skip(&mut self, why: Unchecked) -> Result<(), ItemRefusal>;

    /// Ends the check at the end of the body.
    fn end(&mut self);
}

/// Reason why reading the body failed.
pub(crate) enum SequenceError<E> {
    Body(E),
    Refused(ItemRefusal),
}

/// Body of a sequence with the check of its items.
pub(crate) struct SequenceBody<B> {
    rest: B,
    splitter: Splitter,
    check: Box<dyn ItemCheck>,
    /// True if items are held until they were checked.
    holds: bool,
    memory: Arc<Memory>,
    buffered: Buffered,
    /// Newest part of the body, or a copy of it if items are not held.
    part: Bytes,
    /// Number of bytes of `part` that were checked or are outside of items.
    done: usize,
    /// Bytes of an incomplete item from earlier parts.
    item: Vec<u8>,
    /// True if the rest of the incomplete item is not checked, because the item was skipped.
    skips: bool,
    running: Option<Current>,
    /// Bytes that pass before those of `part`: an item from several parts that was checked, or the
    /// last part of the body if items are not held.
    passing: Option<Bytes>,
    trailers: Option<HeaderMap>,
    end: End,
    /// True if all frames of the body were read, trailers included.
    is_read: bool,
    refused: Option<ItemRefusal>,
    /// Number of bytes of items that may still be checked before other tasks run.
    turn: usize,
}

/// Location of the item that is being checked.
enum Current {
    /// The item consists of the next bytes of `part`. Contains the number of these bytes.
    Part(usize),
    /// The item was joined from bytes of several parts.
    Joined(Bytes),
    /// The bytes of the item have passed already.
    Passed,
}

/// Progress at the end of the body.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// The body has further parts.
    No,
    /// All bytes were read.
    Read,
    /// The last item is complete.
    Split,
    /// All items were checked.
    Checked,
}

/// Result of splitting and checking the newest part.
enum Progress {
    /// All complete items were checked.
    Done,
    /// A check is running, or other tasks have their turn.
    Waits,
    Refused(ItemRefusal),
}

type Polled<E> = Poll<Option<Result<Frame<Bytes>, SequenceError<E>>>>;

impl<B: Body<Data = Bytes> + Unpin> SequenceBody<B> {
    /// Creates a body whose items `check` checks. `holds`: true if items are held until they were
    /// checked.
    pub(crate) fn new(
        rest: B,
        splitter: Splitter,
        (check, holds): (Box<dyn ItemCheck>, bool),
        memory: &Arc<Memory>,
    ) -> Self {
        Self {
            rest,
            splitter,
            check,
            holds,
            memory: Arc::clone(memory),
            buffered: Buffered::new(memory),
            part: Bytes::new(),
            done: 0,
            item: Vec::new(),
            skips: false,
            running: None,
            passing: None,
            trailers: None,
            end: End::No,
            is_read: false,
            refused: None,
            turn: TURN_BYTES,
        }
    }

    /// Unread part of the body.
    pub(crate) fn rest(&mut self) -> &mut B {
        &mut self.rest
    }

    /// Polls for the next frame to forward.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Polled<B::Error> {
        if self.turn == 0 {
            return self.yields(cx);
        }
        loop {
            let progress = self.split(cx);
            let waits = matches!(progress, Progress::Waits);
            if let Some(bytes) = self.released(waits) {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            match progress {
                Progress::Waits if self.turn == 0 => return self.yields(cx),
                Progress::Waits => return Poll::Pending,
                Progress::Refused(refusal) => {
                    return Poll::Ready(Some(Err(SequenceError::Refused(refusal))));
                }
                Progress::Done if self.end == End::Checked && self.is_read => {
                    return Poll::Ready(self.trailers.take().map(|all| Ok(Frame::trailers(all))));
                }
                Progress::Done => {}
            }
            let frame = match self.rest.is_end_stream() {
                true => None,
                false => ready!(Pin::new(&mut self.rest).poll_frame(cx)),
            };
            let frame = match frame {
                None => {
                    self.ends();
                    continue;
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(SequenceError::Body(error)))),
                Some(Ok(frame)) => frame,
            };
            match frame.into_data() {
                Err(frame) => {
                    self.trailers = frame.into_trailers().ok();
                    self.ends();
                }
                Ok(data) if self.holds => self.begin(data),
                Ok(data) => {
                    self.begin(data.clone());
                    // A receiver that knows the length does not poll again after the last part.
                    let is_last =
                        self.rest.is_end_stream() || self.rest.size_hint().exact() == Some(0);
                    if !is_last {
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                    // Trailers may follow.
                    self.is_read = self.rest.is_end_stream();
                    self.end = End::Read;
                    self.passing = Some(data);
                }
            }
        }
    }

    /// Ends the body after its last part.
    fn ends(&mut self) {
        self.is_read = true;
        if self.end == End::No {
            self.end = End::Read;
        }
    }

    /// Lets other tasks of the worker run before further items are checked.
    fn yields(&mut self, cx: &Context<'_>) -> Polled<B::Error> {
        self.turn = TURN_BYTES;
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn begin(&mut self, part: Bytes) {
        self.part = part;
        self.done = 0;
    }

    /// Bytes that may pass now. `waits`: true while the check of an item is running.
    fn released(&mut self, waits: bool) -> Option<Bytes> {
        match self.holds {
            true if self.passing.is_some() => self.passing.take(),
            true if self.done > 0 => Some(self.part.split_to(std::mem::take(&mut self.done))),
            false if !waits => self.passing.take(),
            _ => None,
        }
    }

    /// Splits the newest part, and checks its items.
    fn split(&mut self, cx: &mut Context<'_>) -> Progress {
        loop {
            if let Some(refusal) = self.refused {
                return Progress::Refused(refusal);
            }
            if let Some(current) = self.running.take() {
                match self.check.poll(cx) {
                    Poll::Ready(result) => self.checked(current, result),
                    Poll::Pending => {
                        self.running = Some(current);
                        return Progress::Waits;
                    }
                }
                continue;
            }
            if self.turn == 0 {
                return Progress::Waits;
            }
            if self.done == self.part.len() {
                match self.end {
                    End::No | End::Checked => return Progress::Done,
                    End::Read => {
                        self.end = End::Split;
                        if self.splitter.end() {
                            self.complete(0);
                        }
                    }
                    End::Split => {
                        self.end = End::Checked;
                        self.check.end();
                    }
                }
                continue;
            }
            match self.splitter.next(&self.part[self.done..]) {
                Piece::Between(length) => self.done += length,
                Piece::Inside(length) => self.keep(length),
                Piece::End(length) => self.complete(length),
            }
        }
    }

    /// Keeps the last `length` bytes of the part, which are the beginning or the middle of an item.
    fn keep(&mut self, length: usize) {
        let why = match self.skips {
            _ if self.item.len() + length > ITEM_BYTES_MAX => Some(Unchecked::TooLong),
            _ if !self.buffered.may_grow() => Some(Unchecked::NoMemory),
            _ => None,
        };
        if self.skips || why.is_some_and(|why| self.skip(why)) {
            self.skips = true;
            self.done += length;
            return;
        }
        if self.refused.is_some() {
            return;
        }
        let bytes = &self.part[self.done..self.done + length];
        self.item.extend_from_slice(bytes);
        self.buffered.set(self.item.len() as u64);
        match self.holds {
            true => {
                self.part.truncate(self.done);
                self.check.hold(length as u64);
            }
            false => self.done += length,
        }
    }

    /// Completes an item with the next `length` bytes of the part, and begins the check of the
    /// item.
    fn complete(&mut self, length: usize) {
        if std::mem::take(&mut self.skips) {
            self.done += length;
            return;
        }
        if self.item.len() + length > ITEM_BYTES_MAX {
            if self.skip(Unchecked::TooLong) {
                self.done += length;
            }
            return;
        }
        let end = self.part.slice(self.done..self.done + length);
        let is_joined = !self.item.is_empty();
        let item = match is_joined {
            true => {
                self.item.extend_from_slice(&end);
                self.take_item()
            }
            false => end,
        };
        let current = match (self.holds, is_joined) {
            (false, _) => {
                self.done += length;
                Current::Passed
            }
            (true, true) => {
                self.part.advance(length);
                Current::Joined(item.clone())
            }
            (true, false) => Current::Part(length),
        };
        self.turn = self.turn.saturating_sub(item.len().max(TURN_BYTES_MIN));
        match self.check.begin(&item) {
            Poll::Ready(result) => self.checked(current, result),
            Poll::Pending => self.running = Some(current),
        }
    }

    fn checked(&mut self, current: Current, result: Result<(), ItemRefusal>) {
        match (result, current) {
            (Err(refusal), _) => self.refused = Some(refusal),
            (Ok(()), Current::Part(length)) => self.done += length,
            (Ok(()), Current::Joined(item)) => self.passing = Some(item),
            (Ok(()), Current::Passed) => {}
        }
    }

    /// Skips the check of the incomplete item, and releases its bytes. Returns false if the item is
    /// refused.
    fn skip(&mut self, why: Unchecked) -> bool {
        match self.check.skip(why) {
            Ok(()) => {
                let item = self.take_item();
                if self.holds && !item.is_empty() {
                    self.passing = Some(item);
                }
                true
            }
            Err(refusal) => {
                self.refused = Some(refusal);
                false
            }
        }
    }

    /// Takes the bytes of the incomplete item. They stay counted until they are dropped.
    fn take_item(&mut self) -> Bytes {
        let next = Buffered::new(&self.memory);
        let buffered = std::mem::replace(&mut self.buffered, next);
        buffered.hold(std::mem::take(&mut self.item))
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.end == End::Checked
            && self.is_read
            && self.refused.is_none()
            && self.passing.is_none()
            && self.trailers.is_none()
            && (!self.holds || self.part.is_empty())
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        let running = match &self.running {
            Some(Current::Joined(item)) => item.len(),
            Some(Current::Part(_) | Current::Passed) | None => 0,
        };
        let buffered = match self.holds {
            true => self.part.len() + self.item.len() + running,
            false => 0,
        };
        let kept = buffered + self.passing.as_ref().map_or(0, Bytes::len);
        with_kept(&self.rest, kept, self.trailers.is_some())
    }
}
