//! Tunnel: forwards the bytes of an upgraded connection in both directions, until the client and
//! the upstream have both ended.
//!
//! An idle tunnel has no buffer. Bytes are read into a buffer that the worker's tunnels share. Only
//! bytes that the receiver does not accept at once are stored.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use policy::AdmittingCredentials;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::limits::budget::Memory;
use crate::limits::buffered::Buffered;
use crate::proxy::frames::{CLOSE_GOING_AWAY, CLOSE_POLICY, Frames, masked};
use crate::proxy::record::Record;
use crate::proxy::stream::Stream;
use crate::runtime::deadlines::LimitOf;
use crate::tls::accept::AdmissionLoss;
use crate::upstream::permits::ExchangePermits;
use crate::upstream::upgrade::Carrier;
use crate::worker::Worker;

/// Maximum time that one direction may continue after the other direction has ended: 5s.
const GOODBYE_MS: u64 = 5_000;
/// Maximum bytes of one read from the client or the upstream of a tunnel.
const SCRATCH_BYTES: usize = 32 << 10;
/// Like [`SCRATCH_BYTES`], but while memory is scarce: 4 KiB, because bytes that the receiver does
/// not accept must be stored.
const SCRATCH_BYTES_WANTED: usize = 4 << 10;
/// Maximum reads of one direction per poll, so that a tunnel does not block its worker.
const READS_MAX: usize = 8;

thread_local! {
    static SCRATCH: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}

/// WebSocket connection between a client and an upstream.
pub(crate) struct Tunnel {
    pub(crate) upstream: Carrier,
    /// Bytes that the upstream sent after its response head.
    pub(crate) early: bytes::Bytes,
    pub(crate) record: Box<Record>,
    /// Credentials with which the client was admitted. If one is revoked, the tunnel ends.
    pub(crate) shown: AdmittingCredentials,
    /// Permits that are returned at the end of the tunnel.
    pub(crate) _permits: ExchangePermits,
}

/// Credentials with which the client was admitted, and the version at which they were last checked.
struct CheckedCredentials {
    shown: AdmittingCredentials,
    /// Epoch of the configuration at the last check.
    epoch: u64,
}

/// State of a tunnel that the gateway itself ends.
#[derive(Clone, Copy, Default)]
struct Ending {
    /// True once a Close frame was sent to the client.
    leaving: bool,
    /// True once a credential was found to be revoked or expired.
    revoked: bool,
    /// True once a credential has expired.
    expired: bool,
}

/// Direction of a tunnel.
struct Direction {
    /// Bytes that were read and not yet written.
    kept: Vec<u8>,
    /// Memory accounting of `kept`.
    buffered: Buffered,
    written: usize,
    read_ended: bool,
    ended: bool,
    frames: Frames,
    bytes: u64,
}

impl Tunnel {
    /// Forwards bytes until client and upstream have both ended, the idle timeout passes, or the
    /// gateway ends the tunnel.
    pub(crate) async fn run(self, client: impl AsyncRead + AsyncWrite + Unpin, early: &[u8]) {
        let Self {
            upstream,
            early: answered,
            record,
            shown,
            _permits,
        } = self;
        let checked = CheckedCredentials { shown, epoch: 0 };
        match upstream {
            Carrier::Socket(socket) => {
                carry(client, socket, early, answered, record, checked).await
            }
            Carrier::Stream(stream) => {
                carry(client, stream, early, answered, record, checked).await
            }
        }
    }
}

