//! Where a bundle came from: what its build statement says.

use std::path::Path;

use bundle::digest::Digest;
use bundle::manifest::FORMAT;
use bundle::name::ProjectName;
use bundle::statement::predicate::{Build, Builder, Git};
use git2::{ErrorCode, Repository, StatusOptions};

use crate::source_map::SourceMap;

/// This compiler's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The build statement's predicate about these sources.
///
/// # Errors
/// A Git repository that cannot be read.
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

/// The state of a folder in Git: none outside a repository, or before its first commit. Dirty:
/// a file that Git tracks differs from the commit, or a file that was compiled is not in it.
///
/// # Errors
/// A repository that cannot be read.
pub fn git(root: &Path, map: &SourceMap) -> anyhow::Result<Option<Git>> {
    let repository = match Repository::discover(root) {
        Err(error) if error.code() == ErrorCode::NotFound => return Ok(None),
        result => result?,
    };
    let head = match repository.head() {
        Err(error) if [ErrorCode::UnbornBranch, ErrorCode::NotFound].contains(&error.code()) => {
            return Ok(None);
        }
        result => result?,
    };
    let commit = head.peel_to_commit()?;
    let tree = commit.tree()?;
    let mut options = StatusOptions::new();
    options
        .include_untracked(false)
        .include_ignored(false)
        .exclude_submodules(true);
    let changed = !repository.statuses(Some(&mut options))?.is_empty();
    let untracked = || {
        let folder = repository.workdir()?.canonicalize().ok()?;
        let root = root.canonicalize().ok()?;
        let inside = root.strip_prefix(folder).ok()?.to_owned();
        let mut files = map.files.keys();
        Some(files.any(|file| tree.get_path(&inside.join(file)).is_err()))
    };
    Ok(Some(Git {
        commit: commit.id().to_string(),
        tree: tree.id().to_string(),
        dirty: changed || untracked().unwrap_or(true),
    }))
}

/// Whether Git would take this file into a commit: it is in a repository, and nothing ignores it.
#[must_use]
pub fn would_commit(path: &Path) -> bool {
    let Some(folder) = path.parent() else {
        return false;
    };
    let Ok(repository) = Repository::discover(folder) else {
        return false;
    };
    let Ok(path) = path.canonicalize() else {
        return false;
    };
    repository
        .is_path_ignored(&path)
        .is_ok_and(|ignored| !ignored)
}

/// Who acts: the variable `GWC_ACTOR`, Git's name and address, or the user's name.
#[must_use]
pub fn actor(root: &Path) -> String {
    let said = std::env::var("GWC_ACTOR").ok();
    let config = Repository::discover(root)
        .and_then(|repository| repository.config())
        .or_else(|_| git2::Config::open_default());
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
    said.filter(|said| !said.trim().is_empty())
        .or_else(git)
        .or_else(user)
        .unwrap_or_else(|| "unknown".to_owned())
}
