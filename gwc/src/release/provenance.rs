//! Provenance: the origin of a bundle, as its build statement describes it.

use std::path::Path;

use anyhow::{Context as _, bail};
use bundle::digest::Digest;
use bundle::manifest::FORMAT;
use bundle::name::ProjectName;
use bundle::statement::predicate::{Build, Builder, Git};
use git2::{ErrorCode, StatusOptions};

use model::source_map::SourceMap;
use sources::project::GATEWAY_FILE;
use sources::project::patterns;
use sources::project::repository::WorkTree;
use sources::project::revision::{NoRevision, Revision};

/// Version of this compiler.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Creates the predicate of a build statement for the sources of a project.
///
/// # Errors
/// Returns an error if the Git repository cannot be read.
pub fn build(
    root: &Path,
    environment: Option<String>,
    project: ProjectName,
    source: Option<Digest>,
    map: &SourceMap,
) -> anyhow::Result<Build> {
    Ok(Build {
        builder: Builder {
            gwc: VERSION.to_owned(),
            commit: option_env!("GWC_COMMIT").map(str::to_owned),
        },
        format: FORMAT,
        git: git(root, map)?,
        environment,
        project,
        source,
    })
}

/// Returns the Git state of a project. `None` outside a work tree, before the first commit, or if
/// the repository does not track gateway.yaml. The state is dirty if a tracked file or a compiled
/// file differs from the commit.
///
/// # Errors
/// Returns an error if the repository cannot be read.
pub fn git(root: &Path, map: &SourceMap) -> anyhow::Result<Option<Git>> {
    let tree = match WorkTree::find(root) {
        Ok(tree) => tree,
        Err(NoRevision::NoRepository(_)) => return Ok(None),
        Err(NoRevision::Unreadable(why)) => bail!("the Git repository cannot be read: {why}"),
        Err(_) => bail!("the Git repository cannot be read"),
    };
    let inside = tree.inside(root).context("the project has no path")?;
    if !tree.tracks(&inside.join(GATEWAY_FILE)) {
        return Ok(None);
    }
    let repository = tree.repository();
    let head = match repository.head() {
        Err(error) if [ErrorCode::UnbornBranch, ErrorCode::NotFound].contains(&error.code()) => {
            return Ok(None);
        }
        result => result?,
    };
    let commit = head.peel_to_commit()?;
    let (commit_id, tree_id) = (commit.id(), commit.tree_id());
    drop((head, commit));
    let (tree, changed) = patterns::status(move || {
        let mut options = StatusOptions::new();
        options
            .include_untracked(false)
            .include_ignored(false)
            .exclude_submodules(true);
        let changed = !tree.repository().statuses(Some(&mut options))?.is_empty();
        Ok((tree, changed))
    })?;
    // Compare the content as well, because `git status` trusts flags in the index and the
    // repository's configuration.
    let differs = || {
        let name = commit_id.to_string();
        let revision = Revision::in_work_tree(tree, &name).ok()?;
        let revision = revision.in_folder(inside.to_str()?.to_owned());
        let mut files = map.files.iter();
        Some(files.any(|(file, digest)| !revision.holds(file, digest)))
    };
    Ok(Some(Git {
        commit: commit_id.to_string(),
        tree: tree_id.to_string(),
        dirty: changed || differs().unwrap_or(true),
    }))
}

/// True if Git could add this file to a commit: a work tree contains the file and does not ignore
/// it.
#[must_use]
pub fn would_commit(path: &Path) -> bool {
    let Ok(tree) = WorkTree::find(path) else {
        return false;
    };
    let Some(path) = tree.inside(path) else {
        return false;
    };
    !tree.is_ignored(&path)
}

/// Finds the name of the acting user: `GWC_ACTOR`, else name and address from Git's configuration,
/// else the login name. Default: `unknown`.
#[must_use]
pub fn actor(root: &Path) -> String {
    let actor = std::env::var("GWC_ACTOR").ok();
    let config = match WorkTree::find(root) {
        Ok(tree) => tree.repository().config(),
        Err(_) => git2::Config::open_default(),
    };
    let git = || {
        let config = config.ok()?.snapshot().ok()?;
        let name = config.get_str("user.name").ok();
        match (name, config.get_str("user.email").ok()) {
            (Some(name), Some(email)) => Some(format!("{name} <{email}>")),
            (name, email) => Some(name.or(email)?.to_owned()),
        }
    };
    let user = || {
        let named = ["USER", "LOGNAME"]
            .iter()
            .find_map(|name| std::env::var(name).ok());
        named.filter(|name| !name.is_empty())
    };
    actor
        .filter(|actor| !actor.trim().is_empty())
        .or_else(git)
        .or_else(user)
        .unwrap_or_else(|| "unknown".to_owned())
}
