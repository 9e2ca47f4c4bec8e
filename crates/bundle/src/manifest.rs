//! Manifest of a bundle, and the bundle in memory as `gwc` assembles it.
//!
//! The bundle's id is the SHA-256 of the manifest's bytes, so it depends only on the content of the
//! bundle. This module does not decode the payloads of blobs; `ir` does. release.md §1.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::json;
use crate::name::{FeatureName, ProjectName};
use crate::oci::{self, Descriptor, ImageManifest};
use crate::refused::Refused;

/// Version of the format that this crate writes and reads.
pub const FORMAT: u32 = 1;

/// `artifactType` of a bundle's manifest.
pub const BUNDLE: &str = "application/vnd.gwc.bundle.v1";
/// Media type of [`Config`].
pub const CONFIG: &str = "application/vnd.gwc.config.v1+json";
/// Media type of the shared part: listeners, upstreams, verifiers, consumers and policies.
pub const SHARED: &str = "application/vnd.gwc.shared.v1+cbor";
/// Media type of the consumers from `consumers_file`.
pub const CONSUMERS: &str = "application/vnd.gwc.consumers.v1+cbor";
/// Media type of an API's behaviour, which gwd loads.
pub const API: &str = "application/vnd.gwc.api.v1+cbor";
/// Media type of an API's contract, which plans compare; gwd never reads it.
pub const CONTRACT: &str = "application/vnd.gwc.contract.v1+cbor";
/// Media type of a document that gwd serves.
pub const DOCUMENT: &str = "application/vnd.gwc.document.v1";

/// Maximum number of layers of a bundle.
pub const LAYERS_MAX: usize = 4_096;
/// Maximum size of a blob, in bytes.
pub const BLOB_BYTES_MAX: u64 = 64 << 20;
/// Maximum size of a bundle (manifest, config and layers together), in bytes.
pub const BUNDLE_BYTES_MAX: u64 = 256 << 20;
/// Maximum size of the config blob, in bytes.
pub const CONFIG_BYTES_MAX: u64 = 64 << 10;

/// Config blob: facts about the bundle that a program needs before it decodes the layers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Version of the format: [`FORMAT`].
    pub format: u32,
    /// Project of the bundle.
    pub project: ProjectName,
    /// Features that a gwd must have to run the bundle.
    pub needs: BTreeSet<FeatureName>,
    /// Number of items of each kind (`apis`, `operations`, `upstreams`, …), for display.
    pub counts: BTreeMap<FeatureName, u64>,
}

/// The two blobs of one API, for [`Bundle::assemble`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiPart {
    /// Name of the API, by which the layers are sorted.
    pub name: String,
    /// Behaviour blob, which gwd loads.
    pub behaviour: Vec<u8>,
    /// Contract blob, which plans compare.
    pub contract: Vec<u8>,
}

/// Parts of a bundle, in any order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// Encoded shared part of the gateway.
    pub shared: Vec<u8>,
    /// Encoded consumers of `consumers_file`. `None`: the setting is absent.
    pub consumers: Option<Vec<u8>>,
    /// APIs of the gateway.
    pub apis: Vec<ApiPart>,
    /// Documents that gwd serves, in the order in which the shared part names them.
    pub documents: Vec<Vec<u8>>,
}

/// A bundle in memory: the bytes of the manifest and all blobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    id: Digest,
    manifest: Vec<u8>,
    config: Config,
    layers: Layers,
    blobs: BTreeMap<Digest, Vec<u8>>,
}

/// Layers of a bundle by kind. The layers of the APIs are in the order in which the shared part
/// names the APIs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layers {
    /// Shared part of the gateway.
    pub shared: Descriptor,
    /// Consumers of `consumers_file`. `None`: the setting is absent.
    pub consumers: Option<Descriptor>,
    /// APIs, sorted by name.
    pub apis: Vec<ApiLayers>,
    /// Documents that gwd serves.
    pub documents: Vec<Descriptor>,
}

/// The two layers of one API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiLayers {
    /// Behaviour layer, which gwd loads.
    pub behaviour: Descriptor,
    /// Contract layer, which plans compare.
    pub contract: Descriptor,
}

/// Decoded manifest of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Descriptor of the config blob.
    pub config: Descriptor,
    /// The layers by kind.
    pub layers: Layers,
}

// === impl Bundle ===

