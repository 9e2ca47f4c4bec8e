//! Allocator of the unit tests: it inspects freed blocks for secrets named in a test.

#![allow(unsafe_code, reason = "an allocator cannot be written without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Number of leading bytes by which a secret is recognised in a freed block.
const RUN: usize = 12;

thread_local! {
    /// Secrets that the running test looks for: in base64 and in binary.
    static SECRETS: Cell<Option<[[u8; RUN]; 2]>> = const { Cell::new(None) };
    static LEAKS: Cell<usize> = const { Cell::new(0) };
}

/// System allocator that counts freed blocks with [`SECRETS`] of the same thread.
struct Watching;

// SAFETY: all calls go to the system's allocator unchanged.
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: zeroed memory is a valid allocation, and all bytes of the block are initialised.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if let Some(secrets) = SECRETS.try_with(Cell::get).ok().flatten() {
            // SAFETY: the block is still allocated and has `layout.size()` initialised bytes.
            let bytes = unsafe { std::slice::from_raw_parts(block, layout.size()) };
            if secrets
                .iter()
                .any(|secret| bytes.windows(RUN).any(|run| run == secret))
            {
                LEAKS.set(LEAKS.get() + 1);
            }
        }
        // SAFETY: guaranteed by the caller.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Watching = Watching;

/// Number of blocks with one of these secrets that this thread frees while `run` runs. Of each
/// secret, the first 12 bytes are looked for.
pub(super) fn leaks(secrets: [&[u8]; 2], run: impl FnOnce()) -> usize {
    let secrets = secrets.map(|secret| secret[..RUN].try_into().expect("12 bytes or more"));
    LEAKS.set(0);
    SECRETS.set(Some(secrets));
    run();
    SECRETS.set(None);
    LEAKS.get()
}
