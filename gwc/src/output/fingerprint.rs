//! What stays the same about a finding while lines move: its code, its file, and the way from
//! the file's root to the value that it is about.

use std::collections::HashMap;
use std::fmt::Write as _;

use diag::{Diagnostic, NodeRef, Span};
use sha2::{Digest, Sha256};

use crate::project::files::Files;

/// The fingerprints of findings, in their order: 12 hexadecimal digits each. Findings that are
/// alike in everything are numbered.
#[must_use]
pub fn all(files: &Files, findings: &[Diagnostic]) -> Vec<String> {
    let mut seen: HashMap<String, u32> = HashMap::new();
    let fingerprint = |finding: &Diagnostic| {
        let path = files.sources.file(finding.span.file).path();
        let what = pointer(files, finding.span).unwrap_or_else(|| finding.message.clone());
        let text = format!("{}\0{path}\0{what}", finding.lint.code);
        let count = seen.entry(text.clone()).or_insert(0);
        *count += 1;
        digest(&format!("{text}\0{count}"))
    };
    findings.iter().map(fingerprint).collect()
}

fn digest(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    let mut hex = String::with_capacity(12);
    for byte in digest.iter().take(6) {
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

/// The JSON pointer of the innermost value at a place; `None` in a file that has no root.
#[must_use]
pub fn pointer(files: &Files, span: Span) -> Option<String> {
    let mut node = files.tree.at(files.root(span.file)?);
    let mut pointer = String::new();
    // A file's nodes nest no deeper than its limits allow, so this ends.
    while let Some((part, child)) = child_at(node, span) {
        pointer.push('/');
        pointer.push_str(&part.replace('~', "~0").replace('/', "~1"));
        node = child;
    }
    Some(pointer)
}

/// The child of a node that a place lies in, with its key or index.
pub(crate) fn child_at(node: NodeRef<'_>, span: Span) -> Option<(String, NodeRef<'_>)> {
    let holds = |outer: Span| {
        outer.file == span.file
            && outer.start <= span.start
            && span.start < outer.end.max(outer.start + 1)
    };
    let entry = node
        .entries()
        .find(|(entry, value)| holds(entry.key_span) || holds(value.span()))
        .map(|(entry, value)| (entry.key.to_string(), value));
    entry.or_else(|| {
        let mut items = node.items().enumerate();
        let item = items.find(|(_, item)| holds(item.span()))?;
        Some((item.0.to_string(), item.1))
    })
}
