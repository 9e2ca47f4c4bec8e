//! Counters of the whole process, and what the operating system says about it.

use std::sync::atomic::{AtomicU64, Ordering};

/// Rare events, counted by whoever sees them.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    shed_connections: AtomicU64,
    shed_descriptors: AtomicU64,
    pub(crate) panics: AtomicU64,
    pub(crate) log_dropped: AtomicU64,
    pub(crate) forced_closes: AtomicU64,
}

/// What the process had too little of.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shed {
    Connections,
    FileDescriptors,
}

impl Counters {
    pub(crate) fn shed(&self, what: Shed) {
        let cell = match what {
            Shed::Connections => &self.shed_connections,
            Shed::FileDescriptors => &self.shed_descriptors,
        };
        cell.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn panicked(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn sheds(&self) -> [(&'static str, u64); 2] {
        [
            ("connections", self.shed_connections.load(Ordering::Relaxed)),
            ("fds", self.shed_descriptors.load(Ordering::Relaxed)),
        ]
    }
}

/// CPU seconds, resident bytes, open and possible file descriptors, start time.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    pub(crate) cpu_s: f64,
    pub(crate) resident_bytes: f64,
    pub(crate) open_fds: f64,
    pub(crate) max_fds: f64,
}

/// What `/proc` says; zeros where there is none.
pub(crate) fn usage() -> Usage {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Fields 14 and 15 (utime, stime in ticks) and 24 (rss in pages), counted behind the name,
    // which may hold anything but ends with the last parenthesis.
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

/// Raises the limit of file descriptors as far as the system allows; tells it.
pub(crate) fn raise_descriptor_limit() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = Rlimit {
        current: maximum,
        maximum,
    };
    match setrlimit(Resource::Nofile, wanted) {
        Ok(()) => maximum,
        Err(_) => current,
    }
}
