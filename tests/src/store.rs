//! Release stores in folders. A test copies a project's releases to such a store file by file, and
//! can damage or forge files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::openssl;
use crate::project::Project;

/// Store that a gwd follows while the test fills it.
pub struct Store {
    folder: TempDir,
}

/// File of a store, with its role in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Path of the file in the store.
    pub path: PathBuf,
    /// Role of the file: `record`, `build statement`, `bundle manifest`, `shared`, …
    pub what: String,
}

impl Store {
    /// Creates an empty store.
    #[must_use]
    pub fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("store-")
            .tempdir()
            .expect("a temporary folder can be made");
        Self { folder }
    }

    /// Folder of the store.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    /// Copies all files that the project has released into this store. Blobs are copied first, then
    /// the links.
    pub fn take(&self, project: &Project) {
        self.take_with(project, |_, bytes| bytes);
    }

    /// Copies all files that the project has released, like [`Self::take`]. `change` receives the
    /// path and content of each new file, and returns the content to write.
    pub fn take_with(&self, project: &Project, change: impl Fn(&Path, Vec<u8>) -> Vec<u8>) {
        let from = project.path("releases");
        for path in missing(&from, self.root()) {
            let bytes = std::fs::read(from.join(&path)).expect("a file of the store");
            put(&self.root().join(&path), &change(&path, bytes));
        }
    }

    /// Copies one file of the project's releases again, without a change.
    pub fn repair(&self, project: &Project, path: &Path) {
        let bytes = std::fs::read(project.path("releases").join(path)).expect("a file");
        put(&self.root().join(path), &bytes);
    }

    /// Files that the project has released and that this store does not contain yet.
    #[must_use]
    pub fn news(&self, project: &Project) -> Vec<Piece> {
        let from = project.path("releases");
        let known = kinds(&from);
        let missing = missing(&from, self.root()).into_iter();
        missing
            .map(|path| {
                let what = match path.to_string_lossy() {
                    text if text.starts_with("channels/") => "channel head".to_owned(),
                    text if text.starts_with("revocations/") => "revocation head".to_owned(),
                    _ => {
                        let name = path.file_name().unwrap_or_default().to_string_lossy();
                        let what = known.get(&*name).cloned();
                        what.unwrap_or_else(|| path.to_string_lossy().into_owned())
                    }
                };
                Piece { path, what }
            })
            .collect()
    }

    /// Adds a forged record: the project's newest record with a changed envelope. All digests match
    /// the changed content.
    pub fn forge(&self, project: &Project, change: impl Fn(&mut Value)) {
        let from = project.path("releases");
        let channel = from.join("channels/prod");
        let serials = channel.read_dir().expect("a channel");
        let newest = serials
            .filter_map(Result::ok)
            .map(|entry| entry.file_name())
            .max()
            .expect("a record");
        let blob = |digest: &str| {
            let hex = digest.trim().trim_start_matches("sha256:");
            std::fs::read(from.join("blobs/sha256").join(hex)).expect("a blob")
        };
        let head = std::fs::read_to_string(channel.join(&newest)).expect("a digest");
        let mut manifest = String::from_utf8(blob(&head)).expect("JSON");
        let parsed: Value = serde_json::from_str(&manifest).expect("JSON");
        let layer = &parsed["layers"][0];
        let old = layer["digest"].as_str().expect("a digest");
        let mut envelope: Value = serde_json::from_slice(&blob(old)).expect("JSON");
        change(&mut envelope);
        let envelope = envelope.to_string();
        let digest = format!("sha256:{}", openssl::sha256(envelope.as_bytes()));
        let size = format!("\"size\":{}", layer["size"]);
        let at = manifest.find(old).expect("the layer's digest");
        let behind = manifest[at..].replacen(&size, &format!("\"size\":{}", envelope.len()), 1);
        manifest.truncate(at);
        manifest.push_str(&behind);
        let manifest = manifest.replace(old, &digest);
        let id = format!("sha256:{}", openssl::sha256(manifest.as_bytes()));
        for (digest, bytes) in [(&digest, envelope.as_bytes()), (&id, manifest.as_bytes())] {
            let hex = digest.trim_start_matches("sha256:");
            put(&self.root().join("blobs/sha256").join(hex), bytes);
        }
        let head = head.replace(head.trim(), &id);
        self.take_with(project, |path, bytes| {
            if path == Path::new("channels/prod").join(&newest) {
                head.clone().into_bytes()
            } else {
                bytes
            }
        });
    }
}

impl Default for Store {
    fn default() -> Self {
        Self::new()
    }
}

/// Files of one store that another store does not have: blobs first, links last.
fn missing(from: &Path, to: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    walk(from, from, &mut files);
    files.retain(|path| !to.join(path).exists() && !path.to_string_lossy().starts_with("index."));
    files.sort_by_key(|path| {
        let text = path.to_string_lossy();
        let rank = ["blobs/", "revocations/", "channels/"]
            .iter()
            .position(|folder| text.starts_with(folder));
        (rank, path.clone())
    });
    files
}

fn walk(root: &Path, folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in folder.read_dir().expect("a folder").filter_map(Result::ok) {
        let path = entry.path();
        if path.is_dir() {
            walk(root, &path, files);
        } else {
            files.push(path.strip_prefix(root).expect("below the root").to_owned());
        }
    }
}

/// Writes a file under a temporary name and renames the file, as a copying program does.
fn put(path: &Path, bytes: &[u8]) {
    let folder = path.parent().expect("files lie in folders");
    std::fs::create_dir_all(folder).expect("a folder can be made");
    let waiting = folder.join(".arriving");
    std::fs::write(&waiting, bytes).expect("a file can be written");
    std::fs::rename(&waiting, path).expect("a file can be put in place");
}

/// Reads the role of each blob, by its name.
fn kinds(store: &Path) -> BTreeMap<String, String> {
    let blobs = store.join("blobs/sha256");
    let mut kinds = BTreeMap::new();
    for entry in blobs.read_dir().expect("blobs").filter_map(Result::ok) {
        let bytes = std::fs::read(entry.path()).expect("a blob");
        let Ok(manifest) = serde_json::from_slice::<Value>(&bytes) else {
            continue;
        };
        let Some(kind) = manifest["artifactType"].as_str() else {
            continue;
        };
        let predicate = manifest["annotations"]["dev.sigstore.bundle.predicateType"].as_str();
        let what = short(predicate.unwrap_or(kind));
        let name = entry.file_name().to_string_lossy().into_owned();
        kinds.insert(name, format!("{what} manifest"));
        let layers = manifest["layers"].as_array().into_iter().flatten();
        for layer in layers.chain([&manifest["config"]]) {
            let digest = layer["digest"].as_str().unwrap_or_default();
            let own = short(layer["mediaType"].as_str().unwrap_or_default());
            let named = if predicate.is_some() && own.starts_with("sigstore") {
                format!("{what} statement")
            } else {
                own
            };
            kinds.insert(digest.trim_start_matches("sha256:").to_owned(), named);
        }
    }
    kinds
}

/// Short name of a type: `urn:gwc:record:v1` becomes `record`, and
/// `application/vnd.gwc.shared.v1+cbor` becomes `shared`.
fn short(name: &str) -> String {
    let name = name
        .trim_start_matches("urn:gwc:")
        .trim_start_matches("application/vnd.gwc.")
        .trim_start_matches("application/vnd.dev.");
    let end = name.find([':', '.']).unwrap_or(name.len());
    name[..end].to_owned()
}
