//! Verification of bundles: from bytes in a store to a bundle that may run.
//!
//! [`Unverified`] is a bundle that was opened within the limits of the format. Its contents are not
//! trusted. [`Unverified::verify`] is the only function that returns a [`Verified`]. Every blob is
//! checked against its digest when it is read. gwd calls [`Verified::load_layer`] for each of
//! [`Layers::runtime`] that is not in memory, so it never reads a contract blob.

use std::collections::BTreeSet;

use crate::digest::Digest;
use crate::manifest::{Config, Layers, Manifest};
use crate::name::ChannelName;
use crate::oci::{Descriptor, MANIFEST_BYTES_MAX};
use crate::refused::Refused;
use crate::revocation::Revocations;
use crate::statement::envelope::Envelope;
use crate::statement::predicate::{Build, Role};
use crate::statement::{Statement, claimed_role, stored};
use crate::store::{self, Blobs};
use crate::trust::{Signers, Trust, When};

/// Maximum number of statements that a record may rely on.
pub const EVIDENCE_MAX: usize = 64;

/// A bundle with a readable manifest and config. Its contents are not trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unverified {
    id: Digest,
    bytes: Vec<u8>,
    manifest: Manifest,
    config: Config,
}

/// A bundle that may run: it belongs to the right project, enough trusted owners have signed it,
/// and it is not revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    bundle: Unverified,
    builds: Vec<Build>,
    builders: Signers,
    when: When,
}

/// Inputs for verifying a bundle.
#[derive(Clone, Copy, Debug)]
pub struct VerificationCriteria<'a> {
    /// The operator's trust file.
    pub trust: &'a Trust,
    /// Channel of the record. `None` accepts keys of any channel (`gwc verify`).
    pub channel: Option<&'a ChannelName>,
    /// Digests of the statements that the record relies on.
    pub evidence: &'a BTreeSet<Digest>,
    /// Revoked bundles, credentials and keys.
    pub revocations: &'a Revocations,
    /// Time at which the build keys must be valid.
    pub when: When,
}

/// A blob whose digest has been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// Digest of the blob. Caches of decoded blobs use it as their key.
    pub digest: Digest,
    /// Content of the blob.
    pub bytes: Vec<u8>,
}

/// Blobs that gwd loads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runtime {
    /// Shared part of the gateway.
    pub shared: Blob,
    /// Consumers of `consumers_file`. `None`: the setting is absent.
    pub consumers: Option<Blob>,
    /// Behaviour of each API, sorted by name.
    pub apis: Vec<Blob>,
    /// Documents that gwd serves.
    pub documents: Vec<Blob>,
}

/// Blobs that gwc loads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Full {
    /// Blobs that gwd loads.
    pub runtime: Runtime,
    /// Contract of each API, in the order of `runtime.apis`.
    pub contracts: Vec<Blob>,
}

// === impl Unverified ===

impl Unverified {
    /// Reads and decodes the manifest and the config of a bundle, within the limits of the format.
    ///
    /// # Errors
    /// [`Refused::Needs`] for a bundle of a later format; [`Refused::BlobMissing`] or
    /// [`Refused::BadDigest`] if a blob is missing or damaged; [`Refused::TooLarge`],
    /// [`Refused::NotABundle`], [`Refused::Malformed`] or [`Refused::NotCanonical`] if the manifest
    /// or the config violates the format.
    pub fn open(blobs: &dyn Blobs, id: Digest) -> Result<Self, Refused> {
        let bytes = store::read(blobs, &id, MANIFEST_BYTES_MAX)?;
        let manifest = Manifest::decode(&bytes)?;
        let config = Config::decode(&store::read_exact(blobs, &manifest.config)?)?;
        Ok(Self {
            id,
            bytes,
            manifest,
            config,
        })
    }

    /// Id of the bundle: the digest of its manifest.
    #[must_use]
    pub const fn id(&self) -> Digest {
        self.id
    }

