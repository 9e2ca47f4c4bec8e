//! Parsers of YAML 1.2 and JSON text into the tree with spans.
//!
//! [`parse`] never fails: it reports errors and returns the root node if there is one. The result
//! has no cycles. YAML aliases share nodes, but the expanded size and depth are within [`Limits`],
//! so later code may recurse.

use diag::{Diagnostic, FileId, NodeId, Sink, SourceFile, Span, Tree};

mod brackets;
mod cause;
pub mod json;
pub mod lints;
#[expect(clippy::disallowed_types, reason = "the map is only looked up")]
mod map;
mod scalar;
pub(crate) mod splice;
pub mod yaml;

/// Limits on files and documents.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Maximum size of one file, in bytes. Default: 64 MiB.
    pub bytes_max: usize,
    /// Maximum nesting depth of lists and maps, with aliases expanded. Default: 200.
    pub depth_max: usize,
    /// Maximum number of nodes in one file. Default: 20,000,000.
    pub nodes_max: usize,
    /// Maximum number of nodes that the aliases and merge keys of one file add. Default: 1,000,000.
    pub alias_nodes_max: usize,
    /// Maximum number of files in one run. Default: 100,000.
    pub files_max: usize,
    /// Maximum number of references in one document. Default: 10,000,000.
    pub references_max: usize,
}

/// Help text for a file with more bytes than the limit.
pub const MORE_BYTES: &str = "split the file, or allow more with `--max-file-size`";
const MORE_DEPTH: &str = "reduce the nesting, or allow more with `--max-depth`";
const MORE_VALUES: &str = "split the file, or allow more with `--max-values`";
const MORE_ALIAS_VALUES: &str =
    "use `$ref` instead of aliases of aliases, or allow more with `--max-alias-values`";

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes_max: 64 << 20,
            depth_max: 200,
            nodes_max: 20_000_000,
            alias_nodes_max: 1_000_000,
            files_max: 100_000,
            references_max: 10_000_000,
        }
    }
}

/// Syntax of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notation {
    /// YAML 1.2, almost a superset of JSON.
    Yaml,
    /// JSON (RFC 8259), parsed strictly.
    Json,
}

impl Notation {
    /// Returns the syntax of a file by its name: JSON for `.json`, YAML otherwise.
    #[must_use]
    pub fn of_path(path: &str) -> Self {
        let extension = path.rsplit_once('.').map(|(_, extension)| extension);
        match extension {
            Some(extension) if extension.eq_ignore_ascii_case("json") => Self::Json,
            Some(_) | None => Self::Yaml,
        }
    }
}

/// Upper bound of the number of nodes in a text of `bytes` bytes. A byte begins at most two nodes:
/// `-` alone is a list and a null.
#[must_use]
pub fn nodes_max(bytes: usize) -> usize {
    bytes.saturating_mul(2).saturating_add(16)
}

/// Parses the text of a file into the tree. `None` if the text has no root node; a finding then
/// gives the reason.
pub fn parse(
    file: FileId,
    source: &SourceFile,
    tree: &mut Tree,
    limits: &Limits,
    sink: &mut Sink,
) -> Option<NodeId> {
    read(file, source, tree, limits, sink).root
}

/// Parses the text of a file into the tree; see [`parse`].
pub(crate) fn read(
    file: FileId,
    source: &SourceFile,
    tree: &mut Tree,
    limits: &Limits,
    sink: &mut Sink,
) -> yaml::Parsed {
    let text = source.text();
    if text.len() > limits.bytes_max {
        let message = format!(
            "the file has {} bytes, more than the maximum of {}",
            text.len(),
            limits.bytes_max
        );
        let finding = Diagnostic::new(&lints::TOO_LARGE, Span::start_of(file), message);
        sink.push(finding.help(MORE_BYTES));
        return yaml::Parsed::default();
    }
    if let Some(at) = text.bytes().position(|byte| byte == 0) {
        sink.push(
            Diagnostic::new(
                &lints::NOT_TEXT,
                Span::new(file, at, at + 1),
                "the file has a NUL byte, so it is not text",
            )
            .help("save it as UTF-8 text"),
        );
        return yaml::Parsed::default();
    }
    match Notation::of_path(source.path()) {
        Notation::Json => yaml::Parsed {
            root: json::parse(file, text, tree, limits, sink),
            is_shared: false,
        },
        Notation::Yaml => yaml::read(file, text, tree, limits, sink),
    }
}
