//! Interpretation of an argument that names a side of a comparison: a revision, a folder, a
//! document, or a bundle.

use std::path::Path;

use super::working_folder::{self, Argument, Meaning, Names, WorkingFolder};
use super::{Place, What};
use crate::cli::say::{self, Context};
use crate::release::links;
use model::compile::{self, Input};
use model::exit::{self, Exit, Failure};
use sources::project::GATEWAY_FILE;
use sources::project::files::{FETCH_OBJECTS, Refusal, join};
use sources::project::repository::WorkTree;
use sources::project::revision::{End, NoRevision, Revision, inside};

/// Code of the error for a folder without a project.
const NO_PROJECT: &str = "no-project";

pub(super) fn of_path(text: &str) -> anyhow::Result<What> {
    let path = Path::new(text);
    if path.is_dir() {
        links::check_folder(path)?;
        let input = compile::find(Some(path))
            .map_err(|error| Failure::new(Exit::INPUT, NO_PROJECT, error.to_string()))?;
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

/// True if `git:REV` names a revision without any project, so that the project of the command is
/// new. False if a gateway.yaml of the revision is no longer in the work tree: the project may have
/// been moved, and must then be compared with the one at its old place.
pub(in crate::cli) fn is_before_project(text: &str, context: &Context) -> anyhow::Result<bool> {
    let Some(text) = text.strip_prefix("git:") else {
        return Ok(false);
    };
    let (name, None) = split_revision(text) else {
        return Ok(false);
    };
    // All other errors are reported when the old version is read.
    let found = of_revision(text, context).err();
    if found.is_none_or(|error| exit::of(&error).1 != NO_PROJECT) {
        return Ok(false);
    }
    let Input::Project(folder) = context.input(None)? else {
        return Ok(false);
    };
    let failed = |why: NoRevision| no_revision(name, &why);
    let tree = WorkTree::find(&folder).map_err(failed)?;
    let root = tree.folder().to_owned();
    let revision = Revision::in_work_tree(tree, name).map_err(failed)?;
    let known = revision.all_named(GATEWAY_FILE);
    let is_kept = |path: &String| root.join(path).is_file();
    Ok(known.is_some_and(|paths| paths.iter().all(is_kept)))
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

pub(super) fn of_revision(text: &str, context: &Context) -> anyhow::Result<What> {
    let (name, path) = split_revision(text);
    if name.is_empty() {
        return Err(Failure::usage(
            "`git:` is followed by a revision: write git:main, git:HEAD~1 or git:v1.2.0, and git:main:FOLDER where the project is elsewhere",
        )
        .into());
    }
    let project = context.input(None).ok();
    let working = WorkingFolder::of(context)?;
    let near = match (&context.project, &project) {
        (None, Some(input)) => input.folder().to_owned(),
        (Some(_), _) | (None, None) => working.path.clone(),
    };
    let failed = |why: NoRevision| no_revision(name, &why);
    let tree = WorkTree::find(&near).map_err(failed)?;
    if let (None, Some(Input::Project(folder))) = (path, &project) {
        check_tracked(&tree, folder).map_err(failed)?;
    }
    check_above(&tree, &near, (name, path))?;
    let here = inside(&near).map_err(failed)?.folder;
    let is_relative = |path: &str| path.starts_with("./") || path.starts_with("../");
    let submodule = tree.submodule();
    let argument = Argument {
        text,
        revision: name,
    };
    let names = match path.is_none_or(is_relative) {
        true => Some(Names::of(&working, &tree, argument)?),
        false => None,
    };
    let revision = Revision::in_work_tree(tree, name).map_err(failed)?;
    if let Some(names) = names {
        let meaning = match (&project, path) {
            (Some(Input::Project(_)), _) => Meaning::Project(here.clone()),
            (None, None) => Meaning::Project(above(&revision, &here)),
            (Some(Input::Document(_)), _) | (None, Some(_)) => Meaning::Folder(here.clone()),
        };
        names.check(&revision, &meaning)?;
    }
    let refused = |_| {
        Failure::usage(format!(
            "`git:{text}` is outside the repository; write a path inside it"
        ))
    };
    let wanted = match (path, &project) {
        (Some(path), _) if is_relative(path) => join(&here, path).map_err(refused)?,
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
    working_folder::project_above(revision, folder).unwrap_or_default()
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
            NO_PROJECT,
            format!(
                "{what} in {name} ({commit}); where the project was elsewhere then, write git:{name}:FOLDER, with the path from the repository's root"
            ),
        )
    };
    let end_of = |path: &str| match revision.resolve(path) {
        Err(Refusal::NotFetched) => Err(no_revision(name, &NoRevision::NotFetched)),
        found => Ok(found.ok()),
    };
    let end = if wanted.is_empty() {
        Some(End::Folder(String::new()))
    } else {
        end_of(wanted)?
    };
    match end {
        None => Err(missing(&format!("there is no `{wanted}`")).into()),
        Some(End::Folder(folder)) => {
            let file = join(&folder, GATEWAY_FILE).unwrap_or_default();
            if !matches!(end_of(&file)?, Some(End::File(_))) {
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
        NoRevision::NotFetched => input(
            "incomplete-clone",
            format!(
                "`git:{name}`: this partial clone lacks objects of the revision; {FETCH_OBJECTS}"
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
