//! Name server whose answers a test defines, over UDP and TCP (RFC 1035, RFC 2782).

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};

/// Record types.
pub(crate) const A: u16 = 1;
pub(crate) const AAAA: u16 = 28;
pub(crate) const SRV: u16 = 33;

/// Answer to a query.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// These records, with a TTL in seconds.
    Records(Vec<Record>, u32),
    /// These records, truncated over UDP.
    Truncated(Vec<Record>, u32),
    /// No records, with this response code: 0 for no such record, 2 for SERVFAIL, 3 for NXDOMAIN.
    Code(u8),
    /// No response.
    Silence,
}

/// Data of a record.
#[derive(Clone, Debug)]
pub(crate) enum Record {
    Address(IpAddr),
    /// Priority, weight, port, target.
    Service(u16, u16, u16, &'static str),
}

/// Name server. It answers NXDOMAIN to queries that the test did not define.
pub(crate) struct NameServer {
    pub(crate) address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
}

#[derive(Default)]
struct Zone {
    replies: HashMap<(String, u16), Reply>,
    /// Received queries: name, type, and true if over TCP.
    asked: Vec<(String, u16, bool)>,
}

pub(crate) fn v4(last: u8) -> Record {
    Record::Address(Ipv4Addr::new(127, 0, 0, last).into())
}

pub(crate) fn v6() -> Record {
    Record::Address(Ipv6Addr::LOCALHOST.into())
}

impl NameServer {
    pub(crate) fn start() -> Self {
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()) {
                break (udp, tcp);
            }
        };
        let address = udp.local_addr().unwrap();
        let zone = Arc::<Mutex<Zone>>::default();
        let ours = Arc::clone(&zone);
        std::thread::spawn(move || {
            let mut question = [0; 4_096];
            while let Ok((length, from)) = udp.recv_from(&mut question) {
                if let Some(answer) = answer(&ours, &question[..length], false) {
                    let _gone = udp.send_to(&answer, from);
                }
            }
        });
        let ours = Arc::clone(&zone);
        std::thread::spawn(move || {
            for stream in tcp.incoming() {
                let Ok(mut stream) = stream else { return };
                let zone = Arc::clone(&ours);
                std::thread::spawn(move || {
                    let mut length = [0; 2];
                    while stream.read_exact(&mut length).is_ok() {
                        let mut question = vec![0; u16::from_be_bytes(length).into()];
                        stream.read_exact(&mut question).unwrap();
                        let Some(answer) = answer(&zone, &question, true) else {
                            return;
                        };
                        let length = u16::try_from(answer.len()).unwrap();
                        stream.write_all(&length.to_be_bytes()).unwrap();
                        stream.write_all(&answer).unwrap();
                    }
                });
            }
        });
        Self { address, zone }
    }

    /// Sets the answer to a query from now on.
    pub(crate) fn set_reply(&self, name: &str, kind: u16, reply: Reply) {
        let mut zone = self.zone.lock().unwrap();
        zone.replies.insert((name.to_owned(), kind), reply);
    }

    /// Numbers of queries for a name, over UDP and over TCP.
    pub(crate) fn query_counts(&self, name: &str, kind: u16) -> (usize, usize) {
        let zone = self.zone.lock().unwrap();
        let of = |over_tcp: bool| {
            let queries = zone.asked.iter();
            queries
                .filter(|(n, k, tcp)| n == name && *k == kind && *tcp == over_tcp)
                .count()
        };
        (of(false), of(true))
    }
}

/// Answers an encoded query. `None` if there is no response.
fn answer(zone: &Mutex<Zone>, question: &[u8], over_tcp: bool) -> Option<Vec<u8>> {
    let mut at = 12;
    let mut labels = Vec::new();
    while question[at] > 0 {
        let end = at + 1 + usize::from(question[at]);
        labels.push(String::from_utf8_lossy(&question[at + 1..end]).to_lowercase());
        at = end;
    }
    let name = labels.join(".");
    let kind = u16::from_be_bytes([question[at + 1], question[at + 2]]);
    let query = &question[12..at + 5];
    let reply = {
        let mut zone = zone.lock().unwrap();
        zone.asked.push((name.clone(), kind, over_tcp));
        let reply = zone.replies.get(&(name, kind)).cloned();
        reply.unwrap_or(Reply::Code(3))
    };
    let (records, ttl, truncated, code) = match reply {
        Reply::Silence => return None,
        Reply::Code(code) => (Vec::new(), 0, false, code),
        Reply::Records(records, ttl) => (records, ttl, false, 0),
        Reply::Truncated(records, ttl) if over_tcp => (records, ttl, false, 0),
        Reply::Truncated(_, ttl) => (Vec::new(), ttl, true, 0),
    };
    let mut out = question[..2].to_vec();
    out.extend([0x81 | u8::from(truncated) << 1, 0x80 | code, 0, 1]);
    out.extend(u16::try_from(records.len()).unwrap().to_be_bytes());
    out.extend([0; 4]);
    out.extend(query);
    for record in records {
        let (kind, data) = match record {
            Record::Address(IpAddr::V4(address)) => (A, address.octets().to_vec()),
            Record::Address(IpAddr::V6(address)) => (AAAA, address.octets().to_vec()),
            Record::Service(priority, weight, port, target) => {
                let numbers = [priority, weight, port].map(u16::to_be_bytes);
                let mut data = numbers.concat();
                for label in target.split('.').filter(|label| !label.is_empty()) {
                    data.push(u8::try_from(label.len()).unwrap());
                    data.extend(label.as_bytes());
                }
                data.push(0);
                (SRV, data)
            }
        };
        out.extend([0xc0, 12]);
        out.extend(kind.to_be_bytes());
        out.extend([0, 1]);
        out.extend(ttl.to_be_bytes());
        out.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        out.extend(data);
    }
    Some(out)
}
