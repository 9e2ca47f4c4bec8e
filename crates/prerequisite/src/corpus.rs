//! The corpus of real API descriptions and conformance suites.
//!
//! The whole corpus is in `shared/corpus` next to the checkout, or in the folder `GWC_CORPUS`. The
//! checkout contains a packed part of the corpus in `tests/corpus`: all suites, all descriptions,
//! and some pairs of revisions. Tests use the whole corpus if it is present, otherwise the packed
//! part.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;

/// Single documents of `tests/corpus`, unpacked as `specs/NAME`.
pub const DOCUMENTS: [&str; 6] = [
    "discord.json",
    "figma.yaml",
    "museum.yaml",
    "petstore.yaml",
    "stripe.yaml",
    "xero_accounting.yaml",
];

/// Archives of `tests/corpus`, and the subfolders of the corpus into which they are unpacked.
const ARCHIVES: [(&str, &str); 3] = [
    ("suites.tar.gz", ""),
    ("history.tar.gz", ""),
    ("digitalocean.tar.gz", "specs"),
];

/// Returns the corpus folder: `GWC_CORPUS`, else `shared/corpus` in a parent folder of the
/// workspace, else the packed part, unpacked into `target`.
///
/// # Panics
/// If the packed part cannot be unpacked.
#[must_use]
pub fn folder() -> PathBuf {
    if let Some(given) = std::env::var_os("GWC_CORPUS") {
        return given.into();
    }
    let workspace = workspace();
    let beside = workspace.ancestors().skip(1);
    let beside = beside.map(|above| above.join("shared/corpus"));
    match beside.into_iter().find(|folder| folder.is_dir()) {
        Some(found) => found,
        None => unpacked(&workspace)
            .unwrap_or_else(|error| panic!("tests/corpus cannot be unpacked: {error}")),
    }
}

/// True if the whole corpus is present, not only its packed part.
#[must_use]
pub fn is_whole() -> bool {
    folder().join("history/discord/1-facts.json").is_file()
}

fn workspace() -> PathBuf {
    let this = Path::new(env!("CARGO_MANIFEST_DIR"));
    this.ancestors().nth(2).expect("crates/NAME").to_owned()
}

/// Unpacks the corpus once for all test processes. Unpacks into a temporary folder first, which is
/// then renamed.
fn unpacked(workspace: &Path) -> io::Result<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(workspace.join("target"), Into::into);
    let packed = workspace.join("tests/corpus");
    let mut bytes = 0;
    for file in packed.read_dir()? {
        bytes += file?.metadata()?.len();
    }
    // Each version of the packed part has its own folder, named after the total size.
    let folder = target.join(format!("corpus-{bytes}"));
    if folder.is_dir() {
        return Ok(folder);
    }
    let own = target.join(format!("corpus.{}", std::process::id()));
    std::fs::create_dir_all(own.join("specs"))?;
    for name in DOCUMENTS {
        let mut text = GzDecoder::new(File::open(packed.join(format!("{name}.gz")))?);
        io::copy(&mut text, &mut File::create(own.join("specs").join(name))?)?;
    }
    for (name, below) in ARCHIVES {
        let archive = GzDecoder::new(File::open(packed.join(name))?);
        tar::Archive::new(archive).unpack(own.join(below))?;
    }
    match std::fs::rename(&own, &folder) {
        Ok(()) => Ok(folder),
        // Another process has unpacked the corpus first.
        Err(_) if folder.is_dir() => {
            std::fs::remove_dir_all(&own)?;
            Ok(folder)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_part_has_every_suite() {
        let folder = unpacked(&workspace()).unwrap();
        for path in [
            "broken/expected.tsv",
            "conformance/doubtful.tsv",
            "history/discord/2-facts.json",
            "json-schema-test-suite/tests/draft2020-12",
            "oasdiff/README.md",
            "specs/digitalocean/specification",
            "specs/stripe.yaml",
        ] {
            assert!(folder.join(path).exists(), "{path}");
        }
        assert_eq!(unpacked(&workspace()).unwrap(), folder, "unpacked once");
    }
}
