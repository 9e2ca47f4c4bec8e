//! Temporary folder of the local gateway, with its own store, key and trust file. gwc does not
//! change the project's store, and needs no key of the project.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use bundle::digest::Digest;
use bundle::keys::PrivateKey;
use bundle::keys::rand_core::OsRng;
use bundle::publish;
use bundle::statement::predicate::{RecordKind, Role};
use bundle::sweep;
use bundle::trust::{Floors, KeyState, Scope, Trust, TrustedKey};
use tempfile::TempDir;

use super::super::build::BuiltProject;
use super::super::movement::{Movement, RecordFields, Target};
use crate::release::{self, AnyStore, Place, StoreName, provenance};

/// Validity of the key: one year, which is longer than any session.
const KEY_S: u64 = 365 * 86_400;
/// Number of versions that the store keeps. gwd keeps the running version itself.
const VERSIONS_KEPT: usize = 3;

/// Releases for the local gateway. Dropping this value removes its folder.
pub(super) struct LocalReleases {
    folder: TempDir,
    key: PrivateKey,
    trust: Trust,
    place: Place,
}

/// Version for the local gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version {
    /// Serial of the version's record: 1 for the first version of a session.
    pub(super) serial: u64,
    pub(super) bundle: Digest,
}

impl LocalReleases {
    /// Creates the folder with the store, the key and the trust file, for a project at `place`.
    ///
    /// # Errors
    /// Returns an error if the temporary folder cannot be written.
    pub(super) fn create(place: &Place) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("gwc-watch-").tempdir();
        let folder = folder.context("a temporary folder for the local gateway")?;
        let key = PrivateKey::generate(&mut OsRng);
        let now = release::now();
        let trust = Trust::new(place.project.clone()).add_key(TrustedKey {
            id: key.public().id(),
            owner: "gwc watch".to_owned(),
            spki: key.public(),
            roles: BTreeSet::from([Role::Build, Role::Release]),
            channels: BTreeSet::from([Scope::All]),
            not_before: now,
            not_after: now.plus_s(KEY_S),
            state: KeyState::Active,
        })?;
        // gwd starts after the first release. With the serial of that release (1) as the minimum,
        // gwd detects replays from the start and logs no warning `replay-unprotected`.
        let floors = Floors {
            min_serial: 1,
            ..Floors::default()
        };
        let trust = trust.with_floors(place.channel.clone(), floors)?;
        let local = Self {
            place: Place {
                steps: Vec::new(),
                guard: None,
                store: StoreName::Folder(folder.path().join("store")),
                ..place.clone()
            },
            folder,
            key,
            trust,
        };
        std::fs::write(local.trust_file(), local.trust.to_json())?;
        local.place.create()?;
        Ok(local)
    }

    /// True if the releases belong to this project and channel. A change of gateway.yaml can change
    /// both.
    pub(super) fn is_of(&self, place: &Place) -> bool {
        self.place.project == place.project && self.place.channel == place.channel
    }

    /// Folder for files of the local gateway.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn store(&self) -> PathBuf {
        self.folder().join("store")
    }

    pub(super) fn trust_file(&self) -> PathBuf {
        self.folder().join("trust.json")
    }

    pub(super) fn channel(&self) -> &str {
        self.place.channel.as_str()
    }

    /// Releases a bundle, unless the newest release already has it.
    ///
    /// # Errors
    /// Returns an error if the store cannot be written.
    pub(super) fn publish(&self, built: &BuiltProject) -> anyhow::Result<Version> {
        let bundle = built.bundle.id();
        let store = self.place.open()?;
        let head = release::head(&store, Some(&self.trust), &self.place.channel)?;
        if let Some(head) = head.as_ref().filter(|head| head.bundle == bundle) {
            let serial = head.pointer.serial;
            return Ok(Version { serial, bundle });
        }
        let source = built.put(&store)?;
        let build = provenance::build(
            &self.place.root,
            self.place.environment.clone(),
            self.place.project.clone(),
            Some(source),
            &built.map,
        )?;
        let descriptor = built.bundle.descriptor();
        let statement = publish::put_build(&store, descriptor, build, &[&self.key])?;
        let movement = Movement {
            place: &self.place,
            trust: Some(&self.trust),
            keys: std::slice::from_ref(&self.key),
            head: head.as_ref(),
            publishes_list: false,
        };
        let target = Target {
            bundle,
            kind: RecordKind::Release,
            fields: RecordFields {
                reason: Some("gwc watch".to_owned()),
                ..RecordFields::default()
            },
            plan: None,
            source: Some(source),
            evidence: BTreeSet::from([statement]),
        };
        let pointer = movement.publish(&store, target)?;
        remove_old(&store)?;
        Ok(Version {
            serial: pointer.serial,
            bundle,
        })
    }
}

/// Removes the bundles of old versions, so that the store does not grow in a long session.
fn remove_old(store: &AnyStore) -> anyhow::Result<()> {
    let AnyStore::Folder(folder) = store else {
        return Ok(());
    };
    let _alone = folder.lock_exclusive()?;
    let kept = sweep::retained(folder, VERSIONS_KEPT)?;
    let garbage = sweep::garbage(folder, &kept, release::now())?;
    sweep::remove(folder, &garbage)?;
    Ok(())
}