    /// Config of the bundle, which is not verified.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Layers of the bundle by kind.
    #[must_use]
    pub const fn layers(&self) -> &Layers {
        &self.manifest.layers
    }

    /// Bytes of the bundle's manifest.
    #[must_use]
    pub fn manifest(&self) -> &[u8] {
        &self.bytes
    }

    /// Descriptor of the bundle's config blob.
    #[must_use]
    pub const fn config_blob(&self) -> &Descriptor {
        &self.manifest.config
    }

    /// Descriptor of the manifest, for statements about the bundle.
    #[must_use]
    pub fn descriptor(&self) -> Descriptor {
        Descriptor::of(crate::oci::MANIFEST, &self.bytes)
    }

    /// Verifies that this bundle may run: it belongs to the right project, is not on the revocation
    /// list, and enough owners signed a build statement.
    ///
    /// # Errors
    /// [`Refused::WrongProject`] for a bundle of another project; [`Refused::Revoked`] for a bundle
    /// on the revocation list; [`Refused::Unsigned`] without a build statement; the reason why the
    /// signatures are not sufficient.
    pub fn verify(
        self,
        blobs: &dyn Blobs,
        criteria: &VerificationCriteria<'_>,
    ) -> Result<Verified, Refused> {
        let project = criteria.trust.project();
        if self.config.project != *project {
            return Err(Refused::WrongProject {
                expected: project.clone(),
            });
        }
        if criteria.revocations.has_bundle(&self.id) {
            return Err(Refused::Revoked { bundle: self.id });
        }
        let (builds, builders) = self.builds(blobs, criteria)?;
        Ok(Verified {
            bundle: self,
            builds,
            builders,
            when: criteria.when,
        })
    }

    /// Reads all blobs, for gwc. Their digests are checked, but the bundle is not verified.
    ///
    /// # Errors
    /// [`Refused::BlobMissing`] or [`Refused::BadDigest`] if a blob is missing or damaged;
    /// [`Refused::StoreUnreachable`] if the store cannot be read.
    pub fn load_full(&self, blobs: &dyn Blobs) -> Result<Full, Refused> {
        let contracts = self.layers().apis.iter().map(|api| &api.contract);
        Ok(Full {
            runtime: self.runtime(blobs)?,
            contracts: contracts
                .map(|layer| blob(blobs, layer))
                .collect::<Result<_, _>>()?,
        })
    }

    fn runtime(&self, blobs: &dyn Blobs) -> Result<Runtime, Refused> {
        let Layers {
            shared,
            consumers,
            apis,
            documents,
        } = self.layers();
        let consumers = consumers.as_ref().map(|layer| blob(blobs, layer));
        let apis = apis.iter().map(|api| blob(blobs, &api.behaviour));
        let documents = documents.iter().map(|layer| blob(blobs, layer));
        Ok(Runtime {
            shared: blob(blobs, shared)?,
            consumers: consumers.transpose()?,
            apis: apis.collect::<Result<_, _>>()?,
            documents: documents.collect::<Result<_, _>>()?,
        })
    }

    /// Reads the build statements in evidence that have valid signatures. Also returns the owners
    /// and keys of all their signatures.
    fn builds(
        &self,
        blobs: &dyn Blobs,
        criteria: &VerificationCriteria<'_>,
    ) -> Result<(Vec<Build>, Signers), Refused> {
        if criteria.evidence.len() > EVIDENCE_MAX {
            return Err(Refused::TooLarge {
                what: "number of statements in evidence",
                limit: EVIDENCE_MAX as u64,
            });
        }
        let trust = &criteria
            .trust
            .clone()
            .with_revoked(&criteria.revocations.keys());
        let mut builds = Vec::new();
        let mut builders = Signers::default();
        let mut refused = None;
        for digest in criteria.evidence {
            let envelope = stored::open(blobs, digest)?;
            match claimed_role(envelope.payload())? {
                Some(Role::Build) => {}
                // Approvals count for the record and not for the bundle: `approval::check`.
                Some(Role::Approve) => continue,
                Some(Role::Release | Role::Revoke) => {
                    let wanted = Role::Build.as_str();
                    return Err(Refused::WrongRole { wanted });
                }
                None => {
                    return Err(Refused::malformed(
                        "evidence",
                        "a statement of unknown type",
                    ));
                }
            }
            let signers_of_build =
                trust.signers(&envelope, Role::Build, criteria.channel, criteria.when);
            match signers_of_build {
                Err(error) => refused = refused.or(Some(error)),
                Ok(signers) => {
                    builds.push(self.build(&envelope)?);
                    builders.owners.extend(signers.owners);
                    builders.keys.extend(signers.keys);
                }
            }
        }
        if builds.is_empty() && !trust.is_insecure() {
            return Err(refused.unwrap_or(Refused::Unsigned));
        }
        trust.enough(Role::Build, &builders)?;
        Ok((builds, builders))
    }

