//! Reading files, inside the project's folder only.
//!
//! [`Files`] is the one place of the compiler's front that touches the disk. It reads each
//! file once, keeps its text in [`Sources`] and its nodes in the [`Tree`], and refuses
//! whatever lies outside the folder: absolute paths, `..` beyond the root, symbolic links that
//! lead out, URLs. Findings about a file's text stay with the file until somebody reports
//! them, so that a file that is never meant does not speak.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use diag::{Diagnostic, FileId, NodeId, Sink, SourceFile, Sources, Span, Tree};

use super::reach::{self, Tracked};
pub use super::refusal::Refusal;
use super::repository::WorkTree;
use super::revision::Revision;
use crate::compile::GATEWAY_FILE;
use crate::lint::allow;
use crate::parallel;
use crate::syntax::{self, Limits, lints};

/// Most files and folders that a pattern is tried on.
pub(super) const LISTED_MAX: usize = 100_000;

/// How a file begins whose content Git LFS keeps elsewhere
/// (<https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md>).
const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";

/// The texts and nodes of one run.
pub struct Files {
    /// Every text that was read.
    pub sources: Sources,
    /// Every node of all of them.
    pub tree: Tree,
    disk: Disk,
    limits: Limits,
    loaded: Vec<Loaded>,
    by_path: BTreeMap<String, Result<FileId, Refusal>>,
    documents: Vec<Document>,
    instead: Texts,
    /// Paths that the command line names.
    named: HashSet<String>,
    /// Number of folders above the root references may reach.
    up_max: usize,
}

/// Texts by path, instead of what is on the disk.
pub type Texts = BTreeMap<String, String>;

/// Where the bytes come from.
enum Disk {
    /// A folder of the file system.
    Folder(Folder),
    /// Files by name: samples, tests.
    Memory(BTreeMap<String, Vec<u8>>),
    /// A folder of a Git revision.
    Revision(Revision),
}

/// A folder of the file system.
struct Folder {
    /// Its path, canonical.
    root: PathBuf,
    /// The folder that links and references must not lead out of: the root, or the work tree above.
    outer: PathBuf,
    /// Git's knowledge of its files, read when first needed; none without a repository.
    tracked: OnceLock<Result<Option<Tracked>, Refusal>>,
}

struct Loaded {
    root: Option<NodeId>,
    findings: Vec<Diagnostic>,
    /// The files that its references name, as written but decoded, sorted.
    names: Vec<String>,
    /// Whether there is an `x-gateway-lint` in it.
    allows: bool,
    /// Whether a schema in it names itself: `$id`, `$anchor` or `$dynamicAnchor`.
    identifies: bool,
    /// Whether what it refers to was loaded too.
    followed: bool,
    /// The files that it refers to, as far as they could be read.
    refers: Vec<FileId>,
}

/// A file's text, before it is parsed.
struct Text {
    source: SourceFile,
    /// The byte at which it is no UTF-8.
    not_text: Option<usize>,
}

/// A file that was parsed beside others.
struct Parsed {
    source: SourceFile,
    tree: Tree,
    loaded: Loaded,
}

/// An OpenAPI document after its overlays were applied.
#[derive(Clone, Debug)]
pub struct Document {
    /// The document's own file; references are relative to it.
    pub file: FileId,
    /// Its root, which differs from the file's when overlays changed it.
    pub root: NodeId,
    /// The overlays' files. Their nodes stand in this document.
    pub overlays: Vec<FileId>,
}

impl Document {
    /// The file whose folder references in a node are relative to.
    #[must_use]
    pub fn base(&self, file: FileId) -> FileId {
        if self.overlays.contains(&file) {
            self.file
        } else {
            file
        }
    }
}

impl Files {
    /// The files of a folder.
    pub fn open(root: &Path, limits: Limits) -> std::io::Result<Self> {
        let root = root.canonicalize()?;
        let folder = Folder {
            outer: root.clone(),
            root,
            tracked: OnceLock::new(),
        };
        Ok(Self::new(Disk::Folder(folder), limits))
    }

    /// The files of a folder, some of them with other texts.
    pub fn open_instead(root: &Path, limits: Limits, texts: Texts) -> std::io::Result<Self> {
        let mut files = Self::open(root, limits)?;
        files.instead = texts;
        Ok(files)
    }

