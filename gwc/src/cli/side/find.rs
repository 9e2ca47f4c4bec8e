//! Interpretation of an argument that names a side of a comparison: a revision, a folder, a
//! document, or a bundle.

use std::path::{Path, PathBuf};

use super::{Place, What};
use crate::cli::say::{self, Context};
use crate::release::links;
use model::compile::{self, Input};
use model::exit::{Exit, Failure};
use sources::project::GATEWAY_FILE;
use sources::project::files::join;
use sources::project::repository::WorkTree;
use sources::project::revision::{End, NoRevision, Revision, inside};

pub(super) fn of_path(text: &str) -> anyhow::Result<What> {
    let path = Path::new(text);
    if path.is_dir() {
        let input = compile::find(Some(path))
            .map_err(|error| Failure::new(Exit::INPUT, "no-project", error.to_string()))?;
        return Ok(What::Project(Place::Disk(input.folder().to_owned())));
    }
    let kind = path.extension().and_then(|kind| kind.to_str());
    if path.is_file() && matches!(kind, Some("yaml" | "yml" | "json")) {
        links::check(path)?;
        let input = Input::Document(path.to_owned());
        let folder = Place::Disk(input.folder().to_owned());
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        return Ok(match &*name {
            GATEWAY_FILE => What::Project(folder),
            name => What::Document(folder, name.to_owned()),
        });
    }
    Ok(What::Bundle)
}

/// Resolves `--base git:REV` to a commit, in the repository that contains `path` or the project.
pub(in crate::cli) fn base(
    text: &str,
    path: Option<&Path>,
    context: &Context,
) -> anyhow::Result<String> {
    let name = text.strip_prefix("git:").filter(|name| !name.is_empty());
    let name = name.filter(|name| split_revision(name).1.is_none());
    let name = name.ok_or_else(|| {
        Failure::usage(format!(
            "`--base {}`: write a revision, as in --base git:refs/remotes/origin/main",
            text.escape_debug()
        ))
    })?;
    commit_of(name, path, context)
}

/// Resolves the revision of `--against git:REV` or `git:REV:PATH` to a commit, in the project's
/// repository.
pub(in crate::cli) fn base_of(text: &str, context: &Context) -> anyhow::Result<String> {
    commit_of(split_revision(text).0, None, context)
}

fn commit_of(name: &str, path: Option<&Path>, context: &Context) -> anyhow::Result<String> {
    let input = context.input(path)?;
    let failed = |why: NoRevision| no_revision(name, &why);
    let tree = WorkTree::find(input.folder()).map_err(failed)?;
    check_above(&tree, input.folder(), (name, None))?;
    let revision = Revision::in_work_tree(tree, name).map_err(failed)?;
    let commit = revision.commit();
    Ok(commit.ok_or_else(|| no_revision(name, &NoRevision::NoTree))?)
}

/// Returns the first symbolic link inside a work tree in the path of a folder as the user wrote it.
/// `PWD` contains the links through which the current directory was entered.
fn link_in_path(near: &Path, tree: &Path) -> Option<PathBuf> {
    let physical = std::env::current_dir().ok()?;
    let is_here = |path: &PathBuf| path.canonicalize().is_ok_and(|path| path == physical);
    let logical = std::env::var_os("PWD").map(PathBuf::from).filter(is_here);
    let logical = logical.unwrap_or_else(|| physical.clone());
    let named = match physical.strip_prefix(near) {
        // The project is in a parent of the current directory.
        Ok(below) => logical
            .ancestors()
            .nth(below.components().count())?
            .to_owned(),
        Err(_) => logical.join(near),
    };
    let is_link = |path: &&Path| {
        let parent = path.parent().and_then(|parent| parent.canonicalize().ok());
        path.is_symlink() && parent.is_some_and(|parent| parent.starts_with(tree))
    };
    named.ancestors().find(is_link).map(Path::to_owned)
}

/// Maximum number of paths over links that are compared.
const LINKED_PATHS_MAX: usize = 1_000;
/// Maximum number of segments of such a path. Links that lead to their own parents would make paths
/// of any length.
const LINKED_DEPTH_MAX: usize = 64;

