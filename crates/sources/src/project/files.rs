//! Reader of files inside the project folder.
//!
//! [`Files`] is the only part of the compiler front end that reads sources from disk. It reads each
//! file once and keeps its text in [`Sources`] and its nodes in the [`Tree`]. It refuses every file
//! outside the folder: absolute paths, `..` beyond the root, symbolic links that lead out, URLs.
//! [`Files::widen`] extends this limit to the work tree. Findings about a file's text are reported
//! when the file is used, so that an unused file reports nothing.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use diag::{FileId, NodeId, Sink, Sources, Span, Tree};

use super::GATEWAY_FILE;
use super::disk::{Disk, Folder};
use super::parsed::{Loaded, Text};
use super::parses::{Parses, Place};
use super::pattern_sizes::PatternSizes;
pub use super::percent::percent_decoded;
pub use super::refusal::{FETCH_OBJECTS, Refusal};
use super::revision::Revision;
use crate::parallel;
use crate::syntax::{self, Limits};

/// Maximum number of files and folders that a pattern is matched against.
const LISTED_MAX: usize = 100_000;

/// Files below a folder, as [`Files::list`] returns them.
#[derive(Debug, Default)]
pub struct Listed {
    /// Paths of regular files.
    pub files: Vec<String>,
    /// Paths of entries that are neither regular files nor folders.
    pub skipped: Vec<(String, Skipped)>,
}

/// Kind of an entry that a pattern never finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Skipped {
    /// Symbolic link.
    Link,
    /// Pipe, socket or device.
    Special,
}

impl Listed {
    /// Refuses more than [`LISTED_MAX`] entries. `waiting` is the number of folders to be read.
    pub(super) fn check_size(&self, waiting: usize) -> Result<(), Refusal> {
        if self.files.len() + self.skipped.len() + waiting <= LISTED_MAX {
            return Ok(());
        }
        let why = format!("the folder has more than {LISTED_MAX} files");
        Err(Refusal::Unreadable(why))
    }
}

/// Source files of one run: texts, nodes, and refused paths.
pub struct Files {
    /// All texts that were read.
    pub sources: Sources,
    /// Nodes of all texts.
    pub tree: Tree,
    /// Number of search steps that the overlays of this run have taken. All overlays share one
    /// limit.
    pub overlay_steps: usize,
    /// Size of the compiled patterns of this run. All expressions share one limit.
    pub patterns: PatternSizes,
    disk: Disk,
    limits: Limits,
    loaded: Vec<Loaded>,
    by_path: BTreeMap<String, Result<FileId, Refusal>>,
    documents: Vec<Document>,
    instead: Texts,
    /// Parsed files of an earlier compilation. `None`: parse every file.
    parses: Option<Arc<Parses>>,
    /// Paths named on the command line.
    named: HashSet<String>,
    /// Number of folders above the root that references may reach.
    up_max: usize,
    /// Time against which expiry dates of signing keys and of consumers' credentials are checked.
    /// See [`Files::check_time_s`].
    judged_at_s: u64,
}

/// Texts that replace the texts of files on disk, by path.
pub type Texts = BTreeMap<String, Arc<str>>;

/// OpenAPI document after its overlays have been applied.
#[derive(Clone, Debug)]
pub struct Document {
    /// File of the document. References in the document are relative to this file.
    pub file: FileId,
    /// Root node. Differs from the file's root if overlays changed it.
    pub root: NodeId,
    /// Files of the overlays, whose nodes are part of this document.
    pub overlays: Vec<FileId>,
}

impl Document {
    /// File against which references in a node of `file` are resolved: the document's file for
    /// nodes of an overlay, otherwise `file`.
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
    /// Opens the files of a folder.
    pub fn open(root: &Path, limits: Limits) -> std::io::Result<Self> {
        let folder = Folder::new(root.canonicalize()?);
        Ok(Self::new(Disk::Folder(folder), limits))
    }

    /// Opens the files of a folder. `texts` replaces the content of files on disk, by path.
    pub fn open_instead(root: &Path, limits: Limits, texts: Texts) -> std::io::Result<Self> {
        let mut files = Self::open(root, limits)?;
        files.instead = texts;
        Ok(files)
    }

    /// Creates files in memory, by path relative to the root.
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

    /// Opens the files of a folder in a Git revision.
    #[must_use]
    pub fn of_revision(revision: Revision, limits: Limits) -> Self {
        Self::new(Disk::Revision(revision), limits)
    }

    /// Replaces the text of a file for this run; the file on disk is not changed. Has no effect on
    /// a file that was already read.
    pub fn write(&mut self, path: &str, text: String) {
        self.instead.insert(path.to_owned(), text.into());
    }

