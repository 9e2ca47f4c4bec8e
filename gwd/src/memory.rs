//! Unused memory goes back to the operating system.
//!
//! The allocator keeps freed pages until somebody allocates again, and an idle process does not:
//! buffers of connections that were parked would stay for as long as nothing happens.

#![expect(unsafe_code, reason = "the allocator is a C library")]

/// Returns this thread's unused memory to the system.
pub(crate) fn give_back() {
    // SAFETY: it takes no pointer, frees only what has been freed, and may be called by any
    // thread at any time, also where the program allocates otherwise.
    unsafe { libmimalloc_sys::mi_collect(true) }
}
