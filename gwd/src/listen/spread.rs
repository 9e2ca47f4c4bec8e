//! Balancing of connections between workers (data-plane.md §6). The kernel distributes connections
//! by a hash of their addresses, so that a few long HTTP/2 connections may all reach the same
//! worker. Each worker publishes its load. A worker with clearly more load than the least loaded
//! one hands accepted connections over to that worker, before any byte is read.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;

use crate::listen::ListenSocket;

/// Load that an open HTTP/2 stream adds to its worker. A connection adds 1.
pub(crate) const STREAM_WEIGHT: u64 = 8;
/// Minimum difference in load to the least loaded worker above which connections are handed over.
const MARGIN_MIN: u64 = 8;
/// Maximum number of connections that wait in a worker's queue.
const HANDED_MAX: usize = 1_024;

/// Loads of all workers: 1 for each connection, [`STREAM_WEIGHT`] for each HTTP/2 stream.
#[derive(Clone, Debug)]
pub(crate) struct Loads(Arc<[Load]>);

/// Load of one worker. Aligned to its own cache line, because the worker writes it with every
/// connection and stream.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Load(AtomicU64);

/// Guard for an amount that is added to the load of a worker until this value is dropped.
#[derive(Debug)]
pub(crate) struct Weight {
    loads: Loads,
    worker: usize,
    weight: u64,
}

/// Connection that one worker accepted and hands over to another.
#[derive(Debug)]
pub(crate) struct TransferredConnection {
    pub(crate) socket: Arc<ListenSocket>,
    pub(crate) stream: TcpStream,
    pub(crate) peer: SocketAddr,
    pub(crate) weight: Weight,
}

/// Senders of the queues through which workers hand over connections, by worker.
pub(crate) type Peers = Arc<[mpsc::Sender<TransferredConnection>]>;

/// Creates a queue for each worker. Returns all senders and each worker's receiver.
pub(crate) fn peers(workers: usize) -> (Peers, Vec<mpsc::Receiver<TransferredConnection>>) {
    let (senders, ends): (Vec<_>, Vec<_>) = (0..workers).map(|_| mpsc::channel(HANDED_MAX)).unzip();
    (senders.into(), ends)
}

impl Loads {
    pub(crate) fn new(workers: usize) -> Self {
        Self((0..workers).map(|_| Load::default()).collect())
    }

    pub(crate) fn all(&self) -> Vec<u64> {
        (0..self.0.len()).map(|worker| self.of(worker)).collect()
    }

    /// Worker that should serve a connection which `worker` accepted.
    pub(crate) fn place(&self, worker: usize) -> usize {
        let mine = self.of(worker);
        let least = (0..self.0.len()).min_by_key(|other| self.of(*other));
        let Some(least) = least else { return worker };
        let load = self.of(least);
        if mine > load + MARGIN_MIN.max(load / 10) {
            least
        } else {
            worker
        }
    }

    /// Adds an amount to a worker's load until the returned value is dropped.
    pub(crate) fn weigh(&self, worker: usize, weight: u64) -> Weight {
        self.add(worker, weight);
        Weight {
            loads: self.clone(),
            worker,
            weight,
        }
    }

    /// Adds an amount to a worker's load. The caller subtracts it with [`Self::sub`].
    pub(crate) fn add(&self, worker: usize, weight: u64) {
        self.0[worker].0.fetch_add(weight, Ordering::Relaxed);
    }

    pub(crate) fn sub(&self, worker: usize, weight: u64) {
        self.0[worker].0.fetch_sub(weight, Ordering::Relaxed);
    }

    fn of(&self, worker: usize) -> u64 {
        self.0[worker].0.load(Ordering::Relaxed)
    }
}

impl Drop for Weight {
    fn drop(&mut self) {
        self.loads.sub(self.worker, self.weight);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_worker_with_clearly_more_load_hands_over() {
        let loads = Loads::new(3);
        assert_eq!(loads.place(1), 1, "equal loads");
        let _one = loads.weigh(1, 8);
        assert_eq!(loads.place(1), 1, "the difference is not above the margin");
        let more = loads.weigh(1, 1);
        let _other = loads.weigh(0, 1);
        assert_eq!(loads.place(1), 2);
        assert_eq!(loads.place(0), 0);
        drop(more);
        assert_eq!(loads.place(1), 1);
        let _all = [0, 1, 2].map(|worker| loads.weigh(worker, 1_000));
        let _nine = loads.weigh(1, 90);
        assert_eq!(loads.place(1), 1, "the difference is below a tenth");
        let _ten = loads.weigh(1, 20);
        assert_eq!(loads.place(1), 2);
    }
}
