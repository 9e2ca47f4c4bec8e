//! Addresses of source lines in the web interface of the repository, for links in comments.

use std::path::Path;

use ::plan::links::{Base, Links};
use ::plan::report::{Origin, Subject};

/// Option for links.
#[derive(Debug, Default, clap::Args)]
pub(super) struct LinkOptions {
    /// Address of the project's folder at this commit, for links of `--format markdown` and `html`.
    /// Default: from the variables of GitHub Actions or GitLab CI
    #[arg(long, value_name = "URL", value_parser = Base::new)]
    link_base: Option<Base>,
}

/// Address of the repository's files without a commit, and the commit that the job checked out.
struct Repository {
    files: String,
    commit: String,
}

impl LinkOptions {
    /// Links from a plan to source lines of the project in the folder `root`.
    pub(super) fn links(&self, subject: &Subject, root: Option<&Path>) -> Links {
        if let Some(base) = &self.link_base {
            return Links {
                old: None,
                new: Some(base.clone()),
            };
        }
        let (Some(repository), Some(root)) = (Repository::of_job(), root) else {
            return Links::default();
        };
        let Some(folder) = folder_in_repository(root) else {
            return Links::default();
        };
        let base = |commit: &str| {
            let address = format!("{}/{commit}", repository.files);
            Some(Base::new(&address).ok()?.below(&folder))
        };
        Links {
            old: commit_of_project(&subject.old).and_then(base),
            new: base(&repository.commit),
        }
    }
}

impl Repository {
    /// Repository of the current job of GitHub Actions or GitLab CI. `None` outside of a job.
    fn of_job() -> Option<Self> {
        let variable = |name: &str| {
            let value = std::env::var(name).ok();
            value.filter(|value| !value.is_empty())
        };
        let github = || {
            let (server, name) = (
                variable("GITHUB_SERVER_URL")?,
                variable("GITHUB_REPOSITORY")?,
            );
            Some(Self {
                files: format!("{server}/{name}/blob"),
                commit: variable("GITHUB_SHA")?,
            })
        };
        let gitlab = || {
            Some(Self {
                files: format!("{}/-/blob", variable("CI_PROJECT_URL")?),
                commit: variable("CI_COMMIT_SHA")?,
            })
        };
        github().or_else(gitlab)
    }
}

/// Commit of a version that is this project at a revision (`git:REV` without a path). `None` for
/// any other version.
fn commit_of_project(origin: &Origin) -> Option<&str> {
    let name = origin.name.as_deref()?.strip_prefix("git:")?;
    let is_project = !name.contains(':');
    origin.commit.as_deref().filter(|_| is_project)
}

/// Path of a folder in its Git work tree, with `/`. `None` outside of a work tree.
fn folder_in_repository(folder: &Path) -> Option<String> {
    let folder = folder.canonicalize().ok()?;
    let top = folder.ancestors().find(|one| one.join(".git").exists())?;
    let inside = folder.strip_prefix(top).ok()?;
    inside.to_str().map(str::to_owned)
}