/// Paths in the work tree that lead to a folder over one or more tracked symbolic links.
fn linked_paths(near: &Path, tree: &WorkTree) -> Vec<PathBuf> {
    let Ok(near) = near.canonicalize() else {
        return Vec::new();
    };
    // Targets of the links: the folder that a link leads to, and the path after its first step. A
    // link may lead to a folder in which another link leads to the project.
    let Ok(root) = tree.folder().canonicalize() else {
        return Vec::new();
    };
    let links: Vec<(PathBuf, PathBuf)> = tree
        .links()
        .into_iter()
        .filter_map(|link| {
            let end = root.join(&link).canonicalize().ok()?;
            let end = end.strip_prefix(&root).ok()?.to_owned();
            Some((link, end))
        })
        .collect();
    let Ok(project) = near.strip_prefix(&root) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = vec![project.to_owned()];
    let mut at = 0;
    while at < paths.len() && paths.len() < LINKED_PATHS_MAX {
        for (link, end) in &links {
            let Ok(rest) = paths[at].strip_prefix(end) else {
                continue;
            };
            // Without `collect`, an empty rest would end the path in a slash.
            let path: PathBuf = link.join(rest).components().collect();
            if !paths.contains(&path) && path.components().count() <= LINKED_DEPTH_MAX {
                paths.push(path);
            }
        }
        at += 1;
    }
    paths.split_off(1)
}

/// Refuses a revision in which one of the `paths` to the project's folder (`here`) leads to another
/// folder. The user may mean that folder: a process can enter the project's folder over such a path
/// without naming it in `PWD`.
fn check_links(
    paths: &[PathBuf],
    here: &str,
    (revision, name): (&Revision, &str),
) -> anyhow::Result<()> {
    let other = paths.iter().find_map(|path| {
        let end = revision.end(&path.to_string_lossy());
        match end {
            Some(End::Folder(end)) if end != here => Some((path, end)),
            _ => None,
        }
    });
    let Some((path, end)) = other else {
        return Ok(());
    };
    let (path, end) = (say::path(path), say::path(Path::new(&end)));
    Err(Failure::usage(format!(
        "`{path}` leads to this project over a symbolic link, and to the folder `{end}` in \
         `git:{name}`; write git:{name}:FOLDER, to say which folder you compare with"
    ))
    .into())
}

pub(super) fn of_revision(text: &str, context: &Context) -> anyhow::Result<What> {
    let (name, path) = split_revision(text);
    if name.is_empty() {
        return Err(Failure::usage(
            "`git:` is followed by a revision: write git:main, git:HEAD~1 or git:v1.2.0, and git:main:FOLDER where the project is elsewhere",
        )
        .into());
    }
    let project = context.input(None).ok();
    let near = match (&context.project, &project) {
        (Some(folder), _) if folder.is_dir() => folder.clone(),
        (_, Some(input)) => input.folder().to_owned(),
        (_, None) => std::env::current_dir()?,
    };
    let failed = |why: NoRevision| no_revision(name, &why);
    let tree = WorkTree::find(&near).map_err(failed)?;
    if let (None, Some(Input::Project(folder))) = (path, &project) {
        check_tracked(&tree, folder).map_err(failed)?;
    }
    if path.is_none()
        && let Some(link) = link_in_path(&near, tree.folder())
    {
        return Err(Failure::usage(format!(
            "`{}` is a symbolic link, so `git:{text}` would be read from another folder than the \
             named one; run gwc in the folder itself, or write git:{name}:FOLDER",
            say::path(&link)
        ))
        .into());
    }
    check_above(&tree, &near, (name, path))?;
    let submodule = tree.submodule();
    let paths = linked_paths(&near, &tree);
    let revision = Revision::in_work_tree(tree, name).map_err(failed)?;
    let here = inside(&near).map_err(failed)?.folder;
    if path.is_none() {
        check_links(&paths, &here, (&revision, name))?;
    }
    let refused = |_| {
        Failure::usage(format!(
            "`git:{text}` is outside the repository; write a path inside it"
        ))
    };
    let wanted = match (path, &project) {
        (Some(path), _) if path.starts_with("./") || path.starts_with("../") => {
            join(&here, path).map_err(refused)?
        }
        (Some(path), _) => join("", &format!("./{path}")).map_err(refused)?,
        (None, Some(Input::Document(path))) => {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            join(&here, &format!("./{name}")).map_err(refused)?
        }
        (None, Some(Input::Project(_))) => here,
        (None, None) => above(&revision, &here),
    };
    found(revision, name, &wanted, submodule.as_ref())
}

