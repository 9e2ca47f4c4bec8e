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
    let mut head = String::new();
    if entry.count > 0 {
        head.push_str(&code(&entry.operations_text(), SPAN_MAX));
    }
    if let Some(environments) = &entry.environments {
        head.push_str(&format!(" ({})", code(environments, SPAN_MAX)));
    }
    if !entry.path.is_empty() {
        let comma = if head.is_empty() { "" } else { ", " };
        head.push_str(&format!("{comma}{}", code(&entry.path, SPAN_MAX)));
    }
    let colon = if head.is_empty() { "" } else { ": " };
    let mut line = format!("- {}{colon}{}", head.trim_start(), entry.text);
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
