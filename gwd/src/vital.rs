//! What a worker cannot be without: its thread, and those of its tasks that serve all connections.
//!
//! A bug in one exchange or connection is that one's end. One in here would leave a process that
//! seems to run and that nobody accepts for, or nobody watches the deadlines of: tokio catches the
//! panic of a task and goes on. So the process ends with 70, and who supervises it starts it anew.

use std::future::Future;

use serde_json::json;
use tokio::task::JoinHandle;

use crate::program_log::{Level, event};

/// Ends the process where it is dropped by a panic.
pub(crate) struct Vital;

/// Spawns a task whose panic ends the process.
pub(crate) fn spawn_local(task: impl Future<Output = ()> + 'static) -> JoinHandle<()> {
    tokio::task::spawn_local(async move {
        let _vital = Vital;
        task.await;
    })
}

impl Drop for Vital {
    fn drop(&mut self) {
        if std::thread::panicking() {
            event(
                Level::Error,
                "a worker died of a bug of ours; the process ends, please report it",
                json!({"exit": 70}),
            );
            end();
        }
    }
}

#[expect(
    clippy::exit,
    reason = "the thread that would return the exit code waits for workers that serve nobody"
)]
fn end() {
    std::process::exit(70);
}
