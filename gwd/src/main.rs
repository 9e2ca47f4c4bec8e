//! The `gwd` program.

use std::process::ExitCode;

/// Global allocator: mimalloc has a heap per thread, which suits one worker per thread.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Huge pages double the memory of an idle process and prevent it from returning freed memory.
    // Disabling them has no measurable cost per request. Ignore an error: it means that the kernel
    // has no huge pages.
    let _without = rustix::thread::disable_transparent_huge_pages(true);
    gwd::boot::main(std::env::args_os())
}
