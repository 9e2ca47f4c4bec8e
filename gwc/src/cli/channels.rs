//! Channels of a store that no environment of the project uses any more. A plan against channels
//! compares only the channels of environments, so that a removed or renamed environment is in no
//! line of it.

use std::collections::BTreeSet;

use bundle::channel;
use bundle::name::ChannelName;
use bundle::store::folder::Folder;
use bundle::store::{Chain, Store as _};

use super::options::StoreOptions;
use super::say::Context;
use super::side;
use crate::release::Place;
use sources::project::files::Files;

/// A note for each channel of the store with records of this project that no environment of
/// gateway.yaml uses. None without environments, and with a channel of the command line: then
/// gateway.yaml does not name the channels. Unreadable stores and environments give no note,
/// because other messages are about them.
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
    // The plan of every environment also compares the project without one with its channel.
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

/// The note about a channel, if its newest record is of this project.
fn note(name: &ChannelName, place: &Place, store: &Folder) -> Option<String> {
    let chain = Chain::Channel(name.clone());
    let serial = store.serials(&chain).ok()?.last().copied()?;
    let digest = store.link(&chain, serial).ok()??;
    let read = channel::read(store, &digest).ok()?;
    (read.record.project == place.project).then(|| {
        format!(
            "no environment of gateway.yaml uses channel {name} any more: its gateways keep bundle {} (serial {serial}), \
             and this plan does not compare it",
            read.bundle.short()
        )
    })
}