/// Refuses a repository that does not track the project: a repository inside the project folder, or
/// an unrelated repository that contains the folder.
fn check_tracked(tree: &WorkTree, folder: &Path) -> Result<(), NoRevision> {
    let inside = tree.inside(folder);
    if inside.is_some_and(|inside| tree.tracks(&inside.join(GATEWAY_FILE))) {
        return Ok(());
    }
    Err(NoRevision::Untracked(tree.folder().to_owned()))
}

/// Refuses to read a revision of a submodule if the parent repository determines the submodule's
/// content. This is the case if the parent contains the project itself, or pins another commit of
/// the submodule. Otherwise, anyone who can push branches of the submodule could choose the old
/// version.
fn check_above(
    tree: &WorkTree,
    near: &Path,
    (name, path): (&str, Option<&str>),
) -> anyhow::Result<()> {
    let mut folder = tree.folder().to_owned();
    while let Some(above) = folder.parent().and_then(|above| WorkTree::find(above).ok()) {
        above.folder().clone_into(&mut folder);
        let Some(own) = above.inside(near) else {
            continue;
        };
        let Ok(revision) = Revision::in_work_tree(above, name) else {
            continue;
        };
        let own = own.to_string_lossy().into_owned();
        let folders = [Some(own.as_str()), path];
        let projects = folders.into_iter().flatten();
        let mut files = projects.map(|folder| format!("{folder}/{GATEWAY_FILE}"));
        if files.any(|file| matches!(revision.end(&file), Some(End::File(_)))) {
            let message = format!(
                "`git:{name}` would be read from the submodule `{own}`, but its parent repository \
                 contains the project in that revision; run gwc in {} with git:{name}:{own} as the \
                 old side, or compare with a bundle's id",
                say::path(&folder)
            );
            return Err(Failure::new(Exit::INPUT, "submodule-for-project", message).into());
        }
        let pinned = above_tree(tree, &folder).and_then(|path| revision.submodule(&path));
        let Some(pinned) = pinned else { continue };
        let here =
            WorkTree::find(tree.folder()).and_then(|tree| Revision::in_work_tree(tree, name));
        if here.is_ok_and(|here| here.commit().as_ref() != Some(&pinned)) {
            let message = format!(
                "`git:{name}` would be read from the submodule `{own}`, but its parent repository \
                 has another commit of the submodule in that revision; write git:{pinned}"
            );
            return Err(Failure::new(Exit::INPUT, "submodule-for-project", message).into());
        }
    }
    Ok(())
}

/// Path of a work tree relative to `above`, the folder of the work tree that contains it.
fn above_tree(tree: &WorkTree, above: &Path) -> Option<String> {
    let path = tree.folder().strip_prefix(above).ok()?;
    Some(path.to_string_lossy().into_owned())
}

/// Returns the nearest folder that contains a project: `folder` or one of its parents. Empty (the
/// root) if no folder has one.
fn above(revision: &Revision, folder: &str) -> String {
    let mut folder = folder;
    loop {
        let path = join(folder, GATEWAY_FILE).unwrap_or_default();
        if folder.is_empty() || matches!(revision.end(&path), Some(End::File(_))) {
            return folder.to_owned();
        }
        folder = folder.rsplit_once('/').map_or("", |(above, _)| above);
    }
}

