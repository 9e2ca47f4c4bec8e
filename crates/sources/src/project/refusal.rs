//! Reasons why a file is refused, and their diagnostics at the source location that names the file.

use diag::{Diagnostic, Span};

use super::lints::{MISSING_FILE, OUTSIDE_PROJECT, REMOTE_FILE, UNTRACKED_SOURCE};
use crate::syntax::{self, lints};

/// Advice for a revision whose objects are not in the clone, as in a partial clone.
pub const FETCH_OBJECTS: &str = "run `git fetch --refetch --no-filter`, or clone without `--filter` \
(GitHub Actions: `fetch-depth: 0` without `filter`); gwc fetches nothing";

/// Reason why a file is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No file has this path.
    Missing,
    /// Reading failed. The string is the reason.
    Unreadable(String),
    /// The revision contains the file, but the clone lacks an object that is needed to read it.
    NotFetched,
    /// The path is not a regular file.
    NotAFile,
    /// The path is outside the project's folder.
    Outside,
    /// The name is a URL.
    Remote,
    /// The file is larger than this number of bytes.
    TooLarge(usize),
    /// The file is in a submodule, which is another repository. The string is the submodule's path.
    Submodule(String),
    /// The file is only a Git LFS pointer; its content is stored elsewhere.
    LfsPointer,
    /// The run has already read this maximum number of files.
    TooManyFiles(usize),
    /// The files read so far have used up the run's memory limit.
    TooMany,
    /// The name of the file or of a folder in its path begins with `.`.
    Hidden,
    /// The file extension is not `.yaml`, `.yml` or `.json`.
    Extension,
    /// Git ignores the file and does not track it.
    Ignored,
    /// The ignore rules of the `--base` commit ignore the file, and the commit does not contain it.
    IgnoredByBase,
    /// The file is untracked, and a tracked symbolic link with an ignored name leads to its folder.
    /// The string is the link's path in the work tree.
    IgnoredLink(String),
    /// The file is in a nested repository. The string is the folder of that repository.
    Nested(String),
    /// The file contains a private key or other PEM data.
    Key {
        /// Line of the key, from 1.
        line: usize,
    },
    /// The file contains neither a map nor a list.
    NotADocument,
}

impl Refusal {
    /// Creates the diagnostic, at the source location that names the file.
    #[must_use]
    pub fn finding(&self, path: &str, named: Span) -> Diagnostic {
        let path = path.escape_debug();
        let missing = |message: String| Diagnostic::new(&MISSING_FILE, named, message);
        match self {
            Self::Missing => {
                let message = format!("there is no file `{path}`");
                Diagnostic::new(&MISSING_FILE, named, message)
                    .label("not found")
                    .help(
                        "write a path relative to the file that names it, or with a `/` in front \
to begin at the project's folder",
                    )
            }
            Self::Unreadable(why) => missing(format!("`{path}` cannot be read: {why}")),
            Self::NotFetched => {
                missing(format!("`{path}` is missing in this partial clone")).help(FETCH_OBJECTS)
            }
            Self::NotAFile => missing(format!("`{path}` is not a regular file")),
            Self::Submodule(name) => {
                let message = format!(
                    "`{path}` is in the submodule `{}`, whose files are not in this repository",
                    name.escape_debug()
                );
                Diagnostic::new(&MISSING_FILE, named, message)
                    .help("compare with a bundle, or with a folder that is checked out with its submodules")
            }
            Self::LfsPointer => {
                let message = format!("`{path}` is a pointer file of Git LFS and not the content");
                Diagnostic::new(&MISSING_FILE, named, message)
                    .help("get the content with `git lfs pull`; a Git revision never contains it, so do not keep sources in LFS")
            }
            Self::TooLarge(most) => {
                let message = format!("`{path}` has more than {most} bytes, the maximum");
                Diagnostic::new(&lints::TOO_LARGE, named, message).help(syntax::MORE_BYTES)
            }
            Self::TooManyFiles(most) => {
                let message = format!("`{path}` is beyond the maximum of {most} files");
                Diagnostic::new(&lints::TOO_LARGE, named, message)
                    .help("merge files, or allow more with `--max-files`")
            }
            Self::TooMany => {
                let message = format!(
                    "`{path}` is not read: the other files have already reached the size limit of a run"
                );
                Diagnostic::new(&lints::TOO_LARGE, named, message)
                    .help("split the project; all files of a run may have at most 2 GiB")
            }
            Self::Outside => {
                let message = format!("`{path}` lies outside the project's folder");
                Diagnostic::new(&OUTSIDE_PROJECT, named, message)
                    .help("copy the file into the project and refer to it by a relative path")
            }
            Self::Hidden => {
                let message = format!("`{path}` is hidden: a name on its path begins with `.`");
                Diagnostic::new(&UNTRACKED_SOURCE, named, message).help(
                    "rename the file, or the folder above it, so that no name begins with `.`",
                )
            }
            Self::Extension => {
                let message = format!("`{path}` does not have the name of a YAML or JSON file");
                Diagnostic::new(&UNTRACKED_SOURCE, named, message).help(
                    "references can only name files that end in `.yaml`, `.yml` or `.json`; \
rename it",
                )
            }
            Self::Ignored => {
                let message = format!("Git ignores `{path}`");
                Diagnostic::new(&UNTRACKED_SOURCE, named, message)
                    .help("commit the file (`git add -f`), or remove it from .gitignore")
            }
            Self::IgnoredByBase => {
                let message =
                    format!("the revision of `--base` ignores `{path}` and does not have it");
                Diagnostic::new(&UNTRACKED_SOURCE, named, message).help(
                    "give the file another name; a change of .gitignore takes effect after it is merged",
                )
            }
            Self::IgnoredLink(link) => ignored_link(&path.to_string(), link, named),
            Self::Nested(folder) => {
                let message = format!(
                    "`{path}` belongs to another repository, `{}`",
                    folder.escape_debug()
                );
                Diagnostic::new(&UNTRACKED_SOURCE, named, message)
                    .help("copy the file into this repository, where a review sees its changes")
            }
            Self::Key { line } => {
                let message = format!("`{path}` has key material in line {line} and is not read");
                Diagnostic::new(&UNTRACKED_SOURCE, named, message).help(
                    "keep secrets outside the project and name them by reference (`${file:PATH}`); \
write only the public part of a key set here. If others could read the file, replace the key",
                )
            }
            Self::NotADocument => {
                let message =
                    format!("`{path}` is not a document: it contains neither a map nor a list");
                Diagnostic::new(&UNTRACKED_SOURCE, named, message)
                    .help("refer to a YAML or JSON document")
            }
            Self::Remote => {
                let message = format!("`{path}` is on the network, which gwc never uses");
                Diagnostic::new(&REMOTE_FILE, named, message)
                    .help("download the file into the project and refer to it by its path")
            }
        }
    }
}

/// Diagnostic of an untracked file in a folder to which a link with an ignored name leads.
fn ignored_link(path: &str, link: &str, named: Span) -> Diagnostic {
    let link = link.escape_debug();
    let message =
        format!("Git ignores `{link}`, and this symbolic link leads to the folder of `{path}`");
    Diagnostic::new(&UNTRACKED_SOURCE, named, message).help(
        "commit the file, or remove the link: a job that writes into the ignored folder writes here",
    )
}
