//! Listening sockets of the process, identified by their addresses (release.md §9).
//!
//! Activation binds an address, and publishing the version starts listening. Each address has one
//! SO_REUSEPORT socket per worker. That number never changes while the address is open, because
//! closing one of several sockets loses the connections in its queue. An address that the running
//! version does not name stays bound, without listening, as long as a version in memory names it. A
//! rollback therefore never needs to bind.
//!
//! Leaving an address loses no connection. First a socket filter drops SYNs, so that no handshake
//! begins: clients retransmit the SYN and are refused later. Handshakes in progress are completed
//! and accepted. Then the socket, with its queue empty, stops listening. Each worker does this for
//! its own socket, so that the socket's state is known if the address is used again.

pub(crate) mod accept;
#[expect(
    clippy::disallowed_methods,
    reason = "replaces a handover socket of an ended process"
)]
pub(crate) mod handover;
pub(crate) mod inherited;
pub(crate) mod spread;
#[expect(
    clippy::disallowed_methods,
    reason = "replaces a socket of an ended process"
)]
pub(crate) mod unix_socket;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use socket2::{Domain, Protocol, SockFilter, SockRef, Socket, TcpKeepalive, Type};

/// Minimum keep-alive time: 1s, because the kernel counts in seconds.
const KEEPALIVE_MIN: Duration = Duration::from_secs(1);
/// Maximum length of a socket's accept queue.
const BACKLOG: i32 = 4_096;

/// State of an address that the process listens on.
#[derive(Debug)]
pub(crate) struct ListenSocket {
    /// Id of the address; small and never reused.
    pub(crate) id: u32,
    /// Name of the first listener that used the address.
    pub(crate) name: Box<str>,
    /// Number of open connections of the address, over all workers.
    pub(crate) connections: AtomicU64,
    /// Number of idle connections of the address that have released their buffers, over all
    /// workers.
    pub(crate) parked: AtomicU64,
    /// Time at which the running version stopped naming the address, in milliseconds of the clock;
    /// [`NEVER`] if it names the address.
    left_ms: AtomicU64,
}

/// Value of `left_ms` while the address is in use.
const NEVER: u64 = u64::MAX;

/// Bound sockets of one address.
#[derive(Debug)]
pub(crate) struct Bound {
    /// Actual address, with the port that the system chose if port 0 was configured.
    pub(crate) address: SocketAddr,
    pub(crate) listening: bool,
    pub(crate) socket: Arc<ListenSocket>,
    sockets: Vec<Socket>,
}

/// Cause of a failed [`bind`], for the operator.
pub(crate) fn bind_error(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "another process uses this address".to_owned(),
        io::ErrorKind::AddrNotAvailable => "no interface of this host has this address".to_owned(),
        io::ErrorKind::PermissionDenied => {
            "permission denied; ports below 1024 need the capability CAP_NET_BIND_SERVICE"
                .to_owned()
        }
        _ => error.to_string(),
    }
}

/// Binds one socket per worker. Fails if another process uses the address, even if that process
/// allows sharing. `beside_ours` means that this process has a socket whose address overlaps (same
/// port, one specific and one wildcard address). In this case, a process that allows sharing is not
/// detected.
///
/// # Errors
/// If a socket cannot be bound. The error is the operating system's.
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
        // Keep the port that the system chose; otherwise a later bind would get another one. The
        // probe reserves the port until all sockets are bound.
        probe.set_reuse_port(true)?;
        probe.bind(&wanted.into())?;
        if let Some(real) = probe.local_addr()?.as_socket() {
            address = real;
        }
    } else if !beside_ours {
        // Without SO_REUSEPORT, binding fails if any process listens on the address. SO_REUSEADDR
        // ignores closed connections in TIME_WAIT.
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

/// Uses sockets that are bound already. There must be at least one.
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
    /// Records that the running version names the address.
    pub(crate) fn used(&self) {
        self.left_ms.store(NEVER, Ordering::Relaxed);
    }

    /// Records that the running version no longer names the address.
    pub(crate) fn mark_unused(&self, now_ms: u64) {
        self.left_ms.store(now_ms, Ordering::Relaxed);
    }

    /// Time at which the running version stopped naming the address, or `None` if it names the
    /// address.
    pub(crate) fn left_ms(&self) -> Option<u64> {
        let left_ms = self.left_ms.load(Ordering::Relaxed);
        (left_ms != NEVER).then_some(left_ms)
    }
}

