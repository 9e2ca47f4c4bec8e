//! Live copies of access log lines, for `gwd tail`.
//!
//! While at least one reader is connected, the workers write a line for each request and copy it to
//! the queue of each reader. The access log may be off. A full queue drops lines and counts them,
//! so that no request waits for a reader. Without readers, a request costs one read of an atomic
//! number.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Maximum number of readers at the same time.
pub(crate) const READERS_MAX: usize = 4;
/// Maximum size of the lines in the queue of a reader, in bytes: 4 MiB.
const QUEUE_BYTES_MAX: usize = 4 << 20;

/// Readers of live access log lines.
#[derive(Debug, Default)]
pub(crate) struct Tails {
    /// Number of readers, which the workers read without the lock.
    count: AtomicUsize,
    readers: Mutex<Vec<(Arc<Queue>, UnboundedSender<Bytes>)>>,
}

/// Counters of a reader's queue.
#[derive(Debug, Default)]
struct Queue {
    /// Size of the lines in the queue, in bytes.
    bytes: AtomicUsize,
    /// Lines that were dropped because the queue was full.
    dropped: AtomicU64,
}

/// Subscription of one reader. Ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Tail {
    tails: Arc<Tails>,
    queue: Arc<Queue>,
    lines: UnboundedReceiver<Bytes>,
}

impl Tails {
    /// True if at least one reader is connected.
    pub(crate) fn is_active(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// Adds a reader, which receives the lines of all workers. `None` if there are [`READERS_MAX`]
    /// readers.
    pub(crate) fn subscribe(self: &Arc<Self>) -> Option<Tail> {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.len() >= READERS_MAX {
            return None;
        }
        let (sender, lines) = unbounded_channel();
        let queue = Arc::<Queue>::default();
        readers.push((Arc::clone(&queue), sender));
        self.count.store(readers.len(), Ordering::Relaxed);
        Some(Tail {
            tails: Arc::clone(self),
            queue,
            lines,
        })
    }

    /// Copies a complete line to the queue of each reader.
    #[cold]
    pub(crate) fn send(&self, line: &[u8]) {
        let line = Bytes::copy_from_slice(line);
        let readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        for (queue, sender) in &*readers {
            let queued = queue.bytes.fetch_add(line.len(), Ordering::Relaxed);
            if queued + line.len() > QUEUE_BYTES_MAX || sender.send(line.clone()).is_err() {
                queue.bytes.fetch_sub(line.len(), Ordering::Relaxed);
                queue.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl Tail {
    /// Takes the next line from the queue, or waits for one.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let line = ready!(self.lines.poll_recv(cx));
        if let Some(line) = &line {
            self.queue.bytes.fetch_sub(line.len(), Ordering::Relaxed);
        }
        Poll::Ready(line)
    }

    /// Number of lines that were dropped since the last call, because the queue was full.
    pub(crate) fn take_dropped(&self) -> u64 {
        self.queue.dropped.swap(0, Ordering::Relaxed)
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        let readers = &self.tails.readers;
        let mut readers = readers.lock().unwrap_or_else(PoisonError::into_inner);
        readers.retain(|(queue, _)| !Arc::ptr_eq(queue, &self.queue));
        self.tails.count.store(readers.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn next(tail: &mut Tail) -> Bytes {
        std::future::poll_fn(|cx| tail.poll_next(cx)).await.unwrap()
    }

    #[tokio::test]
    async fn each_reader_gets_each_line() {
        let tails = Arc::<Tails>::default();
        assert!(!tails.is_active());
        let (mut one, mut two) = (tails.subscribe().unwrap(), tails.subscribe().unwrap());
        assert!(tails.is_active());
        tails.send(b"first\n");
        assert_eq!(next(&mut one).await, "first\n");
        drop(one);
        tails.send(b"second\n");
        assert_eq!(next(&mut two).await, "first\n");
        assert_eq!(next(&mut two).await, "second\n");
        drop(two);
        assert!(!tails.is_active());
    }

    #[tokio::test]
    async fn full_queue_drops_and_counts_lines() {
        let tails = Arc::<Tails>::default();
        let mut slow = tails.subscribe().unwrap();
        let line = vec![b'x'; QUEUE_BYTES_MAX / 4];
        for _ in 0..6 {
            tails.send(&line);
        }
        assert_eq!((slow.take_dropped(), slow.take_dropped()), (2, 0));
        for _ in 0..4 {
            assert_eq!(next(&mut slow).await, line);
        }
        tails.send(b"fits again\n");
        assert_eq!(next(&mut slow).await, "fits again\n");
        assert_eq!(slow.take_dropped(), 0);
    }

    #[test]
    fn number_of_readers_is_bounded() {
        let tails = Arc::<Tails>::default();
        let readers: Vec<Tail> = (0..READERS_MAX)
            .map(|_| tails.subscribe().unwrap())
            .collect();
        assert!(tails.subscribe().is_none());
        drop(readers);
        assert!(tails.subscribe().is_some());
    }
}
