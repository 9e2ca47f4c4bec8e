//! Parallel work on several items. Results have the order of the items, regardless of the number of
//! threads, so that output is reproducible.

use std::sync::LazyLock;

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

/// Stack size of a pool's threads, in bytes: 8 MiB, the usual size of a main thread's stack.
const STACK_BYTES: usize = 8 << 20;

/// Applies `work` to each of `items`, on as many threads as there are cores.
pub fn map<T: Send, R: Send>(items: Vec<T>, work: impl Fn(T) -> R + Send + Sync) -> Vec<R> {
    static POOL: LazyLock<Option<ThreadPool>> = LazyLock::new(|| pool(0).ok());
    if items.len() < 2 {
        return items.into_iter().map(work).collect();
    }
    // The caller already runs in a pool, so use the threads of that pool.
    if rayon::current_thread_index().is_some() {
        return items.into_par_iter().map(work).collect();
    }
    match &*POOL {
        Some(pool) => pool.install(|| items.into_par_iter().map(work).collect()),
        // The pool could not be started, so run on this thread.
        None => items.into_iter().map(work).collect(),
    }
}

/// Runs a function in a pool with this number of threads. 0 means one per core.
///
/// # Errors
/// Returns an error if the threads cannot be started.
pub fn with_threads<R: Send>(threads: usize, run: impl FnOnce() -> R + Send) -> anyhow::Result<R> {
    Ok(pool(threads)?.install(run))
}

fn pool(threads: usize) -> Result<ThreadPool, rayon::ThreadPoolBuildError> {
    ThreadPoolBuilder::new()
        .num_threads(threads)
        .stack_size(STACK_BYTES)
        .build()
}
