//! Test fixture: keys, a trust file, bundles and a store.

use std::collections::{BTreeMap, BTreeSet};

use bundle::digest::Digest;
use bundle::keys::PrivateKey;
use bundle::manifest::{ApiPart, Bundle, Config, FORMAT, Parts};
use bundle::moment::Moment;
use bundle::name::{ChannelName, ProjectName};
use bundle::publish::{self, Draft};
use bundle::statement::predicate::{Build, Builder, Git, Pointer, RecordKind, Role};
use bundle::store::{Store, WriteError};
use bundle::trust::{KeyState, Scope, Trust, TrustedKey};

/// Fixed time from which the tests count seconds.
pub(crate) const NOON: Moment = Moment::from_unix_s(1_750_000_000);
pub(crate) const DAY_S: u64 = 86_400;

pub(crate) fn project() -> ProjectName {
    "shop".parse().unwrap()
}

pub(crate) fn prod() -> ChannelName {
    "prod".parse().unwrap()
}

/// Deterministic private key of an owner.
pub(crate) fn key(owner: &str) -> PrivateKey {
    PrivateKey::from_entropy(Digest::of(owner.as_bytes()).as_bytes()).unwrap()
}

/// Trusted key of an owner for all channels, valid from one day before to 100 days after [`NOON`].
pub(crate) fn trusted(owner: &str, roles: &[Role]) -> TrustedKey {
    let public = key(owner).public();
    TrustedKey {
        id: public.id(),
        owner: owner.to_owned(),
        spki: public,
        roles: roles.iter().copied().collect(),
        channels: BTreeSet::from([Scope::All]),
        not_before: Moment::from_unix_s(NOON.unix_s() - DAY_S),
        not_after: NOON.plus_s(100 * DAY_S),
        state: KeyState::Active,
    }
}

/// Trust file in which `ci` builds, `rita` releases and `rob` revokes.
pub(crate) fn trust() -> Trust {
    trust_of(vec![
        trusted("ci", &[Role::Build]),
        trusted("rita", &[Role::Release]),
        trusted("rob", &[Role::Revoke]),
    ])
}

pub(crate) fn trust_of(keys: Vec<TrustedKey>) -> Trust {
    let empty = Trust::new(project());
    keys.into_iter()
        .fold(empty, |trust, key| trust.add_key(key).unwrap())
}

pub(crate) fn bundle(content: &str) -> Bundle {
    bundle_of("shop", content)
}

pub(crate) fn bundle_of(project: &str, content: &str) -> Bundle {
    let config = Config {
        format: FORMAT,
        project: project.parse().unwrap(),
        needs: BTreeSet::new(),
        counts: BTreeMap::new(),
    };
    let parts = Parts {
        shared: format!("shared {content}").into_bytes(),
        consumers: Some(b"consumers".to_vec()),
        apis: vec![ApiPart {
            name: "orders".to_owned(),
            behaviour: format!("behaviour {content}").into_bytes(),
            contract: format!("contract {content}").into_bytes(),
        }],
        documents: vec![format!("document {content}").into_bytes()],
    };
    Bundle::assemble(config, parts).unwrap()
}

pub(crate) fn build(source: Option<Digest>) -> Build {
    Build {
        builder: Builder {
            gwc: "0.1.0".to_owned(),
            commit: None,
        },
        format: FORMAT,
        git: Some(Git {
            commit: "c".repeat(40),
            tree: "7".repeat(40),
            dirty: false,
        }),
        environment: None,
        project: project(),
        source,
    }
}

/// Stores a bundle with a build statement by `ci`. Returns the digest of the statement.
pub(crate) fn put(store: &dyn Store, bundle: &Bundle) -> Digest {
    let descriptor = publish::put_bundle(store, bundle).unwrap();
    publish::put_build(store, descriptor, build(None), &[&key("ci")]).unwrap()
}

pub(crate) fn draft(bundle: Digest, evidence: &[Digest]) -> Draft {
    Draft {
        project: project(),
        channel: prod(),
        bundle,
        kind: RecordKind::Release,
        actor: "rita".to_owned(),
        reason: "because".to_owned(),
        created: NOON,
        expires: None,
        plan: None,
        source: None,
        evidence: evidence.iter().copied().collect(),
        merges: BTreeSet::new(),
        rollout: None,
        override_freeze: None,
        withdraw: BTreeSet::new(),
        streams: None,
    }
}

/// Publishes a draft as `rita`.
pub(crate) fn release(store: &dyn Store, draft: Draft) -> Result<Pointer, WriteError> {
    publish::release(store, Some(&trust()), draft, None, &[&key("rita")])
}

/// Stores a bundle and releases it in the channel.
pub(crate) fn ship(store: &dyn Store, content: &str) -> Pointer {
    let bundle = bundle(content);
    let evidence = put(store, &bundle);
    release(store, draft(bundle.id(), &[evidence])).unwrap()
}
