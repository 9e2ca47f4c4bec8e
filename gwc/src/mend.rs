//! Mending what can be mended by edits (`gwc lint --fix`): the text of a span is replaced, and
//! everything around it, comments and layout, stays as it is.
//!
//! Edits that touch each other are made one round after the other, each on a text that was
//! looked at again. Nothing is written here.

use std::collections::BTreeMap;

use diag::diagnostic::Edit;

use model::compile::Compiled;
use sources::project::files::Texts;

/// Rounds after which mending ends; one edit may bring up the next.
pub const ROUNDS_MAX: usize = 10;

/// Result of [`mend`].
pub struct Mended {
    /// The project compiled from the fixed texts, with the remaining findings.
    pub compiled: Compiled,
    /// The texts that changed, by path.
    pub changes: BTreeMap<String, Change>,
    /// Number of findings that were fixed.
    pub findings: usize,
}

/// A file's text before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// As it was read.
    pub old: String,
    /// Mended.
    pub new: String,
}

/// Mends until nothing is left that could be. `look` finds what is wrong where some files have
/// these texts instead of what is on the disk.
///
/// # Errors
/// Those of `look`.
pub fn mend(look: impl Fn(&Texts) -> anyhow::Result<Compiled>) -> anyhow::Result<Mended> {
    let mut changes: BTreeMap<String, Change> = BTreeMap::new();
    let mut findings = 0;
    for round in 0.. {
        let texts = changes
            .iter()
            .map(|(path, change)| (path.clone(), change.new.clone()))
            .collect();
        let compiled = look(&texts)?;
        let chosen = chosen(&compiled);
        if chosen.edits.is_empty() || round == ROUNDS_MAX {
            changes.retain(|_, change| change.old != change.new);
            return Ok(Mended {
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

/// Edits that do not touch each other, by file and place.
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

/// A text after edits that are sorted and apart.
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
