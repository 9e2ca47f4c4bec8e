//! Vital parts of a worker: its thread, and the tasks that serve all of its connections.
//!
//! A panic in one exchange or connection ends only that exchange or connection. tokio catches the
//! panic of a task and continues. After a panic in a vital task, the process would seem to run, but
//! would not accept connections or enforce deadlines. Therefore the process ends with exit code 70,
//! and its supervisor restarts it.

use std::future::Future;

use serde_json::json;
use tokio::task::JoinHandle;

use crate::runtime::program_log::{Level, event};

/// Ends the process if it is dropped because of a panic.
pub(crate) struct AbortOnPanic;

/// Spawns a task whose panic ends the process.
pub(crate) fn spawn_local(task: impl Future<Output = ()> + 'static) -> JoinHandle<()> {
    tokio::task::spawn_local(async move {
        let _vital = AbortOnPanic;
        task.await;
    })
}

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            event(
                Level::Error,
                "a worker panicked, which is a bug in gwd; the process ends; report it with this line",
                json!({"exit": 70}),
            );
            end();
        }
    }
}

#[expect(
    clippy::exit,
    reason = "the thread that would return the exit code waits for workers that serve no requests"
)]
fn end() {
    std::process::exit(70);
}
