//! Baseline: known findings that are not reported, so that new ones stand out. A baseline is a
//! sorted JSON file made for review. Equal findings share one entry with their count. Entries have
//! no line numbers, because those change with every edit.
//!
//! An entry silences as many equal findings as its count, and further findings are reported.
//! Findings of hard rules, which prevent a build, cannot be silenced.

use std::collections::{BTreeMap, HashMap};

use diag::shape::{self, Field, Object, Shape};
use diag::{Diagnostic, Level, Lint, NodeRef, Sink, Span};
use serde_json::json;

use crate::lint::fingerprint;
use crate::lint::hard::is_hard;
use sources::project::files::Files;
use sources::syntax::{self, Limits};

/// Lint: the count of an entry exceeds the number of findings that remain.
pub static STALE: Lint = Lint {
    code: "GW0310",
    name: "stale-baseline",
    level: Level::Info,
    summary: "the baseline lists findings that no longer exist",
    explain: "A finding that `--baseline FILE` sets aside is fixed. While its entry remains, the \
same mistake could return unnoticed. `gwc lint --write-baseline FILE` writes the file without the \
entry.",
    bad: &[
        (
            "openapi.yaml",
            "openapi: 3.0.3\ninfo: {title: t, version: \"1\"}\npaths: {}\n",
        ),
        (
            "baseline.json",
            "{\n  \"schema\": \"baseline/v1\",\n  \"findings\": [\n    {\"fingerprint\": \"0123456789ab\", \"count\": 1, \
\"code\": \"GW0325\", \"name\": \"duplicate-tag\", \"file\": \"openapi.yaml\", \"message\": \"…\"}\n  ]\n}\n",
        ),
    ],
    good: &[
        (
            "openapi.yaml",
            "openapi: 3.0.3\ninfo: {title: t, version: \"1\"}\npaths: {}\n",
        ),
        (
            "baseline.json",
            "{\n  \"schema\": \"baseline/v1\",\n  \"findings\": []\n}\n",
        ),
    ],
};

/// Shape of a baseline file.
pub static SHAPE: Shape = Shape::Object(&Object {
    what: "a baseline",
    rules: &[],
    fields: &[
        Field::required(
            "schema",
            Shape::Word(&["baseline/v1"]),
            "Version of the file format.",
        ),
        Field::required(
            "findings",
            Shape::List(&Shape::Object(&ENTRY)),
            "Accepted findings, by file, code and message.",
        ),
    ],
});

static ENTRY: Object = Object {
    what: "an entry of a baseline",
    rules: &[],
    fields: &[
        Field::required(
            "fingerprint",
            Shape::Text,
            "Fingerprint: 12 hexadecimal digits, as `gwc lint --format json` prints them for the \
first of several equal findings.",
        ),
        Field::required(
            "count",
            Shape::Integer(1, i64::MAX),
            "Number of accepted findings with this fingerprint.",
        ),
        Field::required("code", Shape::Text, "The rule's code."),
        Field::required("name", Shape::Text, "The rule's name."),
        Field::required("file", Shape::Text, "The file, for the reader."),
        Field::required("message", Shape::Text, "The message, for the reader."),
    ],
};

/// Baseline read from a file.
#[derive(Debug, Default)]
pub struct Baseline {
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    fingerprint: String,
    count: usize,
    span: Span,
    name: String,
    file: String,
}

impl Baseline {
    /// Reads a baseline. `path` is the file's name in messages. Reports an invalid text and returns
    /// `None`.
    pub fn read(files: &mut Files, path: &str, text: String, sink: &mut Sink) -> Option<Self> {
        let file = files.sources.add(path, text);
        let limits = Limits::default();
        let root = syntax::parse(
            file,
            files.sources.file(file),
            &mut files.tree,
            &limits,
            sink,
        )?;
        let root = files.tree.at(root);
        if !shape::check(root, &SHAPE, sink) {
            return None;
        }
        let entries = root.get("findings").into_iter().flat_map(NodeRef::items);
        let entries = entries.filter_map(|node| {
            let text = |key| node.get(key)?.scalar_text().map(str::to_owned);
            Some(Entry {
                fingerprint: text("fingerprint")?,
                count: usize::try_from(node.get("count")?.as_i64()?).ok()?,
                span: node.get("fingerprint")?.span(),
                name: text("name")?,
                file: text("file")?,
            })
        });
        Some(Self {
            entries: entries.collect(),
        })
    }

    /// Returns the findings that remain: those that the baseline does not silence, then one for
    /// each entry whose count is too high.
    #[must_use]
    pub fn apply(&self, files: &Files, findings: Vec<Diagnostic>) -> Vec<Diagnostic> {
        let mut left: HashMap<&str, usize> = HashMap::new();
        for entry in &self.entries {
            let count = left.entry(&entry.fingerprint).or_default();
            *count = count.saturating_add(entry.count);
        }
        let mut reported: Vec<Diagnostic> = Vec::new();
        for finding in findings {
            let print = fingerprint::structural(files, &finding);
            match left.get_mut(print.as_str()) {
                Some(count) if *count > 0 && !is_hard(finding.lint) => *count -= 1,
                Some(_) | None => reported.push(finding),
            }
        }
        for entry in &self.entries {
            let gone = left.remove(entry.fingerprint.as_str()).unwrap_or(0);
            if gone > 0 {
                let message = format!(
                    "the baseline lists `{}` in {} {gone} time{} more than it occurs",
                    entry.name.escape_debug(),
                    entry.file.escape_debug(),
                    if gone == 1 { "" } else { "s" }
                );
                reported.push(
                    Diagnostic::new(&STALE, entry.span, message)
                        .help("`gwc lint --write-baseline` rewrites the file"),
                );
            }
        }
        reported
    }
}

/// Returns the text of a baseline with these findings. Findings of hard rules are left out.
#[must_use]
pub fn written(files: &Files, findings: &[Diagnostic]) -> String {
    let mut entries: BTreeMap<(&str, &str, &str, String), usize> = BTreeMap::new();
    let mut first_of_print: HashMap<String, &Diagnostic> = HashMap::new();
    for finding in findings.iter().filter(|finding| !is_hard(finding.lint)) {
        let print = fingerprint::structural(files, finding);
        // Findings with equal fingerprints may differ in details. Use the details of the first
        // finding.
        let first = *first_of_print.entry(print.clone()).or_insert(finding);
        let path = files.sources.file(first.span.file).path();
        *entries
            .entry((path, first.lint.code, first.message.as_str(), print))
            .or_default() += 1;
    }
    let entries: Vec<String> = entries
        .into_iter()
        .map(|((file, code, message, print), count)| {
            let name = first_of_print[&print].lint.name;
            let text = |text: &str| json!(text).to_string();
            format!(
                "    {{\n      \"file\": {},\n      \"code\": {},\n      \"name\": {},\n      \"message\": {},\n      \
\"fingerprint\": {},\n      \"count\": {count}\n    }}",
                text(file),
                text(code),
                text(name),
                text(message),
                text(&print)
            )
        })
        .collect();
    if entries.is_empty() {
        return "{\n  \"schema\": \"baseline/v1\",\n  \"findings\": []\n}\n".into();
    }
    format!(
        "{{\n  \"schema\": \"baseline/v1\",\n  \"findings\": [\n{}\n  ]\n}}\n",
        entries.join(",\n")
    )
}
