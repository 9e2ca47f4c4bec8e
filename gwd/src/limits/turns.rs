//! Queues of client addresses that take turns, by network.
//!
//! Networks take turns: first the widest ones (IPv6 /48, IPv4 /24), then the narrower ones inside
//! of each. Many entries of one address or of one network therefore do not delay an entry of
//! another network.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

use policy::network::{LEVELS, Network, Networks};

/// Queue of entries of client addresses, in which networks take turns.
#[derive(Debug)]
pub(crate) struct Turns<T>(Level<Level<Level<VecDeque<T>>>>);

/// Queues of the networks of one width, none of which is empty.
#[derive(Debug)]
struct Level<Q> {
    of_network: HashMap<Network, Q>,
    /// Networks with entries. The first one has its turn next.
    turns: VecDeque<Network>,
}

/// Queue of the entries of one network.
trait Queue<T>: Default {
    /// Adds an entry. `path` has the networks below this one, from wide to narrow.
    fn push(&mut self, path: &[Network], entry: T);
    /// Removes entries in the order of turns, up to and including the first one for which `waits`
    /// is true. Returns this entry; `None` if there is none.
    fn pop(&mut self, waits: &impl Fn(&T) -> bool) -> Option<T>;
    /// Removes the first entry for which `is` is true from the queue of the last network of `path`.
    fn remove(&mut self, path: &[Network], is: &impl Fn(&T) -> bool);
    fn is_empty(&self) -> bool;
}

// === impl Turns ===

impl<T> Default for Turns<T> {
    fn default() -> Self {
        Self(Level::default())
    }
}

impl<T> Turns<T> {
    /// Adds an entry of a client address to the queues of its networks.
    pub(crate) fn push(&mut self, client: IpAddr, entry: T) {
        self.0.push(&path(client), entry);
    }

    /// Removes the first entry of a client for which `is` is true.
    pub(crate) fn remove(&mut self, client: IpAddr, is: impl Fn(&T) -> bool) {
        self.0.remove(&path(client), &is);
    }

    /// Removes and returns the next entry for which `waits` is true. Other entries are removed
    /// without using up a turn. `None`: no entry waits.
    pub(crate) fn pop(&mut self, waits: impl Fn(&T) -> bool) -> Option<T> {
        self.0.pop(&waits)
    }

    /// True if there are no entries.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Networks of a client, from wide to narrow.
fn path(client: IpAddr) -> [Network; LEVELS] {
    let mut path = Networks::of(client).all();
    path.reverse();
    path
}

// === impl Level ===

impl<Q> Default for Level<Q> {
    fn default() -> Self {
        Self {
            of_network: HashMap::new(),
            turns: VecDeque::new(),
        }
    }
}

impl<T, Q: Queue<T>> Queue<T> for Level<Q> {
    fn push(&mut self, path: &[Network], entry: T) {
        let [network, rest @ ..] = path else { return };
        let queue = self.of_network.entry(*network).or_default();
        if queue.is_empty() {
            self.turns.push_back(*network);
        }
        queue.push(rest, entry);
    }

    fn pop(&mut self, waits: &impl Fn(&T) -> bool) -> Option<T> {
        while let Some(network) = self.turns.pop_front() {
            let Some(queue) = self.of_network.get_mut(&network) else {
                continue;
            };
            let next = queue.pop(waits);
            if queue.is_empty() {
                self.of_network.remove(&network);
            } else {
                self.turns.push_back(network);
            }
            if next.is_some() {
                return next;
            }
        }
        None
    }

    fn remove(&mut self, path: &[Network], is: &impl Fn(&T) -> bool) {
        let [network, rest @ ..] = path else { return };
        let Some(queue) = self.of_network.get_mut(network) else {
            return;
        };
        queue.remove(rest, is);
        if queue.is_empty() {
            self.of_network.remove(network);
            self.turns.retain(|other| other != network);
        }
    }

    fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }
}

impl<T> Queue<T> for VecDeque<T> {
    fn push(&mut self, _: &[Network], entry: T) {
        self.push_back(entry);
    }

    fn pop(&mut self, waits: &impl Fn(&T) -> bool) -> Option<T> {
        std::iter::from_fn(|| self.pop_front()).find(waits)
    }

    fn remove(&mut self, _: &[Network], is: &impl Fn(&T) -> bool) {
        if let Some(at) = self.iter().position(is) {
            Self::remove(self, at);
        }
    }

    fn is_empty(&self) -> bool {
        Self::is_empty(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_take_turns_then_their_parts() {
        let mut turns = Turns::default();
        for (client, entry) in [
            ("2001:db8:1:100::1", "a1"),
            ("2001:db8:1:100::2", "a2"),
            ("2001:db8:1:101::1", "a3"),
            ("2001:db8:1:101::2", "gone"),
            ("2001:db8:1:200::1", "b1"),
            ("2001:db8:1:200::1", "b2"),
            ("2001:db8:2:100::1", "c1"),
            ("203.0.113.1", "d1"),
            ("203.0.113.2", "d2"),
        ] {
            turns.push(client.parse().unwrap(), entry);
        }
        let order: Vec<&str> = std::iter::from_fn(|| turns.pop(|entry| *entry != "gone")).collect();
        let expected = ["a1", "c1", "d1", "b1", "d2", "a3", "b2", "a2"];
        assert_eq!(order, expected);
        assert!(turns.is_empty() && turns.0.of_network.is_empty());
    }

    #[test]
    fn removed_entries_leave_their_turns() {
        let mut turns = Turns::default();
        let [one, two]: [IpAddr; 2] = ["203.0.113.1", "198.51.100.1"].map(|it| it.parse().unwrap());
        for (client, entry) in [(one, 1), (one, 2), (two, 3)] {
            turns.push(client, entry);
        }
        turns.remove(two, |entry| *entry == 1);
        turns.remove(one, |entry| *entry == 1);
        turns.remove(two, |entry| *entry == 3);
        assert_eq!(turns.0.of_network.len(), 1);
        assert_eq!(turns.pop(|_| true), Some(2));
        assert!(turns.is_empty() && turns.0.of_network.is_empty());
    }
}
