//! Skew (data-plane.md §6): the kernel gives a worker connections by their addresses, and a few
//! long HTTP/2 connections may all come to the same one. Each worker tells its load; one that has
//! clearly more than another hands what it accepts to that one, before any byte is read.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;

use crate::listen::ListenSocket;

/// Weight of an open HTTP/2 stream; a connection weighs 1.
pub(crate) const STREAM_WEIGHT: u64 = 8;
/// So much more than the least loaded a worker has at least before it hands on.
const MARGIN_MIN: u64 = 8;
/// Sockets that may wait for a worker.
const HANDED_MAX: usize = 1_024;

/// The load of every worker.
#[derive(Clone, Debug)]
pub(crate) struct Loads(Arc<[Load]>);

/// Alone in its cache line: its worker writes it with every connection and stream.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Load(AtomicU64);

/// A weight at a worker for as long as it is held.
#[derive(Debug)]
pub(crate) struct Weight {
    loads: Loads,
    worker: usize,
    weight: u64,
}

/// A connection that another worker accepted.
#[derive(Debug)]
pub(crate) struct Handed {
    pub(crate) socket: Arc<ListenSocket>,
    pub(crate) stream: TcpStream,
    pub(crate) peer: SocketAddr,
    pub(crate) weight: Weight,
}

/// Queues through which workers hand connections to each other.
pub(crate) type Peers = Arc<[mpsc::Sender<Handed>]>;

/// A way to each worker, and the workers' ends.
pub(crate) fn peers(workers: usize) -> (Peers, Vec<mpsc::Receiver<Handed>>) {
    let (ways, ends): (Vec<_>, Vec<_>) = (0..workers).map(|_| mpsc::channel(HANDED_MAX)).unzip();
    (ways.into(), ends)
}

impl Loads {
    pub(crate) fn new(workers: usize) -> Self {
        Self((0..workers).map(|_| Load::default()).collect())
    }

    pub(crate) fn all(&self) -> Vec<u64> {
        (0..self.0.len()).map(|worker| self.of(worker)).collect()
    }

    /// Worker that takes a connection that `worker` accepted.
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

    /// Adds to a worker's load.
    pub(crate) fn weigh(&self, worker: usize, weight: u64) -> Weight {
        self.add(worker, weight);
        Weight {
            loads: self.clone(),
            worker,
            weight,
        }
    }

    /// The same for whoever takes it back by itself, with [`Self::sub`].
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
    fn who_has_clearly_more_hands_on_and_nobody_else_does() {
        let loads = Loads::new(3);
        assert_eq!(loads.place(1), 1, "all the same");
        let _one = loads.weigh(1, 8);
        assert_eq!(loads.place(1), 1, "not above the margin");
        let more = loads.weigh(1, 1);
        let _other = loads.weigh(0, 1);
        assert_eq!(loads.place(1), 2);
        assert_eq!(loads.place(0), 0);
        drop(more);
        assert_eq!(loads.place(1), 1);
        let _all = [0, 1, 2].map(|worker| loads.weigh(worker, 1_000));
        let _nine = loads.weigh(1, 90);
        assert_eq!(loads.place(1), 1, "within a tenth");
        let _ten = loads.weigh(1, 20);
        assert_eq!(loads.place(1), 2);
    }
}
