//! Listening sockets: they belong to the process and are keyed by address (release.md §9).
//!
//! Activation binds, commit listens. Each address has one SO_REUSEPORT socket per worker, and
//! that number never changes while it is open: closing one of several loses what is queued at
//! it. An address that the running version does not name stays bound, not listening, while a
//! resident version names it, so that a rollback never binds.
//!
//! Leaving an address loses nobody: first no new handshake begins (a socket filter drops SYNs, so
//! that a client tries again and is then refused), what had begun is accepted, and only an empty
//! socket stops listening. A worker does all of that to its own socket, so that an address which
//! comes back meanwhile finds it in a known state.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use socket2::{Domain, Protocol, SockFilter, SockRef, Socket, TcpKeepalive, Type};

/// The kernel counts keep-alives in seconds.
const KEEPALIVE_MIN: Duration = Duration::from_secs(1);
/// Connections that may wait to be accepted at one socket.
const BACKLOG: i32 = 4_096;

/// One address that the process listens on.
#[derive(Debug)]
pub(crate) struct ListenSocket {
    /// Small and never used again.
    pub(crate) id: u32,
    /// The listener's name at the time it was bound.
    pub(crate) name: Box<str>,
    /// Connections at once, all workers together.
    pub(crate) connections: AtomicU64,
    /// Those of them that are parked: nothing happens on them, and they hold no buffers.
    pub(crate) parked: AtomicU64,
    /// Time at which the running version ceased to name the address (milliseconds of the clock);
    /// [`NEVER`] while it does.
    left_ms: AtomicU64,
}

/// The address is in use.
const NEVER: u64 = u64::MAX;

/// The sockets of one address, bound.
#[derive(Debug)]
pub(crate) struct Bound {
    /// The real address, also for port 0.
    pub(crate) address: SocketAddr,
    pub(crate) listening: bool,
    pub(crate) socket: Arc<ListenSocket>,
    sockets: Vec<Socket>,
}

/// Binds one socket per worker. An address that anybody else has is refused, also where they
/// would share it. `beside_ours`: this process has one that collides (the same port on one
/// address and on all); then only who does not share is noticed.
///
/// # Errors
/// The operating system's error.
pub(crate) fn bind(
    id: u32,
    name: &str,
    wanted: SocketAddr,
    workers: usize,
    beside_ours: bool,
) -> io::Result<Bound> {
    let probe = socket(wanted)?;
    let mut address = wanted;
    if wanted.port() == 0 {
        // A port that the system chose would be lost with the first stop; one that is asked for
        // by number is not. The probe keeps the number until all have it.
        probe.set_reuse_port(true)?;
        probe.bind(&wanted.into())?;
        if let Some(real) = probe.local_addr()?.as_socket() {
            address = real;
        }
    } else if !beside_ours {
        // Without SO_REUSEPORT: fails if anybody has the address, sharing or not. What is left
        // of closed connections does not count.
        probe.set_reuse_address(true)?;
        probe.bind(&wanted.into())?;
        drop(probe);
    }
    let mut sockets = Vec::with_capacity(workers);
    for _ in 0..workers {
        let socket = socket(address)?;
        socket.set_reuse_port(true)?;
        socket.bind(&address.into())?;
        sockets.push(socket);
    }
    Ok(adopt(id, name, address, sockets))
}

/// Takes sockets that another process bound; at least one.
pub(crate) fn adopt(id: u32, name: &str, address: SocketAddr, sockets: Vec<Socket>) -> Bound {
    Bound {
        address,
        listening: false,
        socket: Arc::new(ListenSocket {
            id,
            name: name.into(),
            connections: AtomicU64::new(0),
            parked: AtomicU64::new(0),
            left_ms: AtomicU64::new(NEVER),
        }),
        sockets,
    }
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

impl ListenSocket {
    /// The running version names the address.
    pub(crate) fn used(&self) {
        self.left_ms.store(NEVER, Ordering::Relaxed);
    }

    /// The running version names the address no longer.
    pub(crate) fn left(&self, now_ms: u64) {
        self.left_ms.store(now_ms, Ordering::Relaxed);
    }

    /// Time of that; none while the address is in use.
    pub(crate) fn left_ms(&self) -> Option<u64> {
        let left_ms = self.left_ms.load(Ordering::Relaxed);
        (left_ms != NEVER).then_some(left_ms)
    }
}

impl Bound {
    /// Handles on the sockets, by worker: one each where they were bound here. Of inherited ones
    /// there may be more than workers, or fewer; then a worker has several, or shares one.
    ///
    /// # Errors
    /// If there are no descriptors left.
    pub(crate) fn handles(&self, workers: usize) -> io::Result<Vec<Vec<TcpListener>>> {
        let mut handles: Vec<Vec<TcpListener>> = (0..workers).map(|_| Vec::new()).collect();
        for at in 0..workers.max(self.sockets.len()) {
            let socket = &self.sockets[at % self.sockets.len()];
            handles[at % workers].push(socket.try_clone()?.into());
        }
        Ok(handles)
    }

    /// The sockets, for another process.
    pub(crate) fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        self.sockets.iter().map(AsFd::as_fd).collect()
    }
}

