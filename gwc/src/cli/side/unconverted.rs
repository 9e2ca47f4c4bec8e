//! Refusal of sources whose bytes in the work tree are not those in Git.
//!
//! A comparison with a revision reads the old version from Git's objects and the new version from
//! the work tree. If an attribute converts a source on checkout, the comparison shows other changes
//! than the commit has.

use std::collections::BTreeMap;
use std::path::Path;

use super::UNNAMED_FILE;
use crate::cli::say;
use model::exit::{Exit, Failure};
use sources::project::GATEWAY_FILE;
use sources::project::state::{Converted, converted};

/// Refuses sources in a folder that Git regards as unmodified, but that differ from their blobs by
/// more than line ends. `digests`: SHA-256 of each source by path. `is_document`: gwc made
/// gateway.yaml itself.
///
/// # Errors
/// Returns an input error with the first such file, the reason and the correction.
pub(in crate::cli) fn check(
    folder: &Path,
    mut digests: BTreeMap<String, String>,
    is_document: bool,
) -> anyhow::Result<()> {
    digests.remove(UNNAMED_FILE);
    if is_document {
        digests.remove(GATEWAY_FILE);
    }
    let input = |message: String| Failure::new(Exit::INPUT, "converted-source", message);
    let all = converted(folder, digests).map_err(|error| {
        input(format!(
            "cannot compare the sources with Git: {}",
            error.message()
        ))
    })?;
    let Some(Converted { path, attribute }) = all.first() else {
        return Ok(());
    };
    let file = format!("{}{path}", say::seen_folder(folder));
    let file = diag::text::printable(&file);
    let more = match all.len() {
        0 | 1 => String::new(),
        count => format!(" (and {} more files)", count - 1),
    };
    let why = match attribute {
        Some(name) => format!(
            "the attribute `{name}` converts it on checkout, so gwd would not get what is \
             reviewed; remove the attribute for this file from .gitattributes, then run `rm FILE` \
             and `git checkout -- FILE`"
        ),
        None => "the index says that it is unmodified; run `git update-index \
                 --no-assume-unchanged --no-skip-worktree FILE`, then commit or restore the file"
            .to_owned(),
    };
    Err(input(format!(
        "`{file}`{more} differs from its content in Git, and Git shows no change: {why}"
    ))
    .into())
}
