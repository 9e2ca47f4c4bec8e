//! Automatic fixes (`gwc lint --fix`). An edit replaces the text of a span and keeps everything
//! else, including comments and layout.
//!
//! Overlapping edits are applied in separate rounds. After each round, the text is checked again.
//! This module writes no files.

use std::collections::BTreeMap;

use diag::diagnostic::Edit;

use model::compile::Compiled;
use sources::project::files::Texts;

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
    /// Text as read.
    pub old: String,
    /// Text after the edits.
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
        if finding.fix.is_empty() || !free {
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
