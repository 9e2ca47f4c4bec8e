//! Checks that secrets are overwritten before their memory is freed: a test allocator inspects
//! every freed block.

#![allow(unsafe_code, reason = "an allocator cannot be written without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use bundle::keys::PrivateKey;
use policy::SecretCell;

/// Byte of which all secrets of this test consist.
const BYTE: u8 = 0x57;
/// Secret bytes in base64, as in the body of a PEM file.
const PEM: &[u8] = b"V1dXV1dXV1dX";
/// Number of consecutive secret bytes that the test recognises as a secret.
const RUN: usize = 16;

static LEAKS: AtomicUsize = AtomicUsize::new(0);

/// System allocator that counts freed blocks that contain secrets.
struct Watching;

// SAFETY: all calls go to the system's allocator unchanged.
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: zeroed memory is a valid allocation, and all bytes of the block are initialised.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block is still allocated and has `layout.size()` initialised bytes.
        let bytes = unsafe { std::slice::from_raw_parts(block, layout.size()) };
        let run = bytes
            .windows(RUN)
            .any(|run| run.iter().all(|byte| *byte == BYTE));
        if run || bytes.windows(PEM.len()).any(|text| text == PEM) {
            LEAKS.fetch_add(1, Ordering::Relaxed);
        }
        // SAFETY: guaranteed by the caller.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Watching = Watching;

fn leaks(of: impl FnOnce()) -> usize {
    let before = LEAKS.load(Ordering::Relaxed);
    of();
    LEAKS.load(Ordering::Relaxed) - before
}

#[test]
fn secrets_are_overwritten_before_they_are_freed() {
    let secret = || vec![BYTE; 32];
    assert_eq!(leaks(|| drop(secret())), 1, "a plain vector leaks");
    let exchanged = leaks(|| {
        let cell = SecretCell::new(secret());
        let value = cell.value();
        cell.store(secret());
        drop(value);
        cell.store(vec![1]);
    });
    assert_eq!(exchanged, 0, "values of a cell");
    let key = || PrivateKey::from_entropy(&[BYTE; 32]).unwrap();
    assert_eq!(leaks(|| drop(Box::new(key()))), 0, "a private key");
    let kept = leaks(|| {
        let pem = key().to_pem();
        let text: &str = pem.as_ref();
        assert!(
            text.as_bytes().windows(PEM.len()).any(|at| at == PEM),
            "{text}"
        );
        drop(Box::new(PrivateKey::from_pem(text).unwrap()));
    });
    assert_eq!(kept, 0, "the text of a private key");
}