    /// Files that are given, by their paths relative to the root.
    pub fn in_memory<P, B>(files: impl IntoIterator<Item = (P, B)>, limits: Limits) -> Self
    where
        P: Into<String>,
        B: Into<Vec<u8>>,
    {
        let files = files
            .into_iter()
            .map(|(path, bytes)| (path.into(), bytes.into()));
        Self::new(Disk::Memory(files.collect()), limits)
    }

    /// The files of a folder of a Git revision.
    #[must_use]
    pub fn of_revision(revision: Revision, limits: Limits) -> Self {
        Self::new(Disk::Revision(revision), limits)
    }

    /// Gives a file another text than it has; only what was not read yet.
    pub fn write(&mut self, path: &str, text: String) {
        self.instead.insert(path.to_owned(), text);
    }

    fn new(disk: Disk, limits: Limits) -> Self {
        Self {
            sources: Sources::default(),
            tree: Tree::default(),
            disk,
            limits,
            loaded: Vec::new(),
            by_path: BTreeMap::new(),
            documents: Vec::new(),
            instead: Texts::new(),
            named: HashSet::new(),
            up_max: 0,
        }
    }

    /// Lets references reach the whole work tree that the folder is in: a document without a project
    /// has no border of its own. Without a repository nothing changes.
    pub fn widen(&mut self) {
        self.up_max = match &mut self.disk {
            Disk::Memory(_) => 0,
            Disk::Revision(revision) => revision.widen(),
            Disk::Folder(folder) => folder.widen(),
        };
    }

    /// A path relative to the root from one that is relative to a folder; see [`join`].
    fn join(&self, folder: &str, reference: &str) -> Result<String, Refusal> {
        join_within(folder, reference, self.up_max)
    }

    /// Allows a file that the command line names, whatever its name and whether Git ignores it.
    pub fn allow(&mut self, path: &str) {
        self.named.extend(join("", path));
    }

    /// The bytes of a file of the project that is no source.
    ///
    /// # Errors
    /// Further reasons to refuse a source.
    pub fn bytes(&self, path: &str) -> Result<Vec<u8>, Refusal> {
        self.disk.source(path, false, self.limits.bytes_max)
    }

    /// Reads and parses a file by its path relative to the root, once.
    pub fn read(&mut self, path: &str) -> Result<FileId, Refusal> {
        let path = self.join("", path)?;
        if !self.by_path.contains_key(&path) {
            self.read_all(std::slice::from_ref(&path));
        }
        self.by_path[&path].clone()
    }

    /// Reads and parses files beside each other, so that they are there when they are asked for;
    /// what is wrong with one waits until then. Their ids follow the order of the paths.
    pub fn read_all(&mut self, paths: &[String]) {
        let mut new = HashSet::new();
        let mut paths: Vec<String> = paths
            .iter()
            .filter_map(|path| self.join("", path).ok())
            .collect();
        paths.retain(|path| !self.by_path.contains_key(path) && new.insert(path.clone()));
        let room = self.limits.files_max.saturating_sub(self.loaded.len());
        for path in paths.drain(room.min(paths.len())..) {
            let refusal = Refusal::TooManyFiles(self.limits.files_max);
            self.by_path.insert(path, Err(refusal));
        }
        let (disk, instead, limits) = (&self.disk, &self.instead, self.limits);
        let named = &self.named;
        let texts = parallel::map(paths, |path| {
            let read = match instead.get(&path) {
                Some(text) => Ok(text.clone().into_bytes()),
                None => disk.source(&path, named.contains(&path), limits.bytes_max),
            };
            let text = read.map(|bytes| Text::new(path.clone(), bytes));
            (path, text)
        });
        let mut placed = Vec::new();
        for (path, text) in texts {
            let nodes = |text: &Text| syntax::nodes_max(text.source.text().len());
            let room = text.and_then(|text| {
                let first = self.tree.set_aside(nodes(&text)).ok_or(Refusal::TooMany)?;
                Ok((text, first))
            });
            let result = room.map(|(text, first)| {
                let next = self.sources.next().0 as usize + placed.len();
                let file = FileId(u32::try_from(next).expect("fewer than 2^32 files"));
                placed.push((file, text, first));
                file
            });
            self.by_path.insert(path, result);
        }
        let parsed = parallel::map(placed, |(file, text, first)| {
            text.parse(file, first, limits)
        });
        for one in parsed {
            self.sources.take(one.source);
            self.tree.take(one.tree);
            self.loaded.push(one.loaded);
        }
    }