impl Bundle {
    /// Assembles a bundle. The same parts always give the same id.
    ///
    /// # Errors
    /// [`Refused::TooLarge`] beyond the limits of the format, [`Refused::Malformed`] if two APIs
    /// have the same name.
    pub fn assemble(config: Config, parts: Parts) -> Result<Self, Refused> {
        let Parts {
            shared,
            consumers,
            mut apis,
            documents,
        } = parts;
        apis.sort_by(|a, b| a.name.cmp(&b.name));
        if apis.windows(2).any(|pair| pair[0].name == pair[1].name) {
            return Err(Refused::malformed("bundle", "two APIs have the same name"));
        }
        let mut blobs = BTreeMap::new();
        let mut put = |media_type: &str, bytes: Vec<u8>| {
            let descriptor = Descriptor::of(media_type, &bytes);
            blobs.insert(descriptor.digest, bytes);
            descriptor
        };
        let config_blob = put(CONFIG, json::encode("config", &config)?);
        let layers = Layers {
            shared: put(SHARED, shared),
            consumers: consumers.map(|bytes| put(CONSUMERS, bytes)),
            apis: apis
                .into_iter()
                .map(|api| ApiLayers {
                    behaviour: put(API, api.behaviour),
                    contract: put(CONTRACT, api.contract),
                })
                .collect(),
            documents: documents
                .into_iter()
                .map(|bytes| put(DOCUMENT, bytes))
                .collect(),
        };
        let manifest = Manifest {
            config: config_blob,
            layers: layers.clone(),
        };
        let bytes = manifest.encode();
        // Decode the manifest to check the limits of the format, with the code that readers use.
        Manifest::decode(&bytes)?;
        Ok(Self {
            id: Digest::of(&bytes),
            manifest: bytes,
            config,
            layers,
            blobs,
        })
    }

    /// Id of the bundle: the digest of its manifest.
    #[must_use]
    pub const fn id(&self) -> Digest {
        self.id
    }

    /// Bytes of the manifest, whose sha256 is the id.
    #[must_use]
    pub fn manifest(&self) -> &[u8] {
        &self.manifest
    }

    /// Config of the bundle.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Layers of the bundle by kind.
    #[must_use]
    pub const fn layers(&self) -> &Layers {
        &self.layers
    }

    /// All blobs of the bundle: the config and the layers, without the manifest.
    #[must_use]
    pub const fn blobs(&self) -> &BTreeMap<Digest, Vec<u8>> {
        &self.blobs
    }

    /// Content of the blob with this digest. `None` if the bundle does not have the blob.
    #[must_use]
    pub fn blob(&self, digest: &Digest) -> Option<&[u8]> {
        self.blobs.get(digest).map(Vec::as_slice)
    }

    /// Descriptor of the manifest, for statements about the bundle.
    #[must_use]
    pub fn descriptor(&self) -> Descriptor {
        Descriptor::of(oci::MANIFEST, &self.manifest)
    }
}

// === impl Manifest ===

impl Manifest {
    /// Encodes the manifest as canonical JSON.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let layers = self.layers.iter().cloned().collect();
        ImageManifest::new(BUNDLE, self.config.clone(), layers).encode()
    }

    /// Decodes a bundle's manifest and checks the limits of the format.
    ///
    /// # Errors
    /// [`Refused::NotABundle`] for the manifest of another artifact; [`Refused::TooLarge`] beyond
    /// the limits of the format; [`Refused::Malformed`] for unexpected contents;
    /// [`Refused::NotCanonical`] for bytes in another encoding.
    pub fn decode(bytes: &[u8]) -> Result<Self, Refused> {
        let image = ImageManifest::decode("manifest", bytes)?;
        if image.artifact_type != BUNDLE {
            return Err(Refused::NotABundle { what: "bundle" });
        }
        if image.subject.is_some() || !image.annotations.is_empty() {
            return Err(Refused::malformed(
                "manifest",
                "a bundle has neither subject nor annotations",
            ));
        }
        if image.config.media_type != CONFIG {
            return Err(Refused::malformed("manifest", "unknown kind of config"));
        }
        check_sizes(bytes.len() as u64, &image)?;
        let layers = Layers::sort_out(image.layers)?;
        Ok(Self {
            config: image.config,
            layers,
        })
    }
}