/// Finds the project or document at a path in a revision.
fn found(
    revision: Revision,
    name: &str,
    wanted: &str,
    submodule: Option<&String>,
) -> anyhow::Result<What> {
    let place = |revision: Revision, folder: &str| {
        let shown = match folder {
            "" => format!("{name}:"),
            folder => format!("{name}:{folder}/"),
        };
        Place::Git(
            revision.in_folder(folder.to_owned()),
            shown,
            submodule.cloned(),
        )
    };
    let missing = |what: &str| {
        let commit = revision.commit().unwrap_or_default();
        let commit = commit.get(..8).unwrap_or("it");
        Failure::new(
            Exit::INPUT,
            "no-project",
            format!(
                "{what} in {name} ({commit}); where the project was elsewhere then, write git:{name}:FOLDER, with the path from the repository's root"
            ),
        )
    };
    let end = if wanted.is_empty() {
        Some(End::Folder(String::new()))
    } else {
        revision.end(wanted)
    };
    match end {
        None => Err(missing(&format!("there is no `{wanted}`")).into()),
        Some(End::Folder(folder)) => {
            let file = join(&folder, GATEWAY_FILE).unwrap_or_default();
            if !matches!(revision.end(&file), Some(End::File(_))) {
                return Err(missing(&format!("there is no `{file}`")).into());
            }
            Ok(What::Project(place(revision, &folder)))
        }
        Some(End::File(file)) => {
            let (folder, file) = file.rsplit_once('/').unwrap_or(("", &file));
            Ok(match file {
                GATEWAY_FILE => What::Project(place(revision, folder)),
                file => What::Document(place(revision, folder), file.to_owned()),
            })
        }
    }
}

/// Splits `REV` or `REV:PATH`. A colon inside braces belongs to the revision.
fn split_revision(text: &str) -> (&str, Option<&str>) {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ':' if depth == 0 => return (&text[..at], Some(&text[at + 1..])),
            _ => {}
        }
    }
    (text, None)
}

fn no_revision(name: &str, why: &NoRevision) -> Failure {
    let input = |code: &str, message: String| Failure::new(Exit::INPUT, code, message);
    match why {
        NoRevision::NoRepository(near) => input(
            "no-repository",
            format!(
                "`git:{name}`: {} is not in a Git repository; name a bundle's id, a folder or a file instead",
                say::path(near)
            ),
        ),
        NoRevision::Unreadable(why) => input(
            "no-repository",
            format!("`git:{name}`: the Git repository cannot be read: {why}"),
        ),
        NoRevision::Unknown { near, shallow } => {
            let near = near
                .as_ref()
                .map(|near| format!("; did you mean `git:{near}`?"))
                .unwrap_or_default();
            let shallow = match shallow {
                true => {
                    "; this is a shallow clone, so fetch it first (`git fetch --depth=1 origin REV`, or `fetch-depth: 0` in CI)"
                }
                false => "",
            };
            input(
                "no-such-revision",
                format!(
                    "there is no revision `{}` in this repository{near}{shallow}",
                    name.escape_debug()
                ),
            )
        }
        NoRevision::Untracked(folder) => input(
            "no-repository",
            format!(
                "`git:{name}`: the repository of {} does not track `{GATEWAY_FILE}`; add the file (`git add {GATEWAY_FILE}`), or name a folder or a bundle's id instead",
                say::path(folder)
            ),
        ),
        NoRevision::Ambiguous(references) => input(
            "ambiguous-revision",
            format!(
                "`git:{name}` names {} references: {}; write the one that you mean, as in git:{}",
                references.len(),
                references.join(", "),
                references.last().map_or("refs/heads/main", String::as_str)
            ),
        ),
        NoRevision::NoTree => input(
            "no-such-revision",
            format!(
                "`git:{name}` is neither a commit nor a tree; write a branch, a tag or a commit"
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_may_name_a_path() {
        assert_eq!(split_revision("main"), ("main", None));
        assert_eq!(split_revision("main:a/b"), ("main", Some("a/b")));
        assert_eq!(
            split_revision("HEAD^{/fix: x}:a"),
            ("HEAD^{/fix: x}", Some("a"))
        );
    }
}
