//! Command-line program of the compiler. All code is in the library.

use rustix::fs::Mode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    // Files and folders that gwc creates are writable only for their owner, regardless of the
    // umask.
    let umask = rustix::process::umask(Mode::RWXG | Mode::RWXO);
    rustix::process::umask(umask | Mode::WGRP | Mode::WOTH);
    gwc::report_bugs();
    let ended = std::panic::catch_unwind(|| gwc::cli::run(std::env::args_os()));
    std::process::ExitCode::from(ended.unwrap_or(model::exit::Exit::BUG).0)
}
