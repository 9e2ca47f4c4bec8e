//! Signed revocation list of a store. `gwc revoke --list` prints the list, `gwc revoke` finds
//! entries that are already on the list, and `gwc route` refuses the credentials on the list.

use std::collections::BTreeSet;

use bundle::digest::Digest;
use bundle::lists;
use bundle::revocation::Revocations;
use bundle::trust::Trust;
use serde_json::{Value, json};

use super::options::StoreOptions;
use super::revoked_lists;
use super::say::{self, Context, Format};
use crate::release::{self, AnyStore, Place};
use model::exit::{Exit, Failure};

/// Revocation lists of a store that are in force in a channel.
pub(super) struct Known(Revocations);

/// Prints the newest revocation list. Verifies it if there is a trust file.
pub(super) fn list(at: &StoreOptions, format: Format, context: &Context) -> anyhow::Result<Exit> {
    let place = at.place(context)?;
    let trust = at.trust(&place)?;
    let known = match place.open_if_there()? {
        Some(store) => {
            let warning = revoked_lists::warning(&place, &store, trust.as_ref())?;
            warning.iter().for_each(|warning| say::note(warning));
            Known::read(&place, &store, trust.as_ref())?
        }
        None => Known(Revocations::none()),
    };
    match format {
        Format::Human => say::result(&known.shown()),
        Format::Json => say::json(&say::document("revocations/v1", "ok", known.json())),
    }
    Ok(Exit::OK)
}

impl Known {
    /// Reads the revocation lists in force in the channel.
    ///
    /// # Errors
    /// Returns an error if the newest list cannot be read or, with a trust file, verified.
    pub(super) fn read(
        place: &Place,
        store: &AnyStore,
        trust: Option<&Trust>,
    ) -> anyhow::Result<Self> {
        let lists = lists::in_force(store, trust, &place.channel, release::now())?;
        Ok(Self(lists))
    }

    /// Serial of the newest list, or 0 if there is no list.
    pub(super) fn serial(&self) -> u64 {
        self.0.serial()
    }

    fn shown(&self) -> String {
        let Some(list) = self.0.list() else {
            return "nothing is revoked: no revocation list is in force".to_owned();
        };
        let mut lines = vec![format!(
            "revocation list {} of project {}, signed {}",
            self.serial(),
            list.project,
            list.created
        )];
        lines.extend(list.bundles.iter().map(|id| format!("  bundle       {id}")));
        let credentials = list.credentials.iter();
        lines.extend(credentials.map(|sha256| format!("  credential   {}", sha256.hex())));
        lines.extend(list.keys.iter().map(|id| format!("  signing key  {id}")));
        lines.join("\n")
    }

    fn json(&self) -> Value {
        let list = self.0.list();
        let credentials = list.into_iter().flat_map(|list| &list.credentials);
        json!({
            "list": self.serial(),
            "created": list.map(|list| list.created.to_string()),
            "bundles": list.map(|list| list.bundles.clone()).unwrap_or_default(),
            "credentials": credentials.map(|sha256| sha256.hex()).collect::<Vec<_>>(),
            "signing_keys": list.map(|list| list.keys.clone()).unwrap_or_default(),
        })
    }
}

/// Revoked credentials that `gwc route` refuses.
#[derive(Debug, Default)]
pub(super) struct InForce {
    /// SHA-256 of each credential.
    pub(super) hashes: BTreeSet<Digest>,
    /// Sources of the revoked credentials, for messages.
    pub(super) list: String,
}

impl InForce {
    /// Combines the credentials of `--revoked` with those on the newest list of the project's
    /// store. A list that cannot be read or verified is reported and ignored.
    pub(super) fn of(named: &[Digest], at: &StoreOptions, context: &Context) -> Self {
        let mut found = Self {
            hashes: named.iter().copied().collect(),
            list: "--revoked".to_owned(),
        };
        match newest(at, context) {
            Ok(Known(lists)) => {
                let Some(list) = lists.list() else {
                    return found;
                };
                found.hashes.extend(&list.credentials);
                found.list = match named.is_empty() {
                    true => format!("revocation list {}", lists.serial()),
                    false => format!("--revoked or revocation list {}", lists.serial()),
                };
            }
            Err(error) => say::note(&format!(
                "warning: the store's revocation list is not used: {error:#}"
            )),
        }
        found
    }
}

/// Newest revocation list of the project's store. Empty without a project or a store.
fn newest(at: &StoreOptions, context: &Context) -> anyhow::Result<Known> {
    let Ok(place) = at.place(context) else {
        return Ok(Known(Revocations::none()));
    };
    let trust = release::trust(&place.root, at.trust.as_deref())?;
    match place.open_if_there()? {
        Some(store) => Known::read(&place, &store, trust.as_ref()),
        None => Ok(Known(Revocations::none())),
    }
}

/// SHA-256 of a credential on the command line.
pub(super) fn credential(option: &str, text: &str) -> anyhow::Result<Digest> {
    Digest::from_hex(text.strip_prefix("sha256:").unwrap_or(text)).map_err(|_| {
        // The text may be the credential itself, so the message must not repeat it.
        Failure::usage(format!(
            "{option} takes the sha256 of a credential, 64 lower-case hex digits, never the credential itself"
        ))
        .into()
    })
}
