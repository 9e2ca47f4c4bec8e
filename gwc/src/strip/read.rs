//! Reader of documents with overlays applied, before compilation.

use diag::shape::is_name;
use diag::text::printable;
use diag::{Diagnostic, FileId, Sink, Span};

use model::compile::{Input, add_placeholder, overlaid, settings};
use model::environment;
use model::exit::{Exit, Failure};
use model::globs;
use openapi::lint::conceal;
use sources::project::GATEWAY_FILE;
use sources::project::files::{Document, Files};
use sources::syntax::Limits;

/// Documents of a project, or a single document.
pub struct SourceDocuments {
    /// Files with their texts.
    pub files: Files,
    /// Findings about reading the files and applying overlays.
    pub findings: Vec<Diagnostic>,
    /// APIs, each with its name and document. The API of a document without a project has the name
    /// of the file.
    pub apis: Vec<(String, Document)>,
}

/// Reads the documents of a project, or a single document. Applies their overlays, and loads the
/// files to which they refer.
///
/// # Errors
/// Returns an error if the folder cannot be read or the environment does not exist.
pub fn written(
    input: &Input,
    limits: Limits,
    environment: Option<&str>,
    base: Option<&str>,
) -> anyhow::Result<SourceDocuments> {
    use anyhow::Context as _;
    let root = input.folder();
    let mut files = Files::open(root, limits)
        .with_context(|| format!("cannot read the folder {}", root.display()))?;
    if let Some(base) = base {
        files.set_base(base);
    }
    let mut sink = Sink::default();
    let nowhere = Span::start_of(FileId(0));
    let mut apis = Vec::new();
    match input {
        Input::Document(path) => {
            let name = path.file_name().context("the path names no file")?;
            let name = name.to_string_lossy().into_owned();
            if environment.is_some() {
                return Err(
                    Failure::usage("a document has no environments; name a project").into(),
                );
            }
            files.allow(&name);
            files.widen();
            if let Some((file, root)) = files.load(&name, nowhere, &mut sink) {
                let document = Document {
                    file,
                    root,
                    overlays: Vec::new(),
                };
                apis.push((name, document));
            } else {
                add_placeholder(&mut files, &name);
            }
        }
        Input::Project(_) => {
            let mut unsaid = Sink::default();
            let settings = match files.load(GATEWAY_FILE, nowhere, &mut sink) {
                None => {
                    add_placeholder(&mut files, GATEWAY_FILE);
                    None
                }
                Some((_, node)) => {
                    let choice = environment::choose(&mut files, node, environment, &mut unsaid)
                        .map_err(|unknown| Failure::usage(unknown.to_string()))?;
                    let mut settings = settings(&mut files, &choice.reading, &mut unsaid);
                    match &mut settings {
                        None => sink = unsaid,
                        // Report the documents that `apis_glob` finds but that are no APIs. Other
                        // faults of gateway.yaml do not affect the documents.
                        Some(settings) => globs::expand(&mut files, settings, &mut sink),
                    }
                    settings
                }
            };
            for entry in settings.iter().flat_map(|settings| &settings.apis) {
                if !is_name(&entry.name) {
                    let message = format!(
                        "`{}` cannot be the name of an API; `gwc lint` shows where it is written",
                        printable(&entry.name)
                    );
                    return Err(Failure::new(Exit::INPUT, "api-name", message).into());
                }
                let document = overlaid(&mut files, entry, &mut sink);
                apis.extend(document.map(|document| (entry.name.clone(), document)));
            }
        }
    }
    files.follow_all(apis.iter().map(|(_, document)| document));
    let findings = conceal::concealed(&files, sink.into_sorted());
    Ok(SourceDocuments {
        files,
        findings,
        apis,
    })
}
