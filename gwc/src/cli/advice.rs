//! Commands that messages suggest: complete and quoted, so that users can paste them unchanged.

use std::path::{Path, PathBuf};

use super::options::StoreOptions;
use super::say::{self, Context};

/// Folder of a project into which `gwc keygen` writes keys.
const KEYS: &str = "keys";

/// Options that all suggested commands of one run contain.
pub(super) struct Advice {
    /// Options directly after `gwc`.
    whole: Vec<String>,
    /// Options with the keys of this run.
    keys: Vec<String>,
    /// Options of the command itself, after its arguments.
    own: Vec<String>,
}

impl Advice {
    /// Creates the options that suggested commands share with the current run: project,
    /// environment, signing keys, store, trust file and channel. Without `keys`, suggested commands
    /// name the only private key in the project's folder `keys`. If there is no such key, they name
    /// `env:GWC_KEY`.
    pub(super) fn new(context: &Context, at: &StoreOptions, root: &Path, keys: &[String]) -> Self {
        let mut whole = Vec::new();
        if let Some(project) = &context.project {
            whole.extend(["--project".to_owned(), path(project)]);
        }
        if let Some(environment) = &context.environment {
            whole.extend(["--env".to_owned(), for_shell(environment)]);
        }
        let mut signing = Vec::new();
        for key in keys {
            signing.extend(["--key".to_owned(), for_shell(key)]);
        }
        if keys.is_empty() {
            let key = usual_key(root).unwrap_or_else(|| "env:GWC_KEY".to_owned());
            signing.extend(["--key".to_owned(), key]);
        }
        let mut own = Vec::new();
        for (option, file) in [("--store", &at.store), ("--trust", &at.trust)] {
            if let Some(file) = file {
                own.extend([option.to_owned(), path(file)]);
            }
        }
        if let Some(channel) = &at.channel {
            own.extend(["--channel".to_owned(), for_shell(channel)]);
        }
        Self {
            whole,
            keys: signing,
            own,
        }
    }

    /// Returns a suggested command that signs, with the options and keys of this run.
    pub(super) fn command(&self, words: &[&str]) -> String {
        self.command_with(words, &self.keys)
    }

    /// Returns a suggested command for another owner, with a placeholder for the key.
    pub(super) fn command_of_another(&self, words: &[&str]) -> String {
        self.command_with(words, &["--key".to_owned(), "KEY".to_owned()])
    }

    fn command_with(&self, words: &[&str], keys: &[String]) -> String {
        let words = words.iter().map(|word| for_shell_word(word));
        let all = std::iter::once("gwc".to_owned())
            .chain(self.whole.iter().cloned())
            .chain(words)
            .chain(keys.iter().cloned())
            .chain(self.own.iter().cloned());
        all.collect::<Vec<_>>().join(" ")
    }
}

/// Returns a suggested command that does not sign. `project` is the value of `--project`.
pub(super) fn in_project(project: Option<&Path>, words: &[&str]) -> String {
    let whole = project.map(|project| format!(" --project {}", path(project)));
    let words: Vec<String> = words.iter().map(|word| for_shell_word(word)).collect();
    format!("gwc{} {}", whole.unwrap_or_default(), words.join(" "))
}

/// Finds the private key in the project's folder `keys` and returns its path, quoted for a shell.
/// `None` unless there is exactly one private key.
fn usual_key(root: &Path) -> Option<String> {
    let folder = root.join(KEYS);
    // A link may be part of a pull request, and may lead to keys outside of the project.
    if !folder.symlink_metadata().is_ok_and(|found| found.is_dir()) {
        return None;
    }
    let entries = std::fs::read_dir(folder).ok()?;
    let mut keys: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.to_string_lossy();
            name.ends_with(".pem") && !name.ends_with(".pub.pem")
        })
        .collect();
    match (keys.pop(), keys.is_empty()) {
        (Some(key), true) => Some(for_shell(&format!(
            "{}{KEYS}/{}",
            say::seen_folder(root),
            key.file_name()?.to_str()?
        ))),
        _ => None,
    }
}

fn path(path: &Path) -> String {
    for_shell(&path.to_string_lossy())
}

/// Quotes a path or a value as one word of a shell.
pub(super) fn for_shell(text: &str) -> String {
    // `cd -x` reads `-x` as an option, even if it is quoted.
    match text.starts_with('-') {
        true => for_shell_word(&format!("./{text}")),
        false => for_shell_word(text),
    }
}

fn for_shell_word(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./+:@%,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}
