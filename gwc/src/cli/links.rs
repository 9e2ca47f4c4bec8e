//! Symbolic links on the way to a file that the command line names.

use std::path::Path;

use super::say;
use model::exit::{Exit, Failure};
use sources::project::repository::WorkTree;
use sources::project::revision::NoRevision;

/// Refuses a file that a symbolic link of a work tree leads to, unless that work tree tracks the
/// file. The author of a pull request chooses where a committed link leads.
///
/// # Errors
/// Input, if the file is not tracked, is outside the work tree, or is missing.
pub(super) fn check(path: &Path) -> anyhow::Result<()> {
    for link in path.ancestors().filter(|path| path.is_symlink()) {
        let parent = link.parent().filter(|path| !path.as_os_str().is_empty());
        let is_tracked = match WorkTree::find(parent.unwrap_or(Path::new("."))) {
            Ok(tree) => tree.inside(path).is_some_and(|path| tree.tracks(&path)),
            Err(NoRevision::NoRepository(_)) => true,
            Err(_) => false,
        };
        if !is_tracked {
            let message = format!(
                "`{}` is a symbolic link to a file that its repository does not track; \
                 write the path of the file itself, or `git add` the file",
                say::path(link)
            );
            return Err(Failure::new(Exit::INPUT, "untracked-link", message).into());
        }
    }
    Ok(())
}
