//! Results of the last connection attempts to a host, for the admin interface and the program log,
//! without effect on the choice of hosts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use arc_swap::ArcSwapOption;

use crate::message::failure::{Failure, Kind};

/// Results of connection attempts to one host. Workers update the values without a lock, so that a
/// reader may see values of two different attempts.
#[derive(Debug, Default)]
pub(crate) struct Reach {
    /// Number of consecutive failed attempts.
    failures: AtomicU32,
    /// Time of the first of the consecutive failed attempts, in milliseconds of the clock.
    since_ms: AtomicU64,
    /// Total number of failed attempts.
    pub(crate) missed: AtomicU64,
    last: ArcSwapOption<Failure>,
}

/// Current series of failed connection attempts to a host.
#[derive(Debug)]
pub(crate) struct FailureSeries {
    /// Number of consecutive failed attempts.
    pub(crate) attempts: u32,
    pub(crate) for_ms: u64,
    pub(crate) last: Arc<Failure>,
}

// === impl Reach ===

impl Reach {
    /// Records a failed attempt.
    pub(crate) fn record_connect_failure(&self, failure: &Failure, now_ms: u64) {
        if self.failures.fetch_add(1, Ordering::Relaxed) == 0 {
            self.since_ms.store(now_ms, Ordering::Relaxed);
        }
        self.missed.fetch_add(1, Ordering::Relaxed);
        self.last.store(Some(Arc::new(failure.clone())));
    }

    /// Records a successful attempt.
    pub(crate) fn reached(&self) {
        if self.failures.load(Ordering::Relaxed) > 0 {
            self.failures.store(0, Ordering::Relaxed);
            self.last.store(None);
        }
    }

    /// Current series of failed attempts. `None` if the last attempt succeeded or there was no
    /// attempt.
    pub(crate) fn wrong(&self, now_ms: u64) -> Option<FailureSeries> {
        let last = self.last.load_full()?;
        Some(FailureSeries {
            attempts: self.failures.load(Ordering::Relaxed),
            for_ms: now_ms.saturating_sub(self.since_ms.load(Ordering::Relaxed)),
            last,
        })
    }
}

// === impl FailureSeries ===

impl FailureSeries {
    /// Reason of the last failure: a description with the address, if there is one.
    pub(crate) fn why(&self) -> &str {
        let why = self.last.why.as_deref();
        why.unwrap_or(self.last.kind.info().reason)
    }

    /// Advice for the operator about the last failure.
    pub(crate) fn help(&self) -> &'static str {
        match self.last.kind {
            Kind::ConnectTimeout => {
                "check that the host is up, and that no firewall or network policy drops packets to it; the time limit is the upstream's `timeouts.connect`"
            }
            Kind::TlsCertificate => {
                "the certificate must name the target's host (or `tls.sni` of the upstream) and \
be issued by a CA of `tls.ca` (without `tls.ca`: by a CA that this machine trusts)"
            }
            Kind::TlsAlert(_) => {
                "the host ended the TLS handshake: it may require a certificate (`tls.client_cert`) or another name (`tls.sni`)"
            }
            Kind::TlsProtocol => {
                "check that TLS is served at this port (`https://` in the target's URL), and \
HTTP/2 if the upstream's `protocol` requires it"
            }
            _ => {
                "check that the service runs and listens there, and that the upstream names this address"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_that_fail_count_until_one_does_not() {
        let reach = Reach::default();
        assert!(reach.wrong(5).is_none());
        let refused = Failure::because(Kind::ConnectFailed, &"connecting to [::1]:9: refused");
        reach.record_connect_failure(&refused, 1_000);
        reach.record_connect_failure(&Failure::new(Kind::ConnectTimeout), 2_000);
        let wrong = reach.wrong(4_000).unwrap();
        assert_eq!((wrong.attempts, wrong.for_ms), (2, 3_000));
        assert_eq!(wrong.why(), "upstream_connect_timeout");
        reach.reached();
        assert!(reach.wrong(5_000).is_none());
        reach.record_connect_failure(&refused, 9_000);
        let wrong = reach.wrong(9_500).unwrap();
        assert_eq!((wrong.attempts, wrong.for_ms), (1, 500));
        assert_eq!(wrong.why(), "connecting to [::1]:9: refused");
        assert_eq!(reach.missed.load(Ordering::Relaxed), 3);
    }
}
