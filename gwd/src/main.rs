//! The gateway's program.

use std::process::ExitCode;

/// Per-thread heaps suit one worker per thread.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Huge pages make an idle process twice as large and what is given back not go: they cost a
    // request nothing that can be measured to be without. Where the kernel has none, all is well.
    let _without = rustix::thread::disable_transparent_huge_pages(true);
    gwd::boot::main(std::env::args_os())
}
