//! Fingerprints of findings, which do not change with most edits of the file. A fingerprint is a
//! hash of the lint's code, the file's path, the quoted words of the message, and the key path of
//! the value.
//!
//! In that path, a list item is identified by a field (`name` and `in`, `$ref`, …) or by its own
//! text, never by its index. A path template is reduced to its literals and empty braces. Therefore
//! lines may move, keys and items may change their order, and unrelated values may be renamed.

use std::collections::HashMap;
use std::fmt::Write as _;

use diag::{Diagnostic, NodeRef, Span};
use sha2::{Digest, Sha256};

use sources::project::files::Files;

/// Fingerprints of findings, in the same order: 12 hexadecimal digits each. If several findings are
/// equal, the hash of each finding after the first includes its number, so that each fingerprint is
/// unique.
#[must_use]
pub fn all(files: &Files, findings: &[Diagnostic]) -> Vec<String> {
    let mut seen: HashMap<String, u32> = HashMap::new();
    let fingerprint = |finding: &Diagnostic| {
        let print = structural(files, finding);
        let count = seen.entry(print.clone()).or_insert(0);
        *count += 1;
        match count {
            1 => print,
            count => digest(&format!("{print}\0{count}")),
        }
    };
    findings.iter().map(fingerprint).collect()
}

/// Returns the fingerprint of one finding. Equal findings have the same fingerprint.
#[must_use]
pub fn structural(files: &Files, finding: &Diagnostic) -> String {
    let path = files.sources.file(finding.span.file).path();
    let name_path = name_path(files, finding.span);
    // Hash only the words in backticks, which come from the file, so that messages can be reworded.
    let words: Vec<&str> = finding.message.split('`').skip(1).step_by(2).collect();
    digest(&format!(
        "{}\0{path}\0{name_path}\0{}",
        finding.lint.code,
        words.join("\0")
    ))
}

fn digest(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    let mut hex = String::with_capacity(12);
    for byte in digest.iter().take(6) {
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

/// Returns the path of names from the file's root to the innermost value at `span`. Empty if the
/// file has no root.
fn name_path(files: &Files, span: Span) -> String {
    let mut name_path = String::new();
    let Some(root) = files.root(span.file) else {
        return name_path;
    };
    let mut node = files.tree.at(root);
    // The parser limits the nesting depth, so the loop ends.
    while let Some((name, child)) = child_at(node, span) {
        name_path.push('\u{1}');
        name_path.push_str(&name);
        node = child;
    }
    name_path
}

/// Returns the child of a node that contains a span, and the child's name.
fn child_at<'t>(node: NodeRef<'t>, span: Span) -> Option<(String, NodeRef<'t>)> {
    let holds = |outer: Span| {
        outer.file == span.file
            && outer.start <= span.start
            && span.start < outer.end.max(outer.start + 1)
    };
    let mut entries = node.entries();
    let entry = entries.find(|(entry, value)| holds(entry.key_span) || holds(value.span()));
    if let Some((entry, value)) = entry {
        return Some((key_name(&entry.key), value));
    }
    let item = node.items().find(|item| holds(item.span()))?;
    Some((item_name(item), item))
}

/// Returns a key as part of the path. In a path template, parameter names are removed.
fn key_name(key: &str) -> String {
    if !key.starts_with('/') {
        return key.to_owned();
    }
    let mut name = String::with_capacity(key.len());
    let mut inside = false;
    for c in key.chars() {
        inside &= c != '}';
        if !inside {
            name.push(c);
        }
        inside |= c == '{';
    }
    name
}

/// Text that identifies an item among the items of its list. Empty if the item has no such text.
fn item_name(item: NodeRef<'_>) -> String {
    const NAMES: &[&str] = &[
        "$ref",
        "name",
        "in",
        "operationId",
        "url",
        "target",
        "title",
    ];
    if let Some(text) = item.scalar_text() {
        return format!("={text}");
    }
    let named = NAMES.iter().filter_map(|key| {
        let text = item.get(key)?.scalar_text()?;
        Some(format!("{key}={text}"))
    });
    format!("[{}]", named.collect::<Vec<_>>().join("\u{2}"))
}
