//! Return of unused memory to the operating system.
//!
//! The allocator returns freed pages only during later allocations. An idle process does not
//! allocate, so the freed buffers of its connections would stay allocated.

#![expect(unsafe_code, reason = "the allocator is a C library")]

/// Returns this thread's unused memory to the system.
pub(crate) fn return_memory() {
    // SAFETY: `mi_collect` takes no pointer, frees only unused memory, and may be called on any
    // thread at any time, also while other threads allocate.
    unsafe { libmimalloc_sys::mi_collect(true) }
}
