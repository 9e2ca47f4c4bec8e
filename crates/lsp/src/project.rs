//! Projects of the workspace: their files, and the result of their last compilation.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use diag::{FileId, NodeRef};
use model::compile::{self, Compiled, Input, Options, Purpose};
use model::environment::{Scope, environments};
use sources::project::GATEWAY_FILE;
use sources::project::files::Texts;
use sources::project::parses::Parses;
use sources::syntax::Limits;

use crate::outline::Outline;
use crate::shapes::FileKind;
use crate::text::Text;
use crate::uri::normal;

/// Texts of the documents that are open in the editor, by path.
pub(crate) type Open = BTreeMap<PathBuf, Text>;

/// Result of a compilation.
pub(crate) struct Checked {
    pub(crate) compiled: Compiled,
    input: Input,
    folder: PathBuf,
    /// Texts of the editor that were compiled.
    open: Open,
    limits: (Limits, u64),
    parses: Arc<Parses>,
    /// Compilations in the environments of the project, made when they are first needed.
    others: OnceLock<Vec<Compiled>>,
}

/// Finds the project of a document: the project of the nearest gateway.yaml in the document's
/// folder or above it, otherwise the document alone. `None` for a file that has no project and is
/// not an OpenAPI document that is open in the editor.
pub(crate) fn input_of(path: &Path, open: &Open) -> Option<Input> {
    let folders = path.ancestors().skip(1);
    let mut projects = folders.filter(|folder| {
        let file = folder.join(GATEWAY_FILE);
        open.contains_key(&file) || file.is_file()
    });
    if let Some(folder) = projects.next() {
        return Some(Input::Project(folder.to_owned()));
    }
    let text = open.get(path)?.content();
    is_openapi(text).then(|| Input::Document(path.to_owned()))
}

/// True if a text is probably an OpenAPI document.
pub(crate) fn is_openapi(text: &str) -> bool {
    let start = text.trim_start_matches(['\u{feff}', '{', ' ', '\n', '\r', '\t']);
    let has = |key: &str| {
        let begins = |line: &str| {
            let line = line.trim_start_matches(['"', '\'']);
            line.strip_prefix(key)
                .is_some_and(|rest| rest.trim_start_matches(['"', '\'']).starts_with(':'))
        };
        begins(start)
            || text
                .lines()
                .take(100)
                .any(|line| begins(line) || begins(line.trim_start()) && text.starts_with('{'))
    };
    has("openapi") || has("swagger")
}

/// Compiles a project or document with the texts that are open in the editor. `parses` has the
/// files of the last compilation.
///
/// # Errors
/// Returns an error if the folder cannot be read.
pub(crate) fn check(
    input: &Input,
    open: &Open,
    limits: (Limits, u64),
    parses: &Arc<Parses>,
) -> anyhow::Result<Checked> {
    let options = options(input, open, limits, parses);
    let compiled = compile::everywhere(input, &options)?;
    Ok(Checked {
        compiled,
        input: input.clone(),
        folder: input.folder().to_owned(),
        open: open.clone(),
        limits,
        parses: Arc::clone(parses),
        others: OnceLock::new(),
    })
}

fn options(
    input: &Input,
    open: &Open,
    (limits, now_s): (Limits, u64),
    parses: &Arc<Parses>,
) -> Options<'static> {
    let folder = input.folder();
    let texts: Texts = open
        .iter()
        .filter_map(|(path, text)| Some((relative(folder, path)?, text.shared())))
        .collect();
    Options {
        limits,
        now_s,
        texts,
        parses: Some(Arc::clone(parses)),
        purpose: Purpose::Findings,
        ..Options::default()
    }
}

/// Path relative to a folder, as the compiler names files. `None` for a path outside the folder.
fn relative(folder: &Path, path: &Path) -> Option<String> {
    let path = path.strip_prefix(folder).ok()?.to_str()?;
    Some(path.to_owned())
}

impl Checked {
    /// Absolute path of a file.
    pub(crate) fn path_of(&self, file: FileId) -> PathBuf {
        self.path_in(&self.compiled, file)
    }

    /// Absolute path of a file of one of the compilations.
    pub(crate) fn path_in(&self, compiled: &Compiled, file: FileId) -> PathBuf {
        let path = compiled.files.sources.file(file).path();
        normal(&self.folder.join(path))
    }

