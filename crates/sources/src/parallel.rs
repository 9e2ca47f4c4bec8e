//! The same work on many things beside each other. Answers stand in the order of the things,
//! whatever the number of threads, so that nothing that is said or built depends on it.

use std::sync::LazyLock;

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

/// Stack size of a pool's threads, in bytes: that of a program's first thread.
const STACK_BYTES: usize = 8 << 20;

/// Does `work` for each of `items`, on as many threads as there are cores.
pub fn map<T: Send, R: Send>(items: Vec<T>, work: impl Fn(T) -> R + Send + Sync) -> Vec<R> {
    static POOL: LazyLock<Option<ThreadPool>> = LazyLock::new(|| pool(0).ok());
    if items.len() < 2 {
        return items.into_iter().map(work).collect();
    }
    // Within a pool already: another number of threads was asked for, or this is a part.
    if rayon::current_thread_index().is_some() {
        return items.into_par_iter().map(work).collect();
    }
    match &*POOL {
        Some(pool) => pool.install(|| items.into_par_iter().map(work).collect()),
        // No thread may be started here.
        None => items.into_iter().map(work).collect(),
    }
}

/// Runs something with so many threads; 0 for as many as there are cores.
///
/// # Errors
/// Threads cannot be started.
pub fn with_threads<R: Send>(threads: usize, run: impl FnOnce() -> R + Send) -> anyhow::Result<R> {
    Ok(pool(threads)?.install(run))
}

fn pool(threads: usize) -> Result<ThreadPool, rayon::ThreadPoolBuildError> {
    ThreadPoolBuilder::new()
        .num_threads(threads)
        .stack_size(STACK_BYTES)
        .build()
}
