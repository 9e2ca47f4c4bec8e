//! `index.json`: every manifest by a name that OCI tools take, for people and tools.
//!
//! Derived from blobs and links, and never followed. Names are tags, so that
//! `skopeo copy oci:STORE:NAME …` finds each manifest:
//!
//! | Name | What |
//! |---|---|
//! | `b-<64 hex>` | a bundle |
//! | `ch-<channel>-<serial>` | the record under a channel's serial |
//! | `rev-<serial>` | the revocation list under a serial |
//! | `s-<64 hex>` | any other manifest: build statements, sources, records that lost a race |

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::digest::Digest;
use crate::manifest::BUNDLE;
use crate::oci::{ImageManifest, MANIFEST};
use crate::store::Chain;

/// Media type of `index.json`.
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// The links that lead to a manifest.
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
    /// The index of these manifests; one that several links lead to has an entry for each.
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