    /// Reads a file that `named` names (relative to the root) and reports what is wrong with
    /// its name there and with its text in it. `None` if it has no root.
    pub fn load(&mut self, path: &str, named: Span, sink: &mut Sink) -> Option<(FileId, NodeId)> {
        match self.read(path) {
            Ok(file) => {
                self.report(file, sink);
                Some((file, self.root(file)?))
            }
            Err(refusal) => {
                sink.push(refusal.finding(path, named));
                None
            }
        }
    }

    /// The files below a folder, sorted, by their paths relative to the root; none where there is
    /// no such folder. Hidden ones are left out, and symbolic links are not followed.
    ///
    /// # Errors
    /// A folder outside the project, one that cannot be read, or one with too many files.
    pub fn list(&self, folder: &str) -> Result<Vec<String>, Refusal> {
        let folder = join("", folder)?;
        let mut paths = self.disk.list(&folder)?;
        paths.sort_unstable();
        Ok(paths)
    }

    /// How much is read.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// A file's root.
    #[must_use]
    pub fn root(&self, file: FileId) -> Option<NodeId> {
        self.loaded.get(file.0 as usize)?.root
    }

    /// The documents that were followed, as their overlays left them.
    #[must_use]
    pub fn documents(&self) -> &[Document] {
        &self.documents
    }

    /// The findings about a file's text.
    pub fn report(&self, file: FileId, sink: &mut Sink) {
        if let Some(loaded) = self.loaded.get(file.0 as usize) {
            loaded
                .findings
                .iter()
                .cloned()
                .for_each(|finding| sink.push(finding));
        }
    }

    /// The file that a reference in `base` names, if it was loaded.
    pub fn referred(&self, base: FileId, reference: &str) -> Result<FileId, Refusal> {
        let path = self.join(folder(self.sources.file(base).path()), reference)?;
        let known = self.by_path.get(&path);
        known.cloned().unwrap_or(Err(Refusal::Missing))
    }

    /// Loads every file that the document refers to; see [`Files::follow_all`].
    pub fn follow(&mut self, document: &Document) {
        self.follow_all([document]);
    }

    /// Loads every file that the documents refer to, directly or through others. Mistakes are
    /// reported where the reference is resolved, because a `$ref` may stand in an example.
    pub fn follow_all<'d>(&mut self, documents: impl IntoIterator<Item = &'d Document>) {
        // Files with the file that their references are relative to.
        let mut waiting: Vec<(FileId, FileId)> = Vec::new();
        for document in documents {
            self.documents.push(document.clone());
            waiting.push((document.file, document.file));
            let overlays = document.overlays.iter();
            waiting.extend(overlays.map(|overlay| (*overlay, document.file)));
        }
        while !waiting.is_empty() {
            let mut named: Vec<(FileId, String)> = Vec::new();
            for (file, base) in std::mem::take(&mut waiting) {
                let Some(loaded) = self.loaded.get_mut(file.0 as usize) else {
                    continue;
                };
                // An overlay's references mean another file for each document.
                if std::mem::replace(&mut loaded.followed, true) && file == base {
                    continue;
                }
                let folder = folder(self.sources.file(base).path());
                let up_max = self.up_max;
                let paths = loaded
                    .names
                    .iter()
                    .filter_map(|name| join_within(folder, name, up_max).ok());
                named.extend(paths.map(|path| (file, path)));
            }
            let paths: Vec<String> = named.iter().map(|(_, path)| path.clone()).collect();
            self.read_all(&paths);
            for (file, path) in named {
                if let Some(Ok(target)) = self.by_path.get(&path) {
                    waiting.push((*target, *target));
                    if let Some(loaded) = self.loaded.get_mut(file.0 as usize) {
                        loaded.refers.push(*target);
                    }
                }
            }
        }
    }

    /// Whether there is an `x-gateway-lint` in a file.
    #[must_use]
    pub fn allows(&self, file: FileId) -> bool {
        let loaded = self.loaded.get(file.0 as usize);
        loaded.is_some_and(|loaded| loaded.allows)
    }

    /// Whether a schema in a file names itself: `$id`, `$anchor` or `$dynamicAnchor`.
    #[must_use]
    pub fn identifies(&self, file: FileId) -> bool {
        let loaded = self.loaded.get(file.0 as usize);
        loaded.is_some_and(|loaded| loaded.identifies)
    }

    /// The files that a document reaches by references, itself first; they must have been loaded
    /// by [`Files::follow`]. An overlay's own file is not among them, what it refers to is.
    #[must_use]
    pub fn reached(&self, document: &Document) -> Vec<FileId> {
        let mut reached = vec![document.file];
        let refers = |file: FileId| {
            let loaded = self.loaded.get(file.0 as usize);
            loaded.map_or(&[][..], |loaded| &loaded.refers)
        };
        let mut known: HashSet<FileId> = HashSet::from([document.file]);
        for overlay in &document.overlays {
            reached.extend(refers(*overlay).iter().filter(|file| known.insert(**file)));
        }
        let mut next = 0;
        while let Some(file) = reached.get(next).copied() {
            reached.extend(refers(file).iter().filter(|file| known.insert(**file)));
            next += 1;
        }
        reached
    }
}