    fn new(disk: Disk, limits: Limits) -> Self {
        Self {
            sources: Sources::default(),
            tree: Tree::default(),
            overlay_steps: 0,
            patterns: PatternSizes::default(),
            disk,
            limits,
            loaded: Vec::new(),
            by_path: BTreeMap::new(),
            documents: Vec::new(),
            instead: Texts::new(),
            parses: None,
            named: HashSet::new(),
            up_max: 0,
            judged_at_s: 0,
        }
    }

    /// Sets the parsed files of an earlier compilation. Their nodes are reused for equal or similar
    /// texts.
    pub fn set_parses(&mut self, parses: Arc<Parses>) {
        self.parses = Some(parses);
    }

    /// Allows references to the whole work tree that contains the folder. Used for a document
    /// without a project, whose references no project folder limits. Has no effect without a
    /// repository.
    pub fn widen(&mut self) {
        self.up_max = match &mut self.disk {
            Disk::Memory(_) => 0,
            Disk::Revision(revision) => revision.widen(),
            Disk::Folder(folder) => folder.widen(),
        };
    }

    /// Sets the time against which expiry dates are checked. See [`Files::check_time_s`].
    pub fn set_check_time(&mut self, now_s: u64) {
        self.judged_at_s = now_s;
    }

    /// Time against which expiry dates of signing keys and of consumers' credentials are checked,
    /// as Unix time in seconds. Default: 0, so that results do not depend on the clock.
    #[must_use]
    pub fn check_time_s(&self) -> u64 {
        self.judged_at_s
    }

    /// Applies the ignore rules of a commit in addition to the ignore rules of the work tree. A
    /// file that either set of rules ignores is refused as a source.
    pub fn set_base(&mut self, commit: &str) {
        if let Disk::Folder(folder) = &mut self.disk {
            folder.set_base(commit);
        }
    }

    /// Resolves a path relative to a folder into a path relative to the root. See [`join`].
    fn join(&self, folder: &str, reference: &str) -> Result<String, Refusal> {
        join_within(folder, reference, self.up_max)
    }

    /// Allows a file named on the command line, even if rules for names or Git's ignore rules
    /// exclude it.
    pub fn allow(&mut self, path: &str) {
        self.named.extend(join("", path));
    }

    /// Returns the bytes of a project file that is not parsed.
    ///
    /// # Errors
    /// Returns the refusal of the file.
    pub fn bytes(&self, path: &str) -> Result<Vec<u8>, Refusal> {
        let content = self.disk.source(path, false, self.limits.bytes_max)?;
        Ok(content.bytes)
    }

    /// Returns the bytes of a project file that Git tracks. `None` if the file is refused or not
    /// tracked. Without a repository, all files count as tracked.
    #[must_use]
    pub fn tracked_bytes(&self, path: &str) -> Option<Vec<u8>> {
        let content = self.disk.source(path, false, self.limits.bytes_max);
        let content = content.ok().filter(|content| content.is_tracked)?;
        Some(content.bytes)
    }

    /// Reads and parses a file, once. `path` is relative to the root.
    pub fn read(&mut self, path: &str) -> Result<FileId, Refusal> {
        let path = self.join("", path)?;
        if !self.by_path.contains_key(&path) {
            self.read_all(std::slice::from_ref(&path));
        }
        self.by_path[&path].clone()
    }

    /// File at a path relative to the root. `None` if the file was not read.
    #[must_use]
    pub fn known(&self, path: &str) -> Option<FileId> {
        let path = self.join("", path).ok()?;
        self.by_path.get(&path)?.as_ref().ok().copied()
    }

