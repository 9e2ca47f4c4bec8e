//! Folder in a Git revision, read from the object database without a checkout.
//!
//! Paths are resolved as in a file system. Symbolic links are followed only inside the folder, and
//! submodules are not entered. Content is as committed: without filters or conversion of line ends.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use git2::{ErrorCode, ObjectType, Oid, Repository};

use super::files::{Listed, Refusal, Skipped, join};
use super::line_ends::is_same_text;
use super::reach::check_visible;
use super::repository::WorkTree;
use super::tree_path::{FOLDER, Found, Objects, SUBMODULE, SYMLINK, unreadable};

/// Maximum number of folders of a revision in which [`Revision::all_named`] searches.
const FOLDERS_MAX: usize = 100_000;

/// Folder in a Git revision.
pub struct Revision {
    /// Objects of the repository. The mutex is needed because threads must not share handles of
    /// libgit2.
    objects: Mutex<Objects>,
    /// Root tree of the revision.
    root: Oid,
    /// Commit of the revision. `None` if the revision is a tree.
    commit: Option<Oid>,
    /// Folder relative to the root of the repository. Empty for the root.
    folder: String,
    /// True if paths may lead out of `folder` to any file of the repository.
    is_wide: bool,
}

/// Reason why a revision is not available.
#[derive(Debug)]
pub enum NoRevision {
    /// The path and the folders above it contain no repository.
    NoRepository(PathBuf),
    /// The repository cannot be read. The string is the reason.
    Unreadable(String),
    /// The repository has no revision of this name.
    Unknown {
        /// Name of a branch or tag that is similar. `None`: no similar name.
        near: Option<String>,
        /// True if the clone is shallow, so that older commits are missing.
        shallow: bool,
    },
    /// The short name matches several references of the repository. The strings are their full
    /// names.
    Ambiguous(Vec<String>),
    /// The name refers to an object that has no tree, such as a blob.
    NoTree,
    /// The clone lacks objects of the revision.
    NotFetched,
    /// The project's gateway.yaml is not tracked in this work tree.
    Untracked(PathBuf),
}

/// Path of a folder relative to its repository.
#[derive(Debug, PartialEq, Eq)]
pub struct Inside {
    /// Folder relative to the root of the repository, without a final `/`. Empty for the root and
    /// in a bare repository.
    pub folder: String,
}

/// File or folder at the end of a path after symbolic links are followed. Each string is a path
/// without links, relative to the root of the repository.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// Path of a regular file.
    File(String),
    /// Path of a folder.
    Folder(String),
}

impl Revision {
    /// Finds a revision in the repository that contains `near`. `name` is a branch, a tag, a
    /// commit, or any other syntax of `git rev-parse`. The folder is the root of the repository.
    ///
    /// # Errors
    /// Returns the reason why the revision is not available.
    pub fn find(near: &Path, name: &str) -> Result<Self, NoRevision> {
        Self::in_work_tree(WorkTree::find(near)?, name)
    }

    /// Finds `name` in the repository of a work tree.
    ///
    /// # Errors
    /// Returns the reason why the revision is not available.
    pub fn in_work_tree(tree: WorkTree, name: &str) -> Result<Self, NoRevision> {
        let repository = tree.into_repository();
        let references = named_by(&repository, name);
        if references.len() > 1 {
            return Err(NoRevision::Ambiguous(references));
        }
        let object = match repository.revparse_single(name) {
            Ok(object) => object,
            Err(error)
                if [
                    ErrorCode::NotFound,
                    ErrorCode::InvalidSpec,
                    ErrorCode::Ambiguous,
                    ErrorCode::UnbornBranch,
                ]
                .contains(&error.code()) =>
            {
                return Err(NoRevision::Unknown {
                    near: nearest(&repository, name),
                    shallow: repository.is_shallow(),
                });
            }
            Err(error) => return Err(NoRevision::Unreadable(error.message().to_owned())),
        };
        let commit = object
            .peel(ObjectType::Commit)
            .ok()
            .map(|commit| commit.id());
        let tree = object.peel_to_tree().map_err(|error| match error.code() {
            ErrorCode::NotFound => NoRevision::NotFetched,
            _ => NoRevision::NoTree,
        })?;
        let root = tree.id();
        drop(tree);
        drop(object);
        Ok(Self {
            objects: Mutex::new(Objects::new(repository)),
            root,
            commit,
            folder: String::new(),
            is_wide: false,
        })
    }

