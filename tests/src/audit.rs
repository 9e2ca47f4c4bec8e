//! Integrity checks of a store. They read only the store's files, and use no code of the programs
//! under test. The checks are: every blob has the digest in its name, every link leads to a
//! readable statement, and the chain of records is complete.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Content of a store's channel, read from its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// Bundle id of each serial.
    pub records: BTreeMap<u64, String>,
    /// Size of every blob in the store, by its digest in hexadecimal digits.
    pub blobs: BTreeMap<String, u64>,
}

impl Audit {
    /// Reads and checks a store. Panics if the store is damaged or incomplete. Only the bundles of
    /// the newest `bundles` records must be complete.
    #[must_use]
    #[track_caller]
    pub fn of(store: &Path, channel: &str, bundles: usize) -> Self {
        let blobs = check_blobs(store);
        let mut audit = Self {
            records: BTreeMap::new(),
            blobs,
        };
        let folder = store.join("channels").join(channel);
        let mut previous: Option<String> = None;
        for (serial, path) in links(&folder) {
            let text = std::fs::read_to_string(&path).expect("a link");
            let digest = text.strip_suffix('\n').expect("a line feed").to_owned();
            let statement = audit.statement(store, &digest);
            let predicate = &statement["predicate"];
            assert_eq!(predicate["serial"], serial, "{}", path.display());
            assert_eq!(
                predicate["previous"].as_str(),
                previous.as_deref(),
                "{}",
                path.display()
            );
            let bundle = statement["subject"][0]["digest"]["sha256"].as_str();
            let bundle = format!("sha256:{}", bundle.expect("a subject"));
            audit.records.insert(serial, bundle);
            previous = Some(digest);
        }
        for (serial, bundle) in audit.records.iter().rev().take(bundles) {
            let manifest = audit.manifest(store, bundle);
            let layers = manifest["layers"].as_array().expect("layers");
            for blob in layers.iter().chain([&manifest["config"]]) {
                audit.has(blob, &format!("the bundle of serial {serial}"));
            }
        }
        audit
    }

    /// Newest serial, or 0 if the channel has no record.
    #[must_use]
    pub fn head(&self) -> u64 {
        self.records.keys().next_back().copied().unwrap_or(0)
    }

    /// Checks that `index.json` lists exactly the manifests in the store.
    #[track_caller]
    pub fn check_index(&self, store: &Path) {
        let index = std::fs::read(store.join("index.json")).expect("an index");
        let index: Value = serde_json::from_slice(&index).expect("the index is JSON");
        let listed = index["manifests"].as_array().expect("manifests").iter();
        let mut listed: Vec<String> = listed
            .map(|entry| hex(entry["digest"].as_str().expect("a digest")).to_owned())
            .collect();
        listed.sort();
        let is_manifest = |hex: &&String| {
            let bytes = std::fs::read(store.join("blobs/sha256").join(hex)).expect("a blob");
            bytes.starts_with(
                b"{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest",
            )
        };
        let manifests: Vec<String> = self.blobs.keys().filter(is_manifest).cloned().collect();
        assert_eq!(listed, manifests, "index.json of {}", store.display());
    }

    fn statement(&self, store: &Path, digest: &str) -> Value {
        let manifest = self.manifest(store, digest);
        let layer = &manifest["layers"][0];
        self.has(layer, "a record");
        let envelope = blob(store, layer["digest"].as_str().expect("a digest"));
        let envelope: Value = serde_json::from_slice(&envelope).expect("an envelope");
        let payload = envelope["dsseEnvelope"]["payload"].as_str().expect("text");
        serde_json::from_slice(&base64(payload)).expect("a statement")
    }

    fn manifest(&self, store: &Path, digest: &str) -> Value {
        assert!(self.blobs.contains_key(hex(digest)), "{digest} is missing");
        serde_json::from_slice(&blob(store, digest)).expect("a manifest")
    }

    fn has(&self, descriptor: &Value, whose: &str) {
        let digest = descriptor["digest"].as_str().expect("a digest");
        let size = self.blobs.get(hex(digest)).copied();
        assert_eq!(size, descriptor["size"].as_u64(), "{digest} of {whose}");
    }
}

/// Checks that the digest of each blob is its name. Returns the size of each blob by its name.
fn check_blobs(store: &Path) -> BTreeMap<String, u64> {
    let folder = store.join("blobs/sha256");
    let mut blobs = BTreeMap::new();
    for entry in folder.read_dir().expect("blobs").filter_map(Result::ok) {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with(".tmp-") {
            blobs.insert(name, entry.metadata().expect("a blob").len());
        }
    }
    let mut command = Command::new("sha256sum");
    let output = command.current_dir(&folder).args(blobs.keys()).output();
    let output = output.expect("sha256sum is installed");
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let (sum, name) = line.split_once("  ").expect("a sum and a name");
        assert_eq!(sum, name, "a blob of {} is damaged", store.display());
    }
    blobs
}

/// Sets the age of every file in a store to two hours, so that `gwc gc` may remove the files.
pub fn age(store: &Path) {
    let mut command = Command::new("find");
    command.arg(store).args([
        "-type",
        "f",
        "-exec",
        "touch",
        "-d",
        "2 hours ago",
        "{}",
        "+",
    ]);
    assert!(
        command.status().is_ok_and(|status| status.success()),
        "{command:?}"
    );
}

/// Paths of the links of a chain, by serial.
fn links(folder: &Path) -> BTreeMap<u64, PathBuf> {
    let Ok(entries) = folder.read_dir() else {
        return BTreeMap::new();
    };
    entries
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            let serial = name.parse().ok().filter(|_| name.len() == 20)?;
            Some((serial, entry.path()))
        })
        .collect()
}

fn blob(store: &Path, digest: &str) -> Vec<u8> {
    std::fs::read(store.join("blobs/sha256").join(hex(digest))).expect("a blob")
}

fn hex(digest: &str) -> &str {
    digest.strip_prefix("sha256:").expect("a digest")
}

/// Decodes base64 (RFC 4648, with padding).
fn base64(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0u32, 0);
    for letter in text.trim_end_matches('=').bytes() {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            other => panic!("{other} is not a base64 character"),
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xff) as u8);
        }
    }
    bytes
}