/// Forwards the bytes that client and upstream sent early, and then everything that follows.
async fn carry(
    mut client: impl AsyncRead + AsyncWrite + Unpin,
    mut upstream: impl AsyncRead + AsyncWrite + Unpin,
    early: &[u8],
    answered: bytes::Bytes,
    mut record: Box<Record>,
    mut checked: CheckedCredentials,
) {
    let stream = record.stream_rc();
    let (transfer, worker) = (&stream.transfer, &stream.worker);
    let memory = &worker.budgets.memory;
    let mut up = Direction::keeping(early, memory);
    let mut down = Direction::keeping(&answered, memory);
    drop(answered);
    transfer.upload.count(up.bytes);
    let clock = worker.clock;
    let idle_ms = worker.shared.time_limits.tunnel_idle_ms;
    transfer.limit_by_credential(clock.now_ms());
    transfer
        .deadline
        .set(clock.now_ms().saturating_add(idle_ms));
    let mut ending = Ending::default();
    poll_fn(|cx| {
        transfer.deadline.register(cx.waker());
        let before = (up.bytes, down.bytes, up.ended, down.ended);
        ending.check_end(&stream, &mut checked, &mut up, &mut down);
        let Ending {
            leaving, revoked, ..
        } = ending;
        let up_ended = up.poll(cx, &mut client, &mut upstream);
        transfer.upload.count(up.bytes - before.0);
        if up.kept.is_empty() {
            transfer.upload.mark_consumed();
        }
        let down_ended = down.poll(cx, &mut upstream, &mut client);
        let up_failed = matches!(up_ended, Poll::Ready(Err(_)));
        // Send the Close frame to the client even if the upstream has failed.
        if up_failed && !revoked || matches!(down_ended, Poll::Ready(Err(_))) {
            return Poll::Ready(());
        }
        up.ended |= up_failed;
        let after = (up.bytes, down.bytes, up.ended, down.ended);
        if transfer.deadline.expired() {
            if !leaving && !revoked && !up.ended && !down.ended {
                record.tunnel_idle();
            }
            return Poll::Ready(());
        }
        if up.ended && down.ended {
            return match revoked {
                // Read the input first: closing a socket with unread bytes would reset the
                // connection and discard the Close frame.
                true => throw_away(cx, &mut client),
                false => Poll::Ready(()),
            };
        }
        if before != after && !leaving && !revoked {
            let one_ended = up.ended || down.ended;
            let wait_ms = if one_ended { GOODBYE_MS } else { idle_ms };
            transfer
                .deadline
                .set(clock.now_ms().saturating_add(wait_ms));
        }
        Poll::Pending
    })
    .await;
    match ending {
        Ending { expired: true, .. } => record.credential_expired(),
        Ending { revoked: true, .. } => record.credential_revoked(),
        Ending { .. } => {}
    }
    record.bytes_out = down.bytes;
    record.finish();
}

impl Ending {
    /// Starts to close the tunnel in three cases: the time for tunnels in a drain is over; a
    /// credential has expired or was revoked; the client's certificate has expired or is now
    /// refused.
    fn check_end(
        &mut self,
        stream: &Stream,
        checked: &mut CheckedCredentials,
        up: &mut Direction,
        down: &mut Direction,
    ) {
        let (worker, deadline) = (&stream.worker, &stream.transfer.deadline);
        let limit_ending =
            || deadline.set(worker.clock.now_ms() + worker.shared.websocket_drain_ms);
        // Read the clock only if the worker is draining and the tunnel is not ending.
        let draining = !self.leaving && worker.draining_ms().is_some();
        let ends = draining && worker.clock.now_ms() >= worker.tunnels_end_ms();
        let expired = deadline.limit_expired() == Some(LimitOf::Credential);
        let admission_loss = if self.revoked {
            None
        } else {
            stream.admission_loss()
        };
        if !self.revoked && (expired || admission_loss.is_some() || checked.is_revoked(worker)) {
            self.revoked = true;
            self.expired = expired || admission_loss == Some(AdmissionLoss::Expired);
            deadline.no_limit();
            let [a, b, c, d, ..] = worker.random.bytes();
            up.cut([a, b, c, d]);
            limit_ending();
        }
        if (ends || self.revoked && !self.leaving) && down.frames.between() {
            self.leaving = true;
            // The client gets a Close frame and may respond. Data from the upstream is no longer
            // forwarded.
            down.kept.extend_from_slice(match self.revoked {
                true => &CLOSE_POLICY,
                false => &CLOSE_GOING_AWAY,
            });
            down.read_ended = true;
            if !self.revoked {
                limit_ending();
            }
        }
    }
}

