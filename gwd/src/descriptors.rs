//! A reserve of file descriptors (data-plane.md §10): clients and connections to upstreams leave
//! some to the admin interface, the logs, the store and the state folder, so that a node that is
//! overrun can still be asked, told and written about.
//!
//! Nothing is counted: the system gives out the lowest number that is free, so that a high number
//! says how many are taken.

use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::net::TcpSocket;

/// Descriptors that neither clients nor upstreams get.
pub(crate) const KEPT: u64 = 128;

/// Maximum file descriptors of the process; `u64::MAX` until [`raise`] has run.
static LIMIT: AtomicU64 = AtomicU64::new(u64::MAX);

/// Descriptors that the process may have once its limit is raised.
pub(crate) fn possible() -> u64 {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.maximum.unwrap_or(u64::MAX)
}

/// Raises the limit as far as the system allows; tells it.
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

/// A socket for a connection to an upstream; none where all descriptors but the reserve are taken.
pub(crate) fn socket(address: SocketAddr) -> Option<TcpSocket> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    };
    socket.ok().filter(|socket| !is_of_reserve(socket))
}

/// True if a new connection took a descriptor of the reserve: it must be closed at once.
pub(crate) fn is_of_reserve(connection: &impl AsRawFd) -> bool {
    let number = u64::try_from(connection.as_raw_fd()).unwrap_or(0);
    begins_reserve(number, LIMIT.load(Ordering::Relaxed))
}

/// Half of a small limit is left to connections all the same.
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
