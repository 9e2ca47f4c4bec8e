//! Git repository that contains a folder: the nearest `.git` in the folder or above it.
//!
//! A pull request can commit the files of a bare repository (`HEAD`, `objects`, `refs`, `config`)
//! into any folder. Git refuses to commit a path that contains `.git`, so only a folder with `.git`
//! counts as a repository here, as with Git's `safe.bareRepository=explicit`. The work tree is
//! always the folder that contains `.git`, whatever the repository's configuration says.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use git2::{ErrorCode, Repository, RepositoryOpenFlags};

use super::patterns::{self, SharedRepository, TooSlow};
use super::revision::NoRevision;

/// File mode of a submodule in the index.
pub(super) const SUBMODULE: u32 = 0o160_000;

/// Mode of a symbolic link in a tree or index.
const LINK: u32 = 0o120_000;

/// Repository, opened through its work tree.
pub struct WorkTree {
    repository: Repository,
    /// Canonical path of the folder that contains `.git`.
    folder: PathBuf,
}

/// True if Git ignores a path of the work tree or one of its folders. An error counts as ignored.
/// Below an ignored folder, Git never re-includes a file. libgit2 re-includes a file that a later
/// rule such as `!/folder/*` matches, so each folder is checked first. Call only inside
/// [`patterns::run`], which limits the time.
pub(super) fn matches_ignore_rule(repository: &Repository, path: &Path) -> bool {
    // `join("")` adds a final `/`, so that ignore rules for folders only also match.
    let folders = path.ancestors().skip(1).map(|folder| folder.join(""));
    let folders = folders.filter(|folder| !folder.as_os_str().is_empty());
    let mut all = folders.chain([path.to_owned()]);
    all.any(|one| repository.is_path_ignored(one).unwrap_or(true))
}

/// True if Git ignores a path, as [`matches_ignore_rule`] decides.
///
/// # Errors
/// Returns [`TooSlow`] if the rules take too long.
pub(super) fn ignores(repository: &SharedRepository, path: &Path) -> Result<bool, TooSlow> {
    let path = path.to_owned();
    patterns::run(repository, move |repository| {
        matches_ignore_rule(repository, &path)
    })
}

impl WorkTree {
    /// Finds the work tree that contains a file or folder on disk.
    ///
    /// # Errors
    /// Returns an error if no `.git` is at the path or above it, if the repository cannot be read,
    /// or if `info/grafts` rewrites its history.
    pub fn find(near: &Path) -> Result<Self, NoRevision> {
        let unreadable = |error: std::io::Error| NoRevision::Unreadable(error.to_string());
        let start = near.canonicalize().map_err(unreadable)?;
        for folder in start.ancestors() {
            match folder.join(".git").symlink_metadata() {
                Ok(_) => return Self::open(folder),
                Err(error)
                    if [
                        std::io::ErrorKind::NotFound,
                        std::io::ErrorKind::NotADirectory,
                    ]
                    .contains(&error.kind()) => {}
                Err(error) => return Err(unreadable(error)),
            }
        }
        Err(NoRevision::NoRepository(near.to_owned()))
    }

    fn open(folder: &Path) -> Result<Self, NoRevision> {
        let none: [&Path; 0] = [];
        let repository = Repository::open_ext(folder, RepositoryOpenFlags::NO_SEARCH, none)
            .map_err(|error| unreadable(folder, &error))?;
        // If `.git` is invalid, libgit2 may open the folder itself as a bare repository. Refuse
        // that.
        if repository.path().canonicalize().ok().as_deref() == Some(folder) {
            return Err(NoRevision::Unreadable(format!(
                "`{}` is not a Git repository",
                folder.join(".git").display()
            )));
        }
        let grafts = repository.commondir().join("info").join("grafts");
        if std::fs::read_to_string(&grafts).is_ok_and(|text| {
            text.lines()
                .any(|line| !line.trim().is_empty() && !line.starts_with('#'))
        }) {
            return Err(NoRevision::Unreadable(format!(
                "`{}` changes the commit history; convert the file (`git replace \
                 --convert-graft-file`)",
                grafts.display()
            )));
        }
        // Set the work tree explicitly. This overrides `core.worktree` and `core.bare`.
        repository
            .set_workdir(folder, false)
            .map_err(|error| unreadable(folder, &error))?;
        Ok(Self {
            repository,
            folder: folder.to_owned(),
        })
    }