// === impl Text ===

impl Text {
    fn new(path: String, bytes: Vec<u8>) -> Self {
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
        }
    }

    fn parse(self, file: FileId, first: NodeId, limits: Limits) -> Parsed {
        let Self { source, not_text } = self;
        let mut sink = Sink::default();
        let mut tree = Tree::part(first, source.text().len() / TYPICAL_NODE_BYTES);
        let root = if let Some(at) = not_text {
            sink.push(not_utf8(file, at));
            None
        } else {
            syntax::parse(file, &source, &mut tree, &limits, &mut sink)
        };
        let mut names: Vec<String> = Vec::new();
        let mut name = |text: &str| {
            if !text.starts_with('#') {
                let name = text.split('#').next().unwrap_or_default();
                names.push(percent_decoded(name).unwrap_or_else(|| name.to_owned()));
            }
        };
        let (mut allows, mut identifies) = (false, false);
        for node in tree.nodes() {
            for (entry, value) in node.entries() {
                match &*entry.key {
                    "$ref" | "$dynamicRef" | "operationRef" => {
                        value.as_str().into_iter().for_each(&mut name)
                    }
                    "mapping" if node.get("propertyName").is_some() => {
                        // The schemas that a discriminator maps to.
                        let mapped = value.entries().filter_map(|(_, value)| value.as_str());
                        mapped.for_each(&mut name);
                    }
                    "$id" | "$anchor" | "$dynamicAnchor" => identifies = true,
                    allow::KEY => allows = true,
                    _ => {}
                }
            }
        }
        names.sort_unstable();
        names.dedup();
        Parsed {
            source,
            tree,
            loaded: Loaded {
                root,
                findings: sink.into_sorted(),
                names,
                allows,
                identifies,
                followed: false,
                refers: Vec::new(),
            },
        }
    }
}

/// Bytes of text for each node in what people write.
const TYPICAL_NODE_BYTES: usize = 12;

fn not_utf8(file: FileId, at: usize) -> Diagnostic {
    // The text that is kept has a replacement character of three bytes there.
    Diagnostic::new(
        &lints::NOT_TEXT,
        Span::new(file, at, at + '\u{fffd}'.len_utf8()),
        format!("byte {at} of the file is not UTF-8"),
    )
    .help("save the file as UTF-8")
}

// === impl Disk ===

