//! The `gwd` program.

use std::process::ExitCode;

/// mimalloc has heaps per thread, which suit one worker per thread.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Huge pages double the memory of an idle process and prevent returning freed memory. Disabling
    // them has no measurable cost per request. An error means that the kernel has none.
    let _without = rustix::thread::disable_transparent_huge_pages(true);
    gwd::boot::main(std::env::args_os())
}
