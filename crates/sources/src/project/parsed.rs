//! Parser of a single file without access to the other files of the project, so that files can be
//! parsed in parallel.

use std::sync::Arc;

use diag::{Diagnostic, FileId, NodeId, Sink, SourceFile, Span, Tree};

use super::key_material;
use super::parses::{Names, ParsedFile, Parses, Place};
use super::refusal::Refusal;
use crate::syntax::{self, Limits, lints};

/// Properties of a file that was read.
#[derive(Default)]
pub(super) struct Loaded {
    pub(super) root: Option<NodeId>,
    pub(super) findings: Vec<Diagnostic>,
    pub(super) names: Names,
    /// True if the files to which this file refers have been loaded as well.
    pub(super) followed: bool,
    /// Files to which this file refers, except unreadable files.
    pub(super) refers: Vec<FileId>,
    /// True if Git does not track the file.
    pub(super) is_untracked: bool,
    /// Spans of strings and maps that contain key material.
    pub(super) keys: Vec<Span>,
}

/// Text of a file before parsing.
pub(super) struct Text {
    pub(super) source: SourceFile,
    /// Offset of the first byte that is not valid UTF-8. `None` if all are valid.
    pub(super) not_text: Option<usize>,
    pub(super) is_tracked: bool,
}

/// File that was parsed by a parallel task, not yet part of [`Files`].
pub(super) struct Parsed {
    pub(super) source: SourceFile,
    pub(super) tree: Tree,
    pub(super) loaded: Loaded,
    /// Reason why the file is refused after parsing. A refused file has an empty text. `None`: the
    /// file is accepted.
    pub(super) refused: Option<Refusal>,
}

impl Text {
    pub(super) fn new(path: String, bytes: Vec<u8>, is_tracked: bool) -> Self {
        let (text, not_text) = match String::from_utf8(bytes) {
            Ok(text) => (text, None),
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
                (text, Some(at))
            }
        };
        Self {
            source: SourceFile::new(path, text),
            not_text,
            is_tracked,
        }
    }

    /// Creates the text that replaces a file on disk, for example from an editor. The file counts
    /// as tracked.
    pub(super) fn of_editor(path: String, text: Arc<str>) -> Self {
        Self {
            source: SourceFile::new(path, text),
            not_text: None,
            is_tracked: true,
        }
    }

    /// Parses the text, or reuses nodes of the last compilation from `parses`.
    pub(super) fn parse(self, place: Place, limits: Limits, parses: Option<&Parses>) -> Parsed {
        let Place { file, first } = place;
        let path = self.source.path();
        let known = parses.filter(|_| self.not_text.is_none());
        let known =
            known.and_then(|all| all.parsed(path, self.source.shared_text(), place, &limits));
        if let Some((tree, root, names)) = known {
            return self.parsed_before(tree, root, names);
        }
        let Self {
            source,
            not_text,
            is_tracked,
        } = self;
        let mut sink = Sink::default();
        let mut tree = Tree::part(first, source.text().len() / TYPICAL_NODE_BYTES);
        let (root, is_shared) = if let Some(at) = not_text {
            sink.push(not_utf8(file, at));
            (None, false)
        } else {
            let parsed = syntax::read(file, &source, &mut tree, &limits, &mut sink);
            (parsed.root, parsed.is_shared)
        };
        let keys = key_material::in_strings(&tree);
        if let Some(key) = keys.first().filter(|_| !is_tracked) {
            let line = key_material::line_of(source.text().as_bytes(), key.start as usize);
            return Parsed::refused(source.path(), first, Refusal::Key { line });
        }
        key_material::report(&keys, &mut sink);
        let names = Names::of(&tree);
        if let (Some(parses), Some(root), []) = (parses, root, sink.findings()) {
            parses.keep(
                source.path(),
                ParsedFile {
                    text: Arc::clone(source.shared_text()),
                    file,
                    first,
                    root,
                    nodes: tree.clone().into_nodes_of_part(),
                    is_shared,
                    names: names.clone(),
                    spare: None,
                    is_edited: false,
                },
            );
        }
        Parsed {
            source,
            tree,
            loaded: Loaded {
                root,
                findings: sink.into_sorted(),
                names,
                followed: false,
                refers: Vec::new(),
                is_untracked: !is_tracked,
                keys,
            },
            refused: None,
        }
    }

    fn parsed_before(self, tree: Tree, root: NodeId, names: Names) -> Parsed {
        Parsed {
            source: self.source,
            tree,
            loaded: Loaded {
                root: Some(root),
                names,
                is_untracked: !self.is_tracked,
                ..Loaded::default()
            },
            refused: None,
        }
    }
}

// === impl Parsed ===

impl Parsed {
    /// Creates the result for a refused file, without any text of the file.
    fn refused(path: &str, first: NodeId, refused: Refusal) -> Self {
        Self {
            source: SourceFile::new(path.to_owned(), String::new()),
            tree: Tree::part(first, 0),
            loaded: Loaded::default(),
            refused: Some(refused),
        }
    }
}

/// Typical number of text bytes per node in handwritten files. Used to reserve memory.
const TYPICAL_NODE_BYTES: usize = 12;

fn not_utf8(file: FileId, at: usize) -> Diagnostic {
    // Invalid bytes were replaced by U+FFFD, which has three bytes.
    Diagnostic::new(
        &lints::NOT_TEXT,
        Span::new(file, at, at + '\u{fffd}'.len_utf8()),
        format!("byte {at} of the file is not UTF-8"),
    )
    .help("save the file as UTF-8")
}