impl Disk {
    fn list(&self, folder: &str) -> Result<Vec<String>, Refusal> {
        let folder_of_disk = match self {
            Self::Folder(folder) => folder,
            Self::Memory(files) => {
                let inside = |path: &&String| {
                    folder.is_empty()
                        || path
                            .strip_prefix(folder)
                            .is_some_and(|rest| rest.starts_with('/'))
                };
                return Ok(files.keys().filter(inside).cloned().collect());
            }
            Self::Revision(revision) => return revision.list(folder),
        };
        let unreadable = |error: std::io::Error| Refusal::Unreadable(error.to_string());
        let mut found = Vec::new();
        let mut waiting = vec![folder.to_owned()];
        while let Some(folder) = waiting.pop() {
            let entries = match std::fs::read_dir(folder_of_disk.root.join(&folder)) {
                Err(error)
                    if [ErrorKind::NotFound, ErrorKind::NotADirectory].contains(&error.kind()) =>
                {
                    continue;
                }
                entries => entries.map_err(unreadable)?,
            };
            for entry in entries {
                let entry = entry.map_err(unreadable)?;
                let name = entry.file_name();
                let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) else {
                    continue;
                };
                let path = join(&folder, name)?;
                let kind = entry.file_type().map_err(unreadable)?;
                if kind.is_dir() {
                    waiting.push(path);
                } else if kind.is_file() && !folder_of_disk.ignores_inside(&path)? {
                    found.push(path);
                }
                if found.len() + waiting.len() > LISTED_MAX {
                    return Err(Refusal::Unreadable(format!(
                        "there are more than {LISTED_MAX} files in it"
                    )));
                }
            }
        }
        Ok(found)
    }

    /// The bytes of a source; see [`reach`].
    fn source(&self, path: &str, is_named: bool, bytes_max: usize) -> Result<Vec<u8>, Refusal> {
        let (bytes, is_tracked) = match self {
            Self::Folder(folder) => folder.source(path, is_named, bytes_max)?,
            Self::Memory(files) => (files.get(path).cloned().ok_or(Refusal::Missing)?, true),
            Self::Revision(revision) => (revision.read(path, bytes_max)?, true),
        };
        if !is_named {
            reach::check_name(path)?;
        }
        if bytes.starts_with(LFS_POINTER) {
            return Err(Refusal::LfsPointer);
        }
        reach::check_content(&bytes, is_named || is_tracked)?;
        // What is given in memory is the caller's own.
        let is_given = is_named || matches!(self, Self::Memory(_));
        if !is_given && path != GATEWAY_FILE {
            reach::check_form(&bytes)?;
        }
        Ok(bytes)
    }
}

// === impl Folder ===

impl Folder {
    /// Reads a file; whether Git tracks it is the second part.
    fn source(
        &self,
        path: &str,
        is_named: bool,
        bytes_max: usize,
    ) -> Result<(Vec<u8>, bool), Refusal> {
        let unreadable = |error: std::io::Error| match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => Refusal::Missing,
            _ => Refusal::Unreadable(error.to_string()),
        };
        let real = self.root.join(path).canonicalize().map_err(unreadable)?;
        let Ok(below) = real.strip_prefix(&self.outer) else {
            return Err(Refusal::Outside);
        };
        // Asked before opening, because opening a pipe waits for its other end.
        if !real.metadata().map_err(unreadable)?.is_file() {
            return Err(Refusal::NotAFile);
        }
        let mut is_tracked = true;
        if !is_named {
            // The name of what a link leads to counts as much as the link's.
            reach::check_name(path)?;
            let inside = real.strip_prefix(&self.root).unwrap_or(below);
            reach::check_name(&inside.to_string_lossy())?;
            if self.ignores(below)? {
                return Err(Refusal::Ignored);
            }
            is_tracked = match self.tracked()? {
                Some(tracked) => tracked.has(below),
                None => true,
            };
        }
        let file = File::open(&real).map_err(unreadable)?;
        let most = u64::try_from(bytes_max).unwrap_or(u64::MAX);
        let mut bytes = Vec::new();
        file.take(most.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(unreadable)?;
        if bytes.len() > bytes_max {
            return Err(Refusal::TooLarge(bytes_max));
        }
        Ok((bytes, is_tracked))
    }

    /// Widens the border to the work tree; how many folders that is above the root.
    fn widen(&mut self) -> usize {
        let Ok(tree) = WorkTree::find(&self.root) else {
            return 0;
        };
        let Ok(below) = self.root.strip_prefix(tree.folder()) else {
            return 0;
        };
        // A folder that the repository ignores is not part of it.
        let is_ignored = tree.repository().is_path_ignored(below);
        if !below.as_os_str().is_empty() && is_ignored.unwrap_or(true) {
            return 0;
        }
        let up_max = below.components().count();
        self.outer = tree.folder().to_owned();
        self.tracked = OnceLock::new();
        up_max
    }

