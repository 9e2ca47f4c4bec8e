//! Waiting until a shared connection of a pool can accept another exchange.
//!
//! Only one request at a time opens a shared connection. Requests that arrive meanwhile wait until
//! the connection is open, or until an exchange on an existing connection ends. If the connection
//! cannot be opened, all waiting requests fail, and none of them tries again: the attempt counts
//! once against the host.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::Notify;

use crate::message::failure::Failure;
use crate::upstream::connection_shares::ConnectionCharge;
use crate::upstream::shared::State;
use crate::upstream::sharing::Sharing;

/// State with which the requests of a pool wait until one of its shared connections can accept
/// another exchange.
pub(crate) struct Room {
    upstream: Arc<State>,
    /// Signals to the worker that it should close an idle connection if requests wait.
    wanted: Arc<Notify>,
    /// Number of attempts to open a shared connection so far.
    attempts: Cell<u64>,
    /// True while a request opens a shared connection.
    opening: Cell<bool>,
    /// Number of the last failed attempt, with its failure. `None`: no attempt has failed.
    failed: RefCell<Option<(u64, Failure)>>,
    waiting: Cell<usize>,
    /// Number of open connections that several exchanges share, including those that get no further
    /// exchanges.
    shared: Cell<usize>,
    /// Number of open HTTP/2 connections that carry only one exchange at a time.
    exclusive: Cell<usize>,
    changed: Notify,
}

/// Right of one request to open a shared connection. Dropping this value wakes the waiters.
pub(crate) struct Opening(Rc<Room>);

/// Open HTTP/2 connection; counted until this value is dropped.
pub(crate) struct OpenConnection {
    room: Rc<Room>,
    sharing: Sharing,
}

/// Waiting request; counted until this value is dropped.
struct Waits<'r>(&'r Room);

// === impl Room ===

impl Room {
    pub(super) fn new(upstream: &Arc<State>, wanted: &Arc<Notify>) -> Rc<Self> {
        Rc::new(Self {
            upstream: Arc::clone(upstream),
            wanted: Arc::clone(wanted),
            attempts: Cell::new(0),
            opening: Cell::new(false),
            failed: RefCell::default(),
            waiting: Cell::new(0),
            shared: Cell::new(0),
            exclusive: Cell::new(0),
            changed: Notify::new(),
        })
    }

    /// Right to open a shared connection, or `None` if another request has it.
    pub(crate) fn may_open(self: &Rc<Self>) -> Option<Opening> {
        if self.opening.replace(true) {
            return None;
        }
        self.attempts.set(self.attempts.get() + 1);
        Some(Opening(Rc::clone(self)))
    }

    /// Waits until an HTTP/2 connection was opened, or an exchange on an HTTP/2 connection has
    /// ended. The caller then tries again to get a stream.
    ///
    /// # Errors
    /// If another request's attempt to open a connection failed meanwhile. The error is that
    /// failure.
    pub(crate) async fn changed(&self) -> Result<(), Failure> {
        let attempt = self.attempts.get();
        let _waits = Waits::new(self);
        self.changed.notified().await;
        match &*self.failed.borrow() {
            Some((failed, failure)) if *failed == attempt => Err(failure.clone()),
            _ => Ok(()),
        }
    }

    /// Counts a new HTTP/2 connection.
    pub(crate) fn connected(self: &Rc<Self>, sharing: Sharing) -> OpenConnection {
        let open = self.open(sharing);
        open.set(open.get() + 1);
        OpenConnection {
            room: Rc::clone(self),
            sharing,
        }
    }

    /// True if an HTTP/2 connection that carries only one exchange at a time is open or being
    /// opened.
    pub(super) fn has_exclusive(&self) -> bool {
        self.exclusive.get() > 0
    }

    fn open(&self, sharing: Sharing) -> &Cell<usize> {
        match sharing {
            Sharing::Shared => &self.shared,
            Sharing::Exclusive => &self.exclusive,
        }
    }

    /// Counts a draining connection (one with too many cancelled exchanges) for the client that
    /// cancelled the last of these exchanges.
    pub(crate) fn charge_draining(&self, client: IpAddr) -> ConnectionCharge {
        self.upstream.connection_shares.charge_draining(client)
    }

    /// Records that an exchange on a shared connection has ended. `left`: number of exchanges that
    /// the connection still has.
    pub(crate) fn freed(&self, left: usize) {
        if self.waiting.get() > 0 {
            self.changed.notify_one();
        }
        if left == 0 && self.upstream.connections.0.are_awaited() {
            self.wanted.notify_one();
        }
    }
}

// === impl Opening ===

impl Opening {
    /// Records that the attempt failed. All requests that waited for it get the failure.
    pub(crate) fn failed(self, failure: &Failure) {
        let attempt = self.0.attempts.get();
        self.0.failed.replace(Some((attempt, failure.clone())));
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.0.opening.set(false);
        self.0.changed.notify_waiters();
    }
}

impl OpenConnection {
    /// True if several exchanges share the connection.
    pub(crate) fn is_shared(&self) -> bool {
        self.sharing == Sharing::Shared
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        let open = self.room.open(self.sharing);
        open.set(open.get() - 1);
    }
}

// === impl Waits ===

impl<'r> Waits<'r> {
    fn new(room: &'r Room) -> Self {
        room.waiting.set(room.waiting.get() + 1);
        Self(room)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.waiting.set(self.0.waiting.get() - 1);
    }
}
