//! Thread pool for computations of more than 100 µs, which would block a worker (data-plane.md §4).
//!
//! The threads start with the first job, so that a gateway without such jobs has none. The queue is
//! bounded: a full queue rejects jobs at once.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use serde_json::json;
use tokio::sync::oneshot;

use crate::runtime::program_log::{Level, event};

/// Maximum number of jobs that wait for a thread.
const WAITING_MAX: usize = 1_024;

type Job = Box<dyn FnOnce() + Send>;

/// Thread pool of the process.
#[derive(Debug)]
pub(crate) struct Compute {
    threads: usize,
    jobs: Mutex<Option<SyncSender<Job>>>,
}

impl Compute {
    /// Creates the pool. Its threads start with the first job.
    pub(crate) fn new(threads: usize) -> Self {
        Self {
            threads: threads.max(1),
            jobs: Mutex::default(),
        }
    }

    /// Runs a job on another thread. `None` if the queue is full or the job panicked. A job is
    /// skipped if its result is no longer awaited.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (done, result) = oneshot::channel();
        let job: Job = Box::new(move || {
            if !done.is_closed()
                && let Ok(result) = catch_unwind(AssertUnwindSafe(work))
            {
                let _gone = done.send(result);
            }
        });
        self.jobs()?.try_send(job).ok()?;
        result.await.ok()
    }

    /// Starts a job on another thread without waiting for its result. Returns `false` if the queue
    /// is full.
    pub(crate) fn start(&self, work: impl FnOnce() + Send + 'static) -> bool {
        let job: Job = Box::new(move || {
            let _panicked = catch_unwind(AssertUnwindSafe(work));
        });
        self.jobs().is_some_and(|jobs| jobs.try_send(job).is_ok())
    }

    /// Queue of the threads. `None` if no thread could be started; the next job then tries to start
    /// threads again.
    fn jobs(&self) -> Option<SyncSender<Job>> {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        if jobs.is_none() {
            *jobs = begin(self.threads);
        }
        jobs.clone()
    }
}

/// Starts the threads; succeeds if at least one starts. They end once the last sender is dropped.
fn begin(threads: usize) -> Option<SyncSender<Job>> {
    let (sender, jobs) = sync_channel(WAITING_MAX);
    let jobs = Arc::new(Mutex::new(jobs));
    let begun = (0..threads).map(|_| {
        let jobs = Arc::clone(&jobs);
        let thread = thread::Builder::new().name("gwd-compute".into());
        thread.spawn(move || work(&jobs))
    });
    let begun = begun.filter(Result::is_ok).count();
    if begun < threads {
        event(
            Level::Warn,
            "the system has too few threads for computations (TLS with RSA, passwords, validation)",
            json!({"wanted": threads, "begun": begun, "help": "raise the limit of threads (`pids.max`, `ulimit -u`)"}),
        );
    }
    (begun > 0).then_some(sender)
}

fn work(jobs: &Mutex<Receiver<Job>>) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match job {
            Ok(job) => job(),
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(future)
    }

    #[test]
    fn job_runs_on_another_thread_and_contains_panics() {
        let compute = Compute::new(1);
        let here = thread::current().id();
        block_on(async {
            let there = compute.run(|| thread::current().id()).await;
            assert!(there.is_some_and(|there| there != here));
            assert_eq!(compute.run(|| panic!("of ours")).await, None::<()>);
            assert_eq!(compute.run(|| 5).await, Some(5));
        });
    }

    #[test]
    fn full_queue_is_reported_and_orphan_jobs_are_skipped() {
        let compute = Compute::new(1);
        let mut cx = Context::from_waker(Waker::noop());
        let (go, wait) = mpsc::channel::<()>();
        let (say, begun) = mpsc::channel();
        // Keep the only thread of the pool busy.
        let mut first = Box::pin(compute.run(move || {
            say.send("first").unwrap();
            let _ends = wait.recv();
        }));
        assert!(first.as_mut().poll(&mut cx).is_pending());
        assert_eq!(begun.recv(), Ok("first"));
        let mut waiting: Vec<_> = (0..WAITING_MAX)
            .map(|number| Box::pin(compute.run(move || number)))
            .collect();
        for one in &mut waiting {
            assert!(one.as_mut().poll(&mut cx).is_pending());
        }
        let mut late = Box::pin(compute.run(|| 0));
        assert_eq!(late.as_mut().poll(&mut cx), Poll::Ready(None));
        let last = waiting.pop().unwrap();
        waiting.clear();
        go.send(()).unwrap();
        assert_eq!(block_on(last), Some(WAITING_MAX - 1));
    }
}
