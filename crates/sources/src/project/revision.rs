//! Folder in a Git revision, read from the object database without a checkout.
//!
//! Paths are resolved as in a file system. Symbolic links are followed only inside the folder, and
//! submodules are not entered. Content is as committed: without filters or conversion of line ends.

use std::path::{Component, Path, PathBuf};
use std::sync::Mutex;

use bundle::digest::Digest;
use git2::{ErrorCode, ObjectType, Oid, Repository, Tree};

use super::files::{LISTED_MAX, Refusal, join};
use super::repository::WorkTree;

/// Maximum number of symbolic links that are followed for one path. A path with more links is
/// refused.
const LINKS_MAX: usize = 40;

/// Maximum length of the target of a symbolic link, in bytes.
const LINK_BYTES_MAX: usize = 4_096;

/// File modes of tree entries.
const SYMLINK: i32 = 0o120_000;
const SUBMODULE: i32 = 0o160_000;
const FOLDER: i32 = 0o040_000;

/// Folder in a Git revision.
pub struct Revision {
    /// Handle of the repository. In a mutex, because threads must not share handles of libgit2.
    repository: Mutex<Repository>,
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

/// Object found at a path: blob or folder.
enum Found {
    Blob(Oid),
    Folder(Oid),
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
        let tree = object.peel_to_tree().map_err(|_| NoRevision::NoTree)?;
        let root = tree.id();
        drop(tree);
        drop(object);
        Ok(Self {
            repository: Mutex::new(repository),
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

    /// Resolves a path from the root of the repository, and follows symbolic links. `None` if the
    /// path does not exist.
    #[must_use]
    pub fn end(&self, path: &str) -> Option<End> {
        let repository = self.lock();
        let all = TreePath {
            repository: &repository,
            root: self.root,
            inside: "",
        };
        match all.walk(path).ok()? {
            (Found::Blob(_), path) => Some(End::File(path)),
            (Found::Folder(_), path) => Some(End::Folder(path)),
        }
    }

    /// Returns the commit of the submodule at a path from the root of the repository, if any.
    #[must_use]
    pub fn submodule(&self, path: &str) -> Option<String> {
        let repository = self.lock();
        let root = repository.find_tree(self.root).ok()?;
        let entry = root.get_path(Path::new(path)).ok()?;
        (entry.filemode() == SUBMODULE).then(|| entry.id().to_string())
    }

    /// Reads a file of the folder.
    pub(super) fn read(&self, path: &str, bytes_max: usize) -> Result<Vec<u8>, Refusal> {
        let repository = self.lock();
        let tree_path = TreePath {
            repository: &repository,
            root: self.root,
            inside: if self.is_wide { "" } else { &self.folder },
        };
        match tree_path.walk(&join(&self.folder, &format!("./{path}"))?)? {
            (Found::Folder(_), _) => Err(Refusal::NotAFile),
            (Found::Blob(id), _) => tree_path.blob(id, bytes_max),
        }
    }

    /// True if a file of the folder has this SHA-256, either as committed or with CRLF line ends.
    #[must_use]
    pub fn holds(&self, path: &str, sha256: &str) -> bool {
        let Ok(bytes) = self.read(path, usize::MAX) else {
            return false;
        };
        let is = |bytes: &[u8]| Digest::of(bytes).hex() == sha256;
        is(&bytes)
            || String::from_utf8(bytes).is_ok_and(|text| is(text.replace('\n', "\r\n").as_bytes()))
    }

    /// Lists the files below a subfolder; see [`super::files::Files::list`].
    pub(super) fn list(&self, folder: &str) -> Result<Vec<String>, Refusal> {
        let repository = self.lock();
        let tree_path = TreePath {
            repository: &repository,
            root: self.root,
            inside: &self.folder,
        };
        let from = join(&self.folder, &format!("./{folder}"))?;
        let start = match from.as_str() {
            "" => self.root,
            from => match tree_path.walk(from) {
                Ok((Found::Folder(id), _)) => id,
                Ok((Found::Blob(_), _)) | Err(Refusal::Missing) => return Ok(Vec::new()),
                Err(refusal) => return Err(refusal),
            },
        };
        let mut found = Vec::new();
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
                    SYMLINK | SUBMODULE => {}
                    _ => found.push(path),
                }
                if found.len() + waiting.len() > LISTED_MAX {
                    return Err(Refusal::Unreadable(format!(
                        "the folder has more than {LISTED_MAX} files"
                    )));
                }
            }
        }
        Ok(found)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Repository> {
        // Use a poisoned lock as well: objects are only read, so a panic leaves no partial change.
        self.repository
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Path resolution in the trees of a revision.
struct TreePath<'r> {
    repository: &'r Repository,
    root: Oid,
    /// Folder that symbolic links must not leave.
    inside: &'r str,
}

impl TreePath<'_> {
    /// Resolves a normalised path from the root of the repository. Returns the object and its path
    /// without links.
    fn walk(&self, path: &str) -> Result<(Found, String), Refusal> {
        let mut path = path.to_owned();
        for _ in 0..=LINKS_MAX {
            match self.step(&path)? {
                Step::Found(found) => {
                    let is_inside = self.inside.is_empty()
                        || path
                            .strip_prefix(self.inside)
                            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
                    return if is_inside {
                        Ok((found, path))
                    } else {
                        Err(Refusal::Outside)
                    };
                }
                Step::Link(further) => path = further,
            }
        }
        Err(Refusal::Unreadable(format!(
            "there are more than {LINKS_MAX} symbolic links in the path"
        )))
    }

