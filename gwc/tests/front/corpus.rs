//! Finds the corpus of real documents beside the checkout.

use std::path::{Path, PathBuf};

/// The corpus folder: `GWC_CORPUS`, or `shared/corpus` beside one of the folders above this
/// crate. Tests that need it say that they were skipped where it is absent.
pub(crate) fn folder() -> Option<PathBuf> {
    if let Some(given) = std::env::var_os("GWC_CORPUS") {
        return Some(given.into());
    }
    let found = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .map(|above| above.join("shared/corpus"))
        .find(|folder| folder.is_dir());
    if found.is_none() {
        eprintln!("skipped: no shared/corpus above this crate and no GWC_CORPUS");
    }
    found
}
