//! Tests of the connection limit. A property test compares it with a simple model over random
//! events, cancellations included.

use proptest::prelude::*;

use super::*;
use crate::upstream::connection_permit::ConnectionPermit;
use crate::upstream::shared::State;

/// Event of the property test. An index selects one of the existing items.
#[derive(Clone, Debug)]
enum Act {
    /// A request of a pool needs a connection.
    Need { pool: usize, new: bool },
    /// A connection in use ends.
    Break(usize),
    /// A connection in use returns to its pool.
    Return(usize),
    /// A pool closes an idle connection.
    GiveWay(usize),
    /// A waiter polls for its grant.
    Listen(usize),
    /// A waiter leaves the queue.
    Leave(usize),
    /// Time in milliseconds passes.
    Pass(u64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let which = 0..16_usize;
    let act = prop_oneof![
        5 => (0..3_usize, any::<bool>()).prop_map(|(pool, new)| Act::Need { pool, new }),
        1 => which.clone().prop_map(Act::Break),
        4 => which.clone().prop_map(Act::Return),
        2 => which.clone().prop_map(Act::GiveWay),
        3 => which.clone().prop_map(Act::Listen),
        1 => which.prop_map(Act::Leave),
        2 => (0..60_u64).prop_map(Act::Pass),
    ];
    prop::collection::vec(act, 0..120)
}

/// Waiter of the model.
struct Waits {
    waiter: Arc<Waiter>,
    pool: usize,
    new: bool,
    since_ms: u64,
    /// True if the waiter should have a grant, according to the model.
    called: bool,
}

struct Street {
    state: Arc<State>,
    most: u64,
    pools: [Arc<PoolGauge>; 3],
    now_ms: u64,
    /// Connections in use, with the index of their pool.
    used: Vec<(usize, ConnectionPermit)>,
    idle: Vec<(usize, ConnectionPermit)>,
    /// Connections that are reserved for a waiter.
    kept: Vec<(Arc<Waiter>, usize, ConnectionPermit)>,
    /// Waiters in order of arrival.
    waits: Vec<Waits>,
}

impl Street {
    fn new(most: u64) -> Self {
        let street = Self {
            state: Arc::new(State::new("u")),
            most,
            pools: Default::default(),
            now_ms: 0,
            used: Vec::new(),
            idle: Vec::new(),
            kept: Vec::new(),
            waits: Vec::new(),
        };
        for pool in &street.pools {
            street.connections().join(pool, &Arc::default());
        }
        street
    }

    fn connections(&self) -> &Connections {
        &self.state.connections.0
    }

    /// Model of a permit that becomes free: the oldest waiter without a grant gets it.
    fn permit_is_free(&mut self) {
        if let Some(oldest) = self.waits.iter_mut().find(|one| !one.called) {
            oldest.called = true;
        }
    }

    fn act(&mut self, act: &Act) {
        match *act {
            Act::Need { pool, new } => self.need(pool, new),
            Act::Break(at) if !self.used.is_empty() => {
                drop(self.used.swap_remove(at % self.used.len()));
                self.permit_is_free();
            }
            Act::Return(at) if !self.used.is_empty() => {
                let (pool, permit) = self.used.swap_remove(at % self.used.len());
                self.comes_back(pool, permit);
            }
            Act::GiveWay(at) if !self.idle.is_empty() => {
                drop(self.idle.swap_remove(at % self.idle.len()));
                self.permit_is_free();
            }
            Act::Listen(at) if !self.waits.is_empty() => self.listen(at % self.waits.len()),
            Act::Leave(at) if !self.waits.is_empty() => self.leave(at % self.waits.len()),
            Act::Pass(ms) => self.now_ms += ms,
            _ => {}
        }
    }

    fn need(&mut self, pool: usize, new: bool) {
        let taken = (self.used.len() + self.idle.len() + self.kept.len()) as u64;
        let promised = self.waits.iter().filter(|one| one.called).count() - self.kept.len();
        let free = taken + (promised as u64) < self.most;
        let waits = self.waits.iter().any(|one| !one.called);
        match self.state.permit(self.most) {
            Some(permit) => {
                assert!(free && !waits, "no earlier waiter is passed over");
                self.used.push((pool, permit));
            }
            None => {
                assert!(!free || waits, "a free permit is granted at once");
                let own = (!new).then_some(&self.pools[pool]);
                let waiter = self.connections().enqueue(own, self.most, self.now_ms);
                self.waits.push(Waits {
                    waiter,
                    pool,
                    new,
                    since_ms: self.now_ms,
                    called: false,
                });
            }
        }
    }

