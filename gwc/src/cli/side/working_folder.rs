//! Check that the working folder leads to the same project in a revision as on disk.
//!
//! The working folder is the current directory or the folder of `--project`. A process can enter it
//! over any path that contains symbolic links, and the operating system then only shows the
//! physical path. The author of a pull request can thereby replace the folder that a CI job enters
//! by a link to another project. An older version of that project may also be in the target branch.
//! Therefore, every name of the working folder must lead to the same project in the revision.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::cli::say::{self, Context};
use crate::release::links;
use model::exit::Failure;
use sources::project::GATEWAY_FILE;
use sources::project::files::{Refusal, join};
use sources::project::repository::WorkTree;
use sources::project::revision::{End, Revision};

/// Maximum number of names of the working folder that contain symbolic links. With more names, the
/// revision is refused.
const NAMES_MAX: usize = 1_000;

/// Folder of `--project`, otherwise the current directory.
pub(super) struct WorkingFolder {
    /// Path of the folder.
    pub(super) path: PathBuf,
    /// Absolute path as the user wrote it, with symbolic links.
    written: PathBuf,
}

impl WorkingFolder {
    pub(super) fn of(context: &Context) -> anyhow::Result<Self> {
        let entered = links::entered_directory()?;
        let given = match &context.project {
            Some(folder) if folder.is_dir() => Some(folder.as_path()),
            Some(file) => file.parent(),
            None => None,
        };
        Ok(
            match given.filter(|folder| !folder.as_os_str().is_empty()) {
                Some(folder) => Self {
                    path: folder.to_owned(),
                    written: entered.join(folder),
                },
                None => Self {
                    path: std::env::current_dir()?,
                    written: entered,
                },
            },
        )
    }
}

/// Revision on the command line.
#[derive(Clone, Copy)]
pub(super) struct Argument<'a> {
    /// Revision and path: `REV`, `REV:./PATH`.
    pub(super) text: &'a str,
    /// Name of the revision.
    pub(super) revision: &'a str,
}

/// Returns the nearest folder that contains a project in a revision: `folder` or one of its
/// parents.
pub(super) fn project_above(revision: &Revision, folder: &str) -> Option<String> {
    let mut folder = folder;
    loop {
        let path = join(folder, &format!("./{GATEWAY_FILE}")).ok()?;
        if matches!(revision.end(&path), Some(End::File(_))) {
            return Some(folder.to_owned());
        }
        folder = match folder {
            "" => return None,
            folder => folder.rsplit_once('/').map_or("", |(above, _)| above),
        };
    }
}

/// Required end of each name of the working folder in a revision. Paths are relative to the
/// repository.
pub(super) enum Meaning {
    /// The nearest project, at the end of the name or above it, is in this folder.
    Project(String),
    /// The name is the path of this folder, after its symbolic links are followed.
    Folder(String),
}

/// Names of a working folder in its work tree.
pub(super) struct Names<'a> {
    argument: Argument<'a>,
    /// Physical path, relative to the work tree.
    own: PathBuf,
    /// Tracked symbolic links on paths to the working folder, by the folder that each one leads to.
    /// All paths are relative to the work tree.
    links: BTreeMap<PathBuf, Vec<PathBuf>>,
}

impl<'a> Names<'a> {
    /// Finds the names of a working folder.
    ///
    /// # Errors
    /// Returns a usage error if the path as written contains a committed link. Also returns this
    /// error if a link of an outer work tree leads to the folder.
    pub(super) fn of(
        folder: &WorkingFolder,
        tree: &WorkTree,
        argument: Argument<'a>,
    ) -> anyhow::Result<Self> {
        check_written(&folder.written, tree, argument)?;
        let own = tree.inside(&folder.path).unwrap_or_default();
        let mut links: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
        for (link, end) in ends(tree, None) {
            if let Ok(end) = end.strip_prefix(tree.folder()) {
                links.entry(end.to_owned()).or_default().push(link);
            }
        }
        let reached = reached(&own, &links);
        links.retain(|end, _| reached.contains(end));
        check_outer(tree, &reached, argument)?;
        Ok(Self {
            argument,
            own,
            links,
        })
    }

    /// Refuses a revision in which one of the names leads to another project. A name that the
    /// revision lacks has no earlier meaning.
    ///
    /// # Errors
    /// Returns a usage error with the name and what to write instead.
    pub(super) fn check(&self, revision: &Revision, meaning: &Meaning) -> anyhow::Result<()> {
        self.check_name(&self.own, revision, meaning)?;
        // If the revision has the same links with the same ends, then each name over them leads
        // where the physical path leads.
        let is_same = |(end, links): (&PathBuf, &Vec<PathBuf>)| {
            let end = end.to_str();
            links.iter().all(|link| {
                let there = link.to_str().and_then(|link| revision.end(link));
                matches!((there, end), (Some(End::Folder(there)), Some(end)) if there == end)
            })
        };
        if self.links.iter().all(is_same) {
            return Ok(());
        }
        let mut names = vec![self.own.clone()];
        let mut known: BTreeSet<PathBuf> = names.iter().cloned().collect();
        let mut at = 0;
        while at < names.len() {
            let name = names[at].clone();
            at += 1;
            for end in name.ancestors() {
                let rest = name.strip_prefix(end).unwrap_or(Path::new(""));
                for link in self.links.get(end).into_iter().flatten() {
                    // Without `collect`, an empty `rest` would add a slash at the end of the path.
                    let other: PathBuf = link.join(rest).components().collect();
                    if !known.insert(other.clone()) {
                        continue;
                    }
                    if names.len() >= NAMES_MAX {
                        return Err(self.failure(&format!(
                            "the working folder has more than {NAMES_MAX} names over symbolic \
                             links, such as `{}`",
                            say::path(&other)
                        )));
                    }
                    self.check_name(&other, revision, meaning)?;
                    names.push(other);
                }
            }
        }
        Ok(())
    }

