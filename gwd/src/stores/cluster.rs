//! Redis Cluster: each key belongs to one of 16,384 slots, and each slot to one master.
//!
//! The client library's own cluster client is not used, for two reasons. It opens its own
//! connections, whose replies are not bounded. One master that does not answer would open the
//! circuit breakers of all masters.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use redis::{AsyncConnectionConfig, RedisError, Value};
use tokio::time::timeout;

use super::connection::{Connection, reason};
use super::link::Link;
use super::replies::Bounds;
use super::servers::{Url, address};

/// Number of slots of a cluster.
const SLOTS: u16 = 16_384;
/// Maximum number of masters. Further masters are ignored; their slots have no link.
const MASTERS_MAX: usize = 1_000;
/// Number of hash tags to try in order to find one tag for each master. The number is far greater
/// than the number of slots, so that each master gets a tag.
const TAGS: u32 = 1 << 20;
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
        let mut owners: Vec<Option<&str>> = vec![None; usize::from(SLOTS)];
        for range in ranges {
            for slot in range.first..=range.last.min(SLOTS - 1) {
                owners[usize::from(slot)] = Some(&range.master);
            }
        }
        // Masters without slots, as in contradictory answers, have no link.
        let mut masters: HashMap<&str, usize> = HashMap::new();
        let slots: Box<[Option<u16>]> = owners
            .iter()
            .map(|owner| {
                let next = masters.len();
                let index = match masters.entry((*owner)?) {
                    Entry::Occupied(known) => *known.get(),
                    Entry::Vacant(new) if next < MASTERS_MAX => *new.insert(next),
                    Entry::Vacant(_) => return None,
                };
                u16::try_from(index).ok()
            })
            .collect();
        let mut links: Vec<Option<Arc<Link>>> = vec![None; masters.len()];
        let mut missing = masters.len();
        for tag in (0..TAGS).map(|number| number.to_string()) {
            if missing == 0 {
                break;
            }
            let at = usize::from(slot(&tag));
            if let (Some(index), Some(master)) = (slots[at], owners[at])
                && links[usize::from(index)].is_none()
            {
                links[usize::from(index)] = Some(link(master, &tag));
                missing -= 1;
            }
        }
        Self {
            links: links.into_iter().flatten().collect(),
            slots,
        }
    }

    /// Link of a key. `None`: no master has the key's slot.
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
/// If no node answers. The error is the reason of the last node.
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
    let mut connection = Connection::open(url, config, Bounds::SLOTS).await?;
    let mut ask = redis::cmd("CLUSTER");
    ask.arg("SLOTS");
    let reply: Vec<Value> = ask.query_async(&mut connection.commands).await?;
    let host = node.rsplit_once(':').map_or(node, |(host, _)| host);
    Ok(reply.iter().filter_map(|range| read(range, host)).collect())
}

/// Reads a range of `CLUSTER SLOTS`: first slot, last slot, master, replicas. `answering` is the
/// host of the node that answered. It replaces an empty host in the range.
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
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use policy::SecretCell;
    use tokio::task::LocalSet;

    use super::*;
    use crate::stores::link::Server;

    #[test]
    fn slots_are_those_of_the_specification() {
        // The check value of CRC-16/XMODEM is 0x31c3.
        assert_eq!(slot("123456789"), 0x31c3 % SLOTS);
        assert_eq!(slot("foo"), 12_182);
        assert_eq!(slot("a{foo}b{bar}"), slot("foo"));
        // An empty hash tag is ignored: the whole key is hashed.
        assert_ne!(slot("{}foo"), slot("{}bar"));
    }

    /// Routes of these ranges, with the hash tags that the links were created with.
    fn routes(ranges: &[(u16, u16, String)]) -> (Routes, Vec<String>) {
        let range = |(first, last, master): &(u16, u16, String)| Range {
            first: *first,
            last: *last,
            master: master.clone(),
        };
        let ranges: Vec<Range> = ranges.iter().map(range).collect();
        let mut tags = Vec::new();
        let routes = Routes::of(&ranges, |master, tag| {
            tags.push(tag.to_owned());
            let url = SecretCell::new(Vec::new());
            Link::new("s".into(), url, Server::Node(master.to_owned()), tag.into()).0
        });
        (routes, tags)
    }

    #[test]
    fn masters_without_slots_have_no_link() {
        let range = |first, last, master: &str| (first, last, master.to_owned());
        let (routes, tags) = routes(&[
            range(0, 16_383, "replaced:1"),
            range(0, u16::MAX, "a:1"),
            range(9, 3, "empty:1"),
            range(12_182, 12_182, "b:1"),
        ]);
        assert_eq!(routes.links.len(), 2);
        let node = |key: &str| {
            routes
                .link(key)
                .and_then(|link| link.node())
                .unwrap()
                .to_owned()
        };
        assert_eq!((&*node("foo"), &*node("bar")), ("b:1", "a:1"));
        for tag in tags {
            assert_eq!(slot(&tag) == 12_182, node(&tag) == "b:1", "{tag}");
        }
    }

    #[test]
    fn masters_beyond_the_maximum_have_no_link() {
        let all = (0..SLOTS).map(|slot| (slot, slot, format!("h{slot}:1")));
        let (routes, tags) = routes(&all.collect::<Vec<_>>());
        assert_eq!((routes.links.len(), tags.len()), (MASTERS_MAX, MASTERS_MAX));
        assert!(!routes.are_up(), "slots are missing");
        for (link, index) in routes.links.iter().zip(0..) {
            assert_eq!(link.node(), Some(&*format!("h{index}:1")));
        }
    }

    /// Server that answers `CLUSTER SLOTS` with this many ranges, each with a master and a replica.
    fn fragmented(ranges: u16) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut reply = format!("*{ranges}\r\n");
        let node = format!(
            "*4\r\n$9\r\n127.0.0.1\r\n:7000\r\n$40\r\n{:040}\r\n*0\r\n",
            1
        );
        for slot in 0..ranges {
            reply.push_str(&format!("*4\r\n:{slot}\r\n:{slot}\r\n{node}{node}"));
        }
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut bytes = [0; 1 << 12];
            while let Ok(length @ 1..) = stream.read(&mut bytes) {
                let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
                let others = text.matches("CLIENT").count();
                let mut out = "+OK\r\n".repeat(others);
                if text.contains("SLOTS") {
                    out.push_str(&reply);
                }
                // The client closes the connection when the reply is too long.
                let _closed = stream.write_all(out.as_bytes());
            }
        });
        port
    }

    #[test]
    fn slots_of_a_fragmented_cluster_are_read() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        for (count, is_read) in [(1, true), (SLOTS, true), (SLOTS + 1, false)] {
            let node = format!("127.0.0.1:{}", fragmented(count));
            let url = Url::parse(&format!("redis://{node}")).unwrap();
            let read = LocalSet::new().block_on(&runtime, ranges(&url, &[node]));
            match is_read {
                true => assert_eq!(read.map(|ranges| ranges.len()), Ok(usize::from(count))),
                false => assert!(read.is_err(), "{count}"),
            }
        }
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
