//! Removal of secrets from findings: text of files that Git does not track, and private keys.
//!
//! The author of a pull request chooses which files are read. A CI job may write credentials into
//! files that Git neither tracks nor ignores. Findings in such a file show locations only.

use diag::{Diagnostic, FileId};

use sources::project::files::Files;

/// Replacement of a concealed word.
const HIDDEN: &str = "…";

/// Help of a finding in a file that Git does not track.
const UNTRACKED: &str =
    "Git does not track this file, so its content is not shown; `git add` it first";
/// Help of a finding about a key in a file that Git does not track. The help does not suggest to
/// add the file to Git, because it contains a secret.
const UNTRACKED_SECRET: &str = "remove the private key and keep it outside the project; if others \
could read the file, replace the key. Git does not track this file, so its content is not shown";

/// Findings about keys that may be private.
const ABOUT_KEYS: [&str; 2] = ["bad-key", "key-in-source"];

/// Minimum length of a concealed word, in bytes. Shorter words reveal nothing.
const WORD_MIN: usize = 4;

/// Removes concealed text from findings.
pub fn concealed(files: &Files, mut findings: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let hidden = Hidden::of(files);
    if hidden.is_empty() {
        return findings;
    }
    for finding in &mut findings {
        hidden.conceal(finding);
    }
    findings
}

struct Hidden<'f> {
    files: Vec<FileId>,
    /// Texts that must not be shown: all texts of `files`, and the private keys in other files.
    hidden: Vec<&'f str>,
    /// Texts that may be shown: the texts of all other files, without their private keys.
    shown: Vec<&'f str>,
}

impl<'f> Hidden<'f> {
    fn of(files: &'f Files) -> Self {
        let concealed = files.concealed();
        let (mut hidden, mut shown) = (Vec::new(), Vec::new());
        for (file, source) in files.sources.iter() {
            if concealed.contains(&file) {
                hidden.push(source.text());
                continue;
            }
            let mut at = 0;
            for key in files.keys(file) {
                let (start, end) = (key.start as usize, key.end as usize);
                shown.push(&source.text()[at..start.max(at)]);
                hidden.push(&source.text()[start..end]);
                at = at.max(end);
            }
            shown.push(&source.text()[at..]);
        }
        Self {
            files: concealed,
            hidden,
            shown,
        }
    }

    fn is_empty(&self) -> bool {
        self.hidden.is_empty()
    }

    fn conceal(&self, finding: &mut Diagnostic) {
        if self.files.contains(&finding.span.file) {
            finding.message = finding.lint.summary.to_owned();
            finding.label = String::new();
            let help = match ABOUT_KEYS.contains(&finding.lint.name) {
                true => UNTRACKED_SECRET,
                false => UNTRACKED,
            };
            finding.help = Some(help.to_owned());
            finding.fix.clear();
        }
        let is_concealed = |file| self.files.contains(&file);
        let mends_concealed = finding.fix.iter().any(|edit| is_concealed(edit.span.file));
        let shows = finding.fix.iter().any(|edit| self.hides(&edit.text));
        if mends_concealed || shows {
            finding.fix.clear();
        }
        finding.message = self.without(&finding.message);
        finding.label = self.without(&finding.label);
        finding.help = finding.help.as_deref().map(|help| self.without(help));
        for (span, label) in &mut finding.related {
            *label = match is_concealed(span.file) {
                true => String::new(),
                false => self.without(label),
            };
        }
    }

    /// Replaces each word in backticks or quotes for which [`Self::hides`] is true.
    fn without(&self, text: &str) -> String {
        let parts = text.split_inclusive(['`', '"']);
        let part = |part: &str| {
            let word = part.trim_end_matches(['`', '"']);
            match self.hides(word) {
                true => format!("{HIDDEN}{}", &part[word.len()..]),
                false => part.to_owned(),
            }
        };
        // Words in backticks or quotes have odd indexes. The text between them comes from the rule
        // and not from a file.
        parts
            .enumerate()
            .map(|(at, text)| match at % 2 {
                0 => text.to_owned(),
                _ => part(text),
            })
            .collect()
    }

    /// True if a word occurs in a hidden text and in no shown text. A shortened or multi-line word
    /// is compared part by part.
    fn hides(&self, word: &str) -> bool {
        let parts = word.split(['…', '\n']).map(str::trim);
        let mut parts = parts.filter(|part| part.len() >= WORD_MIN);
        parts.any(|part| {
            let has = |text: &&str| text.contains(part);
            self.hidden.iter().any(has) && !self.shown.iter().any(has)
        })
    }
}
