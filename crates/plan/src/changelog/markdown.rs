//! Changelog as Markdown. Text from sources is in code spans, which disable links, mentions, tags
//! and tables.

use super::{Changelog, Entry};
use crate::markdown::code;

/// Maximum length of one code span, in characters.
const SPAN_MAX: usize = 1_000;

/// Renders a changelog as Markdown.
#[must_use]
pub fn render(changelog: &Changelog) -> String {
    let mut out = String::from("# API changes\n");
    if changelog.apis.is_empty() {
        out.push_str("\nNo changes for clients.\n");
    }
    for api in &changelog.apis {
        out.push_str(&format!("\n## {}\n", code(&api.name, SPAN_MAX)));
        for (kind, entries) in &api.groups {
            out.push_str(&format!("\n### {}\n\n", kind.heading()));
            for entry in entries {
                out.push_str(&line(entry));
            }
        }
    }
    out
}

fn line(entry: &Entry) -> String {
    let mut line = format!("- {}", code(&entry.operations_text(), SPAN_MAX));
    if let Some(environments) = &entry.environments {
        line.push_str(&format!(" ({})", code(environments, SPAN_MAX)));
    }
    if !entry.path.is_empty() {
        line.push_str(&format!(", {}", code(&entry.path, SPAN_MAX)));
    }
    line.push_str(&format!(": {}", entry.text));
    if let Some(values) = &entry.values {
        let new = code(&values.new, SPAN_MAX);
        match &values.old {
            Some(old) => line.push_str(&format!(" {} → {new}", code(old, SPAN_MAX))),
            None => line.push_str(&format!(" {new}")),
        }
    }
    line.push('\n');
    line
}
