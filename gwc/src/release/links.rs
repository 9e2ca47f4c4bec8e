//! Check for symbolic links in the path of a file named on the command line.

use std::path::Path;

use model::exit::{Exit, Failure};
use sources::project::repository::WorkTree;
use sources::project::revision::NoRevision;

/// Refuses a file behind a symbolic link in a work tree, unless that work tree tracks the file. The
/// author of a pull request chooses the target of a committed link. Outside a repository, a link
/// below the current directory may only lead into the folder that contains the link.
///
/// # Errors
/// Returns an input error if the file is missing, not tracked, or outside the work tree.
pub fn check(path: &Path) -> anyhow::Result<()> {
    for link in path.ancestors().filter(|path| path.is_symlink()) {
        let parent = link.parent().filter(|path| !path.as_os_str().is_empty());
        let is_tracked = match WorkTree::find(parent.unwrap_or(Path::new("."))) {
            Ok(tree) => tree.inside(path).is_some_and(|path| tree.tracks(&path)),
            Err(NoRevision::NoRepository(_)) => stays(link, path),
            Err(_) => false,
        };
        if !is_tracked {
            let message = format!(
                "`{}` is a symbolic link to a file that its repository does not track or that is outside its folder; \
                 write the path of the file itself, or `git add` the file",
                shown(link)
            );
            return Err(Failure::new(Exit::INPUT, "untracked-link", message).into());
        }
    }
    Ok(())
}

/// Path for display: relative to the current directory if the file is inside it.
fn shown(path: &Path) -> String {
    let here = std::env::current_dir().ok();
    let inside = here.and_then(|here| path.strip_prefix(here).ok());
    diag::text::printable(&inside.unwrap_or(path).to_string_lossy())
}

/// True if the link is not below the current directory, or leads into the folder that contains the
/// link.
fn stays(link: &Path, path: &Path) -> bool {
    let parent = link.parent().filter(|path| !path.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new(".")).canonicalize();
    let (Ok(parent), Ok(here)) = (parent, std::env::current_dir()) else {
        return false;
    };
    let here = here.canonicalize().unwrap_or(here);
    !parent.starts_with(here) || path.canonicalize().is_ok_and(|end| end.starts_with(parent))
}
