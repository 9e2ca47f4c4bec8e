//! Origins of source bytes: a folder on disk, a folder in a Git revision, or memory.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::files::{Listed, Skipped, join};
use super::inner_path;
use super::key_material;
use super::reach::{self, GitFiles};
use super::refusal::Refusal;
use super::repository::WorkTree;
use super::revision::Revision;
use crate::project::GATEWAY_FILE;

/// Start of a Git LFS pointer file, whose content is stored elsewhere
/// (<https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md>).
const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";

/// Origin of the bytes of sources.
pub(super) enum Disk {
    /// Folder of the file system.
    Folder(Folder),
    /// Files in memory, by path, for samples and tests.
    Memory(BTreeMap<String, Vec<u8>>),
    /// Folder in a Git revision.
    Revision(Revision),
}

/// Folder on disk.
pub(super) struct Folder {
    /// Canonical path of the folder.
    root: PathBuf,
    /// Folder that links and references must not leave: the root, or the work tree that contains
    /// the root.
    outer: PathBuf,
    /// Commit whose ignore rules apply in addition to the ignore rules of the work tree. `None`: no
    /// commit.
    base: Option<String>,
    /// Git's index and ignore rules, read at first use. `Ok(None)`: no repository contains the
    /// folder.
    tracked: OnceLock<Result<Option<GitFiles>, Refusal>>,
}

/// Content of a source.
pub(super) struct Content {
    pub(super) bytes: Vec<u8>,
    /// True if Git tracks the file, the command line names it, or there is no repository.
    pub(super) is_tracked: bool,
}

impl Disk {
    pub(super) fn list(&self, folder: &str) -> Result<Listed, Refusal> {
        match self {
            Self::Folder(of_disk) => of_disk.list(folder),
            Self::Memory(files) => {
                let inside = |path: &&String| {
                    folder.is_empty()
                        || path
                            .strip_prefix(folder)
                            .is_some_and(|rest| rest.starts_with('/'))
                };
                Ok(Listed {
                    files: files.keys().filter(inside).cloned().collect(),
                    skipped: Vec::new(),
                })
            }
            Self::Revision(revision) => revision.list(folder),
        }
    }

    /// Returns the content of a source. Refuses files that are not sources; see [`reach`].
    pub(super) fn source(
        &self,
        path: &str,
        is_named: bool,
        bytes_max: usize,
    ) -> Result<Content, Refusal> {
        let given = |bytes| Content {
            bytes,
            is_tracked: true,
        };
        let content = match self {
            Self::Folder(folder) => folder.source(path, is_named, bytes_max)?,
            Self::Memory(files) => given(files.get(path).cloned().ok_or(Refusal::Missing)?),
            Self::Revision(revision) => given(revision.read(path, bytes_max)?),
        };
        let bytes = &content.bytes;
        if !is_named {
            reach::check_name(path)?;
        }
        if bytes.starts_with(LFS_POINTER) {
            return Err(Refusal::LfsPointer);
        }
        key_material::check(bytes, content.is_tracked)?;
        // The caller provided the bytes in memory, so the checks for files do not apply.
        let is_given = is_named || matches!(self, Self::Memory(_));
        if !is_given && path != GATEWAY_FILE {
            reach::check_form(bytes)?;
        }
        Ok(content)
    }

    /// True if Git tracks one of these files. False without a repository.
    pub(super) fn tracks_any<'p>(&self, mut paths: impl Iterator<Item = &'p str>) -> bool {
        let Self::Folder(folder) = self else {
            return false;
        };
        let Ok(Some(tracked)) = folder.tracked() else {
            return false;
        };
        paths.any(|path| tracked.has(&folder.below(path)))
    }
}

impl Folder {
    /// Creates a folder from its canonical path.
    pub(super) fn new(root: PathBuf) -> Self {
        Self {
            outer: root.clone(),
            root,
            base: None,
            tracked: OnceLock::new(),
        }
    }

    /// Applies the ignore rules of a commit in addition to the ignore rules of the work tree.
    pub(super) fn set_base(&mut self, commit: &str) {
        self.base = Some(commit.to_owned());
        self.tracked = OnceLock::new();
    }

