//! `index.json`: all manifests under names that OCI tools accept, for people and tools.
//!
//! The file is derived from blobs and links, and neither gwc nor gwd uses it. Names are tags, so
//! that `skopeo copy oci:STORE:NAME …` finds each manifest:
//!
//! | Name | Manifest |
//! |---|---|
//! | `b-<64 hex>` | bundle |
//! | `ch-<channel>-<serial>` | record with this serial in a channel |
//! | `rev-<serial>` | revocation list with this serial |
//! | `s-<64 hex>` | any other: build statements, sources, records without a link |

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::manifest::BUNDLE;
use crate::oci::{ImageManifest, MANIFEST};
use crate::refused::Refused;
use crate::store::Chain;

use super::files::read_limited;

/// Media type of `index.json`.
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Links, by the manifest to which they refer.
pub(crate) type Links = BTreeMap<Digest, BTreeSet<(Chain, u64)>>;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Index {
    schema_version: u32,
    media_type: String,
    manifests: Vec<Entry>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    media_type: String,
    digest: Digest,
    size: u64,
    artifact_type: String,
    annotations: Annotations,
}

#[derive(Serialize)]
struct Annotations {
    #[serde(rename = "org.opencontainers.image.ref.name")]
    name: String,
}

impl Index {
    /// Builds the index of these manifests, with one entry for each link to a manifest.
    pub(crate) fn of<'a>(
        manifests: impl IntoIterator<Item = (&'a Digest, &'a ImageManifest)>,
        links: &Links,
    ) -> Self {
        let mut entries = Vec::new();
        for (digest, manifest) in manifests {
            let size = manifest.encode().len() as u64;
            for name in names(digest, manifest, links) {
                entries.push(Entry {
                    media_type: MANIFEST.to_owned(),
                    digest: *digest,
                    size,
                    artifact_type: manifest.artifact_type.clone(),
                    annotations: Annotations { name },
                });
            }
        }
        entries
            .sort_by(|a, b| (a.digest, &a.annotations.name).cmp(&(b.digest, &b.annotations.name)));
        Self {
            schema_version: 2,
            media_type: INDEX.to_owned(),
            manifests: entries,
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and numbers always have a JSON form")
    }
}

/// Maximum size of an `index.json` that is read, in bytes.
const INDEX_BYTES_MAX: u64 = 256 << 20;

/// Fails if the index of a layout names manifests that gwc did not write. Each release rewrites the
/// index, which would remove the names of images that gwc did not write. Accepts a damaged index.
pub(super) fn check_own(root: &Path) -> Result<(), Refused> {
    #[derive(Deserialize)]
    struct Known {
        manifests: Vec<Named>,
    }
    #[derive(Deserialize)]
    struct Named {
        #[serde(default)]
        annotations: BTreeMap<String, String>,
    }
    let Some(text) = read_limited(&root.join("index.json"), INDEX_BYTES_MAX)? else {
        return Ok(());
    };
    let Ok(known) = serde_json::from_slice::<Known>(&text) else {
        return Ok(());
    };
    let is_own = |one: &Named| {
        let name = one.annotations.get("org.opencontainers.image.ref.name");
        name.is_some_and(|name| is_name(name))
    };
    if known.manifests.iter().all(is_own) {
        return Ok(());
    }
    Err(Refused::NotABundle {
        what: "store: index.json lists images that gwc did not write",
    })
}

/// True if a name has one of the forms that [`names`] writes.
fn is_name(name: &str) -> bool {
    let is_hex = |text: &str| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    let is_serial = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match name.split_once('-') {
        Some(("b" | "s", hex)) => is_hex(hex),
        Some(("rev", serial)) => is_serial(serial),
        Some(("ch", link)) => link
            .rsplit_once('-')
            .is_some_and(|(channel, serial)| !channel.is_empty() && is_serial(serial)),
        Some(_) | None => false,
    }
}

fn names(digest: &Digest, manifest: &ImageManifest, links: &Links) -> Vec<String> {
    if manifest.artifact_type == BUNDLE {
        return vec![format!("b-{}", digest.hex())];
    }
    match links.get(digest) {
        None => vec![format!("s-{}", digest.hex())],
        Some(links) => links
            .iter()
            .map(|(chain, serial)| match chain {
                Chain::Channel(channel) => format!("ch-{channel}-{serial}"),
                Chain::Revocations => format!("rev-{serial}"),
            })
            .collect(),
    }
}
