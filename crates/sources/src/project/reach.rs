//! Rules for files to which sources may refer. References in gateway.yaml, documents and overlays
//! can lead to other sources of the project, and to no other files in its folder.
//!
//! The author of a pull request chooses every name that is read. The folder of a CI job also
//! contains private keys, tokens and build products. A source must therefore satisfy all these
//! conditions:
//! - It has a YAML or JSON extension, and is not hidden.
//! - Git tracks it or does not ignore it. An untracked file must not be in a folder to which a
//!   tracked symbolic link with an ignored name leads: a CI job may write through this link.
//! - It contains no key material (see [`super::key_material`]), and is a map or a list.
//! - It belongs to the project's repository and not to a nested repository.
//!
//! Only the check for key material applies to files named on the command line, because the user can
//! read these files anyway.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::base::Base;
use super::patterns::{self, SharedRepository, TooSlow};
use super::refusal::Refusal;
use super::repository::{SUBMODULE, WorkTree, ignores};
use super::revision::NoRevision;

/// File extensions of sources.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// Refuses a path with a hidden name. `/` separates names.
pub(super) fn check_visible(path: &str) -> Result<(), Refusal> {
    let mut parts = path.split('/').skip_while(|part| *part == "..");
    match parts.any(|part| part.starts_with('.')) {
        true => Err(Refusal::Hidden),
        false => Ok(()),
    }
}

/// Checks each name in a path, and the extension. `/` separates names.
pub(super) fn check_name(path: &str) -> Result<(), Refusal> {
    check_visible(path)?;
    let extension = path.rsplit('/').next().and_then(|file| {
        let (stem, extension) = file.rsplit_once('.')?;
        (!stem.is_empty()).then_some(extension)
    });
    let is_known = |extension: &str| {
        EXTENSIONS
            .iter()
            .any(|known| extension.eq_ignore_ascii_case(known))
    };
    match extension {
        Some(extension) if is_known(extension) => Ok(()),
        Some(_) | None => Err(Refusal::Extension),
    }
}

/// Git's index and ignore rules for the files of a folder.
pub(super) struct GitFiles {
    /// Paths of index entries below the folder, relative to the folder.
    index: HashSet<PathBuf>,
    /// Paths of `index` that are submodules.
    submodules: HashSet<PathBuf>,
    /// Ignore rules of the commit named by `--base`. `None` without `--base`.
    base: Option<Base>,
    /// Tracked symbolic links of the work tree and of its submodules.
    links: Vec<PathBuf>,
    /// Path of the folder relative to the work tree.
    inside: PathBuf,
    /// Canonical path of the work tree.
    root: PathBuf,
    repository: SharedRepository,
}

impl GitFiles {
    /// Reads the index of the work tree that contains a folder. `None` without a work tree. Also
    /// `None` if the work tree ignores the folder and tracks no file in it, because the project
    /// then does not belong to that repository.
    ///
    /// # Errors
    /// Returns an error if the repository cannot be read, because sources could then not be
    /// distinguished from other files.
    pub(super) fn find(folder: &Path, base: Option<&str>) -> Result<Option<Self>, Refusal> {
        let tree = match WorkTree::find(folder) {
            Ok(tree) => tree,
            Err(NoRevision::NoRepository(_)) => return Ok(None),
            Err(NoRevision::Unreadable(why)) => {
                return Err(Refusal::Unreadable(format!(
                    "the Git repository cannot be read: {why}"
                )));
            }
            Err(_) => {
                return Err(Refusal::Unreadable(
                    "the Git repository cannot be read".to_owned(),
                ));
            }
        };
        let inside = tree.inside(folder).unwrap_or_default();
        let unreadable = |error: git2::Error| Refusal::Unreadable(error.message().to_owned());
        let entries = tree.repository().index().map_err(unreadable)?;
        let (mut index, mut submodules) = (HashSet::new(), HashSet::new());
        for entry in entries.iter() {
            let path = std::str::from_utf8(&entry.path).ok().map(Path::new);
            let Some(path) = path.and_then(|path| path.strip_prefix(&inside).ok()) else {
                continue;
            };
            index.insert(path.to_owned());
            if entry.mode == SUBMODULE {
                submodules.insert(path.to_owned());
            }
        }
        drop(entries);
        let is_below = !inside.as_os_str().is_empty();
        let root = tree.folder().to_owned();
        let links = tree.links(None);
        let repository = tree.into_shared();
        // A final `/` (`join("")`) makes ignore rules match that apply to folders only.
        let folder_of_tree = inside.join("");
        let is_ignored = || {
            patterns::run(&repository, move |repository| {
                repository.is_path_ignored(folder_of_tree).unwrap_or(false)
            })
        };
        if is_below
            && index.is_empty()
            && is_ignored().map_err(|_| patterns::refusal(&root, &inside))?
        {
            return Ok(None);
        }
        let base = base.map(|commit| Base::read(folder, commit)).transpose()?;
        Ok(Some(Self {
            index,
            submodules,
            base,
            links,
            inside,
            root,
            repository,
        }))
    }

