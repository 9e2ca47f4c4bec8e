//! Listening sockets: they belong to the process and are keyed by address (release.md §9).
//!
//! Activation binds, commit listens. Each address has one SO_REUSEPORT socket per worker, and
//! that number never changes while it is open: closing one of several loses what is queued at
//! it. An address that the running version does not name stays bound, not listening, while a
//! resident version names it, so that a rollback never binds.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use socket2::{Domain, Protocol, Socket, Type};

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
    /// Whether its connections have to end.
    pub(crate) closing: AtomicBool,
}

/// The sockets of one address, bound.
#[derive(Debug)]
pub(crate) struct Bound {
    /// The real address, also where port 0 was asked for.
    pub(crate) address: SocketAddr,
    pub(crate) listening: bool,
    pub(crate) socket: Arc<ListenSocket>,
    sockets: Vec<Socket>,
}

/// Binds one socket per worker. An address that anybody else has is refused, also where they
/// would share it.
///
/// # Errors
/// What the operating system says.
pub(crate) fn bind(id: u32, name: &str, wanted: SocketAddr, workers: usize) -> io::Result<Bound> {
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
    } else {
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
    Ok(Bound {
        address,
        listening: false,
        socket: Arc::new(ListenSocket {
            id,
            name: name.into(),
            connections: AtomicU64::new(0),
            closing: AtomicBool::new(false),
        }),
        sockets,
    })
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

impl Bound {
    /// Begins to listen and hands out one socket for each worker.
    ///
    /// # Errors
    /// What the operating system says.
    pub(crate) fn listen(&mut self) -> io::Result<Vec<TcpListener>> {
        for socket in &self.sockets {
            // Inherited by what is accepted, so that the next process can bind over connections
            // in TIME_WAIT. Not set before: two sockets that have it can share an address on
            // which neither listens, and nobody would be told.
            socket.set_reuse_address(true)?;
            socket.listen(BACKLOG)?;
        }
        self.listening = true;
        self.sockets
            .iter()
            .map(|socket| socket.try_clone().map(TcpListener::from))
            .collect()
    }

    /// Stops listening; the address stays ours.
    pub(crate) fn stop(&mut self) {
        for socket in &self.sockets {
            // On Linux this takes a listening socket out of the listening state and keeps its
            // port. A failure means that it was not listening.
            let _not_listening = socket.shutdown(std::net::Shutdown::Read);
            let _still_shared = socket.set_reuse_address(false);
        }
        self.listening = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    #[test]
    fn a_busy_address_is_refused_and_a_stopped_one_stays_ours() {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let mut bound = bind(0, "a", any, 2).unwrap();
        let address = bound.address;
        assert!(TcpStream::connect(address).is_err(), "bound, not listening");
        assert!(bind(1, "b", address, 2).is_err());
        let listeners = bound.listen().unwrap();
        assert_eq!(listeners.len(), 2);
        TcpStream::connect(address).unwrap();
        drop(listeners);
        bound.stop();
        assert!(TcpStream::connect(address).is_err(), "stopped");
        assert!(bind(1, "b", address, 2).is_err(), "still ours");
        bound.listen().unwrap();
        TcpStream::connect(address).expect("the same port again");
    }
}
