//! Thread that compiles projects, so that edits and completions do not wait for it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crossbeam_channel::{Receiver, Sender, unbounded};
use model::compile::Input;
use sources::syntax::Limits;

use crate::project::{Checked, Open, check};

/// Project to compile, with the texts of the editor.
pub(crate) struct Job {
    pub(crate) input: Input,
    pub(crate) open: Open,
    /// Revision of the texts.
    pub(crate) revision: u64,
}

/// Result of a job. The error is a message.
pub(crate) struct Outcome {
    pub(crate) input: Input,
    pub(crate) revision: u64,
    pub(crate) checked: Result<Checked, String>,
}

/// Starts the thread. It ends when the sender of jobs is dropped.
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
                } = job;
                let compile = || check(&input, &open, limits, now_s());
                let checked = match catch_unwind(AssertUnwindSafe(compile)) {
                    Ok(checked) => checked.map_err(|error| format!("{error:#}")),
                    Err(_) => Err("the compiler failed; please report this".to_owned()),
                };
                if sent
                    .send(Outcome {
                        input,
                        revision,
                        checked,
                    })
                    .is_err()
                {
                    return;
                }
            }
        })?;
    Ok((jobs, outcomes))
}
