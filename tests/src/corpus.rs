//! Compressed documents in `tests/corpus`.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use flate2::read::GzDecoder;

use crate::binaries;
use crate::project::Project;

/// Reads the text of the document `NAME.gz`.
#[must_use]
pub fn text(name: &str) -> String {
    let mut text = String::new();
    open(&format!("{name}.gz"))
        .read_to_string(&mut text)
        .unwrap_or_else(|error| panic!("tests/corpus/{name}.gz: {error}"));
    text
}

/// Unpacks the folder `NAME.tar.gz` into a project.
pub fn unpack(name: &str, project: &Project) {
    tar::Archive::new(open(&format!("{name}.tar.gz")))
        .unpack(project.root())
        .unwrap_or_else(|error| panic!("tests/corpus/{name}.tar.gz: {error}"));
}

fn open(name: &str) -> GzDecoder<File> {
    let path: PathBuf = binaries::workspace().join("tests/corpus").join(name);
    let file = File::open(&path)
        .unwrap_or_else(|error| panic!("`{}` is missing: {error}", path.display()));
    GzDecoder::new(file)
}