fn check_sizes(manifest_bytes: u64, image: &ImageManifest) -> Result<(), Refused> {
    let over = |what, limit| Err(Refused::TooLarge { what, limit });
    if image.layers.len() > LAYERS_MAX {
        return over("number of layers", LAYERS_MAX as u64);
    }
    if image.config.size > CONFIG_BYTES_MAX {
        return over("config", CONFIG_BYTES_MAX);
    }
    let mut total = manifest_bytes + image.config.size;
    for layer in &image.layers {
        if layer.size > BLOB_BYTES_MAX {
            return over("blob", BLOB_BYTES_MAX);
        }
        total += layer.size;
    }
    if total > BUNDLE_BYTES_MAX {
        return over("bundle", BUNDLE_BYTES_MAX);
    }
    Ok(())
}

// === impl Layers ===

impl Layers {
    /// All layers of the bundle, in the order of the manifest.
    pub fn iter(&self) -> impl Iterator<Item = &Descriptor> {
        let Self {
            shared,
            consumers,
            apis,
            documents,
        } = self;
        std::iter::once(shared)
            .chain(consumers)
            .chain(apis.iter().flat_map(|api| [&api.behaviour, &api.contract]))
            .chain(documents)
    }

    /// Layers that gwd reads: all except the contracts.
    pub fn runtime(&self) -> impl Iterator<Item = &Descriptor> {
        self.iter().filter(|layer| layer.media_type != CONTRACT)
    }

    fn sort_out(layers: Vec<Descriptor>) -> Result<Self, Refused> {
        const OUT_OF_ORDER: Refused =
            Refused::malformed("manifest", "layers of unknown kind or out of order");
        let mut layers = layers.into_iter().peekable();
        let mut next = |kind: &str| layers.next_if(|layer| layer.media_type == kind);
        let shared = next(SHARED).ok_or(OUT_OF_ORDER)?;
        let consumers = next(CONSUMERS);
        let mut apis = Vec::new();
        while let Some(behaviour) = next(API) {
            let contract = next(CONTRACT).ok_or(OUT_OF_ORDER)?;
            apis.push(ApiLayers {
                behaviour,
                contract,
            });
        }
        let mut documents = Vec::new();
        while let Some(document) = next(DOCUMENT) {
            documents.push(document);
        }
        if layers.next().is_some() {
            return Err(OUT_OF_ORDER);
        }
        Ok(Self {
            shared,
            consumers,
            apis,
            documents,
        })
    }
}

// === impl Config ===

impl Config {
    /// Decodes the config blob. Checks the version first: a bundle of a later format is refused as
    /// `needs:format-N` and not as malformed.
    ///
    /// # Errors
    /// [`Refused::Needs`] for another version of the format; [`Refused::Malformed`] for unexpected
    /// contents; [`Refused::NotCanonical`] for bytes in another encoding.
    pub fn decode(bytes: &[u8]) -> Result<Self, Refused> {
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let version: Version =
            serde_json::from_slice(bytes).map_err(|error| json::malformed("config", &error))?;
        if version.format != FORMAT {
            let feature = format!("format-{}", version.format);
            return Err(Refused::Needs {
                feature: feature.parse().expect("a number makes a valid name"),
            });
        }
        json::decode("config", bytes)
    }

