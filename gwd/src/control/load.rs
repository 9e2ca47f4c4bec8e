//! Loads the parts of a gateway configuration from the blobs of a verified bundle.

use std::sync::Arc;

use bundle::codec::{self, NotCanonical};
use bundle::digest::Digest;
use bundle::ir::{Api, Consumer, Set, Shared};
use bundle::oci::Descriptor;
use bundle::refused::Refused;
use bundle::store::Blobs;
use bundle::verify::{Blob, Verified};
use engine::{Assembly, BuildError, Consumers, Parts};
use policy::Documents;

use crate::node::refused;

/// Reads the blobs that gwd needs. If the part that was built from a blob is still in memory, the
/// blob is not read again: its digest was checked when the part was built. Other blobs are checked
/// by digest and decoded strictly: a blob that this version does not fully understand is refused.
///
/// # Errors
/// If a blob cannot be read ([`Verified::load_layer`]) or cannot be decoded ([`Refused::Malformed`]
/// with the blob's name). Also if an API or consumers cannot be built, or if the shared blob names
/// other documents than the bundle contains.
pub(crate) fn assembly(
    verified: &Verified,
    blobs: &dyn Blobs,
    parts: &mut Parts,
) -> Result<Assembly, Refused> {
    let layers = verified.layers();
    let read = |layer: &Descriptor| verified.load_layer(blobs, layer);
    let shared: Shared = codec::decode(&read(&layers.shared)?.bytes)
        .map_err(|why| unreadable("shared blob", why))?;
    let mut apis = Vec::with_capacity(layers.apis.len());
    for layer in &layers.apis {
        let digest = layer.behaviour.digest;
        apis.push(match parts.api(digest.as_bytes()) {
            Some(part) => part,
            None => {
                let api: Api = codec::decode(&read(&layer.behaviour)?.bytes)
                    .map_err(|why| unreadable("API blob", why))?;
                let part = parts.add_api(*digest.as_bytes(), api);
                part.map_err(refused)?
            }
        });
    }
    let named = shared.documents.iter().map(|named| named.0);
    if !named.eq(layers.documents.iter().map(|one| *one.digest.as_bytes())) {
        return Err(refused(BuildError::OtherDocuments));
    }
    let mut documents = Documents::new();
    for layer in &layers.documents {
        let digest = *layer.digest.as_bytes();
        let content = match parts.document(&digest) {
            Some(content) => content,
            None => parts.add_document(digest, read(layer)?.bytes),
        };
        documents.insert(digest, content);
    }
    Ok(Assembly {
        consumers: consumers(&shared, layers.consumers.as_ref(), &read, parts)?,
        shared,
        apis,
        documents,
    })
}

/// Returns the consumers of the shared blob together with the consumers of the consumers blob.
fn consumers(
    shared: &Shared,
    layer: Option<&Descriptor>,
    read: &dyn Fn(&Descriptor) -> Result<Blob, Refused>,
    parts: &mut Parts,
) -> Result<Arc<Consumers>, Refused> {
    const BLOB: &str = "consumers blob";
    let mut all_of = codec::encode(&shared.consumers);
    all_of.extend(layer.iter().flat_map(|layer| layer.digest.as_bytes()));
    let key = *Digest::of(&all_of).as_bytes();
    if let Some(known) = parts.consumers(&key) {
        return Ok(known);
    }
    let mut all: Vec<Consumer> = shared.consumers.iter().cloned().collect();
    if let Some(layer) = layer {
        let more: Set<Consumer> =
            codec::decode(&read(layer)?.bytes).map_err(|why| unreadable(BLOB, why))?;
        all.extend(more.into_vec());
    }
    let all = Set::new(all).map_err(|_| malformed(BLOB, "two consumers have the same name"))?;
    parts.add_consumers(key, &all).map_err(refused)
}

fn unreadable(what: &'static str, why: NotCanonical) -> Refused {
    let why = match why {
        NotCanonical::MissingFields => {
            "an older gwc wrote it without fields that this gwd needs; build and apply the bundle again with a gwc of this version"
        }
        NotCanonical::Otherwise => "its format is not one that this version of gwd reads",
    };
    malformed(what, why)
}

fn malformed(what: &'static str, why: &'static str) -> Refused {
    Refused::Malformed {
        what,
        why: why.into(),
    }
}