impl Bound {
    /// Returns handles of the sockets for each worker. If this process bound the sockets, each
    /// worker has one socket. Inherited sockets can be more or fewer than the workers; then a
    /// worker has several sockets, or shares one.
    ///
    /// # Errors
    /// If no file descriptors are left.
    pub(crate) fn handles(&self, workers: usize) -> io::Result<Vec<Vec<TcpListener>>> {
        let mut handles: Vec<Vec<TcpListener>> = (0..workers).map(|_| Vec::new()).collect();
        for at in 0..workers.max(self.sockets.len()) {
            let socket = &self.sockets[at % self.sockets.len()];
            handles[at % workers].push(socket.try_clone()?.into());
        }
        Ok(handles)
    }

    /// Descriptors of the sockets, to hand them over to another process.
    pub(crate) fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        self.sockets.iter().map(AsFd::as_fd).collect()
    }
}

/// Starts listening, or listens again. A connection whose peer no longer responds ends after
/// `half_open`.
///
/// # Errors
/// If the socket cannot listen. The error is the operating system's.
pub(crate) fn listen(socket: &impl AsFd, half_open: Duration) -> io::Result<()> {
    let socket = SockRef::from(socket);
    // Accepted connections inherit both options. Without them, a connection with a vanished peer
    // would stay for a quarter of an hour, or forever if nothing is sent.
    socket.set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time((half_open / 2).max(KEEPALIVE_MIN))
            .with_interval((half_open / 8).max(KEEPALIVE_MIN)),
    )?;
    socket.set_tcp_user_timeout(Some(half_open))?;
    // Ignore an error: it means that no filter was attached.
    let _none_attached = socket.detach_filter();
    // Accepted connections inherit this option, so that the next process can bind although
    // connections are in TIME_WAIT. The option is not set earlier, because two sockets that have it
    // can bind the same address without an error as long as neither listens.
    socket.set_reuse_address(true)?;
    socket.listen(BACKLOG)
}

/// Stops new handshakes at a socket. Handshakes in progress continue.
///
/// # Errors
/// If socket filters are not allowed. Handshakes then begin until [`stop`], which resets them.
pub(crate) fn begin_no_handshake(socket: &impl AsFd) -> io::Result<()> {
    // Classic BPF on the TCP header (RFC 9293 §3.1): byte 13 contains the flags, and SYN is 0x02.
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

/// Stops listening; the address stays bound.
pub(crate) fn stop(socket: &impl AsFd) {
    let socket = SockRef::from(socket);
    // On Linux, this ends listening and keeps the address bound. An error means that the socket was
    // not listening.
    let _not_listening = socket.shutdown(std::net::Shutdown::Read);
    let _still_shared = socket.set_reuse_address(false);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;

    const TCP_TIMEOUT: Duration = Duration::from_secs(120);

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
            .for_each(|handle| listen(handle, TCP_TIMEOUT).unwrap());
        TcpStream::connect(address).unwrap();
        handles.iter().for_each(stop);
        assert!(TcpStream::connect(address).is_err(), "stopped");
        assert!(
            bind(1, "b", address, 2, false).is_err(),
            "this process still holds the address"
        );
        handles
            .iter()
            .for_each(|handle| listen(handle, TCP_TIMEOUT).unwrap());
        TcpStream::connect(address).expect("the address listens again");
    }

    #[test]
    fn closed_handshakes_admit_only_the_waiting() {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let bound = bind(0, "a", any, 1, false).unwrap();
        let handle = &bound.handles(1).unwrap()[0][0];
        listen(handle, TCP_TIMEOUT).unwrap();
        let mut waiting = TcpStream::connect(bound.address).unwrap();
        begin_no_handshake(handle).unwrap();
        let timeout = Duration::from_millis(100);
        let refused = TcpStream::connect_timeout(&bound.address, timeout);
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::TimedOut);
        let (mut accepted, _) = handle.accept().unwrap();
        waiting.write_all(b"hello").unwrap();
        let mut read = [0; 5];
        accepted.set_nonblocking(false).unwrap();
        accepted.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"hello", "accepted connections are not filtered");
        listen(handle, TCP_TIMEOUT).unwrap();
        TcpStream::connect(bound.address).expect("new handshakes are allowed again");
    }

    #[test]
    fn accepted_socket_has_keepalive_and_user_timeout() {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let bound = bind(0, "a", any, 1, false).unwrap();
        let handle = &bound.handles(1).unwrap()[0][0];
        listen(handle, TCP_TIMEOUT).unwrap();
        let _client = TcpStream::connect(bound.address).unwrap();
        let (accepted, _) = handle.accept().unwrap();
        let socket = SockRef::from(&accepted);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), TCP_TIMEOUT / 2);
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), TCP_TIMEOUT / 8);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(TCP_TIMEOUT));
    }
}