    /// Checks that this program has all features that the bundle needs. `features` are the features
    /// of the program.
    ///
    /// # Errors
    /// [`Refused::Needs`] with the first feature that is missing.
    pub fn check_needs(&self, features: &[&str]) -> Result<(), Refused> {
        let missing = |name: &&FeatureName| !features.contains(&name.as_str());
        match self.needs.iter().find(missing) {
            Some(feature) => Err(Refused::Needs {
                feature: feature.clone(),
            }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config {
            format: FORMAT,
            project: "shop".parse().unwrap(),
            needs: BTreeSet::new(),
            counts: BTreeMap::from([("apis".parse().unwrap(), 2)]),
        }
    }

    fn api(name: &str) -> ApiPart {
        ApiPart {
            name: name.to_owned(),
            behaviour: format!("behaviour {name}").into_bytes(),
            contract: format!("contract {name}").into_bytes(),
        }
    }

    fn parts() -> Parts {
        Parts {
            shared: b"shared".to_vec(),
            consumers: Some(b"consumers".to_vec()),
            apis: vec![api("orders"), api("basket")],
            documents: vec![b"openapi".to_vec()],
        }
    }

    #[test]
    fn the_id_of_fixed_parts_never_changes() {
        let bundle = Bundle::assemble(config(), parts()).unwrap();
        let text = String::from_utf8(bundle.manifest().to_vec()).unwrap();
        assert!(text.starts_with(
            r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"application/vnd.gwc.bundle.v1","config":{"mediaType":"application/vnd.gwc.config.v1+json","digest":"sha256:"#
        ));
        assert_eq!(
            bundle.id().to_string(),
            "sha256:e6ac1638bbefc1e4b692fb3f5ddf39286c139b60140621c353b7d6da39ac060a"
        );
        let config = bundle.blob(&Manifest::decode(bundle.manifest()).unwrap().config.digest);
        assert_eq!(
            std::str::from_utf8(config.unwrap()).unwrap(),
            r#"{"counts":{"apis":2},"format":1,"needs":[],"project":"shop"}"#
        );
    }

    #[test]
    fn api_order_does_not_matter_and_layers_are_sorted() {
        let one = Bundle::assemble(config(), parts()).unwrap();
        let mut other = parts();
        other.apis.reverse();
        assert_eq!(one, Bundle::assemble(config(), other).unwrap());
        assert_eq!(
            one.layers().apis[0].behaviour.digest,
            Digest::of(b"behaviour basket")
        );
        let manifest = Manifest::decode(one.manifest()).unwrap();
        assert_eq!(&manifest.layers, one.layers());
        assert_eq!(one.layers().iter().count(), 7);
        assert_eq!(one.layers().runtime().count(), 5);
    }

    #[test]
    fn two_apis_of_one_name_are_refused() {
        let mut parts = parts();
        parts.apis.push(api("basket"));
        assert!(Bundle::assemble(config(), parts).is_err());
    }

    #[test]
    fn limits_are_kept() {
        let many = Parts {
            apis: (0..2048).map(|n| api(&format!("{n:05}"))).collect(),
            ..Parts::default()
        };
        let refused = Bundle::assemble(config(), many).unwrap_err();
        assert_eq!(refused.kind(), "too-large");
        let descriptor = |media_type: &str, size| Descriptor {
            media_type: media_type.to_owned(),
            digest: Digest::of(b""),
            size,
        };
        let manifest = |sizes: &[u64]| Manifest {
            config: descriptor(CONFIG, 1),
            layers: Layers {
                shared: descriptor(SHARED, 1),
                consumers: None,
                apis: vec![],
                documents: sizes.iter().map(|n| descriptor(DOCUMENT, *n)).collect(),
            },
        };
        let decode = |sizes: &[u64]| Manifest::decode(&manifest(sizes).encode());
        assert!(decode(&[BLOB_BYTES_MAX]).is_ok());
        assert!(decode(&[BLOB_BYTES_MAX + 1]).is_err());
        assert!(decode(&[BLOB_BYTES_MAX; 4]).is_err());
        assert!(decode(&[u64::MAX; 4]).is_err());
    }

    #[test]
    fn layers_out_of_order_are_refused() {
        let bundle = Bundle::assemble(config(), parts()).unwrap();
        let image = ImageManifest::decode("manifest", bundle.manifest()).unwrap();
        for (a, b) in [(0, 1), (1, 2), (2, 3), (3, 4), (5, 6)] {
            let mut swapped = image.clone();
            swapped.layers.swap(a, b);
            assert!(Manifest::decode(&swapped.encode()).is_err(), "{a} {b}");
        }
        for drop in [0, 2, 3] {
            let mut fewer = image.clone();
            fewer.layers.remove(drop);
            assert!(Manifest::decode(&fewer.encode()).is_err(), "{drop}");
        }
        let mut annotated = image.clone();
        annotated.annotations.insert("a".into(), "b".into());
        assert!(Manifest::decode(&annotated.encode()).is_err());
        let mut other = image;
        other.artifact_type = "application/vnd.gwc.bundle.v2".into();
        assert_eq!(
            Manifest::decode(&other.encode()).unwrap_err().kind(),
            "not-a-bundle"
        );
    }

    #[test]
    fn later_format_and_missing_feature_are_named() {
        let later = br#"{"counts":{},"format":2,"needs":[],"novelty":true,"project":"shop"}"#;
        assert_eq!(
            Config::decode(later).unwrap_err().reason(),
            "needs:format-2"
        );
        let mut config = config();
        config.needs.insert("grpc-web".parse().unwrap());
        assert_eq!(
            config.check_needs(&["mirror"]).unwrap_err().reason(),
            "needs:grpc-web"
        );
        assert_eq!(config.check_needs(&["grpc-web"]), Ok(()));
    }
}
