//! Automatic fixes (`gwc lint --fix`). An edit replaces the text of a span and keeps everything
//! else, including comments and layout.
//!
//! Overlapping edits are applied in separate rounds. After each round, the text is checked again.
//! This module writes no files.

use std::collections::BTreeMap;

use diag::Diagnostic;
use diag::diagnostic::Edit;

use model::compile::Compiled;
use sources::project::files::{Files, Texts};

/// Rules whose edits can change who may call an operation: they choose a security scheme, a
/// verifier, a scope or an open operation by a similar name.
const ACCESS_RULES: [&str; 5] = [
    "misspelt-extension",
    "undeclared-scope",
    "undefined-security-scheme",
    "unknown-auth",
    "unmatched-allow-public",
];

/// Keys that decide who may call an operation, or which requests are served.
const ACCESS_KEYS: [&str; 12] = [
    "allow_public",
    "auth",
    "claims",
    "groups",
    "internal",
    "keys",
    "match",
    "path_readings",
    "public",
    "security",
    "undeclared_methods",
    "unmatched",
];

/// Values that decide who may call an operation, or which requests are served.
const ACCESS_VALUES: [&str; 5] = ["keep", "off", "optional", "pass", "upstream"];

/// Maximum number of rounds. An edit may make further edits possible.
pub const ROUNDS_MAX: usize = 10;

/// Result of automatic fixes ([`apply_fixes`]).
pub struct FixResult {
    /// Result of compiling the fixed texts, with the remaining findings.
    pub compiled: Compiled,
    /// Changed texts, by file path.
    pub changes: BTreeMap<String, Change>,
    /// Number of findings that were fixed.
    pub findings: usize,
}

/// Text of a file before and after edits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Text of the file before the edits.
    pub old: String,
    /// Text of the file after the edits.
    pub new: String,
}

/// Applies edits until no edits are left. `look` compiles the project with the given texts instead
/// of the files on disk.
///
/// # Errors
/// Returns the errors of `look`.
pub fn apply_fixes(look: impl Fn(&Texts) -> anyhow::Result<Compiled>) -> anyhow::Result<FixResult> {
    let mut changes: BTreeMap<String, Change> = BTreeMap::new();
    let mut findings = 0;
    for round in 0.. {
        let texts = changes
            .iter()
            .map(|(path, change)| (path.clone(), change.new.as_str().into()))
            .collect();
        let compiled = look(&texts)?;
        let chosen = chosen(&compiled);
        if chosen.edits.is_empty() || round == ROUNDS_MAX {
            changes.retain(|_, change| change.old != change.new);
            return Ok(FixResult {
                compiled,
                changes,
                findings,
            });
        }
        findings += chosen.findings;
        for (file, edits) in chosen.edits {
            let source = compiled.files.sources.file(file);
            let new = edited(source.text(), &edits);
            let change = changes.entry(source.path().to_owned());
            change
                .and_modify(|change| change.new.clone_from(&new))
                .or_insert_with(|| Change {
                    old: source.text().to_owned(),
                    new,
                });
        }
    }
    unreachable!("the last round returns")
}

/// Selected edits that do not overlap, by file.
struct Chosen {
    edits: BTreeMap<diag::FileId, Vec<Edit>>,
    findings: usize,
}

fn chosen(compiled: &Compiled) -> Chosen {
    let mut chosen = Chosen {
        edits: BTreeMap::new(),
        findings: 0,
    };
    for finding in &compiled.findings {
        let free = finding.fix.iter().all(|edit| {
            let others = chosen.edits.get(&edit.span.file).into_iter().flatten();
            others.into_iter().all(|other| apart(edit, other))
        });
        if finding.fix.is_empty() || !free || changes_access(finding, &compiled.files) {
            continue;
        }
        chosen.findings += 1;
        for edit in &finding.fix {
            let edits = chosen.edits.entry(edit.span.file).or_default();
            edits.push(edit.clone());
        }
    }
    for edits in chosen.edits.values_mut() {
        edits.sort_by_key(|edit| edit.span);
    }
    chosen
}

/// True if the edits of a finding can change who may call an operation. The text that the edits
/// correct had no effect before, so the edits could open an operation. Such edits are only
/// suggestions.
fn changes_access(finding: &Diagnostic, files: &Files) -> bool {
    let is_value = ["bad-value", "unknown-value"].contains(&finding.lint.name);
    let is_access =
        |text: &str| ACCESS_KEYS.contains(&text) || is_value && ACCESS_VALUES.contains(&text);
    // An edit that only adds a space after the colon of `public:true` does not contain the key.
    let key = || files.sources.text(finding.span).split(':').next();
    let is_space = |edit: &Edit| edit.text == " " && key().is_some_and(is_access);
    let mut edits = finding.fix.iter();
    ACCESS_RULES.contains(&finding.lint.name)
        || edits.any(|edit| is_access(&edit.text) || is_space(edit))
}

fn apart(one: &Edit, other: &Edit) -> bool {
    one.span.end < other.span.start || other.span.end < one.span.start
}

/// Applies edits to a text. The edits must be sorted and must not overlap.
fn edited(text: &str, edits: &[Edit]) -> String {
    let mut new = String::with_capacity(text.len());
    let mut at = 0;
    for edit in edits {
        new.push_str(&text[at..edit.span.start as usize]);
        new.push_str(&edit.text);
        at = edit.span.end as usize;
    }
    new.push_str(&text[at..]);
    new
}
