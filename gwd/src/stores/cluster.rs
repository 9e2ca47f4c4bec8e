//! Redis Cluster: each key belongs to one of 16,384 slots, and each slot to one master.
//!
//! The client library's own cluster client is not used: it opens its own connections, whose replies
//! are not bounded, and one master that does not answer would open the circuit breakers of all.

use std::sync::Arc;
use std::time::Duration;

use redis::{AsyncConnectionConfig, RedisError, Value};
use tokio::time::timeout;

use super::connection::{Connection, reason};
use super::link::Link;
use super::servers::{Url, address};

/// Number of slots of a cluster.
const SLOTS: u16 = 16_384;
/// Maximum time for the answer of one node about the slots, connection included: 500ms.
const NODE: Duration = Duration::from_millis(500);

/// Links (connections) to the servers of a store, and the link of each slot.
#[derive(Default)]
pub(super) struct Routes {
    pub(super) links: Vec<Arc<Link>>,
    /// Index of the link of each slot. Empty: the first link has all keys.
    slots: Box<[Option<u16>]>,
}

/// Slots of one master.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Range {
    first: u16,
    last: u16,
    /// Host and port of the master.
    pub(super) master: String,
}

// === impl Routes ===

impl Routes {
    /// Routes of a store with one server.
    pub(super) fn one(link: Arc<Link>) -> Self {
        Self {
            links: vec![link],
            slots: Box::default(),
        }
    }

    /// Routes of a cluster. `link` returns the link of a master; its arguments are the master's
    /// address and a hash tag of one of its slots.
    pub(super) fn of(ranges: &[Range], mut link: impl FnMut(&str, &str) -> Arc<Link>) -> Self {
        let mut masters: Vec<&str> = Vec::new();
        let mut slots = vec![None; usize::from(SLOTS)];
        for range in ranges {
            let known = masters.iter().position(|master| *master == range.master);
            let index = known.unwrap_or(masters.len());
            if known.is_none() {
                masters.push(&range.master);
            }
            for slot in range.first..=range.last.min(SLOTS - 1) {
                slots[usize::from(slot)] = u16::try_from(index).ok();
            }
        }
        let links = masters.iter().enumerate().map(|(index, master)| {
            let is_own = |tag: &String| slots[usize::from(slot(tag))] == u16::try_from(index).ok();
            let tag = (0..u32::MAX).map(|number| number.to_string()).find(is_own);
            link(master, &tag.unwrap_or_default())
        });
        Self {
            links: links.collect(),
            slots: slots.into(),
        }
    }

    /// Link of a key. `None`: no master has its slot.
    pub(super) fn link(&self, key: &str) -> Option<&Arc<Link>> {
        if self.slots.is_empty() {
            return self.links.first();
        }
        let index = self.slots[usize::from(slot(key))]?;
        self.links.get(usize::from(index))
    }

    /// True if every key has a link, and all links answer.
    pub(super) fn are_up(&self) -> bool {
        !self.links.is_empty()
            && self.links.iter().all(|link| link.is_up())
            && self.slots.iter().all(Option::is_some)
    }
}

/// Queries nodes in order for the masters of the slots.
///
/// # Errors
/// The reason why the last node did not answer.
pub(super) async fn ranges(url: &Url, nodes: &[String]) -> Result<Vec<Range>, String> {
    let mut why = "no node".to_owned();
    for node in nodes {
        match timeout(NODE, ask(&url.at(node), node)).await {
            Ok(Ok(ranges)) if !ranges.is_empty() => return Ok(ranges),
            Ok(Ok(_)) => "the node is not part of a cluster, or the cluster has no slots"
                .clone_into(&mut why),
            Ok(Err(error)) => why = reason(&error),
            Err(_) => "timeout".clone_into(&mut why),
        }
    }
    Err(why)
}

async fn ask(url: &str, node: &str) -> Result<Vec<Range>, RedisError> {
    let config = AsyncConnectionConfig::new().set_response_timeout(Some(NODE));
    let mut connection = Connection::open(url, config).await?;
    let mut ask = redis::cmd("CLUSTER");
    ask.arg("SLOTS");
    let reply: Vec<Value> = ask.query_async(&mut connection.commands).await?;
    let host = node.rsplit_once(':').map_or(node, |(host, _)| host);
    Ok(reply.iter().filter_map(|range| read(range, host)).collect())
}

/// Reads a range of `CLUSTER SLOTS`: first slot, last slot, master, replicas. `answering` is the
/// host of the node that answered: a node without a known host has an empty one.
fn read(range: &Value, answering: &str) -> Option<Range> {
    let Value::Array(parts) = range else {
        return None;
    };
    let [
        Value::Int(first),
        Value::Int(last),
        Value::Array(master),
        ..,
    ] = &parts[..]
    else {
        return None;
    };
    let [host, Value::Int(port), ..] = &master[..] else {
        return None;
    };
    let host = match host {
        Value::BulkString(host) => String::from_utf8(host.clone()).ok()?,
        Value::SimpleString(host) => host.clone(),
        Value::Nil => String::new(),
        _ => return None,
    };
    let port = u16::try_from(*port).ok()?;
    let master = match &*host {
        "?" => return None,
        "" => format!("{answering}:{port}"),
        host => address(host, port),
    };
    Some(Range {
        first: u16::try_from(*first).ok()?,
        last: u16::try_from(*last).ok()?,
        master,
    })
}

/// Slot of a key: CRC-16/XMODEM of its hash tag, or of the whole key.
fn slot(key: &str) -> u16 {
    let tag = key.split_once('{').and_then(|(_, rest)| {
        let (tag, _) = rest.split_once('}')?;
        (!tag.is_empty()).then_some(tag)
    });
    let mut crc = 0_u16;
    for byte in tag.unwrap_or(key).bytes() {
        crc ^= u16::from(byte) << 8;
        for _ in 0..8 {
            let carry = crc & 0x8000 != 0;
            crc <<= 1;
            if carry {
                crc ^= 0x1021;
            }
        }
    }
    crc % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        // The check value of CRC-16/XMODEM is 0x31c3.
        assert_eq!(slot("123456789"), 0x31c3 % SLOTS);
        assert_eq!(slot("foo"), 12_182);
        assert_eq!(slot("a{foo}b{bar}"), slot("foo"));
        // An empty hash tag is ignored: the whole key is hashed.
        assert_ne!(slot("{}foo"), slot("{}bar"));
    }

    #[test]
    fn ranges_name_masters() {
        let node = |host: Value| Value::Array(vec![host, Value::Int(7), Value::Nil]);
        let range =
            |host: Value| Value::Array(vec![Value::Int(0), Value::Int(9), node(host), Value::Nil]);
        let master = |host: Value| read(&range(host), "[::1]").map(|range| range.master);
        let text = |text: &str| Value::BulkString(text.into());
        assert_eq!(master(text("h")).as_deref(), Some("h:7"));
        assert_eq!(master(text("::2")).as_deref(), Some("[::2]:7"));
        assert_eq!(master(text("")).as_deref(), Some("[::1]:7"));
        assert_eq!(master(Value::Nil).as_deref(), Some("[::1]:7"));
        assert_eq!(master(text("?")), None);
        assert_eq!(read(&Value::Array(vec![Value::Int(-1)]), "h"), None);
    }
}