/// Reads and discards the input up to its end.
fn throw_away(cx: &mut Context<'_>, from: &mut (impl AsyncRead + Unpin)) -> Poll<()> {
    with_scratch(|scratch| {
        for _ in 0..READS_MAX {
            let mut buffer = ReadBuf::new(scratch);
            let read = ready!(Pin::new(&mut *from).poll_read(cx, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                return Poll::Ready(());
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
}

/// Calls a function with the buffer that the worker's tunnels share.
fn with_scratch<T>(lend: impl FnOnce(&mut [u8]) -> T) -> T {
    let scratch = SCRATCH.take();
    let mut scratch = scratch.unwrap_or_else(|| vec![0; SCRATCH_BYTES].into());
    let done = lend(&mut scratch);
    SCRATCH.set(Some(scratch));
    done
}

impl CheckedCredentials {
    /// True if one of the client's credentials was revoked. Checked once for each version and
    /// revocation list.
    fn is_revoked(&mut self, worker: &Worker) -> bool {
        let epoch = worker.shared.epoch();
        if self.shown.is_empty() || epoch == self.epoch {
            return false;
        }
        self.epoch = epoch;
        let view = worker.view();
        view.is_some_and(|view| self.shown.is_revoked(&view.current().revoked))
    }
}

impl Direction {
    /// Ends the direction towards the upstream. Sends a Close frame, unless a frame is incomplete.
    fn cut(&mut self, mask: [u8; 4]) {
        if self.read_ended {
            return;
        }
        if self.frames.between() {
            self.kept.extend_from_slice(&masked(CLOSE_POLICY, mask));
        }
        self.read_ended = true;
    }

    fn keeping(early: &[u8], memory: &Arc<Memory>) -> Self {
        let mut direction = Self {
            kept: early.to_vec(),
            buffered: Buffered::new(memory),
            written: 0,
            read_ended: false,
            ended: false,
            frames: Frames::default(),
            bytes: early.len() as u64,
        };
        direction.frames.follow(early);
        direction
    }

    /// Forwards available bytes. Ready when this direction has ended.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<io::Result<()>> {
        let most = match self.buffered.may_grow() {
            true => SCRATCH_BYTES,
            false => SCRATCH_BYTES_WANTED,
        };
        let carried = with_scratch(|scratch| self.carry(cx, from, to, &mut scratch[..most]));
        let kept = self.kept.len() - self.written;
        self.buffered.set(kept as u64);
        carried
    }

    fn carry(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
        scratch: &mut [u8],
    ) -> Poll<io::Result<()>> {
        if self.ended {
            return Poll::Ready(Ok(()));
        }
        for _ in 0..READS_MAX {
            ready!(self.poll_kept(cx, to))?;
            if self.read_ended {
                ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
                self.ended = true;
                return Poll::Ready(Ok(()));
            }
            let mut buffer = ReadBuf::new(scratch);
            if Pin::new(&mut *from)
                .poll_read(cx, &mut buffer)?
                .is_pending()
            {
                ready!(Pin::new(to).poll_flush(cx))?;
                return Poll::Pending;
            }
            let read = buffer.filled();
            if read.is_empty() {
                self.read_ended = true;
                continue;
            }
            self.bytes += read.len() as u64;
            self.frames.follow(read);
            match Pin::new(&mut *to).poll_write(cx, read)? {
                Poll::Ready(written) if written == read.len() => {}
                Poll::Ready(written) => self.kept.extend_from_slice(&read[written..]),
                Poll::Pending => self.kept.extend_from_slice(read),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_kept(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<io::Result<()>> {
        while self.written < self.kept.len() {
            let rest = &self.kept[self.written..];
            match ready!(Pin::new(&mut *to).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.written += written,
            }
        }
        if self.written > 0 {
            self.kept = Vec::new();
            self.written = 0;
        }
        Poll::Ready(Ok(()))
    }
}
