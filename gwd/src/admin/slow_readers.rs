//! Time limit for clients of the admin interface to read a response.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// Maximum time for a response, from the first blocked write to the last byte: 5s.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// I/O of a connection of the admin interface, with a time limit for writes.
#[derive(Debug)]
pub(super) struct InTime<I> {
    inner: I,
    /// Timer that runs from the first blocked write until all data is written. `None`: no write was
    /// blocked.
    over: Option<Pin<Box<Sleep>>>,
}

impl<I: AsyncWrite + Unpin> InTime<I> {
    pub(super) const fn new(inner: I) -> Self {
        Self { inner, over: None }
    }

    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let over = self
            .over
            .get_or_insert_with(|| Box::pin(sleep(WRITE_TIMEOUT)));
        ready!(over.as_mut().poll(cx));
        Poll::Ready(io::ErrorKind::TimedOut.into())
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for InTime<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for InTime<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.inner).poll_write(cx, bytes) {
            Poll::Pending => self.wait(cx).map(Err),
            written @ Poll::Ready(_) => written,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.inner).poll_flush(cx) {
            Poll::Pending => self.wait(cx).map(Err),
            flushed @ Poll::Ready(_) => {
                self.over = None;
                flushed
            }
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.inner).poll_shutdown(cx) {
            Poll::Pending => self.wait(cx).map(Err),
            closed @ Poll::Ready(_) => closed,
        }
    }
}