    /// Walks to the end of the path or to the first symbolic link. For a link, returns its target
    /// followed by the remaining path.
    fn step(&self, path: &str) -> Result<Step, Refusal> {
        let mut tree = self.tree(self.root)?;
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        for (index, part) in parts.iter().enumerate() {
            let (id, mode) = match tree.get_name(part) {
                None => return Err(Refusal::Missing),
                Some(entry) => (entry.id(), entry.filemode()),
            };
            let (before, rest) = (&parts[..index], &parts[index + 1..]);
            match mode {
                SYMLINK => {
                    let target = self.blob(id, LINK_BYTES_MAX)?;
                    let target = String::from_utf8(target)
                        .map_err(|_| Refusal::Unreadable("a symbolic link is not UTF-8".into()))?;
                    if target.starts_with('/') {
                        return Err(Refusal::Outside);
                    }
                    let further = join(&before.join("/"), &format!("./{target}"))?;
                    return Ok(Step::Link(join(
                        &further,
                        &format!("./{}", rest.join("/")),
                    )?));
                }
                SUBMODULE => {
                    return Err(Refusal::Submodule(parts[..=index].join("/")));
                }
                FOLDER => tree = self.tree(id)?,
                _ if rest.is_empty() => return Ok(Step::Found(Found::Blob(id))),
                _ => return Err(Refusal::Missing),
            }
        }
        Ok(Step::Found(Found::Folder(tree.id())))
    }

    fn tree(&self, id: Oid) -> Result<Tree<'_>, Refusal> {
        self.repository
            .find_tree(id)
            .map_err(|error| unreadable(&error))
    }

    /// Reads the bytes of an object. Checks its size first.
    fn blob(&self, id: Oid, bytes_max: usize) -> Result<Vec<u8>, Refusal> {
        let objects = self.repository.odb().map_err(|error| unreadable(&error))?;
        let (size, _) = objects
            .read_header(id)
            .map_err(|error| unreadable(&error))?;
        if size > bytes_max {
            return Err(Refusal::TooLarge(bytes_max));
        }
        let object = objects.read(id).map_err(|error| unreadable(&error))?;
        Ok(object.data().to_vec())
    }
}

enum Step {
    Found(Found),
    /// Symbolic link in the path. The string is the path after the link is replaced by its target.
    Link(String),
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

/// Lists files below a folder that are not in the last commit or differ from it, as sorted paths
/// relative to the folder. Contains only files for which `counts` returns true, and ignored files
/// only if `read` contains them. Empty without a repository.
///
/// # Errors
/// Returns an error if the repository cannot be read.
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
    let repository = tree.repository();
    let mut options = git2::StatusOptions::new();
    options
        .include_untracked(true)
        .recurse_untracked_dirs(true)
        .include_ignored(false)
        .exclude_submodules(true)
        .disable_pathspec_match(true);
    if !inside.as_os_str().is_empty() {
        options.pathspec(&inside);
    }
    let mut files: Vec<String> = repository
        .statuses(Some(&mut options))?
        .iter()
        .filter_map(|status| {
            let path = Path::new(status.path().ok()?).strip_prefix(&inside).ok()?;
            Some(path.to_str()?.to_owned())
        })
        .filter(|path| counts(path))
        .collect();
    let index = repository.index()?;
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

/// Returns the references to which a short revision name may refer (gitrevisions(7)). Empty for a
/// full name. Short names are unsafe: a tag `origin/main` takes precedence over the branch, and
/// anyone who may push tags can create such a tag.
fn named_by(repository: &Repository, revision: &str) -> Vec<String> {
    let end = revision.find(['~', '^', ':']).unwrap_or(revision.len());
    let name = &revision[..end];
    let name = name.split("@{").next().unwrap_or(name);
    if name.is_empty() || name.starts_with("refs/") || !name.contains(|c: char| !c.is_uppercase()) {
        return Vec::new();
    }
    let candidates = ["", "tags/", "heads/", "remotes/"].map(|kind| format!("refs/{kind}{name}"));
    let head = format!("refs/remotes/{name}/HEAD");
    let candidates = candidates.into_iter().chain([head]);
    candidates
        .filter(|candidate| repository.find_reference(candidate).is_ok())
        .collect()
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

fn unreadable(error: &git2::Error) -> Refusal {
    Refusal::Unreadable(error.message().to_owned())
}
