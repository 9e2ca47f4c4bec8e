//! State of source files in a work tree, compared with the index and the last commit.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use git2::{AttrCheckFlags, AttrValue, Repository, Status};

use super::line_ends::is_same_text;
use super::patterns;
use super::repository::WorkTree;
use super::revision::NoRevision;

/// Attributes by which a file in the work tree has other bytes than its blob, apart from attributes
/// for line ends (gitattributes(5)).
const CONVERSIONS: [&str; 3] = ["filter", "ident", "working-tree-encoding"];

/// Source whose bytes in the work tree are not the bytes that Git would commit or has committed.
#[derive(Debug, PartialEq, Eq)]
pub struct Converted {
    /// Path of the file relative to the folder.
    pub path: String,
    /// Attribute that converts the file. `None`: the index says that the file is unmodified, by a
    /// flag (`assume-unchanged`, `skip-worktree`) or by the file's size and time.
    pub attribute: Option<&'static str>,
}

/// Finds sources that Git tracks and regards as unmodified, but whose bytes differ from the blob in
/// the index by more than line ends. A pull request can cause this with `.gitattributes`: a plan
/// of the work tree is then not a plan of the committed files. `files`: SHA-256 of each source by
/// path relative to `folder`. Empty without a repository.
///
/// # Errors
/// Returns an error if the repository cannot be read, or if its attributes take too long to match.
pub fn converted(
    folder: &Path,
    files: BTreeMap<String, String>,
) -> Result<Vec<Converted>, git2::Error> {
    let tree = match WorkTree::find(folder) {
        Ok(tree) => tree,
        Err(NoRevision::NoRepository(_)) => return Ok(Vec::new()),
        Err(NoRevision::Unreadable(why)) => return Err(git2::Error::from_str(&why)),
        Err(_) => return Err(git2::Error::from_str("the repository cannot be read")),
    };
    let folder = folder.to_owned();
    patterns::status(move || {
        let repository = tree.repository();
        let index = repository.index()?;
        let mut found = Vec::new();
        for (path, sha256) in files {
            let inside = tree.inside(&folder.join(&path));
            let entry = inside.as_ref().and_then(|inside| index.get_path(inside, 0));
            let (Some(inside), Some(entry)) = (inside, entry) else {
                continue;
            };
            let blob = repository.find_blob(entry.id)?;
            // gwc replaces bytes that are not UTF-8 when it reads a source.
            let text = String::from_utf8_lossy(blob.content());
            if is_same_text(text.as_bytes(), &sha256) {
                continue;
            }
            let is_modified = repository.status_file(&inside)?.intersects(
                Status::WT_MODIFIED | Status::WT_TYPECHANGE | Status::WT_NEW | Status::WT_DELETED,
            );
            let attribute = conversion(repository, &inside, is_modified)?;
            if attribute.is_some() || !is_modified {
                found.push(Converted { path, attribute });
            }
        }
        Ok(found)
    })
}

/// Returns the attribute that converts a file, if any. libgit2 does not apply encodings and
/// filters, so it may report a file with such an attribute as modified.
fn conversion(
    repository: &Repository,
    path: &Path,
    is_modified: bool,
) -> Result<Option<&'static str>, git2::Error> {
    for name in CONVERSIONS {
        if is_modified && name == "ident" {
            continue;
        }
        let value = repository.get_attr(path, name, AttrCheckFlags::FILE_THEN_INDEX)?;
        let is_set = match AttrValue::from_string(value) {
            AttrValue::Unspecified | AttrValue::False => false,
            AttrValue::String(encoding) => !encoding.eq_ignore_ascii_case("UTF-8"),
            AttrValue::True | AttrValue::Bytes(_) => true,
        };
        if is_set {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// Lists files below a folder that are not in the last commit or differ from it, as sorted paths
/// relative to the folder. Contains only files for which `counts` returns true, and ignored files
/// only if `read` contains them. Empty without a repository.
///
/// # Errors
/// Returns an error if the repository cannot be read, or if its ignore rules take too long to
/// match.
pub fn uncommitted<'a>(
    folder: &Path,
    counts: impl Fn(&str) -> bool,
    read: impl Iterator<Item = &'a str>,
) -> Result<Vec<String>, git2::Error> {
    let Ok(tree) = WorkTree::find(folder) else {
        return Ok(Vec::new());
    };
    let Some(inside) = tree.inside(folder) else {
        return Ok(Vec::new());
    };
    let below = inside.clone();
    let (tree, paths) = patterns::status(move || {
        let mut options = git2::StatusOptions::new();
        options
            .include_untracked(true)
            .recurse_untracked_dirs(true)
            .include_ignored(false)
            .exclude_submodules(true)
            .disable_pathspec_match(true);
        if !below.as_os_str().is_empty() {
            options.pathspec(&below);
        }
        let statuses = tree.repository().statuses(Some(&mut options))?;
        let paths = statuses.iter().filter_map(|status| {
            let path = Path::new(status.path().ok()?).strip_prefix(&below).ok()?;
            Some(path.to_str()?.to_owned())
        });
        let paths: Vec<String> = paths.collect();
        drop(statuses);
        Ok((tree, paths))
    })?;
    let mut files: Vec<String> = paths.into_iter().filter(|path| counts(path)).collect();
    let index = tree.repository().index()?;
    // An index entry for a folder above the file is a submodule or a symbolic link. In that case,
    // the file does not belong to this repository.
    let known = |path: &Path| {
        let mut paths = path.ancestors();
        paths.any(|path| !path.as_os_str().is_empty() && index.get_path(path, 0).is_some())
    };
    let ignored = read.filter(|path| {
        let path = Path::new(path);
        let below = path
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        below && folder.join(path).is_file() && !known(&inside.join(path))
    });
    files.extend(ignored.map(str::to_owned));
    files.sort_unstable();
    files.dedup();
    Ok(files)
}
