//! OCI image manifests (OCI image specification 1.1, `manifest.md`): the subset that bundles use,
//! with one encoding, read strictly.
//!
//! Bundles, statements and source artifacts are all manifests. They differ in `artifactType`.
//! Bundles have neither subject nor annotations.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::json;
use crate::refused::Refused;

/// Media type of every manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Media type of the blob `{}`, which is the config of manifests without a config.
pub const EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// Config blob of a manifest without a config.
pub const EMPTY_BLOB: &[u8] = b"{}";
/// Maximum size of a manifest, in bytes.
pub const MANIFEST_BYTES_MAX: u64 = 1 << 20;

/// Reference to a blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Descriptor {
    /// Media type of the bytes.
    pub media_type: String,
    /// SHA-256 of the bytes.
    pub digest: Digest,
    /// Number of bytes.
    pub size: u64,
}

impl Descriptor {
    /// Creates the descriptor of these bytes.
    #[must_use]
    pub fn of(media_type: &str, bytes: &[u8]) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest: Digest::of(bytes),
            size: bytes.len() as u64,
        }
    }

    /// Descriptor of the blob `{}`.
    #[must_use]
    pub fn empty() -> Self {
        Self::of(EMPTY, EMPTY_BLOB)
    }
}

/// OCI image manifest. Fields are encoded in the order of declaration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImageManifest {
    schema_version: u32,
    media_type: String,
    /// Media type of the artifact.
    pub artifact_type: String,
    /// The config blob.
    pub config: Descriptor,
    /// Descriptors of the content blobs, in order.
    pub layers: Vec<Descriptor>,
    /// Manifest that this manifest is about (`subject` in OCI), such as the bundle of a statement.
    /// For people and tools; serving never depends on it. `None`: no subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Key-value pairs for tools.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl ImageManifest {
    /// Creates a manifest without subject and annotations.
    #[must_use]
    pub fn new(artifact_type: &str, config: Descriptor, layers: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: MANIFEST.to_owned(),
            artifact_type: artifact_type.to_owned(),
            config,
            layers,
            subject: None,
            annotations: BTreeMap::new(),
        }
    }

    /// Encodes the manifest: keys in the order of the fields, without white space.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings, numbers and sorted maps always have a JSON form")
    }

    /// Decodes a manifest that [`ImageManifest::encode`] could have written.
    ///
    /// # Errors
    /// [`Refused::TooLarge`] beyond [`MANIFEST_BYTES_MAX`]; [`Refused::Malformed`] or
    /// [`Refused::NotABundle`] if the bytes are not a manifest; [`Refused::NotCanonical`] for bytes
    /// in another encoding.
    pub fn decode(what: &'static str, bytes: &[u8]) -> Result<Self, Refused> {
        if bytes.len() as u64 > MANIFEST_BYTES_MAX {
            return Err(Refused::TooLarge {
                what,
                limit: MANIFEST_BYTES_MAX,
            });
        }
        let manifest: Self =
            serde_json::from_slice(bytes).map_err(|error| json::malformed(what, &error))?;
        if manifest.schema_version != 2 || manifest.media_type != MANIFEST {
            return Err(Refused::NotABundle { what });
        }
        if manifest.encode() != bytes {
            return Err(Refused::NotCanonical { what });
        }
        Ok(manifest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_empty_descriptor_is_the_specified_one() {
        let empty = Descriptor::empty();
        assert_eq!(
            empty.digest.to_string(),
            "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
        );
        assert_eq!(empty.size, 2);
    }

    #[test]
    fn only_our_own_spelling_is_read() {
        let manifest = ImageManifest::new("a/b", Descriptor::empty(), vec![]);
        let bytes = manifest.encode();
        assert_eq!(ImageManifest::decode("manifest", &bytes), Ok(manifest));
        let text = String::from_utf8(bytes).unwrap();
        for bad in [
            text.replace(':', ": "),
            text.replace("\"layers\":[]", "\"layers\":[],\"layers\":[]"),
            text.replace("\"layers\":[]", "\"layers\":[],\"annotations\":{}"),
            text.replace("\"layers\":[]", "\"layers\":[],\"x\":1"),
            text.replace("\"schemaVersion\":2", "\"schemaVersion\":1"),
            text.replace("\"schemaVersion\":2", "\"schemaVersion\":2.0"),
            text.replace("image.manifest", "image.index"),
            text.replace("\"size\":2", "\"size\":2,\"data\":\"e30=\""),
            text.replace("\"size\":2", "\"size\":2,\"urls\":[]"),
            format!("{text}\n"),
        ] {
            assert!(
                ImageManifest::decode("manifest", bad.as_bytes()).is_err(),
                "{bad}"
            );
        }
    }
}