    fn build(&self, envelope: &Envelope) -> Result<Build, Refused> {
        let statement = Statement::<Build>::decode(envelope.payload())?;
        statement.check_subject(&self.id)?;
        let build = statement.predicate;
        if build.project != self.config.project {
            return Err(Refused::WrongProject {
                expected: self.config.project.clone(),
            });
        }
        if build.format != self.config.format {
            return Err(Refused::malformed(
                "build statement",
                "another format than the bundle's",
            ));
        }
        Ok(build)
    }
}

fn blob(blobs: &dyn Blobs, layer: &Descriptor) -> Result<Blob, Refused> {
    Ok(Blob {
        digest: layer.digest,
        bytes: store::read_exact(blobs, layer)?,
    })
}

// === impl Verified ===

impl Verified {
    /// Id of the bundle: the digest of its manifest.
    #[must_use]
    pub const fn id(&self) -> Digest {
        self.bundle.id
    }

    /// Config of the bundle.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.bundle.config
    }

    /// Layers of the bundle by kind.
    #[must_use]
    pub const fn layers(&self) -> &Layers {
        &self.bundle.manifest.layers
    }

    /// Bytes of the bundle's manifest.
    #[must_use]
    pub fn manifest(&self) -> &[u8] {
        &self.bundle.bytes
    }

    /// Descriptor of the bundle's config blob.
    #[must_use]
    pub const fn config_blob(&self) -> &Descriptor {
        &self.bundle.manifest.config
    }

    /// Build statements with valid signatures, which state the origin of the bundle.
    #[must_use]
    pub fn builds(&self) -> &[Build] {
        &self.builds
    }

    /// Owners and keys with accepted signatures on build statements.
    #[must_use]
    pub const fn builders(&self) -> &Signers {
        &self.builders
    }

    /// Time at which the build keys had to be valid.
    #[must_use]
    pub const fn when(&self) -> When {
        self.when
    }

    /// Reads one layer and checks its digest. gwd calls this function for each layer whose decoded
    /// form it does not have in memory.
    ///
    /// # Errors
    /// [`Refused::BlobMissing`] or [`Refused::BadDigest`] if the blob is missing or damaged;
    /// [`Refused::StoreUnreachable`] if the store cannot be read.
    pub fn load_layer(&self, blobs: &dyn Blobs, layer: &Descriptor) -> Result<Blob, Refused> {
        blob(blobs, layer)
    }

    /// Reads all layers that gwd runs, even if their decoded form is in memory. Does not read
    /// contracts.
    ///
    /// # Errors
    /// As [`Verified::load_layer`].
    pub fn load_runtime(&self, blobs: &dyn Blobs) -> Result<Runtime, Refused> {
        self.bundle.runtime(blobs)
    }

    /// Reads all blobs of the bundle, contracts included.
    ///
    /// # Errors
    /// As [`Verified::load_layer`].
    pub fn load_full(&self, blobs: &dyn Blobs) -> Result<Full, Refused> {
        self.bundle.load_full(blobs)
    }
}
