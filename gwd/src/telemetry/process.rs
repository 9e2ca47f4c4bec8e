//! Counters of the whole process, and its resource usage as the operating system reports it.

use std::sync::atomic::{AtomicU64, Ordering};

/// Rare events, counted where they occur.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    shed: [AtomicU64; Shed::ALL.len()],
    pub(crate) panics: AtomicU64,
    pub(crate) log_dropped: AtomicU64,
    pub(crate) forced_closes: AtomicU64,
    pub(crate) lookalikes: AtomicU64,
    pub(crate) token_hits: AtomicU64,
    pub(crate) token_misses: AtomicU64,
}

/// Resource that was exhausted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shed {
    /// Connections of a listener or of the process.
    Connections,
    /// Connections of one address.
    ConnectionsPerAddress,
    FileDescriptors,
    Handshakes,
    Memory,
    Requests,
    /// Slow uploads to one upstream.
    SlowUploads,
    /// Unfinished uploads of one address to one upstream.
    UploadsPerAddress,
}

impl Shed {
    const ALL: [Self; 8] = [
        Self::Connections,
        Self::ConnectionsPerAddress,
        Self::FileDescriptors,
        Self::Handshakes,
        Self::Memory,
        Self::Requests,
        Self::SlowUploads,
        Self::UploadsPerAddress,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::ConnectionsPerAddress => "connections_per_address",
            Self::FileDescriptors => "fds",
            Self::Handshakes => "handshakes",
            Self::Memory => "memory",
            Self::Requests => "requests",
            Self::SlowUploads => "slow_uploads",
            Self::UploadsPerAddress => "uploads_per_address",
        }
    }
}

impl Counters {
    pub(crate) fn shed(&self, what: Shed) {
        self.shed[what as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Tokens that were found in a cache, and tokens that were not.
    pub(crate) fn looked_up(&self, (hits, misses): (u64, u64)) {
        for (count, more) in [(&self.token_hits, hits), (&self.token_misses, misses)] {
            if more > 0 {
                count.fetch_add(more, Ordering::Relaxed);
            }
        }
    }

    /// Counts fields that some servers would read as another field.
    #[cold]
    pub(crate) fn looked_alike(&self, fields: u32) {
        self.lookalikes
            .fetch_add(u64::from(fields), Ordering::Relaxed);
    }

    pub(crate) fn panicked(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn sheds(&self) -> [(&'static str, u64); Shed::ALL.len()] {
        Shed::ALL.map(|what| {
            let shed = self.shed[what as usize].load(Ordering::Relaxed);
            (what.as_str(), shed)
        })
    }
}

/// CPU seconds, resident bytes, open file descriptors and their limit.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    pub(crate) cpu_s: f64,
    pub(crate) resident_bytes: f64,
    pub(crate) open_fds: f64,
    pub(crate) max_fds: f64,
}

/// Resource usage of the process; zeros where there is no `/proc`.
pub(crate) fn usage() -> Usage {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Fields 14 and 15 (utime and stime in ticks) and 24 (rss in pages). They are counted from
    // after the name, which may have any characters and ends at the last parenthesis.
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .map_or(Vec::new(), |(_, rest)| rest.split_whitespace().collect());
    let number = |index: usize| -> f64 {
        fields
            .get(index)
            .and_then(|text| text.parse().ok())
            .unwrap_or(0.0)
    };
    let ticks = rustix::param::clock_ticks_per_second();
    let page = rustix::param::page_size();
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    Usage {
        cpu_s: (number(11) + number(12)) / ticks as f64,
        resident_bytes: number(21) * page as f64,
        open_fds: std::fs::read_dir("/proc/self/fd").map_or(0.0, |fds| fds.count() as f64),
        max_fds: limit.current.map_or(f64::INFINITY, |limit| limit as f64),
    }
}
