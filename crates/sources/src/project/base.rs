//! Ignore rules of an older commit, for `--base git:REV`.
//!
//! The author of a pull request can change `.gitignore`, and thereby the set of files that
//! references may reach. The rules of the base commit also apply, because only these were reviewed.

use std::path::Path;
use std::sync::PoisonError;

use git2::{ErrorCode, ObjectType, Oid, Repository, Tree, TreeWalkMode, TreeWalkResult};

use super::patterns::{self, SharedRepository, TooSlow};
use super::refusal::{FETCH_OBJECTS, Refusal};
use super::repository::{WorkTree, matches_ignore_rule};

/// Name of Git's ignore files.
const IGNORE_FILE: &str = ".gitignore";

/// Characters that have a special meaning in ignore rules, and are escaped in folder names.
const SPECIAL: [char; 5] = ['*', '?', '[', ']', '\\'];

/// Ignore rules of a commit.
pub(super) struct Base {
    /// The repository with the rules added in memory.
    repository: SharedRepository,
    /// The commit's tree.
    tree: Oid,
}

impl Base {
    /// Reads the ignore rules of a commit in the repository that contains `folder`.
    pub(super) fn read(folder: &Path, commit: &str) -> Result<Self, Refusal> {
        let unreadable = |why: String| {
            Refusal::Unreadable(format!("the revision of `--base` cannot be read: {why}"))
        };
        let failed = |error: git2::Error| match error.code() {
            ErrorCode::NotFound => unreadable(format!("{}; {FETCH_OBJECTS}", error.message())),
            _ => unreadable(error.message().to_owned()),
        };
        let shared = WorkTree::find(folder)
            .map_err(|_| unreadable("there is no repository here".to_owned()))?
            .into_shared();
        let repository = shared.lock().unwrap_or_else(PoisonError::into_inner);
        let id = Oid::from_str(commit).map_err(failed)?;
        let object = repository
            .find_object(id, None::<ObjectType>)
            .map_err(failed)?;
        let tree = object.peel_to_tree().map_err(failed)?;
        let id = tree.id();
        let rules = rules(&repository, &tree).map_err(failed)?;
        drop((tree, object));
        repository.add_ignore_rule(&rules).map_err(failed)?;
        drop(repository);
        Ok(Self {
            repository: shared,
            tree: id,
        })
    }

    /// True if the commit's rules ignore a path of the work tree and the commit does not contain
    /// this path.
    ///
    /// # Errors
    /// Returns [`TooSlow`] if the rules take too long.
    pub(super) fn ignores(&self, path: &Path) -> Result<bool, TooSlow> {
        let (tree, path) = (self.tree, path.to_owned());
        // Lock only inside `run`: a thread that does not end never releases the lock.
        patterns::run(&self.repository, move |repository| {
            let tree = repository.find_tree(tree);
            let has = tree.is_ok_and(|tree| tree.get_path(&path).is_ok());
            !has && matches_ignore_rule(repository, &path)
        })
    }
}

/// Returns the rules of `info/exclude` and of all ignore files of a tree, rewritten relative to the
/// root. The last match decides, so rules of deeper folders come later.
fn rules(repository: &Repository, tree: &Tree<'_>) -> Result<String, git2::Error> {
    let exclude = repository.commondir().join("info").join("exclude");
    let mut rules = text(&std::fs::read(exclude).unwrap_or_default());
    rules.push('\n');
    let mut files = Vec::new();
    tree.walk(TreeWalkMode::PreOrder, |folder, entry| {
        let is_file = entry.kind() == Some(ObjectType::Blob);
        if is_file && entry.name() == Ok(IGNORE_FILE) {
            files.push((folder.to_owned(), entry.id()));
        }
        TreeWalkResult::Ok
    })?;
    files.sort_by_key(|(folder, _)| folder.matches('/').count());
    for (folder, id) in files {
        let content = repository.find_blob(id)?;
        let text = text(content.content());
        for line in text.lines().filter(|line| !is_open(line)) {
            rules.push_str(&from_root(&folder, line));
            rules.push('\n');
        }
    }
    Ok(rules)
}

/// Text of an ignore file. Git skips a byte order mark at the beginning.
fn text(content: &[u8]) -> String {
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    String::from_utf8_lossy(content).into_owned()
}

/// True if a rule ends inside of an escape. Git never matches such a rule, but libgit2 would join
/// the rule with the next line.
fn is_open(line: &str) -> bool {
    let rule = line.trim_end_matches('\\');
    (line.len() - rule.len()) % 2 == 1
}

/// Rewrites an ignore rule in `folder` as a rule for the root. `folder` ends with `/`, and is empty
/// for the root.
fn from_root(folder: &str, line: &str) -> String {
    let is_rule = !line.trim().is_empty() && !line.starts_with('#');
    if folder.is_empty() || !is_rule {
        return line.to_owned();
    }
    let (not, rule) = match line.strip_prefix('!') {
        Some(rule) => ("!", rule),
        None => ("", line),
    };
    let mut inside = String::new();
    for c in folder.chars() {
        inside.extend(SPECIAL.contains(&c).then_some('\\'));
        inside.push(c);
    }
    let body = rule.trim_end().trim_end_matches('/');
    match (rule.strip_prefix('/'), body.contains('/')) {
        (Some(rule), _) => format!("{not}/{inside}{rule}"),
        (None, true) => format!("{not}/{inside}{rule}"),
        (None, false) => format!("{not}/{inside}**/{rule}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_order_mark_is_no_part_of_the_first_rule() {
        assert_eq!(text(b"\xef\xbb\xbf/keys/\n"), "/keys/\n");
        assert_eq!(text(b"/keys/\n*.\xe9"), "/keys/\n*.\u{fffd}");
    }

    #[test]
    fn rule_that_ends_inside_of_an_escape_is_left_out() {
        for (line, expected) in [
            ("x\\", true),
            ("x\\\\", false),
            ("x\\ ", false),
            ("x", false),
        ] {
            assert_eq!(is_open(line), expected, "{line}");
        }
    }

    #[test]
    fn rule_of_a_folder_is_written_from_the_root() {
        for (folder, rule, expected) in [
            ("", "*.pem", "*.pem"),
            ("a/", "# x", "# x"),
            ("a/", "*.pem", "/a/**/*.pem"),
            ("a/", "/x", "/a/x"),
            ("a/b/", "c/d", "/a/b/c/d"),
            ("a/", "c/", "/a/**/c/"),
            ("a/", "!x", "!/a/**/x"),
            ("a[1]/", "x", "/a\\[1\\]/**/x"),
        ] {
            assert_eq!(from_root(folder, rule), expected, "{folder} {rule}");
        }
    }
}