    /// Allows paths that leave the folder. Returns the number of folders above it.
    pub(super) fn widen(&mut self) -> usize {
        self.is_wide = true;
        self.folder
            .split('/')
            .filter(|part| !part.is_empty())
            .count()
    }

    /// Returns the same revision with another folder.
    #[must_use]
    pub fn in_folder(mut self, folder: String) -> Self {
        self.folder = folder;
        self
    }

    /// Commit id of the revision. `None` if the revision is a tree.
    #[must_use]
    pub fn commit(&self) -> Option<String> {
        self.commit.map(|commit| commit.to_string())
    }

    /// Folder relative to the root of the repository.
    #[must_use]
    pub fn folder(&self) -> &str {
        &self.folder
    }

    /// Resolves a path from the root of the repository, and follows symbolic links.
    ///
    /// # Errors
    /// Returns [`Refusal::Missing`] if nothing has this path, [`Refusal::Submodule`] if the path
    /// enters a submodule, [`Refusal::Outside`] if a link leaves the repository,
    /// [`Refusal::NotFetched`] if the clone lacks a folder or a link of the path, and
    /// [`Refusal::Unreadable`] for too many links.
    pub fn resolve(&self, path: &str) -> Result<End, Refusal> {
        Ok(match self.lock().resolve(self.root, path)? {
            (Found::Blob(_), path) => End::File(path),
            (Found::Folder(_), path) => End::Folder(path),
        })
    }

    /// Resolves a path as [`Revision::resolve`] does. `None` if the path does not exist.
    #[must_use]
    pub fn end(&self, path: &str) -> Option<End> {
        self.resolve(path).ok()
    }

    /// Returns the commit of the submodule at a path from the root of the repository, if any.
    #[must_use]
    pub fn submodule(&self, path: &str) -> Option<String> {
        let objects = self.lock();
        let root = objects.repository().find_tree(self.root).ok()?;
        let entry = root.get_path(Path::new(path)).ok()?;
        (entry.filemode() == SUBMODULE).then(|| entry.id().to_string())
    }

    /// Paths from the root of the repository that end with this name, in any folder. `None` if they
    /// are not all known: the revision has a submodule, more than 100,000 folders, a folder whose
    /// name is not UTF-8, or a folder that the clone lacks.
    #[must_use]
    pub fn all_named(&self, wanted: &str) -> Option<Vec<String>> {
        let objects = self.lock();
        let repository = objects.repository();
        let mut paths = Vec::new();
        let mut waiting = vec![(String::new(), self.root)];
        let mut folders = 0_usize;
        while let Some((folder, id)) = waiting.pop() {
            folders += 1;
            if folders > FOLDERS_MAX {
                return None;
            }
            let tree = repository.find_tree(id).ok()?;
            for entry in &tree {
                let name = entry.name().ok();
                let path = name.map(|name| match folder.as_str() {
                    "" => name.to_owned(),
                    folder => format!("{folder}/{name}"),
                });
                match entry.filemode() {
                    SUBMODULE => return None,
                    FOLDER => waiting.push((path?, entry.id())),
                    _ if name == Some(wanted) => paths.extend(path),
                    _ => {}
                }
            }
        }
        Some(paths)
    }

    /// Reads a file of the folder.
    pub(super) fn read(&self, path: &str, bytes_max: usize) -> Result<Vec<u8>, Refusal> {
        let path = join(&self.folder, &format!("./{path}"))?;
        let mut objects = self.lock();
        let (found, end) = objects.resolve(self.root, &path)?;
        if !self.is_wide {
            self.check_inside(&end)?;
        }
        match found {
            Found::Folder(_) => Err(Refusal::NotAFile),
            Found::Blob(id) => objects.blob(id, bytes_max),
        }
    }

    /// Refuses a path from the root of the repository that is not in the folder.
    fn check_inside(&self, path: &str) -> Result<(), Refusal> {
        let rest = path.strip_prefix(&self.folder);
        let is_inside = self.folder.is_empty()
            || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        match is_inside {
            true => Ok(()),
            false => Err(Refusal::Outside),
        }
    }

    /// True if a file of the folder has this SHA-256, as committed or with other line ends.
    #[must_use]
    pub fn holds(&self, path: &str, sha256: &str) -> bool {
        let content = self.read(path, usize::MAX);
        content.is_ok_and(|content| is_same_text(&content, sha256))
    }