    fn check_name(
        &self,
        name: &Path,
        revision: &Revision,
        meaning: &Meaning,
    ) -> anyhow::Result<()> {
        let shown = match name.as_os_str().is_empty() {
            true => ".".to_owned(),
            false => say::path(name),
        };
        let Some(name) = name.to_str() else {
            return Err(self.failure(&format!("`{shown}` leads here and is not UTF-8")));
        };
        let other = match revision.resolve(name) {
            Err(Refusal::Missing) | Ok(End::File(_)) => return Ok(()),
            Err(Refusal::Submodule(path)) => {
                format!("into the submodule `{}`", say::path(Path::new(&path)))
            }
            Err(Refusal::Outside) => "out of the repository".to_owned(),
            Err(_) => "over too many symbolic links".to_owned(),
            Ok(End::Folder(end)) => {
                let end = match meaning {
                    Meaning::Project(_) => project_above(revision, &end),
                    Meaning::Folder(_) => Some(end),
                };
                let (Meaning::Project(expected) | Meaning::Folder(expected)) = meaning;
                match end {
                    Some(end) if end != *expected => format!("to {}", folder_name(&end)),
                    Some(_) | None => return Ok(()),
                }
            }
        };
        let here = match meaning {
            Meaning::Project(folder) => format!("the project in {}", folder_name(folder)),
            Meaning::Folder(folder) => folder_name(folder),
        };
        Err(self.failure(&format!(
            "the path `{shown}` of the repository leads to {here}, but in that revision it leads \
             {other}"
        )))
    }

    fn failure(&self, what: &str) -> anyhow::Error {
        failure(self.argument, what)
    }
}

/// Folder of a repository for messages.
fn folder_name(folder: &str) -> String {
    match folder {
        "" => "the root of the repository".to_owned(),
        folder => format!("the folder `{}`", say::path(Path::new(folder))),
    }
}

fn failure(argument: Argument<'_>, what: &str) -> anyhow::Error {
    let Argument { text, revision } = argument;
    Failure::usage(format!(
        "`git:{text}` is ambiguous: {what}; write git:{revision}:FOLDER, with the path from the \
         repository's root, to say which folder you compare with"
    ))
    .into()
}

/// Tracked symbolic links of a work tree and of its submodules, with their physical ends.
fn ends(tree: &WorkTree, except: Option<&Path>) -> Vec<(PathBuf, PathBuf)> {
    let links = tree.links(except).into_iter();
    let ends = links.filter_map(|link| {
        let end = tree.folder().join(&link).canonicalize().ok()?;
        Some((link, end))
    });
    ends.collect()
}

/// Returns the physical folders from which the working folder can be entered: the folders above it,
/// and the folders above each link that leads to one of these.
fn reached(own: &Path, links: &BTreeMap<PathBuf, Vec<PathBuf>>) -> BTreeSet<PathBuf> {
    let mut reached: BTreeSet<PathBuf> = own.ancestors().map(Path::to_owned).collect();
    let mut waiting: Vec<PathBuf> = reached.iter().cloned().collect();
    while let Some(folder) = waiting.pop() {
        for link in links.get(&folder).into_iter().flatten() {
            for above in link.ancestors().skip(1) {
                if reached.insert(above.to_owned()) {
                    waiting.push(above.to_owned());
                }
            }
        }
    }
    reached
}

/// Refuses tracked links of the work trees around `tree` that lead to the working folder or above
/// it. The revision has no version of these links.
fn check_outer(
    tree: &WorkTree,
    reached: &BTreeSet<PathBuf>,
    argument: Argument<'_>,
) -> anyhow::Result<()> {
    let mut folder = tree.folder().to_owned();
    while let Some(outer) = folder.parent().and_then(|above| WorkTree::find(above).ok()) {
        outer.folder().clone_into(&mut folder);
        let leads_here = |end: &Path| match end.strip_prefix(tree.folder()) {
            Ok(inside) => reached.contains(inside),
            Err(_) => tree.folder().starts_with(end),
        };
        let mut ends = ends(&outer, Some(tree.folder())).into_iter();
        if let Some((link, _)) = ends.find(|(_, end)| leads_here(end)) {
            return Err(failure(
                argument,
                &format!(
                    "`{}` leads here and is a symbolic link of another repository, the one in {}",
                    say::path(&link),
                    say::path(outer.folder())
                ),
            ));
        }
    }
    Ok(())
}

/// Refuses a committed symbolic link in the path of a folder as the user wrote it.
fn check_written(written: &Path, tree: &WorkTree, argument: Argument<'_>) -> anyhow::Result<()> {
    for link in written.ancestors().filter(|path| path.is_symlink()) {
        let parent = link.parent().and_then(|parent| parent.canonicalize().ok());
        let is_here = parent.is_some_and(|parent| parent.starts_with(tree.folder()));
        if is_here || links::is_tracked(link) {
            return Err(failure(
                argument,
                &format!(
                    "`{}` is a symbolic link, and may have led elsewhere in that revision",
                    say::path(link)
                ),
            ));
        }
    }
    Ok(())
}