    /// True if the index contains the path, or a submodule that contains the path.
    pub(super) fn has(&self, path: &Path) -> bool {
        path.ancestors()
            .any(|path| !path.as_os_str().is_empty() && self.index.contains(path))
    }

    /// True if a path of the folder is a submodule.
    pub(super) fn has_submodule(&self, path: &Path) -> bool {
        self.submodules.contains(path)
    }

    /// Refuses a path that Git ignores and does not track, or that the base commit ignores and does
    /// not contain. Also refuses a path whose ignore rules take too long to match.
    pub(super) fn check_ignored(&self, path: &Path) -> Result<(), Refusal> {
        let inside = self.inside.join(path);
        let slow = |_| patterns::refusal(&self.root, &inside);
        if let Some(base) = &self.base
            && base.ignores(&inside).map_err(slow)?
        {
            return Err(Refusal::IgnoredByBase);
        }
        if self.has(path) {
            return Ok(());
        }
        if ignores(&self.repository, &inside).map_err(slow)? {
            return Err(Refusal::Ignored);
        }
        match self.ignored_link_to(&inside).map_err(slow)? {
            Some(link) => Err(Refusal::IgnoredLink(link.display().to_string())),
            None => Ok(()),
        }
    }

    /// Finds a tracked symbolic link with an ignored name that leads to a path of the work tree or
    /// to a folder above it. The rules of the base commit count, too.
    fn ignored_link_to(&self, path: &Path) -> Result<Option<&Path>, TooSlow> {
        let path = self.root.join(path);
        for link in &self.links {
            let end = self.root.join(link).canonicalize();
            if !end.is_ok_and(|end| path.starts_with(end)) {
                continue;
            }
            // A final `/` (`join("")`) makes ignore rules match that apply to folders only.
            let name = link.join("");
            let by_base = |base: &Base| base.ignores(&name);
            if ignores(&self.repository, &name)? || self.base.as_ref().map_or(Ok(false), by_base)? {
                return Ok(Some(link));
            }
        }
        Ok(None)
    }
}

/// Checks that a file is a map or a list, by its first line with content. Other files are refused,
/// and gwc keeps no text, excerpt or digest of them.
pub(super) fn check_form(bytes: &[u8]) -> Result<(), Refusal> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let first = lines.find_map(|line| {
        let line = match line.strip_prefix(b"---") {
            Some(rest) if rest.first().is_none_or(u8::is_ascii_whitespace) => rest.trim_ascii(),
            Some(_) | None => line,
        };
        let blank = line.is_empty() || line.starts_with(b"#") || line.starts_with(b"%");
        (!blank).then_some(line)
    });
    let Some(line) = first else {
        return Ok(());
    };
    let is_list = line == b"-" || line.starts_with(b"- ") || line.starts_with(b"-\t");
    let is_flow = matches!(line.first(), Some(b'{' | b'['));
    let is_entry = line.starts_with(b"? ")
        || line.ends_with(b":")
        || line
            .windows(2)
            .any(|pair| pair[0] == b':' && pair[1].is_ascii_whitespace());
    // A tag or an anchor may be on its own line before the value.
    let is_decorated = matches!(line.first(), Some(b'!' | b'&')) && !line.contains(&b' ');
    if is_list || is_flow || is_entry || is_decorated {
        return Ok(());
    }
    Err(Refusal::NotADocument)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_of_a_source_is_visible_yaml_or_json() {
        for good in ["a.yaml", "b/c.YML", "b.c/d.json", "a..yaml"] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for hidden in [".a.yaml", ".git/x.yaml", "a/.b/c.json", ".yaml"] {
            assert_eq!(check_name(hidden), Err(Refusal::Hidden), "{hidden}");
        }
        for other in ["a", "a.pem", "a.yaml.bak", "yaml", "a.yaml/b", ""] {
            assert_eq!(check_name(other), Err(Refusal::Extension), "{other}");
        }
    }

    #[test]
    fn bare_text_is_no_document() {
        let documents: [&[u8]; 12] = [
            b"",
            b"# only a comment\n",
            b"a: 1",
            b"\xef\xbb\xbf---\n# x\n\"a\":\n  b",
            b"%YAML 1.2\n---\na: b",
            b"- a",
            b"[1]",
            b" {\"a\": 1}",
            b"--- {a: 1}",
            b"? a\n: b",
            b"!!map\na: b",
            b"&anchor\na: b",
        ];
        for document in documents {
            let text = String::from_utf8_lossy(document);
            assert_eq!(check_form(document), Ok(()), "{text}");
        }
        let others: [&[u8]; 6] = [
            b"hunter2",
            b"TOKEN=abc\n",
            b"user:secret\n",
            b"--- hunter2",
            b"\x00\x01\x02",
            b"\"hunter2\"",
        ];
        for other in others {
            let text = String::from_utf8_lossy(other);
            assert_eq!(check_form(other), Err(Refusal::NotADocument), "{text}");
        }
    }
}
