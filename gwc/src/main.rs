//! Command-line program of the compiler. All code is in the library.

use rustix::fs::Mode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    // Files and folders that gwc creates are writable only for their owner, regardless of the
    // umask.
    let umask = rustix::process::umask(Mode::RWXG | Mode::RWXO);
    rustix::process::umask(umask | Mode::WGRP | Mode::WOTH);
    // Huge pages of the allocator take 150 MiB more for 100,000 operations, and are slow in virtual
    // machines that get their memory on first use. A kernel without this setting keeps them.
    let _unsupported = rustix::thread::disable_transparent_huge_pages(true);
    gwc::report_bugs();
    let ended = std::panic::catch_unwind(|| gwc::cli::run(std::env::args_os()));
    std::process::ExitCode::from(ended.unwrap_or(model::exit::Exit::BUG).0)
}
