//! Reserve of file descriptors (data-plane.md §10). Connections of clients and to upstreams leave
//! some descriptors to the admin interface, the logs, the store and the state folder. An overloaded
//! node can therefore still be inspected and controlled.
//!
//! Descriptors are not counted: the system assigns the lowest free number, so that the number of a
//! new descriptor shows how many are in use.

use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::net::TcpSocket;

/// Number of reserved file descriptors.
pub(crate) const KEPT: u64 = 128;

/// File descriptor limit of the process; `u64::MAX` until [`raise`] has run.
static LIMIT: AtomicU64 = AtomicU64::new(u64::MAX);

/// Limit that [`raise`] can reach: the process's hard limit.
pub(crate) fn possible() -> u64 {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.maximum.unwrap_or(u64::MAX)
}

/// Raises the limit to the hard limit, if possible. Returns the limit, or `None` if the number of
/// descriptors is unlimited.
pub(crate) fn raise() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = Rlimit {
        current: maximum,
        maximum,
    };
    let limit = match setrlimit(Resource::Nofile, wanted) {
        Ok(()) => maximum,
        Err(_) => current,
    };
    LIMIT.store(limit.unwrap_or(u64::MAX), Ordering::Relaxed);
    limit
}

/// Creates a socket for an upstream connection. `None` if only reserved descriptors are left.
pub(crate) fn socket(address: SocketAddr) -> Option<TcpSocket> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    };
    socket.ok().filter(|socket| !is_of_reserve(socket))
}

/// True if the descriptor of a new connection is in the reserve. The caller must then close the
/// connection at once.
pub(crate) fn is_of_reserve(connection: &impl AsRawFd) -> bool {
    let number = u64::try_from(connection.as_raw_fd()).unwrap_or(0);
    begins_reserve(number, LIMIT.load(Ordering::Relaxed))
}

/// True if a descriptor number is in the reserve, that is, among the last [`KEPT`] numbers, or in
/// the second half of a smaller limit.
fn begins_reserve(number: u64, limit: u64) -> bool {
    number >= limit - KEPT.min(limit / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserve_is_the_last_numbers_or_half_a_small_limit() {
        for (number, limit, kept) in [
            (871, 1_000, false),
            (872, 1_000, true),
            (99, 200, false),
            (100, 200, true),
            (u64::MAX / 2, u64::MAX, false),
        ] {
            assert_eq!(begins_reserve(number, limit), kept, "{number} of {limit}");
        }
    }
}