    /// Lists the files below a subfolder; see [`super::files::Files::list`].
    pub(super) fn list(&self, folder: &str) -> Result<Listed, Refusal> {
        check_visible(folder)?;
        let from = join(&self.folder, &format!("./{folder}"))?;
        let mut objects = self.lock();
        let start = match objects.resolve(self.root, &from) {
            Ok((Found::Folder(id), end)) => {
                self.check_inside(&end)?;
                let own = end.strip_prefix(&*self.folder).unwrap_or(&end);
                check_visible(own.trim_start_matches('/'))?;
                id
            }
            Ok((Found::Blob(_), _)) | Err(Refusal::Missing) => return Ok(Listed::default()),
            Err(refusal) => return Err(refusal),
        };
        let repository = objects.repository();
        let mut listed = Listed::default();
        let mut waiting = vec![(folder.to_owned(), start)];
        while let Some((folder, id)) = waiting.pop() {
            let tree = repository
                .find_tree(id)
                .map_err(|error| unreadable(&error))?;
            for entry in &tree {
                let name = entry.name().ok().filter(|name| !name.starts_with('.'));
                let Some(name) = name else { continue };
                let path = join(&folder, &format!("./{name}"))?;
                match entry.filemode() {
                    FOLDER => waiting.push((path, entry.id())),
                    SYMLINK => listed.skipped.push((path, Skipped::Link)),
                    SUBMODULE => {}
                    _ => listed.files.push(path),
                }
                listed.check_size(waiting.len())?;
            }
        }
        Ok(listed)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Objects> {
        // Use a poisoned lock as well: objects are only read, so a panic leaves no partial change.
        self.objects
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Path of a folder on disk relative to its repository.
///
/// # Errors
/// Returns an error if no repository contains the folder, or if the repository cannot be read.
pub fn inside(folder: &Path) -> Result<Inside, NoRevision> {
    let tree = WorkTree::find(folder)?;
    let folder = tree.inside(folder).and_then(|folder| {
        let parts = folder.components();
        let parts: Option<Vec<String>> = parts
            .map(|part| part.as_os_str().to_str().map(str::to_owned))
            .collect();
        Some(parts?.join("/"))
    });
    Ok(Inside {
        folder: folder
            .ok_or_else(|| NoRevision::Unreadable("the folder's path is not UTF-8".to_owned()))?,
    })
}

/// Returns the references to which a short revision name may refer (gitrevisions(7)). Empty for a
/// full name. Short names are unsafe: a tag `origin/main` takes precedence over the branch, and
/// anyone who may push tags can create such a tag.
fn named_by(repository: &Repository, revision: &str) -> Vec<String> {
    let end = revision.find(['~', '^', ':']).unwrap_or(revision.len());
    let name = &revision[..end];
    let name = name.split("@{").next().unwrap_or(name);
    if name.is_empty() || name.starts_with("refs/") || is_head(name) {
        return Vec::new();
    }
    let candidates = ["", "tags/", "heads/", "remotes/"].map(|kind| format!("refs/{kind}{name}"));
    let head = format!("refs/remotes/{name}/HEAD");
    let candidates = candidates.into_iter().chain([head]);
    candidates
        .filter(|candidate| repository.find_reference(candidate).is_ok())
        .collect()
}

/// True if Git resolves this name to a file in `.git` first: `HEAD`, `ORIG_HEAD` and others.
fn is_head(name: &str) -> bool {
    let is_kind = |c: char| c.is_ascii_uppercase() || c == '_';
    let kind = name.strip_suffix("_HEAD");
    name == "HEAD" || kind.is_some_and(|kind| !kind.is_empty() && kind.chars().all(is_kind))
}

/// Returns a branch or tag with a similar name, or with the same name at a remote.
fn nearest(repository: &Repository, name: &str) -> Option<String> {
    let references = repository.references().ok()?;
    let names: Vec<String> = references
        .filter_map(|reference| Some(reference.ok()?.shorthand().ok()?.to_owned()))
        .collect();
    let remote = |known: &&String| known.split_once('/').is_some_and(|(_, rest)| rest == name);
    names.iter().find(remote).cloned().or_else(|| {
        diag::suggest::nearest(name, names.iter().map(String::as_str)).map(str::to_owned)
    })
}
