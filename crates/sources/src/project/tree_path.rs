//! Resolution of paths in the trees of a revision, as a file system resolves them in a checkout.

use std::collections::BTreeMap;
use std::sync::Arc;

use git2::{ErrorCode, Oid, Repository};

use super::refusal::Refusal;

/// Maximum number of symbolic links that are followed for one path, as on Linux. A path with more
/// links is refused.
const LINKS_MAX: usize = 40;

/// Maximum length of the target of a symbolic link, in bytes.
const LINK_BYTES_MAX: usize = 4_096;

/// File modes of tree entries.
pub(super) const SYMLINK: i32 = 0o120_000;
pub(super) const SUBMODULE: i32 = 0o160_000;
pub(super) const FOLDER: i32 = 0o040_000;

/// Object found at a path: blob or folder.
pub(super) enum Found {
    Blob(Oid),
    Folder(Oid),
}

/// Entries of a tree by name: object and file mode.
type Entries = BTreeMap<Vec<u8>, (Oid, i32)>;

/// Objects of a repository. Keeps the trees that were read, because libgit2 keeps no large ones.
pub(super) struct Objects {
    repository: Repository,
    trees: BTreeMap<Oid, Arc<Entries>>,
}

impl Objects {
    pub(super) fn new(repository: Repository) -> Self {
        Self {
            repository,
            trees: BTreeMap::new(),
        }
    }

    pub(super) fn repository(&self) -> &Repository {
        &self.repository
    }

    /// Resolves a path from the root tree of a revision. Returns the object and its path without
    /// links.
    ///
    /// A `..` removes the folder that the segments before it lead to, after their links are
    /// followed. A file must be the last segment, without a final `/`.
    pub(super) fn resolve(&mut self, root: Oid, path: &str) -> Result<(Found, String), Refusal> {
        let mut folders: Vec<(String, Oid)> = Vec::new();
        let mut file: Option<(String, Oid)> = None;
        // Segments in reverse order: `pop` returns the next segment.
        let mut pending: Vec<String> = path.rsplit('/').map(str::to_owned).collect();
        let mut links = 0;
        while let Some(segment) = pending.pop() {
            if file.is_some() {
                return Err(Refusal::Missing);
            }
            match segment.as_str() {
                "" | "." => continue,
                ".." => {
                    folders.pop().ok_or(Refusal::Outside)?;
                    continue;
                }
                _ => {}
            }
            let folder = folders.last().map_or(root, |(_, id)| *id);
            let entries = self.entries(folder)?;
            let (id, mode) = *entries.get(segment.as_bytes()).ok_or(Refusal::Missing)?;
            match mode {
                SYMLINK => {
                    links += 1;
                    if links > LINKS_MAX {
                        return Err(Refusal::Unreadable(format!(
                            "there are more than {LINKS_MAX} symbolic links in the path"
                        )));
                    }
                    let target = self.target(id)?;
                    pending.extend(target.rsplit('/').map(str::to_owned));
                }
                SUBMODULE => return Err(Refusal::Submodule(joined(&folders, Some(&segment)))),
                FOLDER => folders.push((segment, id)),
                _ => file = Some((segment, id)),
            }
        }
        Ok(match file {
            Some((name, id)) => (Found::Blob(id), joined(&folders, Some(&name))),
            None => {
                let id = folders.last().map_or(root, |(_, id)| *id);
                (Found::Folder(id), joined(&folders, None))
            }
        })
    }

    /// Reads the bytes of an object. Checks its size first.
    pub(super) fn blob(&self, id: Oid, bytes_max: usize) -> Result<Vec<u8>, Refusal> {
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

    /// Target of a symbolic link. An absolute target leaves the repository. Operating systems have
    /// no links with an empty target or with NUL.
    fn target(&self, id: Oid) -> Result<String, Refusal> {
        let target = String::from_utf8(self.blob(id, LINK_BYTES_MAX)?)
            .map_err(|_| Refusal::Unreadable("a symbolic link is not UTF-8".into()))?;
        if target.is_empty() {
            return Err(Refusal::Missing);
        }
        if target.starts_with('/') || target.contains('\0') {
            return Err(Refusal::Outside);
        }
        Ok(target)
    }

    fn entries(&mut self, id: Oid) -> Result<Arc<Entries>, Refusal> {
        if let Some(known) = self.trees.get(&id) {
            return Ok(Arc::clone(known));
        }
        let tree = self
            .repository
            .find_tree(id)
            .map_err(|error| unreadable(&error))?;
        let entries = tree
            .iter()
            .map(|entry| (entry.name_bytes().to_vec(), (entry.id(), entry.filemode())));
        let entries: Arc<Entries> = Arc::new(entries.collect());
        self.trees.insert(id, Arc::clone(&entries));
        Ok(entries)
    }
}

fn joined(folders: &[(String, Oid)], last: Option<&str>) -> String {
    let names = folders.iter().map(|(name, _)| name.as_str()).chain(last);
    names.collect::<Vec<_>>().join("/")
}

/// Refusal of an object that a tree of the revision names.
pub(super) fn unreadable(error: &git2::Error) -> Refusal {
    match error.code() {
        ErrorCode::NotFound => Refusal::NotFetched,
        _ => Refusal::Unreadable(error.message().to_owned()),
    }
}
