//! Thread that compiles projects, so that edits and completions do not wait for a compilation.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, unbounded};
use model::compile::Input;
use sources::project::parses::Parses;
use sources::syntax::Limits;

use crate::project::{Checked, Open, check};

/// Project to compile, with the texts of the editor.
pub(crate) struct Job {
    pub(crate) input: Input,
    pub(crate) open: Open,
    /// Revision of the texts.
    pub(crate) revision: u64,
    /// Parsed files of the project.
    pub(crate) parses: Arc<Parses>,
}

/// Result of a job. The error is a message.
pub(crate) struct Outcome {
    pub(crate) input: Input,
    pub(crate) revision: u64,
    pub(crate) checked: Result<Arc<Checked>, String>,
}

/// Starts the thread. The thread ends when the sender of jobs is dropped.
///
/// # Errors
/// Returns an error if the thread cannot be started.
pub(crate) fn spawn(
    limits: Limits,
    now_s: fn() -> u64,
) -> std::io::Result<(Sender<Job>, Receiver<Outcome>)> {
    let (jobs, taken) = unbounded::<Job>();
    let (sent, outcomes) = unbounded();
    std::thread::Builder::new()
        .name("check".to_owned())
        .spawn(move || {
            for job in taken {
                let Job {
                    input,
                    open,
                    revision,
                    parses,
                } = job;
                let compile = || check(&input, &open, (limits, now_s()), &parses);
                let checked = match catch_unwind(AssertUnwindSafe(compile)) {
                    Ok(checked) => checked.map(Arc::new).map_err(|error| format!("{error:#}")),
                    Err(_) => Err("the compiler failed; please report this".to_owned()),
                };
                let files = checked.as_ref().ok().cloned();
                let outcome = Outcome {
                    input,
                    revision,
                    checked,
                };
                if sent.send(outcome).is_err() {
                    return;
                }
                // Prepare the parsed files after the result was sent, so that the editor does not
                // wait.
                if let Some(checked) = files {
                    parses.prepare(&checked.compiled.files.sources);
                }
            }
        })?;
    Ok((jobs, outcomes))
}
