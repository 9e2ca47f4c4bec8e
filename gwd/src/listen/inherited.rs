//! Listening sockets that another process bound: systemd, or the gwd that this process replaces.
//!
//! A listener uses a socket with its address, or with its name if systemd named the socket. The
//! number of sockets need not match the number of workers. Sockets that match no listener are
//! closed.

use std::net::SocketAddr;

use socket2::Socket;

/// Sockets that are bound to one address.
#[derive(Debug)]
pub(crate) struct InheritedSockets {
    /// Name of the listener. `None`: systemd named no listener.
    pub(crate) name: Option<String>,
    /// Configured address, if the previous gwd reported it. Differs from `address` if the system
    /// chose the port.
    pub(crate) wanted: Option<SocketAddr>,
    /// Actual address of the sockets.
    pub(crate) address: SocketAddr,
    pub(crate) sockets: Vec<Socket>,
}

impl InheritedSockets {
    /// Creates the value from one socket. `None` if the socket is not TCP, or cannot be made
    /// non-blocking.
    pub(crate) fn of(socket: Socket, name: Option<String>) -> Option<Self> {
        let address = socket.local_addr().ok()?.as_socket()?;
        let tcp = socket.r#type().ok()? == socket2::Type::STREAM;
        if !tcp || socket.set_nonblocking(true).is_err() {
            return None;
        }
        Some(Self {
            name,
            wanted: None,
            address,
            sockets: vec![socket],
        })
    }

    /// True if the sockets belong to the listener with this name and configured address.
    pub(crate) fn suits(&self, name: &str, wanted: SocketAddr) -> bool {
        if wanted.port() == 0 {
            return self.name.as_deref() == Some(name)
                && self.wanted.is_none_or(|address| address == wanted);
        }
        match self.wanted {
            Some(address) => address == wanted,
            None => self.address == wanted || self.name.as_deref() == Some(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_adopted_by_its_name_or_its_address() {
        let bound = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = bound.local_addr().unwrap();
        let one = InheritedSockets::of(bound.into(), Some("public".into())).unwrap();
        let elsewhere: SocketAddr = "127.0.0.1:1".parse().unwrap();
        assert!(one.suits("other", address));
        assert!(one.suits("public", elsewhere), "systemd says where");
        assert!(!one.suits("other", elsewhere));
        let datagrams = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        assert!(InheritedSockets::of(datagrams.into(), None).is_none());
    }
}