    /// Reads and parses files in parallel, before they are needed. Findings and refusals are
    /// reported only when a file is used. File ids follow the order of the paths.
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
            let text = match instead.get(&path) {
                Some(text) => Ok(Text::of_editor(path.clone(), Arc::clone(text))),
                None => {
                    let content = disk.source(&path, named.contains(&path), limits.bytes_max);
                    content
                        .map(|content| Text::new(path.clone(), content.bytes, content.is_tracked))
                }
            };
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
        let parses = self.parses.as_deref();
        let parsed = parallel::map(placed, |(file, text, first)| {
            text.parse(Place { file, first }, limits, parses)
        });
        for one in parsed {
            if let (Some(refused), path) = (&one.refused, one.source.path()) {
                self.by_path.insert(path.to_owned(), Err(refused.clone()));
            }
            self.sources.take(one.source);
            self.tree.take(one.tree);
            self.loaded.push(one.loaded);
        }
    }

    /// Reads a file by its path relative to the root. Reports refusals at `named` and syntax errors
    /// at their place in the file. `None` if the file has no root node.
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

    /// Lists the files below a folder, sorted, as paths relative to the root. Empty if the folder
    /// does not exist. Leaves out hidden files, files that Git ignores and nested repositories, and
    /// does not follow symbolic links below the folder.
    ///
    /// # Errors
    /// Returns an error if the folder is outside the project, hidden, unreadable, or has too many
    /// files.
    pub fn list(&self, folder: &str) -> Result<Listed, Refusal> {
        let folder = join("", folder)?;
        let mut listed = self.disk.list(&folder)?;
        listed.files.sort_unstable();
        listed.skipped.sort_unstable();
        Ok(listed)
    }

    /// Limits on files and documents of this run.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Returns the root node of a file.
    #[must_use]
    pub fn root(&self, file: FileId) -> Option<NodeId> {
        self.loaded.get(file.0 as usize)?.root
    }

    /// Documents passed to [`Files::follow`] and [`Files::follow_all`].
    #[must_use]
    pub fn documents(&self) -> &[Document] {
        &self.documents
    }

    /// Reports the findings about a file's text.
    pub fn report(&self, file: FileId, sink: &mut Sink) {
        if let Some(loaded) = self.loaded.get(file.0 as usize) {
            loaded
                .findings
                .iter()
                .cloned()
                .for_each(|finding| sink.push(finding));
        }
    }

    /// Returns the loaded file to which a reference in `base` leads, or the reason why the file is
    /// not available.
    pub fn referred(&self, base: FileId, reference: &str) -> Result<FileId, Refusal> {
        let path = self.join(folder(self.sources.file(base).path()), reference)?;
        let known = self.by_path.get(&path);
        known.cloned().unwrap_or(Err(Refusal::Missing))
    }

    /// Loads every file that one document refers to; see [`Files::follow_all`].
    pub fn follow(&mut self, document: &Document) {
        self.follow_all([document]);
    }

    /// Loads every file that the documents refer to, directly or indirectly. A file that cannot be
    /// read is reported only when its reference is resolved, because a `$ref` may be part of an
    /// example.
    pub fn follow_all<'d>(&mut self, documents: impl IntoIterator<Item = &'d Document>) {
        // Pairs of a file and the file against which its references are resolved.
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
                // An overlay may be applied to several documents. Its references then name
                // different files for each document.
                if std::mem::replace(&mut loaded.followed, true) && file == base {
                    continue;
                }
                let folder = folder(self.sources.file(base).path());
                let up_max = self.up_max;
                let paths = loaded
                    .names
                    .files
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

    /// Files whose text is never shown, because CI jobs write credentials into untracked files.
    /// These are all files that Git does not track, if Git tracks gateway.yaml or a file named on
    /// the command line. Otherwise none.
    #[must_use]
    pub fn concealed(&self) -> Vec<FileId> {
        let mut files: Vec<FileId> = Vec::new();
        for (file, _) in self.sources.iter() {
            let loaded = self.loaded.get(file.0 as usize);
            files.extend(loaded.filter(|loaded| loaded.is_untracked).map(|_| file));
        }
        if files.is_empty() {
            return files;
        }
        let named = self.named.iter().map(String::as_str);
        match self.disk.tracks_any(named.chain([GATEWAY_FILE])) {
            true => files,
            false => Vec::new(),
        }
    }

    /// Spans of key material in a file. Their text is never shown.
    #[must_use]
    pub fn keys(&self, file: FileId) -> &[Span] {
        let loaded = self.loaded.get(file.0 as usize);
        loaded.map_or(&[], |loaded| &loaded.keys)
    }

    /// True if a value is key material: a string with a private key, or a private JWK.
    #[must_use]
    pub fn is_key(&self, value: Span) -> bool {
        self.keys(value.file).binary_search(&value).is_ok()
    }

    /// True if a file contains `x-gateway-lint`.
    #[must_use]
    pub fn allows(&self, file: FileId) -> bool {
        let loaded = self.loaded.get(file.0 as usize);
        loaded.is_some_and(|loaded| loaded.names.allows)
    }

    /// True if a schema in a file has `$id`, `$anchor` or `$dynamicAnchor`.
    #[must_use]
    pub fn identifies(&self, file: FileId) -> bool {
        let loaded = self.loaded.get(file.0 as usize);
        loaded.is_some_and(|loaded| loaded.names.identifies)
    }

    /// Returns the files to which a document refers, directly or indirectly, the document first.
    /// Includes the files to which overlays refer, but not the overlays. [`Files::follow`] must
    /// have loaded all of them.
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

/// Returns the folder of a relative path, without a final `/`.
fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// Resolves a path relative to a folder into a path relative to the root. A path that begins with
/// `/` is already relative to the root. `..` is resolved lexically, without disk access.
pub fn join(folder: &str, reference: &str) -> Result<String, Refusal> {
    join_within(folder, reference, 0)
}

/// Resolves a path as [`join`] does, but allows up to `up_max` folders above the root. The result
/// of such a path begins with `..`.
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

/// True if a string begins with a URL scheme (`https:`, `file:`, `urn:`) or with a host (`//h/p`).
/// A single letter before `:` is a Windows drive.
fn is_url(text: &str) -> bool {
    let scheme = text.split_once(':').is_some_and(|(scheme, _)| {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joined_paths_stay_inside_the_root() {
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
}