    /// True if Git ignores a file, by its path without links from the outer folder.
    fn ignores(&self, path: &Path) -> Result<bool, Refusal> {
        Ok(self.tracked()?.is_some_and(|tracked| tracked.ignores(path)))
    }

    /// True if Git ignores a file, by its path from the root.
    fn ignores_inside(&self, path: &str) -> Result<bool, Refusal> {
        let below = self.root.strip_prefix(&self.outer).unwrap_or(Path::new(""));
        self.ignores(&below.join(path))
    }

    fn tracked(&self) -> Result<Option<&Tracked>, Refusal> {
        match self.tracked.get_or_init(|| Tracked::find(&self.outer)) {
            Ok(tracked) => Ok(tracked.as_ref()),
            Err(refusal) => Err(refusal.clone()),
        }
    }
}

/// The folder of a relative path, without its last `/`.
fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// A path relative to the root from one that is relative to a folder, or that begins with `/` and
/// is relative to the root itself. Nothing is asked of the disk: `..` is taken by the text.
pub fn join(folder: &str, reference: &str) -> Result<String, Refusal> {
    join_within(folder, reference, 0)
}

/// The same where a path may lead so many folders above the root: it begins with `..` then.
fn join_within(folder: &str, reference: &str, up_max: usize) -> Result<String, Refusal> {
    if is_url(reference) {
        return Err(Refusal::Remote);
    }
    if reference.starts_with('\\') || reference.contains('\0') {
        return Err(Refusal::Outside);
    }
    let folder = if reference.starts_with('/') {
        ""
    } else {
        folder
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(reference.split('/')) {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|part| *part != "..") => drop(parts.pop()),
            ".." if parts.len() < up_max => parts.push(".."),
            ".." => return Err(Refusal::Outside),
            part => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}

/// Whether a text begins with a scheme (`https:`, `file:`, `urn:`) or names a host (`//h/p`).
/// A single letter is taken for a drive, which is outside as well.
fn is_url(text: &str) -> bool {
    let scheme = text.split_once(':').is_some_and(|(scheme, _)| {
        // One letter is a drive of Windows.
        scheme.len() > 1
            && scheme
                .as_bytes()
                .first()
                .is_some_and(u8::is_ascii_alphabetic)
            && scheme
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
    });
    scheme || text.starts_with("//")
}

/// A text with its `%41` escapes decoded; `None` if one is malformed or it is not UTF-8 then.
#[must_use]
pub fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let digit = |at: usize| char::from(*tail.get(at)?).to_digit(16);
        let code = digit(0)? << 4 | digit(1)?;
        bytes.push(u8::try_from(code).ok()?);
        rest = tail.get(2..)?;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside() {
        assert_eq!(join("apis", "orders.yaml"), Ok("apis/orders.yaml".into()));
        assert_eq!(join("apis/a", "../b/./c.yaml"), Ok("apis/b/c.yaml".into()));
        assert_eq!(join("apis", "../../etc/passwd"), Err(Refusal::Outside));
        assert_eq!(join("apis/a", "/b/c.yaml"), Ok("b/c.yaml".into()));
        assert_eq!(join("apis", "/../a.yaml"), Err(Refusal::Outside));
        assert_eq!(
            join_within("apis", "../../a.yaml", 1),
            Ok("../a.yaml".into())
        );
        assert_eq!(join_within("../b", "c.yaml", 1), Ok("../b/c.yaml".into()));
        assert_eq!(
            join_within("../b", "../../c.yaml", 1),
            Err(Refusal::Outside)
        );
        assert_eq!(join("", r"\\host\share"), Err(Refusal::Outside));
        for url in ["https://h/a", "file:///a", "//h/a", "urn:x"] {
            assert_eq!(join("", url), Err(Refusal::Remote), "{url}");
        }
    }

    #[test]
    fn percent_escapes_are_decoded() {
        assert_eq!(percent_decoded("a%20b%2Fc").as_deref(), Some("a b/c"));
        for bad in ["%", "%2", "%zz", "%ff", "a%2"] {
            assert_eq!(percent_decoded(bad), None, "{bad}");
        }
    }
}