/// Begins to listen, or goes on where it had not stopped yet. A connection whose other end says
/// nothing any more is over after `half_open`.
///
/// # Errors
/// The operating system's error.
pub(crate) fn listen(socket: &impl AsFd, half_open: Duration) -> io::Result<()> {
    let socket = SockRef::from(socket);
    // What is accepted inherits both. Without them a connection whose other end is gone without a
    // word stays for as long as nothing is sent on it, and for a quarter of an hour otherwise.
    socket.set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time((half_open / 2).max(KEEPALIVE_MIN))
            .with_interval((half_open / 8).max(KEEPALIVE_MIN)),
    )?;
    socket.set_tcp_user_timeout(Some(half_open))?;
    // Fails where no filter is attached, which is what is wanted.
    let _none_attached = socket.detach_filter();
    // Inherited by what is accepted, so that the next process can bind over connections in
    // TIME_WAIT. Not set before: two sockets that have it can share an address on which neither
    // listens, and nobody would be told.
    socket.set_reuse_address(true)?;
    socket.listen(BACKLOG)
}

/// From now on no handshake begins at this socket; those that have begun go on.
///
/// # Errors
/// Where filters are not allowed. Handshakes then begin until [`stop`], which resets them.
pub(crate) fn begin_no_handshake(socket: &impl AsFd) -> io::Result<()> {
    // Classic BPF over the TCP header (RFC 9293 §3.1): the flags are its byte 13, SYN is bit 1.
    const LOAD_BYTE: u16 = 0x30;
    const JUMP_IF_SET: u16 = 0x45;
    const RETURN: u16 = 0x06;
    SockRef::from(socket).attach_filter(&[
        SockFilter::new(LOAD_BYTE, 0, 0, 13),
        SockFilter::new(JUMP_IF_SET, 0, 1, 0x02),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
    ])
}

/// Stops listening; the address stays ours.
pub(crate) fn stop(socket: &impl AsFd) {
    let socket = SockRef::from(socket);
    // On Linux this takes a listening socket out of the listening state and keeps its port. A
    // failure means that it was not listening.
    let _not_listening = socket.shutdown(std::net::Shutdown::Read);
    let _still_shared = socket.set_reuse_address(false);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;

    const PATIENCE: Duration = Duration::from_secs(120);

    #[test]
    fn busy_address_is_refused_and_a_stopped_one_kept() {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let bound = bind(0, "a", any, 2, false).unwrap();
        let address = bound.address;
        assert!(TcpStream::connect(address).is_err(), "bound, not listening");
        assert!(bind(1, "b", address, 2, false).is_err());
        let handles: Vec<_> = bound.handles(2).unwrap().into_iter().flatten().collect();
        assert_eq!(handles.len(), 2);
        for (workers, each) in [(1, vec![2]), (3, vec![1, 1, 1])] {
            let handles = bound.handles(workers).unwrap();
            let counts: Vec<usize> = handles.iter().map(Vec::len).collect();
            assert_eq!(counts, each, "{workers} workers");
        }
        handles
            .iter()
            .for_each(|handle| listen(handle, PATIENCE).unwrap());
        TcpStream::connect(address).unwrap();
        handles.iter().for_each(stop);
        assert!(TcpStream::connect(address).is_err(), "stopped");
        assert!(bind(1, "b", address, 2, false).is_err(), "still ours");
        handles
            .iter()
            .for_each(|handle| listen(handle, PATIENCE).unwrap());
        TcpStream::connect(address).expect("the same port again");
    }

    #[test]
    fn closed_handshakes_admit_only_the_waiting() {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let bound = bind(0, "a", any, 1, false).unwrap();
        let handle = &bound.handles(1).unwrap()[0][0];
        listen(handle, PATIENCE).unwrap();
        let mut waiting = TcpStream::connect(bound.address).unwrap();
        begin_no_handshake(handle).unwrap();
        let patience = Duration::from_millis(100);
        let refused = TcpStream::connect_timeout(&bound.address, patience);
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::TimedOut);
        let (mut accepted, _) = handle.accept().unwrap();
        waiting.write_all(b"hello").unwrap();
        let mut read = [0; 5];
        accepted.set_nonblocking(false).unwrap();
        accepted.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"hello", "what was accepted is not filtered");
        listen(handle, PATIENCE).unwrap();
        TcpStream::connect(bound.address).expect("handshakes begin again");
    }

    #[test]
    fn accepted_socket_has_keepalive_and_user_timeout() {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let bound = bind(0, "a", any, 1, false).unwrap();
        let handle = &bound.handles(1).unwrap()[0][0];
        listen(handle, PATIENCE).unwrap();
        let _client = TcpStream::connect(bound.address).unwrap();
        let (accepted, _) = handle.accept().unwrap();
        let socket = SockRef::from(&accepted);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), PATIENCE / 2);
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), PATIENCE / 8);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(PATIENCE));
    }
}
