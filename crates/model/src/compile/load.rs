//! Loading of a project's documents and all files that they refer to.

use diag::{Diagnostic, Level, NodeId, Sink};

use super::Purpose;
use crate::served::{self, Public};
use crate::{invariant_file, settings, test_file};
use openapi::spec::lift::lift;
use sources::project::files::{Document, Files};

/// Reads the invariants and tests of the project. For an old version, they are read only for
/// comparisons: their findings are dropped.
pub(super) fn read_checks(
    files: &mut Files,
    settings: &mut settings::Settings,
    (purpose, sink): (Purpose, &mut Sink),
) {
    let mut unread = Sink::default();
    let sink = if purpose.skips() { &mut unread } else { sink };
    let named = &settings.invariants.files;
    settings.invariants.all = invariant_file::read(files, named, sink);
    for file in &settings.tests.files {
        let cases = test_file::read_file(files, (&file.value, file.span), sink);
        settings.tests.cases.extend(cases);
    }
}

/// Document of an API with its overlays applied.
pub(super) struct Loaded<'e> {
    pub(super) entry: &'e settings::ApiEntry,
    pub(super) document: Document,
    /// True if an action of an overlay failed, so that parts of the API are missing.
    pub(super) overlay_failed: bool,
    /// Form of the document that gwd serves to clients, or the reason why the document has no such
    /// form. `None` if gwd does not serve the document.
    pub(super) public: Option<Result<Public, String>>,
}

/// Loads the documents of the APIs and all files that they refer to, and applies their overlays.
/// The boolean is true if a document or overlay cannot be read.
pub(super) fn load<'e>(
    files: &mut Files,
    settings: &'e settings::Settings,
    sink: &mut Sink,
) -> (Vec<Loaded<'e>>, bool) {
    let entries = &settings.apis;
    let named = entries.iter().flat_map(|entry| {
        let overlays = entry.overlays.iter();
        std::iter::once(&entry.path).chain(overlays)
    });
    let named: Vec<String> = named.map(|path| path.value.clone()).collect();
    files.read_all(&named);
    let mut documents = Vec::new();
    for entry in entries {
        let mut found = Sink::default();
        let document = overlaid(files, entry, &mut found);
        let overlay_failed = found.findings().iter().any(is_overlay_error);
        sink.append(found);
        documents.extend(document.map(|document| Loaded {
            entry,
            document,
            overlay_failed,
            public: None,
        }));
    }
    files.follow_all(documents.iter().map(|loaded| &loaded.document));
    for loaded in &mut documents {
        if served::endpoints(loaded.entry, settings).is_some()
            && !is_blank(files, loaded.document.root)
        {
            loaded.public = Some(served::publish(files, &loaded.document));
        }
        lift(files, &mut loaded.document, sink);
    }
    let blank = |loaded: &Loaded<'_>| {
        let overlays = loaded
            .document
            .overlays
            .iter()
            .filter_map(|file| files.root(*file));
        overlays
            .chain([loaded.document.root])
            .any(|root| is_blank(files, root))
    };
    let unreadable = documents.len() < entries.len() || documents.iter().any(blank);
    (documents, unreadable)
}

/// True for an error in an action of an overlay. The action was then skipped.
fn is_overlay_error(finding: &Diagnostic) -> bool {
    let mut rules = openapi::overlay::lints::LINTS.iter();
    finding.level == Level::Error && rules.any(|rule| std::ptr::eq(*rule, finding.lint))
}

/// Loads a document and applies its overlays. `None` if one of these files cannot be read.
pub fn overlaid(
    files: &mut Files,
    entry: &settings::ApiEntry,
    sink: &mut Sink,
) -> Option<Document> {
    let (file, root) = files.load(&entry.path.value, entry.path.span, sink)?;
    let mut document = Document {
        file,
        root,
        overlays: Vec::new(),
    };
    for overlay in &entry.overlays {
        let (file, _) = files.load(&overlay.value, overlay.span, sink)?;
        openapi::overlay::apply(files, &mut document, file, sink);
    }
    Some(document)
}

/// Adds an empty text for the first file if that file cannot be read (too large, no permission).
/// Findings must refer to a text, even findings about an unreadable file.
pub fn add_placeholder(files: &mut Files, path: &str) {
    if files.sources.iter().next().is_none() {
        files.sources.add(path, "");
    }
}

/// True if the root is null: the file has no content, not even an empty map.
pub(super) fn is_blank(files: &Files, root: NodeId) -> bool {
    files.tree.at(root).is_null()
}