    fn comes_back(&mut self, pool: usize, permit: ConnectionPermit) {
        let oldest = self.waits.iter().find(|one| !one.called);
        let oldest_ms = oldest.map(|one| one.since_ms);
        let ours = |one: &&mut Waits| !one.called && one.pool == pool && !one.new;
        let ours = self.waits.iter_mut().find(ours);
        match (self.state.connections.0.next(&self.pools[pool]), oldest_ms) {
            (Next::Idle, None) => self.idle.push((pool, permit)),
            (Next::Ours(waiter), Some(oldest_ms)) => {
                let ours = ours.expect("the pool has a waiter");
                assert!(
                    Arc::ptr_eq(&ours.waiter, &waiter),
                    "the oldest waiter of the pool"
                );
                assert!(
                    ours.since_ms <= oldest_ms + 20,
                    "no waiter has waited over 20 ms longer"
                );
                ours.called = true;
                waiter.grant(Grant::Kept);
                self.kept.push((waiter, pool, permit));
            }
            (Next::Elsewhere, Some(oldest_ms)) => {
                let late = ours.is_none_or(|one| one.since_ms > oldest_ms + 20);
                assert!(late, "the connection should have stayed");
                drop(permit);
                self.permit_is_free();
            }
            (Next::Idle, Some(_)) => panic!("there is a waiter"),
            (Next::Ours(_) | Next::Elsewhere, None) => panic!("there is no waiter"),
        }
    }

    fn listen(&mut self, at: usize) {
        let called = self.waits[at].called;
        match self.waits[at].waiter.poll(Waker::noop()) {
            Poll::Pending => assert!(!called, "a waiter with a grant is notified"),
            Poll::Ready(word) => {
                let waits = self.waits.remove(at);
                assert!(called, "only a waiter with a grant is notified");
                let got = match self.state.permit_of(word) {
                    Some(permit) => (waits.pool, permit),
                    None => self.take_kept(&waits.waiter),
                };
                self.used.push(got);
            }
        }
    }

    fn leave(&mut self, at: usize) {
        let waits = self.waits.remove(at);
        let unused_grant = self.connections().leave(&waits.waiter);
        assert_eq!(unused_grant.is_some(), waits.called);
        let Some(word) = unused_grant else { return };
        match self.state.permit_of(word) {
            Some(permit) => {
                drop(permit);
                self.permit_is_free();
            }
            None => {
                let (pool, permit) = self.take_kept(&waits.waiter);
                self.comes_back(pool, permit);
            }
        }
    }

    fn take_kept(&mut self, waiter: &Arc<Waiter>) -> (usize, ConnectionPermit) {
        let mut kept = self.kept.iter();
        let at = kept.position(|(one, ..)| Arc::ptr_eq(one, waiter));
        let (_, pool, permit) = self.kept.swap_remove(at.expect("it is kept"));
        (pool, permit)
    }

    fn check(&self) {
        let waiting = self.waits.iter().filter(|one| !one.called).count();
        let promised = self.waits.len() - waiting - self.kept.len();
        let open = self.used.len() + self.idle.len() + self.kept.len() + promised;
        assert_eq!(self.connections().open(), open as u64);
        assert_eq!(self.connections().waiting(), waiting as u64);
        assert!(open as u64 <= self.most);
        assert!(
            waiting == 0 || open as u64 == self.most,
            "no waiter remains while a permit is free"
        );
    }
}

proptest! {
    #[test]
    fn permits_are_neither_lost_nor_doubled(
        most in 1..5_u64,
        acts in acts(),
    ) {
        let mut street = Street::new(most);
        for act in &acts {
            street.act(act);
            street.check();
        }
        while !street.waits.is_empty() {
            street.leave(0);
            street.check();
        }
        street.used.clear();
        street.idle.clear();
        assert_eq!(street.connections().open(), 0);
    }
}

#[test]
fn connection_stays_until_another_pool_waited_longer() {
    for (later_ms, stays) in [(0, true), (20, true), (21, false)] {
        let state = Arc::new(State::new("u"));
        let (near, far) = (Arc::default(), Arc::default());
        let connections = &state.connections.0;
        let permit = state.permit(1).unwrap();
        let _elsewhere = connections.enqueue(Some(&far), 1, 100);
        let _ours = connections.enqueue(Some(&near), 1, 100 + later_ms);
        let next = connections.next(&near);
        assert_eq!(matches!(next, Next::Ours(_)), stays, "{later_ms} ms later");
        drop(permit);
    }
}

#[test]
fn lowered_limit_admits_no_new_connection_above_it() {
    let state = Arc::new(State::new("u"));
    let permits: Vec<ConnectionPermit> = (0..3).map(|_| state.permit(3).unwrap()).collect();
    let waiter = state.connections.0.enqueue(None, 1, 0);
    let mut permits = permits.into_iter();
    for _ in 0..2 {
        drop(permits.next());
        assert!(waiter.poll(Waker::noop()).is_pending());
    }
    drop(permits.next());
    assert_eq!(waiter.poll(Waker::noop()), Poll::Ready(Grant::Permit));
}