    /// The repository.
    #[must_use]
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// Discards the work tree and returns its repository.
    #[must_use]
    pub fn into_repository(self) -> Repository {
        self.repository
    }

    /// Discards the work tree and returns its repository for several threads, which must not use
    /// the handle at the same time.
    pub(super) fn into_shared(self) -> SharedRepository {
        Arc::new(Mutex::new(self.repository))
    }

    /// True if Git ignores a path of the work tree that it does not track. Also true if the rules
    /// take too long to match.
    #[must_use]
    pub fn is_ignored(self, path: &Path) -> bool {
        ignores(&self.into_shared(), path).unwrap_or(true)
    }

    /// Canonical path of the folder that contains `.git`.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Path of this work tree in the outer work tree of which it is a submodule. Otherwise `None`.
    #[must_use]
    pub fn submodule(&self) -> Option<String> {
        let above = Self::find(self.folder.parent()?).ok()?;
        let path = above.inside(&self.folder)?;
        let entry = above.repository.index().ok()?.get_path(&path, 0)?;
        (entry.mode == SUBMODULE).then(|| path.to_string_lossy().into_owned())
    }

    /// Resolves symbolic links and returns a path relative to the work tree. `None` if the path is
    /// outside.
    #[must_use]
    pub fn inside(&self, path: &Path) -> Option<PathBuf> {
        let path = path.canonicalize().ok()?;
        Some(path.strip_prefix(&self.folder).ok()?.to_owned())
    }

    /// Symbolic links in the index of this work tree, and in the indexes of its submodules that are
    /// checked out. Paths are relative to this work tree. Leaves out submodules below `except`.
    #[must_use]
    pub fn links(&self, except: Option<&Path>) -> Vec<PathBuf> {
        let Ok(index) = self.repository.index() else {
            return Vec::new();
        };
        let mut links = Vec::new();
        for entry in index.iter() {
            let mode = entry.mode;
            let path = || PathBuf::from(OsString::from_vec(entry.path));
            match mode {
                LINK => links.push(path()),
                SUBMODULE => {
                    let path = path();
                    let folder = self.folder.join(&path);
                    let is_excepted = except.is_some_and(|except| folder.starts_with(except));
                    let is_there = folder.join(".git").symlink_metadata().is_ok();
                    // A link in place of the submodule would lead to a different work tree.
                    let is_own = folder.canonicalize().is_ok_and(|real| real == folder);
                    if !is_excepted && is_there && is_own {
                        let below = Self::open(&folder).map(|tree| tree.links(except));
                        let below = below.unwrap_or_default();
                        links.extend(below.iter().map(|link| path.join(link)));
                    }
                }
                _ => {}
            }
        }
        links
    }

    /// True if a path is in the index or in the last commit. The comparison is case-sensitive,
    /// regardless of the repository's configuration.
    #[must_use]
    pub fn tracks(&self, path: &Path) -> bool {
        let in_index = || {
            let entry = self.repository.index().ok()?.get_path(path, 0)?;
            (entry.path == path.as_os_str().as_encoded_bytes()).then_some(())
        };
        let in_commit = || {
            let tree = self.repository.head().ok()?.peel_to_tree().ok()?;
            tree.get_path(path).ok()
        };
        in_index().is_some() || in_commit().is_some()
    }
}

fn unreadable(folder: &Path, error: &git2::Error) -> NoRevision {
    match error.code() {
        ErrorCode::NotFound => NoRevision::Unreadable(format!(
            "`{}` is not a Git repository",
            folder.join(".git").display()
        )),
        ErrorCode::Owner => NoRevision::Unreadable(format!(
            "{}; if you trust it: `git config --global --add safe.directory PATH`",
            error.message()
        )),
        _ => NoRevision::Unreadable(error.message().to_owned()),
    }
}
