//! The gateway's program.

use std::process::ExitCode;

/// Per-thread heaps suit one worker per thread.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    gwd::boot::main(std::env::args_os())
}
