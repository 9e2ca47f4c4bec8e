//! Counters of the whole process, and its resource usage as reported by the system.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use policy::auth::jwt::{Growth, TokenCache};

use super::signal::Signal;

/// Counters of rare events of the process, such as panics and dropped log lines.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    shed: [AtomicU64; LimitedResource::ALL.len()],
    pub(crate) panics: AtomicU64,
    pub(crate) log_dropped: AtomicU64,
    pub(crate) forced_closes: AtomicU64,
    pub(crate) lookalikes: AtomicU64,
    pub(crate) token_hits: AtomicU64,
    pub(crate) token_misses: AtomicU64,
    pub(crate) tokens: TokenCaches,
    exports: [ExportCounts; Signal::ALL.len()],
}

/// Counters of the export of a signal: spans, data points or log records.
#[derive(Debug, Default)]
struct ExportCounts {
    /// Items that were dropped, by reason.
    dropped: [AtomicU64; DropReason::ALL.len()],
    /// Items that the collector has accepted.
    exported: AtomicU64,
}

/// Sizes of the token caches of all workers.
#[derive(Debug, Default)]
pub(crate) struct TokenCaches {
    pub(crate) entries: AtomicI64,
    pub(crate) bytes: AtomicI64,
    pub(crate) evicted: AtomicU64,
}

/// Limited resource whose limit caused the rejection of a request or connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LimitedResource {
    /// Connections of one listener, or of the whole process.
    Connections,
    /// Connections of one client address.
    ConnectionsPerAddress,
    FileDescriptors,
    Handshakes,
    Memory,
    Requests,
    /// Requests of one client address to one upstream.
    RequestsPerAddress,
    /// Responses of one upstream that are read slowly.
    SlowDownloads,
    /// Slow uploads to one upstream.
    SlowUploads,
    /// Unfinished uploads of one client address to one upstream.
    UploadsPerAddress,
}

/// Reason why telemetry was not exported.
#[derive(Clone, Copy, Debug)]
pub(crate) enum DropReason {
    /// The collector did not answer in time, or answered that it is overloaded.
    CollectorUnavailable,
    /// The collector refused the telemetry.
    CollectorRefused,
    /// The queue of the exporting thread was full.
    QueueFull,
    /// The exporting thread has ended.
    ExporterEnded,
}

impl DropReason {
    const ALL: [Self; 4] = [
        Self::CollectorUnavailable,
        Self::CollectorRefused,
        Self::QueueFull,
        Self::ExporterEnded,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::CollectorUnavailable => "collector_unavailable",
            Self::CollectorRefused => "collector_refused",
            Self::QueueFull => "queue_full",
            Self::ExporterEnded => "exporter_ended",
        }
    }
}

impl LimitedResource {
    const ALL: [Self; 10] = [
        Self::Connections,
        Self::ConnectionsPerAddress,
        Self::FileDescriptors,
        Self::Handshakes,
        Self::Memory,
        Self::Requests,
        Self::RequestsPerAddress,
        Self::SlowDownloads,
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
            Self::RequestsPerAddress => "requests_per_address",
            Self::SlowDownloads => "slow_downloads",
            Self::SlowUploads => "slow_uploads",
            Self::UploadsPerAddress => "uploads_per_address",
        }
    }
}

impl Counters {
    pub(crate) fn shed(&self, what: LimitedResource) {
        self.shed[what as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Adds the lookups in a worker's token cache since the last call, and the change of the
    /// cache's size, to the counters of the process. Only lookups change the size.
    pub(crate) fn looked_up(&self, cache: &TokenCache) {
        let (hits, misses) = cache.take_counts();
        if hits | misses == 0 {
            return;
        }
        let add = |count: &AtomicU64, more: u64| {
            if more > 0 {
                count.fetch_add(more, Ordering::Relaxed);
            }
        };
        add(&self.token_hits, hits);
        add(&self.token_misses, misses);
        let growth = cache.take_growth();
        if growth != Growth::default() {
            let tokens = &self.tokens;
            tokens.entries.fetch_add(growth.entries, Ordering::Relaxed);
            tokens.bytes.fetch_add(growth.bytes, Ordering::Relaxed);
            add(&tokens.evicted, growth.evicted);
        }
    }

    /// Counts request fields that were removed because some servers read their names as other
    /// names.
    #[cold]
    pub(crate) fn looked_alike(&self, fields: u32) {
        self.lookalikes
            .fetch_add(u64::from(fields), Ordering::Relaxed);
    }

    pub(crate) fn panicked(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts items of a signal that are not exported.
    #[cold]
    pub(crate) fn export_dropped(&self, signal: Signal, why: DropReason, items: u64) {
        let dropped = &self.exports[signal as usize].dropped[why as usize];
        dropped.fetch_add(items, Ordering::Relaxed);
    }

    /// Counts items of a signal that the collector has accepted.
    pub(crate) fn exported(&self, signal: Signal, items: u64) {
        let exported = &self.exports[signal as usize].exported;
        exported.fetch_add(items, Ordering::Relaxed);
    }

    /// Number of items of a signal that the collector has accepted.
    pub(crate) fn exported_items(&self, signal: Signal) -> u64 {
        self.exports[signal as usize]
            .exported
            .load(Ordering::Relaxed)
    }

    /// Numbers of dropped items of a signal, by reason.
    pub(crate) fn dropped_items(
        &self,
        signal: Signal,
    ) -> [(&'static str, u64); DropReason::ALL.len()] {
        DropReason::ALL.map(|why| {
            let dropped = &self.exports[signal as usize].dropped[why as usize];
            (why.as_str(), dropped.load(Ordering::Relaxed))
        })
    }

    pub(crate) fn sheds(&self) -> [(&'static str, u64); LimitedResource::ALL.len()] {
        LimitedResource::ALL.map(|what| {
            let shed = self.shed[what as usize].load(Ordering::Relaxed);
            (what.as_str(), shed)
        })
    }
}

/// Resource usage: CPU time in seconds, resident memory in bytes, open file descriptors and their
/// limit.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    pub(crate) cpu_s: f64,
    pub(crate) resident_bytes: f64,
    pub(crate) open_fds: f64,
    pub(crate) max_fds: f64,
}

/// Reads the resource usage of the process. Values are 0 if `/proc` is not available.
pub(crate) fn usage() -> Usage {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Fields 14 and 15 (utime and stime, in ticks) and 24 (rss, in pages) of proc_pid_stat(5). Here
    // index 0 is field 3, the first one after the process name. The name may contain any characters
    // and ends at the last parenthesis.
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