    /// Compilations in each environment of the project. Empty without environments.
    pub(crate) fn others(&self) -> &[Compiled] {
        self.others.get_or_init(|| {
            let root = self.gateway().into_iter();
            let all = root.flat_map(environments);
            let all = all.filter_map(|environment| {
                let options = Options {
                    environment: Some(&environment.name),
                    scope: Scope::Chosen,
                    ..options(&self.input, &self.open, self.limits, &self.parses)
                };
                compile::compile(&self.input, options).ok()
            });
            all.collect()
        })
    }

    /// File at a path. `None` if the project does not use the file.
    pub(crate) fn file_at(&self, path: &Path) -> Option<FileId> {
        let mut files = self.compiled.files.sources.iter();
        files.find_map(|(id, _)| (self.path_of(id) == path).then_some(id))
    }

    /// Text of a file as it was compiled.
    pub(crate) fn text_of(&self, file: FileId) -> Text {
        self.text_in(&self.compiled, file)
    }

    /// Text of a file of one of the compilations.
    pub(crate) fn text_in(&self, compiled: &Compiled, file: FileId) -> Text {
        let source = compiled.files.sources.file(file);
        let open = self.open.get(&self.path_in(compiled, file));
        let same = open.filter(|text| Arc::ptr_eq(&text.shared(), source.shared_text()));
        let read = || Text::new(Arc::clone(source.shared_text()));
        same.cloned().unwrap_or_else(read)
    }

    /// Files of the project that are open in the editor.
    pub(crate) fn open_files(&self) -> impl Iterator<Item = PathBuf> {
        let all = self
            .compiled
            .files
            .sources
            .iter()
            .map(|(id, _)| self.path_of(id));
        all.filter(|path| self.open.contains_key(path))
    }

    /// Version of an open document that was compiled. `None` for a file on disk.
    pub(crate) fn version_of(&self, path: &Path) -> Option<i32> {
        self.open.get(path)?.version()
    }

    /// Root node of gateway.yaml. `None` for a document without a project.
    pub(crate) fn gateway(&self) -> Option<NodeRef<'_>> {
        self.gateway_in(&self.compiled)
    }

    /// Root node of gateway.yaml in one of the compilations.
    pub(crate) fn gateway_in<'c>(&self, compiled: &'c Compiled) -> Option<NodeRef<'c>> {
        let files = &compiled.files;
        let (file, _) = files.sources.iter().next()?;
        let is_gateway = self.path_in(compiled, file) == self.folder.join(GATEWAY_FILE);
        let root = files.root(file).filter(|_| is_gateway)?;
        Some(files.tree.at(root))
    }
}

/// Kind of a file in a project. `gateway` is the folder and the outline of gateway.yaml, `checked`
/// the last compilation. `None` for a file that the project does not name.
pub(crate) fn kind_of(
    path: &Path,
    text: &str,
    gateway: Option<(&Path, &Outline)>,
    checked: Option<&Checked>,
) -> Option<FileKind> {
    if path.file_name().is_some_and(|name| name == GATEWAY_FILE) {
        return Some(FileKind::Gateway);
    }
    if is_openapi(text) {
        return Some(FileKind::Document);
    }
    let (folder, outline) = gateway?;
    let own = relative(folder, path)?;
    let is_value = |key: &str| {
        let Some(entry) = outline.find(&[key]) else {
            return false;
        };
        let items = outline.children(Some(entry)).flat_map(|(item, _)| {
            let inner = outline.children(Some(item));
            inner.filter_map(|(_, scalar)| match &scalar.kind {
                crate::outline::Kind::Scalar(text) => Some(text.as_str()),
                _ => None,
            })
        });
        outline
            .scalar(entry)
            .into_iter()
            .chain(items)
            .any(|text| text.trim_start_matches("./") == own)
    };
    let kinds = [
        ("consumers_file", FileKind::Consumers),
        ("acknowledge", FileKind::Acknowledgements),
        ("invariants", FileKind::Invariants),
        ("tests", FileKind::Tests),
    ];
    let mut kinds = kinds.into_iter().filter(|(key, _)| is_value(key));
    let named = kinds.next().map(|(_, kind)| kind);
    named.or_else(|| {
        // `tests` has patterns, which the compiler resolves.
        let all = &checked?.compiled.model.as_ref()?.settings.tests.files;
        let is_test = all.iter().any(|file| file.value == own);
        is_test.then_some(FileKind::Tests)
    })
}
