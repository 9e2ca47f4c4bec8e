//! Channels of a store that no environment of the project uses any more, for example after an
//! environment was removed or renamed. A plan compares only the channels of environments. Notes in
//! the plan name the other channels.

use std::collections::BTreeSet;

use bundle::channel;
use bundle::name::ChannelName;
use bundle::store::{Chain, Store as _};

use super::options::StoreOptions;
use super::say::Context;
use super::side;
use crate::release::{AnyStore, Place};
use sources::project::files::Files;

/// Notes about channels of the store that have records of this project, but that no environment of
/// gateway.yaml uses. Empty if there are no environments, or if the command line names the channel.
/// Unreadable stores and environments give no note, because other messages report them.
pub(super) fn unused(at: &StoreOptions, context: &Context) -> Vec<String> {
    if at.channel.is_some() {
        return Vec::new();
    }
    read(at, context).unwrap_or_default()
}

fn read(at: &StoreOptions, context: &Context) -> Option<Vec<String>> {
    let mut files = Files::open(&context.root().ok()?, context.limits).ok()?;
    if let Some(base) = &context.base {
        files.set_base(base);
    }
    let names = side::declared(&mut files);
    let place = at.place(context).ok().filter(|_| !names.is_empty())?;
    let mut used = BTreeSet::new();
    // Without a selected environment, the project itself has a channel, which counts as used.
    let bare = context.environment.is_none().then_some(None);
    for name in names.iter().map(Some).chain(bare) {
        let context = context.in_environment(name.map(String::as_str));
        let other = at.place(&context).ok()?;
        if other.store == place.store {
            used.insert(other.channel.to_string());
        }
    }
    let store = place.open_if_there().ok()??;
    let all = store.channels().ok()?.into_iter();
    let unused = all.filter(|name| !used.contains(name));
    let notes = unused.filter_map(|name| note(&name.parse().ok()?, &place, &store));
    Some(notes.collect())
}

/// Returns a note about a channel if the channel's newest record belongs to this project.
fn note(name: &ChannelName, place: &Place, store: &AnyStore) -> Option<String> {
    let chain = Chain::Channel(name.clone());
    let serial = store.serials(&chain).ok()?.last().copied()?;
    let digest = store.link(&chain, serial).ok()??;
    let read = channel::read(store, &digest).ok()?;
    (read.record.project == place.project).then(|| {
        format!(
            "channel {name} belongs to no environment of gateway.yaml; its gateways keep bundle {} \
             (serial {serial}), and this plan does not compare it",
            read.bundle.short()
        )
    })
}
