//! Option `--fix` of `gwc lint`: writes the fixed files, or shows the fixes as a diff.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use similar::TextDiff;

use crate::cli::replace::replace;
use crate::fixes::Change;
use model::exit::{Exit, Failure};

/// Writes each changed file atomically. If one of the files has changed since it was read, writes
/// no file.
pub(super) fn write(folder: &Path, changes: &BTreeMap<String, Change>) -> anyhow::Result<()> {
    for (path, change) in changes {
        let now = fs::read(folder.join(path));
        if !now.is_ok_and(|now| now == change.old.as_bytes()) {
            let message =
                format!("`{path}` changed during the fix; nothing was written, run it again");
            return Err(Failure::new(Exit::INPUT, "changed", message).into());
        }
    }
    for (path, change) in changes {
        replace(&folder.join(path), change.new.as_bytes())
            .map_err(|error| Failure::new(Exit::INPUT, "output", format!("{error:#}")))?;
    }
    Ok(())
}

/// Formats the changes as a unified diff. Paths are relative to the current directory.
pub(super) fn diff(folder: &str, changes: &BTreeMap<String, Change>) -> String {
    let mut text = String::new();
    for (path, change) in changes {
        let diff = TextDiff::from_lines(change.old.as_str(), change.new.as_str());
        let mut unified = diff.unified_diff();
        unified.header(&format!("a/{folder}{path}"), &format!("b/{folder}{path}"));
        text.push_str(&unified.to_string());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fix_of_a_file_changed_meanwhile_writes_nothing() {
        let folder = tempfile::tempdir().expect("there is room");
        let file = |name: &str| folder.path().join(name);
        fs::write(file("a"), "one\n").expect("it can be written");
        fs::write(file("b"), "somebody else's\n").expect("it can be written");
        let change = |old: &str, new: &str| Change {
            old: old.to_owned(),
            new: new.to_owned(),
        };
        let both = BTreeMap::from([
            ("a".to_owned(), change("one\n", "two\n")),
            ("b".to_owned(), change("one\n", "two\n")),
        ]);
        let refused = write(folder.path(), &both).expect_err("b changed");
        assert!(refused.to_string().contains("`b` changed"), "{refused}");
        assert_eq!(fs::read_to_string(file("a")).ok().as_deref(), Some("one\n"));
        fs::write(file("b"), "one\n").expect("it can be written");
        write(folder.path(), &both).expect("nothing changed");
        assert_eq!(fs::read_to_string(file("b")).ok().as_deref(), Some("two\n"));
    }
}