    /// Lists the files below a folder; see [`super::files::Files::list`].
    ///
    /// The folder may be a symbolic link to another folder of the project. Rules for names and
    /// Git's ignore rules apply to the end of the link.
    fn list(&self, folder: &str) -> Result<Listed, Refusal> {
        let unreadable = |error: std::io::Error| inner_path::unreadable(&error);
        let mut listed = Listed::default();
        reach::check_visible(folder)?;
        let real = match inner_path::resolve(&self.root, &self.outer, folder) {
            Err(Refusal::Missing) => return Ok(listed),
            real => real?,
        };
        let inside = real
            .strip_prefix(&self.root)
            .map_err(|_| Refusal::Outside)?;
        let inside = inside.to_str().ok_or(Refusal::Missing)?.to_owned();
        reach::check_visible(&inside)?;
        // The listed folder itself may be in a nested repository, whose files are not sources.
        if !real.is_dir()
            || self
                .nested(&self.below(&inside).join(GATEWAY_FILE))?
                .is_some()
        {
            return Ok(listed);
        }
        // Pairs of a folder's path without links and its path below the listed folder.
        let mut waiting = vec![(inside, folder.to_owned())];
        while let Some((inside, folder)) = waiting.pop() {
            let entries = std::fs::read_dir(self.root.join(&inside));
            let entries = match entries.map_err(unreadable) {
                Err(Refusal::Missing) => continue,
                entries => entries?,
            };
            for entry in entries {
                let entry = entry.map_err(unreadable)?;
                let name = entry.file_name();
                let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) else {
                    continue;
                };
                let (inside, path) = (join(&inside, name)?, join(&folder, name)?);
                let kind = entry.file_type().map_err(unreadable)?;
                if kind.is_dir() {
                    if !self.is_nested(&entry.path(), &inside)? {
                        waiting.push((inside, path));
                    }
                } else if !self.ignores_inside(&inside)? {
                    match (kind.is_file(), kind.is_symlink()) {
                        (true, _) => listed.files.push(path),
                        (false, true) => listed.skipped.push((path, Skipped::Link)),
                        (false, false) => listed.skipped.push((path, Skipped::Special)),
                    }
                }
                listed.check_size(waiting.len())?;
            }
        }
        Ok(listed)
    }

    fn source(&self, path: &str, is_named: bool, bytes_max: usize) -> Result<Content, Refusal> {
        let unreadable = |error: std::io::Error| inner_path::unreadable(&error);
        let real = inner_path::resolve(&self.root, &self.outer, path)?;
        let below = real.strip_prefix(&self.outer).unwrap_or(&real);
        // Check the file type before opening: opening a pipe blocks until its other end is opened.
        if !real.metadata().map_err(unreadable)?.is_file() {
            return Err(Refusal::NotAFile);
        }
        let mut is_tracked = true;
        if !is_named {
            // For a symbolic link, check the link's name and the name of its target.
            reach::check_name(path)?;
            let inside = real.strip_prefix(&self.root).unwrap_or(below);
            reach::check_name(&inside.to_string_lossy())?;
            if let Some(nested) = self.nested(below)? {
                return Err(Refusal::Nested(nested));
            }
            if let Some(tracked) = self.tracked()? {
                tracked.check_ignored(below)?;
            }
            is_tracked = match self.tracked()? {
                Some(tracked) => tracked.has(below),
                None => true,
            };
        }
        let file = File::open(&real).map_err(unreadable)?;
        let most = u64::try_from(bytes_max).unwrap_or(u64::MAX);
        let mut bytes = Vec::new();
        file.take(most.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(unreadable)?;
        if bytes.len() > bytes_max {
            return Err(Refusal::TooLarge(bytes_max));
        }
        Ok(Content { bytes, is_tracked })
    }

    /// Returns the folder of the nested repository that contains a file, or `None`. `below` is the
    /// file's path relative to the outer folder.
    fn nested(&self, below: &Path) -> Result<Option<String>, Refusal> {
        let mut folders: Vec<&Path> = below.ancestors().skip(1).collect();
        folders.retain(|folder| !folder.as_os_str().is_empty());
        // The project's root may itself be a submodule of the work tree that contains it.
        let own = self.root.strip_prefix(&self.outer).unwrap_or(Path::new(""));
        for folder in folders.into_iter().rev() {
            let is_own = own.starts_with(folder);
            let is_nested = self
                .outer
                .join(folder)
                .join(".git")
                .symlink_metadata()
                .is_ok();
            let is_submodule = || {
                let tracked = self.tracked()?;
                Ok(tracked.is_some_and(|tracked| tracked.has_submodule(folder)))
            };
            if !is_own && (is_nested || is_submodule()?) {
                return Ok(Some(folder.to_string_lossy().into_owned()));
            }
        }
        Ok(None)
    }

    /// True if a folder is the root of another repository. `path` is the folder's path relative to
    /// the project's root.
    fn is_nested(&self, folder: &Path, path: &str) -> Result<bool, Refusal> {
        if folder.join(".git").symlink_metadata().is_ok() {
            return Ok(true);
        }
        let tracked = self.tracked()?;
        Ok(tracked.is_some_and(|tracked| tracked.has_submodule(&self.below(path))))
    }

    /// Converts a path relative to the root into a path relative to the outer folder.
    fn below(&self, path: &str) -> PathBuf {
        let below = self.root.strip_prefix(&self.outer).unwrap_or(Path::new(""));
        below.join(path)
    }

    /// Allows references to the whole work tree. Returns the number of folders between the root of
    /// the work tree and this folder.
    pub(super) fn widen(&mut self) -> usize {
        let Ok(tree) = WorkTree::find(&self.root) else {
            return 0;
        };
        let Ok(below) = self.root.strip_prefix(tree.folder()) else {
            return 0;
        };
        let outer = tree.folder().to_owned();
        // A folder that the repository ignores does not belong to the repository.
        if !below.as_os_str().is_empty() && tree.is_ignored(below) {
            return 0;
        }
        let up_max = below.components().count();
        self.outer = outer;
        self.tracked = OnceLock::new();
        up_max
    }

    /// True if Git's ignore rules exclude a file. `path` is relative to the project's root. False
    /// for a tracked file that only the base commit ignores: it is refused when it is read, because
    /// it is a source after the merge.
    ///
    /// # Errors
    /// Returns the refusal if the rules cannot be read or take too long to match.
    fn ignores_inside(&self, path: &str) -> Result<bool, Refusal> {
        let Some(tracked) = self.tracked()? else {
            return Ok(false);
        };
        match tracked.check_ignored(&self.below(path)) {
            Ok(()) => Ok(false),
            Err(Refusal::IgnoredByBase) => Ok(!tracked.has(&self.below(path))),
            Err(Refusal::Ignored | Refusal::IgnoredLink(_)) => Ok(true),
            Err(refusal) => Err(refusal),
        }
    }

    fn tracked(&self) -> Result<Option<&GitFiles>, Refusal> {
        let find = || GitFiles::find(&self.outer, self.base.as_deref());
        match self.tracked.get_or_init(find) {
            Ok(tracked) => Ok(tracked.as_ref()),
            Err(refusal) => Err(refusal.clone()),
        }
    }
}
